/*
 * Compares every stage of the network with golden tensors:
 *
 *     golden_stages MODEL.bin PREFIX [cpu|cuda [fp32|fp16|bf16]]
 *
 * PREFIX_frames_u8.npy is the window; each of PREFIX_feat_center, _flow, _warped_0, _fusion, _recons_feat, _recons and
 * _kernel.npy that exists is compared, end to end and with the golden flow fed in. Where there is PREFIX_features.npy,
 * which a modulated network estimates PREFIX_degradation.npy from, both and PREFIX_gains.npy are; else, where that
 * exists, the network is made fit for it. One line a stage, exit 1 if a limit is exceeded.
 *
 * Limits: the golden tensors are fp32 results, up to 8e-5 from a float64 run themselves; a flow error of 1e-3 pixel
 * moves the picture by 4e-4, so end to end the picture inherits what the flow has. In fp16 a feature is rounded to
 * 2^-11 of itself in each of dozens of layers: there a stage may be off by 4e-3 of its largest value where it is given
 * the golden flow. Behind the network's own flow single pixels may differ by anything, as one whose source crosses the
 * edge of the frame is masked: there the root of the mean square counts, 1.5e-2 of the largest value for what lies
 * inside, and 5.6e-3, which is 45 dB, for the picture. In bf16, with 2^-8, a stage may be off by 1.5e-2. The
 * flow, which is not rounded so coarsely, may be off by 2e-3 pixels, ten times as much as in fp32, for its products
 * have 14 bits or more. So the picture is held to 45 dB, of a peak of 1, behind the network's own flow too: rounding
 * the weights of the flow network alone to 2^-8 moves the flow of these networks, which are random and amplify, by up
 * to 0.9 pixels, and the picture to 33 dB. Measures are logarithms of what is left of the picture, so that their
 * error is a relative one of a part of it: ten times that of the picture, and as much what is made of them.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/samples.h"
#include "model/runtime/modulation.h"
#include "model/runtime/session.h"
#include "npy.h"

/* What of a difference counts: the largest one, as it is or as a share of the largest golden value, or the root of the
 * mean square, likewise. */
enum measure { LARGEST, LARGEST_SHARE, RMS, RMS_SHARE };

struct limit {
    enum measure measure;
    double most;
};

/* End to end the flow (in pixels), the stages behind it and the picture; with the golden flow stages and picture; and
 * the kernel. */
struct limits {
    struct limit flow, chain, chain_picture, stage, stage_picture, blur;
    double estimate; /* largest error of measures, degradation and gains */
};

static const struct limits fp32_limits = {
    {LARGEST, 2e-4}, {LARGEST, 5e-4}, {LARGEST, 5e-4}, {LARGEST, 5e-5}, {LARGEST, 5e-5}, {LARGEST, 1e-5}, 1e-4};
static const struct limits fp16_limits = {{RMS_SHARE, 1.5e-2},
                                          {RMS_SHARE, 1.5e-2},
                                          {RMS_SHARE, 5.6e-3},
                                          {LARGEST_SHARE, 4e-3},
                                          {LARGEST_SHARE, 4e-3},
                                          {LARGEST_SHARE, 4e-3},
                                          5e-2};
static const struct limits bf16_limits = {
    {LARGEST, 2e-3}, {LARGEST_SHARE, 1.5e-2}, {RMS, 5.6e-3}, {LARGEST_SHARE, 1.5e-2},
    {RMS, 5.6e-3},   {LARGEST_SHARE, 3e-2},   5e-2};

static const struct limits *limits = &fp32_limits;
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

static float sample(const sbv_map *map, const void *data, int x, int y, int c)
{
    const ptrdiff_t at = y * map->row + x * map->pixel + c;
    if (map->type == SBV_MAP_F16)
        return (float)((const _Float16 *)data)[at];
    return map->type == SBV_MAP_BF16 ? sbv_from_bf16(((const uint16_t *)data)[at]) : ((const float *)data)[at];
}

