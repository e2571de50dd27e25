/*
 * Launches of kernels that take one argument: the two shapes that the simple operations have.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_LAUNCH_H
#define SBV_KERNELS_CUDA_LAUNCH_H

#include "kernels/cuda/device.h"
#include "kernels/cuda/params.h"

/* A grid has at most 65535 blocks along y and z: the sides of one with a block for each row and, below the last one,
 * perhaps some more. */
#define SBV_ROWS_MOST    65535
#define SBV_ROWS_Z(rows) (((unsigned)(rows) + SBV_ROWS_MOST - 1) / SBV_ROWS_MOST)
#define SBV_ROWS_Y(rows) (((unsigned)(rows) + SBV_ROWS_Z(rows) - 1) / SBV_ROWS_Z(rows))

/* `rows` rows of `threads` threads each, in blocks of SBV_IMAGE_THREADS. All rows of the map where
 * there are more than SBV_ROWS_MOST: a kernel leaves out those that are below the map. */
void sbv_cuda_launch_rows(sbv_backend *b, enum sbv_kernel_id kernel, int64_t threads, int rows, const void *args);

/* The same for each operation of a batch of so many. */
void sbv_cuda_launch_batch(sbv_backend *b, enum sbv_kernel_id kernel, int64_t threads, int rows, int count,
                           const void *args);

/* A block of SBV_REDUCE_THREADS, which compute a sum, for every x, y and z. */
void sbv_cuda_launch_sums(sbv_backend *b, enum sbv_kernel_id kernel, int x, int y, unsigned z, const void *args);

#endif /* SBV_KERNELS_CUDA_LAUNCH_H */
