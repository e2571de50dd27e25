/*
 * What happens when the GPU fails: see fallback.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/fallback.h"

#include <stdio.h>
#include <string.h>

int sbv_keep_open(sbv_engine *e, sbv_fallback *f)
{
    if (!f->possible || e->stream.memory != SBV_MEMORY_HOST)
        return SBV_OK;
    for (int i = 0; i < e->ws.slots; i++)
        if (sbv_frame_copy_open(&f->kept[i], &e->stream) < 0)
            return sbv_fail(&e->report, SBV_ERROR_MEMORY, "out of memory: copies of the frames of a window");
    return SBV_OK;
}

void sbv_keep_close(sbv_fallback *f)
{
    for (int i = 0; i < SBV_MAX_SLOTS; i++)
        sbv_frame_copy_close(&f->kept[i]);
}

void sbv_keep_frame(const sbv_engine *e, sbv_fallback *f, const sbv_frame *frame, int slot)
{
    if (f->kept[slot].memory)
        sbv_frame_copy_take(&f->kept[slot], &e->stream, frame);
}

/* The frames of the window again, on the CPU. What is known of them beside their pixels stays. */
static void replay(sbv_engine *e, const sbv_fallback *f, const sbv_timeline *t, const sbv_slot *before)
{
    const int slots = e->ws.slots;
    for (int64_t i = t->received < slots ? 0 : t->received - slots; i < t->received; i++) {
        sbv_slot *slot = &e->ws.slot[i % slots];
        slot->tag = before[i % slots].tag;
        slot->first_of_shot = before[i % slots].first_of_shot;
        sbv_engine_take_frame(e, &f->kept[i % slots].frame, slot);
        sbv_engine_extract(e, slot, NULL);
    }
}

int sbv_fall_back(sbv_engine *e, sbv_fallback *f, sbv_timeline *t, int error)
{
    const char *failure = sbv_backend_message(&e->exec);
    char message[sizeof(e->report.last_error)];
    sbv_slot before[SBV_MAX_SLOTS];
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
    t->queued = t->returned;
    e->ahead = t->received ? e->ahead : 0;
    f->possible = 0;
    if ((ret = sbv_exec_choose(&e->exec, e->config.precision, &e->report)) < 0 ||
        (ret = sbv_engine_read_model(e)) < 0 || (e->stream.width && (ret = sbv_engine_open_stream(e)) < 0))
        return ret;
    if (f->kept[0].memory)
        replay(e, f, t, before);
    sbv_keep_close(f);
    return SBV_OK;
}
