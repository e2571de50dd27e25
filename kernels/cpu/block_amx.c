/*
 * Both convolutions of a residual block at once, by AMX, row by row: what the first gives, and the input between its
 * two uses, stay in the L2 cache, where two passes over an image write to the next cache and read from it.
 *
 * What the first convolution gives is written into the strip of the second (conv_amx.c), three rows in turn, as its
 * tiles load it. So it is not packed, and takes less memory than the image has.
 *
 * Wide images are computed column by column, from left to right, as far down as the range goes. Of a column that has
 * the pixels x0 <= x < x1 of the hidden map, what comes out is those from x0 - 1 to x1 - 2. So the output can replace
 * the input: the next column reads from x1 - 1 on. The last two pixels of each hidden row, which that needs too, wait
 * in the hidden map. Nothing is computed twice, and each pixel is what sbv_conv_amx makes of it.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "kernels/cpu/conv_amx.h"
#include "kernels/cpu/scratch.h"
#include "kernels/samples.h"

#define KSIZE       3
#define SUMS_FLOATS (2 * BLOCK_SUMS) /* of the scratch memory; the rest are the strips */

/* Of both strips, and of the weights of both convolutions: with the rows of the input between its two uses they fit
 * into an L2 cache of 2 MiB with room for what else is there. With more weights (128 channels) two passes are as fast:
 * measured on Granite Rapids. */
#define MOST_STRIPS  (384 << 10)
#define MOST_WEIGHTS (256 << 10)

/* What a call works with. */
struct both {
    struct conv first, second;
    sbv_conv_args to_strip; /* the first, with the row of the second's strip that is at hand for its output */
    sbv_map hidden;
    int begin, end; /* rows of the hidden map that are computed; others are there already */
};

/* Pixels of the hidden map, and of the output. */
struct column {
    int x0, x1, out0, out1;
};

static int is_plain(const sbv_conv_args *a)
{
    return a->ksize == KSIZE && a->stride == 1 && a->dilation == 1 && a->padding == 1 && !a->split && !a->x0 &&
           a->x1 == a->out.w && !a->y0 && a->in.c <= CHUNK_TILES * STEP;
}

int sbv_takes_residual_block_amx(const sbv_residual_block_args *a)
{
    const sbv_conv_args *first = &a->first, *second = &a->second;
    const sbv_map *hidden = &first->out;
    const size_t weights = sbv_conv_bytes_amx(hidden->c, first->in.c, KSIZE, SBV_SPLIT_NONE) +
                           sbv_conv_bytes_amx(second->out.c, hidden->c, KSIZE, SBV_SPLIT_NONE);
    return is_plain(first) && is_plain(second) && !first->residual.data && hidden->type == SBV_MAP_BF16 &&
           hidden->c % STEP == 0 && hidden->pixel == hidden->c && weights <= MOST_WEIGHTS;
}

/* Columns of the same width, as few as there is room for; the second convolution's are a pixel wider. Returns the
 * width, a multiple of BLOCK. */
static int divide_width(struct both *b, int width)
{
    int blocks = (width + BLOCK - 1) / BLOCK, columns;
    while (blocks > 1 &&
           sbv_amx_lay_out(&b->first, blocks * BLOCK) + sbv_amx_lay_out(&b->second, (blocks + 1) * BLOCK) > MOST_STRIPS)
        blocks--;
    columns = (width + blocks * BLOCK - 1) / (blocks * BLOCK);
    blocks = ((width + columns - 1) / columns + BLOCK - 1) / BLOCK;
    sbv_amx_lay_out(&b->first, blocks * BLOCK);
    sbv_amx_lay_out(&b->second, (blocks + 1) * BLOCK);
    return blocks * BLOCK;
}

