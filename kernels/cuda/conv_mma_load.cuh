/*
 * Convolutions by mma.sync: tiles, and how their factors get into shared memory. Part of conv_mma.cu.
 *
 * In shared memory a pixel, or an output's weights, is a row of four units of 16 bytes. Units are permuted so that
 * eight rows in a row, read at the same unit, lie in different banks.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_CONV_MMA_LOAD_H
#define SBV_KERNELS_CUDA_CONV_MMA_LOAD_H

#include "kernels/cuda/conv_device.h"

namespace
{

constexpr int STAGES = SBV_MMA_STAGES, CHANNELS = SBV_MMA_CHANNELS;
constexpr int UNIT = 8, UNITS = CHANNELS / UNIT, UNIT_BYTES = UNIT * 2; /* halves of a unit; units of a row */
constexpr int TILE = SBV_MMA_TILE, SLAB_WIDTH = SBV_MMA_SLAB_WIDTH, SLAB = SBV_MMA_SLAB / 2;

/* How a tile is divided among warps: WARPS_M x WARPS_N of them, TILES_M x TILES_N products of 16 pixels by 8 outputs
 * each. */
template <int WARPS_M_, int WARPS_N_, int TILES_M_, int TILES_N_> struct Tile {
    static constexpr int WARPS_M = WARPS_M_, TILES_M = TILES_M_, TILES_N = TILES_N_;
    static constexpr int THREADS = 32 * WARPS_M_ * WARPS_N_;
    static constexpr int PIXELS = 16 * WARPS_M_ * TILES_M_, OUTPUTS = 8 * WARPS_N_ * TILES_N_;
};

/* Offset of a unit, in halves. */
__device__ __forceinline__ int unit_at(int row, int unit)
{
    return row * CHANNELS + ((unit ^ (row >> 1 & 3)) * UNIT);
}

__device__ __forceinline__ const __half *in_pixel(const sbv_map &in, int x, int y)
{
    return static_cast<const __half *>(in.data) + sample_offset(in, x, y);
}

/* Bytes of a unit of the input that hold channels, 0 behind the last one: what lies there can be anything, and it would
 * be multiplied by weights of zero. */
__device__ __forceinline__ int unit_bytes(const sbv_map &in, int channel)
{
    return max(0, min(UNIT, in.c - channel)) * 2;
}

/* Up to eight samples from `from` on as fp16; zeros behind. */
__device__ __forceinline__ uint4 load_unit(const sbv_map &in, int64_t from, int count)
{
    uint32_t word[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float low = 2 * i < count ? load_sample(in, from + 2 * i) : 0.0f;
        const float high = 2 * i + 1 < count ? load_sample(in, from + 2 * i + 1) : 0.0f;
        const __half2 pair = __floats2half2_rn(low, high);
        word[i] = reinterpret_cast<const uint32_t &>(pair);
    }
    return make_uint4(word[0], word[1], word[2], word[3]);
}

/* Where loading has got to: a tap and a channel, and how far they are from the first ones, in halves, in the input and
 * in the weights. Moved by what lies between neighbours; nothing is multiplied on the way. */
struct LoadCursor {
    TapCursor at = {0, 0, 0};
    int64_t input = 0, weights = 0;
    int64_t column, row, chunk, tap_weights, chunk_weights;

    __device__ __forceinline__ explicit LoadCursor(const sbv_conv_cuda_args &p)
    {
        const sbv_conv_args &a = p.conv;
        column = (int64_t)a.in.pixel * a.dilation;
        row = (int64_t)a.in.row * a.dilation - a.ksize * column;
        chunk = CHANNELS - (int64_t)a.ksize * a.in.row * a.dilation;
        tap_weights = (int64_t)p.out_packed * p.in_packed;
        chunk_weights = CHANNELS - a.ksize * a.ksize * tap_weights;
    }
    __device__ __forceinline__ void begin_at(int channel)
    {
        at.channel = channel;
        input = weights = channel;
    }
    /* As TapCursor::advance. */
    __device__ __forceinline__ void advance(int taps, int ksize)
    {
        at.kx += taps;
        input += taps * column;
        weights += taps * tap_weights;
        while (at.kx >= ksize) {
            at.kx -= ksize;
            at.ky++;
            input += row;
        }
        if (at.ky >= ksize) {
            at.ky -= ksize;
            at.channel += CHANNELS;
            input += chunk;
            weights += chunk_weights;
        }
    }
};

/* The weights of a tile's outputs for a tap and the channels of a unit. A thread loads the same unit of every STEPth
 * output. */
