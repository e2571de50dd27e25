/*
 * Cost volume, vectorised over the columns of the second map.
 *
 * A block of 8 pixels of a row of the first map meets 16 columns of each of nine rows of the second. Those 16 columns
 * of one row, turned so that columns lie side by side, serve the block in every row of the first map that they are
 * within reach of: so blocks are worked down the rows, one row of the second map after the other, and each gives one
 * line of nine displacements to every pixel it meets.
 *
 * Channels are taken a chunk at a time, which bounds the memory on the stack: 8 KiB for the chunk, and sums of 4.5 KiB.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vec.h"

#define SIDE    (2 * SBV_COST_RADIUS + 1)
#define PIXELS  8
#define COLUMNS (PIXELS + 2 * SBV_COST_RADIUS)
#define CHUNK   128 /* channels; a multiple of SBV_LANES */
#define VECTORS (COLUMNS / SBV_LANES)

/* Pixels whose sums are made at once, and vectors of columns that each of them needs: those that hold pixel p need
 * columns p .. p + 8. */
#if SBV_LANES == 16
#define GROUP 8
#define REACH 1
#elif SBV_LANES == 8
#define GROUP 4
#define REACH 2
#else
#define GROUP 4
#define REACH 3
#endif

/* Columns x0 - 4 .. x0 + 11 of row y, channels c0 .. c0 + count - 1, turned. Zeros outside the map. */
SBV_INLINE void turn(const sbv_map *second, int x0, int y, int c0, int count, enum sbv_type type,
                     float columns[CHUNK][COLUMNS])
{
    for (int at = 0; at < count; at += SBV_LANES)
        for (int v = 0; v < VECTORS; v++) {
            const int part = count - at < SBV_LANES ? count - at : SBV_LANES;
            vec tile[SBV_LANES];
            for (int i = 0; i < SBV_LANES; i++) {
                const int x = x0 - SBV_COST_RADIUS + v * SBV_LANES + i;
                tile[i] = (vec){0};
                if (x >= 0 && x < second->w)
                    tile[i] = part < SBV_LANES ? vec_load_part(sbv_pixel(second, x, y), type, c0 + at, part)
                                               : vec_load(sbv_pixel(second, x, y), type, c0 + at);
            }
            vec_transpose(tile);
            for (int i = 0; i < SBV_LANES; i++)
                *(vec *)(columns[at + i] + v * SBV_LANES) = tile[i];
        }
}

/* The same channels of the pixels of a block as floats; beyond the row its last pixel again. */
SBV_INLINE void read_block(const sbv_map *first, int x0, int y, int c0, int count, enum sbv_type type,
                           float block[PIXELS][CHUNK])
{
    for (int i = 0; i < PIXELS; i++) {
        const void *pixel = sbv_pixel(first, x0 + i < first->w ? x0 + i : first->w - 1, y);
        int c = 0;
        for (; c + SBV_LANES <= count; c += SBV_LANES)
            *(vec *)(block[i] + c) = vec_load(pixel, type, c0 + c);
        for (; c < count; c++)
            block[i][c] = sbv_load(pixel, type, c0 + c);
    }
}

/* sum += products of the block with the columns, over the channels of a chunk. */
static void multiply(float block[PIXELS][CHUNK], float columns[CHUNK][COLUMNS], int count, float sum[PIXELS][COLUMNS])
{
    for (int p = 0; p < PIXELS; p += GROUP) {
        const int from = p / SBV_LANES * SBV_LANES;
        vec part[GROUP][REACH];
        for (int i = 0; i < GROUP; i++)
            for (int v = 0; v < REACH; v++)
                part[i][v] = *(const vec *)(sum[p + i] + from + v * SBV_LANES);
        for (int c = 0; c < count; c++)
            for (int v = 0; v < REACH; v++) {
                const vec column = *(const vec *)(columns[c] + from + v * SBV_LANES);
#pragma GCC unroll 8
                for (int i = 0; i < GROUP; i++)
                    part[i][v] += block[p + i][c] * column;
            }
        for (int i = 0; i < GROUP; i++)
            for (int v = 0; v < REACH; v++)
                *(vec *)(sum[p + i] + from + v * SBV_LANES) = part[i][v];
    }
}

/* Displacements -4 .. 4 along the row, dy down, of the pixels of a block. */
static void put(const sbv_cost_args *a, int x0, int y, int dy, float sum[PIXELS][COLUMNS])
{
    const vec scale = vec_all(1.0f / (float)a->first.c);
    const size_t size = sbv_sample_size(a->out.type);
    for (int i = 0; i < PIXELS && x0 + i < a->out.w; i++) {
        float line[COLUMNS];
        for (int v = 0; v < COLUMNS; v += SBV_LANES)
            vec_store(line, a->out.type, v, vec_activate(scale * *(const vec *)(sum[i] + v), a->slope));
        memcpy((char *)sbv_pixel(&a->out, x0 + i, y) + (size_t)((dy + SBV_COST_RADIUS) * SIDE) * size,
               (const char *)line + (size_t)i * size, SIDE * size);
    }
}

/* Fetches what the next row brings: blocks go down the rows, which the processor does not foresee. */
SBV_INLINE void expect(const sbv_cost_args *a, int x0, int row, int last_y)
{
    const int y = row + SBV_COST_RADIUS;
    for (int i = 0; i < COLUMNS; i++) {
        if (row >= 0 && row < a->second.h)
            vec_expect(&a->second, x0 - SBV_COST_RADIUS + i, row, 0);
        if (i < PIXELS && y <= last_y) {
            vec_expect(&a->first, x0 + i, y, 0);
            vec_expect(&a->out, x0 + i, y, 1);
        }
    }
}

/* Row `row` of the second map, which may lie outside it, against those of the rows first_y .. last_y of the first that
 * it is within reach of. */
SBV_INLINE void meet(const sbv_cost_args *a, int x0, int row, int first_y, int last_y, enum sbv_type type)
{
    const int top = row - SBV_COST_RADIUS > first_y ? row - SBV_COST_RADIUS : first_y;
    const int bottom = row + SBV_COST_RADIUS < last_y ? row + SBV_COST_RADIUS : last_y;
    float columns[CHUNK][COLUMNS], block[PIXELS][CHUNK], sum[SIDE][PIXELS][COLUMNS] = {0};
    expect(a, x0, row + 1, last_y);
    for (int c = 0; c < a->first.c && row >= 0 && row < a->second.h; c += CHUNK) {
        const int count = a->first.c - c < CHUNK ? a->first.c - c : CHUNK;
        turn(&a->second, x0, row, c, count, type, columns);
        for (int y = top; y <= bottom; y++) {
            read_block(&a->first, x0, y, c, count, type, block);
            multiply(block, columns, count, sum[y - top]);
        }
    }
    for (int y = top; y <= bottom; y++)
        put(a, x0, y, row - y, sum[y - top]);
}

/* sbv_cost_volume_sse2, sbv_cost_volume_avx2, sbv_cost_volume_avx512, sbv_cost_volume_neon */
void SBV_CPU_NAME(cost_volume)(const sbv_cost_args *a, int begin, int end)
{
    for (int x0 = 0; x0 < a->first.w; x0 += PIXELS)
        for (int row = begin - SBV_COST_RADIUS; row < end + SBV_COST_RADIUS; row++) {
            if (a->first.type == SBV_MAP_BF16)
                meet(a, x0, row, begin, end - 1, SBV_MAP_BF16);
            else
                meet(a, x0, row, begin, end - 1, SBV_MAP_F32);
        }
}
