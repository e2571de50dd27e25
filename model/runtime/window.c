/*
 * The window of frames: see window.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/window.h"

#include "model/runtime/scene.h"

void sbv_window_flush(const sbv_engine *e, sbv_timeline *t)
{
    const int64_t first = e->config.border == SBV_BORDER_NONE ? sbv_radius(e) : 0;
    *t = (sbv_timeline){.returned = first, .queued = first};
}

int sbv_window_has(const sbv_engine *e, const sbv_timeline *t, int64_t frame)
{
    const int look_ahead = t->ended && e->config.border != SBV_BORDER_NONE ? 0 : sbv_radius(e);
    return frame + look_ahead < t->received;
}

int sbv_window_ready(const sbv_engine *e, const sbv_timeline *t)
{
    if (sbv_window_has(e, t, t->returned + (t->ended ? 0 : e->ahead)))
        return SBV_OK;
    return t->ended ? SBV_END : SBV_AGAIN;
}

static int is_compared(const sbv_engine *e, const sbv_timeline *t)
{
    return e->config.scene > 0 && t->received > 0;
}

int sbv_window_compare(sbv_engine *e, const sbv_timeline *t, sbv_slot *slot)
{
    if (!is_compared(e, t))
        return SBV_OK;
    return sbv_compare_frames(&e->exec, &e->stream, sbv_slot_of(e, t->received - 1)->rgb, slot->rgb, e->ws.row_sums);
}

int sbv_window_detect_cut(sbv_engine *e, sbv_timeline *t, sbv_slot *slot)
{
    float score = 0;
    int ret = SBV_OK;
    slot->first_of_shot = t->received == 0;
    if (is_compared(e, t))
        ret = sbv_scene_score(&e->exec, &slot->rgb, e->ws.row_sums, &t->change, &score);
    if (ret == SBV_ERROR_MEMORY)
        sbv_fail(&e->report, ret, "out of memory: differences between two frames");
    if (score > e->config.scene)
        slot->first_of_shot = 1;
    return ret;
}

/* The frames around frame `center` that are in the window, cut to its shot: *first to *last. */
static void find_shot(sbv_engine *e, const sbv_timeline *t, int64_t center, int64_t *first, int64_t *last)
{
    int64_t lowest = center - sbv_radius(e) > 0 ? center - sbv_radius(e) : 0;
    int64_t highest = center + sbv_radius(e) < t->received ? center + sbv_radius(e) : t->received - 1;
    *first = *last = center;
    while (*first > lowest && !sbv_slot_of(e, *first)->first_of_shot)
        --*first;
    while (*last < highest && !sbv_slot_of(e, *last + 1)->first_of_shot)
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

void sbv_window_fill(sbv_engine *e, const sbv_timeline *t, int64_t center, sbv_slot *window[])
{
    int64_t first, last;
    find_shot(e, t, center, &first, &last);
    for (int i = 0; i < e->network.sequence; i++)
        window[i] = sbv_slot_of(e, stand_in(center - sbv_radius(e) + i, first, last, e->config.border));
}
