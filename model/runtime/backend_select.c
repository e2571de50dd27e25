/*
 * The choice of a backend, and what happens when it fails: a GPU that cannot be used, or is lost in the middle of a
 * stream, is replaced by the CPU where the caller left the choice to us and the frames are within the CPU's reach. No
 * frame is lost: the pixels of the frames in the window are kept on the host, and computed anew.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/frame.h"
#include "model/runtime/session.h"

static int open_cuda(sbv_session *s, char *message, size_t size)
{
    const sbv_config *c = &s->config;
    sbv_cuda_options options = {
        .context = c->cuda_context,
        .stream = c->cuda_stream,
        .type = c->precision == SBV_PRECISION_FP32 ? SBV_MAP_F32 : SBV_MAP_F16,
    };
    return sbv_cuda_open(&s->exec.backend, &options, message, size);
}

int sbv_choose_backend(sbv_session *s)
{
    const sbv_config *c = &s->config;
    char message[512] = "";
    if ((int)c->backend < SBV_BACKEND_AUTO || c->backend > SBV_BACKEND_CUDA)
        return sbv_fail(&s->report, SBV_ERROR_ARGUMENT, "backend %d: out of range %d to %d", (int)c->backend,
                        SBV_BACKEND_AUTO, SBV_BACKEND_CUDA);
    if ((int)c->precision < SBV_PRECISION_AUTO || c->precision > SBV_PRECISION_BF16)
        return sbv_fail(&s->report, SBV_ERROR_ARGUMENT, "precision %d: out of range %d to %d", (int)c->precision,
                        SBV_PRECISION_AUTO, SBV_PRECISION_BF16);
    if (c->precision == SBV_PRECISION_BF16 && (c->backend == SBV_BACKEND_CUDA || c->cuda_context))
        return sbv_fail(&s->report, SBV_ERROR_ARGUMENT, "precision bf16 needs the CPU: a GPU has fp32 and fp16");
    int ret = SBV_ERROR_DEVICE;
    if (c->backend != SBV_BACKEND_CPU && c->precision != SBV_PRECISION_BF16)
        ret = open_cuda(s, message, sizeof(message));
    if (ret >= 0) {
        s->can_fall_back = s->report.can_fall_back = c->backend == SBV_BACKEND_AUTO;
        return SBV_OK;
    }
    if (c->backend == SBV_BACKEND_CUDA || c->cuda_context)
        return sbv_fail(&s->report, ret, "CUDA cannot be used: %s", message);
    if (c->precision == SBV_PRECISION_FP16)
        return sbv_fail(&s->report, SBV_ERROR_ARGUMENT, "precision fp16 needs a GPU%s%s", *message ? ": " : "",
                        message);
    if (*message)
        sbv_say(&s->report, SBV_LOG_VERBOSE, "working on the CPU: %s", message);
    return sbv_exec_choose(&s->exec, c->precision, &s->report);
}

void sbv_close_backend(sbv_session *s)
{
    if (s->exec.backend)
        s->exec.backend->close(s->exec.backend);
    s->exec.backend = NULL;
}

int sbv_keep_open(sbv_session *s)
{
    const sbv_stream *t = &s->stream;
    size_t size[4], total = 0;
    int rows[4];
    if (!s->can_fall_back || t->memory != SBV_MEMORY_HOST)
        return SBV_OK;
    for (int plane = 0; plane < 4; plane++) {
        sbv_plane_size(t, t->width, t->height, plane, &size[plane], &rows[plane]);
        total += size[plane] * (size_t)rows[plane];
    }
    for (int i = 0; i < s->network.sequence; i++) {
        sbv_kept *kept = &s->kept[i];
        uint8_t *at = kept->memory = malloc(total);
        if (!at)
            return sbv_fail(&s->report, SBV_ERROR_MEMORY, "out of memory: %zu MiB to keep a frame", total >> 20);
        for (int plane = 0; plane < 4; plane++) {
            kept->frame.data[plane] = at;
            kept->frame.linesize[plane] = (ptrdiff_t)size[plane];
            at += size[plane] * (size_t)rows[plane];
        }
    }
    return SBV_OK;
}

void sbv_keep_close(sbv_session *s)
{
    for (int i = 0; i < SBV_MAX_SEQUENCE; i++)
        free(s->kept[i].memory);
    memset(s->kept, 0, sizeof(s->kept));
}

void sbv_keep_frame(sbv_session *s, const sbv_frame *frame, int slot)
{
    sbv_kept *kept = &s->kept[slot];
    if (!kept->memory)
        return;
    for (int plane = 0; plane < 4; plane++) {
        size_t bytes;
        int rows;
        sbv_plane_size(&s->stream, s->stream.width, s->stream.height, plane, &bytes, &rows);
        for (int y = 0; y < rows; y++)
            memcpy(kept->frame.data[plane] + y * kept->frame.linesize[plane],
                   frame->data[plane] + y * frame->linesize[plane], bytes);
    }
}

/* The frames of the window again, on the CPU. What is known of them beside their pixels stays. */
static void replay(sbv_session *s, const sbv_slot *before)
{
    const int sequence = s->network.sequence;
    for (int64_t i = s->received < sequence ? 0 : s->received - sequence; i < s->received; i++) {
        sbv_slot *slot = &s->ws.slot[i % sequence];
        slot->tag = before[i % sequence].tag;
        slot->first_of_shot = before[i % sequence].first_of_shot;
        sbv_take_frame(s, &s->kept[i % sequence].frame, slot, NULL);
    }
}

int sbv_fall_back(sbv_session *s, int error)
{
    const char *failure = sbv_backend_message(&s->exec);
    char message[sizeof(s->report.last_error)];
    sbv_slot before[SBV_MAX_SEQUENCE];
    int ret;
    snprintf(message, sizeof(message), "%s", *failure ? failure : s->report.last_error);
    s->report.can_fall_back = 0;
    /* What failed while the model was read has been reported, with what it was needed for. */
    if (!s->can_fall_back && strstr(s->report.last_error, message))
        return error;
    if (!s->can_fall_back || s->stream.memory != SBV_MEMORY_HOST)
        return sbv_fail(&s->report, error, "%s", message);
    sbv_say(&s->report, SBV_LOG_WARNING, "the GPU cannot go on (%s); going on on the CPU", message);
    memcpy(before, s->ws.slot, sizeof(before));
    sbv_workspace_close(&s->ws, &s->exec);
    sbv_network_close(&s->network, &s->exec);
    sbv_close_backend(s);
    s->can_fall_back = 0;
    if ((ret = sbv_exec_choose(&s->exec, s->config.precision, &s->report)) < 0 || (ret = sbv_read_model(s)) < 0 ||
        (s->stream.width && (ret = sbv_open_stream(s)) < 0))
        return ret;
    if (s->kept[0].memory)
        replay(s, before);
    sbv_keep_close(s);
    return SBV_OK;
}
