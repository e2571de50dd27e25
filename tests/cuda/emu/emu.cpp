/*
 * The emulator's launch and scheduler, block barriers and shared memory. See emu.h.
 *
 * A fiber runs CUDA threads one after the other: a thread that never waits takes no switch at all. One that waits keeps
 * its fiber, and whoever runs next is chosen by the fiber that stops, without a way through launch().
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine.h"

#include <mutex>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

namespace emu
{

Statistics statistics;
ThreadIndex *running;
LaunchIndex launch_index;
Engine engine;
bool (*find_memory)(uint64_t address, uint64_t *first, uint64_t *end);

static const Kernel *first_kernel;

void add_kernel(Kernel *kernel)
{
    kernel->next = first_kernel;
    first_kernel = kernel;
}

const Kernel *kernels()
{
    return first_kernel;
}

const Kernel *find(const char *name)
{
    for (const Kernel *k = first_kernel; k; k = k->next)
        if (!strcmp(k->name, name))
            return k;
    return nullptr;
}

void fail(int line, const char *format, ...)
{
    const Dim3 block = launch_index.block;
    va_list arguments;
    fprintf(stderr, "EMU: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, " in %s, block (%u, %u, %u)", engine.kernel ? engine.kernel->name : "?", block.x, block.y, block.z);
    if (engine.thread)
        fprintf(stderr, ", thread %u", engine.thread->number);
    if (line)
        fprintf(stderr, ", line %d", line);
    fprintf(stderr, "\n");
    abort();
}

void list_is_full()
{
    fail(0, "more shared arrays, mbarriers or TMA loads at a time than the emulator has room for");
}

uint32_t next_random()
{
    engine.random = engine.random * 1664525u + 1013904223u;
    return engine.random >> 8;
}

/* ---- Which thread runs next ---- */

static unsigned choose_lane(uint32_t lanes)
{
    if (engine.order == REVERSE)
        return 31 - __builtin_clz(lanes);
    if (engine.order != RANDOM)
        return __builtin_ctz(lanes);
    const unsigned start = next_random() % 32;
    const uint32_t later = lanes >> start << start;
    return __builtin_ctz(later ? later : lanes);
}

/* Gives the turn to another warp, or to the same one if no other can run. 0: nobody can run. */
static bool next_turn()
{
    const unsigned n = engine.warp_count, now = engine.turn->number;
    const bool backwards = engine.order == REVERSE;
    unsigned w = engine.order == RANDOM ? next_random() % n : now;
    for (unsigned i = 0; i < n; i++) {
        w = backwards ? (w ? w - 1 : n - 1) : (w + 1 < n ? w + 1 : 0);
        if (engine.warps[w].ready) {
            engine.turn = &engine.warps[w];
            engine.turn_lanes = engine.order == GREEDY ? ~0u : engine.turn->ready;
            return true;
        }
    }
    return false;
}

static void release_block_barrier()
{
    statistics.barriers++;
    for (unsigned i = 0; i < engine.thread_count; i++)
        if (engine.threads[i].state == AT_BLOCK_BARRIER)
            make_ready(&engine.threads[i]);
    engine.at_barrier = 0;
}

static void fail_deadlock()
{
    static const char *const names[] = {
        "ready", "at __syncthreads", "at a named barrier", "at a warp collective", "at an mbarrier", "exited"};
    fprintf(stderr, "EMU: the threads of the block:\n");
    for (unsigned first = 0, i = 1; i <= engine.thread_count; i++) {
        const Thread *t = &engine.threads[first], *next = &engine.threads[i];
        if (i < engine.thread_count && next->state == t->state && next->line == t->line)
            continue;
        fprintf(stderr, "EMU:   %u..%u %s", first, i - 1, names[t->state]);
        fprintf(stderr, t->state == EXITED ? "\n" : ", line %d\n", t->line);
        if (t->state == AT_MBARRIER)
            fprintf(stderr, "EMU:     which waits for %d more arrivals and %d more bytes\n", t->bar->pending,
                    (int)t->bar->bytes);
        first = i;
    }
    engine.thread = nullptr;
    fail(0, "deadlock: threads wait for what cannot come");
}

/* Nobody can run. Does what the block waits for; ends the program if there is no such thing. */
static void make_progress()
{
    if (engine.at_barrier && engine.at_barrier == engine.alive && engine.alive < engine.thread_count) {
        engine.thread = nullptr;
        fail(0, "divergent barrier: threads exited while others wait at __syncthreads");
    }
    if (!run_one_tma_load())
        fail_deadlock();
}

/* In random order other warps, and copies under way, come in between at any moment. */
static void disturb()
{
    const uint32_t chance = next_random();
    if (chance % 4 == 0)
        next_turn();
    if (chance / 4 % 256 == 0)
        run_one_tma_load();
}

