/*
 * The blur kernel at work in a session: what is refused, when it is estimated, the cycle's PSNR, the refinement; and
 * the moments of kernels.
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

#define FRAMES   7
#define SIDE     13
#define GROWTH   1e-5 /* of a residual that has come to its end, relative: roundings */
#define CUT      4    /* frame that begins another shot */
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *model_path;
static char message[512];
static const struct tiny with_blur = {8, 5, 1, 1, 4, 2, 6, SIDE, 11, 0}, without = {8, 5, 1, 1, 4, 2, 6, 0, 11, 0};

static void keep_message(void *opaque, enum sbv_log_level level, const char *text)
{
    (void)opaque;
    if (level == SBV_LOG_ERROR)
        snprintf(message, sizeof(message), "%s", text);
}

static sbv_config configuration(void)
{
    sbv_config config;
    sbv_config_default(&config);
    config.model_path = model_path;
    config.backend = SBV_BACKEND_CPU;
    config.scene = 0;
    config.threads = 1;
    config.log = keep_message;
    return config;
}

static sbv_session *opened(const sbv_config *config)
{
    sbv_session *s;
    assert_int_equal(sbv_open(&s, config), SBV_OK);
    return s;
}

static void refused(const sbv_config *config, const char *words)
{
    sbv_session *s;
    message[0] = 0;
    assert_int_equal(sbv_open(&s, config), SBV_ERROR_ARGUMENT);
    assert_null(s);
    if (!strstr(message, words))
        fail_msg("\"%s\" does not say \"%s\"", message, words);
}

static void describe(sbv_session *s, int w, int h)
{
    sbv_stream stream = {.width = w, .height = h, .components = 3, .rgb = 1};
    for (int c = 0; c < 3; c++)
        stream.component[c] = (sbv_component){.plane = 0, .step = 3, .offset = c, .depth = 8};
    assert_int_equal(sbv_describe(s, &stream), SBV_OK);
}

/* A moving picture of middling values; from CUT on, of another brightness. */
static void send_frame(sbv_session *s, int n)
{
    const int w = s->engine.stream.width, h = s->engine.stream.height;
    unsigned char *pixels = malloc((size_t)(w * h * 3));
    assert_non_null(pixels);
    for (int i = 0; i < w * h * 3; i++) {
        const int x = i / 3 % w + n, y = i / 3 / w + n / 2, c = i % 3;
        pixels[i] =
            (unsigned char)((n < CUT ? 90 : 170) + 20 * sin(0.9 * x + c) * cos(0.7 * y) + (x * 7 + y * 13) % 20);
    }
    sbv_frame frame = {.data = {pixels}, .linesize = {3 * w}, .width = w, .height = h, .tag = n};
    assert_int_equal(sbv_send(s, &frame), SBV_OK);
    free(pixels);
}

/* The next frame, restored; to be freed. */
static unsigned char *receive(sbv_session *s)
{
    const int w = 4 * s->engine.stream.width, h = 4 * s->engine.stream.height;
    unsigned char *pixels = malloc((size_t)(3 * w * h));
    sbv_frame frame = {.data = {pixels}, .linesize = {3 * w}, .width = w, .height = h};
    assert_non_null(pixels);
    assert_int_equal(sbv_receive(s, &frame), SBV_OK);
    return pixels;
}

/* A Gaussian in the middle of a block, which is narrow enough to leave most of what there is. */
static void gaussian(float blur[SIDE * SIDE], double sigma_x, double sigma_y, double degrees, double center)
{
    const double angle = degrees * acos(-1) / 180;
    double sum = 0;
    for (int i = 0; i < SIDE * SIDE; i++) {
        const double x = i % SIDE - SIDE / 2 - center, y = i / SIDE - SIDE / 2 - center;
        const double along = cos(angle) * x + sin(angle) * y, across = cos(angle) * y - sin(angle) * x;
        blur[i] = (float)exp(-0.5 * (along * along / sigma_x / sigma_x + across * across / sigma_y / sigma_y));
        sum += blur[i];
    }
    for (int i = 0; i < SIDE * SIDE; i++)
        blur[i] = (float)(blur[i] / sum);
}

