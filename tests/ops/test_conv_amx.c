/*
 * Convolution by AMX against the plain C one on maps of floats: inputs and weights are values that bfloat16 holds,
 * unless they are split, so that both compute the same products. Odd sizes, guards round every map, every combination
 * of types.
 *
 * Limit: sums of floats in another order may be off by 1e-5 of the sum of the magnitudes that were added, as in
 * test_ops.c. An output of bfloat16 is rounded to 2^-8 of itself besides. An input taken as two bfloat16 has 16 bits:
 * each product is off by 2^-16 of itself. Where the weights are two as well, they add as much, and as much again the
 * product of the lower halves, which is left out. Any other product left out would be as much as 2^-8 of the whole one;
 * of a thousand such errors the root of the sum of squares still exceeds the limit.
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
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/scratch.h"

#define SUM_LIMIT      1e-5
#define ROUNDING_LIMIT (1.0 / 256)
#define SPLIT_LIMIT    (1.0 / 65536)

static const double split_limits[] = {
    [SBV_SPLIT_NONE] = 0, [SBV_SPLIT_INPUT] = SPLIT_LIMIT, [SBV_SPLIT_BOTH] = 3 * SPLIT_LIMIT};

static sbv_ops ops;
static atomic_flag taken = ATOMIC_FLAG_INIT;
static sbv_scratch scratch = {.blocks = 1, .taken = &taken};

struct conv_case {
    int in, out, ksize, stride, dilation, w, h;
    float slope;
};

/* A convolution in both forms; `magnitude` is what the magnitudes of bias and products sum up to. */
struct pair {
    sbv_conv_args amx, plain;
    guarded in, out, residual, plain_in, plain_out, magnitude;
    float *raw, *bias, *zeros, *groups, *bias_magnitude;
    void *tiles;
};

static float rounded(float value)
{
    return sbv_from_bf16(sbv_to_bf16(value));
}

static void *allocate(size_t bytes)
{
    void *memory = calloc(1, bytes + 64);
    assert_non_null(memory);
    return memory;
}

/* Weights for the plain one, in the groups of kernels/ops.h; of their magnitudes where `absolute`. */
static void pack_groups(const struct conv_case *c, const float *raw, float *packed, int absolute)
{
    const int taps = c->ksize * c->ksize;
    for (int i = 0; i < c->out * c->in * taps; i++) {
        const int o = i / taps / c->in, row = (o / SBV_CONV_GROUP * taps + i % taps) * c->in + i / taps % c->in;
        packed[row * SBV_CONV_GROUP + o % SBV_CONV_GROUP] = absolute ? fabsf(raw[i]) : raw[i];
    }
}

static void make_maps(struct pair *p, const struct conv_case *c, enum sbv_type in, enum sbv_type out,
                      enum sbv_split split)
{
    const int w = (c->w - 1) / c->stride + 1, h = (c->h - 1) / c->stride + 1; /* with this padding */
    p->in = guarded_map(in, c->w, c->h, c->in, 1);
    p->plain_in = guarded_map(SBV_MAP_F32, c->w, c->h, c->in, 1);
    p->out = guarded_map(out, w, h, c->out, 0);
    p->residual = guarded_map(SBV_MAP_F32, w, h, c->out, 1);
    p->plain_out = guarded_map(SBV_MAP_F32, w, h, c->out, 0);
    p->magnitude = guarded_map(SBV_MAP_F32, w, h, c->out, 0);
    for (int i = 0; i < c->w * c->h * c->in; i++) {
        void *pixel = sbv_pixel(&p->in.map, i / c->in % c->w, i / c->in / c->w);
        const float value = sbv_load(pixel, in, i % c->in);
        if (!split) /* every other value fits and is not changed on the way */
            sbv_store(pixel, in, i % c->in, rounded(value));
        sbv_at(&p->plain_in.map, i / c->in % c->w, i / c->in / c->w)[i % c->in] = split ? value : rounded(value);
    }
}

