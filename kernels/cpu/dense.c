/*
 * The end of a residual channel attention block, vectorised over channels. What the gains come to is found once for a
 * range of rows.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vec.h"

#define CHUNK 128 /* channels at once; a multiple of SBV_LANES */

/* Channels first .. first + count - 1 of a row. */
SBV_INLINE void add_row(const sbv_attention_args *a, int y, int first, int count, const float *gate)
{
    for (int x = 0; x < a->out.w; x++) {
        const void *in = sbv_pixel(&a->in, x, y), *branch = sbv_pixel(&a->branch, x, y);
        void *out = sbv_pixel(&a->out, x, y);
        int i = 0;
        for (; i + SBV_LANES <= count; i += SBV_LANES) {
            const int c = first + i;
            vec_store(out, a->out.type, c,
                      vec_load(in, a->in.type, c) + vec_load(branch, a->branch.type, c) * *(const vec *)(gate + i));
        }
        if (i < count) {
            const int c = first + i, rest = count - i;
            vec_store_part(out, a->out.type, c,
                           vec_load_part(in, a->in.type, c, rest) +
                               vec_load_part(branch, a->branch.type, c, rest) * *(const vec *)(gate + i),
                           rest);
        }
    }
}

/* sbv_attention_sse2, sbv_attention_avx2, sbv_attention_avx512, sbv_attention_neon */
void SBV_CPU_NAME(attention)(const sbv_attention_args *a, int begin, int end)
{
    float gate[CHUNK];
    for (int first = 0; first < a->out.c; first += CHUNK) {
        const int count = a->out.c - first < CHUNK ? a->out.c - first : CHUNK;
        for (int i = 0; i < CHUNK; i++)
            gate[i] = i < count ? 1 / (1 + expf(-a->gain[first + i])) : 0;
        for (int y = begin; y < end; y++)
            add_row(a, y, first, count, gate);
    }
}