static void test_refused(void **unused)
{
    sbv_config config = configuration();
    float blur[SIDE * SIDE];
    (void)unused;
    tiny_write(model_path, &without);
    config.refine = 1;
    refused(&config, "refine: the model has no kernel network");
    config.refine = 0;
    config.cycle = 1;
    refused(&config, "cycle: the model has no kernel network");
    config.cycle = 0;
    config.kernel_interval = 3;
    refused(&config, "kernel_interval: the model has no kernel network");
    config.kernel_interval = -1;
    refused(&config, "kernel_interval -1: out of range 0 to 1000000");
    config.kernel_interval = 0;
    config.refine = 21;
    refused(&config, "refine 21: out of range 0 to 20");
    config.refine = -1;
    refused(&config, "refine -1: out of range 0 to 20");

    config.refine = 1;
    config.scaler = "cubic";
    refused(&config, "scaler 'cubic': known are area, bicubic, bilinear and lanczos");
    config.kernel = blur;
    gaussian(blur, 1.2, 1.2, 0, 1.5);
    static const int sides[] = {-3, 0, 2, 12, 64, 65};
    for (size_t i = 0; i < COUNT(sides); i++) {
        config.kernel_side = sides[i];
        refused(&config, "it must be odd, 1 to 63");
    }
    config.kernel_side = SIDE;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < COUNT(bad); i++) {
        blur[2 * SIDE + 5] = bad[i];
        refused(&config, "row 2, column 5 is");
    }
    gaussian(blur, 1.2, 1.2, 0, 1.5);
    blur[0] += 0.5f;
    refused(&config, "sum to 1.5, not to 1 within 0.01");
    blur[0] -= 0.515f;
    refused(&config, "sum to 0.985, not to 1 within 0.01");
    blur[0] += 0.01f;
    sbv_session *s = opened(&config); /* with a kernel it needs no network; a sum that is 1 nearly is made 1 */
    int side;
    float sum = 0;
    blur[0] = 7; /* the caller's own again */
    for (int i = 0; i < SIDE * SIDE; i++)
        sum += sbv_kernel(s, &side)[i];
    assert_int_equal(side, SIDE);
    assert_true(fabsf(sum - 1) < 1e-6f);
    sbv_close(&s);
}

/* The float picture behind the next frame. */
static float *picture_of(sbv_session *s)
{
    const size_t bytes = sizeof(float) * 48 * (size_t)(s->engine.stream.width * s->engine.stream.height);
    float *copy = malloc(bytes);
    assert_non_null(copy);
    free(receive(s));
    memcpy(copy, s->engine.ws.output.data, bytes);
    return copy;
}

/* What is not asked for changes nothing: with a kernel, with the cycle, with the estimate, and with no step at all. */
static void test_no_refinement_changes_no_bit(void **unused)
{
    static const int sizes[][2] = {{13, 9}, {1, 1}, {3, 2}};
    float blur[SIDE * SIDE];
    sbv_config configs[3] = {configuration(), configuration(), configuration()};
    (void)unused;
    tiny_write(model_path, &with_blur);
    gaussian(blur, 1.2, 1.2, 0, 1.5);
    configs[1].kernel = blur;
    configs[1].kernel_side = SIDE;
    configs[1].cycle = 1;
    configs[2].kernel_interval = 1;
    for (size_t n = 0; n < COUNT(sizes); n++) {
        float *picture[3];
        for (int i = 0; i < 3; i++) {
            sbv_session *s = opened(&configs[i]);
            describe(s, sizes[n][0], sizes[n][1]);
            for (int f = 0; f < 3; f++)
                send_frame(s, f);
            picture[i] = picture_of(s);
            assert_true(i == 1 ? sbv_cycle_psnr(s) > 0 : isnan(sbv_cycle_psnr(s)));
            sbv_close(&s);
        }
        for (int i = 1; i < 3; i++)
            assert_memory_equal(picture[0], picture[i], sizeof(float) * 48 * (size_t)(sizes[n][0] * sizes[n][1]));
        for (int i = 0; i < 3; i++)
            free(picture[i]);
    }
}

