/*
 * Reconstruction: warped features of the window's frames -> fusion -> residual trunk -> collapsed tail + the enlarged
 * center frame. Works on tiles: a tile's halo is as wide as the trunk, fusion and tail reach, so that its core has the
 * bits it would have without tiles.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/numbers.h"
#include "model/runtime/stages.h"

static sbv_map tile_map(const sbv_stages *s, const sbv_tile *tile, void *data, int channels)
{
    return sbv_feature_map(s->exec, data, tile->w, tile->h, channels);
}

/* Whether layers compute what is needed of a tile alone: on a device, and where a block is one operation, all of it. */
static int in_parts(const sbv_stages *s)
{
    return !s->exec->backend && !s->exec->ops.residual_block;
}

static sbv_map trunk_map(const sbv_stages *s, const sbv_tile *tile)
{
    return sbv_precise_map(s->exec, s->ws->part.trunk, tile->w, tile->h, s->network->features);
}

/* Along one axis of `size` pixels: what a layer reads to make begin .. end - 1. Of Winograd's larger tiles that is all
 * that they read. */
static void reach_back(const sbv_layer *layer, int size, int *begin, int *end)
{
    const int side = layer->winograd > 2 ? layer->winograd : 1, reach = layer->ksize / 2;
    *begin = sbv_max((*begin + layer->shift) / side * side - layer->shift - reach, 0);
    *end = sbv_min((*end + layer->shift + side - 1) / side * side - layer->shift + reach, size);
}

/* What is needed of the results of the fusion, area[0], and of the convolutions of the blocks: towards the core less
 * and less of the halo. */
static void find_areas(const sbv_network *n, const sbv_tile *tile, sbv_area area[1 + 2 * SBV_MAX_BLOCKS])
{
    const int x = tile->core_x0 - tile->x0, y = tile->core_y0 - tile->y0;
    sbv_area at = {x, x + tile->core_w, y, y + tile->core_h};
    for (int i = 2 * n->recons_blocks; i >= 0; i--) {
        const sbv_layer *next = i == 2 * n->recons_blocks ? &n->tail[0][0] : &n->recons[i / 2].conv[i % 2];
        reach_back(next, tile->w, &at.x0, &at.x1);
        reach_back(next, tile->h, &at.y0, &at.y1);
        area[i] = at;
    }
}

void sbv_warp_features(const sbv_stages *s, sbv_slot *const window[], const sbv_tile *tile)
{
    const sbv_network *n = s->network;
    const int center = n->sequence / 2;
    sbv_map all = tile_map(s, tile, s->ws->part.warped, n->sequence * n->features);
    sbv_copy_args copy = {sbv_window(window[center]->features, tile->x0, tile->y0, tile->w, tile->h),
                          sbv_channels(all, center * n->features, n->features)};
    sbv_warp_args warp[SBV_MAX_SEQUENCE];
    int warps = 0;
    for (int i = 0; i < n->sequence; i++)
        if (i != center)
            warp[warps++] = (sbv_warp_args){
                .in = window[i]->features,
                .out = sbv_channels(all, i * n->features, n->features),
                .flow = s->ws->flow[i],
                .x0 = tile->x0,
                .y0 = tile->y0,
                .scale = 1,
                .clamp = 1,
            };
    sbv_run_copy(s->exec, &copy, tile->h);
    sbv_run_warp_batch(s->exec, warp, warps, tile->h);
}

void sbv_fuse(const sbv_stages *s, const sbv_tile *tile)
{
    const sbv_network *n = s->network;
    sbv_conv_args conv = sbv_conv_of(n, &n->fusion, tile_map(s, tile, s->ws->part.warped, n->sequence * n->features),
                                     trunk_map(s, tile), SBV_LINEAR);
    sbv_area area[1 + 2 * SBV_MAX_BLOCKS] = {{0, tile->w, 0, tile->h}};
    if (in_parts(s))
        find_areas(n, tile, area);
    sbv_run_area(s->exec, &conv, area);
}

void sbv_run_trunk(const sbv_stages *s, const sbv_tile *tile)
{
    const sbv_network *n = s->network;
    sbv_map trunk = trunk_map(s, tile);
    sbv_map hidden = tile_map(s, tile, s->ws->hidden.data, n->features);
    sbv_area area[1 + 2 * SBV_MAX_BLOCKS];
    find_areas(n, tile, area);
    for (int i = 0; i < n->recons_blocks; i++)
        sbv_run_block(s, &n->recons[i], trunk, hidden, in_parts(s) ? area + 1 + 2 * i : NULL);
}

#define MAX_SEGMENTS 5 /* of an axis: two pixels on either side, and the middle */

/* Consecutive pixels begin .. end - 1 along one axis that share a class of position. */
struct segment {
    int begin, end;
    int side; /* as sbv_tail_side has it */
};

