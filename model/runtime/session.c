/*
 * Sessions: the window of frames that slides over a stream. See selfblindvsr.h for what the calls do.
 *
 * Frame i of the stream lies in slot i % sequence. Frame t can be restored once frame t + radius is there or the stream
 * has ended; by then no frame older than t - radius is needed, so `sequence` slots are enough.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _POSIX_C_SOURCE 200809L
#include "model/runtime/session.h"

#include "kernels/frame.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define STRING(x)                    #x
#define VERSION(major, minor, patch) STRING(major) "." STRING(minor) "." STRING(patch)

const char *sbv_version(void)
{
    return VERSION(SBV_VERSION_MAJOR, SBV_VERSION_MINOR, SBV_VERSION_PATCH);
}

void sbv_config_default(sbv_config *config)
{
    *config = (sbv_config){.border = SBV_BORDER_REPLICATE};
}

static int check_config(sbv_session *s)
{
    const sbv_config *c = &s->config;
    if ((int)c->border < SBV_BORDER_REPLICATE || c->border > SBV_BORDER_NONE)
        return sbv_fail(&s->report, SBV_ERROR_ARGUMENT, "border %d: out of range %d to %d", (int)c->border,
                        SBV_BORDER_REPLICATE, SBV_BORDER_NONE);
    if ((int)c->phase < SBV_PHASE_AUTO || c->phase > SBV_PHASE_MODEL)
        return sbv_fail(&s->report, SBV_ERROR_ARGUMENT, "phase %d: out of range %d to %d", (int)c->phase,
                        SBV_PHASE_AUTO, SBV_PHASE_MODEL);
    if (!(c->scene >= 0 && c->scene <= 1))
        return sbv_fail(&s->report, SBV_ERROR_ARGUMENT, "scene %g: out of range 0 to 1", (double)c->scene);
    if (c->tile != 0 && (c->tile < SBV_TILE_MIN || c->tile > SBV_TILE_MAX))
        return sbv_fail(&s->report, SBV_ERROR_ARGUMENT, "tile %d: neither 0 nor in the range %d to %d", c->tile,
                        SBV_TILE_MIN, SBV_TILE_MAX);
    if (c->max_memory < 0)
        return sbv_fail(&s->report, SBV_ERROR_ARGUMENT, "max_memory %lld: less than 0", (long long)c->max_memory);
    if (c->refine < 0 || c->refine > SBV_REFINE_MAX)
        return sbv_fail(&s->report, SBV_ERROR_ARGUMENT, "refine %d: out of range 0 to %d", c->refine, SBV_REFINE_MAX);
    if (c->kernel_interval < 0 || c->kernel_interval > SBV_KERNEL_INTERVAL_MAX)
        return sbv_fail(&s->report, SBV_ERROR_ARGUMENT, "kernel_interval %d: out of range 0 to %d", c->kernel_interval,
                        SBV_KERNEL_INTERVAL_MAX);
    return SBV_OK;
}

/* Between enter and leave the device's context is current. */
static int enter(sbv_session *s)
{
    if (s->exec.backend && s->exec.backend->enter(s->exec.backend) < 0)
        return sbv_fall_back(s, SBV_ERROR_DEVICE);
    return SBV_OK;
}

static void leave(sbv_session *s)
{
    if (s->exec.backend)
        s->exec.backend->leave(s->exec.backend);
}

/* What has become of the operations so far. */
static int backend_status(const sbv_session *s)
{
    const char *message;
    return s->exec.backend ? s->exec.backend->status(s->exec.backend, &message) : SBV_OK;
}

static int is_topleft(const char *phase)
{
    return !strcmp(phase, "topleft");
}

int sbv_read_model(sbv_session *s)
{
    sbv_weights weights;
    int ret;
    if ((ret = sbv_weights_open(&weights, s->model_path, &s->report)) < 0)
        return ret;
    ret = sbv_network_open(&s->network, &weights, s->config.phase == SBV_PHASE_AUTO && is_topleft(weights.phase),
                           &s->exec, &s->report);
    if (!s->name) {
        s->name = weights.name;
        s->licence = weights.licence;
        s->phase = weights.phase;
        weights.name = weights.licence = weights.phase = NULL;
    }
    sbv_weights_close(&weights);
    return ret;
}

