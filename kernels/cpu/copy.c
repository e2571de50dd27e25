/*
 * Copy of a map, vectorised, from either type to either.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vec.h"

static void copy_samples(const sbv_copy_args *a, int y)
{
    const size_t bytes = (size_t)a->in.c * sbv_sample_size(a->in.type);
    for (int x = 0; x < a->in.w; x++) {
        vec_expect(&a->out, x + SBV_AHEAD, y, 1);
        memcpy(sbv_pixel(&a->out, x, y), sbv_pixel(&a->in, x, y), bytes);
    }
}

SBV_INLINE void copy(const sbv_copy_args *a, int y, enum sbv_type in_type, enum sbv_type out_type)
{
    const int channels = a->in.c, whole = channels - channels % SBV_LANES;
    for (int x = 0; x < a->in.w; x++) {
        const void *in = sbv_pixel(&a->in, x, y);
        void *out = sbv_pixel(&a->out, x, y);
        vec_expect(&a->out, x + SBV_AHEAD, y, 1);
        for (int c = 0; c < whole; c += SBV_LANES)
            vec_store(out, out_type, c, vec_load(in, in_type, c));
        for (int c = whole; c < channels; c++)
            sbv_store(out, out_type, c, sbv_load(in, in_type, c));
    }
}

/* sbv_copy_sse2, sbv_copy_avx2, sbv_copy_avx512, sbv_copy_neon */
void SBV_CPU_NAME(copy)(const sbv_copy_args *a, int begin, int end)
{
    for (int y = begin; y < end; y++) {
        if (a->in.type == a->out.type)
            copy_samples(a, y);
        else if (a->in.type == SBV_MAP_BF16)
            copy(a, y, SBV_MAP_BF16, SBV_MAP_F32);
        else
            copy(a, y, SBV_MAP_F32, SBV_MAP_BF16);
    }
}
