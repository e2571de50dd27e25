/*
 * Compares every stage of the network with golden tensors:
 *
 *     golden_stages MODEL.bin PREFIX
 *
 * PREFIX_frames_u8.npy is the window; each of PREFIX_feat_center, _flow, _warped_0, _fusion, _recons_feat, _recons and
 * _kernel.npy that exists is compared, end to end and with the golden flow fed in. One line a stage, exit 1 if a limit
 * is exceeded.
 *
 * Limits: the golden tensors are fp32 results, up to 8e-5 from a float64 run themselves; a flow error of 1e-3 pixel
 * moves the picture by 4e-4, so end to end the picture inherits what the flow has.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/session.h"
#include "npy.h"

#define FLOW_LIMIT   2e-4 /* pixels */
#define CHAIN_LIMIT  5e-4 /* end to end */
#define STAGE_LIMIT  5e-5 /* with the golden flow */
#define KERNEL_LIMIT 1e-5

static int failures, compared;

static void print_error(void *opaque, enum sbv_log_level level, const char *message)
{
    (void)opaque;
    if (level == SBV_LOG_ERROR)
        fprintf(stderr, "%s\n", message);
}

static int read_stage(npy *array, const char *prefix, const char *stage)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s_%s.npy", prefix, stage);
    return npy_read(array, path);
}

/* Largest difference between a map and channels of a C,H,W tensor that starts at `golden`. */
static double difference(sbv_map map, const float *golden)
{
    double worst = 0;
    for (int c = 0; c < map.c; c++)
        for (int y = 0; y < map.h; y++)
            for (int x = 0; x < map.w; x++) {
                double d = fabs((double)map.data[y * map.row + x * map.pixel + c] - *golden++);
                worst = d > worst || isnan(d) ? d : worst;
            }
    return worst;
}

static void report(const char *how, const char *stage, double error, double limit)
{
    int good = error <= limit;
    printf("%-12s %-12s %.2e  limit %.0e  %s\n", how, stage, error, limit, good ? "ok" : "EXCEEDED");
    failures += !good;
    compared++;
}

static void compare(const char *how, const char *prefix, const char *stage, sbv_map map, double limit)
{
    npy golden;
    if (read_stage(&golden, prefix, stage) < 0)
        return;
    if (golden.count != (size_t)map.w * (size_t)map.h * (size_t)map.c) {
        printf("%-12s %-12s has %zu values, expected %dx%dx%d\n", how, stage, golden.count, map.c, map.h, map.w);
        failures++;
    } else {
        report(how, stage, difference(map, golden.data), limit);
    }
    npy_free(&golden);
}

/* Flow of frame i of the window; the golden file has no entry for the centre. */
static float *golden_flow(const npy *golden, const sbv_session *s, int i)
{
    int entry = i - (i > s->network.sequence / 2);
    return golden->data + (size_t)entry * 2 * (size_t)s->ws.width * (size_t)s->ws.height;
}

static void compare_flow(sbv_session *s, const char *prefix)
{
    npy golden;
    double worst = 0;
    if (read_stage(&golden, prefix, "flow") < 0)
        return;
    for (int i = 0; i < s->network.sequence; i++)
        if (i != s->network.sequence / 2) {
            double d = difference(s->ws.flow[i], golden_flow(&golden, s, i));
            worst = d > worst || isnan(d) ? d : worst;
        }
    report("end to end", "flow", worst, FLOW_LIMIT);
    npy_free(&golden);
}

static void feed_flow(sbv_session *s, const char *prefix)
{
    npy golden;
    if (read_stage(&golden, prefix, "flow") < 0)
        return;
    for (int i = 0; i < s->network.sequence; i++) {
        sbv_map flow = s->ws.flow[i];
        size_t area = (size_t)flow.w * (size_t)flow.h;
        for (size_t p = 0; flow.data && p < area; p++)
            for (size_t c = 0; c < 2; c++)
                flow.data[p * 2 + c] = golden_flow(&golden, s, i)[c * area + p];
    }
    npy_free(&golden);
}

