/*
 * What happens when the GPU fails: the CPU goes on where the caller left the choice of a backend to the library and the
 * frames are within the CPU's reach. No frame is lost: the pixels of the frames in the window are kept on the host, and
 * computed anew.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_FALLBACK_H
#define SBV_RUNTIME_FALLBACK_H

#include "model/runtime/frame_copy.h"
#include "model/runtime/window.h"

typedef struct sbv_fallback {
    int possible;                       /* the CPU may take over */
    sbv_frame_copy kept[SBV_MAX_SLOTS]; /* of the frames in the window */
} sbv_fallback;

/* Memory for copies of the frames of e->stream, where they are needed. Errors: MEMORY, reported. */
int sbv_keep_open(sbv_engine *e, sbv_fallback *f);
void sbv_keep_close(sbv_fallback *f);
void sbv_keep_frame(const sbv_engine *e, sbv_fallback *f, const sbv_frame *frame, int slot);

/* The backend has failed with `error`: reports it, or where the CPU may take over says so, opens the model and the
 * workspace there and computes anew what is kept of the frames in the window. What was queued is to be restored again.
 * Errors: the one given, reported, FILE, MODEL, MEMORY. */
int sbv_fall_back(sbv_engine *e, sbv_fallback *f, sbv_timeline *t, int error);

#endif /* SBV_RUNTIME_FALLBACK_H */
