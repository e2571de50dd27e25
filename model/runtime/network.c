/*
 * Architecture and weights: see network.h.
 *
 * The architecture is written down once, as a walk over the layers with the shapes that they must have
 * (architecture.c); a size that only the file can know is given as ANY and read from it. The walk records the layers;
 * their weights are read when it has succeeded and every tensor of the file has been claimed.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/network.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/numbers.h"
#include "model/runtime/architecture.h"
#include "model/runtime/modulation.h"
#include "model/runtime/tail_collapse.h"
#include "model/runtime/weight_memory.h"

/* PyTorch's [in][out][4][4] -> [4][4][out][in] */
static void pack_deconv(const float *raw, int out, int in, int ksize, float *packed)
{
    for (int i = 0; i < in; i++)
        for (int o = 0; o < out; o++)
            for (int t = 0; t < ksize * ksize; t++)
                packed[((size_t)t * (size_t)out + (size_t)o) * (size_t)in + (size_t)i] = *raw++;
}

static size_t weight_bytes(const sbv_exec *exec, const sbv_layer *layer)
{
    const size_t bytes = layer->kind == SBV_LAYER_CONV ? sbv_conv_layer_bytes(exec, layer)
                                                       : (size_t)layer->weight_tensor->count * sizeof(float);
    return sbv_align(bytes, SBV_WEIGHT_ALIGN);
}

/* Outputs of a convolution up to the last that is not zero whatever its input is. */
static int live_outputs(const sbv_layer *layer, const float *raw, const float *bias)
{
    const size_t taps = (size_t)(layer->in * layer->ksize * layer->ksize);
    for (int o = layer->out - 1; o > 0; o--) {
        int live = bias[o] != 0;
        for (size_t i = 0; i < taps && !live; i++)
            live = raw[(size_t)o * taps + i] != 0;
        if (live)
            return o + 1;
    }
    return 1;
}

/* Leaves the first inputs of a convolution alone, where the others are zero. */
static void drop_inputs(sbv_layer *layer, int inputs, float *raw)
{
    const size_t area = (size_t)(layer->ksize * layer->ksize), before = (size_t)layer->in * area;
    for (size_t o = 0; o < (size_t)layer->out; o++)
        memmove(raw + o * (size_t)inputs * area, raw + o * before, (size_t)inputs * area * sizeof(*raw));
    layer->in = inputs;
}

/* What read_layer() keeps from layer to layer. */
struct reading {
    const sbv_weights *weights;
    const sbv_exec *exec;
    sbv_network *network;
    float *raw; /* the weights of a layer as they are in the file */
    int live;   /* channels of what in_conv makes that are not always zero */
};

/* What trained networks make of a frame first is its colours and a channel of ones (exportable.py): the first
 * convolution of features need not look at the channels that are zero. On a GPU it does, which has kernels for whole
 * groups of channels, as on a processor that multiplies in bf16. */
static void drop_dead_channels(struct reading *r, sbv_layer *layer, const float *bias)
{
    if (layer == &r->network->in_conv)
        r->live = live_outputs(layer, r->raw, bias);
    else if (layer == &r->network->extra[0].conv[0] && !r->exec->backend && r->exec->ops.type == SBV_MAP_F32)
        drop_inputs(layer, r->live, r->raw);
}

/* Packs the layer at `to`, of the host, which will be at `at` for the operations. */
static int read_layer(struct reading *r, sbv_layer *layer, char *to, const char *at)
{
    const size_t bytes = weight_bytes(r->exec, layer);
    float *const raw = r->raw;
    int ret;
    if ((ret = sbv_weights_read(r->weights, layer->weight_tensor, raw)) < 0 ||
        (ret = sbv_weights_read(r->weights, layer->bias_tensor, (float *)(to + bytes))) < 0)
        return ret;
    drop_dead_channels(r, layer, (const float *)(to + bytes));
    if (layer->kind == SBV_LAYER_CONV)
        sbv_pack_conv_layer(r->exec, layer, raw, to);
    else if (layer->kind == SBV_LAYER_DECONV)
        pack_deconv(raw, layer->out, layer->in, layer->ksize, (float *)to);
    else
        memcpy(to, raw, (size_t)layer->weight_tensor->count * sizeof(*raw));
    layer->weights = at;
    layer->bias = (const float *)(at + bytes);
    return SBV_OK;
}

