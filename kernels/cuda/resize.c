/*
 * The resize on the device: launches of resize.cu.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/launch.h"

void sbv_resize_cuda(sbv_backend *b, const sbv_resize_args *a, int count, int jobs)
{
    sbv_resize_params p = {.a = *a, .batch.count = count};
    for (int i = 0; i < count; i++) {
        p.batch.in[i] = a[i].in.data;
        p.batch.out[i] = a[i].out.data;
    }
    sbv_cuda_launch_batch(b, a->move ? SBV_KERNEL_RESIZE_MOVED : SBV_KERNEL_RESIZE, a->out.w, jobs, count, &p);
}
