/*
 * The memory of a stream: everything that depends on the size of the frames, planned and allocated at once.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_WORKSPACE_H
#define SBV_RUNTIME_WORKSPACE_H

#include "model/runtime/network.h"

/* A window, and the frame behind it: see window.h. */
#define SBV_MAX_SLOTS (SBV_MAX_SEQUENCE + 1)

/* What is kept of one input frame while it is in the window. */
typedef struct sbv_slot {
    sbv_map rgb, features;
    sbv_map pyramid[SBV_MAX_LEVELS]; /* [l - 1] is level l; level 1 is not kept */
    int place;                       /* whose memory the maps are: see repeats.c */
    int64_t content;                 /* number of what was extracted there: the same for frames of the same colours */
    int64_t tag;
    int first_of_shot;
} sbv_slot;

/* A part of the frame that is reconstructed at once. Positions are pixels of the frame. */
typedef struct sbv_tile {
    int x0, y0, w, h;                     /* with the halo, cut at the edges of the frame */
    int core_x0, core_y0, core_w, core_h; /* what comes out */
} sbv_tile;

/* What estimating the flow from the center frame to one other takes; [l - 1] is level l. */
typedef struct sbv_flow_scratch {
    void *warped, *dense[SBV_MAX_LEVELS], *refined[2];
    sbv_map flow[SBV_MAX_LEVELS];
} sbv_flow_scratch;

/* What a stream needs beyond the restoration: a picture that can be compared with the input, and be refined. */
enum sbv_extras { SBV_EXTRA_NONE, SBV_EXTRA_CYCLE, SBV_EXTRA_REFINE };

typedef struct sbv_workspace {
    enum sbv_extras extras;
    int adapts;                  /* the degradation is estimated */
    int width, height, tile;     /* tile: side of the core of a tile; at least the frame's size if it is not tiled */
    int flow_width, flow_height; /* of the input of the flow network */
    int flows;                   /* that are estimated at once */
    size_t bytes, beside;        /* beside: what others were planned to allocate */
    size_t limit;                /* of both together */
    const char *whose;           /* the limit is, in words that a message ends with */
    void *memory;
    int slots; /* in use of the next two */
    sbv_slot slot[SBV_MAX_SLOTS];
    sbv_slot home[SBV_MAX_SLOTS];   /* the maps of each place */
    sbv_map flow[SBV_MAX_SEQUENCE]; /* [i]: from the center to frame i of the window; none for the center */
    sbv_map hidden;                 /* inner map of a residual block, as large as the frame */
    sbv_map extracted[2];           /* trunk and inner map of an extraction, where slot.features is no trunk itself */
    sbv_map output;                 /* R, G, B, scale times the frame. A backend makes pictures of `outputs` instead,
                            unless they are moved, refined or compared: */
    sbv_map outputs;                /* of the collapsed tail, colours * scale * scale, as large as the frame */
    void *row_sums;                 /* one float per row of a frame */
    /* Extraction, the flow and reconstruction follow each other, in the same memory. */
    struct {
        void *resized, *scratch[2], *first_level;
    } pyramid;
    sbv_flow_scratch flow_scratch[SBV_MAX_SEQUENCE - 1];
    struct {
        void *warped, *trunk, *outputs; /* maps of the size of a tile with its halo */
    } part;
    struct {
        int uploaded;                  /* blur holds the one in use */
        float *blur;                   /* SBV_BLUR_SIDE_MAX^2 values, as many as its side says in use */
        sbv_map residual, gradient;    /* of the size of the frame, and of the picture */
        sbv_map lowered;               /* the gradient, blurred and reduced */
        float *sums[3], *cycle, *step; /* of squares, per row, of these three; of the last residual; one float */
    } refinement;
    struct {
        int uploaded;                /* the kernels are there */
        float *blur[SBV_CANDIDATES]; /* kernels that pictures are compared with their frames by, see adaptation.c */
        float *sums;                 /* of squares, per row, of each of them */
    } adaptation;
} sbv_workspace;

/* What a workspace is for. */
typedef struct sbv_workspace_request {
    int width, height; /* of the frames */
    int slots;         /* frames that are kept */
    enum sbv_extras extras;
    int adapts;         /* the degradation is to be estimated */
    int tile;           /* 0: as large as the memory allows */
    int64_t max_memory; /* bytes of the workspace and of what is beside it; 0: a share of those of the machine */
    size_t machine;     /* bytes of the machine, SIZE_MAX / 2 where they are not known */
    const char *whose;  /* "this machine has", or the like */
    size_t beside;      /* bytes that others allocate, for good or now and then */
} sbv_workspace_request;

/* Plans and allocates. Errors: MEMORY, DEVICE, reported; *workspace is then closed. */
int sbv_workspace_open(sbv_workspace *workspace, const sbv_network *network, const sbv_exec *exec,
                       const sbv_workspace_request *request, sbv_report *report);
void sbv_workspace_close(sbv_workspace *workspace, const sbv_exec *exec);

/* Whether the limit has room for something that was not planned: "<purpose> needs ...". Errors: MEMORY, reported. */
int sbv_workspace_has_room(const sbv_workspace *workspace, size_t more, const char *purpose, sbv_report *report);

/* Parts of a frame begin and end at multiples of so many pixels, or with the frame: at least SBV_GRID, and tiles of
 * Winograd's way fit in. */
#define SBV_GRID 4
int sbv_grid(const sbv_network *network);

/* Pixels that one output pixel's neighbourhood reaches beyond it, from the features on; those that it depends on in its
 * last bits alone too. */
int sbv_halo(const sbv_network *network);

/* Channels first .. first + count - 1 of a map. */
static inline sbv_map sbv_channels(sbv_map map, int first, int count)
{
    map.data = (char *)map.data + (size_t)first * sbv_sample_size(map.type);
    map.c = count;
    return map;
}

/* A rectangle of a map. */
static inline sbv_map sbv_window(sbv_map map, int x, int y, int w, int h)
{
    map.data = (char *)map.data + (y * map.row + x * map.pixel) * (ptrdiff_t)sbv_sample_size(map.type);
    map.w = w;
    map.h = h;
    return map;
}

#endif /* SBV_RUNTIME_WORKSPACE_H */
