/*
 * Models whose samples sit at the top left of their blocks: the picture is moved to its place by the tail and by the
 * enlargement themselves, which must give what moving the finished picture would, at the borders too.
 *
 * Limit 1e-4, as in test_network.c: the two ways round differently.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/runtime/session.h"
#include "temporary.h"
#include "tiny_model.h"

#define LIMIT      1e-4
#define COUNT(a)   (sizeof(a) / sizeof((a)[0]))
#define MISPLACED  0.05 /* output pixels that an edge may lie off */
#define EDGE_WIDTH 1.3  /* input pixels, standard deviation: what a lens and a sensor leave of an edge */
#define SIDE       13

static const char *model_path;
static const struct tiny by_four = {8, 5, 1, 1, 4, 2, 6, SIDE, 21, 0}, by_two = {6, 3, 0, 1, 2, 2, 4, 0, 22, 0};

static void fail_on_error(void *opaque, enum sbv_log_level level, const char *message)
{
    (void)opaque;
    if (level == SBV_LOG_ERROR)
        fail_msg("%s", message);
}

static enum sbv_precision precision = SBV_PRECISION_FP32;

static sbv_session *opened(enum sbv_phase phase, int tile, int w, int h)
{
    sbv_session *s;
    sbv_config config;
    sbv_stream stream = {.width = w, .height = h, .components = 3, .rgb = 1};
    sbv_config_default(&config);
    config.model_path = model_path;
    config.backend = SBV_BACKEND_CPU;
    config.precision = precision;
    config.threads = 1;
    config.scene = 0;
    config.phase = phase;
    config.tile = tile;
    config.log = fail_on_error;
    assert_int_equal(sbv_open(&s, &config), SBV_OK);
    for (int c = 0; c < 3; c++)
        stream.component[c] = (sbv_component){.plane = 0, .step = 3, .offset = c, .depth = 8};
    assert_int_equal(sbv_describe(s, &stream), SBV_OK);
    return s;
}

/* A picture with some texture. */
static unsigned char texture(int x, int y, int c)
{
    return (unsigned char)(90 + 40 * sin(0.9 * x + c) * cos(0.7 * y) + (x * 7 + y * 13 + c * 29) % 40);
}

static double edge_at;
static int edge_is_horizontal;

/* An edge as a camera sees it, `edge_at` input pixels from the top or the left, the middle of the first pixel being 0.
 */
static unsigned char edge(int x, int y, int c)
{
    (void)c;
    return (unsigned char)lrint(60 +
                                130 * 0.5 * (1 + erf(((edge_is_horizontal ? y : x) - edge_at) / EDGE_WIDTH / sqrt(2))));
}

/* The floats behind a frame of a still picture; to be freed. */
static float *restored(sbv_session *s, unsigned char (*picture)(int x, int y, int c))
{
    const int w = s->engine.stream.width, h = s->engine.stream.height, scale = s->engine.network.scale;
    const size_t values = (size_t)(w * h * 3 * scale * scale);
    unsigned char *in = malloc((size_t)(w * h * 3)), *out = malloc(values);
    float *copy = malloc(values * sizeof(*copy));
    sbv_frame frame = {.data = {in}, .linesize = {3 * w}, .width = w, .height = h};
    sbv_frame result = {.data = {out}, .linesize = {3 * scale * w}, .width = scale * w, .height = scale * h};
    assert_true(in && out && copy);
    for (int i = 0; i < w * h * 3; i++)
        in[i] = picture(i / 3 % w, i / 3 / w, i % 3);
    for (int n = 0; n <= s->engine.network.sequence / 2; n++)
        assert_int_equal(sbv_send(s, &frame), SBV_OK);
    assert_int_equal(sbv_receive(s, &result), SBV_OK);
    memcpy(copy, s->engine.ws.output.data, values * sizeof(*copy));
    free(in);
    free(out);
    return copy;
}