static struct pair make_pair(const struct conv_case *c, enum sbv_type in, enum sbv_type out, enum sbv_split split)
{
    const int weights = c->out * c->in * c->ksize * c->ksize, groups = (c->out + SBV_CONV_GROUP - 1) / SBV_CONV_GROUP;
    struct pair p = {
        .raw = allocate(sizeof(float) * (size_t)weights),
        .bias = allocate(sizeof(float) * (size_t)(c->out + 16)),
        .bias_magnitude = allocate(sizeof(float) * (size_t)(c->out + 16)),
        .zeros = allocate(sizeof(float) * (size_t)c->in),
        .groups = allocate(sizeof(float) * (size_t)(groups * SBV_CONV_GROUP * c->in * c->ksize * c->ksize)),
        .tiles = allocate(ops.conv_bytes(c->out, c->in, c->ksize, split)),
    };
    make_maps(&p, c, in, out, split);
    for (int i = 0; i < weights; i++)
        p.raw[i] = split == SBV_SPLIT_BOTH ? uniform() : rounded(uniform());
    for (int i = 0; i < c->out; i++)
        p.bias_magnitude[i] = fabsf(p.bias[i] = uniform());
    ops.pack_conv(p.raw, c->out, c->in, c->ksize, split, p.tiles);
    p.plain = (sbv_conv_args){
        .in = p.plain_in.map,
        .out = p.plain_out.map,
        .weights = p.groups,
        .bias = p.bias,
        .zeros = p.zeros,
        .ksize = c->ksize,
        .stride = c->stride,
        .dilation = c->dilation,
        .padding = c->dilation * (c->ksize / 2),
        .slope = c->slope,
        .x1 = p.out.map.w,
    };
    p.amx = p.plain;
    p.amx.in = p.in.map;
    p.amx.out = p.out.map;
    p.amx.weights = p.tiles;
    p.amx.scratch = &scratch;
    p.amx.split = split;
    return p;
}

static void free_pair(struct pair *p)
{
    void *const memory[] = {
        p->raw,       p->bias,       p->zeros,           p->groups,          p->bias_magnitude,   p->tiles,
        p->in.memory, p->out.memory, p->residual.memory, p->plain_in.memory, p->plain_out.memory, p->magnitude.memory};
    for (size_t i = 0; i < sizeof(memory) / sizeof(memory[0]); i++)
        free(memory[i]);
}

/* The plain result and its magnitudes, for all of the image. */
static void run_plain(struct pair *p, const struct conv_case *c)
{
    sbv_conv_args a = p->plain;
    pack_groups(c, p->raw, p->groups, 0);
    sbv_conv_c(&a, 0, p->out.map.h);
    for (int i = 0; i < c->w * c->h * c->in; i++) {
        float *value = sbv_at(&p->plain_in.map, i / c->in % c->w, i / c->in / c->w) + i % c->in;
        *value = fabsf(*value);
    }
    pack_groups(c, p->raw, p->groups, 1);
    a.out = p->magnitude.map;
    a.bias = p->bias_magnitude;
    a.slope = SBV_LINEAR;
    a.residual.data = NULL;
    sbv_conv_c(&a, 0, p->out.map.h);
}

static void compare(const struct pair *p, int x0, int y0)
{
    const sbv_map *out = &p->out.map;
    for (int y = y0; y < out->h; y++)
        for (int x = x0; x < out->w; x++)
            for (int o = 0; o < out->c; o++) {
                const double found = sbv_load(sbv_pixel(out, x, y), out->type, o);
                const double expected = sbv_at(&p->plain_out.map, x, y)[o];
                const double sum = SUM_LIMIT + split_limits[p->amx.split];
                const double limit = sum * ((double)sbv_at(&p->magnitude.map, x, y)[o] + 1e-3) +
                                     (out->type == SBV_MAP_BF16 ? ROUNDING_LIMIT * fabs(expected) : 0);
                if (!(fabs(found - expected) <= limit))
                    fail_msg("%d channels, %dx%d outputs of %d, kernel %d: found %.9g, expected %.9g at %d,%d,%d",
                             p->in.map.c, out->w, out->h, out->c, p->amx.ksize, found, expected, x, y, o);
            }
}

