/*
 * The convolution by wgmma, on Hopper.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_CONV_WGMMA_H
#define SBV_KERNELS_CUDA_CONV_WGMMA_H

#include "kernels/cuda/device.h"

/* Convolves in sessions of fp16. Returns 0 where the device or the shape is not its own, without having done anything.
 */
int sbv_cuda_conv_wgmma(sbv_cuda *c, const sbv_conv_args *a, int rows);

/* The same with at most so many blocks, each of which computes several tiles then. The number does not change the
 * result. */
int sbv_cuda_conv_wgmma_blocks(sbv_cuda *c, const sbv_conv_args *a, int rows, int most_blocks);

#endif /* SBV_KERNELS_CUDA_CONV_WGMMA_H */
