/*
 * The instructions of gpu.h that the kernels with bugs (planted.h) do without, for a comparison of each with its
 * definition.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/gpu.h"
#include "tests/cuda/emu/planted/planted.h"

#if SBV_SM90

/* Four 8x8 matrices, numbered through, there and back. */
static __device__ void move_matrices(unsigned *words, unsigned short *from, unsigned short *to)
{
    const int lane = threadIdx.x;
    uint32_t x4[4], x2[2];
    for (int i = lane; i < 256; i += 32)
        from[i] = (unsigned short)i;
    __syncwarp();
    ldmatrix_x4_trans(x4, from + lane * 8);
    ldmatrix_x2_trans(x2, from + lane % 16 * 8);
    stmatrix_x4_trans(to + lane * 8, x4);
    __syncwarp();
    for (int i = 0; i < 4; i++) {
        words[WORDS_LDMATRIX_X4 + lane * 4 + i] = x4[i];
        words[WORDS_STMATRIX + lane * 4 + i] = ((const uint32_t *)to)[lane * 4 + i];
    }
    for (int i = 0; i < 2; i++)
        words[WORDS_LDMATRIX_X2 + lane * 2 + i] = x2[i];
}

static __device__ void exchange(unsigned *words)
{
    const unsigned lane = threadIdx.x, all = 0xffffffff;
    words[WORDS_SHUFFLES + lane] = __shfl_sync(all, lane * 3, 11, 8);
    words[WORDS_SHUFFLES + 32 + lane] = __shfl_down_sync(all, lane * 3, 5, 16);
    words[WORDS_SHUFFLES + 64 + lane] = __shfl_up_sync(all, lane * 3, 3);
    words[WORDS_SHUFFLES + 96 + lane] = __shfl_xor_sync(all, lane * 3, 9);
    const unsigned votes = __ballot_sync(all, lane % 3 == 0);
    const int any = __any_sync(all, lane == 40), every = __all_sync(all, lane < 32);
    if (lane == 0) {
        words[WORDS_VOTES] = votes;
        words[WORDS_VOTES + 1] = (unsigned)any;
        words[WORDS_VOTES + 2] = (unsigned)every;
    }
    atomicMax(&words[WORDS_ATOMICS], lane);
    atomicMin(&words[WORDS_ATOMICS + 1], lane + 7);
    atomicAdd(&words[WORDS_ATOMICS + 2], lane);
    atomicAdd((float *)&words[WORDS_ATOMICS + 3], (float)lane);
    if (lane == 9)
        atomicExch(&words[WORDS_ATOMICS + 4], lane);
}

/* Rows of 64 halves into shared memory, swizzled as wgmma wants them. */
static __device__ void store_swizzled(__half *to, const __half *from, int rows)
{
    for (int i = threadIdx.x; i < rows * 8; i += 128) {
        const int row = i / 8, chunk = i % 8;
        *(uint4 *)(to + row * 64 + (chunk ^ row % 8) * 8) = *(const uint4 *)(from + row * 64 + chunk * 8);
    }
}

template <int COUNT> static __device__ void store_accumulators(float *out, const float (&d)[COUNT])
{
    const int thread = threadIdx.x, row = thread / 32 * 16 + thread % 32 / 4, column = thread % 4 * 2;
    for (int i = 0; i < COUNT; i++)
        out[(row + (i >> 1 & 1) * 8) * COUNT * 2 + i / 4 * 8 + column + (i & 1)] = d[i];
}

/* Two products in flight at the same time. */
static __device__ void multiply(const instructions_args &p, const __half *a, const __half *b)
{
    float d[64], e[128];
    for (int i = 0; i < 128; i++)
        d[i % 64] = e[i] = 1;
    wgmma_fence();
    for (int k = 0; k < 64; k += 16)
        wgmma_m64n128k16(d, wdesc_k(wdesc(a), k), wdesc_k(wdesc(b), k));
    wgmma_commit();
    for (int k = 0; k < 64; k += 16)
        wgmma_m64n256k16(e, wdesc_k(wdesc(a), k), wdesc_k(wdesc(b), k));
    wgmma_commit();
    wgmma_wait<1>();
    store_accumulators(p.product_128, d);
    wgmma_wait<0>();
    store_accumulators(p.product_256, e);
}

/* The address of eight halves of a row stored by store_swizzled(). */
static __device__ const __half *swizzled(const __half *matrix, int row, int chunk)
{
    return matrix + row * 64 + (chunk ^ row % 8) * 8;
}

/* Two warps multiply 32 rows of a with 32 of b. */
static __device__ void multiply_tiles(float *out, const __half *a, const __half *b)
{
    const int lane = threadIdx.x % 32, first = threadIdx.x / 32 * 32;
    float d[2][4][4];
    for (int i = 0; i < 32; i++)
        d[i / 16][i / 4 % 4][i % 4] = 0;
    for (int k = 0; k < 8; k += 2) {
        uint32_t rows[2][4], columns[2][4];
        for (int i = 0; i < 2; i++) {
            ldmatrix_x4(rows[i], swizzled(a, first + i * 16 + lane % 16, k + lane / 16));
            ldmatrix_x4(columns[i], swizzled(b, i * 16 + lane % 8 + lane / 16 * 8, k + lane / 8 % 2));
        }
        mma_tiles(d, rows, columns);
    }
    for (int i = 0; i < 32; i++) {
        const int row = first + i / 16 * 16 + lane / 4 + i % 4 / 2 * 8, column = i / 4 % 4 * 8 + lane % 4 * 2 + i % 2;
        out[row * 32 + column] = d[i / 16][i / 4 % 4][i % 4];
    }
}

KERNEL(LAUNCH_BOUNDS(128, 1) planted_instructions, TMAP_PARAM(map), const instructions_args p)
{
    DYN_SMEM();
    SMEM_ARRAY(__half, a, 0, 64 * 64);
    SMEM_ARRAY(__half, b, 64 * 128, 256 * 64);
    SMEM_ARRAY(unsigned short, matrices, (64 + 256) * 128, 512);
    SMEM_ARRAY(float, box, (64 + 256) * 128 + 1024, BOX_COLUMNS * BOX_ROWS * BOX_LAYERS);
    SMEM_ARRAY(MBar, bar, (64 + 256) * 128 + 4096, 1);
    setmaxnreg_dec<240>();
    if (threadIdx.x == 0) {
        mbar_init(bar, 2);
        mbar_fence();
        mbar_expect(bar, BOX_COLUMNS * BOX_ROWS * BOX_LAYERS * 4);
        tma_load4(box, &map, bar, -3, 1, -1, 2);
    }
    store_swizzled(a, (const __half *)p.a, 64);
    store_swizzled(b, (const __half *)p.b, 256);
    mbar_fence();
    __syncthreads();
    if (threadIdx.x == 64)
        mbar_arrive(bar);
    mbar_wait(bar, 0);
    if (threadIdx.x < BOX_COLUMNS * BOX_ROWS * BOX_LAYERS)
        p.box[threadIdx.x] = box[threadIdx.x];
    multiply(p, a, b);
    if (threadIdx.x < 64)
        multiply_tiles(p.product_tiles, a, b);
    if (threadIdx.x < 32) {
        move_matrices(p.words, matrices, matrices + 256);
        exchange(p.words);
    }
    setmaxnreg_inc<248>();
}

#endif /* SBV_SM90 */