/* The cycle's PSNR by its definition. */
static double cycle_of(const sbv_session *s, const float *picture, const float *blur)
{
    const sbv_map *low = &s->engine.ws.slot[0].rgb;
    const int w = 4 * low->w, h = 4 * low->h;
    double sum = 0;
    for (int n = 0; n < low->w * low->h * 3; n++) {
        const int c = n % 3, x = n / 3 % low->w, y = n / 3 / low->w;
        double value = 0;
        for (int i = 0; i < SIDE * SIDE; i++) {
            int u = 4 * x + i % SIDE - SIDE / 2, v = 4 * y + i / SIDE - SIDE / 2;
            u = u < 0 ? 0 : u >= w ? w - 1 : u;
            v = v < 0 ? 0 : v >= h ? h - 1 : v;
            value += (double)blur[i] * fmin(fmax((double)picture[(v * w + u) * 3 + c], 0), 1);
        }
        sum += pow((double)sbv_at(low, x, y)[c] - value, 2);
    }
    return -10 * log10(sum / (low->w * low->h * 3));
}

static void test_cycle_is_what_it_says(void **unused)
{
    static const int sizes[][2] = {{13, 9}, {1, 1}, {1, 5}, {3, 2}};
    float blur[SIDE * SIDE];
    sbv_config config = configuration();
    (void)unused;
    tiny_write(model_path, &without);
    gaussian(blur, 1.2, 2, 30, 1.5);
    config.kernel = blur;
    config.kernel_side = SIDE;
    config.cycle = 1;
    for (size_t n = 0; n < COUNT(sizes); n++) {
        sbv_session *s = opened(&config);
        describe(s, sizes[n][0], sizes[n][1]);
        for (int f = 0; f < 3; f++)
            send_frame(s, f);
        float *picture = picture_of(s);
        assert_true(fabs(sbv_cycle_psnr(s) - cycle_of(s, picture, blur)) < 1e-3);
        free(picture);
        sbv_flush(s);
        assert_true(isnan(sbv_cycle_psnr(s)));
        sbv_close(&s);
    }
}

/* What is no number explains nothing; it must not look like a perfect explanation. (Vectors clamp it to a number.) */
static void test_cycle_of_what_is_no_number(void **unused)
{
    float blur[SIDE * SIDE];
    sbv_config config = configuration();
    (void)unused;
    setenv("SBV_CPU", "c", 1);
    tiny_write_as(model_path, &without, 3e38f, "center");
    gaussian(blur, 1.2, 2, 30, 1.5);
    config.kernel = blur;
    config.kernel_side = SIDE;
    config.cycle = 1;
    sbv_session *s = opened(&config);
    describe(s, 13, 9);
    for (int f = 0; f < 3; f++)
        send_frame(s, f);
    free(receive(s));
    assert_true(isnan(sbv_cycle_psnr(s)));
    sbv_close(&s);
    unsetenv("SBV_CPU");
}

/* A session on which the stages can be called one by one: the picture is random, half of it outside [0, 1]. */
static sbv_session *random_session(const sbv_config *config, int w, int h, unsigned *state)
{
    sbv_session *s = opened(config);
    describe(s, w, h);
    send_frame(s, 0);
    for (int i = 0; i < 48 * w * h; i++) {
        *state = *state * 1664525u + 1013904223u;
        ((float *)s->engine.ws.output.data)[i] = (float)(*state >> 8) / (float)(1 << 23) - 0.5f;
    }
    memcpy(s->engine.ws.refinement.blur, s->blur.values, sizeof(s->blur.values));
    return s;
}

