/*
 * Recordings: lists of launches as CUDA graphs, so that a frame's hundreds of kernels are queued by one call.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_GRAPHS_H
#define SBV_KERNELS_CUDA_GRAPHS_H

#include "kernels/cuda/device.h"

/* Members of sbv_backend: see kernels/backend.h. */
int sbv_cuda_begin(sbv_backend *b, const void *key, size_t size);
int sbv_cuda_end(sbv_backend *b);
void sbv_cuda_forget(sbv_backend *b);

#endif /* SBV_KERNELS_CUDA_GRAPHS_H */