/* Splits begin .. end - 1 of an axis of `size` pixels. Returns the number of segments. */
static int split(const sbv_network *n, int begin, int end, int size, struct segment segment[MAX_SEGMENTS])
{
    const int first = n->tail_left + 1, last = size - 1 - (n->tail_right + 1); /* of the middle */
    int count = 0;
    for (int at = begin; at < end; at = segment[count++].end) {
        int stop = at < first || at > last ? at + 1 : last + 1 < end ? last + 1 : end;
        segment[count] = (struct segment){at, stop, sbv_tail_side(n, at, size)};
    }
    return count;
}

/* part.trunk -> the core of outputs, a map of the size of the tile. */
static void collapsed_tail(const sbv_stages *s, const sbv_tile *tile, sbv_map outputs)
{
    const sbv_network *n = s->network;
    sbv_map trunk = trunk_map(s, tile);
    struct segment rows[MAX_SEGMENTS], columns[MAX_SEGMENTS];
    int row_count = split(n, tile->core_y0, tile->core_y0 + tile->core_h, s->ws->height, rows);
    int column_count = split(n, tile->core_x0, tile->core_x0 + tile->core_w, s->ws->width, columns);
    /* Single rows are a batch, and single columns of several rows another one. */
    sbv_conv_args row[MAX_SEGMENTS * MAX_SEGMENTS], column[MAX_SEGMENTS];
    int single_rows = 0;
    for (int v = 0; v < row_count; v++) {
        const int height = rows[v].end - rows[v].begin;
        int single_columns = 0;
        for (int h = 0; h < column_count; h++) {
            const sbv_layer *layer = &n->tail[rows[v].side][columns[h].side];
            sbv_conv_args conv = sbv_conv_of(n, layer, trunk, outputs, SBV_LINEAR);
            conv.x0 = columns[h].begin - tile->x0;
            conv.x1 = columns[h].end - tile->x0;
            conv.y0 = rows[v].begin - tile->y0;
            if (height == 1)
                row[single_rows++] = conv;
            else if (conv.x1 - conv.x0 == 1)
                column[single_columns++] = conv;
            else
                sbv_run_conv(s->exec, &conv, height);
        }
        sbv_run_conv_batch(s->exec, column, single_columns, height);
    }
    sbv_run_conv_batch(s->exec, row, single_rows, 1);
}

void sbv_run_tail(const sbv_stages *s, const sbv_slot *center, const sbv_tile *tile)
{
    const int scale = s->network->scale, x0 = tile->core_x0 - tile->x0, y0 = tile->core_y0 - tile->y0;
    if (s->exec->backend) {
        collapsed_tail(s, tile, sbv_window(s->ws->outputs, tile->x0, tile->y0, tile->w, tile->h));
        return;
    }
    sbv_map outputs = sbv_map_of(s->ws->part.outputs, tile->w, tile->h, SBV_COLOURS * scale * scale);
    collapsed_tail(s, tile, outputs);
    sbv_put_picture(s, center, tile, sbv_window(outputs, x0, y0, tile->core_w, tile->core_h));
}

/* One axis of a tile: the core that begins at `at`, and the core with its halo, which begins and ends on the grid of
 * Winograd's tiles, so that each pixel has its place in one of them as in the whole frame. */
static void place(int at, int tile, int halo, int grid, int size, int *core, int *core_size, int *start, int *extent)
{
    int core_end = size - at < tile ? size : at + tile;
    int end = size - core_end <= halo ? size : (core_end + halo + grid - 1) / grid * grid;
    if (end > size)
        end = size;
    *core = at;
    *core_size = core_end - at;
    *start = at < halo ? 0 : (at - halo) / grid * grid;
    *extent = end - *start;
}

int sbv_tile_at(const sbv_stages *s, int i, sbv_tile *tile)
{
    const int side = s->ws->tile, halo = sbv_halo(s->network), grid = sbv_grid(s->network);
    const int across = (s->ws->width - 1) / side + 1, down = (s->ws->height - 1) / side + 1;
    if (i >= across * down)
        return 0;
    place(i % across * side, side, halo, grid, s->ws->width, &tile->core_x0, &tile->core_w, &tile->x0, &tile->w);
    place(i / across * side, side, halo, grid, s->ws->height, &tile->core_y0, &tile->core_h, &tile->y0, &tile->h);
    return 1;
}

void sbv_reconstruct(const sbv_stages *s, sbv_slot *const window[])
{
    sbv_tile tile;
    for (int i = 0; sbv_tile_at(s, i, &tile); i++) {
        sbv_warp_features(s, window, &tile);
        sbv_fuse(s, &tile);
        sbv_run_trunk(s, &tile);
        sbv_run_tail(s, window[s->network->sequence / 2], &tile);
    }
}
