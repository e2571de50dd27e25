/*
 * KernelNet: the blur kernel of a window, from its pixels alone. It does not feed the reconstruction, so its memory is
 * taken only while it runs.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/stages.h"
#include "kernels/numbers.h"

#define SCRATCH_ALIGN 256 /* bytes */

/* Scratch of one run. */
struct scratch {
    void *memory;
    sbv_map frames;                /* of all colours of the window */
    void *x, *hidden, *branch;     /* a trunk and feature maps, of the size of the frame or of the kernel */
    float *mean, *squeezed, *gain; /* one value per channel */
    float *values, *between;       /* linear layers */
    float *blur;
};

static int widest(const sbv_kernel_net *k)
{
    return k->conv[0].out > k->in_conv.out ? k->conv[0].out : k->in_conv.out;
}

/* Memory that is handed out piece by piece; without a base it is only measured. */
struct pile {
    char *base;
    size_t used;
};

static void *take(struct pile *pile, size_t bytes)
{
    void *start = pile->base ? pile->base + pile->used : NULL;
    pile->used += sbv_align(bytes, SCRATCH_ALIGN);
    return start;
}

/* Lays the scratch out from `base` on. Returns its size in bytes. */
static size_t lay_out(struct scratch *t, const sbv_network *n, const sbv_exec *exec, int w, int h, void *base)
{
    const sbv_kernel_net *k = &n->kernel_net;
    const int colours = SBV_COLOURS * n->sequence;
    const size_t frame = (size_t)w * (size_t)h, pooled = (size_t)(k->size * k->size);
    const size_t pixels = frame > pooled ? frame : pooled, map = pixels * sbv_feature_bytes(exec, widest(k));
    struct pile pile = {base, 0};
    t->frames = sbv_map_of(take(&pile, frame * (size_t)colours * sizeof(float)), w, h, colours);
    t->x = take(&pile, pixels * sbv_precise_bytes(exec, widest(k)));
    t->hidden = take(&pile, map);
    t->branch = take(&pile, map);
    t->mean = take(&pile, SBV_MAX_CHANNELS * sizeof(float));
    t->squeezed = take(&pile, SBV_MAX_CHANNELS * sizeof(float));
    t->gain = take(&pile, SBV_MAX_CHANNELS * sizeof(float));
    t->values = take(&pile, pooled * sizeof(float));
    t->between = take(&pile, (size_t)k->fc[0].out * sizeof(float));
    t->blur = take(&pile, pooled * sizeof(float));
    return pile.used;
}

size_t sbv_kernel_net_bytes(const sbv_network *network, const sbv_exec *exec, int width, int height)
{
    struct scratch scratch;
    return network->kernel_net.present ? lay_out(&scratch, network, exec, width, height, NULL) : 0;
}

static int allocate(struct scratch *t, const sbv_stages *s, sbv_report *report)
{
    const size_t bytes = lay_out(t, s->network, s->exec, s->ws->width, s->ws->height, NULL);
    const int ret = sbv_allocate(s->exec, bytes, &t->memory);
    if (ret < 0)
        return sbv_fail(report, ret, "%s: %zu MiB to estimate a kernel",
                        ret == SBV_ERROR_MEMORY ? "out of memory" : sbv_backend_message(s->exec), bytes >> 20);
    lay_out(t, s->network, s->exec, s->ws->width, s->ws->height, t->memory);
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
    sbv_map hidden = sbv_feature_map(s->exec, t->hidden, x.w, x.h, x.c);
    sbv_map branch = sbv_feature_map(s->exec, t->branch, x.w, x.h, x.c);
    sbv_pool_args mean = {branch, sbv_map_of(t->mean, 1, 1, x.c)};
    sbv_attention_args add = {.in = x, .branch = branch, .out = x, .gain = t->gain};
    run_conv(s, &block->conv[0], x, hidden, SBV_RELU);
    run_conv(s, &block->conv[1], hidden, branch, SBV_LINEAR);
    sbv_run_adaptive_pool(s->exec, &mean, 1);
    run_linear(s, &block->squeeze, t->mean, t->squeezed, SBV_RELU);
    run_linear(s, &block->excite, t->squeezed, t->gain, SBV_LINEAR);
    sbv_run_attention(s->exec, &add, x.h);
}

int sbv_run_kernel_net(const sbv_stages *s, sbv_slot *const window[], float *blur, sbv_report *report)
{
    const sbv_kernel_net *k = &s->network->kernel_net;
    const int w = s->ws->width, h = s->ws->height, channels = k->in_conv.out;
    struct scratch t = {0};
    int ret = allocate(&t, s, report);
    if (ret < 0)
        return ret;
    for (int i = 0; i < s->network->sequence; i++) {
        sbv_copy_args copy = {window[i]->rgb, sbv_channels(t.frames, i * SBV_COLOURS, SBV_COLOURS)};
        sbv_run_copy(s->exec, &copy, h);
    }
    sbv_map x = sbv_precise_map(s->exec, t.x, w, h, channels);
    run_conv(s, &k->in_conv, t.frames, x, SBV_LINEAR);
    for (int i = 0; i < k->blocks[0]; i++)
        run_attention(s, &k->block[0][i], x, &t);
    sbv_pool_args pool = {x, sbv_feature_map(s->exec, t.hidden, k->size, k->size, channels)};
    sbv_run_adaptive_pool(s->exec, &pool, k->size);
    sbv_copy_args back = {pool.out, sbv_precise_map(s->exec, t.x, k->size, k->size, channels)};
    sbv_run_copy(s->exec, &back, k->size);
    for (int i = 0; i < k->blocks[1]; i++)
        run_attention(s, &k->block[1][i], back.out, &t);
    sbv_map narrow = sbv_feature_map(s->exec, t.hidden, k->size, k->size, k->conv[0].out);
    run_conv(s, &k->conv[0], back.out, narrow, SBV_LINEAR);
    run_conv(s, &k->conv[1], narrow, sbv_map_of(t.values, k->size, k->size, 1), SBV_LINEAR);
    run_linear(s, &k->fc[0], t.values, t.between, SBV_LINEAR);
    run_linear(s, &k->fc[1], t.between, t.blur, SBV_LINEAR);
    sbv_softmax_args softmax = {t.blur, k->size * k->size};
    sbv_run_softmax(s->exec, &softmax, 1);
    ret = sbv_download(s->exec, blur, t.blur, (size_t)(k->size * k->size) * sizeof(float));
    sbv_release(s->exec, t.memory);
    return ret < 0 ? sbv_fail(report, ret, "%s", sbv_backend_message(s->exec)) : SBV_OK;
}
