/*
 * The memory of a session: what control groups leave of the machine's, what is planned beside what is measured, the
 * least that works, and that a long stream needs no more than a short one.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _GNU_SOURCE
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cgroup.h"
#include "model/runtime/machine_memory.h"
#include "model/runtime/session.h"
#include "tiny_model.h"

#define SCALE 4
#define MIB   1048576.0

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEASURED 0 /* memory that is released stays with the sanitizer */
#else
#define MEASURED 1
#endif

static char folder[] = "/tmp/sbv_test_memory_XXXXXX";
static char model_path[64];

/* ---- Control groups ---- */

static void write_in(const char *path, const char *text)
{
    char full[512];
    snprintf(full, sizeof(full), "%s/%s", folder, path);
    for (char *slash = full + strlen(folder) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_control_groups(void **unused)
{
    static const struct {
        const char *groups;
        size_t limit;
    } cases[] = {
        {"0::/\n", 9000000},
        {"0::/job\n", 7000000},
        {"0::/job/step\n", 5000000},
        {"0::/job/open\n", 7000000},                 /* no limit of its own: that of the one above */
        {"0::/../elsewhere/of/the/host\n", 9000000}, /* not seen from here */
        {"12:cpu,cpuacct:/a\n4:memory:/a/b\n1:name=systemd:/a\n", 2000000},
        {"4:hugetlb,memory:/a\n", 3000000},
        {"4:notmemory,memoryless:/a\n", SIZE_MAX},
        {"4:memory:/docker/0123\n0::/\n", 4000000},
        {"no colon\n\n:\n::\n4:memory\n", 9000000}, /* :: is a group of version 2 without a name */
        {"", SIZE_MAX},
    };
    (void)unused;
    assert_true(sbv_cgroup_memory(folder) == SIZE_MAX);
    write_in("sys/fs/cgroup/memory.max", "9000000\n");
    write_in("sys/fs/cgroup/job/memory.max", "7000000\n");
    write_in("sys/fs/cgroup/job/step/memory.max", "5000000\n");
    write_in("sys/fs/cgroup/job/open/memory.max", "max\n");
    write_in("sys/fs/cgroup/memory/memory.limit_in_bytes", "4000000\n");
    write_in("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "3000000\n");
    write_in("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "2000000\n");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        write_in("proc/self/cgroup", cases[i].groups);
        const size_t found = sbv_cgroup_memory(folder);
        if (found != cases[i].limit)
            fail_msg("%s: %zu bytes, expected %zu", cases[i].groups, found, cases[i].limit);
    }
    write_in("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"); /* what is said of no limit */
    write_in("proc/self/cgroup", "4:memory:/\n");
    assert_true(sbv_cgroup_memory(folder) == 9223372036854771712u);
}

static void test_the_smaller_decides(void **unused)
{
    const char *whose;
    const size_t groups = sbv_cgroup_memory(""), all = sbv_machine_memory(&whose);
    (void)unused;
    assert_true(all <= groups && all > 1 << 20);
    assert_string_equal(whose, all == groups ? "the limit of this control group or container is" : "this machine has");
}

/* ---- Plans ---- */

/* A line of /proc/self/status, in bytes. */
static double status(const char *name)
{
    char line[256];
    double found = -1;
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file))
        if (!strncmp(line, name, strlen(name)))
            found = strtod(line + strlen(name) + 1, NULL) * 1024;
    fclose(file);
    assert_true(found > 0);
    return found;
}

static void forget_peak(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    assert_non_null(file);
    assert_true(fputs("5", file) >= 0 && fclose(file) == 0);
}

static double said; /* MiB, in the last message of a plan or a refusal */

static void listen(void *opaque, enum sbv_log_level level, const char *message)
{
    const char *size = level == SBV_LOG_ERROR ? strstr(message, " need ") : strchr(message, ':');
    (void)opaque;
    if (size && strstr(message, " MiB"))
        said = strtod(size + (level == SBV_LOG_ERROR ? 6 : 1), NULL);
}

static sbv_config new_config(void)
{
    sbv_config config;
    sbv_config_default(&config);
    config.model_path = model_path;
    config.backend = SBV_BACKEND_CPU;
    config.threads = 2;
    config.log = listen;
    return config;
}

static int describe(sbv_session *s, int w, int h)
{
    sbv_stream stream = {.width = w, .height = h, .components = 1};
    stream.component[0] = (sbv_component){.step = 1, .depth = 8};
    return sbv_describe(s, &stream);
}

static void restore(sbv_session *s, int first, int count)
{
    const int w = s->engine.stream.width, h = s->engine.stream.height;
    unsigned char *in = malloc((size_t)(w * h)), *out = malloc((size_t)(w * h * SCALE * SCALE));
    assert_true(in && out);
    for (int n = first; n < first + count; n++) {
        sbv_frame frame = {.data = {in}, .linesize = {w}, .width = w, .height = h, .tag = n};
        sbv_frame made = {.data = {out}, .linesize = {w * SCALE}, .width = w * SCALE, .height = h * SCALE};
        int ret;
        for (int i = 0; i < w * h; i++)
            in[i] = (unsigned char)(i % w * 3 + i / w * 5 + n * 7);
        assert_int_equal(sbv_send(s, &frame), SBV_OK);
        while ((ret = sbv_receive(s, &made)) == SBV_OK)
            ;
        assert_int_equal(ret, SBV_AGAIN);
    }
    free(in);
    free(out);
}

static void check_plan(sbv_config config)
{
    enum { W = 240, H = 200 };
    sbv_session *s;
    assert_int_equal(sbv_open(&s, &config), SBV_OK);
    const double pictures = W * H * (1 + SCALE * SCALE); /* of this test */
    forget_peak();
    const double before = status("VmRSS");
    assert_int_equal(describe(s, W, H), SBV_OK);
    restore(s, 0, 5);
    const double found = (status("VmHWM") - before - pictures) / MIB;
    printf("# tile %d, cycle %d, refine %d, kernel_interval %d: %g MiB planned, %.1f MiB measured\n", config.tile,
           config.cycle, config.refine, config.kernel_interval, said, found);
    if (found < 0.9 * said - 1 || found > 1.1 * said + 1)
        fail_msg("tile %d, cycle %d, refine %d, kernel_interval %d: %g MiB planned, %g MiB measured", config.tile,
                 config.cycle, config.refine, config.kernel_interval, said, found);
    sbv_close(&s);
}

static void test_plans_are_measured(void **unused)
{
    (void)unused;
#ifdef M_MMAP_THRESHOLD
    /* Otherwise it grows with what is freed, and what is freed then stays with the process. */
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
#endif
    if (sbv_amx_missing())
        printf("# skip plans in bf16: no AMX, %s\n", sbv_amx_missing());
    if (!MEASURED) {
        printf("# skip plans: memory is not measured under a sanitizer\n");
        return;
    }
    /* the second time in fp32, where the processor would choose another */
    for (int precision = SBV_PRECISION_AUTO; precision <= (sbv_amx_missing() ? SBV_PRECISION_AUTO : SBV_PRECISION_FP32);
         precision++)
        for (int option = 0; option < 6; option++) {
            sbv_config config = new_config();
            config.precision = (enum sbv_precision)precision;
            config.tile = option == 1 ? 64 : 0;
            config.cycle = option == 2;
            config.refine = option == 3;
            config.kernel_interval = option == 4;
            config.scene = option == 5 ? 0.3f : 0;
            check_plan(config);
        }
}

/* What is named is enough, and not much less is. */
static void test_the_least_that_works(void **unused)
{
    static const struct {
        int tile, estimates;
    } cases[] = {{0, 0}, {0, 1}, {100, 0}};
    (void)unused;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sbv_config config = new_config();
        sbv_session *s;
        config.tile = cases[i].tile;
        config.kernel_interval = cases[i].estimates;
        config.max_memory = 1 << 20;
        for (int try = 0; try < 3; try++) {
            assert_int_equal(sbv_open(&s, &config), SBV_OK);
            assert_int_equal(describe(s, 200, 150), try == 1 ? SBV_OK : SBV_ERROR_MEMORY);
            assert_true(strstr(sbv_last_error(s), " MiB with tiles of 32)") || cases[i].tile == 0 || try == 1);
            config.max_memory = ((int64_t)said - try) << 20;
            sbv_close(&s);
        }
    }
}