/* Squared length of the residual, not clamped. */
static double difference(const sbv_stages *s, int side)
{
    const sbv_map residual = s->ws->refinement.residual;
    const sbv_blur_down_args blur = {.in = s->ws->output,
                                     .out = residual,
                                     .from = s->ws->slot[0].rgb,
                                     .blur = s->ws->refinement.blur,
                                     .side = side,
                                     .factor = 4};
    const sbv_sum_squares_args squares = {residual, s->ws->refinement.cycle};
    sbv_run_blur_down(s->exec, &blur, residual.h);
    sbv_run_sum_squares(s->exec, &squares, residual.h);
    double sum = 0;
    for (int y = 0; y < residual.h; y++)
        sum += (double)s->ws->refinement.cycle[y];
    return sum;
}

static void test_residual_never_grows(void **unused)
{
    static const int sizes[][2] = {{1, 1}, {3, 2}, {2, 7}, {13, 9}, {21, 4}};
    static const int sides[] = {1, 3, 9, 13};
    float blur[SIDE * SIDE];
    unsigned state = 5;
    sbv_config config = configuration();
    (void)unused;
    tiny_write(model_path, &without);
    config.kernel = blur;
    config.refine = 1;
    for (size_t n = 0; n < COUNT(sizes) * COUNT(sides) * 3; n++) {
        const int side = sides[n / 3 % COUNT(sides)];
        double sum = 0;
        for (int i = 0; i < side * side; i++) {
            state = state * 1664525u + 1013904223u;
            sum += blur[i] = (float)(state >> 8) / (float)(1 << 24) - 0.2f * (float)(n % 3); /* negative ones too */
        }
        for (int i = 0; i < side * side; i++)
            blur[i] = (float)(blur[i] / sum);
        config.kernel_side = side;
        sbv_session *s = random_session(&config, sizes[n / 12][0], sizes[n / 12][1], &state);
        const sbv_stages stages = {&s->engine.network, &s->engine.exec, &s->engine.ws};
        double last = difference(&stages, side);
        const double first = last;
        for (int step = 0; step < SBV_REFINE_MAX; step++) {
            sbv_refine(&stages, &s->engine.ws.slot[0], side, 1, 0);
            const double now = difference(&stages, side);
            assert_true(now <= last * (1 + GROWTH) + 1e-11 * first);
            last = now;
        }
        assert_true(last < first);
        sbv_close(&s);
    }
}

/* Nothing is done about a residual that rounding the frame explains. */
static void test_descent_ends_at_rounding(void **unused)
{
    float blur[SIDE * SIDE];
    unsigned state = 9;
    sbv_config config = configuration();
    (void)unused;
    tiny_write(model_path, &without);
    gaussian(blur, 1.2, 1.2, 0, 1.5);
    config.kernel = blur;
    config.kernel_side = SIDE;
    config.refine = 1;
    sbv_session *s = random_session(&config, 13, 9, &state);
    const sbv_stages stages = {&s->engine.network, &s->engine.exec, &s->engine.ws};
    const double mean = difference(&stages, SIDE) / (13 * 9 * 3);
    const size_t bytes = sizeof(float) * 48 * 13 * 9;
    float *before = malloc(bytes);
    assert_non_null(before);
    memcpy(before, s->engine.ws.output.data, bytes);
    sbv_refine(&stages, &s->engine.ws.slot[0], SIDE, 3, (float)mean * 1.01f);
    assert_memory_equal(before, s->engine.ws.output.data, bytes);
    sbv_refine(&stages, &s->engine.ws.slot[0], SIDE, 3, (float)mean * 0.99f);
    assert_memory_not_equal(before, s->engine.ws.output.data, bytes);
    assert_true(difference(&stages, SIDE) / (13 * 9 * 3) < mean * 0.9);
    free(before);
    sbv_close(&s);
}

