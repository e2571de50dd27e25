/*
 * Launches of the kernels of blur.cu.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/image.h"

/* Rows of `width` pixels, a thread for each. */
static void launch_pixels(sbv_backend *b, enum sbv_kernel_id kernel, int width, int rows, const void *args)
{
    void *params[] = {(void *)args};
    if (width > 0 && rows > 0)
        sbv_cuda_launch((sbv_cuda *)b, kernel, sbv_blocks(width, SBV_IMAGE_THREADS), (unsigned)rows, 1,
                        SBV_IMAGE_THREADS, 0, params);
}

/* A block for each of the sums. */
static void launch_sums(sbv_backend *b, enum sbv_kernel_id kernel, int sums, const void *args)
{
    void *params[] = {(void *)args};
    if (sums > 0)
        sbv_cuda_launch((sbv_cuda *)b, kernel, (unsigned)sums, 1, 1, SBV_REDUCE_THREADS, SBV_REDUCE_SHARED, params);
}

void sbv_blur_down_cuda(sbv_backend *b, const sbv_blur_down_args *a, int jobs)
{
    launch_pixels(b, SBV_KERNEL_BLUR_DOWN, a->out.w, jobs, a);
}

void sbv_blur_up_cuda(sbv_backend *b, const sbv_blur_up_args *a, int jobs)
{
    launch_pixels(b, SBV_KERNEL_BLUR_UP, a->out.w, jobs, a);
}

void sbv_sum_squares_cuda(sbv_backend *b, const sbv_sum_squares_args *a, int jobs)
{
    launch_sums(b, SBV_KERNEL_SUM_SQUARES, jobs, a);
}

void sbv_step_cuda(sbv_backend *b, const sbv_step_args *a, int jobs)
{
    launch_sums(b, SBV_KERNEL_STEP, jobs, a);
}

void sbv_advance_cuda(sbv_backend *b, const sbv_advance_args *a, int jobs)
{
    launch_pixels(b, SBV_KERNEL_ADVANCE, a->out.w, jobs, a);
}
