/*
 * The geometry of the planes of a frame, from its description.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_FRAME_H
#define SBV_KERNELS_FRAME_H

#include "model/include/selfblindvsr.h"

/* Bytes of a row and rows of a plane of a frame of width x height, from the first sample that is used to the last; zero
 * rows where no component lies in that plane. */
static inline void sbv_plane_size(const sbv_stream *stream, int width, int height, int plane, size_t *row_bytes,
                                  int *rows)
{
    *row_bytes = 0;
    *rows = 0;
    for (int i = 0; i < stream->components; i++) {
        const sbv_component *c = &stream->component[i];
        const int chroma = i > 0 && !stream->rgb;
        const int w = chroma ? (width + stream->chroma_w_log2) >> stream->chroma_w_log2 : width;
        const int h = chroma ? (height + stream->chroma_h_log2) >> stream->chroma_h_log2 : height;
        const size_t sample = c->depth + c->shift > 8 ? 2 : 1;
        const size_t bytes = (size_t)c->offset + (size_t)(w - 1) * (size_t)c->step + sample;
        if (c->plane != plane)
            continue;
        *row_bytes = bytes > *row_bytes ? bytes : *row_bytes;
        *rows = h;
    }
}

/* Whether the fourth byte of packed 8-bit R, G, B is padding, which is written as 0xFF: opaque, should a reader take
 * it for alpha. */
static inline int sbv_colour_padded(const sbv_stream *s)
{
    if (!s->rgb || s->components != 3)
        return 0;
    for (int c = 0; c < 3; c++)
        if (s->component[c].plane != s->component[0].plane || s->component[c].step != 4 || s->component[c].depth != 8)
            return 0;
    return 1;
}

#endif /* SBV_KERNELS_FRAME_H */
