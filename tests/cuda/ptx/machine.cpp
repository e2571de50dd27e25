/*
 * The machine of translated PTX: launches, memory, and threads that wait for each other.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "tests/cuda/ptx/machine.h"

#include <stdlib.h>

using namespace emu;

namespace ptx
{

ThreadState states[MAX_THREADS];
Range recent_ranges[256];
Writer *writers;
const char *writers_data;
bool contracts = true;

static Writer all_writers[MAX_SHARED / 4];

/* ---- Launches ---- */

static const Registration *running_kernel()
{
    return (const Registration *)engine.kernel;
}

/* Registers of a thread at the launch: as many as the blocks that shall fit leave to it. */
static unsigned registers_of_thread()
{
    const Registration *k = running_kernel();
    const unsigned threads = engine.thread_count * (unsigned)(k->least_blocks > 0 ? k->least_blocks : 1);
    const unsigned share = 65536 / threads / 8 * 8;
    return share > 255 ? 255 : share;
}

static void begin_launch(const Kernel *kernel)
{
    const Registration *k = (const Registration *)kernel;
    const char *contract = getenv("EMU_CONTRACT");
    contracts = !contract || strcmp(contract, "no");
    engine.thread = nullptr;
    if (k->most_threads && engine.thread_count > (unsigned)k->most_threads)
        fail(0, "a block of %u threads, but the kernel is compiled for %d", engine.thread_count, k->most_threads);
    memset(recent_ranges, 0, sizeof(recent_ranges));
}

static void begin_block()
{
    const Registration *k = running_kernel();
    const unsigned registers = registers_of_thread();
    for (unsigned i = 0; i < engine.thread_count; i++) {
        states[i] = ThreadState();
        states[i].registers = registers;
        reset_products(i);
    }
    writers = k->asynchronous ? all_writers : nullptr;
    generic_write = k->asynchronous ? mark_generic_write : nullptr;
    if (writers)
        memset(writers, 0, engine.shared_bytes / 4 * sizeof(*writers));
    if (engine.shared_bytes)
        writers_data = (const char *)shared_array("dynamic shared memory", 0, engine.shared_bytes, 1024, 0);
}

static void end_block()
{
    unsigned registers = 0;
    for (unsigned i = 0; i < engine.thread_count; i++) {
        registers += states[i].registers;
        if (states[i].registers != states[i / 128 * 128].registers)
            fail(0, "setmaxnreg: thread %u has %u registers, thread %u of its warpgroup %u", i, states[i].registers,
                 i / 128 * 128, states[i / 128 * 128].registers);
    }
    if (registers > engine.thread_count * registers_of_thread())
        fail(0, "setmaxnreg: the block ends with %u registers and was given %u", registers,
             engine.thread_count * registers_of_thread());
    check_products();
    generic_write = nullptr;
}

static void call(void (*function)(), void **parameters)
{
    ((void (*)(void **))function)(parameters);
}

Registration::Registration(const char *name, void (*run)(void **), const size_t *sizes, int count, int most_threads_,
                           int least_blocks_, bool asynchronous_)
    : kernel{name, (void (*)())run, call, count, sizes, nullptr, begin_launch, begin_block, end_block},
      most_threads(most_threads_), least_blocks(least_blocks_), asynchronous(asynchronous_)
{
    add_kernel(&kernel);
}

/* ---- Memory ---- */

Shared shared_memory()
{
    return {(char *)writers_data, (uint32_t)engine.shared_bytes};
}

void bad_shared(uint32_t address, uint32_t bytes, int line)
{
    if (address < SHARED_BASE)
        fail(line, "%u bytes at %u of the window of shared memory, which are the system's", bytes, address);
    if (address % bytes)
        fail(line, "misaligned access to shared memory: %u bytes at byte %u", bytes, address - SHARED_BASE);
    fail(line, "outside of shared memory: bytes %u to %u of %zu", address - SHARED_BASE, address - SHARED_BASE + bytes,
         engine.shared_bytes);
}

void find_global(uint64_t address, uint32_t bytes, int line)
{
    uint64_t first = 0, end = ~0ull;
    if (address % bytes)
        fail(line, "misaligned access to global memory: %u bytes at %#llx", bytes, (unsigned long long)address);
    if (find_memory && !find_memory(address, &first, &end))
        fail(line, "outside of global memory: %u bytes at %#llx", bytes, (unsigned long long)address);
    if (address + bytes > end)
        fail(line, "outside of global memory: bytes %lld to %lld of an allocation of %lld",
             (long long)(address - first), (long long)(address + bytes - first), (long long)(end - first));
    recent_ranges[address >> 16 & 255] = {first, end};
}

char *parameter_at(uint64_t address, uint32_t bytes, int line)
{
    for (int i = 0; i < engine.kernel->parameter_count; i++) {
        const uint64_t first = (uint64_t)(uintptr_t)engine.parameters[i];
        if (address >= first && address + bytes <= first + engine.kernel->parameter_sizes[i]) {
            if ((address - first) % bytes)
                fail(line, "misaligned access to a parameter: %u bytes at byte %llu", bytes,
                     (unsigned long long)(address - first));
            return (char *)address;
        }
    }
    fail(line, "outside of the parameters: %u bytes at %#llx", bytes, (unsigned long long)address);
}

