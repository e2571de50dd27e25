/*
 * The CUDA driver, loaded at run time: nothing of CUDA is needed to build or to start the library. The declarations
 * below are those of the driver API (CUDA 11.4 and later) as far as they are used, under their own names; a file that
 * includes cuda.h cannot include this one.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_DRIVER_H
#define SBV_KERNELS_CUDA_DRIVER_H

#include <stddef.h>
#include <stdint.h>

/* Results are ints here: a driver may return codes that this list does not have. */
typedef int CUresult;
enum {
    CUDA_SUCCESS = 0,
    CUDA_ERROR_INVALID_VALUE = 1,
    CUDA_ERROR_OUT_OF_MEMORY = 2,
    CUDA_ERROR_NOT_INITIALIZED = 3,
    CUDA_ERROR_STUB_LIBRARY = 34,
    CUDA_ERROR_NO_DEVICE = 100,
    CUDA_ERROR_INVALID_DEVICE = 101,
    CUDA_ERROR_INVALID_IMAGE = 200,
    CUDA_ERROR_INVALID_CONTEXT = 201,
    CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
    CUDA_ERROR_INVALID_PTX = 218,
    CUDA_ERROR_JIT_COMPILER_NOT_FOUND = 221,
    CUDA_ERROR_UNSUPPORTED_PTX_VERSION = 222,
    CUDA_ERROR_INVALID_HANDLE = 400,
    CUDA_ERROR_NOT_FOUND = 500,
    CUDA_ERROR_NOT_READY = 600,
    CUDA_ERROR_ILLEGAL_ADDRESS = 700,
    CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES = 701,
    CUDA_ERROR_CONTEXT_IS_DESTROYED = 709,
    CUDA_ERROR_LAUNCH_FAILED = 719,
    CUDA_ERROR_NOT_SUPPORTED = 801,
    CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900,
    CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901,
    CUDA_ERROR_STREAM_CAPTURE_UNMATCHED = 903,
    CUDA_ERROR_STREAM_CAPTURE_UNJOINED = 904,
    CUDA_ERROR_STREAM_CAPTURE_ISOLATION = 905,
    CUDA_ERROR_STREAM_CAPTURE_IMPLICIT = 906,
    CUDA_ERROR_CAPTURED_EVENT = 907,
    CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD = 908,
    CUDA_ERROR_UNKNOWN = 999
};

typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphExec_st *CUgraphExec;

typedef enum CUdevice_attribute {
    CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK = 1,
    CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK = 8,
    CU_DEVICE_ATTRIBUTE_WARP_SIZE = 10,
    CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT = 14,
    CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
    CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE = 38,
    CU_DEVICE_ATTRIBUTE_TEXTURE_PITCH_ALIGNMENT = 51,
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
    CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR = 81,
    CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97
} CUdevice_attribute;

typedef enum CUfunction_attribute {
    CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK = 0,
    CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES = 1,
    CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES = 3,
    CU_FUNC_ATTRIBUTE_NUM_REGS = 4,
    CU_FUNC_ATTRIBUTE_BINARY_VERSION = 6,
    CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8
} CUfunction_attribute;

/* Flags of cuStreamCreate, cuEventCreate and cuMemHostAlloc; the last are macros in cuda.h too. */
enum { CU_STREAM_DEFAULT = 0, CU_STREAM_NON_BLOCKING = 1 };
enum { CU_EVENT_DEFAULT = 0, CU_EVENT_BLOCKING_SYNC = 1, CU_EVENT_DISABLE_TIMING = 2 };
#define CU_MEMHOSTALLOC_PORTABLE      0x01
#define CU_MEMHOSTALLOC_DEVICEMAP     0x02
#define CU_MEMHOSTALLOC_WRITECOMBINED 0x04

typedef enum CUstreamCaptureMode {
    CU_STREAM_CAPTURE_MODE_GLOBAL = 0,
    CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1,
    CU_STREAM_CAPTURE_MODE_RELAXED = 2
} CUstreamCaptureMode;

typedef enum CUmemorytype {
    CU_MEMORYTYPE_HOST = 1,
    CU_MEMORYTYPE_DEVICE = 2,
    CU_MEMORYTYPE_ARRAY = 3,
    CU_MEMORYTYPE_UNIFIED = 4
} CUmemorytype;

/* Sizes and positions along x in bytes, along y in rows. */
typedef struct CUDA_MEMCPY2D {
    size_t srcXInBytes, srcY;
    CUmemorytype srcMemoryType;
    const void *srcHost;
    CUdeviceptr srcDevice;
    void *srcArray;
    size_t srcPitch;
    size_t dstXInBytes, dstY;
    CUmemorytype dstMemoryType;
    void *dstHost;
    CUdeviceptr dstDevice;
    void *dstArray;
    size_t dstPitch;
    size_t WidthInBytes, Height;
} CUDA_MEMCPY2D;

