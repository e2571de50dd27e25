/*
 * Recordings: see graphs.h.
 *
 * The first time operations are begun under a key they are launched one by one, which also makes the driver load what
 * it loads lazily; the second time they are captured into a graph, which is launched then and from then on. The
 * caller's stream may be the default stream, which cannot be captured, so capturing happens in a stream of the
 * backend's own, in which nothing ever runs.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/graphs.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Nothing depends on recordings but how long a frame takes: what goes wrong with them is said, once. */
__attribute__((format(printf, 2, 3))) static void say(sbv_cuda *c, const char *format, ...)
{
    char line[256];
    va_list args;
    if (!c->options.log || c->said_recording)
        return;
    c->said_recording = 1;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    c->options.log(c->options.log_opaque, SBV_LOG_VERBOSE, line);
}

static sbv_recording *find(sbv_cuda *c, const void *key, size_t size)
{
    for (int i = 0; i < c->recordings; i++)
        if (c->recording[i].key_size == size && !memcmp(c->recording[i].key, key, size))
            return &c->recording[i];
    return NULL;
}

/* A key that is seen for the first time. There is room for all that a stream can have: to run out of it, or to have a
 * longer key, is a mistake of the caller, which must not pass for a slow GPU. */
static void add(sbv_cuda *c, const void *key, size_t size)
{
    if (size <= SBV_RECORD_KEY && c->recordings < SBV_MAX_RECORDINGS) {
        sbv_recording *r = &c->recording[c->recordings++];
        memcpy(r->key, key, size);
        r->key_size = size;
        return;
    }
#ifdef SBV_DEBUG
    sbv_cuda_fail(c, SBV_ERROR_DEVICE, "no room for a recording: %d are there, key of %zu bytes", c->recordings, size);
#else
    say(c, "no room for more than %d recordings: kernels are launched one by one", c->recordings);
#endif
}

int sbv_cuda_begin(sbv_backend *b, const void *key, size_t size)
{
    sbv_cuda *c = (sbv_cuda *)b;
    c->recorded = -1;
    if (c->status < 0 || c->options.no_recording)
        return 0;
    sbv_recording *r = find(c, key, size);
    if (!r) {
        add(c, key, size);
        return 0;
    }
    if (r->graph) {
        SBV_CUDA_CHECK(c, c->cu->cuGraphLaunch(r->graph, c->options.stream));
        return 1;
    }
    if (c->cu->cuStreamBeginCapture(c->capture, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL) == CUDA_SUCCESS) {
        c->recorded = (int)(r - c->recording);
        c->stream = c->capture;
    }
    return 0;
}

/* Graph of what was captured -> r->graph. Returns 0 if that is not possible. */
static int instantiate(sbv_cuda *c, sbv_recording *r)
{
    CUgraph graph = NULL;
    CUresult result = c->cu->cuStreamEndCapture(c->capture, &graph);
    if (result == CUDA_SUCCESS)
        result = c->cu->cuGraphInstantiateWithFlags(&r->graph, graph, 0);
    if (graph)
        c->cu->cuGraphDestroy(graph);
    if (result != CUDA_SUCCESS)
        r->graph = NULL;
    return result == CUDA_SUCCESS;
}

int sbv_cuda_end(sbv_backend *b)
{
    sbv_cuda *c = (sbv_cuda *)b;
    if (c->recorded < 0)
        return 0;
    sbv_recording *r = &c->recording[c->recorded];
    c->recorded = -1;
    c->stream = c->options.stream;
    if (instantiate(c, r)) {
        SBV_CUDA_CHECK(c, c->cu->cuGraphLaunch(r->graph, c->stream));
        return 0;
    }
    /* Whatever went wrong concerns recording alone, unless it shows again without it. */
    say(c, "launches cannot be recorded%s%s: kernels are launched one by one", c->status < 0 ? ": " : "",
        c->status < 0 ? c->message : "");
    c->options.no_recording = 1;
    c->status = SBV_OK;
    return 1;
}

void sbv_cuda_forget(sbv_backend *b)
{
    sbv_cuda *c = (sbv_cuda *)b;
    for (int i = 0; i < c->recordings; i++)
        if (c->recording[i].graph)
            SBV_CUDA_CHECK(c, c->cu->cuGraphExecDestroy(c->recording[i].graph));
    memset(c->recording, 0, sizeof(c->recording));
    c->recordings = 0;
}
