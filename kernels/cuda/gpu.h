/*
 * What kernels are written with: the only place with PTX. nvcc compiles thin wrappers; any other compiler gets the same
 * names from tests/cuda/emu/cuda_names.h (on its include path), which runs them on the CPU.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_GPU_H
#define SBV_KERNELS_CUDA_GPU_H

#ifndef __CUDACC__
#include "cuda_names.h"
#define SBV_SM90 1
#else

#include <stdint.h>
#include <cuda_fp16.h>

/* Whether the instructions of Hopper can be compiled: the host's pass must see the kernels too. */
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define SBV_SM90 1
#else
#define SBV_SM90 0
#endif

/* A kernel: KERNEL(sbv_name, args_struct a) { ... }, or KERNEL(LAUNCH_BOUNDS(256, 2) sbv_name, args_struct a) with the
 * threads of a block and the least number of blocks that shall fit on a multiprocessor. */
#define KERNEL(name, ...)                       extern "C" __global__ void name(__VA_ARGS__)
#define LAUNCH_BOUNDS(threads, blocks)          __launch_bounds__(threads, blocks)

/* Dynamic shared memory: DYN_SMEM(); once in a kernel, then typed arrays at constant offsets, which must not overlap.
 */
#define DYN_SMEM()                              extern __shared__ __align__(1024) unsigned char sbv_dynamic_shared[]
#define SMEM_ARRAY(T, name, byte_offset, count) T *name = reinterpret_cast<T *>(sbv_dynamic_shared + (byte_offset))

/* ---- Ampere: asynchronous copies and matrix instructions ---- */

/* The address of shared memory as PTX wants it. */
__device__ __forceinline__ uint32_t smem_address(const void *p)
{
    return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

/* Starts a copy of the first `bytes` of 16 bytes, both addresses multiples of 16; the others become zero. `global` must
 * be an address inside an allocation where nothing is read, too. */
__device__ __forceinline__ void cp_async16(void *shared, const void *global, int bytes)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(smem_address(shared)), "l"(global), "r"(bytes)
                 : "memory");
}

/* Ends a group of this thread's copies, which may be empty. */
__device__ __forceinline__ void cp_async_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Waits until at most the N latest groups of this thread are under way. Other threads see the copies after a barrier.
 */
template <int N> __device__ __forceinline__ void cp_async_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

/* Loads four 8x8 matrices of halves: lane 8 * i + j gives the address of row j of matrix i (16 bytes, a multiple of
 * 16), lane l gets in r[i] the halves 2 * (l % 4) and 2 * (l % 4) + 1 of row l / 4 of matrix i. */
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(smem_address(row))
                 : "memory");
}

/* The same with each matrix transposed: lane l gets column l / 4, rows 2 * (l % 4) and 2 * (l % 4) + 1. */
__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(smem_address(row))
                 : "memory");
}

/* Two matrices; the addresses of lanes 0 to 15 count. */
__device__ __forceinline__ void ldmatrix_x2(uint32_t (&r)[2], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(smem_address(row))
                 : "memory");
}

__device__ __forceinline__ void ldmatrix_x2_trans(uint32_t (&r)[2], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(smem_address(row))
                 : "memory");
}

/* d += a * b, a 16x16 by rows, b 16x8 by columns, halves; d 16x8 floats. With g = lane / 4 and t = 2 * (lane % 4):
 * a[0] = A(g, t..t+1), a[1] = A(g + 8, t..), a[2] = A(g, t + 8..), a[3] = A(g + 8, t + 8..); b0 = B(t..t+1, g),
 * b1 = B(t + 8.., g); d[0..1] = D(g, t..t+1), d[2..3] = D(g + 8, t..). */
__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* All products of M pieces of a and N of b, an even number, as ldmatrix_x4 loads two at a time: d[i][j] += a[i] * b[j].
 * A kernel on the emulator is several times faster with this than with single products. */
template <int M, int N>
__device__ __forceinline__ void mma_tiles(float (&d)[M][N][4], const uint32_t (&a)[M][4], const uint32_t (&b)[N / 2][4])
{
#pragma unroll
    for (int i = 0; i < M; i++)
#pragma unroll
        for (int j = 0; j < N; j++)
            mma_m16n8k16(d[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
}

/* Named barrier `id`, 1 to 15, of `threads` threads, a multiple of 32. Barrier 0 is that of __syncthreads. */
__device__ __forceinline__ void bar_sync(int id, int threads)
{
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

#if SBV_SM90
#include "gpu_sm90.h"
#endif

#endif /* __CUDACC__ */
#endif /* SBV_KERNELS_CUDA_GPU_H */
