/*
 * The CUDA backend: sbv_backend on NVIDIA's driver API. The operations are in files of their own.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/conv_blas.h"
#include "kernels/cuda/conv_weights.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/graphs.h"
#include "kernels/cuda/staging.h"

/* Channels of a feature map begin and end at 16 bytes, maps at the width of a memory transaction. */
#define VECTOR_BYTES 16
#define MEMORY_ALIGN 256
static int cuda_status(const sbv_backend *b, const char **message)
{
    const sbv_cuda *c = (const sbv_cuda *)b;
    *message = c->message;
    return c->status;
}

static int cuda_allocate(sbv_backend *b, size_t bytes, void **memory)
{
    sbv_cuda *c = (sbv_cuda *)b;
    CUdeviceptr address = 0;
    *memory = NULL;
    if (c->status < 0)
        return c->status;
    /* Not being given memory is an answer, after which a smaller piece may be asked for. */
    CUresult result = c->cu->cuMemAlloc(&address, bytes);
    if (result == CUDA_ERROR_OUT_OF_MEMORY)
        return SBV_ERROR_MEMORY;
    if (sbv_cuda_check(c, result, "cuMemAlloc"))
        return c->status;
    if (SBV_CUDA_CHECK(c, c->cu->cuMemsetD8Async(address, 0, bytes, (CUstream)c->options.stream))) {
        c->cu->cuMemFree(address);
        return c->status;
    }
    *memory = (void *)(uintptr_t)address;
    return SBV_OK;
}

static void cuda_release(sbv_backend *b, void *memory)
{
    sbv_cuda *c = (sbv_cuda *)b;
    /* A context that cannot be entered has taken its memory with it. */
    if (sbv_cuda_push(c))
        SBV_CUDA_CHECK(c, c->cu->cuMemFree((CUdeviceptr)(uintptr_t)memory));
}

static int cuda_wait(sbv_backend *b)
{
    sbv_cuda *c = (sbv_cuda *)b;
    if (c->status >= 0)
        SBV_CUDA_CHECK(c, c->cu->cuStreamSynchronize((CUstream)c->options.stream));
    return c->status;
}

static int cuda_upload(sbv_backend *b, void *to, const void *from, size_t bytes)
{
    sbv_cuda *c = (sbv_cuda *)b;
    if (c->status >= 0)
        SBV_CUDA_CHECK(c,
                       c->cu->cuMemcpyHtoDAsync((CUdeviceptr)(uintptr_t)to, from, bytes, (CUstream)c->options.stream));
    return cuda_wait(b);
}

static int cuda_download(sbv_backend *b, void *to, const void *from, size_t bytes)
{
    sbv_cuda *c = (sbv_cuda *)b;
    if (c->status >= 0)
        SBV_CUDA_CHECK(c,
                       c->cu->cuMemcpyDtoHAsync(to, (CUdeviceptr)(uintptr_t)from, bytes, (CUstream)c->options.stream));
    return cuda_wait(b);
}

/* Pinned memory for a download. */
static int need_host_memory(sbv_cuda *c, size_t bytes)
{
    const unsigned flags = CU_EVENT_DISABLE_TIMING | CU_EVENT_BLOCKING_SYNC;
    if (!c->download.done && SBV_CUDA_CHECK(c, c->cu->cuEventCreate(&c->download.done, flags)))
        return c->status;
    if (bytes <= c->download.bytes)
        return SBV_OK;
    if (c->download.host)
        SBV_CUDA_CHECK(c, c->cu->cuMemFreeHost(c->download.host));
    c->download.host = NULL;
    c->download.bytes = 0;
    if (!SBV_CUDA_CHECK(c, c->cu->cuMemHostAlloc(&c->download.host, bytes, 0)))
        c->download.bytes = bytes;
    return c->status;
}

static int cuda_begin_download(sbv_backend *b, const void *from, size_t bytes)
{
    sbv_cuda *c = (sbv_cuda *)b;
    const CUstream stream = (CUstream)c->options.stream;
    if (c->status >= 0 && need_host_memory(c, bytes) >= 0 &&
        !SBV_CUDA_CHECK(c, c->cu->cuMemcpyDtoHAsync(c->download.host, (CUdeviceptr)(uintptr_t)from, bytes, stream)))
        SBV_CUDA_CHECK(c, c->cu->cuEventRecord(c->download.done, stream));
    return c->status;
}

