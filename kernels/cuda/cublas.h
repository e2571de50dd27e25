/*
 * cuBLAS, loaded at run time. It is used where it is faster than the library's own kernels and is never needed. The
 * declarations are those of cublas_v2.h (CUDA 11 to 13) as far as they are used, under their own names; matrices are
 * stored column after column.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_CUBLAS_H
#define SBV_KERNELS_CUDA_CUBLAS_H

#include <stddef.h>

#include "kernels/cuda/driver.h"

typedef int cublasStatus_t;
enum {
    CUBLAS_STATUS_SUCCESS = 0,
    CUBLAS_STATUS_NOT_INITIALIZED = 1,
    CUBLAS_STATUS_ALLOC_FAILED = 3,
    CUBLAS_STATUS_INVALID_VALUE = 7,
    CUBLAS_STATUS_ARCH_MISMATCH = 8,
    CUBLAS_STATUS_MAPPING_ERROR = 11,
    CUBLAS_STATUS_EXECUTION_FAILED = 13,
    CUBLAS_STATUS_INTERNAL_ERROR = 14,
    CUBLAS_STATUS_NOT_SUPPORTED = 15
};

typedef struct cublasContext *cublasHandle_t;

typedef enum cublasOperation_t { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 } cublasOperation_t;
typedef enum cudaDataType { CUDA_R_32F = 0, CUDA_R_16F = 2 } cudaDataType;
typedef enum cublasComputeType_t { CUBLAS_COMPUTE_32F = 68, CUBLAS_COMPUTE_32F_PEDANTIC = 69 } cublasComputeType_t;
typedef enum cublasGemmAlgo_t { CUBLAS_GEMM_DEFAULT = -1 } cublasGemmAlgo_t;

/* Flags of cublasSetMathMode. */
typedef enum cublasMath_t {
    CUBLAS_DEFAULT_MATH = 0,
    CUBLAS_PEDANTIC_MATH = 2,
    CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION = 16
} cublasMath_t;

/* Calls F(name, symbol, parameters). C = alpha op(A) op(B) + beta C; alpha and beta point at floats of the host. */
#define SBV_CUBLAS_FUNCTIONS(F)                                                                                        \
    F(cublasCreate, "cublasCreate_v2", (cublasHandle_t * handle))                                                      \
    F(cublasDestroy, "cublasDestroy_v2", (cublasHandle_t handle))                                                      \
    F(cublasSetStream, "cublasSetStream_v2", (cublasHandle_t handle, CUstream stream))                                 \
    F(cublasSetWorkspace, "cublasSetWorkspace_v2", (cublasHandle_t handle, void *workspace, size_t bytes))             \
    F(cublasSetMathMode, "cublasSetMathMode", (cublasHandle_t handle, cublasMath_t mode))                              \
    F(cublasGemmEx, "cublasGemmEx",                                                                                    \
      (cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k, const void *alpha,  \
       const void *a, cudaDataType a_type, int lda, const void *b, cudaDataType b_type, int ldb, const void *beta,     \
       void *c, cudaDataType c_type, int ldc, cublasComputeType_t compute, cublasGemmAlgo_t algorithm))                \
    F(cublasGemmStridedBatchedEx, "cublasGemmStridedBatchedEx",                                                        \
      (cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k, const void *alpha,  \
       const void *a, cudaDataType a_type, int lda, long long stride_a, const void *b, cudaDataType b_type, int ldb,   \
       long long stride_b, const void *beta, void *c, cudaDataType c_type, int ldc, long long stride_c, int count,     \
       cublasComputeType_t compute, cublasGemmAlgo_t algorithm))

#define SBV_CUBLAS_MEMBER(name, symbol, parameters) cublasStatus_t(*name) parameters;
typedef struct sbv_cublas {
    void *library;
    SBV_CUBLAS_FUNCTIONS(SBV_CUBLAS_MEMBER)
} sbv_cublas;
#undef SBV_CUBLAS_MEMBER

/* Loads the newest of libcublas.so.13, .12 and .11 that there is. Errors: DEVICE, with one line in message (size
 * bytes); there is nothing to close then. */
int sbv_cublas_open(sbv_cublas *blas, char *message, size_t size);

/* The same from number *next on, 0 at first; *next is the one after it then. For a caller that finds the newest of no
 * use: one that is newer than the driver is loaded, but works on no device. */
int sbv_cublas_open_next(sbv_cublas *blas, int *next, char *message, size_t size);

/* A library that is all zeros, or closed, may be closed again. */
void sbv_cublas_close(sbv_cublas *blas);

#endif /* SBV_KERNELS_CUDA_CUBLAS_H */
