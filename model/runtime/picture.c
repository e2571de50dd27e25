/*
 * The picture: the enlarged center frame, and the detail that the network adds to it.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/stages.h"

struct picture {
    const sbv_ops *ops;
    sbv_resize_args base;
    sbv_shuffle_args detail;
};

/* The part of the picture that a rectangle of the frame becomes; outputs: those of the network there. */
static struct picture describe(const sbv_stages *s, const sbv_slot *center, int x, int y, sbv_map outputs)
{
    const int scale = s->network->scale;
    const sbv_map out = sbv_window(s->ws->output, scale * x, scale * y, scale * outputs.w, scale * outputs.h);
    return (struct picture){
        .ops = &s->exec->ops,
        .base = {.in = center->rgb,
                 .out = out,
                 .full_w = s->ws->output.w,
                 .full_h = s->ws->output.h,
                 .x0 = scale * x,
                 .y0 = scale * y,
                 .move = s->network->moved ? scale : 0},
        .detail = {.in = outputs, .out = out, .factor = scale, .add = 1},
    };
}

#define STRIP_BYTES (256 << 10) /* of the picture: a part of a core's second cache */

/* One after the other for a few rows at a time, which are still in the cache when they are added to. */
static void make_rows(void *arg, int begin, int end)
{
    const struct picture *p = arg;
    const ptrdiff_t row_bytes = p->base.out.w * p->base.out.pixel * (ptrdiff_t)sizeof(float);
    const int strip = row_bytes < STRIP_BYTES ? (int)(STRIP_BYTES / row_bytes) : 1;
    for (int y = begin, stop; y < end; y = stop) {
        stop = end - y < strip ? end : y + strip;
        p->ops->resize(&p->base, y, stop);
        p->ops->pixel_shuffle(&p->detail, y, stop);
    }
}

void sbv_put_picture(const sbv_stages *s, const sbv_slot *center, const sbv_tile *tile, sbv_map outputs)
{
    struct picture p = describe(s, center, tile->core_x0, tile->core_y0, outputs);
    sbv_parallel(s->exec, make_rows, &p, p.base.out.h);
}

void sbv_make_picture(const sbv_stages *s, const sbv_slot *center)
{
    const struct picture p = describe(s, center, 0, 0, s->ws->outputs);
    sbv_run_resize(s->exec, &p.base, p.base.out.h);
    sbv_run_pixel_shuffle(s->exec, &p.detail, p.base.out.h);
}
