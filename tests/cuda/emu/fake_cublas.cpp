/*
 * A libcublas.so.13 on the fake driver: matrix products as work in its streams, with checked arguments and ranges.
 * Products are made in floats whatever the matrices are stored as.
 *
 * FAKE_CUDA_FAIL and FAKE_CUDA_REPORT count its calls too; an injected error number up to 16 is a cuBLAS status.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/cublas.h"

#include "tests/cuda/emu/fake_cuda.h"
#include "tests/cuda/emu/half.h"

struct cublasContext {
    CUstream stream = nullptr;
    bool workspace = false; /* of the user; without one a product allocates */
};

namespace
{

const CUresult LAST_STATUS = 16;

/* A column-major matrix in memory of the device, `count` of them in a row. `rows` and `columns` are as stored. */
struct Matrix {
    char *data;
    cudaDataType type;
    int rows, columns, leading;
    long long stride;

    size_t element() const
    {
        return type == CUDA_R_16F ? 2 : 4;
    }
    size_t bytes() const
    {
        return ((size_t)(columns - 1) * (size_t)leading + (size_t)rows) * element();
    }
    Matrix number(int i) const
    {
        Matrix m = *this;
        m.data += i * stride * (long long)element();
        return m;
    }
    float get(int row, int column) const
    {
        size_t at = (size_t)column * (size_t)leading + (size_t)row;
        return type == CUDA_R_16F ? __half2float(((const __half *)data)[at]) : ((const float *)data)[at];
    }
    void set(int row, int column, float value) const
    {
        size_t at = (size_t)column * (size_t)leading + (size_t)row;
        if (type == CUDA_R_16F)
            ((__half *)data)[at] = __float2half(value);
        else
            ((float *)data)[at] = value;
    }
};

/* c = alpha op(a) op(b) + beta c */
struct Product {
    Matrix a, b, c;
    bool a_transposed, b_transposed;
    int m, n, k, count;
    float alpha, beta;
};

/* a is m x k as the sum needs it, column after column. */
std::vector<float> columns_of(const Product &p, const Matrix &a)
{
    std::vector<float> values((size_t)p.m * (size_t)p.k);
    for (int l = 0; l < p.k; l++)
        for (int i = 0; i < p.m; i++)
            values[(size_t)l * (size_t)p.m + (size_t)i] = p.a_transposed ? a.get(l, i) : a.get(i, l);
    return values;
}

/* c is not read where beta is zero. */
void multiply(const Product &p, const Matrix &a, const Matrix &b, const Matrix &c)
{
    const std::vector<float> columns = columns_of(p, a);
    std::vector<float> sums((size_t)p.m);
    for (int j = 0; j < p.n; j++) {
        std::fill(sums.begin(), sums.end(), 0.0f);
        for (int l = 0; l < p.k; l++) {
            const float *column = &columns[(size_t)l * (size_t)p.m];
            const float factor = p.b_transposed ? b.get(j, l) : b.get(l, j);
            for (int i = 0; i < p.m; i++)
                sums[(size_t)i] += column[i] * factor;
        }
        for (int i = 0; i < p.m; i++)
            c.set(i, j, p.alpha * sums[(size_t)i] + (p.beta != 0 ? p.beta * c.get(i, j) : 0));
    }
}

bool is_there(const Matrix &m, int count, const char *what)
{
    for (int i = 0; i < count; i++)
        if (m.rows && m.columns && !fake_cuda_check(m.number(i).data, m.bytes(), what))
            return false;
    return true;
}

bool are_there(const Product &p)
{
    return (!p.k || (is_there(p.a, p.count, "matrix A") && is_there(p.b, p.count, "matrix B"))) &&
           is_there(p.c, p.count, "matrix C");
}

CUresult run(const Product &p)
{
    if (!are_there(p))
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    for (int i = 0; i < p.count; i++)
        multiply(p, p.a.number(i), p.b.number(i), p.c.number(i));
    return CUDA_SUCCESS;
}

bool is_type(cudaDataType type)
{
    return type == CUDA_R_16F || type == CUDA_R_32F;
}

cublasStatus_t check(const Product &p, cublasComputeType_t compute)
{
    bool is_compute = compute == CUBLAS_COMPUTE_32F || compute == CUBLAS_COMPUTE_32F_PEDANTIC;
    if (!is_compute || !is_type(p.a.type) || p.b.type != p.a.type || !is_type(p.c.type) ||
        (p.a.type == CUDA_R_32F && p.c.type != CUDA_R_32F))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    for (const Matrix *m : {&p.a, &p.b, &p.c})
        if (m->rows < 0 || m->columns < 0 || m->leading < (m->rows > 1 ? m->rows : 1))
            return CUBLAS_STATUS_INVALID_VALUE;
    return p.count < 0 ? CUBLAS_STATUS_INVALID_VALUE : CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t queue(cublasHandle_t handle, const Product &p, cublasComputeType_t compute)
{
    cublasStatus_t status = handle ? check(p, compute) : CUBLAS_STATUS_NOT_INITIALIZED;
    if (status != CUBLAS_STATUS_SUCCESS || !p.m || !p.n || !p.count)
        return status;
    if (!are_there(p))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (!handle->workspace && fake_cuda_allocation())
        return CUBLAS_STATUS_ALLOC_FAILED;
    return fake_cuda_queue(handle->stream, [p] { return run(p); }) ? CUBLAS_STATUS_EXECUTION_FAILED
                                                                   : CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t enter(const char *function)
{
    CUresult error = fake_cuda_enter(function);
    return error > LAST_STATUS ? CUBLAS_STATUS_EXECUTION_FAILED : error;
}

} // namespace

#define ENTER()                                                                                                        \
    if (cublasStatus_t status = enter(__func__))                                                                       \
    return status

FAKE_EXPORT cublasStatus_t cublasCreate_v2(cublasHandle_t *handle)
{
    ENTER();
    *handle = new cublasContext();
    fake_cuda_count_handle(1);
    return CUBLAS_STATUS_SUCCESS;
}

/* The handle is gone even where the call fails. */
FAKE_EXPORT cublasStatus_t cublasDestroy_v2(cublasHandle_t handle)
{
    if (handle)
        fake_cuda_count_handle(-1);
    delete handle;
    ENTER();
    return CUBLAS_STATUS_SUCCESS;
}

FAKE_EXPORT cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, CUstream stream)
{
    ENTER();
    handle->stream = stream;
    handle->workspace = false; /* as the real one: whatever stream it was before */
    return CUBLAS_STATUS_SUCCESS;
}

FAKE_EXPORT cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace, size_t bytes)
{
    ENTER();
    handle->workspace = bytes > 0;
    return !bytes || fake_cuda_check(workspace, bytes, "workspace") ? CUBLAS_STATUS_SUCCESS
                                                                    : CUBLAS_STATUS_INVALID_VALUE;
}

