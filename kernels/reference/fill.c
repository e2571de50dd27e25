/*
 * Colour under transparent samples: see kernels/alpha.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/alpha.h"
#include "kernels/frame.h"
#include "kernels/reference/component.h"

/* What rings[] holds of a sample: nothing yet, the ring that it belongs to, 1 for what can be seen. */
enum { HIDDEN = 0, SEEN = 1 };

typedef struct plane {
    uint8_t *rings;
    int w, h;
} plane;

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

/* Whether any pixel of a sample of a component is not transparent. */
static int is_seen(const sbv_map *alpha, int x, int y, int w_log2, int h_log2)
{
    const int x_end = min_int((x + 1) << w_log2, alpha->w), y_end = min_int((y + 1) << h_log2, alpha->h);

    for (int v = y << h_log2; v < y_end; v++)
        for (int u = x << w_log2; u < x_end; u++)
            if (*(const float *)sbv_at(alpha, u, v) > 0.0f)
                return 1;
    return 0;
}

/* The mean of the samples around (x, y) that belong to an earlier ring. Returns how many there are. */
static int mean_around(float *mean, const sbv_fill_args *a, int component, const plane *p, int x, int y, int ring)
{
    int count = 0;

    *mean = 0.0f;
    for (int v = y - (y > 0); v <= min_int(y + 1, p->h - 1); v++)
        for (int u = x - (x > 0); u <= min_int(x + 1, p->w - 1); u++) {
            const int other = p->rings[(ptrdiff_t)v * p->w + u];
            float value;
            if (other == HIDDEN || other >= ring)
                continue;
            load(&value, a->stream, a->out, component, v, u, 1);
            *mean += value;
            count++;
        }
    if (count)
        *mean /= (float)count;
    return count;
}

static void fill_component(const sbv_fill_args *a, int component)
{
    const sbv_stream *s = a->stream;
    const int w_log2 = sbv_w_log2(s, component), h_log2 = sbv_h_log2(s, component);
    const plane p = {a->rings + (size_t)component * (size_t)s->width * (size_t)s->height,
                     sbv_subsampled(s->width, w_log2), sbv_subsampled(s->height, h_log2)};
    float mean;

    for (int y = 0; y < p.h; y++)
        for (int x = 0; x < p.w; x++)
            p.rings[(ptrdiff_t)y * p.w + x] = is_seen(&a->alpha, x, y, w_log2, h_log2) ? SEEN : HIDDEN;
    for (int ring = SEEN + 1; ring <= SEEN + SBV_FILL_RINGS; ring++)
        for (int y = 0; y < p.h; y++)
            for (int x = 0; x < p.w; x++) {
                uint8_t *own = &p.rings[(ptrdiff_t)y * p.w + x];
                if (*own != HIDDEN || !mean_around(&mean, a, component, &p, x, y, ring))
                    continue;
                store(&mean, s, a->out, component, y, x, 1);
                *own = (uint8_t)ring;
            }
}

void sbv_fill_hidden_c(const sbv_fill_args *a, int begin, int end)
{
    for (int component = begin; component < end; component++)
        fill_component(a, component);
}
