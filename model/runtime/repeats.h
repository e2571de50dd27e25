/*
 * Frames that repeat: telecine, animation drawn on twos, still pictures. A frame whose colours are those of the frame
 * before has its features and its pyramid, and the flow to it, so it has its memory too. A window of the same colours
 * as the one before gives the same picture, which is still there.
 *
 * A slot's maps lie in one of as many places. A new frame takes a place that no other slot has; there is one, for the
 * other slots are one fewer. What is extracted into a place has a number of its own, by which it is known again.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_REPEATS_H
#define SBV_RUNTIME_REPEATS_H

#include "model/runtime/workspace.h"

typedef struct sbv_repeats {
    int off;                                /* for tests: every frame counts as new */
    int64_t contents;                       /* extracted so far: the number of the last one */
    int64_t restored;                       /* windows */
    int64_t window[SBV_MAX_SEQUENCE], blur; /* contents of the last window, and the frame that its blur is of */
    int given;                              /* its picture is still there */
} sbv_repeats;

/* Gives the slot memory for a new frame. */
void sbv_new_place(sbv_workspace *ws, sbv_repeats *r, sbv_slot *slot);

/* Whether the slot has the colours of the one before, both in the memory of the host: then it has all of its maps now.
 * before: NULL where there is none. */
int sbv_frame_repeats(sbv_workspace *ws, sbv_repeats *r, sbv_slot *slot, const sbv_slot *before);

/* Whether the window, and the blur, which was estimated for frame `blur`, are those of the last call; r->given is then
 * to be set once its picture is there. */
int sbv_window_repeats(sbv_repeats *r, sbv_slot *const window[], int sequence, int64_t blur);

#endif /* SBV_RUNTIME_REPEATS_H */
