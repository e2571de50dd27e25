/*
 * The linear layer, softmax and channel attention on the device: launches of dense.cu.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/launch.h"

void sbv_linear_cuda(sbv_backend *b, const sbv_linear_args *a, int jobs)
{
    sbv_cuda_launch_sums(b, SBV_KERNEL_LINEAR, jobs, 1, 1, a);
}

void sbv_softmax_cuda(sbv_backend *b, const sbv_softmax_args *a, int jobs)
{
    sbv_cuda_launch_sums(b, SBV_KERNEL_SOFTMAX, jobs, 1, 1, a);
}

void sbv_attention_cuda(sbv_backend *b, const sbv_attention_args *a, int jobs)
{
    sbv_attention_params p = {.a = *a};
    p.wide = sbv_map_is_wide(&a->in) && sbv_map_is_wide(&a->branch) && sbv_map_is_wide(&a->out);
    p.group = p.wide ? SBV_IMAGE_GROUP : 1;
    sbv_cuda_launch_rows(b, SBV_KERNEL_ATTENTION, (int64_t)a->out.w * sbv_blocks(a->out.c, p.group), jobs, &p);
}
