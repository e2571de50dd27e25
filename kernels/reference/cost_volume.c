/*
 * Cost volume, plain C. Source: PWC-Net (Sun et al., CVPR 2018).
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/reference/dot.h"
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