/* Difference between a map and channels of a C,H,W tensor that starts at `golden`. */
static double difference(const sbv_session *s, sbv_map map, const float *golden, enum measure measure)
{
    const size_t pixels = (size_t)((map.h - 1) * map.row + (map.w - 1) * map.pixel + map.c);
    void *data = malloc(pixels * sbv_sample_size(map.type));
    double worst = 0, largest = 0, squares = 0;
    if (!data || sbv_download(&s->engine.exec, data, map.data, pixels * sbv_sample_size(map.type)) < 0)
        exit(2);
    for (int c = 0; c < map.c; c++)
        for (int y = 0; y < map.h; y++)
            for (int x = 0; x < map.w; x++, golden++) {
                double d = fabs((double)sample(&map, data, x, y, c) - *golden);
                squares += d * d;
                worst = d > worst || isnan(d) ? d : worst;
                largest = fabs((double)*golden) > largest ? fabs((double)*golden) : largest;
            }
    free(data);
    const double found = measure >= RMS ? sqrt(squares / ((double)map.w * map.h * map.c)) : worst;
    return found > 0 && (measure == LARGEST_SHARE || measure == RMS_SHARE) ? found / largest : found;
}

static void report(const char *how, const char *stage, double error, double most)
{
    int good = error <= most;
    printf("%-12s %-12s %.2e  limit %.1e  %s\n", how, stage, error, most, good ? "ok" : "EXCEEDED");
    failures += !good;
    compared++;
}

static void compare(const sbv_session *s, const char *how, const char *prefix, const char *stage, sbv_map map,
                    struct limit limit)
{
    npy golden;
    if (read_stage(&golden, prefix, stage) < 0)
        return;
    if (golden.count != (size_t)map.w * (size_t)map.h * (size_t)map.c) {
        printf("%-12s %-12s has %zu values, expected %dx%dx%d\n", how, stage, golden.count, map.c, map.h, map.w);
        failures++;
    } else {
        report(how, stage, difference(s, map, golden.data, limit.measure), limit.most);
    }
    npy_free(&golden);
}

/* Flow of frame i of the window; the golden file has no entry for the center. */
static float *golden_flow(const npy *golden, const sbv_session *s, int i)
{
    int entry = i - (i > s->engine.network.sequence / 2);
    return golden->data + (size_t)entry * 2 * (size_t)s->engine.ws.width * (size_t)s->engine.ws.height;
}

static void compare_flow(sbv_session *s, const char *prefix)
{
    const struct limit limit = limits->flow;
    npy golden;
    double worst = 0;
    if (read_stage(&golden, prefix, "flow") < 0)
        return;
    for (int i = 0; i < s->engine.network.sequence; i++)
        if (i != s->engine.network.sequence / 2) {
            double d = difference(s, s->engine.ws.flow[i], golden_flow(&golden, s, i), limit.measure);
            worst = d > worst || isnan(d) ? d : worst;
        }
    report("end to end", "flow", worst, limit.most);
    npy_free(&golden);
}

static void feed_flow(sbv_session *s, const char *prefix)
{
    npy golden;
    if (read_stage(&golden, prefix, "flow") < 0)
        return;
    for (int i = 0; i < s->engine.network.sequence; i++) {
        sbv_map flow = s->engine.ws.flow[i];
        size_t area = (size_t)flow.w * (size_t)flow.h;
        float *values = malloc(area * 2 * sizeof(float));
        for (size_t p = 0; flow.data && p < area; p++)
            for (size_t c = 0; c < 2; c++)
                values[p * 2 + c] = golden_flow(&golden, s, i)[c * area + p];
        if (flow.data && sbv_upload(&s->engine.exec, flow.data, values, area * 2 * sizeof(float)) < 0)
            exit(2);
        free(values);
    }
    npy_free(&golden);
}

/* A backend makes its picture when it knows the frame to put it into: here that is done as the CPU does it. */
static void compare_picture(sbv_session *s, const sbv_slot *center, const char *how, const char *prefix,
                            struct limit limit)
{
    const sbv_exec cpu = {.ops = s->engine.exec.ops, .threads = 1};
    const int scale = s->engine.network.scale, w = s->engine.ws.width, h = s->engine.ws.height,
              outputs = SBV_COLOURS * scale * scale;
    const size_t frame = (size_t)w * (size_t)h * sizeof(float);
    sbv_map tail = sbv_map_of(malloc(frame * (size_t)outputs), w, h, outputs);
    sbv_map rgb = sbv_map_of(malloc(frame * SBV_COLOURS), w, h, SBV_COLOURS);
    sbv_map out = sbv_map_of(malloc(frame * (size_t)outputs), w * scale, h * scale, SBV_COLOURS);
    sbv_resize_args base = {.in = rgb, .out = out, .full_w = out.w, .full_h = out.h};
    sbv_shuffle_args shuffle = {.in = tail, .out = out, .factor = scale, .add = 1};
    npy golden;
    if (read_stage(&golden, prefix, "recons") == 0) {
        if (sbv_download(&s->engine.exec, tail.data, s->engine.ws.outputs.data, frame * (size_t)outputs) < 0 ||
            sbv_download(&s->engine.exec, rgb.data, center->rgb.data, frame * SBV_COLOURS) < 0)
            exit(2);
        sbv_run_resize(&cpu, &base, out.h);
        sbv_run_pixel_shuffle(&cpu, &shuffle, out.h);
        const sbv_session host = {.engine = {.exec = cpu}};
        report(how, "recons", difference(&host, out, golden.data, limit.measure), limit.most);
        npy_free(&golden);
    }
    free(tail.data);
    free(rgb.data);
    free(out.data);
}

