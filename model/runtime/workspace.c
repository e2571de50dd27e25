/*
 * The memory of a stream: see workspace.h. One function lays the buffers out; it runs first without memory, to measure.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/workspace.h"

#include <stdio.h>
#include <string.h>

#include "kernels/numbers.h"

/* Of the memory of the machine one part in so many is left, if it can be, to weights, to the frames of the caller, and
 * to decoders and encoders: that of large pictures has gigabytes. */
#define MACHINE_SPARE 4

/* Smaller tiles compute several times what they keep; rather than use them nothing is left. */
#define TILE_USUAL 64

typedef struct arena {
    const sbv_exec *exec;
    size_t align;
    char *base; /* NULL while measuring */
    size_t used;
    int overflow;
} arena;

static void *take(arena *a, int64_t w, int64_t h, size_t pixel_bytes)
{
    size_t size;
    void *start = a->base ? a->base + a->used : NULL;
    if (__builtin_mul_overflow((size_t)(w * h), pixel_bytes, &size) || size > SIZE_MAX / 4 - a->used)
        a->overflow = 1;
    else
        a->used += (size + a->align - 1) / a->align * a->align;
    return start;
}

static void *take_features(arena *a, int w, int h, int c)
{
    return take(a, w, h, sbv_feature_bytes(a->exec, c));
}

static void *take_precise(arena *a, int w, int h, int c)
{
    return take(a, w, h, sbv_precise_bytes(a->exec, c));
}

static sbv_map take_precise_map(arena *a, int w, int h, int c)
{
    return sbv_precise_map(a->exec, take_precise(a, w, h, c), w, h, c);
}

static sbv_map take_feature_map(arena *a, int w, int h, int c)
{
    return sbv_feature_map(a->exec, take_features(a, w, h, c), w, h, c);
}

static void *take_floats(arena *a, int w, int h, int c)
{
    return take(a, w, h, (size_t)c * sizeof(float));
}

static sbv_map take_float_map(arena *a, int w, int h, int c)
{
    return sbv_map_of(take_floats(a, w, h, c), w, h, c);
}

/* At the cut edge of a part that begins and ends on the grid `reach` pixels differ from those of the whole frame; how
 * many do behind a layer. Of Winograd's larger tiles it is all of the tiles that read one of them. Their grids take
 * turns (architecture.c), so that they are half a tile more for each layer, not a whole one. */
static int reach_behind(const sbv_layer *layer, int reach)
{
    reach++;
    while (layer->winograd > 2 && (reach + layer->shift) % layer->winograd)
        reach++;
    return reach;
}

/* The smallest multiple of `grid` that a layer's tiles divide. */
static int grid_with(int grid, const sbv_layer *layer)
{
    int all = grid;
    while (layer->winograd && all % layer->winograd)
        all += grid;
    return all;
}

int sbv_grid(const sbv_network *network)
{
    int grid = grid_with(SBV_GRID, &network->fusion);
    for (int b = 0; b < network->recons_blocks; b++)
        for (int i = 0; i < 2; i++)
            grid = grid_with(grid, &network->recons[b].conv[i]);
    return grid_with(grid, &network->tail[0][0]);
}

int sbv_halo(const sbv_network *network)
{
    int reach = reach_behind(&network->fusion, 0);
    for (int b = 0; b < network->recons_blocks; b++)
        for (int i = 0; i < 2; i++)
            reach = reach_behind(&network->recons[b].conv[i], reach);
    if (network->tail_ksize == SBV_NARROW_KSIZE)
        return reach_behind(&network->tail[0][0], reach);
    return reach + network->tail_ksize / 2;
}

static void lay_out_slots(sbv_workspace *ws, const sbv_network *n, arena *a)
{
    for (int i = 0; i < ws->slots; i++) {
        sbv_slot *slot = &ws->slot[i];
        slot->rgb = take_float_map(a, ws->width, ws->height, SBV_COLOURS);
        slot->features = take_feature_map(a, ws->width, ws->height, n->features);
        for (int l = 2; l <= n->levels; l++)
            slot->pyramid[l - 1] = take_precise_map(a, ws->flow_width >> l, ws->flow_height >> l,
                                                    n->extractor[l - 1][SBV_EXTRACTOR_CONVS - 1].out);
        slot->place = i;
        ws->home[i] = *slot;
    }
}

