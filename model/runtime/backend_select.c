/*
 * The choice of a backend: see backend_select.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/backend_select.h"

#include <stdio.h>

#include "kernels/cuda/cuda_backend.h"

/* *found: whether there is a GPU. One that cannot compute in fp16 does in fp32, unless fp16 was asked for. */
static int open_cuda(sbv_engine *e, int *found, char *message, size_t size)
{
    const sbv_config *c = &e->config;
    sbv_cuda_options options = {
        .context = c->cuda_context,
        .stream = c->cuda_stream,
        .device = c->cuda_device,
        .type = c->precision == SBV_PRECISION_FP32 ? SBV_MAP_F32 : SBV_MAP_F16,
        .log = e->report.log,
        .log_opaque = e->report.opaque,
        .found = found,
    };
    char reason[512];
    int ret = sbv_cuda_open(&e->exec.backend, &options, message, size);
    if (ret != SBV_ERROR_ARGUMENT || c->precision != SBV_PRECISION_AUTO)
        return ret;
    snprintf(reason, sizeof(reason), "%s", message);
    options.type = SBV_MAP_F32;
    if ((ret = sbv_cuda_open(&e->exec.backend, &options, message, size)) >= 0)
        sbv_say(&e->report, SBV_LOG_WARNING, "working in fp32, which is slower: %s", reason);
    return ret;
}

int sbv_select_backend(sbv_engine *e, int *replaceable)
{
    const sbv_config *c = &e->config;
    char message[512] = "";
    int found = 0;
    if ((int)c->backend < SBV_BACKEND_AUTO || c->backend > SBV_BACKEND_CUDA)
        return sbv_fail(&e->report, SBV_ERROR_ARGUMENT, "backend %d: out of range %d to %d", (int)c->backend,
                        SBV_BACKEND_AUTO, SBV_BACKEND_CUDA);
    if ((int)c->precision < SBV_PRECISION_AUTO || c->precision > SBV_PRECISION_BF16)
        return sbv_fail(&e->report, SBV_ERROR_ARGUMENT, "precision %d: out of range %d to %d", (int)c->precision,
                        SBV_PRECISION_AUTO, SBV_PRECISION_BF16);
    if (c->precision == SBV_PRECISION_BF16 && (c->backend == SBV_BACKEND_CUDA || c->cuda_context))
        return sbv_fail(&e->report, SBV_ERROR_ARGUMENT, "precision bf16 needs the CPU: a GPU has fp32 and fp16");
    int ret = SBV_ERROR_DEVICE;
    if (c->backend != SBV_BACKEND_CPU && c->precision != SBV_PRECISION_BF16)
        ret = open_cuda(e, &found, message, sizeof(message));
    if (ret >= 0) {
        *replaceable = e->report.can_fall_back = c->backend == SBV_BACKEND_AUTO;
        return SBV_OK;
    }
    if (c->backend == SBV_BACKEND_CUDA || c->cuda_context || ret == SBV_ERROR_ARGUMENT)
        return sbv_fail(&e->report, ret, "CUDA cannot be used: %s", message);
    if (c->precision == SBV_PRECISION_FP16)
        return sbv_fail(&e->report, SBV_ERROR_ARGUMENT, "precision fp16 needs a GPU%s%s", *message ? ": " : "",
                        message);
    if (*message)
        sbv_say(&e->report, found ? SBV_LOG_WARNING : SBV_LOG_VERBOSE, "working on the CPU: %s", message);
    return sbv_exec_choose(&e->exec, c->precision, &e->report);
}
