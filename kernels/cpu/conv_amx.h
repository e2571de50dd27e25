/*
 * The inside of the convolution by AMX (conv_amx.c), for what computes two of them at once (block_amx.c).
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CPU_CONV_AMX_H
#define SBV_KERNELS_CPU_CONV_AMX_H

#include <limits.h>

#include "kernels/cpu/cpu.h"

#define TILE        16 /* pixels, or outputs, of a tile */
#define STEP        32 /* channels of a tile: one step of a sum */
#define HALF_STEP   16
#define CHUNK_TILES 4
#define TILE_SIZE   512 /* bfloat16 values */
#define BLOCK       32  /* pixels, and outputs, that are computed at once */
#define BLOCK_SUMS  (BLOCK * BLOCK)
#define MAX_KSIZE   7
#define SUMS_BYTES  (SBV_AMX_SCRATCH / 2) /* the rest of the scratch memory is the strip's */

#define NO_ROW INT_MIN

/* A block of sums, [16 pixels][16 outputs][pixel][output], to become output pixels from (x, y) on, channels from
 * `first` on. The first `next` pixels have. */
struct block {
    const float *sums;
    int x, y, first, pixels, next;
};

/* Pixels of the input that will be packed soon. */
struct ahead {
    const char *at, *end;
    ptrdiff_t bytes, pixel_bytes;
};

/* How channels become tiles. They come in groups of STEP, the last one filled up; a group is so many tiles of inputs
 * and so many of weights, two where it is split; a chunk is so many groups, but for the last one, all about the same.
 */
struct division {
    int groups, inputs, weights, chunk;
};

/* What a call works with. Positions in the strip count bfloat16 values. */
struct conv {
    const sbv_conv_args *a;
    struct division channels;
    int chunks, tiles; /* of channels; of outputs */
    int columns;       /* output pixels of a row of the strip, a multiple of BLOCK */
    int extent;        /* input pixels that they need */
    int rows;          /* that are worked on at once, chunk after chunk */
    ptrdiff_t pixel, row;
    uint16_t *strip;     /* [row, in turn][pixel][channel], of one chunk */
    float *sums;         /* [row][block of pixels][pair of tiles of outputs][BLOCK_SUMS]; one block with one chunk */
    float *row_sums;     /* of the row at hand */
    ptrdiff_t sums_row;  /* from row to row */
    int held[MAX_KSIZE]; /* which row of the input a row of the strip holds */
    struct block block;  /* computed, not yet stored */
    int share;           /* of its pixels that are stored with each tap */
    int fetched;         /* pixels that are fetched ahead with each tap */
    int near;            /* what it reads is in the L2 cache: nothing is fetched */
    struct ahead ahead;
};

/* Where row iy of the input lies in the strip. */
static inline int sbv_amx_slot(const sbv_conv_args *a, int iy)
{
    return (iy + a->padding) / a->dilation % a->ksize;
}

/* For `rows` rows, all columns. Neither strip nor sums have their memory yet. */
void sbv_amx_plan(struct conv *c, const sbv_conv_args *a, int rows);

/* Lays the strip out for so many columns, a multiple of BLOCK. Returns its bytes. */
size_t sbv_amx_lay_out(struct conv *c, int columns);

/* Between these two the tiles can be used. */
void sbv_amx_begin(void);
void sbv_amx_end(void);

/* Forgets what rows the strip holds. */
void sbv_amx_forget(struct conv *c);

/* `count` columns of row y from column x on, one chunk; packs the rows that the strip does not hold. The last block of
 * pixels remains to be stored. */
void sbv_amx_row(struct conv *c, int x, int y, int count, int chunk);

/* Stores it. */
void sbv_amx_finish(struct conv *c);

#endif /* SBV_KERNELS_CPU_CONV_AMX_H */
