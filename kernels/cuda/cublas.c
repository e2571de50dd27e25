/*
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/cublas.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "model/include/selfblindvsr.h"

static const char *const library_names[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so.11"};
enum { LIBRARIES = sizeof(library_names) / sizeof(*library_names) };

static const struct symbol {
    const char *name;
    size_t offset;
} symbols[] = {
#define SYMBOL(name, symbol, parameters) {symbol, offsetof(sbv_cublas, name)},
    SBV_CUBLAS_FUNCTIONS(SYMBOL)};

int sbv_cublas_open(sbv_cublas *blas, char *message, size_t size)
{
    int next = 0;
    return sbv_cublas_open_next(blas, &next, message, size);
}

int sbv_cublas_open_next(sbv_cublas *blas, int *next, char *message, size_t size)
{
    int found = -1;
    memset(blas, 0, sizeof(*blas));
    while (*next < LIBRARIES && !blas->library) {
        found = (*next)++;
        blas->library = dlopen(library_names[found], RTLD_NOW | RTLD_LOCAL);
    }
    if (!blas->library) {
        const char *reason = dlerror();
        snprintf(message, size, "cuBLAS (libcublas.so.13, .12 or .11) cannot be loaded: %s",
                 reason ? reason : "no other is left to try");
        return SBV_ERROR_DEVICE;
    }
    for (size_t i = 0; i < sizeof(symbols) / sizeof(*symbols); i++) {
        void *function = dlsym(blas->library, symbols[i].name);
        if (!function) {
            snprintf(message, size, "%s has no %s", library_names[found], symbols[i].name);
            sbv_cublas_close(blas);
            return SBV_ERROR_DEVICE;
        }
        memcpy((char *)blas + symbols[i].offset, &function, sizeof(function));
    }
    return SBV_OK;
}

void sbv_cublas_close(sbv_cublas *blas)
{
    if (blas->library)
        dlclose(blas->library);
    memset(blas, 0, sizeof(*blas));
}
