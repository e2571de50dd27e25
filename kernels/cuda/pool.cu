/*
 * Adaptive average pooling on the device; see kernels/reference/pool.c. Sums are added up in one order, so that results
 * do not vary.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/params.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/samples.h"

/* A block for GROUP channels, blockIdx.z, of one bin. */
KERNEL(LAUNCH_BOUNDS(SBV_REDUCE_THREADS, 2) sbv_adaptive_pool, const sbv_pool_params p)
{
    DYN_SMEM();
    SMEM_ARRAY(float, part, 0, WARPS *GROUP); /* [warp][channel] */
    const sbv_map &in = p.a.in, &out = p.a.out;
    const int x = blockIdx.x, y = blockIdx.y, channel = blockIdx.z * GROUP, n = min(in.c - channel, GROUP);
    const int top = static_cast<int>(static_cast<int64_t>(y) * in.h / out.h);
    const int left = static_cast<int>(static_cast<int64_t>(x) * in.w / out.w);
    const int bottom = static_cast<int>((static_cast<int64_t>(y + 1) * in.h + out.h - 1) / out.h);
    const int right = static_cast<int>((static_cast<int64_t>(x + 1) * in.w + out.w - 1) / out.w);
    const int w = right - left, count = w * (bottom - top);
    Sum sum[GROUP] = {};

#pragma unroll 4
    for (int i = threadIdx.x; i < count; i += SBV_REDUCE_THREADS) {
        float value[GROUP];
        load_group(in, sample_offset(in, left + i % w, top + i / w) + channel, n, p.wide, value);
#pragma unroll
        for (int c = 0; c < GROUP; c++)
            sum[c].add(value[c]);
    }
#pragma unroll
    for (int c = 0; c < GROUP; c++) {
        const float total = sum_of_warp(sum[c].sum);
        if (threadIdx.x % 32 == 0)
            part[threadIdx.x / 32 * GROUP + c] = total;
    }
    __syncthreads();
    if (static_cast<int>(threadIdx.x) < n) {
        float total = 0.0f;
        for (int i = 0; i < WARPS; i++)
            total += part[i * GROUP + threadIdx.x];
        store_sample(out, sample_offset(out, x, y) + channel + threadIdx.x, total / static_cast<float>(count));
    }
}
