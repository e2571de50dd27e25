/*
 * Tests of the fake driver: modules, launches, tensor maps, cuBLAS.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "tests/cuda/emu/fake_test.h"

#include <math.h>

#include "kernels/cuda/cublas.h"

static CUmodule load(const sbv_cuda_driver *cu)
{
    CUmodule module;
    fake_begin(cu);
    CHECK_OK(cu->cuModuleLoadData(&module, fake_image));
    return module;
}

static void unload(const sbv_cuda_driver *cu, CUmodule module)
{
    CHECK_OK(cu->cuModuleUnload(module));
    fake_end(cu);
}

/* Parameters are those at the time of the launch. */
static void launches(const sbv_cuda_driver *cu)
{
    CUmodule module = load(cu);
    CUfunction add = fake_function(cu, module, "fake_add");
    CUdeviceptr ints = fake_ints(cu, 100, 1);
    fake_kernel_args args = {(int *)(uintptr_t)ints, 100, 5};
    void *params[] = {&args};
    CHECK_OK(cu->cuLaunchKernel(add, 4, 1, 1, 32, 1, 1, 0, NULL, params, NULL));
    args.value = 1000;
    CHECK(fake_int_at(cu, ints, 0) == 6 && fake_int_at(cu, ints, 99) == 6);
    CHECK_OK(cu->cuMemFree(ints));
    unload(cu, module);
}

static void launch_limits(const sbv_cuda_driver *cu)
{
    const unsigned limits[][6] = {{1, 65536, 1, 32, 1, 1}, {1, 1, 65536, 32, 1, 1}, {0, 1, 1, 32, 1, 1},
                                  {1, 1, 1, 1025, 1, 1},   {1, 1, 1, 64, 32, 1},    {1, 1, 1, 8, 1, 65}};
    CUmodule module = load(cu);
    CUfunction add = fake_function(cu, module, "fake_add");
    fake_kernel_args args = {0};
    void *params[] = {&args};
    for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
        const unsigned *l = limits[i];
        CHECK_CODE(cu->cuLaunchKernel(add, l[0], l[1], l[2], l[3], l[4], l[5], 0, NULL, params, NULL),
                   CUDA_ERROR_INVALID_VALUE);
    }
    CHECK_OK(cu->cuLaunchKernel(add, 1, 65535, 1, 1, 1, 1, 0, NULL, params, NULL));
    CHECK_OK(cu->cuLaunchKernel(add, 1, 1, 1, 1024, 1, 1, 0, NULL, params, NULL));
    unload(cu, module);
}

/* More than 48 KiB of dynamic shared memory must be asked for, and there is only so much. */
static void dynamic_shared_memory(const sbv_cuda_driver *cu)
{
    const CUfunction_attribute dynamic = CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    int most, now;
    CUmodule module = load(cu);
    CUfunction shared = fake_function(cu, module, "fake_shared");
    CUdeviceptr ints = fake_ints(cu, 32, 1);
    fake_kernel_args args = {(int *)(uintptr_t)ints, 32, 9};
    void *params[] = {&args};
    CHECK_CODE(cu->cuLaunchKernel(shared, 1, 1, 1, 32, 1, 1, 65536, NULL, params, NULL), CUDA_ERROR_INVALID_VALUE);
    CHECK_OK(cu->cuFuncSetAttribute(shared, dynamic, 65536));
    CHECK_OK(cu->cuLaunchKernel(shared, 1, 1, 1, 32, 1, 1, 65536, NULL, params, NULL));
    CHECK(fake_int_at(cu, ints, 31) == 9);
    CHECK_OK(cu->cuDeviceGetAttribute(&most, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 0));
    CHECK(most == 163 * 1024);
    CHECK_CODE(cu->cuFuncSetAttribute(shared, dynamic, most + 1), CUDA_ERROR_INVALID_VALUE);
    CHECK_OK(cu->cuFuncGetAttribute(&now, dynamic, shared));
    CHECK(now == 65536);
    CHECK_OK(cu->cuMemFree(ints));
    unload(cu, module);
}

static void kernel_leaves_its_memory(const sbv_cuda_driver *cu)
{
    CUmodule module = load(cu);
    CUdeviceptr ints = fake_ints(cu, 128, 1);
    CHECK_OK(fake_launch(cu, fake_function(cu, module, "fake_add"), NULL, ints, 4096, 1));
    cu->cuCtxSynchronize();
}

