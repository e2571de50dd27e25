/*
 * Opening the CUDA backend.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_CUDA_BACKEND_H
#define SBV_KERNELS_CUDA_CUDA_BACKEND_H

#include "kernels/backend.h"

/* Which kernels convolve; AUTO is the fastest that the device has and the shape allows. For tests and comparisons. */
enum sbv_conv_path { SBV_CONV_AUTO, SBV_CONV_MMA, SBV_CONV_WGMMA, SBV_CONV_BLAS };

typedef struct sbv_cuda_options {
    void *context; /* CUcontext; NULL: the primary context of `device` */
    int device;    /* number of a GPU, from 0 */
    void *stream;  /* CUstream of that context; NULL: its default stream */
    enum sbv_type type;
    enum sbv_conv_path conv_path;
    int no_recording; /* launch every kernel on its own, without CUDA graphs */
    sbv_log_fn *log;  /* what slows it down is said here, at SBV_LOG_VERBOSE; NULL: nowhere */
    void *log_opaque;
    int *found; /* set to whether there is a GPU at all, also where opening fails; NULL: not asked for */
} sbv_cuda_options;

/* Opens the backend. Errors, with one line in `message`: DEVICE, MEMORY; ARGUMENT where there is no such device or it
 * cannot compute in that type, though perhaps in another. */
int sbv_cuda_open(sbv_backend **backend, const sbv_cuda_options *options, char *message, size_t size);

#endif /* SBV_KERNELS_CUDA_CUDA_BACKEND_H */
