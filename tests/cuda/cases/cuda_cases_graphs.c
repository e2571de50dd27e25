/*
 * Cases of recordings: what is recorded is queued again, and running out of room for them is an error in debug builds
 * and a message in others, while the recordings that there are go on.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdio.h>
#include <string.h>

#include "kernels/cuda/cuda_backend.h"
#include "tests/cuda/cases/cuda_cases.h"

struct heard {
    int messages;
    enum sbv_log_level level;
    char last[256];
};

static void hear(void *opaque, enum sbv_log_level level, const char *message)
{
    struct heard *heard = opaque;
    heard->messages++;
    heard->level = level;
    snprintf(heard->last, sizeof(heard->last), "%s", message);
}

/* Copies under this key. Returns whether the copy was queued again. */
static int copy_under(sbv_backend *b, const sbv_copy_args *copy, int key)
{
    do {
        if (b->begin(b, &key, sizeof(key)))
            return 1;
        b->copy(b, copy, 1, copy->in.h);
    } while (b->end(b));
    return 0;
}

/* Launched, recorded, queued again. */
static void replay(cuda_test *t)
{
    const test_layout layout = {.w = 5, .h = 3, .c = 4, .type = SBV_MAP_F32};
    test_map *in = test_map_new(t, TEST_IN, layout), *out = test_map_new(t, TEST_OUT, layout);
    const sbv_copy_args host = {in->host, out->host}, device = {in->device, out->device};
    static int key = 1;
    int again = 0;
    test_upload(t);
    sbv_copy_c(&host, 0, layout.h);
    t->backend->forget(t->backend);
    for (int i = 0; i < 3; i++)
        again += copy_under(t->backend, &device, key) << i;
    TEST_RUN(t, copy_under(t->backend, &device, key));
    if (again != 1 << 2)
        test_fail(t, "queued again: %d, expected at the third time alone", again);
    test_compare(t, out, 0, "a copy is exact");
    t->backend->forget(t->backend);
}

/* A backend of its own, which may fail for good. */
static void run_out(cuda_test *t)
{
    struct heard heard = {0};
    char limit[64];
    const sbv_cuda_options options = {.type = SBV_MAP_F32, .log = hear, .log_opaque = &heard};
    const char *message = "";
    sbv_backend *b;
    char reason[512];
    const float value = 3;
    float found = 0;
    void *memory[2] = {NULL, NULL};
    if (sbv_cuda_open(&b, &options, reason, sizeof(reason)) < 0) {
        test_fail(t, "no second backend: %s", reason);
        return;
    }
    b->enter(b);
    for (int i = 0; i < 2; i++)
        b->allocate(b, sizeof(float), &memory[i]);
    b->upload(b, memory[0], &value, sizeof(value));
    const sbv_map from = {memory[0], 1, 1, 1, SBV_MAP_F32, 1, 1}, to = {memory[1], 1, 1, 1, SBV_MAP_F32, 1, 1};
    const sbv_copy_args copy = {from, to};
    for (int key = 0; key < SBV_MAX_RECORDINGS; key++)
        copy_under(b, &copy, key);
    if (b->status(b, &message) < 0 || heard.messages)
        test_fail(t, "there is no room for as many as there may be: %s%s", message, heard.last);
    for (int i = 0; i < 2; i++)
        copy_under(b, &copy, SBV_MAX_RECORDINGS + i);
#ifdef SBV_DEBUG
    (void)found, (void)limit;
    if (b->status(b, &message) != SBV_ERROR_DEVICE || !strstr(message, "no room for a recording"))
        test_fail(t, "no error: '%s'", message);
#else
    snprintf(limit, sizeof(limit), "no room for more than %d", SBV_MAX_RECORDINGS);
    if (heard.messages != 1 || heard.level != SBV_LOG_VERBOSE || !strstr(heard.last, limit))
        test_fail(t, "%d messages, the last '%s'", heard.messages, heard.last);
    if (copy_under(b, &copy, SBV_MAX_RECORDINGS) || copy_under(b, &copy, 7) || !copy_under(b, &copy, 7))
        test_fail(t, "what has room is recorded, the rest is not");
    if (b->download(b, &found, memory[1], sizeof(found)) < 0 || found != value)
        test_fail(t, "%g was copied, expected %g", (double)found, (double)value);
#endif
    for (int i = 0; i < 2; i++)
        b->release(b, memory[i]);
    b->leave(b);
    b->close(b);
}

void cuda_cases_graphs(cuda_test *t)
{
    if (test_begin(t, SBV_MAP_F32, TEST_SMALL, "recordings are queued again")) {
        replay(t);
        test_end(t);
    }
    if (test_begin(t, SBV_MAP_F32, TEST_SMALL, "recordings run out")) {
        TEST_RUN(t, run_out(t));
        test_end(t);
    }
}
