/*
 * The engine: see engine.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/engine.h"

#include <stdlib.h>
#include <string.h>

#include "model/runtime/architecture.h"
#include "model/runtime/machine_memory.h"

int sbv_engine_enter(sbv_engine *e)
{
    return e->exec.backend ? e->exec.backend->enter(e->exec.backend) : SBV_OK;
}

void sbv_engine_leave(sbv_engine *e)
{
    if (e->exec.backend)
        e->exec.backend->leave(e->exec.backend);
}

int sbv_engine_status(const sbv_engine *e)
{
    const char *message;
    return e->exec.backend ? e->exec.backend->status(e->exec.backend, &message) : SBV_OK;
}

static int is_topleft(const char *phase)
{
    return !strcmp(phase, "topleft");
}

int sbv_engine_read_model(sbv_engine *e)
{
    sbv_weights weights;
    int ret;
    if ((ret = sbv_weights_open(&weights, e->model_path, &e->report)) < 0)
        return ret;
    ret = sbv_network_open(&e->network, &weights, e->config.phase == SBV_PHASE_AUTO && is_topleft(weights.phase),
                           &e->exec, &e->report);
    if (!e->name) {
        e->name = weights.name;
        e->licence = weights.licence;
        e->phase = weights.phase;
        weights.name = weights.licence = weights.phase = NULL;
    }
    sbv_weights_close(&weights);
    return ret;
}

int sbv_engine_read_header(sbv_engine *e)
{
    sbv_layer **layer = NULL;
    sbv_weights weights;
    int layers, ret;
    if ((ret = sbv_weights_open(&weights, e->model_path, &e->report)) < 0)
        return ret;
    ret = sbv_architecture_read(&e->network, &weights, &e->report, &layer, &layers);
    free(layer);
    sbv_weights_close(&weights);
    return ret;
}

sbv_model_info sbv_engine_model_info(const sbv_engine *e)
{
    const sbv_network *n = &e->network;
    return (sbv_model_info){
        .name = e->name,
        .licence = e->licence,
        .phase = e->phase,
        .place = e->phase && is_topleft(e->phase) && !n->moved ? 0 : (n->scale - 1) / 2.0,
        .scale = n->scale,
        .sequence = n->sequence,
        .features = n->features,
        .kernel_size = n->kernel_net.size,
        .parameters = n->parameters,
        .modulated = n->modulation.present,
    };
}

/* What is allocated beside the workspace, in the memory that it is in. */
static size_t bytes_beside(const sbv_engine *e)
{
    const size_t estimate =
        e->estimates ? sbv_kernel_net_bytes(&e->network, &e->exec, e->stream.width, e->stream.height) : 0;
    return e->exec.backend ? estimate : estimate + e->host_bytes;
}

int sbv_engine_open_stream(sbv_engine *e)
{
    const sbv_stream *stream = &e->stream;
    sbv_backend *b = e->exec.backend;
    const int slots = e->network.sequence + e->ahead;
    const size_t beside = bytes_beside(e);
    const int other_plan = stream->width != e->ws.width || stream->height != e->ws.height || slots != e->ws.slots ||
                           beside != e->ws.beside;
    const enum sbv_extras extras = e->config.refine  ? SBV_EXTRA_REFINE
                                   : e->config.cycle ? SBV_EXTRA_CYCLE
                                                     : SBV_EXTRA_NONE;
    const char *whose = "";
    int ret;
    if (other_plan)
        sbv_workspace_close(&e->ws, &e->exec);
    /* First what the frames need, which cannot be less; the workspace can, with smaller tiles. */
    if (b && (ret = b->describe(b, stream, e->network.scale)) < 0)
        return sbv_fail(&e->report, ret, "%s", sbv_backend_message(&e->exec));
    if (other_plan) {
        const size_t machine = b ? SIZE_MAX / 2 : sbv_machine_memory(&whose);
        const sbv_workspace_request request = {
            .width = stream->width,
            .height = stream->height,
            .slots = slots,
            .extras = extras,
            .adapts = sbv_adapts(e),
            .tile = e->config.tile,
            .max_memory = e->config.max_memory,
            .beside = beside,
            .machine = machine,
            .whose = whose,
        };
        if ((ret = sbv_workspace_open(&e->ws, &e->network, &e->exec, &request, &e->report)) < 0)
            return ret;
        sbv_say(&e->report, SBV_LOG_VERBOSE, "%dx%d: %zu MiB, tiles of %d, %s, %s", stream->width, stream->height,
                ((e->ws.bytes + request.beside) >> 20) + 1, e->ws.tile, b ? b->name : e->exec.isa,
                sbv_precision_name(&e->exec));
    }
    return SBV_OK;
}