static void compare_reconstruction(sbv_session *s, const char *how, const char *prefix, struct limit limit,
                                   struct limit picture)
{
    const sbv_stages stages = {&s->engine.network, &s->engine.exec, &s->engine.ws};
    const int sequence = s->engine.network.sequence, features = s->engine.network.features;
    sbv_slot *window[SBV_MAX_SEQUENCE];
    sbv_tile tile;
    for (int i = 0; i < sequence; i++)
        window[i] = &s->engine.ws.slot[i];
    sbv_tile_at(&stages, 0, &tile);
    sbv_map warped = sbv_feature_map(&s->engine.exec, s->engine.ws.part.warped, tile.w, tile.h, sequence * features);
    sbv_map trunk = sbv_precise_map(&s->engine.exec, s->engine.ws.part.trunk, tile.w, tile.h, features);
    compare(s, how, prefix, "feat_center", window[sequence / 2]->features, limits->stage);
    sbv_warp_features(&stages, window, &tile);
    compare(s, how, prefix, "warped_0", sbv_channels(warped, 0, features), limit);
    sbv_fuse(&stages, &tile);
    compare(s, how, prefix, "fusion", trunk, limit);
    sbv_run_trunk(&stages, &tile);
    compare(s, how, prefix, "recons_feat", trunk, limit);
    sbv_run_tail(&stages, window[sequence / 2], &tile);
    if (s->engine.exec.backend)
        compare_picture(s, window[sequence / 2], how, prefix, picture);
    else
        compare(s, how, prefix, "recons", s->engine.ws.output, picture);
}

static void run_flow(sbv_session *s)
{
    const sbv_stages stages = {&s->engine.network, &s->engine.exec, &s->engine.ws};
    sbv_slot *window[SBV_MAX_SEQUENCE];
    for (int i = 0; i < s->engine.network.sequence; i++)
        window[i] = &s->engine.ws.slot[i];
    sbv_estimate_flows(&stages, window);
}

static void run_kernel_net(sbv_session *s, const char *prefix)
{
    const int count = s->engine.network.kernel_net.size * s->engine.network.kernel_net.size;
    float *blur = malloc(sizeof(float) * (size_t)count);
    double worst = 0, largest = 0;
    npy golden;
    if (!blur || sbv_estimate_kernel(s, blur) != SBV_OK)
        fprintf(stderr, "no kernel\n");
    else if (read_stage(&golden, prefix, "kernel") == 0) {
        for (int i = 0; i < count; i++) {
            worst = fmax(worst, fabs((double)blur[i] - golden.data[i]));
            largest = fmax(largest, (double)golden.data[i]);
        }
        report("end to end", "kernel", limits->blur.measure == LARGEST ? worst : worst / largest, limits->blur.most);
        npy_free(&golden);
    }
    free(blur);
}

static void compare_values(const char *prefix, const char *stage, const float *values, size_t count)
{
    double worst = 0;
    npy golden;
    if (read_stage(&golden, prefix, stage) < 0)
        return;
    for (size_t i = 0; i < count && golden.count == count; i++) {
        const double error = fabs((double)values[i] - golden.data[i]);
        worst = error > worst || isnan(error) ? error : worst;
    }
    report("end to end", stage, golden.count == count ? worst : INFINITY, limits->estimate);
    npy_free(&golden);
}

