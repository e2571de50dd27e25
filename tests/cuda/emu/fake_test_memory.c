/*
 * Tests of the fake driver: contexts, memory, copies, leaks.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "tests/cuda/emu/fake_test.h"

#include <dlfcn.h>
#include <pthread.h>

static void clean_run(const sbv_cuda_driver *cu)
{
    fake_begin(cu);
    CUdeviceptr a = fake_ints(cu, 100, 7), b = fake_ints(cu, 100, 0);
    CHECK_OK(cu->cuMemcpyDtoDAsync(b, a, 100 * sizeof(int), NULL));
    CHECK(fake_int_at(cu, b, 99) == 7);
    CHECK_OK(cu->cuMemsetD8Async(b + 4, 1, 4, NULL));
    CHECK(fake_int_at(cu, b, 1) == 0x01010101 && fake_int_at(cu, b, 2) == 7);
    CHECK_OK(cu->cuMemFree(a));
    CHECK_OK(cu->cuMemFree(b));
    fake_end(cu);
}

/* Fresh memory is NaN, as floats and as halves. */
static void fresh_memory(const sbv_cuda_driver *cu)
{
    CUdeviceptr a;
    fake_begin(cu);
    CHECK_OK(cu->cuMemAlloc(&a, 8));
    CHECK(a % 512 == 0);
    CHECK(fake_int_at(cu, a, 1) == -1);
    CHECK_OK(cu->cuMemFree(a));
    fake_end(cu);
}

static void no_init(const sbv_cuda_driver *cu)
{
    CUdevice device;
    CHECK_CODE(cu->cuDeviceGet(&device, 0), CUDA_ERROR_NOT_INITIALIZED);
}

static void no_context(const sbv_cuda_driver *cu)
{
    CUdeviceptr a;
    CHECK_OK(cu->cuInit(0));
    CHECK_CODE(cu->cuMemAlloc(&a, 8), CUDA_ERROR_INVALID_CONTEXT);
}

/* A context is current in the thread that pushed it alone. */
static void *other_thread(void *cu)
{
    CUdeviceptr a;
    CHECK_CODE(((const sbv_cuda_driver *)cu)->cuMemAlloc(&a, 8), CUDA_ERROR_INVALID_CONTEXT);
    return NULL;
}

static void context_of_another_thread(const sbv_cuda_driver *cu)
{
    pthread_t thread;
    fake_begin(cu);
    CHECK(pthread_create(&thread, NULL, other_thread, (void *)cu) == 0 && pthread_join(thread, NULL) == 0);
    fake_end(cu);
}

static void unbalanced_stack(const sbv_cuda_driver *cu)
{
    CUcontext context;
    fake_begin(cu);
    CHECK_OK(cu->cuDevicePrimaryCtxRetain(&context, 0));
    CHECK_OK(cu->cuCtxPushCurrent(context));
    CHECK_OK(cu->cuDevicePrimaryCtxRelease(0));
    fake_end(cu);
}

typedef CUresult create_context(CUcontext *context, unsigned flags, CUdevice device);
typedef CUresult destroy_context(CUcontext context);

/* Everything made in one context and used in another. */
static void wrong_context(const sbv_cuda_driver *cu)
{
    create_context *create = (create_context *)dlsym(cu->library, "cuCtxCreate_v2");
    destroy_context *destroy = (destroy_context *)dlsym(cu->library, "cuCtxDestroy_v2");
    CUcontext other;
    CUstream stream;
    CUevent event;
    fake_begin(cu);
    CUdeviceptr a = fake_ints(cu, 10, 1);
    CHECK_OK(cu->cuStreamCreate(&stream, 0));
    CHECK_OK(cu->cuEventCreate(&event, 0));
    CHECK_OK(create(&other, 0, 0));
    CHECK_CODE(cu->cuStreamSynchronize(stream), CUDA_ERROR_INVALID_HANDLE);
    CHECK_CODE(cu->cuEventRecord(event, NULL), CUDA_ERROR_INVALID_HANDLE);
    CHECK(fake_int_at(cu, a, 0) == 1);
    CHECK_OK(cu->cuCtxPopCurrent(NULL));
    CHECK_OK(destroy(other));
    CHECK_OK(cu->cuEventDestroy(event));
    CHECK_OK(cu->cuStreamDestroy(stream));
    CHECK_OK(cu->cuMemFree(a));
    fake_end(cu);
}