static sbv_stages stages_of(sbv_engine *e)
{
    return (sbv_stages){&e->network, &e->exec, &e->ws};
}

/* What a recording is of: the first byte of its key. Numbers of places follow. */
enum recording { RECORD_FRAME = 1, RECORD_WINDOW, RECORD_PICTURE };

/* Of each place of a frame: one as a frame, one as a picture, and one window for each number of frames, none to half
 * the window, that are left of its shot before it and after it. */
#define MOST_NEIGHBOURS (SBV_MAX_SEQUENCE / 2 + 1)
_Static_assert(SBV_MAX_SLOTS *(2 + MOST_NEIGHBOURS * MOST_NEIGHBOURS) <= SBV_MAX_RECORDINGS,
               "there is room for every recording of a stream");
_Static_assert(1 + SBV_MAX_SEQUENCE <= SBV_RECORD_KEY, "there is room for every key");

/* Runs stages(e, arg) or, on a device, queues what it was under this key before. */
static void run_recorded(sbv_engine *e, const void *key, size_t size, void (*stages)(sbv_engine *e, void *arg),
                         void *arg)
{
    sbv_backend *b = e->exec.backend;
    do {
        if (b && b->begin(b, key, size))
            break;
        stages(e, arg);
    } while (b && b->end(b));
}

static void extract(sbv_engine *e, void *arg)
{
    const sbv_stages stages = stages_of(e);
    sbv_extract_features(&stages, arg);
    sbv_extract_pyramid(&stages, arg);
}

void sbv_engine_take_frame(sbv_engine *e, const sbv_frame *frame, sbv_slot *slot)
{
    sbv_new_place(&e->ws, &e->repeats, slot);
    sbv_colour_in_args colour = {.stream = &e->stream, .in = frame, .out = slot->rgb};
    sbv_run_colour_in(&e->exec, &colour, e->stream.height);
}

void sbv_engine_extract(sbv_engine *e, sbv_slot *slot, const sbv_slot *before)
{
    const unsigned char key[2] = {RECORD_FRAME, (unsigned char)slot->place};
    if (e->exec.backend || !sbv_frame_repeats(&e->ws, &e->repeats, slot, before))
        run_recorded(e, key, sizeof(key), extract, slot);
}

static void restore(sbv_engine *e, void *arg)
{
    const sbv_stages stages = stages_of(e);
    sbv_estimate_flows(&stages, arg);
    sbv_reconstruct(&stages, arg);
}

/* Mean square of what rounding to the bit depth of the stream does to a sample. */
static float rounding(const sbv_stream *stream)
{
    const int depth = stream->component[0].depth;
    const float codes = (float)((1 << (depth < 24 ? depth : 24)) - 1); /* floats have 24 bits */
    return 1 / (12 * codes * codes);
}

/* A picture to finish: its center frame, and the side of the blur kernel. */
struct picture_call {
    const sbv_slot *center;
    int side;
};