/* The part of opening that needs the backend to be entered. */
static int open_model(sbv_session *s)
{
    int ret;
    s->model_path = s->config.model_path ? strdup(s->config.model_path) : sbv_default_model();
    s->config.model_path = NULL; /* the caller's string need not live on */
    if (!s->model_path)
        return sbv_fail(&s->report, SBV_ERROR_MEMORY, "out of memory: path of the model");
    ret = s->exec.backend ? s->exec.backend->enter(s->exec.backend) : SBV_OK;
    if (ret >= 0)
        ret = sbv_read_model(s);
    if (ret == SBV_ERROR_DEVICE || (ret == SBV_ERROR_MEMORY && s->can_fall_back))
        ret = sbv_fall_back(s, ret);
    leave(s);
    return ret;
}

int sbv_open(sbv_session **session, const sbv_config *config)
{
    sbv_session *s = calloc(1, sizeof(*s));
    int ret;
    *session = NULL;
    if (!s) {
        sbv_report report = {.log = config->log, .opaque = config->log_opaque};
        return sbv_fail(&report, SBV_ERROR_MEMORY, "out of memory: session");
    }
    s->config = *config;
    s->report.log = config->log;
    s->report.opaque = config->log_opaque;
    if ((ret = check_config(s)) < 0 ||
        (ret = sbv_exec_open(&s->exec, config->threads, config->execute, config->execute_opaque, &s->report)) < 0 ||
        (ret = sbv_choose_backend(s)) < 0 || (ret = open_model(s)) < 0 || (ret = sbv_blur_open(s)) < 0) {
        sbv_close(&s);
        return ret;
    }
    s->info = (sbv_model_info){
        .name = s->name,
        .licence = s->licence,
        .phase = s->phase,
        .place = is_topleft(s->phase) && !s->network.moved ? 0 : (s->network.scale - 1) / 2.0,
        .scale = s->network.scale,
        .sequence = s->network.sequence,
        .features = s->network.features,
        .kernel_size = s->network.kernel.size,
        .parameters = s->network.parameters,
    };
    *session = s;
    return SBV_OK;
}

const sbv_model_info *sbv_model(const sbv_session *session)
{
    return &session->info;
}

static int check_components(sbv_session *s, const sbv_stream *stream)
{
    for (int i = 0; i < stream->components; i++) {
        const sbv_component *c = &stream->component[i];
        if (c->depth < 8 || c->depth > 16 || c->shift < 0 || c->shift > 16 - c->depth || c->plane < 0 || c->plane > 3 ||
            (c->depth == 8 && c->shift) || c->step > SBV_STEP_MAX || c->offset < 0 ||
            c->offset > c->step - (c->depth > 8 ? 2 : 1))
            return sbv_fail(
                &s->report, SBV_ERROR_ARGUMENT,
                "component %d: depth %d, shift %d, plane %d, step %d, offset %d do not describe 8 to 16 bit "
                "samples",
                i, c->depth, c->shift, c->plane, c->step, c->offset);
    }
    return SBV_OK;
}

/* The planes of a frame that the caller gave, before a byte of them is touched. */
static int check_frame(sbv_session *s, const sbv_frame *frame, int scale)
{
    const int w = s->stream.width * scale, h = s->stream.height * scale;
    if (frame->width != w || frame->height != h)
        return sbv_fail(&s->report, SBV_ERROR_ARGUMENT, "frame of %dx%d: should be %dx%d, as described", frame->width,
                        frame->height, w, h);
    for (int plane = 0; plane < 4; plane++) {
        size_t bytes;
        int rows;
        sbv_plane_size(&s->stream, w, h, plane, &bytes, &rows);
        if (!sbv_plane_fits(frame, plane, bytes, rows))
            return sbv_fail(&s->report, SBV_ERROR_ARGUMENT,
                            "plane %d: %d rows of %zu bytes do not fit into %s%zu bytes with a linesize of %lld", plane,
                            rows, bytes, frame->data[plane] ? "" : "NULL, ", frame->size[plane],
                            (long long)frame->linesize[plane]);
    }
    return SBV_OK;
}

