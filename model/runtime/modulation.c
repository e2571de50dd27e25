/*
 * Gains of channels, by the degradation of the video: see modulation.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/modulation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/numbers.h"
#include "model/runtime/weight_memory.h"

/* Of what is estimated: no kernel, noise or codec that a network learns from lies beyond, and gains for one that did
 * would be far from all that it knows. */
static const float limits[SBV_DEGRADATION][2] = {{-0.3F, 1.3F}, {-0.3F, 1.3F}, {-0.3F, 1.3F}, {-0.3F, 1.3F},
                                                 {-0.3F, 1.3F}, {0, 3},        {0, 1}};

/* Layer number `i` of those that are modulated: the fusion, then the convolutions of the blocks. */
static sbv_layer *modulated(sbv_network *n, int i)
{
    return i ? &n->recons[(i - 1) / 2].conv[(i - 1) % 2] : &n->fusion;
}

static size_t weight_count(const sbv_layer *layer)
{
    return (size_t)layer->out * (size_t)layer->in * (size_t)(layer->ksize * layer->ksize);
}

static size_t layer_bytes(const sbv_exec *exec, const sbv_layer *layer)
{
    return sbv_align(sbv_conv_layer_bytes(exec, layer), SBV_WEIGHT_ALIGN);
}

/* Reads weights and bias of a layer to *at, which moves behind them. */
static int read_layer(const sbv_weights *weights, const sbv_layer *layer, float **at, const float **weight,
                      const float **bias)
{
    int ret;
    *weight = *at;
    *bias = *at + layer->weight_tensor->count;
    ret = sbv_weights_read(weights, layer->weight_tensor, *at);
    if (ret >= 0)
        ret = sbv_weights_read(weights, layer->bias_tensor, *at + layer->weight_tensor->count);
    *at += layer->weight_tensor->count + layer->bias_tensor->count;
    return ret;
}

static int read_linear(const sbv_weights *weights, sbv_layer *layer, float **at)
{
    const float *weight, *bias;
    const int ret = read_layer(weights, layer, at, &weight, &bias);
    layer->weights = weight;
    layer->bias = bias;
    return ret;
}

static size_t floats_of(const sbv_layer *layer)
{
    return (size_t)(layer->weight_tensor->count + layer->bias_tensor->count);
}

/* Memory for all that is read, and for gains. Errors: MEMORY, not reported. */
static int allocate(sbv_network *n)
{
    sbv_modulation *m = &n->modulation;
    const int gains = m->gain[2].out;
    size_t floats = 0;
    const int hidden = sbv_max(m->gain[0].out + m->gain[1].out, m->estimate[0].out);
    for (int i = 0; i < m->layers; i++)
        floats += floats_of(modulated(n, i));
    for (int i = 0; i < 3; i++)
        floats += floats_of(&m->gain[i]);
    for (int i = 0; i < 2; i++)
        floats += floats_of(&m->estimate[i]);
    m->memory = malloc((floats + (size_t)(gains + hidden)) * sizeof(*m->memory));
    m->weights = calloc(2 * (size_t)m->layers, sizeof(*m->weights));
    if (!m->memory || !m->weights)
        return SBV_ERROR_MEMORY;
    m->bias = m->weights + m->layers;
    m->gains = m->memory + floats;
    m->hidden = m->gains + gains;
    return SBV_OK;
}

int sbv_modulation_read(sbv_network *network, const sbv_weights *weights, const sbv_exec *exec, sbv_report *report)
{
    sbv_modulation *m = &network->modulation;
    int ret = SBV_OK;
    if (!m->present)
        return SBV_OK;
    if (allocate(network) < 0)
        return sbv_fail(report, SBV_ERROR_MEMORY, "out of memory: weights that are modulated");
    float *at = m->memory;
    for (int i = 0; i < m->layers && ret >= 0; i++)
        ret = read_layer(weights, modulated(network, i), &at, &m->weights[i], &m->bias[i]);
    for (int i = 0; i < 3 && ret >= 0; i++)
        ret = read_linear(weights, &m->gain[i], &at);
    for (int i = 0; i < 2 && ret >= 0; i++)
        ret = read_linear(weights, &m->estimate[i], &at);
    if (ret >= 0)
        ret = sbv_weights_read(weights, m->neutral_tensor, m->neutral);
    if (ret >= 0)
        ret = sbv_weights_read(weights, m->probe_tensor, m->probe);
    if (ret < 0)
        return ret;
    m->in_use[0] = NAN; /* unlike all others */
    return sbv_modulate(network, exec, m->neutral, report);
}

