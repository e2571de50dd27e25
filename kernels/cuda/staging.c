/*
 * Frames in host memory on their way to and from the device.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "kernels/frame.h"
#include "kernels/cuda/colour_params.h"
#include "kernels/cuda/staging.h"
#include "kernels/numbers.h"

/* Rows begin at multiples of it: kernels write whole vectors. */
#define PITCH_ALIGN 256

/* ---- Layouts ---- */

/* Rows of a plane that belong to the first `rows` luma rows. */
static int plane_rows(const sbv_staging_plane *p, int rows)
{
    return sbv_subsampled(rows, p->rows_log2);
}

static sbv_staging_layout layout_of(const sbv_stream *s, int w, int h)
{
    sbv_staging_layout l = {.width = w, .height = h};
    size_t used[SBV_STAGING_PLANES] = {0};

    for (int c = 0; c < s->components; c++) {
        const sbv_component *k = &s->component[c];
        sbv_staging_plane *p = &l.plane[k->plane];
        const size_t samples = (size_t)sbv_subsampled(w, sbv_w_log2(s, c));
        const size_t end = (size_t)k->offset + (samples - 1) * (size_t)k->step + (size_t)sbv_sample_bytes(k);
        if (!p->rows || sbv_h_log2(s, c) < p->rows_log2)
            p->rows_log2 = sbv_h_log2(s, c);
        p->rows = plane_rows(p, h);
        p->bytes = end > p->bytes ? end : p->bytes;
        used[k->plane] += samples * (size_t)sbv_sample_bytes(k);
    }
    for (int i = 0; i < SBV_STAGING_PLANES; i++) {
        sbv_staging_plane *p = &l.plane[i];
        if (p->rows && sbv_colour_padded(s))
            p->bytes = used[i] = (size_t)w * 4;
        p->whole = used[i] == p->bytes;
        p->pitch = sbv_align(p->bytes, PITCH_ALIGN);
        p->offset = l.bytes;
        l.bytes += p->pitch * (size_t)p->rows;
    }
    return l;
}

/* ---- Buffers ---- */

static int open_pair(sbv_staging *s, sbv_staging_pair *pair, const sbv_staging_layout *l)
{
    sbv_cuda *c = s->cuda;
    void *host = NULL;
    int ret = c->base.allocate(&c->base, l->bytes, &pair->device);

    if (ret < 0) {
        sbv_cuda_fail(c, ret, "out of memory: %zu MiB for the pixels of frames", (l->bytes >> 20) + 1);
        return ret;
    }
    if (SBV_CUDA_CHECK(c, c->cu->cuMemHostAlloc(&host, l->bytes, 0)))
        return c->status;
    pair->host = memset(host, 0, l->bytes); /* rows have gaps between them, which are copied too */
    for (int i = 0; i < SBV_STAGING_PLANES; i++)
        if (l->plane[i].rows) {
            pair->frame.data[i] = (uint8_t *)pair->device + l->plane[i].offset;
            pair->frame.linesize[i] = (ptrdiff_t)l->plane[i].pitch;
        }
    return SBV_OK;
}

static void close_pair(sbv_staging *s, sbv_staging_pair *pair)
{
    if (pair->device)
        s->cuda->base.release(&s->cuda->base, pair->device);
    if (pair->host)
        s->cuda->cu->cuMemFreeHost(pair->host);
}

/* The host sleeps while it waits for one: it can be the whole network that has to run before. */
static int open_event(sbv_staging *s, CUevent *event)
{
    const unsigned flags = CU_EVENT_DISABLE_TIMING | CU_EVENT_BLOCKING_SYNC;
    return SBV_CUDA_CHECK(s->cuda, s->cuda->cu->cuEventCreate(event, flags)) ? s->cuda->status : SBV_OK;
}

static int open_stream(sbv_staging *s, CUstream *stream)
{
    /* One that does not wait for the default stream, in which the backend may work. */
    return SBV_CUDA_CHECK(s->cuda, s->cuda->cu->cuStreamCreate(stream, CU_STREAM_NON_BLOCKING)) ? s->cuda->status
                                                                                                : SBV_OK;
}

static int open_output(sbv_staging *s, sbv_staging_output *output)
{
    int ret;

    for (int i = 0; i < SBV_STAGING_BANDS; i++)
        if ((ret = open_event(s, &output->band[i].converted)) < 0 ||
            (ret = open_event(s, &output->band[i].downloaded)) < 0)
            return ret;
    return open_pair(s, &output->buffer, &s->out);
}

