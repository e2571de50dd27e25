/*
 * Samples of maps of either type, one or eight channels at a time.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_SAMPLES_H
#define SBV_KERNELS_CUDA_SAMPLES_H

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/params.h"

/* Channels that a thread works on at once: 16 bytes of halves, 32 of floats. */
constexpr int GROUP = SBV_IMAGE_GROUP;

/* What 16-byte accesses move. */
union eight_halves {
    uint4 bits;
    __half half[8];
};

/* The row of a block of sbv_cuda_launch_rows(); there may be blocks below the last one. */
__device__ __forceinline__ int row_of_block()
{
    return static_cast<int>(blockIdx.z * gridDim.y + blockIdx.y);
}

/* Of the blocks of sbv_cuda_launch_batch(): the operation, and the row. */
__device__ __forceinline__ int member_of_block(const sbv_batch &batch)
{
    return static_cast<int>(blockIdx.z % static_cast<unsigned>(batch.count));
}

__device__ __forceinline__ int row_of_block(const sbv_batch &batch)
{
    return static_cast<int>(blockIdx.z / static_cast<unsigned>(batch.count) * gridDim.y + blockIdx.y);
}

/* A map at another place. */
__device__ __forceinline__ sbv_map map_at(const sbv_map &map, void *data)
{
    sbv_map moved = map;
    moved.data = data;
    return moved;
}

__device__ __forceinline__ int64_t sample_offset(const sbv_map &map, int x, int y)
{
    return static_cast<int64_t>(y) * map.row + static_cast<int64_t>(x) * map.pixel;
}

__device__ __forceinline__ float load_sample(const __half *p)
{
    return __half2float(*p);
}

__device__ __forceinline__ float load_sample(const float *p)
{
    return *p;
}

__device__ __forceinline__ float load_sample(const sbv_map &map, int64_t offset)
{
    return map.type == SBV_MAP_F16 ? load_sample(static_cast<const __half *>(map.data) + offset)
                                   : load_sample(static_cast<const float *>(map.data) + offset);
}

__device__ __forceinline__ void store_sample(const sbv_map &map, int64_t offset, float value)
{
    if (map.type == SBV_MAP_F16)
        static_cast<__half *>(map.data)[offset] = __float2half_rn(value);
    else
        static_cast<float *>(map.data)[offset] = value;
}

__device__ __forceinline__ void load_wide(const __half *p, float (&value)[GROUP])
{
    eight_halves loaded;
    loaded.bits = *reinterpret_cast<const uint4 *>(p);
#pragma unroll
    for (int i = 0; i < GROUP; i++)
        value[i] = __half2float(loaded.half[i]);
}

__device__ __forceinline__ void load_wide(const float *p, float (&value)[GROUP])
{
    const float4 low = reinterpret_cast<const float4 *>(p)[0], high = reinterpret_cast<const float4 *>(p)[1];
    value[0] = low.x, value[1] = low.y, value[2] = low.z, value[3] = low.w;
    value[4] = high.x, value[5] = high.y, value[6] = high.z, value[7] = high.w;
}

/* The first n of eight channels; the others are zero. `wide`: p is a multiple of 16 bytes. */
template <class T> __device__ __forceinline__ void load_group(const T *p, int n, int wide, float (&value)[GROUP])
{
    if (wide && n >= GROUP) {
        load_wide(p, value);
        return;
    }
#pragma unroll
    for (int i = 0; i < GROUP; i++)
        value[i] = i < n ? load_sample(p + i) : 0.0f;
}

__device__ __forceinline__ void load_group(const sbv_map &map, int64_t offset, int n, int wide, float (&value)[GROUP])
{
    if (map.type == SBV_MAP_F16)
        load_group(static_cast<const __half *>(map.data) + offset, n, wide, value);
    else
        load_group(static_cast<const float *>(map.data) + offset, n, wide, value);
}

/* Writes the first n of eight channels and nothing else. */
__device__ __forceinline__ void store_group(const sbv_map &map, int64_t offset, int n, int wide,
                                            const float (&value)[GROUP])
{
    if (!wide || n < GROUP) {
#pragma unroll
        for (int i = 0; i < GROUP; i++)
            if (i < n)
                store_sample(map, offset + i, value[i]);
    } else if (map.type == SBV_MAP_F16) {
        eight_halves stored;
#pragma unroll
        for (int i = 0; i < GROUP; i++)
            stored.half[i] = __float2half_rn(value[i]);
        *reinterpret_cast<uint4 *>(static_cast<__half *>(map.data) + offset) = stored.bits;
    } else {
        float4 *p = reinterpret_cast<float4 *>(static_cast<float *>(map.data) + offset);
        p[0] = make_float4(value[0], value[1], value[2], value[3]);
        p[1] = make_float4(value[4], value[5], value[6], value[7]);
    }
}

#endif /* SBV_KERNELS_CUDA_SAMPLES_H */
