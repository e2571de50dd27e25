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

static void run_deconv(const sbv_stages *s, const sbv_layer *layer, sbv_map in, sbv_map out)
{
    sbv_deconv_args deconv = {.in = in, .out = out, .weights = layer->weights, .bias = layer->bias};
    sbv_run_deconv(s->exec, &deconv, out.h);
}

/* What a level adds to its cost volume, behind it in the dense map: the first frame's features, and the flow and
 * features brought up from the coarser level. Returns the second frame's features, moved by that flow. */
static sbv_map prepare_level(const sbv_stages *s, const sbv_slot *first, const sbv_slot *second, int level,
                             sbv_map dense)
{
    const sbv_decoder *d = &s->network->decoder[level - 1];
    const sbv_map from = first->pyramid[level - 1], to = second->pyramid[level - 1];
    const int at = d->volume_at + SBV_COST_CHANNELS;
    sbv_map flow = sbv_channels(dense, at + from.c, 2), up = sbv_channels(dense, at + from.c + 2, 2);
    sbv_map coarser = sbv_precise_map(s->exec, s->ws->pyramid.dense[level], dense.w / 2, dense.h / 2, d[1].features);
    sbv_copy_args copy = {from, sbv_channels(dense, at, from.c)};
    sbv_warp_args warp = {
        .in = to,
        .out = sbv_precise_map(s->exec, s->ws->pyramid.warped, to.w, to.h, to.c),
        .flow = flow,
        .scale = FLOW_UNIT / (float)(1 << level),
    };
    sbv_run_copy(s->exec, &copy, from.h);
    run_deconv(s, &d->up_flow, s->ws->pyramid.flow[level], flow);
    run_deconv(s, &d->up_feat, coarser, up);
    sbv_run_warp(s->exec, &warp, to.h);
    return warp.out;
}

static void decode_level(const sbv_stages *s, const sbv_slot *first, const sbv_slot *second, int level)
{
    const sbv_network *n = s->network;
    const sbv_decoder *d = &n->decoder[level - 1];
    const sbv_map from = first->pyramid[level - 1];
    sbv_map dense = sbv_precise_map(s->exec, s->ws->pyramid.dense[level - 1], from.w, from.h, d->features);
    sbv_cost_args cost = {
        .first = from,
        .second = second->pyramid[level - 1],
        .out = sbv_channels(dense, d->volume_at, SBV_COST_CHANNELS),
        .slope = SBV_LEAKY,
    };
    if (level < n->levels)
        cost.second = prepare_level(s, first, second, level, dense);
    sbv_run_cost_volume(s->exec, &cost, from.h);
    /* Each convolution reads all that is there and puts its output in front of it. */
    for (int i = 0, at = d->volume_at; i < SBV_DENSE_CONVS; i++) {
        const sbv_layer *layer = &d->dense[i];
        sbv_conv_args conv = sbv_conv_of(n, layer, sbv_channels(dense, at, d->features - at),
                                         sbv_channels(dense, at - layer->out, layer->out), SBV_LEAKY);
        sbv_run_conv(s->exec, &conv, dense.h);
        at -= layer->out;
    }
    sbv_conv_args flow = sbv_conv_of(n, &d->flow, dense, s->ws->pyramid.flow[level - 1], SBV_LINEAR);
    sbv_run_conv(s->exec, &flow, dense.h);
}

/* Adds the refiner's output to the flow of level 2. */
static void refine(const sbv_stages *s)
{
    static const int dilation[SBV_REFINER_CONVS] = {1, 2, 4, 8, 16, 1, 1};
    const sbv_network *n = s->network;
    sbv_map flow = s->ws->pyramid.flow[1];
    sbv_map in = sbv_precise_map(s->exec, s->ws->pyramid.dense[1], flow.w, flow.h, n->refiner_in);
    for (int i = 0; i < SBV_REFINER_CONVS; i++) {
        const int last = i == SBV_REFINER_CONVS - 1;
        sbv_map out =
            last ? flow : sbv_precise_map(s->exec, s->ws->pyramid.refined[i % 2], flow.w, flow.h, n->refiner[i].out);
        sbv_conv_args conv = sbv_conv_of(n, &n->refiner[i], in, out, last ? SBV_LINEAR : SBV_LEAKY);
        conv.dilation = conv.padding = dilation[i];
        if (last)
            conv.residual = flow;
        sbv_run_conv(s->exec, &conv, out.h);
        in = out;
    }
}

void sbv_estimate_flow(const sbv_stages *s, const sbv_slot *first, const sbv_slot *second, sbv_map flow)
{
    sbv_resize_args resize = {
        .in = s->ws->pyramid.flow[1],
        .out = flow,
        .gain = {FLOW_UNIT * (float)flow.w / (float)s->ws->flow_width,
                 FLOW_UNIT * (float)flow.h / (float)s->ws->flow_height},
        .full_w = flow.w,
        .full_h = flow.h,
    };
    for (int level = s->network->levels; level >= 2; level--)
        decode_level(s, first, second, level);
    refine(s);
    sbv_run_resize(s->exec, &resize, flow.h);
}
