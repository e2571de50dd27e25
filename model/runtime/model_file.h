/*
 * Reader of model files. A model file is a safetensors file: the length of the header (8 bytes, little endian), the
 * header in JSON, then the raw tensors. https://github.com/huggingface/safetensors describes the format. What this
 * reader accepts is narrower: F32, F16 and BF16 tensors only, stored without gaps or overlaps to the very end of the
 * file.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_MODEL_FILE_H
#define SBV_RUNTIME_MODEL_FILE_H

#include <stdint.h>
#include <stdio.h>

#include "model/runtime/log.h"

#define SBV_WEIGHTS_MAX_HEADER  (1 << 20) /* bytes */
#define SBV_WEIGHTS_MAX_TENSORS 4096
#define SBV_WEIGHTS_MAX_DIMS    4

enum sbv_dtype { SBV_F32, SBV_F16, SBV_BF16 };

typedef struct sbv_tensor {
    char *name;
    enum sbv_dtype dtype;
    int dims;                            /* 1 to SBV_WEIGHTS_MAX_DIMS */
    int64_t shape[SBV_WEIGHTS_MAX_DIMS]; /* each at least 1 */
    int64_t count;                       /* product of the shape */
    uint64_t begin, end;                 /* bytes, from the end of the header */
    int used;                            /* the caller's mark */
} sbv_tensor;

typedef struct sbv_weights {
    FILE *file;
    sbv_report *report;
    const char *path; /* the caller's string */
    uint64_t data_offset;
    sbv_tensor *tensor; /* in the order of the data */
    int tensors;
    char *name, *licence, *phase; /* from __metadata__, made printable; "" where absent */
} sbv_weights;

/* Opens `path` and checks all of its header. Errors: FILE, MODEL, MEMORY, reported; *weights is then closed. */
int sbv_weights_open(sbv_weights *weights, const char *path, sbv_report *report);

/* The tensor of that name, or NULL. */
sbv_tensor *sbv_weights_find(const sbv_weights *weights, const char *name);

/* Reads a tensor into out[0 .. count-1] as floats. Errors: FILE, MODEL (NaN or infinite), MEMORY, reported. */
int sbv_weights_read(const sbv_weights *weights, const sbv_tensor *tensor, float *out);

/* "128x640x3x3" */
void sbv_tensor_shape(const sbv_tensor *tensor, char *text, size_t size);

void sbv_weights_close(sbv_weights *weights);

#endif /* SBV_RUNTIME_MODEL_FILE_H */
