/*
 * What a session is made of. Inside the library only; the tests look in here too.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_MODEL_SESSION_H
#define SBV_MODEL_SESSION_H

#include "model/stages.h"

struct sbv_session {
    sbv_config config;
    sbv_report report;
    sbv_exec exec;
    sbv_network network;
    char *name, *licence, *phase;
    sbv_model_info info;

    sbv_stream stream;
    sbv_workspace ws;
    int described;
    int64_t received, returned; /* frames since the last flush: taken, and index of the next one to restore */
    int ended;
    float change; /* between the last two frames, 0 to 1 */
};

/* Scene change between two frames of one size as FFmpeg's select filter scores it, on luma: the mean absolute
 * difference, or how much that differs from the one before, whichever is less. *change holds the mean absolute
 * difference. (scene.c) */
float sbv_scene_score(const sbv_exec *exec, sbv_map before, sbv_map now, float *change);

/* Path of the default model installed with the library, allocated; NULL if there is no memory. (locate.c) */
char *sbv_default_model(void);

#endif /* SBV_MODEL_SESSION_H */
