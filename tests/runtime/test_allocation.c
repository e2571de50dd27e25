/*
 * Every allocation of a whole session fails once: opening, describing, sending and receiving report that memory is out,
 * or go on with less and restore the same frames, and nothing is lost.
 *
 *     test_allocation [cuda|auto [once]]
 *
 * is the same with the CUDA backend, or with one that the CPU may take the place of. once: what fails is an allocation
 * of the driver, which the environment asks the fake one for.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _POSIX_C_SOURCE 200809L
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "model/include/selfblindvsr.h"
#include "tests/fuzz/allocate.h"
#include "clip.h"
#include "temporary.h"
#include "tiny_model.h"

#define WIDTH  13
#define HEIGHT 11
#define SCALE  4
#define FRAMES 5
#define STEP   17
#define BYTES  (WIDTH * SCALE * HEIGHT * SCALE * 3)

static const char *model_path;
static enum sbv_backend_choice backend = SBV_BACKEND_CPU;

struct outcome {
    int errors;
    char message[256]; /* the last one */
    unsigned char output[FRAMES][BYTES];
};

static void count_errors(void *opaque, enum sbv_log_level level, const char *message)
{
    struct outcome *o = opaque;
    if (level != SBV_LOG_ERROR)
        return;
    o->errors++;
    snprintf(o->message, sizeof(o->message), "%s", message);
}

static int whole_session(enum sbv_backend_choice where, struct outcome *o)
{
    static unsigned char input[FRAMES][WIDTH * HEIGHT * 3];
    sbv_session *s;
    sbv_config config;
    int ret;
    for (int n = 0; n < FRAMES; n++)
        for (int i = 0; i < WIDTH * HEIGHT * 3; i++)
            input[n][i] = (unsigned char)(i * 7 + i / 3 % WIDTH * n * 5);
    memset(o, 0, sizeof(*o));
    sbv_config_default(&config);
    config.model_path = model_path;
    config.backend = where;
    config.precision = SBV_PRECISION_FP32;
    config.threads = 2;
    config.scene = 0.3f;
    config.kernel_interval = 1;
    config.cycle = 1;
    config.refine = 1;
    config.adapt_interval = 2;
    config.log = count_errors;
    config.log_opaque = o;
    if ((ret = sbv_open(&s, &config)) < 0)
        return ret;
    ret = restore_clip(s, WIDTH, HEIGHT, FRAMES, input[0], SCALE, o->output[0]);
    sbv_close(&s);
    return ret;
}

/* Sums of floats on a GPU are rounded in another order. */
static void check_output(const struct outcome *found, const struct outcome *right)
{
    if (backend == SBV_BACKEND_CPU)
        assert_memory_equal(found->output, right->output, sizeof(right->output));
    for (int n = 0; n < FRAMES; n++)
        for (int i = 0; i < BYTES; i++)
            assert_in_range(found->output[n][i] + 1 - right->output[n][i], 0, 2);
}

/* Returns how many there are; of those behind the first `all` one of STEP fails. may_lose: bytes may be lost. */
static int fail_each_once(int all, int may_lose)
{
    static struct outcome right, found;
    int kept_on = 0, at = 0;
    assert_int_equal(whole_session(SBV_BACKEND_CPU, &right), SBV_OK);
    assert_int_equal(right.errors, 0);
    const int before = fuzz_allocations_held();
    for (;; at += at < all ? 1 : STEP) {
        fuzz_fail_allocation(at);
        const int ret = whole_session(backend, &found);
        if (!fuzz_fail_allocation(-1)) {
            assert_int_equal(ret, SBV_OK);
            break;
        }
        if (ret == SBV_OK) {
            kept_on++;
            assert_int_equal(found.errors, 0);
            check_output(&found, &right);
        } else if (ret != SBV_ERROR_MEMORY || found.errors != 1) {
            fail_msg("allocation %d failed: status %d, %d messages: %s", at, ret, found.errors, found.message);
        }
        if (fuzz_allocations_held() != before && !may_lose)
            fail_msg("allocation %d failed: %d others are lost", at, fuzz_allocations_held() - before);
    }
    printf("# %d allocations, %d of them not missed\n", at, kept_on);
    return at;
}

static void test_those_of_the_library(void **unused)
{
    (void)unused;
    assert_true(fail_each_once(INT_MAX, 0) > 100);
}

static void test_one_of_the_driver(void **unused)
{
    static struct outcome right, found;
    const int before = fuzz_allocations_held();
    (void)unused;
    assert_int_equal(whole_session(SBV_BACKEND_CPU, &right), SBV_OK);
    const int ret = whole_session(backend, &found);
    if (ret == SBV_OK)
        check_output(&found, &right);
    if (found.errors != (ret != SBV_OK) || (ret != SBV_OK && ret != SBV_ERROR_MEMORY))
        fail_msg("status %d, %d messages: %s", ret, found.errors, found.message);
    assert_int_equal(fuzz_allocations_held(), before);
    printf("# status %d: %s\n", ret, found.message);
}

void __lsan_disable(void) __attribute__((weak));
void __lsan_enable(void) __attribute__((weak));

/* Jansson itself loses a few bytes then. Its allocations are the same for each tensor of the file. */
static void test_those_of_jansson(void **unused)
{
    (void)unused;
    json_set_alloc_funcs(malloc, free);
    if (__lsan_disable)
        __lsan_disable();
    assert_true(fail_each_once(200, 1) > 1000);
    if (__lsan_enable)
        __lsan_enable();
}

int main(int argc, char **argv)
{
    static const struct tiny tiny = {2, 3, 1, 1, SCALE, 2, 1, 5, 1, 2};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_those_of_the_library),
        cmocka_unit_test(test_those_of_jansson),
    };
    const struct CMUnitTest cuda_tests[] = {cmocka_unit_test(test_those_of_the_library)};
    const struct CMUnitTest driver_tests[] = {cmocka_unit_test(test_one_of_the_driver)};
    if (argc > 1)
        backend = strcmp(argv[1], "cuda") ? SBV_BACKEND_AUTO : SBV_BACKEND_CUDA;
    model_path = temporary_file();
    tiny_write_as(model_path, &tiny, 1, "topleft");
    return argc > 2   ? cmocka_run_group_tests(driver_tests, NULL, NULL)
           : argc > 1 ? cmocka_run_group_tests(cuda_tests, NULL, NULL)
                      : cmocka_run_group_tests(tests, NULL, NULL);
}
