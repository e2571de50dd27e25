/*
 * The network as sessions run it, with cached features and pyramids, a collapsed tail, tiles and threads, against the
 * long way: every window computed afresh and the tail run layer by layer, as the network is defined.
 *
 * Limit 1e-4: the two ways round differently; the collapsed tail alone is within 2e-6 of the long one, relative to
 * values of about 1, and the networks here have values of up to about 10. What must not round differently at all,
 * tiles, threads, caches, is compared bit for bit. All of it in fp32; bf16 is in test_bf16.c.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _POSIX_C_SOURCE 200809L
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/runtime/session.h"
#include "model/runtime/weight_memory.h"
#include "temporary.h"
#include "tiny_model.h"

#define LIMIT       1e-4
#define FRAMES      7
#define SECOND_SHOT 90

static const char *model_path;

static void fail_on_error(void *opaque, enum sbv_log_level level, const char *message)
{
    (void)opaque;
    if (level == SBV_LOG_ERROR)
        fail_msg("%s", message);
}

static sbv_session *open_session(enum sbv_border border, int tile, int threads)
{
    sbv_session *session;
    sbv_config config;
    sbv_config_default(&config);
    config.model_path = model_path;
    config.precision = SBV_PRECISION_FP32;
    config.border = border;
    config.scene = 0; /* windows of frames that have nothing in common */
    config.tile = tile;
    config.threads = threads;
    config.log = fail_on_error;
    assert_int_equal(sbv_open(&session, &config), SBV_OK);
    return session;
}

static void describe(sbv_session *s, int w, int h)
{
    sbv_stream stream = {.width = w, .height = h, .components = 3, .rgb = 1};
    for (int c = 0; c < 3; c++)
        stream.component[c] = (sbv_component){.plane = 0, .step = 3, .offset = c, .depth = 8};
    assert_int_equal(sbv_describe(s, &stream), SBV_OK);
}

/* Frame n of a moving picture with some texture; from SECOND_SHOT on, of its negative. */
static unsigned char *make_frame(int n, int w, int h)
{
    unsigned char *pixels = malloc((size_t)(w * h * 3));
    assert_non_null(pixels);
    for (int i = 0; i < w * h * 3; i++) {
        int x = i / 3 % w + n, y = i / 3 / w + n / 2, c = i % 3;
        double value = 60 + 20 * sin(0.9 * x + c) * cos(0.7 * y) + (x * 7 + y * 13 + c * 29) % 40;
        pixels[i] = (unsigned char)(n < SECOND_SHOT ? value : 255 - value);
    }
    return pixels;
}

static void send_frame(sbv_session *s, int n)
{
    const int w = s->engine.stream.width, h = s->engine.stream.height;
    unsigned char *pixels = make_frame(n, w, h);
    sbv_frame frame = {.data = {pixels}, .linesize = {3 * w}, .width = w, .height = h, .tag = n};
    assert_int_equal(sbv_send(s, &frame), SBV_OK);
    free(pixels);
}

/* Restores the next frame and returns a copy of the floats behind the picture. */
static float *receive(sbv_session *s, int64_t tag)
{
    const sbv_map out = s->engine.ws.output;
    const size_t size = (size_t)(out.w * out.h * 3);
    unsigned char *pixels = malloc(size);
    float *values = malloc(size * sizeof(float));
    sbv_frame frame = {.data = {pixels}, .linesize = {3 * out.w}, .width = out.w, .height = out.h};
    assert_int_equal(sbv_receive(s, &frame), SBV_OK);
    assert_int_equal(frame.tag, tag);
    memcpy(values, out.data, size * sizeof(float));
    for (size_t i = 0; i < size; i++)
        assert_true(fabs(pixels[i] - fmin(fmax(255 * (double)values[i], 0), 255)) < 0.5001);
    free(pixels);
    return values;
}

