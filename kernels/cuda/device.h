/*
 * The device: its context, its kernels, and what all operations share: launching, and keeping the first error. Nothing
 * links to CUDA: the driver is loaded at run time.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_DEVICE_H
#define SBV_KERNELS_CUDA_DEVICE_H

#include "kernels/backend.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/driver.h"
#include "kernels/cuda/images.h"
#include "kernels/cuda/kernels.h"
#include "kernels/os.h"

/* A recorded list of launches. */
typedef struct sbv_recording {
    unsigned char key[SBV_RECORD_KEY];
    size_t key_size;
    CUgraphExec graph; /* NULL: seen once, not recorded yet */
} sbv_recording;

struct sbv_cuda_blas; /* conv_blas.c */
struct sbv_staging;   /* staging.h */

typedef struct sbv_cuda {
    sbv_backend base; /* first: a pointer to it is a pointer to this */
    sbv_cuda_driver driver;
    const sbv_cuda_driver *cu; /* &driver */
    sbv_cuda_options options;
    CUdevice device;
    CUcontext context;
    int own_context; /* the primary context was retained */
    int sm;          /* compute capability: 80, 90, ... */
    char device_name[128];
    CUstream stream;  /* where work is queued: the caller's, or `capture` while a recording is made */
    CUstream capture; /* of this backend */
    CUmodule module[SBV_MAX_IMAGES];
    int modules;
    CUfunction function[SBV_KERNEL_COUNT]; /* NULL: the image has no such kernel for this device */
    sbv_recording recording[SBV_MAX_RECORDINGS];
    int recordings, recorded; /* in use; index of the one being made, or -1 */
    int said_recording;       /* something has been said of recordings */
    int entered;
    struct {
        void *host; /* pinned */
        size_t bytes;
        CUevent done;
    } download;                  /* see begin_download */
    struct sbv_staging *staging; /* of the backend, for as long as it is open */
    struct sbv_cuda_blas *blas;
    int status; /* the first error, SBV_OK so far */
    char message[512];
} sbv_cuda;

/* Queues a kernel; params is what cuLaunchKernel takes. Does nothing once the backend has failed. */
void sbv_cuda_launch(sbv_cuda *c, enum sbv_kernel_id kernel, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                     unsigned threads, size_t shared_bytes, void **params);

/* Whether the loaded image has this kernel for this device. */
int sbv_cuda_has(const sbv_cuda *c, enum sbv_kernel_id kernel);

/* Records the first error; later ones are dropped. `status` is DEVICE or MEMORY. */
void sbv_cuda_fail(sbv_cuda *c, int status, const char *format, ...) SBV_PRINTF(3, 4);

/* Records a driver call that failed, with its text, as DEVICE, or MEMORY where it was out of memory. Returns nonzero
 * if `result` is an error: if (SBV_CUDA_CHECK(c, c->cu->cuMemAlloc(...))) goto error; */
int sbv_cuda_check(sbv_cuda *c, CUresult result, const char *call);
#define SBV_CUDA_CHECK(c, call) sbv_cuda_check(c, call, #call)

/* Opens the device that c->options name, its context, which is then current, and the kernels that there are for it. c
 * is all zeros but for its options, base and driver. Errors: DEVICE, MEMORY, recorded. */
void sbv_cuda_open_device(sbv_cuda *c);

/* Unloads the kernels and leaves the context, without a look at what failed before. */
void sbv_cuda_close_device(sbv_cuda *c);

/* Makes the context current, unless it is, without a look at what failed before: for cleaning up. Returns whether it
 * is. */
int sbv_cuda_push(sbv_cuda *c);

/* Members of sbv_backend: see kernels/backend.h. */
int sbv_cuda_enter(sbv_backend *b);
void sbv_cuda_leave(sbv_backend *b);

/* The operations: sbv_<name>_cuda. */
#define SBV_CUDA_OP(name, args)       void sbv_##name##_cuda(sbv_backend *b, const args *a, int jobs);
#define SBV_CUDA_BATCH_OP(name, args) void sbv_##name##_cuda(sbv_backend *b, const args *a, int count, int jobs);
SBV_BATCH_OPS(SBV_CUDA_BATCH_OP)
SBV_SINGLE_OPS(SBV_CUDA_OP)
#undef SBV_CUDA_OP
#undef SBV_CUDA_BATCH_OP
void sbv_picture_cuda(sbv_backend *b, const sbv_picture_args *a);
int sbv_fetch_cuda(sbv_backend *b, int buffer, const sbv_frame *out);

#endif /* SBV_KERNELS_CUDA_DEVICE_H */
