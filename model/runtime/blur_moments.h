/*
 * The sum of a blur kernel.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_BLUR_MOMENTS_H
#define SBV_RUNTIME_BLUR_MOMENTS_H

#include "model/include/selfblindvsr.h"

/* Of side * side values; NAN where it has no sense. */
double sbv_blur_sum(const float *blur, int side);

#endif /* SBV_RUNTIME_BLUR_MOMENTS_H */
