/*
 * The names of CUDA C++ for kernels that run on the emulator: included by kernels/cuda/gpu.h and by nothing else, since
 * many of them would be in the way elsewhere.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_EMU_CUDA_NAMES_H
#define SBV_TESTS_EMU_CUDA_NAMES_H

#include "emu.h"

#define __global__
#define __device__
#define __host__
#define __constant__    const
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__    __attribute__((noinline))
#define __align__(n)    alignas(n)
/* A block is run to its end before the next starts, so that one copy will do. AddressSanitizer guards static arrays. */
#define __shared__ static

#define LAUNCH_BOUNDS(threads, blocks)
#define KERNEL(name, ...) EMU_KERNEL(name, __VA_ARGS__)
#define EMU_KERNEL(name, ...)                                                                                          \
    static void name(__VA_ARGS__);                                                                                     \
    static emu::Registration emu_registration_##name(#name, name);                                                     \
    static void name(__VA_ARGS__)
#define TMAP_PARAM(name) const TensorMap name

#define DYN_SMEM() ((void)0)
#define SMEM_ARRAY(T, name, byte_offset, count)                                                                        \
    T *name = (T *)emu::shared_array(#name, (byte_offset), sizeof(T) * (count), alignof(T), __LINE__)

#define threadIdx (emu::running->index)
#define blockIdx  (emu::launch_index.block)
#define blockDim  (emu::launch_index.block_size)
#define gridDim   (emu::launch_index.grid_size)

typedef emu::Dim3 dim3;
typedef emu::MBar MBar;
typedef emu::TensorMap TensorMap;
typedef emu::WDesc WDesc;

/* The line of the caller, for messages and to tell one barrier from another. */
#define EMU_LINE int line = __builtin_LINE()

/* ---- Barriers and warp collectives ---- */

inline void __syncthreads(EMU_LINE)
{
    emu::block_barrier(line);
}
inline void bar_sync(int id, int threads, EMU_LINE)
{
    emu::named_barrier(id, threads, line);
}
inline void __syncwarp(unsigned mask = ~0u, EMU_LINE)
{
    emu::warp_barrier(mask, line);
}
template <class T> inline T __shfl_sync(unsigned mask, T v, int lane, int width = 32, EMU_LINE)
{
    return emu::from_bits<T>(emu::shuffle(emu::SHUFFLE_INDEX, mask, emu::to_bits(v), lane, width, line));
}
template <class T> inline T __shfl_xor_sync(unsigned mask, T v, int lanes, int width = 32, EMU_LINE)
{
    return emu::from_bits<T>(emu::shuffle(emu::SHUFFLE_XOR, mask, emu::to_bits(v), lanes, width, line));
}
template <class T> inline T __shfl_down_sync(unsigned mask, T v, int lanes, int width = 32, EMU_LINE)
{
    return emu::from_bits<T>(emu::shuffle(emu::SHUFFLE_DOWN, mask, emu::to_bits(v), lanes, width, line));
}
template <class T> inline T __shfl_up_sync(unsigned mask, T v, int lanes, int width = 32, EMU_LINE)
{
    return emu::from_bits<T>(emu::shuffle(emu::SHUFFLE_UP, mask, emu::to_bits(v), lanes, width, line));
}
inline unsigned __ballot_sync(unsigned mask, int predicate, EMU_LINE)
{
    return emu::ballot(mask, predicate != 0, line);
}
inline int __any_sync(unsigned mask, int predicate, EMU_LINE)
{
    return emu::ballot(mask, predicate != 0, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, EMU_LINE)
{
    return emu::ballot(mask, predicate != 0, line) == mask;
}

/* ---- Ampere: asynchronous copies and matrix instructions ---- */

inline void cp_async16(void *shared, const void *global, int bytes, EMU_LINE)
{
    emu::copy_async(shared, global, 16, bytes, line);
}
inline void cp_async_commit()
{
    emu::copy_async_commit();
}
template <int N> inline void cp_async_wait()
{
    emu::copy_async_wait(N);
}
inline void ldmatrix_x4(uint32_t (&r)[4], const void *row, EMU_LINE)
{
    emu::ldmatrix(r, row, 4, false, line);
}
inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void *row, EMU_LINE)
{
    emu::ldmatrix(r, row, 4, true, line);
}
inline void ldmatrix_x2(uint32_t (&r)[2], const void *row, EMU_LINE)
{
    emu::ldmatrix(r, row, 2, false, line);
}
inline void ldmatrix_x2_trans(uint32_t (&r)[2], const void *row, EMU_LINE)
{
    emu::ldmatrix(r, row, 2, true, line);
}
inline void stmatrix_x4_trans(void *row, const uint32_t (&r)[4], EMU_LINE)
{
    emu::stmatrix_trans(row, r, 4, line);
}
inline void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, EMU_LINE)
{
    emu::mma_m16n8k16(d, a, b0, b1, line);
}

