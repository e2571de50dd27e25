/*
 * Copies of frames: see frame_copy.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/frame_copy.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/frame.h"

size_t sbv_frame_copy_bytes(const sbv_stream *stream)
{
    size_t total = 0;
    for (int plane = 0; plane < 4; plane++) {
        size_t size;
        int rows;
        sbv_plane_size(stream, stream->width, stream->height, plane, &size, &rows);
        total += size * (size_t)rows;
    }
    return total;
}

int sbv_frame_copy_open(sbv_frame_copy *copy, const sbv_stream *stream)
{
    uint8_t *at = malloc(sbv_frame_copy_bytes(stream));
    *copy = (sbv_frame_copy){.memory = at, .frame = {.width = stream->width, .height = stream->height}};
    for (int plane = 0; plane < 4 && copy->memory; plane++) {
        size_t size;
        int rows;
        sbv_plane_size(stream, stream->width, stream->height, plane, &size, &rows);
        copy->frame.data[plane] = at;
        copy->frame.linesize[plane] = (ptrdiff_t)size;
        at += size * (size_t)rows;
    }
    return copy->memory ? SBV_OK : SBV_ERROR_MEMORY;
}

void sbv_frame_copy_close(sbv_frame_copy *copy)
{
    free(copy->memory);
    memset(copy, 0, sizeof(*copy));
}

void sbv_frame_copy_take(sbv_frame_copy *copy, const sbv_stream *stream, const sbv_frame *frame)
{
    for (int plane = 0; plane < 4; plane++) {
        size_t bytes;
        int rows;
        sbv_plane_size(stream, stream->width, stream->height, plane, &bytes, &rows);
        for (int y = 0; y < rows; y++)
            memcpy(copy->frame.data[plane] + y * copy->frame.linesize[plane],
                   frame->data[plane] + y * frame->linesize[plane], bytes);
    }
}
