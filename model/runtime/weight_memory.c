/*
 * Memory for packed weights: see weight_memory.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/weight_memory.h"
#include "kernels/numbers.h"

#include <stdlib.h>

size_t sbv_bias_bytes(int out)
{
    return sbv_align((size_t)out, SBV_BIAS_GROUP) * sizeof(float);
}

void sbv_choose_winograd(const sbv_exec *exec, sbv_layer *layer)
{
    while (layer->winograd && !sbv_winograd_bytes(exec, layer->out, layer->in, layer->winograd))
        layer->winograd -= 2;
    layer->shift = layer->shift && layer->winograd > 2 ? layer->winograd / 2 : 0;
}

size_t sbv_conv_layer_bytes(const sbv_exec *exec, const sbv_layer *layer)
{
    return layer->winograd ? sbv_winograd_bytes(exec, layer->out, layer->in, layer->winograd)
                           : sbv_conv_bytes(exec, layer->out, layer->in, layer->ksize, layer->split);
}

void sbv_pack_conv_layer(const sbv_exec *exec, const sbv_layer *layer, const float *raw, void *packed)
{
    if (layer->winograd)
        sbv_pack_winograd(exec, raw, layer->out, layer->in, layer->winograd, packed);
    else
        sbv_pack_conv(exec, raw, layer->out, layer->in, layer->ksize, layer->split, packed);
}

int sbv_weights_memory(const sbv_exec *exec, size_t bytes, void **memory, char **host, sbv_report *report)
{
    int ret = sbv_allocate(exec, bytes, memory);
    *host = exec->backend && ret >= 0 ? calloc(1, bytes) : *memory;
    if (ret >= 0 && !*host)
        ret = SBV_ERROR_MEMORY;
    if (ret < 0)
        return sbv_fail(report, ret, "%s: %zu bytes of weights",
                        ret == SBV_ERROR_MEMORY ? "out of memory" : sbv_backend_message(exec), bytes);
    return SBV_OK;
}

int sbv_weights_done(const sbv_exec *exec, size_t bytes, void *memory, char *host, int ret, sbv_report *report)
{
    if (host == memory)
        return ret;
    if (ret >= 0 && (ret = sbv_upload(exec, memory, host, bytes)) < 0)
        ret = sbv_fail(report, ret, "%s: %zu bytes of weights", sbv_backend_message(exec), bytes);
    free(host);
    return ret;
}
