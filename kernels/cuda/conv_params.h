/*
 * What the convolution kernels are given, and how much of a block's memory they take. For C and CUDA C++.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_CONV_PARAMS_H
#define SBV_KERNELS_CUDA_CONV_PARAMS_H

#include "kernels/ops.h"

typedef struct sbv_conv_cuda_args {
    sbv_conv_args conv;
    int rows;                  /* output rows to compute, from conv.y0 on */
    int in_packed, out_packed; /* channels of the packed weights */
    int tiles_x, tiles_out;    /* tiles in a row of tiles of an image; tiles of output channels */
    int wide_out;              /* 16-byte access to `out`, and to `residual` if there is one */
} sbv_conv_cuda_args;

/* What a convolution of a batch has of its own; all else is that of the first one. */
typedef struct sbv_conv_member {
    void *in, *out, *residual;
    const void *weights;
    const float *bias;
    int x0, x1, y0;
    int tiles_x;
    int blocks; /* along x; there can be more of them, which have nothing to do */
} sbv_conv_member;

typedef struct sbv_conv_batch {
    sbv_conv_member member[SBV_MAX_BATCH];
} sbv_conv_batch;

/* conv_mma.cu. A stage of the pipeline holds 32 input channels of some pixels and the weights of one tap for them. */
#define SBV_MMA_CHANNELS 32
#define SBV_MMA_STAGES   4
#define SBV_MMA_ROW      (SBV_MMA_CHANNELS * 2) /* bytes of a pixel or an output in a stage */

/* Halo kernels: 16x16 outputs, whose inputs for all taps lie in shared memory, one chunk of channels being used and the
 * next one being loaded. The largest is that of 5x5 taps; rows are padded to a multiple of 8 pixels. */
#define SBV_MMA_TILE                 16
#define SBV_MMA_HALO                 4
#define SBV_MMA_SLAB_WIDTH           24
#define SBV_MMA_SLAB_ROWS            (SBV_MMA_TILE + SBV_MMA_HALO)
#define SBV_MMA_SLAB                 (SBV_MMA_SLAB_WIDTH * SBV_MMA_SLAB_ROWS * SBV_MMA_ROW)
#define SBV_MMA_HALO_SHARED(outputs) (2 * SBV_MMA_SLAB + SBV_MMA_STAGES * (outputs)*SBV_MMA_ROW)

/* Gather kernels: a number of pixels of the image in reading order, whose inputs are loaded tap by tap. */
#define SBV_MMA_GATHER_SHARED(pixels, outputs) (SBV_MMA_STAGES * ((pixels) + (outputs)) * SBV_MMA_ROW)

/* The split kernel: each of eight warps sums an eighth of the products of a small tile. */
#define SBV_MMA_SPLIT_TILE     32 /* pixels, and outputs */
#define SBV_MMA_SPLIT_WARPS    8
#define SBV_MMA_SPLIT_CHANNELS (SBV_MMA_SPLIT_WARPS * 16) /* in a stage */
#define SBV_MMA_SPLIT_SHARED   (SBV_MMA_STAGES * 2 * SBV_MMA_SPLIT_TILE * SBV_MMA_SPLIT_CHANNELS * 2)

/* conv_f32.cu */
#define SBV_CONV_F32_PIXELS   64
#define SBV_CONV_F32_OUTPUTS  64
#define SBV_CONV_F32_CHANNELS 16
#define SBV_CONV_F32_PITCH    (SBV_CONV_F32_PIXELS + 4)
#define SBV_CONV_F32_SHARED   (4 * SBV_CONV_F32_CHANNELS * SBV_CONV_F32_PITCH * 4)
#define SBV_CONV_F32_THREADS  256

/* ---- conv_wgmma.cu ---- */

/* Input channels that are loaded at a time: 128 bytes, the width of the swizzle. */
#define SBV_WGMMA_CHANNELS 64

/* A box is what the copy engine brings for one column of taps: the pixels of a piece of 8 x 32 outputs, and one row
 * above and below. A row of a box is 1024 bytes, one atom of the swizzle. */
