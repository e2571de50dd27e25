/*
 * A kernel with bugs that can be switched on (planted.h): a sum of matrix products by a warpgroup, fed by TMA.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/gpu.h"
#include "tests/cuda/emu/planted/planted.h"

#if SBV_SM90

#define STAGES 2
#define TILE   (WGMMA_TILE / 2) /* halves */

struct Shared {
    __half *a, *b;
    float *out;
    MBar *full, *empty;
};

static __device__ __forceinline__ void load(const wgmma_args &p, const Shared &s, const TensorMap *map_a,
                                            const TensorMap *map_b)
{
    for (int tile = 0; tile < WGMMA_TILES; tile++) {
        const int stage = tile % STAGES, round = tile / STAGES;
        int bytes = 2 * WGMMA_TILE;
        if (p.plant == PLANT_BYTES_TOO_MANY && tile == 3)
            bytes += 16;
        if (p.plant == PLANT_BYTES_TOO_FEW && tile == 3)
            bytes = WGMMA_TILE;
        if (p.plant != PLANT_NO_EMPTY_WAIT)
            mbar_wait(&s.empty[stage], (round & 1) ^ 1);
        mbar_expect(&s.full[stage], bytes);
        tma_load3(s.a + stage * TILE + (p.plant == PLANT_TMA_MISALIGNED ? 64 : 0), map_a, &s.full[stage], 0, 0, tile);
        tma_load3(s.b + stage * TILE + (p.plant == PLANT_TMA_OVERRUN ? STAGES * TILE - 512 : 0), map_b, &s.full[stage],
                  0, 0, tile);
    }
}

static __device__ __forceinline__ void multiply(const wgmma_args &p, const Shared &s, float (&d)[32])
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    for (int tile = 0; tile < WGMMA_TILES; tile++) {
        const int stage = tile % STAGES, round = tile / STAGES;
        const int shift = p.plant == PLANT_WGMMA_MISALIGNED ? 64 : 0;
        mbar_wait(&s.full[stage], (round & 1) ^ (p.plant == PLANT_WRONG_PHASE));
        const WDesc a = wdesc(s.a + stage * TILE + shift), b = wdesc(s.b + stage * TILE);
        if (p.plant != PLANT_NO_WGMMA_FENCE)
            wgmma_fence();
        if (p.plant != PLANT_WGMMA_MISSING_WARP || warp != 2 || tile != 1)
            for (int k = 0; k < 64; k += 16)
                wgmma_m64n64k16(d, wdesc_k(a, k), wdesc_k(b, k));
        wgmma_commit();
        if (p.plant == PLANT_WRITTEN_ACCUMULATORS && tile == 2)
            d[5] = 0;
        if (p.plant == PLANT_EARLY_EMPTY && lane == 0)
            mbar_arrive(&s.empty[stage]);
        if (p.plant != PLANT_EARLY_ACCUMULATORS || tile != WGMMA_TILES - 1)
            wgmma_wait<0>();
        if (p.plant != PLANT_EARLY_EMPTY && lane == 0)
            mbar_arrive(&s.empty[stage]);
    }
}

/* Through shared memory, so that the rows are written one after the other. */
static __device__ __forceinline__ void store(const wgmma_args &p, const Shared &s, const float (&d)[32])
{
    const int thread = threadIdx.x, row = thread / 32 * 16 + thread % 32 / 4, column = thread % 4 * 2;
    for (int i = 0; i < 32; i++)
        s.out[(row + (i >> 1 & 1) * 8) * 64 + i / 4 * 8 + column + (i & 1)] = d[i];
    if (p.plant == PLANT_NAMED_BARRIER_COUNT)
        bar_sync(1, 160);
    else if (p.plant != PLANT_NO_NAMED_BARRIER)
        bar_sync(1, 128);
    for (int i = thread; i < 64 * 64; i += 128)
        p.out[i] = s.out[i];
}

KERNEL(LAUNCH_BOUNDS(160, 1) planted_wgmma, TMAP_PARAM(map_a), TMAP_PARAM(map_b), const wgmma_args p)
{
    DYN_SMEM();
    SMEM_ARRAY(__half, a, 0, STAGES * TILE);
    SMEM_ARRAY(__half, b, STAGES * WGMMA_TILE, STAGES * TILE);
    SMEM_ARRAY(float, out, 2 * STAGES * WGMMA_TILE, 64 * 64);
    SMEM_ARRAY(MBar, bars, 2 * STAGES * WGMMA_TILE + 64 * 64 * 4, 2 * STAGES);
    const Shared s = {a, b, out, bars, bars + STAGES};
    float d[32];
    for (int i = 0; i < 32; i++)
        d[i] = 0;
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES - (p.plant == PLANT_NO_MBAR_INIT); i++) {
            mbar_init(&s.full[i], 1);
            mbar_init(&s.empty[i], 4);
        }
        if (p.plant != PLANT_NO_MBAR_FENCE)
            mbar_fence();
    }
    __syncthreads();
    if (threadIdx.x == 128)
        load(p, s, &map_a, &map_b);
    if (threadIdx.x < 128) {
        multiply(p, s, d);
        store(p, s, d);
    }
}

#endif /* SBV_SM90 */
