/*
 * Convolution by Winograd, for every instruction set, tiles of 2x2, 4x4 and 6x6 and each grid of the larger ones,
 * against the convolution by its definition in double precision: sizes that tiles do not divide, guards round every
 * map, ranges and windows that cut tiles, blocks of tiles and chunks of channels.
 *
 * Limit: 1e-6 of the sum of the magnitudes of what the definition adds up with tiles of 2x2, 2e-6 with 4x4, 8e-6 with
 * 6x6. The most that was found here is 1.3e-7, 6.9e-7 and 4.0e-6. The transforms add and take away on the way, so that
 * the error is 1.6 and 4 times that of the direct convolution with 64 and 128 channels (root mean square, random maps),
 * and with 6x6 four times as large again (simulated). A wrong sign, position or channel is off by 1e-3 and more.
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
#include "kernels/cpu/scratch.h"
#include "kernels/os.h"

static sbv_ops ops;
static int side, shift; /* of the tiles */
static atomic_flag taken = ATOMIC_FLAG_INIT;
static sbv_scratch scratch = {.blocks = 1, .taken = &taken};

enum residual { NONE, APART, IN_PLACE };

struct conv_case {
    int in, out, w, h;
    float slope;
    enum residual residual;
};

/* What the network has, and what lies at the edges of vectors, panels of outputs, chunks of 128 channels, or 256 that
 * are all, and blocks of 48 tiles. All have channels enough for every instruction set to prefer this way. */
static const struct conv_case cases[] = {
    {32, 32, 7, 5, SBV_RELU, NONE},     {64, 64, 12, 9, SBV_LINEAR, IN_PLACE}, {33, 35, 13, 8, SBV_LEAKY, APART},
    {40, 81, 5, 11, SBV_LEAKY, NONE},   {128, 128, 9, 4, SBV_RELU, NONE},      {130, 33, 6, 7, SBV_LINEAR, IN_PLACE},
    {300, 49, 4, 5, SBV_LEAKY, APART},  {640, 128, 5, 3, SBV_LINEAR, NONE},    {32, 47, 1, 1, SBV_LEAKY, NONE},
    {47, 32, 1, 6, SBV_RELU, IN_PLACE}, {32, 32, 8, 1, SBV_LINEAR, APART},     {35, 34, 2, 2, SBV_LEAKY, NONE},
    {32, 40, 41, 17, SBV_RELU, APART},  {129, 64, 30, 11, SBV_LEAKY, NONE},    {260, 1024, 3, 5, SBV_LINEAR, NONE},
    {1024, 32, 3, 2, SBV_LINEAR, NONE}, {300, 192, 3, 5, SBV_LINEAR, NONE},    {16, 16, 9, 10, SBV_RELU, NONE},
    {213, 16, 13, 7, SBV_LEAKY, NONE},  {50, 13, 14, 6, SBV_LINEAR, APART},    {32, 48, 19, 8, SBV_LINEAR, NONE},
    {160, 32, 15, 9, SBV_LINEAR, NONE}, {256, 40, 7, 8, SBV_RELU, APART},      {257, 16, 8, 6, SBV_LEAKY, NONE},
};
#define CASES ((int)(sizeof(cases) / sizeof(cases[0])))

/* A convolution with all that it needs. `before`: what the output holds when it starts, the residual in place. */
struct conv {
    sbv_conv_args a;
    guarded in, out, add, before;
    float *raw, *bias, *zeros, *weights;
};

static void *allocate(size_t bytes)
{
    void *memory = calloc(1, bytes);
    assert_non_null(memory);
    return memory;
}

