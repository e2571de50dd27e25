/*
 * Colour: pixels of a frame <-> R, G, B in floats, for every frame layout that sbv_stream can describe.
 *
 * Y'CbCr follows ITU-R BT.601, BT.709 and BT.2020 (non-constant luminance): with the luma weights Kr + Kg + Kb = 1,
 *     Y' = Kr R' + Kg G' + Kb B',  Cb = (B' - Y') / (2 (1 - Kb)),  Cr = (R' - Y') / (2 (1 - Kr)).
 * Gray is Y' alone. Nothing is clamped on the way in, and on the way out only to what a sample can hold, so that
 * samples below black and above white, and colours outside the RGB cube, come back as they were.
 *
 * Chroma sites (ITU-T H.273, ChromaLocType): chroma sample i sits at luma position 2i + site / 2 along a subsampled
 * axis, site being 0 (on the even luma sample), 1 (half-way) or 2 (on the odd one). Along an axis that is not
 * subsampled it sits on luma sample i.
 *
 * Rows are worked on in pieces that fit on the stack; where a piece ends never changes a value. The strides that are
 * usual are constants in their loops, so that the compiler vectorises them. This source is also compiled once for each
 * instruction set (kernels/cpu/colour.c); without contraction to fused multiply-add, all have the same bits.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "kernels/colour_codes.h"
#include "kernels/numbers.h"
#include "kernels/ops.h"
#include "kernels/frame.h"
#include "kernels/reference/component.h"

#ifndef SBV_COLOUR_NAME
#define SBV_COLOUR_NAME(name) sbv_##name##_c
#endif

/* Pixels in a piece of a row; even, so that a piece starts at a chroma sample. */
#define PIECE 256

/* Y' of a pixel, exactly v where R = G = B = v. */
static inline float luma_of(sbv_luma_weights k, const float *rgb)
{
    return rgb[1] + k.r * (rgb[0] - rgb[1]) + k.b * (rgb[2] - rgb[1]);
}

/* Values of a chroma component at the luma positions x0 .. x0 + count - 1 of row y, interpolated linearly between the
 * samples on either side, the outermost repeated. x0 is even and count at most PIECE. */
static void load_chroma(float *value, const sbv_stream *s, const sbv_frame *frame, int component, int y, int x0,
                        int count)
{
    const int sub_w = s->chroma_w_log2, sub_h = s->chroma_h_log2;
    const int w = sbv_subsampled(s->width, sub_w), h = sbv_subsampled(s->height, sub_h);
    float above[PIECE / 2 + 2], below[PIECE];
    int row = y, next = y;
    float next_weight = 0.0f;

    if (sub_h) {
        const float quarters = 0.25f * (float)sbv_site_y(s->chroma_site);
        row = y & 1 ? y / 2 : y / 2 - 1;
        next = sbv_clamp(row + 1, 0, h - 1);
        row = sbv_clamp(row, 0, h - 1);
        next_weight = y & 1 ? 0.5f - quarters : 1.0f - quarters;
    }

    /* One sample more on either side where the samples have to be interpolated horizontally. */
    const int begin = sub_w ? x0 / 2 - 1 : x0;
    const int end = sub_w ? (x0 + count + 1) / 2 + 1 : x0 + count;
    const int first = sbv_clamp(begin, 0, w - 1), last = sbv_clamp(end, 1, w);
    float *const line = sub_w ? above : value;

    load(line + (first - begin), s, frame, component, row, first, last - first);
    if (next_weight > 0.0f && next != row) {
        load(below, s, frame, component, next, first, last - first);
        for (int i = 0; i < last - first; i++)
            line[first - begin + i] += next_weight * (below[i] - line[first - begin + i]);
    }
    if (!sub_w)
        return;
    if (begin < first)
        line[0] = line[1];
    for (int i = last; i < end; i++)
        line[i - begin] = line[last - 1 - begin];

    const float quarters = 0.25f * (float)sbv_site_x(s->chroma_site);
    for (int i = 0; i < count; i++) {
        const float *pair = line + (i + 1) / 2;
        value[i] = pair[0] + (pair[1] - pair[0]) * (i & 1 ? 0.5f - quarters : 1.0f - quarters);
    }
}

