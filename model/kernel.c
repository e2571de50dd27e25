/*
 * KernelNet: the blur kernel of a window, from its pixels alone. It does not feed the reconstruction, so its memory is
 * taken only while it runs.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdlib.h>

#include "model/stages.h"

/* Scratch of one run. */
struct scratch {
    float *memory;
    sbv_map frames;                /* of all colours of the window */
    float *x, *hidden, *branch;    /* maps of the size of the frame or of the kernel */
    float *mean, *squeezed, *gain; /* one value per channel */
    float *values, *between;       /* linear layers */
};

static int widest(const sbv_kernel_net *k)
{
    return k->conv[0].out > k->in_conv.out ? k->conv[0].out : k->in_conv.out;
}

static int allocate(struct scratch *t, const sbv_stages *s, sbv_report *report)
{
    const sbv_kernel_net *k = &s->network->kernel;
    const int w = s->ws->width, h = s->ws->height, colours = SBV_COLOURS * s->network->sequence;
    const size_t frame = (size_t)w * (size_t)h, pooled = (size_t)(k->size * k->size), wide = (size_t)widest(k);
    const size_t map = (frame > pooled ? frame : pooled) * wide;
    const size_t floats = frame * (size_t)colours + 3 * map + 3 * SBV_MAX_CHANNELS + pooled + (size_t)k->fc[0].out;
    float *at = t->memory = malloc(floats * sizeof(float));
    if (!at)
        return sbv_fail(report, SBV_ERROR_MEMORY, "out of memory: %zu MiB to estimate a kernel",
                        floats * sizeof(float) >> 20);
    t->frames = sbv_map_of(at, w, h, colours);
    t->x = at += frame * (size_t)colours;
    t->hidden = at += map;
    t->branch = at += map;
    t->mean = at += map;
    t->squeezed = at += SBV_MAX_CHANNELS;
    t->gain = at += SBV_MAX_CHANNELS;
    t->values = at += SBV_MAX_CHANNELS;
    t->between = at + pooled;
    return SBV_OK;
}

static void run_conv(const sbv_stages *s, const sbv_layer *layer, sbv_map in, sbv_map out, float slope)
{
    sbv_conv_args conv = sbv_conv_of(s->network, layer, in, out, slope);
    sbv_run_conv(s->exec, &conv, out.h);
}

static void run_linear(const sbv_stages *s, const sbv_layer *layer, const float *in, float *out, float slope)
{
    sbv_linear_args linear = {
        .in = in, .out = out, .weights = layer->weights, .bias = layer->bias, .inputs = layer->in, .slope = slope};
    sbv_run_linear(s->exec, &linear, layer->out);
}

/* Residual channel attention (Zhang et al., ECCV 2018), in place. */
static void run_attention(const sbv_stages *s, const sbv_rcab *block, sbv_map x, const struct scratch *t)
{
    sbv_map hidden = sbv_map_of(t->hidden, x.w, x.h, x.c), branch = sbv_map_of(t->branch, x.w, x.h, x.c);
    sbv_pool_args mean = {branch, sbv_map_of(t->mean, 1, 1, x.c)};
    sbv_attention_args add = {.in = x, .branch = branch, .out = x, .gain = t->gain};
    run_conv(s, &block->conv[0], x, hidden, SBV_RELU);
    run_conv(s, &block->conv[1], hidden, branch, SBV_LINEAR);
    sbv_run_adaptive_pool(s->exec, &mean, 1);
    run_linear(s, &block->squeeze, t->mean, t->squeezed, SBV_RELU);
    run_linear(s, &block->excite, t->squeezed, t->gain, SBV_LINEAR);
    sbv_run_attention(s->exec, &add, x.h);
}

int sbv_run_kernel_net(const sbv_stages *s, sbv_slot *const window[], float *kernel, sbv_report *report)
{
    const sbv_kernel_net *k = &s->network->kernel;
    const int w = s->ws->width, h = s->ws->height, channels = k->in_conv.out;
    struct scratch t = {0};
    int ret = allocate(&t, s, report);
    if (ret < 0)
        return ret;
    for (int i = 0; i < s->network->sequence; i++) {
        sbv_copy_args copy = {window[i]->rgb, sbv_channels(t.frames, i * SBV_COLOURS, SBV_COLOURS)};
        sbv_run_copy(s->exec, &copy, h);
    }
    sbv_map x = sbv_map_of(t.x, w, h, channels);
    run_conv(s, &k->in_conv, t.frames, x, SBV_LINEAR);
    for (int i = 0; i < k->blocks[0]; i++)
        run_attention(s, &k->block[0][i], x, &t);
    sbv_pool_args pool = {x, sbv_map_of(t.hidden, k->size, k->size, channels)};
    sbv_run_adaptive_pool(s->exec, &pool, k->size);
    sbv_copy_args back = {pool.out, sbv_map_of(t.x, k->size, k->size, channels)};
    sbv_run_copy(s->exec, &back, k->size);
    for (int i = 0; i < k->blocks[1]; i++)
        run_attention(s, &k->block[1][i], back.out, &t);
    sbv_map narrow = sbv_map_of(t.hidden, k->size, k->size, k->conv[0].out);
    run_conv(s, &k->conv[0], back.out, narrow, SBV_LINEAR);
    run_conv(s, &k->conv[1], narrow, sbv_map_of(t.values, k->size, k->size, 1), SBV_LINEAR);
    run_linear(s, &k->fc[0], t.values, t.between, SBV_LINEAR);
    run_linear(s, &k->fc[1], t.between, kernel, SBV_LINEAR);
    sbv_softmax_args softmax = {kernel, k->size * k->size};
    sbv_run_softmax(s->exec, &softmax, 1);
    free(t.memory);
    return SBV_OK;
}
