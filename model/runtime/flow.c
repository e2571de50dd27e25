/*
 * Optical flow: PWC-Net (Sun et al., CVPR 2018), with as many pyramid levels as the model has. Level l is 2^l times
 * smaller than the image; decoding goes from the coarsest level to level 2.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/stages.h"

/* What the network calls a flow of 1 is this many pixels of the image. */
#define FLOW_UNIT 20.0f

void sbv_extract_pyramid(const sbv_stages *s, sbv_slot *slot)
{
    const sbv_network *n = s->network;
    sbv_workspace *ws = s->ws;
    sbv_map in = sbv_map_of(ws->pyramid.resized, ws->flow_width, ws->flow_height, SBV_COLOURS);
    sbv_resize_args resize = {.in = slot->rgb, .out = in, .full_w = in.w, .full_h = in.h};
    sbv_run_resize(s->exec, &resize, in.h);
    for (int l = 1; l <= n->levels; l++) {
        const sbv_layer *layer = n->extractor[l - 1];
        const int w = ws->flow_width >> l, h = ws->flow_height >> l;
        sbv_map out[SBV_EXTRACTOR_CONVS] = {
            sbv_precise_map(s->exec, ws->pyramid.scratch[0], w, h, layer[0].out),
            sbv_precise_map(s->exec, ws->pyramid.scratch[1], w, h, layer[1].out),
            l > 1 ? slot->pyramid[l - 1] : sbv_precise_map(s->exec, ws->pyramid.first_level, w, h, layer[2].out),
        };
        for (int i = 0; i < SBV_EXTRACTOR_CONVS; i++) {
            sbv_conv_args conv = sbv_conv_of(n, &layer[i], in, out[i], SBV_LEAKY);
            conv.stride = i ? 1 : 2;
            sbv_run_conv(s->exec, &conv, h);
            in = out[i];
        }
    }
}

/* Flows that are estimated at once: from the center frame to as many others. */
struct flows {
    const sbv_stages *s;
    const sbv_slot *center, *other[SBV_MAX_SEQUENCE];
    sbv_map out[SBV_MAX_SEQUENCE];
    int count;
};

/* The dense map of a level, of flow number i. */
static sbv_map dense_map(const struct flows *f, int i, int level)
{
    const sbv_map size = f->center->pyramid[level - 1];
    return sbv_precise_map(f->s->exec, f->s->ws->flow_scratch[i].dense[level - 1], size.w, size.h,
                           f->s->network->decoder[level - 1].features);
}

static sbv_deconv_args deconv_of(const sbv_layer *layer, sbv_map in, sbv_map out)
{
    return (sbv_deconv_args){.in = in, .out = out, .weights = layer->weights, .bias = layer->bias};
}

/* What a level adds to its cost volume, behind it in the dense map: the center frame's features, and the flow and
 * features brought up from the coarser level. warped[i]: the other frame's features, moved by that flow. */
static void prepare_level(const struct flows *f, int level, sbv_map warped[])
{
    const sbv_exec *exec = f->s->exec;
    const sbv_decoder *d = &f->s->network->decoder[level - 1];
    const sbv_map from = f->center->pyramid[level - 1];
    const int at = d->volume_at + SBV_COST_CHANNELS;
    sbv_copy_args copy[SBV_MAX_SEQUENCE];
    sbv_deconv_args up[2 * SBV_MAX_SEQUENCE];
    sbv_warp_args warp[SBV_MAX_SEQUENCE];
    for (int i = 0; i < f->count; i++) {
        const sbv_flow_scratch *scratch = &f->s->ws->flow_scratch[i];
        const sbv_map dense = dense_map(f, i, level), to = f->other[i]->pyramid[level - 1];
        copy[i] = (sbv_copy_args){from, sbv_channels(dense, at, from.c)};
        up[i] = deconv_of(&d->up_flow, scratch->flow[level], sbv_channels(dense, at + from.c, 2));
        up[f->count + i] = deconv_of(&d->up_feat, dense_map(f, i, level + 1), sbv_channels(dense, at + from.c + 2, 2));
        warp[i] = (sbv_warp_args){.in = to,
                                  .out = sbv_precise_map(exec, scratch->warped, to.w, to.h, to.c),
                                  .flow = up[i].out,
                                  .scale = FLOW_UNIT / (float)(1 << level)};
        warped[i] = warp[i].out;
    }
    sbv_run_copy_batch(exec, copy, f->count, from.h);
    sbv_run_deconv_batch(exec, up, 2 * f->count, from.h);
    sbv_run_warp_batch(exec, warp, f->count, from.h);
}

