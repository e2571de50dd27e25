/*
 * What conv_wgmma.c tells conv_wgmma.cu.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_CONV_WGMMA_H
#define SBV_KERNELS_CUDA_CONV_WGMMA_H

#include "kernels/ops.h"

/* Input channels that are loaded at a time: 128 bytes, the width of the swizzle. */
#define SBV_WGMMA_CHANNELS 64

/* A box is what the copy engine brings for one column of taps: the pixels of a piece of 8 x 32 outputs, and one row
 * above and below. A row of a box is 1024 bytes, one atom of the swizzle. */
#define SBV_WGMMA_WIDTH  8
#define SBV_WGMMA_HEIGHT 32
#define SBV_WGMMA_ROWS   (SBV_WGMMA_HEIGHT + 2)
#define SBV_WGMMA_BOX    (SBV_WGMMA_ROWS * SBV_WGMMA_WIDTH * SBV_WGMMA_CHANNELS * 2)

/* The shared memory of a block, by its number of outputs: boxes, the weights of single taps, room for the epilogue of
 * eight warps, barriers. The rings of boxes and of weights are as long as fits into 227 KiB. */
#define SBV_WGMMA_BOXES(outputs)       ((outputs) == 128 ? 3 : 4)
#define SBV_WGMMA_TAPS(outputs)        ((outputs) == 128 ? 6 : 9)
#define SBV_WGMMA_TAP(outputs)         ((outputs)*SBV_WGMMA_CHANNELS * 2)
#define SBV_WGMMA_STAGING              2048
#define SBV_WGMMA_TAPS_AT(outputs)     (SBV_WGMMA_BOXES(outputs) * SBV_WGMMA_BOX)
#define SBV_WGMMA_STAGING_AT(outputs)  (SBV_WGMMA_TAPS_AT(outputs) + SBV_WGMMA_TAPS(outputs) * SBV_WGMMA_TAP(outputs))
#define SBV_WGMMA_BARRIERS_AT(outputs) (SBV_WGMMA_STAGING_AT(outputs) + 8 * SBV_WGMMA_STAGING)
#define SBV_WGMMA_SHARED(outputs)                                                                                      \
    (SBV_WGMMA_BARRIERS_AT(outputs) + 2 * 8 * (SBV_WGMMA_BOXES(outputs) + SBV_WGMMA_TAPS(outputs)))

/* Two warpgroups that compute and one that loads. */
#define SBV_WGMMA_THREADS 384

typedef struct sbv_conv_wgmma_args {
    sbv_map out, residual; /* fp16 at multiples of 16 bytes; residual.data NULL: none */
    const float *bias;
    float slope;
    int x0, x1, y0, y1; /* the output pixels to compute */
    int padding;
    int chunks; /* of SBV_WGMMA_CHANNELS input channels */
    int tiles_x, tiles;
} sbv_conv_wgmma_args;

#ifndef __cplusplus
struct sbv_cuda;

/* sbv_cuda_conv_wgmma of conv.h, with at most so many blocks, each of which computes several tiles then. The number
 * does not change the result. */
int sbv_cuda_conv_wgmma_blocks(struct sbv_cuda *c, const sbv_conv_args *a, int rows, int most_blocks);
#endif

#endif /* SBV_KERNELS_CUDA_CONV_WGMMA_H */