/* Bytes of all layers; *largest: floats of the largest weight tensor, *inputs: most inputs of a layer. */
static size_t measure(sbv_network *network, const sbv_exec *exec, sbv_layer **layer, int layers, size_t *largest,
                      size_t *inputs)
{
    size_t total = 0;
    *largest = *inputs = 1;
    for (int i = 0; i < layers; i++) {
        total += weight_bytes(exec, layer[i]) + sbv_bias_bytes(layer[i]->out);
        if ((size_t)layer[i]->weight_tensor->count > *largest)
            *largest = (size_t)layer[i]->weight_tensor->count;
        if ((size_t)layer[i]->in > *inputs)
            *inputs = (size_t)layer[i]->in;
        network->parameters += layer[i]->weight_tensor->count + layer[i]->bias_tensor->count;
    }
    return total;
}

static int read_layers(sbv_network *network, const sbv_weights *weights, const sbv_exec *exec, sbv_layer **layer,
                       int layers, sbv_report *report)
{
    struct reading reading = {.weights = weights, .exec = exec, .network = network};
    size_t largest, inputs, at = 0, total;
    char *host = NULL;
    int ret;
    for (int i = 0; i < layers; i++)
        sbv_choose_winograd(exec, layer[i]);
    total = measure(network, exec, layer, layers, &largest, &inputs);
    reading.raw = malloc(largest * sizeof(*reading.raw));
    network->zeros = exec->backend ? NULL : calloc(inputs, sizeof(*network->zeros));
    if (!reading.raw || (!network->zeros && !exec->backend))
        ret = sbv_fail(report, SBV_ERROR_MEMORY, "out of memory: %zu bytes of weights", total);
    else
        ret = sbv_weights_memory(exec, total, &network->memory, &host, report);
    for (int i = 0; i < layers && ret >= 0; i++) {
        const size_t bytes = weight_bytes(exec, layer[i]) + sbv_bias_bytes(layer[i]->out);
        ret = read_layer(&reading, layer[i], host + at, (char *)network->memory + at);
        at += bytes;
    }
    free(reading.raw);
    return sbv_weights_done(exec, total, network->memory, host, ret, report);
}

int sbv_network_open(sbv_network *network, const sbv_weights *weights, int moved, const sbv_exec *exec,
                     sbv_report *report)
{
    sbv_layer **layer = NULL;
    int layers = 0, ret;
    memset(network, 0, sizeof(*network));
    network->scratch = exec->backend ? NULL : exec->scratch;
    if ((ret = sbv_architecture_read(network, weights, report, &layer, &layers)) >= 0 &&
        (ret = read_layers(network, weights, exec, layer, layers, report)) >= 0 &&
        (ret = sbv_tail_collapse(network, weights, moved, exec, report)) >= 0)
        ret = sbv_modulation_read(network, weights, exec, report);
    free(layer);
    if (ret < 0)
        sbv_network_close(network, exec);
    return ret;
}

void sbv_network_close(sbv_network *network, const sbv_exec *exec)
{
    sbv_release(exec, network->memory);
    sbv_release(exec, network->tail_memory);
    sbv_modulation_close(&network->modulation);
    free(network->zeros);
    memset(network, 0, sizeof(*network));
}

sbv_conv_args sbv_conv_of(const sbv_network *network, const sbv_layer *layer, sbv_map in, sbv_map out, float slope)
{
    sbv_conv_args a = {
        .in = in,
        .out = out,
        .weights = layer->weights,
        .bias = layer->bias,
        .zeros = network->zeros,
        .scratch = network->scratch,
        .ksize = layer->ksize,
        .stride = 1,
        .dilation = 1,
        .padding = layer->ksize / 2,
        .split = layer->split,
        .winograd = layer->winograd,
        .shift = layer->shift,
        .slope = slope,
        .x1 = out.w,
    };
    return a;
}
