/*
 * Every operation, as plain C and for every instruction set, against its definition, written here once more in double
 * precision and without any blocking: odd sizes, guard bands round every map, jobs cut into uneven ranges.
 *
 * Limit: the float result may be off by 1e-5 of the sum of the magnitudes that were added, about 100 roundings.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guarded.h"
#include "instruction_sets.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/denormals.h"

#define LIMIT 1e-5

static sbv_ops ops;

static float *at(sbv_map m, int x, int y, int c)
{
    return sbv_at(&m, x, y) + c;
}

static int inside(sbv_map m, int x, int y)
{
    return x >= 0 && y >= 0 && x < m.w && y < m.h;
}

static void check(float found, double expected, double magnitude)
{
    if (!(fabs(found - expected) <= LIMIT * (magnitude + 1e-3)))
        fail_msg("found %.9g, expected %.9g", (double)found, expected);
}

struct conv_case {
    int in, out, ksize, stride, dilation, w, h;
    float slope;
    int residual;
};

static double conv_at(const sbv_conv_args *a, const float *raw, int x, int y, int o, double *magnitude)
{
    double sum = a->bias[o];
    *magnitude = fabs(sum);
    for (int ky = 0; ky < a->ksize; ky++)
        for (int kx = 0; kx < a->ksize; kx++) {
            int ix = x * a->stride - a->padding + kx * a->dilation, iy = y * a->stride - a->padding + ky * a->dilation;
            for (int i = 0; i < a->in.c && inside(a->in, ix, iy); i++) {
                double term = (double)raw[((o * a->in.c + i) * a->ksize + ky) * a->ksize + kx] * *at(a->in, ix, iy, i);
                sum += term;
                *magnitude += fabs(term);
            }
        }
    sum = sum > 0 ? sum : a->slope * sum;
    return a->residual.data ? sum + *at(a->residual, x, y, o) : sum;
}

/* Packs as kernels/ops.h describes, independently of the library. */
static float *pack(const float *raw, int out, int in, int ksize)
{
    int group = ops.conv_group, groups = (out + group - 1) / group, taps = ksize * ksize;
    float *packed = calloc((size_t)(groups * group * in * taps), sizeof(float));
    for (int o = 0; o < out; o++)
        for (int i = 0; i < in; i++)
            for (int t = 0; t < taps; t++)
                packed[((o / group * taps + t) * in + i) * group + o % group] = raw[(o * in + i) * taps + t];
    return packed;
}

static void run_conv_case(const struct conv_case *c)
{
    const int padding = c->dilation * (c->ksize / 2), weights = c->out * c->in * c->ksize * c->ksize;
    const int w = (c->w + 2 * padding - c->dilation * (c->ksize - 1) - 1) / c->stride + 1;
    const int h = (c->h + 2 * padding - c->dilation * (c->ksize - 1) - 1) / c->stride + 1;
    guarded in = guarded_map(SBV_MAP_F32, c->w, c->h, c->in, 1), out = guarded_map(SBV_MAP_F32, w, h, c->out, 0),
            add = guarded_map(SBV_MAP_F32, w, h, c->out, 1);
    float *raw = malloc((size_t)weights * sizeof(float)), *zeros = calloc((size_t)c->in, sizeof(float));
    float *bias = calloc((size_t)(c->out + ops.conv_group), sizeof(float));
    for (int i = 0; i < weights; i++)
        raw[i] = uniform();
    for (int i = 0; i < c->out; i++)
        bias[i] = uniform();
    float *packed = pack(raw, c->out, c->in, c->ksize);
    sbv_conv_args a = {.in = in.map,
                       .out = out.map,
                       .weights = packed,
                       .bias = bias,
                       .zeros = zeros,
                       .ksize = c->ksize,
                       .stride = c->stride,
                       .dilation = c->dilation,
                       .padding = padding,
                       .slope = c->slope,
                       .x1 = w};
    if (c->residual)
        a.residual = add.map;
    /* The part that leaves out the first column and row, where there is more than one: what a border strip is. */
    for (int part = 0; part < 2; part++) {
        a.x0 = part && w > 1;
        a.y0 = part && h > 1;
        guarded_reset(&out);
        RUN(conv, &a, h - a.y0);
        guarded_check(&out, a.x0, w, a.y0, h);
        for (int y = a.y0; y < h; y++)
            for (int x = a.x0; x < w; x++)
                for (int o = 0; o < c->out; o++) {
                    double magnitude, expected = conv_at(&a, raw, x, y, o, &magnitude);
                    check(*at(out.map, x, y, o), expected, magnitude);
                }
    }
    free(in.memory);
    free(out.memory);
    free(add.memory);
    free(raw);
    free(packed);
    free(zeros);
    free(bias);
}

