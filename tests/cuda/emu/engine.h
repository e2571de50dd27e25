/*
 * The inside of the emulator: the state of the block that runs, and what its parts call of each other.
 * All of it belongs to the one thread of the host that is in launch(), so none of it is locked.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_EMU_ENGINE_H
#define SBV_TESTS_EMU_ENGINE_H

#include <vector>

#include "emu.h"
#include "fiber.h"

#ifdef EMU_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace emu
{

enum { MAX_THREADS = 1024, MAX_WARPS = MAX_THREADS / 32, MAX_SHARED = 227 * 1024, NAMED_BARRIERS = 16 };

[[noreturn]] void list_is_full();

/* A list of fixed size. What several fibers share must not come from the heap: ThreadSanitizer takes a list that one
 * fiber frees after another has allocated it for a race. */
template <class T, int N> struct List {
    int count;
    T items[N];
    void push(const T &item)
    {
        if (count == N)
            list_is_full();
        items[count++] = item;
    }
    void remove(T *item) /* changes the order */
    {
        *item = items[--count];
    }
    void remove_in_order(int i)
    {
        count--;
        for (; i < count; i++)
            items[i] = items[i + 1];
    }
    T *begin()
    {
        return items;
    }
    T *end()
    {
        return items + count;
    }
    T &last()
    {
        return items[count - 1];
    }
};

struct AsyncCopy {
    char *shared;
    const char *global;
    int bytes, source_bytes;
    int line;
};

/* Accumulators that matrix products under way will change, and what they will be set to. */
struct Accumulator {
    float *registers;
    int count, uses;
    float value[128];
};
struct MatrixProduct {
    size_t accumulator;
    int columns;
    WDesc a, b;
};

enum ThreadState { READY, AT_BLOCK_BARRIER, AT_NAMED_BARRIER, AT_WARP_COLLECTIVE, AT_MBARRIER, EXITED };

struct TmaStore {
    const char *shared;
    TensorMap map;
    int coordinates[5];
    int line;
};

struct Warp;

/* A CUDA thread. A fiber only from its first instruction to its last. */
struct Thread : ThreadIndex {
    unsigned number, lane;
    Warp *warp;
    Fiber *fiber;
    ThreadState state;
    int line;                    /* where it waits, or where it did last */
    unsigned barriers_passed;    /* of the block: which of two objects tells ThreadSanitizer of the next one */
    unsigned collectives_passed; /* the same for __syncwarp */
    const MBar *bar;             /* AT_MBARRIER */
    unsigned bar_phase;
    std::vector<AsyncCopy> copies;   /* issued, not done, the oldest first */
    std::vector<size_t> copy_groups; /* of them: number of copies in each group that was committed, the oldest first */
    size_t copies_committed;
    std::vector<TmaStore> stores; /* the same for those of TMA */
    std::vector<size_t> store_groups;
    size_t stores_committed;
    std::vector<Accumulator> accumulators; /* wgmma */
    std::vector<MatrixProduct> products;
    std::vector<size_t> product_groups;
    size_t products_committed;
    unsigned products_issued;
    bool fenced;
};

/* A warp collective that some lanes have reached. */
struct Collective {
    uint32_t mask, arrived;
    int kind, line;
};

struct Warp {
    unsigned number;
    uint32_t ready; /* lanes that can run and do not */
    uint32_t alive; /* lanes that have not exited */
    List<Collective, 32> collectives;
    char sync[2], wgmma_sync; /* objects for ThreadSanitizer */
    /* What lanes bring to a collective and take from it. Outputs are written when the last lane arrives, and every lane
     * has fetched its own before it can arrive at the next collective. */
    union {
        uint32_t word[32];
        struct {
            uint32_t value[32], source[32];
        } shuffle;
        struct {
            uint32_t row[32][4];
            const void *address[32];
        } ldmatrix;
        struct {
            alignas(64) uint32_t a[16][8]; /* pairs of halves, [row][k / 2] */
            alignas(64) uint16_t b[16][8]; /* halves, [k][column] */
        } mma;
        struct {
            float *d[32];
            const uint32_t *a[32], *b[32];
        } tiles;
    } in;
    union {
        uint32_t word[32];
        uint32_t row[32][4];
        alignas(64) float d[16][8];
    } out;
};

struct SharedArray {
    const char *name;
    size_t offset, bytes;
    char *data;
};

struct TmaLoad {
    char *shared;
    TensorMap map;
    MBar *bar;
    int coordinates[5];
    int line;
};

