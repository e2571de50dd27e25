/*
 * The memory of a stream: everything that depends on the size of the frames, planned and allocated at once.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_MODEL_WORKSPACE_H
#define SBV_MODEL_WORKSPACE_H

#include "model/network.h"

/* What is kept of one input frame while it is in the window. */
typedef struct sbv_slot {
    sbv_map rgb, features;
    sbv_map pyramid[SBV_MAX_LEVELS]; /* [l - 1] is level l; level 1 is not kept */
    int64_t tag;
    int first_of_shot;
} sbv_slot;

/* A part of the frame that is reconstructed at once. Positions are pixels of the frame. */
typedef struct sbv_tile {
    int x0, y0, w, h;                     /* with the halo, cut at the edges of the frame */
    int core_x0, core_y0, core_w, core_h; /* what comes out */
} sbv_tile;

typedef struct sbv_workspace {
    int width, height, tile;     /* tile: side of the core of a tile; at least the frame's size if it is not tiled */
    int flow_width, flow_height; /* of the input of the flow network */
    size_t bytes;
    void *memory;
    sbv_slot slot[SBV_MAX_SEQUENCE];
    sbv_map flow[SBV_MAX_SEQUENCE]; /* [i]: from the centre to frame i of the window; none for the centre */
    sbv_map hidden;                 /* inner map of a residual block, as large as the frame */
    sbv_map output;                 /* R, G, B, scale times the frame */
    struct {
        float *resized, *scratch[2], *first_level;
        float *warped, *dense[SBV_MAX_LEVELS], *refined[2];
        sbv_map flow[SBV_MAX_LEVELS];
    } pyramid;
    struct {
        float *warped, *trunk, *outputs; /* maps of the size of a tile with its halo */
    } part;
} sbv_workspace;

/* Plans for frames of width x height and allocates. tile 0: the frame as a whole or, where that exceeds max_memory
 * bytes (0: no limit), the largest tile that does not. Errors: MEMORY, reported; *workspace is then closed. */
int sbv_workspace_open(sbv_workspace *workspace, const sbv_network *network, int width, int height, int tile,
                       int64_t max_memory, sbv_report *report);
void sbv_workspace_close(sbv_workspace *workspace);

/* Pixels that one output pixel's neighbourhood reaches beyond it, from the features on. */
int sbv_halo(const sbv_network *network);

/* A dense map over memory of w * h * c floats. */
static inline sbv_map sbv_map_of(float *data, int w, int h, int c)
{
    return (sbv_map){.data = data, .w = w, .h = h, .c = c, .pixel = c, .row = (ptrdiff_t)w * c};
}

/* Channels first .. first + count - 1 of a map. */
static inline sbv_map sbv_channels(sbv_map map, int first, int count)
{
    map.data += first;
    map.c = count;
    return map;
}

/* A rectangle of a map. */
static inline sbv_map sbv_window(sbv_map map, int x, int y, int w, int h)
{
    map.data += y * map.row + x * map.pixel;
    map.w = w;
    map.h = h;
    return map;
}

#endif /* SBV_MODEL_WORKSPACE_H */