char *generic_at(const Shared &shared, uint64_t address, uint32_t bytes, int line)
{
    if (address >> 32 == GENERIC_SHARED >> 32)
        return shared.at((uint32_t)address, bytes, line);
    for (int i = 0; i < engine.kernel->parameter_count; i++)
        if (address - (uint64_t)(uintptr_t)engine.parameters[i] < engine.kernel->parameter_sizes[i])
            return parameter_at(address, bytes, line);
    return global_at(address, bytes, line);
}

uint32_t to_shared(uint64_t generic, int line)
{
    if (generic >> 32 != GENERIC_SHARED >> 32)
        fail(line, "%#llx is no address of shared memory", (unsigned long long)generic);
    return (uint32_t)generic;
}

void mark_generic_write(const char *at, size_t bytes)
{
    ThreadState &t = current();
    const size_t first = (size_t)(at - writers_data) / 4, end = ((size_t)(at - writers_data) + bytes + 3) / 4;
    t.generic_writes++;
    for (size_t i = first; i < end; i++)
        writers[i] = {engine.thread->number + 1, t.generic_writes};
}

void check_proxy(const char *at, size_t bytes, const char *what, int line)
{
    const size_t first = (size_t)(at - writers_data) / 4, end = ((size_t)(at - writers_data) + bytes + 3) / 4;
    for (size_t i = first; i < end; i++)
        if (__builtin_expect(writers[i].thread != 0, 0)) {
            const unsigned writer = writers[i].thread - 1;
            if (writers[i].write > states[writer].fenced_writes)
                fail(line, "%s of byte %zu of shared memory, which thread %u has written without fence.proxy.async",
                     what, i * 4, writer);
        }
}

void copy_async(const Shared &shared, uint32_t to, uint64_t from, uint32_t bytes, uint32_t source_bytes, int line)
{
    if (to % bytes || from % bytes)
        fail(line, "misaligned cp.async: both addresses must be multiples of %u bytes", bytes);
    if (source_bytes > bytes)
        fail(line, "cp.async of %u bytes out of %u", source_bytes, bytes);
    if (source_bytes == bytes)
        global_at(from, bytes, line);
    else
        global_at(from, 1, line);
    emu::copy_async(shared.at(to, bytes, line), (const void *)from, (int)bytes, (int)source_bytes, line);
}

/* ---- Threads that wait for each other ---- */

void check_paths(const Warp *warp, int line)
{
    const Thread *first = &engine.threads[warp->number * 32];
    for (unsigned i = 1; i < 32; i++) {
        const ThreadState &a = states[first->number], &b = states[first->number + i];
        if (a.path != b.path)
            fail(line,
                 "an .aligned instruction was executed by a part of the warp: lane 0 has come from that of line "
                 "%d, lane %u from that of line %d",
                 a.line, i, b.line);
    }
}

void bar_sync(uint32_t id, uint32_t threads, int line)
{
    if (id == 0 && (threads == 0 || threads == engine.thread_count))
        block_barrier(line);
    else
        named_barrier((int)id, (int)(threads ? threads : engine.thread_count), line);
}

void bar_arrive(uint32_t id, uint32_t threads, int line)
{
    named_barrier_arrive((int)id, (int)threads, line);
}

/* As PTX defines it: c holds the last lane of a segment and which bits of the lane's number choose the segment. */
uint32_t shuffle(ShuffleKind kind, uint32_t value, uint32_t b, uint32_t c, uint32_t mask, bool *inside, int line)
{
    const int self = (int)lane(), segments = (int)(c >> 8 & 31), clamp = (int)(c & 31), by = (int)(b & 31);
    const int last = (self & segments) | (clamp & ~segments), first = self & segments;
    int source = 0;
    switch (kind) {
    case SHUFFLE_UP:
        source = self - by;
        *inside = source >= last; /* of up it is the first lane that c holds */
        break;
    case SHUFFLE_DOWN:
        source = self + by;
        *inside = source <= last;
        break;
    case SHUFFLE_XOR:
        source = self ^ by;
        *inside = source <= last;
        break;
    default:
        source = first | (by & ~segments);
        *inside = source <= last;
    }
    if (!*inside)
        source = self;
    /* The whole warp for a segment: the source is known already. */
    return emu::shuffle(SHUFFLE_INDEX, mask, value, source, 32, line);
}

void set_registers(uint32_t count, bool increases, int line)
{
    ThreadState &t = current();
    aligned(line);
    if (count < 24 || count > 256 || count % 8)
        fail(line, "setmaxnreg takes multiples of 8 from 24 to 256, not %u", count);
    if (increases ? count < t.registers : count > t.registers)
        fail(line, "setmaxnreg.%s to %u registers from %u", increases ? "inc" : "dec", count, t.registers);
    t.registers = count;
}

MBar *barrier_at(const Shared &shared, uint32_t address, int line)
{
    return (MBar *)shared.at(address, sizeof(MBar), line);
}

/* A try may fail at any time, and does so once before it waits: whoever does not try again is found out. */
bool try_wait(MBar *bar, uint32_t parity, int line)
{
    enum { MANY = 100000 };
    ThreadState &t = current();
    const bool same = t.bar == bar && t.bar_phase == parity;
    t.waits = same ? t.waits + 1 : 0;
    t.bar = bar;
    t.bar_phase = parity;
    if (t.waits > MANY)
        fail(line, "endless loop: %d times in a row a wait for the same phase of an mbarrier", MANY);
    if (!t.refused && parity <= 1 && bar->phase == parity) {
        t.refused = true;
        return false;
    }
    t.refused = false;
    mbar_wait(bar, parity, line);
    return true;
}

} // namespace ptx