/* Channels of the widest map of a pyramid. */
static int widest(const sbv_network *n)
{
    int wide = 1;
    for (int l = 0; l < n->levels; l++)
        for (int i = 0; i < SBV_EXTRACTOR_CONVS; i++)
            wide = sbv_max(wide, n->extractor[l][i].out);
    return wide;
}

static void lay_out_pyramid(sbv_workspace *ws, const sbv_network *n, arena *a)
{
    const int w = ws->flow_width, h = ws->flow_height;
    ws->pyramid.resized = take_floats(a, w, h, SBV_COLOURS);
    for (int i = 0; i < 2; i++)
        ws->pyramid.scratch[i] = take_precise(a, w >> 1, h >> 1, widest(n));
    ws->pyramid.first_level = take_precise(a, w >> 1, h >> 1, n->extractor[0][SBV_EXTRACTOR_CONVS - 1].out);
}

static void lay_out_flow(sbv_workspace *ws, const sbv_network *n, arena *a, sbv_flow_scratch *scratch)
{
    const int w = ws->flow_width, h = ws->flow_height;
    int refined = 1;
    scratch->warped = take_precise(a, w >> 2, h >> 2, widest(n));
    for (int l = 2; l <= n->levels; l++) {
        scratch->dense[l - 1] = take_precise(a, w >> l, h >> l, n->decoder[l - 1].features);
        scratch->flow[l - 1] = take_float_map(a, w >> l, h >> l, 2);
    }
    for (int i = 0; i < SBV_REFINER_CONVS; i++)
        refined = sbv_max(refined, n->refiner[i].out);
    for (int i = 0; i < 2; i++)
        scratch->refined[i] = take_precise(a, w >> 2, h >> 2, refined);
}

static void lay_out_refinement(sbv_workspace *ws, const sbv_network *n, arena *a)
{
    const int w = ws->width, h = ws->height, scale = n->scale;
    ws->refinement.blur = take_floats(a, SBV_BLUR_SIDE_MAX, SBV_BLUR_SIDE_MAX, 1);
    ws->refinement.cycle = take_floats(a, 1, h, 1);
    if (ws->extras < SBV_EXTRA_REFINE)
        return;
    ws->refinement.gradient = take_float_map(a, w * scale, h * scale, SBV_COLOURS);
    ws->refinement.lowered = take_float_map(a, w, h, SBV_COLOURS);
    for (int i = 0; i < 3; i++)
        ws->refinement.sums[i] = take_floats(a, 1, i == 1 ? h * scale : h, 1);
    ws->refinement.step = take_floats(a, 1, 1, 1);
}

static void lay_out_adaptation(sbv_workspace *ws, arena *a)
{
    for (int i = 0; i < SBV_CANDIDATES; i++)
        ws->adaptation.blur[i] = take_floats(a, SBV_CANDIDATE_SIDE, SBV_CANDIDATE_SIDE, 1);
    ws->adaptation.sums = take_floats(a, SBV_CANDIDATES, ws->height, 1);
}

/* What one stage has after another, in the same place: extraction, flow, reconstruction. */
static void lay_out_stages(sbv_workspace *ws, const sbv_network *n, arena *a, int tile_w, int tile_h)
{
    const size_t begin = a->used;
    size_t end = begin;
    for (int i = 0; i < 2 && sbv_precise_bytes(a->exec, 1) != sbv_feature_bytes(a->exec, 1); i++)
        ws->extracted[i] = take_precise_map(a, ws->width, ws->height, n->features);
    end = a->used > end ? a->used : end;
    a->used = begin;
    lay_out_pyramid(ws, n, a);
    end = a->used > end ? a->used : end;
    a->used = begin;
    for (int i = 0; i < ws->flows; i++)
        lay_out_flow(ws, n, a, &ws->flow_scratch[i]);
    end = a->used > end ? a->used : end;
    a->used = begin;
    ws->part.warped = take_features(a, tile_w, tile_h, n->sequence * n->features);
    ws->part.trunk = take_precise(a, tile_w, tile_h, n->features);
    if (!a->exec->backend)
        ws->part.outputs = take_floats(a, tile_w, tile_h, SBV_COLOURS * n->scale * n->scale);
    a->used = a->used > end ? a->used : end;
}

