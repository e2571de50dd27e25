/*
 * What a sample of a moved resize is made of: see sbv_resize_args. Found by plain C for the vectorised versions too.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_REFERENCE_RESIZE_TAPS_H
#define SBV_KERNELS_REFERENCE_RESIZE_TAPS_H

#include "kernels/ops.h"

/* Neighbours in the input along one axis, from `first` on, and their weights. Those beyond the input have none. */
typedef struct sbv_resize_taps {
    int first;
    float weight[SBV_MOVE_TAPS];
} sbv_resize_taps;

/* Those of sample `at` of `out` when `in` samples are resized and moved. */
sbv_resize_taps sbv_find_resize_taps(int at, int in, int out, int move);

#endif /* SBV_KERNELS_REFERENCE_RESIZE_TAPS_H */
