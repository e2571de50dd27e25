/*
 * The rate of a large fp16 matrix product by cuBLAS, with sums in floats: what the device can do at best, to which the
 * convolutions are compared. Prints one JSON object:
 *
 *     gemm_peak [SIZE [MILLISECONDS]]
 *
 * SIZE (8192): rows and columns of the matrices, random numbers. The product is computed again and again for at least
 * so many MILLISECONDS (1000) of the device's time, in batches; the rate is that of the median batch. One element is
 * compared with the product computed here. Exit status 77: there is no GPU, or no cuBLAS.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/cuda/cublas.h"
#include "kernels/cuda/device.h"

#define NO_DEVICE   77
#define WORKSPACE   ((size_t)32 << 20) /* bytes, what cuBLAS wants on Hopper */
#define BATCH       5                  /* products between two events */
#define MAX_BATCHES 1000
#define LIMIT       5e-3 /* relative: the result is rounded to a half, the sum is in another order */

/* A library without the CUDA backend has no cuBLAS. */
int sbv_cublas_open(sbv_cublas *blas, char *message, size_t size) __attribute__((weak));
void sbv_cublas_close(sbv_cublas *blas) __attribute__((weak));

struct bench {
    sbv_backend *backend; /* for its driver and context */
    sbv_cuda_driver cu;
    CUstream stream;
    sbv_cublas blas;
    cublasHandle_t handle;
    CUdeviceptr a, b, c, workspace;
    int size;
};

static void stop(int status, const char *what)
{
    fprintf(stderr, "gemm_peak: %s\n", what);
    exit(status);
}

static void check(int result, const char *what)
{
    if (result) {
        fprintf(stderr, "gemm_peak: %s: error %d\n", what, result);
        exit(1);
    }
}

static void open_device(struct bench *g)
{
    const sbv_cuda_options options = {.type = SBV_MAP_F16};
    char message[512] = "";
    if (sbv_cuda_open(&g->backend, &options, message, sizeof(message)) < 0)
        stop(NO_DEVICE, message);
    if (sbv_cublas_open(&g->blas, message, sizeof(message)) < 0)
        stop(NO_DEVICE, message);
    g->cu = *((sbv_cuda *)g->backend)->cu;
    check(g->backend->enter(g->backend), "the device's context");
    check(g->cu.cuStreamCreate(&g->stream, CU_STREAM_NON_BLOCKING), "cuStreamCreate");
    check(g->blas.cublasCreate(&g->handle), "cublasCreate");
    check(g->blas.cublasSetStream(g->handle, g->stream), "cublasSetStream");
    check(g->cu.cuMemAlloc(&g->workspace, WORKSPACE), "cuMemAlloc");
    check(g->blas.cublasSetWorkspace(g->handle, (void *)(uintptr_t)g->workspace, WORKSPACE), "cublasSetWorkspace");
}

static void close_device(struct bench *g)
{
    const CUdeviceptr memory[] = {g->a, g->b, g->c, g->workspace};
    g->blas.cublasDestroy(g->handle);
    for (int i = 0; i < 4; i++)
        g->cu.cuMemFree(memory[i]);
    g->cu.cuStreamDestroy(g->stream);
    sbv_cublas_close(&g->blas);
    g->backend->leave(g->backend);
    g->backend->close(g->backend);
}

/* Halfs of random sign, mantissa and one of four exponents: 0.125 to 2. Zeros would be faster than real data. */
static uint16_t *make_matrix(const struct bench *g, CUdeviceptr *memory, uint32_t seed)
{
    const size_t count = (size_t)g->size * (size_t)g->size;
    uint16_t *values = malloc(count * 2);
    if (!values)
        stop(1, "out of memory");
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = (uint16_t)((seed >> 16 & 0x83ff) | (12 + (seed >> 14 & 3)) << 10);
    }
    check(g->cu.cuMemAlloc(memory, count * 2), "cuMemAlloc");
    check(g->cu.cuMemcpyHtoD(*memory, values, count * 2), "cuMemcpyHtoD");
    return values;
}

static double from_half(uint16_t half)
{
    const int exponent = half >> 10 & 31, mantissa = half & 1023;
    const double value =
        exponent ? ldexp(mantissa + 1024, exponent - 25) : ldexp(mantissa, -24); /* neither infinite nor NaN */
    return half & 0x8000 ? -value : value;
}

