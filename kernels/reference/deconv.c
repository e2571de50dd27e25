/*
 * Transposed convolution, plain C.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/ops.h"
#include "kernels/reference/dot.h"

/* An output pixel gets tap k from input (o + 1 - k) / 2 where that is whole and inside: two per axis at
 * most. */
static float deconv_pixel(const sbv_deconv_args *a, int x, int y, int o)
{
    float sum = a->bias[o];
    for (int ky = (y + 1) % 2; ky < 4; ky += 2)
        for (int kx = (x + 1) % 2; kx < 4; kx += 2) {
            int iy = (y + 1 - ky) / 2, ix = (x + 1 - kx) / 2;
            if (y + 1 < ky || x + 1 < kx || iy >= a->in.h || ix >= a->in.w)
                continue;
            const float *w = a->weights + ((ptrdiff_t)(ky * 4 + kx) * a->out.c + o) * a->in.c;
            sum += sbv_dot(sbv_pixel(&a->in, ix, iy), a->in.type, w, SBV_MAP_F32, a->in.c);
        }
    return sum;
}

void sbv_deconv_c(const sbv_deconv_args *a, int begin, int end)
{
    for (int y = begin; y < end; y++)
        for (int x = 0; x < a->out.w; x++)
            for (int o = 0; o < a->out.c; o++)
                sbv_store(sbv_pixel(&a->out, x, y), a->out.type, o, deconv_pixel(a, x, y, o));
}
