/*
 * Scene cuts.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>

#include "model/session.h"

/* Rows that are summed one after another, whatever the number of threads: a sum depends on its order. */
#define STRIPES 64

struct difference_call {
    sbv_map before, now;
    double sum[STRIPES];
};

static float luma(const float *rgb)
{
    return 0.299f * rgb[0] + 0.587f * rgb[1] + 0.114f * rgb[2];
}

static void sum_stripes(void *arg, int begin, int end)
{
    struct difference_call *call = arg;
    for (int stripe = begin; stripe < end; stripe++)
        for (int y = stripe; y < call->now.h; y += STRIPES)
            for (int x = 0; x < call->now.w; x++)
                call->sum[stripe] += fabsf(luma(call->now.data + y * call->now.row + x * call->now.pixel) -
                                           luma(call->before.data + y * call->before.row + x * call->before.pixel));
}

float sbv_scene_score(const sbv_exec *exec, sbv_map before, sbv_map now, float *change)
{
    struct difference_call call = {.before = before, .now = now};
    double sum = 0;
    sbv_parallel(exec, sum_stripes, &call, STRIPES);
    for (int i = 0; i < STRIPES; i++)
        sum += call.sum[i];
    float mean = (float)(sum / ((double)now.w * now.h)), jump = fabsf(mean - *change);
    *change = mean;
    return mean < jump ? mean : jump;
}