/* A layer of the tail, run as a convolution of its own. */
static sbv_map run_layer(const sbv_session *s, const sbv_weights *weights, const char *name, sbv_map in)
{
    char full[64];
    snprintf(full, sizeof(full), "%s.weight", name);
    const sbv_tensor *w = sbv_weights_find(weights, full);
    snprintf(full, sizeof(full), "%s.bias", name);
    const sbv_tensor *b = sbv_weights_find(weights, full);
    assert_true(w && b);
    const int out = (int)w->shape[0];
    float *raw = malloc(sizeof(float) * (size_t)w->count), *bias = calloc((size_t)out + SBV_BIAS_GROUP, sizeof(float));
    float *packed = malloc(sbv_conv_bytes(&s->engine.exec, out, in.c, 3, 0));
    sbv_layer layer = {.in = in.c, .out = out, .ksize = 3, .weights = packed, .bias = bias};
    sbv_map result = sbv_map_of(malloc(sizeof(float) * (size_t)(in.w * in.h * out)), in.w, in.h, out);
    assert_int_equal(sbv_weights_read(weights, w, raw), SBV_OK);
    assert_int_equal(sbv_weights_read(weights, b, bias), SBV_OK);
    sbv_pack_conv(&s->engine.exec, raw, out, in.c, 3, 0, packed);
    sbv_conv_args conv = sbv_conv_of(&s->engine.network, &layer, in, result, SBV_LINEAR);
    sbv_run_conv(&s->engine.exec, &conv, in.h);
    free(raw);
    free(bias);
    free(packed);
    return result;
}

static sbv_map shuffle(const sbv_session *s, sbv_map in)
{
    sbv_map out = sbv_map_of(malloc(sizeof(float) * (size_t)(in.w * in.h * in.c)), 2 * in.w, 2 * in.h, in.c / 4);
    sbv_shuffle_args args = {in, out, 2, 0};
    sbv_run_pixel_shuffle(&s->engine.exec, &args, out.h);
    return out;
}

/* The tail as it is defined, from part.trunk, without tiles. The result is allocated. */
static float *long_tail(const sbv_session *s, const sbv_slot *center)
{
    sbv_report report = {.log = fail_on_error};
    sbv_weights weights;
    assert_int_equal(sbv_weights_open(&weights, model_path, &report), SBV_OK);
    sbv_map x = sbv_map_of(s->engine.ws.part.trunk, s->engine.ws.width, s->engine.ws.height,
                           s->engine.network.features),
            next;
    for (int up = 0; up < s->engine.network.scale / 2; up++) {
        next = run_layer(s, &weights, up ? "upsample_layers.2" : "upsample_layers.0", x);
        if (up)
            free(x.data);
        x = shuffle(s, next);
        free(next.data);
    }
    for (int i = 0; i < 2; i++) {
        next = run_layer(s, &weights, i ? "out_conv.1" : "out_conv.0", x);
        free(x.data);
        x = next;
    }
    sbv_map base = sbv_map_of(malloc(sizeof(float) * (size_t)(x.w * x.h * 3)), x.w, x.h, 3);
    sbv_resize_args resize = {.in = center->rgb, .out = base, .full_w = x.w, .full_h = x.h};
    sbv_run_resize(&s->engine.exec, &resize, x.h);
    for (int i = 0; i < x.w * x.h * 3; i++)
        ((float *)x.data)[i] += ((const float *)base.data)[i];
    free(base.data);
    sbv_weights_close(&weights);
    return x.data;
}

/* Frame `center` of FRAMES restored from a window of its own in a fresh session, ends repeated. */
static float *long_way(int center, int w, int h)
{
    sbv_session *s = open_session(SBV_BORDER_NONE, 0, 1);
    const int radius = s->engine.network.sequence / 2;
    describe(s, w, h);
    for (int n = center - radius; n <= center + radius; n++)
        send_frame(s, n < 0 ? 0 : n >= FRAMES ? FRAMES - 1 : n);
    free(receive(s, center));
    float *values = long_tail(s, &s->engine.ws.slot[radius]);
    sbv_close(&s);
    return values;
}

static void compare_with_long_way(const struct tiny *tiny, enum tiny_tail tail, int w, int h)
{
    tiny_write_with(model_path, tiny, 1, "center", tail);
    sbv_session *s = open_session(SBV_BORDER_REPLICATE, 0, 2);
    assert_int_equal(s->engine.network.tail_ksize, tail == TINY_NARROW ? 3 : 5);
    describe(s, w, h);
    for (int n = 0, out = 0; out < FRAMES; n++) {
        if (n < FRAMES)
            send_frame(s, n);
        else
            assert_int_equal(sbv_send(s, NULL), SBV_OK);
        while (sbv_ready(s, NULL) == SBV_OK) {
            float *values = receive(s, out), *expected = long_way(out++, w, h);
            for (int i = 0; i < w * h * tiny->scale * tiny->scale * 3; i++)
                if (!(fabsf(values[i] - expected[i]) <= (float)LIMIT))
                    fail_msg("%dx%d, frame %d, value %d: %g, the long way %g", w, h, out - 1, i, (double)values[i],
                             (double)expected[i]);
            free(values);
            free(expected);
        }
    }
    sbv_close(&s);
}