/* The next thread to run, or a null pointer at the end of the block. */
static Thread *choose_thread()
{
    while (engine.alive) {
        if (engine.order == RANDOM)
            disturb();
        const uint32_t lanes = engine.turn->ready & engine.turn_lanes;
        if (lanes) {
            const unsigned lane = choose_lane(lanes);
            engine.turn->ready &= ~(1u << lane);
            engine.turn_lanes &= engine.order == GREEDY ? ~0u : ~(1u << lane);
            return &engine.threads[engine.turn->number * 32 + lane];
        }
        if (!next_turn())
            make_progress();
    }
    return nullptr;
}

static inline void set_running(Thread *t)
{
    engine.thread = t;
    running = t;
}

static void run_threads();

static Fiber *idle_fiber()
{
    if (!engine.idle.count)
        return fiber_new(run_threads);
    return engine.idle.items[--engine.idle.count];
}

/* Leaves fiber `self` for that of `next`, which gets one if it has none; a null pointer is the end of the block. */
static void go_to(Fiber *self, Thread *next)
{
    statistics.switches++;
    if (!next) {
        fiber_switch(self, &engine.main);
        return;
    }
    if (!next->fiber)
        next->fiber = idle_fiber();
    set_running(next);
    fiber_switch(self, next->fiber);
}

void wait_in(ThreadState state, int line)
{
    Thread *self = engine.thread;
    self->state = state;
    self->line = line;
    Thread *next = choose_thread();
    if (next != self)
        go_to(self->fiber, next);
}

static void run_thread(Thread *t)
{
    order_acquire(&engine.sync_begin);
    engine.kernel->call(engine.kernel->function, engine.parameters);
    order_release(&engine.sync_end);
    t->state = EXITED;
    t->warp->alive &= ~(1u << t->lane);
    engine.alive--;
}

/* What a fiber does: threads that have not begun, until one that has comes next. */
static void run_threads()
{
    fiber_started();
    for (;;) {
        Fiber *self = engine.thread->fiber;
        run_thread(engine.thread);
        Thread *next = choose_thread();
#ifdef EMU_TSAN
        /* Each thread must be another fiber to ThreadSanitizer: this one is used again in the next block. */
        const bool same_fiber = false;
#else
        const bool same_fiber = next && !next->fiber;
#endif
        if (same_fiber) {
            next->fiber = self;
            set_running(next);
            continue;
        }
#ifndef EMU_TSAN
        engine.idle.push(self);
#endif
        go_to(self, next);
    }
}

/* ---- Barriers of the block ---- */

void block_barrier(int line)
{
    Thread *self = engine.thread;
    void *sync = &engine.sync_barrier[self->barriers_passed++ & 1];
    order_release(sync);
    if (engine.at_barrier)
        for (unsigned i = 0; i < engine.thread_count; i++)
            if (engine.threads[i].state == AT_BLOCK_BARRIER) {
                if (engine.threads[i].line != line)
                    fail(line, "divergent barrier: thread %u is at the __syncthreads of line %d",
                         engine.threads[i].number, engine.threads[i].line);
                break;
            }
    if (++engine.at_barrier == engine.thread_count)
        release_block_barrier();
    else
        wait_in(AT_BLOCK_BARRIER, line);
    order_acquire(sync);
}

/* Arrives; the barrier. */
static NamedBarrier *arrive_at(int id, int threads, int line)
{
    if (id < 1 || id >= NAMED_BARRIERS)
        fail(line, "named barrier %d: there are 1 to 15", id);
    if (threads < 32 || threads % 32 || (unsigned)threads > engine.thread_count)
        fail(line, "named barrier %d of %d threads", id, threads);
    NamedBarrier *b = &engine.named[id];
    if (b->arrived && b->threads != (unsigned)threads)
        fail(line, "named barrier %d of %d threads, but of %u in line %d", id, threads, b->threads, b->line);
    b->threads = threads;
    b->line = line;
    order_release(&b->sync[b->passed & 1]);
    if (++b->arrived == b->threads) {
        b->arrived = 0;
        b->passed++;
        for (unsigned i = 0; i < engine.thread_count; i++)
            if (engine.threads[i].state == AT_NAMED_BARRIER && engine.threads[i].bar_phase == (unsigned)id)
                make_ready(&engine.threads[i]);
    }
    return b;
}

void named_barrier_arrive(int id, int threads, int line)
{
    arrive_at(id, threads, line);
}

void named_barrier(int id, int threads, int line)
{
    Thread *self = engine.thread;
    self->bar = nullptr;
    self->bar_phase = id;
    const unsigned passed = id > 0 && id < NAMED_BARRIERS ? engine.named[id].passed : 0;
    const NamedBarrier *b = arrive_at(id, threads, line);
    if (b->passed == passed)
        wait_in(AT_NAMED_BARRIER, line);
    order_acquire((void *)&b->sync[passed & 1]);
}

