/*
 * Cost volume and warps, plain C. Source: PWC-Net (Sun et al., CVPR 2018).
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>

#include "kernels/c/dot.h"
#include "kernels/ops.h"

void sbv_cost_volume_c(const sbv_cost_args *a, int begin, int end)
{
    const int radius = SBV_COST_RADIUS, channels = a->first.c;
    for (int y = begin; y < end; y++)
        for (int x = 0; x < a->first.w; x++) {
            const void *first = sbv_pixel(&a->first, x, y);
            void *out = sbv_pixel(&a->out, x, y);
            int o = 0;
            for (int sy = y - radius; sy <= y + radius; sy++)
                for (int sx = x - radius; sx <= x + radius; sx++, o++) {
                    float cost = 0;
                    if (sy >= 0 && sy < a->second.h && sx >= 0 && sx < a->second.w)
                        cost = sbv_dot(first, a->first.type, sbv_pixel(&a->second, sx, sy), a->second.type, channels) /
                               (float)channels;
                    sbv_store(out, a->out.type, o, cost > 0 ? cost : a->slope * cost);
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

static void sample(const sbv_map *in, struct taps h, struct taps v, void *out, enum sbv_type type)
{
    const void *top[2], *bottom[2];
    for (int i = 0; i < 2; i++) {
        top[i] = sbv_pixel(in, h.position[i], v.position[0]);
        bottom[i] = sbv_pixel(in, h.position[i], v.position[1]);
    }
    float w00 = h.weight[0] * v.weight[0], w01 = h.weight[1] * v.weight[0];
    float w10 = h.weight[0] * v.weight[1], w11 = h.weight[1] * v.weight[1];
    for (int c = 0; c < in->c; c++)
        sbv_store(out, type, c,
                  sbv_load(top[0], in->type, c) * w00 + sbv_load(top[1], in->type, c) * w01 +
                      sbv_load(bottom[0], in->type, c) * w10 + sbv_load(bottom[1], in->type, c) * w11);
}

void sbv_warp_c(const sbv_warp_args *a, int begin, int end)
{
    for (int y = begin; y < end; y++)
        for (int x = 0; x < a->out.w; x++) {
            const void *flow = sbv_pixel(&a->flow, a->x0 + x, a->y0 + y);
            void *out = sbv_pixel(&a->out, x, y);
            float at_x = (float)(a->x0 + x) + a->scale * sbv_load(flow, a->flow.type, 0);
            float at_y = (float)(a->y0 + y) + a->scale * sbv_load(flow, a->flow.type, 1);
            struct taps h = find_taps(at_x, a->in.w), v = find_taps(at_y, a->in.h);
            float inside = (h.weight[0] + h.weight[1]) * (v.weight[0] + v.weight[1]);
            if (inside < 0.999f) {
                memset(out, 0, (size_t)a->in.c * sbv_sample_size(a->out.type));
                continue;
            }
            if (a->clamp) {
                h = find_taps(clamp_to_image(at_x, a->in.w), a->in.w);
                v = find_taps(clamp_to_image(at_y, a->in.h), a->in.h);
            }
            sample(&a->in, h, v, out, a->out.type);
        }
}
