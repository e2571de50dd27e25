/*
 * What conv.c tells the convolution kernels of conv_mma.cu and conv_f32.cu, and the other ways to convolve.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_CONV_H
#define SBV_KERNELS_CUDA_CONV_H

#include "kernels/ops.h"

typedef struct sbv_conv_cuda_args {
    sbv_conv_args conv;
    int rows;                  /* output rows to compute, from conv.y0 on */
    int in_packed, out_packed; /* channels of the packed weights */
    int tiles_x, tiles_out;    /* tiles in a row of tiles of an image; tiles of output channels */
    int wide_out;              /* 16-byte access to `out`, and to `residual` if there is one */
} sbv_conv_cuda_args;

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

typedef struct sbv_deconv_cuda_args {
    sbv_deconv_args deconv;
    int rows;
} sbv_deconv_cuda_args;

#define SBV_DECONV_WARPS 8

#ifndef __cplusplus

struct sbv_cuda;

/* The kernels of conv_mma.cu, by their tiles: as many outputs, of 16x16, 128 or 64 pixels; SPLIT 32 of 32 pixels. */
enum sbv_mma_tile {
    SBV_MMA_HALO_128,
    SBV_MMA_HALO_64,
    SBV_MMA_HALO_32,
    SBV_MMA_GATHER_64,
    SBV_MMA_GATHER_32,
    SBV_MMA_SPLIT
};

/* Convolves with mma.sync, in sessions of fp16. Returns 0, without having done anything, where the device has no such
 * kernel or the kernel is not made for the shape. conv.c chooses the tile; tests try all. */
int sbv_cuda_conv_mma(struct sbv_cuda *c, const sbv_conv_args *a, int rows, enum sbv_mma_tile tile);

/* Bytes of the packed weights of a convolution, and their packing from PyTorch's [out][in][kernel][kernel]:
 * [kernel row][kernel column][output, rounded up to 64][input, rounded up to 16, or to 64 if more than 32], zeros in
 * the padding, of the type of the session's maps. */
size_t sbv_cuda_conv_bytes(enum sbv_type type, int out, int in, int kernel);
void sbv_cuda_pack_conv(enum sbv_type type, const float *raw, int out, int in, int kernel, void *packed);

/* Other ways to convolve, for sessions in fp16. They return 0 where the device or the shape is not theirs, without
 * having done anything. */
int sbv_cuda_conv_wgmma(struct sbv_cuda *c, const sbv_conv_args *a, int rows);
int sbv_cuda_conv_blas(struct sbv_cuda *c, const sbv_conv_args *a, int rows);

#endif /* __cplusplus */

#endif /* SBV_KERNELS_CUDA_CONV_H */
