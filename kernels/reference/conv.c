/*
 * Convolution, plain C.
 *
 * The convolution works on blocks of 6 pixels by 8 output channels, whose sums stay in registers with SSE2 (12 of 16)
 * as with AVX2 (6 of 16). Six pixels share each weight; a tap that falls outside the image reads a row of zeros, which
 * treats padding, stride and dilation alike. Each tap is summed over the channels on its own before it is added:
 * rounding errors grow with the length of a sum, and these have thousands of terms. Products and sums are rounded one
 * by one (no fused multiply-add), in an order that depends on the shape alone: the same bits with SSE2 and with AVX2,
 * with any number of threads and any tiles.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/samples.h"

#define BLOCK 6 /* pixels */

typedef float vec __attribute__((vector_size(4 * SBV_CONV_GROUP), aligned(4), may_alias));

/* One binary serves SSE2 and AVX2 machines: the compiler makes both versions, the loader chooses. Sanitizers run before
 * the loader's choice can be made. */
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) &&                       \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CLONES __attribute__((target_clones("avx2", "default")))
#else
#define CLONES
#endif

/* Where the taps of row ky, column kx of `count` output pixels from (x, y) lie. */
static inline __attribute__((always_inline)) void find_taps(const sbv_conv_args *a, const float *tap[BLOCK], int x,
                                                            int y, int ky, int kx)
{
    int iy = y * a->stride - a->padding + ky * a->dilation;
    const float *row = sbv_at(&a->in, 0, iy);
    for (int i = 0; i < BLOCK; i++) {
        int ix = (x + i) * a->stride - a->padding + kx * a->dilation;
        int inside = iy >= 0 && iy < a->in.h && ix >= 0 && ix < a->in.w;
        tap[i] = inside ? row + ix * a->in.pixel : a->zeros;
    }
}

static inline __attribute__((always_inline)) void store(const sbv_conv_args *a, const vec *sum, int x, int y, int group)
{
    int first = group * SBV_CONV_GROUP;
    int channels = a->out.c - first < SBV_CONV_GROUP ? a->out.c - first : SBV_CONV_GROUP;
    int pixels = a->x1 - x < BLOCK ? a->x1 - x : BLOCK;
    for (int i = 0; i < pixels; i++) {
        float *out = sbv_at(&a->out, (x + i), y) + first;
        const float *add = a->residual.data ? sbv_at(&a->residual, (x + i), y) + first : NULL;
        for (int c = 0; c < channels; c++) {
            float value = sum[i][c];
            value = value > 0 ? value : a->slope * value;
            out[c] = add ? value + add[c] : value;
        }
    }
}

CLONES
void sbv_conv_c(const sbv_conv_args *a, int begin, int end)
{
    const int groups = (a->out.c + SBV_CONV_GROUP - 1) / SBV_CONV_GROUP, channels = a->in.c;
    const ptrdiff_t group_weights = (ptrdiff_t)a->ksize * a->ksize * channels * SBV_CONV_GROUP;
    for (int y = a->y0 + begin; y < a->y0 + end; y++)
        for (int g = 0; g < groups; g++)
            for (int x = a->x0; x < a->x1; x += BLOCK) {
                const float *w = (const float *)a->weights + g * group_weights;
                const float *tap[BLOCK];
                vec sum[BLOCK];
                for (int i = 0; i < BLOCK; i++)
                    sum[i] = *(const vec *)(a->bias + g * SBV_CONV_GROUP);
                for (int k = 0; k < a->ksize * a->ksize; k++) {
                    vec part[BLOCK] = {{0}};
                    find_taps(a, tap, x, y, k / a->ksize, k % a->ksize);
                    for (int c = 0; c < channels; c++, w += SBV_CONV_GROUP)
#pragma GCC unroll 6
                        for (int i = 0; i < BLOCK; i++)
                            part[i] += tap[i][c] * *(const vec *)w;
                    for (int i = 0; i < BLOCK; i++)
                        sum[i] += part[i];
                }
                store(a, sum, x, y, g);
            }
}