struct NamedBarrier {
    unsigned threads, arrived;
    int line;
    char sync[2];
    unsigned passed;
};

enum Order { GREEDY, FORWARD, REVERSE, RANDOM };

struct Engine {
    const Kernel *kernel;
    void **parameters;
    Order order;
    bool lazy;
    uint32_t random;

    Thread *threads; /* MAX_THREADS */
    Warp *warps;     /* MAX_WARPS */
    unsigned thread_count, warp_count;
    Thread *thread; /* the one that runs */
    Warp *turn;     /* the warp that has its turn, and which of its lanes still have theirs */
    uint32_t turn_lanes;
    unsigned alive, at_barrier;
    NamedBarrier named[NAMED_BARRIERS];
    Fiber main; /* launch() itself */
    List<Fiber *, MAX_THREADS> idle;

    size_t shared_bytes;
    List<SharedArray, 64> arrays;
    size_t arena_used;

    List<TmaLoad, 256> loads; /* lazy: not done yet */
    List<MBar *, 64> bars;    /* initialized in this block */
    bool bars_fenced;
    char sync_begin, sync_end, sync_barrier[2]; /* objects for ThreadSanitizer */
};
extern Engine engine;

/* Ends the program: "EMU: <message> in <kernel>, block (x, y, z), thread n, line l". */
[[noreturn]] void fail(int line, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The running thread waits in `state`; returns when somebody has made it ready. */
void wait_in(ThreadState state, int line);

/* Makes a waiting thread ready. */
inline void make_ready(Thread *t)
{
    t->state = READY;
    t->warp->ready |= 1u << t->lane;
}

uint32_t next_random();

/* Tells of what cp.async writes, where it is not null. */
extern void (*generic_write)(const char *shared, size_t bytes);

/* async.cpp */
void reset_async(Thread *t);
void create_copier();
bool run_one_tma_load(); /* false: none is under way */
void check_async_at_block_end();

/* wgmma.cpp */
void reset_wgmma(Thread *t);
void check_wgmma_at_block_end();

/* A 16-byte piece of shared memory that lies inside one array of the kernel: a pointer elsewhere ends the program. */
void check_shared(const void *p, size_t bytes, const char *what, int line);

/* For ThreadSanitizer, which does not see the engine: accesses it makes for a kernel, and order between threads. */
#ifdef EMU_TSAN
extern "C" {
void __tsan_acquire(void *object);
void __tsan_release(void *object);
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
void __tsan_read_range(void *p, size_t bytes);
void __tsan_write_range(void *p, size_t bytes);
}
inline void order_acquire(void *object)
{
    __tsan_acquire(object);
}
inline void order_release(void *object)
{
    __tsan_release(object);
}
inline void note_read(const void *p, size_t bytes)
{
    __tsan_read_range((void *)p, bytes);
}
inline void note_write(void *p, size_t bytes)
{
    __tsan_write_range(p, bytes);
}
#else
inline void order_acquire(void *)
{
}
inline void order_release(void *)
{
}
inline void note_read(const void *, size_t)
{
}
inline void note_write(void *, size_t)
{
}
#endif

enum CollectiveKind {
    WARP_BARRIER,
    BALLOT,
    LDMATRIX,
    LDMATRIX_TRANSPOSED,
    STMATRIX_TRANSPOSED,
    MMA,
    MMA_TILES,
    WGMMA,
    WGMMA_WAIT,
    SHUFFLE, /* + ShuffleKind */
};

Collective *find_collective(Warp *warp, uint32_t mask, int kind, int line);

/* Every lane of the mask arrives here with its inputs stored; the last one runs `complete`, and all go on. */
template <class F> inline void collective(uint32_t mask, int kind, int line, F complete)
{
    Thread *self = engine.thread;
    Warp *warp = self->warp;
    const uint32_t bit = 1u << self->lane;
    Collective *c = find_collective(warp, mask, kind, line);
    c->arrived |= bit;
    if (c->arrived != mask) {
        wait_in(AT_WARP_COLLECTIVE, line);
        return;
    }
    warp->collectives.remove(c);
    complete(warp);
    for (uint32_t others = mask & ~bit; others; others &= others - 1)
        engine.threads[warp->number * 32 + __builtin_ctz(others)].state = READY;
    warp->ready |= mask & ~bit;
}

} // namespace emu

#endif /* SBV_TESTS_EMU_ENGINE_H */
