/*
 * The calls of the public API: see selfblindvsr.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _POSIX_C_SOURCE 200809L
#include "model/runtime/session.h"

#include <stdlib.h>
#include <string.h>

#include "model/runtime/backend_select.h"
#include "model/runtime/config.h"
#include "model/runtime/find_model.h"

#define STRING(x)                    #x
#define VERSION(major, minor, patch) STRING(major) "." STRING(minor) "." STRING(patch)

const char *sbv_version(void)
{
    return VERSION(SBV_VERSION_MAJOR, SBV_VERSION_MINOR, SBV_VERSION_PATCH);
}

void sbv_config_default(sbv_config *config)
{
    *config = (sbv_config){
        .border = SBV_BORDER_REPLICATE, .scene = SBV_SCENE_DEFAULT, .adapt_interval = SBV_ADAPT_INTERVAL_DEFAULT};
}

/* Begins a call: the device's context is current until sbv_engine_leave. */
static int enter(sbv_session *s)
{
    s->engine.report.reported = SBV_OK;
    if (sbv_engine_enter(&s->engine) < 0)
        return sbv_fall_back(&s->engine, &s->fallback, &s->timeline, SBV_ERROR_DEVICE);
    return SBV_OK;
}

/* The path of the model, which the engine keeps. */
static int find_model(sbv_engine *e)
{
    const int ret = sbv_find_model(&e->model_path, e->config.model_path, &e->report);
    e->config.model_path = NULL; /* the caller's string need not live on */
    return ret;
}

/* The part of opening that needs the backend to be entered. */
static int read_model(sbv_session *s)
{
    sbv_engine *e = &s->engine;
    int ret = sbv_engine_enter(e);
    if (ret >= 0)
        ret = sbv_engine_read_model(e);
    if (ret == SBV_ERROR_DEVICE || (ret == SBV_ERROR_MEMORY && s->fallback.possible))
        ret = sbv_fall_back(e, &s->fallback, &s->timeline, ret);
    sbv_engine_leave(e);
    return ret;
}

/* A session with its configuration checked and threads to compute by. */
static int begin(sbv_session **session, const sbv_config *config, int threads)
{
    sbv_session *s = *session = calloc(1, sizeof(*s));
    sbv_report report = {
        .log = config->log, .opaque = config->log_opaque, .error = config->error, .error_size = config->error_size};
    int ret;
    if (!s)
        return sbv_fail(&report, SBV_ERROR_MEMORY, "out of memory: session");
    s->engine.config = *config;
    s->engine.config.error = NULL; /* the report has it while the session is opened */
    s->engine.report = report;
    if ((ret = sbv_check_config(&s->engine)) < 0 || (ret = find_model(&s->engine)) < 0)
        return ret;
    return sbv_exec_open(&s->engine.exec, threads, config->execute, config->execute_opaque, &s->engine.report);
}

int sbv_open(sbv_session **session, const sbv_config *config)
{
    sbv_session *s;
    int ret;
    *session = NULL;
    if ((ret = begin(&s, config, config->threads)) < 0 ||
        (ret = sbv_select_backend(&s->engine, &s->fallback.possible)) < 0 || (ret = read_model(s)) < 0 ||
        (ret = sbv_blur_open(&s->engine, &s->blur)) < 0) {
        if (s)
            sbv_settle(&s->engine.report, ret);
        sbv_close(&s);
        return ret;
    }
    s->engine.report.error = NULL; /* the caller's memory need not live on */
    s->info = sbv_engine_model_info(&s->engine);
    *session = s;
    return SBV_OK;
}

int sbv_check(const sbv_config *config)
{
    sbv_session *s;
    int ret;
    if ((ret = begin(&s, config, 1)) >= 0 && config->backend == SBV_BACKEND_CPU)
        ret = sbv_select_backend(&s->engine, &s->fallback.possible);
    if (ret >= 0 && (ret = sbv_engine_read_header(&s->engine)) >= 0)
        ret = sbv_blur_open(&s->engine, &s->blur);
    sbv_close(&s);
    return ret;
}

const sbv_model_info *sbv_model(const sbv_session *session)
{
    return &session->info;
}

