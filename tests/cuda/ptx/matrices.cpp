/*
 * The matrix instructions of single warps: ldmatrix, stmatrix, mma. The last lane to come does the work of all.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "tests/cuda/emu/half_rows.h"
#include "tests/cuda/ptx/machine.h"

using namespace emu;

namespace ptx
{

enum { LOADS = 100, STORES, PRODUCTS };

/* What the lanes of a warp bring. */
struct Lane {
    uint32_t (*m)[4];
    const char *rows[32]; /* of each instruction */
    float (*d)[4];
    const uint32_t (*a)[4], (*b)[2];
};
static Lane lanes[MAX_THREADS];

static Lane &own_lane()
{
    return lanes[engine.thread->number];
}
static Lane *lanes_of(const Warp *w)
{
    return &lanes[w->number * 32];
}

/* Eight rows of 16 bytes are moved at once: they must lie in different banks, or it takes several times as long. */
static void count_conflicts(const Lane *all, int instruction, int matrices)
{
    for (int m = 0; m < matrices; m++) {
        unsigned banks = 0;
        for (int i = 0; i < 8; i++)
            banks |= 1u << ((uintptr_t)all[m * 8 + i].rows[instruction] >> 4 & 7);
        statistics.ldmatrix_phases++;
        statistics.ldmatrix_conflicts += banks != 0xff;
    }
}

static void load_all(Warp *w, int count, int matrices, bool transposed, int line)
{
    Lane *all = lanes_of(w);
    uint16_t half[8][8];
    check_paths(w, line);
    for (int i = 0; i < count; i++) {
        count_conflicts(all, i, matrices);
        for (int m = 0; m < matrices; m++) {
            for (int row = 0; row < 8; row++)
                memcpy(half[row], all[m * 8 + row].rows[i], 16);
            for (int l = 0; l < 32; l++) {
                const int g = l / 4, t = l % 4 * 2;
                all[l].m[i][m] = transposed ? half[t][g] | (uint32_t)half[t + 1][g] << 16
                                            : half[g][t] | (uint32_t)half[g][t + 1] << 16;
            }
        }
    }
}

void ldmatrix(uint32_t (*m)[4], const uint32_t *at, int count, int matrices, bool transposed, const Shared &shared,
              int line)
{
    Lane &own = own_lane();
    own.m = m;
    if (count > 32)
        fail(line, "more than 32 ldmatrix at once");
    for (int i = 0; i < count && (int)lane() < matrices * 8; i++) {
        own.rows[i] = shared.at(at[i], 16, line);
        note_read(own.rows[i], 16);
    }
    collective(~0u, LOADS, line, [=](Warp *w) { load_all(w, count, matrices, transposed, line); });
}

static void store_all(Warp *w, int matrices, bool transposed, int line)
{
    Lane *all = lanes_of(w);
    uint16_t half[8][8];
    check_paths(w, line);
    count_conflicts(all, 0, matrices);
    for (int m = 0; m < matrices; m++) {
        for (int l = 0; l < 32; l++) {
            const int g = l / 4, t = l % 4 * 2;
            const uint32_t pair = all[l].m[0][m];
            (transposed ? half[t][g] : half[g][t]) = (uint16_t)pair;
            (transposed ? half[t + 1][g] : half[g][t + 1]) = (uint16_t)(pair >> 16);
        }
        for (int row = 0; row < 8; row++)
            memcpy((char *)all[m * 8 + row].rows[0], half[row], 16);
    }
}

void stmatrix(uint32_t at, const uint32_t *m, int matrices, bool transposed, const Shared &shared, int line)
{
    Lane &own = own_lane();
    own.m = (uint32_t(*)[4])m;
    if ((int)lane() < matrices * 8) {
        char *row = shared.at(at, 16, line);
        own.rows[0] = row;
        note_shared_write(row, 16);
    }
    collective(~0u, STORES, line, [=](Warp *w) { store_all(w, matrices, transposed, line); });
}

/* ---- mma ---- */

/* a: rows of 16 floats. */
static void gather_a(float (*wide)[16], const Lane *all, int which)
{
    alignas(64) uint32_t a[16][8];
    for (unsigned l = 0; l < 32; l++) {
        const unsigned g = l / 4, t = l % 4;
        const uint32_t *own = all[l].a[which];
        a[g][t] = own[0];
        a[g + 8][t] = own[1];
        a[g][t + 4] = own[2];
        a[g + 8][t + 4] = own[3];
    }
    for (int i = 0; i < 16; i++) {
        store_row8(wide[i], load_halves8((const uint16_t *)a[i]));
        store_row8(wide[i] + 8, load_halves8((const uint16_t *)a[i] + 8));
    }
}

/* b: rows k of 8 columns. */
static void gather_b(Row8 *rows, const Lane *all, int which)
{
    alignas(64) uint16_t b[16][8];
    for (unsigned l = 0; l < 32; l++) {
        const unsigned g = l / 4, k = l % 4 * 2;
        const uint32_t *own = all[l].b[which];
        b[k][g] = (uint16_t)own[0];
        b[k + 1][g] = (uint16_t)(own[0] >> 16);
        b[k + 8][g] = (uint16_t)own[1];
        b[k + 9][g] = (uint16_t)(own[1] >> 16);
    }
    for (int k = 0; k < 16; k++)
        rows[k] = load_halves8(b[k]);
}

static void multiply(float (*d)[8], const float (*a)[16], const Row8 *b)
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

static void multiply_all(Warp *w, int a_count, int b_count, const uint8_t (*pairs)[2], int count, int line)
{
    static float a[MMA_FACTORS][16][16];
    static Row8 b[MMA_FACTORS][16];
    Lane *all = lanes_of(w);
    float d[16][8];
    check_paths(w, line);
    for (int i = 0; i < a_count; i++)
        gather_a(a[i], all, i);
    for (int i = 0; i < b_count; i++)
        gather_b(b[i], all, i);
    for (int i = 0; i < count; i++) {
        multiply(d, a[pairs[i][0]], b[pairs[i][1]]);
        for (unsigned l = 0; l < 32; l++) {
            const unsigned g = l / 4, t = l % 4 * 2;
            float *sum = all[l].d[i];
            sum[0] += d[g][t];
            sum[1] += d[g][t + 1];
            sum[2] += d[g + 8][t];
            sum[3] += d[g + 8][t + 1];
        }
    }
}

void mma(float (*d)[4], const uint32_t (*a)[4], int a_count, const uint32_t (*b)[2], int b_count,
         const uint8_t (*pairs)[2], int count, int line)
{
    Lane &own = own_lane();
    own.d = d;
    own.a = a;
    own.b = b;
    if (a_count > MMA_FACTORS || b_count > MMA_FACTORS)
        fail(line, "more factors of mma at once than the machine has room for");
    collective(~0u, PRODUCTS, line, [=](Warp *w) { multiply_all(w, a_count, b_count, pairs, count, line); });
}

} // namespace ptx