/* After the first frames nothing is added. */
static void test_a_long_stream(void **unused)
{
    sbv_config config = new_config();
    sbv_session *s;
    (void)unused;
    if (!MEASURED) {
        printf("# skip a long stream: memory is not measured under a sanitizer\n");
        return;
    }
    config.kernel_interval = 5;
    config.cycle = 1;
    config.scene = 0.3f;
    assert_int_equal(sbv_open(&s, &config), SBV_OK);
    assert_int_equal(describe(s, 24, 20), SBV_OK);
    restore(s, 0, 200);
    const double before = status("VmRSS");
    restore(s, 200, 1000);
    assert_true(status("VmRSS") - before < 0.25 * MIB);
    sbv_close(&s);
}

static int make_model(void **unused)
{
    static const struct tiny tiny = {12, 5, 1, 1, SCALE, 3, 6, 7, 1};
    (void)unused;
    if (!mkdtemp(folder))
        return -1;
    snprintf(model_path, sizeof(model_path), "%s/model.bin", folder);
    tiny_write(model_path, &tiny);
    return 0;
}

static int remove_folder(void **unused)
{
    char command[128];
    (void)unused;
    snprintf(command, sizeof(command), "rm -r %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_control_groups),     cmocka_unit_test(test_the_smaller_decides),
        cmocka_unit_test(test_plans_are_measured), cmocka_unit_test(test_the_least_that_works),
        cmocka_unit_test(test_a_long_stream),
    };
    return cmocka_run_group_tests(tests, make_model, remove_folder);
}
