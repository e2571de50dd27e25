/*
 * The adaptive average pooling on the device: launches of pool.cu.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/launch.h"

void sbv_adaptive_pool_cuda(sbv_backend *b, const sbv_pool_args *a, int jobs)
{
    const sbv_pool_params p = {.a = *a, .wide = sbv_map_is_wide(&a->in)};
    sbv_cuda_launch_sums(b, SBV_KERNEL_ADAPTIVE_POOL, a->out.w, jobs, sbv_blocks(a->in.c, SBV_IMAGE_GROUP), &p);
}
