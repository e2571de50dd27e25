/*
 * What the convolution kernels share: samples of maps of either type, and what becomes of a sum.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_CONV_DEVICE_H
#define SBV_KERNELS_CUDA_CONV_DEVICE_H

#include "kernels/cuda/conv_params.h"
#include "kernels/cuda/gpu.h"

/* Whether this block has a part in its convolution of the batch. */
__device__ __forceinline__ bool has_work(const sbv_conv_batch &batch)
{
    return static_cast<int>(blockIdx.x) < batch.member[blockIdx.z].blocks;
}

/* The block's convolution of the batch, of which `first` is the first one. */
__device__ __forceinline__ sbv_conv_cuda_args member_of(const sbv_conv_cuda_args &first, const sbv_conv_batch &batch)
{
    const sbv_conv_member &m = batch.member[blockIdx.z];
    sbv_conv_cuda_args own = first;
    own.conv.in.data = m.in;
    own.conv.out.data = m.out;
    own.conv.residual.data = m.residual;
    own.conv.weights = m.weights;
    own.conv.bias = m.bias;
    own.conv.x0 = m.x0;
    own.conv.x1 = m.x1;
    own.conv.y0 = m.y0;
    own.tiles_x = m.tiles_x;
    return own;
}

__device__ __forceinline__ int64_t sample_offset(const sbv_map &map, int x, int y)
{
    return (int64_t)y * map.row + (int64_t)x * map.pixel;
}

__device__ __forceinline__ float load_sample(const sbv_map &map, int64_t offset)
{
    return map.type == SBV_MAP_F16 ? __half2float(static_cast<const __half *>(map.data)[offset])
                                   : static_cast<const float *>(map.data)[offset];
}

__device__ __forceinline__ void store_sample(const sbv_map &map, int64_t offset, float value)
{
    if (map.type == SBV_MAP_F16)
        static_cast<__half *>(map.data)[offset] = __float2half_rn(value);
    else
        static_cast<float *>(map.data)[offset] = value;
}

__device__ __forceinline__ float activate(float value, float slope)
{
    return value > 0 ? value : slope * value;
}

/* The end of the sum of one output: bias, activation, residual. */
__device__ __forceinline__ void finish_sample(const sbv_conv_args &a, int x, int y, int channel, float sum)
{
    float value = activate(sum + a.bias[channel], a.slope);
    if (a.residual.data)
        value += load_sample(a.residual, sample_offset(a.residual, x, y) + channel);
    store_sample(a.out, sample_offset(a.out, x, y) + channel, value);
}

/* A tap of the kernel and a channel: where the loading of a sum's factors has got to. Chunks of channels are the outer
 * loop and taps the inner one in all kernels, so that sums are added up in the same order and have the same bits. */
struct TapCursor {
    int kx, ky, channel;

    /* `taps` taps on, at most as many as there are in a row; behind the last one the next chunk begins. */
    __device__ __forceinline__ void advance(int taps, int ksize, int chunk)
    {
        kx += taps;
        while (kx >= ksize) {
            kx -= ksize;
            ky++;
        }
        if (ky >= ksize) {
            ky -= ksize;
            channel += chunk;
        }
    }
};

#endif /* SBV_KERNELS_CUDA_CONV_DEVICE_H */
