/*
 * The Hopper part of gpu.h: mbarriers, the tensor memory accelerator (TMA) and matrix products of a warpgroup (wgmma).
 * Included by gpu.h where sm_90a is compiled for.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_GPU_SM90_H
#define SBV_KERNELS_CUDA_GPU_SM90_H

/* ---- mbarriers ---- */

/* A barrier in shared memory: a phase is over when `count` threads have arrived and all bytes they expect have come. */
typedef unsigned long long MBar;

/* One thread does this, then mbar_fence(), then all __syncthreads(). */
__device__ __forceinline__ void mbar_init(MBar *bar, int count)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(smem_address(bar)), "r"(count) : "memory");
}

/* Makes mbarriers, and all that this thread wrote to shared memory, visible to TMA and wgmma. */
__device__ __forceinline__ void mbar_fence()
{
    asm volatile("fence.mbarrier_init.release.cluster;\n\tfence.proxy.async.shared::cta;" ::: "memory");
}

/* Arrives, and makes the phase wait for so many bytes more. */
__device__ __forceinline__ void mbar_expect(MBar *bar, int bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(smem_address(bar)), "r"(bytes)
                 : "memory");
}

__device__ __forceinline__ void mbar_arrive(MBar *bar)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(smem_address(bar)) : "memory");
}

/* Waits for the end of the phase of this parity: 0 for the first phase, 1 for the second, 0 for the third, ... */
__device__ __forceinline__ void mbar_wait(MBar *bar, unsigned phase)
{
    uint32_t over;
    do
        asm volatile("{\n\t"
                     ".reg .pred p;\n\t"
                     "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n\t"
                     "selp.u32 %0, 1, 0, p;\n\t"
                     "}"
                     : "=r"(over)
                     : "r"(smem_address(bar)), "r"(phase)
                     : "memory");
    while (!over);
}

/* ---- TMA ---- */

/* What cuTensorMapEncodeTiled makes: the shape of a tensor and the box that one load moves. A kernel takes it as
 * KERNEL(sbv_name, TMAP_PARAM(map), args_struct a). */
struct alignas(64) TensorMap {
    uint64_t opaque[16];
};
#define TMAP_PARAM(name) const __grid_constant__ TensorMap name

/* One thread starts the load of a box whose first element has the coordinates c0 (innermost), c1, ...; they may lie
 * outside of the tensor, where zeros are read. The bytes of the whole box count for the mbarrier. The destination is a
 * multiple of 128 bytes, of 1024 with 128-byte swizzle. */
__device__ __forceinline__ void tma_load3(void *shared, const TensorMap *map, MBar *bar, int c0, int c1, int c2)
{
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%3, %4, %5}], [%2];" ::"r"(smem_address(shared)),
                 "l"(map), "r"(smem_address(bar)), "r"(c0), "r"(c1), "r"(c2)
                 : "memory");
}

__device__ __forceinline__ void tma_load4(void *shared, const TensorMap *map, MBar *bar, int c0, int c1, int c2, int c3)
{
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(smem_address(shared)),
                 "l"(map), "r"(smem_address(bar)), "r"(c0), "r"(c1), "r"(c2), "r"(c3)
                 : "memory");
}

/* The way back: a box of shared memory into the tensor; what lies outside of that is left out. Shared memory must be
 * known to TMA, see proxy_fence(), and stay as it is until tma_store_wait_read(). */
__device__ __forceinline__ void tma_store3(const TensorMap *map, const void *shared, int c0, int c1, int c2)
{
    asm volatile("cp.async.bulk.tensor.3d.global.shared::cta.tile.bulk_group [%0, {%2, %3, %4}], [%1];" ::"l"(map),
                 "r"(smem_address(shared)), "r"(c0), "r"(c1), "r"(c2)
                 : "memory");
}

/* Ends a group of this thread's stores. */
__device__ __forceinline__ void tma_store_commit()
{
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

/* Waits until at most the N latest groups of this thread are under way, or have still to be read from shared memory. */
template <int N> __device__ __forceinline__ void tma_store_wait()
{
    asm volatile("cp.async.bulk.wait_group %0;" ::"n"(N) : "memory");
}
template <int N> __device__ __forceinline__ void tma_store_wait_read()
{
    asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(N) : "memory");
}

/* Makes what this thread wrote to shared memory visible to TMA and wgmma. */
__device__ __forceinline__ void proxy_fence()
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* ---- Halves, transposing stores ---- */

/* Two halves, the first one in the low bits, and zero where they are negative. */
__device__ __forceinline__ uint32_t half2_relu(float first, float second)
{
    uint32_t halves;
    asm("cvt.rn.relu.f16x2.f32 %0, %1, %2;" : "=r"(halves) : "f"(second), "f"(first));
    return halves;
}

/* Stores four 8x8 matrices of halves, the inverse of ldmatrix_x4_trans: lane 8 * i + j gives the address of row j of
 * matrix i (16 bytes, a multiple of 16), lane l has in r[i] column l / 4, rows 2 * (l % 4) and 2 * (l % 4) + 1. */