static void test_equals_the_long_way(void **unused)
{
    static const struct tiny x4 = {8, 5, 1, 2, 4, 3, 6, 0, 1, 0}, x2 = {6, 3, 0, 1, 2, 2, 4, 0, 2, 0};
    static const struct tiny narrow_x4 = {12, 5, 1, 2, 4, 3, 6, 0, 1, 0};
    static const int sizes[][2] = {{13, 9}, {16, 8}, {1, 1}, {1, 6}, {7, 1}, {2, 2}, {3, 2}};
    (void)unused;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        compare_with_long_way(&x4, TINY_WIDE, sizes[i][0], sizes[i][1]);
        compare_with_long_way(&x2, TINY_WIDE, sizes[i][0], sizes[i][1]);
        compare_with_long_way(&narrow_x4, TINY_NARROW, sizes[i][0], sizes[i][1]);
        compare_with_long_way(&x2, TINY_NARROW, sizes[i][0], sizes[i][1]);
    }
}

static void check_same_bits(int tile, int threads, int w, int h)
{
    sbv_session *plain = open_session(SBV_BORDER_REPLICATE, 0, 1),
                *other = open_session(SBV_BORDER_REPLICATE, tile, threads);
    const int scale = plain->engine.network.scale;
    const size_t bytes = sizeof(float) * 3 * (size_t)(w * h * scale * scale);
    describe(plain, w, h);
    describe(other, w, h);
    for (int n = 0; n < 3; n++) {
        send_frame(plain, n);
        send_frame(other, n);
    }
    float *a = receive(plain, 0), *b = receive(other, 0);
    assert_memory_equal(a, b, bytes);
    free(a);
    free(b);
    sbv_close(&plain);
    sbv_close(&other);
}

static void test_tiles_and_threads_change_no_bit(void **unused)
{
    static const struct tiny tiny = {8, 5, 1, 2, 4, 3, 6, 0, 3, 0};
    (void)unused;
    tiny_write(model_path, &tiny);
    check_same_bits(16, 1, 75, 41);
    check_same_bits(33, 3, 75, 41);
    check_same_bits(0, 4, 75, 41);
    check_same_bits(16, 2, 16, 17);
    check_same_bits(16, 2, 1, 40);
}

/* Channels enough for convolutions by Winograd, which compute pixels in tiles of 2x2, on every processor but one that
 * plain C is all for. */
static void test_winograd_in_tiles_and_threads(void **unused)
{
    static const struct tiny tiny[2] = {{32, 5, 2, 2, 2, 2, 4, 0, 8, 0}, {40, 5, 2, 1, 4, 2, 4, 0, 9, 0}};
    (void)unused;
    for (int i = 0; i < 4; i++) {
        const enum tiny_tail tail = i / 2 ? TINY_NARROW : TINY_WIDE;
        tiny_write_with(model_path, &tiny[i % 2], 1, "center", tail);
        sbv_session *s = open_session(SBV_BORDER_REPLICATE, 0, 1);
        const sbv_network *n = &s->engine.network;
        const int plain = !strcmp(s->engine.exec.isa, "c");
        assert_true(!n->tail[0][0].winograd || tail == TINY_NARROW);
        assert_true(n->tail[0][0].winograd || tail == TINY_WIDE || i % 2 == 0 || plain);
        assert_int_equal(n->fusion.winograd && n->recons[0].conv[1].winograd && n->extra[1].conv[0].winograd, !plain);
        assert_false(n->extra[0].conv[0].winograd || n->extra[0].conv[1].winograd || n->extractor[0][1].winograd);
        sbv_close(&s);
        check_same_bits(33, 3, 75, 41);
        check_same_bits(17, 1, 41, 75);
        check_same_bits(0, 7, 75, 41);
        check_same_bits(16, 2, 1, 40);
    }
}

/* The outputs that a sequence of frames gives, one float each: the sum of the values of a frame. */
static int outputs_of(sbv_session *s, const int *frames, int count, double *sums)
{
    int out = 0;
    describe(s, 11, 8);
    for (int n = 0; n <= count; n++) {
        if (n < count)
            send_frame(s, frames[n]);
        else
            assert_int_equal(sbv_send(s, NULL), SBV_OK);
        int64_t tag;
        while (sbv_ready(s, &tag) == SBV_OK) {
            float *values = receive(s, tag);
            sums[out] = 0;
            for (int i = 0; i < 11 * 8 * 16 * 3; i++)
                sums[out] += (double)values[i] * (i % 17 + 1);
            out++;
            free(values);
        }
        assert_int_equal(sbv_ready(s, NULL), n < count ? SBV_AGAIN : SBV_END);
    }
    return out;
}

