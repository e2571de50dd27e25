/*
 * Launches of the colour kernels: describes frames to them, and sends those in host memory through the staging.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "kernels/colour_codes.h"
#include "kernels/frame.h"
#include "kernels/cuda/colour_params.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/staging.h"

_Static_assert(SBV_COLOUR_SHARED == 19008, "kernels.h says how much shared memory the colour kernels take");
_Static_assert(SBV_STAGING_BAND % SBV_COLOUR_TILE_H == 0, "bands are cut between tiles");

/* Pointers and strides of a target whose groups are written at once are multiples of this many bytes. */
#define TARGET_ALIGN 16

/* ---- Into the network ---- */

static void describe_sources(sbv_colour_in_params *p, const sbv_stream *s, const sbv_frame *frame)
{
    for (int c = 0; c < s->components; c++) {
        const sbv_component *k = &s->component[c];
        const sbv_code_range range = sbv_code_range_of(s, c);
        p->source[c] = (sbv_colour_source){.data = frame->data[k->plane] + k->offset,
                                           .linesize = frame->linesize[k->plane],
                                           .step = k->step,
                                           .shift = k->shift,
                                           .bytes = sbv_sample_bytes(k),
                                           .zero = range.zero,
                                           .gain = 1.0f / range.unit};
    }
}

/* Of two chroma samples at luma positions 2i + site and 2i + 2 + site, the weight of the second at an even luma
 * position (2i + 2) and at an odd one (2i + 1); site in halves. */
static void interpolation(float weight[2], int site)
{
    const float quarters = 0.25f * (float)site;
    weight[0] = 1.0f - quarters;
    weight[1] = 0.5f - quarters;
}

static sbv_colour_in_params in_params(const sbv_colour_in_args *a, const sbv_frame *frame, int rows)
{
    const sbv_stream *s = a->stream;
    const sbv_luma_weights k = sbv_luma_weights_of(s->matrix);
    sbv_colour_in_params p = {
        .out = a->out,
        .w = s->width,
        .h = rows,
        .components = s->components,
        .rgb = s->rgb,
        .sub_w = s->chroma_w_log2,
        .sub_h = s->chroma_h_log2,
        .chroma_w = sbv_subsampled(s->width, s->chroma_w_log2),
        .chroma_h = sbv_subsampled(s->height, s->chroma_h_log2),
        .r_cr = 2.0f * (1.0f - k.r),
        .b_cb = 2.0f * (1.0f - k.b),
    };
    p.g_cr = -p.r_cr * k.r / k.g;
    p.g_cb = -p.b_cb * k.b / k.g;
    interpolation(p.weight_x, sbv_site_x(s->chroma_site));
    interpolation(p.weight_y, sbv_site_y(s->chroma_site));
    describe_sources(&p, s, frame);
    return p;
}

void sbv_colour_in_cuda(sbv_backend *b, const sbv_colour_in_args *a, int jobs)
{
    sbv_cuda *c = (sbv_cuda *)b;
    const int host = a->stream->memory == SBV_MEMORY_HOST;
    const sbv_frame *frame =
        host ? sbv_staging_upload(c->staging, c, a->in, a->stream->width, a->stream->height) : a->in;

    if (!frame)
        return;
    sbv_colour_in_params p = in_params(a, frame, jobs);
    void *params[] = {&p};
    sbv_cuda_launch(c, SBV_KERNEL_COLOUR_IN, sbv_blocks(p.w, SBV_COLOUR_THREADS), SBV_ROWS_Y(p.h), SBV_ROWS_Z(p.h),
                    SBV_COLOUR_THREADS, 0, params);
    if (host)
        sbv_staging_consumed(c->staging);
}

/* ---- Out of the network ---- */

/* Whether the samples of the components first .. last fill elements of `bytes` bytes, or are to be padded to it. */
static int together(const sbv_stream *s, int first, int last)
{
    const sbv_component *k = s->component;
    int bytes = 0, begin = k[first].offset, end = 0;

    for (int c = first; c <= last; c++) {
        if (k[c].plane != k[first].plane || k[c].step != k[first].step)
            return 0;
        bytes += sbv_sample_bytes(&k[c]);
        begin = k[c].offset < begin ? k[c].offset : begin;
        end = k[c].offset + sbv_sample_bytes(&k[c]) > end ? k[c].offset + sbv_sample_bytes(&k[c]) : end;
    }
    return bytes <= 4 && bytes == k[first].step && end - begin == bytes;
}

static int aligned(const sbv_colour_target *t)
{
    return t->step == t->bytes && ((uintptr_t)t->data | (uintptr_t)t->linesize) % TARGET_ALIGN == 0;
}