static int cuda_end_download(sbv_backend *b, void *to, size_t bytes)
{
    sbv_cuda *c = (sbv_cuda *)b;
    if (c->status >= 0 && !SBV_CUDA_CHECK(c, c->cu->cuEventSynchronize(c->download.done)))
        memcpy(to, c->download.host, bytes);
    return c->status;
}

static void close_download(sbv_cuda *c)
{
    if (c->download.done)
        c->cu->cuEventDestroy(c->download.done);
    if (c->download.host)
        c->cu->cuMemFreeHost(c->download.host);
}

static size_t cuda_conv_bytes(const sbv_backend *b, int out, int in, int ksize)
{
    return sbv_cuda_conv_bytes(b->type, out, in, ksize);
}

static void cuda_pack_conv(const sbv_backend *b, const float *raw, int out, int in, int ksize, void *packed)
{
    sbv_cuda_pack_conv(b->type, raw, out, in, ksize, packed);
}

static int cuda_describe(sbv_backend *b, const sbv_stream *stream, int scale)
{
    sbv_cuda *c = (sbv_cuda *)b;
    sbv_cuda_forget(b);
    sbv_staging_close(c->staging);
    if (c->status >= 0 && stream->memory == SBV_MEMORY_HOST)
        return sbv_staging_open(c->staging, c, stream, scale);
    return c->status;
}

/* Frees all that was made in the context. After a device is lost every call fails, and that is no news. */
static void cuda_close(sbv_backend *b)
{
    sbv_cuda *c = (sbv_cuda *)b;
    if (c->context && sbv_cuda_push(c)) {
        sbv_cuda_forget(b);
        sbv_staging_close(c->staging);
        close_download(c);
        sbv_cuda_blas_close(c);
        sbv_cuda_close_device(c);
    }
    if (c->own_context)
        c->cu->cuDevicePrimaryCtxRelease(c->device);
    sbv_cuda_driver_close(&c->driver);
    free(c->staging);
    free(c);
}

static const sbv_backend cuda_backend = {
    .name = "cuda",
    .memory_align = MEMORY_ALIGN,
    .close = cuda_close,
    .enter = sbv_cuda_enter,
    .leave = sbv_cuda_leave,
    .allocate = cuda_allocate,
    .release = cuda_release,
    .upload = cuda_upload,
    .download = cuda_download,
    .begin_download = cuda_begin_download,
    .end_download = cuda_end_download,
    .fetch = sbv_fetch_cuda,
    .conv_bytes = cuda_conv_bytes,
    .pack_conv = cuda_pack_conv,
    .begin = sbv_cuda_begin,
    .end = sbv_cuda_end,
    .forget = sbv_cuda_forget,
    .describe = cuda_describe,
    .wait = cuda_wait,
    .status = cuda_status,
#define OP_ENTRY(op, args) .op = sbv_##op##_cuda,
    SBV_OPS(OP_ENTRY)
#undef OP_ENTRY
        .picture = sbv_picture_cuda,
};

int sbv_cuda_open(sbv_backend **backend, const sbv_cuda_options *options, char *message, size_t size)
{
    sbv_cuda *c = calloc(1, sizeof(*c));
    sbv_staging *staging = calloc(1, sizeof(*staging));
    int ret = SBV_ERROR_MEMORY;
    *backend = NULL;
    if (!c || !staging)
        snprintf(message, size, "out of memory");
    else
        ret = sbv_cuda_driver_open(&c->driver, message, size);
    if (ret < 0) {
        free(staging);
        free(c);
        return ret;
    }
    c->staging = staging;
    c->base = cuda_backend;
    c->base.type = options->type;
    c->base.channel_align = VECTOR_BYTES / (int)sbv_sample_size(options->type);
    c->cu = &c->driver;
    c->options = *options;
    c->stream = options->stream;
    c->recorded = -1;
    sbv_cuda_open_device(c);
    c->options.found = NULL; /* the caller's, of this call */
    if (c->status >= 0 && options->type == SBV_MAP_F16 && options->conv_path == SBV_CONV_AUTO &&
        !sbv_cuda_has(c, SBV_KERNEL_CONV_GATHER_32_ANY))
        sbv_cuda_need_blas(c);
    if (c->entered)
        sbv_cuda_leave(&c->base);
    if (c->status < 0) {
        ret = c->status;
        snprintf(message, size, "%s", c->message);
        cuda_close(&c->base);
        return ret;
    }
    *backend = &c->base;
    return SBV_OK;
}
