/*
 * The architecture of Self-Blind-VSR (Bai and Pan, TPAMI 2024) as a walk over its layers: see architecture.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/architecture.h"
#include "kernels/os.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define ANY             0 /* a number of channels that the file tells */
#define NAME_MAX_LENGTH 128

#define FLOW "flow_net.moduleNetwork."

static const char *const words[SBV_MAX_LEVELS] = {"moduleOne", "moduleTwo", "moduleThr",
                                                  "moduleFou", "moduleFiv", "moduleSix"};

typedef struct walk {
    const sbv_weights *weights;
    sbv_report *report;
    sbv_layer **layer;
    int layers;
    int ret; /* sticky: after the first error nothing more is reported */
} walk;

SBV_PRINTF(2, 3) static int exists(const walk *w, const char *format, ...)
{
    char name[NAME_MAX_LENGTH];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof(name), format, args);
    va_end(args);
    return sbv_weights_find(w->weights, name) != NULL;
}

/* Claims a tensor; sizes that are ANY are set from its shape. */
static const sbv_tensor *claim(walk *w, const char *name, int dims, int *size[])
{
    sbv_tensor *t = sbv_weights_find(w->weights, name);
    char found[96], expected[96];
    size_t used = 0;
    int same;
    if (!t) {
        w->ret =
            sbv_fail(w->report, SBV_ERROR_MODEL, "model file '%s': tensor '%s' is missing", w->weights->path, name);
        return NULL;
    }
    same = t->dims == dims;
    for (int i = 0; i < dims; i++) {
        same = same && (*size[i] == ANY || t->shape[i] == *size[i]);
        used += (size_t)snprintf(expected + used, sizeof(expected) - used, *size[i] == ANY ? "%sN" : "%s%d",
                                 i ? "x" : "", *size[i]);
    }
    sbv_tensor_shape(t, found, sizeof(found));
    if (!same) {
        w->ret = sbv_fail(w->report, SBV_ERROR_MODEL, "model file '%s': tensor '%s' has shape %s, expected %s",
                          w->weights->path, name, found, expected);
        return NULL;
    }
    for (int i = 0; i < dims; i++)
        if (*size[i] == ANY && t->shape[i] > SBV_MAX_CHANNELS) {
            w->ret = sbv_fail(w->report, SBV_ERROR_MODEL,
                              "model file '%s': tensor '%s' has shape %s, the limit is %d channels", w->weights->path,
                              name, found, SBV_MAX_CHANNELS);
            return NULL;
        } else {
            *size[i] = (int)t->shape[i];
        }
    t->used = 1;
    return t;
}

/* Describes a layer: `name` may be a printf format for the level or block. Returns its number of outputs. */
static int add(walk *w, sbv_layer *layer, enum sbv_layer_kind kind, int in, int out, int ksize, const char *name)
{
    char full[NAME_MAX_LENGTH];
    int *shape[4] = {&layer->out, &layer->in, &layer->ksize, &layer->ksize};
    if (w->ret < 0)
        return 1;
    *layer = (sbv_layer){.kind = kind, .in = in, .out = out, .ksize = ksize};
    if (kind == SBV_LAYER_DECONV) {
        shape[0] = &layer->in;
        shape[1] = &layer->out;
    }
    snprintf(full, sizeof(full), "%s.weight", name);
    if (!(layer->weight_tensor = claim(w, full, kind == SBV_LAYER_LINEAR ? 2 : 4, shape)))
        return 1;
    shape[0] = &layer->out;
    snprintf(full, sizeof(full), "%s.bias", name);
    if (!(layer->bias_tensor = claim(w, full, 1, shape)))
        return 1;
    w->layer[w->layers++] = layer;
    return layer->out;
}

SBV_PRINTF(6, 7) static int conv(walk *w, sbv_layer *layer, int in, int out, int ksize, const char *format, ...)
{
    char name[NAME_MAX_LENGTH];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof(name), format, args);
    va_end(args);
    return add(w, layer, SBV_LAYER_CONV, in, out, ksize, name);
}

/* Number of consecutive blocks whose first tensor is format % n; more than `limit` is an error. */
static int count_blocks(walk *w, const char *prefix, const char *suffix, int limit)
{
    int n = 0;
    while (n <= limit && exists(w, "%s.%d.%s", prefix, n, suffix))
        n++;
    if (n > limit && w->ret >= 0)
        w->ret = sbv_fail(w->report, SBV_ERROR_MODEL, "model file '%s': more than %d blocks in '%s'", w->weights->path,
                          limit, prefix);
    return n > limit ? limit : n;
}

