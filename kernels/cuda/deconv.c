/*
 * The transposed convolution on the device: launches of deconv.cu.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "kernels/cuda/device.h"
#include "kernels/cuda/params.h"

/* Grids are at most this high. */
#define MAX_GRID_Y 65535

void sbv_deconv_cuda(sbv_backend *b, const sbv_deconv_args *a, int count, int jobs)
{
    sbv_deconv_params p = {.rows = jobs, .count = count};
    memcpy(p.a, a, (size_t)count * sizeof(*a));
    if (jobs > 0)
        sbv_cuda_launch((sbv_cuda *)b, SBV_KERNEL_DECONV, (unsigned)sbv_tiles(a->out.w, SBV_DECONV_WARPS),
                        (unsigned)(jobs < MAX_GRID_Y ? jobs : MAX_GRID_Y), (unsigned)count, SBV_DECONV_WARPS * 32, 0,
                        (void *[]){&p});
}
