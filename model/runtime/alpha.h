/*
 * Alpha of the frames in the window, which no network sees: on the host whatever the backend, and untouched when it is
 * replaced by another.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_ALPHA_H
#define SBV_RUNTIME_ALPHA_H

#include "model/runtime/engine.h"
#include "model/runtime/frame_copy.h"

typedef struct sbv_alpha {
    float *samples;        /* slot by slot, 0 transparent to 1 opaque; NULL where frames have none */
    sbv_frame_copy filled; /* the last frame with another colour under what is transparent */
    uint8_t *rings;        /* scratch of sbv_fill_hidden */
} sbv_alpha;

/* Bytes that sbv_alpha_open allocates. */
size_t sbv_alpha_bytes(const sbv_engine *e);

/* Memory for alpha of the frames of e->stream. Errors: MEMORY, reported. */
int sbv_alpha_open(sbv_engine *e, sbv_alpha *a);
void sbv_alpha_close(sbv_alpha *a);

/* Alpha of a frame into its slot. Returns the frame that is to be restored in its place: itself, or a copy whose
 * colours under what is transparent are those beside it, valid until the next call. */
const sbv_frame *sbv_alpha_take(const sbv_engine *e, sbv_alpha *a, const sbv_frame *frame, int slot);

/* Alpha of a slot, enlarged, into an output frame; place: see sbv_model_info. */
void sbv_alpha_put(const sbv_engine *e, const sbv_alpha *a, int slot, double place, const sbv_frame *out);

#endif /* SBV_RUNTIME_ALPHA_H */
