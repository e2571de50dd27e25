/*
 * Asynchronous copies of the emulator: cp.async, mbarriers and TMA. Lazy: a copy happens at the wait for it, or when
 * the block cannot go on without it. Eager: at once.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine.h"

namespace emu
{

/* ---- cp.async ---- */

void (*generic_write)(const char *shared, size_t bytes);

static void copy_now(const AsyncCopy &c)
{
    statistics.async_copies++;
    note_write(c.shared, c.bytes);
    note_read(c.global, c.source_bytes);
    memcpy(c.shared, c.global, c.source_bytes);
    memset(c.shared + c.source_bytes, 0, c.bytes - c.source_bytes);
    if (generic_write)
        generic_write(c.shared, c.bytes);
}

void copy_async(void *shared, const void *global, int bytes, int source_bytes, int line)
{
    Thread *self = engine.thread;
    if (((uintptr_t)shared | (uintptr_t)global) & (bytes - 1))
        fail(line, "misaligned cp.async: both addresses must be multiples of %d bytes", bytes);
    if (source_bytes < 0 || source_bytes > bytes)
        fail(line, "cp.async of %d bytes out of %d", source_bytes, bytes);
    check_shared(shared, bytes, "cp.async", line);
#ifdef EMU_ASAN
    if (source_bytes && __asan_region_is_poisoned((void *)global, source_bytes))
        fail(line, "global out of bounds: cp.async reads %p", global);
#endif
    const AsyncCopy c = {(char *)shared, (const char *)global, bytes, source_bytes, line};
    if (engine.lazy)
        self->copies.push_back(c);
    else
        copy_now(c);
}

void copy_async_commit()
{
    Thread *self = engine.thread;
    self->copy_groups.push_back(self->copies.size() - self->copies_committed);
    self->copies_committed = self->copies.size();
}

void copy_async_wait(int pending)
{
    Thread *self = engine.thread;
    size_t groups = 0, count = 0;
    while (self->copy_groups.size() - groups > (size_t)pending)
        count += self->copy_groups[groups++];
    for (size_t i = 0; i < count; i++)
        copy_now(self->copies[i]);
    self->copies.erase(self->copies.begin(), self->copies.begin() + (ptrdiff_t)count);
    self->copy_groups.erase(self->copy_groups.begin(), self->copy_groups.begin() + (ptrdiff_t)groups);
    self->copies_committed -= count;
}

/* ---- mbarriers ---- */

static void check_bar(const MBar *bar, const char *what, int line)
{
    check_shared(bar, sizeof(*bar), what, line);
    for (const MBar *known : engine.bars)
        if (known == bar)
            return;
    fail(line, "%s of an mbarrier that has not been initialized", what);
}

/* The phase is over when all have arrived and all bytes have come. */
static void complete_phase(MBar *bar)
{
    if (bar->pending || bar->bytes)
        return;
    bar->phase ^= 1;
    bar->pending = bar->count;
    for (unsigned i = 0; i < engine.thread_count; i++) {
        Thread *t = &engine.threads[i];
        if (t->state == AT_MBARRIER && t->bar == bar && t->bar_phase != bar->phase)
            make_ready(t);
    }
}

void mbar_init(MBar *bar, int count, int line)
{
    check_shared(bar, sizeof(*bar), "mbar_init", line);
    if ((uintptr_t)bar & 7)
        fail(line, "misaligned mbarrier: it must lie at a multiple of 8 bytes");
    if (count < 1 || count > MAX_THREADS)
        fail(line, "mbarrier of %d arrivals", count);
    for (const MBar *known : engine.bars)
        if (known == bar)
            fail(line, "mbarrier initialized twice");
    note_write(bar, sizeof(*bar));
    bar->count = bar->pending = (int16_t)count;
    bar->phase = 0;
    bar->bytes = 0;
    engine.bars.push(bar);
    engine.bars_fenced = false;
}

void mbar_fence()
{
    engine.bars_fenced = true;
}

void mbar_arrive(MBar *bar, int expected_bytes, int line)
{
    check_bar(bar, "arrival", line);
    note_read(bar, sizeof(*bar));
    order_release(bar);
    if (bar->pending == 0)
        fail(line, "mbarrier: more arrivals than the %d of its phase", bar->count);
    bar->bytes += expected_bytes;
    bar->pending--;
    complete_phase(bar);
}