static void compare_level(const struct flows *f, int level)
{
    sbv_map second[SBV_MAX_SEQUENCE];
    sbv_cost_args cost[SBV_MAX_SEQUENCE];
    for (int i = 0; i < f->count; i++)
        second[i] = f->other[i]->pyramid[level - 1];
    if (level < f->s->network->levels)
        prepare_level(f, level, second);
    for (int i = 0; i < f->count; i++)
        cost[i] = (sbv_cost_args){
            .first = f->center->pyramid[level - 1],
            .second = second[i],
            .out = sbv_channels(dense_map(f, i, level), f->s->network->decoder[level - 1].volume_at, SBV_COST_CHANNELS),
            .slope = SBV_LEAKY,
        };
    sbv_run_cost_volume_batch(f->s->exec, cost, f->count, cost[0].first.h);
}

static void decode_level(const struct flows *f, int level)
{
    const sbv_network *n = f->s->network;
    const sbv_decoder *d = &n->decoder[level - 1];
    const int rows = f->center->pyramid[level - 1].h;
    sbv_conv_args conv[SBV_MAX_SEQUENCE];
    compare_level(f, level);
    /* Each convolution reads all that is there and puts its output in front of it. */
    for (int l = 0, at = d->volume_at; l < SBV_DENSE_CONVS; at -= d->dense[l++].out) {
        const sbv_layer *layer = &d->dense[l];
        for (int i = 0; i < f->count; i++) {
            const sbv_map dense = dense_map(f, i, level);
            conv[i] = sbv_conv_of(n, layer, sbv_channels(dense, at, d->features - at),
                                  sbv_channels(dense, at - layer->out, layer->out), SBV_LEAKY);
        }
        sbv_run_conv_batch(f->s->exec, conv, f->count, rows);
    }
    for (int i = 0; i < f->count; i++)
        conv[i] =
            sbv_conv_of(n, &d->flow, dense_map(f, i, level), f->s->ws->flow_scratch[i].flow[level - 1], SBV_LINEAR);
    sbv_run_conv_batch(f->s->exec, conv, f->count, rows);
}

/* Adds the refiner's output to the flow of level 2. */
static void refine(const struct flows *f)
{
    static const int dilation[SBV_REFINER_CONVS] = {1, 2, 4, 8, 16, 1, 1};
    const sbv_network *n = f->s->network;
    sbv_map in[SBV_MAX_SEQUENCE];
    sbv_conv_args conv[SBV_MAX_SEQUENCE];
    for (int i = 0; i < f->count; i++)
        in[i] = dense_map(f, i, 2);
    for (int l = 0; l < SBV_REFINER_CONVS; l++) {
        const int last = l == SBV_REFINER_CONVS - 1;
        for (int i = 0; i < f->count; i++) {
            const sbv_flow_scratch *scratch = &f->s->ws->flow_scratch[i];
            const sbv_map flow = scratch->flow[1];
            const sbv_map out =
                last ? flow : sbv_precise_map(f->s->exec, scratch->refined[l % 2], flow.w, flow.h, n->refiner[l].out);
            conv[i] = sbv_conv_of(n, &n->refiner[l], in[i], out, last ? SBV_LINEAR : SBV_LEAKY);
            conv[i].dilation = conv[i].padding = dilation[l];
            if (last)
                conv[i].residual = flow;
            in[i] = out;
        }
        sbv_run_conv_batch(f->s->exec, conv, f->count, conv[0].out.h);
    }
}

static void enlarge(const struct flows *f)
{
    const sbv_workspace *ws = f->s->ws;
    sbv_resize_args resize[SBV_MAX_SEQUENCE];
    for (int i = 0; i < f->count; i++)
        resize[i] = (sbv_resize_args){
            .in = ws->flow_scratch[i].flow[1],
            .out = f->out[i],
            .gain = {FLOW_UNIT * (float)ws->width / (float)ws->flow_width,
                     FLOW_UNIT * (float)ws->height / (float)ws->flow_height},
            .full_w = ws->width,
            .full_h = ws->height,
        };
    sbv_run_resize_batch(f->s->exec, resize, f->count, ws->height);
}

static void estimate(struct flows *f)
{
    if (!f->count)
        return;
    for (int level = f->s->network->levels; level >= 2; level--)
        decode_level(f, level);
    refine(f);
    enlarge(f);
    f->count = 0;
}

void sbv_estimate_flows(const sbv_stages *s, sbv_slot *const window[])
{
    const int sequence = s->network->sequence, center = sequence / 2;
    struct flows f = {.s = s, .center = window[center]};
    sbv_copy_args copy[SBV_MAX_SEQUENCE];
    int copies = 0;
    for (int i = 0; i < sequence; i++) {
        int same = 0;
        while (same < i && (same == center || window[same]->content != window[i]->content))
            same++;
        if (i == center)
            continue;
        if (same < i) {
            copy[copies++] = (sbv_copy_args){s->ws->flow[same], s->ws->flow[i]};
            continue;
        }
        f.other[f.count] = window[i];
        f.out[f.count++] = s->ws->flow[i];
        if (f.count == s->ws->flows)
            estimate(&f);
    }
    estimate(&f);
    sbv_run_copy_batch(s->exec, copy, copies, s->ws->height);
}
