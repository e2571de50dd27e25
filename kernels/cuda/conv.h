/*
 * The convolution on mma.sync tiles, for the tests: conv.c chooses among these and the other ways.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_CONV_H
#define SBV_KERNELS_CUDA_CONV_H

#include "kernels/cuda/device.h"

/* The kernels of conv_mma.cu, by their tiles: as many outputs, of 16x16, 128 or 64 pixels; SPLIT 32 of 32 pixels. */
enum sbv_mma_tile {
    SBV_MMA_HALO_128,
    SBV_MMA_HALO_64,
    SBV_MMA_HALO_32,
    SBV_MMA_GATHER_64,
    SBV_MMA_GATHER_32,
    SBV_MMA_SPLIT
};

/* Convolves a batch with mma.sync, in sessions of fp16. Returns 0, without having done anything, where the device has
 * no such kernel or the kernel is not made for the shape. conv.c chooses the tile; tests try all. */
int sbv_cuda_conv_mma(sbv_cuda *c, const sbv_conv_args *a, int count, int rows, enum sbv_mma_tile tile);

#endif /* SBV_KERNELS_CUDA_CONV_H */
