/*
 * A modulated network at work in a session: what it is told of a blur, when it estimates the degradation, what holds
 * in between. That the estimate and the gains are right, test_golden.py says.
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

#include "model/runtime/modulation.h"
#include "model/runtime/session.h"
#include "temporary.h"
#include "tiny_model.h"

#define W        13
#define H        9
#define FRAMES   12
#define BYTES    (3 * W * H)
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct tiny modulated = {8, 5, 1, 2, 4, 2, 6, 5, 31, 12}, plain = {8, 5, 1, 2, 4, 2, 6, 5, 31, 0};
static const char *model_path;

static struct {
    char error[512];
    int64_t frame[FRAMES]; /* that were estimated */
    size_t estimates;
} said;

static void keep_message(void *opaque, enum sbv_log_level level, const char *text)
{
    long long frame;
    (void)opaque;
    if (level == SBV_LOG_ERROR)
        snprintf(said.error, sizeof(said.error), "%s", text);
    if (sscanf(text, "frame %lld: response", &frame) == 1 && said.estimates < FRAMES)
        said.frame[said.estimates++] = frame;
}

static sbv_config configuration(int interval)
{
    sbv_config config;
    sbv_config_default(&config);
    config.model_path = model_path;
    config.backend = SBV_BACKEND_CPU;
    config.precision = SBV_PRECISION_FP32;
    config.threads = 1;
    config.adapt_interval = interval;
    config.log = keep_message;
    memset(&said, 0, sizeof(said));
    return config;
}

static sbv_session *opened(const sbv_config *config)
{
    sbv_stream stream = {.width = W, .height = H, .components = 3, .rgb = 1};
    sbv_session *s;
    for (int c = 0; c < 3; c++)
        stream.component[c] = (sbv_component){.plane = 0, .step = 3, .offset = c, .depth = 8};
    if (sbv_open(&s, config) != SBV_OK)
        fail_msg("%s", said.error);
    assert_int_equal(sbv_describe(s, &stream), SBV_OK);
    return s;
}

/* Capital letters are the negatives of small ones, another shot; the content of each letter is its own. */
static void draw(char name, unsigned char pixels[BYTES])
{
    const int n = name % 32;
    for (int i = 0; i < BYTES; i++) {
        const int x = i / 3 % W + n, y = i / 3 / W + n / 2, c = i % 3;
        const double value = 60 + 20 * sin(0.9 * x + c) * cos(0.7 * y) + (x * 7 + y * 13 + c * 29) % (n + 10);
        pixels[i] = (unsigned char)(name >= 'a' ? value : 255 - value);
    }
}

/* Restores a clip of `names`; returns the pictures, one after another, to be freed. */
static unsigned char *restored(sbv_session *s, const char *names)
{
    const size_t frames = strlen(names);
    unsigned char pixels[BYTES], *out = calloc(frames, 16 * BYTES);
    int64_t n = 0;
    assert_non_null(out);
    for (size_t i = 0; i <= frames; i++) {
        draw(names[i], pixels);
        sbv_frame in = {.data = {pixels}, .linesize = {3 * W}, .width = W, .height = H};
        assert_int_equal(sbv_send(s, i < frames ? &in : NULL), SBV_OK);
        while (sbv_ready(s, NULL) == SBV_OK) {
            sbv_frame to = {.data = {out + n++ * 16 * BYTES}, .linesize = {12 * W}, .width = 4 * W, .height = 4 * H};
            assert_int_equal(sbv_receive(s, &to), SBV_OK);
        }
    }
    return out;
}

static unsigned char *run(int interval, const char *names)
{
    const sbv_config config = configuration(interval);
    sbv_session *s = opened(&config);
    unsigned char *out = restored(s, names);
    sbv_close(&s);
    return out;
}

static int differ(const unsigned char *a, const unsigned char *b, int first, int end)
{
    return memcmp(a + first * 16 * BYTES, b + first * 16 * BYTES, (size_t)(end - first) * 16 * BYTES) != 0;
}