static void walk_chain(walk *w, sbv_block *block, int blocks, int features, const char *prefix)
{
    for (int b = 0; b < blocks; b++)
        for (int i = 0; i < 2; i++)
            conv(w, &block[b].conv[i], features, features, 3, "%s.%d.conv%d", prefix, b, i + 1);
}

static void walk_reconstruction(walk *w, sbv_network *n)
{
    n->features = conv(w, &n->in_conv, SBV_COLOURS, ANY, 3, "in_conv.0");
    n->extra_blocks = count_blocks(w, "extra_feat", "conv1.weight", SBV_MAX_BLOCKS);
    walk_chain(w, n->extra, n->extra_blocks, n->features, "extra_feat");
    sbv_tensor *fusion = sbv_weights_find(w->weights, "fusion_conv.0.weight");
    int64_t frames = fusion && fusion->dims == 4 ? fusion->shape[1] / n->features : 0;
    if (fusion && w->ret >= 0 && (frames < 3 || frames > SBV_MAX_SEQUENCE || frames % 2 == 0))
        w->ret =
            sbv_fail(w->report, SBV_ERROR_MODEL,
                     "model file '%s': tensor 'fusion_conv.0.weight' makes a window of %lld frames of %d channels, it "
                     "must be odd, 3 to %d",
                     w->weights->path, (long long)frames, n->features, SBV_MAX_SEQUENCE);
    n->sequence = (int)frames;
    conv(w, &n->fusion, n->sequence * n->features, n->features, 3, "fusion_conv.0");
    n->recons_blocks = count_blocks(w, "recons_net", "conv1.weight", SBV_MAX_BLOCKS);
    walk_chain(w, n->recons, n->recons_blocks, n->features, "recons_net");
}

/* The tail is used collapsed: its layers are described but not read with the others. */
static void walk_tail(walk *w, sbv_network *n)
{
    const int layers = w->layers;
    n->scale = exists(w, "upsample_layers.2.weight") ? 4 : 2;
    for (int i = 0; i < n->scale / 2; i++)
        conv(w, &n->up[i], n->features, 4 * n->features, 3, "upsample_layers.%d", 2 * i);
    conv(w, &n->out[0], n->features, n->features, 3, "out_conv.0");
    conv(w, &n->out[1], n->features, SBV_COLOURS, 3, "out_conv.1");
    for (int i = layers; i < w->layers && w->ret >= 0; i++)
        n->parameters += w->layer[i]->weight_tensor->count + w->layer[i]->bias_tensor->count;
    w->layers = layers;
}

/* Decoder of level `level` (1 is the finest), fed by a coarser level of `coarser` channels, or by none. */
static void walk_decoder(walk *w, sbv_network *n, int level, int coarser)
{
    static const char *const ups[2] = {"moduleUpflow", "moduleUpfeat"};
    sbv_decoder *d = &n->decoder[level - 1];
    char name[NAME_MAX_LENGTH];
    int features = SBV_COST_CHANNELS;
    if (coarser) {
        for (int i = 0; i < 2; i++) {
            snprintf(name, sizeof(name), FLOW "%s.%s", words[level - 1], ups[i]);
            add(w, i ? &d->up_feat : &d->up_flow, SBV_LAYER_DECONV, i ? coarser : 2, 2, 4, name);
        }
        features += n->extractor[level - 1][SBV_EXTRACTOR_CONVS - 1].out + 4;
    }
    d->volume_at = 0;
    for (int i = 0; i < SBV_DENSE_CONVS; i++) {
        int added = conv(w, &d->dense[i], features, ANY, 3, FLOW "%s.%s.0", words[level - 1], words[i]);
        features += added;
        d->volume_at += added;
    }
    d->features = features;
    conv(w, &d->flow, features, 2, 3, FLOW "%s.moduleSix.0", words[level - 1]);
}

static void walk_flow(walk *w, sbv_network *n)
{
    int in = SBV_COLOURS;
    while (n->levels < SBV_MAX_LEVELS && exists(w, FLOW "moduleExtractor.%s.0.weight", words[n->levels]))
        n->levels++;
    if (n->levels < 2 && w->ret >= 0)
        w->ret = sbv_fail(w->report, SBV_ERROR_MODEL,
                          "model file '%s': %d levels in '" FLOW "moduleExtractor', at least 2 "
                          "are needed",
                          w->weights->path, n->levels);
    for (int l = 0; l < n->levels; l++)
        for (int i = 0; i < SBV_EXTRACTOR_CONVS; i++)
            in = conv(w, &n->extractor[l][i], in, ANY, 3, FLOW "moduleExtractor.%s.%d", words[l], 2 * i);
    for (int level = n->levels; level >= 2; level--)
        walk_decoder(w, n, level, level < n->levels ? n->decoder[level].features : 0);
    in = n->refiner_in = n->decoder[1].features;
    for (int i = 0; i < SBV_REFINER_CONVS; i++)
        in = conv(w, &n->refiner[i], in, i < SBV_REFINER_CONVS - 1 ? ANY : 2, 3, FLOW "moduleRefiner.moduleMain.%d",
                  2 * i);
}

