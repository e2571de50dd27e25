/*
 * Bilinear enlargement, vectorised: a row is first interpolated vertically, over as many columns as fit on the stack,
 * then each output pixel is made of two neighbours of that, or four where it is moved, its channels in one vector of
 * four. A store writes a little of the next pixel, which comes next.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/reference/resize_taps.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vec.h"

#define PIECE 128 /* columns of the output, which take no more of an input that is not wider, and two */
#define QUAD  4   /* floats */

typedef float quad __attribute__((vector_size(4 * QUAD), aligned(4), may_alias));

/* Where an output sample lies between two of the input: as in kernels/reference/resize.c. */
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

SBV_INLINE quad gain_of(const sbv_resize_args *a, int channels)
{
    quad gain = {1, 1, 1, 1};
    for (int c = 0; c < channels; c++)
        gain[c] = a->gain[c] != 0 ? a->gain[c] : 1;
    return gain;
}

/* A pixel of a row of which `left` more are to come, itself included. */
SBV_INLINE void store_pixel(const sbv_resize_args *a, float *out, quad value, int left, int channels)
{
    if (a->out.pixel == channels && left * channels >= QUAD)
        *(quad *)out = value;
    else
        for (int c = 0; c < channels; c++)
            out[c] = value[c];
}

/* Output columns x .. x + count - 1 of all rows of a range. */
SBV_INLINE void resize(const sbv_resize_args *a, int x, int count, int begin, int end, int channels)
{
    struct source source[PIECE];
    float line[(PIECE + 2) * SBV_RESIZE_CHANNELS + QUAD] = {0};
    const quad gain = gain_of(a, channels);
    for (int i = 0; i < count; i++)
        source[i] = find_source(a->x0 + x + i, a->in.w, a->full_w);
    const int from = source[0].first, to = source[count - 1].second;
    for (int y = begin; y < end; y++) {
        float *out = sbv_at(&a->out, x, y);
        interpolate_rows(a, y, from, to, channels, line);
        for (int i = 0; i < count; i++, out += a->out.pixel) {
            const quad left = *(const quad *)(line + (source[i].first - from) * channels);
            const quad right = *(const quad *)(line + (source[i].second - from) * channels);
            store_pixel(a, out, (left + source[i].fraction * (right - left)) * gain, count - i, channels);
        }
    }
}

/* The columns from .. to of the input at the height of row y of the moved output. */
SBV_INLINE void move_rows(const sbv_resize_args *a, int y, int from, int to, int channels, float *line)
{
    const sbv_resize_taps v = sbv_find_resize_taps(a->y0 + y, a->in.h, a->full_h, a->move);
    const int values = (to - from + 1) * channels, dense = a->in.pixel == channels;
    const float *row[SBV_MOVE_TAPS];
    int i = 0;
    for (int k = 0; k < SBV_MOVE_TAPS; k++)
        row[k] = sbv_at(&a->in, from, v.first + k < a->in.h ? v.first + k : a->in.h - 1);
    for (; i + SBV_LANES <= values && dense; i += SBV_LANES) {
        vec sum = v.weight[0] * *(const vec *)(row[0] + i);
        for (int k = 1; k < SBV_MOVE_TAPS; k++)
            sum += v.weight[k] * *(const vec *)(row[k] + i);
        *(vec *)(line + i) = sum;
    }
    for (; i < values; i++) {
        const ptrdiff_t at = i / channels * a->in.pixel + i % channels;
        line[i] = v.weight[0] * row[0][at];
        for (int k = 1; k < SBV_MOVE_TAPS; k++)
            line[i] += v.weight[k] * row[k][at];
    }
}

/* The same as resize(), moved. Behind the last column of the input the line is zero. */
SBV_INLINE void resize_moved(const sbv_resize_args *a, int x, int count, int begin, int end, int channels)
{
    sbv_resize_taps taps[PIECE];
    float line[(PIECE + 2 * SBV_MOVE_TAPS) * SBV_RESIZE_CHANNELS + QUAD] = {0};
    const quad gain = gain_of(a, channels);
    for (int i = 0; i < count; i++)
        taps[i] = sbv_find_resize_taps(a->x0 + x + i, a->in.w, a->full_w, a->move);
    const int from = taps[0].first, last = taps[count - 1].first + SBV_MOVE_TAPS - 1;
    for (int y = begin; y < end; y++) {
        float *out = sbv_at(&a->out, x, y);
        move_rows(a, y, from, last < a->in.w ? last : a->in.w - 1, channels, line);
        for (int i = 0; i < count; i++, out += a->out.pixel) {
            const float *column = line + (taps[i].first - from) * channels;
            quad sum = taps[i].weight[0] * *(const quad *)column;
            for (int k = 1; k < SBV_MOVE_TAPS; k++)
                sum += taps[i].weight[k] * *(const quad *)(column + k * channels);
            store_pixel(a, out, sum * gain, count - i, channels);
        }
    }
}

SBV_INLINE void resize_piece(const sbv_resize_args *a, int x, int count, int begin, int end, int channels)
{
    if (a->move)
        resize_moved(a, x, count, begin, end, channels);
    else
        resize(a, x, count, begin, end, channels);
}

/* sbv_resize_sse2, sbv_resize_avx2, sbv_resize_avx512, sbv_resize_neon */
void SBV_CPU_NAME(resize)(const sbv_resize_args *a, int begin, int end)
{
    if (a->in.w > a->full_w) { /* not this network's; not common */
        sbv_resize_c(a, begin, end);
        return;
    }
    for (int x = 0; x < a->out.w; x += PIECE) {
        const int count = a->out.w - x < PIECE ? a->out.w - x : PIECE;
        if (a->in.c == 3)
            resize_piece(a, x, count, begin, end, 3);
        else if (a->in.c == 2)
            resize_piece(a, x, count, begin, end, 2);
        else
            resize_piece(a, x, count, begin, end, 1);
    }
}
