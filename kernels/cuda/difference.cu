/*
 * How much two frames differ in luma, on the device; see kernels/reference/difference.c. Sums are added up in one
 * order, so that results do not vary.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/params.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/samples.h"

namespace
{

__device__ __forceinline__ float luma(const sbv_map &map, int64_t at, const float weight[3])
{
    return weight[0] * load_sample(map, at) + weight[1] * load_sample(map, at + 1) +
           weight[2] * load_sample(map, at + 2);
}

} // namespace

/* A block for a row. */
KERNEL(LAUNCH_BOUNDS(SBV_REDUCE_THREADS, 2) sbv_difference, const sbv_difference_args a)
{
    DYN_SMEM();
    SMEM_ARRAY(float, scratch, 0, WARPS);
    const int y = blockIdx.x;
    float sum = 0.0f;
    for (int x = threadIdx.x; x < a.now.w; x += SBV_REDUCE_THREADS)
        sum += fabsf(luma(a.now, sample_offset(a.now, x, y), a.weight) -
                     luma(a.before, sample_offset(a.before, x, y), a.weight));
    sum = sum_of_block(sum, scratch);
    if (threadIdx.x == 0)
        a.out[y] = sum;
}
