/*
 * Matrix products of warpgroups (wgmma) on the emulator. While a product is under way its accumulators hold NaN, and
 * what they will become is kept beside. A warp computes its 16 of the 64 rows when it waits (lazy) or when it issues
 * (eager).
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine.h"
#include "half_rows.h"

namespace emu
{

enum { WARPGROUP = 128, ROW_BYTES = 128, COLUMNS_MAX = 256, DEPTH = 16 };
static const uint32_t POISON = 0x7fc0dead; /* a NaN that no computation makes */

void reset_wgmma(Thread *t)
{
    t->accumulators.clear();
    t->products.clear();
    t->product_groups.clear();
    t->products_committed = 0;
    t->products_issued = 0;
    t->fenced = false;
}

void check_wgmma_at_block_end()
{
    for (unsigned i = 0; i < engine.thread_count; i++) {
        const Thread &t = engine.threads[i], &first = engine.threads[i / WARPGROUP * WARPGROUP];
        if (!t.products.empty())
            fail(0, "thread %u has ended before its wgmma has", i);
        if (t.products_issued != first.products_issued)
            fail(0, "wgmma: thread %u has issued %u of them, but thread %u of the same warpgroup %u", i,
                 t.products_issued, first.number, first.products_issued);
    }
}

/* ---- The product ---- */

/* Eight halves of row `row` from byte `offset` on, a multiple of 16. */
static const uint16_t *chunk(const WDesc &m, int row, int offset)
{
    const int group = row / 8, in_group = row % 8;
    return (const uint16_t *)(m.base + (group * 8 + in_group) * ROW_BYTES + (offset ^ in_group << 4));
}

static void load_row16(float *row16, const WDesc &m, int row)
{
    for (int half = 0; half < 2; half++) {
        const uint16_t *halves = chunk(m, row, m.offset + half * 16);
        note_read(halves, 16);
        store_row8(row16 + half * 8, load_halves8(halves));
    }
}

/* sum = the 16 rows of the warp of a, times b transposed. */
static void multiply(const MatrixProduct &p, int first_row, float (*sum)[COLUMNS_MAX])
{
    float a[16][DEPTH], row[DEPTH], b[DEPTH][COLUMNS_MAX];
    statistics.wgmma++;
    for (int i = 0; i < 16; i++)
        load_row16(a[i], p.a, first_row + i);
    for (int n = 0; n < p.columns; n++) {
        load_row16(row, p.b, n);
        for (int k = 0; k < DEPTH; k++)
            b[k][n] = row[k];
    }
    for (int n = 0; n < p.columns; n += 8)
        for (int i = 0; i < 16; i += 8) {
            Row8 rows[8] = {}, column;
            for (int k = 0; k < DEPTH; k++) {
                memcpy(&column, &b[k][n], sizeof(column));
                for (int j = 0; j < 8; j++)
                    rows[j] = multiply_add(rows[j], a[i + j][k], column);
            }
            for (int j = 0; j < 8; j++)
                store_row8(&sum[i + j][n], rows[j]);
        }
}

/* Computes a warp's part of its product `index` and adds it to what the accumulators will become. */
static void run_product(Warp *w, size_t index)
{
    Thread *first = &engine.threads[w->number * 32];
    const MatrixProduct p = first->products[index];
    alignas(32) float sum[16][COLUMNS_MAX];
    multiply(p, (int)w->number % 4 * 16, sum);
    for (int lane = 0; lane < 32; lane++) {
        Thread *t = first + lane;
        const MatrixProduct &own = t->products[index];
        if (own.a.base != p.a.base || own.a.offset != p.a.offset || own.b.base != p.b.base ||
            own.b.offset != p.b.offset || own.columns != p.columns)
            fail(t->line, "wgmma: the lanes of a warp have different matrices");
        float *value = t->accumulators[own.accumulator].value;
        const int row = lane / 4, column = lane % 4 * 2;
        for (int i = 0; i < p.columns / 2; i++)
            value[i] += sum[row + (i >> 1 & 1) * 8][i / 4 * 8 + column + (i & 1)];
    }
}

/* ---- Issue and wait ---- */

