/*
 * Dot product, plain C: in eight partial sums, which the compiler can keep in a vector and which round less. Either
 * side may be floats or bfloat16.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_REFERENCE_DOT_H
#define SBV_KERNELS_REFERENCE_DOT_H

#include "kernels/samples.h"

static inline float sbv_dot(const void *a, enum sbv_type a_type, const void *b, enum sbv_type b_type, int n)
{
    float part[8] = {0}, sum = 0;
    int i = 0;
    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++)
            part[k] += sbv_load(a, a_type, i + k) * sbv_load(b, b_type, i + k);
    for (int k = 0; k < 8; k++)
        sum += part[k];
    for (; i < n; i++)
        sum += sbv_load(a, a_type, i) * sbv_load(b, b_type, i);
    return sum;
}

#endif /* SBV_KERNELS_REFERENCE_DOT_H */
