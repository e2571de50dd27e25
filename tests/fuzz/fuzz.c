/*
 * What fuzz targets share: see fuzz.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _GNU_SOURCE
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIDE 16 /* most pixels of an input frame */

unsigned long fuzz_accepted;
static uint64_t state;

void fuzz_expect(int condition, const char *text)
{
    if (condition)
        return;
    fprintf(stderr, "expected: %s\n", text);
    abort();
}

void fuzz_seed(unsigned seed)
{
    state = seed;
}

size_t fuzz_below(size_t limit)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)((state >> 32) * limit >> 32);
}

const char *fuzz_file(int number, const void *data, size_t size)
{
    static char path[2][32];
    static int file[2];
    if (!file[number])
        file[number] = memfd_create("fuzz", MFD_CLOEXEC);
    FUZZ_EXPECT(file[number] > 0);
    snprintf(path[number], sizeof(path[number]), "/proc/self/fd/%d", file[number]);
    FUZZ_EXPECT(!data || (!ftruncate(file[number], 0) && pwrite(file[number], data, size, 0) == (ssize_t)size));
    return path[number];
}

void fuzz_log(void *errors, enum sbv_log_level level, const char *message)
{
    *(int *)errors += level == SBV_LOG_ERROR;
    for (const unsigned char *c = (const unsigned char *)message; *c; c++)
        FUZZ_EXPECT(*c >= 0x20 && *c != 0x7f && !(*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0));
}

static void restore_frames(sbv_session *s, int width, int height)
{
    static uint8_t in[SIDE * SIDE], out[SIDE * SIDE * 16];
    float blur[SBV_BLUR_SIDE_MAX * SBV_BLUR_SIDE_MAX];
    const sbv_stream stream = {
        .width = width, .height = height, .components = 1, .component = {{.step = 1, .depth = 8}}};
    const int scale = sbv_model(s)->scale;
    sbv_frame from = {.data = {in}, .linesize = {width}, .width = width, .height = height};
    sbv_frame to = {.data = {out}, .linesize = {scale * width}, .width = scale * width, .height = scale * height};
    for (int i = 0; i < SIDE * SIDE; i++)
        in[i] = (uint8_t)(i * i);
    FUZZ_EXPECT(sbv_describe(s, &stream) == SBV_OK);
    for (int frame = 0; frame < 2; frame++)
        FUZZ_EXPECT(sbv_send(s, &from) == SBV_OK);
    FUZZ_EXPECT(sbv_send(s, NULL) == SBV_OK);
    FUZZ_EXPECT(!sbv_model(s)->kernel_size || sbv_estimate_kernel(s, blur) == SBV_OK);
    for (int frame = 0; frame < 2; frame++)
        FUZZ_EXPECT(sbv_receive(s, &to) == SBV_OK);
    FUZZ_EXPECT(sbv_receive(s, &to) == SBV_END);
}

int fuzz_session(const char *model, const float *blur, int side, unsigned choice)
{
    sbv_session *session;
    int errors = 0, ret;
    const sbv_config config = {.model_path = model,
                               .backend = SBV_BACKEND_CPU,
                               .precision = choice & 1 ? SBV_PRECISION_FP32 : SBV_PRECISION_AUTO,
                               .phase = choice & 2 ? SBV_PHASE_MODEL : SBV_PHASE_AUTO,
                               .tile = choice & 4 ? SBV_TILE_MIN : 0,
                               .kernel = blur,
                               .kernel_side = side,
                               .refine = blur ? 2 : 0,
                               .cycle = blur != NULL,
                               .threads = 1,
                               .log = fuzz_log,
                               .log_opaque = &errors};
    ret = sbv_open(&session, &config);
    FUZZ_EXPECT((ret < 0) == (session == NULL) && (ret < 0) == errors);
    if (ret >= 0)
        restore_frames(session, 1 + (int)(choice >> 3) % SIDE, 1 + (int)(choice >> 7) % SIDE);
    fuzz_accepted += ret >= 0;
    sbv_close(&session);
    return ret;
}