/* Where no guard page is reached, it is noticed when the memory is freed. */
static void kernel_leaves_its_memory_by_little(const sbv_cuda_driver *cu)
{
    CUmodule module = load(cu);
    CUdeviceptr ints = fake_ints(cu, 100, 1);
    CHECK_OK(fake_launch(cu, fake_function(cu, module, "fake_add"), NULL, ints, 101, 1));
    CHECK_OK(cu->cuMemFree(ints));
    unload(cu, module);
}

static void host_address_for_a_kernel(const sbv_cuda_driver *cu)
{
    int host[4] = {0};
    CUmodule module = load(cu);
    fake_kernel_args args = {host, 0, 1};
    void *params[] = {&args};
    CHECK_OK(cu->cuLaunchKernel(fake_function(cu, module, "fake_add"), 1, 1, 1, 32, 1, 1, 0, NULL, params, NULL));
    unload(cu, module);
}

static void unloaded_module(const sbv_cuda_driver *cu)
{
    CUmodule module = load(cu);
    CUfunction add = fake_function(cu, module, "fake_add");
    CHECK_OK(cu->cuModuleUnload(module));
    CHECK_CODE(fake_launch(cu, add, NULL, 0, 0, 0), CUDA_ERROR_INVALID_HANDLE);
    fake_end(cu);
}

/* ---- Tensor maps ---- */

typedef struct tensor {
    CUdeviceptr address;
    uint64_t sizes[3], strides[2];
    uint32_t box[3];
} tensor;

