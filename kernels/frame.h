/*
 * The geometry of the planes of a frame, from its description.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_FRAME_H
#define SBV_KERNELS_FRAME_H

#include "model/include/selfblindvsr.h"

/* Whether a frame has component i: those of colour from 0 on, 3 for alpha. */
static inline int sbv_has_component(const sbv_stream *stream, int i)
{
    return i < stream->components || (i == 3 && stream->alpha);
}

/* Bytes of a sample where it is stored. */
static inline int sbv_sample_bytes(const sbv_component *c)
{
    return c->depth == 32 ? 4 : c->depth > 8 ? 2 : 1;
}

/* log2 of the subsampling of component i, horizontally and vertically. */
static inline int sbv_w_log2(const sbv_stream *stream, int i)
{
    return i > 0 && i < 3 && !stream->rgb ? stream->chroma_w_log2 : 0;
}

static inline int sbv_h_log2(const sbv_stream *stream, int i)
{
    return i > 0 && i < 3 && !stream->rgb ? stream->chroma_h_log2 : 0;
}

/* Samples to so many pixels: rounded up. */
static inline int sbv_subsampled(int pixels, int log2)
{
    return (pixels + (1 << log2) - 1) >> log2;
}

/* Bytes of a row, whole steps, and rows of a plane of a frame of width x height; zero rows where no component lies in
 * that plane. */
static inline void sbv_plane_size(const sbv_stream *stream, int width, int height, int plane, size_t *row_bytes,
                                  int *rows)
{
    *row_bytes = 0;
    *rows = 0;
    for (int i = 0; i < 4; i++) {
        const sbv_component *c = &stream->component[i];
        const int w = sbv_subsampled(width, sbv_w_log2(stream, i));
        const int h = sbv_subsampled(height, sbv_h_log2(stream, i));
        const size_t bytes = (size_t)w * (size_t)c->step;
        if (c->plane != plane || !sbv_has_component(stream, i))
            continue;
        *row_bytes = bytes > *row_bytes ? bytes : *row_bytes;
        *rows = h > *rows ? h : *rows;
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

static inline size_t sbv_stride(ptrdiff_t linesize)
{
    return linesize < 0 ? 0 - (size_t)linesize : (size_t)linesize;
}

/* Whether rows of so many bytes lie beside each other, and within the plane's memory where its size is known. */
static inline int sbv_plane_fits(const sbv_frame *frame, int plane, size_t row_bytes, int rows)
{
    const size_t stride = sbv_stride(frame->linesize[plane]), size = frame->size[plane];
    if (!rows)
        return 1;
    if (!frame->data[plane] || (rows > 1 && (stride < row_bytes || stride > PTRDIFF_MAX / (size_t)rows)))
        return 0;
    return !size || (row_bytes <= size && (rows == 1 || (size - row_bytes) / (size_t)(rows - 1) >= stride));
}

#endif /* SBV_KERNELS_FRAME_H */
