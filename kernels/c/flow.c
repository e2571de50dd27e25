/*
 * Cost volume and warps, plain C. Source: PWC-Net (Sun et al., CVPR 2018).
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <string.h>

#include "kernels/c/dot.h"
#include "kernels/ops.h"

void sbv_cost_volume_c(const sbv_cost_args *a, int begin, int end)
{
    const int radius = SBV_COST_RADIUS, channels = a->first.c;
    for (int y = begin; y < end; y++)
        for (int x = 0; x < a->first.w; x++) {
            const float *first = sbv_at(&a->first, x, y);
            float *out = sbv_at(&a->out, x, y);
            for (int sy = y - radius; sy <= y + radius; sy++)
                for (int sx = x - radius; sx <= x + radius; sx++) {
                    float cost = 0;
                    if (sy >= 0 && sy < a->second.h && sx >= 0 && sx < a->second.w)
                        cost = sbv_dot(first, sbv_at(&a->second, sx, sy), channels) / (float)channels;
                    *out++ = cost > 0 ? cost : a->slope * cost;
                }
        }
}

/* The two taps of a bilinear sample along one axis: positions inside the image, and weights, zero for a tap outside. */
struct taps {
    int position[2];
    float weight[2];
};

static struct taps find_taps(float at, int size)
{
    struct taps t;
    /* Beyond these bounds every tap is outside anyway; NaN becomes such a position too. */
    at = at > -2 ? at : -2;
    at = at < (float)size + 1 ? at : (float)size + 1;
    int whole = (int)floorf(at);
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

static void sample(const sbv_map *in, struct taps h, struct taps v, float *out)
{
    const float *row[2] = {sbv_at(in, 0, v.position[0]), sbv_at(in, 0, v.position[1])};
    ptrdiff_t left = h.position[0] * in->pixel, right = h.position[1] * in->pixel;
    float w00 = h.weight[0] * v.weight[0], w01 = h.weight[1] * v.weight[0];
    float w10 = h.weight[0] * v.weight[1], w11 = h.weight[1] * v.weight[1];
    for (int c = 0; c < in->c; c++)
        out[c] = row[0][left + c] * w00 + row[0][right + c] * w01 + row[1][left + c] * w10 + row[1][right + c] * w11;
}

void sbv_warp_c(const sbv_warp_args *a, int begin, int end)
{
    for (int y = begin; y < end; y++)
        for (int x = 0; x < a->out.w; x++) {
            const float *flow = sbv_at(&a->flow, a->x0 + x, a->y0 + y);
            float *out = sbv_at(&a->out, x, y);
            float at_x = (float)(a->x0 + x) + a->scale * flow[0], at_y = (float)(a->y0 + y) + a->scale * flow[1];
            struct taps h = find_taps(at_x, a->in.w), v = find_taps(at_y, a->in.h);
            float inside = (h.weight[0] + h.weight[1]) * (v.weight[0] + v.weight[1]);
            if (inside < 0.999f) {
                memset(out, 0, (size_t)a->in.c * sizeof(*out));
                continue;
            }
            if (a->clamp) {
                h = find_taps(clamp_to_image(at_x, a->in.w), a->in.w);
                v = find_taps(clamp_to_image(at_y, a->in.h), a->in.h);
            }
            sample(&a->in, h, v, out);
        }
}
