/*
 * Warps, plain C. Source: PWC-Net (Sun et al., CVPR 2018).
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/reference/warp_taps.h"
#include "kernels/samples.h"

/* The two taps of a bilinear sample along one axis: positions inside the image, and weights, zero for a tap outside. */
struct axis {
    int position[2];
    float weight[2];
};

static struct axis find_axis(float at, int size)
{
    struct axis t;
    /* Beyond these bounds every tap is outside anyway; NaN becomes such a position too. */
    at = at > -2 ? at : -2;
    at = at < (float)size + 1 ? at : (float)size + 1;
    int whole = (int)at;
    whole -= (float)whole > at;
    float fraction = at - (float)whole;
    for (int i = 0; i < 2; i++) {
        int inside = whole + i >= 0 && whole + i < size;
        t.position[i] = inside ? whole + i : 0;
        t.weight[i] = inside ? (i ? fraction : 1 - fraction) : 0;
    }
    return t;
}

static float clamp_to_image(float at, int size)
{
    at = at > 0 ? at : 0;
    return at < (float)(size - 1) ? at : (float)(size - 1);
}

void sbv_find_warp_taps(const sbv_warp_args *a, int x, int y, int count, sbv_warp_taps *taps)
{
    for (sbv_warp_taps *t = taps; t < taps + count; t++, x++) {
        const void *flow = sbv_pixel(&a->flow, a->x0 + x, a->y0 + y);
        float at_x = (float)(a->x0 + x) + a->scale * sbv_load(flow, a->flow.type, 0);
        float at_y = (float)(a->y0 + y) + a->scale * sbv_load(flow, a->flow.type, 1);
        struct axis h = find_axis(at_x, a->in.w), v = find_axis(at_y, a->in.h);
        t->masked = (h.weight[0] + h.weight[1]) * (v.weight[0] + v.weight[1]) < 0.999f;
        if (a->clamp) {
            h = find_axis(clamp_to_image(at_x, a->in.w), a->in.w);
            v = find_axis(clamp_to_image(at_y, a->in.h), a->in.h);
        }
        for (int i = 0; i < 2; i++) {
            t->x[i] = h.position[i];
            t->y[i] = v.position[i];
        }
        for (int i = 0; i < 4; i++)
            t->weight[i] = h.weight[i % 2] * v.weight[i / 2];
    }
}

void sbv_warp_c(const sbv_warp_args *a, int begin, int end)
{
    for (int y = begin; y < end; y++)
        for (int x = 0; x < a->out.w; x++) {
            sbv_warp_taps t;
            sbv_find_warp_taps(a, x, y, 1, &t);
            for (int c = 0; c < a->in.c; c++) {
                float sum = 0;
                for (int i = 0; i < 4 && !t.masked; i++)
                    sum += sbv_load(sbv_pixel(&a->in, t.x[i % 2], t.y[i / 2]), a->in.type, c) * t.weight[i];
                sbv_store(sbv_pixel(&a->out, x, y), a->out.type, c, sum);
            }
        }
}
