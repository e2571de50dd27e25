/*
 * Adaptive average pooling, plain C.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/samples.h"

void sbv_adaptive_pool_c(const sbv_pool_args *a, int begin, int end)
{
    for (int y = begin; y < end; y++)
        for (int x = 0; x < a->out.w; x++) {
            void *out = sbv_pixel(&a->out, x, y);
            int top = (int)((int64_t)y * a->in.h / a->out.h), left = (int)((int64_t)x * a->in.w / a->out.w);
            int bottom = (int)(((int64_t)(y + 1) * a->in.h + a->out.h - 1) / a->out.h);
            int right = (int)(((int64_t)(x + 1) * a->in.w + a->out.w - 1) / a->out.w);
            for (int c = 0; c < a->in.c; c++) {
                double sum = 0;
                for (int v = top; v < bottom; v++)
                    for (int u = left; u < right; u++)
                        sum += sbv_load(sbv_pixel(&a->in, u, v), a->in.type, c);
                sbv_store(out, a->out.type, c, (float)(sum / ((double)(bottom - top) * (right - left))));
            }
        }
}