static void test_conv(void **unused)
{
    static const struct conv_case cases[] = {
        {3, 16, 3, 2, 1, 13, 9, SBV_LEAKY, 0},
        {16, 16, 3, 1, 1, 7, 5, SBV_RELU, 0},
        {16, 16, 3, 1, 1, 12, 3, SBV_LINEAR, 1},
        {128, 128, 3, 1, 1, 5, 3, SBV_LINEAR, 1},
        {81, 33, 3, 1, 1, 6, 6, SBV_LEAKY, 0},
        {129, 2, 3, 1, 1, 4, 3, SBV_LINEAR, 1},
        {10, 12, 3, 1, 16, 19, 18, SBV_LEAKY, 0},
        {8, 6, 3, 1, 2, 1, 5, SBV_LEAKY, 0},
        {8, 48, 5, 1, 1, 9, 4, SBV_LINEAR, 0},
        {8, 48, 7, 1, 1, 9, 5, SBV_LINEAR, 0},
        {4, 12, 5, 1, 1, 1, 1, SBV_LINEAR, 0},
        {5, 3, 1, 1, 1, 3, 3, SBV_RELU, 0},
        {1, 1, 3, 1, 1, 2, 1, SBV_LINEAR, 0},
        {640, 8, 3, 1, 1, 3, 2, SBV_LINEAR, 0},
        {6, 7, 3, 2, 1, 1, 2, SBV_LEAKY, 0},
        /* few outputs: by vectors of input channels, whole ones, ones that overlap, too many */
        {16, 2, 3, 1, 1, 9, 4, SBV_LINEAR, 1},
        {17, 1, 3, 1, 2, 5, 6, SBV_RELU, 0},
        {31, 2, 3, 2, 1, 7, 5, SBV_LEAKY, 0},
        {229, 2, 3, 1, 1, 6, 3, SBV_LINEAR, 0},
        {640, 2, 3, 1, 1, 3, 2, SBV_LINEAR, 0},
        {641, 2, 3, 1, 1, 3, 2, SBV_LINEAR, 0},
        {48, 3, 3, 1, 1, 5, 3, SBV_LINEAR, 0},
        {24, 2, 1, 1, 1, 5, 3, SBV_LINEAR, 0},
    };
    (void)unused;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        run_conv_case(&cases[i]);
}

/* By scattering each input, as the operation is defined. */
static void test_deconv(void **unused)
{
    static const int sizes[][3] = {{1, 1, 2}, {3, 1, 1}, {1, 4, 2}, {5, 3, 3}};
    (void)unused;
    for (int n = 0; n < 4 * GUARDED_CHANNELS; n++) {
        const int w = sizes[n % 4][0], h = sizes[n % 4][1], co = sizes[n % 4][2], ci = guarded_channels[n / 4];
        guarded in = guarded_map(SBV_MAP_F32, w, h, ci, 1), out = guarded_map(SBV_MAP_F32, 2 * w, 2 * h, co, 0);
        float *weights = malloc(sizeof(float) * (size_t)(16 * ci * co)), bias[3] = {0.5f, -0.25f, 1};
        double *sum = calloc((size_t)(4 * w * h * co), sizeof(double));
        for (int i = 0; i < 16 * ci * co; i++)
            weights[i] = uniform();
        sbv_deconv_args a = {.in = in.map, .out = out.map, .weights = weights, .bias = bias};
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++)
                for (int k = 0; k < 16; k++) {
                    int ox = 2 * x - 1 + k % 4, oy = 2 * y - 1 + k / 4;
                    for (int o = 0; o < co && inside(out.map, ox, oy); o++)
                        for (int i = 0; i < ci; i++)
                            sum[(oy * 2 * w + ox) * co + o] +=
                                (double)*at(in.map, x, y, i) * weights[(k * co + o) * ci + i];
                }
        RUN(deconv, &a, 2 * h);
        guarded_check(&out, 0, 2 * w, 0, 2 * h);
        for (int i = 0; i < 4 * w * h * co; i++)
            check(*at(out.map, i / co % (2 * w), i / co / (2 * w), i % co), sum[i] + bias[i % co], 4 * ci);
        free(in.memory);
        free(out.memory);
        free(weights);
        free(sum);
    }
}

