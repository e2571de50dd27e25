/*
 * The window of frames that slides over a stream: which frames are held, and what stands in for those beyond the ends
 * and beyond cuts.
 *
 * Frame i of the stream lies in slot i % slots. Frame t can be restored once frame t + radius is there or the stream
 * has ended; by then no frame older than t - radius is needed, so `sequence` slots are enough.
 *
 * A device whose pictures come to the host works ahead: frame t + 1 is queued before frame t is waited for, so that it
 * has work while the host copies. For that frame t + radius + 1 must be there, in one slot more.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_WINDOW_H
#define SBV_RUNTIME_WINDOW_H

#include "model/runtime/engine.h"

typedef struct sbv_timeline {
    int64_t received, returned; /* frames since the last flush: taken, and index of the next one to give back */
    int64_t queued;             /* index of the next one to restore; what a device has queued need not be done yet */
    int ended;
    float change; /* between the last two frames, codes of 8 bits */
} sbv_timeline;

void sbv_window_flush(const sbv_engine *e, sbv_timeline *t);

/* Whether frame t->returned can be given back: SBV_OK, SBV_AGAIN, SBV_END. */
int sbv_window_ready(const sbv_engine *e, const sbv_timeline *t);

/* Whether a frame is there with all that its window reaches. */
int sbv_window_has(const sbv_engine *e, const sbv_timeline *t, int64_t frame);

/* Whether frame t->received, in its slot, begins a shot -> slot->first_of_shot, in two steps: the first one queues what
 * the second one waits for. Errors: MEMORY, reported, DEVICE. */
int sbv_window_compare(sbv_engine *e, const sbv_timeline *t, sbv_slot *slot);
int sbv_window_detect_cut(sbv_engine *e, sbv_timeline *t, sbv_slot *slot);

/* The slots around a frame, within its shot -> window, from the oldest on. */
void sbv_window_fill(sbv_engine *e, const sbv_timeline *t, int64_t center, sbv_slot *window[]);

#endif /* SBV_RUNTIME_WINDOW_H */
