/*
 * A backend computes the operations of ops.h on a device with memory of its own. The network's stages are the same for
 * all: with a backend in place they launch its operations instead of running the functions of a table.
 *
 * Operations are queued in order and return at once. The first one that fails makes the backend fail for good: from
 * then on operations do nothing and status() tells what happened.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_BACKEND_H
#define SBV_KERNELS_BACKEND_H

#include "kernels/ops.h"

typedef struct sbv_backend sbv_backend;

/* The end of the network, in one pass: bilinear enlargement of the center frame (as resize) plus the pixel shuffle of
 * what the collapsed tail gives, and colour out of the network (as colour_out), into a frame. */
typedef struct sbv_picture_args {
    const sbv_stream *stream;
    sbv_map outputs; /* colours * factor * factor channels, floats, of the size of the input frames */
    sbv_map rgb;     /* the center frame, floats */
    const sbv_frame *out;
    int factor;
    int buffer; /* as in sbv_colour_out_args */
} sbv_picture_args;

#define SBV_RECORD_KEY     32
#define SBV_MAX_RECORDINGS 1088
#define SBV_OUTPUT_BUFFERS 2

struct sbv_backend {
    const char *name;    /* "cuda" */
    enum sbv_type type;  /* of feature maps */
    int channel_align;   /* pixel strides of feature maps are multiples of this many samples */
    size_t memory_align; /* and maps begin at multiples of this many bytes */

    void (*close)(sbv_backend *b);

    /* Every other call happens between enter and leave, on one thread: they make the device's context current and put
     * back what was. Errors of enter: DEVICE. */
    int (*enter)(sbv_backend *b);
    void (*leave)(sbv_backend *b);

    /* Memory of the device, filled with zeros. Errors: MEMORY, DEVICE. */
    int (*allocate)(sbv_backend *b, size_t bytes, void **memory);
    void (*release)(sbv_backend *b, void *memory);

    /* Copies that are complete when the call returns, and wait for the operations before them. Errors: DEVICE. */
    int (*upload)(sbv_backend *b, void *to, const void *from, size_t bytes);
    int (*download)(sbv_backend *b, void *to, const void *from, size_t bytes);

    /* Bytes that the weights of a convolution take, and their packing from PyTorch's [out][in][ksize][ksize] into
     * memory of the host, to be uploaded. */
    size_t (*conv_bytes)(const sbv_backend *b, int out, int in, int ksize);
    void (*pack_conv)(const sbv_backend *b, const float *raw, int out, int in, int ksize, void *packed);

    /* Operations between begin and end can be recorded, for
     *
     *     do {
     *         if (b->begin(b, key, size))
     *             break;
     *         launch operations;
     *     } while (b->end(b));
     *
     * begin returns 1 where operations begun with the same key were recorded before: they have been queued again. end
     * returns 1 where a recording failed and nothing has been queued. A recording is valid until describe() or
     * forget(); one must come before memory that its operations use is released. The key is at most SBV_RECORD_KEY
     * bytes, and there are at most SBV_MAX_RECORDINGS of them. More are an error in debug builds, DEVICE; in others
     * they are not recorded. */
    int (*begin)(sbv_backend *b, const void *key, size_t size);
    int (*end)(sbv_backend *b);
    void (*forget)(sbv_backend *b);

    /* Prepares for frames of this description, enlarged by scale; frees what the one before needed.
     * Errors: DEVICE, MEMORY. */
    int (*describe)(sbv_backend *b, const sbv_stream *stream, int scale);

    /* A copy to the host in two steps: begin_download queues it, end_download waits for it, and not for what was queued
     * behind it. One at a time. Errors: MEMORY, DEVICE. */
    int (*begin_download)(sbv_backend *b, const void *from, size_t bytes);
    int (*end_download)(sbv_backend *b, void *to, size_t bytes);

    /* Frames in the memory of the host are made in two steps, too: colour_out and picture queue one, in one of
     * SBV_OUTPUT_BUFFERS buffers; fetch waits for it and copies it to the caller. A frame that is not fetched is lost
     * when its buffer is used again. Errors: DEVICE. */
    int (*fetch)(sbv_backend *b, int buffer, const sbv_frame *out);

    /* Waits until everything queued has been done. Errors: DEVICE. */
    int (*wait)(sbv_backend *b);

    /* SBV_OK, or the first error, with its message, one line, in *message. */
    int (*status)(const sbv_backend *b, const char **message);

    /* The operations; a[0] to a[count - 1] are a batch of 1 to SBV_MAX_BATCH, of `jobs` jobs each. */
#define SBV_BACKEND_OP(name, args)       void (*name)(sbv_backend * b, const args *a, int jobs);
#define SBV_BACKEND_BATCH_OP(name, args) void (*name)(sbv_backend * b, const args *a, int count, int jobs);
    SBV_BATCH_OPS(SBV_BACKEND_BATCH_OP)
    SBV_SINGLE_OPS(SBV_BACKEND_OP)
#undef SBV_BACKEND_OP
#undef SBV_BACKEND_BATCH_OP
    void (*picture)(sbv_backend *b, const sbv_picture_args *a);
};

#endif /* SBV_KERNELS_BACKEND_H */