static void test_cost_volume(void **unused)
{
    static const int sizes[][2] = {{1, 1}, {11, 7}, {1, 13}, {24, 1}};
    (void)unused;
    for (int n = 0; n < 4 * GUARDED_CHANNELS; n++) {
        const int w = sizes[n % 4][0], h = sizes[n % 4][1], c = guarded_channels[n / 4];
        guarded first = guarded_map(SBV_MAP_F32, w, h, c, 1), second = guarded_map(SBV_MAP_F32, w, h, c, 1),
                out = guarded_map(SBV_MAP_F32, w, h, SBV_COST_CHANNELS, 0);
        sbv_cost_args a = {first.map, second.map, out.map, SBV_LEAKY};
        RUN(cost_volume, &a, h);
        guarded_check(&out, 0, w, 0, h);
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++)
                for (int k = 0; k < SBV_COST_CHANNELS; k++) {
                    int sx = x + k % 9 - 4, sy = y + k / 9 - 4;
                    double mean = 0;
                    for (int i = 0; i < c && inside(second.map, sx, sy); i++)
                        mean += (double)*at(first.map, x, y, i) * *at(second.map, sx, sy, i) / c;
                    check(*at(out.map, x, y, k), mean > 0 ? mean : 0.1 * mean, 1);
                }
        free(first.memory);
        free(second.memory);
        free(out.memory);
    }
}

/* The definition by four taps, each of them zero where it lies outside. */
static double warp_at(sbv_map in, double x, double y, int c, double *mask)
{
    double sum = 0;
    int x0 = (int)floor(x), y0 = (int)floor(y);
    *mask = 0;
    for (int t = 0; t < 4; t++) {
        int tx = x0 + t % 2, ty = y0 + t / 2;
        double weight = (t % 2 ? x - x0 : 1 - x + x0) * (t / 2 ? y - y0 : 1 - y + y0);
        if (weight > 0 && inside(in, tx, ty)) {
            sum += weight * *at(in, tx, ty, c);
            *mask += weight;
        }
    }
    return sum;
}

static void run_warp(int w, int h, int channels, int clamp, int tile)
{
    guarded in = guarded_map(SBV_MAP_F32, w, h, channels, 1), flow = guarded_map(SBV_MAP_F32, w, h, 2, 1);
    const int x0 = tile ? w / 2 : 0, y0 = tile ? h / 3 : 0;
    guarded out = guarded_map(SBV_MAP_F32, w - x0, h - y0, channels, 0);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int c = 0; c < 2; c++) /* a third of the flow whole numbers, a third straight to an edge */
                *at(flow.map, x, y, c) = (x + y) % 3 == 0   ? roundf(3 * uniform())
                                         : (x + y) % 3 == 1 ? (float)(c ? h - 1 - y : w - 1 - x)
                                                            : 4 * uniform();
    sbv_warp_args a = {.in = in.map, .out = out.map, .flow = flow.map, .x0 = x0, .y0 = y0, .clamp = clamp};
    a.scale = clamp ? 1 : 0.5f;
    RUN(warp, &a, h - y0);
    guarded_check(&out, 0, w - x0, 0, h - y0);
    for (int y = y0; y < h; y++)
        for (int x = x0; x < w; x++)
            for (int c = 0; c < channels; c++) {
                double fx = x + (double)a.scale * *at(flow.map, x, y, 0),
                       fy = y + (double)a.scale * *at(flow.map, x, y, 1);
                double mask, ignored, value = warp_at(in.map, fx, fy, c, &mask);
                if (fabs(mask - 0.999) < 1e-4)
                    continue; /* either is right */
                if (clamp)
                    value = warp_at(in.map, fmin(fmax(fx, 0), w - 1), fmin(fmax(fy, 0), h - 1), c, &ignored);
                check(*at(out.map, x - x0, y - y0, c), mask > 0.999 ? value : 0, 1);
            }
    free(in.memory);
    free(flow.memory);
    free(out.memory);
}

