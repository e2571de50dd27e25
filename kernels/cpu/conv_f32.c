/*
 * Convolution in fp32, vectorised. One source for every instruction set: the build compiles it once for each, with the
 * width of a vector in SBV_LANES and a suffix for the names in SBV_ISA.
 *
 * A block of pixels by a few vectors of output channels stays in registers; each weight that is loaded serves all
 * pixels of the block, each input value all vectors. A tap that falls outside the image reads a row of zeros, which
 * treats padding, stride and dilation alike. Every tap is summed over the channels on its own before it is added, as
 * in kernels/reference/conv.c, whose results differ from these by the rounding of products alone. Where there are fewer
 * output channels than half of a vector has room for, as in those that make a flow, vectors are of input channels
 * instead. For sides of 3 there is another way too: winograd.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cpu/cpu.h"

#define PIXELS 6
#if SBV_LANES == 16 || defined(__aarch64__)
#define VECTORS 4 /* 24 of 32 registers hold sums */
#else
#define VECTORS 2 /* 12 of 16 */
#endif

typedef float vec __attribute__((vector_size(4 * SBV_LANES), aligned(4), may_alias));

typedef int mask __attribute__((vector_size(4 * SBV_LANES)));

/* Where a tap of PIXELS neighbours lies. */
struct taps {
    const float *at[PIXELS];
};

static inline struct taps find_taps(const sbv_conv_args *a, int x, int y, int ky, int kx)
{
    const int iy = y * a->stride - a->padding + ky * a->dilation;
    const float *row = sbv_at(&a->in, 0, iy);
    struct taps taps;
    for (int i = 0; i < PIXELS; i++) {
        const int ix = (x + i) * a->stride - a->padding + kx * a->dilation;
        const int inside = iy >= 0 && iy < a->in.h && ix >= 0 && ix < a->in.w;
        taps.at[i] = inside ? row + ix * a->in.pixel : a->zeros;
    }
    return taps;
}

/* sum += weights * one tap of each pixel. w: `vectors` lists of channels * SBV_LANES weights, `stride` apart. */
static inline __attribute__((always_inline)) void add_tap(vec sum[PIXELS][VECTORS], const struct taps taps,
                                                          const float *w, ptrdiff_t stride, int channels, int vectors)
{
    vec part[PIXELS][VECTORS];
    for (int i = 0; i < PIXELS; i++)
        for (int v = 0; v < vectors; v++)
            part[i][v] = (vec){0};
    for (int c = 0; c < channels; c++) {
        vec weight[VECTORS];
        for (int v = 0; v < vectors; v++)
            weight[v] = *(const vec *)(w + v * stride + (ptrdiff_t)c * SBV_LANES);
#pragma GCC unroll 6
        for (int i = 0; i < PIXELS; i++)
            for (int v = 0; v < vectors; v++)
                part[i][v] += taps.at[i][c] * weight[v];
    }
    for (int i = 0; i < PIXELS; i++)
        for (int v = 0; v < vectors; v++)
            sum[i][v] += part[i][v];
}

static inline void store(const sbv_conv_args *a, const vec *sum, int x, int y, int first)
{
    const int channels = a->out.c - first < SBV_LANES ? a->out.c - first : SBV_LANES;
    float *out = sbv_at(&a->out, x, y) + first;
    const float *add = a->residual.data ? sbv_at(&a->residual, x, y) + first : NULL;
    const mask positive = *sum > 0;
    vec value = (vec)((positive & (mask)*sum) | (~positive & (mask)(a->slope * *sum)));
    if (channels == SBV_LANES) {
        if (add)
            value += *(const vec *)add;
        *(vec *)out = value;
        return;
    }
    for (int c = 0; c < channels; c++)
        out[c] = add ? value[c] + add[c] : value[c];
}

/* PIXELS pixels from (x, y) on, `vectors` vectors of output channels from group g on. */
static inline __attribute__((always_inline)) void block(const sbv_conv_args *a, int x, int y, int g, int vectors)
{
    const ptrdiff_t tap_weights = (ptrdiff_t)a->in.c * SBV_LANES, taps = (ptrdiff_t)a->ksize * a->ksize;
    const float *w = (const float *)a->weights + g * taps * tap_weights;
    const int pixels = a->x1 - x < PIXELS ? a->x1 - x : PIXELS;
    vec sum[PIXELS][VECTORS];
    for (int i = 0; i < PIXELS; i++)
        for (int v = 0; v < vectors; v++)
            sum[i][v] = *(const vec *)(a->bias + (g + v) * SBV_LANES);
    for (int t = 0; t < taps; t++)
        add_tap(sum, find_taps(a, x, y, t / a->ksize, t % a->ksize), w + t * tap_weights, taps * tap_weights, a->in.c,
                vectors);
    for (int i = 0; i < pixels; i++)
        for (int v = 0; v < vectors; v++)
            store(a, &sum[i][v], x + i, y, (g + v) * SBV_LANES);
}

#define FEW        2    /* output channels, at most, of the way by vectors of input channels */
#define FEW_PIXELS 4    /* of a block */
#define FEW_ROOM   5760 /* floats of weights for each of them: 640 channels and 3x3 taps */

/* The weights of few output channels by vectors of input channels: of a tap all whole vectors, and one that ends with
 * the last channel, which has zeros for those that it shares with the one before. */
struct few {
    int vectors; /* of a tap */
    float weight[FEW][FEW_ROOM + 9 * SBV_LANES];
};