/* Sample (x, y) of a finished picture that is moved by (scale - 1) / 2 pixels, as kernels/ops.h says. */
static double moved(const float *picture, int w, int h, int scale, int x, int y, int c)
{
    static const double weight[4] = {-5 / 64.0, 37 / 64.0, 37 / 64.0, -5 / 64.0};
    double sum = 0;
    for (int i = 0; i < 16; i++) {
        int u = x - scale / 2 - 1 + i % 4, v = y - scale / 2 - 1 + i / 4;
        u = u < 0 ? 0 : u >= w ? w - 1 : u;
        v = v < 0 ? 0 : v >= h ? h - 1 : v;
        sum += weight[i % 4] * weight[i / 4] * (double)picture[(v * w + u) * 3 + c];
    }
    return sum;
}

static void check_moved(const struct tiny *tiny, int w, int h)
{
    tiny_write_as(model_path, tiny, 1, "topleft");
    sbv_session *as_made = opened(SBV_PHASE_MODEL, 0, w, h), *in_place = opened(SBV_PHASE_AUTO, 0, w, h);
    assert_true(sbv_model(as_made)->place == 0 && sbv_model(in_place)->place == (tiny->scale - 1) / 2.0);
    float *picture = restored(as_made, texture), *found = restored(in_place, texture);
    w *= tiny->scale;
    h *= tiny->scale;
    for (int i = 0; i < w * h * 3; i++) {
        const double expected = moved(picture, w, h, tiny->scale, i / 3 % w, i / 3 / w, i % 3);
        if (!(fabs((double)found[i] - expected) <= LIMIT))
            fail_msg("%dx%d, x%d: (%d, %d) is %g, moved it would be %g", w, h, tiny->scale, i / 3 % w, i / 3 / w,
                     (double)found[i], expected);
    }
    free(picture);
    free(found);
    sbv_close(&as_made);
    sbv_close(&in_place);
}

static void test_equals_moving_the_picture(void **unused)
{
    static const int sizes[][2] = {{13, 9}, {1, 1}, {1, 6}, {7, 1}, {2, 2}, {3, 2}, {2, 3}, {4, 3}, {5, 4}, {16, 8}};
    (void)unused;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        check_moved(&by_four, sizes[i][0], sizes[i][1]);
        check_moved(&by_two, sizes[i][0], sizes[i][1]);
    }
}

static void test_tiles_change_no_bit(void **unused)
{
    static const int sizes[][2] = {{75, 41}, {16, 17}, {17, 18}, {1, 40}, {33, 34}};
    (void)unused;
    for (size_t i = 0; i < 4 * COUNT(sizes); i++) {
        const struct tiny *tiny = i % 2 ? &by_two : &by_four;
        const int w = sizes[i / 4][0], h = sizes[i / 4][1];
        precision = i / 2 % 2 ? SBV_PRECISION_AUTO : SBV_PRECISION_FP32;
        tiny_write_as(model_path, tiny, 1, "topleft");
        sbv_session *whole = opened(SBV_PHASE_AUTO, 0, w, h), *tiled = opened(SBV_PHASE_AUTO, 16, w, h);
        float *a = restored(whole, texture), *b = restored(tiled, texture);
        assert_memory_equal(a, b, sizeof(float) * 3 * (size_t)(w * h * tiny->scale * tiny->scale));
        free(a);
        free(b);
        sbv_close(&whole);
        sbv_close(&tiled);
    }
    precision = SBV_PRECISION_FP32;
}

/* A model that makes the picture in its place is left alone, whatever is asked for. */
static void test_centered_models_stay(void **unused)
{
    (void)unused;
    tiny_write(model_path, &by_four);
    sbv_session *plain = opened(SBV_PHASE_MODEL, 0, 13, 9), *automatic = opened(SBV_PHASE_AUTO, 0, 13, 9);
    assert_true(sbv_model(plain)->place == 1.5 && sbv_model(automatic)->place == 1.5);
    float *a = restored(plain, texture), *b = restored(automatic, texture);
    assert_memory_equal(a, b, sizeof(float) * 3 * 16 * 13 * 9);
    free(a);
    free(b);
    sbv_close(&plain);
    sbv_close(&automatic);
}