/* What is estimated of the window, under the probe; the network is left fit for the neutral degradation. */
static void estimate(sbv_session *s, const char *prefix)
{
    sbv_modulation *m = &s->engine.network.modulation;
    float measure[SBV_MEASURES], degradation[SBV_DEGRADATION];
    sbv_slot *window[SBV_MAX_SEQUENCE];
    for (int i = 0; i < s->engine.network.sequence; i++)
        window[i] = &s->engine.ws.slot[i];
    if (sbv_measure_window(&s->engine, window, measure) < 0)
        exit(2);
    compare_values(prefix, "features", measure, SBV_MEASURES);
    sbv_tell_degradation(m, measure, degradation);
    compare_values(prefix, "degradation", degradation, SBV_DEGRADATION);
    if (sbv_modulate(&s->engine.network, &s->engine.exec, degradation, &s->engine.report) < 0)
        exit(2);
    compare_values(prefix, "gains", m->gains, (size_t)m->gain[2].out);
    if (sbv_modulate(&s->engine.network, &s->engine.exec, m->neutral, &s->engine.report) < 0)
        exit(2);
}

static void adapt(sbv_session *s, const char *prefix)
{
    npy golden;
    if (!s->engine.network.modulation.present)
        return;
    if (read_stage(&golden, prefix, "features") == 0) {
        estimate(s, prefix);
    } else if (read_stage(&golden, prefix, "degradation") == 0) {
        if (sbv_modulate(&s->engine.network, &s->engine.exec, golden.data, &s->engine.report) < 0)
            exit(2);
    } else {
        return;
    }
    npy_free(&golden);
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
        sbv_frame frame = {.data = {pixels + (size_t)i * (size_t)width * (size_t)height * 3},
                           .linesize = {3 * width},
                           .width = width,
                           .height = height};
        if (sbv_send(s, &frame) != SBV_OK)
            exit(2);
    }
    if (sbv_send(s, NULL) != SBV_OK)
        exit(2);
    free(pixels);
}

static int choose(sbv_config *config, int argc, char **argv)
{
    if (argc < 3 || argc > 5)
        return -1;
    config->model_path = argv[1];
    config->border = SBV_BORDER_NONE;
    config->backend = argc > 3 && !strcmp(argv[3], "cuda") ? SBV_BACKEND_CUDA : SBV_BACKEND_CPU;
    const char *precision = argc > 4 ? argv[4] : config->backend == SBV_BACKEND_CUDA ? "fp16" : "fp32";
    config->precision = !strcmp(precision, "fp32")   ? SBV_PRECISION_FP32
                        : !strcmp(precision, "bf16") ? SBV_PRECISION_BF16
                                                     : SBV_PRECISION_FP16;
    limits = config->precision == SBV_PRECISION_FP32   ? &fp32_limits
             : config->precision == SBV_PRECISION_BF16 ? &bf16_limits
                                                       : &fp16_limits;
    return 0;
}

int main(int argc, char **argv)
{
    sbv_session *session;
    sbv_config config;
    npy frames;
    sbv_config_default(&config);
    config.log = print_error;
    config.scene = 0; /* as the definition of the network has it, and phase too */
    config.phase = SBV_PHASE_MODEL;
    if (choose(&config, argc, argv) < 0) {
        fprintf(stderr, "usage: golden_stages MODEL.bin PREFIX [cpu|cuda [fp32|fp16|bf16]]\n");
        return 2;
    }
    if (read_stage(&frames, argv[2], "frames_u8") < 0 || sbv_open(&session, &config) < 0)
        return 2;
    if (frames.dims != 4 || frames.shape[0] != session->engine.network.sequence || frames.shape[3] != 3) {
        fprintf(stderr, "%s_frames_u8.npy: not %d frames of RGB\n", argv[2], session->engine.network.sequence);
        return 2;
    }
    send_frames(session, &frames);
    if (session->engine.exec.backend && session->engine.exec.backend->enter(session->engine.exec.backend) < 0)
        return 2;
    adapt(session, argv[2]);
    run_flow(session);
    compare_flow(session, argv[2]);
    compare_reconstruction(session, "end to end", argv[2], limits->chain, limits->chain_picture);
    feed_flow(session, argv[2]);
    compare_reconstruction(session, "golden flow", argv[2], limits->stage, limits->stage_picture);
    if (session->engine.exec.backend)
        session->engine.exec.backend->leave(session->engine.exec.backend);
    if (session->engine.network.kernel_net.present)
        run_kernel_net(session, argv[2]);
    sbv_close(&session);
    npy_free(&frames);
    if (compared == 0) {
        fprintf(stderr, "%s: nothing to compare with\n", argv[2]);
        return 2;
    }
    return failures ? 1 : 0;
}