static void test_warp(void **unused)
{
    static const int sizes[][2] = {{1, 1}, {9, 1}, {1, 6}, {17, 11}};
    (void)unused;
    for (size_t n = 0; n < sizeof(sizes) / sizeof(sizes[0]); n++)
        for (int variant = 0; variant < 4 * GUARDED_CHANNELS; variant++)
            run_warp(sizes[n][0], sizes[n][1], guarded_channels[variant / 4], variant % 2, variant / 2 % 2);
}

/* align_corners=True is what makes a flow of whole pixels an exact shift, and no flow the identity, edges included;
 * with False a grid normalised by size - 1 samples up to half a pixel beside it. */
static void test_warp_whole_pixels(void **unused)
{
    guarded in = guarded_map(SBV_MAP_F32, 12, 9, 4, 1), flow = guarded_map(SBV_MAP_F32, 12, 9, 2, 1),
            out = guarded_map(SBV_MAP_F32, 12, 9, 4, 0);
    (void)unused;
    for (int shift = 0; shift < 3; shift++) {
        for (int i = 0; i < 12 * 9 * 2; i++)
            *at(flow.map, i / 2 % 12, i / 24, i % 2) = (float)(i % 2 ? -shift : shift);
        sbv_warp_args a = {.in = in.map, .out = out.map, .flow = flow.map, .scale = 1, .clamp = 1};
        RUN(warp, &a, 9);
        for (int i = 0; i < 12 * 9 * 4; i++) {
            int x = i / 4 % 12, y = i / 48, c = i % 4, from_x = x + shift, from_y = y - shift;
            float expected = inside(in.map, from_x, from_y) ? *at(in.map, from_x, from_y, c) : 0;
            assert_true(*at(out.map, x, y, c) == expected);
        }
    }
    free(in.memory);
    free(flow.memory);
    free(out.memory);
}

/* A flow network gone wrong must not take the process with it. */
static void test_warp_wild_flow(void **unused)
{
    static const float wild[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e9f};
    guarded in = guarded_map(SBV_MAP_F32, 6, 1, 3, 1), flow = guarded_map(SBV_MAP_F32, 6, 1, 2, 1),
            out = guarded_map(SBV_MAP_F32, 6, 1, 3, 0);
    (void)unused;
    for (int x = 0; x < 6; x++)
        *at(flow.map, x, 0, 0) = *at(flow.map, x, 0, 1) = wild[x];
    sbv_warp_args a = {.in = in.map, .out = out.map, .flow = flow.map, .scale = 1};
    for (a.clamp = 0; a.clamp < 2; a.clamp++) {
        RUN(warp, &a, 1);
        for (int i = 0; i < 18; i++)
            assert_true(*at(out.map, i / 3, 0, i % 3) == 0);
    }
    free(in.memory);
    free(flow.memory);
    free(out.memory);
}

static double resize_at(sbv_map in, int full_w, int full_h, int x, int y, int c)
{
    /* align_corners=False: pixel centers at +0.5, edges replicated */
    double px = fmin(fmax((x + 0.5) * in.w / full_w - 0.5, 0), in.w - 1);
    double py = fmin(fmax((y + 0.5) * in.h / full_h - 0.5, 0), in.h - 1), mask;
    return warp_at(in, px, py, c, &mask);
}

