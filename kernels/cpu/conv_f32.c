/*
 * Convolution in fp32, vectorised. One source for every instruction set: the build compiles it once for each, with the
 * width of a vector in SBV_LANES and a suffix for the names in SBV_ISA.
 *
 * A block of pixels by a few vectors of output channels stays in registers; each weight that is loaded serves all
 * pixels of the block, each input value all vectors. A tap that falls outside the image reads a row of zeros, which
 * treats padding, stride and dilation alike. Every tap is summed over the channels on its own before it is added, as
 * in kernels/reference/conv.c, whose results differ from these by the rounding of products alone. For sides of 3
 * there is another way too: winograd.h.
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

/* sbv_winograd_bytes_sse2, sbv_winograd_bytes_avx2, sbv_winograd_bytes_avx512, sbv_winograd_bytes_neon */
size_t SBV_CPU_NAME(winograd_bytes)(int out, int in, int side)
{
    return (side == 4 ? SBV_CPU_NAME(winograd4_bytes) : SBV_CPU_NAME(winograd2_bytes))(out, in);
}

/* sbv_pack_winograd_sse2, sbv_pack_winograd_avx2, sbv_pack_winograd_avx512, sbv_pack_winograd_neon */
void SBV_CPU_NAME(pack_winograd)(const float *raw, int out, int in, int side, void *packed)
{
    (side == 4 ? SBV_CPU_NAME(pack_winograd4) : SBV_CPU_NAME(pack_winograd2))(raw, out, in, packed);
}

/* sbv_conv_sse2, sbv_conv_avx2, sbv_conv_avx512, sbv_conv_neon */
void SBV_CPU_NAME(conv)(const sbv_conv_args *a, int begin, int end)
{
    const int groups = (a->out.c + SBV_LANES - 1) / SBV_LANES;
    if (a->winograd) {
        (a->winograd == 4 ? SBV_CPU_NAME(conv_winograd4) : SBV_CPU_NAME(conv_winograd2))(a, begin, end);
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