void mbar_wait(MBar *bar, unsigned phase, int line)
{
    Thread *self = engine.thread;
    check_bar(bar, "wait", line);
    note_read(bar, sizeof(*bar));
    if (phase > 1)
        fail(line, "mbarrier: the phase is 0 or 1, not %u", phase);
    self->bar = bar;
    self->bar_phase = phase;
    if (bar->phase == phase)
        wait_in(AT_MBARRIER, line);
    order_acquire(bar);
}

/* ---- TMA ---- */

size_t tma_box_bytes(const TensorMap *map)
{
    size_t bytes = map->element_size;
    for (int i = 0; i < map->rank; i++)
        bytes *= map->box[i];
    return bytes;
}

static void check_box(const void *shared, const TensorMap &map, int rank, const char *what, int line)
{
    const int row = map.box[0] * map.element_size, span = 16 << map.swizzle;
    const int align = map.swizzle ? 8 * span : 128;
    if (map.rank != rank)
        fail(line, "%s of %d dimensions with a map of %d", what, rank, map.rank);
    if (map.swizzle && row > span)
        fail(line, "%s: with %d-byte swizzle a row of the box has at most as many bytes", what, span);
    if ((uintptr_t)shared & (align - 1))
        fail(line, "misaligned %s: the address in shared memory must be a multiple of %d bytes", what, align);
    if ((uintptr_t)map.base & 15)
        fail(line, "misaligned %s: the tensor must begin at a multiple of 16 bytes", what);
    for (int i = 1; i < rank; i++)
        if (map.stride[i] & 15)
            fail(line, "misaligned %s: stride %d is no multiple of 16 bytes", what, i);
    if (row % 16)
        fail(line, "%s: a row of the box is no multiple of 16 bytes", what);
    check_shared(shared, tma_box_bytes(&map), what, line);
}

/* Where the byte `offset` of a box lies: within 8 rows of 128, 4 of 64 or 2 of 32 bytes, units of 16 bytes are permuted
 * by the number of their 128 bytes. */
static size_t swizzled(const TensorMap &map, size_t offset)
{
    return map.swizzle ? offset ^ (offset >> 7 & ((1u << map.swizzle) - 1)) << 4 : offset;
}

/* Moves one row of a box between its place in shared memory, at `offset`, and the tensor. */
template <class Move> static void for_row(const TensorMap &map, size_t offset, const int *position, Move move)
{
    char *row = (char *)map.base;
    bool inside = true;
    for (int i = 1; i < map.rank; i++) {
        inside = inside && position[i] >= 0 && (uint32_t)position[i] < map.size[i];
        row += position[i] * (ptrdiff_t)map.stride[i];
    }
    for (int x = 0; x < map.box[0]; x++, offset += map.element_size) {
        const int64_t column = (int64_t)position[0] + x;
        const bool there = inside && column >= 0 && column < map.size[0];
        move(swizzled(map, offset), there ? row + column * map.element_size : nullptr);
    }
}

template <class Move> static void for_box(const TensorMap &map, const int *coordinates, Move move)
{
    const size_t bytes = tma_box_bytes(&map), row = (size_t)map.box[0] * map.element_size;
    int index[5] = {}, position[5];
    for (size_t offset = 0; offset < bytes; offset += row) {
        for (int i = 0; i < map.rank; i++)
            position[i] = coordinates[i] + index[i];
        for_row(map, offset, position, move);
        for (int i = 1; i < map.rank && ++index[i] == map.box[i]; i++)
            index[i] = 0;
    }
}

/* The object that tells ThreadSanitizer what came before a load; what comes after is told by the mbarrier itself. */
static void *issue_order(MBar *bar)
{
    return (char *)bar + 1;
}

/* To ThreadSanitizer the copy engine is a thread of its own, which knows only of what came before the load. */
#ifdef EMU_TSAN
static void *copier;
#endif

void create_copier()
{
#ifdef EMU_TSAN
    copier = __tsan_create_fiber(0);
#endif
}

struct AsCopier {
#ifdef EMU_TSAN
    void *self;
    AsCopier() : self(__tsan_get_current_fiber())
    {
        __tsan_switch_to_fiber(copier, 1);
    }
    ~AsCopier()
    {
        __tsan_switch_to_fiber(self, 1);
    }
#else
    AsCopier()
    {
    }
#endif
};