static void lay_out(sbv_workspace *ws, const sbv_network *n, arena *a)
{
    const int extent = ws->tile + 2 * (sbv_halo(n) + sbv_grid(n) - 1); /* at most */
    const int tile_w = sbv_min(extent, ws->width), tile_h = sbv_min(extent, ws->height);
    lay_out_slots(ws, n, a);
    for (int i = 0; i < n->sequence; i++)
        if (i != n->sequence / 2)
            ws->flow[i] = take_float_map(a, ws->width, ws->height, 2);
    ws->row_sums = take_floats(a, 1, ws->height, 1);
    ws->hidden = take_feature_map(a, ws->width, ws->height, n->features);
    lay_out_stages(ws, n, a, tile_w, tile_h);
    if (a->exec->backend)
        ws->outputs = take_float_map(a, ws->width, ws->height, SBV_COLOURS * n->scale * n->scale);
    if (!a->exec->backend || ws->extras || ws->adapts || n->moved)
        ws->output = take_float_map(a, ws->width * n->scale, ws->height * n->scale, SBV_COLOURS);
    if (ws->extras || ws->adapts)
        ws->refinement.residual = take_float_map(a, ws->width, ws->height, SBV_COLOURS);
    if (ws->extras)
        lay_out_refinement(ws, n, a);
    if (ws->adapts)
        lay_out_adaptation(ws, a);
}

static arena new_arena(const sbv_exec *exec, void *memory)
{
    const size_t align = exec->backend ? exec->backend->memory_align : SBV_MEMORY_ALIGN;
    return (arena){.exec = exec, .align = align, .base = memory};
}

static size_t measure(sbv_workspace *ws, const sbv_network *n, const sbv_exec *exec)
{
    arena a = new_arena(exec, NULL);
    lay_out(ws, n, &a);
    return a.overflow ? SIZE_MAX : a.used;
}

/* A device has many multiprocessors to keep busy. A CPU finds the maps of one flow in its caches. */
static int most_flows(const sbv_network *n, const sbv_exec *exec)
{
    return exec->backend ? n->sequence - 1 : 1;
}

/* The next smaller plan: flows one by one, then a smaller tile. Returns 0 if there is none. */
static int shrink(sbv_workspace *ws, const sbv_network *n, const sbv_exec *exec, int fixed_tile)
{
    if (ws->flows > 1) {
        ws->flows = 1;
    } else if (!fixed_tile && ws->tile > SBV_TILE_MIN) {
        ws->tile = sbv_max(ws->tile / 2, SBV_TILE_MIN);
        ws->flows = most_flows(n, exec);
    } else {
        return 0;
    }
    ws->bytes = measure(ws, n, exec);
    return 1;
}

/* The largest plan with tiles of at most `largest` that stays within the limit; the smallest one if none does. */
static void plan(sbv_workspace *ws, const sbv_network *n, const sbv_exec *exec, int fixed_tile, int largest,
                 size_t limit)
{
    ws->tile = fixed_tile ? fixed_tile : largest;
    ws->flows = most_flows(n, exec);
    ws->bytes = measure(ws, n, exec);
    while (ws->bytes > limit && shrink(ws, n, exec, fixed_tile))
        ;
}

/* Allocates what was planned. Where the memory is not there, plans for less. */
static int allocate(sbv_workspace *ws, const sbv_network *n, const sbv_exec *exec, int fixed_tile)
{
    int ret = sbv_allocate(exec, ws->bytes, &ws->memory);
    while (ret == SBV_ERROR_MEMORY && shrink(ws, n, exec, fixed_tile))
        ret = sbv_allocate(exec, ws->bytes, &ws->memory);
    return ret;
}

