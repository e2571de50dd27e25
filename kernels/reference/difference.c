/*
 * How much two frames differ in luma, plain C.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>

#include "kernels/samples.h"

static float luma(const float weight[3], const float *rgb)
{
    return weight[0] * rgb[0] + weight[1] * rgb[1] + weight[2] * rgb[2];
}

void sbv_difference_c(const sbv_difference_args *a, int begin, int end)
{
    for (int y = begin; y < end; y++) {
        double sum = 0;
        for (int x = 0; x < a->now.w; x++)
            sum += fabsf(luma(a->weight, sbv_at(&a->now, x, y)) - luma(a->weight, sbv_at(&a->before, x, y)));
        a->out[y] = (float)sum;
    }
}
