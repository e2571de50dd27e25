/*
 * Copy from one kind of map to another on the device; see kernels/reference/copy.c.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/params.h"
#include "kernels/cuda/samples.h"

/* A thread for `group` channels of one pixel. */
KERNEL(LAUNCH_BOUNDS(SBV_IMAGE_THREADS, 4) sbv_copy, const sbv_copy_params p)
{
    const int groups = (p.a.in.c + p.group - 1) / p.group, unit = blockIdx.x * SBV_IMAGE_THREADS + threadIdx.x;
    const int x = unit / groups, y = row_of_block(p.batch), channel = unit % groups * p.group;
    const int n = min(p.a.in.c - channel, p.group), member = member_of_block(p.batch);
    const sbv_map in = map_at(p.a.in, p.batch.in[member]), out = map_at(p.a.out, p.batch.out[member]);
    float value[GROUP];
    if (x >= in.w || y >= in.h)
        return;
    load_group(in, sample_offset(in, x, y) + channel, n, p.wide, value);
    store_group(out, sample_offset(out, x, y) + channel, n, p.wide, value);
}