static int check_stream(sbv_session *s, const sbv_stream *stream)
{
    const int limit = INT_MAX / 4 / s->network.scale;
    if (stream->width < 1 || stream->height < 1 || stream->width > limit || stream->height > limit)
        return sbv_fail(&s->report, SBV_ERROR_ARGUMENT, "frame size %dx%d: out of range 1 to %d", stream->width,
                        stream->height, limit);
    if ((stream->components != 1 && stream->components != 3) || (stream->rgb && stream->components != 3))
        return sbv_fail(&s->report, SBV_ERROR_ARGUMENT, "%d components: 1 (gray) or 3 are known", stream->components);
    if (stream->chroma_w_log2 < 0 || stream->chroma_w_log2 > 1 || stream->chroma_h_log2 < 0 ||
        stream->chroma_h_log2 > 1 || (stream->rgb && (stream->chroma_w_log2 || stream->chroma_h_log2)))
        return sbv_fail(&s->report, SBV_ERROR_ARGUMENT, "chroma subsampling by 2^%d, 2^%d: out of range 0 to 1",
                        stream->chroma_w_log2, stream->chroma_h_log2);
    if (stream->memory != SBV_MEMORY_HOST && (stream->memory != SBV_MEMORY_CUDA || !s->exec.backend))
        return sbv_fail(&s->report, SBV_ERROR_ARGUMENT,
                        "frames in CUDA memory (%d) need backend=cuda, this session works on the %s",
                        (int)stream->memory, s->exec.backend ? s->exec.backend->name : "CPU");
    if ((int)stream->matrix < SBV_MATRIX_BT601 || stream->matrix > SBV_MATRIX_BT2020 ||
        (int)stream->chroma_site < SBV_CHROMA_LEFT || stream->chroma_site > SBV_CHROMA_BOTTOM)
        return sbv_fail(&s->report, SBV_ERROR_ARGUMENT, "matrix %d or chroma site %d is unknown", (int)stream->matrix,
                        (int)stream->chroma_site);
    return check_components(s, stream);
}

int sbv_open_stream(sbv_session *s)
{
    const sbv_stream *stream = &s->stream;
    sbv_backend *b = s->exec.backend;
    const int other_size = stream->width != s->ws.width || stream->height != s->ws.height;
    const enum sbv_extras extras = s->config.refine  ? SBV_EXTRA_REFINE
                                   : s->config.cycle ? SBV_EXTRA_CYCLE
                                                     : SBV_EXTRA_NONE;
    int ret;
    if (other_size)
        sbv_workspace_close(&s->ws, &s->exec);
    /* First what the frames need, which cannot be less; the workspace can, with smaller tiles. */
    if (b && (ret = b->describe(b, stream, s->network.scale)) < 0)
        return sbv_fail(&s->report, ret, "%s", sbv_backend_message(&s->exec));
    if (other_size) {
        if ((ret = sbv_workspace_open(&s->ws, &s->network, &s->exec, stream->width, stream->height, extras,
                                      s->config.tile, s->config.max_memory, &s->report)) < 0)
            return ret;
        s->blur.uploaded = 0;
        sbv_say(&s->report, SBV_LOG_VERBOSE, "%dx%d: %zu MiB, tiles of %d, %s, %s", stream->width, stream->height,
                (s->ws.bytes >> 20) + 1, s->ws.tile, b ? b->name : s->exec.isa, sbv_precision_name(&s->exec));
    }
    return SBV_OK;
}