FAKE_EXPORT cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t)
{
    ENTER();
    return CUBLAS_STATUS_SUCCESS;
}

static Product product_of(cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k, const void *alpha,
                          const void *beta, int count)
{
    Product p = {};
    p.a_transposed = op_a == CUBLAS_OP_T;
    p.b_transposed = op_b == CUBLAS_OP_T;
    p.m = m;
    p.n = n;
    p.k = k;
    p.count = count;
    p.alpha = *(const float *)alpha;
    p.beta = *(const float *)beta;
    return p;
}

FAKE_EXPORT cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t op_a,
                                                      cublasOperation_t op_b, int m, int n, int k, const void *alpha,
                                                      const void *a, cudaDataType a_type, int lda, long long stride_a,
                                                      const void *b, cudaDataType b_type, int ldb, long long stride_b,
                                                      const void *beta, void *c, cudaDataType c_type, int ldc,
                                                      long long stride_c, int count, cublasComputeType_t compute,
                                                      cublasGemmAlgo_t)
{
    ENTER();
    Product p = product_of(op_a, op_b, m, n, k, alpha, beta, count);
    p.a = {(char *)a, a_type, p.a_transposed ? k : m, p.a_transposed ? m : k, lda, stride_a};
    p.b = {(char *)b, b_type, p.b_transposed ? n : k, p.b_transposed ? k : n, ldb, stride_b};
    p.c = {(char *)c, c_type, m, n, ldc, stride_c};
    return queue(handle, p, compute);
}

FAKE_EXPORT cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m,
                                        int n, int k, const void *alpha, const void *a, cudaDataType a_type, int lda,
                                        const void *b, cudaDataType b_type, int ldb, const void *beta, void *c,
                                        cudaDataType c_type, int ldc, cublasComputeType_t compute, cublasGemmAlgo_t)
{
    ENTER();
    Product p = product_of(op_a, op_b, m, n, k, alpha, beta, 1);
    p.a = {(char *)a, a_type, p.a_transposed ? k : m, p.a_transposed ? m : k, lda, 0};
    p.b = {(char *)b, b_type, p.b_transposed ? n : k, p.b_transposed ? k : n, ldb, 0};
    p.c = {(char *)c, c_type, m, n, ldc, 0};
    return queue(handle, p, compute);
}