static void test_response(void **unused)
{
    static const double frequency[] = {0.0625, 0.09375, 0.125, 0.1875, 0.25}, pi = 3.14159265358979;
    float blur[SBV_BLUR_SIDE_MAX * SBV_BLUR_SIDE_MAX], response[SBV_RESPONSES];
    (void)unused;
    for (int side = 27; side <= 41; side += 14)
        for (double sigma = 1.1; sigma < 3; sigma += 0.4) {
            double sum = 0;
            for (int i = 0; i < side * side; i++) {
                const double x = i % side - side / 2 - 1.5, y = i / side - side / 2 - 1.5;
                sum += blur[i] = (float)exp(-0.5 * (x * x + y * y) / (sigma * sigma));
            }
            for (int i = 0; i < side * side; i++)
                blur[i] /= (float)sum;
            sbv_blur_response(blur, side, response);
            for (int f = 0; f < SBV_RESPONSES; f++)
                assert_true(fabs(response[f] - exp(-2 * pow(pi * sigma * frequency[f], 2))) < 2e-3);
        }
}

/* Each sums to 1 and lies where input samples do. */
static void test_candidates(void **unused)
{
    static const double places[] = {1.5, 0};
    static float blur[SBV_CANDIDATES][SBV_BLUR_SIDE_MAX * SBV_BLUR_SIDE_MAX];
    (void)unused;
    for (size_t p = 0; p < COUNT(places); p++)
        for (int i = 0; i < SBV_CANDIDATES; i++) {
            sbv_moments at;
            double sum = 0;
            int side;
            sbv_candidate_kernel(i, 4, places[p], blur[i], &side);
            assert_true(side % 2 == 1 && side <= SBV_CANDIDATE_SIDE);
            for (int k = 0; k < side * side; k++)
                sum += blur[i][k];
            assert_true(fabs(sum - 1) < 1e-5);
            assert_int_equal(sbv_kernel_moments(blur[i], side, &at), SBV_OK);
            assert_true(fabs(at.center_x - places[p]) < 1e-3 && fabs(at.center_y - places[p]) < 1e-3);
        }
}

