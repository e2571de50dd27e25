/*
 * Restores a clip of 10 bits after one of 8 bits of the same size, and compares it with the clip restored alone:
 *
 *     depths MODEL.bin cpu|cuda
 *
 * Refinement stops where what is left of the difference is rounding to the input's depth, which must be that of the
 * clip at hand. Exit status 0: all bits are equal, and clip and depth are such that the depth matters; 1: they are not.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/include/selfblindvsr.h"

#define WIDTH     16
#define HEIGHT    12
#define FRAMES    18 /* every slot is used three times: recordings are made and used */
#define MAX_SCALE 4
#define PICTURE   (WIDTH * MAX_SCALE * HEIGHT * MAX_SCALE)

typedef uint16_t clip[FRAMES][PICTURE];

/* Grey with noise of one code value of 10 bits, which is below the rounding of 8 bits. */
static void draw(uint16_t *frame, int n)
{
    unsigned state = 1 + (unsigned)n;
    for (int i = 0; i < WIDTH * HEIGHT; i++) {
        state = state * 1664525u + 1013904223u;
        frame[i] = (uint16_t)(512 + (int)(state >> 16) % 3 - 1);
    }
}

static int receive(sbv_session *s, clip out, int *next)
{
    int ret;
    do {
        sbv_frame picture = {.width = WIDTH * MAX_SCALE, .height = HEIGHT * MAX_SCALE};
        picture.data[0] = *next < FRAMES ? (uint8_t *)out[*next] : NULL;
        picture.linesize[0] = WIDTH * MAX_SCALE * 2;
        ret = *next < FRAMES ? sbv_receive(s, &picture) : SBV_END;
        *next += ret == SBV_OK;
    } while (ret == SBV_OK);
    return ret == SBV_AGAIN || ret == SBV_END ? SBV_OK : ret;
}

/* 8 bits: the high byte of each sample. */
static int restore(sbv_session *s, int depth, clip out)
{
    uint16_t frame[WIDTH * HEIGHT];
    sbv_stream stream = {.width = WIDTH, .height = HEIGHT, .components = 1, .full_range = 1};
    stream.component[0] = (sbv_component){.step = 2, .offset = depth == 8, .depth = depth};
    int next = 0, ret = sbv_describe(s, &stream);
    for (int n = 0; n <= FRAMES && ret >= 0; n++) {
        sbv_frame in = {
            .data = {(uint8_t *)frame}, .linesize = {WIDTH * 2}, .width = WIDTH, .height = HEIGHT, .tag = n};
        if (n < FRAMES)
            draw(frame, n);
        if ((ret = sbv_send(s, n < FRAMES ? &in : NULL)) >= 0)
            ret = receive(s, out, &next);
    }
    return ret < 0 || next != FRAMES ? -1 : 0;
}

static void print(void *opaque, enum sbv_log_level level, const char *message)
{
    (void)opaque;
    if (level <= SBV_LOG_WARNING)
        printf("%s\n", message);
}

int main(int argc, char **argv)
{
    static clip alone, after, before, unrefined;
    static const float blur[1] = {1};
    sbv_session *s = NULL;
    sbv_config config;
    int ret;
    if (argc < 3) {
        fprintf(stderr, "usage: depths MODEL.bin cpu|cuda\n");
        return 2;
    }
    sbv_config_default(&config);
    config.model_path = argv[1];
    config.backend = strcmp(argv[2], "cpu") ? SBV_BACKEND_CUDA : SBV_BACKEND_CPU;
    config.precision = SBV_PRECISION_FP32;
    config.threads = 1;
    config.kernel = blur;
    config.kernel_side = 1;
    config.refine = 3;
    config.log = print;
    ret = sbv_open(&s, &config) < 0 || restore(s, 10, alone) < 0;
    sbv_close(&s);
    ret = ret || sbv_open(&s, &config) < 0 || restore(s, 8, before) < 0 || restore(s, 10, after) < 0;
    sbv_close(&s);
    config.refine = 0;
    ret = ret || sbv_open(&s, &config) < 0 || restore(s, 10, unrefined) < 0;
    sbv_close(&s);
    if (ret)
        return 1;
    const int same = !memcmp(alone, after, sizeof(alone)), matters = memcmp(alone, unrefined, sizeof(alone)) != 0;
    printf("%s, refinement %s\n", same ? "the same" : "different", matters ? "matters" : "does not matter");
    return same && matters ? 0 : 1;
}