template <int M, int N>
inline void mma_tiles(float (&d)[M][N][4], const uint32_t (&a)[M][4], const uint32_t (&b)[N / 2][4], EMU_LINE)
{
    static_assert(M <= emu::MMA_TILES_MAX && N % 2 == 0, "more products than the emulator has room for");
    emu::mma_tiles(d[0][0], a[0], b[0], M, N, line);
}

/* ---- Hopper: mbarriers, TMA, wgmma ---- */

inline void mbar_init(MBar *bar, int count, EMU_LINE)
{
    emu::mbar_init(bar, count, line);
}
inline void mbar_fence()
{
    emu::mbar_fence();
}
inline void mbar_expect(MBar *bar, int bytes, EMU_LINE)
{
    emu::mbar_arrive(bar, bytes, line);
}
inline void mbar_arrive(MBar *bar, EMU_LINE)
{
    emu::mbar_arrive(bar, 0, line);
}
inline void mbar_wait(MBar *bar, unsigned phase, EMU_LINE)
{
    emu::mbar_wait(bar, phase, line);
}
inline void tma_load3(void *shared, const TensorMap *map, MBar *bar, int c0, int c1, int c2, EMU_LINE)
{
    const int coordinates[3] = {c0, c1, c2};
    emu::tma_load(shared, map, bar, 3, coordinates, line);
}
inline void tma_load4(void *shared, const TensorMap *map, MBar *bar, int c0, int c1, int c2, int c3, EMU_LINE)
{
    const int coordinates[4] = {c0, c1, c2, c3};
    emu::tma_load(shared, map, bar, 4, coordinates, line);
}
inline WDesc wdesc(const void *shared)
{
    return {(const char *)shared, 0};
}
inline WDesc wdesc_k(WDesc d, int halves)
{
    return {d.base, d.offset + halves * 2};
}
inline void wgmma_fence()
{
    emu::wgmma_fence();
}
template <int N> inline void wgmma_hold(float (&)[N])
{
}
inline void wgmma_commit()
{
    emu::wgmma_commit();
}
template <int N> inline void wgmma_wait(EMU_LINE)
{
    emu::wgmma_wait(N, line);
}
inline void wgmma_m64n64k16(float (&d)[32], WDesc a, WDesc b, EMU_LINE)
{
    emu::wgmma(d, 64, a, b, line);
}
inline void wgmma_m64n128k16(float (&d)[64], WDesc a, WDesc b, EMU_LINE)
{
    emu::wgmma(d, 128, a, b, line);
}
inline void wgmma_m64n256k16(float (&d)[128], WDesc a, WDesc b, EMU_LINE)
{
    emu::wgmma(d, 256, a, b, line);
}
template <int N> inline void setmaxnreg_inc()
{
    static_assert(N >= 24 && N <= 256 && N % 8 == 0, "setmaxnreg takes multiples of 8 from 24 to 256");
}
template <int N> inline void setmaxnreg_dec()
{
    static_assert(N >= 24 && N <= 256 && N % 8 == 0, "setmaxnreg takes multiples of 8 from 24 to 256");
}

