/*
 * wgmma and bulk copies. Matrices in shared memory are found by the bits of their descriptors, as the hardware does.
 *
 * While a product is under way its accumulators hold NaN, and what they will become is kept beside. A warp computes its
 * 16 of the 64 rows when it waits (lazy) or when it issues (eager).
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "tests/cuda/emu/half_rows.h"
#include "tests/cuda/ptx/machine.h"

using namespace emu;

namespace ptx
{

enum { ISSUE = 110, WAIT };
enum { WARPGROUP = 128, COLUMNS_MAX = 256, DEPTH = 16 };
static const uint32_t POISON = 0x7fc0dead; /* a NaN that no computation makes */

/* A matrix by its descriptor: bits 0-13 the address, 16-29 and 32-45 the leading and the stride byte offset, all / 16;
 * 49-51 the base offset; 62-63 the swizzle: 0 none, 1 of 128 bytes, 2 of 64, 3 of 32. The layouts are those of
 * CUTLASS, include/cute/arch/mma_sm90_desc.hpp. */
struct Matrix {
    uint32_t start, leading, stride;
    int units; /* of 16 bytes, in a row of the swizzle: 1 (none), 2, 4 or 8 */
    bool transposed;
};

struct Product {
    Frame frame;
    const uint16_t *slots;
    int columns;
    uint64_t a, b;
    ProductFlags flags;
};

/* Products that a thread has issued and not waited for, the oldest first, and how many are in each group. */
struct Queue {
    List<Product, 64> products;
    List<int, 64> groups;
    int committed;
    unsigned issued;
};
static Queue queues[MAX_THREADS];

static Queue &own_queue()
{
    return queues[engine.thread->number];
}

void reset_products(unsigned thread)
{
    queues[thread].products.count = queues[thread].groups.count = queues[thread].committed = 0;
    queues[thread].issued = 0;
}

void check_products()
{
    for (unsigned i = 0; i < engine.thread_count; i++) {
        const Queue &q = queues[i], &first = queues[i / WARPGROUP * WARPGROUP];
        if (q.products.count)
            fail(0, "thread %u has ended before its wgmma has", i);
        if (q.issued != first.issued)
            fail(0, "wgmma: thread %u has issued %u of them, but thread %u of the same warpgroup %u", i, q.issued,
                 i / WARPGROUP * WARPGROUP, first.issued);
    }
}

/* ---- Matrices in shared memory ---- */

static Matrix decode(uint64_t descriptor, bool transposed, const char *name, int line)
{
    static const int units[4] = {1, 8, 4, 2};
    const Matrix m = {(uint32_t)(descriptor & 0x3fff) << 4, (uint32_t)(descriptor >> 16 & 0x3fff) << 4,
                      (uint32_t)(descriptor >> 32 & 0x3fff) << 4, units[descriptor >> 62], transposed};
    if (descriptor & 0x3ff1c000c000c000)
        fail(line, "wgmma: the descriptor %#llx of matrix %s has bits that mean nothing",
             (unsigned long long)descriptor, name);
    if (descriptor >> 49 & 7)
        fail(line, "wgmma: the base offset of matrix %s is not emulated", name);
    if (m.units > 1 && !transposed && m.leading > 16)
        fail(line, "wgmma: the leading byte offset of matrix %s is %u, but with swizzle it is always 16", name,
             m.leading);
    return m;
}

/* The address of a unit of eight halves, before the swizzle: of row `row` (of a or b), the halves 8 * unit and on. For
 * a transposed matrix: of the rows 8 * unit and on, column `row`. */
static uint32_t unit_address(const Matrix &m, int row, int unit)
{
    const uint32_t pitch = (uint32_t)m.units * 16, eights = (uint32_t)row / 8, in_eight = (uint32_t)row % 8;
    const uint32_t u = (uint32_t)unit, n = (uint32_t)m.units;
    if (!m.transposed)
        return m.start + in_eight * pitch + eights * m.stride + (n == 1 ? u * m.leading : u * 16);
    if (n == 1)
        return m.start + u * m.stride + in_eight * 16 + eights * m.leading;
    return m.start + u % n * 16 + u / n * m.leading + in_eight * pitch + eights * m.stride;
}

static const uint16_t *unit_at(const Matrix &m, int row, int unit, int line)
{
    const uint32_t address = unit_address(m, row, unit);
    const uint32_t at = (address ^ ((address >> 7 & (uint32_t)(m.units - 1)) << 4)) - SHARED_BASE;
    if (address < SHARED_BASE || (uint64_t)at + 16 > engine.shared_bytes)
        fail(line, "wgmma outside of shared memory: row %d of a matrix at byte %d of %zu", row, (int)at,
             engine.shared_bytes);
    return (const uint16_t *)(writers_data + at);
}