/* Where a row or column of a picture passes the middle between its dark and its light side. */
static double place_of(const float *picture, int w, int h)
{
    const int size = edge_is_horizontal ? h : w;
    const double middle = (60 + 65) / 255.0;
    for (int i = 0; i + 1 < size; i++) {
        const int step = edge_is_horizontal ? w * 3 : 3, across = edge_is_horizontal ? w / 2 * 3 : h / 2 * w * 3;
        const double a = (double)picture[across + i * step], b = (double)picture[across + (i + 1) * step];
        if (a <= middle && b > middle)
            return i + (middle - a) / (b - a);
    }
    fail_msg("there is no edge");
    return 0;
}

/* A network that adds nothing enlarges by itself, with every sample in the middle of its block. Moved, an edge must
 * come to lie so many pixels further right, or down: in the middle of the picture, and close to its borders. */
static void test_edges_move(void **unused)
{
    static const double places[] = {3.2, 11.5, 12, 12.25, 20.7};
    static const struct tiny none = {8, 5, 1, 1, 4, 2, 6, 0, 23, 0};
    (void)unused;
    tiny_write_as(model_path, &none, 0, "topleft");
    for (size_t i = 0; i < 2 * COUNT(places); i++) {
        edge_at = places[i / 2];
        edge_is_horizontal = i % 2;
        sbv_session *as_made = opened(SBV_PHASE_MODEL, 0, 24, 24), *in_place = opened(SBV_PHASE_AUTO, 0, 24, 24);
        float *before = restored(as_made, edge), *after = restored(in_place, edge);
        assert_true(fabs(place_of(after, 96, 96) - place_of(before, 96, 96) - 1.5) < MISPLACED);
        free(before);
        free(after);
        sbv_close(&as_made);
        sbv_close(&in_place);
    }
}

/* The kernel in use is that of the picture as it is given out. */
static void test_blurs_move(void **unused)
{
    int side;
    float estimate[SIDE * SIDE];
    sbv_moments before, after;
    (void)unused;
    tiny_write_as(model_path, &by_four, 1, "topleft");
    sbv_session *s = opened(SBV_PHASE_AUTO, 0, 13, 9);
    assert_null(sbv_kernel(s, &side));
    s->engine.config.kernel_interval = 1;
    for (int n = 0; n < 3; n++) {
        unsigned char pixels[13 * 9 * 3] = {0};
        sbv_frame frame = {.data = {pixels}, .linesize = {39}, .width = 13, .height = 9};
        assert_int_equal(sbv_send(s, &frame), SBV_OK);
    }
    assert_int_equal(sbv_estimate_kernel(s, estimate), SBV_OK);
    unsigned char *out = malloc(13 * 9 * 48);
    sbv_frame result = {.data = {out}, .linesize = {13 * 12}, .width = 13 * 4, .height = 9 * 4};
    assert_non_null(out);
    assert_int_equal(sbv_receive(s, &result), SBV_OK);
    free(out);
    const float *used = sbv_kernel(s, &side);
    assert_int_equal(side, SIDE);
    double sum = 0;
    for (int i = 0; i < SIDE * SIDE; i++)
        sum += (double)used[i];
    assert_true(fabs(sum - 1) < 1e-5);
    /* A random network's kernel is spread over the whole square, so that the move loses some of it. */
    assert_int_equal(sbv_kernel_moments(estimate, SIDE, &before), SBV_OK);
    assert_int_equal(sbv_kernel_moments(used, SIDE, &after), SBV_OK);
    assert_true(after.center_x > before.center_x + 0.5 && after.center_y > before.center_y + 0.5);
    sbv_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_moving_the_picture),
        cmocka_unit_test(test_tiles_change_no_bit),
        cmocka_unit_test(test_centered_models_stay),
        cmocka_unit_test(test_edges_move),
        cmocka_unit_test(test_blurs_move),
    };
    model_path = temporary_file();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
