/*
 * Launches of the kernels of blur.cu.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/launch.h"

void sbv_blur_down_cuda(sbv_backend *b, const sbv_blur_down_args *a, int jobs)
{
    sbv_cuda_launch_rows(b, SBV_KERNEL_BLUR_DOWN, a->out.w, jobs, a);
}

void sbv_blur_up_cuda(sbv_backend *b, const sbv_blur_up_args *a, int jobs)
{
    sbv_cuda_launch_rows(b, SBV_KERNEL_BLUR_UP, a->out.w, jobs, a);
}

void sbv_sum_squares_cuda(sbv_backend *b, const sbv_sum_squares_args *a, int jobs)
{
    sbv_cuda_launch_sums(b, SBV_KERNEL_SUM_SQUARES, jobs, 1, 1, a);
}

void sbv_step_cuda(sbv_backend *b, const sbv_step_args *a, int jobs)
{
    sbv_cuda_launch_sums(b, SBV_KERNEL_STEP, jobs, 1, 1, a);
}

void sbv_advance_cuda(sbv_backend *b, const sbv_advance_args *a, int jobs)
{
    sbv_cuda_launch_rows(b, SBV_KERNEL_ADVANCE, a->out.w, jobs, a);
}