static void run_case(const struct conv_case *c, enum sbv_type in, enum sbv_type out, enum sbv_split split, int residual)
{
    struct pair p = make_pair(c, in, out, split);
    const int w = p.out.map.w, h = p.out.map.h;
    if (residual)
        p.amx.residual = p.plain.residual = p.residual.map;
    run_plain(&p, c);
    /* The part that leaves out the first column and row, where there is more than one: what a border strip is. */
    for (int part = 0; part < 2; part++) {
        p.amx.x0 = part && w > 1;
        p.amx.y0 = part && h > 1;
        guarded_reset(&p.out);
        RUN(conv, &p.amx, h - p.amx.y0);
        guarded_check(&p.out, p.amx.x0, w, p.amx.y0, h);
        compare(&p, p.amx.x0, p.amx.y0);
    }
    free_pair(&p);
}

/* What the network has, and what is at the edges of tiles of 16, steps of 32 and chunks of 128. */
static const struct conv_case cases[] = {
    {3, 128, 3, 1, 1, 21, 7, SBV_LINEAR},  {128, 128, 3, 1, 1, 37, 5, SBV_RELU},  {640, 128, 3, 1, 1, 9, 4, SBV_LINEAR},
    {3, 16, 3, 2, 1, 35, 9, SBV_LEAKY},    {16, 16, 3, 1, 1, 33, 6, SBV_LEAKY},   {17, 16, 3, 1, 1, 16, 3, SBV_LEAKY},
    {81, 33, 3, 1, 1, 17, 6, SBV_LEAKY},   {129, 2, 3, 1, 1, 4, 3, SBV_LINEAR},   {565, 2, 3, 1, 1, 19, 5, SBV_LINEAR},
    {10, 12, 3, 1, 16, 39, 38, SBV_LEAKY}, {40, 8, 3, 1, 3, 20, 11, SBV_LEAKY},   {128, 96, 3, 1, 8, 50, 20, SBV_LEAKY},
    {8, 6, 3, 1, 2, 1, 5, SBV_LEAKY},      {128, 48, 5, 1, 1, 40, 7, SBV_LINEAR}, {128, 48, 7, 1, 1, 40, 9, SBV_LINEAR},
    {4, 12, 5, 1, 1, 1, 1, SBV_LINEAR},    {128, 48, 7, 1, 1, 40, 9, SBV_LINEAR}, {4, 12, 7, 1, 1, 2, 3, SBV_LINEAR},
    {5, 3, 1, 1, 1, 3, 3, SBV_RELU},       {1, 1, 3, 1, 1, 2, 1, SBV_LINEAR},     {64, 32, 3, 2, 1, 1, 2, SBV_LEAKY},
    {1024, 16, 3, 1, 1, 2, 2, SBV_LINEAR}, {31, 1024, 1, 1, 1, 18, 2, SBV_RELU},  {32, 17, 3, 1, 1, 48, 2, SBV_RELU},
    {565, 128, 3, 1, 1, 20, 6, SBV_LEAKY}, {11, 9, 3, 2, 1, 34, 8, SBV_LEAKY},    {96, 64, 3, 1, 16, 35, 33, SBV_LEAKY},
};

static void for_all_cases(enum sbv_type in, enum sbv_type out, enum sbv_split split)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        run_case(&cases[i], in, out, split, i % 2 == (in == out));
}

static void test_bf16_to_bf16(void **unused)
{
    (void)unused;
    for_all_cases(SBV_MAP_BF16, SBV_MAP_BF16, SBV_SPLIT_NONE);
}

static void test_bf16_to_f32(void **unused)
{
    (void)unused;
    for_all_cases(SBV_MAP_BF16, SBV_MAP_F32, SBV_SPLIT_NONE);
}

static void test_f32(void **unused)
{
    (void)unused;
    for_all_cases(SBV_MAP_F32, SBV_MAP_BF16, SBV_SPLIT_NONE);
    for_all_cases(SBV_MAP_F32, SBV_MAP_F32, SBV_SPLIT_NONE);
}

