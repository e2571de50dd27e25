/*
 * What takes the place of the CUDA backend in a library that was configured without it.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdio.h>

#include "kernels/cuda/cuda_backend.h"

int sbv_cuda_open(sbv_backend **backend, const sbv_cuda_options *options, char *message, size_t size)
{
    if (options->found)
        *options->found = 0;
    *backend = NULL;
    snprintf(message, size, "this library was configured without CUDA");
    return SBV_ERROR_DEVICE;
}