/* ---- Shared memory ---- */

/* The arrays of a block lie one after the other in the arena, in the order in which the kernel names them, each at the
 * place in 1024 bytes that its offset asks for, so that banks and swizzles are those of the device, with at least BAND
 * bytes before and behind it. */
enum { BAND = 1024, ARENA_SIZE = 2 * MAX_SHARED + 64 * 2 * BAND };
static const unsigned char UNSET = 0xff; /* NaN as a half and as a float */
static unsigned char *arena;

static void fill_arena(size_t begin, size_t end)
{
    memset(arena + begin, UNSET, end - begin);
}

static void create_arena()
{
    arena = (unsigned char *)mmap(nullptr, ARENA_SIZE, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena == MAP_FAILED) {
        perror("EMU: shared memory");
        abort();
    }
    fill_arena(0, ARENA_SIZE);
#ifdef EMU_ASAN
    __asan_poison_memory_region(arena, ARENA_SIZE);
#endif
}

static SharedArray *add_array(const char *name, size_t offset, size_t bytes, size_t align, int line)
{
    if (offset + bytes > engine.shared_bytes)
        fail(line, "shared array %s ends at byte %zu of the %zu that were launched", name, offset + bytes,
             engine.shared_bytes);
    if (offset % align)
        fail(line, "shared array %s at byte %zu, which is no multiple of %zu", name, offset, align);
    for (const SharedArray &a : engine.arrays)
        if (offset < a.offset + a.bytes && a.offset < offset + bytes)
            fail(line, "shared arrays %s and %s overlap", name, a.name);
    size_t begin = engine.arena_used + BAND;
    begin += (offset + 1024 - begin % 1024) % 1024;
    if (begin + bytes + BAND > ARENA_SIZE)
        fail(line, "more shared arrays than the emulator has room for");
    char *data = (char *)arena + begin;
#ifdef EMU_ASAN
    __asan_unpoison_memory_region(data, bytes);
#endif
    engine.arena_used = begin + bytes;
    engine.arrays.push({name, offset, bytes, data});
    return &engine.arrays.last();
}

void *shared_array(const char *name, size_t offset, size_t bytes, size_t align, int line)
{
    for (const SharedArray &a : engine.arrays)
        if (a.offset == offset && a.bytes == bytes)
            return a.data;
    return add_array(name, offset, bytes, align, line)->data;
}

void check_shared(const void *p, size_t bytes, const char *what, int line)
{
    const char *c = (const char *)p;
    for (const SharedArray &a : engine.arrays)
        if (c >= a.data && c + bytes <= a.data + a.bytes)
            return;
    for (const SharedArray &a : engine.arrays)
        if (c + bytes > a.data - BAND && c < a.data + a.bytes + BAND)
            fail(line, "%s outside shared array %s: bytes %td to %td of %zu", what, a.name, c - a.data,
                 c - a.data + (ptrdiff_t)bytes, a.bytes);
    fail(line, "%s outside the shared arrays", what);
}

/* The first byte of the arena from begin on that is not UNSET; end if there is none. */
static size_t first_written(size_t begin, size_t end)
{
    size_t i = begin;
    for (uint64_t word = ~0ull; i + 8 <= end && word == ~0ull; i += 8)
        memcpy(&word, arena + i, 8);
    for (i = i >= begin + 8 ? i - 8 : begin; i < end && arena[i] == UNSET; i++)
        ;
    return i;
}

/* The guard bands as they must be still, then everything as it was before the block. */
static void check_and_clear_arena()
{
    size_t begin = 0;
    const size_t end = engine.arrays.count ? engine.arena_used + BAND : 0;
#ifdef EMU_ASAN
    __asan_unpoison_memory_region(arena, end);
#endif
    const char *previous = nullptr;
    engine.thread = nullptr;
    for (const SharedArray &a : engine.arrays) {
        const size_t data = (size_t)((unsigned char *)a.data - arena);
        const size_t i = first_written(begin, data);
        if (i < data && previous && i < begin + BAND)
            fail(0, "shared memory overrun: byte %zu behind array %s was written", i - begin, previous);
        if (i < data)
            fail(0, "shared memory overrun: byte %td before array %s was written", (ptrdiff_t)(data - i), a.name);
        previous = a.name;
        begin = data + a.bytes;
    }
    const size_t i = first_written(begin, end);
    if (i < end)
        fail(0, "shared memory overrun: byte %zu behind array %s was written", i - begin, previous);
    fill_arena(0, end);
#ifdef EMU_ASAN
    __asan_poison_memory_region(arena, end);
#endif
    engine.arrays.count = 0;
    engine.arena_used = 0;
}

