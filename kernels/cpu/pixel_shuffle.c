/*
 * Pixel shuffle into colours. The factors of this network are constants here, so that the compiler unrolls and
 * vectorises the shuffle of a pixel.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vec.h"

#define COLOURS    3
#define MAX_FACTOR 4

/* Row y of the output, whole pixels of the input. */
SBV_INLINE void shuffle(const sbv_shuffle_args *a, int y, int s, int add)
{
    for (int x = 0; x < a->out.w / s; x++) {
        const float *in = sbv_at(&a->in, x, y / s) + y % s * s;
        float *out = sbv_at(&a->out, x * s, y), value[COLOURS * MAX_FACTOR];
        for (int i = 0; i < s * COLOURS; i++)
            value[i] = in[i % COLOURS * s * s + i / COLOURS];
        for (int i = 0; i < s * COLOURS; i++)
            out[i] = add ? out[i] + value[i] : value[i];
    }
}

/* sbv_pixel_shuffle_sse2, sbv_pixel_shuffle_avx2, sbv_pixel_shuffle_avx512, sbv_pixel_shuffle_neon */
void SBV_CPU_NAME(pixel_shuffle)(const sbv_shuffle_args *a, int begin, int end)
{
    const int known = a->out.c == COLOURS && a->out.pixel == COLOURS && a->out.w % a->factor == 0;
    for (int y = begin; y < end; y++) {
        if (known && a->factor == 4 && a->add)
            shuffle(a, y, 4, 1);
        else if (known && a->factor == 2 && a->add)
            shuffle(a, y, 2, 1);
        else
            sbv_pixel_shuffle_c(a, y, y + 1);
    }
}
