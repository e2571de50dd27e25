/*
 * Scene cuts.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_SCENE_H
#define SBV_RUNTIME_SCENE_H

#include "model/runtime/run_ops.h"

/* Scene change between two frames of a stream as FFmpeg's select filter scores it, in two steps: sbv_compare_frames
 * queues what sbv_scene_score waits for. sums: memory for one float per row, the same for both. Errors: MEMORY, DEVICE,
 * not reported. */
int sbv_compare_frames(const sbv_exec *exec, const sbv_stream *stream, sbv_map before, sbv_map now, void *sums);

/* -> *score, 0 to 1: the mean absolute difference of luma in codes of 8 bits, or how much that differs from the one
 * before, whichever is less, divided by 100. *change holds the mean absolute difference. now: one of the two frames. */
int sbv_scene_score(const sbv_exec *exec, const sbv_map *now, const void *sums, float *change, float *score);

#endif /* SBV_RUNTIME_SCENE_H */