void sbv_modulation_close(sbv_modulation *modulation)
{
    free(modulation->memory);
    free((void *)modulation->weights);
}

static void run_linear(const sbv_layer *layer, const float *in, float *out, int relu)
{
    const float *weights = layer->weights;
    for (int o = 0; o < layer->out; o++) {
        float sum = layer->bias[o];
        for (int i = 0; i < layer->in; i++)
            sum += weights[(size_t)o * (size_t)layer->in + (size_t)i] * in[i];
        out[o] = relu && sum < 0 ? 0 : sum;
    }
}

static void find_gains(sbv_modulation *m, const float *degradation)
{
    float *hidden[] = {m->hidden, m->hidden + m->gain[0].out};
    run_linear(&m->gain[0], degradation, hidden[0], 1);
    run_linear(&m->gain[1], hidden[0], hidden[1], 1);
    run_linear(&m->gain[2], hidden[1], m->gains, 0);
    for (int i = 0; i < m->gain[2].out; i++)
        m->gains[i] += 1;
}

void sbv_tell_degradation(const sbv_modulation *m, const float measure[SBV_MEASURES],
                          float degradation[SBV_DEGRADATION])
{
    run_linear(&m->estimate[0], measure, m->hidden, 1);
    run_linear(&m->estimate[1], m->hidden, degradation, 0);
    for (int i = 0; i < SBV_DEGRADATION; i++)
        if (!isfinite(degradation[i])) { /* of a picture that is none */
            memcpy(degradation, m->neutral, sizeof(m->neutral));
            return;
        }
    for (int i = 0; i < SBV_DEGRADATION; i++)
        degradation[i] = fminf(fmaxf(degradation[i], limits[i][0]), limits[i][1]);
}

/* What fold_layer() needs of all layers. */
struct folding {
    sbv_network *network;
    const sbv_exec *exec;
    char *host;  /* where the weights of the fusion are packed to; those of the other layers follow as in the network */
    float *room; /* for the scaled weights, as those that they are made of */
    const char *begin; /* of the weights of the fusion, where operations want them */
};

/* Jobs: modulated layers. */
static void fold_layers(void *arg, int begin, int end)
{
    const struct folding *f = arg;
    const sbv_modulation *m = &f->network->modulation;
    for (int i = begin; i < end; i++) {
        const sbv_layer *layer = modulated(f->network, i);
        const float *gain = m->gains + (size_t)i * (size_t)f->network->features;
        const size_t inputs = weight_count(layer) / (size_t)layer->out;
        float *const scaled = f->room + (m->weights[i] - m->weights[0]);
        char *const to = f->host + ((const char *)layer->weights - f->begin);
        float *const bias = (float *)(to + layer_bytes(f->exec, layer));
        for (size_t o = 0; o < (size_t)layer->out; o++) {
            for (size_t k = o * inputs; k < (o + 1) * inputs; k++)
                scaled[k] = gain[o] * m->weights[i][k];
            bias[o] = gain[o] * m->bias[i][o];
        }
        sbv_pack_conv_layer(f->exec, layer, scaled, to);
    }
}

int sbv_modulate(sbv_network *network, const sbv_exec *exec, const float degradation[SBV_DEGRADATION],
                 sbv_report *report)
{
    sbv_modulation *m = &network->modulation;
    const sbv_layer *last = modulated(network, m->layers - 1);
    const char *begin = network->fusion.weights, *end = (const char *)last->bias + sbv_bias_bytes(last->out);
    const size_t bytes = (size_t)(end - begin);
    struct folding f = {.network = network, .exec = exec, .begin = begin};
    int ret = SBV_OK;
    if (!memcmp(m->in_use, degradation, sizeof(m->in_use)))
        return SBV_OK;
    find_gains(m, degradation);
    f.host = exec->backend ? calloc(1, bytes) : (char *)begin;
    f.room = malloc((size_t)(m->bias[m->layers - 1] - m->weights[0]) * sizeof(*f.room));
    if (f.host && f.room)
        sbv_parallel_jobs(exec, fold_layers, &f, m->layers);
    else
        ret = sbv_fail(report, SBV_ERROR_MEMORY, "out of memory: %zu bytes of weights", bytes);
    if (ret >= 0 && exec->backend && (ret = sbv_upload(exec, (void *)begin, f.host, bytes)) < 0)
        ret = sbv_fail(report, ret, "%zu bytes of weights: %s", bytes, sbv_backend_message(exec));
    if (ret >= 0)
        memcpy(m->in_use, degradation, sizeof(m->in_use));
    free(f.room);
    if (exec->backend)
        free(f.host);
    return ret;
}
