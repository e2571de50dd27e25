/*
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/cublas.h"

#include <stdio.h>
#include <string.h>

#include "kernels/cuda/loader.h"
#include "model/include/selfblindvsr.h"
#include "kernels/os.h"

static const sbv_symbol symbols[] = {
#define SYMBOL(name, symbol, parameters) {symbol, offsetof(sbv_cublas, name), 0},
    SBV_CUBLAS_FUNCTIONS(SYMBOL)};

int sbv_cublas_open(sbv_cublas *blas, char *message, size_t size)
{
    int next = 0;
    return sbv_cublas_open_next(blas, &next, message, size);
}

int sbv_cublas_open_next(sbv_cublas *blas, int *next, char *message, size_t size)
{
    char reason[256] = "no other is left to try";
    const char *name = NULL;
    memset(blas, 0, sizeof(*blas));
    while (sbv_os_cublas[*next] && !blas->library) {
        name = sbv_os_cublas[(*next)++];
        blas->library = sbv_os_load(name, reason, sizeof(reason));
    }
    if (!blas->library) {
        snprintf(message, size, "cuBLAS (%s) cannot be loaded: %s", sbv_os_cublas_names, reason);
        return SBV_ERROR_DEVICE;
    }
    const char *missing = sbv_load_symbols(blas->library, symbols, sizeof(symbols) / sizeof(*symbols), blas);
    if (!missing)
        return SBV_OK;
    snprintf(message, size, "%s has no %s", name, missing);
    sbv_cublas_close(blas);
    return SBV_ERROR_DEVICE;
}

void sbv_cublas_close(sbv_cublas *blas)
{
    if (blas->library)
        sbv_os_unload(blas->library);
    memset(blas, 0, sizeof(*blas));
}
