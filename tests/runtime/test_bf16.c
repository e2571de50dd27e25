/*
 * bfloat16 on the CPU: when it is chosen, and what a session gives in it. Tiles and threads must not change a bit. With
 * default.bin flat colours come back exactly in 8 bits, and before they are rounded to 1e-4, which layers that round
 * colours to 8 bits miss tenfold. A picture comes within 50 dB of that in fp32, and the mean of a channel to 0.02 code
 * values, so that there is no tint. Without AMX only the choice is tested.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/cpu/cpu.h"
#include "model/runtime/session.h"
#include "temporary.h"
#include "tiny_model.h"

#define WIDTH        75
#define HEIGHT       41
#define SCALE        4
#define FRAMES       3
#define SAMPLES      ((size_t)(WIDTH * HEIGHT * SCALE * SCALE * 3))
#define LEAST_PSNR   50.0
#define MOST_OFF     1e-4f /* of flat colours, before they are rounded */
#define MOST_TINT    0.02  /* code values, mean of a channel */
#define DEFAULT_FILE "model/default.bin"

static const char *tiny_path;
static char message[1024];

static float values[SAMPLES];

static void keep_message(void *opaque, enum sbv_log_level level, const char *text)
{
    (void)opaque;
    if (level == SBV_LOG_ERROR)
        snprintf(message, sizeof(message), "%s", text);
}

static sbv_session *open_session(const char *model, enum sbv_precision precision, int tile, int threads)
{
    sbv_session *session;
    sbv_config config;
    sbv_config_default(&config);
    config.model_path = model;
    config.backend = SBV_BACKEND_CPU;
    config.precision = precision;
    config.scene = 0;
    config.tile = tile;
    config.threads = threads;
    config.log = keep_message;
    message[0] = 0;
    if (sbv_open(&session, &config) < 0)
        assert_null(session);
    return session;
}

/* What precision a session gets, "" if it is refused. */
static const char *chosen(enum sbv_precision precision)
{
    sbv_session *s = open_session(tiny_path, precision, 0, 1);
    const char *name = s ? sbv_precision_name(&s->engine.exec) : "";
    sbv_close(&s);
    return name;
}

static void test_choice(void **unused)
{
    const int amx = !sbv_amx_missing();
    (void)unused;
    unsetenv("SBV_CPU");
    assert_string_equal(chosen(SBV_PRECISION_FP32), "fp32");
    assert_string_equal(chosen(SBV_PRECISION_AUTO), amx ? "bf16" : "fp32");
    assert_string_equal(chosen(SBV_PRECISION_BF16), amx ? "bf16" : "");
    if (!amx)
        assert_non_null(strstr(message, sbv_amx_missing()));

    setenv("SBV_CPU", "c", 1);
    assert_string_equal(chosen(SBV_PRECISION_AUTO), "fp32");
    assert_string_equal(chosen(SBV_PRECISION_BF16), "");
    assert_string_equal(message, "precision bf16 needs AMX: SBV_CPU asks for another instruction set");

    setenv("SBV_CPU", "amx", 1);
    assert_string_equal(chosen(SBV_PRECISION_AUTO), amx ? "bf16" : "");
    assert_string_equal(chosen(SBV_PRECISION_FP32), amx ? "fp32" : "");
    unsetenv("SBV_CPU");
}

static void test_gpus_do_not_have_it(void **unused)
{
    sbv_session *s;
    sbv_config config;
    (void)unused;
    sbv_config_default(&config);
    config.model_path = tiny_path;
    config.backend = SBV_BACKEND_CUDA;
    config.precision = SBV_PRECISION_BF16;
    config.log = keep_message;
    assert_int_equal(sbv_open(&s, &config), SBV_ERROR_ARGUMENT);
    assert_string_equal(message, "precision bf16 needs the CPU: a GPU has fp32 and fp16");
}

/* Frame n of a moving picture: slopes, edges and texture; or of one colour. */
static void draw(unsigned char *pixels, int n, const unsigned char *colour)
{
    for (int i = 0; i < WIDTH * HEIGHT * 3; i++) {
        const int x = i / 3 % WIDTH + n, y = i / 3 / WIDTH + n / 2, c = i % 3;
        const double slope = 0.8 * x + 0.5 * (c + 1) * y, texture = 14 * sin(0.9 * x + c) * cos(0.7 * y);
        const double edge = (x / 13 + y / 9) % 2 ? 70 - 20 * c : 0;
        pixels[i] = colour ? colour[c] : (unsigned char)(40 + slope + texture + edge);
    }
}

/* Restores the first frame of a clip, of one colour if that is given. The picture is allocated; the floats behind it
 * are in `values`. */