/* Returns the width of columns. */
static int plan(struct both *b, const sbv_residual_block_args *a, int begin, int end, float *scratch)
{
    const int height = a->first.out.h;
    sbv_amx_plan(&b->first, &a->first, end - begin);
    sbv_amx_plan(&b->second, &a->second, end - begin);
    const int width = divide_width(b, a->first.out.w);
    b->hidden = a->first.out;
    b->begin = begin ? begin + 1 : 0;
    b->end = end < height ? end - 1 : height;
    b->to_strip = a->first;
    b->to_strip.out.row = 0;
    b->first.a = &b->to_strip;
    b->second.near = 1;
    b->first.sums = b->first.row_sums = scratch;
    b->second.sums = b->second.row_sums = scratch + BLOCK_SUMS;
    b->first.strip = (uint16_t *)(scratch + SUMS_FLOATS);
    b->second.strip = b->first.strip + KSIZE * b->first.row;
    return width;
}

/* Where hidden pixel x lies in a row of the second's strip, whose first pixel is the one left of the column's output;
 * outside of the row for others. */
static uint16_t *in_strip(const struct column *col, uint16_t *row, int x, int channels)
{
    return row + (ptrdiff_t)(x - (col->out0 - 1)) * channels;
}

/* Hidden pixels from x on: from the map into the strip, or back. */
static void bring(const struct both *b, const struct column *col, uint16_t *row, int x, int y, int count)
{
    memcpy(in_strip(col, row, x, b->hidden.c), sbv_pixel(&b->hidden, x, y),
           (size_t)(count * b->hidden.c) * sizeof(*row));
}

static void keep(const struct both *b, const struct column *col, uint16_t *row, int x, int y, int count)
{
    memcpy(sbv_pixel(&b->hidden, x, y), in_strip(col, row, x, b->hidden.c),
           (size_t)(count * b->hidden.c) * sizeof(*row));
}

/* Row y of the hidden map, as far as the column needs it, into the strip: zeros outside the map. */
static void make_hidden(struct both *b, const struct column *col, int y)
{
    struct conv *first = &b->first, *second = &b->second;
    const int channels = b->hidden.c, slot = sbv_amx_slot(second->a, y), from = col->x0 ? col->x0 - 2 : 0;
    const size_t pixel_bytes = (size_t)channels * sizeof(uint16_t);
    uint16_t *row = second->strip + slot * second->row;
    second->held[slot] = y;
    if (y < 0 || y >= b->hidden.h) {
        memset(row, 0, (size_t)second->row * sizeof(*row));
        return;
    }
    if (!col->x0)
        memset(row, 0, pixel_bytes);
    if (col->x1 == b->hidden.w)
        memset(in_strip(col, row, col->x1, channels), 0, pixel_bytes);
    if (y < b->begin || y >= b->end) {
        bring(b, col, row, from, y, col->x1 - from);
        return;
    }
    bring(b, col, row, from, y, col->x0 - from);
    b->to_strip.out.data = in_strip(col, row, 0, channels);
    sbv_amx_row(first, col->x0, y, col->x1 - col->x0, 0);
    sbv_amx_finish(first);
    if (col->x1 < b->hidden.w)
        keep(b, col, row, col->x1 - 2, y, 2);
}

void sbv_residual_block_amx(const sbv_residual_block_args *a, int begin, int end)
{
    struct both b;
    float *scratch = sbv_scratch_take(a->first.scratch);
    const int w = a->first.out.w, width = plan(&b, a, begin, end, scratch);
    sbv_amx_begin();
    for (int x = 0; x < w; x += width) {
        const int last = w - x <= width;
        const struct column col = {x, last ? w : x + width, x ? x - 1 : 0, last ? w : x + width - 1};
        sbv_amx_forget(&b.first);
        sbv_amx_forget(&b.second);
        make_hidden(&b, &col, begin - 1);
        make_hidden(&b, &col, begin);
        for (int y = begin; y < end; y++) {
            make_hidden(&b, &col, y + 1);
            sbv_amx_row(&b.second, col.out0, y, col.out1 - col.out0, 0);
        }
    }
    sbv_amx_finish(&b.second);
    sbv_amx_end();
    sbv_scratch_give(a->first.scratch, scratch);
}