/* Restoring a middle frame of explicit windows tells what the borders must be filled with. */
static double middle_of(int a, int b, int c, int d, int e)
{
    const int frames[5] = {a, b, c, d, e};
    double sum = 0;
    sbv_session *s = open_session(SBV_BORDER_NONE, 0, 1);
    assert_int_equal(outputs_of(s, frames, 5, &sum), 1);
    sbv_close(&s);
    return sum;
}

static void test_borders(void **unused)
{
    static const struct tiny tiny = {8, 5, 1, 1, 4, 2, 6, 0, 4, 0};
    static const int frames[FRAMES] = {0, 1, 2, 3, 4, 5, 6};
    double sums[FRAMES];
    (void)unused;
    tiny_write(model_path, &tiny);

    sbv_session *s = open_session(SBV_BORDER_REPLICATE, 0, 1);
    for (int n = 1; n <= FRAMES; n++)
        assert_int_equal(outputs_of(s, frames, n, sums), n);
    assert_true(sums[0] == middle_of(0, 0, 0, 1, 2));
    assert_true(sums[1] == middle_of(0, 0, 1, 2, 3));
    assert_true(sums[3] == middle_of(1, 2, 3, 4, 5));
    assert_true(sums[6] == middle_of(4, 5, 6, 6, 6));
    sbv_close(&s);

    s = open_session(SBV_BORDER_REFLECT, 0, 1);
    assert_int_equal(outputs_of(s, frames, FRAMES, sums), FRAMES);
    assert_true(sums[0] == middle_of(2, 1, 0, 1, 2));
    assert_true(sums[1] == middle_of(1, 0, 1, 2, 3));
    assert_true(sums[6] == middle_of(4, 5, 6, 5, 4));
    assert_int_equal(outputs_of(s, frames, 2, sums), 2); /* too short to be mirrored: the end is repeated */
    assert_true(sums[0] == middle_of(1, 1, 0, 1, 0));
    assert_int_equal(outputs_of(s, frames, 1, sums), 1);
    assert_true(sums[0] == middle_of(0, 0, 0, 0, 0));
    sbv_close(&s);

    s = open_session(SBV_BORDER_NONE, 0, 1);
    assert_int_equal(outputs_of(s, frames, FRAMES, sums), FRAMES - 4);
    assert_true(sums[0] == middle_of(0, 1, 2, 3, 4));
    for (int n = 1; n < 5; n++)
        assert_int_equal(outputs_of(s, frames, n, sums), 0);
    sbv_close(&s);
}

/* A frame sent when one is ready would overwrite what that one needs. */
static void test_order_of_calls(void **unused)
{
    static const struct tiny tiny = {4, 3, 0, 0, 2, 2, 4, 3, 5, 0};
    unsigned char pixels[3 * 3 * 3] = {0}, out[6 * 6 * 3];
    sbv_frame frame = {.data = {pixels}, .linesize = {9}, .width = 3, .height = 3};
    sbv_frame result = {.data = {out}, .linesize = {18}, .width = 6, .height = 6};
    float blur[9], sum = 0;
    (void)unused;
    tiny_write(model_path, &tiny);
    sbv_session *s = open_session(SBV_BORDER_REPLICATE, 0, 1);
    s->engine.report.log = NULL;
    assert_int_equal(sbv_send(s, &frame), SBV_ERROR_ARGUMENT);
    assert_string_not_equal(sbv_last_error(s), "");
    describe(s, 3, 3);
    assert_int_equal(sbv_receive(s, &result), SBV_AGAIN);
    assert_int_equal(sbv_send(s, &frame), SBV_OK);
    assert_int_equal(sbv_receive(s, &result), SBV_AGAIN);
    assert_int_equal(sbv_estimate_kernel(s, blur), SBV_AGAIN);
    assert_int_equal(sbv_send(s, &frame), SBV_OK);
    assert_int_equal(sbv_send(s, &frame), SBV_AGAIN);
    assert_int_equal(sbv_estimate_kernel(s, blur), SBV_OK);
    for (int i = 0; i < 9; i++)
        sum += blur[i];
    assert_true(fabsf(sum - 1) < 1e-5f);
    assert_int_equal(sbv_receive(s, &result), SBV_OK);
    assert_int_equal(sbv_send(s, NULL), SBV_OK);
    assert_int_equal(sbv_send(s, &frame), SBV_ERROR_ARGUMENT);
    assert_int_equal(sbv_receive(s, &result), SBV_OK);
    assert_int_equal(sbv_receive(s, &result), SBV_END);
    sbv_flush(s);
    assert_int_equal(sbv_receive(s, &result), SBV_AGAIN);
    assert_int_equal(sbv_send(s, &frame), SBV_OK);
    sbv_close(&s);
    sbv_close(&s);
}