static void out_of_bounds(const sbv_cuda_driver *cu)
{
    char host[200];
    fake_begin(cu);
    CUdeviceptr a = fake_ints(cu, 25, 1);
    CHECK_CODE(cu->cuMemcpyHtoD(a, host, 101), CUDA_ERROR_INVALID_VALUE);
    CHECK_CODE(cu->cuMemcpyDtoH(host, a + 1, 100), CUDA_ERROR_INVALID_VALUE);
    CHECK_CODE(cu->cuMemsetD8Async(a - 1, 0, 4, NULL), CUDA_ERROR_INVALID_VALUE);
    CHECK_CODE(cu->cuMemcpyDtoDAsync(a, a + 10, 20, NULL), CUDA_ERROR_INVALID_VALUE);
    CHECK_CODE(cu->cuMemcpyDtoH(host, (CUdeviceptr)(uintptr_t)host, 10), CUDA_ERROR_INVALID_VALUE);
    CHECK_CODE(cu->cuMemcpyDtoH((void *)(uintptr_t)a, a, 10), CUDA_ERROR_INVALID_VALUE);
    CHECK_OK(cu->cuMemFree(a));
    fake_end(cu);
}

static CUDA_MEMCPY2D copy_to_host(CUdeviceptr from, void *to, size_t pitch, size_t width, size_t height)
{
    CUDA_MEMCPY2D copy = {0};
    copy.srcMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.srcDevice = from;
    copy.srcPitch = pitch;
    copy.dstMemoryType = CU_MEMORYTYPE_HOST;
    copy.dstHost = to;
    copy.dstPitch = width;
    copy.WidthInBytes = width;
    copy.Height = height;
    return copy;
}

/* The last row ends with its last byte, not with its pitch. */
static void copies_of_rows(const sbv_cuda_driver *cu)
{
    unsigned char image[3 * 32 - 16], rows[3][16];
    CUdeviceptr a;
    fake_begin(cu);
    for (size_t i = 0; i < sizeof(image); i++)
        image[i] = (unsigned char)i;
    CHECK_OK(cu->cuMemAlloc(&a, sizeof(image)));
    CHECK_OK(cu->cuMemcpyHtoD(a, image, sizeof(image)));
    CUDA_MEMCPY2D copy = copy_to_host(a, rows, 32, 16, 3);
    CHECK_OK(cu->cuMemcpy2DAsync(&copy, NULL));
    CHECK(rows[0][0] == 0 && rows[2][0] == 64 && rows[2][15] == 79);
    copy.srcXInBytes = 1;
    CHECK_CODE(cu->cuMemcpy2DAsync(&copy, NULL), CUDA_ERROR_INVALID_VALUE);
    copy = copy_to_host(a, rows, 8, 16, 3);
    CHECK_CODE(cu->cuMemcpy2DAsync(&copy, NULL), CUDA_ERROR_INVALID_VALUE);
    CHECK_OK(cu->cuMemFree(a));
    fake_end(cu);
}

static void use_after_free(const sbv_cuda_driver *cu)
{
    int value;
    fake_begin(cu);
    CUdeviceptr a = fake_ints(cu, 10, 1);
    CHECK_OK(cu->cuMemFree(a));
    CHECK_CODE(cu->cuMemcpyDtoH(&value, a, sizeof(value)), CUDA_ERROR_INVALID_VALUE);
    CHECK_CODE(cu->cuMemFree(a), CUDA_ERROR_INVALID_VALUE);
    fake_end(cu);
}

static void host_reads_device_memory(const sbv_cuda_driver *cu)
{
    fake_begin(cu);
    CUdeviceptr a = fake_ints(cu, 10, 1);
    volatile int *ints = (volatile int *)(uintptr_t)a;
    CHECK(ints[3] == 1);
}

