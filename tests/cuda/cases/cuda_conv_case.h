/*
 * What cases of convolutions are made of: their shapes, values and weights, and one convolution computed by kernels/c
 * and on the device, in one way or another.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_CUDA_CONV_CASE_H
#define SBV_TESTS_CUDA_CONV_CASE_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/conv.h"
#include "tests/cuda/cases/cuda_cases.h"

enum conv_residual { NO_RESIDUAL, OTHER_RESIDUAL, OWN_RESIDUAL /* the output itself */ };

/* What the values are. */
enum conv_values {
    RANDOM,
    LARGE,  /* of the order of the largest fp16 number, inputs and outputs */
    CANCEL, /* pairs of channels with equal inputs and opposite weights, whole numbers, so that sums of large products
               are exactly zero */
};

typedef struct conv_shape {
    int in, out, ksize, stride, dilation;
    int w, h; /* of the input */
    float slope;
    enum conv_residual residual;
    enum conv_values values;
    int in_offset, out_offset, after; /* channels of wider maps before and behind these */
    int residual_offset;              /* channels more than out_offset before those of another residual */
    int left, right, top, bottom;     /* output pixels at the edges that are not to be computed */
    int valid;                        /* no padding */
    enum sbv_type in_type, out_type;  /* in a session of fp16 */
} conv_shape;

#define CONV(i, o, k, s, d, width, height)                                                                             \
    .in = i, .out = o, .ksize = k, .stride = s, .dilation = d, .w = width, .h = height
#define HALVES .in_type = SBV_MAP_F16, .out_type = SBV_MAP_F16

typedef int conv_function(sbv_cuda *c, const sbv_conv_args *a, int rows);

/* A way to compute it on the device: by a function that returns 0 where it does not take this convolution; with a tile
 * of conv_mma.cu, if that is forced; or as the backend chooses. */
typedef struct conv_way {
    conv_function *run;
    int forced;
    enum sbv_mma_tile tile;
} conv_way;

#define CONV_MAX_WAYS 8

static inline int conv_run(cuda_test *t, const conv_way *way, const sbv_conv_args *a, int rows)
{
    if (way->run)
        return way->run((sbv_cuda *)t->backend, a, rows);
    if (way->forced)
        return sbv_cuda_conv_mma((sbv_cuda *)t->backend, a, 1, rows, way->tile);
    t->backend->conv(t->backend, a, 1, rows);
    return 1;
}

static inline float *conv_memory(size_t count)
{
    float *memory = calloc(count, sizeof(float));
    if (!memory)
        abort();
    return memory;
}

/* Weights as PyTorch has them, multiples of 1/64 and so exact in fp16. */
static inline float *conv_weights(cuda_test *t, const conv_shape *s)
{
    const int taps = s->ksize * s->ksize;
    float *raw = conv_memory((size_t)s->out * (size_t)s->in * (size_t)taps);
    for (int o = 0; o < s->out; o++)
        for (int i = 0; i < s->in; i++)
            for (int tap = 0; tap < taps; tap++) {
                float *w = &raw[(o * s->in + i) * taps + tap];
                if (s->values == CANCEL)
                    *w = i % 2 ? -w[-taps] : (float)(int)(test_random(t) * 8);
                else
                    *w = (float)(int)(test_random(t) * 64) / 64;
            }
    return raw;
}

/* kernels/reference's packing, see sbv_conv_args. */
static inline float *conv_pack(const conv_shape *s, const float *raw)
{
    const int groups = (s->out + SBV_CONV_GROUP - 1) / SBV_CONV_GROUP, taps = s->ksize * s->ksize;
    float *packed = conv_memory((size_t)groups * SBV_CONV_GROUP * (size_t)s->in * (size_t)taps);
    for (int o = 0; o < s->out; o++)
        for (int i = 0; i < s->in; i++)
            for (int tap = 0; tap < taps; tap++)
                packed[((o / SBV_CONV_GROUP * taps + tap) * s->in + i) * SBV_CONV_GROUP + o % SBV_CONV_GROUP] =
                    raw[(o * s->in + i) * taps + tap];
    return packed;
}

static inline void conv_fill_input(test_map *in, const conv_shape *s)
{
    /* Sums of n random products are of the order of a third of sqrt(n); half of what fp16 holds is left as room. */
    const float large = 32768.0f / (1 + 0.34f * 5 * (float)s->ksize * sqrtf((float)s->in));
    for (int y = 0; y < s->h; y++)
        for (int x = 0; x < s->w; x++)
            for (int c = 0; c < s->in; c++) {
                float *value = test_at(in, x, y, c);
                if (s->values == LARGE)
                    *value *= large;
                else if (s->values == CANCEL)
                    *value = c % 2 ? value[-1] : (float)(int)(*value * 2048);
            }
}

static inline test_buffer *conv_bias(cuda_test *t, int out)
{
    test_buffer *bias = test_buffer_new(t, TEST_IN, (size_t)(out + 63) / 64 * 64 * sizeof(float), 0);
    memset(bias->host, 0, bias->bytes);
    for (int i = 0; i < out; i++)
        ((float *)(void *)bias->host)[i] = test_random(t);
    return bias;
}

