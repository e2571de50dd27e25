/*
 * Tests of the fake driver. Each case runs in a process of its own, with its own environment, and says what the report
 * at the end of that process must list: as many mistakes and leaks as `report` has lines, with these words in them.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_EMU_FAKE_TEST_H
#define SBV_TESTS_EMU_FAKE_TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/driver.h"
#include "tests/cuda/emu/fake_kernels.h"

#define FAKE_MAX_LINES 8

typedef struct fake_case {
    const char *name;
    void (*run)(const sbv_cuda_driver *cu);
    const char *environment[3]; /* "NAME=value" */
    const char *report[FAKE_MAX_LINES];
    const char *dies; /* words that the process prints before it ends by a signal; NULL: it ends by itself */
} fake_case;

/* Up to one without a name. */
extern const fake_case fake_memory_cases[], fake_stream_cases[], fake_image_cases[], fake_module_cases[];

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)
#define CHECK_CODE(call, code)                                                                                         \
    do {                                                                                                               \
        int got = (call);                                                                                              \
        if (got != (code)) {                                                                                           \
            fprintf(stderr, "%s:%d: %s gives %d, not %s\n", __FILE__, __LINE__, #call, got, #code);                    \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)
#define CHECK_OK(call) CHECK_CODE(call, CUDA_SUCCESS)

/* Makes the primary context current, and undoes it. */
void fake_begin(const sbv_cuda_driver *cu);
void fake_end(const sbv_cuda_driver *cu);

/* Device memory with `count` ints of this value; what is in it now. */
CUdeviceptr fake_ints(const sbv_cuda_driver *cu, int count, int value);
int fake_int_at(const sbv_cuda_driver *cu, CUdeviceptr ints, int index);

/* An image with fake_add and fake_shared, for any device. */
extern const char fake_image[];
CUfunction fake_function(const sbv_cuda_driver *cu, CUmodule module, const char *name);
int fake_launch(const sbv_cuda_driver *cu, CUfunction function, CUstream stream, CUdeviceptr ints, int count,
                int value);

#endif /* SBV_TESTS_EMU_FAKE_TEST_H */
