/*
 * Frames in host memory on their way to and from the device: pinned buffers, streams of their own for the copies, and
 * the events that keep copies and kernels in order.
 *
 * Input: the pixels are copied into the next buffer of a ring and uploaded from there, while the device may still work
 * on what came before. Output: the device converts a picture band by band; finished bands are downloaded meanwhile.
 * There are several buffers, so that a picture can be queued before the one before it is fetched.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_STAGING_H
#define SBV_KERNELS_CUDA_STAGING_H

#include "kernels/cuda/device.h"

#define SBV_STAGING_PLANES 4
#define SBV_STAGING_INPUTS 2  /* buffers in the ring */
#define SBV_STAGING_BANDS  4  /* of an output frame, at most */
#define SBV_STAGING_BAND   16 /* bands begin at multiples of this many rows */

/* Where a plane lies in a buffer. */
typedef struct sbv_staging_plane {
    size_t offset, pitch, bytes; /* of the first row, from row to row, and of a row, in bytes */
    int rows;                    /* 0: there is no such plane */
    int rows_log2;               /* log2 of the luma rows to one of its rows */
    int whole;                   /* all bytes of a row are written: samples, or padding that may be set */
} sbv_staging_plane;

typedef struct sbv_staging_layout {
    int width, height;
    sbv_staging_plane plane[SBV_STAGING_PLANES];
    size_t bytes;
} sbv_staging_layout;

/* A buffer in pinned memory and one on the device. */
typedef struct sbv_staging_pair {
    uint8_t *host;
    void *device;
    sbv_frame frame; /* the planes on the device */
} sbv_staging_pair;

typedef struct sbv_staging_input {
    sbv_staging_pair buffer;
    CUevent uploaded, consumed; /* the copy to the device, and what reads it there, are done */
} sbv_staging_input;

typedef struct sbv_staging_band {
    int begin, end; /* luma rows */
    CUevent converted, downloaded;
} sbv_staging_band;

typedef struct sbv_staging_output {
    sbv_staging_pair buffer;
    sbv_staging_band band[SBV_STAGING_BANDS];
    int bands; /* that are being downloaded */
} sbv_staging_output;

typedef struct sbv_staging {
    sbv_cuda *cuda; /* NULL: closed */
    sbv_stream stream;
    sbv_staging_layout in, out;
    CUstream upload, download;
    sbv_staging_input input[SBV_STAGING_INPUTS];
    int next; /* the input to be used next */
    sbv_staging_output output[SBV_OUTPUT_BUFFERS];
} sbv_staging;

/* Allocates what frames of `stream` in host memory need, and pictures `scale` times as wide and high. All zeros, or
 * closed, before. The context must be current here and below. Errors: DEVICE, MEMORY, recorded by sbv_cuda_fail; there
 * is nothing to close then. */
int sbv_staging_open(sbv_staging *s, sbv_cuda *c, const sbv_stream *stream, int scale);

/* Waits for the copies under way and releases everything; does nothing where there is nothing. */
void sbv_staging_close(sbv_staging *s);

/* Copies the pixels of a frame and queues their upload: the frame's memory is free when the call returns, and the
 * backend's stream goes on when the pixels are on the device. Returns the frame there, for what is queued before
 * sbv_staging_consumed; NULL when the backend has failed, as it does if frames of w x h pixels were not described.
 * No recording may be under way here and below: the buffers are other ones each time. */
const sbv_frame *sbv_staging_upload(sbv_staging *s, sbv_cuda *c, const sbv_frame *frame, int w, int h);
void sbv_staging_consumed(sbv_staging *s);

/* The frame on the device, of a buffer, into which a picture of w x h pixels is to be converted; NULL as above. What is
 * queued from here on waits for downloads from it. */
const sbv_frame *sbv_staging_begin(sbv_staging *s, sbv_cuda *c, int buffer, int w, int h);

/* Where the band that begins at row `begin` of `rows` ends. */
int sbv_staging_band_end(const sbv_staging *s, int begin, int rows);

/* Queues the download of the rows [begin, end), whose conversion is queued. */
void sbv_staging_download(sbv_staging *s, int buffer, int begin, int end);

/* Waits for the bands of a buffer, one after the other, and copies them into the frame. Nothing is written once the
 * backend has failed. */
void sbv_staging_finish(sbv_staging *s, int buffer, const sbv_frame *frame);

#endif /* SBV_KERNELS_CUDA_STAGING_H */
