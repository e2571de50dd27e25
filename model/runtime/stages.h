/*
 * The stages of the network, each from maps of the workspace to maps of the workspace. Source: Bai and Pan, TPAMI 2024;
 * the flow network is PWC-Net (Sun et al., CVPR 2018).
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_STAGES_H
#define SBV_RUNTIME_STAGES_H

#include "model/runtime/workspace.h"

/* What every stage works with. */
typedef struct sbv_stages {
    const sbv_network *network;
    const sbv_exec *exec;
    sbv_workspace *ws;
} sbv_stages;

/* slot->rgb -> slot->features. Once per frame. (features.c) */
void sbv_extract_features(const sbv_stages *s, sbv_slot *slot);

/* slot->rgb -> slot->pyramid. Once per frame. (flow.c) */
void sbv_extract_pyramid(const sbv_stages *s, sbv_slot *slot);

/* Optical flow in pixels, x and y, from the center of the window to each other frame of it -> ws->flow, once for each:
 * frames of the same content, which stand in for others or repeat, have the same flow. (flow.c) */
void sbv_estimate_flows(const sbv_stages *s, sbv_slot *const window[]);

/* Features of the window's frames, warped by ws->flow -> part.warped, frame after frame. (reconstruct.c) */
void sbv_warp_features(const sbv_stages *s, sbv_slot *const window[], const sbv_tile *tile);

/* part.warped -> part.trunk (reconstruct.c) */
void sbv_fuse(const sbv_stages *s, const sbv_tile *tile);

/* The residual blocks, in place in part.trunk. (reconstruct.c) */
void sbv_run_trunk(const sbv_stages *s, const sbv_tile *tile);

/* part.trunk and the center frame -> the tile's part of ws->output, or with a backend of ws->outputs. (reconstruct.c)
 */
void sbv_run_tail(const sbv_stages *s, const sbv_slot *center, const sbv_tile *tile);

/* The four stages above for every tile: window and ws->flow -> ws->output or outputs. (reconstruct.c) */
void sbv_reconstruct(const sbv_stages *s, sbv_slot *const window[]);

/* Tile number `i`, or 0 if there are not so many. (reconstruct.c) */
int sbv_tile_at(const sbv_stages *s, int i, sbv_tile *tile);

/* Blur of the window -> blur, size * size values. Errors: MEMORY, reported. (kernel_net.c) */
int sbv_run_kernel_net(const sbv_stages *s, sbv_slot *const window[], float *blur, sbv_report *report);

/* Bytes that this allocates while it runs; 0 without a kernel network. (kernel_net.c) */
size_t sbv_kernel_net_bytes(const sbv_network *network, const sbv_exec *exec, int width, int height);

/* On the CPU the outputs of a tile's core and the center frame -> its part of ws->output. (picture.c) */
void sbv_put_picture(const sbv_stages *s, const sbv_slot *center, const sbv_tile *tile, sbv_map outputs);

/* With a backend ws->outputs and the center frame -> ws->output. (picture.c) */
void sbv_make_picture(const sbv_stages *s, const sbv_slot *center);

/* `steps` steps of descent on the difference of the center frame and ws->output blurred by the blur of `side` and
 * reduced, in ws->output; none are made where its mean square is `enough` or less. (refine.c) */
void sbv_refine(const sbv_stages *s, const sbv_slot *center, int side, int steps, float enough);

/* Sums of the rows of the square of that difference, of the picture clamped to [0, 1] -> ws->refinement.cycle.
 * (refine.c) */
void sbv_compare_cycle(const sbv_stages *s, const sbv_slot *center, int side);

/* Pixels of a map: x0 <= x < x1 and y0 <= y < y1. */
typedef struct sbv_area {
    int x0, x1, y0, y1;
} sbv_area;

/* A convolution of those pixels of its output. (residual_block.c) */
void sbv_run_area(const sbv_exec *exec, sbv_conv_args *a, const sbv_area *area);

/* x + conv[1](relu(conv[0](x))), in place; hidden is scratch of the same size. `area`: what is needed of the results of
 * the two convolutions, or NULL for all. (residual_block.c) */
void sbv_run_block(const sbv_stages *s, const sbv_block *block, sbv_map x, sbv_map hidden, const sbv_area area[2]);

#endif /* SBV_RUNTIME_STAGES_H */
