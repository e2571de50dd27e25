/*
 * Checks of what a caller asks for: see config.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/config.h"

#include <limits.h>

#include "kernels/frame.h"

/* A member that there is not yet: a program that sets it wants what this library does not know. */
static int refuse_reserved(sbv_engine *e, size_t index, int64_t value, const char *of)
{
    return sbv_fail(&e->report, SBV_ERROR_ARGUMENT, "reserved[%zu] of the %s is %lld, not 0: initialise all of it",
                    index, of, (long long)value);
}

int sbv_check_config(sbv_engine *e)
{
    const sbv_config *c = &e->config;
    if ((int)c->border < SBV_BORDER_REPLICATE || c->border > SBV_BORDER_NONE)
        return sbv_fail(&e->report, SBV_ERROR_ARGUMENT, "border %d: out of range %d to %d", (int)c->border,
                        SBV_BORDER_REPLICATE, SBV_BORDER_NONE);
    if ((int)c->phase < SBV_PHASE_AUTO || c->phase > SBV_PHASE_MODEL)
        return sbv_fail(&e->report, SBV_ERROR_ARGUMENT, "phase %d: out of range %d to %d", (int)c->phase,
                        SBV_PHASE_AUTO, SBV_PHASE_MODEL);
    if (!(c->scene >= 0 && c->scene <= 1))
        return sbv_fail(&e->report, SBV_ERROR_ARGUMENT, "scene %g: out of range 0 to 1", (double)c->scene);
    if (c->tile != 0 && (c->tile < SBV_TILE_MIN || c->tile > SBV_TILE_MAX))
        return sbv_fail(&e->report, SBV_ERROR_ARGUMENT, "tile %d: neither 0 nor in the range %d to %d", c->tile,
                        SBV_TILE_MIN, SBV_TILE_MAX);
    if (c->max_memory < 0)
        return sbv_fail(&e->report, SBV_ERROR_ARGUMENT, "max_memory %lld: less than 0", (long long)c->max_memory);
    if (c->refine < 0 || c->refine > SBV_REFINE_MAX)
        return sbv_fail(&e->report, SBV_ERROR_ARGUMENT, "refine %d: out of range 0 to %d", c->refine, SBV_REFINE_MAX);
    if (c->kernel_interval < 0 || c->kernel_interval > SBV_KERNEL_INTERVAL_MAX)
        return sbv_fail(&e->report, SBV_ERROR_ARGUMENT, "kernel_interval %d: out of range 0 to %d", c->kernel_interval,
                        SBV_KERNEL_INTERVAL_MAX);
    if (c->adapt_interval < 0 || c->adapt_interval > SBV_ADAPT_INTERVAL_MAX)
        return sbv_fail(&e->report, SBV_ERROR_ARGUMENT, "adapt_interval %lld: out of range 0 to %d",
                        (long long)c->adapt_interval, SBV_ADAPT_INTERVAL_MAX);
    if (c->start_number < 0 || c->start_number > SBV_START_NUMBER_MAX)
        return sbv_fail(&e->report, SBV_ERROR_ARGUMENT, "start_number %lld: out of range 0 to %lld",
                        (long long)c->start_number, (long long)SBV_START_NUMBER_MAX);
    for (size_t i = 0; i < sizeof(c->reserved) / sizeof(*c->reserved); i++)
        if (c->reserved[i])
            return refuse_reserved(e, i, c->reserved[i], "configuration");
    return SBV_OK;
}

static int check_components(sbv_engine *e, const sbv_stream *stream)
{
    for (int i = 0; i < 4; i++) {
        const sbv_component *c = &stream->component[i];
        const int bytes = sbv_sample_bytes(c), whole = c->depth == 8 || c->depth == 32;
        if (!sbv_has_component(stream, i))
            continue;
        if ((c->depth != 32 && (c->depth < 8 || c->depth > 16)) || c->shift < 0 || c->shift > 8 * bytes - c->depth ||
            (whole && c->shift) || c->plane < 0 || c->plane > 3 || c->step < bytes || c->step > SBV_STEP_MAX ||
            c->offset < 0 || c->offset > c->step - bytes)
            return sbv_fail(
                &e->report, SBV_ERROR_ARGUMENT,
                "component %d: depth %d, shift %d, plane %d, step %d, offset %d do not describe samples of 8 "
                "to 16 bits or floats",
                i, c->depth, c->shift, c->plane, c->step, c->offset);
    }
    return SBV_OK;
}

