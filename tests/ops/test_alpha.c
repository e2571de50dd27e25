/*
 * Alpha (kernels/reference/alpha.c): in and out of every layout that has it, against the definition of bicubic
 * interpolation in doubles; odd sizes, guard bands, places, what must not change at all.
 *
 * Limit: half a code and the rounding of floats, 0.01 codes of 16 bits; 1e-6 where alpha is a float.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/alpha.h"
#include "tests/support/colour_layouts.h"
#include "tests/support/guarded.h"

#define GUARD_BYTE 0xA5
#define ROOM       (1 << 20)

static const int sizes[][2] = {{1, 1}, {1, 5}, {6, 1}, {2, 2}, {3, 3}, {7, 5}, {13, 9}, {129, 2}, {65, 3}};

static uint8_t memory[ROOM], before[ROOM];

/* A frame whose alpha alone is told, in memory of guards. */
static sbv_frame make_frame(const sbv_stream *s)
{
    const sbv_component *k = &s->component[3];
    const ptrdiff_t linesize = s->width * k->step + 9;
    sbv_frame frame = {.width = s->width, .height = s->height};
    assert_true(linesize * s->height + 64 < ROOM);
    memset(memory, GUARD_BYTE, sizeof(memory));
    frame.data[k->plane] = memory + 32;
    frame.linesize[k->plane] = linesize;
    return frame;
}

static uint8_t *sample_at(const sbv_frame *f, const sbv_stream *s, int x, int y)
{
    const sbv_component *k = &s->component[3];
    return f->data[k->plane] + y * f->linesize[k->plane] + k->offset + (ptrdiff_t)x * k->step;
}

static double top_of(const sbv_stream *s)
{
    return s->component[3].depth == 32 ? 1 : (1 << s->component[3].depth) - 1;
}

static double get(const sbv_frame *f, const sbv_stream *s, int x, int y)
{
    const uint8_t *sample = sample_at(f, s, x, y);
    uint16_t wide;
    float value;
    memcpy(&wide, sample, sizeof(wide));
    memcpy(&value, sample, sizeof(value));
    return s->component[3].depth == 32 ? (double)value
           : s->component[3].depth > 8 ? wide >> s->component[3].shift
                                       : *sample;
}

static void put(const sbv_frame *f, const sbv_stream *s, int x, int y, double code)
{
    uint8_t *sample = sample_at(f, s, x, y);
    const uint16_t wide = (uint16_t)((int)code << s->component[3].shift);
    const float value = (float)code;
    if (s->component[3].depth == 32)
        memcpy(sample, &value, sizeof(value));
    else if (s->component[3].depth > 8)
        memcpy(sample, &wide, sizeof(wide));
    else
        *sample = (uint8_t)wide;
}

static double kernel(double x)
{
    const double a = -0.6;
    x = fabs(x);
    return x < 1   ? (a + 2) * x * x * x - (a + 3) * x * x + 1
           : x < 2 ? a * x * x * x - 5 * a * x * x + 8 * a * x - 4 * a
                   : 0;
}

static int clamp_int(int v, int low, int high)
{
    return v < low ? low : v > high ? high : v;
}

/* Pixel (x, y) of the enlarged picture, by the definition: every sample that the kernel reaches. */
static double definition(const sbv_map *in, int x, int y, int factor, double place)
{
    const double u = (x - place) / factor, v = (y - place) / factor;
    double sum = 0;
    for (int j = (int)floor(v) - 3; j <= (int)floor(v) + 3; j++)
        for (int i = (int)floor(u) - 3; i <= (int)floor(u) + 3; i++)
            sum += kernel(u - i) * kernel(v - j) *
                   (double)*(float *)sbv_at(in, clamp_int(i, 0, in->w - 1), clamp_int(j, 0, in->h - 1));
    return sum < 0 ? 0 : sum > 1 ? 1 : sum;
}

static void check_pixel(const sbv_frame *f, const sbv_stream *s, int x, int y, double value)
{
    const double code = value * top_of(s), found = get(f, s, x, y);
    const double limit = s->component[3].depth == 32 ? 1e-6 : 0.51;
    if (fabs(found - code) > limit)
        fail_msg("%dx%d depth %d, pixel %d,%d: %f, not %f", s->width, s->height, s->component[3].depth, x, y, found,
                 code);
}

static void check_guards(const sbv_frame *f, const sbv_stream *s)
{
    memcpy(before, memory, sizeof(before));
    for (int y = 0; y < s->height; y++)
        for (int x = 0; x < s->width; x++)
            memset(before + (sample_at(f, s, x, y) - memory), GUARD_BYTE, (size_t)sample_bytes(s, 3));
    for (int i = 0; i < ROOM; i++)
        assert_int_equal(before[i], GUARD_BYTE);
}

