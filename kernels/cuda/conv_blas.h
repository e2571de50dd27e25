/*
 * The convolution as matrix products of cuBLAS. For every pixel of a tile of the output, the sum over the k * k taps is
 * the product of a tap's weights and the image shifted by that tap: k * k products over a zero-padded fp16 copy of the
 * tile's input, added up in floats. A first kernel makes the copy, a second one turns the sums into the output: bias,
 * activation, residual, conversion.
 *
 * It takes every shape of an fp16 session, and is meant for devices and images without tensor core kernels of ours and
 * as a second opinion on those. cuBLAS chooses its algorithms by size, so other tiles may round otherwise.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_CONV_BLAS_H
#define SBV_KERNELS_CUDA_CONV_BLAS_H

#include "kernels/ops.h"

#define SBV_CONV_BLAS_THREADS 256
#define SBV_CONV_BLAS_BYTES   ((size_t)64 << 20)

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

#ifndef __cplusplus
struct sbv_cuda;

/* Releases what the cuBLAS convolution has allocated; the context is current. */
void sbv_cuda_blas_close(struct sbv_cuda *c);

/* sbv_cuda_conv_blas of conv.h in tiles that take at most so many bytes, or are one pixel. The backend's own number, at
 * most, is SBV_CONV_BLAS_BYTES. */
int sbv_cuda_conv_blas_within(struct sbv_cuda *c, const sbv_conv_args *a, int rows, size_t bytes);
#endif

#endif /* SBV_KERNELS_CUDA_CONV_BLAS_H */