/* The rows from `first` on as floats, [row][k]. */
static void load_rows(float (*wide)[DEPTH], const Matrix &m, int first, int rows, int line)
{
    for (int i = 0; i < rows && !m.transposed; i++)
        for (int unit = 0; unit < 2; unit++) {
            const uint16_t *halves = unit_at(m, first + i, unit, line);
            note_read((const char *)halves, 16);
            store_row8(wide[i] + unit * 8, load_halves8(halves));
        }
    for (int k = 0; k < DEPTH && m.transposed; k++)
        for (int i = 0; i < rows; i += 8) {
            const uint16_t *halves = unit_at(m, k, (first + i) / 8, line);
            const Row8 column = load_halves8(halves);
            note_read((const char *)halves, 16);
            for (int j = 0; j < 8; j++)
                wide[i + j][k] = column[j];
        }
}

static void check_rows(const Matrix &m, int first, int rows, const char *what, int line)
{
    const int outer = m.transposed ? DEPTH : rows, units = m.transposed ? rows / 8 : 2;
    for (int i = 0; i < outer; i++)
        for (int unit = 0; unit < units; unit++)
            check_proxy(
                (const char *)unit_at(m, (m.transposed ? 0 : first) + i, (m.transposed ? first / 8 : 0) + unit, line),
                16, what, line);
}

/* ---- The product ---- */

/* sum = the 16 rows of the warp of a, times b transposed. */
static void multiply(const Matrix &m_a, const Matrix &m_b, int columns, int first_row, float (*sum)[COLUMNS_MAX],
                     int line)
{
    static float rows[COLUMNS_MAX][DEPTH], b[DEPTH][COLUMNS_MAX];
    float a[16][DEPTH];
    statistics.wgmma++;
    load_rows(a, m_a, first_row, 16, line);
    load_rows(rows, m_b, 0, columns, line);
    for (int n = 0; n < columns; n++)
        for (int k = 0; k < DEPTH; k++)
            b[k][n] = rows[n][k];
    for (int n = 0; n < columns; n += 8)
        for (int i = 0; i < 16; i += 8) {
            Row8 part[8] = {}, column;
            for (int k = 0; k < DEPTH; k++) {
                memcpy(&column, &b[k][n], sizeof(column));
                for (int j = 0; j < 8; j++)
                    part[j] = multiply_add(part[j], a[i + j][k], column);
            }
            for (int j = 0; j < 8; j++)
                store_row8(&sum[i + j][n], part[j]);
        }
}

/* Computes a warp's part of its product `index` and adds it to what the accumulators will become. */
static void run_product(Warp *w, int index, int line)
{
    const unsigned first = w->number * 32;
    const Product p = queues[first].products.items[index];
    static float sum[16][COLUMNS_MAX];
    multiply(decode(p.a, p.flags.transposed_a, "a", line), decode(p.b, p.flags.transposed_b, "b", line), p.columns,
             (int)w->number % 4 * 16, sum, line);
    for (int lane = 0; lane < 32; lane++) {
        const Product &own = queues[first + (unsigned)lane].products.items[index];
        if (own.a != p.a || own.b != p.b || own.columns != p.columns)
            fail(line, "wgmma: the lanes of a warp have different matrices");
        const int row = lane / 4, column = lane % 4 * 2;
        for (int i = 0; i < p.columns / 2; i++) {
            float *value = &own.frame.value[own.slots[i]];
            const float product = sum[row + (i >> 1 & 1) * 8][i / 4 * 8 + column + (i & 1)];
            *value = (own.flags.accumulates ? *value : 0) + (own.flags.negated ? -product : product);
        }
    }
}

/* ---- Issue and wait ---- */

void touched_busy(int slot, int line)
{
    fail(line, "wgmma: accumulator %d is accessed while a product is under way", slot);
}

/* The accumulators of a product: those that no other one has taken get their values put aside and are poisoned. */
static void take(const Product &p, int line)
{
    for (int i = 0; i < p.columns / 2; i++) {
        const int slot = p.slots[i];
        if (!p.frame.busy[slot]++) {
            if (!current().fenced)
                fail(line, "wgmma: wgmma.fence is missing between the last use of the accumulators and this one");
            p.frame.value[slot] = p.frame.now[slot];
            memcpy(&p.frame.now[slot], &POISON, 4);
        }
    }
}

