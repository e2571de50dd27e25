/*
 * How the footage was degraded, and the network of a modulated model made to fit it: see modulation.h.
 *
 * The network restores a window as if it had been degraded in one known way, the probe, whatever was done to it. Where
 * that is a wide blur, a picture of something less blurred is overdrawn, and this shows. What the network makes of the
 * center frame is blurred and reduced again, in SBV_CANDIDATES ways: the better one of them fits how the frame came
 * about, the less is left of the difference. A small network, which has learnt what is usually left, tells the
 * degradation from these differences.
 *
 * That is done for frames whose number is a multiple of an interval, and for the first one of a stream and of a shot,
 * and holds until the next: so who begins at such a frame has what is had from the start.
 *
 * Of a picture that is black or flat every way fits, and nothing is told: the neutral degradation serves then, and the
 * estimate is tried again soon. What was estimated before does not, for the same reason: it would have to be known to
 * who begins there.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_ADAPTATION_H
#define SBV_RUNTIME_ADAPTATION_H

#include "model/runtime/blur_estimate.h"

typedef struct sbv_adaptation {
    float degradation[SBV_DEGRADATION]; /* what the network is to be made fit for, once there is a frame */
    int64_t frame;                      /* for which it was estimated; -1: that is yet to come */
    int told;                           /* whether there was something to estimate it from */
} sbv_adaptation;

void sbv_adaptation_flush(sbv_adaptation *adaptation);

/* Makes the network fit for frame number `frame`; the degradation is estimated from its window where that is due, but
 * for a blur that was given. Errors: MEMORY, DEVICE, reported. */
int sbv_adapt(sbv_engine *e, sbv_adaptation *adaptation, const sbv_blur *blur, sbv_slot *const window[], int64_t frame);

/* The window under the probe, which the network is left fit for -> measures: of each candidate the
 * logarithm of the mean square of what is left, to that of the mean of all, and this last. Errors: MEMORY, DEVICE,
 * reported. */
int sbv_measure_window(sbv_engine *e, sbv_slot *const window[], float measure[SBV_MEASURES]);

/* The response of a blur kernel of side * side values around its center of mass, as modulation.h has it. */
void sbv_blur_response(const float *blur, int side, float response[SBV_RESPONSES]);

/* Candidate number `i` for input samples at `place` (sbv_model_info), of *side * *side values, *side at most
 * SBV_CANDIDATE_SIDE. */
void sbv_candidate_kernel(int i, int scale, double place, float *blur, int *side);

#endif /* SBV_RUNTIME_ADAPTATION_H */
