/*
 * Costs of operations: see cost.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cost.h"

#include <stdio.h>

static const char *const types[] = {[SBV_MAP_F32] = "f32", [SBV_MAP_F16] = "f16", [SBV_MAP_BF16] = "bf16"};

const char *cost_name(enum cost_op op)
{
    static const char *const names[] = {
#define COST_NAME(name, args) #name,
        COST_ALL(COST_NAME)
#undef COST_NAME
    };
    return names[op];
}

static double sample_bytes(const sbv_map *map)
{
    return (double)sbv_sample_size(map->type);
}

static double map_bytes(const sbv_map *map)
{
    return (double)map->w * map->h * map->c * sample_bytes(map);
}

/* "16x9 3>64 f32>bf16" and what all such operations read and write. */
static cost between(const sbv_map *in, const sbv_map *out)
{
    cost c = {.bytes = map_bytes(in) + map_bytes(out)};
    int at = snprintf(c.shape, sizeof(c.shape), "%dx%d", in->w, in->h);
    if (in->w != out->w || in->h != out->h)
        at += snprintf(c.shape + at, sizeof(c.shape) - (size_t)at, ">%dx%d", out->w, out->h);
    at += snprintf(c.shape + at, sizeof(c.shape) - (size_t)at, in->c == out->c ? " %d" : " %d>%d", in->c, out->c);
    snprintf(c.shape + at, sizeof(c.shape) - (size_t)at, in->type == out->type ? " %s" : " %s>%s", types[in->type],
             types[out->type]);
    return c;
}

static void append(cost *c, const char *format, int value)
{
    size_t at = 0;
    while (c->shape[at])
        at++;
    snprintf(c->shape + at, sizeof(c->shape) - at, format, value);
}

static cost of_conv(const sbv_conv_args *a, int rows)
{
    const double pixels = (double)(a->x1 - a->x0) * rows, taps = (double)a->ksize * a->ksize;
    sbv_map out = a->out;
    out.w = a->x1 - a->x0;
    out.h = rows;
    sbv_map in = a->in;
    in.w = out.w * a->stride;
    in.h = rows * a->stride;
    cost c = between(&in, &out);
    append(&c, " k%d", a->ksize);
    if (a->stride > 1)
        append(&c, " stride %d", a->stride);
    if (a->dilation > 1)
        append(&c, " dilation %d", a->dilation);
    if (a->winograd)
        append(&c, " winograd %d", a->winograd);
    if (a->residual.data) {
        append(&c, " residual", 0);
        c.bytes += pixels * a->out.c * sample_bytes(&a->residual);
    }
    c.flops = 2 * pixels * a->out.c * a->in.c * taps;
    /* The products for a pixel: of a tile by Winograd, the transforms not counted, and by the definition. */
    const double side = a->winograd, products = (side + 2) * (side + 2) / (side * side);
    c.made = a->winograd ? c.flops * products / taps : c.flops;
    c.bytes += (double)a->out.c * a->in.c * taps * sample_bytes(&a->in);
    return c;
}

/* Both convolutions; nothing is to be said of the memory of the hidden map. */
static cost of_residual_block(const sbv_residual_block_args *a, int rows)
{
    const cost first = of_conv(&a->first, rows), second = of_conv(&a->second, rows);
    sbv_map in = a->first.in, out = a->second.out;
    in.h = out.h = rows;
    cost c = between(&in, &out);
    append(&c, " k%d residual", a->second.ksize);
    c.flops = first.flops + second.flops;
    c.made = first.made + second.made;
    c.bytes += ((double)a->first.in.c + a->second.out.c) * a->first.out.c * a->first.ksize * a->second.ksize *
               sample_bytes(&a->first.out);
    return c;
}

static cost of_deconv(const sbv_deconv_args *a)
{
    cost c = between(&a->in, &a->out);
    c.flops = 2.0 * a->out.w * a->out.h * a->out.c * a->in.c * 4; /* of 4x4 taps a pixel meets 2x2 */
    return c;
}

static cost of_cost_volume(const sbv_cost_args *a)
{
    cost c = between(&a->first, &a->out);
    c.flops = 2.0 * a->out.w * a->out.h * SBV_COST_CHANNELS * a->first.c;
    c.bytes += map_bytes(&a->second);
    return c;
}

static cost of_warp(const sbv_warp_args *a)
{
    cost c = between(&a->in, &a->out);
    append(&c, a->clamp ? " clamped" : "", 0);
    /* of the input what is asked for: as much as comes out */
    c.bytes = (double)a->out.w * a->out.h *
              (a->out.c * (sample_bytes(&a->in) + sample_bytes(&a->out)) + 2 * sample_bytes(&a->flow));
    return c;
}

static cost of_shuffle(const sbv_shuffle_args *a)
{
    cost c = between(&a->in, &a->out);
    if (a->add)
        c.bytes += map_bytes(&a->out);
    return c;
}

