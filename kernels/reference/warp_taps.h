/*
 * Where a warp reads: see sbv_warp_args. This arithmetic is there once, in plain C, for the vectorised versions too:
 * whether a pixel is masked depends on its last bit.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_REFERENCE_WARP_TAPS_H
#define SBV_KERNELS_REFERENCE_WARP_TAPS_H

#include "kernels/ops.h"

/* The four taps of a bilinear sample, row by row: pixels of the input, inside it, and their weights. */
typedef struct sbv_warp_taps {
    int masked; /* the result is zero, whatever the taps say */
    int x[2], y[2];
    float weight[4];
} sbv_warp_taps;

/* Those of the output pixels x .. x + count - 1 of row y. */
void sbv_find_warp_taps(const sbv_warp_args *a, int x, int y, int count, sbv_warp_taps *taps);

#endif /* SBV_KERNELS_REFERENCE_WARP_TAPS_H */
