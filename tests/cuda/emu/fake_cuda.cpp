/*
 * The fake driver: the device, its contexts, and the names of errors.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "tests/cuda/emu/fake_cuda.h"

#include <cstdio>
#include <cstring>

namespace fake
{

namespace
{

/* Shared memory in KiB, of a block at most and of a multiprocessor; multiprocessors and cache of a usual device. */
struct Capability {
    int sm, block_shared, sm_shared, processors, l2_mib;
} const capabilities[] = {{120, 99, 100, 170, 96}, {90, 227, 228, 132, 50}, {86, 99, 100, 84, 6},
                          {80, 163, 164, 108, 40}, {75, 64, 64, 40, 4},     {0, 48, 96, 20, 2}};

const Capability &capability()
{
    const Capability *c = capabilities;
    while (c->sm > settings().sm)
        c++;
    return *c;
}

const int DEEPEST = 64;

/* The contexts of a thread. No object, see calling. */
struct Stack {
    CUcontext contexts[DEEPEST];
    int depth;
};

thread_local Stack stack;

/* The primary context of a device, while it is retained. */
struct Primary {
    int retained;
    CUcontext context;
};
Primary primaries[MAX_DEVICES]; /* no map, see calling */

/* A thread that ends with a context on its stack has not popped what it pushed. */
struct AtEnd {
    bool armed = false;
    ~AtEnd()
    {
        std::lock_guard<std::recursive_mutex> lock(fake::mutex);
        if (stack.depth && enter("end of thread", NOTHING | SURVIVES_LOSS) == CUDA_SUCCESS)
            misuse(0, "a thread ended with %d contexts on its stack", stack.depth);
    }
};

thread_local AtEnd at_end;

CUresult push(CUcontext context)
{
    at_end.armed = true; /* a thread-local object exists from its first use on */
    if (stack.depth == DEEPEST)
        return misuse(CUDA_ERROR_INVALID_CONTEXT, "%d contexts have been pushed and not popped", DEEPEST);
    stack.contexts[stack.depth++] = context;
    return CUDA_SUCCESS;
}

void pop()
{
    if (stack.depth)
        stack.depth--;
}

CUcontext make_context(CUdevice device, bool is_primary)
{
    CUcontext context = make<CUctx_st>(CONTEXT_OBJECT, nullptr);
    context->primary = is_primary;
    context->device = device;
    context->returned = is_primary; /* counted by retained */
    context->default_stream = make_default_stream(context);
    return context;
}

void destroy(CUcontext context)
{
    finish_all(context);
    release_memory_of(context);
    forget_streams_of(context);
    destroy_objects_of(context);
    context->live = false;
    context->returned = true;
}

CUresult use_device(CUdevice device)
{
    return device >= 0 && device < settings().devices
               ? CUDA_SUCCESS
               : misuse(CUDA_ERROR_INVALID_DEVICE, "there is no device %d", device);
}

bool is_context(CUcontext context)
{
    Object *object = find_object(context, CONTEXT_OBJECT);
    return object && object->live;
}

CUresult release_primary(CUdevice device)
{
    Primary &primary = primaries[device];
    if (!primary.retained)
        return misuse(CUDA_ERROR_INVALID_CONTEXT, "the primary context is not retained");
    if (--primary.retained == 0) {
        destroy(primary.context);
        primary.context = nullptr;
    }
    return CUDA_SUCCESS;
}