int sbv_check_frame(sbv_engine *e, const sbv_frame *frame, int scale)
{
    const int w = e->stream.width * scale, h = e->stream.height * scale;
    if (frame->width != w || frame->height != h)
        return sbv_fail(&e->report, SBV_ERROR_ARGUMENT, "frame of %dx%d: should be %dx%d, as described", frame->width,
                        frame->height, w, h);
    for (int plane = 0; plane < 4; plane++) {
        size_t bytes;
        int rows;
        sbv_plane_size(&e->stream, w, h, plane, &bytes, &rows);
        if (!sbv_plane_fits(frame, plane, bytes, rows))
            return sbv_fail(&e->report, SBV_ERROR_ARGUMENT,
                            "plane %d: %d rows of %zu bytes do not fit into %s%zu bytes with a linesize of %lld", plane,
                            rows, bytes, frame->data[plane] ? "" : "NULL, ", frame->size[plane],
                            (long long)frame->linesize[plane]);
    }
    return SBV_OK;
}

int sbv_check_stream(sbv_engine *e, const sbv_stream *stream)
{
    const int limit = INT_MAX / 4 / e->network.scale;
    if (stream->width < 1 || stream->height < 1 || stream->width > limit || stream->height > limit)
        return sbv_fail(&e->report, SBV_ERROR_ARGUMENT, "frame size %dx%d: out of range 1 to %d", stream->width,
                        stream->height, limit);
    if ((stream->components != 1 && stream->components != 3) || (stream->rgb && stream->components != 3))
        return sbv_fail(&e->report, SBV_ERROR_ARGUMENT, "%d components: 1 (gray) or 3 are known", stream->components);
    if (stream->chroma_w_log2 < 0 || stream->chroma_w_log2 > 1 || stream->chroma_h_log2 < 0 ||
        stream->chroma_h_log2 > 1 || (stream->rgb && (stream->chroma_w_log2 || stream->chroma_h_log2)))
        return sbv_fail(&e->report, SBV_ERROR_ARGUMENT, "chroma subsampling by 2^%d, 2^%d: out of range 0 to 1",
                        stream->chroma_w_log2, stream->chroma_h_log2);
    if (stream->memory != SBV_MEMORY_HOST && (stream->memory != SBV_MEMORY_CUDA || !e->exec.backend))
        return sbv_fail(&e->report, SBV_ERROR_ARGUMENT,
                        "frames in CUDA memory (%d) need backend=cuda, this session works on the %s",
                        (int)stream->memory, e->exec.backend ? e->exec.backend->name : "CPU");
    if ((int)stream->matrix < SBV_MATRIX_BT601 || stream->matrix > SBV_MATRIX_BT2020 ||
        (int)stream->chroma_site < SBV_CHROMA_LEFT || stream->chroma_site > SBV_CHROMA_BOTTOM)
        return sbv_fail(&e->report, SBV_ERROR_ARGUMENT, "matrix %d or chroma site %d is unknown", (int)stream->matrix,
                        (int)stream->chroma_site);
    if ((int)stream->alpha < SBV_ALPHA_NONE || stream->alpha > SBV_ALPHA_PREMULTIPLIED)
        return sbv_fail(&e->report, SBV_ERROR_ARGUMENT, "alpha %d: out of range %d to %d", (int)stream->alpha,
                        SBV_ALPHA_NONE, SBV_ALPHA_PREMULTIPLIED);
    if (stream->alpha && stream->memory != SBV_MEMORY_HOST)
        return sbv_fail(&e->report, SBV_ERROR_ARGUMENT,
                        "alpha in CUDA memory: only that of frames in host memory is known");
    for (size_t i = 0; i < sizeof(stream->reserved) / sizeof(*stream->reserved); i++)
        if (stream->reserved[i])
            return refuse_reserved(e, i, stream->reserved[i], "stream");
    return check_components(e, stream);
}
