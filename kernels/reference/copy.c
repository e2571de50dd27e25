/*
 * Copy from one kind of map to another, plain C.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/samples.h"

void sbv_copy_c(const sbv_copy_args *a, int begin, int end)
{
    for (int y = begin; y < end; y++)
        for (int x = 0; x < a->in.w; x++) {
            const void *in = sbv_pixel(&a->in, x, y);
            void *out = sbv_pixel(&a->out, x, y);
            for (int c = 0; c < a->in.c; c++)
                sbv_store(out, a->out.type, c, sbv_load(in, a->in.type, c));
        }
}
