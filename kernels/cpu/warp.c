/*
 * Warps, vectorised over channels. Positions and weights are found for a piece of a row at a time, by the plain C
 * version.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/reference/warp_taps.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vec.h"

#define PIECE 32 /* pixels */
#define SOON  4  /* pixels from one that is fetched to the one at hand */

SBV_INLINE vec blend(const vec tap[4], const vec weight[4])
{
    vec sum = tap[0] * weight[0];
    for (int i = 1; i < 4; i++)
        sum += tap[i] * weight[i];
    return sum;
}

SBV_INLINE void sample(const sbv_map *in, const sbv_warp_taps *t, void *out, enum sbv_type in_type,
                       enum sbv_type out_type)
{
    const int whole = in->c - in->c % SBV_LANES, rest = in->c - whole;
    const void *pixel[4];
    vec weight[4], tap[4];
    for (int i = 0; i < 4; i++) {
        pixel[i] = sbv_pixel(in, t->x[i % 2], t->y[i / 2]);
        weight[i] = vec_all(t->weight[i]);
    }
    for (int c = 0; c < whole; c += SBV_LANES) {
        for (int i = 0; i < 4; i++)
            tap[i] = vec_load(pixel[i], in_type, c);
        vec_store(out, out_type, c, blend(tap, weight));
    }
    if (rest) {
        for (int i = 0; i < 4; i++)
            tap[i] = vec_load_part(pixel[i], in_type, whole, rest);
        vec_store_part(out, out_type, whole, blend(tap, weight), rest);
    }
}

SBV_INLINE void warp(const sbv_warp_args *a, int y, enum sbv_type in_type, enum sbv_type out_type)
{
    sbv_warp_taps taps[PIECE];
    for (int x = 0; x < a->out.w; x += PIECE) {
        const int count = a->out.w - x < PIECE ? a->out.w - x : PIECE;
        sbv_find_warp_taps(a, x, y, count, taps);
        for (int i = 0; i < count; i++) {
            void *out = sbv_pixel(&a->out, x + i, y);
            vec_expect(&a->out, x + i + SBV_AHEAD, y, 1);
            for (int row = 0; row < 2 && i + SOON < count; row++)
                vec_expect(&a->in, taps[i + SOON].x[1], taps[i + SOON].y[row], 0);
            if (taps[i].masked)
                memset(out, 0, (size_t)a->in.c * sbv_sample_size(out_type));
            else
                sample(&a->in, &taps[i], out, in_type, out_type);
        }
    }
}

/* sbv_warp_sse2, sbv_warp_avx2, sbv_warp_avx512, sbv_warp_neon */
void SBV_CPU_NAME(warp)(const sbv_warp_args *a, int begin, int end)
{
    const int types = (a->in.type == SBV_MAP_BF16) * 2 + (a->out.type == SBV_MAP_BF16);
    for (int y = begin; y < end; y++)
        switch (types) {
        case 0:
            warp(a, y, SBV_MAP_F32, SBV_MAP_F32);
            break;
        case 1:
            warp(a, y, SBV_MAP_F32, SBV_MAP_BF16);
            break;
        case 2:
            warp(a, y, SBV_MAP_BF16, SBV_MAP_F32);
            break;
        default:
            warp(a, y, SBV_MAP_BF16, SBV_MAP_BF16);
        }
}