static void check_matrix(const WDesc &m, int rows, const char *name, int line)
{
    if ((uintptr_t)m.base & 1023)
        fail(line, "misaligned wgmma: matrix %s must begin at a multiple of 1024 bytes", name);
    if (m.offset < 0 || m.offset % 32 || m.offset > ROW_BYTES - 32)
        fail(line, "wgmma: matrix %s from column %d on, which is no multiple of 16 below 64", name, m.offset / 2);
    check_shared(m.base, (size_t)rows * ROW_BYTES, "wgmma", line);
}

/* The accumulators under way at `registers`, else new ones, which are poisoned. */
static size_t take_accumulators(Thread *t, float *registers, int count, int line)
{
    for (size_t i = 0; i < t->accumulators.size(); i++) {
        Accumulator &a = t->accumulators[i];
        if (a.uses && a.registers == registers) {
            a.uses++;
            return i;
        }
    }
    if (!t->fenced)
        fail(line, "wgmma: wgmma_fence() is missing between the last use of the accumulators and this one");
    size_t index = 0;
    while (index < t->accumulators.size() && t->accumulators[index].uses)
        index++;
    if (index == t->accumulators.size())
        t->accumulators.push_back(Accumulator());
    Accumulator &a = t->accumulators[index];
    a.registers = registers;
    a.count = count;
    a.uses = 1;
    for (int i = 0; i < count; i++) {
        a.value[i] = registers[i];
        memcpy(&registers[i], &POISON, 4);
    }
    return index;
}

static void return_accumulators(Accumulator *a, int line)
{
    for (int i = 0; i < a->count; i++) {
        if (to_bits(a->registers[i]) != POISON)
            fail(line, "wgmma: accumulator %d was written while a product was under way", i);
        a->registers[i] = a->value[i];
    }
}

void wgmma(float *d, int columns, WDesc a, WDesc b, int line)
{
    Thread *self = engine.thread;
    if (self->number / WARPGROUP * WARPGROUP + WARPGROUP > engine.thread_count)
        fail(line, "wgmma in a block of %u threads by one of no whole warpgroup", engine.thread_count);
    check_matrix(a, 64, "a", line);
    check_matrix(b, columns, "b", line);
    const MatrixProduct p = {take_accumulators(self, d, columns / 2, line), columns, a, b};
    self->products.push_back(p);
    self->products_issued++;
    if (!engine.lazy)
        collective(~0u, WGMMA, line, [](Warp *w) {
            run_product(w, engine.thread->products.size() - 1);
            order_release(&w->wgmma_sync);
        });
}

void wgmma_fence()
{
    engine.thread->fenced = true;
}

void wgmma_commit()
{
    Thread *self = engine.thread;
    self->product_groups.push_back(self->products.size() - self->products_committed);
    self->products_committed = self->products.size();
}

void wgmma_wait(int pending, int line)
{
    Thread *self = engine.thread;
    Warp *warp = self->warp;
    size_t groups = 0, count = 0;
    while (self->product_groups.size() - groups > (size_t)pending)
        count += self->product_groups[groups++];
    warp->in.word[self->lane] = (uint32_t)count;
    collective(~0u, WGMMA_WAIT, line, [count, line](Warp *w) {
        for (int lane = 0; lane < 32; lane++)
            if (w->in.word[lane] != count)
                fail(line, "wgmma: the lanes of a warp have different numbers of products under way");
        if (engine.lazy)
            for (size_t i = 0; i < count; i++)
                run_product(w, i);
        /* The matrices have been read: who has waited may tell others that they can be overwritten. */
        order_release(&w->wgmma_sync);
    });
    order_acquire(&warp->wgmma_sync);
    for (size_t i = 0; i < count; i++) {
        Accumulator *a = &self->accumulators[self->products[i].accumulator];
        if (--a->uses == 0)
            return_accumulators(a, line);
    }
    self->products.erase(self->products.begin(), self->products.begin() + (ptrdiff_t)count);
    self->product_groups.erase(self->product_groups.begin(), self->product_groups.begin() + (ptrdiff_t)groups);
    self->products_committed -= count;
    self->fenced = false;
}

} // namespace emu