static unsigned char *restore(const char *model, enum sbv_precision precision, int tile, int threads,
                              const unsigned char *colour)
{
    sbv_session *s = open_session(model, precision, tile, threads);
    sbv_stream stream = {.width = WIDTH, .height = HEIGHT, .components = 3, .rgb = 1};
    unsigned char *pixels = malloc(WIDTH * HEIGHT * 3), *out = malloc(SAMPLES);
    assert_true(s && pixels && out);
    for (int c = 0; c < 3; c++)
        stream.component[c] = (sbv_component){.step = 3, .offset = c, .depth = 8};
    assert_int_equal(sbv_describe(s, &stream), SBV_OK);
    sbv_frame in = {.data = {pixels}, .linesize = {3 * WIDTH}, .width = WIDTH, .height = HEIGHT},
              picture = {
                  .data = {out}, .linesize = {3 * WIDTH * SCALE}, .width = WIDTH * SCALE, .height = HEIGHT * SCALE};
    for (int n = 0; n < FRAMES; n++) {
        draw(pixels, n, colour);
        assert_int_equal(sbv_send(s, &in), SBV_OK);
    }
    assert_int_equal(sbv_receive(s, &picture), SBV_OK);
    memcpy(values, s->engine.ws.output.data, sizeof(values));
    sbv_close(&s);
    free(pixels);
    return out;
}

static void check_tiles_and_threads(const char *model)
{
    static const int other[][2] = {{16, 1}, {33, 3}, {0, 2}, {0, 3}, {16, 2}};
    unsigned char *expected = restore(model, SBV_PRECISION_BF16, 0, 1, NULL);
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        unsigned char *found = restore(model, SBV_PRECISION_BF16, other[i][0], other[i][1], NULL);
        assert_memory_equal(found, expected, SAMPLES);
        free(found);
    }
    free(expected);
}

/* With few channels, and with the 64 of which residual blocks are computed at once. */
static void test_tiles_and_threads_change_no_bit(void **unused)
{
    (void)unused;
    check_tiles_and_threads(tiny_path);
    check_tiles_and_threads(DEFAULT_FILE);
}

static void test_flat_colours(void **unused)
{
    static const unsigned char colours[][3] = {{0, 0, 0},     {255, 255, 255}, {128, 128, 128}, {1, 254, 3},
                                               {200, 77, 51}, {37, 180, 93},   {19, 66, 239},   {255, 0, 127}};
    float worst = 0;
    (void)unused;
    for (size_t i = 0; i < sizeof(colours) / sizeof(colours[0]); i++) {
        unsigned char *found = restore(DEFAULT_FILE, SBV_PRECISION_BF16, 0, 2, colours[i]);
        for (size_t n = 0; n < SAMPLES; n++) {
            const float off = fabsf(values[n] - (float)colours[i][n % 3] / 255);
            assert_int_equal(found[n], colours[i][n % 3]);
            worst = off > worst ? off : worst;
        }
        free(found);
    }
    print_message("# flat colours are off by %.2e\n", (double)worst);
    assert_true(worst <= MOST_OFF);
}

static void test_picture(void **unused)
{
    unsigned char *found = restore(DEFAULT_FILE, SBV_PRECISION_BF16, 0, 2, NULL);
    unsigned char *expected = restore(DEFAULT_FILE, SBV_PRECISION_FP32, 0, 2, NULL);
    double squares = 0, sum[3] = {0};
    (void)unused;
    for (size_t i = 0; i < SAMPLES; i++) {
        const double d = (double)found[i] - expected[i];
        squares += d * d;
        sum[i % 3] += d;
    }
    const double psnr = 10 * log10(255 * 255 * (double)SAMPLES / (squares + 1e-9));
    print_message("# %.2f dB from fp32\n", psnr);
    assert_true(psnr >= LEAST_PSNR);
    for (int c = 0; c < 3; c++)
        assert_true(fabs(sum[c]) / (double)(SAMPLES / 3) <= MOST_TINT);
    free(found);
    free(expected);
}

int main(void)
{
    static const struct tiny tiny = {8, 5, 1, 2, SCALE, 3, 6, 0, 3, 0};
    const struct CMUnitTest choice[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_gpus_do_not_have_it),
    };
    const struct CMUnitTest pictures[] = {
        cmocka_unit_test(test_tiles_and_threads_change_no_bit),
        cmocka_unit_test(test_flat_colours),
        cmocka_unit_test(test_picture),
    };
    tiny_path = temporary_file();
    tiny_write(tiny_path, &tiny);
    int failed = cmocka_run_group_tests(choice, NULL, NULL);
    if (sbv_amx_missing())
        printf("# skip pictures: no AMX, %s\n", sbv_amx_missing());
    else
        failed += cmocka_run_group_tests(pictures, NULL, NULL);
    return failed;
}
