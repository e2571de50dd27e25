/*
 * Adaptive average pooling, vectorised over channels. A row of a bin is summed in floats, whose error grows with their
 * number; the rows are summed in doubles.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vec.h"

#define VECTORS 4 /* of channels at once */
#define CHUNK   (VECTORS * SBV_LANES)

struct bin {
    int left, right, top, bottom;
};

/* Bin i of n over `size` samples. */
static void find_bin(int i, int n, int size, int *begin, int *end)
{
    *begin = (int)((int64_t)i * size / n);
    *end = (int)(((int64_t)(i + 1) * size + n - 1) / n);
}

/* The means of channels c .. c + count - 1. */
SBV_INLINE void average(const sbv_map *in, struct bin bin, int c, int count, enum sbv_type type, float mean[CHUNK])
{
    const int pixels = (bin.bottom - bin.top) * (bin.right - bin.left);
    double total[CHUNK] = {0};
    for (int y = bin.top; y < bin.bottom; y++) {
        vec sum[VECTORS] = {{0}};
        for (int x = bin.left; x < bin.right; x++) {
            const void *pixel = sbv_pixel(in, x, y);
            for (int v = 0; v < VECTORS; v++) {
                const int rest = count - v * SBV_LANES, at = c + v * SBV_LANES;
                if (rest >= SBV_LANES)
                    sum[v] += vec_load(pixel, type, at);
                else if (rest > 0)
                    sum[v] += vec_load_part(pixel, type, at, rest);
            }
        }
        for (int i = 0; i < CHUNK; i++)
            total[i] += sum[i / SBV_LANES][i % SBV_LANES];
    }
    for (int i = 0; i < count; i++)
        mean[i] = (float)(total[i] / pixels);
}

/* sbv_adaptive_pool_sse2, sbv_adaptive_pool_avx2, sbv_adaptive_pool_avx512, sbv_adaptive_pool_neon */
void SBV_CPU_NAME(adaptive_pool)(const sbv_pool_args *a, int begin, int end)
{
    for (int y = begin; y < end; y++)
        for (int x = 0; x < a->out.w; x++) {
            void *out = sbv_pixel(&a->out, x, y);
            struct bin bin;
            find_bin(x, a->out.w, a->in.w, &bin.left, &bin.right);
            find_bin(y, a->out.h, a->in.h, &bin.top, &bin.bottom);
            for (int c = 0; c < a->in.c; c += CHUNK) {
                const int count = a->in.c - c < CHUNK ? a->in.c - c : CHUNK;
                float mean[CHUNK];
                if (a->in.type == SBV_MAP_BF16)
                    average(&a->in, bin, c, count, SBV_MAP_BF16, mean);
                else
                    average(&a->in, bin, c, count, SBV_MAP_F32, mean);
                for (int i = 0; i < count; i++)
                    sbv_store(out, a->out.type, c + i, mean[i]);
            }
        }
}