/* What is said where memory does not suffice: what is asked for, and with what tiles less would do. */
static int refuse(sbv_workspace *ws, const sbv_network *network, const sbv_exec *exec,
                  const sbv_workspace_request *request, sbv_report *report)
{
    size_t bytes;
    char smallest[64] = "";
    if (__builtin_add_overflow(ws->bytes, request->beside, &bytes))
        bytes = SIZE_MAX;
    if (ws->tile > SBV_TILE_MIN) {
        ws->tile = SBV_TILE_MIN;
        snprintf(smallest, sizeof(smallest), " (%zu MiB with tiles of %d)",
                 ((measure(ws, network, exec) + request->beside) >> 20) + 1, SBV_TILE_MIN);
    }
    return sbv_fail(report, SBV_ERROR_MEMORY, "frames of %dx%d need %zu MiB with tiles of %d%s, %s %zu MiB", ws->width,
                    ws->height, (bytes >> 20) + 1, request->tile ? request->tile : SBV_TILE_MIN, smallest, ws->whose,
                    ws->limit >> 20);
}

int sbv_workspace_open(sbv_workspace *workspace, const sbv_network *network, const sbv_exec *exec,
                       const sbv_workspace_request *request, sbv_report *report)
{
    const int grid = 1 << network->levels, tile = request->tile;
    size_t room;
    int ret, largest;
    memset(workspace, 0, sizeof(*workspace));
    workspace->whose = request->max_memory > 0 ? "max_memory is" : request->whose;
    workspace->limit = request->max_memory > 0 ? (size_t)request->max_memory : request->machine;
    workspace->beside = request->beside;
    room = workspace->limit > request->beside ? workspace->limit - request->beside : 0;
    workspace->slots = request->slots;
    workspace->extras = request->extras;
    workspace->adapts = request->adapts;
    workspace->width = request->width;
    workspace->height = request->height;
    workspace->flow_width = sbv_round_up(request->width, grid);
    workspace->flow_height = sbv_round_up(request->height, grid);
    largest = sbv_max(request->width, request->height);
    plan(workspace, network, exec, tile, largest, request->max_memory > 0 ? room : room - room / MACHINE_SPARE);
    if (request->max_memory <= 0 && workspace->tile < TILE_USUAL)
        plan(workspace, network, exec, tile, sbv_min(largest, TILE_USUAL), room);
    if (workspace->bytes > room) {
        ret = refuse(workspace, network, exec, request, report);
        memset(workspace, 0, sizeof(*workspace));
        return ret;
    }
    if ((ret = allocate(workspace, network, exec, tile)) < 0) {
        sbv_fail(report, ret, "%s: %zu MiB for frames of %dx%d with tiles of %d",
                 ret == SBV_ERROR_MEMORY ? "out of memory" : sbv_backend_message(exec), workspace->bytes >> 20,
                 request->width, request->height, workspace->tile);
        memset(workspace, 0, sizeof(*workspace));
        return ret;
    }
    arena a = new_arena(exec, workspace->memory);
    lay_out(workspace, network, &a);
    return SBV_OK;
}

int sbv_workspace_has_room(const sbv_workspace *ws, size_t more, const char *purpose, sbv_report *report)
{
    const size_t planned = ws->bytes + ws->beside;
    if (more <= ws->limit && planned <= ws->limit - more)
        return SBV_OK;
    return sbv_fail(report, SBV_ERROR_MEMORY, "%s needs %zu MiB beside %zu MiB for frames of %dx%d, %s %zu MiB",
                    purpose, (more >> 20) + 1, (planned >> 20) + 1, ws->width, ws->height, ws->whose, ws->limit >> 20);
}

void sbv_workspace_close(sbv_workspace *workspace, const sbv_exec *exec)
{
    if (exec->backend)
        exec->backend->forget(exec->backend);
    sbv_release(exec, workspace->memory);
    memset(workspace, 0, sizeof(*workspace));
}