template <class T> struct Weights {
    static constexpr int STEP = T::THREADS / UNITS, COUNT = (T::OUTPUTS + STEP - 1) / STEP;
    const __half *from[COUNT]; /* at the first tap; not known: NULL */

    __device__ __forceinline__ void locate(const sbv_conv_cuda_args &p, int first_output, int thread)
    {
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            const int output = first_output + i * STEP + thread / UNITS;
            from[i] = output < p.out_packed
                          ? static_cast<const __half *>(p.conv.weights) + (int64_t)output * p.in_packed
                          : nullptr;
        }
    }

    __device__ __forceinline__ void load(__half *stage, const sbv_conv_cuda_args &p, const LoadCursor &ahead,
                                         int thread) const
    {
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            const int row = i * STEP + thread / UNITS;
            const bool ok = from[i] && ahead.at.channel < p.in_packed;
            if (T::OUTPUTS % STEP == 0 || row < T::OUTPUTS)
                cp_async16(stage + unit_at(row, thread % UNITS),
                           ok ? from[i] + ahead.weights : static_cast<const __half *>(p.conv.weights),
                           ok ? UNIT_BYTES : 0);
        }
    }
};

/* The inputs of all taps of a tile of 16x16 pixels, whose first is at (x0, y0). */
template <class T>
__device__ __forceinline__ void load_slab(__half *slab, const sbv_conv_cuda_args &p, int x0, int y0, int chunk,
                                          int thread)
{
    const sbv_map &in = p.conv.in;
    const int size = TILE + (p.conv.ksize - 1) * p.conv.dilation;
    const int unit = thread % UNITS, channel = chunk + unit * UNIT, bytes = unit_bytes(in, channel);
    const __half *base = static_cast<const __half *>(in.data);
    for (int row = thread / UNITS; row < size * SLAB_WIDTH; row += T::THREADS / UNITS) {
        const int column = row % SLAB_WIDTH, x = x0 + column, y = y0 + row / SLAB_WIDTH;
        const bool ok = x >= 0 && x < in.w && y >= 0 && y < in.h && bytes;
        if (column < size)
            cp_async16(slab + unit_at(row, unit), ok ? in_pixel(in, x, y) + channel : base, ok ? bytes : 0);
    }
}

/* The inputs of a tap for some pixels in reading order. A thread loads the same unit of every STEPth pixel. */
template <class T, bool WIDE> struct Gather {
    static constexpr int COUNT = T::PIXELS * UNITS / T::THREADS, STEP = T::THREADS / UNITS;
    int x[COUNT], y[COUNT]; /* of the inputs at the first tap */
    int64_t from[COUNT];    /* where they are in the map, which can be outside of it */

    __device__ __forceinline__ void locate(const sbv_conv_cuda_args &p, int64_t first_pixel, int thread)
    {
        const sbv_conv_args &a = p.conv;
        const int width = a.x1 - a.x0;
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            const int64_t pixel = first_pixel + i * STEP + thread / UNITS;
            const int row = (int)(pixel / width), column = (int)(pixel - (int64_t)row * width);
            x[i] = (a.x0 + column) * a.stride - a.padding;
            y[i] = row < p.rows ? (a.y0 + row) * a.stride - a.padding : INT32_MIN / 2; /* outside with any tap */
            from[i] = sample_offset(a.in, x[i], y[i]);
        }
    }

    __device__ __forceinline__ void load(__half *stage, const sbv_conv_cuda_args &p, const LoadCursor &ahead,
                                         int thread) const
    {
        const sbv_map &in = p.conv.in;
        const int unit = thread % UNITS, dx = ahead.at.kx * p.conv.dilation, dy = ahead.at.ky * p.conv.dilation;
        const int channel = ahead.at.channel, bytes = unit_bytes(in, channel);
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            /* as numbers without a sign, those below zero are large */
            const bool ok = static_cast<unsigned>(x[i] + dx) < static_cast<unsigned>(in.w) &&
                            static_cast<unsigned>(y[i] + dy) < static_cast<unsigned>(in.h) && bytes;
            __half *to = stage + unit_at(i * STEP + thread / UNITS, unit);
            if (WIDE)
                cp_async16(to, static_cast<const __half *>(in.data) + (ok ? from[i] + ahead.input : 0), ok ? bytes : 0);
            else
                *reinterpret_cast<uint4 *>(to) = load_unit(in, from[i] + ahead.input, ok ? in.c - channel : 0);
        }
    }
};

} // namespace

#endif /* SBV_KERNELS_CUDA_CONV_MMA_LOAD_H */
