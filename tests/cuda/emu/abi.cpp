/*
 * The library's own declarations of the driver API and of cuBLAS are those of the toolkit's headers: compiled, never
 * run, where there is a toolkit.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <cublas_v2.h>
#include <cuda.h>

/* Macros of cuda.h give the names of functions their versions here too. A macro defined twice, differently, is a
 * warning, and warnings are errors. */
namespace own
{
#include "kernels/cuda/cublas.h"
} // namespace own

/* A parameter is passed in the same way: a pointer, or a number of the same size. */
template <class A, class B>
constexpr bool same_value = std::is_pointer_v<A> == std::is_pointer_v<B> &&
                            sizeof(A) == sizeof(B) && std::is_floating_point_v<A> == std::is_floating_point_v<B>;

template <class A, class B> constexpr bool same_call = false;
template <class R, class... P, class S, class... Q>
constexpr bool same_call<R (*)(P...), S (*)(Q...)> = [] {
    if constexpr (sizeof...(P) == sizeof...(Q))
        return same_value<R, S> && (same_value<P, Q> && ...);
    else
        return false;
}();

constexpr bool same_text(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}
#define TEXT_OF(name) #name

/* cuEventElapsedTime has a second version since CUDA 12.8, with the same parameters; older drivers have the first. */
#define CHECK_CALL(name, symbol, parameters)                                                                           \
    static_assert(same_call<decltype(own::sbv_cuda_driver::name), decltype(&::name)>, #name);                          \
    static_assert(same_text(TEXT_OF(name), symbol) || same_text(symbol, "cuEventElapsedTime"), symbol);
SBV_CUDA_FUNCTIONS(CHECK_CALL, CHECK_CALL)

/* The toolkit's type for a type of cublas.h. cuBLAS has overloads in C++: the right one is found by its whole type. */
template <class T> struct Theirs {
    using type = T;
};
#define THEIRS(name)                                                                                                   \
    template <> struct Theirs<own::name> {                                                                             \
        using type = ::name;                                                                                           \
    }
THEIRS(cublasHandle_t);
THEIRS(cublasOperation_t);
THEIRS(cudaDataType);
THEIRS(cublasComputeType_t);
THEIRS(cublasGemmAlgo_t);
THEIRS(cublasMath_t);
THEIRS(CUstream);
template <> struct Theirs<own::cublasHandle_t *> {
    using type = ::cublasHandle_t *;
};
template <class... P> struct Theirs<own::cublasStatus_t (*)(P...)> {
    using type = ::cublasStatus_t (*)(typename Theirs<P>::type...);
};

#define CHECK_BLAS_CALL(name, symbol, parameters)                                                                      \
    static_assert(static_cast<Theirs<decltype(own::sbv_cublas::name)>::type>(&::name) != nullptr, #name);              \
    static_assert(same_text(TEXT_OF(name), symbol), symbol);
SBV_CUBLAS_FUNCTIONS(CHECK_BLAS_CALL)

#define CHECK_VALUE(name) static_assert((int)own::name == (int)::name, #name)
CHECK_VALUE(CUDA_SUCCESS);
CHECK_VALUE(CUDA_ERROR_INVALID_VALUE);
CHECK_VALUE(CUDA_ERROR_OUT_OF_MEMORY);
CHECK_VALUE(CUDA_ERROR_NOT_INITIALIZED);
CHECK_VALUE(CUDA_ERROR_NO_DEVICE);
CHECK_VALUE(CUDA_ERROR_INVALID_DEVICE);
CHECK_VALUE(CUDA_ERROR_INVALID_IMAGE);
CHECK_VALUE(CUDA_ERROR_INVALID_CONTEXT);
CHECK_VALUE(CUDA_ERROR_NO_BINARY_FOR_GPU);
CHECK_VALUE(CUDA_ERROR_INVALID_PTX);
CHECK_VALUE(CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
CHECK_VALUE(CUDA_ERROR_INVALID_HANDLE);
CHECK_VALUE(CUDA_ERROR_NOT_FOUND);
CHECK_VALUE(CUDA_ERROR_NOT_READY);
CHECK_VALUE(CUDA_ERROR_ILLEGAL_ADDRESS);
CHECK_VALUE(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
CHECK_VALUE(CUDA_ERROR_CONTEXT_IS_DESTROYED);
CHECK_VALUE(CUDA_ERROR_LAUNCH_FAILED);
CHECK_VALUE(CUDA_ERROR_NOT_SUPPORTED);
CHECK_VALUE(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
CHECK_VALUE(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
CHECK_VALUE(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
CHECK_VALUE(CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
CHECK_VALUE(CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
CHECK_VALUE(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
CHECK_VALUE(CUDA_ERROR_CAPTURED_EVENT);
CHECK_VALUE(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD);
CHECK_VALUE(CUDA_ERROR_UNKNOWN);
CHECK_VALUE(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
CHECK_VALUE(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK);
CHECK_VALUE(CU_DEVICE_ATTRIBUTE_WARP_SIZE);
CHECK_VALUE(CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT);
CHECK_VALUE(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
CHECK_VALUE(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
CHECK_VALUE(CU_DEVICE_ATTRIBUTE_TEXTURE_PITCH_ALIGNMENT);
CHECK_VALUE(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
CHECK_VALUE(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
CHECK_VALUE(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR);
CHECK_VALUE(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
CHECK_VALUE(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
CHECK_VALUE(CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES);
CHECK_VALUE(CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES);
CHECK_VALUE(CU_FUNC_ATTRIBUTE_NUM_REGS);
CHECK_VALUE(CU_FUNC_ATTRIBUTE_BINARY_VERSION);
CHECK_VALUE(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
CHECK_VALUE(CU_STREAM_DEFAULT);
CHECK_VALUE(CU_STREAM_NON_BLOCKING);
CHECK_VALUE(CU_EVENT_DEFAULT);
CHECK_VALUE(CU_EVENT_BLOCKING_SYNC);
CHECK_VALUE(CU_EVENT_DISABLE_TIMING);
CHECK_VALUE(CU_STREAM_CAPTURE_MODE_GLOBAL);
CHECK_VALUE(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
CHECK_VALUE(CU_STREAM_CAPTURE_MODE_RELAXED);
CHECK_VALUE(CU_MEMORYTYPE_HOST);
CHECK_VALUE(CU_MEMORYTYPE_DEVICE);
CHECK_VALUE(CU_MEMORYTYPE_ARRAY);
CHECK_VALUE(CU_MEMORYTYPE_UNIFIED);
CHECK_VALUE(CU_TENSOR_MAP_DATA_TYPE_UINT8);
CHECK_VALUE(CU_TENSOR_MAP_DATA_TYPE_UINT16);
CHECK_VALUE(CU_TENSOR_MAP_DATA_TYPE_FLOAT16);
CHECK_VALUE(CU_TENSOR_MAP_DATA_TYPE_FLOAT32);
CHECK_VALUE(CU_TENSOR_MAP_INTERLEAVE_NONE);
CHECK_VALUE(CU_TENSOR_MAP_SWIZZLE_NONE);
CHECK_VALUE(CU_TENSOR_MAP_SWIZZLE_32B);
CHECK_VALUE(CU_TENSOR_MAP_SWIZZLE_64B);
CHECK_VALUE(CU_TENSOR_MAP_SWIZZLE_128B);
CHECK_VALUE(CU_TENSOR_MAP_L2_PROMOTION_NONE);
CHECK_VALUE(CU_TENSOR_MAP_L2_PROMOTION_L2_64B);
CHECK_VALUE(CU_TENSOR_MAP_L2_PROMOTION_L2_128B);
CHECK_VALUE(CU_TENSOR_MAP_L2_PROMOTION_L2_256B);
CHECK_VALUE(CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
CHECK_VALUE(CUBLAS_STATUS_SUCCESS);
CHECK_VALUE(CUBLAS_STATUS_NOT_INITIALIZED);
CHECK_VALUE(CUBLAS_STATUS_ALLOC_FAILED);
CHECK_VALUE(CUBLAS_STATUS_INVALID_VALUE);
CHECK_VALUE(CUBLAS_STATUS_ARCH_MISMATCH);
CHECK_VALUE(CUBLAS_STATUS_MAPPING_ERROR);
CHECK_VALUE(CUBLAS_STATUS_EXECUTION_FAILED);
CHECK_VALUE(CUBLAS_STATUS_INTERNAL_ERROR);
CHECK_VALUE(CUBLAS_STATUS_NOT_SUPPORTED);
CHECK_VALUE(CUBLAS_OP_N);
CHECK_VALUE(CUBLAS_OP_T);
CHECK_VALUE(CUDA_R_32F);
CHECK_VALUE(CUDA_R_16F);
CHECK_VALUE(CUBLAS_COMPUTE_32F);
CHECK_VALUE(CUBLAS_COMPUTE_32F_PEDANTIC);
CHECK_VALUE(CUBLAS_GEMM_DEFAULT);
CHECK_VALUE(CUBLAS_DEFAULT_MATH);
CHECK_VALUE(CUBLAS_PEDANTIC_MATH);
CHECK_VALUE(CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION);

#define CHECK_MEMBER(name)                                                                                             \
    static_assert(offsetof(own::CUDA_MEMCPY2D, name) == offsetof(::CUDA_MEMCPY2D, name) &&                             \
                      sizeof(own::CUDA_MEMCPY2D::name) == sizeof(::CUDA_MEMCPY2D::name),                               \
                  #name)
CHECK_MEMBER(srcXInBytes);
CHECK_MEMBER(srcY);
CHECK_MEMBER(srcMemoryType);
CHECK_MEMBER(srcHost);
CHECK_MEMBER(srcDevice);
CHECK_MEMBER(srcArray);
CHECK_MEMBER(srcPitch);
CHECK_MEMBER(dstXInBytes);
CHECK_MEMBER(dstY);
CHECK_MEMBER(dstMemoryType);
CHECK_MEMBER(dstHost);
CHECK_MEMBER(dstDevice);
CHECK_MEMBER(dstArray);
CHECK_MEMBER(dstPitch);
CHECK_MEMBER(WidthInBytes);
CHECK_MEMBER(Height);
static_assert(sizeof(own::CUDA_MEMCPY2D) == sizeof(::CUDA_MEMCPY2D), "CUDA_MEMCPY2D");
static_assert(sizeof(own::CUtensorMap) == sizeof(::CUtensorMap), "CUtensorMap");
