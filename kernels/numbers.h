/*
 * Arithmetic of whole numbers that C does not have, for the host.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_NUMBERS_H
#define SBV_KERNELS_NUMBERS_H

#include <stddef.h>

static inline int sbv_min(int a, int b)
{
    return a < b ? a : b;
}

static inline int sbv_max(int a, int b)
{
    return a > b ? a : b;
}

static inline int sbv_clamp(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

/* To the next multiple. */
static inline int sbv_round_up(int value, int to)
{
    return (value + to - 1) / to * to;
}

static inline size_t sbv_align(size_t bytes, size_t to)
{
    return (bytes + to - 1) / to * to;
}

#endif /* SBV_KERNELS_NUMBERS_H */