static struct conv make(const struct conv_case *c)
{
    const size_t count = (size_t)(c->out * c->in * 9), bytes = ops.winograd_bytes(c->out, c->in, side);
    struct conv v = {
        .in = guarded_map(SBV_MAP_F32, c->w, c->h, c->in, 1),
        .out = guarded_map(SBV_MAP_F32, c->w, c->h, c->out, 0),
        .add = guarded_map(SBV_MAP_F32, c->w, c->h, c->out, 1),
        .before = guarded_map(SBV_MAP_F32, c->w, c->h, c->out, 0),
        .raw = allocate(count * sizeof(float)),
        .bias = allocate((size_t)(c->out + ops.conv_group) * sizeof(float)),
        .zeros = allocate((size_t)c->in * sizeof(float)),
        .weights = allocate(bytes),
    };
    assert_true(bytes > 0);
    for (size_t i = 0; i < count; i++)
        v.raw[i] = uniform();
    for (int o = 0; o < c->out; o++)
        v.bias[o] = uniform();
    ops.pack_winograd(v.raw, c->out, c->in, side, v.weights);
    v.a = (sbv_conv_args){.in = v.in.map,
                          .out = v.out.map,
                          .weights = v.weights,
                          .bias = v.bias,
                          .zeros = v.zeros,
                          .scratch = &scratch,
                          .ksize = 3,
                          .stride = 1,
                          .dilation = 1,
                          .padding = 1,
                          .winograd = side,
                          .shift = shift,
                          .slope = c->slope,
                          .x1 = c->w};
    if (c->residual != NONE)
        v.a.residual = c->residual == APART ? v.add.map : v.out.map;
    return v;
}

static void free_conv(struct conv *v)
{
    void *const memory[] = {v->in.memory, v->out.memory, v->add.memory, v->before.memory,
                            v->raw,       v->bias,       v->zeros,      v->weights};
    for (size_t i = 0; i < sizeof(memory) / sizeof(memory[0]); i++)
        free(memory[i]);
}

/* The output as a call finds it: the pattern, but for the residual where that is in place. The scratch memory is full
 * of NaN: what a call reads there it has written. */
static void prepare(struct conv *v)
{
    const sbv_map out = v->out.map;
    memset(scratch.memory, 0xff, scratch.size);
    guarded_reset(&v->out);
    for (int y = 0; y < out.h && v->a.residual.data == out.data; y++)
        for (int x = 0; x < out.w; x++)
            memcpy(sbv_at(&out, x, y), sbv_at(&v->add.map, x, y), (size_t)out.c * sizeof(float));
    memcpy(v->before.memory, v->out.memory, v->out.count * sizeof(float));
}

static double definition(const struct conv *v, int x, int y, int o, double *magnitude)
{
    const sbv_map *in = &v->in.map;
    double sum = v->bias[o];
    *magnitude = fabs(sum);
    for (int t = 0; t < 9; t++) {
        const int ix = x + t % 3 - 1, iy = y + t / 3 - 1;
        for (int i = 0; i < in->c && ix >= 0 && iy >= 0 && ix < in->w && iy < in->h; i++) {
            const double term = (double)v->raw[((ptrdiff_t)o * in->c + i) * 9 + t] * sbv_at(in, ix, iy)[i];
            sum += term;
            *magnitude += fabs(term);
        }
    }
    sum = sum > 0 ? sum : v->a.slope * sum;
    return v->a.residual.data ? sum + sbv_at(&v->add.map, x, y)[o] : sum;
}

/* Inside the window the definition, outside what was there. */
static void check_window(const struct conv *v, int x0, int x1, int y0, int y1)
{
    const double limit = side == 2 ? 1e-6 : side == 4 ? 2e-6 : 8e-6;
    const sbv_map out = v->out.map;
    for (int y = 0; y < out.h; y++)
        for (int x = 0; x < out.w; x++)
            for (int o = 0; o < out.c; o++) {
                const float found = sbv_at(&out, x, y)[o];
                double magnitude, expected;
                if (x < x0 || x >= x1 || y < y0 || y >= y1) {
                    assert_memory_equal(&found, sbv_at(&v->before.map, x, y) + o, sizeof(found));
                    continue;
                }
                expected = definition(v, x, y, o, &magnitude);
                if (!(fabs(found - expected) <= limit * (magnitude + 1e-3)))
                    fail_msg("%d>%d channels, %dx%d: found %.9g, expected %.9g at %d,%d,%d: off by %.3g of %.3g",
                             v->in.map.c, out.c, out.w, out.h, (double)found, expected, x, y, o, fabs(found - expected),
                             magnitude);
            }
    guarded_check(&v->out, 0, out.w, 0, out.h);
}

