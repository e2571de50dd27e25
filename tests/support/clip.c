/*
 * Short clips, restored from beginning to end: see clip.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "clip.h"

static sbv_frame frame_of(unsigned char *pixels, int width, int height, int64_t tag)
{
    return (sbv_frame){.data = {pixels}, .linesize = {width * 3}, .width = width, .height = height, .tag = tag};
}

/* The pictures that are ready, each to where its turn is: they come in order. */
static int receive(sbv_session *s, int width, int height, int64_t *next, int frames, unsigned char *output)
{
    int64_t tag;
    int ret;
    while ((ret = sbv_ready(s, &tag)) == SBV_OK) {
        if (tag != *next || tag >= frames)
            return SBV_ERROR_ARGUMENT;
        sbv_frame frame = frame_of(output + tag * width * height * 3, width, height, 0);
        if ((ret = sbv_receive(s, &frame)) < 0)
            return ret;
        ++*next;
    }
    return ret == SBV_AGAIN || ret == SBV_END ? SBV_OK : ret;
}

int restore_clip(sbv_session *s, int width, int height, int frames, const unsigned char *input, int scale,
                 unsigned char *output)
{
    sbv_stream stream = {.width = width, .height = height, .components = 3, .rgb = 1};
    int64_t next = 0;
    int ret;
    for (int c = 0; c < 3; c++)
        stream.component[c] = (sbv_component){.step = 3, .offset = c, .depth = 8};
    ret = sbv_describe(s, &stream);
    for (int n = 0; n < frames && ret >= 0; n++) {
        const sbv_frame frame = frame_of((unsigned char *)input + n * width * height * 3, width, height, n);
        if ((ret = sbv_send(s, &frame)) >= 0)
            ret = receive(s, width * scale, height * scale, &next, frames, output);
    }
    return ret < 0 || (ret = sbv_send(s, NULL)) < 0 ? ret
                                                    : receive(s, width * scale, height * scale, &next, frames, output);
}
