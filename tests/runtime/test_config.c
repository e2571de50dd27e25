/*
 * What is said of a configuration: sbv_check says it without the weights, sbv_open with them, both in the caller's
 * memory too.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/include/selfblindvsr.h"
#include "temporary.h"
#include "tiny_model.h"

static const char *model_path;
static char message[160];

static sbv_config configuration(void)
{
    sbv_config config;
    sbv_config_default(&config);
    config.model_path = model_path;
    config.backend = SBV_BACKEND_CPU;
    config.threads = 1;
    config.error = message;
    config.error_size = sizeof(message);
    memset(message, 0, sizeof(message));
    return config;
}

/* Both refuse it with this code and a message that has these words. */
static void expect_refused(const sbv_config *config, int code, const char *words)
{
    sbv_session *s = (sbv_session *)config;
    assert_int_equal(sbv_check(config), code);
    assert_non_null(strstr(message, words));
    message[0] = 0;
    assert_int_equal(sbv_open(&s, config), code);
    assert_non_null(strstr(message, words));
    assert_null(s);
}

static void test_good(void **state)
{
    const sbv_config config = configuration();
    sbv_session *s;
    (void)state;
    assert_int_equal(sbv_check(&config), SBV_OK);
    assert_int_equal(sbv_open(&s, &config), SBV_OK);
    assert_string_equal(message, "");
    sbv_close(&s);
}

static void test_refused(void **state)
{
    sbv_config config = configuration();
    (void)state;
    config.refine = SBV_REFINE_MAX + 1;
    expect_refused(&config, SBV_ERROR_ARGUMENT, "refine 21");
    config.refine = 1;
    expect_refused(&config, SBV_ERROR_ARGUMENT, "no kernel network");
    config = configuration();
    config.adapt_interval = -1;
    expect_refused(&config, SBV_ERROR_ARGUMENT, "adapt_interval -1");
    config.adapt_interval = SBV_ADAPT_INTERVAL_MAX + 1;
    expect_refused(&config, SBV_ERROR_ARGUMENT, "adapt_interval 1");
    config = configuration();
    config.start_number = -5;
    expect_refused(&config, SBV_ERROR_ARGUMENT, "start_number -5: out of range 0 to 1000000000000");
    config.start_number = SBV_START_NUMBER_MAX + 1;
    expect_refused(&config, SBV_ERROR_ARGUMENT, "start_number 1000000000001");
    config = configuration();
    config.reserved[3] = 7;
    expect_refused(&config, SBV_ERROR_ARGUMENT, "reserved[3] of the configuration is 7");
    config = configuration();
    config.model_path = "/nonexistent/x.bin";
    expect_refused(&config, SBV_ERROR_FILE, "/nonexistent/x.bin");
    config = configuration();
    config.precision = SBV_PRECISION_FP16;
    expect_refused(&config, SBV_ERROR_ARGUMENT, "fp16");
}

/* A short one is cut, and ends. */
static void test_short_error(void **state)
{
    sbv_config config = configuration();
    (void)state;
    memset(message, 'x', sizeof(message));
    config.model_path = "/nonexistent/x.bin";
    config.error_size = 8;
    assert_int_equal(sbv_check(&config), SBV_ERROR_FILE);
    assert_int_equal(strlen(message), 7);
    assert_int_equal(message[8], 'x');
}

/* A check reads no weights: a weight that is no number is found by sbv_open alone. */
static void test_weights_are_not_read(void **state)
{
    const uint32_t nan = 0x7fc00000;
    const sbv_config config = configuration();
    sbv_session *s;
    FILE *file = fopen(model_path, "r+b");
    (void)state;
    assert_non_null(file);
    assert_int_equal(fseek(file, -4, SEEK_END), 0);
    assert_int_equal(fwrite(&nan, 4, 1, file), 1);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(sbv_check(&config), SBV_OK);
    assert_int_equal(sbv_open(&s, &config), SBV_ERROR_MODEL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_short_error),
        cmocka_unit_test(test_weights_are_not_read),
    };
    const struct tiny tiny = {
        .features = 4, .sequence = 3, .extra = 1, .recons = 1, .scale = 2, .levels = 2, .width = 4};
    model_path = temporary_file();
    tiny_write(model_path, &tiny);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