#define SBV_WGMMA_WIDTH  8
#define SBV_WGMMA_HEIGHT 32
#define SBV_WGMMA_ROWS   (SBV_WGMMA_HEIGHT + 2)
#define SBV_WGMMA_BOX    (SBV_WGMMA_ROWS * SBV_WGMMA_WIDTH * SBV_WGMMA_CHANNELS * 2)

/* The shared memory of a block: a ring of boxes, the weights of single taps for 64 outputs, barriers. With 64 outputs
 * there is one ring of weights, with 128 one for each half of them. As long as fits into 227 KiB. The results of a
 * tile, 64 outputs of 8 x 32 pixels, take a place in the ring of boxes. */
#define SBV_WGMMA_BOXES                4
#define SBV_WGMMA_RESULTS              (SBV_WGMMA_HEIGHT * SBV_WGMMA_WIDTH * 64 * 2)
#define SBV_WGMMA_TAP                  (64 * SBV_WGMMA_CHANNELS * 2)
#define SBV_WGMMA_TAPS(outputs)        ((outputs) == 128 ? 5 : 9)
#define SBV_WGMMA_TAP_PLACES(outputs)  ((outputs) / 64 * SBV_WGMMA_TAPS(outputs))
#define SBV_WGMMA_TAPS_AT              (SBV_WGMMA_BOXES * SBV_WGMMA_BOX)
#define SBV_WGMMA_BARRIERS_AT(outputs) (SBV_WGMMA_TAPS_AT + SBV_WGMMA_TAP_PLACES(outputs) * SBV_WGMMA_TAP)
#define SBV_WGMMA_BARRIERS(outputs)    (2 * (SBV_WGMMA_BOXES + SBV_WGMMA_TAP_PLACES(outputs) + 3))
#define SBV_WGMMA_SHARED(outputs)      (SBV_WGMMA_BARRIERS_AT(outputs) + 8 * SBV_WGMMA_BARRIERS(outputs))

/* With 128 outputs: the steps, each a box with its three taps, that one warpgroup is ahead of the other one. Finishing
 * a tile takes less time than the products of two. */
#define SBV_WGMMA_HEAD 2

/* Two warpgroups that compute and one that loads and stores. */
#define SBV_WGMMA_THREADS 384

/* Beside it a kernel gets the tensor maps of pixels, weights, residual (any, where there is none) and output. */
typedef struct sbv_conv_wgmma_args {
    const float *bias;
    float slope;
    int x0, y0, x1, y1; /* the output pixels to compute */
    int padding;
    int chunks; /* of SBV_WGMMA_CHANNELS input channels */
    int tiles_x, tiles;
    int step_x, step_y; /* pixels from a tile of a block to its next one, which may be in the row below */
} sbv_conv_wgmma_args;

/* ---- conv_blas.cu ---- */

#define SBV_CONV_BLAS_THREADS 256

/* padded[(y * w + x) * channels + c] = in(x0 + x, y0 + y, c), zero outside the map and beyond its channels. */
typedef struct sbv_conv_pad_args {
    sbv_map in;
    void *padded; /* fp16, at a multiple of 16 bytes */
    int x0, y0, w, h;
    int channels; /* those of in, rounded up to 8 */
    int wide;     /* in is fp16 and can be read in units of 8 channels */
} sbv_conv_pad_args;

/* out(x0 + x, y0 + y, c) = activation(bias[c] + sums[(y * pitch + x) * channels + c]) + residual, for x < w, y < h. */
typedef struct sbv_conv_finish_args {
    sbv_map out, residual; /* residual.data NULL: none */
    const float *sums;     /* at a multiple of 16 bytes */
    const float *bias;
    float slope;
    int x0, y0, w, h;
    int pitch;
    int channels; /* those of out, rounded up to 8 */
    int wide;     /* out and residual are fp16 and can be accessed in units of 8 channels */
} sbv_conv_finish_args;

#endif /* SBV_KERNELS_CUDA_CONV_PARAMS_H */