/* Every step brings the picture closer to what explains the input, whatever the threads and tiles. */
static void test_cycle_rises_with_every_step(void **unused)
{
    float blur[SIDE * SIDE];
    double last = 0;
    (void)unused;
    tiny_write_as(model_path, &without, 0.05f, "center"); /* nothing of the picture is clamped */
    gaussian(blur, 1.8, 2.2, 30, 1.5);
    for (int refine = 0; refine <= 6; refine++) {
        unsigned char *pictures[3];
        for (int i = 0; i < 3; i++) {
            sbv_config config = configuration();
            config.kernel = blur;
            config.kernel_side = SIDE;
            config.cycle = 1;
            config.refine = refine;
            config.threads = 1 + 2 * (i == 1);
            config.tile = i == 2 ? 16 : 0;
            sbv_session *s = opened(&config);
            describe(s, 41, 23);
            for (int f = 0; f < 3; f++)
                send_frame(s, f);
            pictures[i] = receive(s);
            assert_true(sbv_cycle_psnr(s) > last + 0.05);
            if (i == 2)
                last = sbv_cycle_psnr(s);
            sbv_close(&s);
        }
        for (int i = 1; i < 3; i++)
            assert_memory_equal(pictures[0], pictures[i], 48 * 41 * 23);
        for (int i = 0; i < 3; i++)
            free(pictures[i]);
    }
}

/* Frames at which the kernel in use changes. */
static int estimates(sbv_session *s, int at[FRAMES])
{
    float last[SIDE * SIDE] = {0};
    int count = 0, side;
    describe(s, 11, 8);
    for (int n = 0, out = 0; n <= FRAMES; n++) {
        if (n < FRAMES)
            send_frame(s, n);
        else
            assert_int_equal(sbv_send(s, NULL), SBV_OK);
        while (sbv_ready(s, NULL) == SBV_OK) {
            float expected[SIDE * SIDE];
            assert_int_equal(sbv_estimate_kernel(s, expected), SBV_OK);
            free(receive(s));
            const float *used = sbv_kernel(s, &side);
            assert_int_equal(side, SIDE);
            assert_int_equal(sbv_kernel_is_new(s) != 0, memcmp(used, last, sizeof(last)) != 0);
            if (memcmp(used, last, sizeof(last))) {
                assert_memory_equal(used, expected, sizeof(last));
                at[count++] = out;
            }
            memcpy(last, used, sizeof(last));
            out++;
        }
    }
    return count;
}

static void test_interval(void **unused)
{
    sbv_config config = configuration();
    int at[FRAMES] = {0}, side;
    (void)unused;
    tiny_write(model_path, &with_blur);
    sbv_session *s = opened(&config);
    describe(s, 11, 8);
    for (int f = 0; f < 3; f++)
        send_frame(s, f);
    free(receive(s));
    assert_null(sbv_kernel(s, &side)); /* nobody asked */
    assert_false(sbv_kernel_is_new(s));
    sbv_close(&s);

    config.kernel_interval = 3;
    s = opened(&config);
    for (int again = 0; again < 2; again++) {
        assert_null(sbv_kernel(s, &side));
        assert_int_equal(estimates(s, at), 3);
        assert_true(at[0] == 0 && at[1] == 3 && at[2] == 6);
        sbv_flush(s);
    }
    s->engine.config.start_number = 3000000007;
    assert_int_equal(estimates(s, at), 3);
    assert_true(at[0] == 0 && at[1] == 2 && at[2] == 5);
    sbv_flush(s);
    s->engine.config.start_number = 0;
    s->engine.config.scene = SBV_SCENE_DEFAULT;
    assert_int_equal(estimates(s, at), 4);
    assert_true(at[0] == 0 && at[1] == 3 && at[2] == CUT && at[3] == 6); /* a cut does not move the multiples of 3 */
    sbv_close(&s);
}

/* It is new for the first frame after each description. */
static void test_given_blur_is_new_once(void **unused)
{
    sbv_config config = configuration();
    float blur[SIDE * SIDE];
    (void)unused;
    tiny_write(model_path, &without);
    gaussian(blur, 1.2, 1.2, 0, 1.5);
    config.kernel = blur;
    config.kernel_side = SIDE;
    sbv_session *s = opened(&config);
    for (int again = 0; again < 2; again++) {
        describe(s, 11, 8);
        for (int f = 0; f < 5; f++) {
            send_frame(s, f);
            if (sbv_ready(s, NULL) != SBV_OK)
                continue;
            assert_false(f == 2 && sbv_kernel_is_new(s));
            free(receive(s));
            assert_int_equal(sbv_kernel_is_new(s) != 0, f == 2);
        }
    }
    sbv_close(&s);
}