/* So that memory used after it was freed is not somebody else's by then. */
static void many_allocations(const sbv_cuda_driver *cu)
{
    CUdeviceptr a = 0, before;
    fake_begin(cu);
    for (int i = 0; i < 1000; i++) {
        before = a;
        CHECK_OK(cu->cuMemAlloc(&a, 5000));
        CHECK(a != before);
        CHECK_OK(cu->cuMemFree(a));
    }
    fake_end(cu);
}

static void memory_limit(const sbv_cuda_driver *cu)
{
    CUdeviceptr a, b;
    size_t available, total;
    fake_begin(cu);
    CHECK_OK(cu->cuMemAlloc(&a, 700000));
    CHECK_CODE(cu->cuMemAlloc(&b, 400000), CUDA_ERROR_OUT_OF_MEMORY);
    CHECK_CODE(cu->cuMemAlloc(&b, (size_t)-1), CUDA_ERROR_OUT_OF_MEMORY);
    CHECK_OK(cu->cuMemGetInfo(&available, &total));
    CHECK(total == 1000000 && available < 300001 && available > 299000);
    CHECK_OK(cu->cuMemFree(a));
    CHECK_OK(cu->cuMemAlloc(&b, 900000));
    CHECK_OK(cu->cuMemFree(b));
    fake_end(cu);
}

/* Pinned memory that is filled again before the copy was waited for: the device gets what came later. Pageable memory
 * has been read when the call returns. */