static CUresult encode(const sbv_cuda_driver *cu, CUtensorMap *map, tensor t)
{
    const uint32_t element_strides[3] = {1, 1, 1};
    return cu->cuTensorMapEncodeTiled(map, CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 3, (void *)(uintptr_t)t.address, t.sizes,
                                      t.strides, t.box, element_strides, CU_TENSOR_MAP_INTERLEAVE_NONE,
                                      CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                                      CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
}

static void tensor_maps(const sbv_cuda_driver *cu)
{
    CUtensorMap maps[2];
    fake_begin(cu);
    CUdeviceptr a = fake_ints(cu, 64 * 10 * 20 / 2, 0);
    const tensor good = {a, {64, 10, 20}, {128, 1280}, {64, 8, 4}};
    CHECK_OK(encode(cu, maps, good));
    CHECK_CODE(encode(cu, (CUtensorMap *)((char *)maps + 32), good), CUDA_ERROR_INVALID_VALUE);
    tensor bad = good;
    bad.address += 8;
    CHECK_CODE(encode(cu, maps, bad), CUDA_ERROR_INVALID_VALUE);
    bad = good;
    bad.strides[0] = 120;
    CHECK_CODE(encode(cu, maps, bad), CUDA_ERROR_INVALID_VALUE);
    bad = good;
    bad.box[1] = 257;
    CHECK_CODE(encode(cu, maps, bad), CUDA_ERROR_INVALID_VALUE);
    bad = good;
    bad.box[0] = 72;
    CHECK_CODE(encode(cu, maps, bad), CUDA_ERROR_INVALID_VALUE);
    bad = good;
    bad.sizes[2] = 21;
    CHECK_CODE(encode(cu, maps, bad), CUDA_ERROR_INVALID_VALUE);
    CHECK_OK(cu->cuMemFree(a));
    fake_end(cu);
}

static void tensor_maps_of_an_old_device(const sbv_cuda_driver *cu)
{
    CUtensorMap map;
    const tensor t = {0, {64, 10, 20}, {128, 1280}, {64, 8, 4}};
    fake_begin(cu);
    CHECK_CODE(encode(cu, &map, t), CUDA_ERROR_NOT_SUPPORTED);
    fake_end(cu);
}

/* ---- cuBLAS ---- */

enum { M = 5, N = 3, K = 7, LDA = 9, LDB = 8, LDC = 6, SIZE = 9 * 9 };

static float element(int i)
{
    return (float)(i * 37 % 23 - 11) / 8;
}

static CUdeviceptr floats(const sbv_cuda_driver *cu)
{
    float values[SIZE];
    CUdeviceptr a;
    for (int i = 0; i < SIZE; i++)
        values[i] = element(i);
    CHECK_OK(cu->cuMemAlloc(&a, sizeof(values)));
    CHECK_OK(cu->cuMemcpyHtoD(a, values, sizeof(values)));
    return a;
}

static int multiply(const sbv_cublas *blas, cublasHandle_t handle, int ta, int tb, CUdeviceptr a, CUdeviceptr b,
                    CUdeviceptr c, int lda, int n)
{
    const float alpha = 2, beta = 0.5f;
    return blas->cublasGemmEx(handle, ta ? CUBLAS_OP_T : CUBLAS_OP_N, tb ? CUBLAS_OP_T : CUBLAS_OP_N, M, n, K, &alpha,
                              (void *)(uintptr_t)a, CUDA_R_32F, lda, (void *)(uintptr_t)b, CUDA_R_32F, LDB, &beta,
                              (void *)(uintptr_t)c, CUDA_R_32F, LDC, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
}

/* c = 2 op(a) op(b) + c / 2, column-major; what lies between the columns stays as it is. */
static void check_product(const float *c, int ta, int tb)
{
    for (int j = 0; j < N; j++)
        for (int i = 0; i < LDC; i++) {
            float sum = 0, before = element(j * LDC + i);
            for (int l = 0; l < K && i < M; l++)
                sum += element(ta ? i * LDA + l : l * LDA + i) * element(tb ? l * LDB + j : j * LDB + l);
            CHECK(fabsf(c[j * LDC + i] - (i < M ? 2 * sum + before / 2 : before)) < 1e-5f);
        }
}

static void matrix_products(const sbv_cuda_driver *cu)
{
    char message[200];
    sbv_cublas blas;
    cublasHandle_t handle;
    CUstream stream;
    float result[SIZE];
    CHECK(sbv_cublas_open(&blas, message, sizeof(message)) == 0);
    fake_begin(cu);
    CHECK_OK(cu->cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CHECK_OK(blas.cublasCreate(&handle));
    CHECK_OK(blas.cublasSetStream(handle, stream));
    CUdeviceptr a = floats(cu), b = floats(cu);
    for (int transposed = 0; transposed < 4; transposed++) {
        CUdeviceptr c = floats(cu);
        CHECK_OK(multiply(&blas, handle, transposed & 1, transposed >> 1, a, b, c, LDA, N));
        CHECK_OK(cu->cuMemcpyDtoH(result, c, sizeof(result)));
        CHECK(result[0] == element(0)); /* nobody has waited for the stream */
        CHECK_OK(cu->cuStreamSynchronize(stream));
        CHECK_OK(cu->cuMemcpyDtoH(result, c, sizeof(result)));
        check_product(result, transposed & 1, transposed >> 1);
        CHECK_OK(cu->cuMemFree(c));
    }
    CHECK_CODE(multiply(&blas, handle, 0, 0, a, b, a, M - 1, N), CUBLAS_STATUS_INVALID_VALUE);
    CHECK_CODE(multiply(&blas, handle, 0, 0, a, b, a, LDA, 100), CUBLAS_STATUS_INVALID_VALUE);
    CHECK_OK(blas.cublasDestroy(handle));
    CHECK_OK(cu->cuMemFree(a));
    CHECK_OK(cu->cuMemFree(b));
    CHECK_OK(cu->cuStreamDestroy(stream));
    fake_end(cu);
    sbv_cublas_close(&blas);
}

/* Halves in, floats out, three products at once: 1 x 2 matrices times 2 x 1 matrices. */
static void matrix_products_of_halves(const sbv_cuda_driver *cu)
{
    const uint16_t a_values[6] = {0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600}; /* 1 to 6 */
    const uint16_t b_values[2] = {0x4900, 0x3c00};                                 /* 10 and 1, for all three */
    const float alpha = 1, beta = 0;
    char message[200];
    sbv_cublas blas;
    cublasHandle_t handle;
    CUdeviceptr a, b, c;
    float result[3];
    CHECK(sbv_cublas_open(&blas, message, sizeof(message)) == 0);
    fake_begin(cu);
    CHECK_OK(blas.cublasCreate(&handle));
    CHECK_OK(cu->cuMemAlloc(&a, sizeof(a_values)));
    CHECK_OK(cu->cuMemAlloc(&b, sizeof(b_values)));
    CHECK_OK(cu->cuMemAlloc(&c, sizeof(result)));
    CHECK_OK(cu->cuMemcpyHtoD(a, a_values, sizeof(a_values)));
    CHECK_OK(cu->cuMemcpyHtoD(b, b_values, sizeof(b_values)));
    CHECK_CODE(blas.cublasGemmStridedBatchedEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 2, &alpha, (void *)(uintptr_t)a,
                                               CUDA_R_16F, 1, 2, (void *)(uintptr_t)b, CUDA_R_16F, 2, 0, &beta,
                                               (void *)(uintptr_t)c, CUDA_R_32F, 1, 1, 3, CUBLAS_COMPUTE_32F,
                                               CUBLAS_GEMM_DEFAULT),
               CUBLAS_STATUS_SUCCESS);
    CHECK_OK(cu->cuMemcpyDtoH(result, c, sizeof(result)));
    CHECK(result[0] == 12 && result[1] == 34 && result[2] == 56);
    CHECK_OK(cu->cuMemFree(a));
    CHECK_OK(cu->cuMemFree(b));
    CHECK_OK(cu->cuMemFree(c));
    CHECK_OK(blas.cublasDestroy(handle));
    fake_end(cu);
    sbv_cublas_close(&blas);
}

static void leaked_handle(const sbv_cuda_driver *cu)
{
    static cublasHandle_t handle;
    char message[200];
    sbv_cublas blas;
    CHECK(sbv_cublas_open(&blas, message, sizeof(message)) == 0);
    fake_begin(cu);
    CHECK_OK(blas.cublasCreate(&handle));
    fake_end(cu);
    sbv_cublas_close(&blas);
}

static void failing_product(const sbv_cuda_driver *cu)
{
    char message[200];
    sbv_cublas blas;
    cublasHandle_t handle;
    CHECK(sbv_cublas_open(&blas, message, sizeof(message)) == 0);
    fake_begin(cu);
    CHECK_OK(blas.cublasCreate(&handle));
    CUdeviceptr a = floats(cu);
    CHECK_CODE(multiply(&blas, handle, 0, 0, a, a, a, LDA, N), CUBLAS_STATUS_EXECUTION_FAILED);
    CHECK_OK(cu->cuMemFree(a));
    CHECK_OK(blas.cublasDestroy(handle));
    fake_end(cu);
    sbv_cublas_close(&blas);
}

const fake_case fake_module_cases[] = {
    {"launches", launches, {0}, {0}, 0},
    {"launch limits",
     launch_limits,
     {0},
     {"1 x 65536 x 1 blocks", "1 x 1 x 65536 blocks", "0 x 1 x 1 blocks", "1025 x 1 x 1 threads", "64 x 32 x 1 threads",
      "8 x 1 x 65 threads"},
     0},
    {"dynamic shared memory",
     dynamic_shared_memory,
     {0},
     {"65536 bytes of dynamic shared memory, and the function is allowed 49152", "and the device has 166912"},
     0},
    {"kernel leaves its memory", kernel_leaves_its_memory, {0}, {0}, "fake_add accesses memory behind allocation 1"},
#ifdef __SANITIZE_ADDRESS__
    {"kernel leaves its memory by little", kernel_leaves_its_memory_by_little, {0}, {0}, "AddressSanitizer"},
#else
    {"kernel leaves its memory by little",
     kernel_leaves_its_memory_by_little,
     {0},
     {"wrote 0 bytes behind the end"},
     0},
#endif
    {"host address for a kernel", host_address_for_a_kernel, {0}, {"fake_add: byte 0 of parameter 0 is an address"}, 0},
    {"unloaded module", unloaded_module, {0}, {"is used after it was destroyed"}, 0},
    {"tensor maps",
     tensor_maps,
     {"FAKE_CUDA_SM=90"},
     {"which is no multiple of 64", "is no multiple of 16", "dimension 1: stride", "dimension 1: box",
      "an innermost box of 144 bytes", "tensor: bytes 0 to"},
     0},
    {"tensor maps of an old device", tensor_maps_of_an_old_device, {0}, {"tensor maps need sm_90"}, 0},
    {"matrix products", matrix_products, {0}, {"cublasGemmEx: matrix B: bytes 0 to"}, 0},
    {"matrix products of halves", matrix_products_of_halves, {0}, {0}, 0},
    {"leaked handle of cuBLAS", leaked_handle, {0}, {"leak 1 handles of cuBLAS"}, 0},
    {"failing matrix product", failing_product, {"FAKE_CUDA_FAIL=cublasGemmEx:1:13"}, {0}, 0},
    {0}};
