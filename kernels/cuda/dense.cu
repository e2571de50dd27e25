/*
 * What KernelNet needs besides convolutions and pooling, on the device: linear layer, softmax, channel attention; the
 * formulas are those of kernels/reference/dense.c. Sums are added up in one order, so that results do not vary.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/params.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/samples.h"

namespace
{

/* The largest instead of the sum. */
__device__ __forceinline__ float largest_of_block(float value, float *scratch)
{
#pragma unroll
    for (int lanes = 16; lanes; lanes /= 2)
        value = fmaxf(value, __shfl_xor_sync(ALL_LANES, value, lanes));
    if (threadIdx.x % 32 == 0)
        scratch[threadIdx.x / 32] = value;
    __syncthreads();
    for (int i = 0; i < WARPS; i++)
        value = fmaxf(value, scratch[i]);
    __syncthreads();
    return value;
}

} // namespace

/* A block for an output. */
KERNEL(LAUNCH_BOUNDS(SBV_REDUCE_THREADS, 2) sbv_linear, const sbv_linear_args a)
{
    DYN_SMEM();
    SMEM_ARRAY(float, scratch, 0, WARPS);
    const float *weights = a.weights + static_cast<int64_t>(blockIdx.x) * a.inputs;
    float sum = 0.0f;
    for (int i = threadIdx.x; i < a.inputs; i += SBV_REDUCE_THREADS)
        sum += weights[i] * a.in[i];
    sum = sum_of_block(sum, scratch) + a.bias[blockIdx.x];
    if (threadIdx.x == 0)
        a.out[blockIdx.x] = sum > 0.0f ? sum : a.slope * sum;
}

/* One block. */
KERNEL(LAUNCH_BOUNDS(SBV_REDUCE_THREADS, 2) sbv_softmax, const sbv_softmax_args a)
{
    DYN_SMEM();
    SMEM_ARRAY(float, scratch, 0, WARPS);
    float largest = a.data[0], sum = 0.0f;
    for (int i = threadIdx.x; i < a.count; i += SBV_REDUCE_THREADS)
        largest = fmaxf(largest, a.data[i]);
    largest = largest_of_block(largest, scratch);
    for (int i = threadIdx.x; i < a.count; i += SBV_REDUCE_THREADS)
        sum += expf(a.data[i] - largest);
    sum = sum_of_block(sum, scratch);
    for (int i = threadIdx.x; i < a.count; i += SBV_REDUCE_THREADS)
        a.data[i] = expf(a.data[i] - largest) / sum;
}

/* A thread for `group` channels of one pixel. */
KERNEL(LAUNCH_BOUNDS(SBV_IMAGE_THREADS, 4) sbv_attention, const sbv_attention_params p)
{
    const int groups = (p.a.out.c + p.group - 1) / p.group, unit = blockIdx.x * SBV_IMAGE_THREADS + threadIdx.x;
    const int x = unit / groups, y = row_of_block(), channel = unit % groups * p.group;
    const int n = min(p.a.out.c - channel, p.group);
    float value[GROUP], branch[GROUP];
    if (x >= p.a.out.w || y >= p.a.out.h)
        return;
    load_group(p.a.in, sample_offset(p.a.in, x, y) + channel, n, p.wide, value);
    load_group(p.a.branch, sample_offset(p.a.branch, x, y) + channel, n, p.wide, branch);
#pragma unroll
    for (int c = 0; c < GROUP; c++)
        if (c < n)
            value[c] += branch[c] / (1.0f + expf(-p.a.gain[channel + c]));
    store_group(p.a.out, sample_offset(p.a.out, x, y) + channel, n, p.wide, value);
}