static void close_output(sbv_staging *s, sbv_staging_output *output)
{
    close_pair(s, &output->buffer);
    for (int i = 0; i < SBV_STAGING_BANDS; i++) {
        if (output->band[i].converted)
            s->cuda->cu->cuEventDestroy(output->band[i].converted);
        if (output->band[i].downloaded)
            s->cuda->cu->cuEventDestroy(output->band[i].downloaded);
    }
}

static int open_all(sbv_staging *s)
{
    int ret;

    if ((ret = open_stream(s, &s->upload)) < 0 || (ret = open_stream(s, &s->download)) < 0)
        return ret;
    for (int i = 0; i < SBV_STAGING_INPUTS; i++) {
        sbv_staging_input *input = &s->input[i];
        if ((ret = open_event(s, &input->uploaded)) < 0 || (ret = open_event(s, &input->consumed)) < 0 ||
            (ret = open_pair(s, &input->buffer, &s->in)) < 0)
            return ret;
    }
    for (int i = 0; i < SBV_OUTPUT_BUFFERS; i++)
        if ((ret = open_output(s, &s->output[i])) < 0)
            return ret;
    /* Fresh memory is being cleared in the backend's stream, for which the stream of the uploads does not wait. */
    return s->cuda->base.wait(&s->cuda->base);
}

int sbv_staging_open(sbv_staging *s, sbv_cuda *c, const sbv_stream *stream, int scale)
{
    if (stream->memory != SBV_MEMORY_HOST)
        return SBV_OK;
    s->cuda = c;
    s->stream = *stream;
    s->in = layout_of(stream, stream->width, stream->height);
    s->out = layout_of(stream, stream->width * scale, stream->height * scale);
    const int ret = open_all(s);
    if (ret < 0)
        sbv_staging_close(s);
    return ret;
}

void sbv_staging_close(sbv_staging *s)
{
    const sbv_cuda *c = s->cuda;

    if (!c)
        return;
    /* Results are not looked at: after a failure of the device they are no news. */
    if (s->upload)
        c->cu->cuStreamSynchronize(s->upload);
    c->cu->cuStreamSynchronize(c->options.stream);
    if (s->download)
        c->cu->cuStreamSynchronize(s->download);
    for (int i = 0; i < SBV_STAGING_INPUTS; i++) {
        close_pair(s, &s->input[i].buffer);
        if (s->input[i].uploaded)
            c->cu->cuEventDestroy(s->input[i].uploaded);
        if (s->input[i].consumed)
            c->cu->cuEventDestroy(s->input[i].consumed);
    }
    for (int i = 0; i < SBV_OUTPUT_BUFFERS; i++)
        close_output(s, &s->output[i]);
    if (s->upload)
        c->cu->cuStreamDestroy(s->upload);
    if (s->download)
        c->cu->cuStreamDestroy(s->download);
    memset(s, 0, sizeof(*s));
}

/* Whether frames of w x h pixels of this stream are those that the layout is for. Says so where they are not. */
static int described(const sbv_staging *s, sbv_cuda *c, const sbv_staging_layout *l, int w, int h)
{
    if (c->status < 0)
        return 0;
    if (s->cuda && l->width == w && l->height == h)
        return 1;
    sbv_cuda_fail(c, SBV_ERROR_DEVICE, "frames of %dx%d in host memory: described were %dx%d", w, h, l->width,
                  l->height);
    return 0;
}

/* ---- Input ---- */

const sbv_frame *sbv_staging_upload(sbv_staging *s, sbv_cuda *c, const sbv_frame *frame, int w, int h)
{
    sbv_staging_input *input = &s->input[s->next];
    uint8_t *host = input->buffer.host;

    if (!described(s, c, &s->in, w, h))
        return NULL;
    /* The copy before from this buffer has to be done before its pixels are overwritten. */
    if (SBV_CUDA_CHECK(c, c->cu->cuEventSynchronize(input->uploaded)))
        return NULL;
    for (int i = 0; i < SBV_STAGING_PLANES; i++) {
        const sbv_staging_plane *p = &s->in.plane[i];
        for (int y = 0; y < p->rows; y++)
            memcpy(host + p->offset + (size_t)y * p->pitch, frame->data[i] + y * frame->linesize[i], p->bytes);
    }
    if (SBV_CUDA_CHECK(c, c->cu->cuStreamWaitEvent(s->upload, input->consumed, 0)) ||
        SBV_CUDA_CHECK(
            c, c->cu->cuMemcpyHtoDAsync((CUdeviceptr)(uintptr_t)input->buffer.device, host, s->in.bytes, s->upload)) ||
        SBV_CUDA_CHECK(c, c->cu->cuEventRecord(input->uploaded, s->upload)) ||
        SBV_CUDA_CHECK(c, c->cu->cuStreamWaitEvent(c->stream, input->uploaded, 0)))
        return NULL;
    return &input->buffer.frame;
}