static cost of_blur(const sbv_map *in, const sbv_map *out, const sbv_map *from, int side)
{
    const sbv_map *small = in->w < out->w ? in : out;
    cost c = between(in, out);
    append(&c, " kernel %d", side);
    c.flops = 2.0 * side * side * small->w * small->h * small->c;
    if (from && from->data)
        c.bytes += map_bytes(from);
    return c;
}

static cost of_vector(int inputs, int outputs, double values)
{
    cost c = {.bytes = 4 * values};
    snprintf(c.shape, sizeof(c.shape), "%d>%d f32", inputs, outputs);
    return c;
}

/* A picture of the stream's kind on the one side, a map of colours on the other. */
static cost of_colour(const sbv_stream *stream, const sbv_map *map)
{
    const double pixels = (double)map->w * map->h, sample = stream->component[0].depth > 8 ? 2 : 1;
    const int log2 = stream->chroma_w_log2 + stream->chroma_h_log2;
    const double chroma = 1.0 / (1 << log2);
    cost c = {.bytes = map_bytes(map) + pixels * sample * (stream->components == 1 ? 1 : 1 + 2 * chroma)};
    snprintf(c.shape, sizeof(c.shape), "%dx%d %s %d bits", map->w, map->h,
             stream->components == 1 ? "gray"
             : stream->rgb           ? "rgb"
             : log2 == 2             ? "yuv420"
             : log2                  ? "yuv422"
                                     : "yuv444",
             stream->component[0].depth);
    return c;
}

static cost of_all(enum cost_op op, const union cost_args *a, int jobs)
{
    cost c;
    switch (op) {
    case COST_conv:
        return of_conv(&a->conv, jobs);
    case COST_residual_block:
        return of_residual_block(&a->residual_block, jobs);
    case COST_deconv:
        return of_deconv(&a->deconv);
    case COST_cost_volume:
        return of_cost_volume(&a->cost_volume);
    case COST_warp:
        return of_warp(&a->warp);
    case COST_resize:
        return between(&a->resize.in, &a->resize.out);
    case COST_pixel_shuffle:
        return of_shuffle(&a->pixel_shuffle);
    case COST_copy:
        return between(&a->copy.in, &a->copy.out);
    case COST_adaptive_pool:
        return between(&a->adaptive_pool.in, &a->adaptive_pool.out);
    case COST_linear:
        return of_vector(a->linear.inputs, jobs, ((double)a->linear.inputs + 1) * jobs);
    case COST_softmax:
        return of_vector(a->softmax.count, a->softmax.count, 2.0 * a->softmax.count);
    case COST_attention:
        c = between(&a->attention.in, &a->attention.out);
        c.bytes += map_bytes(&a->attention.branch);
        return c;
    case COST_difference:
        return between(&a->difference.before, &a->difference.now);
    case COST_blur_down:
        return of_blur(&a->blur_down.in, &a->blur_down.out, &a->blur_down.from, a->blur_down.side);
    case COST_blur_up:
        return of_blur(&a->blur_up.in, &a->blur_up.out, NULL, a->blur_up.side);
    case COST_sum_squares:
        c = between(&a->sum_squares.in, &a->sum_squares.in);
        c.bytes /= 2;
        return c;
    case COST_step:
        return of_vector(2 * a->step.rows + a->step.gradient_rows, 1, 2.0 * a->step.rows + a->step.gradient_rows);
    case COST_advance:
        c = between(&a->advance.in, &a->advance.out);
        c.bytes += map_bytes(&a->advance.out);
        return c;
    case COST_colour_in:
        return of_colour(a->colour_in.stream, &a->colour_in.out);
    case COST_colour_out:
        return of_colour(a->colour_out.stream, &a->colour_out.in);
    case COST_OPS:
        break;
    }
    /* A new operation, which the compiler has warned of: its time is known all the same. */
    return (cost){.shape = "unknown"};
}

/* Rows of what comes out, which its jobs are; 0 where the cost is that of the jobs already. */
static int rows_of(enum cost_op op, const union cost_args *a)
{
    switch (op) {
#define ROWS(name, map)                                                                                                \
    case COST_##name:                                                                                                  \
        return a->name.map.h;
        ROWS(deconv, out)
        ROWS(cost_volume, out)
        ROWS(warp, out)
        ROWS(resize, out)
        ROWS(pixel_shuffle, out)
        ROWS(copy, out)
        ROWS(adaptive_pool, out)
        ROWS(attention, out)
        ROWS(difference, now)
        ROWS(blur_down, out)
        ROWS(blur_up, out)
        ROWS(sum_squares, in)
        ROWS(advance, out)
        ROWS(colour_in, out)
#undef ROWS
    case COST_colour_out:
        return (a->colour_out.in.h + 1) / 2;
    default:
        return 0;
    }
}

cost cost_of(enum cost_op op, const union cost_args *a, int jobs)
{
    const int rows = rows_of(op, a);
    cost c = of_all(op, a, jobs);
    if (op != COST_conv && op != COST_residual_block)
        c.made = c.flops;
    if (rows) {
        c.flops *= (double)jobs / rows;
        c.made *= (double)jobs / rows;
        c.bytes *= (double)jobs / rows;
    }
    return c;
}
