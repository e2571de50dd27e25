/*
 * The machine that translated PTX runs on: what its instructions call. Built on the engine of the emulator, whose
 * threads, orders and checks are those of kernels here too. Messages name lines of the PTX.
 *
 * Beyond the engine it checks: every access to shared and global memory, to the byte, and its alignment; that writes to
 * shared memory are made known to the asynchronous proxy before wgmma or a bulk copy touches them; that all lanes of a
 * warp execute the same .aligned instructions; that accumulators are left alone while products are under way.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_CUDA_PTX_MACHINE_H
#define SBV_TESTS_CUDA_PTX_MACHINE_H

#include "tests/cuda/ptx/numbers.h"
#include "tests/cuda/emu/engine.h"

namespace ptx
{

/* ---- Kernels ---- */

/* A kernel as its translation announces it: the threads of a block at most and the blocks that shall fit on a
 * multiprocessor at least, 0 where the PTX does not say; whether it uses the asynchronous proxy. */
struct Registration {
    emu::Kernel kernel;
    int most_threads, least_blocks;
    bool asynchronous;
    Registration(const char *name, void (*run)(void **), const size_t *sizes, int count, int most_threads,
                 int least_blocks, bool asynchronous);
};

/* What the machine knows of a running thread beside the engine. */
struct ThreadState {
    uint32_t path;           /* of the .aligned instructions it has executed, all lanes of a warp have the same */
    int line;                /* of the last of them */
    unsigned generic_writes; /* its writes to shared memory, counted, and how many of them are fenced */
    unsigned fenced_writes;
    const emu::MBar *bar; /* the last that it has waited for, and how often in succession */
    unsigned bar_phase, waits;
    bool refused;       /* a try to wait has failed: the next one will not */
    bool fenced;        /* wgmma.fence since accumulators were last accessed */
    unsigned registers; /* setmaxnreg */
};
extern ThreadState states[emu::MAX_THREADS];

inline ThreadState &current()
{
    return states[emu::engine.thread->number];
}
inline uint32_t lane()
{
    return emu::engine.thread->lane;
}
inline uint32_t warp()
{
    return emu::engine.thread->warp->number;
}

/* ---- Memory ---- */

/* Where shared memory begins in its window: what lies below belongs to the system. */
static const uint32_t SHARED_BASE = 1024;
/* Generic addresses of shared memory: this and the address in the window. */
static const uint64_t GENERIC_SHARED = 1ull << 56;

[[noreturn]] void bad_shared(uint32_t address, uint32_t bytes, int line);
void find_global(uint64_t address, uint32_t bytes, int line);

/* Dynamic shared memory of the block. */
struct Shared {
    char *data;
    uint32_t size;

    inline char *at(uint32_t address, uint32_t bytes, int line) const
    {
        const uint64_t offset = (uint64_t)address - SHARED_BASE;
        if (__builtin_expect(offset + bytes > size || address % bytes || address < SHARED_BASE, 0))
            bad_shared(address, bytes, line);
        return data + offset;
    }
};
Shared shared_memory();

/* The allocations found last, by the address. Emptied before each launch. */
struct Range {
    uint64_t first, end;
};
extern Range recent_ranges[256];

inline char *global_at(uint64_t address, uint32_t bytes, int line)
{
    const Range &r = recent_ranges[address >> 16 & 255];
    if (__builtin_expect(address % bytes || address < r.first || address + bytes > r.end, 0))
        find_global(address, bytes, line);
    return (char *)address;
}
char *parameter_at(uint64_t address, uint32_t bytes, int line);
char *generic_at(const Shared &shared, uint64_t address, uint32_t bytes, int line);
uint32_t to_shared(uint64_t generic, int line);
inline uint64_t to_generic(uint64_t shared)
{
    return GENERIC_SHARED + (uint32_t)shared;
}

/* Who has written each word of shared memory last, otherwise than by bulk copies. Kept for kernels that use the
 * asynchronous proxy. */
struct Writer {
    uint32_t thread; /* 0: nobody, else its number + 1 */
    uint32_t write;
};
extern Writer *writers; /* of words from the begin of shared memory on; nullptr: not kept */
extern const char *writers_data;

