/*
 * Exact convolutions: products and sums of floats, for sessions in fp32 and as a check on the faster kernels.
 *
 * The convolution is a matrix product, pixels times outputs, whose rows of inputs are gathered tap by tap. A block
 * computes 64 pixels, in reading order, of 64 outputs, a thread 4x4 of them; 16 input channels of a tap are in shared
 * memory while the next 16 are on their way in registers.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/conv_device.h"

namespace
{

constexpr int PIXELS = SBV_CONV_F32_PIXELS, OUTPUTS = SBV_CONV_F32_OUTPUTS, CHANNELS = SBV_CONV_F32_CHANNELS;
constexpr int PITCH = SBV_CONV_F32_PITCH, BUFFER = CHANNELS * PITCH;
constexpr int QUAD = 4; /* samples that a thread loads, and pixels and outputs that it computes */
static_assert(PIXELS == OUTPUTS && PIXELS * CHANNELS == SBV_CONV_F32_THREADS * QUAD, "one quad a thread");

/* What a thread brings to a step: four channels of a pixel, and of an output's weights. */
struct Factors {
    float in[QUAD], weights[QUAD];
};

struct Loader {
    int x, y;     /* of the input at the first tap */
    int output;   /* past the packed outputs: zeros */
    int inside;   /* the pixel is one of the range */
    int channels; /* first of the four in a chunk */

    __device__ void locate(const sbv_conv_cuda_args &p, int64_t pixel, int first_output, int thread)
    {
        const sbv_conv_args &a = p.conv;
        const int width = a.x1 - a.x0;
        pixel += thread / QUAD;
        inside = pixel < (int64_t)width * p.rows;
        x = (a.x0 + (int)(pixel % width)) * a.stride - a.padding;
        y = (a.y0 + (int)(pixel / width)) * a.stride - a.padding;
        output = first_output + thread / QUAD;
        channels = thread % QUAD * QUAD;
    }

    __device__ void load(Factors &f, const sbv_conv_cuda_args &p, const TapCursor &tap) const
    {
        const sbv_conv_args &a = p.conv;
        const int at_x = x + tap.kx * a.dilation, at_y = y + tap.ky * a.dilation, channel = tap.channel + channels;
        const int ok = inside && at_x >= 0 && at_x < a.in.w && at_y >= 0 && at_y < a.in.h;
        const int64_t from = sample_offset(a.in, at_x, at_y) + channel;
        const float *weights = static_cast<const float *>(a.weights) +
                               ((int64_t)(tap.ky * a.ksize + tap.kx) * p.out_packed + output) * p.in_packed + channel;
#pragma unroll
        for (int i = 0; i < QUAD; i++) {
            f.in[i] = ok && channel + i < a.in.c ? load_sample(a.in, from + i) : 0;
            f.weights[i] = output < p.out_packed ? weights[i] : 0;
        }
    }

    __device__ void store(const Factors &f, float *in, float *weights, int thread) const
    {
#pragma unroll
        for (int i = 0; i < QUAD; i++) {
            in[(channels + i) * PITCH + thread / QUAD] = f.in[i];
            weights[(channels + i) * PITCH + thread / QUAD] = f.weights[i];
        }
    }
};

__device__ __forceinline__ void multiply(float (&sum)[QUAD][QUAD], const float *in, const float *weights)
{
#pragma unroll
    for (int k = 0; k < CHANNELS; k++) {
        float a[QUAD], b[QUAD];
#pragma unroll
        for (int i = 0; i < QUAD; i++) {
            a[i] = in[k * PITCH + i];
            b[i] = weights[k * PITCH + i];
        }
#pragma unroll
        for (int i = 0; i < QUAD; i++)
#pragma unroll
            for (int j = 0; j < QUAD; j++)
                sum[i][j] += a[i] * b[j];
    }
}

__device__ void finish(const sbv_conv_cuda_args &p, const float (&sum)[QUAD][QUAD], int64_t pixel, int output)
{
    const sbv_conv_args &a = p.conv;
    const int width = a.x1 - a.x0;
#pragma unroll
    for (int i = 0; i < QUAD; i++) {
        if (pixel + i >= (int64_t)width * p.rows)
            break;
        const int x = a.x0 + (int)((pixel + i) % width), y = a.y0 + (int)((pixel + i) / width);
#pragma unroll
        for (int j = 0; j < QUAD; j++)
            if (output + j < a.out.c)
                finish_sample(a, x, y, output + j, sum[i][j]);
    }
}

} // namespace

/* Grid: tiles of pixels x tiles of outputs x convolutions of the batch. */
KERNEL(LAUNCH_BOUNDS(SBV_CONV_F32_THREADS, 2) sbv_conv_f32, const sbv_conv_cuda_args first, const sbv_conv_batch batch)
{
    DYN_SMEM();
    SMEM_ARRAY(float, in, 0, 2 * BUFFER);
    SMEM_ARRAY(float, weights, 2 * BUFFER * sizeof(float), 2 * BUFFER);
    if (!has_work(batch))
        return;
    const sbv_conv_cuda_args p = member_of(first, batch);
    const int thread = (int)threadIdx.x, row = thread / 16 * QUAD, column = thread % 16 * QUAD;
    const int64_t pixel = (int64_t)blockIdx.x * PIXELS;
    const int output = (int)blockIdx.y * OUTPUTS;
    const int ksize = p.conv.ksize, steps = (p.conv.in.c + CHANNELS - 1) / CHANNELS * ksize * ksize;
    float sum[QUAD][QUAD] = {};
    TapCursor tap = {0, 0, 0};
    Loader loader;
    Factors factors;

    loader.locate(p, pixel, output, thread);
    loader.load(factors, p, tap);
    loader.store(factors, in, weights, thread);
    __syncthreads();
    for (int step = 0; step < steps; step++) {
        const int now = (step & 1) * BUFFER, next = BUFFER - now, more = step + 1 < steps;
        if (more) {
            tap.advance(1, ksize, CHANNELS);
            loader.load(factors, p, tap);
        }
        multiply(sum, in + now + row, weights + now + column);
        if (more)
            loader.store(factors, in + next, weights + next, thread);
        __syncthreads();
    }
    finish(p, sum, pixel + row, output + column);
}
