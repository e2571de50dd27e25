/*
 * Reading .npy files (NumPy format 1.0, C order, <f4 or |u1), for tests.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_NPY_H
#define SBV_TESTS_NPY_H

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct npy {
    float *data; /* u1 is converted, not scaled */
    int dims, shape[4];
    size_t count;
} npy;

static void npy_die(const char *path, const char *what)
{
    fprintf(stderr, "%s: %s\n", path, what);
    exit(2);
}

static void npy_parse_shape(npy *array, const char *header, const char *path)
{
    const char *at = strstr(header, "'shape': (");
    if (!at)
        npy_die(path, "no shape");
    at += strlen("'shape': (");
    array->count = 1;
    while (*at && *at != ')') {
        char *end;
        long size = strtol(at, &end, 10);
        if (end == at || array->dims == 4 || size < 1)
            npy_die(path, "unexpected shape");
        array->shape[array->dims++] = (int)size;
        array->count *= (size_t)size;
        at = end + strspn(end, ", ");
    }
}

/* Returns 0, or -1 where the file does not exist. Ends the program with a message where it is not as expected. */
static int npy_read(npy *array, const char *path)
{
    unsigned char start[10];
    char header[1024] = "";
    FILE *file = fopen(path, "rb");
    memset(array, 0, sizeof(*array));
    if (!file)
        return -1;
    if (fread(start, 1, 10, file) != 10 || memcmp(start, "\x93NUMPY\x01\x00", 8))
        npy_die(path, "not a .npy file of version 1.0");
    size_t length = start[8] | (size_t)start[9] << 8;
    if (length >= sizeof(header) || fread(header, 1, length, file) != length || strstr(header, "'fortran_order': True"))
        npy_die(path, "unexpected header");
    npy_parse_shape(array, header, path);
    int bytes = strstr(header, "'<f4'") ? 4 : strstr(header, "'|u1'") ? 1 : 0;
    unsigned char *raw = malloc(array->count * 4);
    array->data = malloc(array->count * sizeof(float));
    if (!bytes || !raw || !array->data || fread(raw, (size_t)bytes, array->count, file) != array->count)
        npy_die(path, "unexpected type, or truncated");
    for (size_t i = 0; i < array->count; i++)
        if (bytes == 1)
            array->data[i] = raw[i];
        else
            memcpy(&array->data[i], raw + 4 * i, 4);
    free(raw);
    fclose(file);
    return 0;
}

static void npy_free(npy *array)
{
    free(array->data);
    memset(array, 0, sizeof(*array));
}

#endif /* SBV_TESTS_NPY_H */