static void rgb_from_ycbcr(float *rgb[3], const float *luma, const float *cb, const float *cr, sbv_luma_weights k,
                           int count)
{
    const float r_cr = 2.0f * (1.0f - k.r), b_cb = 2.0f * (1.0f - k.b);
    const float g_cr = -r_cr * k.r / k.g, g_cb = -b_cb * k.b / k.g;

    for (int i = 0; i < count; i++) {
        rgb[0][i] = luma[i] + r_cr * cr[i];
        rgb[1][i] = luma[i] + g_cb * cb[i] + g_cr * cr[i];
        rgb[2][i] = luma[i] + b_cb * cb[i];
    }
}

/* sbv_colour_in_c, sbv_colour_in_sse2, sbv_colour_in_avx2, sbv_colour_in_avx512, sbv_colour_in_neon */
void SBV_COLOUR_NAME(colour_in)(const sbv_colour_in_args *a, int begin, int end)
{
    const sbv_stream *s = a->stream;
    const sbv_luma_weights k = sbv_luma_weights_of(s->matrix);
    float luma[PIECE], cb[PIECE], cr[PIECE], red[PIECE], green[PIECE], blue[PIECE];

    for (int y = begin; y < end; y++) {
        for (int x = 0; x < s->width; x += PIECE) {
            const int count = sbv_min(PIECE, s->width - x);
            float *rgb[3] = {red, green, blue};
            if (s->components == 1) {
                load(red, s, a->in, 0, y, x, count);
                rgb[1] = rgb[2] = red;
            } else if (s->rgb) {
                for (int c = 0; c < 3; c++)
                    load(rgb[c], s, a->in, c, y, x, count);
            } else {
                load(luma, s, a->in, 0, y, x, count);
                load_chroma(cb, s, a->in, 1, y, x, count);
                load_chroma(cr, s, a->in, 2, y, x, count);
                rgb_from_ycbcr(rgb, luma, cb, cr, k, count);
            }
            float *pixel = sbv_at(&a->out, x, y);
            for (int i = 0; i < count; i++, pixel += a->out.pixel)
                for (int c = 0; c < 3; c++)
                    pixel[c] = rgb[c][i];
        }
    }
}

INLINE void luma_row(float *luma, const float *pixel, ptrdiff_t stride, int count, sbv_luma_weights k)
{
    for (int i = 0; i < count; i++)
        luma[i] = luma_of(k, pixel + i * stride);
}

static void store_luma(const sbv_colour_out_args *a, sbv_luma_weights k, int y)
{
    float luma[PIECE];

    for (int x = 0; x < a->in.w; x += PIECE) {
        const int count = sbv_min(PIECE, a->in.w - x);
        const float *pixel = sbv_at(&a->in, x, y);
        if (a->in.pixel == 3)
            luma_row(luma, pixel, 3, count, k);
        else
            luma_row(luma, pixel, a->in.pixel, count, k);
        store(luma, a->stream, a->out, 0, y, x, count);
    }
}

static void store_rgb(const sbv_colour_out_args *a, int y)
{
    float value[PIECE];

    for (int c = 0; c < 3; c++)
        for (int x = 0; x < a->in.w; x += PIECE) {
            const int count = sbv_min(PIECE, a->in.w - x);
            const float *pixel = sbv_at(&a->in, x, y);
            for (int i = 0; i < count; i++, pixel += a->in.pixel)
                value[i] = pixel[c];
            store(value, a->stream, a->out, c, y, x, count);
        }
}

/* Adds Cb and Cr of a row of pixels, times gains. */
INLINE void chroma_row(float *cb, float *cr, const float *pixel, ptrdiff_t stride, int count, sbv_luma_weights k,
                       float cb_gain, float cr_gain)
{
    for (int i = 0; i < count; i++) {
        const float luma = luma_of(k, pixel + i * stride);
        cb[i] += cb_gain * (pixel[i * stride + 2] - luma);
        cr[i] += cr_gain * (pixel[i * stride] - luma);
    }
}

