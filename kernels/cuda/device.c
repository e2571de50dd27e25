/*
 * The device: see device.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/device.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define STATIC_SHARED (48 * 1024) /* bytes of shared memory that a block may have without asking */
#define OLDEST_DEVICE 75          /* compute capability that the simple kernels are compiled for */

static const struct {
    const char *name;
    size_t shared;
} kernels[SBV_KERNEL_COUNT] = {
#define KERNEL_ENTRY(id, name, shared) {name, shared},
    SBV_KERNELS(KERNEL_ENTRY)
#undef KERNEL_ENTRY
};

void sbv_cuda_fail(sbv_cuda *c, int status, const char *format, ...)
{
    va_list args;
    if (c->status < 0)
        return;
    c->status = status;
    va_start(args, format);
    vsnprintf(c->message, sizeof(c->message), format, args);
    va_end(args);
}

int sbv_cuda_check(sbv_cuda *c, CUresult result, const char *call)
{
    const char *name = "?", *text = "unknown error";
    if (result == CUDA_SUCCESS)
        return 0;
    c->cu->cuGetErrorName(result, &name);
    c->cu->cuGetErrorString(result, &text);
    /* "c->cu->cuMemAlloc(&memory, bytes)": the function says enough */
    const char *function = strstr(call, "cu->");
    function = function ? function + 4 : call;
    sbv_cuda_fail(c, result == CUDA_ERROR_OUT_OF_MEMORY ? SBV_ERROR_MEMORY : SBV_ERROR_DEVICE, "%.*s: %s (%s)",
                  (int)strcspn(function, "("), function, text ? text : "unknown error", name ? name : "?");
    return 1;
}

int sbv_cuda_has(const sbv_cuda *c, enum sbv_kernel_id kernel)
{
    return c->function[kernel] != NULL;
}

void sbv_cuda_launch(sbv_cuda *c, enum sbv_kernel_id kernel, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                     unsigned threads, size_t shared_bytes, void **params)
{
    if (c->status < 0)
        return;
    if (!c->function[kernel]) {
        sbv_cuda_fail(c, SBV_ERROR_DEVICE, "%s: there is no such kernel for compute capability %d.%d",
                      kernels[kernel].name, c->sm / 10, c->sm % 10);
        return;
    }
    CUresult result = c->cu->cuLaunchKernel(c->function[kernel], grid_x, grid_y, grid_z, threads, 1, 1,
                                            (unsigned)shared_bytes, c->stream, params, NULL);
    if (result != CUDA_SUCCESS)
        sbv_cuda_check(c, result, kernels[kernel].name);
}

int sbv_cuda_push(sbv_cuda *c)
{
    if (!c->entered)
        c->entered = c->cu->cuCtxPushCurrent(c->context) == CUDA_SUCCESS;
    return c->entered;
}

int sbv_cuda_enter(sbv_backend *b)
{
    sbv_cuda *c = (sbv_cuda *)b;
    if (!c->entered && !SBV_CUDA_CHECK(c, c->cu->cuCtxPushCurrent(c->context)))
        c->entered = 1;
    return c->entered ? SBV_OK : c->status;
}

void sbv_cuda_leave(sbv_backend *b)
{
    sbv_cuda *c = (sbv_cuda *)b;
    CUcontext popped;
    if (c->entered)
        SBV_CUDA_CHECK(c, c->cu->cuCtxPopCurrent(&popped));
    c->entered = 0;
}

/* Whether there is the device that was asked for. A driver that finds no GPU may say so at once. */
static int find_devices(sbv_cuda *c)
{
    int devices = 0;
    CUresult result = c->cu->cuInit(0);
    if (c->options.found)
        *c->options.found = result != CUDA_ERROR_NO_DEVICE && result != CUDA_ERROR_STUB_LIBRARY;
    if (SBV_CUDA_CHECK(c, result) || SBV_CUDA_CHECK(c, c->cu->cuDeviceGetCount(&devices)))
        return c->status;
    if (c->options.found)
        *c->options.found = devices > 0;
    if (!devices)
        sbv_cuda_fail(c, SBV_ERROR_DEVICE, "there is no NVIDIA GPU");
    else if (!c->options.context && (c->options.device < 0 || c->options.device >= devices))
        sbv_cuda_fail(c, SBV_ERROR_ARGUMENT, "device %d: there %s %d NVIDIA GPU%s, counted from 0", c->options.device,
                      devices == 1 ? "is" : "are", devices, devices == 1 ? "" : "s");
    return c->status;
}

/* The device, its context and what it can do. */
static void open_context(sbv_cuda *c)
{
    int major = 0, minor = 0;
    if (find_devices(c) < 0)
        return;
    if (c->options.context) {
        c->context = c->options.context;
    } else {
        if (SBV_CUDA_CHECK(c, c->cu->cuDeviceGet(&c->device, c->options.device)) ||
            SBV_CUDA_CHECK(c, c->cu->cuDevicePrimaryCtxRetain(&c->context, c->device)))
            return;
        c->own_context = 1;
    }
    if (sbv_cuda_enter(&c->base) < 0 || SBV_CUDA_CHECK(c, c->cu->cuCtxGetDevice(&c->device)) ||
        SBV_CUDA_CHECK(c, c->cu->cuDeviceGetName(c->device_name, sizeof(c->device_name), c->device)) ||
        SBV_CUDA_CHECK(c,
                       c->cu->cuDeviceGetAttribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, c->device)) ||
        SBV_CUDA_CHECK(c, c->cu->cuDeviceGetAttribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, c->device)))
        return;
    c->sm = 10 * major + minor;
    if (c->sm < OLDEST_DEVICE)
        sbv_cuda_fail(c, SBV_ERROR_DEVICE, "%s: compute capability %d.%d, at least %d.%d is needed", c->device_name,
                      major, minor, OLDEST_DEVICE / 10, OLDEST_DEVICE % 10);
}

