/*
 * Reading .npy files (NumPy format 1.0, C order, <f4 or |u1), for tests.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_NPY_H
#define SBV_TESTS_NPY_H

#include <stddef.h>

typedef struct npy {
    float *data; /* u1 is converted, not scaled */
    int dims, shape[4];
    size_t count;
} npy;

/* Returns 0, or -1 where the file does not exist. Ends the program with a message where it is not as expected. */
int npy_read(npy *array, const char *path);
void npy_free(npy *array);

#endif /* SBV_TESTS_NPY_H */
