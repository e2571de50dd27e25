/*
 * Warp collectives of the emulator: barriers, votes, shuffles, ldmatrix and mma. Lanes bring their operands; the last
 * one to arrive computes for all; each takes its result when it runs again.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine.h"
#include "half_rows.h"

namespace emu
{

/* The collective of these lanes that is under way, or a new one. */
Collective *find_collective(Warp *warp, uint32_t mask, int kind, int line)
{
    if (!(mask >> engine.thread->lane & 1))
        fail(line, "warp collective: the lane is not in its own mask %08x", mask);
    for (Collective &c : warp->collectives) {
        if (c.mask == mask && c.kind == kind && c.line == line)
            return &c;
        if (c.mask & mask)
            fail(line, "divergent warp collective: mask %08x, but other lanes are at line %d with mask %08x", mask,
                 c.line, c.mask);
    }
    if (mask & ~warp->alive)
        fail(line, "warp collective: mask %08x names lanes that have exited or never were, alive are %08x", mask,
             warp->alive);
    warp->collectives.push({mask, 0, kind, line});
    return &warp->collectives.last();
}

void warp_barrier(unsigned mask, int line)
{
    Thread *self = engine.thread;
    void *sync = &self->warp->sync[self->collectives_passed++ & 1];
    order_release(sync);
    collective(mask, WARP_BARRIER, line, [](Warp *) {});
    order_acquire(sync);
}

unsigned ballot(unsigned mask, bool predicate, int line)
{
    Thread *self = engine.thread;
    self->warp->in.word[self->lane] = predicate;
    collective(mask, BALLOT, line, [mask](Warp *w) {
        uint32_t votes = 0;
        for (int lane = 0; lane < 32; lane++)
            if (mask >> lane & 1)
                votes |= w->in.word[lane] << lane;
        for (int lane = 0; lane < 32; lane++)
            if (mask >> lane & 1)
                w->out.word[lane] = votes;
    });
    return self->warp->out.word[self->lane];
}

/* The lane that `lane` reads. */
static int shuffle_source(ShuffleKind kind, int lane, int operand, int width)
{
    const int first = lane & ~(width - 1), last = first + width - 1;
    switch (kind) {
    case SHUFFLE_INDEX:
        return first + (operand & (width - 1));
    case SHUFFLE_XOR:
        return (lane ^ operand) <= last ? lane ^ operand : lane;
    case SHUFFLE_DOWN:
        return lane + operand <= last ? lane + operand : lane;
    default:
        return lane - operand >= first ? lane - operand : lane;
    }
}

uint32_t shuffle(ShuffleKind kind, unsigned mask, uint32_t value, int operand, int width, int line)
{
    Thread *self = engine.thread;
    Warp *warp = self->warp;
    const int source = shuffle_source(kind, (int)self->lane, operand & 31, width);
    if (width < 1 || width > 32 || (width & (width - 1)))
        fail(line, "shuffle of width %d, which is no power of two up to 32", width);
    if (!(mask >> source & 1))
        fail(line, "shuffle: lane %d is read, which is not in mask %08x", source, mask);
    warp->in.shuffle.value[self->lane] = value;
    warp->in.shuffle.source[self->lane] = (uint32_t)source;
    collective(mask, SHUFFLE + kind, line, [mask](Warp *w) {
        for (int lane = 0; lane < 32; lane++)
            if (mask >> lane & 1)
                w->out.word[lane] = w->in.shuffle.value[w->in.shuffle.source[lane]];
    });
    return warp->out.word[self->lane];
}

/* ---- Matrices ---- */

/* Eight rows of 16 bytes are read at once: they must lie in different banks, or it takes several times as long. */
static void count_conflicts(const Warp *w, int matrices)
{
    for (int m = 0; m < matrices; m++) {
        unsigned banks = 0;
        for (int i = 0; i < 8; i++)
            banks |= 1u << ((uintptr_t)w->in.ldmatrix.address[m * 8 + i] >> 4 & 7);
        statistics.ldmatrix_phases++;
        statistics.ldmatrix_conflicts += banks != 0xff;
    }
}

static void check_row(const void *row, const char *what, int line)
{
    if ((uintptr_t)row & 15)
        fail(line, "misaligned %s: a row must begin at a multiple of 16 bytes", what);
    check_shared(row, 16, what, line);
}

void ldmatrix(uint32_t *registers, const void *row, int matrices, bool transposed, int line)
{
    Thread *self = engine.thread;
    Warp *warp = self->warp;
    const int lane = (int)self->lane;
    if (lane < matrices * 8) {
        check_row(row, "ldmatrix", line);
        note_read(row, 16);
        memcpy(warp->in.ldmatrix.row[lane], row, 16);
        warp->in.ldmatrix.address[lane] = row;
    }
    collective(~0u, (transposed ? LDMATRIX_TRANSPOSED : LDMATRIX), line, [matrices](Warp *w) {
        count_conflicts(w, matrices);
        memcpy(w->out.row, w->in.ldmatrix.row, sizeof(w->out.row));
    });
    const uint16_t *half = (const uint16_t *)warp->out.row;
    const int g = lane / 4, t = lane % 4;
    for (int m = 0; m < matrices; m++)
        if (transposed)
            registers[m] = half[(m * 8 + 2 * t) * 8 + g] | (uint32_t)half[(m * 8 + 2 * t + 1) * 8 + g] << 16;
        else
            registers[m] = warp->out.row[m * 8 + g][t];
}

/* Lane 8 * i + j gives the address of row j of matrix i, lane l has column l / 4, rows 2 * (l % 4) and 2 * (l % 4) + 1,
 * of matrix i in registers[i]. */