static void multiply(struct bench *g)
{
    const float one = 1, zero = 0;
    check(g->blas.cublasGemmEx(g->handle, CUBLAS_OP_T, CUBLAS_OP_N, g->size, g->size, g->size, &one,
                               (void *)(uintptr_t)g->a, CUDA_R_16F, g->size, (void *)(uintptr_t)g->b, CUDA_R_16F,
                               g->size, &zero, (void *)(uintptr_t)g->c, CUDA_R_16F, g->size, CUBLAS_COMPUTE_32F,
                               CUBLAS_GEMM_DEFAULT),
          "cublasGemmEx");
}

/* Compares the last element of the product, that of the last column of a and of b. */
static void check_product(const struct bench *g, const uint16_t *a, const uint16_t *b)
{
    const size_t n = (size_t)g->size, last = n * n - n;
    double sum = 0, magnitude = 0;
    uint16_t found = 0;
    for (size_t i = 0; i < n; i++) {
        const double product = from_half(a[last + i]) * from_half(b[last + i]);
        sum += product;
        magnitude += product * product;
    }
    check(g->cu.cuStreamSynchronize(g->stream), "cuStreamSynchronize");
    check(g->cu.cuMemcpyDtoH(&found, g->c + 2 * (n * n - 1), 2), "cuMemcpyDtoH");
    if (!(fabs(from_half(found) - sum) <= LIMIT * (fabs(sum) + sqrt(magnitude))))
        stop(1, "the product is wrong");
}

static int ascending(const void *one, const void *other)
{
    const float a = *(const float *)one, b = *(const float *)other;
    return (a > b) - (a < b);
}

/* Milliseconds of the median batch. */
static float time_batches(struct bench *g, float least)
{
    static float took[MAX_BATCHES];
    int batches = 0;
    float sum = 0;
    CUevent begin, end;
    check(g->cu.cuEventCreate(&begin, CU_EVENT_DEFAULT), "cuEventCreate");
    check(g->cu.cuEventCreate(&end, CU_EVENT_DEFAULT), "cuEventCreate");
    do {
        check(g->cu.cuEventRecord(begin, g->stream), "cuEventRecord");
        for (int i = 0; i < BATCH; i++)
            multiply(g);
        check(g->cu.cuEventRecord(end, g->stream), "cuEventRecord");
        check(g->cu.cuEventSynchronize(end), "cuEventSynchronize");
        check(g->cu.cuEventElapsedTime(&took[batches], begin, end), "cuEventElapsedTime");
        sum += took[batches];
    } while (++batches < MAX_BATCHES && sum < least);
    check(g->cu.cuEventDestroy(begin), "cuEventDestroy");
    check(g->cu.cuEventDestroy(end), "cuEventDestroy");
    qsort(took, (size_t)batches, sizeof(took[0]), ascending);
    return took[batches / 2];
}

int main(int argc, char **argv)
{
    static struct bench g;
    const size_t bytes = 2;
    g.size = argc > 1 ? atoi(argv[1]) : 8192;
    const float least = argc > 2 ? (float)atoi(argv[2]) : 1000;
    if (argc > 3 || g.size < 8 || g.size > 32768 || g.size % 8 || least < 1) {
        fprintf(stderr, "usage: gemm_peak [SIZE [MILLISECONDS]], SIZE a multiple of 8 up to 32768\n");
        return 2;
    }
    open_device(&g);
    uint16_t *a = make_matrix(&g, &g.a, 1), *b = make_matrix(&g, &g.b, 2);
    check(g.cu.cuMemAlloc(&g.c, (size_t)g.size * (size_t)g.size * bytes), "cuMemAlloc");
    multiply(&g);
    check_product(&g, a, b);
    const double milliseconds = (double)time_batches(&g, least) / BATCH;
    printf("{\"size\": %d, \"ms\": %.5f, \"TFLOP/s\": %.3f}\n", g.size, milliseconds,
           2.0 * g.size * g.size * g.size / milliseconds / 1e9);
    free(a);
    free(b);
    close_device(&g);
    return 0;
}
