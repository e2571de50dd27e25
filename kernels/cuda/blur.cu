/*
 * Blur and reduction, their adjoint, and the arithmetic of a descent along it, on the device. The
 * formulas are those of kernels/reference/blur.c. Sums of squares are added up in one order, so that results do not
 * vary.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/params.h"
#include "kernels/cuda/samples.h"
#include "kernels/cuda/reduce.cuh"

namespace
{

constexpr int CHANNELS = SBV_BLUR_CHANNELS;

__device__ __forceinline__ int clamped(int at, int size)
{
    return max(0, min(at, size - 1));
}

/* The entries first .. last - 1 of the blur, along one axis, through which D reads pixel `at` of `size` for its
 * sample. */
__device__ __forceinline__ void taps(const sbv_blur_up_args &a, int at, int size, int sample, int *first, int *last)
{
    const int tap = at - a.factor * sample + a.side / 2;
    *first = at == 0 ? 0 : max(tap, 0);
    *last = at == size - 1 ? a.side : min(tap + 1, a.side);
}

/* The sum of `count` floats, for all threads of a block; `scratch` as for sum_of_block. */
__device__ __forceinline__ float total(const float *sums, int count, float *scratch)
{
    Sum sum = {};
    for (int i = threadIdx.x; i < count; i += SBV_REDUCE_THREADS)
        sum.add(sums[i]);
    return sum_of_block(sum.sum, scratch);
}

} // namespace

/* A thread for a pixel. */
KERNEL(LAUNCH_BOUNDS(SBV_IMAGE_THREADS, 4) sbv_blur_down, const sbv_blur_down_args a)
{
    const int x = blockIdx.x * SBV_IMAGE_THREADS + threadIdx.x, y = row_of_block(), half = a.side / 2;
    float sum[CHANNELS] = {};
    if (x >= a.out.w || y >= a.out.h)
        return;
    for (int i = 0; i < a.side; i++) {
        const float *row =
            static_cast<const float *>(a.in.data) + sample_offset(a.in, 0, clamped(a.factor * y + i - half, a.in.h));
        for (int j = 0; j < a.side; j++) {
            const float *in = row + clamped(a.factor * x + j - half, a.in.w) * a.in.pixel;
            const float weight = a.blur[i * a.side + j];
#pragma unroll
            for (int c = 0; c < CHANNELS; c++)
                if (c < a.in.c)
                    sum[c] += weight * (a.clamp ? fminf(fmaxf(in[c], 0.0f), 1.0f) : in[c]);
        }
    }
    float *out = static_cast<float *>(a.out.data) + sample_offset(a.out, x, y);
    const float *from = static_cast<const float *>(a.from.data) + sample_offset(a.from, x, y);
#pragma unroll
    for (int c = 0; c < CHANNELS; c++)
        if (c < a.out.c)
            out[c] = a.from.data ? from[c] - sum[c] : sum[c];
}

/* A thread for a pixel. */
KERNEL(LAUNCH_BOUNDS(SBV_IMAGE_THREADS, 4) sbv_blur_up, const sbv_blur_up_args a)
{
    const int x = blockIdx.x * SBV_IMAGE_THREADS + threadIdx.x, y = row_of_block();
    const int reach = (a.side / 2 + a.factor - 1) / a.factor; /* in samples of in */
    float sum[CHANNELS] = {};
    int top, bottom, left, right;
    if (x >= a.out.w || y >= a.out.h)
        return;
    const int u0 = clamped(x / a.factor - reach, a.in.w), u1 = clamped(x / a.factor + reach, a.in.w);
    const int v0 = clamped(y / a.factor - reach, a.in.h), v1 = clamped(y / a.factor + reach, a.in.h);
    for (int v = v0; v <= v1; v++) {
        taps(a, y, a.out.h, v, &top, &bottom);
        for (int u = u0; u <= u1 && top < bottom; u++) {
            const float *in = static_cast<const float *>(a.in.data) + sample_offset(a.in, u, v);
            float weight = 0.0f;
            taps(a, x, a.out.w, u, &left, &right);
            for (int i = top; i < bottom; i++)
                for (int j = left; j < right; j++)
                    weight += a.blur[i * a.side + j];
#pragma unroll
            for (int c = 0; c < CHANNELS; c++)
                if (c < a.in.c)
                    sum[c] += weight * in[c];
        }
    }
    float *out = static_cast<float *>(a.out.data) + sample_offset(a.out, x, y);
#pragma unroll
    for (int c = 0; c < CHANNELS; c++)
        if (c < a.out.c)
            out[c] = sum[c];
}

/* A block for a row. */
KERNEL(LAUNCH_BOUNDS(SBV_REDUCE_THREADS, 2) sbv_sum_squares, const sbv_sum_squares_args a)
{
    DYN_SMEM();
    SMEM_ARRAY(float, scratch, 0, WARPS);
    const int y = blockIdx.x;
    Sum sum = {};
    for (int i = threadIdx.x; i < a.in.w * a.in.c; i += SBV_REDUCE_THREADS) {
        const float value = static_cast<const float *>(a.in.data)[sample_offset(a.in, i / a.in.c, y) + i % a.in.c];
        sum.add(value * value);
    }
    const float all = sum_of_block(sum.sum, scratch);
    if (threadIdx.x == 0)
        a.out[y] = all;
}

/* One block. */
KERNEL(LAUNCH_BOUNDS(SBV_REDUCE_THREADS, 2) sbv_step, const sbv_step_args a)
{
    DYN_SMEM();
    SMEM_ARRAY(float, scratch, 0, WARPS);
    const float residual = total(a.residual, a.rows, scratch);
    const float gradient = total(a.gradient, a.gradient_rows, scratch), lowered = total(a.lowered, a.rows, scratch);
    if (threadIdx.x == 0)
        *a.step = residual > a.enough && lowered > 0.0f ? fminf(gradient / lowered, a.most) : 0.0f;
}

/* A thread for a pixel. */
KERNEL(LAUNCH_BOUNDS(SBV_IMAGE_THREADS, 4) sbv_advance, const sbv_advance_args a)
{
    const int x = blockIdx.x * SBV_IMAGE_THREADS + threadIdx.x, y = row_of_block();
    const float factor = a.sign * *a.step;
    if (x >= a.out.w || y >= a.out.h)
        return;
    float *out = static_cast<float *>(a.out.data) + sample_offset(a.out, x, y);
    const float *in = static_cast<const float *>(a.in.data) + sample_offset(a.in, x, y);
    for (int c = 0; c < a.out.c; c++)
        out[c] += factor * in[c];
}
