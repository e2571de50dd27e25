/*
 * Changes of size, copies, and what KernelNet needs besides convolutions, on the device. The formulas are those of
 * kernels/reference/resize.c and kernels/reference/dense.c. Every sum is added up in one order, so that results do not vary.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/image.h"
#include "kernels/cuda/samples.h"
#include "kernels/cuda/reduce.cuh"

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

/* ---- Bilinear resize ---- */

/* Source position of output sample `at` of `out` when `in` samples are resized. Rounded step by step as in the C twin:
 * a position next to a whole number must fall on the same side of it. */
__device__ __forceinline__ void source(int at, int in, int out, int *first, int *second, float *fraction)
{
    const float scale = static_cast<float>(in) / static_cast<float>(out);
    float position = __fadd_rn(__fmul_rn(static_cast<float>(at) + 0.5f, scale), -0.5f);
    position = position > 0.0f ? position : 0.0f;
    *first = static_cast<int>(position) < in - 1 ? static_cast<int>(position) : in - 1;
    *second = *first + 1 < in ? *first + 1 : *first;
    *fraction = position - static_cast<float>(*first);
}

/* Neighbours of in that a sample of the moved result is made of, along one axis, and their weights. */
struct Neighbours {
    int first;
    float weight[SBV_MOVE_TAPS];
};

__device__ __forceinline__ Neighbours moved_source(int at, int in, int out, int move)
{
    Neighbours n = {};
#pragma unroll
    for (int i = 0; i < SBV_MOVE_TAPS; i++) {
        const float weight = i == 0 || i == SBV_MOVE_TAPS - 1 ? SBV_MOVE_FAR : SBV_MOVE_NEAR;
        int first, second;
        float fraction;
        source(max(0, min(at - move / 2 - 1 + i, out - 1)), in, out, &first, &second, &fraction);
        if (i == 0)
            n.first = first;
#pragma unroll
        for (int j = 0; j < SBV_MOVE_TAPS; j++) {
            n.weight[j] += first - n.first == j ? weight * (1.0f - fraction) : 0.0f;
            n.weight[j] += second - n.first == j ? weight * fraction : 0.0f;
        }
    }
    return n;
}

/* ---- Luma ---- */

__device__ __forceinline__ float luma(const sbv_map &map, int64_t at)
{
    return 0.299f * load_sample(map, at) + 0.587f * load_sample(map, at + 1) + 0.114f * load_sample(map, at + 2);
}

} // namespace

/* A thread for a pixel; blockIdx.y is the row. */
KERNEL(LAUNCH_BOUNDS(SBV_IMAGE_THREADS, 4) sbv_resize, const sbv_resize_args a)
{
    const int x = blockIdx.x * SBV_IMAGE_THREADS + threadIdx.x, y = blockIdx.y;
    int y0, y1, x0, x1;
    float fy, fx;
    if (x >= a.out.w)
        return;
    source(a.y0 + y, a.in.h, a.full_h, &y0, &y1, &fy);
    source(a.x0 + x, a.in.w, a.full_w, &x0, &x1, &fx);
    const int64_t out = sample_offset(a.out, x, y);
#pragma unroll
    for (int c = 0; c < SBV_RESIZE_CHANNELS; c++) {
        if (c >= a.in.c)
            break;
        const float top = (1.0f - fx) * load_sample(a.in, sample_offset(a.in, x0, y0) + c) +
                          fx * load_sample(a.in, sample_offset(a.in, x1, y0) + c);
        const float bottom = (1.0f - fx) * load_sample(a.in, sample_offset(a.in, x0, y1) + c) +
                             fx * load_sample(a.in, sample_offset(a.in, x1, y1) + c);
        const float value = (1.0f - fy) * top + fy * bottom;
        store_sample(a.out, out + c, a.gain[c] != 0.0f ? value * a.gain[c] : value);
    }
}