int sbv_describe(sbv_session *session, const sbv_stream *stream)
{
    sbv_session *s = session;
    int ret;
    if ((ret = sbv_check_stream(&s->engine, stream)) < 0)
        return ret;
    sbv_flush(s);
    s->described = 0;
    s->engine.stream = *stream;
    sbv_alpha_close(&s->alpha);
    if ((ret = enter(s)) < 0)
        return ret;
    s->engine.ahead = sbv_engine_can_queue(&s->engine);
    s->engine.host_bytes = sbv_alpha_bytes(&s->engine);
    ret = sbv_engine_open_stream(&s->engine);
    if (ret < 0 && s->fallback.possible && stream->memory == SBV_MEMORY_HOST)
        ret = sbv_fall_back(&s->engine, &s->fallback, &s->timeline, ret);
    sbv_engine_leave(&s->engine);
    sbv_keep_close(&s->fallback);
    if (ret >= 0 && (ret = sbv_keep_open(&s->engine, &s->fallback)) >= 0)
        ret = sbv_alpha_open(&s->engine, &s->alpha);
    s->described = ret >= 0;
    return sbv_settle(&s->engine.report, ret);
}

int sbv_ready(const sbv_session *session, int64_t *tag)
{
    const int ret = sbv_window_ready(&session->engine, &session->timeline);
    if (ret == SBV_OK && tag)
        *tag = sbv_slot_of((sbv_engine *)&session->engine, session->timeline.returned)->tag;
    return ret;
}

/* Takes frame number `received` into its slot. */
static int take(sbv_session *s, const sbv_frame *frame)
{
    const int64_t number = s->timeline.received;
    const sbv_slot *before = number > 0 ? sbv_slot_of(&s->engine, number - 1) : NULL;
    sbv_slot *slot = sbv_slot_of(&s->engine, number);
    int ret;
    frame = sbv_alpha_take(&s->engine, &s->alpha, frame, (int)(slot - s->engine.ws.slot));
    sbv_keep_frame(&s->engine, &s->fallback, frame, (int)(slot - s->engine.ws.slot));
    sbv_engine_take_frame(&s->engine, frame, slot);
    slot->tag = frame->tag;
    if ((ret = sbv_window_compare(&s->engine, &s->timeline, slot)) < 0)
        return ret;
    sbv_engine_extract(&s->engine, slot, before);
    if ((ret = sbv_engine_status(&s->engine)) < 0)
        return ret;
    return sbv_window_detect_cut(&s->engine, &s->timeline, slot);
}

int sbv_send(sbv_session *session, const sbv_frame *frame)
{
    sbv_session *s = session;
    int ret;
    if (!s->described)
        return sbv_fail(&s->engine.report, SBV_ERROR_ARGUMENT, "a frame was sent before the stream was described");
    if (s->timeline.ended && frame)
        return sbv_fail(&s->engine.report, SBV_ERROR_ARGUMENT, "a frame was sent after the end of the stream");
    if (!frame) {
        s->timeline.ended = 1;
        return SBV_OK;
    }
    if (sbv_ready(s, NULL) == SBV_OK)
        return SBV_AGAIN;
    if ((ret = sbv_check_frame(&s->engine, frame, 1)) < 0 || (ret = enter(s)) < 0)
        return ret;
    ret = take(s, frame);
    if (ret < 0 && (ret = sbv_fall_back(&s->engine, &s->fallback, &s->timeline, ret)) >= 0)
        ret = take(s, frame);
    sbv_engine_leave(&s->engine);
    if (ret >= 0)
        s->timeline.received++;
    return sbv_settle(&s->engine.report, ret);
}

/* The buffer that a frame is put into. */
static int buffer_of(int64_t frame)
{
    return (int)(frame % SBV_OUTPUT_BUFFERS);
}

/* Restores frame number `queued`, or queues that. */
static int restore(sbv_session *s, const sbv_frame *out)
{
    sbv_engine *e = &s->engine;
    const int64_t frame = s->timeline.queued;
    sbv_slot *window[SBV_MAX_SEQUENCE];
    int ret;
    sbv_window_fill(e, &s->timeline, frame, window);
    if ((ret = sbv_blur_update(e, &s->blur, window, frame)) < 0 ||
        (ret = sbv_adapt(e, &s->adaptation, &s->blur, window, frame)) < 0)
        return ret;
    sbv_engine_restore(e, window, s->blur.side, s->blur.frame, buffer_of(frame), out);
    ret = e->config.cycle ? sbv_blur_judge(e, &s->blur) : sbv_engine_status(e);
    e->repeats.given = ret >= 0;
    s->timeline.queued++;
    return ret;
}

