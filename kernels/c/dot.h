/*
 * Dot product, plain C: in eight partial sums, which the compiler can keep in a vector and which round less.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_C_DOT_H
#define SBV_KERNELS_C_DOT_H

static inline float sbv_dot(const float *a, const float *b, int n)
{
    float part[8] = {0}, sum = 0;
    int i = 0;
    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++)
            part[k] += a[i + k] * b[i + k];
    for (int k = 0; k < 8; k++)
        sum += part[k];
    for (; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

#endif /* SBV_KERNELS_C_DOT_H */
