/*
 * Bilinear enlargement, vectorised: a row is first interpolated vertically, over as many columns as fit on the stack,
 * then each output pixel is made of two neighbours of that, its channels in one vector of four. A store writes a little
 * of the next pixel, which comes next.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vec.h"

#define PIECE 128 /* columns of the output, which take no more of an input that is not wider, and two */
#define QUAD  4   /* floats */

typedef float quad __attribute__((vector_size(4 * QUAD), aligned(4), may_alias));

/* Where an output sample lies between two of the input: as in kernels/c/resize.c. */
struct source {
    int first, second;
    float fraction;
};

static struct source find_source(int at, int in, int out)
{
    struct source s;
    float position = ((float)at + 0.5f) * ((float)in / (float)out) - 0.5f;
    position = position > 0 ? position : 0;
    s.first = (int)position < in - 1 ? (int)position : in - 1;
    s.second = s.first + 1 < in ? s.first + 1 : s.first;
    s.fraction = position - (float)s.first;
    return s;
}

/* The columns from .. to of the input, brought to the height of row y of the output. */
SBV_INLINE void interpolate_rows(const sbv_resize_args *a, int y, int from, int to, int channels, float *line)
{
    const struct source s = find_source(a->y0 + y, a->in.h, a->full_h);
    const float *top = sbv_at(&a->in, from, s.first), *bottom = sbv_at(&a->in, from, s.second);
    const int pixels = to - from + 1, dense = a->in.pixel == channels;
    int i = 0;
    for (; i + SBV_LANES <= pixels * channels && dense; i += SBV_LANES) {
        const vec above = *(const vec *)(top + i), below = *(const vec *)(bottom + i);
        *(vec *)(line + i) = above + s.fraction * (below - above);
    }
    for (; i < pixels * channels; i++) {
        const ptrdiff_t at = i / channels * a->in.pixel + i % channels;
        line[i] = top[at] + s.fraction * (bottom[at] - top[at]);
    }
}

/* Output columns x .. x + count - 1 of all rows of a range. */
SBV_INLINE void resize(const sbv_resize_args *a, int x, int count, int begin, int end, int channels)
{
    struct source source[PIECE];
    float line[(PIECE + 2) * SBV_RESIZE_CHANNELS + QUAD] = {0};
    quad gain = {1, 1, 1, 1};
    for (int c = 0; c < channels; c++)
        gain[c] = a->gain[c] != 0 ? a->gain[c] : 1;
    for (int i = 0; i < count; i++)
        source[i] = find_source(a->x0 + x + i, a->in.w, a->full_w);
    const int from = source[0].first, to = source[count - 1].second;
    for (int y = begin; y < end; y++) {
        float *out = sbv_at(&a->out, x, y);
        interpolate_rows(a, y, from, to, channels, line);
        for (int i = 0; i < count; i++, out += a->out.pixel) {
            const quad left = *(const quad *)(line + (source[i].first - from) * channels);
            const quad right = *(const quad *)(line + (source[i].second - from) * channels);
            const quad value = (left + source[i].fraction * (right - left)) * gain;
            if (a->out.pixel == channels && (count - i) * channels >= QUAD)
                *(quad *)out = value;
            else
                for (int c = 0; c < channels; c++)
                    out[c] = value[c];
        }
    }
}

void SBV_CPU_NAME(resize)(const sbv_resize_args *a, int begin, int end)
{
    if (a->in.w > a->full_w || a->move) { /* not this network's; not common */
        sbv_resize_c(a, begin, end);
        return;
    }
    for (int x = 0; x < a->out.w; x += PIECE) {
        const int count = a->out.w - x < PIECE ? a->out.w - x : PIECE;
        if (a->in.c == 3)
            resize(a, x, count, begin, end, 3);
        else if (a->in.c == 2)
            resize(a, x, count, begin, end, 2);
        else
            resize(a, x, count, begin, end, 1);
    }
}