static void give_back(const Product &p, int line)
{
    for (int i = 0; i < p.columns / 2; i++) {
        const int slot = p.slots[i];
        if (--p.frame.busy[slot])
            continue;
        if (to_bits(p.frame.now[slot]) != POISON)
            fail(line, "wgmma: accumulator %d was written while a product was under way", i);
        p.frame.now[slot] = p.frame.value[slot];
    }
}

void wgmma(Frame frame, const uint16_t *slots, int columns, uint64_t a, uint64_t b, ProductFlags flags, const Shared &,
           int line)
{
    const unsigned number = engine.thread->number;
    aligned(line);
    if (number / WARPGROUP * WARPGROUP + WARPGROUP > engine.thread_count)
        fail(line, "wgmma in a block of %u threads by one of no whole warpgroup", engine.thread_count);
    if (lane() == 0) {
        check_rows(decode(a, flags.transposed_a, "a", line), (int)(number / 32 % 4 * 16), 16, "wgmma", line);
        check_rows(decode(b, flags.transposed_b, "b", line), 0, columns, "wgmma", line);
    }
    const Product p = {frame, slots, columns, a, b, flags};
    take(p, line);
    Queue &q = own_queue();
    q.products.push(p);
    q.issued++;
    if (!engine.lazy)
        collective(~0u, ISSUE, line, [line](Warp *w) {
            check_paths(w, line);
            run_product(w, own_queue().products.count - 1, line);
            order_release(&w->wgmma_sync);
        });
}

void wgmma_fence(int line)
{
    aligned(line);
    current().fenced = true;
}

void wgmma_commit(int line)
{
    Queue &q = own_queue();
    aligned(line);
    q.groups.push(q.products.count - q.committed);
    q.committed = q.products.count;
}

void wgmma_wait(int pending, int line)
{
    Queue &q = own_queue();
    Warp *warp = engine.thread->warp;
    int groups = 0, count = 0;
    while (q.groups.count - groups > pending)
        count += q.groups.items[groups++];
    aligned(line);
    collective(~0u, WAIT, line, [count, line](Warp *w) {
        check_paths(w, line);
        for (int i = 0; i < count && engine.lazy; i++)
            run_product(w, i, line);
        /* The matrices have been read: who has waited may tell others that they can be overwritten. */
        order_release(&w->wgmma_sync);
    });
    order_acquire(&warp->wgmma_sync);
    for (int i = 0; i < count; i++)
        give_back(q.products.items[i], line);
    for (int i = 0; i < count; i++)
        q.products.remove_in_order(0);
    for (int i = 0; i < groups; i++)
        q.groups.remove_in_order(0);
    q.committed -= count;
}

/* ---- Bulk copies ---- */

static const TensorMap *map_at(uint64_t address, int line)
{
    if (address % 64)
        fail(line, "the tensor map lies at %#llx, which is no multiple of 64", (unsigned long long)address);
    for (int i = 0; i < engine.kernel->parameter_count; i++)
        if (address == (uint64_t)(uintptr_t)engine.parameters[i] &&
            engine.kernel->parameter_sizes[i] == sizeof(TensorMap))
            return (const TensorMap *)address;
    return (const TensorMap *)global_at(address, sizeof(TensorMap), line);
}

void tensor_load(const Shared &shared, uint32_t to, uint64_t map_address, uint32_t bar, int rank,
                 const int *coordinates, int line)
{
    const TensorMap *map = map_at(map_address, line);
    char *data = shared.at(to, 16, line);
    MBar *barrier = barrier_at(shared, bar, line);
    check_shared(data, tma_box_bytes(map), "TMA load", line);
    check_proxy(data, tma_box_bytes(map), "TMA load", line);
    tma_load(data, map, barrier, rank, coordinates, line);
    memset(&writers[(data - writers_data) / 4], 0, tma_box_bytes(map) / 4 * sizeof(*writers));
}

void tensor_store(const Shared &shared, uint32_t from, uint64_t map_address, int rank, const int *coordinates, int line)
{
    const TensorMap *map = map_at(map_address, line);
    char *data = shared.at(from, 16, line);
    check_shared(data, tma_box_bytes(map), "TMA store", line);
    check_proxy(data, tma_box_bytes(map), "TMA store", line);
    tma_store(data, map, rank, coordinates, line);
}

void bulk_commit()
{
    tma_store_commit();
}

void bulk_wait(int pending, int)
{
    tma_store_wait(pending);
}

} // namespace ptx
