/*
 * The warp on the device: launches of warp.cu.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/launch.h"

void sbv_warp_cuda(sbv_backend *b, const sbv_warp_args *a, int count, int jobs)
{
    sbv_warp_params p = {.a = *a, .wide = 1, .batch.count = count};
    for (int i = 0; i < count; i++) {
        p.batch.in[i] = a[i].in.data;
        p.batch.out[i] = a[i].out.data;
        p.batch.other[i] = a[i].flow.data;
        p.wide = p.wide && sbv_map_is_wide(&a[i].in) && sbv_map_is_wide(&a[i].out);
    }
    p.group = p.wide ? SBV_IMAGE_GROUP : 1;
    sbv_cuda_launch_batch(b, SBV_KERNEL_WARP, (int64_t)a->out.w * sbv_blocks(a->in.c, p.group), jobs, count, &p);
}
