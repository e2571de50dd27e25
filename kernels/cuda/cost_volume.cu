/*
 * Cost volume on the device; the formula is that of kernels/reference/cost_volume.c.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/params.h"
#include "kernels/cuda/samples.h"

namespace
{

constexpr int RADIUS = SBV_COST_RADIUS, SIDE = 2 * RADIUS + 1;
constexpr int TILE_W = SBV_COST_TILE_W, TILE_H = SBV_COST_TILE_H, TILE = TILE_W * TILE_H;
constexpr int HALO_W = TILE_W + 2 * RADIUS, HALO_H = TILE_H + 2 * RADIUS, HALO = HALO_W * HALO_H;
constexpr int RUN = 4; /* pixels of a thread: one 16-byte load from shared memory */
static_assert(SBV_COST_THREADS == TILE / RUN * SIDE, "a thread for each run of pixels and vertical displacement");
static_assert(GROUP * (TILE + HALO) <= TILE * SBV_COST_CHANNELS, "the costs take the place of the tiles");

/* Loads GROUP channels of a rectangle of a map as [channel][pixel]; zeros outside the map and behind its channels. */
template <int W, int PIXELS>
__device__ __forceinline__ void load_tile(const sbv_map &map, int left, int top, int rows, int channel, int wide,
                                          float *tile)
{
    for (int i = threadIdx.x; i < PIXELS; i += SBV_COST_THREADS) {
        const int x = left + i % W, y = top + i / W;
        float value[GROUP] = {};
        if (x >= 0 && x < map.w && y >= 0 && y < rows)
            load_group(map, sample_offset(map, x, y) + channel, map.c - channel, wide, value);
#pragma unroll
        for (int c = 0; c < GROUP; c++)
            tile[c * PIXELS + i] = value[c];
    }
}

/* Adds the products of the channels in shared memory: sum[pixel of the run][horizontal displacement]. */
__device__ __forceinline__ void add_products(const float *first, const float *second, float (&sum)[RUN][SIDE])
{
#pragma unroll 2
    for (int c = 0; c < GROUP; c++) {
        const float4 *from = reinterpret_cast<const float4 *>(second + c * HALO);
        const float4 here = *reinterpret_cast<const float4 *>(first + c * TILE);
        const float4 row[3] = {from[0], from[1], from[2]};
        const float a[RUN] = {here.x, here.y, here.z, here.w};
        const float b[RUN + SIDE - 1] = {row[0].x, row[0].y, row[0].z, row[0].w, row[1].x, row[1].y,
                                         row[1].z, row[1].w, row[2].x, row[2].y, row[2].z, row[2].w};
#pragma unroll
        for (int i = 0; i < RUN; i++)
#pragma unroll
            for (int d = 0; d < SIDE; d++)
                sum[i][d] += a[i] * b[i + d];
    }
}

/* Writes the costs of the tile, which lie in shared memory as [pixel][channel], in the order of the output. */
__device__ __forceinline__ void store_costs(const sbv_map &out, int rows, int left, int top, const float *cost)
{
    for (int i = threadIdx.x; i < TILE * SBV_COST_CHANNELS; i += SBV_COST_THREADS) {
        const int pixel = i / SBV_COST_CHANNELS, channel = i % SBV_COST_CHANNELS;
        const int x = left + pixel % TILE_W, y = top + pixel / TILE_W;
        if (x < out.w && y < rows)
            store_sample(out, sample_offset(out, x, y) + channel, cost[i]);
    }
}

} // namespace

/* Grid: tiles x tiles x operations of the batch. */
KERNEL(LAUNCH_BOUNDS(SBV_COST_THREADS, 3) sbv_cost_volume, const sbv_cost_params p)
{
    DYN_SMEM();
    /* Channels of both maps, [channel][pixel], and later the costs. */
    SMEM_ARRAY(float, shared, 0, TILE *SBV_COST_CHANNELS);
    float *first = shared, *second = shared + GROUP * TILE;
    const int left = blockIdx.x * TILE_W, top = blockIdx.y * TILE_H;
    const int x = threadIdx.x % (TILE_W / RUN) * RUN, y = threadIdx.x / (TILE_W / RUN) % TILE_H;
    const int dy = threadIdx.x / (TILE / RUN);
    const sbv_map from = map_at(p.a.first, p.batch.in[blockIdx.z]), to = map_at(p.a.second, p.batch.other[blockIdx.z]);
    float sum[RUN][SIDE] = {};

    for (int channel = 0; channel < from.c; channel += GROUP) {
        load_tile<TILE_W, TILE>(from, left, top, from.h, channel, p.wide_first, first);
        load_tile<HALO_W, HALO>(to, left - RADIUS, top - RADIUS, to.h, channel, p.wide_second, second);
        __syncthreads();
        add_products(first + y * TILE_W + x, second + (y + dy) * HALO_W + x, sum);
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < RUN; i++)
#pragma unroll
        for (int d = 0; d < SIDE; d++) {
            const float mean = sum[i][d] / static_cast<float>(from.c);
            shared[(y * TILE_W + x + i) * SBV_COST_CHANNELS + dy * SIDE + d] = mean > 0.0f ? mean : p.a.slope * mean;
        }
    __syncthreads();
    store_costs(map_at(p.a.out, p.batch.out[blockIdx.z]), p.rows, left, top, shared);
}