int sbv_describe(sbv_session *session, const sbv_stream *stream)
{
    sbv_session *s = session;
    int ret;
    if ((ret = check_stream(s, stream)) < 0)
        return ret;
    sbv_flush(s);
    s->described = 0;
    s->stream = *stream;
    if ((ret = enter(s)) < 0)
        return ret;
    ret = sbv_open_stream(s);
    if (ret < 0 && s->can_fall_back && stream->memory == SBV_MEMORY_HOST)
        ret = sbv_fall_back(s, ret);
    leave(s);
    sbv_keep_close(s);
    if (ret >= 0)
        ret = sbv_keep_open(s);
    s->described = ret >= 0;
    return ret;
}

static int radius(const sbv_session *s)
{
    return s->network.sequence / 2;
}

static sbv_slot *slot_of(sbv_session *s, int64_t frame)
{
    return &s->ws.slot[frame % s->network.sequence];
}

static sbv_stages stages_of(sbv_session *s)
{
    return (sbv_stages){&s->network, &s->exec, &s->ws};
}

int sbv_ready(const sbv_session *session, int64_t *tag)
{
    const sbv_session *s = session;
    const int look_ahead = s->ended && s->config.border != SBV_BORDER_NONE ? 0 : radius(s);
    if (s->returned + look_ahead >= s->received)
        return s->ended ? SBV_END : SBV_AGAIN;
    if (tag)
        *tag = slot_of((sbv_session *)s, s->returned)->tag;
    return SBV_OK;
}

static int detect_cut(sbv_session *s, sbv_slot *slot)
{
    float score = 0;
    int ret = SBV_OK;
    slot->first_of_shot = s->received == 0;
    if (s->config.scene > 0 && s->received > 0)
        ret =
            sbv_scene_score(&s->exec, slot_of(s, s->received - 1)->rgb, slot->rgb, s->ws.row_sums, &s->change, &score);
    if (ret == SBV_ERROR_MEMORY)
        sbv_fail(&s->report, ret, "out of memory: differences between two frames");
    if (score > s->config.scene)
        slot->first_of_shot = 1;
    return ret;
}

/* Runs stages(s, arg) or, on a device, queues what it was under this key before. */
static void run_recorded(sbv_session *s, const void *key, size_t size, void (*stages)(sbv_session *s, void *arg),
                         void *arg)
{
    sbv_backend *b = s->exec.backend;
    do {
        if (b && b->begin(b, key, size))
            break;
        stages(s, arg);
    } while (b && b->end(b));
}

static void extract(sbv_session *s, void *arg)
{
    const sbv_stages stages = stages_of(s);
    sbv_extract_features(&stages, arg);
    sbv_extract_pyramid(&stages, arg);
}

void sbv_take_frame(sbv_session *s, const sbv_frame *frame, sbv_slot *slot, const sbv_slot *before)
{
    sbv_new_place(s, slot);
    const unsigned char key[2] = {'f', (unsigned char)slot->place};
    sbv_colour_in_args colour = {.stream = &s->stream, .in = frame, .out = slot->rgb};
    sbv_run_colour_in(&s->exec, &colour, s->stream.height);
    if (!sbv_repeats(s, slot, before))
        run_recorded(s, key, sizeof(key), extract, slot);
}

/* Takes frame number `received` into its slot. */
static int take(sbv_session *s, const sbv_frame *frame)
{
    sbv_slot *slot = slot_of(s, s->received);
    int ret;
    sbv_keep_frame(s, frame, (int)(slot - s->ws.slot));
    sbv_take_frame(s, frame, slot, s->received > 0 ? slot_of(s, s->received - 1) : NULL);
    slot->tag = frame->tag;
    if ((ret = backend_status(s)) < 0)
        return ret;
    return detect_cut(s, slot);
}