static void early_reuse(const sbv_cuda_driver *cu)
{
    int *pinned, pageable = 1;
    CUstream stream;
    fake_begin(cu);
    CUdeviceptr a = fake_ints(cu, 1, 0), b = fake_ints(cu, 1, 0);
    CHECK_OK(cu->cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CHECK_OK(cu->cuMemHostAlloc((void **)&pinned, sizeof(*pinned), 0));
    *pinned = 1;
    CHECK_OK(cu->cuMemcpyHtoDAsync(a, pinned, sizeof(int), stream));
    CHECK_OK(cu->cuMemcpyHtoDAsync(b, &pageable, sizeof(int), stream));
    *pinned = pageable = 2;
    CHECK_OK(cu->cuStreamSynchronize(stream));
    CHECK(fake_int_at(cu, a, 0) == 2 && fake_int_at(cu, b, 0) == 1);
    CHECK_CODE(cu->cuMemcpyHtoDAsync(a, (char *)pinned + 2, 4, stream), CUDA_ERROR_INVALID_VALUE);
    CHECK_OK(cu->cuMemFreeHost(pinned));
    CHECK_CODE(cu->cuMemFreeHost(&pageable), CUDA_ERROR_INVALID_VALUE);
    CHECK_OK(cu->cuStreamDestroy(stream));
    CHECK_OK(cu->cuMemFree(a));
    CHECK_OK(cu->cuMemFree(b));
    fake_end(cu);
}

static void leaks(const sbv_cuda_driver *cu)
{
    void *pinned;
    CUmodule module;
    fake_begin(cu);
    fake_ints(cu, 10, 1);
    CHECK_OK(cu->cuMemHostAlloc(&pinned, 10, 0));
    CHECK_OK(cu->cuModuleLoadData(&module, fake_image));
    CHECK_OK(cu->cuCtxPopCurrent(NULL));
}

static void leaked_stream(const sbv_cuda_driver *cu)
{
    CUstream stream;
    fake_begin(cu);
    CHECK_OK(cu->cuStreamCreate(&stream, 0));
    fake_end(cu);
}

static void leaked_event(const sbv_cuda_driver *cu)
{
    CUevent event;
    fake_begin(cu);
    CHECK_OK(cu->cuEventCreate(&event, 0));
    fake_end(cu);
}

/* ---- Injected faults ---- */

static void third_call_fails(const sbv_cuda_driver *cu)
{
    CUdeviceptr a, b, c;
    fake_begin(cu);
    CHECK_OK(cu->cuMemAlloc(&a, 8));
    CHECK_OK(cu->cuMemAlloc(&b, 8));
    CHECK_CODE(cu->cuMemAlloc(&c, 8), CUDA_ERROR_OUT_OF_MEMORY);
    CHECK_OK(cu->cuMemAlloc(&c, 8));
    CHECK_OK(cu->cuMemFree(a));
    CHECK_OK(cu->cuMemFree(b));
    CHECK_OK(cu->cuMemFree(c));
    fake_end(cu);
}

/* What was tried to give back to a lost device is no leak; what was not, is. */
static void lost_device(const sbv_cuda_driver *cu)
{
    CUstream stream;
    CUevent event;
    fake_begin(cu);
    CUdeviceptr a = fake_ints(cu, 10, 1);
    CHECK_OK(cu->cuEventCreate(&event, 0));
    CHECK_OK(cu->cuStreamCreate(&stream, 0));
    CHECK_CODE(cu->cuStreamSynchronize(stream), CUDA_ERROR_LAUNCH_FAILED);
    CHECK_CODE(cu->cuStreamSynchronize(stream), CUDA_ERROR_LAUNCH_FAILED);
    CHECK_CODE(cu->cuMemAlloc(&a, 8), CUDA_ERROR_LAUNCH_FAILED);
    CHECK_CODE(cu->cuMemFree(a), CUDA_ERROR_LAUNCH_FAILED);
    CHECK_CODE(cu->cuStreamDestroy(stream), CUDA_ERROR_LAUNCH_FAILED);
    fake_end(cu);
}

static void failing_release(const sbv_cuda_driver *cu)
{
    fake_begin(cu);
    CUdeviceptr a = fake_ints(cu, 10, 1);
    CHECK_CODE(cu->cuMemFree(a), CUDA_ERROR_UNKNOWN);
    fake_end(cu);
}

const fake_case fake_memory_cases[] = {
    {"clean run", clean_run, {0}, {0}, 0},
    {"clean run, eager streams", clean_run, {"FAKE_CUDA_STREAMS=eager"}, {0}, 0},
    {"fresh memory is NaN", fresh_memory, {0}, {0}, 0},
    {"call before cuInit", no_init, {0}, {"cuDeviceGet: called before cuInit"}, 0},
    {"no current context", no_context, {0}, {"cuMemAlloc: no current context"}, 0},
    {"context of another thread", context_of_another_thread, {0}, {"cuMemAlloc: no current context"}, 0},
    {"unbalanced stack", unbalanced_stack, {0}, {"a thread ended with 1 contexts"}, 0},
    {"wrong context",
     wrong_context,
     {0},
     {"cuStreamSynchronize: stream", "cuEventRecord: event", "cuMemcpyDtoH: source: allocation 1 belongs to another"},
     0},
    {"out of bounds",
     out_of_bounds,
     {0},
     {"cuMemcpyHtoD: target: bytes 0 to 101", "cuMemcpyDtoH: source: bytes 1 to 101", "cuMemsetD8Async: target: 0x",
      "overlap", "is no device memory", "is no memory of the host"},
     0},
    {"copies of rows", copies_of_rows, {0}, {"bytes 1 to 81", "rows of 16 bytes are 8 bytes apart"}, 0},
    {"use after free", use_after_free, {0}, {"used after it was freed", "freed twice"}, 0},
    {"host reads device memory", host_reads_device_memory, {0}, {0}, "the host accesses device memory of"},
    {"addresses are not used again", many_allocations, {0}, {0}, 0},
    {"memory limit", memory_limit, {"FAKE_CUDA_MEMORY=1000000"}, {0}, 0},
    {"early reuse of pinned memory", early_reuse, {0}, {"end of pinned block 1", "is no pinned memory"}, 0},
    {"leaks",
     leaks,
     {0},
     {"device memory, allocation 1 of 40 bytes", "pinned memory, block 1 of 10 bytes", "module 1", "primary context"},
     0},
    {"leaked stream", leaked_stream, {0}, {"leak stream"}, 0},
    {"leaked event", leaked_event, {0}, {"leak event"}, 0},
    {"third call fails", third_call_fails, {"FAKE_CUDA_FAIL=cuMemAlloc:3:2"}, {0}, 0},
    {"lost device", lost_device, {"FAKE_CUDA_FAIL=cuStreamSynchronize:1:719:sticky"}, {"leak event"}, 0},
    {"failing release", failing_release, {"FAKE_CUDA_FAIL=cuMemFree:1:999"}, {0}, 0},
    {0}};
