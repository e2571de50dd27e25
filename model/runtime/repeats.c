/*
 * Frames that repeat: telecine, animation drawn on twos, still pictures. A frame whose colours are those of the frame
 * before has its features and its pyramid, and the flow to it, so it has its memory too. A window of the same colours
 * as the one before gives the same picture, which is still there.
 *
 * A slot's maps lie in one of as many places. A new frame takes a place that no other slot has; there is one, for the
 * other slots are one fewer. What is extracted into a place has a number of its own, by which it is known again.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "model/runtime/session.h"

static void put(sbv_session *s, sbv_slot *slot, int place)
{
    const sbv_slot *home = &s->ws.home[place];
    slot->place = place;
    slot->rgb = home->rgb;
    slot->features = home->features;
    memcpy(slot->pyramid, home->pyramid, sizeof(slot->pyramid));
}

static int is_taken(const sbv_session *s, const sbv_slot *slot, int place)
{
    for (int i = 0; i < s->network.sequence; i++)
        if (&s->ws.slot[i] != slot && s->ws.slot[i].place == place)
            return 1;
    return 0;
}

void sbv_new_place(sbv_session *s, sbv_slot *slot)
{
    int place = (int)(slot - s->ws.slot); /* its own, where that is free */
    for (int other = 0; is_taken(s, slot, place); other++)
        place = other;
    put(s, slot, place);
    slot->content = ++s->repeats.contents;
}

/* Colours in the memory of the host, without gaps. */
static int same_colours(const sbv_map *a, const sbv_map *b)
{
    return !memcmp(a->data, b->data, (size_t)a->w * (size_t)a->h * (size_t)a->c * sizeof(float));
}

int sbv_repeats(sbv_session *s, sbv_slot *slot, const sbv_slot *before)
{
    if (s->repeats.off || !before || s->exec.backend || !same_colours(&slot->rgb, &before->rgb))
        return 0;
    s->repeats.contents--;
    put(s, slot, before->place);
    slot->content = before->content;
    return 1;
}

int sbv_window_repeats(sbv_session *s, sbv_slot *const window[])
{
    struct sbv_repeats *r = &s->repeats;
    int same = !r->off && r->given && r->kernel == s->blur.frame;
    for (int i = 0; i < s->network.sequence; i++) {
        same = same && r->window[i] == window[i]->content;
        r->window[i] = window[i]->content;
    }
    r->kernel = s->blur.frame;
    r->given = 0;
    r->restored += !same;
    return same;
}
