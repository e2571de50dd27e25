/*
 * What the colour kernels take: frame descriptions flattened into plain structs, for C and CUDA C++.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_COLOUR_PARAMS_H
#define SBV_KERNELS_CUDA_COLOUR_PARAMS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/ops.h"

/* Threads of a block, and the output pixels of a block of colour_out and picture: SBV_COLOUR_GROUP neighbours of one
 * row are one thread's. The chroma filter needs at most one column more on the left and a row above or below. */
#define SBV_COLOUR_THREADS     256
#define SBV_COLOUR_GROUP       4
#define SBV_COLOUR_TILE_W      128
#define SBV_COLOUR_TILE_H      16
#define SBV_COLOUR_SHARED_ROW  (SBV_COLOUR_TILE_W + SBV_COLOUR_GROUP)
#define SBV_COLOUR_SHARED_ROWS (SBV_COLOUR_TILE_H + 2)
#define SBV_COLOUR_SHARED      (2 * SBV_COLOUR_SHARED_ROWS * SBV_COLOUR_SHARED_ROW * 4) /* bytes */

/* A component to read: value = ((stored >> shift) - zero) * gain, or a float as it is. */
typedef struct sbv_colour_source {
    const uint8_t *data; /* its first sample */
    ptrdiff_t linesize;
    int step, shift, bytes; /* 1, 2; 4: a float */
    float zero, gain;
} sbv_colour_source;

typedef struct sbv_colour_in_params {
    sbv_map out;
    int w, h; /* of the rows to be converted */
    int components, rgb;
    int sub_w, sub_h, chroma_w, chroma_h;
    float weight_x[2], weight_y[2]; /* of the second of two chroma samples, for an even and an odd luma position */
    float r_cr, g_cr, g_cb, b_cb;
    sbv_colour_source source[3];
} sbv_colour_in_params;

/* A plane to write, as elements: one sample, or the samples of several components that lie together. */
typedef struct sbv_colour_target {
    uint8_t *data; /* its first element */
    ptrdiff_t linesize;
    int step, bytes;  /* from one element to the next, and of an element; bytes 0: nothing to write */
    int aligned;      /* elements touch each other, and rows begin at multiples of 16 bytes */
    uint32_t padding; /* bits that are set in every element */
} sbv_colour_target;

/* A component to write: the code of zero + unit * value, clamped to 0 .. top, or a float (top 0), goes to bit `bit` of
 * the element of target `target`. */
typedef struct sbv_colour_code {
    float zero, unit, top;
    int target, bit;
} sbv_colour_code;

typedef struct sbv_colour_out_params {
    int w, h;           /* of the picture */
    int y_begin, y_end; /* rows to write; y_begin is even */
    int components, rgb, sub_w, sub_h;
    float luma_r, luma_b;           /* luma = G + luma_r (R - G) + luma_b (B - G) */
    float cb_gain, cr_gain;         /* Cb = cb_gain (B - luma), Cr = cr_gain (R - luma) */
    float filter_x[4], filter_y[4]; /* of the luma positions -1 .. 2 from that of a chroma sample */
    sbv_colour_code code[3];
    sbv_colour_target target[3]; /* R, G, B from 0 on; or luma 0 and chroma from 1 on */
} sbv_colour_out_params;

/* colour_out: the pixels of a map. */
typedef struct sbv_colour_map_params {
    sbv_colour_out_params colour;
    sbv_map in;
} sbv_colour_map_params;

/* picture: the network's outputs and the frame that they refine. */
typedef struct sbv_colour_picture_params {
    sbv_colour_out_params colour;
    sbv_map outputs, rgb;
    int aligned; /* groups of outputs begin at multiples of 16 bytes */
} sbv_colour_picture_params;

#endif /* SBV_KERNELS_CUDA_COLOUR_PARAMS_H */