struct ErrorName {
    CUresult code;
    const char *name, *text;
} const error_names[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {CUDA_ERROR_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {CUDA_ERROR_NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU",
     "no kernel image is available for execution on the device"},
    {CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
     "the provided PTX was compiled with an unsupported toolchain."},
    {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {CUDA_ERROR_ILLEGAL_STATE, "CUDA_ERROR_ILLEGAL_STATE", "the operation cannot be performed in the present state"},
    {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {CUDA_ERROR_NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES",
     "too many resources requested for launch"},
    {CUDA_ERROR_CONTEXT_IS_DESTROYED, "CUDA_ERROR_CONTEXT_IS_DESTROYED", "context is destroyed"},
    {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {CUDA_ERROR_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "operation not permitted when stream is capturing"},
    {CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
     "operation failed due to a previous error during capture"},
    {CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION",
     "dependency created on uncaptured work in another stream"},
    {CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT",
     "operation would make the legacy stream depend on a capturing blocking stream"},
    {CUDA_ERROR_CAPTURED_EVENT, "CUDA_ERROR_CAPTURED_EVENT",
     "operation not permitted on an event last recorded in a capturing stream"},
    {CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD",
     "attempt to terminate a thread-local capture sequence from another thread"},
    {CUDA_ERROR_UNKNOWN, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

const ErrorName *error_name(CUresult code)
{
    for (const ErrorName &error : error_names)
        if (error.code == code)
            return &error;
    return nullptr;
}

} // namespace

int attribute_of(int attribute)
{
    const Capability &c = capability();
    switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
        return 1024;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK:
        return 48 * 1024;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE:
        return 32;
    case CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT:
        return 512;
    case CU_DEVICE_ATTRIBUTE_TEXTURE_PITCH_ALIGNMENT:
        return 32;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
        return c.processors;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE:
        return c.l2_mib << 20;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
        return settings().sm / 10;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
        return settings().sm % 10;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR:
        return c.sm_shared * 1024;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
        return c.block_shared * 1024;
    default:
        return -1;
    }
}

CUcontext current_context()
{
    return stack.depth ? stack.contexts[stack.depth - 1] : nullptr;
}

int retained_contexts()
{
    int retained = 0;
    for (const Primary &primary : primaries)
        retained += primary.retained;
    return retained;
}

} // namespace fake

using namespace fake;

/* ---- The device ---- */

FAKE_EXPORT CUresult cuInit(unsigned)
{
    FAKE_ENTER(NOTHING);
    return CUDA_SUCCESS;
}

FAKE_EXPORT CUresult cuDriverGetVersion(int *version)
{
    FAKE_ENTER(NOTHING | SURVIVES_LOSS);
    *version = settings().driver;
    return CUDA_SUCCESS;
}

FAKE_EXPORT CUresult cuDeviceGetCount(int *count)
{
    FAKE_ENTER(INIT | SURVIVES_LOSS);
    *count = settings().devices;
    return CUDA_SUCCESS;
}

FAKE_EXPORT CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
    FAKE_ENTER(INIT | SURVIVES_LOSS);
    *device = ordinal;
    return ordinal >= 0 && ordinal < settings().devices ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

FAKE_EXPORT CUresult cuDeviceGetName(char *name, int size, CUdevice device)
{
    FAKE_ENTER(INIT | SURVIVES_LOSS);
    snprintf(name, (size_t)size, "Emulated GPU (sm_%d)", settings().sm);
    return use_device(device);
}

FAKE_EXPORT CUresult cuDeviceGetUuid(void *uuid, CUdevice device)
{
    FAKE_ENTER(INIT | SURVIVES_LOSS);
    memset(uuid, 0xfa, 16);
    return use_device(device);
}

FAKE_EXPORT CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device)
{
    FAKE_ENTER(INIT | SURVIVES_LOSS);
    *bytes = settings().memory;
    return use_device(device);
}

FAKE_EXPORT CUresult cuDeviceComputeCapability(int *major, int *minor, CUdevice device)
{
    FAKE_ENTER(INIT | SURVIVES_LOSS);
    *major = settings().sm / 10;
    *minor = settings().sm % 10;
    return use_device(device);
}

FAKE_EXPORT CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device)
{
    FAKE_ENTER(INIT | SURVIVES_LOSS);
    *value = attribute_of(attribute);
    if (*value < 0)
        return misuse(CUDA_ERROR_NOT_SUPPORTED, "attribute %d is not emulated", attribute);
    return use_device(device);
}

/* ---- Contexts ---- */

FAKE_EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device)
{
    FAKE_ENTER(INIT);
    if (CUresult error = use_device(device))
        return error;
    Primary &primary = primaries[device];
    if (primary.retained++ == 0)
        primary.context = make_context(device, true);
    *context = primary.context;
    return CUDA_SUCCESS;
}

