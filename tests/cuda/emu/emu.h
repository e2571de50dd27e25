/*
 * Runs CUDA kernels on the CPU, thread by thread, and checks what a GPU would not: every CUDA thread is a fiber, a
 * block is run to its end before the next one starts, and everything on one thread of the host. The kernels of the
 * library come as translations of their PTX (tests/cuda/ptx); those of the emulator's own tests are compiled for the
 * host: g++ -std=c++17 -O2 -march=native -fno-strict-aliasing -I. -Itests/cuda/emu -x c++ -c x.cu and linked with
 * emu.cpp, fiber.cpp, warp.cpp, async.cpp and wgmma.cpp of this folder. -fno-strict-aliasing because kernels look at
 * one piece of memory as several types, which nvcc allows. With AddressSanitizer define EMU_ASAN everywhere. With
 * ThreadSanitizer define EMU_TSAN everywhere and compile the kernels, but not this folder's engine, with
 * -fsanitize=thread.
 *
 * To run a kernel:
 *     sbv_warp_args args = ...;
 *     void *parameters[] = {&args};
 *     emu::launch(emu::find("sbv_warp_f16"), {grid_x, grid_y, 1}, {256, 1, 1}, shared_bytes, parameters);
 *
 * Environment:
 *     EMU_ORDER=greedy   a warp runs as far as it can before the next one does: the largest skew, the fastest (default)
 *               forward  warps take turns in order, threads in order
 *               reverse  warps take turns from the last, threads from the last
 *               random   warps and threads at random; EMU_SEED=number
 *     EMU_ASYNC=lazy     asynchronous copies and matrix products happen as late as they may: finds missing waits
 * (default) eager    they happen at once: finds buffers refilled too early
 *
 * What is found, and how: shared memory starts as NaN, with guard bands round every SMEM_ARRAY that are checked after
 * each block (and are red zones of AddressSanitizer); threads at different barriers, warp collectives with lanes
 * missing or with exited lanes, misaligned accesses of the asynchronous and matrix instructions, and blocks that can
 * make no progress end the program with a message that begins with "EMU:". Not modelled: kernels that spin on memory
 * and clusters. In kernels compiled for the host neither is the order of generic and asynchronous accesses to shared
 * memory, other than the initialization of mbarriers.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_EMU_H
#define SBV_TESTS_EMU_H

#include <stddef.h>
#include <type_traits>
#include <utility>

#include "half.h"

namespace emu
{

/* ---- To run kernels ---- */

struct Dim3 {
    unsigned x, y, z;
};

/* Calls a kernel's function with parameters given as cuLaunchKernel wants them. */
typedef void (*Caller)(void (*function)(), void **parameters);

struct Kernel {
    const char *name;
    void (*function)();
    Caller call;
    int parameter_count;
    const size_t *parameter_sizes;
    const Kernel *next;
    /* Called at the begin of a launch, and at the begin and the end of each block, where they are not null. */
    void (*begin_launch)(const Kernel *kernel);
    void (*begin_block)(), (*end_block)();
};

/* The kernel of that name, or a null pointer. kernels() is the head of the list of all. */
const Kernel *find(const char *name);
const Kernel *kernels();

/* Runs a grid. Returns 0, or -1 where a GPU would refuse the launch (size of block, grid or shared memory). */
int launch(const Kernel *kernel, Dim3 grid, Dim3 block, size_t shared_bytes, void **parameters);

/* What has been executed since the start of the program. ldmatrix_conflicts counts groups of eight rows, of
 * ldmatrix_phases, that do not lie in different banks. */
struct Statistics {
    long blocks, barriers, switches, mma, wgmma, ldmatrix_phases, ldmatrix_conflicts, async_copies, tma_loads;
};
extern Statistics statistics;

/* Finds the allocation of global memory that an address lies in, false if there is none. Whoever owns the memory sets
 * it; while it is null any address is taken for good. */
extern bool (*find_memory)(uint64_t address, uint64_t *first, uint64_t *end);

/* ---- What kernels are made of; gpu.h gives it the names of CUDA ---- */

/* The part of a running thread that kernels see as threadIdx. */
struct ThreadIndex {
    Dim3 index;
};
struct LaunchIndex {
    Dim3 block, block_size, grid_size;
};
extern ThreadIndex *running;
extern LaunchIndex launch_index;