/* ---- Atomics; they return the value before ---- */

inline int atomicAdd(int *p, int v)
{
    return __atomic_fetch_add(p, v, __ATOMIC_RELAXED);
}
inline unsigned atomicAdd(unsigned *p, unsigned v)
{
    return __atomic_fetch_add(p, v, __ATOMIC_RELAXED);
}
inline float atomicAdd(float *p, float v)
{
    uint32_t old = __atomic_load_n((uint32_t *)p, __ATOMIC_RELAXED), sum;
    do
        sum = emu::to_bits(emu::from_bits<float>(old) + v);
    while (!__atomic_compare_exchange_n((uint32_t *)p, &old, sum, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return emu::from_bits<float>(old);
}
template <class T> inline T atomicExch(T *p, T v)
{
    T old;
    __atomic_exchange(p, &v, &old, __ATOMIC_RELAXED);
    return old;
}
template <class T> inline T atomicMax(T *p, T v)
{
    T old = __atomic_load_n(p, __ATOMIC_RELAXED);
    while (old < v && !__atomic_compare_exchange_n(p, &old, v, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    return old;
}
template <class T> inline T atomicMin(T *p, T v)
{
    T old = __atomic_load_n(p, __ATOMIC_RELAXED);
    while (v < old && !__atomic_compare_exchange_n(p, &old, v, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    return old;
}
inline void __threadfence()
{
}
inline void __threadfence_block()
{
}

/* ---- Arithmetic and bits ---- */

template <class T> inline T __ldg(const T *p)
{
    return *p;
}
inline int min(int a, int b)
{
    return a < b ? a : b;
}
inline int max(int a, int b)
{
    return a > b ? a : b;
}
inline unsigned min(unsigned a, unsigned b)
{
    return a < b ? a : b;
}
inline unsigned max(unsigned a, unsigned b)
{
    return a > b ? a : b;
}
inline long long min(long long a, long long b)
{
    return a < b ? a : b;
}
inline long long max(long long a, long long b)
{
    return a > b ? a : b;
}
inline float min(float a, float b)
{
    return fminf(a, b);
}
inline float max(float a, float b)
{
    return fmaxf(a, b);
}
inline float rsqrtf(float x)
{
    return 1 / sqrtf(x);
}
inline float __saturatef(float x)
{
    return fminf(fmaxf(x, 0), 1);
}
inline float __fdividef(float a, float b)
{
    return a / b;
}
inline float __expf(float x)
{
    return expf(x);
}
inline float __fadd_rn(float a, float b)
{
    return a + b;
}
inline float __fmul_rn(float a, float b)
{
    return a * b;
}
inline float __fmaf_rn(float a, float b, float c)
{
    return fmaf(a, b, c);
}
inline int __float2int_rd(float x)
{
    return (int)floorf(x);
}
inline int __float2int_rn(float x)
{
    return (int)rintf(x);
}
inline int __float2int_rz(float x)
{
    return (int)x;
}
inline int __float_as_int(float x)
{
    return emu::from_bits<int>(emu::to_bits(x));
}
inline unsigned __float_as_uint(float x)
{
    return emu::to_bits(x);
}
inline float __int_as_float(int x)
{
    return emu::from_bits<float>(emu::to_bits(x));
}
inline float __uint_as_float(unsigned x)
{
    return emu::from_bits<float>(x);
}
inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}
inline int __clz(int x)
{
    return x ? __builtin_clz((unsigned)x) : 32;
}
inline int __ffs(int x)
{
    return __builtin_ffs(x);
}
inline unsigned __brev(unsigned x)
{
    unsigned r = 0;
    for (int i = 0; i < 32; i++)
        r |= (x >> i & 1) << (31 - i);
    return r;
}

#undef EMU_LINE

#endif /* SBV_TESTS_EMU_CUDA_NAMES_H */