/* Tiles of 4x4 have 36 sums for an output, those of 6x6 64: of 1024 outputs that is more than the scratch memory, of
 * 192 with 6x6 where twelve tiles are computed at once. 0 bytes say so. */
static int has_room(const struct conv_case *c)
{
    const int room = ops.winograd_bytes(c->out, c->in, side) > 0;
    if (side < 6 || c->out != 192)
        assert_int_equal(room, side == 2 || c->out < 1024);
    return room;
}

/* The whole map, and windows that begin and end in the middle of tiles. */
static void test_definition(void **unused)
{
    (void)unused;
    for (int i = 0; i < CASES; i++) {
        if (!has_room(&cases[i]))
            continue;
        struct conv v = make(&cases[i]);
        const int w = cases[i].w, h = cases[i].h;
        for (int part = 0; part < 3; part++) {
            const int stop = h - (part == 2 && h > 2);
            v.a.x0 = part && w > 1;
            v.a.y0 = part && h > 1;
            v.a.x1 = w - (part == 2 && w > 2);
            prepare(&v);
            RUN(conv, &v.a, stop - v.a.y0);
            check_window(&v, v.a.x0, v.a.x1, v.a.y0, stop);
        }
        free_conv(&v);
    }
}

/* In one go, row by row, in uneven columns, and as a part of the map that begins where tiles may, whose rows and
 * columns along the cut see zeros beyond it. */
static void test_same_bits(void **unused)
{
    const int reach = side == 2 ? 1 : side - shift, left = side == 6 ? 12 : 8, top = left / 2;
    static const struct conv_case some[] = {
        {64, 64, 83, 13, SBV_RELU, NONE}, {33, 40, 75, 9, SBV_LEAKY, APART}, {300, 64, 31, 10, SBV_LINEAR, IN_PLACE}};
    (void)unused;
    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
        struct conv v = make(&some[i]);
        const size_t bytes = v.out.count * sizeof(float);
        const sbv_map in = v.in.map, out = v.out.map;
        float *whole = allocate(bytes);
        prepare(&v);
        ops.conv(&v.a, 0, out.h);
        memcpy(whole, v.out.memory, bytes);
        prepare(&v);
        for (int y = out.h - 1; y >= 0; y--)
            ops.conv(&v.a, y, y + 1);
        assert_memory_equal(v.out.memory, whole, bytes);
        prepare(&v);
        for (v.a.x0 = 0; v.a.x0 < out.w; v.a.x0 = v.a.x1) {
            v.a.x1 = v.a.x0 + 7 < out.w ? v.a.x0 + 7 : out.w;
            RUN(conv, &v.a, out.h);
        }
        assert_memory_equal(v.out.memory, whole, bytes);
        prepare(&v);
        v.a.x0 = v.a.y0 = 1;
        v.a.x1 = out.w - left - 1;
        v.a.in.w = v.a.out.w = out.w - left;
        v.a.in.h = v.a.out.h = out.h - top;
        v.a.in.data = sbv_at(&in, left, top);
        v.a.out.data = sbv_at(&out, left, top);
        if (v.a.residual.data)
            v.a.residual.data = sbv_at(&v.a.residual, left, top);
        ops.conv(&v.a, 0, out.h - top - 1);
        for (int y = top + reach; y < out.h; y++)
            for (int x = left + reach; x < out.w - 1; x++)
                assert_memory_equal(sbv_at(&out, x, y), whole + (sbv_at(&out, x, y) - (float *)v.out.memory),
                                    (size_t)out.c * sizeof(float));
        free(whole);
        free_conv(&v);
    }
}

