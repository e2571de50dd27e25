/*
 * What the cases of tests/cuda/cases/test_cuda_ops.c are written with. A case runs one operation twice, on the host by
 * its C twin of kernels/reference and on the device by a backend, from the same values, and compares:
 *
 *     if (test_begin(t, SBV_MAP_F16, TEST_SMALL, "copy %dx%d", w, h)) {
 *         test_map *in = test_map_new(t, TEST_IN, (test_layout){.w = w, .h = h, .c = 3, .type = SBV_MAP_F16});
 *         test_map *out = test_map_new(t, TEST_OUT, (test_layout){.w = w, .h = h, .c = 3, .type = SBV_MAP_F16});
 *         sbv_copy_args host = {in->host, out->host}, device = {in->device, out->device};
 *         test_upload(t);
 *         sbv_copy_c(&host, 0, test_rows(t, h));
 *         TEST_RUN(t, t->backend->copy(t->backend, &device, 1, h));
 *         test_compare(t, out, 0, "a copy is exact");
 *         test_end(t);
 *     }
 *
 * On the device every buffer lies between guard bands, and pixels and rows have gaps. Guards, gaps, inputs and the
 * samples that the C twin leaves alone must have kept every bit. Random values depend on the name of the case alone.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_CUDA_CASES_H
#define SBV_TESTS_CUDA_CASES_H

#include <stddef.h>

#include "kernels/backend.h"
#include "kernels/ops.h"

/* Limits of the comparisons, relative to the largest magnitude of the expected output. */
#define TEST_LIMIT_F16 2e-3 /* inputs and output have 11 bits, 4.9e-4; sums are floats */
#define TEST_LIMIT_F32 2e-4 /* the order of the sum of up to some thousand products */

/* TEST_SMALL cases are for tests, TEST_TIMED ones have the size of real work and are run by --bench only, where the C
 * twin computes the first rows alone. */
enum test_size { TEST_SMALL, TEST_TIMED };

/* TEST_IN: random in [-1, 1), must stay as it is. TEST_OUT: not a number until it is written. TEST_INOUT: random, and
 * may change. */
enum test_role { TEST_IN, TEST_OUT, TEST_INOUT };

/* Memory of the device between guard bands, and the same bytes on the host. */
typedef struct test_buffer {
    unsigned char *host; /* to be filled in before test_upload(); after TEST_RUN what the device has */
    unsigned char *device;
    size_t bytes;
    /* the harness's own */
    enum test_role role;
    struct test_map *map;            /* whose samples these are, or NULL */
    void *memory;                    /* of the device, guards included */
    size_t total, before;            /* bytes of memory, and those before `device` */
    unsigned char *uploaded, *found; /* all of memory as it went there and as it came back */
    struct test_buffer *next;
} test_buffer;

/* How a map lies in the memory of the device. The channels may be a part of a wider map. */
typedef struct test_layout {
    int w, h, c;
    enum sbv_type type;
    int offset;  /* channels of the wider map before these */
    int after;   /* channels of the wider map behind these, at least */
    int dense;   /* no padding of pixels, as in maps of colours; F16 maps are padded to 8 samples otherwise */
    int row_gap; /* pixels between rows */
} test_layout;

typedef struct test_map {
    sbv_map host;   /* floats, without gaps; at test_upload() the values of a TEST_IN map are rounded to the type */
    sbv_map device; /* the layout's */
    test_buffer *buffer;
    int compared;
} test_map;

typedef struct cuda_test {
    sbv_backend *backend; /* of the type given to test_begin() */
    /* the harness's own */
    const struct test_options *options;
    sbv_backend *backends[2];
    test_buffer *buffers;
    char name[160];
    unsigned random;
    int count, failed; /* cases */
    int failures, ran; /* of this case */
    double flops, milliseconds;
} cuda_test;

/* Begins a case with a session of `type`. The name, formatted as by printf, starts with the name of the operation.
 * Returns 0 if the case is not to be run: the caller goes on to the next one, without test_end(). */
__attribute__((format(printf, 4, 5))) int test_begin(cuda_test *t, enum sbv_type type, enum test_size size,
                                                     const char *name, ...);
void test_end(cuda_test *t);

/* Instead of test_end(), before anything was run: what the case is about is not to be had, for the reason given. */
__attribute__((format(printf, 2, 3))) void test_skip(cuda_test *t, const char *reason, ...);

/* Deterministic, in [-1, 1). */
float test_random(cuda_test *t);

/* A map; a vector of n floats is a map with w = h = 1, c = n. Never NULL; without memory the program ends. */
test_map *test_map_new(cuda_test *t, enum test_role role, test_layout layout);

/* Sample (x, y, channel) of the host's side. */
float *test_at(test_map *map, int x, int y, int channel);

/* Bytes that are no map: packed weights, planes of a frame; zeros until the case fills them in, also where the role is
 * TEST_OUT. The memory begins `offset` bytes after a multiple of the backend's memory_align. */
test_buffer *test_buffer_new(cuda_test *t, enum test_role role, size_t bytes, size_t offset);

/* Rounds inputs to the types of their maps and uploads everything. Before the C twin runs. */
void test_upload(cuda_test *t);

/* How many of `jobs` the C twin has to compute: all, or in a timed case the first few. */
int test_rows(cuda_test *t, int jobs);

/* Floating-point operations of one run, for timed cases. */
void test_flops(cuda_test *t, double flops);

/* Runs a call of the backend once, then downloads everything; timed cases run it again and again after that. */
#define TEST_RUN(t, call)                                                                                              \
    for (int again = 0; test_again(t, again); again++) {                                                               \
        call;                                                                                                          \
    }
int test_again(cuda_test *t, int times);

/* Fails the case where the device's samples differ from the C twin's by more than limit times the largest magnitude of
 * the C twin's. `reason`: why that much is allowed. Samples that the C twin has not written must be untouched (timed
 * cases: are not looked at). */
void test_compare(cuda_test *t, test_map *map, double limit, const char *reason);

/* As test_compare, with an absolute limit. */
void test_compare_absolute(cuda_test *t, test_map *map, double limit, const char *reason);

/* Value of a device sample of a map after TEST_RUN. */
float test_found(test_map *map, int x, int y, int channel);

/* Fails the case with a message. */
__attribute__((format(printf, 2, 3))) void test_fail(cuda_test *t, const char *format, ...);

/* The families, each in its own file. A program may be linked without some of them. */
#define CUDA_CASES(FAMILY)                                                                                             \
    FAMILY(conv)                                                                                                       \
    FAMILY(wgmma) FAMILY(blas) FAMILY(flow) FAMILY(batch) FAMILY(image) FAMILY(blur) FAMILY(colour) FAMILY(graphs)
#define CUDA_CASES_DECLARE(family) __attribute__((weak)) void cuda_cases_##family(cuda_test *t);
CUDA_CASES(CUDA_CASES_DECLARE)

#endif /* SBV_TESTS_CUDA_CASES_H */
