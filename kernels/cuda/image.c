/*
 * Launches of the kernels of image.cu.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/image.h"

_Static_assert(SBV_REDUCE_SHARED == 512, "kernels.h says how much shared memory sums take");

/* Rows of `threads` threads each, as blocks. */
static void launch_rows(sbv_backend *b, enum sbv_kernel_id kernel, int64_t threads, int rows, const void *args)
{
    void *params[] = {(void *)args};
    if (threads > 0 && rows > 0)
        sbv_cuda_launch((sbv_cuda *)b, kernel, sbv_blocks(threads, SBV_IMAGE_THREADS), (unsigned)rows, 1,
                        SBV_IMAGE_THREADS, 0, params);
}

/* A block for every x, y and z. */
static void launch_blocks(sbv_backend *b, enum sbv_kernel_id kernel, int x, int y, unsigned z, const void *args)
{
    void *params[] = {(void *)args};
    if (x > 0 && y > 0 && z > 0)
        sbv_cuda_launch((sbv_cuda *)b, kernel, (unsigned)x, (unsigned)y, z, SBV_REDUCE_THREADS, SBV_REDUCE_SHARED,
                        params);
}

void sbv_resize_cuda(sbv_backend *b, const sbv_resize_args *a, int jobs)
{
    launch_rows(b, a->move ? SBV_KERNEL_RESIZE_MOVED : SBV_KERNEL_RESIZE, a->out.w, jobs, a);
}

void sbv_pixel_shuffle_cuda(sbv_backend *b, const sbv_shuffle_args *a, int jobs)
{
    launch_rows(b, SBV_KERNEL_PIXEL_SHUFFLE, a->out.w, jobs, a);
}

void sbv_copy_cuda(sbv_backend *b, const sbv_copy_args *a, int jobs)
{
    sbv_copy_params p = {.a = *a, .wide = sbv_map_is_wide(&a->in) && sbv_map_is_wide(&a->out)};
    p.group = p.wide ? SBV_IMAGE_GROUP : 1;
    launch_rows(b, SBV_KERNEL_COPY, (int64_t)a->in.w * sbv_blocks(a->in.c, p.group), jobs, &p);
}

void sbv_adaptive_pool_cuda(sbv_backend *b, const sbv_pool_args *a, int jobs)
{
    const sbv_pool_params p = {.a = *a, .wide = sbv_map_is_wide(&a->in)};
    launch_blocks(b, SBV_KERNEL_ADAPTIVE_POOL, a->out.w, jobs, sbv_blocks(a->in.c, SBV_IMAGE_GROUP), &p);
}

void sbv_linear_cuda(sbv_backend *b, const sbv_linear_args *a, int jobs)
{
    launch_blocks(b, SBV_KERNEL_LINEAR, jobs, 1, 1, a);
}

void sbv_softmax_cuda(sbv_backend *b, const sbv_softmax_args *a, int jobs)
{
    launch_blocks(b, SBV_KERNEL_SOFTMAX, jobs, 1, 1, a);
}

void sbv_attention_cuda(sbv_backend *b, const sbv_attention_args *a, int jobs)
{
    sbv_attention_params p = {.a = *a};
    p.wide = sbv_map_is_wide(&a->in) && sbv_map_is_wide(&a->branch) && sbv_map_is_wide(&a->out);
    p.group = p.wide ? SBV_IMAGE_GROUP : 1;
    launch_rows(b, SBV_KERNEL_ATTENTION, (int64_t)a->out.w * sbv_blocks(a->out.c, p.group), jobs, &p);
}

void sbv_difference_cuda(sbv_backend *b, const sbv_difference_args *a, int jobs)
{
    launch_blocks(b, SBV_KERNEL_DIFFERENCE, jobs, 1, 1, a);
}
