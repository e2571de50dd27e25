/*
 * The engine: one model on one backend for one stream. It knows nothing of windows, cuts or failures: the session does.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_ENGINE_H
#define SBV_RUNTIME_ENGINE_H

#include "model/runtime/repeats.h"
#include "model/runtime/stages.h"

typedef struct sbv_engine {
    sbv_config config; /* checked; what the caller's pointers showed is copied, and they are NULL */
    sbv_report report;
    sbv_exec exec;
    sbv_network network;
    char *model_path;
    char *name, *licence, *phase; /* of the model */
    int estimates;                /* blurs are estimated */
    int ahead;                    /* frames that are queued before one is waited for, see window.h: 0 or 1 */
    sbv_stream stream;            /* width 0: not described yet */
    size_t host_bytes;            /* that the session has for that stream on the host */
    sbv_workspace ws;
    sbv_repeats repeats;
} sbv_engine;

/* Between enter and leave the device's context is current. Errors: DEVICE, not reported. */
int sbv_engine_enter(sbv_engine *e);
void sbv_engine_leave(sbv_engine *e);

/* What has become of the operations so far: SBV_OK, DEVICE, MEMORY, not reported. */
int sbv_engine_status(const sbv_engine *e);

/* Reads the model into e->network, packed for e->exec. Errors: FILE, MODEL, MEMORY, DEVICE, reported. */
int sbv_engine_read_model(sbv_engine *e);

/* The same of the header alone: sizes and layers are known then, and there are no weights. Errors: FILE, MODEL, MEMORY,
 * reported. */
int sbv_engine_read_header(sbv_engine *e);

/* What the model is; the strings live as long as the engine. After sbv_engine_read_header alone there are none, and the
 * place is that of phase center. */
sbv_model_info sbv_engine_model_info(const sbv_engine *e);

/* Allocates what e->stream needs. Errors: MEMORY, DEVICE, reported. */
int sbv_engine_open_stream(sbv_engine *e);

/* A frame -> colours of its slot. */
void sbv_engine_take_frame(sbv_engine *e, const sbv_frame *frame, sbv_slot *slot);

/* These -> its features and flow pyramid; before: the slot of the frame before it, which it may repeat, or NULL. */
void sbv_engine_extract(sbv_engine *e, sbv_slot *slot, const sbv_slot *before);

/* The window -> the picture of its center frame: in the caller's memory, or where it is to come to the host from a
 * device in a buffer, from where sbv_engine_fetch brings it. blur_side, blur_frame: of the one in ws.refinement.blur,
 * and the frame that it was estimated for. */
void sbv_engine_restore(sbv_engine *e, sbv_slot *const window[], int blur_side, int64_t blur_frame, int buffer,
                        const sbv_frame *out);

/* The window -> the picture of its center frame in ws.output alone. Only where the degradation is estimated. */
void sbv_engine_restore_inside(sbv_engine *e, sbv_slot *const window[]);

/* A picture -> the caller's memory, unless it is there. Failures: sbv_engine_status. */
void sbv_engine_fetch(sbv_engine *e, int buffer, const sbv_frame *out);

/* Whether frames should be queued ahead: where they come from a device to the host, and nothing else does that one
 * frame's work depends on. */
int sbv_engine_can_queue(const sbv_engine *e);

/* Frees the network and the stream, and closes the backend. */
void sbv_engine_close_backend(sbv_engine *e);
void sbv_engine_close(sbv_engine *e);

/* Frames on either side of the center of a window. */
static inline int sbv_radius(const sbv_engine *e)
{
    return e->network.sequence / 2;
}

/* The slot of frame number `frame` of the stream. */
static inline sbv_slot *sbv_slot_of(sbv_engine *e, int64_t frame)
{
    return &e->ws.slot[frame % e->ws.slots];
}

/* Whether the network adapts to the degradation of the stream. */
static inline int sbv_adapts(const sbv_engine *e)
{
    return e->network.modulation.present && e->config.adapt_interval > 0;
}

/* Whether output frames are to be refined or compared with the input. */
static inline int sbv_uses_blur(const sbv_config *c)
{
    return c->refine > 0 || c->cycle;
}

#endif /* SBV_RUNTIME_ENGINE_H */
