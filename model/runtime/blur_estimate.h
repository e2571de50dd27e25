/*
 * The blur kernel of a stream: given by the caller, or estimated now and then.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_BLUR_ESTIMATE_H
#define SBV_RUNTIME_BLUR_ESTIMATE_H

#include "model/runtime/engine.h"

typedef struct sbv_blur {
    float values[SBV_BLUR_SIDE_MAX * SBV_BLUR_SIDE_MAX];
    int side;      /* 0: none in use */
    int given;     /* it is not to be estimated */
    int64_t frame; /* for which it was estimated, or the first if it was given; -1: that is yet to come */
    double psnr;   /* of the last frame; NAN: none */
} sbv_blur;

/* What the configuration says of the blur kernel -> *blur, once the model is read. Errors: ARGUMENT, reported. */
int sbv_blur_open(sbv_engine *e, sbv_blur *blur);
void sbv_blur_flush(sbv_blur *blur);

/* The kernel for frame number `frame`, estimated from its window where that is due, and uploaded where operations need
 * it. Errors: MEMORY, DEVICE, reported. */
int sbv_blur_update(sbv_engine *e, sbv_blur *blur, sbv_slot *const window[], int64_t frame);

/* ws.refinement.cycle -> blur->psnr. Errors: DEVICE, not reported. */
int sbv_blur_judge(const sbv_engine *e, sbv_blur *blur);

#endif /* SBV_RUNTIME_BLUR_ESTIMATE_H */
