/*
 * Operations on maps of bfloat16, as plain C and for every instruction set, against the same operation on maps of
 * floats with the same values. Each map of an operation may be of either type; only the cost volume wants one for all.
 *
 * No limit: a sample of bfloat16 is a float, sums are made in floats in the same order, and the result is rounded once,
 * so that the bits must be those of the other result, rounded.
 *
 * How the jobs are cut must not show either: the operation on floats is not cut.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guarded.h"
#include "instruction_sets.h"
#include "kernels/cpu/cpu.h"

#define MAX_MAPS 3

static sbv_ops ops;

static void test_rounding(void **unused)
{
    /* To nearest, half to even, also across a power of two; beyond the largest to infinity; NaN is still one. */
    static const struct {
        uint32_t bits;
        uint16_t expected;
    } cases[] = {
        {0x3f800000, 0x3f80}, {0x3f807fff, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f808001, 0x3f81}, {0x3f818000, 0x3f82},
        {0xbfff8000, 0xc000}, {0x00000001, 0x0000}, {0x80000000, 0x8000}, {0x7f7fffff, 0x7f80}, {0xff800000, 0xff80},
        {0x7f800001, 0x7fc0}, {0x7fffffff, 0x7fff}, {0xffffffff, 0xffff},
    };
    (void)unused;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        float value;
        memcpy(&value, &cases[i].bits, sizeof(value));
        assert_int_equal(sbv_to_bf16(value), cases[i].expected);
    }
    for (unsigned stored = 0; stored < 0x7f80; stored++)
        assert_int_equal(sbv_to_bf16(sbv_from_bf16((uint16_t)stored)), stored);
}

/* Weights, or what else an operation reads besides maps. */
static float *numbers(int count)
{
    static float memory[1 << 17];
    static int filled;
    assert_true(count <= (int)(sizeof(memory) / sizeof(memory[0])));
    for (; filled < count; filled++)
        memory[filled] = uniform();
    return memory;
}

/* An operation on its input maps m[0], ..., the output map last. */
typedef void run_fn(const sbv_map m[]);

struct shape {
    int w, h, c;
};

/* What the samples of a map are, without the functions under test. */
static float sample(const sbv_map *m, int x, int y, int c)
{
    const ptrdiff_t i = y * m->row + x * m->pixel + c;
    const uint32_t bits = m->type == SBV_MAP_BF16 ? (uint32_t)((const uint16_t *)m->data)[i] << 16 : 0;
    float value;
    memcpy(&value, &bits, sizeof(value));
    return m->type == SBV_MAP_BF16 ? value : ((const float *)m->data)[i];
}

static sbv_map as_floats(const sbv_map *m)
{
    sbv_map f = {.w = m->w, .h = m->h, .c = m->c, .pixel = m->c, .row = (ptrdiff_t)m->c * m->w};
    f.data = malloc((size_t)(f.row * f.h) * sizeof(float));
    assert_non_null(f.data);
    for (int y = 0; y < f.h; y++)
        for (int x = 0; x < f.w; x++)
            for (int c = 0; c < f.c; c++)
                sbv_at(&f, x, y)[c] = sample(m, x, y, c);
    return f;
}

static void compare_outputs(const sbv_map *found, const sbv_map *expected)
{
    for (int y = 0; y < found->h; y++)
        for (int x = 0; x < found->w; x++)
            for (int c = 0; c < found->c; c++) {
                float want;
                sbv_store(&want, found->type, 0, sbv_at(expected, x, y)[c]);
                assert_memory_equal((char *)sbv_pixel(found, x, y) + c * (ptrdiff_t)sbv_sample_size(found->type), &want,
                                    sbv_sample_size(found->type));
            }
}

/* Bit i of `types`: map i is of bfloat16. */
static void compare(run_fn *run, int maps, const struct shape shape[], unsigned types)
{
    guarded g[MAX_MAPS];
    sbv_map m[MAX_MAPS] = {{0}}, f[MAX_MAPS] = {{0}};
    for (int i = 0; i < maps; i++) {
        g[i] =
            guarded_map(types >> i & 1 ? SBV_MAP_BF16 : SBV_MAP_F32, shape[i].w, shape[i].h, shape[i].c, i < maps - 1);
        m[i] = g[i].map;
        f[i] = as_floats(&m[i]);
    }
    run(m);
    guarded_uncut = 1;
    run(f);
    guarded_uncut = 0;
    guarded_check(&g[maps - 1], 0, m[maps - 1].w, 0, m[maps - 1].h);
    compare_outputs(&m[maps - 1], &f[maps - 1]);
    for (int i = 0; i < maps; i++) {
        free(g[i].memory);
        free(f[i].data);
    }
}

static void compare_all_types(run_fn *run, int maps, const struct shape shape[])
{
    for (unsigned types = 0; types < 1u << maps; types++)
        compare(run, maps, shape, types);
}

