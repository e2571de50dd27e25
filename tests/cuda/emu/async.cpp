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

static void copy_now(const AsyncCopy &c)
{
    statistics.async_copies++;
    note_write(c.shared, 16);
    if (c.ok) {
        note_read(c.global, 16);
        memcpy(c.shared, c.global, 16);
    } else {
        memset(c.shared, 0, 16);
    }
}

void copy_async16(void *shared, const void *global, bool ok, int line)
{
    Thread *self = engine.thread;
    if (((uintptr_t)shared | (uintptr_t)global) & 15)
        fail(line, "misaligned cp.async: both addresses must be multiples of 16 bytes");
    check_shared(shared, 16, "cp.async", line);
#ifdef EMU_ASAN
    if (ok && __asan_region_is_poisoned((void *)global, 16))
        fail(line, "global out of bounds: cp.async reads %p", global);
#endif
    const AsyncCopy c = {(char *)shared, (const char *)global, ok, line};
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

static size_t box_bytes(const TensorMap &map)
{
    size_t bytes = map.element_size;
    for (int i = 0; i < map.rank; i++)
        bytes *= map.box[i];
    return bytes;
}

static void check_load(const TmaLoad &l, int rank)
{
    const TensorMap &map = l.map;
    if (map.rank != rank)
        fail(l.line, "TMA load of %d dimensions with a map of %d", rank, map.rank);
    if (map.swizzle_128 && map.box[0] * map.element_size > 128)
        fail(l.line, "TMA load: with 128-byte swizzle a row of the box has at most 128 bytes");
    if ((uintptr_t)l.shared & (map.swizzle_128 ? 1023 : 127))
        fail(l.line, "misaligned TMA load: the destination must be a multiple of %d bytes",
             map.swizzle_128 ? 1024 : 128);
    if ((uintptr_t)map.base & 15)
        fail(l.line, "misaligned TMA load: the tensor must begin at a multiple of 16 bytes");
    for (int i = 1; i < rank; i++)
        if (map.stride[i] & 15)
            fail(l.line, "misaligned TMA load: stride %d is no multiple of 16 bytes", i);
    if (map.box[0] * map.element_size % 16)
        fail(l.line, "TMA load: a row of the box is no multiple of 16 bytes");
    check_shared(l.shared, box_bytes(map), "TMA load", l.line);
}

/* One row of the box, zero where it lies outside of the tensor. */
static void load_row(const TmaLoad &l, size_t offset, const int *position)
{
    const TensorMap &map = l.map;
    const char *source = (const char *)map.base;
    bool inside = true;
    for (int i = 1; i < map.rank; i++) {
        inside = inside && position[i] >= 0 && (uint32_t)position[i] < map.size[i];
        source += position[i] * (ptrdiff_t)map.stride[i];
    }
    const int size = map.element_size;
    for (int x = 0; x < map.box[0]; x++, offset += size) {
        const int64_t column = (int64_t)position[0] + x;
        char *destination = l.shared + (map.swizzle_128 ? offset ^ (offset >> 7 & 7) << 4 : offset);
        if (inside && column >= 0 && column < map.size[0]) {
            note_read(source + column * size, size);
            memcpy(destination, source + column * size, size);
        } else {
            memset(destination, 0, size);
        }
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
    const size_t bytes = box_bytes(map), row = (size_t)map.box[0] * map.element_size;
    int index[5] = {}, position[5];
    statistics.tma_loads++;
    note_write(l.shared, bytes);
    for (size_t offset = 0; offset < bytes; offset += row) {
        for (int i = 0; i < map.rank; i++)
            position[i] = l.coordinates[i] + index[i];
        load_row(l, offset, position);
        for (int i = 1; i < map.rank && ++index[i] == map.box[i]; i++)
            index[i] = 0;
    }
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
    check_load(l, rank);
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

void check_async_at_block_end()
{
    if (engine.loads.count)
        fail(engine.loads.items[0].line, "the block has ended before its TMA loads have");
    for (const MBar *bar : engine.bars)
        if (bar->bytes)
            fail(0, "wrong mbarrier transaction count: at the end of the block it waits for %d bytes", (int)bar->bytes);
}

} // namespace emu
