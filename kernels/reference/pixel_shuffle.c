/*
 * Pixel shuffle, plain C.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/samples.h"

void sbv_pixel_shuffle_c(const sbv_shuffle_args *a, int begin, int end)
{
    const int s = a->factor;
    for (int y = begin; y < end; y++)
        for (int x = 0; x < a->out.w; x++) {
            const float *in = sbv_at(&a->in, x / s, y / s) + y % s * s + x % s;
            float *out = sbv_at(&a->out, x, y);
            for (int c = 0; c < a->out.c; c++)
                out[c] = (a->add ? out[c] : 0) + in[c * s * s];
        }
}