void sbv_staging_consumed(sbv_staging *s)
{
    sbv_cuda *c = s->cuda;

    if (c->status < 0)
        return;
    SBV_CUDA_CHECK(c, c->cu->cuEventRecord(s->input[s->next].consumed, c->stream));
    s->next = (s->next + 1) % SBV_STAGING_INPUTS;
}

/* ---- Output ---- */

const sbv_frame *sbv_staging_begin(sbv_staging *s, sbv_cuda *c, int buffer, int w, int h)
{
    sbv_staging_output *output = &s->output[buffer];

    if (!described(s, c, &s->out, w, h) ||
        (output->bands &&
         SBV_CUDA_CHECK(c, c->cu->cuStreamWaitEvent(c->stream, output->band[output->bands - 1].downloaded, 0))))
        return NULL;
    output->bands = 0;
    return &output->buffer.frame;
}

int sbv_staging_band_end(const sbv_staging *s, int begin, int rows)
{
    const int band = (s->out.height + SBV_STAGING_BANDS - 1) / SBV_STAGING_BANDS;
    const int end = begin + (band + SBV_STAGING_BAND - 1) / SBV_STAGING_BAND * SBV_STAGING_BAND;
    return end < rows ? end : rows;
}

void sbv_staging_download(sbv_staging *s, int buffer, int begin, int end)
{
    sbv_cuda *c = s->cuda;
    sbv_staging_output *output = &s->output[buffer];
    sbv_staging_band *band = &output->band[output->bands];

    if (c->status < 0 || SBV_CUDA_CHECK(c, c->cu->cuEventRecord(band->converted, c->stream)) ||
        SBV_CUDA_CHECK(c, c->cu->cuStreamWaitEvent(s->download, band->converted, 0)))
        return;
    for (int i = 0; i < SBV_STAGING_PLANES; i++) {
        const sbv_staging_plane *p = &s->out.plane[i];
        const int first = plane_rows(p, begin), rows = plane_rows(p, end) - first;
        const size_t offset = p->offset + (size_t)first * p->pitch;
        if (p->rows && SBV_CUDA_CHECK(c, c->cu->cuMemcpyDtoHAsync(
                                             output->buffer.host + offset,
                                             (CUdeviceptr)(uintptr_t)((uint8_t *)output->buffer.device + offset),
                                             (size_t)rows * p->pitch, s->download)))
            return;
    }
    if (SBV_CUDA_CHECK(c, c->cu->cuEventRecord(band->downloaded, s->download)))
        return;
    band->begin = begin;
    band->end = end;
    output->bands++;
}

/* The samples of a row, and no byte between them. */
static void copy_samples(const sbv_staging *s, int plane, uint8_t *to, const uint8_t *from)
{
    for (int c = 0; c < s->stream.components; c++) {
        const sbv_component *k = &s->stream.component[c];
        const int w = sbv_subsampled(s->out.width, sbv_w_log2(&s->stream, c));
        if (k->plane == plane)
            for (int x = 0; x < w; x++)
                memcpy(to + k->offset + (ptrdiff_t)x * k->step, from + k->offset + (ptrdiff_t)x * k->step,
                       (size_t)sbv_sample_bytes(k));
    }
}

static void copy_band(const sbv_staging *s, const sbv_staging_pair *buffer, const sbv_frame *frame,
                      const sbv_staging_band *band)
{
    for (int i = 0; i < SBV_STAGING_PLANES; i++) {
        const sbv_staging_plane *p = &s->out.plane[i];
        if (!p->rows)
            continue;
        for (int y = plane_rows(p, band->begin); y < plane_rows(p, band->end); y++) {
            uint8_t *to = frame->data[i] + y * frame->linesize[i];
            const uint8_t *from = buffer->host + p->offset + (size_t)y * p->pitch;
            if (p->whole)
                memcpy(to, from, p->bytes);
            else
                copy_samples(s, i, to, from);
        }
    }
}

void sbv_staging_finish(sbv_staging *s, int buffer, const sbv_frame *frame)
{
    sbv_cuda *c = s->cuda;
    sbv_staging_output *output = &s->output[buffer];

    for (int i = 0; i < output->bands && c->status >= 0; i++)
        if (!SBV_CUDA_CHECK(c, c->cu->cuEventSynchronize(output->band[i].downloaded)))
            copy_band(s, &output->buffer, frame, &output->band[i]);
    output->bands = 0;
}
