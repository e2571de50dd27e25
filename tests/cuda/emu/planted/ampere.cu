/*
 * Kernels with bugs that can be switched on (planted.h): a pipelined matrix product and a count.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/gpu.h"
#include "tests/cuda/emu/planted/planted.h"

#define STAGE_A (64 * 16) /* halves */
#define STAGE_B (8 * 16)
#define STEPS   (MATMUL_DEPTH / 16)

struct Stages {
    __half *a, *b;
};

/* Starts the copy of 16 columns of a and b into the stage for `step`. */
static __device__ __forceinline__ void load_stage(const matmul_args &p, const Stages &s, int step)
{
    const __half *a = (const __half *)p.a, *b = (const __half *)p.b;
    const int thread = threadIdx.x, stage = step % MATMUL_STAGES;
    const int row = blockIdx.x * 64 + thread / 2, column = step * 16 + thread % 2 * 8;
    const bool inside = row < p.rows + (p.plant == PLANT_GLOBAL_READ_OVERRUN);
    const int shift = p.plant == PLANT_MISALIGNED_COPY && thread == 9;
    cp_async16(s.a + stage * STAGE_A + thread * 8, inside ? a + (size_t)row * MATMUL_DEPTH + column + shift : a,
               inside ? 16 : 0);
    if (thread < 16)
        cp_async16(s.b + stage * STAGE_B + thread * 8, b + thread / 2 * MATMUL_DEPTH + column, 16);
}

static __device__ __forceinline__ void multiply_stage(const matmul_args &p, const Stages &s, int step, float (&d)[4])
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, stage = step % MATMUL_STAGES;
    const __half *row_a = s.a + stage * STAGE_A + (warp * 16 + lane % 16) * 16 + lane / 16 * 8;
    const __half *row_b = s.b + stage * STAGE_B + lane % 8 * 16 + lane / 8 % 2 * 8;
    uint32_t a[4], b[2];
    if (p.plant == PLANT_SHARED_READ_OVERRUN && warp == 3)
        row_a += 2 * STAGE_A;
    if (p.plant == PLANT_MISALIGNED_LDMATRIX)
        row_a += lane == 7;
    ldmatrix_x4(a, row_a);
    ldmatrix_x2(b, row_b);
    if (p.plant != PLANT_MISSING_LANE || step != 3 || lane != 5)
        mma_m16n8k16(d, a, b[0], b[1]);
}

static __device__ __forceinline__ void store_products(const matmul_args &p, const float (&d)[4])
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int rows = p.rows + (p.plant == PLANT_GLOBAL_WRITE_OVERRUN);
    for (int i = 0; i < 2; i++) {
        const int row = blockIdx.x * 64 + warp * 16 + lane / 4 + i * 8, column = lane % 4 * 2;
        const int shift = p.plant == PLANT_MISALIGNED_VECTOR && row == 2 && column == 0;
        if (row < rows)
            *(float2 *)(p.out + row * 8 + column + shift) = make_float2(d[i * 2], d[i * 2 + 1]);
    }
}

static __device__ __forceinline__ void step_barrier(const matmul_args &p, int step)
{
    const int warp = threadIdx.x / 32;
    if (p.plant == PLANT_MISSING_BARRIER)
        return;
    if (p.plant == PLANT_SKIPPED_BARRIER && warp == 3 && step == 2)
        return;
    if (p.plant == PLANT_OTHER_BARRIER && warp == 3)
        __syncthreads();
    else
        __syncthreads();
}

KERNEL(LAUNCH_BOUNDS(128, 4) planted_matmul, const matmul_args p)
{
    DYN_SMEM();
    SMEM_ARRAY(__half, a, 0, MATMUL_STAGES * STAGE_A);
    SMEM_ARRAY(__half, b, MATMUL_STAGES * STAGE_A * 2, MATMUL_STAGES * STAGE_B);
    const Stages s = {a, b};
    float d[4] = {0, 0, 0, 0};
    if (p.plant == PLANT_EXIT_BEFORE_BARRIER && (int)(blockIdx.x * 64 + threadIdx.x / 2) >= p.rows)
        return;
    if (p.plant == PLANT_ARRAY_TOO_LARGE) {
        SMEM_ARRAY(__half, c, MATMUL_SHARED - 16, 16);
        c[0] = __float2half(0);
    }
    if (p.plant == PLANT_ARRAYS_OVERLAP) {
        SMEM_ARRAY(float, c, 16, 16);
        c[0] = 0;
    }
    for (int step = 0; step < MATMUL_STAGES - 1; step++) {
        if (p.plant != PLANT_UNSET_SHARED || step != 1)
            load_stage(p, s, step);
        cp_async_commit();
    }
    for (int step = 0; step < STEPS; step++) {
        const int next = step + MATMUL_STAGES - 1;
        if (p.plant == PLANT_WAIT_TOO_FEW)
            cp_async_wait<MATMUL_STAGES - 1>();
        else
            cp_async_wait<MATMUL_STAGES - 2>();
        if (p.plant == PLANT_EARLY_REFILL && next < STEPS)
            load_stage(p, s, next);
        step_barrier(p, step);
        if (p.plant != PLANT_EARLY_REFILL && next < STEPS)
            load_stage(p, s, next);
        cp_async_commit();
        multiply_stage(p, s, step, d);
    }
    if (p.plant == PLANT_SHARED_WRITE_OVERRUN && threadIdx.x == 77)
        b[MATMUL_STAGES * STAGE_B] = __float2half(1);
    store_products(p, d);
}

/* The sum over the warp, in every lane. */
static __device__ __forceinline__ int warp_sum(const count_args &p, int v)
{
    const int lane = threadIdx.x % 32;
    if (p.plant == PLANT_SHUFFLE_OUTSIDE && lane < 16)
        return __shfl_xor_sync(0xffff, v, 16);
    if (p.plant == PLANT_SHUFFLE_DIVERGENT && lane >= 16)
        return __shfl_down_sync(0xffffffff, v, 16);
    for (int lanes = 16; lanes; lanes /= 2)
        v += __shfl_xor_sync(0xffffffff, v, lanes);
    return v;
}

KERNEL(planted_count, const count_args p)
{
    __shared__ int positive, sum;
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (threadIdx.x == 0)
        positive = sum = 0;
    __syncthreads();
    if (p.plant == PLANT_SHUFFLE_EXITED && i >= p.size)
        return;
    const int v = i < p.size ? p.values[i] : 0;
    const unsigned votes = __ballot_sync(0xffffffff, v > 0);
    const int warp_total = warp_sum(p, v);
    if (threadIdx.x % 32 == 0) {
        atomicAdd(&positive, __popc(votes));
        if (p.plant == PLANT_NOT_ATOMIC)
            sum += warp_total;
        else
            atomicAdd(&sum, warp_total);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        atomicAdd(&p.counts[0], positive);
        atomicAdd(&p.counts[1], sum);
    }
}
