/*
 * Frames that repeat, against a session that takes every frame for new: the same pictures to the bit, and no more
 * frames extracted and windows restored than there are different ones. No limit: nothing is computed in another way.
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

#define W 14
#define H 9

static const char *model_path, *modulated_path;

static const char still[] = "aaaaaaaaaa", twos[] = "aabbccddeeff", telecine[] = "aabbbccdddeefffgghhh";
static const char back[] = "abababababbbba", mixed[] = "abcddddddddeffffffga", once[] = "a";

static void fail_on_error(void *opaque, enum sbv_log_level level, const char *message)
{
    (void)opaque;
    if (level == SBV_LOG_ERROR)
        fail_msg("%s", message);
}

static sbv_session *open_session(sbv_config config, int off)
{
    const sbv_stream stream = {.width = W,
                               .height = H,
                               .components = 3,
                               .rgb = 1,
                               .component = {{.step = 3, .depth = 8},
                                             {.step = 3, .offset = 1, .depth = 8},
                                             {.step = 3, .offset = 2, .depth = 8}}};
    sbv_session *s;
    config.model_path = config.adapt_interval ? modulated_path : model_path;
    config.precision = SBV_PRECISION_FP32;
    config.backend = SBV_BACKEND_CPU;
    config.log = fail_on_error;
    assert_int_equal(sbv_open(&s, &config), SBV_OK);
    assert_int_equal(sbv_describe(s, &stream), SBV_OK);
    s->engine.repeats.off = off;
    return s;
}

/* Capital letters are the negatives of small ones: another scene. */
static void send(sbv_session *s, char name, int64_t tag)
{
    unsigned char pixels[W * H * 3];
    const int n = name % 32;
    for (int i = 0; i < W * H * 3; i++) {
        const int x = i / 3 % W + n, y = i / 3 / W + n / 2, c = i % 3;
        const double value = 60 + 20 * sin(0.9 * x + c) * cos(0.7 * y) + (x * 7 + y * 13 + c * 29) % 40;
        pixels[i] = (unsigned char)(name >= 'a' ? value : 255 - value);
    }
    sbv_frame frame = {.data = {pixels}, .linesize = {3 * W}, .width = W, .height = H, .tag = tag};
    assert_int_equal(sbv_send(s, &frame), SBV_OK);
}

/* The next picture of both, if there is one. */
static int compare(sbv_session *s, sbv_session *plain, int64_t *returned)
{
    static unsigned char pixels[2][16 * W * H * 3];
    sbv_session *const both[2] = {s, plain};
    const int ready = sbv_ready(s, NULL);
    assert_int_equal(ready, sbv_ready(plain, NULL));
    if (ready != SBV_OK)
        return 0;
    for (int i = 0; i < 2; i++) {
        sbv_frame out = {.data = {pixels[i]}, .linesize = {3 * 4 * W}, .width = 4 * W, .height = 4 * H};
        memset(pixels[i], i, sizeof(pixels[i]));
        assert_int_equal(sbv_receive(both[i], &out), SBV_OK);
        assert_int_equal(out.tag, *returned);
    }
    assert_memory_equal(pixels[0], pixels[1], sizeof(pixels[0]));
    assert_memory_equal(s->engine.ws.output.data, plain->engine.ws.output.data, sizeof(float) * 16 * W * H * 3);
    assert_int_equal(sbv_kernel_is_new(s), sbv_kernel_is_new(plain));
    if (s->engine.config.cycle)
        assert_true(sbv_cycle_psnr(s) == sbv_cycle_psnr(plain));
    ++*returned;
    return 1;
}

/* All frames of a clip through both. */
static void run(sbv_session *s, sbv_session *plain, const char *clip)
{
    int64_t returned = s->engine.config.border == SBV_BORDER_NONE ? 2 : 0;
    for (int64_t i = 0; clip[i]; i++) {
        send(s, clip[i], i);
        send(plain, clip[i], i);
        compare(s, plain, &returned);
    }
    assert_int_equal(sbv_send(s, NULL), SBV_OK);
    assert_int_equal(sbv_send(plain, NULL), SBV_OK);
    while (compare(s, plain, &returned))
        ;
    sbv_flush(s);
    sbv_flush(plain);
}