/* Frames next to a cut are restored from their own shot. */
static void test_scene_cut(void **unused)
{
    static const struct tiny tiny = {8, 5, 1, 1, 4, 2, 6, 0, 6, 0};
    static const int shots[6] = {0, 1, 2, SECOND_SHOT, SECOND_SHOT + 1, SECOND_SHOT + 2}, *second = shots + 3;
    double sums[6], expected[6];
    (void)unused;
    tiny_write(model_path, &tiny);
    sbv_session *s = open_session(SBV_BORDER_REPLICATE, 0, 2);
    assert_int_equal(outputs_of(s, shots, 3, expected), 3);
    assert_int_equal(outputs_of(s, second, 3, expected + 3), 3);
    assert_int_equal(outputs_of(s, shots, 6, sums), 6);
    assert_true(sums[2] != expected[2] && sums[3] != expected[3]); /* off: windows reach across the cut */
    s->engine.config.scene = SBV_SCENE_DEFAULT;
    assert_int_equal(outputs_of(s, shots, 6, sums), 6);
    assert_memory_equal(sums, expected, sizeof(sums));
    sbv_close(&s);
}

static void test_limits(void **unused)
{
    static const struct tiny tiny = {4, 3, 0, 1, 2, 2, 4, 0, 7, 0};
    sbv_stream stream = {.width = 600, .height = 400, .components = 1};
    sbv_config config;
    sbv_session *s;
    (void)unused;
    tiny_write(model_path, &tiny);
    sbv_config_default(&config);
    config.model_path = model_path;
    stream.component[0] = (sbv_component){.step = 1, .depth = 8};

    config.tile = 15;
    assert_int_equal(sbv_open(&s, &config), SBV_ERROR_ARGUMENT);
    assert_null(s);
    config.tile = 0;
    config.scene = 1.5f;
    assert_int_equal(sbv_open(&s, &config), SBV_ERROR_ARGUMENT);
    config.scene = 0;
    config.threads = -1;
    assert_int_equal(sbv_open(&s, &config), SBV_ERROR_ARGUMENT);
    config.threads = 1;

    config.max_memory = 1 << 20;
    assert_int_equal(sbv_open(&s, &config), SBV_OK);
    assert_int_equal(sbv_describe(s, &stream), SBV_ERROR_MEMORY);
    assert_non_null(strstr(sbv_last_error(s), "max_memory is 1 MiB"));
    sbv_close(&s);

    /* What no machine has is not asked for: some would promise it. */
    config.max_memory = 0;
    assert_int_equal(sbv_open(&s, &config), SBV_OK);
    const sbv_stream small = stream;
    stream.width = stream.height = 1000000;
    assert_int_equal(sbv_describe(s, &stream), SBV_ERROR_MEMORY);
    assert_non_null(strstr(sbv_last_error(s), "frames of 1000000x1000000 need "));
    assert_non_null(strstr(sbv_last_error(s), " MiB with tiles of 16, th"));
    stream = small;
    assert_int_equal(sbv_describe(s, &stream), SBV_OK);
    const size_t whole = s->engine.ws.bytes;
    sbv_close(&s);
    config.max_memory = (int64_t)whole - 1;
    assert_int_equal(sbv_open(&s, &config), SBV_OK);
    assert_int_equal(sbv_describe(s, &stream), SBV_OK);
    assert_true(s->engine.ws.bytes < whole && s->engine.ws.tile < 600);
    stream.component[0].depth = 17;
    assert_int_equal(sbv_describe(s, &stream), SBV_ERROR_ARGUMENT);
    stream.component[0].depth = 8;
    stream.component[0].step = INT_MIN;
    assert_int_equal(sbv_describe(s, &stream), SBV_ERROR_ARGUMENT);
    stream.component[0].step = 1;
    stream.width = 0;
    assert_int_equal(sbv_describe(s, &stream), SBV_ERROR_ARGUMENT);
    sbv_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_the_long_way),
        cmocka_unit_test(test_tiles_and_threads_change_no_bit),
        cmocka_unit_test(test_winograd_in_tiles_and_threads),
        cmocka_unit_test(test_borders),
        cmocka_unit_test(test_order_of_calls),
        cmocka_unit_test(test_scene_cut),
        cmocka_unit_test(test_limits),
    };
    model_path = temporary_file();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
