/*
 * Restores a short clip on a backend and compares every frame with what the CPU makes of it:
 *
 *     fallback MODEL.bin auto|cuda [fp32|fp16|auto] [tile] [refine] [alone]
 *
 * Exit status 0: all frames are right, and a line says which backend made the last one and whether warnings were given;
 * 3: a call failed, as it should with one message, which is printed; 1: a wrong picture, or a failure without a
 * message. The frames are enough for recordings to be made and used. Tests run it on a driver that fails on request.
 * With refine, that many steps, the PSNR of the cycle is compared too. With alone the clip is restored again without a
 * frame being queued ahead of the one that is waited for, which must give the same bits.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/runtime/session.h"

#define WIDTH     21
#define HEIGHT    13
#define FRAMES    18 /* every slot is used three times */
#define MAX_SCALE 4
#define BLUR_SIDE 5
#define ADAPT     5 /* frames from one estimate of a modulated model to the next */

/* 8-bit code values that a sample may be off: float sums in another order, and features of 11 bits. In fp16 a flow that
 * is slightly off can move a source across the edge of the frame, where it is masked: a few samples may be anything. */
#define FP32_LIMIT 1
#define FP16_LIMIT 6
#define FP16_SHARE 15 /* at most one of so many */

/* dB that the PSNR of the cycle may be off. */
#define FP32_PSNR 0.02
#define FP16_PSNR 1.0

static unsigned char input[FRAMES][HEIGHT * WIDTH * 3];
static unsigned char expected[FRAMES][HEIGHT * MAX_SCALE * WIDTH * MAX_SCALE * 3];
static unsigned char made[FRAMES][sizeof(expected[0])]; /* by the backend */
static double expected_psnr[FRAMES];
static unsigned char output[HEIGHT * MAX_SCALE * WIDTH * MAX_SCALE * 3];
static int errors, warnings;
static int alone; /* 1: is asked for, 2: is under way */
static char message[1024];

static void count(void *opaque, enum sbv_log_level level, const char *text)
{
    (void)opaque;
    if (level == SBV_LOG_ERROR) {
        errors++;
        snprintf(message, sizeof(message), "%s", text);
    }
    if (level == SBV_LOG_WARNING) {
        warnings++;
        fprintf(stderr, "warning: %s\n", text);
    }
}

/* A pattern that moves, and a little noise. */
static void draw_frames(void)
{
    unsigned state = 1;
    for (int n = 0; n < FRAMES; n++)
        for (int y = 0; y < HEIGHT; y++)
            for (int x = 0; x < WIDTH; x++)
                for (int c = 0; c < 3; c++) {
                    state = state * 1664525u + 1013904223u;
                    double wave = sin((x + 0.7 * n) * 0.6 + c) * cos((y - 0.4 * n) * 0.5);
                    input[n][(y * WIDTH + x) * 3 + c] = (unsigned char)(128 + 90 * wave + (int)(state >> 29));
                }
}

/* Compares frame n, or keeps it as the one expected where there is no limit. */
static int check(const sbv_session *s, int n, int limit)
{
    size_t beyond = 0, worst = 0;
    const double psnr = sbv_cycle_psnr(s);
    if (limit < 0) {
        memcpy(expected[n], output, sizeof(output));
        expected_psnr[n] = psnr;
        return SBV_OK;
    }
    if (alone == 2 && memcmp(made[n], output, sizeof(output))) {
        printf("wrong picture: frame %d has other bits when it is queued alone\n", n);
        return -100;
    }
    memcpy(made[n], output, sizeof(output));
    if (s->engine.config.cycle && !(fabs(psnr - expected_psnr[n]) <= (limit == FP16_LIMIT ? FP16_PSNR : FP32_PSNR))) {
        printf("wrong PSNR of the cycle: %g dB for frame %d, not %g\n", psnr, n, expected_psnr[n]);
        return -100;
    }
    for (size_t i = 0; i < sizeof(output); i++) {
        const size_t off = (size_t)abs(output[i] - expected[n][i]);
        beyond += off > (size_t)limit;
        worst = off > worst ? off : worst;
    }
    if (beyond <= (limit == FP16_LIMIT ? sizeof(output) / FP16_SHARE : 0))
        return SBV_OK;
    printf("wrong picture: %zu samples of frame %d are off, by up to %zu\n", beyond, n, worst);
    return -100;
}

