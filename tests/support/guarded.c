/*
 * Maps between guards: see guarded.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guarded.h"

#define GUARD 64 /* samples before and after each map */

int guarded_uncut;
static unsigned state = 1;

float uniform(void)
{
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / (float)(1 << 23) - 1;
}

static void fill(guarded *g, float value)
{
    for (size_t i = 0; i < g->count; i++)
        sbv_store(g->memory, g->map.type, (int)i, value);
}

static guarded make(enum sbv_type type, int w, int h, int c, int input, int gap)
{
    guarded g = {.map = {.w = w, .h = h, .c = c, .type = type, .pixel = c + gap}};
    g.map.row = g.map.pixel * w + 5;
    /* No guard behind an input: what reads there is left to the address sanitizer. */
    g.count = GUARD + 1 + (size_t)(input ? g.map.row * (h - 1) + g.map.pixel * (w - 1) + c : g.map.row * h + GUARD);
    g.memory = malloc(g.count * sbv_sample_size(type));
    assert_non_null(g.memory);
    g.map.data = (char *)g.memory + (GUARD + 1) * sbv_sample_size(type); /* aligned for a sample alone */
    fill(&g, input ? NAN : PATTERN);
    for (int y = 0; y < h && input; y++)
        for (int x = 0; x < w; x++)
            for (int i = 0; i < c; i++)
                sbv_store(sbv_pixel(&g.map, x, y), type, i, uniform());
    return g;
}

guarded guarded_map(enum sbv_type type, int w, int h, int c, int input)
{
    return make(type, w, h, c, input, 3);
}

guarded guarded_dense(int w, int h, int c, int input)
{
    return make(SBV_MAP_F32, w, h, c, input, 0);
}

void guarded_reset(guarded *g)
{
    fill(g, PATTERN);
}

void guarded_check(const guarded *g, int x0, int x1, int y0, int y1)
{
    const size_t size = sbv_sample_size(g->map.type);
    float pattern;
    char *written = calloc(g->count, 1);
    assert_non_null(written);
    sbv_store(&pattern, g->map.type, 0, PATTERN);
    for (int y = y0; y < y1; y++)
        for (int x = x0; x < x1; x++)
            memset(written + (size_t)((char *)sbv_pixel(&g->map, x, y) - (char *)g->memory) / size, 1,
                   (size_t)g->map.c);
    for (size_t i = 0; i < g->count; i++)
        if (!written[i])
            assert_memory_equal((char *)g->memory + i * size, &pattern, size);
    free(written);
}