static void run_deconv(const sbv_map m[])
{
    sbv_deconv_args a = {.in = m[0], .out = m[1], .weights = numbers(16 * m[0].c * m[1].c), .bias = numbers(m[1].c)};
    RUN(deconv, &a, m[1].h);
}

static void test_deconv(void **unused)
{
    (void)unused;
    for (int i = 0; i < GUARDED_CHANNELS; i++)
        for (int out = 1; out < 5; out++)
            compare_all_types(run_deconv, 2, (struct shape[]){{5, 3, guarded_channels[i]}, {10, 6, out}});
    compare_all_types(run_deconv, 2, (struct shape[]){{1, 1, 529}, {2, 2, 2}});
}

static void run_cost_volume(const sbv_map m[])
{
    sbv_cost_args a = {m[0], m[1], m[2], SBV_LEAKY};
    RUN(cost_volume, &a, m[2].h);
}

static void test_cost_volume(void **unused)
{
    (void)unused;
    for (int i = 0; i < GUARDED_CHANNELS; i++) {
        const struct shape in = {11, 7, guarded_channels[i]}, column = {1, 6, guarded_channels[i]};
        compare(run_cost_volume, 3, (struct shape[]){in, in, {11, 7, SBV_COST_CHANNELS}}, 7);
        compare(run_cost_volume, 3, (struct shape[]){column, column, {1, 6, SBV_COST_CHANNELS}}, 7);
    }
}

/* Up to four pixels of movement, partly out of the image. */
static void run_warp(const sbv_map m[])
{
    sbv_warp_args a = {.in = m[0], .flow = m[1], .out = m[2], .scale = 4};
    RUN(warp, &a, m[2].h);
}

static void run_clamped_warp(const sbv_map m[])
{
    sbv_warp_args a = {.in = m[0], .flow = m[1], .out = m[2], .scale = 4, .clamp = 1};
    RUN(warp, &a, m[2].h);
}

static void test_warp(void **unused)
{
    (void)unused;
    for (int i = 0; i < GUARDED_CHANNELS; i++) {
        const struct shape in = {13, 9, guarded_channels[i]}, column = {1, 6, guarded_channels[i]};
        compare_all_types(run_warp, 3, (struct shape[]){in, {13, 9, 2}, in});
        compare_all_types(run_clamped_warp, 3, (struct shape[]){in, {13, 9, 2}, in});
        compare_all_types(run_warp, 3, (struct shape[]){column, {1, 6, 2}, column});
    }
}

static void run_copy(const sbv_map m[])
{
    sbv_copy_args a = {m[0], m[1]};
    RUN(copy, &a, m[1].h);
}

static void test_copy(void **unused)
{
    (void)unused;
    for (int i = 0; i < GUARDED_CHANNELS; i++) {
        const struct shape in = {7, 5, guarded_channels[i]};
        compare_all_types(run_copy, 2, (struct shape[]){in, in});
    }
}

static void run_adaptive_pool(const sbv_map m[])
{
    sbv_pool_args a = {m[0], m[1]};
    RUN(adaptive_pool, &a, m[1].h);
}

static void test_adaptive_pool(void **unused)
{
    (void)unused;
    for (int i = 0; i < GUARDED_CHANNELS; i++) {
        const struct shape in = {31, 17, guarded_channels[i]}, small = {5, 1, guarded_channels[i]};
        compare_all_types(run_adaptive_pool, 2, (struct shape[]){in, {1, 1, guarded_channels[i]}});
        compare_all_types(run_adaptive_pool, 2, (struct shape[]){in, {13, 13, guarded_channels[i]}});
        compare_all_types(run_adaptive_pool, 2, (struct shape[]){small, {13, 13, guarded_channels[i]}});
    }
}

static void run_attention(const sbv_map m[])
{
    sbv_attention_args a = {.in = m[0], .branch = m[1], .out = m[2], .gain = numbers(m[2].c)};
    RUN(attention, &a, m[2].h);
}

static void test_attention(void **unused)
{
    (void)unused;
    for (int i = 0; i < GUARDED_CHANNELS; i++) {
        const struct shape shape = {7, 5, guarded_channels[i]};
        compare_all_types(run_attention, 3, (struct shape[]){shape, shape, shape});
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding),  cmocka_unit_test(test_deconv), cmocka_unit_test(test_cost_volume),
        cmocka_unit_test(test_warp),      cmocka_unit_test(test_copy),   cmocka_unit_test(test_adaptive_pool),
        cmocka_unit_test(test_attention),
    };
    int failed = 0;
    for (int isa = -1; (isa = next_isa(&ops, isa, SBV_ISA_AMX)) >= 0;) {
        failed += cmocka_run_group_tests_name(sbv_isa_name(isa), tests, NULL, NULL);
    }
    return failed;
}