int sbv_send(sbv_session *session, const sbv_frame *frame)
{
    sbv_session *s = session;
    int ret;
    if (!s->described)
        return sbv_fail(&s->report, SBV_ERROR_ARGUMENT, "a frame was sent before the stream was described");
    if (s->ended && frame)
        return sbv_fail(&s->report, SBV_ERROR_ARGUMENT, "a frame was sent after the end of the stream");
    if (!frame) {
        s->ended = 1;
        return SBV_OK;
    }
    if (sbv_ready(s, NULL) == SBV_OK)
        return SBV_AGAIN;
    if ((ret = check_frame(s, frame, 1)) < 0 || (ret = enter(s)) < 0)
        return ret;
    ret = take(s, frame);
    if (ret < 0 && (ret = sbv_fall_back(s, ret)) >= 0)
        ret = take(s, frame);
    leave(s);
    if (ret >= 0)
        s->received++;
    return ret;
}

/* The frames around frame `centre` that are in the window, cut to its shot: *first to *last. */
static void find_shot(sbv_session *s, int64_t centre, int64_t *first, int64_t *last)
{
    int64_t lowest = centre - radius(s) > 0 ? centre - radius(s) : 0;
    int64_t highest = centre + radius(s) < s->received ? centre + radius(s) : s->received - 1;
    *first = *last = centre;
    while (*first > lowest && !slot_of(s, *first)->first_of_shot)
        --*first;
    while (*last < highest && !slot_of(s, *last + 1)->first_of_shot)
        ++*last;
}

/* The frame that stands in for frame `at` of a shot. A shot can be too short to be mirrored: then its end is repeated.
 */
static int64_t stand_in(int64_t at, int64_t first, int64_t last, enum sbv_border border)
{
    if (border == SBV_BORDER_REFLECT)
        at = at < first ? 2 * first - at : at > last ? 2 * last - at : at;
    return at < first ? first : at > last ? last : at;
}

static void fill_window(sbv_session *s, int64_t centre, sbv_slot *window[])
{
    int64_t first, last;
    find_shot(s, centre, &first, &last);
    for (int i = 0; i < s->network.sequence; i++)
        window[i] = slot_of(s, stand_in(centre - radius(s) + i, first, last, s->config.border));
}

/* The flow of each neighbour, once for each: a frame that stands in for several, or repeats, has the same flow. */
static void estimate_flows(sbv_session *s, sbv_slot *const window[])
{
    const sbv_stages stages = stages_of(s);
    const int centre = radius(s);
    for (int i = 0; i < s->network.sequence; i++) {
        int same = 0;
        while (same < i && (same == centre || window[same]->content != window[i]->content))
            same++;
        if (i == centre)
            continue;
        if (same < i) {
            sbv_copy_args copy = {s->ws.flow[same], s->ws.flow[i]};
            sbv_run_copy(&s->exec, &copy, copy.in.h);
        } else {
            sbv_estimate_flow(&stages, window[centre], window[i], s->ws.flow[i]);
        }
    }
}

static void restore(sbv_session *s, void *arg)
{
    const sbv_stages stages = stages_of(s);
    estimate_flows(s, arg);
    sbv_reconstruct(&stages, arg);
}

/* Mean square of what rounding to the bit depth of the stream does to a sample. */
static float rounding(const sbv_stream *stream)
{
    const float codes = (float)((1 << stream->component[0].depth) - 1);
    return 1 / (12 * codes * codes);
}

/* What the picture needs that is not made as it is put out. */
static void finish_picture(sbv_session *s, void *arg)
{
    const sbv_stages stages = stages_of(s);
    if (s->exec.backend)
        sbv_make_picture(&stages, arg);
    if (s->config.refine)
        sbv_refine(&stages, arg, s->blur.side, s->config.refine, rounding(&s->stream));
    if (s->config.cycle)
        sbv_compare_cycle(&stages, arg, s->blur.side);
}