static void walk_attention(walk *w, sbv_rcab *b, int channels, const char *prefix)
{
    conv(w, &b->conv[0], channels, channels, 3, "%s.body.0", prefix);
    conv(w, &b->conv[1], channels, channels, 3, "%s.body.2", prefix);
    int squeezed = conv(w, &b->squeeze, channels, ANY, 1, "%s.body.3.conv_du.0", prefix);
    conv(w, &b->excite, squeezed, channels, 1, "%s.body.3.conv_du.2", prefix);
    /* 1x1 convolutions of one pixel: linear layers, whose weights lie in the same order. */
    b->squeeze.kind = b->excite.kind = SBV_LAYER_LINEAR;
}

static void walk_kernel_net(walk *w, sbv_network *n)
{
    sbv_kernel_net *k = &n->kernel_net;
    char name[NAME_MAX_LENGTH];
    for (int i = 0; i < w->weights->tensors; i++)
        k->present |= !strncmp(w->weights->tensor[i].name, "kernel_net.", strlen("kernel_net."));
    if (!k->present)
        return;
    int channels = conv(w, &k->in_conv, SBV_COLOURS * n->sequence, ANY, 3, "kernel_net.in_conv");
    for (int body = 0; body < 2; body++) {
        snprintf(name, sizeof(name), "kernel_net.body%d", body + 1);
        k->blocks[body] = count_blocks(w, name, "body.0.weight", SBV_MAX_ATTENTION);
        for (int i = 0; i < k->blocks[body]; i++) {
            snprintf(name, sizeof(name), "kernel_net.body%d.%d", body + 1, i);
            walk_attention(w, &k->block[body][i], channels, name);
        }
    }
    int narrow = conv(w, &k->conv[0], channels, ANY, 3, "kernel_net.body2.%d", k->blocks[1]);
    conv(w, &k->conv[1], narrow, 1, 3, "kernel_net.body2.%d", k->blocks[1] + 1);
    sbv_tensor *last = sbv_weights_find(w->weights, "kernel_net.fc_net.1.weight");
    while (last && k->size * k->size < last->shape[0] && k->size < 64)
        k->size++;
    if (last && w->ret >= 0 && (k->size * k->size != last->shape[0] || k->size % 2 == 0))
        w->ret = sbv_fail(w->report, SBV_ERROR_MODEL,
                          "model file '%s': tensor 'kernel_net.fc_net.1.weight' makes a kernel "
                          "of %lld values, it must be the square of an odd number, 1 to 63",
                          w->weights->path, (long long)last->shape[0]);
    int hidden = add(w, &k->fc[0], SBV_LAYER_LINEAR, k->size * k->size, ANY, 1, "kernel_net.fc_net.0");
    add(w, &k->fc[1], SBV_LAYER_LINEAR, hidden, k->size * k->size, 1, "kernel_net.fc_net.1");
}

/* As the tail, these layers are described but not read with the others. */
static void walk_modulation(walk *w, sbv_network *n)
{
    static const char *const prefixes[] = {"modulation.", "degradation_net."};
    sbv_modulation *m = &n->modulation;
    const int layers = w->layers, measures = SBV_MEASURES;
    int numbers = SBV_DEGRADATION, *shape[] = {&numbers};
    for (int i = 0; i < w->weights->tensors; i++)
        for (int p = 0; p < 2; p++)
            m->present |= !strncmp(w->weights->tensor[i].name, prefixes[p], strlen(prefixes[p]));
    if (!m->present)
        return;
    m->layers = 1 + 2 * n->recons_blocks;
    const int hidden = add(w, &m->gain[0], SBV_LAYER_LINEAR, SBV_DEGRADATION, ANY, 1, "modulation.0");
    add(w, &m->gain[1], SBV_LAYER_LINEAR, hidden, hidden, 1, "modulation.1");
    add(w, &m->gain[2], SBV_LAYER_LINEAR, hidden, m->layers * n->features, 1, "modulation.2");
    const int inner = add(w, &m->estimate[0], SBV_LAYER_LINEAR, measures, ANY, 1, "degradation_net.0");
    add(w, &m->estimate[1], SBV_LAYER_LINEAR, inner, SBV_DEGRADATION, 1, "degradation_net.1");
    if (w->ret >= 0)
        m->neutral_tensor = claim(w, "degradation_net.neutral", 1, shape);
    if (w->ret >= 0)
        m->probe_tensor = claim(w, "degradation_net.probe", 1, shape);
    n->parameters += 2 * SBV_DEGRADATION;
    for (int i = layers; i < w->layers && w->ret >= 0; i++)
        n->parameters += w->layer[i]->weight_tensor->count + w->layer[i]->bias_tensor->count;
    w->layers = layers;
}