/* The same, moved by (move - 1) / 2 pixels: see kernels/ops.h. */
static double moved_at(sbv_map in, int w, int h, int x, int y, int c, int move)
{
    static const double weight[SBV_MOVE_TAPS] = {-5 / 64.0, 37 / 64.0, 37 / 64.0, -5 / 64.0};
    double sum = 0;
    for (int i = 0; i < SBV_MOVE_TAPS * SBV_MOVE_TAPS; i++) {
        const int u = x - move / 2 - 1 + i % SBV_MOVE_TAPS, v = y - move / 2 - 1 + i / SBV_MOVE_TAPS;
        sum += weight[i % SBV_MOVE_TAPS] * weight[i / SBV_MOVE_TAPS] *
               resize_at(in, w, h,
                         u < 0   ? 0
                         : u < w ? u
                                 : w - 1,
                         v < 0   ? 0
                         : v < h ? v
                                 : h - 1,
                         c);
    }
    return sum;
}

/* A position is a float too, of an error that grows with it, and neighbours differ by up to 2. */
static void run_resize(const int size[4], int channels, int part, int dense, int move)
{
    static const float gain[3] = {2, -0.5f, 1};
    const int w = size[2], h = size[3], x0 = part ? w / 3 : 0, y0 = part ? h / 4 : 0;
    guarded in =
        dense ? guarded_dense(size[0], size[1], channels, 1) : guarded_map(SBV_MAP_F32, size[0], size[1], channels, 1);
    guarded out =
        dense ? guarded_dense(w - x0, h - y0, channels, 0) : guarded_map(SBV_MAP_F32, w - x0, h - y0, channels, 0);
    sbv_resize_args a = {.in = in.map, .out = out.map, .full_w = w, .full_h = h, .x0 = x0, .y0 = y0, .move = move};
    if (part)
        memcpy(a.gain, gain, sizeof(gain));
    RUN(resize, &a, h - y0);
    guarded_check(&out, 0, w - x0, 0, h - y0);
    for (int y = y0; y < h; y++)
        for (int x = x0; x < w; x++)
            for (int c = 0; c < channels; c++) {
                const double expected = move ? moved_at(in.map, w, h, x, y, c, move) : resize_at(in.map, w, h, x, y, c);
                check(*at(out.map, x - x0, y - y0, c), expected * (part ? (double)gain[c] : 1), 4 + size[0] / 16);
            }
    free(in.memory);
    free(out.memory);
}

/* The last ones are wider than what is worked on at once. */
static void test_resize(void **unused)
{
    static const int sizes[][4] = {{5, 3, 20, 12}, {13, 9, 64, 64}, {64, 64, 13, 9},  {1, 1, 4, 4},
                                   {1, 7, 2, 14},  {6, 6, 6, 6},    {100, 2, 400, 8}, {299, 1, 300, 2}};
    (void)unused;
    for (size_t n = 0; n < sizeof(sizes) / sizeof(sizes[0]); n++)
        for (int variant = 0; variant < 12; variant++)
            run_resize(sizes[n], 1 + variant / 4, variant % 2, variant / 2 % 2, 0);
}

static void test_moved_resize(void **unused)
{
    static const int sizes[][2] = {{5, 3}, {1, 1}, {2, 5}, {100, 2}, {33, 9}};
    (void)unused;
    for (size_t n = 0; n < sizeof(sizes) / sizeof(sizes[0]); n++)
        for (int move = 2; move <= 4; move += 2)
            for (int variant = 0; variant < 12; variant++)
                run_resize((const int[]){sizes[n][0], sizes[n][1], move * sizes[n][0], move * sizes[n][1]},
                           1 + variant / 4, variant % 2, variant / 2 % 2, move);
}

