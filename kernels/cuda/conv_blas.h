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

#include "kernels/cuda/device.h"

/* Bytes that a tile takes at most. */
#define SBV_CONV_BLAS_BYTES ((size_t)64 << 20)

/* Convolves in sessions of fp16. Returns 0 where there is no cuBLAS, without having done anything. */
int sbv_cuda_conv_blas(sbv_cuda *c, const sbv_conv_args *a, int rows);

/* The same in tiles that take at most so many bytes, or are one pixel. */
int sbv_cuda_conv_blas_within(sbv_cuda *c, const sbv_conv_args *a, int rows, size_t bytes);

/* Loads cuBLAS now. Fails, with status ARGUMENT, where there is none that works. */
void sbv_cuda_need_blas(sbv_cuda *c);

/* Releases what the cuBLAS convolution has allocated; the context is current. */
void sbv_cuda_blas_close(sbv_cuda *c);

#endif /* SBV_KERNELS_CUDA_CONV_BLAS_H */
