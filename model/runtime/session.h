/*
 * What a session is made of. Inside the library only; the tests look in here too.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_SESSION_H
#define SBV_RUNTIME_SESSION_H

#include "model/runtime/stages.h"

/* A copy of the pixels of a frame in the window, so that another backend can take over. */
typedef struct sbv_kept {
    uint8_t *memory; /* of all planes */
    sbv_frame frame;
} sbv_kept;

/* The blur kernel of the stream. (blur_estimate.c) */
typedef struct sbv_blur {
    float kernel[SBV_BLUR_SIDE_MAX * SBV_BLUR_SIDE_MAX];
    int side;      /* 0: none in use */
    int given;     /* it is not to be estimated */
    int uploaded;  /* ws.refinement.kernel is the same */
    int64_t frame; /* for which it was estimated, or the first if it was given; -1: that is yet to come */
    double psnr;   /* of the last frame; NAN: none */
} sbv_blur;

/* What is known of frames that repeat. (repeats.c) */
struct sbv_repeats {
    int off;                                  /* for tests: every frame counts as new */
    int64_t contents;                         /* extracted so far: the number of the last one */
    int64_t restored;                         /* windows */
    int64_t window[SBV_MAX_SEQUENCE], kernel; /* contents of the last window, and blur.frame */
    int given;                                /* its picture is still there */
};

struct sbv_session {
    sbv_config config;
    sbv_report report;
    sbv_exec exec;
    sbv_network network;
    char *model_path;
    char *name, *licence, *phase;
    sbv_model_info info;

    sbv_stream stream;
    sbv_workspace ws;
    int described;
    int64_t received, returned; /* frames since the last flush: taken, and index of the next one to restore */
    int ended;
    int can_fall_back; /* a failing GPU is replaced by the CPU: kept[] holds the frames of the window */
    sbv_kept kept[SBV_MAX_SEQUENCE];
    sbv_blur blur;
    float change; /* between the last two frames, 0 to 1 */
    struct sbv_repeats repeats;
};

/* Scene change between two frames of one size as FFmpeg's select filter scores it, on luma -> *score, 0 to 1: the mean
 * absolute difference, or how much that differs from the one before, whichever is less. *change holds the mean absolute
 * difference. sums: memory for one float per row. Errors: MEMORY, DEVICE, not reported. (scene.c) */
int sbv_scene_score(const sbv_exec *exec, sbv_map before, sbv_map now, void *sums, float *change, float *score);

/* Opens the backend that the configuration asks for -> exec.backend, NULL for the CPU. Errors: ARGUMENT, DEVICE,
 * MEMORY, reported. (backend_select.c) */
int sbv_choose_backend(sbv_session *s);
void sbv_close_backend(sbv_session *s);

/* Memory for copies of the frames of s->stream, where they are needed. Errors: MEMORY, reported. (backend_select.c) */
int sbv_keep_open(sbv_session *s);
void sbv_keep_close(sbv_session *s);
void sbv_keep_frame(sbv_session *s, const sbv_frame *frame, int slot);

/* The backend has failed with `error`: reports it, or where the CPU may take over says so, opens the model and the
 * workspace there and computes anew what is kept of the frames in the window. Errors: the one given, reported, FILE,
 * MODEL, MEMORY. (backend_select.c) */
int sbv_fall_back(sbv_session *s, int error);

/* Reads the model into s->network, packed for s->exec. Errors: FILE, MODEL, MEMORY, DEVICE, reported. (session.c) */
int sbv_read_model(sbv_session *s);

/* Allocates what s->stream needs. Errors: MEMORY, DEVICE, reported. (session.c) */
int sbv_open_stream(sbv_session *s);

/* A frame -> colours, features and flow pyramid of its slot; before: the slot of the frame before it, which it may
 * repeat, or NULL. (session.c) */
void sbv_take_frame(sbv_session *s, const sbv_frame *frame, sbv_slot *slot, const sbv_slot *before);

/* Gives the slot memory for a new frame. (repeats.c) */
void sbv_new_place(sbv_session *s, sbv_slot *slot);

/* Whether the slot has the colours of the one before, on the CPU: then it has all of its maps now. (repeats.c) */
int sbv_repeats(sbv_session *s, sbv_slot *slot, const sbv_slot *before);

/* Whether the window, and the blur kernel, are those of the last call; s->repeats.given is then to be set once its
 * picture is there. (repeats.c) */
int sbv_window_repeats(sbv_session *s, sbv_slot *const window[]);

/* Whether output frames are to be refined or compared with the input. */
static inline int sbv_uses_blur(const sbv_config *c)
{
    return c->refine > 0 || c->cycle;
}

/* What the configuration says of the blur kernel -> s->blur, once the model is read. Errors: ARGUMENT, reported.
 * (blur_estimate.c) */
int sbv_blur_open(sbv_session *s);
void sbv_blur_flush(sbv_session *s);

/* The kernel for frame number `frame`, estimated from its window where that is due, and uploaded where operations need
 * it. Errors: MEMORY, DEVICE, reported. (blur_estimate.c) */
int sbv_blur_update(sbv_session *s, sbv_slot *const window[], int64_t frame);

/* ws.refinement.cycle -> s->blur.psnr. Errors: DEVICE, not reported. (blur_estimate.c) */
int sbv_blur_judge(sbv_session *s);

/* Path of the default model installed with the library, allocated; NULL if there is no memory. (default_model.c) */
char *sbv_default_model(void);

#endif /* SBV_RUNTIME_SESSION_H */
