/*
 * Functions of libraries that are loaded at run time.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_LOADER_H
#define SBV_KERNELS_CUDA_LOADER_H

#include <stddef.h>

/* Where the address of a function goes in a table of function pointers. */
typedef struct sbv_symbol {
    const char *name;
    size_t offset;
    int optional; /* the pointer is NULL where the library does not have it */
} sbv_symbol;

/* Fills the table. Returns NULL, or the name of the first function that the library does not have. */
const char *sbv_load_symbols(void *library, const sbv_symbol *symbols, size_t count, void *table);

#endif /* SBV_KERNELS_CUDA_LOADER_H */
