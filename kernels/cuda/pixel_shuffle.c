/*
 * The pixel shuffle on the device: launches of pixel_shuffle.cu.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/launch.h"

void sbv_pixel_shuffle_cuda(sbv_backend *b, const sbv_shuffle_args *a, int jobs)
{
    sbv_cuda_launch_rows(b, SBV_KERNEL_PIXEL_SHUFFLE, a->out.w, jobs, a);
}
