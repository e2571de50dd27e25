/*
 * The fake driver: device memory set to a value.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "tests/cuda/emu/fake_cuda.h"

#include <cstring>

using namespace fake;

FAKE_EXPORT CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream handle)
{
    FAKE_ENTER(CONTEXT);
    CUstream stream = use_stream(handle);
    if (!stream)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!bytes)
        return CUDA_SUCCESS;
    if (!check_range(to, bytes, "target"))
        return CUDA_ERROR_INVALID_VALUE;
    return queue(stream, [=]() -> CUresult {
        if (!check_range(to, bytes, "target"))
            return CUDA_ERROR_ILLEGAL_ADDRESS;
        memset((void *)(uintptr_t)to, value, bytes);
        return CUDA_SUCCESS;
    });
}