/* ---- Launch ---- */

static void reset_thread(unsigned i)
{
    Thread *t = &engine.threads[i];
    const Dim3 size = launch_index.block_size;
    t->index = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
    t->number = i;
    t->lane = i % 32;
    t->warp = &engine.warps[i / 32];
    t->state = READY;
    t->line = 0;
    t->barriers_passed = t->collectives_passed = 0;
    t->bar = nullptr;
    reset_async(t);
    reset_wgmma(t);
#ifndef EMU_TSAN
    t->fiber = nullptr;
#endif
}

static void reset_block()
{
    const unsigned n = engine.thread_count;
    for (unsigned w = 0; w < engine.warp_count; w++) {
        const unsigned lanes = n - w * 32;
        engine.warps[w].number = w;
        engine.warps[w].alive = engine.warps[w].ready = lanes >= 32 ? ~0u : (1u << lanes) - 1;
        engine.warps[w].collectives.count = 0;
    }
    for (unsigned i = 0; i < n; i++)
        reset_thread(i);
    engine.alive = n;
    engine.at_barrier = 0;
    for (NamedBarrier &b : engine.named)
        b.arrived = 0;
    engine.bars.count = 0;
    engine.bars_fenced = true;
    /* The first turn is that of the warp after this one, or before it. */
    engine.turn = &engine.warps[engine.order == REVERSE ? 0 : engine.warp_count - 1];
    engine.turn_lanes = 0;
}

static void run_block()
{
    reset_block();
    if (engine.kernel->begin_block)
        engine.kernel->begin_block();
    order_release(&engine.sync_begin);
    go_to(&engine.main, choose_thread());
    engine.thread = nullptr;
    order_acquire(&engine.sync_end);
    for (const NamedBarrier &b : engine.named)
        if (b.arrived)
            fail(b.line, "a named barrier of %u threads has got %u arrivals at the end", b.threads, b.arrived);
    check_async_at_block_end();
    check_wgmma_at_block_end();
    if (engine.kernel->end_block)
        engine.kernel->end_block();
    check_and_clear_arena();
    statistics.blocks++;
}

static void read_environment()
{
    const char *order = getenv("EMU_ORDER"), *async = getenv("EMU_ASYNC"), *seed = getenv("EMU_SEED");
    static const char *const orders[] = {"greedy", "forward", "reverse", "random"};
    engine.order = GREEDY;
    bool known = !order || !*order;
    for (int i = 0; i < 4 && !known; i++)
        if (!strcmp(order, orders[i])) {
            engine.order = (Order)i;
            known = true;
        }
    engine.lazy = !async || !*async || !strcmp(async, "lazy");
    if (!known || (!engine.lazy && strcmp(async, "eager"))) {
        fprintf(stderr, "EMU: EMU_ORDER or EMU_ASYNC has a value that is not known\n");
        abort();
    }
    engine.random = seed ? (uint32_t)strtoul(seed, nullptr, 10) : 1;
}

static bool launch_is_valid(Dim3 grid, Dim3 block, size_t shared_bytes)
{
    if (!grid.x || !grid.y || !grid.z || grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535)
        return false;
    if (!block.x || !block.y || !block.z || block.x > MAX_THREADS || block.y > MAX_THREADS || block.z > 64)
        return false;
    return (size_t)block.x * block.y * block.z <= MAX_THREADS && shared_bytes <= MAX_SHARED;
}

int launch(const Kernel *kernel, Dim3 grid, Dim3 block, size_t shared_bytes, void **parameters)
{
    static std::mutex mutex;
    std::lock_guard<std::mutex> lock(mutex);
    if (!kernel || !launch_is_valid(grid, block, shared_bytes))
        return -1;
    if (!engine.threads) {
        create_copier();
        engine.threads = new Thread[MAX_THREADS]();
        engine.warps = new Warp[MAX_WARPS]();
        create_arena();
    }
    read_environment();
    fiber_adopt(&engine.main);
    engine.kernel = kernel;
    engine.parameters = parameters;
    engine.shared_bytes = shared_bytes;
    engine.thread_count = block.x * block.y * block.z;
    engine.warp_count = (engine.thread_count + 31) / 32;
    launch_index.grid_size = grid;
    launch_index.block_size = block;
    if (kernel->begin_launch)
        kernel->begin_launch(kernel);
    const size_t count = (size_t)grid.x * grid.y * grid.z;
    for (size_t i = 0; i < count; i++) {
        const size_t n = engine.order == REVERSE ? count - 1 - i : i;
        launch_index.block = {(unsigned)(n % grid.x), (unsigned)(n / grid.x % grid.y), (unsigned)(n / grid.x / grid.y)};
        run_block();
    }
    engine.kernel = nullptr;
    return 0;
}

} // namespace emu
