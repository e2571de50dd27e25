/*
 * How much two frames differ in luma, plain C.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>

#include "kernels/samples.h"

static float luma(const float *rgb)
{
    return 0.299f * rgb[0] + 0.587f * rgb[1] + 0.114f * rgb[2];
}

void sbv_difference_c(const sbv_difference_args *a, int begin, int end)
{
    for (int y = begin; y < end; y++) {
        double sum = 0;
        for (int x = 0; x < a->now.w; x++)
            sum += fabsf(luma(sbv_at(&a->now, x, y)) - luma(sbv_at(&a->before, x, y)));
        a->out[y] = (float)sum;
    }
}
