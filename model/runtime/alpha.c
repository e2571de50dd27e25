/*
 * Alpha of the frames in the window: see alpha.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/alpha.h"

#include <stdlib.h>

#include "kernels/alpha.h"

static sbv_map alpha_of(const sbv_engine *e, const sbv_alpha *a, int slot)
{
    const size_t samples = (size_t)e->stream.width * (size_t)e->stream.height;
    return sbv_map_of(a->samples + (size_t)slot * samples, e->stream.width, e->stream.height, 1);
}

size_t sbv_alpha_bytes(const sbv_engine *e)
{
    const size_t samples = (size_t)e->stream.width * (size_t)e->stream.height;
    const size_t slots = (size_t)(e->network.sequence + e->ahead);
    const size_t each = slots * sizeof(float) + (size_t)e->stream.components;
    return e->stream.alpha ? samples * each + sbv_frame_copy_bytes(&e->stream) : 0;
}

int sbv_alpha_open(sbv_engine *e, sbv_alpha *a)
{
    const size_t samples = (size_t)e->stream.width * (size_t)e->stream.height;
    sbv_alpha_close(a);
    if (!e->stream.alpha)
        return SBV_OK;
    a->samples = calloc(samples, (size_t)e->ws.slots * sizeof(*a->samples));
    a->rings = calloc(samples, (size_t)e->stream.components);
    if (!a->samples || !a->rings || sbv_frame_copy_open(&a->filled, &e->stream) < 0) {
        sbv_alpha_close(a);
        return sbv_fail(&e->report, SBV_ERROR_MEMORY, "out of memory: alpha of %d frames", e->ws.slots);
    }
    return SBV_OK;
}

void sbv_alpha_close(sbv_alpha *a)
{
    free(a->samples);
    free(a->rings);
    sbv_frame_copy_close(&a->filled);
    *a = (sbv_alpha){0};
}

static void take_rows(void *args, int begin, int end)
{
    sbv_alpha_in_c(args, begin, end);
}

static void fill_components(void *args, int begin, int end)
{
    sbv_fill_hidden_c(args, begin, end);
}

/* Whether some of a picture is transparent, and some is not. */
static int has_edges(const sbv_map *alpha)
{
    const float *samples = alpha->data;
    const size_t count = (size_t)alpha->w * (size_t)alpha->h;
    for (size_t i = 1; i < count; i++)
        if ((samples[i] > 0) != (samples[0] > 0))
            return 1;
    return 0;
}

const sbv_frame *sbv_alpha_take(const sbv_engine *e, sbv_alpha *a, const sbv_frame *frame, int slot)
{
    if (!a->samples)
        return frame;
    sbv_alpha_in_args in = {.stream = &e->stream, .in = frame, .out = alpha_of(e, a, slot)};
    sbv_parallel(&e->exec, take_rows, &in, in.out.h);
    if (e->stream.alpha != SBV_ALPHA_STRAIGHT || !has_edges(&in.out))
        return frame;
    sbv_fill_args fill = {.stream = &e->stream, .alpha = in.out, .out = &a->filled.frame, .rings = a->rings};
    sbv_frame_copy_take(&a->filled, &e->stream, frame);
    sbv_parallel_jobs(&e->exec, fill_components, &fill, e->stream.components);
    a->filled.frame.tag = frame->tag;
    return &a->filled.frame;
}

static void put_rows(void *args, int begin, int end)
{
    sbv_alpha_out_c(args, begin, end);
}

void sbv_alpha_put(const sbv_engine *e, const sbv_alpha *a, int slot, double place, const sbv_frame *out)
{
    if (!a->samples)
        return;
    sbv_alpha_out_args args = {.stream = &e->stream,
                               .in = alpha_of(e, a, slot),
                               .out = out,
                               .factor = e->network.scale,
                               .place = (float)place};
    sbv_parallel(&e->exec, put_rows, &args, args.in.h * args.factor);
}