/* Cb and Cr of the columns first .. first + count - 1, outermost repeated, filtered vertically to chroma row `row`. */
static void filter_vertically(const sbv_colour_out_args *a, sbv_luma_weights k, int row, int first, int count,
                              float *cb, float *cr)
{
    static const float alone[4] = {0.0f, 1.0f, 0.0f, 0.0f};
    const int sub_h = a->stream->chroma_h_log2;
    const float *filter = sub_h ? sbv_site_filter[sbv_site_y(a->stream->chroma_site)] : alone;
    const float cb_gain = 0.5f / (1.0f - k.b), cr_gain = 0.5f / (1.0f - k.r);
    const int begin = sbv_clamp(first, 0, a->in.w - 1) - first, end = sbv_clamp(first + count, 1, a->in.w) - first;

    memset(cb, 0, (size_t)count * sizeof(*cb));
    memset(cr, 0, (size_t)count * sizeof(*cr));
    for (int tap = 0; tap < 4; tap++) {
        if (filter[tap] == 0.0f)
            continue;
        const int y = sbv_clamp((row << sub_h) - 1 + tap, 0, a->in.h - 1);
        const float *pixel = sbv_at(&a->in, (first + begin), y);
        if (a->in.pixel == 3)
            chroma_row(cb + begin, cr + begin, pixel, 3, end - begin, k, filter[tap] * cb_gain, filter[tap] * cr_gain);
        else
            chroma_row(cb + begin, cr + begin, pixel, a->in.pixel, end - begin, k, filter[tap] * cb_gain,
                       filter[tap] * cr_gain);
    }
    for (int i = 0; i < begin; i++) {
        cb[i] = cb[begin];
        cr[i] = cr[begin];
    }
    for (int i = end; i < count; i++) {
        cb[i] = cb[end - 1];
        cr[i] = cr[end - 1];
    }
}

/* Every second value, filtered. */
static void halve(float *restrict out, const float *restrict value, const float *filter, int count)
{
    for (int i = 0; i < count; i++)
        out[i] = 0.0f + filter[0] * value[2 * i] + filter[1] * value[2 * i + 1] + filter[2] * value[2 * i + 2] +
                 filter[3] * value[2 * i + 3];
}

static void store_chroma(const sbv_colour_out_args *a, sbv_luma_weights k, int row)
{
    const int sub_w = a->stream->chroma_w_log2, w = sbv_subsampled(a->in.w, sub_w);
    const float *filter = sbv_site_filter[sbv_site_x(a->stream->chroma_site)];
    float cb[PIECE], cr[PIECE], half_cb[PIECE / 2], half_cr[PIECE / 2];

    /* A piece of PIECE columns gives PIECE / 2 - 1 subsampled values: those at its ends need a column more. */
    const int piece = sub_w ? PIECE / 2 - 1 : PIECE;
    for (int x = 0; x < w; x += piece) {
        const int count = sbv_min(piece, w - x);
        if (!sub_w) {
            filter_vertically(a, k, row, x, count, cb, cr);
        } else {
            filter_vertically(a, k, row, 2 * x - 1, 2 * count + 2, cb, cr);
            halve(half_cb, cb, filter, count);
            halve(half_cr, cr, filter, count);
        }
        store(sub_w ? half_cb : cb, a->stream, a->out, 1, row, x, count);
        store(sub_w ? half_cr : cr, a->stream, a->out, 2, row, x, count);
    }
}

/* sbv_colour_out_c, sbv_colour_out_sse2, sbv_colour_out_avx2, sbv_colour_out_avx512, sbv_colour_out_neon */
void SBV_COLOUR_NAME(colour_out)(const sbv_colour_out_args *a, int begin, int end)
{
    const sbv_stream *s = a->stream;
    const sbv_luma_weights k = sbv_luma_weights_of(s->matrix);
    const int rows_end = sbv_min(2 * end, a->in.h);

    for (int y = 2 * begin; y < rows_end; y++) {
        if (s->rgb) {
            store_rgb(a, y);
            continue;
        }
        store_luma(a, k, y);
        if (s->components == 3 && (!s->chroma_h_log2 || !(y & 1)))
            store_chroma(a, k, y >> s->chroma_h_log2);
    }
}
