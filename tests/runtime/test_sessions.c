/*
 * Sessions beside each other, in threads of one process and in processes: each restores the bits that it restores
 * alone.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/include/selfblindvsr.h"
#include "clip.h"
#include "temporary.h"
#include "tiny_model.h"

#define WIDTH     29
#define HEIGHT    22
#define SCALE     4
#define FRAMES    9
#define SESSIONS  4
#define PROCESSES 8
#define BYTES     (WIDTH * SCALE * HEIGHT * SCALE * 3)

static const char *model_path;

/* What a session restores, and its options, which its number tells. */
struct restored {
    int number, status;
    unsigned char output[FRAMES][BYTES];
};

static void *run_session(void *opaque)
{
    struct restored *r = opaque;
    unsigned char input[FRAMES][WIDTH * HEIGHT * 3];
    sbv_session *s;
    sbv_config config;
    sbv_config_default(&config);
    config.model_path = model_path;
    config.backend = SBV_BACKEND_CPU;
    config.threads = 1 + r->number % 3;
    config.tile = r->number % 2 ? 16 : 0;
    config.kernel_interval = r->number % 2;
    config.refine = r->number == 2;
    config.adapt_interval = r->number == 3 ? 0 : 3;
    for (int n = 0; n < FRAMES; n++)
        for (int i = 0; i < WIDTH * HEIGHT * 3; i++)
            input[n][i] = (unsigned char)(i * 7 + (i / 3 % WIDTH + r->number) * n * 5);
    if ((r->status = sbv_open(&s, &config)) >= 0) {
        r->status = restore_clip(s, WIDTH, HEIGHT, FRAMES, input[0], SCALE, r->output[0]);
        sbv_close(&s);
    }
    return NULL;
}

static struct restored *alone(void)
{
    static struct restored all[SESSIONS];
    if (!all[SESSIONS - 1].number)
        for (int i = 0; i < SESSIONS; i++) {
            all[i].number = i;
            run_session(&all[i]);
            assert_int_equal(all[i].status, SBV_OK);
        }
    return all;
}

static void test_in_one_process(void **unused)
{
    static struct restored beside[SESSIONS];
    const struct restored *right = alone();
    pthread_t thread[SESSIONS];
    (void)unused;
    for (int i = 0; i < SESSIONS; i++) {
        beside[i].number = i;
        assert_int_equal(pthread_create(&thread[i], NULL, run_session, &beside[i]), 0);
    }
    for (int i = 0; i < SESSIONS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    for (int i = 0; i < SESSIONS; i++) {
        assert_int_equal(beside[i].status, SBV_OK);
        assert_memory_equal(beside[i].output, right[i].output, sizeof(right[i].output));
    }
}

static void test_in_processes(void **unused)
{
    static struct restored beside;
    const struct restored *right = alone();
    pid_t process[PROCESSES];
    (void)unused;
    fflush(stdout);
    for (int i = 0; i < PROCESSES; i++) {
        process[i] = fork();
        assert_true(process[i] >= 0);
        if (!process[i]) {
            beside.number = i % SESSIONS;
            run_session(&beside);
            _exit(beside.status != SBV_OK ||
                  memcmp(beside.output, right[beside.number].output, sizeof(beside.output)) != 0);
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(waitpid(process[i], &status, 0), process[i]);
        assert_int_equal(status, 0);
    }
}

int main(void)
{
    static const struct tiny tiny = {4, 3, 1, 1, SCALE, 2, 2, 5, 1, 3};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_one_process),
        cmocka_unit_test(test_in_processes),
    };
    model_path = temporary_file();
    tiny_write(model_path, &tiny);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