static void test_split_input(void **unused)
{
    (void)unused;
    for_all_cases(SBV_MAP_F32, SBV_MAP_F32, SBV_SPLIT_INPUT);
}

static void test_split_both(void **unused)
{
    (void)unused;
    for_all_cases(SBV_MAP_F32, SBV_MAP_F32, SBV_SPLIT_BOTH);
    for_all_cases(SBV_MAP_F32, SBV_MAP_BF16, SBV_SPLIT_BOTH);
}

/* Strips of several widths, and of one chunk at a time. */
static void test_wide(void **unused)
{
    static const struct conv_case wide[] = {
        {128, 16, 3, 1, 1, 2000, 4, SBV_RELU},
        {640, 33, 3, 1, 1, 500, 3, SBV_LINEAR},
        {256, 16, 3, 2, 1, 1500, 3, SBV_LEAKY},
        {6000, 8, 3, 1, 1, 67, 3, SBV_LEAKY},
    };
    (void)unused;
    for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++) {
        run_case(&wide[i], SBV_MAP_BF16, SBV_MAP_F32, SBV_SPLIT_NONE, 0);
        run_case(&wide[i], SBV_MAP_F32, SBV_MAP_F32, SBV_SPLIT_BOTH, 0);
    }
}

/* An image in one go, row by row, and in uneven columns. */
static void check_same_bits(const struct conv_case *c, enum sbv_type in, enum sbv_split split)
{
    struct pair p = make_pair(c, in, SBV_MAP_F32, split);
    const size_t bytes = p.out.count * sizeof(float);
    void *whole = allocate(bytes);
    ops.conv(&p.amx, 0, p.out.map.h);
    memcpy(whole, p.out.memory, bytes);
    guarded_reset(&p.out);
    RUN(conv, &p.amx, p.out.map.h);
    assert_memory_equal(p.out.memory, whole, bytes);
    guarded_reset(&p.out);
    for (p.amx.x0 = 0; p.amx.x0 < p.out.map.w; p.amx.x0 = p.amx.x1) {
        p.amx.x1 = p.amx.x0 + 13 < p.out.map.w ? p.amx.x0 + 13 : p.out.map.w;
        ops.conv(&p.amx, 0, p.out.map.h);
    }
    assert_memory_equal(p.out.memory, whole, bytes);
    free(whole);
    free_pair(&p);
}

static void test_same_bits(void **unused)
{
    static const struct conv_case some[] = {
        {128, 48, 3, 1, 1, 100, 7, SBV_LEAKY}, {300, 40, 3, 1, 1, 90, 5, SBV_LEAKY},
        {12, 20, 5, 1, 1, 75, 9, SBV_LINEAR},  {24, 48, 7, 1, 1, 75, 9, SBV_LINEAR},
        {6000, 8, 3, 1, 1, 70, 3, SBV_LEAKY},
    };
    (void)unused;
    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
        check_same_bits(&some[i], SBV_MAP_BF16, SBV_SPLIT_NONE);
        check_same_bits(&some[i], SBV_MAP_F32, SBV_SPLIT_INPUT);
        check_same_bits(&some[i], SBV_MAP_F32, SBV_SPLIT_BOTH);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bf16_to_bf16), cmocka_unit_test(test_bf16_to_f32), cmocka_unit_test(test_f32),
        cmocka_unit_test(test_split_input),  cmocka_unit_test(test_split_both),  cmocka_unit_test(test_wide),
        cmocka_unit_test(test_same_bits),
    };
    if (sbv_amx_missing()) {
        printf("no AMX: %s\n", sbv_amx_missing());
        return 77;
    }
    sbv_ops_init(&ops);
    sbv_ops_init_isa(&ops, SBV_ISA_AMX);
    scratch.size = ops.conv_scratch;
    scratch.memory = aligned_alloc(64, scratch.size);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(scratch.memory);
    return failed;
}