/* For every frame, where refinement needs it and no interval is given. */
static void test_refinement_estimates(void **unused)
{
    sbv_config config = configuration();
    int at[FRAMES];
    (void)unused;
    tiny_write(model_path, &with_blur);
    config.refine = 1;
    sbv_session *s = opened(&config);
    assert_int_equal(estimates(s, at), FRAMES);
    sbv_close(&s);
    config.kernel_interval = 5;
    s = opened(&config);
    assert_int_equal(estimates(s, at), 2);
    assert_int_equal(at[1], 5);
    sbv_close(&s);
}

static void check_moments(double sigma_x, double sigma_y, double angle, double center)
{
    float blur[SIDE * SIDE];
    sbv_moments m;
    gaussian(blur, sigma_x, sigma_y, angle, center);
    assert_int_equal(sbv_kernel_moments(blur, SIDE, &m), SBV_OK);
    /* What a Gaussian loses at the edges of 13 x 13. */
    assert_true(fabs(m.center_x - center) < 0.01 && fabs(m.center_y - center) < 0.01);
    assert_true(fabs(m.sigma_x - sigma_x) < 0.02 && fabs(m.sigma_y - sigma_y) < 0.02);
    assert_true(fabs(m.angle - (sigma_x == sigma_y ? 0 : angle)) < 0.5);
}

static void test_moments(void **unused)
{
    float blur[9] = {0, 0, 0, 0, 1, 0, 0, 0, 0};
    sbv_moments m;
    (void)unused;
    check_moments(1.2, 1.2, 0, 0);
    check_moments(1.2, 1.2, 0, 1.5);
    check_moments(1.5, 0.8, 0, 0.5);
    check_moments(0.8, 1.5, 0, 0.5);
    check_moments(1.5, 0.8, 30, 0);
    check_moments(1.5, 0.8, -40, 0);
    check_moments(0.8, 1.5, 20, 0);
    check_moments(0.8, 1.5, -20, 1);

    assert_int_equal(sbv_kernel_moments(blur, 3, &m), SBV_OK);
    assert_true(m.sigma_x == 0 && m.sigma_y == 0 && m.angle == 0 && m.center_x == 0 && m.center_y == 0);
    blur[5] = 1; /* twice as heavy as what it is to be, and to the right */
    assert_int_equal(sbv_kernel_moments(blur, 3, &m), SBV_OK);
    assert_true(m.center_x == 0.5 && m.center_y == 0 && fabs(m.sigma_x - 0.5) < 1e-12 && m.sigma_y == 0);
    blur[5] = 0;
    blur[8] = 1; /* right and below: 45 degrees */
    assert_int_equal(sbv_kernel_moments(blur, 3, &m), SBV_OK);
    assert_true(fabs(m.angle - 45) < 1e-9 && fabs(m.sigma_x - sqrt(0.5)) < 1e-9 && m.sigma_y < 1e-6);
    blur[8] = -1;
    assert_int_equal(sbv_kernel_moments(blur, 3, &m), SBV_ERROR_ARGUMENT);
    blur[8] = NAN;
    assert_int_equal(sbv_kernel_moments(blur, 3, &m), SBV_ERROR_ARGUMENT);
    assert_int_equal(sbv_kernel_moments(blur, 2, &m), SBV_ERROR_ARGUMENT);
    assert_int_equal(sbv_kernel_moments(blur, 65, &m), SBV_ERROR_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_refinement_changes_no_bit),
        cmocka_unit_test(test_cycle_is_what_it_says),
        cmocka_unit_test(test_cycle_of_what_is_no_number),
        cmocka_unit_test(test_residual_never_grows),
        cmocka_unit_test(test_descent_ends_at_rounding),
        cmocka_unit_test(test_cycle_rises_with_every_step),
        cmocka_unit_test(test_interval),
        cmocka_unit_test(test_given_blur_is_new_once),
        cmocka_unit_test(test_refinement_estimates),
        cmocka_unit_test(test_moments),
    };
    model_path = temporary_file();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