void stmatrix_trans(void *row, const uint32_t *registers, int matrices, int line)
{
    Thread *self = engine.thread;
    Warp *warp = self->warp;
    const int lane = (int)self->lane, g = lane / 4, t = lane % 4;
    for (int m = 0; m < matrices; m++) {
        uint16_t *half = (uint16_t *)warp->in.ldmatrix.row[m * 8];
        half[2 * t * 8 + g] = (uint16_t)registers[m];
        half[(2 * t + 1) * 8 + g] = (uint16_t)(registers[m] >> 16);
    }
    warp->in.ldmatrix.address[lane] = row;
    if (lane < matrices * 8)
        check_row(row, "stmatrix", line);
    collective(~0u, STMATRIX_TRANSPOSED, line, [matrices](Warp *w) {
        count_conflicts(w, matrices);
        memcpy(w->out.row, w->in.ldmatrix.row, sizeof(w->out.row));
    });
    if (lane < matrices * 8) {
        note_write(row, 16);
        memcpy(row, warp->out.row[lane], 16);
    }
}

/* ---- mma ---- */

/* The operands of one product: lanes hold pieces of them. */
struct Tile {
    alignas(64) uint32_t a[16][8]; /* pairs of halves, [row][k / 2] */
    alignas(64) uint16_t b[16][8]; /* halves, [k][column] */
};

static void put_a(uint32_t (*a)[8], unsigned lane, const uint32_t *registers)
{
    const unsigned g = lane / 4, t = lane % 4;
    a[g][t] = registers[0];
    a[g + 8][t] = registers[1];
    a[g][t + 4] = registers[2];
    a[g + 8][t + 4] = registers[3];
}

static void put_b(uint16_t (*b)[8], unsigned lane, const uint32_t *registers)
{
    const unsigned g = lane / 4, k = lane % 4 * 2;
    b[k][g] = (uint16_t)registers[0];
    b[k + 1][g] = (uint16_t)(registers[0] >> 16);
    b[k + 8][g] = (uint16_t)registers[1];
    b[k + 9][g] = (uint16_t)(registers[1] >> 16);
}

static void widen_a(float (*wide)[16], const uint32_t (*a)[8])
{
    for (int i = 0; i < 16; i++) {
        store_row8(wide[i], load_halves8((const uint16_t *)a[i]));
        store_row8(wide[i] + 8, load_halves8((const uint16_t *)a[i] + 8));
    }
}

static void multiply_tile(float (*d)[8], const float (*a)[16], const Row8 *b)
{
    statistics.mma++;
    for (int first = 0; first < 16; first += 8) {
        Row8 sum[8] = {};
        for (int k = 0; k < 16; k++)
            for (int i = 0; i < 8; i++)
                sum[i] = multiply_add(sum[i], a[first + i][k], b[k]);
        for (int i = 0; i < 8; i++)
            store_row8(d[first + i], sum[i]);
    }
}

static void add_d(float *registers, unsigned lane, const float (*d)[8])
{
    const unsigned g = lane / 4, t = lane % 4 * 2;
    registers[0] += d[g][t];
    registers[1] += d[g][t + 1];
    registers[2] += d[g + 8][t];
    registers[3] += d[g + 8][t + 1];
}

static void multiply_one(Warp *w)
{
    float a[16][16];
    Row8 b[16];
    widen_a(a, w->in.mma.a);
    for (int k = 0; k < 16; k++)
        b[k] = load_halves8(w->in.mma.b[k]);
    multiply_tile(w->out.d, a, b);
}

void mma_m16n8k16(float *d, const uint32_t *a, uint32_t b0, uint32_t b1, int line)
{
    Thread *self = engine.thread;
    Warp *w = self->warp;
    const uint32_t b[2] = {b0, b1};
    put_a(w->in.mma.a, self->lane, a);
    put_b(w->in.mma.b, self->lane, b);
    collective(~0u, MMA, line, multiply_one);
    add_d(d, self->lane, w->out.d);
}

/* The last lane works on the registers of all: one stop of the warp for all products. */
static void multiply_tiles(Warp *w, int rows, int columns)
{
    float a[MMA_TILES_MAX][16][16], d[16][8];
    Tile tile;
    for (int i = 0; i < rows; i++) {
        for (unsigned lane = 0; lane < 32; lane++)
            put_a(tile.a, lane, w->in.tiles.a[lane] + i * 4);
        widen_a(a[i], tile.a);
    }
    for (int j = 0; j < columns; j++) {
        Row8 b[16];
        for (unsigned lane = 0; lane < 32; lane++)
            put_b(tile.b, lane, w->in.tiles.b[lane] + j * 2);
        for (int k = 0; k < 16; k++)
            b[k] = load_halves8(tile.b[k]);
        for (int i = 0; i < rows; i++) {
            multiply_tile(d, a[i], b);
            for (unsigned lane = 0; lane < 32; lane++)
                add_d(w->in.tiles.d[lane] + (i * columns + j) * 4, lane, d);
        }
    }
}

void mma_tiles(float *d, const uint32_t *a, const uint32_t *b, int rows, int columns, int line)
{
    Thread *self = engine.thread;
    Warp *w = self->warp;
    w->in.tiles.d[self->lane] = d;
    w->in.tiles.a[self->lane] = a;
    w->in.tiles.b[self->lane] = b;
    collective(~0u, MMA_TILES, line, [rows, columns](Warp *warp) { multiply_tiles(warp, rows, columns); });
}

} // namespace emu
