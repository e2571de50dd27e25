/*
 * Times the residual trunk of a model alone, for comparisons with other programs:
 *
 *     trunk MODEL.bin FOLDER [precision=fp32|bf16] [size=320x180] [threads=1] [blocks=N]
 *
 * Writes FOLDER/in.f32, [row][column][channel], prints "ready NAME-OF-THE-INSTRUCTION-SET" and waits for lines: each
 * "run" runs the first N blocks on it and is answered by the seconds that took, of the processor with one thread, else
 * of the clock. At the end of its input it writes the result, FOLDER/out.f32. Exit status 77: the processor does not
 * have that precision.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _POSIX_C_SOURCE 200809L
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/runtime/session.h"

#define NOT_OFFERED 77

static void stop(int status, const char *what)
{
    fprintf(stderr, "trunk: %s\n", what);
    exit(status);
}

static void print_error(void *opaque, enum sbv_log_level level, const char *message)
{
    (void)opaque;
    if (level <= SBV_LOG_WARNING)
        fprintf(stderr, "trunk: %s\n", message);
}

static double seconds(int threads)
{
    struct timespec t;
    clock_gettime(threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Noise in [-1, 1]. */
static void fill(float *values, size_t count)
{
    uint32_t state = 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = (float)(state >> 8) / (float)(1 << 23) - 1;
    }
}

static void write_floats(const char *folder, const char *name, const float *values, size_t count)
{
    char path[4096];
    FILE *file;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "wb");
    if (!file || fwrite(values, sizeof(*values), count, file) != count || fclose(file))
        stop(1, "the folder cannot be written to");
}

/* One name=value of the command line; -1 if it is wrong. */
static int parse(const char *word, sbv_config *config, sbv_stream *stream, int *blocks)
{
    int length = 0;
    if (!strcmp(word, "precision=fp32") || !strcmp(word, "precision=bf16")) {
        config->precision = word[10] == 'b' ? SBV_PRECISION_BF16 : SBV_PRECISION_FP32;
        return 0;
    }
    if (sscanf(word, "size=%4dx%4d%n", &stream->width, &stream->height, &length) == 2 ||
        sscanf(word, "threads=%3d%n", &config->threads, &length) == 1 ||
        sscanf(word, "blocks=%3d%n", blocks, &length) == 1)
        return word[length] ? -1 : 0;
    return -1;
}

static sbv_session *open_session(const sbv_config *config, const sbv_stream *stream)
{
    sbv_session *s;
    const int ret = sbv_open(&s, config);
    if (ret < 0)
        exit(ret == SBV_ERROR_ARGUMENT && config->precision == SBV_PRECISION_BF16 ? NOT_OFFERED : 1);
    if (sbv_describe(s, stream) < 0)
        exit(1);
    return s;
}

int main(int argc, char **argv)
{
    sbv_stream stream = {.width = 320, .height = 180, .components = 1, .component = {{.step = 1, .depth = 8}}};
    sbv_config config;
    sbv_tile tile;
    char line[16];
    int blocks = 0;
    sbv_config_default(&config);
    config.threads = 1;
    config.precision = SBV_PRECISION_FP32;
    config.backend = SBV_BACKEND_CPU;
    config.log = print_error;
    for (int i = 3; i < argc; i++)
        if (parse(argv[i], &config, &stream, &blocks) < 0)
            argc = 0;
    if (argc < 3)
        stop(2, "usage: trunk MODEL.bin FOLDER [precision=fp32|bf16] [size=320x180] [threads=1] [blocks=N]");
    config.model_path = argv[1];
    sbv_session *s = open_session(&config, &stream);
    const sbv_stages stages = {&s->engine.network, &s->engine.exec, &s->engine.ws};
    const size_t count = (size_t)stream.width * (size_t)stream.height * (size_t)s->engine.network.features;
    float *values = malloc(count * sizeof(*values));
    if (!values || !sbv_tile_at(&stages, 0, &tile) || tile.w != stream.width || tile.h != stream.height)
        stop(1, "there is no memory for the frame as a whole");
    if (blocks > 0 && blocks < s->engine.network.recons_blocks)
        s->engine.network.recons_blocks = blocks;
    fill(values, count);
    write_floats(argv[2], "in.f32", values, count);
    printf("ready %s\n", s->engine.exec.isa);
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin) && !strcmp(line, "run\n")) {
        memcpy(s->engine.ws.part.trunk, values, count * sizeof(*values));
        const double begin = seconds(config.threads);
        sbv_run_trunk(&stages, &tile);
        printf("%.6f\n", seconds(config.threads) - begin);
        fflush(stdout);
    }
    write_floats(argv[2], "out.f32", s->engine.ws.part.trunk, count);
    free(values);
    sbv_close(&s);
    return 0;
}