/* Takes all frames that are ready. */
static int receive_all(sbv_session *s, int *next, int limit)
{
    const int scale = sbv_model(s)->scale;
    sbv_frame out = {
        .data = {output}, .linesize = {WIDTH * MAX_SCALE * 3}, .width = WIDTH * scale, .height = HEIGHT * scale};
    int ret;
    while ((ret = sbv_receive(s, &out)) == SBV_OK) {
        if (out.tag != *next || (ret = check(s, *next, limit)) < 0)
            return -100;
        ++*next;
    }
    return ret == SBV_AGAIN || ret == SBV_END ? SBV_OK : ret;
}

static int run_clip(const sbv_config *config, int limit)
{
    sbv_session *s;
    sbv_stream stream = {.width = WIDTH, .height = HEIGHT, .components = 3, .rgb = 1};
    int next = 0, ret = sbv_open(&s, config);
    for (int c = 0; c < 3; c++)
        stream.component[c] = (sbv_component){.step = 3, .offset = c, .depth = 8};
    if (ret < 0)
        return ret;
    ret = sbv_describe(s, &stream);
    if (ret >= 0 && alone && s->engine.ahead != 1) {
        printf("no frame is queued ahead\n");
        ret = -100;
    }
    s->engine.ahead = alone == 2 ? 0 : s->engine.ahead;
    for (int n = 0; n <= FRAMES && ret >= 0; n++) {
        sbv_frame in = {.data = {n < FRAMES ? input[n] : NULL},
                        .linesize = {WIDTH * 3},
                        .width = WIDTH,
                        .height = HEIGHT,
                        .tag = n};
        if ((ret = sbv_send(s, n < FRAMES ? &in : NULL)) >= 0)
            ret = receive_all(s, &next, limit);
    }
    if (ret >= 0 && next != FRAMES) {
        printf("wrong number of frames: %d\n", next);
        ret = -100;
    }
    if (ret >= 0 && limit >= 0 && alone != 2)
        printf("ok on %s, %d warnings\n", s->engine.exec.backend ? s->engine.exec.backend->name : "cpu", warnings);
    sbv_close(&s);
    return ret;
}

int main(int argc, char **argv)
{
    static const float binomial[BLUR_SIDE] = {1 / 16.0f, 4 / 16.0f, 6 / 16.0f, 4 / 16.0f, 1 / 16.0f};
    float blur[BLUR_SIDE * BLUR_SIDE];
    sbv_config config;
    sbv_config_default(&config);
    config.adapt_interval = ADAPT;
    if (argc < 3) {
        fprintf(stderr, "usage: fallback MODEL.bin auto|cuda [fp32|fp16|auto] [tile] [refine] [alone]\n");
        return 2;
    }
    draw_frames();
    config.model_path = argv[1];
    config.scene = 0;
    config.log = count;
    config.threads = 1;
    config.refine = argc > 5 ? atoi(argv[5]) : 0;
    config.cycle = config.refine > 0;
    if (config.cycle) {
        for (int i = 0; i < BLUR_SIDE * BLUR_SIDE; i++)
            blur[i] = binomial[i / BLUR_SIDE] * binomial[i % BLUR_SIDE];
        config.kernel = blur;
        config.kernel_side = BLUR_SIDE;
    }
    config.backend = SBV_BACKEND_CPU;
    config.precision = SBV_PRECISION_FP32;
    if (run_clip(&config, -1) < 0)
        return 2;
    const int automatic = argc > 3 && !strcmp(argv[3], "auto"),
              half = automatic || (argc > 3 && !strcmp(argv[3], "fp16"));
    config.backend = !strcmp(argv[2], "cuda") ? SBV_BACKEND_CUDA : SBV_BACKEND_AUTO;
    config.precision = automatic ? SBV_PRECISION_AUTO : half ? SBV_PRECISION_FP16 : SBV_PRECISION_FP32;
    config.tile = argc > 4 ? atoi(argv[4]) : 0;
    alone = argc > 6;
    int ret = run_clip(&config, half ? FP16_LIMIT : FP32_LIMIT);
    if (ret == SBV_OK && alone) {
        alone = 2;
        ret = run_clip(&config, half ? FP16_LIMIT : FP32_LIMIT);
    }
    if (ret == SBV_OK)
        return errors ? 1 : 0;
    if (ret == -100 || errors != 1 || !*message) {
        printf("status %d, %d messages: %s\n", ret, errors, message);
        return 1;
    }
    printf("%s\n", message);
    return 3;
}