void *shared_array(const char *name, size_t offset, size_t bytes, size_t align, int line);
void block_barrier(int line);
void named_barrier(int id, int threads, int line);
void named_barrier_arrive(int id, int threads, int line); /* without waiting */
void warp_barrier(unsigned mask, int line);

enum ShuffleKind { SHUFFLE_INDEX, SHUFFLE_XOR, SHUFFLE_DOWN, SHUFFLE_UP };
uint32_t shuffle(ShuffleKind kind, unsigned mask, uint32_t value, int operand, int width, int line);
unsigned ballot(unsigned mask, bool predicate, int line);

/* Copies the first source_bytes, zeros behind them. bytes: 4, 8 or 16, of which both addresses are multiples. */
void copy_async(void *shared, const void *global, int bytes, int source_bytes, int line);
void copy_async_commit();
void copy_async_wait(int pending);

void ldmatrix(uint32_t *registers, const void *row, int matrices, bool transposed, int line);
void stmatrix_trans(void *row, const uint32_t *registers, int matrices, int line);
void mma_m16n8k16(float *d, const uint32_t *a, uint32_t b0, uint32_t b1, int line);
enum { MMA_TILES_MAX = 8 }; /* rows */
void mma_tiles(float *d, const uint32_t *a, const uint32_t *b, int rows, int columns, int line);

/* An mbarrier. As on the device it takes eight bytes of shared memory. */
struct alignas(8) MBar {
    int16_t count, pending;
    uint32_t phase : 1;
    int32_t bytes : 31;
};
void mbar_init(MBar *bar, int count, int line);
void mbar_fence();
void mbar_arrive(MBar *bar, int expected_bytes, int line);
void mbar_wait(MBar *bar, unsigned phase, int line);

/* What cuTensorMapEncodeTiled makes of its parameters, here in plain view. Dimension 0 is the innermost; strides are in
 * bytes, that of dimension 0 is the size of an element. */
struct alignas(64) TensorMap {
    void *base;
    uint64_t stride[5];
    uint32_t size[5];
    uint16_t box[5];
    uint8_t rank;
    uint8_t element_size;
    uint8_t swizzle;  /* CUtensorMapSwizzle: rows of 16 << swizzle bytes are permuted, 0: none */
    uint8_t fill_nan; /* what lies outside is NaN, not zero */
};
static_assert(sizeof(TensorMap) == 128, "a CUtensorMap has 128 bytes");
void tma_load(void *shared, const TensorMap *map, MBar *bar, int rank, const int *coordinates, int line);
/* Stores a box; what lies outside of the tensor is left out. Groups of a thread's stores, as those of cp.async. */
void tma_store(const void *shared, const TensorMap *map, int rank, const int *coordinates, int line);
void tma_store_commit();
void tma_store_wait(int pending);
size_t tma_box_bytes(const TensorMap *map);

/* A matrix in shared memory: rows of 64 halves with 128-byte swizzle, read from byte `offset` of each row on. */
struct WDesc {
    const char *base;
    int offset;
};
void wgmma(float *d, int columns, WDesc a, WDesc b, int line);
void wgmma_fence();
void wgmma_commit();
void wgmma_wait(int pending, int line);

template <class... A, size_t... I>
inline void call_with(void (*function)(A...), void **parameters, std::index_sequence<I...>)
{
    (void)parameters;
    function(*(std::remove_reference_t<A> *)parameters[I]...);
}
template <class... A> struct CallerOf {
    static void call(void (*function)(), void **parameters)
    {
        call_with((void (*)(A...))function, parameters, std::index_sequence_for<A...>());
    }
};
void add_kernel(Kernel *kernel);
struct Registration {
    Kernel kernel;
    template <class... A> Registration(const char *name, void (*function)(A...))
    {
        static const size_t sizes[] = {sizeof(A)..., 0};
        kernel = {
            name,   (void (*)())function, CallerOf<A...>::call, (int)sizeof...(A), sizes, nullptr, nullptr, nullptr,
            nullptr};
        add_kernel(&kernel);
    }
};

template <class T> inline uint32_t to_bits(T v)
{
    static_assert(sizeof(T) == 4, "a register has 32 bits");
    uint32_t bits;
    memcpy(&bits, &v, 4);
    return bits;
}
template <class T> inline T from_bits(uint32_t bits)
{
    T v;
    memcpy(&v, &bits, 4);
    return v;
}

} // namespace emu

#endif /* SBV_TESTS_EMU_H */