/* What the copy engine of sm_90 is told about an array; made by cuTensorMapEncodeTiled and passed to kernels by value.
 * The driver wants it at a multiple of 64 bytes. */
typedef struct CUtensorMap {
#ifdef __cplusplus
    alignas(64) uint64_t opaque[16];
#else
    _Alignas(64) uint64_t opaque[16];
#endif
} CUtensorMap;

typedef enum CUtensorMapDataType {
    CU_TENSOR_MAP_DATA_TYPE_UINT8 = 0,
    CU_TENSOR_MAP_DATA_TYPE_UINT16 = 1,
    CU_TENSOR_MAP_DATA_TYPE_FLOAT16 = 6,
    CU_TENSOR_MAP_DATA_TYPE_FLOAT32 = 7
} CUtensorMapDataType;

typedef enum CUtensorMapInterleave { CU_TENSOR_MAP_INTERLEAVE_NONE = 0 } CUtensorMapInterleave;

typedef enum CUtensorMapSwizzle {
    CU_TENSOR_MAP_SWIZZLE_NONE = 0,
    CU_TENSOR_MAP_SWIZZLE_32B = 1,
    CU_TENSOR_MAP_SWIZZLE_64B = 2,
    CU_TENSOR_MAP_SWIZZLE_128B = 3
} CUtensorMapSwizzle;

typedef enum CUtensorMapL2promotion {
    CU_TENSOR_MAP_L2_PROMOTION_NONE = 0,
    CU_TENSOR_MAP_L2_PROMOTION_L2_64B = 1,
    CU_TENSOR_MAP_L2_PROMOTION_L2_128B = 2,
    CU_TENSOR_MAP_L2_PROMOTION_L2_256B = 3
} CUtensorMapL2promotion;

typedef enum CUtensorMapFloatOOBfill { CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE = 0 } CUtensorMapFloatOOBfill;

/* Calls F(name, symbol, parameters) for every function that the library needs and O(name, symbol, parameters) for those
 * that older drivers lack. The symbol is the name as exported, with the version whose parameters these are. */