/* The components first .. last, which have the same size, as the targets from `first` on. */
static void describe_targets(sbv_colour_out_params *p, const sbv_stream *s, const sbv_frame *frame, int first, int last)
{
    const int padded = sbv_colour_padded(s), merged = padded || together(s, first, last);
    int base = padded ? 0 : s->component[first].offset;

    for (int c = first; c <= last && !padded; c++)
        base = s->component[c].offset < base ? s->component[c].offset : base;
    for (int c = first; c <= last; c++) {
        const sbv_component *k = &s->component[c];
        const sbv_code_range range = sbv_code_range_of(s, c);
        const int start = merged ? base : k->offset;
        const int bit = 8 * (k->offset - start) + k->shift;
        const uint32_t mask = padded ? 0xFFu << 8 * (k->offset - start) : 0;
        sbv_colour_target *t = &p->target[merged ? first : c];
        if (!t->bytes)
            *t = (sbv_colour_target){.data = frame->data[k->plane] + start,
                                     .linesize = frame->linesize[k->plane],
                                     .step = k->step,
                                     .bytes = merged ? k->step : sbv_sample_bytes(k),
                                     .padding = padded ? 0xFFFFFFFF : 0};
        t->padding &= ~mask;
        t->aligned = aligned(t);
        p->code[c] = (sbv_colour_code){.zero = range.zero,
                                       .unit = range.unit,
                                       .top = k->depth == 32 ? 0.0f : (float)((1 << k->depth) - 1),
                                       .target = merged ? first : c,
                                       .bit = bit};
    }
}

/* Everything but the rows. */
static sbv_colour_out_params out_params(const sbv_stream *s, const sbv_frame *frame, int w, int h)
{
    static const float alone[4] = {0.0f, 1.0f, 0.0f, 0.0f};
    const sbv_luma_weights k = sbv_luma_weights_of(s->matrix);
    const int chroma = !s->rgb && s->components == 3;
    sbv_colour_out_params p = {
        .w = w,
        .h = h,
        .components = s->components,
        .rgb = s->rgb,
        .sub_w = chroma && s->chroma_w_log2,
        .sub_h = chroma && s->chroma_h_log2,
        .luma_r = k.r,
        .luma_b = k.b,
        .cb_gain = 0.5f / (1.0f - k.b),
        .cr_gain = 0.5f / (1.0f - k.r),
    };
    memcpy(p.filter_x, p.sub_w ? sbv_site_filter[sbv_site_x(s->chroma_site)] : alone, sizeof(p.filter_x));
    memcpy(p.filter_y, p.sub_h ? sbv_site_filter[sbv_site_y(s->chroma_site)] : alone, sizeof(p.filter_y));
    if (s->rgb) {
        describe_targets(&p, s, frame, 0, 2);
    } else {
        describe_targets(&p, s, frame, 0, 0);
        if (chroma)
            describe_targets(&p, s, frame, 1, 2);
    }
    return p;
}

static void convert(sbv_cuda *c, enum sbv_kernel_id kernel, void *params, sbv_colour_out_params *p, int begin, int end)
{
    void *list[] = {params};
    p->y_begin = begin;
    p->y_end = end;
    sbv_cuda_launch(c, kernel, sbv_blocks(p->w, SBV_COLOUR_TILE_W), sbv_blocks(end - begin, SBV_COLOUR_TILE_H), 1,
                    SBV_COLOUR_THREADS, SBV_COLOUR_SHARED, list);
}

/* Runs a kernel over the rows [0, rows) of a frame; `p` is a part of `params`. Frames in host memory are converted band
 * by band, so that the copy of one band overlaps the conversion of the next. */
static void convert_frame(sbv_cuda *c, const sbv_stream *s, const sbv_frame *frame, enum sbv_kernel_id kernel,
                          void *params, sbv_colour_out_params *p, int buffer, int w, int h, int rows)
{
    if (s->memory == SBV_MEMORY_CUDA) {
        *p = out_params(s, frame, w, h);
        convert(c, kernel, params, p, 0, rows);
        return;
    }
    const sbv_frame *device = sbv_staging_begin(c->staging, c, buffer, w, h);
    if (!device)
        return;
    *p = out_params(s, device, w, h);
    for (int begin = 0, end; begin < rows; begin = end) {
        end = sbv_staging_band_end(c->staging, begin, rows);
        convert(c, kernel, params, p, begin, end);
        sbv_staging_download(c->staging, buffer, begin, end);
    }
}

int sbv_fetch_cuda(sbv_backend *b, int buffer, const sbv_frame *out)
{
    sbv_cuda *c = (sbv_cuda *)b;

    if (c->status >= 0)
        sbv_staging_finish(c->staging, buffer, out);
    return c->status;
}

void sbv_colour_out_cuda(sbv_backend *b, const sbv_colour_out_args *a, int jobs)
{
    sbv_colour_map_params p = {.in = a->in};
    const int rows = 2 * jobs < a->in.h ? 2 * jobs : a->in.h;

    convert_frame((sbv_cuda *)b, a->stream, a->out, SBV_KERNEL_COLOUR_OUT, &p, &p.colour, a->buffer, a->in.w, a->in.h,
                  rows);
}

static int in_vectors(const sbv_map *map)
{
    return (uintptr_t)map->data % 16 == 0 && map->pixel % 4 == 0 && map->row % 4 == 0;
}

void sbv_picture_cuda(sbv_backend *b, const sbv_picture_args *a)
{
    sbv_cuda *c = (sbv_cuda *)b;
    sbv_colour_picture_params p = {.outputs = a->outputs, .rgb = a->rgb, .aligned = in_vectors(&a->outputs)};
    const int w = a->rgb.w * a->factor, h = a->rgb.h * a->factor;

    if (a->factor != 2 && a->factor != 4) {
        sbv_cuda_fail(c, SBV_ERROR_DEVICE, "pictures are 2 or 4 times as wide and high, not %d", a->factor);
        return;
    }
    convert_frame(c, a->stream, a->out, a->factor == 2 ? SBV_KERNEL_PICTURE_2 : SBV_KERNEL_PICTURE_4, &p, &p.colour,
                  a->buffer, w, h, h);
}