/* The same of the moved result. */
KERNEL(LAUNCH_BOUNDS(SBV_IMAGE_THREADS, 4) sbv_resize_moved, const sbv_resize_args a)
{
    const int x = blockIdx.x * SBV_IMAGE_THREADS + threadIdx.x, y = blockIdx.y;
    if (x >= a.out.w)
        return;
    const Neighbours v = moved_source(a.y0 + y, a.in.h, a.full_h, a.move);
    const Neighbours h = moved_source(a.x0 + x, a.in.w, a.full_w, a.move);
    float value[SBV_RESIZE_CHANNELS] = {};
#pragma unroll
    for (int i = 0; i < SBV_MOVE_TAPS; i++)
#pragma unroll
        for (int j = 0; j < SBV_MOVE_TAPS; j++) {
            /* what lies beyond the edge has no weight */
            const int64_t in = sample_offset(a.in, min(h.first + j, a.in.w - 1), min(v.first + i, a.in.h - 1));
            for (int c = 0; c < SBV_RESIZE_CHANNELS; c++)
                if (c < a.in.c)
                    value[c] += v.weight[i] * h.weight[j] * load_sample(a.in, in + c);
        }
    const int64_t out = sample_offset(a.out, x, y);
#pragma unroll
    for (int c = 0; c < SBV_RESIZE_CHANNELS; c++)
        if (c < a.in.c)
            store_sample(a.out, out + c, a.gain[c] != 0.0f ? value[c] * a.gain[c] : value[c]);
}

/* A thread for a pixel of the output; blockIdx.y is the row. */
KERNEL(LAUNCH_BOUNDS(SBV_IMAGE_THREADS, 4) sbv_pixel_shuffle, const sbv_shuffle_args a)
{
    const int s = a.factor, x = blockIdx.x * SBV_IMAGE_THREADS + threadIdx.x, y = blockIdx.y;
    if (x >= a.out.w)
        return;
    const int64_t in = sample_offset(a.in, x / s, y / s) + y % s * s + x % s, out = sample_offset(a.out, x, y);
    for (int c = 0; c < a.out.c; c++)
        store_sample(a.out, out + c, (a.add ? load_sample(a.out, out + c) : 0.0f) + load_sample(a.in, in + c * s * s));
}

/* A thread for `group` channels of one pixel; blockIdx.y is the row. */
KERNEL(LAUNCH_BOUNDS(SBV_IMAGE_THREADS, 4) sbv_copy, const sbv_copy_params p)
{
    const int groups = (p.a.in.c + p.group - 1) / p.group, unit = blockIdx.x * SBV_IMAGE_THREADS + threadIdx.x;
    const int x = unit / groups, y = blockIdx.y, channel = unit % groups * p.group;
    const int n = min(p.a.in.c - channel, p.group);
    float value[GROUP];
    if (x >= p.a.in.w)
        return;
    load_group(p.a.in, sample_offset(p.a.in, x, y) + channel, n, p.wide, value);
    store_group(p.a.out, sample_offset(p.a.out, x, y) + channel, n, p.wide, value);
}

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

/* A thread for `group` channels of one pixel; blockIdx.y is the row. */
KERNEL(LAUNCH_BOUNDS(SBV_IMAGE_THREADS, 4) sbv_attention, const sbv_attention_params p)
{
    const int groups = (p.a.out.c + p.group - 1) / p.group, unit = blockIdx.x * SBV_IMAGE_THREADS + threadIdx.x;
    const int x = unit / groups, y = blockIdx.y, channel = unit % groups * p.group;
    const int n = min(p.a.out.c - channel, p.group);
    float value[GROUP], branch[GROUP];
    if (x >= p.a.out.w)
        return;
    load_group(p.a.in, sample_offset(p.a.in, x, y) + channel, n, p.wide, value);
    load_group(p.a.branch, sample_offset(p.a.branch, x, y) + channel, n, p.wide, branch);
#pragma unroll
    for (int c = 0; c < GROUP; c++)
        if (c < n)
            value[c] += branch[c] / (1.0f + expf(-p.a.gain[channel + c]));
    store_group(p.a.out, sample_offset(p.a.out, x, y) + channel, n, p.wide, value);
}

/* A block for a row. */
KERNEL(LAUNCH_BOUNDS(SBV_REDUCE_THREADS, 2) sbv_difference, const sbv_difference_args a)
{
    DYN_SMEM();
    SMEM_ARRAY(float, scratch, 0, WARPS);
    const int y = blockIdx.x;
    float sum = 0.0f;
    for (int x = threadIdx.x; x < a.now.w; x += SBV_REDUCE_THREADS)
        sum += fabsf(luma(a.now, sample_offset(a.now, x, y)) - luma(a.before, sample_offset(a.before, x, y)));
    sum = sum_of_block(sum, scratch);
    if (threadIdx.x == 0)
        a.out[y] = sum;
}