static void check_estimates(const int64_t *frame, size_t count)
{
    assert_int_equal(said.estimates, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(said.frame[i], frame[i]);
}

static void test_when(void **unused)
{
    static const int64_t cut[] = {0, 4, 5, 8, 10}, none[] = {2, 5, 10},
                         part[] = {999999999993, 999999999995, 1000000000000};
    sbv_config config;
    (void)unused;
    tiny_write(model_path, &modulated);
    free(run(5, "aaccDFGHijkl"));
    check_estimates(cut, COUNT(cut));
    config = configuration(5);
    config.border = SBV_BORDER_NONE;
    config.scene = 0;
    sbv_session *s = opened(&config);
    free(restored(s, "aaccDFGHijkl"));
    check_estimates(none, 2);
    sbv_flush(s);
    free(restored(s, "abcdefghij"));
    assert_int_equal(said.estimates, 4); /* 2 and 5 again */
    sbv_close(&s);
    config = configuration(5);
    config.scene = 0;
    config.start_number = part[0];
    s = opened(&config);
    for (int again = 0; again < 2; again++) {
        said.estimates = 0;
        free(restored(s, "abcdefghi"));
        check_estimates(part, COUNT(part));
        sbv_flush(s);
    }
    sbv_close(&s);
    free(run(0, "abcdef"));
    assert_int_equal(said.estimates, 0);
}

/* An estimate holds until the next; a still picture is restored anew where the network has changed. */
static void test_what_holds(void **unused)
{
    (void)unused;
    tiny_write(model_path, &modulated);
    unsigned char *neutral = run(0, "abcdefghijkl"), *once = run(100, "abcdefghijkl"), *twice = run(6, "abcdefghijkl");
    assert_true(differ(neutral, once, 0, 1) && differ(neutral, once, 11, 12));
    assert_false(differ(once, twice, 0, 6));
    assert_true(differ(once, twice, 6, 7) && differ(once, twice, 11, 12));
    free(once);
    free(twice);
    once = run(100, "aaaaaaaaaaaa");
    twice = run(4, "aaaaaaaaaaaa");
    assert_false(differ(once, twice, 0, 12)); /* of the same window the same is estimated */
    free(once);
    free(twice);
    once = run(100, "abffffffffff");
    twice = run(6, "abffffffffff");
    assert_false(differ(once, twice, 0, 6));
    assert_true(differ(once, twice, 6, 7) && differ(once, twice, 11, 12));
    free(once);
    free(twice);
    free(neutral);
}

static void test_a_blur_that_is_known(void **unused)
{
    float blur[SBV_BLUR_SIDE_MAX * SBV_BLUR_SIDE_MAX], response[SBV_RESPONSES];
    int side;
    sbv_config config;
    (void)unused;
    tiny_write(model_path, &modulated);
    config = configuration(3);
    sbv_session *s = opened(&config);
    free(restored(s, "abcdef"));
    const sbv_adaptation estimated = s->adaptation;
    sbv_close(&s);
    config = configuration(3);
    config.scaler = "bicubic";
    s = opened(&config);
    free(restored(s, "abcdef"));
    assert_int_equal(sbv_scaler_kernel("bicubic", 4, 1.5, blur, &side), SBV_OK);
    sbv_blur_response(blur, side, response);
    for (int i = 0; i < SBV_RESPONSES; i++)
        assert_true(s->adaptation.degradation[i] == response[i] && estimated.degradation[i] != response[i]);
    for (int i = SBV_RESPONSES; i < SBV_DEGRADATION; i++)
        assert_true(s->adaptation.degradation[i] == estimated.degradation[i]);
    sbv_close(&s);
}

/* Whatever is measured, the network is told nothing that it could not have learnt. */
static void test_limits(void **unused)
{
    static const float large[] = {1e30F, -1e30F, 1e3F, INFINITY, NAN};
    float measure[SBV_MEASURES], degradation[SBV_DEGRADATION];
    const sbv_config config = configuration(0);
    (void)unused;
    tiny_write(model_path, &modulated);
    sbv_session *s = opened(&config);
    const sbv_modulation *m = &s->engine.network.modulation;
    for (size_t n = 0; n < COUNT(large); n++) {
        for (int i = 0; i < SBV_MEASURES; i++)
            measure[i] = large[n];
        sbv_tell_degradation(m, measure, degradation);
        for (int i = 0; i < SBV_DEGRADATION; i++)
            assert_true(isfinite(large[n]) ? degradation[i] >= -0.3F && degradation[i] <= 3
                                           : degradation[i] == m->neutral[i]);
    }
    sbv_close(&s);
}

/* A model without modulation is what it was, with any interval, and says what it is. */
static void test_unmodulated(void **unused)
{
    sbv_config config;
    (void)unused;
    tiny_write(model_path, &plain);
    unsigned char *off = run(0, "abcdef"), *on = run(2, "abcdef");
    assert_int_equal(said.estimates, 0);
    assert_false(differ(off, on, 0, 6));
    free(off);
    free(on);
    config = configuration(2);
    sbv_session *s = opened(&config);
    assert_int_equal(sbv_model(s)->modulated, 0);
    sbv_close(&s);
    tiny_write(model_path, &modulated);
    s = opened(&config);
    assert_int_equal(sbv_model(s)->modulated, 1);
    sbv_close(&s);
}

static void test_refused(void **unused)
{
    static const int64_t wrong[] = {-1, 1000001};
    static const char *const words[] = {"adapt_interval -1: out of range 0 to 1000000",
                                        "adapt_interval 1000001: out of range 0 to 1000000"};
    const struct tiny by_two = {8, 5, 1, 2, 2, 2, 6, 0, 31, 12};
    sbv_config config = configuration(1);
    sbv_session *s;
    (void)unused;
    tiny_write(model_path, &modulated);
    for (size_t i = 0; i < COUNT(wrong); i++) {
        config.adapt_interval = wrong[i];
        assert_int_equal(sbv_open(&s, &config), SBV_ERROR_ARGUMENT);
        assert_string_equal(said.error, words[i]);
    }
    tiny_write(model_path, &by_two);
    config.adapt_interval = 0;
    assert_int_equal(sbv_open(&s, &config), SBV_ERROR_MODEL);
    assert_non_null(strstr(said.error, "a modulated model of scale 2, it must be 4"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_response),    cmocka_unit_test(test_candidates),
        cmocka_unit_test(test_when),        cmocka_unit_test(test_what_holds),
        cmocka_unit_test(test_limits),      cmocka_unit_test(test_a_blur_that_is_known),
        cmocka_unit_test(test_unmodulated), cmocka_unit_test(test_refused),
    };
    model_path = temporary_file();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
