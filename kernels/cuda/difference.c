/*
 * The difference of two frames on the device: launches of difference.cu.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/launch.h"

void sbv_difference_cuda(sbv_backend *b, const sbv_difference_args *a, int jobs)
{
    sbv_cuda_launch_sums(b, SBV_KERNEL_DIFFERENCE, jobs, 1, 1, a);
}
