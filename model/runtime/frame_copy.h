/*
 * Copies of frames in host memory.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_FRAME_COPY_H
#define SBV_RUNTIME_FRAME_COPY_H

#include "model/include/selfblindvsr.h"

typedef struct sbv_frame_copy {
    uint8_t *memory; /* of all planes; NULL: there is no copy */
    sbv_frame frame;
} sbv_frame_copy;

/* Bytes of a frame of the stream. */
size_t sbv_frame_copy_bytes(const sbv_stream *stream);

/* Memory for a frame of the stream. Errors: MEMORY, not reported. */
int sbv_frame_copy_open(sbv_frame_copy *copy, const sbv_stream *stream);
void sbv_frame_copy_close(sbv_frame_copy *copy);

/* Takes the pixels of a frame over, alpha too. */
void sbv_frame_copy_take(sbv_frame_copy *copy, const sbv_stream *stream, const sbv_frame *frame);

#endif /* SBV_RUNTIME_FRAME_COPY_H */
