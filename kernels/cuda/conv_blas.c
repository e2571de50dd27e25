/*
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/conv_blas.h"

#include <stdlib.h>

#include "kernels/cuda/conv_params.h"
#include "kernels/cuda/conv_weights.h"
#include "kernels/cuda/cublas.h"
#include "kernels/numbers.h"

/* What cuBLAS may use for itself. */
#define WORKSPACE_BYTES ((size_t)16 << 20)
#define ALIGNMENT       256

struct sbv_cuda_blas {
    sbv_cublas library;
    cublasHandle_t handle;
    CUdeviceptr memory; /* 0: cuBLAS cannot be loaded */
    char message[256];  /* why it cannot */
};

/* A tile of the output and the sizes that follow from its own. */
typedef struct tile {
    int w, h;
    int span;                      /* pixels that the taps of one output pixel span */
    int padded_w, padded_h;        /* of the zero-padded input */
    int pitch;                     /* pixels between rows of the sums */
    int in_channels, out_channels; /* rounded up to 8 */
} tile;

static tile make_tile(const sbv_conv_args *a, int w, int h)
{
    tile t = {.w = w, .h = h, .span = (a->ksize - 1) * a->dilation + 1};
    t.padded_w = (w - 1) * a->stride + t.span;
    t.padded_h = (h - 1) * a->stride + t.span;
    t.pitch = a->stride == 1 ? t.padded_w : w;
    t.in_channels = sbv_round_up(a->in.c, 8);
    t.out_channels = sbv_round_up(a->out.c, 8);
    return t;
}

static size_t padded_bytes(const tile *t)
{
    return sbv_align((size_t)t->padded_w * (size_t)t->padded_h * (size_t)t->in_channels * 2, ALIGNMENT);
}

static size_t sums_bytes(const tile *t)
{
    return (size_t)t->pitch * (size_t)t->h * (size_t)t->out_channels * sizeof(float);
}

static int fits(const tile *t, size_t bytes)
{
    return padded_bytes(t) + sums_bytes(t) <= bytes;
}

/* The largest tile that fits: all columns, and as many rows as there is memory for, or fewer columns where that leaves
 * so few rows that most of the input would be read for the taps above and below. */
static tile choose_tile(const sbv_conv_args *a, int rows, size_t bytes)
{
    for (int w = a->x1 - a->x0;; w = (w + 1) / 2) {
        tile t = make_tile(a, w, rows);
        while (t.h > 1 && !fits(&t, bytes))
            t = make_tile(a, w, (t.h + 1) / 2);
        if (w == 1 || (fits(&t, bytes) && (t.h == rows || t.h >= t.span)))
            return t;
    }
}

/* The newest cuBLAS that works on the device: one of a later CUDA than the driver does not. Returns 0 if there is none.
 */
static int find_blas(sbv_cuda *c, struct sbv_cuda_blas *blas)
{
    int next = 0;
    while (!sbv_cublas_open_next(&blas->library, &next, blas->message, sizeof(blas->message))) {
        cublasStatus_t status = blas->library.cublasCreate(&blas->handle);
        if (!status)
            return 1;
        blas->handle = NULL;
        sbv_cublas_close(&blas->library);
        if (status == CUBLAS_STATUS_ALLOC_FAILED) {
            sbv_cuda_fail(c, SBV_ERROR_MEMORY, "cublasCreate: out of memory");
            return 0;
        }
    }
    return 0;
}

/* Loads cuBLAS on the first call. Returns 0 where it cannot be used. */
static int open_blas(sbv_cuda *c)
{
    struct sbv_cuda_blas *blas = c->blas;
    if (blas)
        return blas->memory != 0;
    blas = c->blas = calloc(1, sizeof(*blas));
    if (!blas) {
        sbv_cuda_fail(c, SBV_ERROR_MEMORY, "%zu bytes for cuBLAS cannot be allocated", sizeof(*blas));
        return 0;
    }
    if (!find_blas(c, blas))
        return 0;
    if (SBV_CUDA_CHECK(c, c->cu->cuMemAlloc(&blas->memory, SBV_CONV_BLAS_BYTES + WORKSPACE_BYTES)))
        return 0;
    /* Not needed for the results to be right. */
    blas->library.cublasSetMathMode(blas->handle, CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION);
    return 1;
}

void sbv_cuda_need_blas(sbv_cuda *c)
{
    if (!open_blas(c))
        sbv_cuda_fail(
            c, SBV_ERROR_ARGUMENT,
            "%s (compute capability %d.%d): convolutions in fp16 need cuBLAS there, and no version of it works: "
            "%s",
            c->device_name, c->sm / 10, c->sm % 10, c->blas ? c->blas->message : "out of memory");
}

void sbv_cuda_blas_close(sbv_cuda *c)
{
    struct sbv_cuda_blas *blas = c->blas;
    if (!blas)
        return;
    if (blas->handle)
        blas->library.cublasDestroy(blas->handle);
    if (blas->memory)
        c->cu->cuMemFree(blas->memory);
    sbv_cublas_close(&blas->library);
    free(blas);
    c->blas = NULL;
}

/* Whether the pixels of an fp16 map begin at multiples of 16 bytes. */
static int is_wide(const sbv_map *map)
{
    return map->type == SBV_MAP_F16 && (uintptr_t)map->data % 16 == 0 && map->pixel % 8 == 0 && map->row % 8 == 0;
}

static unsigned blocks(int pixels, int channels)
{
    return ((unsigned)pixels * (unsigned)channels / 8 + SBV_CONV_BLAS_THREADS - 1) / SBV_CONV_BLAS_THREADS;
}