#define SBV_CUDA_FUNCTIONS(F, O)                                                                                       \
    F(cuInit, "cuInit", (unsigned flags))                                                                              \
    F(cuDriverGetVersion, "cuDriverGetVersion", (int *version))                                                        \
    F(cuGetErrorName, "cuGetErrorName", (CUresult error, const char **name))                                           \
    F(cuGetErrorString, "cuGetErrorString", (CUresult error, const char **text))                                       \
    F(cuDeviceGetCount, "cuDeviceGetCount", (int *count))                                                              \
    F(cuDeviceGet, "cuDeviceGet", (CUdevice * device, int ordinal))                                                    \
    F(cuDeviceGetName, "cuDeviceGetName", (char *name, int size, CUdevice device))                                     \
    F(cuDeviceGetAttribute, "cuDeviceGetAttribute", (int *value, CUdevice_attribute attribute, CUdevice device))       \
    F(cuDevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain", (CUcontext * context, CUdevice device))                    \
    F(cuDevicePrimaryCtxRelease, "cuDevicePrimaryCtxRelease_v2", (CUdevice device))                                    \
    F(cuCtxPushCurrent, "cuCtxPushCurrent_v2", (CUcontext context))                                                    \
    F(cuCtxPopCurrent, "cuCtxPopCurrent_v2", (CUcontext * context))                                                    \
    F(cuCtxGetDevice, "cuCtxGetDevice", (CUdevice * device))                                                           \
    F(cuCtxSynchronize, "cuCtxSynchronize", (void))                                                                    \
    F(cuMemGetInfo, "cuMemGetInfo_v2", (size_t * available, size_t * total))                                           \
    F(cuMemAlloc, "cuMemAlloc_v2", (CUdeviceptr * memory, size_t bytes))                                               \
    F(cuMemFree, "cuMemFree_v2", (CUdeviceptr memory))                                                                 \
    F(cuMemHostAlloc, "cuMemHostAlloc", (void **memory, size_t bytes, unsigned flags))                                 \
    F(cuMemFreeHost, "cuMemFreeHost", (void *memory))                                                                  \
    F(cuMemcpyHtoD, "cuMemcpyHtoD_v2", (CUdeviceptr to, const void *from, size_t bytes))                               \
    F(cuMemcpyDtoH, "cuMemcpyDtoH_v2", (void *to, CUdeviceptr from, size_t bytes))                                     \
    F(cuMemcpyHtoDAsync, "cuMemcpyHtoDAsync_v2", (CUdeviceptr to, const void *from, size_t bytes, CUstream stream))    \
    F(cuMemcpyDtoHAsync, "cuMemcpyDtoHAsync_v2", (void *to, CUdeviceptr from, size_t bytes, CUstream stream))          \
    F(cuMemcpyDtoDAsync, "cuMemcpyDtoDAsync_v2", (CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream))    \
    F(cuMemcpy2DAsync, "cuMemcpy2DAsync_v2", (const CUDA_MEMCPY2D *copy, CUstream stream))                             \
    F(cuMemsetD8Async, "cuMemsetD8Async", (CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream))        \
    F(cuStreamCreate, "cuStreamCreate", (CUstream * stream, unsigned flags))                                           \
    F(cuStreamDestroy, "cuStreamDestroy_v2", (CUstream stream))                                                        \
    F(cuStreamSynchronize, "cuStreamSynchronize", (CUstream stream))                                                   \
    F(cuStreamWaitEvent, "cuStreamWaitEvent", (CUstream stream, CUevent event, unsigned flags))                        \
    F(cuStreamBeginCapture, "cuStreamBeginCapture_v2", (CUstream stream, CUstreamCaptureMode mode))                    \
    F(cuStreamEndCapture, "cuStreamEndCapture", (CUstream stream, CUgraph * graph))                                    \
    F(cuEventCreate, "cuEventCreate", (CUevent * event, unsigned flags))                                               \
    F(cuEventDestroy, "cuEventDestroy_v2", (CUevent event))                                                            \
    F(cuEventRecord, "cuEventRecord", (CUevent event, CUstream stream))                                                \
    F(cuEventSynchronize, "cuEventSynchronize", (CUevent event))                                                       \
    F(cuEventElapsedTime, "cuEventElapsedTime", (float *milliseconds, CUevent from, CUevent to))                       \
    F(cuModuleLoadData, "cuModuleLoadData", (CUmodule * module, const void *image))                                    \
    F(cuModuleUnload, "cuModuleUnload", (CUmodule module))                                                             \
    F(cuModuleGetFunction, "cuModuleGetFunction", (CUfunction * function, CUmodule module, const char *name))          \
    F(cuFuncGetAttribute, "cuFuncGetAttribute", (int *value, CUfunction_attribute attribute, CUfunction function))     \
    F(cuFuncSetAttribute, "cuFuncSetAttribute", (CUfunction function, CUfunction_attribute attribute, int value))      \
    F(cuLaunchKernel, "cuLaunchKernel",                                                                                \
      (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,     \
       unsigned block_z, unsigned shared_bytes, CUstream stream, void **params, void **extra))                         \
    F(cuGraphInstantiateWithFlags, "cuGraphInstantiateWithFlags",                                                      \
      (CUgraphExec * executable, CUgraph graph, unsigned long long flags))                                             \
    F(cuGraphLaunch, "cuGraphLaunch", (CUgraphExec executable, CUstream stream))                                       \
    F(cuGraphDestroy, "cuGraphDestroy", (CUgraph graph))                                                               \
    F(cuGraphExecDestroy, "cuGraphExecDestroy", (CUgraphExec executable))                                              \
    O(cuTensorMapEncodeTiled, "cuTensorMapEncodeTiled",                                                                \
      (CUtensorMap * map, CUtensorMapDataType type, uint32_t rank, void *address, const uint64_t *sizes,               \
       const uint64_t *strides, const uint32_t *box, const uint32_t *element_strides,                                  \
       CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion,                 \
       CUtensorMapFloatOOBfill fill))

#define SBV_CUDA_MEMBER(name, symbol, parameters) CUresult(*name) parameters;
typedef struct sbv_cuda_driver {
    void *library;
    SBV_CUDA_FUNCTIONS(SBV_CUDA_MEMBER, SBV_CUDA_MEMBER)
} sbv_cuda_driver;
#undef SBV_CUDA_MEMBER

/* Loads the library of the driver and looks up its functions; optional ones that it lacks are NULL. It does not call
 * cuInit. Errors: DEVICE, with one line in message (size bytes) that says what is missing; there is nothing to close
 * then. */
int sbv_cuda_driver_open(sbv_cuda_driver *driver, char *message, size_t size);

/* The driver that came with a version of CUDA, as cuDriverGetVersion gives it: 535 for 12020; 0 where it is not known.
 */
int sbv_cuda_driver_branch(int cuda_version);

/* A driver that is all zeros, or closed, may be closed again. */
void sbv_cuda_driver_close(sbv_cuda_driver *driver);

#endif /* SBV_KERNELS_CUDA_DRIVER_H */