/* Gives back frame number `returned`; a device then has the next one to work on. */
static int give(sbv_session *s, const sbv_frame *out)
{
    sbv_engine *e = &s->engine;
    const sbv_timeline *t = &s->timeline;
    const int64_t last = t->returned + (e->exec.backend ? e->ahead : 0);
    int ret = SBV_OK;
    while (ret >= 0 && t->queued <= last && sbv_window_has(e, t, t->queued))
        ret = restore(s, out);
    if (ret < 0)
        return ret;
    sbv_engine_fetch(e, buffer_of(t->returned), out);
    sbv_alpha_put(e, &s->alpha, (int)(sbv_slot_of(e, t->returned) - e->ws.slot), s->info.place, out);
    return sbv_engine_status(e);
}

int sbv_receive(sbv_session *session, sbv_frame *out)
{
    sbv_session *s = session;
    int64_t tag;
    int ret = sbv_ready(s, &tag);
    if (ret != SBV_OK)
        return ret;
    if ((ret = sbv_check_frame(&s->engine, out, s->engine.network.scale)) < 0 || (ret = enter(s)) < 0)
        return ret;
    out->tag = tag;
    ret = give(s, out);
    if (ret < 0 && (ret = sbv_fall_back(&s->engine, &s->fallback, &s->timeline, ret)) >= 0)
        ret = give(s, out);
    sbv_engine_leave(&s->engine);
    if (ret >= 0)
        s->timeline.returned++;
    return sbv_settle(&s->engine.report, ret);
}

static int estimate_blur(sbv_session *s, float *blur)
{
    sbv_engine *e = &s->engine;
    const sbv_stages stages = {&e->network, &e->exec, &e->ws};
    sbv_slot *window[SBV_MAX_SEQUENCE];
    int ret;
    if (!e->estimates && (ret = sbv_workspace_has_room(
                              &e->ws, sbv_kernel_net_bytes(&e->network, &e->exec, e->stream.width, e->stream.height),
                              "estimating a kernel", &e->report)) < 0)
        return ret;
    sbv_window_fill(e, &s->timeline, s->timeline.returned, window);
    return sbv_run_kernel_net(&stages, window, blur, &e->report);
}

int sbv_estimate_kernel(sbv_session *session, float *blur)
{
    sbv_session *s = session;
    int ret;
    if (!s->engine.network.kernel_net.present)
        return sbv_fail(&s->engine.report, SBV_ERROR_ARGUMENT,
                        "the model has no kernel network (no kernel_net tensors)");
    if ((ret = sbv_ready(s, NULL)) != SBV_OK || (ret = enter(s)) < 0)
        return ret;
    ret = estimate_blur(s, blur);
    if (ret == SBV_ERROR_DEVICE && (ret = sbv_fall_back(&s->engine, &s->fallback, &s->timeline, ret)) >= 0)
        ret = estimate_blur(s, blur);
    sbv_engine_leave(&s->engine);
    return sbv_settle(&s->engine.report, ret);
}

const float *sbv_kernel(const sbv_session *session, int *side)
{
    *side = session->blur.side;
    return *side ? session->blur.values : NULL;
}

int sbv_kernel_is_new(const sbv_session *session)
{
    return session->blur.frame >= 0 && session->blur.frame == session->timeline.returned - 1;
}

double sbv_cycle_psnr(const sbv_session *session)
{
    return session->blur.psnr;
}

void sbv_flush(sbv_session *session)
{
    sbv_window_flush(&session->engine, &session->timeline);
    sbv_blur_flush(&session->blur);
    sbv_adaptation_flush(&session->adaptation);
}

const char *sbv_last_error(const sbv_session *session)
{
    return session->engine.report.last_error;
}

void sbv_close(sbv_session **session)
{
    sbv_session *s = *session;
    if (!s)
        return;
    sbv_engine_close(&s->engine);
    sbv_keep_close(&s->fallback);
    sbv_alpha_close(&s->alpha);
    free(s);
    *session = NULL;
}
