/*
 * Launches of kernels: see launch.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/launch.h"

_Static_assert(SBV_REDUCE_SHARED == 512, "kernels.h says how much shared memory sums take");

void sbv_cuda_launch_rows(sbv_backend *b, enum sbv_kernel_id kernel, int64_t threads, int rows, const void *args)
{
    sbv_cuda_launch_batch(b, kernel, threads, rows, 1, args);
}

void sbv_cuda_launch_batch(sbv_backend *b, enum sbv_kernel_id kernel, int64_t threads, int rows, int count,
                           const void *args)
{
    void *params[] = {(void *)args};
    if (threads > 0 && rows > 0)
        sbv_cuda_launch((sbv_cuda *)b, kernel, sbv_blocks(threads, SBV_IMAGE_THREADS), SBV_ROWS_Y(rows),
                        SBV_ROWS_Z(rows) * (unsigned)count, SBV_IMAGE_THREADS, 0, params);
}

void sbv_cuda_launch_sums(sbv_backend *b, enum sbv_kernel_id kernel, int x, int y, unsigned z, const void *args)
{
    void *params[] = {(void *)args};
    if (x > 0 && y > 0 && z > 0)
        sbv_cuda_launch((sbv_cuda *)b, kernel, (unsigned)x, (unsigned)y, z, SBV_REDUCE_THREADS, SBV_REDUCE_SHARED,
                        params);
}
