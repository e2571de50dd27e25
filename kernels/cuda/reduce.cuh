/*
 * Sums over the threads of a block, added up in one order, so that results do not vary.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_REDUCE_H
#define SBV_KERNELS_CUDA_REDUCE_H

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/params.h"

constexpr unsigned ALL_LANES = 0xffffffffu;
constexpr int WARPS = SBV_REDUCE_THREADS / 32;

/* A sum of many numbers that loses less than a few of its last bits: Kahan's. */
struct Sum {
    float sum, lost;

    __device__ __forceinline__ void add(float value)
    {
        const float next = __fadd_rn(value, -lost), total = __fadd_rn(sum, next);
        lost = __fadd_rn(__fadd_rn(total, -sum), -next);
        sum = total;
    }
};

__device__ __forceinline__ float sum_of_warp(float value)
{
#pragma unroll
    for (int lanes = 16; lanes; lanes /= 2)
        value += __shfl_xor_sync(ALL_LANES, value, lanes);
    return value;
}

/* The sum of a value of each thread of a block of SBV_REDUCE_THREADS, for all of them; `scratch`: WARPS floats. */
__device__ __forceinline__ float sum_of_block(float value, float *scratch)
{
    float total = 0.0f;
    value = sum_of_warp(value);
    if (threadIdx.x % 32 == 0)
        scratch[threadIdx.x / 32] = value;
    __syncthreads();
    for (int i = 0; i < WARPS; i++)
        total += scratch[i];
    __syncthreads();
    return total;
}

#endif /* SBV_KERNELS_CUDA_REDUCE_H */
