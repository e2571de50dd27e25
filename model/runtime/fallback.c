/*
 * What happens when the GPU fails: see fallback.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/fallback.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/frame.h"

int sbv_keep_open(sbv_engine *e, sbv_fallback *f)
{
    const sbv_stream *stream = &e->stream;
    size_t size[4], total = 0;
    int rows[4];
    if (!f->possible || stream->memory != SBV_MEMORY_HOST)
        return SBV_OK;
    for (int plane = 0; plane < 4; plane++) {
        sbv_plane_size(stream, stream->width, stream->height, plane, &size[plane], &rows[plane]);
        total += size[plane] * (size_t)rows[plane];
    }
    for (int i = 0; i < e->network.sequence; i++) {
        sbv_kept *kept = &f->kept[i];
        uint8_t *at = kept->memory = malloc(total);
        if (!at)
            return sbv_fail(&e->report, SBV_ERROR_MEMORY, "out of memory: %zu MiB to keep a frame", total >> 20);
        for (int plane = 0; plane < 4; plane++) {
            kept->frame.data[plane] = at;
            kept->frame.linesize[plane] = (ptrdiff_t)size[plane];
            at += size[plane] * (size_t)rows[plane];
        }
    }
    return SBV_OK;
}

void sbv_keep_close(sbv_fallback *f)
{
    for (int i = 0; i < SBV_MAX_SEQUENCE; i++)
        free(f->kept[i].memory);
    memset(f->kept, 0, sizeof(f->kept));
}

void sbv_keep_frame(const sbv_engine *e, sbv_fallback *f, const sbv_frame *frame, int slot)
{
    sbv_kept *kept = &f->kept[slot];
    if (!kept->memory)
        return;
    for (int plane = 0; plane < 4; plane++) {
        size_t bytes;
        int rows;
        sbv_plane_size(&e->stream, e->stream.width, e->stream.height, plane, &bytes, &rows);
        for (int y = 0; y < rows; y++)
            memcpy(kept->frame.data[plane] + y * kept->frame.linesize[plane],
                   frame->data[plane] + y * frame->linesize[plane], bytes);
    }
}

/* The frames of the window again, on the CPU. What is known of them beside their pixels stays. */
static void replay(sbv_engine *e, const sbv_fallback *f, const sbv_timeline *t, const sbv_slot *before)
{
    const int sequence = e->network.sequence;
    for (int64_t i = t->received < sequence ? 0 : t->received - sequence; i < t->received; i++) {
        sbv_slot *slot = &e->ws.slot[i % sequence];
        slot->tag = before[i % sequence].tag;
        slot->first_of_shot = before[i % sequence].first_of_shot;
        sbv_engine_take_frame(e, &f->kept[i % sequence].frame, slot, NULL);
    }
}

int sbv_fall_back(sbv_engine *e, sbv_fallback *f, const sbv_timeline *t, int error)
{
    const char *failure = sbv_backend_message(&e->exec);
    char message[sizeof(e->report.last_error)];
    sbv_slot before[SBV_MAX_SEQUENCE];
    int ret;
    snprintf(message, sizeof(message), "%s", *failure ? failure : e->report.last_error);
    e->report.can_fall_back = 0;
    /* Some failures have been reported where they happened, with what the memory was needed for. */
    if (!f->possible && e->report.reported == error)
        return error;
    if (!f->possible || e->stream.memory != SBV_MEMORY_HOST)
        return sbv_fail(&e->report, error, "%s", message);
    sbv_say(&e->report, SBV_LOG_WARNING, "the GPU cannot go on (%s); going on on the CPU", message);
    memcpy(before, e->ws.slot, sizeof(before));
    sbv_engine_close_backend(e);
    f->possible = 0;
    if ((ret = sbv_exec_choose(&e->exec, e->config.precision, &e->report)) < 0 ||
        (ret = sbv_engine_read_model(e)) < 0 || (e->stream.width && (ret = sbv_engine_open_stream(e)) < 0))
        return ret;
    if (f->kept[0].memory)
        replay(e, f, t, before);
    sbv_keep_close(f);
    return SBV_OK;
}
