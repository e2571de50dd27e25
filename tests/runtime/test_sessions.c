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
#include "temporary.h"
#include "tiny_model.h"

#define WIDTH     29
#define HEIGHT    22
#define SCALE     2
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

static int receive_all(sbv_session *s, struct restored *r)
{
    int ret;
    do {
        unsigned char pixels[BYTES];
        sbv_frame frame = {
            .data = {pixels}, .linesize = {WIDTH * SCALE * 3}, .width = WIDTH * SCALE, .height = HEIGHT * SCALE};
        if ((ret = sbv_receive(s, &frame)) == SBV_OK)
            memcpy(r->output[frame.tag], pixels, BYTES);
    } while (ret == SBV_OK);
    return ret == SBV_AGAIN || ret == SBV_END ? SBV_OK : ret;
}

static int restore(sbv_session *s, struct restored *r)
{
    sbv_stream stream = {.width = WIDTH, .height = HEIGHT, .components = 3, .rgb = 1};
    int ret;
    for (int c = 0; c < 3; c++)
        stream.component[c] = (sbv_component){.step = 3, .offset = c, .depth = 8};
    ret = sbv_describe(s, &stream);
    for (int n = 0; n < FRAMES && ret >= 0; n++) {
        unsigned char pixels[WIDTH * HEIGHT * 3];
        sbv_frame frame = {.data = {pixels}, .linesize = {WIDTH * 3}, .width = WIDTH, .height = HEIGHT, .tag = n};
        for (int i = 0; i < WIDTH * HEIGHT * 3; i++)
            pixels[i] = (unsigned char)(i * 7 + (i / 3 % WIDTH + r->number) * n * 5);
        if ((ret = sbv_send(s, &frame)) >= 0)
            ret = receive_all(s, r);
    }
    return ret < 0 || (ret = sbv_send(s, NULL)) < 0 ? ret : receive_all(s, r);
}

static void *run_session(void *opaque)
{
    struct restored *r = opaque;
    sbv_session *s;
    sbv_config config;
    sbv_config_default(&config);
    config.model_path = model_path;
    config.backend = SBV_BACKEND_CPU;
    config.threads = 1 + r->number % 3;
    config.tile = r->number % 2 ? 16 : 0;
    config.kernel_interval = r->number % 2;
    config.refine = r->number == 2;
    if ((r->status = sbv_open(&s, &config)) >= 0) {
        r->status = restore(s, r);
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
    static const struct tiny tiny = {4, 3, 1, 1, SCALE, 2, 2, 5, 1};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_one_process),
        cmocka_unit_test(test_in_processes),
    };
    model_path = temporary_file();
    tiny_write(model_path, &tiny);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