static int is_few(const sbv_conv_args *a)
{
    return 2 * a->out.c <= SBV_LANES && a->out.c <= FEW && a->in.c >= SBV_LANES && a->ksize == 3 &&
           a->ksize * a->ksize * a->in.c <= FEW_ROOM;
}

/* Where vector v of a tap begins. */
static inline int few_channel(const sbv_conv_args *a, int v)
{
    return (v + 1) * SBV_LANES <= a->in.c ? v * SBV_LANES : a->in.c - SBV_LANES;
}

static void take_few(const sbv_conv_args *a, struct few *few)
{
    const float *packed = a->weights;
    few->vectors = (a->in.c + SBV_LANES - 1) / SBV_LANES;
    for (int o = 0; o < FEW; o++)
        for (int t = 0; t < a->ksize * a->ksize; t++)
            for (int i = 0; i < few->vectors * SBV_LANES; i++) {
                const int v = i / SBV_LANES, channel = few_channel(a, v) + i % SBV_LANES;
                const int counted = channel < v * SBV_LANES || o >= a->out.c;
                few->weight[o][t * few->vectors * SBV_LANES + i] =
                    counted ? 0 : packed[(t * a->in.c + channel) * SBV_LANES + o];
            }
}

static inline float few_sum(const vec *lanes)
{
    float sum[SBV_LANES];
    *(vec *)sum = *lanes;
    for (int half = SBV_LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            sum[i] += sum[i + half];
    return sum[0];
}

/* FEW_PIXELS pixels from (x, y) on. */
static inline void few_block(const sbv_conv_args *a, const struct few *few, int x, int y)
{
    const int pixels = a->x1 - x < FEW_PIXELS ? a->x1 - x : FEW_PIXELS;
    vec sum[FEW_PIXELS][FEW];
    for (int i = 0; i < FEW_PIXELS; i++)
        for (int o = 0; o < FEW; o++)
            sum[i][o] = (vec){0};
    for (int t = 0; t < a->ksize * a->ksize; t++) {
        const struct taps taps = find_taps(a, x, y, t / a->ksize, t % a->ksize);
        for (int v = 0; v < few->vectors; v++) {
            const int c = few_channel(a, v), w = (t * few->vectors + v) * SBV_LANES;
#pragma GCC unroll 4
            for (int i = 0; i < FEW_PIXELS; i++) {
                const vec in = *(const vec *)(taps.at[i] + c);
                for (int o = 0; o < FEW; o++)
                    sum[i][o] += in * *(const vec *)(few->weight[o] + w);
            }
        }
    }
    for (int i = 0; i < pixels; i++) {
        vec all = {0};
        for (int o = 0; o < a->out.c; o++)
            all[o] = a->bias[o] + few_sum(&sum[i][o]);
        store(a, &all, x + i, y, 0);
    }
}

static void conv_few(const sbv_conv_args *a, int begin, int end)
{
    struct few few;
    take_few(a, &few);
    for (int y = a->y0 + begin; y < a->y0 + end; y++)
        for (int x = a->x0; x < a->x1; x += FEW_PIXELS)
            few_block(a, &few, x, y);
}

/* sbv_winograd_bytes_sse2, sbv_winograd_bytes_avx2, sbv_winograd_bytes_avx512, sbv_winograd_bytes_neon */
size_t SBV_CPU_NAME(winograd_bytes)(int out, int in, int side)
{
    return (side == 6   ? SBV_CPU_NAME(winograd6_bytes)
            : side == 4 ? SBV_CPU_NAME(winograd4_bytes)
                        : SBV_CPU_NAME(winograd2_bytes))(out, in);
}

/* sbv_pack_winograd_sse2, sbv_pack_winograd_avx2, sbv_pack_winograd_avx512, sbv_pack_winograd_neon */
void SBV_CPU_NAME(pack_winograd)(const float *raw, int out, int in, int side, void *packed)
{
    (side == 6   ? SBV_CPU_NAME(pack_winograd6)
     : side == 4 ? SBV_CPU_NAME(pack_winograd4)
                 : SBV_CPU_NAME(pack_winograd2))(raw, out, in, packed);
}

/* sbv_conv_sse2, sbv_conv_avx2, sbv_conv_avx512, sbv_conv_neon */
void SBV_CPU_NAME(conv)(const sbv_conv_args *a, int begin, int end)
{
    const int groups = (a->out.c + SBV_LANES - 1) / SBV_LANES;
    if (a->winograd) {
        (a->winograd == 6   ? SBV_CPU_NAME(conv_winograd6)
         : a->winograd == 4 ? SBV_CPU_NAME(conv_winograd4)
                            : SBV_CPU_NAME(conv_winograd2))(a, begin, end);
        return;
    }
    if (is_few(a)) {
        conv_few(a, begin, end);
        return;
    }
    for (int y = a->y0 + begin; y < a->y0 + end; y++)
        for (int g = 0; g < groups;) {
            const int vectors = groups - g < VECTORS ? groups - g : VECTORS;
            for (int x = a->x0; x < a->x1; x += PIXELS)
                switch (vectors) {
                case 1:
                    block(a, x, y, g, 1);
                    break;
                case 2:
                    block(a, x, y, g, 2);
                    break;
#if VECTORS == 4
                case 3:
                    block(a, x, y, g, 3);
                    break;
                default:
                    block(a, x, y, g, 4);
#endif
                }
            g += vectors;
        }
}
