/*
 * What a session is made of. Inside the library only; the tests look in here too.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_SESSION_H
#define SBV_RUNTIME_SESSION_H

#include "model/runtime/adaptation.h"
#include "model/runtime/alpha.h"
#include "model/runtime/blur_estimate.h"
#include "model/runtime/fallback.h"
#include "model/runtime/window.h"

struct sbv_session {
    sbv_engine engine;
    sbv_timeline timeline;
    sbv_fallback fallback;
    sbv_alpha alpha;
    sbv_blur blur;
    sbv_adaptation adaptation;
    sbv_model_info info;
    int described;
};

#endif /* SBV_RUNTIME_SESSION_H */
