/*
 * Frames that repeat: see repeats.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/repeats.h"

#include <string.h>

static void put(const sbv_workspace *ws, sbv_slot *slot, int place)
{
    const sbv_slot *home = &ws->home[place];
    slot->place = place;
    slot->rgb = home->rgb;
    slot->features = home->features;
    memcpy(slot->pyramid, home->pyramid, sizeof(slot->pyramid));
}

static int is_taken(const sbv_workspace *ws, const sbv_slot *slot, int place)
{
    for (int i = 0; i < ws->slots; i++)
        if (&ws->slot[i] != slot && ws->slot[i].place == place)
            return 1;
    return 0;
}

void sbv_new_place(sbv_workspace *ws, sbv_repeats *r, sbv_slot *slot)
{
    int place = (int)(slot - ws->slot); /* its own, where that is free */
    for (int other = 0; is_taken(ws, slot, place); other++)
        place = other;
    put(ws, slot, place);
    slot->content = ++r->contents;
}

/* Colours in the memory of the host, without gaps. */
static int same_colours(const sbv_map *a, const sbv_map *b)
{
    return !memcmp(a->data, b->data, (size_t)a->w * (size_t)a->h * (size_t)a->c * sizeof(float));
}

int sbv_frame_repeats(sbv_workspace *ws, sbv_repeats *r, sbv_slot *slot, const sbv_slot *before)
{
    if (r->off || !before || !same_colours(&slot->rgb, &before->rgb))
        return 0;
    r->contents--;
    put(ws, slot, before->place);
    slot->content = before->content;
    return 1;
}

int sbv_window_repeats(sbv_repeats *r, sbv_slot *const window[], int sequence, int64_t blur)
{
    int same = !r->off && r->given && r->blur == blur;
    for (int i = 0; i < sequence; i++) {
        same = same && r->window[i] == window[i]->content;
        r->window[i] = window[i]->content;
    }
    r->blur = blur;
    r->given = 0;
    r->restored += !same;
    return same;
}