FAKE_EXPORT CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    FAKE_ENTER_RELEASE(INIT | SURVIVES_LOSS, release_primary(device));
    CUresult error = use_device(device);
    return error ? error : release_primary(device);
}

FAKE_EXPORT CUresult cuDevicePrimaryCtxRelease(CUdevice device)
{
    return cuDevicePrimaryCtxRelease_v2(device);
}

FAKE_EXPORT CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned)
{
    FAKE_ENTER(INIT);
    return use_device(device);
}

FAKE_EXPORT CUresult cuDevicePrimaryCtxSetFlags(CUdevice device, unsigned flags)
{
    return cuDevicePrimaryCtxSetFlags_v2(device, flags);
}

FAKE_EXPORT CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active)
{
    FAKE_ENTER(INIT);
    *flags = 0;
    *active = primaries[device].retained > 0;
    return use_device(device);
}

FAKE_EXPORT CUresult cuDevicePrimaryCtxReset_v2(CUdevice)
{
    FAKE_ENTER(INIT);
    return misuse(CUDA_ERROR_NOT_SUPPORTED, "resets a context that others use too");
}

FAKE_EXPORT CUresult cuDevicePrimaryCtxReset(CUdevice device)
{
    return cuDevicePrimaryCtxReset_v2(device);
}

FAKE_EXPORT CUresult cuCtxCreate_v2(CUcontext *context, unsigned, CUdevice device)
{
    FAKE_ENTER(INIT);
    if (CUresult error = use_device(device))
        return error;
    *context = make_context(device, false);
    return push(*context);
}

FAKE_EXPORT CUresult cuCtxDestroy_v2(CUcontext context)
{
    FAKE_ENTER_RELEASE(INIT | SURVIVES_LOSS, give_back(context, CONTEXT_OBJECT));
    if (!is_context(context) || context->primary)
        return misuse(CUDA_ERROR_INVALID_CONTEXT, "%p is no context that can be destroyed", (void *)context);
    if (current_context() == context)
        pop();
    destroy(context);
    return CUDA_SUCCESS;
}

FAKE_EXPORT CUresult cuCtxPushCurrent_v2(CUcontext context)
{
    FAKE_ENTER(INIT | SURVIVES_LOSS);
    if (!is_context(context))
        return misuse(CUDA_ERROR_INVALID_CONTEXT, "%p is no context", (void *)context);
    return push(context);
}

FAKE_EXPORT CUresult cuCtxPopCurrent_v2(CUcontext *context)
{
    FAKE_ENTER_RELEASE(INIT | SURVIVES_LOSS, pop());
    if (!current_context())
        return misuse(CUDA_ERROR_INVALID_CONTEXT, "no current context");
    if (context)
        *context = current_context();
    pop();
    return CUDA_SUCCESS;
}

FAKE_EXPORT CUresult cuCtxGetCurrent(CUcontext *context)
{
    FAKE_ENTER(INIT | SURVIVES_LOSS);
    *context = current_context();
    return CUDA_SUCCESS;
}

FAKE_EXPORT CUresult cuCtxGetDevice(CUdevice *device)
{
    FAKE_ENTER(CONTEXT | SURVIVES_LOSS);
    *device = current_context()->device;
    return CUDA_SUCCESS;
}

FAKE_EXPORT CUresult cuCtxSetLimit(int, size_t)
{
    FAKE_ENTER(CONTEXT);
    return CUDA_SUCCESS;
}

/* ---- Errors ---- */

FAKE_EXPORT CUresult cuGetErrorName(CUresult code, const char **name)
{
    const ErrorName *error = error_name(code);
    *name = error ? error->name : nullptr;
    return error ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

FAKE_EXPORT CUresult cuGetErrorString(CUresult code, const char **text)
{
    const ErrorName *error = error_name(code);
    *text = error ? error->text : nullptr;
    return error ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