static void compare_reconstruction(sbv_session *s, const char *how, const char *prefix, double limit)
{
    const sbv_stages stages = {&s->network, &s->exec, &s->ws};
    const int sequence = s->network.sequence, features = s->network.features;
    sbv_slot *window[SBV_MAX_SEQUENCE];
    sbv_tile tile;
    for (int i = 0; i < sequence; i++)
        window[i] = &s->ws.slot[i];
    sbv_tile_at(&stages, 0, &tile);
    sbv_map warped = sbv_map_of(s->ws.part.warped, tile.w, tile.h, sequence * features);
    sbv_map trunk = sbv_map_of(s->ws.part.trunk, tile.w, tile.h, features);
    compare(how, prefix, "feat_center", window[sequence / 2]->features, STAGE_LIMIT);
    sbv_warp_features(&stages, window, &tile);
    compare(how, prefix, "warped_0", sbv_channels(warped, 0, features), limit);
    sbv_fuse(&stages, &tile);
    compare(how, prefix, "fusion", trunk, limit);
    sbv_run_trunk(&stages, &tile);
    compare(how, prefix, "recons_feat", trunk, limit);
    sbv_run_tail(&stages, window[sequence / 2], &tile);
    compare(how, prefix, "recons", s->ws.output, limit);
}

static void run_flow(sbv_session *s)
{
    const sbv_stages stages = {&s->network, &s->exec, &s->ws};
    sbv_slot *slot = s->ws.slot;
    const int centre = s->network.sequence / 2;
    for (int i = 0; i < s->network.sequence; i++)
        if (i != centre)
            sbv_estimate_flow(&stages, &slot[centre], &slot[i], s->ws.flow[i]);
}

static void run_kernel(sbv_session *s, const char *prefix)
{
    float *kernel = malloc(sizeof(float) * (size_t)(s->network.kernel.size * s->network.kernel.size));
    if (!s->network.kernel.present || !kernel || sbv_estimate_kernel(s, kernel) != SBV_OK)
        fprintf(stderr, "no kernel\n");
    else
        compare("end to end", prefix, "kernel", sbv_map_of(kernel, s->network.kernel.size, s->network.kernel.size, 1),
                KERNEL_LIMIT);
    free(kernel);
}

static void send_frames(sbv_session *s, const npy *frames)
{
    const int height = frames->shape[1], width = frames->shape[2];
    unsigned char *pixels = malloc(frames->count);
    sbv_stream stream = {.width = width, .height = height, .components = 3, .rgb = 1};
    for (size_t i = 0; i < frames->count; i++)
        pixels[i] = (unsigned char)frames->data[i];
    for (int c = 0; c < 3; c++)
        stream.component[c] = (sbv_component){.plane = 0, .step = 3, .offset = c, .depth = 8};
    if (sbv_describe(s, &stream) < 0)
        exit(2);
    for (int i = 0; i < frames->shape[0]; i++) {
        sbv_frame frame = {.data = {pixels + (size_t)i * (size_t)width * (size_t)height * 3}, .linesize = {3 * width}};
        if (sbv_send(s, &frame) != SBV_OK)
            exit(2);
    }
    free(pixels);
}

int main(int argc, char **argv)
{
    sbv_session *session;
    sbv_config config;
    npy frames;
    sbv_config_default(&config);
    config.log = print_error;
    if (argc != 3) {
        fprintf(stderr, "usage: golden_stages MODEL.bin PREFIX\n");
        return 2;
    }
    config.model_path = argv[1];
    config.border = SBV_BORDER_NONE;
    if (read_stage(&frames, argv[2], "frames_u8") < 0 || sbv_open(&session, &config) < 0)
        return 2;
    if (frames.dims != 4 || frames.shape[0] != session->network.sequence || frames.shape[3] != 3) {
        fprintf(stderr, "%s_frames_u8.npy: not %d frames of RGB\n", argv[2], session->network.sequence);
        return 2;
    }
    send_frames(session, &frames);
    run_flow(session);
    compare_flow(session, argv[2]);
    compare_reconstruction(session, "end to end", argv[2], CHAIN_LIMIT);
    feed_flow(session, argv[2]);
    compare_reconstruction(session, "golden flow", argv[2], STAGE_LIMIT);
    if (session->network.kernel.present)
        run_kernel(session, argv[2]);
    sbv_close(&session);
    npy_free(&frames);
    if (compared == 0) {
        fprintf(stderr, "%s: nothing to compare with\n", argv[2]);
        return 2;
    }
    return failures ? 1 : 0;
}
