/*
 * Scene cuts: see scene.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/scene.h"

#include <math.h>
#include <stdlib.h>

int sbv_scene_score(const sbv_exec *exec, sbv_map before, sbv_map now, void *sums, float *change, float *score)
{
    sbv_difference_args difference = {before, now, sums};
    const size_t size = (size_t)now.h * sizeof(float);
    float *row = malloc(size);
    double sum = 0;
    int ret = row ? SBV_OK : SBV_ERROR_MEMORY;
    sbv_run_difference(exec, &difference, now.h);
    if (ret >= 0 && (ret = sbv_download(exec, row, sums, size)) >= 0) {
        for (int y = 0; y < now.h; y++)
            sum += row[y];
        float mean = (float)(sum / ((double)now.w * now.h)), jump = fabsf(mean - *change);
        *change = mean;
        *score = mean < jump ? mean : jump;
    }
    free(row);
    return ret;
}
