/*
 * The memory that operations work on, of the host or of a backend, and the layout of maps and weights in it: see
 * run_ops.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/run_ops.h"

#include <string.h>

#include "kernels/numbers.h"
#include "kernels/os.h"

/* Maps spread over pages of 4 KiB: finding those takes a quarter of the time of a warp. */
#define HUGE_PAGE (2 << 20)

int sbv_allocate(const sbv_exec *exec, size_t bytes, void **memory)
{
    *memory = NULL;
    if (exec->backend)
        return exec->backend->allocate(exec->backend, bytes, memory);
    if (!(*memory = sbv_os_allocate(bytes < HUGE_PAGE ? SBV_MEMORY_ALIGN : HUGE_PAGE, bytes)))
        return SBV_ERROR_MEMORY;
    if (bytes >= HUGE_PAGE)
        sbv_os_want_large_pages(*memory, bytes);
    memset(*memory, 0, bytes);
    return SBV_OK;
}

void sbv_release(const sbv_exec *exec, void *memory)
{
    if (exec->backend && memory)
        exec->backend->release(exec->backend, memory);
    else
        sbv_os_free(memory);
}

int sbv_upload(const sbv_exec *exec, void *to, const void *from, size_t bytes)
{
    if (exec->backend)
        return exec->backend->upload(exec->backend, to, from, bytes);
    memcpy(to, from, bytes);
    return SBV_OK;
}

int sbv_download(const sbv_exec *exec, void *to, const void *from, size_t bytes)
{
    if (exec->backend)
        return exec->backend->download(exec->backend, to, from, bytes);
    memcpy(to, from, bytes);
    return SBV_OK;
}

int sbv_begin_download(const sbv_exec *exec, const void *from, size_t bytes)
{
    return exec->backend ? exec->backend->begin_download(exec->backend, from, bytes) : SBV_OK;
}

int sbv_end_download(const sbv_exec *exec, void *to, const void *from, size_t bytes)
{
    if (exec->backend)
        return exec->backend->end_download(exec->backend, to, bytes);
    memcpy(to, from, bytes);
    return SBV_OK;
}

const char *sbv_backend_message(const sbv_exec *exec)
{
    const char *message = "";
    if (exec->backend)
        exec->backend->status(exec->backend, &message);
    return message;
}

static int pixel_stride(const sbv_exec *exec, int channels)
{
    const int align = exec->backend ? exec->backend->channel_align : 1;
    return sbv_round_up(channels, align);
}

static enum sbv_type feature_type(const sbv_exec *exec)
{
    return exec->backend ? exec->backend->type : exec->ops.type;
}

static enum sbv_type precise_type(const sbv_exec *exec)
{
    return exec->backend ? exec->backend->type : SBV_MAP_F32;
}

static sbv_map map_of_type(const sbv_exec *exec, enum sbv_type type, void *data, int w, int h, int c)
{
    const int pixel = pixel_stride(exec, c);
    return (sbv_map){.data = data, .w = w, .h = h, .c = c, .type = type, .pixel = pixel, .row = (ptrdiff_t)w * pixel};
}

size_t sbv_feature_bytes(const sbv_exec *exec, int c)
{
    return (size_t)pixel_stride(exec, c) * sbv_sample_size(feature_type(exec));
}

sbv_map sbv_feature_map(const sbv_exec *exec, void *data, int w, int h, int c)
{
    return map_of_type(exec, feature_type(exec), data, w, h, c);
}

size_t sbv_precise_bytes(const sbv_exec *exec, int c)
{
    return (size_t)pixel_stride(exec, c) * sbv_sample_size(precise_type(exec));
}

sbv_map sbv_precise_map(const sbv_exec *exec, void *data, int w, int h, int c)
{
    return map_of_type(exec, precise_type(exec), data, w, h, c);
}

const char *sbv_precision_name(const sbv_exec *exec)
{
    static const char *const names[] = {[SBV_MAP_F32] = "fp32", [SBV_MAP_F16] = "fp16", [SBV_MAP_BF16] = "bf16"};
    return names[feature_type(exec)];
}

size_t sbv_conv_bytes(const sbv_exec *exec, int out, int in, int ksize, enum sbv_split split)
{
    if (exec->backend)
        return exec->backend->conv_bytes(exec->backend, out, in, ksize);
    if (exec->ops.conv_bytes)
        return exec->ops.conv_bytes(out, in, ksize, split);
    const size_t group = (size_t)exec->ops.conv_group;
    return sbv_align((size_t)out, group) * (size_t)in * (size_t)ksize * (size_t)ksize * sizeof(float);
}

/* Into the layout of the CPU: see sbv_conv_args. */
static void pack_groups(int group, const float *raw, int out, int in, int ksize, float *packed)
{
    const int taps = ksize * ksize;
    for (int o = 0; o < out; o++)
        for (int i = 0; i < in; i++)
            for (int t = 0; t < taps; t++) {
                size_t row = ((size_t)(o / group) * (size_t)taps + (size_t)t) * (size_t)in + (size_t)i;
                packed[row * (size_t)group + (size_t)(o % group)] =
                    raw[((size_t)o * (size_t)in + (size_t)i) * (size_t)taps + (size_t)t];
            }
}

void sbv_pack_conv(const sbv_exec *exec, const float *raw, int out, int in, int ksize, enum sbv_split split,
                   void *packed)
{
    memset(packed, 0, sbv_conv_bytes(exec, out, in, ksize, split));
    if (exec->backend)
        exec->backend->pack_conv(exec->backend, raw, out, in, ksize, packed);
    else if (exec->ops.pack_conv)
        exec->ops.pack_conv(raw, out, in, ksize, split, packed);
    else
        pack_groups(exec->ops.conv_group, raw, out, in, ksize, packed);
}

size_t sbv_winograd_bytes(const sbv_exec *exec, int out, int in, int side)
{
    return exec->backend || !exec->ops.winograd_bytes ? 0 : exec->ops.winograd_bytes(out, in, side);
}

void sbv_pack_winograd(const sbv_exec *exec, const float *raw, int out, int in, int side, void *packed)
{
    exec->ops.pack_winograd(raw, out, in, side, packed);
}