static void put_out(sbv_session *s, const sbv_slot *centre, const sbv_frame *out)
{
    sbv_backend *b = s->exec.backend;
    if (b && !s->ws.output.data) {
        sbv_picture_args picture = {
            .stream = &s->stream, .outputs = s->ws.outputs, .rgb = centre->rgb, .out = out, .factor = s->network.scale};
        b->picture(b, &picture);
    } else {
        sbv_colour_out_args colour = {.stream = &s->stream, .in = s->ws.output, .out = out};
        sbv_run_colour_out(&s->exec, &colour, (s->ws.output.h + 1) / 2);
    }
}

/* Restores frame number `returned`. */
static int give(sbv_session *s, const sbv_frame *out)
{
    sbv_slot *window[SBV_MAX_SEQUENCE];
    unsigned char key[1 + SBV_MAX_SEQUENCE] = {'w'};
    sbv_slot *centre;
    int ret, repeats;
    fill_window(s, s->returned, window);
    centre = window[radius(s)];
    if ((ret = sbv_blur_update(s, window, s->returned)) < 0)
        return ret;
    for (int i = 0; i < s->network.sequence; i++)
        key[1 + i] = (unsigned char)window[i]->place;
    repeats = sbv_window_repeats(s, window);
    if (!repeats)
        run_recorded(s, key, sizeof(key), restore, window);
    if (!repeats && (sbv_uses_blur(&s->config) || (s->exec.backend && s->network.moved))) {
        const unsigned char picture_key[2] = {'p', key[1 + radius(s)]};
        run_recorded(s, picture_key, sizeof(picture_key), finish_picture, centre);
    }
    put_out(s, centre, out);
    ret = s->config.cycle ? sbv_blur_judge(s) : backend_status(s);
    s->repeats.given = ret >= 0;
    return ret;
}

int sbv_receive(sbv_session *session, sbv_frame *out)
{
    sbv_session *s = session;
    int64_t tag;
    int ret = sbv_ready(s, &tag);
    if (ret != SBV_OK)
        return ret;
    if ((ret = check_frame(s, out, s->network.scale)) < 0 || (ret = enter(s)) < 0)
        return ret;
    out->tag = tag;
    ret = give(s, out);
    if (ret < 0 && (ret = sbv_fall_back(s, ret)) >= 0)
        ret = give(s, out);
    leave(s);
    if (ret >= 0)
        s->returned++;
    return ret;
}

static int estimate_kernel(sbv_session *s, float *kernel)
{
    const sbv_stages stages = stages_of(s);
    sbv_slot *window[SBV_MAX_SEQUENCE];
    fill_window(s, s->returned, window);
    return sbv_run_kernel_net(&stages, window, kernel, &s->report);
}

int sbv_estimate_kernel(sbv_session *session, float *kernel)
{
    sbv_session *s = session;
    int ret;
    if (!s->network.kernel.present)
        return sbv_fail(&s->report, SBV_ERROR_ARGUMENT, "the model has no kernel network (no kernel_net tensors)");
    if ((ret = sbv_ready(s, NULL)) != SBV_OK || (ret = enter(s)) < 0)
        return ret;
    ret = estimate_kernel(s, kernel);
    if (ret == SBV_ERROR_DEVICE && (ret = sbv_fall_back(s, ret)) >= 0)
        ret = estimate_kernel(s, kernel);
    leave(s);
    return ret;
}

void sbv_flush(sbv_session *session)
{
    session->received = 0;
    session->returned = session->config.border == SBV_BORDER_NONE ? radius(session) : 0;
    session->ended = 0;
    session->change = 0;
    sbv_blur_flush(session);
}

const char *sbv_last_error(const sbv_session *session)
{
    return session->report.last_error;
}

void sbv_close(sbv_session **session)
{
    sbv_session *s = *session;
    if (!s)
        return;
    if (s->exec.backend)
        s->exec.backend->enter(s->exec.backend);
    sbv_workspace_close(&s->ws, &s->exec);
    sbv_network_close(&s->network, &s->exec);
    sbv_close_backend(s);
    sbv_keep_close(s);
    sbv_exec_close(&s->exec);
    free(s->model_path);
    free(s->name);
    free(s->licence);
    free(s->phase);
    free(s);
    *session = NULL;
}
