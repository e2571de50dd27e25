/*
 * Scene cuts: see scene.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/scene.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/colour_codes.h"

/* Codes of 8 bits from black to white. */
static float luma_codes(const sbv_stream *stream)
{
    return stream->rgb || stream->full_range ? 255 : 219;
}

int sbv_compare_frames(const sbv_exec *exec, const sbv_stream *stream, sbv_map before, sbv_map now, void *sums)
{
    const sbv_luma_weights k = sbv_luma_weights_of(stream->rgb ? SBV_MATRIX_BT601 : stream->matrix);
    const float codes = luma_codes(stream);
    sbv_difference_args difference = {
        .before = before,
        .now = now,
        .out = sums,
        .weight = {codes * k.r, codes * k.g, codes * k.b},
    };
    sbv_run_difference(exec, &difference, now.h);
    return sbv_begin_download(exec, sums, (size_t)now.h * sizeof(float));
}

int sbv_scene_score(const sbv_exec *exec, const sbv_map *now, const void *sums, float *change, float *score)
{
    const size_t size = (size_t)now->h * sizeof(float);
    float *row = malloc(size);
    double sum = 0;
    const int ret = row ? sbv_end_download(exec, row, sums, size) : SBV_ERROR_MEMORY;
    if (ret >= 0) {
        for (int y = 0; y < now->h; y++)
            sum += row[y];
        const float mean = (float)(sum / ((double)now->w * now->h)), jump = fabsf(mean - *change);
        *change = mean;
        *score = fminf(fminf(mean, jump) / 100, 1);
    }
    free(row);
    return ret;
}