/* Layers that colours reach with all their bits: the first of each part, and the first block behind in_conv, which may
 * take differences of colours, and take them away from its sum again. */
static void mark_colour_layers(sbv_network *n)
{
    n->in_conv.split = n->kernel_net.in_conv.split = SBV_SPLIT_INPUT;
    n->extra[0].conv[0].split = n->extra[0].conv[1].split = SBV_SPLIT_INPUT;
}

/* The flow network: rounding its weights alone to bfloat16 can move the flow by most of a pixel, and all that follows
 * with it. */
static void mark_flow_layers(sbv_network *n)
{
    for (int l = 0; l < n->levels; l++) {
        for (int i = 0; i < SBV_EXTRACTOR_CONVS; i++)
            n->extractor[l][i].split = SBV_SPLIT_BOTH;
        for (int i = 0; i < SBV_DENSE_CONVS; i++)
            n->decoder[l].dense[i].split = SBV_SPLIT_BOTH;
        n->decoder[l].flow.split = SBV_SPLIT_BOTH;
    }
    for (int i = 0; i < SBV_REFINER_CONVS; i++)
        n->refiner[i].split = SBV_SPLIT_BOTH;
}

/* Tiles of 6x6, or of 4x4, whose grids take turns: what is wrong at the edge of a part of a frame spreads by half a
 * tile a layer, to the end of a tile, where it would by a whole one if tiles lay upon each other. */
static void mark_winograd_block(sbv_block *block)
{
    block->conv[0].winograd = block->conv[1].winograd = 6;
    block->conv[1].shift = 3;
}

/* Layers that may be rounded as Winograd's way does, so that the result changes no more than by that. Not the first
 * block: see above. What goes wrong on a coarse level of the flow network grows on the way to the finest: so its tiles
 * are the small ones there, which are as exact as the definition. */
static void mark_winograd_layers(sbv_network *n)
{
    for (int l = 1; l < n->levels; l++)
        for (int i = 0; i < SBV_DENSE_CONVS; i++)
            n->decoder[l].dense[i].winograd = l == 1 ? 4 : 2;
    n->refiner[0].winograd = n->refiner[SBV_REFINER_CONVS - 2].winograd = 4; /* those whose taps are neighbours */
    n->fusion.winograd = 6;
    n->fusion.shift = 3;
    for (int b = 1; b < n->extra_blocks; b++)
        mark_winograd_block(&n->extra[b]);
    for (int b = 0; b < n->recons_blocks; b++)
        mark_winograd_block(&n->recons[b]);
}

static void check_all_claimed(walk *w)
{
    for (int i = 0; i < w->weights->tensors && w->ret >= 0; i++)
        if (!w->weights->tensor[i].used)
            w->ret = sbv_fail(w->report, SBV_ERROR_MODEL, "model file '%s': unknown tensor '%s'", w->weights->path,
                              w->weights->tensor[i].name);
}

/* The degradation is estimated by reductions to a quarter. */
static void check_modulated(walk *w, const sbv_network *n)
{
    if (n->modulation.present && n->scale != 4 && w->ret >= 0)
        w->ret = sbv_fail(w->report, SBV_ERROR_MODEL, "model file '%s': a modulated model of scale %d, it must be 4",
                          w->weights->path, n->scale);
}

int sbv_architecture_read(sbv_network *network, const sbv_weights *weights, sbv_report *report, sbv_layer ***layer,
                          int *layers)
{
    walk w = {.weights = weights, .report = report};
    w.layer = malloc(SBV_WEIGHTS_MAX_TENSORS * sizeof(*w.layer));
    *layer = w.layer;
    if (!w.layer)
        return sbv_fail(report, SBV_ERROR_MEMORY, "out of memory: list of layers");
    walk_reconstruction(&w, network);
    walk_tail(&w, network);
    walk_flow(&w, network);
    walk_kernel_net(&w, network);
    walk_modulation(&w, network);
    mark_colour_layers(network);
    mark_flow_layers(network);
    mark_winograd_layers(network);
    check_all_claimed(&w);
    check_modulated(&w, network);
    *layers = w.layers;
    return w.ret;
}
