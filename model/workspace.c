/*
 * The memory of a stream: see workspace.h. One function lays the buffers out; it runs first without memory, to measure.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _POSIX_C_SOURCE 200809L
#include "model/workspace.h"

#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 64 /* bytes: a cache line */

#define SMALLEST_TILE 32 /* pixels; below, nearly all of the work would be halo */

typedef struct arena {
    char *base; /* NULL while measuring */
    size_t used;
    int overflow;
} arena;

static float *take(arena *a, int64_t w, int64_t h, int64_t c)
{
    size_t size;
    float *start = a->base ? (float *)(a->base + a->used) : NULL;
    if (__builtin_mul_overflow((size_t)(w * h), (size_t)c * sizeof(float), &size) || size > SIZE_MAX / 4 - a->used)
        a->overflow = 1;
    else
        a->used += (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return start;
}

static sbv_map take_map(arena *a, int w, int h, int c)
{
    return sbv_map_of(take(a, w, h, c), w, h, c);
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

static int larger(int a, int b)
{
    return a > b ? a : b;
}

int sbv_halo(const sbv_network *network)
{
    return 2 * network->recons_blocks + 1 + SBV_TAIL_KERNEL / 2;
}

static void lay_out_slots(sbv_workspace *ws, const sbv_network *n, arena *a)
{
    for (int i = 0; i < n->sequence; i++) {
        sbv_slot *slot = &ws->slot[i];
        slot->rgb = take_map(a, ws->width, ws->height, SBV_COLOURS);
        slot->features = take_map(a, ws->width, ws->height, n->features);
        for (int l = 2; l <= n->levels; l++)
            slot->pyramid[l - 1] = take_map(a, ws->flow_width >> l, ws->flow_height >> l,
                                            n->extractor[l - 1][SBV_EXTRACTOR_CONVS - 1].out);
    }
}

static void lay_out_pyramid(sbv_workspace *ws, const sbv_network *n, arena *a)
{
    const int w = ws->flow_width, h = ws->flow_height;
    int wide = 1, refined = 1;
    for (int l = 0; l < n->levels; l++)
        for (int i = 0; i < SBV_EXTRACTOR_CONVS; i++)
            wide = larger(wide, n->extractor[l][i].out);
    ws->pyramid.resized = take(a, w, h, SBV_COLOURS);
    for (int i = 0; i < 2; i++)
        ws->pyramid.scratch[i] = take(a, w >> 1, h >> 1, wide);
    ws->pyramid.first_level = take(a, w >> 1, h >> 1, n->extractor[0][SBV_EXTRACTOR_CONVS - 1].out);
    ws->pyramid.warped = take(a, w >> 2, h >> 2, wide);
    for (int l = 2; l <= n->levels; l++) {
        ws->pyramid.dense[l - 1] = take(a, w >> l, h >> l, n->decoder[l - 1].features);
        ws->pyramid.flow[l - 1] = take_map(a, w >> l, h >> l, 2);
    }
    for (int i = 0; i < SBV_REFINER_CONVS; i++)
        refined = larger(refined, n->refiner[i].out);
    for (int i = 0; i < 2; i++)
        ws->pyramid.refined[i] = take(a, w >> 2, h >> 2, refined);
}

static void lay_out(sbv_workspace *ws, const sbv_network *n, arena *a)
{
    const int tile_w = smaller(ws->tile + 2 * sbv_halo(n), ws->width);
    const int tile_h = smaller(ws->tile + 2 * sbv_halo(n), ws->height);
    lay_out_slots(ws, n, a);
    lay_out_pyramid(ws, n, a);
    for (int i = 0; i < n->sequence; i++)
        if (i != n->sequence / 2)
            ws->flow[i] = take_map(a, ws->width, ws->height, 2);
    ws->hidden = take_map(a, ws->width, ws->height, n->features);
    ws->output = take_map(a, ws->width * n->scale, ws->height * n->scale, SBV_COLOURS);
    ws->part.warped = take(a, tile_w, tile_h, (int64_t)n->sequence * n->features);
    ws->part.trunk = take(a, tile_w, tile_h, n->features);
    ws->part.outputs = take(a, tile_w, tile_h, SBV_COLOURS * n->scale * n->scale);
}

static size_t measure(sbv_workspace *ws, const sbv_network *n, int tile)
{
    arena a = {NULL, 0, 0};
    ws->tile = tile;
    lay_out(ws, n, &a);
    return a.overflow ? SIZE_MAX : a.used;
}

/* The largest tile whose plan stays within the limit; the smallest one if none does. */
static size_t choose_tile(sbv_workspace *ws, const sbv_network *n, size_t limit)
{
    int tile = larger(ws->width, ws->height);
    size_t bytes = measure(ws, n, tile);
    while (bytes > limit && tile > SMALLEST_TILE) {
        tile = larger(tile / 2, SMALLEST_TILE);
        bytes = measure(ws, n, tile);
    }
    return bytes;
}

int sbv_workspace_open(sbv_workspace *workspace, const sbv_network *network, int width, int height, int tile,
                       int64_t max_memory, sbv_report *report)
{
    const int grid = 1 << network->levels;
    const size_t limit = max_memory > 0 ? (size_t)max_memory : SIZE_MAX - 1;
    memset(workspace, 0, sizeof(*workspace));
    workspace->width = width;
    workspace->height = height;
    workspace->flow_width = (width + grid - 1) / grid * grid;
    workspace->flow_height = (height + grid - 1) / grid * grid;
    workspace->bytes = tile ? measure(workspace, network, tile) : choose_tile(workspace, network, limit);
    if (workspace->bytes > limit)
        return sbv_fail(report, SBV_ERROR_MEMORY,
                        "frames of %dx%d need %zu MiB with tiles of %d, max_memory is %zu MiB", width, height,
                        (workspace->bytes >> 20) + 1, workspace->tile, limit >> 20);
    if (posix_memalign(&workspace->memory, ALIGNMENT, workspace->bytes)) {
        workspace->memory = NULL;
        return sbv_fail(report, SBV_ERROR_MEMORY, "out of memory: %zu MiB for frames of %dx%d", workspace->bytes >> 20,
                        width, height);
    }
    arena a = {workspace->memory, 0, 0};
    lay_out(workspace, network, &a);
    return SBV_OK;
}

void sbv_workspace_close(sbv_workspace *workspace)
{
    free(workspace->memory);
    memset(workspace, 0, sizeof(*workspace));
}
