/*
 * Bilinear resize, plain C.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/reference/resize_taps.h"
#include "kernels/samples.h"

/* Source position of output sample `at` of `out` when `in` samples are resized, align_corners=False: the centers of the
 * first and the last sample are half a sample from the edges in both sizes. */
static void source(int at, int in, int out, int *first, int *second, float *fraction)
{
    float position = ((float)at + 0.5f) * ((float)in / (float)out) - 0.5f;
    position = position > 0 ? position : 0;
    *first = (int)position < in - 1 ? (int)position : in - 1;
    *second = *first + 1 < in ? *first + 1 : *first;
    *fraction = position - (float)*first;
}

sbv_resize_taps sbv_find_resize_taps(int at, int in, int out, int move)
{
    sbv_resize_taps n = {0};
    for (int i = 0; i < SBV_MOVE_TAPS; i++) {
        const float weight = i == 0 || i == SBV_MOVE_TAPS - 1 ? SBV_MOVE_FAR : SBV_MOVE_NEAR;
        const int tap = at - move / 2 - 1 + i;
        int first, second;
        float fraction;
        source(tap < 0 ? 0 : tap < out ? tap : out - 1, in, out, &first, &second, &fraction);
        if (i == 0)
            n.first = first;
        n.weight[first - n.first] += weight * (1 - fraction);
        n.weight[second - n.first] += weight * fraction;
    }
    return n;
}

static void resize_moved(const sbv_resize_args *a, int begin, int end)
{
    for (int y = begin; y < end; y++) {
        const sbv_resize_taps v = sbv_find_resize_taps(a->y0 + y, a->in.h, a->full_h, a->move);
        for (int x = 0; x < a->out.w; x++) {
            const sbv_resize_taps h = sbv_find_resize_taps(a->x0 + x, a->in.w, a->full_w, a->move);
            for (int c = 0; c < a->in.c; c++) {
                float value = 0;
                for (int i = 0; i < SBV_MOVE_TAPS && v.first + i < a->in.h; i++) {
                    float line = 0;
                    for (int j = 0; j < SBV_MOVE_TAPS && h.first + j < a->in.w; j++)
                        line += h.weight[j] * sbv_at(&a->in, h.first + j, v.first + i)[c];
                    value += v.weight[i] * line;
                }
                sbv_at(&a->out, x, y)[c] = a->gain[c] != 0 ? value * a->gain[c] : value;
            }
        }
    }
}

void sbv_resize_c(const sbv_resize_args *a, int begin, int end)
{
    if (a->move) {
        resize_moved(a, begin, end);
        return;
    }
    for (int y = begin; y < end; y++) {
        int y0, y1, x0, x1;
        float fy, fx;
        source(a->y0 + y, a->in.h, a->full_h, &y0, &y1, &fy);
        for (int x = 0; x < a->out.w; x++) {
            float *out = sbv_at(&a->out, x, y);
            source(a->x0 + x, a->in.w, a->full_w, &x0, &x1, &fx);
            const float *top = sbv_at(&a->in, 0, y0), *bottom = sbv_at(&a->in, 0, y1);
            ptrdiff_t left = x0 * a->in.pixel, right = x1 * a->in.pixel;
            for (int c = 0; c < a->in.c; c++) {
                float value = (1 - fy) * ((1 - fx) * top[left + c] + fx * top[right + c]) +
                              fy * ((1 - fx) * bottom[left + c] + fx * bottom[right + c]);
                out[c] = a->gain[c] != 0 ? value * a->gain[c] : value;
            }
        }
    }
}
