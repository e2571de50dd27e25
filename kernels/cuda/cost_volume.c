/*
 * The cost volume on the device: launches of cost_volume.cu.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/device.h"
#include "kernels/cuda/params.h"

_Static_assert(SBV_COST_SHARED == 41472, "kernels.h says how much shared memory the cost volume takes");

void sbv_cost_volume_cuda(sbv_backend *b, const sbv_cost_args *a, int count, int jobs)
{
    sbv_cost_params p = {.a = *a, .rows = jobs, .wide_first = 1, .wide_second = 1, .batch.count = count};
    void *params[] = {&p};
    for (int i = 0; i < count; i++) {
        p.batch.in[i] = a[i].first.data;
        p.batch.other[i] = a[i].second.data;
        p.batch.out[i] = a[i].out.data;
        p.wide_first = p.wide_first && sbv_map_is_wide(&a[i].first);
        p.wide_second = p.wide_second && sbv_map_is_wide(&a[i].second);
    }
    if (jobs > 0 && a->first.w > 0)
        sbv_cuda_launch((sbv_cuda *)b, SBV_KERNEL_COST_VOLUME, sbv_blocks(a->first.w, SBV_COST_TILE_W),
                        sbv_blocks(jobs, SBV_COST_TILE_H), (unsigned)count, SBV_COST_THREADS, SBV_COST_SHARED, params);
}