/* Looks a kernel up. One that no image has for this device, or that needs more shared memory than a block can have, is
 * not there; whoever would launch it has another way, or fails then. */
static void find_kernel(sbv_cuda *c, int kernel, size_t most_shared)
{
    CUresult result = CUDA_ERROR_NOT_FOUND;
    for (int i = 0; i < c->modules && result == CUDA_ERROR_NOT_FOUND; i++)
        result = c->cu->cuModuleGetFunction(&c->function[kernel], c->module[i], kernels[kernel].name);
    if (result == CUDA_ERROR_NOT_FOUND || (result == CUDA_SUCCESS && kernels[kernel].shared > most_shared))
        c->function[kernel] = NULL;
    else if (!sbv_cuda_check(c, result, "cuModuleGetFunction") && kernels[kernel].shared > STATIC_SHARED)
        SBV_CUDA_CHECK(c,
                       c->cu->cuFuncSetAttribute(c->function[kernel], CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                                 (int)kernels[kernel].shared));
}

/* The code of a file for this device. Files that have nothing for it are left out. */
static CUresult load_module(sbv_cuda *c, const sbv_cuda_image *image)
{
    CUmodule *module = &c->module[c->modules];
    if (image->blackwell && c->sm >= SBV_BLACKWELL && c->cu->cuModuleLoadData(module, image->blackwell) == CUDA_SUCCESS)
        return CUDA_SUCCESS;
    return c->cu->cuModuleLoadData(module, image->code);
}

/* A driver that does not know the format of the code, or none for this GPU: says what it is, and what it should be. */
static void fail_to_load(sbv_cuda *c, CUresult result)
{
    char driver[64] = "of unknown version", branch[32] = "";
    const char *name = "?";
    int version = 0;
    if (c->cu->cuDriverGetVersion(&version) == CUDA_SUCCESS)
        snprintf(driver, sizeof(driver), "of CUDA %d.%d", version / 1000, version % 1000 / 10);
    if (sbv_cuda_driver_branch(version))
        snprintf(branch, sizeof(branch), ", %d", sbv_cuda_driver_branch(version));
    c->cu->cuGetErrorName(result, &name);
    sbv_cuda_fail(c, SBV_ERROR_DEVICE,
                  "%s (compute capability %d.%d): its driver (%s%s) does not load the kernels, which need driver %d or "
                  "later%s (%s)",
                  c->device_name, c->sm / 10, c->sm % 10, driver, branch, sbv_cuda_images_driver(),
                  result == CUDA_ERROR_NO_BINARY_FOR_GPU ? " and a library compiled for this GPU" : "",
                  name ? name : "?");
}

static int is_about_the_image(CUresult result)
{
    return result == CUDA_ERROR_INVALID_IMAGE || result == CUDA_ERROR_INVALID_PTX ||
           result == CUDA_ERROR_UNSUPPORTED_PTX_VERSION || result == CUDA_ERROR_JIT_COMPILER_NOT_FOUND ||
           result == CUDA_ERROR_NO_BINARY_FOR_GPU;
}

static void load_modules(sbv_cuda *c)
{
    const sbv_cuda_image *image;
    for (int i = 0; c->status >= 0 && (image = sbv_cuda_get_image(i)); i++) {
        CUresult result = load_module(c, image);
        if (result == CUDA_ERROR_NO_BINARY_FOR_GPU)
            continue;
        if (is_about_the_image(result))
            fail_to_load(c, result);
        else if (!sbv_cuda_check(c, result, "cuModuleLoadData"))
            c->modules++;
    }
    if (c->status >= 0 && !c->modules)
        fail_to_load(c, CUDA_ERROR_NO_BINARY_FOR_GPU);
}

static void load_kernels(sbv_cuda *c)
{
    int shared = 0, found = 0;
    load_modules(c);
    if (c->status < 0 ||
        SBV_CUDA_CHECK(c, c->cu->cuDeviceGetAttribute(&shared, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
                                                      c->device)) ||
        SBV_CUDA_CHECK(c, c->cu->cuStreamCreate(&c->capture, CU_STREAM_NON_BLOCKING)))
        return;
    for (int i = 0; i < SBV_KERNEL_COUNT && c->status >= 0; i++) {
        find_kernel(c, i, (size_t)shared);
        found += c->function[i] != NULL;
    }
    if (c->status >= 0 && !found)
        sbv_cuda_fail(c, SBV_ERROR_DEVICE,
                      "%s: this library was built without kernels for GPUs, there was no CUDA compiler",
                      c->device_name);
}

void sbv_cuda_open_device(sbv_cuda *c)
{
    open_context(c);
    if (c->status >= 0)
        load_kernels(c);
}

void sbv_cuda_close_device(sbv_cuda *c)
{
    if (c->capture)
        c->cu->cuStreamDestroy(c->capture);
    while (c->modules > 0)
        c->cu->cuModuleUnload(c->module[--c->modules]);
    sbv_cuda_leave(&c->base);
}