static inline enum sbv_type conv_type(const cuda_test *t, enum sbv_type type)
{
    return t->backend->type == SBV_MAP_F32 ? SBV_MAP_F32 : type;
}

/* The same for the C twin and the device, but for memory. */
static inline sbv_conv_args conv_args(const conv_shape *s, int w, int padding)
{
    return (sbv_conv_args){.ksize = s->ksize,
                           .stride = s->stride,
                           .dilation = s->dilation,
                           .padding = padding,
                           .slope = s->slope,
                           .x0 = s->left,
                           .x1 = w - s->right,
                           .y0 = s->top};
}

/* All ways must give the same bits, also where nothing is written. */
static inline void conv_compare_bits(cuda_test *t, test_map *const out[], int count)
{
    const sbv_map *map = &out[0]->host;
    for (int i = 1; i < count; i++)
        for (int y = 0; y < map->h; y++)
            for (int x = 0; x < map->w; x++)
                for (int c = 0; c < map->c; c++) {
                    const float one = test_found(out[0], x, y, c), other = test_found(out[i], x, y, c);
                    if (memcmp(&one, &other, sizeof(one))) {
                        test_fail(t, "(%d, %d) channel %d: %.9g one way, %.9g another", x, y, c, (double)one,
                                  (double)other);
                        return;
                    }
                }
}

/* The C twin, and the device in so many ways, whose results must have the same bits. */
static inline void conv_case(cuda_test *t, const conv_shape *s, const conv_way *ways, int count)
{
    const int span = s->dilation * (s->ksize - 1) + 1, padding = s->valid ? 0 : span / 2;
    const int w = (s->w + 2 * padding - span) / s->stride + 1, h = (s->h + 2 * padding - span) / s->stride + 1;
    const int rows = h - s->top - s->bottom;
    const enum sbv_type in_type = conv_type(t, s->in_type), out_type = conv_type(t, s->out_type);
    const test_layout in_layout = {
        .w = s->w, .h = s->h, .c = s->in, .type = in_type, .offset = s->in_offset, .after = s->after, .row_gap = 1};
    const test_layout out_layout = {
        .w = w, .h = h, .c = s->out, .type = out_type, .offset = s->out_offset, .after = s->after};
    test_map *in = test_map_new(t, TEST_IN, in_layout);
    test_map *out[CONV_MAX_WAYS];
    for (int i = 0; i < count; i++)
        out[i] = test_map_new(t, s->residual == OWN_RESIDUAL ? TEST_INOUT : TEST_OUT, out_layout);
    test_layout residual_layout = out_layout;
    residual_layout.offset += s->residual_offset;
    test_map *add = s->residual == OTHER_RESIDUAL ? test_map_new(t, TEST_IN, residual_layout) : NULL;
    test_buffer *bias = conv_bias(t, s->out);
    test_buffer *weights = test_buffer_new(t, TEST_IN, t->backend->conv_bytes(t->backend, s->out, s->in, s->ksize), 0);
    float *raw = conv_weights(t, s), *packed = conv_pack(s, raw), *zeros = conv_memory((size_t)s->in);
    t->backend->pack_conv(t->backend, raw, s->out, s->in, s->ksize, weights->host);
    conv_fill_input(in, s);

    sbv_conv_args host = conv_args(s, w, padding), device = host;
    host.in = in->host;
    host.weights = packed;
    host.bias = (const float *)(const void *)bias->host;
    host.zeros = zeros;
    device.in = in->device;
    device.weights = weights->device;
    device.bias = (const float *)(const void *)bias->device;
    test_flops(t, 2.0 * s->in * s->out * s->ksize * s->ksize * (host.x1 - host.x0) * rows);
    test_upload(t);
    for (int i = 0; i < count; i++) {
        test_map *residual = s->residual == OWN_RESIDUAL ? out[i] : add;
        host.out = out[i]->host;
        device.out = out[i]->device;
        if (residual) {
            host.residual = residual->host;
            device.residual = residual->device;
        }
        sbv_conv_c(&host, 0, test_rows(t, rows));
        TEST_RUN(t, if (!conv_run(t, &ways[i], &device, rows)) test_fail(t, "this convolution is not taken"));
    }
    const int rounded = out_type == SBV_MAP_F16 || (t->backend->type == SBV_MAP_F16 && in_type == SBV_MAP_F32);
    for (int i = 0; i < count; i++)
        test_compare(t, out[i], rounded ? TEST_LIMIT_F16 : TEST_LIMIT_F32,
                     rounded ? "inputs or the output are rounded to 11 bits, sums are floats in another order"
                             : "products are exact or floats, sums are floats in another order");
    conv_compare_bits(t, out, count);
    free(raw);
    free(packed);
    free(zeros);
}

#endif /* SBV_TESTS_CUDA_CONV_CASE_H */
