/*
 * Linear layer, softmax, channel attention, plain C: what KernelNet needs besides convolutions and pooling.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>

#include "kernels/ops.h"
#include "kernels/reference/dot.h"

void sbv_linear_c(const sbv_linear_args *a, int begin, int end)
{
    for (int o = begin; o < end; o++) {
        float sum =
            a->bias[o] + sbv_dot(a->weights + (ptrdiff_t)o * a->inputs, SBV_MAP_F32, a->in, SBV_MAP_F32, a->inputs);
        a->out[o] = sum > 0 ? sum : a->slope * sum;
    }
}

void sbv_softmax_c(const sbv_softmax_args *a, int begin, int end)
{
    float largest = a->data[0];
    double sum = 0;
    (void)begin;
    (void)end;
    for (int i = 1; i < a->count; i++)
        largest = a->data[i] > largest ? a->data[i] : largest;
    for (int i = 0; i < a->count; i++)
        sum += a->data[i] = expf(a->data[i] - largest);
    for (int i = 0; i < a->count; i++)
        a->data[i] = (float)(a->data[i] / sum);
}

void sbv_attention_c(const sbv_attention_args *a, int begin, int end)
{
    for (int y = begin; y < end; y++)
        for (int x = 0; x < a->out.w; x++) {
            const void *in = sbv_pixel(&a->in, x, y), *branch = sbv_pixel(&a->branch, x, y);
            void *out = sbv_pixel(&a->out, x, y);
            for (int c = 0; c < a->out.c; c++)
                sbv_store(out, a->out.type, c,
                          sbv_load(in, a->in.type, c) + sbv_load(branch, a->branch.type, c) / (1 + expf(-a->gain[c])));
        }
}