static void run_all(sbv_config config)
{
    static const char *const clips[] = {still, twos, telecine, back, mixed, once, "aabbBBCCCCDDddddd", "aAAAAAAaaa"};
    sbv_session *s = open_session(config, 0), *plain = open_session(config, 1);
    for (size_t i = 0; i < sizeof(clips) / sizeof(clips[0]); i++)
        run(s, plain, clips[i]);
    assert_true(s->engine.repeats.contents < plain->engine.repeats.contents);
    sbv_close(&s);
    sbv_close(&plain);
}

static void test_same_bits(void **unused)
{
    (void)unused;
    for (int border = SBV_BORDER_REPLICATE; border <= SBV_BORDER_NONE; border++)
        for (int threads = 1; threads <= 3; threads += 2)
            run_all((sbv_config){.border = (enum sbv_border)border, .threads = threads});
    run_all((sbv_config){.threads = 1, .scene = 0.2f});
    run_all((sbv_config){.threads = 1, .tile = 16});
}

static void test_same_bits_with_blur(void **unused)
{
    static const float box[9] = {1 / 9.0f, 1 / 9.0f, 1 / 9.0f, 1 / 9.0f, 1 / 9.0f,
                                 1 / 9.0f, 1 / 9.0f, 1 / 9.0f, 1 / 9.0f};
    (void)unused;
    run_all((sbv_config){.threads = 1, .cycle = 1});
    run_all((sbv_config){.threads = 1, .refine = 2, .cycle = 1, .kernel_interval = 3});
    run_all((sbv_config){.threads = 1, .refine = 2, .cycle = 1, .kernel = box, .kernel_side = 3});
    run_all((sbv_config){.threads = 1, .kernel_interval = 2});
}

/* An estimate that falls into a still scene may bring another picture than the one before it. */
static void test_same_bits_with_adaptation(void **unused)
{
    (void)unused;
    run_all((sbv_config){.threads = 1, .adapt_interval = 3});
    run_all((sbv_config){.threads = 1, .adapt_interval = 5, .scene = 0.2f});
    run_all((sbv_config){.threads = 1, .adapt_interval = 2, .refine = 2, .cycle = 1, .kernel_interval = 3});
}

/* What a clip costs: frames extracted and windows restored. */
static void check_work(const char *clip, int frames, int windows, sbv_config config)
{
    sbv_session *s = open_session(config, 0), *plain = open_session(config, 1);
    run(s, plain, clip);
    assert_int_equal(s->engine.repeats.contents, frames);
    assert_int_equal(s->engine.repeats.restored, windows);
    assert_int_equal(plain->engine.repeats.contents, strlen(clip));
    assert_int_equal(plain->engine.repeats.restored, strlen(clip));
    sbv_close(&s);
    sbv_close(&plain);
}

static void test_work(void **unused)
{
    static const float point[1] = {1};
    (void)unused;
    check_work(still, 1, 1, (sbv_config){.threads = 1});
    check_work(still, 1, 1, (sbv_config){.threads = 1, .refine = 2, .cycle = 1, .kernel = point, .kernel_side = 1});
    check_work(twos, 6, 12, (sbv_config){.threads = 1});
    check_work(telecine, 8, 20, (sbv_config){.threads = 1});
    check_work(mixed, 8, 16, (sbv_config){.threads = 1});
    check_work(once, 1, 1, (sbv_config){.threads = 1});
}

int main(void)
{
    static const struct tiny tiny = {8, 5, 1, 2, 4, 3, 6, 5, 1, 0}, modulated = {8, 5, 1, 2, 4, 3, 6, 5, 1, 6};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_same_bits_with_blur),
        cmocka_unit_test(test_same_bits_with_adaptation),
        cmocka_unit_test(test_work),
    };
    model_path = temporary_file();
    tiny_write(model_path, &tiny);
    modulated_path = temporary_file();
    tiny_write(modulated_path, &modulated);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