__device__ __forceinline__ void stmatrix_x4_trans(void *row, const uint32_t (&r)[4])
{
    asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(smem_address(row)),
                 "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3])
                 : "memory");
}

/* ---- wgmma ---- */

/* A matrix in shared memory: rows of 64 halves (128 bytes), 128-byte swizzle, beginning at a multiple of 1024 bytes; k
 * is the index within a row. Bits 0-13: address / 16; 32-45: bytes between groups of eight rows / 16; 62-63: swizzle.
 */
typedef uint64_t WDesc;
__device__ __forceinline__ WDesc wdesc(const void *shared)
{
    return (smem_address(shared) & 0x3ffff) >> 4 | 1ull << 16 | (1024ull >> 4) << 32 | 1ull << 62;
}

/* The matrix from column k = halves on, a multiple of 16. */
__device__ __forceinline__ WDesc wdesc_k(WDesc d, int halves)
{
    return d + (static_cast<unsigned>(halves) * 2 >> 4);
}

/* Before the first product and whenever the accumulators have been touched since; by all 128 threads, as all of these.
 */
__device__ __forceinline__ void wgmma_fence()
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void wgmma_commit()
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/* Waits until at most the N latest groups are under way. Until then neither the accumulators may be touched nor the
 * matrices in shared memory be changed. */
template <int N> __device__ __forceinline__ void wgmma_wait()
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

/* Nothing that the compiler does with the accumulators is moved across this: before the first fence and after the last
 * wait, between which the products work on them without its knowing. */
template <int N> __device__ __forceinline__ void wgmma_hold(float (&d)[N])
{
#pragma unroll
    for (int i = 0; i < N; i++)
        asm volatile("" : "+f"(d[i])::"memory");
}

#define SBV_ACCUMULATE8(d, i)                                                                                          \
    "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]),        \
        "+f"(d[i + 7])

/* d += a * transpose(b): a has 64 rows, b 64, 128 or 256, both 16 columns. Thread t of the warpgroup holds, with
 * row = t / 32 * 16 + t % 32 / 4 and column = 2 * (t % 4): d[4 * j + 0..1] = D(row, 8 * j + column..column + 1) and
 * d[4 * j + 2..3] = D(row + 8, 8 * j + column..). */
__device__ __forceinline__ void wgmma_m64n64k16(float (&d)[32], WDesc a, WDesc b)
{
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 "
                 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15,"
                 " %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
                 "%32, %33, 1, 1, 1, 0, 0;"
                 : SBV_ACCUMULATE8(d, 0), SBV_ACCUMULATE8(d, 8), SBV_ACCUMULATE8(d, 16), SBV_ACCUMULATE8(d, 24)
                 : "l"(a), "l"(b));
}

__device__ __forceinline__ void wgmma_m64n128k16(float (&d)[64], WDesc a, WDesc b)
{
    asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 "
                 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15,"
                 " %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31,"
                 " %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47,"
                 " %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
                 "%64, %65, 1, 1, 1, 0, 0;"
                 : SBV_ACCUMULATE8(d, 0), SBV_ACCUMULATE8(d, 8), SBV_ACCUMULATE8(d, 16), SBV_ACCUMULATE8(d, 24),
                   SBV_ACCUMULATE8(d, 32), SBV_ACCUMULATE8(d, 40), SBV_ACCUMULATE8(d, 48), SBV_ACCUMULATE8(d, 56)
                 : "l"(a), "l"(b));
}

__device__ __forceinline__ void wgmma_m64n256k16(float (&d)[128], WDesc a, WDesc b)
{
    asm volatile("wgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16 "
                 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15,"
                 " %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31,"
                 " %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47,"
                 " %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63,"
                 " %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79,"
                 " %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95,"
                 " %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111,"
                 " %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127}, "
                 "%128, %129, 1, 1, 1, 0, 0;"
                 : SBV_ACCUMULATE8(d, 0), SBV_ACCUMULATE8(d, 8), SBV_ACCUMULATE8(d, 16), SBV_ACCUMULATE8(d, 24),
                   SBV_ACCUMULATE8(d, 32), SBV_ACCUMULATE8(d, 40), SBV_ACCUMULATE8(d, 48), SBV_ACCUMULATE8(d, 56),
                   SBV_ACCUMULATE8(d, 64), SBV_ACCUMULATE8(d, 72), SBV_ACCUMULATE8(d, 80), SBV_ACCUMULATE8(d, 88),
                   SBV_ACCUMULATE8(d, 96), SBV_ACCUMULATE8(d, 104), SBV_ACCUMULATE8(d, 112), SBV_ACCUMULATE8(d, 120)
                 : "l"(a), "l"(b));
}

#undef SBV_ACCUMULATE8

/* A warpgroup takes or gives back registers: N per thread from now on, a multiple of 8. */
template <int N> __device__ __forceinline__ void setmaxnreg_inc()
{
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
}
template <int N> __device__ __forceinline__ void setmaxnreg_dec()
{
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
}

#endif /* SBV_KERNELS_CUDA_GPU_SM90_H */