/* What the picture needs that is not made as it is put out. */
static void finish_picture(sbv_engine *e, void *arg)
{
    const sbv_stages stages = stages_of(e);
    const struct picture_call *call = arg;
    if (e->exec.backend)
        sbv_make_picture(&stages, call->center);
    if (e->config.refine)
        sbv_refine(&stages, call->center, call->side, e->config.refine, rounding(&e->stream));
    if (e->config.cycle)
        sbv_compare_cycle(&stages, call->center, call->side);
}

/* Whether each frame has a picture in ws.output: of a device frames are made of `outputs` where they can be. */
static int makes_pictures(const sbv_engine *e)
{
    return !e->exec.backend || sbv_uses_blur(&e->config) || e->network.moved;
}

static void put_out(sbv_engine *e, const sbv_slot *center, int buffer, const sbv_frame *out)
{
    sbv_backend *b = e->exec.backend;
    if (!makes_pictures(e)) {
        sbv_picture_args picture = {.stream = &e->stream,
                                    .outputs = e->ws.outputs,
                                    .rgb = center->rgb,
                                    .out = out,
                                    .factor = e->network.scale,
                                    .buffer = buffer};
        b->picture(b, &picture);
    } else {
        sbv_colour_out_args colour = {.stream = &e->stream, .in = e->ws.output, .out = out, .buffer = buffer};
        sbv_run_colour_out(&e->exec, &colour, (e->ws.output.h + 1) / 2);
    }
}

/* What restores the window, as it is recorded. */
static void restore_window(sbv_engine *e, sbv_slot *const window[])
{
    unsigned char key[1 + SBV_MAX_SEQUENCE] = {RECORD_WINDOW};
    const int sequence = e->network.sequence;
    for (int i = 0; i < sequence; i++)
        key[1 + i] = (unsigned char)window[i]->place;
    run_recorded(e, key, sizeof(key), restore, (void *)window);
}

void sbv_engine_restore_inside(sbv_engine *e, sbv_slot *const window[])
{
    const sbv_stages stages = stages_of(e);
    restore_window(e, window);
    if (e->exec.backend)
        sbv_make_picture(&stages, window[e->network.sequence / 2]);
    e->repeats.given = 0; /* what was there before is not */
}

void sbv_engine_restore(sbv_engine *e, sbv_slot *const window[], int blur_side, int64_t blur_frame, int buffer,
                        const sbv_frame *out)
{
    const int sequence = e->network.sequence;
    struct picture_call call = {window[sequence / 2], blur_side};
    if (!sbv_window_repeats(&e->repeats, window, sequence, blur_frame)) {
        const unsigned char picture_key[2] = {RECORD_PICTURE, (unsigned char)call.center->place};
        restore_window(e, window);
        if (sbv_uses_blur(&e->config) || (e->exec.backend && e->network.moved))
            run_recorded(e, picture_key, sizeof(picture_key), finish_picture, &call);
    }
    put_out(e, call.center, buffer, out);
}

void sbv_engine_fetch(sbv_engine *e, int buffer, const sbv_frame *out)
{
    if (e->exec.backend && e->stream.memory == SBV_MEMORY_HOST)
        e->exec.backend->fetch(e->exec.backend, buffer, out);
}

int sbv_engine_can_queue(const sbv_engine *e)
{
    return e->exec.backend && e->stream.memory == SBV_MEMORY_HOST && !e->estimates && !sbv_uses_blur(&e->config);
}

void sbv_engine_close_backend(sbv_engine *e)
{
    sbv_workspace_close(&e->ws, &e->exec);
    sbv_network_close(&e->network, &e->exec);
    if (e->exec.backend)
        e->exec.backend->close(e->exec.backend);
    e->exec.backend = NULL;
}

void sbv_engine_close(sbv_engine *e)
{
    sbv_engine_enter(e);
    sbv_engine_close_backend(e);
    sbv_exec_close(&e->exec);
    free(e->model_path);
    free(e->name);
    free(e->licence);
    free(e->phase);
}