/* Codes in, the values of them in the map, and their interpolation out. */
static void check(const layout *l, int w, int h, int factor, double place)
{
    const sbv_stream s = make_stream(l, w, h), large = make_stream(l, w * factor, h * factor);
    const double top = top_of(&s);
    guarded map = guarded_dense(w, h, 1, 0);
    sbv_frame frame = make_frame(&s);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            put(&frame, &s, x, y, floor((top + 0.99) * (0.5 + 0.5 * (double)uniform()) * (top > 1 ? 1 : 0.5)));
    memcpy(before, memory, sizeof(before));
    sbv_alpha_in_c(&(sbv_alpha_in_args){&s, &frame, map.map}, 0, h);
    assert_memory_equal(before, memory, sizeof(memory));
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            assert_float_equal(*(float *)sbv_at(&map.map, x, y), (float)(get(&frame, &s, x, y) / top), 1e-6f);
    guarded_check(&map, 0, w, 0, h);

    frame = make_frame(&large);
    const sbv_alpha_out_args out = {&large, map.map, &frame, factor, (float)place};
    for (int y = large.height - 1; y >= 0; y--) /* rows in any order */
        sbv_alpha_out_c(&out, y, y + 1);
    for (int y = 0; y < large.height; y++)
        for (int x = 0; x < large.width; x++)
            check_pixel(&frame, &large, x, y, definition(&map.map, x, y, factor, place));
    check_guards(&frame, &large);
    free(map.memory);
}

static void test_definition(void **state)
{
    (void)state;
    for (int l = 0; l < LAYOUTS; l++)
        for (size_t n = 0; n < sizeof(sizes) / sizeof(*sizes) && layouts[l].component[3].step; n++)
            for (int factor = 2; factor <= 4; factor += 2) {
                check(&layouts[l], sizes[n][0], sizes[n][1], factor, (factor - 1) / 2.0);
                check(&layouts[l], sizes[n][0], sizes[n][1], factor, 0);
            }
}

/* What is opaque, or transparent, all over stays so to the last bit of integers; every code comes back as it was. */
static void test_constants(void **state)
{
    (void)state;
    for (int l = 0; l < LAYOUTS; l++) {
        const sbv_stream s = make_stream(&layouts[l], 5, 3), large = make_stream(&layouts[l], 20, 12);
        if (!s.alpha || s.component[3].depth == 32)
            continue;
        for (int code = 0; code <= (int)top_of(&s); code += s.component[3].depth > 8 ? 117 : 1) {
            guarded map = guarded_dense(5, 3, 1, 0);
            sbv_frame frame = make_frame(&s);
            for (int i = 0; i < 15; i++)
                put(&frame, &s, i % 5, i / 5, code);
            sbv_alpha_in_c(&(sbv_alpha_in_args){&s, &frame, map.map}, 0, 3);
            frame = make_frame(&large);
            sbv_alpha_out_c(&(sbv_alpha_out_args){&large, map.map, &frame, 4, 1.5f}, 0, 12);
            for (int i = 0; i < 240; i++)
                assert_int_equal((int)get(&frame, &large, i % 20, i / 20), code);
            free(map.memory);
        }
    }
}

/* A column that can be seen in the middle of a picture: its colour in four rings around, and what was there beyond. */
static void test_fill(void **state)
{
    enum { W = 15, H = 7, MIDDLE = 7 };
    static uint8_t planes[4][W * H], rings[3 * W * H];
    sbv_stream s = make_stream(&layouts[0], W, H);
    sbv_frame frame = {.width = W, .height = H};
    guarded alpha = guarded_dense(W, H, 1, 0);
    (void)state;
    for (int subsampled = 0; subsampled < 2; subsampled++) {
        s.chroma_w_log2 = s.chroma_h_log2 = subsampled;
        for (int c = 0; c < 3; c++) {
            frame.data[c] = planes[c];
            frame.linesize[c] = component_w(&s, c);
            for (int y = 0; y < component_h(&s, c); y++)
                for (int x = 0; x < component_w(&s, c); x++)
                    planes[c][y * frame.linesize[c] + x] = x == MIDDLE >> (c && subsampled) ? 200 : 10;
        }
        for (int i = 0; i < W * H; i++)
            *(float *)sbv_at(&alpha.map, i % W, i / W) = i % W == MIDDLE ? 0.25f : 0;
        sbv_fill_hidden_c(&(sbv_fill_args){&s, alpha.map, &frame, rings}, 0, 3);
        for (int c = 0; c < 3; c++)
            for (int y = 0; y < component_h(&s, c); y++)
                for (int x = 0; x < component_w(&s, c); x++)
                    assert_int_equal(planes[c][y * frame.linesize[c] + x],
                                     abs(x - (MIDDLE >> (c && subsampled))) <= SBV_FILL_RINGS ? 200 : 10);
    }
    free(alpha.memory);
}

/* The mean of what can be seen around, and what can be seen as it was. */
static void test_fill_means(void **state)
{
    uint8_t pixels[9] = {100, 7, 50, 7, 7, 7, 7, 7, 7}, rings[9];
    const sbv_stream s = {.width = 3, .height = 3, .components = 1, .component = {{0, 1, 0, 0, 8}}};
    const sbv_frame frame = {.data = {pixels}, .linesize = {3}};
    guarded alpha = guarded_dense(3, 3, 1, 0);
    static const uint8_t expected[9] = {100, 75, 50, 100, 75, 50, 88, 75, 63};
    (void)state;
    for (int i = 0; i < 9; i++)
        *(float *)sbv_at(&alpha.map, i % 3, i / 3) = i == 0 || i == 2;
    sbv_fill_hidden_c(&(sbv_fill_args){&s, alpha.map, &frame, rings}, 0, 1);
    for (int i = 0; i < 9; i++)
        assert_in_range(pixels[i], expected[i] - 1, expected[i] + 1);
    free(alpha.memory);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_definition), cmocka_unit_test(test_constants),
                                              cmocka_unit_test(test_fill), cmocka_unit_test(test_fill_means)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