/* The products of all taps, added up in `sums`. The first column of a product is the tile's first pixel. With stride 1
 * rows follow each other at the pitch of the padded input, so that one product covers the tile; what it computes
 * between the end of a row and the next one is not looked at. Otherwise there is one product for each row. */
static cublasStatus_t multiply(sbv_cuda *c, const sbv_conv_args *a, const tile *t, const uint16_t *padded, float *sums)
{
    const sbv_cublas *library = &c->blas->library;
    const int in_packed = sbv_cuda_packed_inputs(a->in.c), out_packed = sbv_cuda_packed_outputs(a->out.c);
    const int columns = a->stride == 1 ? (t->h - 1) * t->pitch + t->w : t->w;
    const int products = a->stride == 1 ? 1 : t->h;
    const long long padded_row = (long long)t->padded_w * t->in_channels;
    const float one = 1, zero = 0;
    for (int ky = 0; ky < a->ksize; ky++)
        for (int kx = 0; kx < a->ksize; kx++) {
            const int tap = ky * a->ksize + kx;
            const uint16_t *weights = (const uint16_t *)a->weights + (ptrdiff_t)tap * out_packed * in_packed;
            const uint16_t *shifted = padded + ky * a->dilation * padded_row + kx * a->dilation * t->in_channels;
            cublasStatus_t status = library->cublasGemmStridedBatchedEx(
                c->blas->handle, CUBLAS_OP_T, CUBLAS_OP_N, t->out_channels, columns, t->in_channels, &one, weights,
                CUDA_R_16F, in_packed, 0, shifted, CUDA_R_16F, a->stride * t->in_channels, a->stride * padded_row,
                tap ? &one : &zero, sums, CUDA_R_32F, t->out_channels, (long long)t->pitch * t->out_channels, products,
                CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
            if (status)
                return status;
        }
    return CUBLAS_STATUS_SUCCESS;
}

/* The tile whose first output pixel is (x, y). */
static void convolve_tile(sbv_cuda *c, const sbv_conv_args *a, const tile *t, int x, int y)
{
    uint16_t *padded = (uint16_t *)(uintptr_t)c->blas->memory;
    float *sums = (float *)(uintptr_t)(c->blas->memory + padded_bytes(t));
    sbv_conv_pad_args pad = {.in = a->in,
                             .padded = padded,
                             .x0 = x * a->stride - a->padding,
                             .y0 = y * a->stride - a->padding,
                             .w = t->padded_w,
                             .h = t->padded_h,
                             .channels = t->in_channels,
                             .wide = is_wide(&a->in)};
    sbv_conv_finish_args finish = {.out = a->out,
                                   .residual = a->residual,
                                   .sums = sums,
                                   .bias = a->bias,
                                   .slope = a->slope,
                                   .x0 = x,
                                   .y0 = y,
                                   .w = t->w,
                                   .h = t->h,
                                   .pitch = t->pitch,
                                   .channels = t->out_channels,
                                   .wide = is_wide(&a->out) && (!a->residual.data || is_wide(&a->residual))};
    sbv_cuda_launch(c, SBV_KERNEL_CONV_PAD, blocks(pad.w * pad.h, pad.channels), 1, 1, SBV_CONV_BLAS_THREADS, 0,
                    (void *[]){&pad});
    cublasStatus_t status = c->status ? CUBLAS_STATUS_SUCCESS : multiply(c, a, t, padded, sums);
    if (status)
        sbv_cuda_fail(c, SBV_ERROR_DEVICE, "cublasGemmStridedBatchedEx: status %d", status);
    sbv_cuda_launch(c, SBV_KERNEL_CONV_FINISH, blocks(t->w * t->h, t->out_channels), 1, 1, SBV_CONV_BLAS_THREADS, 0,
                    (void *[]){&finish});
}

/* The stream that work is queued in. Setting it takes the workspace away, without which cuBLAS allocates one: that
 * cannot be recorded. */
static int use_stream(sbv_cuda *c)
{
    struct sbv_cuda_blas *blas = c->blas;
    cublasStatus_t status = blas->library.cublasSetStream(blas->handle, c->stream);
    if (!status)
        status = blas->library.cublasSetWorkspace(blas->handle, (void *)(uintptr_t)(blas->memory + SBV_CONV_BLAS_BYTES),
                                                  WORKSPACE_BYTES);
    if (status)
        sbv_cuda_fail(c, SBV_ERROR_DEVICE, "cuBLAS: stream or workspace refused, status %d", status);
    return !status;
}

int sbv_cuda_conv_blas_within(sbv_cuda *c, const sbv_conv_args *a, int rows, size_t bytes)
{
    if (c->base.type != SBV_MAP_F16 || !sbv_cuda_has(c, SBV_KERNEL_CONV_PAD) ||
        !sbv_cuda_has(c, SBV_KERNEL_CONV_FINISH) || !open_blas(c))
        return 0;
    if (rows <= 0 || a->x1 <= a->x0)
        return 1;
    if (!use_stream(c))
        return 1;
    const tile largest = choose_tile(a, rows, bytes);
    for (int y = 0; y < rows; y += largest.h)
        for (int x = a->x0; x < a->x1; x += largest.w) {
            const int w = a->x1 - x < largest.w ? a->x1 - x : largest.w;
            const tile t = make_tile(a, w, rows - y < largest.h ? rows - y : largest.h);
            convolve_tile(c, a, &t, x, a->y0 + y);
        }
    return 1;
}

int sbv_cuda_conv_blas(sbv_cuda *c, const sbv_conv_args *a, int rows)
{
    return sbv_cuda_conv_blas_within(c, a, rows, SBV_CONV_BLAS_BYTES);
}
