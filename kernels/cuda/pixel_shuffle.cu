/*
 * Pixel shuffle on the device; see kernels/reference/pixel_shuffle.c.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/params.h"
#include "kernels/cuda/samples.h"

/* A thread for a pixel of the output. */
KERNEL(LAUNCH_BOUNDS(SBV_IMAGE_THREADS, 4) sbv_pixel_shuffle, const sbv_shuffle_args a)
{
    const int s = a.factor, x = blockIdx.x * SBV_IMAGE_THREADS + threadIdx.x, y = row_of_block();
    if (x >= a.out.w || y >= a.out.h)
        return;
    const int64_t in = sample_offset(a.in, x / s, y / s) + y % s * s + x % s, out = sample_offset(a.out, x, y);
    for (int c = 0; c < a.out.c; c++)
        store_sample(a.out, out + c, (a.add ? load_sample(a.out, out + c) : 0.0f) + load_sample(a.in, in + c * s * s));
}