/* Whether the tile that an output pixel lies in reads an input pixel, along one axis. */
static int reads(int output, int input)
{
    const int begin = (output + shift) / side * side - shift;
    return side == 2 ? abs(output - input) <= 1 : input >= begin - 1 && input <= begin + side;
}

/* A pixel that is no number spoils the 3x3 pixels round it. With tiles of 2x2 it changes no bit of any other, though
 * they are made of 4x4; with larger ones of none outside of the tiles that read it. That is what halos rest on. */
static void test_reach(void **unused)
{
    static const struct conv_case one = {32, 32, 11, 9, SBV_LINEAR, NONE};
    struct conv v = make(&one);
    const sbv_map in = v.in.map, out = v.out.map;
    const size_t pixel = (size_t)out.c * sizeof(float);
    (void)unused;
    prepare(&v);
    ops.conv(&v.a, 0, out.h);
    memcpy(v.before.memory, v.out.memory, v.out.count * sizeof(float));
    for (int at = 0; at < in.w * in.h; at++) {
        const int x0 = at % in.w, y0 = at / in.w;
        float *spoilt = sbv_at(&in, x0, y0) + at % in.c;
        const float value = *spoilt;
        *spoilt = NAN;
        ops.conv(&v.a, 0, out.h);
        for (int y = 0; y < out.h; y++)
            for (int x = 0; x < out.w; x++)
                if (abs(x - x0) <= 1 && abs(y - y0) <= 1)
                    assert_true(isnan(sbv_at(&out, x, y)[0]));
                else if (!reads(x, x0) || !reads(y, y0))
                    assert_memory_equal(sbv_at(&out, x, y), sbv_at(&v.before.map, x, y), pixel);
        *spoilt = value;
    }
    free_conv(&v);
}

/* Zeros come out as the bias, exactly. */
static void test_zeros(void **unused)
{
    static const struct conv_case one = {64, 64, 7, 6, SBV_LINEAR, NONE};
    struct conv v = make(&one);
    (void)unused;
    for (int y = 0; y < one.h; y++)
        for (int x = 0; x < one.w; x++)
            memset(sbv_at(&v.in.map, x, y), 0, (size_t)one.in * sizeof(float));
    prepare(&v);
    ops.conv(&v.a, 0, one.h);
    for (int y = 0; y < one.h; y++)
        for (int x = 0; x < one.w; x++)
            for (int o = 0; o < one.out; o++)
                assert_true(sbv_at(&v.out.map, x, y)[o] == v.bias[o]);
    free_conv(&v);
}

/* Few channels are left to the direct convolution: 0 bytes say so. 16 are enough for every instruction set. */
static void test_few_channels(void **unused)
{
    (void)unused;
    assert_int_equal(ops.winograd_bytes(3, 64, side), 0);
    assert_int_equal(ops.winograd_bytes(64, 3, side), 0);
    assert_true(ops.winograd_bytes(16, 16, side) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definition), cmocka_unit_test(test_same_bits),    cmocka_unit_test(test_reach),
        cmocka_unit_test(test_zeros),      cmocka_unit_test(test_few_channels),
    };
    int failed = 0, run = 0;
    for (int isa = SBV_ISA_C; (isa = next_isa(&ops, isa, SBV_ISA_AMX)) >= 0;) {
        scratch.size = ops.conv_scratch;
        scratch.memory = sbv_os_allocate(64, scratch.size);
        for (int way = 0; way < 5; way++) {
            char name[32];
            side = 2 + (way + 1) / 2 * 2;
            shift = way % 2 ? 0 : way ? side / 2 : 0;
            snprintf(name, sizeof(name), "%s, tiles of %d, less %d", sbv_isa_name(isa), side, shift);
            failed += cmocka_run_group_tests_name(name, tests, NULL, NULL);
        }
        sbv_os_free(scratch.memory);
        run++;
    }
    if (!run)
        printf("no vectorised operations for this processor\n");
    return run ? failed : 77;
}