static void load_now(const TmaLoad &l)
{
    const AsCopier as_copier;
    const TensorMap &map = l.map;
    order_acquire(issue_order(l.bar));
    const size_t bytes = tma_box_bytes(&map), size = map.element_size;
    statistics.tma_loads++;
    note_write(l.shared, bytes);
    for_box(map, l.coordinates, [&](size_t offset, const char *element) {
        if (element) {
            note_read(element, size);
            memcpy(l.shared + offset, element, size);
        } else {
            memset(l.shared + offset, map.fill_nan ? 0xff : 0, size);
        }
    });
    order_release(l.bar);
    l.bar->bytes -= (int)bytes;
    complete_phase(l.bar);
}

void tma_load(void *shared, const TensorMap *map, MBar *bar, int rank, const int *coordinates, int line)
{
    TmaLoad l = {};
    l.shared = (char *)shared;
    l.map = *map;
    l.bar = bar;
    l.line = line;
    memcpy(l.coordinates, coordinates, sizeof(int) * (size_t)rank);
    check_bar(bar, "TMA load", line);
    if (!engine.bars_fenced)
        fail(line, "TMA load: mbar_fence() is missing after mbar_init()");
    check_box(shared, l.map, rank, "TMA load", line);
    order_release(issue_order(bar));
    if (engine.lazy)
        engine.loads.push(l);
    else
        load_now(l);
}

bool run_one_tma_load()
{
    if (!engine.loads.count)
        return false;
    int i = 0;
    if (engine.order == REVERSE)
        i = engine.loads.count - 1;
    else if (engine.order == RANDOM)
        i = (int)(next_random() % (unsigned)engine.loads.count);
    const TmaLoad l = engine.loads.items[i];
    engine.loads.remove_in_order(i);
    load_now(l);
    return true;
}

/* ---- TMA stores ---- */

static void store_now(const TmaStore &s)
{
    const size_t size = s.map.element_size;
    note_read(s.shared, tma_box_bytes(&s.map));
    for_box(s.map, s.coordinates, [&](size_t offset, char *element) {
        if (element) {
            note_write(element, size);
            memcpy(element, s.shared + offset, size);
        }
    });
}

void tma_store(const void *shared, const TensorMap *map, int rank, const int *coordinates, int line)
{
    TmaStore s = {(const char *)shared, *map, {}, line};
    memcpy(s.coordinates, coordinates, sizeof(int) * (size_t)rank);
    check_box(shared, *map, rank, "TMA store", line);
    if (engine.lazy)
        engine.thread->stores.push_back(s);
    else
        store_now(s);
}

void tma_store_commit()
{
    Thread *self = engine.thread;
    self->store_groups.push_back(self->stores.size() - self->stores_committed);
    self->stores_committed = self->stores.size();
}

void tma_store_wait(int pending)
{
    Thread *self = engine.thread;
    size_t groups = 0, count = 0;
    while (self->store_groups.size() - groups > (size_t)pending)
        count += self->store_groups[groups++];
    for (size_t i = 0; i < count; i++)
        store_now(self->stores[i]);
    self->stores.erase(self->stores.begin(), self->stores.begin() + (ptrdiff_t)count);
    self->store_groups.erase(self->store_groups.begin(), self->store_groups.begin() + (ptrdiff_t)groups);
    self->stores_committed -= count;
}

/* ---- Begin and end of a block ---- */

void reset_async(Thread *t)
{
    t->copies.clear();
    t->copy_groups.clear();
    t->copies_committed = 0;
    t->stores.clear();
    t->store_groups.clear();
    t->stores_committed = 0;
}

void check_async_at_block_end()
{
    for (unsigned i = 0; i < engine.thread_count; i++)
        if (!engine.threads[i].stores.empty())
            fail(engine.threads[i].stores[0].line, "thread %u has ended before its TMA stores have", i);
    if (engine.loads.count)
        fail(engine.loads.items[0].line, "the block has ended before its TMA loads have");
    for (const MBar *bar : engine.bars)
        if (bar->bytes)
            fail(0, "wrong mbarrier transaction count: at the end of the block it waits for %d bytes", (int)bar->bytes);
}

} // namespace emu