static void test_difference(void **unused)
{
    guarded before = guarded_map(SBV_MAP_F32, 7, 5, 3, 1), now = guarded_map(SBV_MAP_F32, 7, 5, 3, 1);
    float sums[2 + 5 + 2];
    (void)unused;
    for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++)
        sums[i] = PATTERN;
    sbv_difference_args a = {before.map, now.map, sums + 2, {0.3f, 2, 0.1f}};
    RUN(difference, &a, 5);
    for (int y = 0; y < 5; y++) {
        double sum = 0;
        for (int x = 0; x < 7; x++) {
            double d[3];
            for (int c = 0; c < 3; c++)
                d[c] = (double)*at(now.map, x, y, c) - *at(before.map, x, y, c);
            sum += fabs((double)a.weight[0] * d[0] + (double)a.weight[1] * d[1] + (double)a.weight[2] * d[2]);
        }
        check(sums[2 + y], sum, 7 * 6);
    }
    assert_true(sums[1] == PATTERN && sums[7] == PATTERN);
    free(before.memory);
    free(now.memory);
}

static void run_pixel_shuffle(int w, int s, int add, int dense)
{
    guarded in = guarded_map(SBV_MAP_F32, w, 3, 3 * s * s, 1);
    guarded out = dense ? guarded_dense(w * s, 3 * s, 3, 0) : guarded_map(SBV_MAP_F32, w * s, 3 * s, 3, 0);
    sbv_shuffle_args a = {in.map, out.map, s, add};
    for (int i = 0; i < 9 * w * s * s && add; i++)
        *at(out.map, i / 3 % (w * s), i / (3 * w * s), i % 3) = 10;
    RUN(pixel_shuffle, &a, 3 * s);
    guarded_check(&out, 0, w * s, 0, 3 * s);
    for (int y = 0; y < 3 * s; y++)
        for (int x = 0; x < w * s; x++)
            for (int c = 0; c < 3; c++)
                check(*at(out.map, x, y, c),
                      (add ? 10 : 0) + (double)*at(in.map, x / s, y / s, (c * s + y % s) * s + x % s), 10);
    free(in.memory);
    free(out.memory);
}

static void test_pixel_shuffle(void **unused)
{
    (void)unused;
    for (int variant = 0; variant < 16; variant++)
        run_pixel_shuffle(variant / 8 ? 1 : 5, variant % 2 ? 2 : 4, variant / 2 % 2, variant / 4 % 2);
}

static void test_copy(void **unused)
{
    (void)unused;
    for (int n = 0; n < GUARDED_CHANNELS; n++) {
        const int c = guarded_channels[n];
        guarded in = guarded_map(SBV_MAP_F32, 7, 5, c, 1), out = guarded_map(SBV_MAP_F32, 7, 5, c, 0);
        sbv_copy_args a = {in.map, out.map};
        RUN(copy, &a, 5);
        guarded_check(&out, 0, 7, 0, 5);
        for (int i = 0; i < 35; i++)
            assert_memory_equal(at(out.map, i % 7, i / 7, 0), at(in.map, i % 7, i / 7, 0), (size_t)c * sizeof(float));
        free(in.memory);
        free(out.memory);
    }
}

static void run_adaptive_pool(int w, int h, int bins, int channels)
{
    guarded in = guarded_map(SBV_MAP_F32, w, h, channels, 1), out = guarded_map(SBV_MAP_F32, bins, bins, channels, 0);
    sbv_pool_args a = {in.map, out.map};
    RUN(adaptive_pool, &a, bins);
    guarded_check(&out, 0, bins, 0, bins);
    for (int i = 0; i < bins * bins * channels; i++) {
        int bx = i / channels % bins, by = i / channels / bins, count = 0;
        double sum = 0;
        for (int y = (int)floor((double)by * h / bins); y < (int)ceil((by + 1.0) * h / bins); y++)
            for (int x = (int)floor((double)bx * w / bins); x < (int)ceil((bx + 1.0) * w / bins); x++, count++)
                sum += *at(in.map, x, y, i % channels);
        check(*at(out.map, bx, by, i % channels), sum / count, 1);
    }
    free(in.memory);
    free(out.memory);
}