void mark_generic_write(const char *at, size_t bytes);
/* The thread that runs is about to have the asynchronous proxy read or write these bytes. */
void check_proxy(const char *at, size_t bytes, const char *what, int line);
inline void proxy_fence()
{
    current().fenced_writes = current().generic_writes;
    emu::mbar_fence();
}

inline void note_read(const char *at, size_t bytes)
{
    emu::note_read(at, bytes);
}
inline void note_global_write(char *at, size_t bytes)
{
    emu::note_write(at, bytes);
}
inline void note_shared_write(char *at, size_t bytes)
{
    emu::note_write(at, bytes);
    if (__builtin_expect(writers != nullptr, 0))
        mark_generic_write(at, bytes);
}
inline void note_atomic(char *at)
{
    emu::order_acquire(at);
}
inline void note_atomic_end(char *at)
{
    emu::order_release(at);
}

void copy_async(const Shared &shared, uint32_t to, uint64_t from, uint32_t bytes, uint32_t source_bytes, int line);

/* ---- Threads that wait for each other ---- */

/* An .aligned instruction at which the lanes of a warp do not stop. */
inline void aligned(int line)
{
    ThreadState &t = current();
    t.path = t.path * 16777619u + (uint32_t)line;
    t.line = line;
}
/* All lanes of the warp have come: whether by the same way. */
void check_paths(const emu::Warp *warp, int line);

void bar_sync(uint32_t id, uint32_t threads, int line); /* threads 0: all of the block */
void bar_arrive(uint32_t id, uint32_t threads, int line);
uint32_t shuffle(emu::ShuffleKind kind, uint32_t value, uint32_t b, uint32_t c, uint32_t mask, bool *inside, int line);
void set_registers(uint32_t count, bool increases, int line);
emu::MBar *barrier_at(const Shared &shared, uint32_t address, int line);
bool try_wait(emu::MBar *bar, uint32_t parity, int line);

/* ---- Matrices ---- */

/* `count` instructions at once: at[i] is the lane's address for instruction i, m[i] its results. */
void ldmatrix(uint32_t (*m)[4], const uint32_t *at, int count, int matrices, bool transposed, const Shared &shared,
              int line);
void stmatrix(uint32_t at, const uint32_t *m, int matrices, bool transposed, const Shared &shared, int line);
enum { MMA_FACTORS = 16 };
/* d[i] += a[pairs[i][0]] * b[pairs[i][1]] for i < count */
void mma(float (*d)[4], const uint32_t (*a)[4], int a_count, const uint32_t (*b)[2], int b_count,
         const uint8_t (*pairs)[2], int count, int line);

/* The accumulators of a thread: what it sees, what will be there, and how many products under way will change it. */
struct Frame {
    float *now, *value;
    uint16_t *busy;
};
[[noreturn]] void touched_busy(int slot, int line);

template <int N> struct Sums {
    float now[N], value[N];
    uint16_t busy[N];

    Sums()
    {
        memset(busy, 0, sizeof(busy));
    }
    Frame frame()
    {
        return {now, value, busy};
    }
    inline void touch(int slot, int line)
    {
        if (__builtin_expect(busy[slot], 0))
            touched_busy(slot, line);
        current().fenced = false;
    }
};

struct ProductFlags {
    bool accumulates, negated, transposed_a, transposed_b;
};
/* Descriptors a and b as in PTX; slots: the accumulators in the order of the instruction. */
void wgmma(Frame frame, const uint16_t *slots, int columns, uint64_t a, uint64_t b, ProductFlags flags,
           const Shared &shared, int line);
void wgmma_fence(int line);
void wgmma_commit(int line);
void wgmma_wait(int pending, int line);
void reset_products(unsigned thread);
void check_products(); /* at the end of a block */

/* ---- Bulk copies ---- */

void tensor_load(const Shared &shared, uint32_t to, uint64_t map, uint32_t bar, int rank, const int *coordinates,
                 int line);
void tensor_store(const Shared &shared, uint32_t from, uint64_t map, int rank, const int *coordinates, int line);
void bulk_commit();
void bulk_wait(int pending, int line);

} // namespace ptx

#endif /* SBV_TESTS_CUDA_PTX_MACHINE_H */
