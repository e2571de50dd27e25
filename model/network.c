/*
 * Architecture and weights: see network.h.
 *
 * The architecture is written down once, as a walk over the layers with the shapes that they must have
 * (architecture.c); a size that only the file can know is given as ANY and read from it. The walk records the layers;
 * their weights are read when it has succeeded and every tensor of the file has been claimed.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/network.h"

#include <stdlib.h>
#include <string.h>

#include "model/architecture.h"

size_t sbv_conv_weights(int out, int in, int kernel)
{
    size_t groups = (size_t)(out + SBV_CONV_GROUP - 1) / SBV_CONV_GROUP;
    return groups * SBV_CONV_GROUP * (size_t)in * (size_t)kernel * (size_t)kernel;
}

void sbv_pack_conv(const float *raw, int out, int in, int kernel, float *packed)
{
    const int taps = kernel * kernel;
    memset(packed, 0, sbv_conv_weights(out, in, kernel) * sizeof(*packed));
    for (int o = 0; o < out; o++)
        for (int i = 0; i < in; i++)
            for (int t = 0; t < taps; t++) {
                size_t group = (size_t)(o / SBV_CONV_GROUP);
                size_t at = ((group * (size_t)taps + (size_t)t) * (size_t)in + (size_t)i) * SBV_CONV_GROUP;
                packed[at + (size_t)(o % SBV_CONV_GROUP)] =
                    raw[((size_t)o * (size_t)in + (size_t)i) * (size_t)taps + (size_t)t];
            }
}

/* PyTorch's [in][out][4][4] -> [4][4][out][in] */
static void pack_deconv(const float *raw, int out, int in, int kernel, float *packed)
{
    for (int i = 0; i < in; i++)
        for (int o = 0; o < out; o++)
            for (int t = 0; t < kernel * kernel; t++)
                packed[((size_t)t * (size_t)out + (size_t)o) * (size_t)in + (size_t)i] = *raw++;
}

static size_t round_up(size_t size, size_t to)
{
    return (size + to - 1) / to * to;
}

static size_t weight_floats(const sbv_layer *layer)
{
    size_t floats = layer->kind == SBV_LAYER_CONV ? sbv_conv_weights(layer->out, layer->in, layer->kernel)
                                                  : (size_t)layer->weight_tensor->count;
    return round_up(floats, 16);
}

static size_t bias_floats(const sbv_layer *layer)
{
    return round_up((size_t)layer->out, 16);
}

static int read_layer(const sbv_weights *weights, sbv_layer *layer, float *raw, float *to)
{
    float *bias = to + weight_floats(layer);
    int ret;
    if ((ret = sbv_weights_read(weights, layer->weight_tensor, raw)) < 0 ||
        (ret = sbv_weights_read(weights, layer->bias_tensor, bias)) < 0)
        return ret;
    if (layer->kind == SBV_LAYER_CONV)
        sbv_pack_conv(raw, layer->out, layer->in, layer->kernel, to);
    else if (layer->kind == SBV_LAYER_DECONV)
        pack_deconv(raw, layer->out, layer->in, layer->kernel, to);
    else
        memcpy(to, raw, (size_t)layer->weight_tensor->count * sizeof(*raw));
    layer->weights = to;
    layer->bias = bias;
    return SBV_OK;
}

static int read_layers(sbv_network *network, const sbv_weights *weights, sbv_layer **layer, int layers,
                       sbv_report *report)
{
    size_t total = 0, largest = 0, zeros = 1;
    int ret = SBV_OK;
    for (int i = 0; i < layers; i++) {
        total += weight_floats(layer[i]) + bias_floats(layer[i]);
        if ((size_t)layer[i]->weight_tensor->count > largest)
            largest = (size_t)layer[i]->weight_tensor->count;
        if ((size_t)layer[i]->in > zeros)
            zeros = (size_t)layer[i]->in;
        network->parameters += layer[i]->weight_tensor->count + layer[i]->bias_tensor->count;
    }
    float *raw = malloc(largest * sizeof(*raw));
    network->memory = calloc(total, sizeof(*network->memory));
    network->zeros = calloc(zeros, sizeof(*network->zeros));
    if (!raw || !network->memory || !network->zeros)
        ret = sbv_fail(report, SBV_ERROR_MEMORY, "out of memory: %zu bytes of weights", total * sizeof(*raw));
    float *to = network->memory;
    for (int i = 0; i < layers && ret >= 0; i++) {
        ret = read_layer(weights, layer[i], raw, to);
        to += weight_floats(layer[i]) + bias_floats(layer[i]);
    }
    free(raw);
    return ret;
}

int sbv_network_open(sbv_network *network, const sbv_weights *weights, const sbv_exec *exec, sbv_report *report)
{
    sbv_layer **layer = NULL;
    int layers = 0, ret;
    memset(network, 0, sizeof(*network));
    if ((ret = sbv_architecture_read(network, weights, report, &layer, &layers)) >= 0 &&
        (ret = read_layers(network, weights, layer, layers, report)) >= 0)
        ret = sbv_tail_collapse(network, weights, exec, report);
    free(layer);
    if (ret < 0)
        sbv_network_close(network);
    return ret;
}

void sbv_network_close(sbv_network *network)
{
    free(network->memory);
    free(network->tail_memory);
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
        .kernel = layer->kernel,
        .stride = 1,
        .dilation = 1,
        .padding = layer->kernel / 2,
        .slope = slope,
        .x1 = out.w,
    };
    return a;
}
