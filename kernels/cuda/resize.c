/*
 * The resize on the device: launches of resize.cu.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/launch.h"

void sbv_resize_cuda(sbv_backend *b, const sbv_resize_args *a, int jobs)
{
    sbv_cuda_launch_rows(b, a->move ? SBV_KERNEL_RESIZE_MOVED : SBV_KERNEL_RESIZE, a->out.w, jobs, a);
}
