/*
 * The copy on the device: launches of copy.cu.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/launch.h"

void sbv_copy_cuda(sbv_backend *b, const sbv_copy_args *a, int count, int jobs)
{
    sbv_copy_params p = {.a = *a, .wide = 1, .batch.count = count};
    for (int i = 0; i < count; i++) {
        p.batch.in[i] = a[i].in.data;
        p.batch.out[i] = a[i].out.data;
        p.wide = p.wide && sbv_map_is_wide(&a[i].in) && sbv_map_is_wide(&a[i].out);
    }
    p.group = p.wide ? SBV_IMAGE_GROUP : 1;
    sbv_cuda_launch_batch(b, SBV_KERNEL_COPY, (int64_t)a->in.w * sbv_blocks(a->in.c, p.group), jobs, count, &p);
}