static void test_adaptive_pool(void **unused)
{
    static const int sizes[][3] = {{48, 64, 13}, {5, 1, 13}, {13, 13, 13}, {7, 3, 1}, {31, 17, 5}};
    (void)unused;
    for (int n = 0; n < 5 * GUARDED_CHANNELS; n++)
        run_adaptive_pool(sizes[n % 5][0], sizes[n % 5][1], sizes[n % 5][2], guarded_channels[n / 5]);
}

static void test_attention(void **unused)
{
    float gain[130];
    (void)unused;
    for (int i = 0; i < 130; i++)
        gain[i] = 3 * uniform();
    for (int n = 0; n < GUARDED_CHANNELS; n++) {
        const int c = guarded_channels[n];
        guarded x = guarded_map(SBV_MAP_F32, 3, 5, c, 1), y = guarded_map(SBV_MAP_F32, 3, 5, c, 1),
                z = guarded_map(SBV_MAP_F32, 3, 5, c, 0);
        sbv_attention_args a = {x.map, y.map, z.map, gain};
        RUN(attention, &a, 5);
        guarded_check(&z, 0, 3, 0, 5);
        for (int i = 0; i < 3 * 5 * c; i++) {
            int px = i / c % 3, py = i / c / 3, k = i % c;
            check(*at(z.map, px, py, k), *at(x.map, px, py, k) + *at(y.map, px, py, k) / (1 + exp(-(double)gain[k])),
                  2);
        }
        free(x.memory);
        free(y.memory);
        free(z.memory);
    }
}

static void test_linear_softmax(void **unused)
{
    float weights[7 * 19], bias[7], in[19], out[8] = {0};
    double expected[7], sum = 0;
    (void)unused;
    for (int i = 0; i < 7 * 19; i++)
        weights[i] = uniform();
    for (int i = 0; i < 19; i++)
        in[i] = uniform();
    for (int o = 0; o < 7; o++)
        bias[o] = uniform();
    out[7] = PATTERN;
    sbv_linear_args linear = {in, out, weights, bias, 19, SBV_RELU};
    RUN(linear, &linear, 7);
    for (int o = 0; o < 7; o++) {
        expected[o] = bias[o];
        for (int i = 0; i < 19; i++)
            expected[o] += (double)weights[o * 19 + i] * in[i];
        check(out[o], fmax(expected[o], 0), 19);
        out[o] = 100 * uniform(); /* large enough to overflow a naive exp */
        expected[o] = out[o];
    }
    for (int o = 0; o < 7; o++)
        sum += exp(expected[o] - expected[0]);
    sbv_softmax_args softmax = {out, 7};
    RUN(softmax, &softmax, 1);
    for (int o = 0; o < 7; o++)
        check(out[o], exp(expected[o] - expected[0]) / sum, 1);
    assert_true(out[7] == PATTERN);
}

/* What workers compute with. Volatile: the compiler must not do the sums. */
static void test_denormals(void **unused)
{
#ifdef SBV_DENORMALS_FLUSHED
    volatile float smallest = 1.17549435e-38f, half = 0.5f, result, tiny = smallest * half, huge = 1e30f;
    const uint64_t mode = sbv_flush_denormals();
    result = smallest * half;
    assert_true(result == 0);
    result = tiny * huge;
    assert_true(result == 0);
    sbv_set_float_mode(mode);
    result = smallest * half;
    assert_true(result != 0);
#endif
    (void)unused;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv),
        cmocka_unit_test(test_deconv),
        cmocka_unit_test(test_cost_volume),
        cmocka_unit_test(test_warp),
        cmocka_unit_test(test_warp_whole_pixels),
        cmocka_unit_test(test_warp_wild_flow),
        cmocka_unit_test(test_resize),
        cmocka_unit_test(test_moved_resize),
        cmocka_unit_test(test_difference),
        cmocka_unit_test(test_pixel_shuffle),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_adaptive_pool),
        cmocka_unit_test(test_linear_softmax),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_denormals),
    };
    int failed = 0;
    for (int isa = -1; (isa = next_isa(&ops, isa, SBV_ISA_AMX)) >= 0;) {
        failed += cmocka_run_group_tests_name(sbv_isa_name(isa), tests, NULL, NULL);
    }
    return failed;
}
