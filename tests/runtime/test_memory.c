/*
 * The memory of a session: what control groups leave of the machine's, what is planned beside what is measured, the
 * least that works, and that a long stream needs no more than a short one.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _GNU_SOURCE
#include <glob.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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

#ifdef __GLIBC_PREREQ
#if __GLIBC_PREREQ(2, 33)
#define HAVE_MALLINFO2 1
#endif
#endif

static char folder[] = "/tmp/sbv_test_memory_XXXXXX";
static char model_path[64], modulated_path[64];

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

static void test_the_smaller_decides(void **unused)
{
    const char *whose;
    const size_t groups = sbv_cgroup_memory(""), all = sbv_machine_memory(&whose);
    (void)unused;
    assert_true(all <= groups && all > 1 << 20);
    assert_string_equal(whose, all == groups ? "the limit of this control group or container is" : "this machine has");
}

/* What `ulimit -v` leaves is less than what it says by what is used already. */
static void test_address_space(void **unused)
{
    const rlim_t room = 64 << 20;
    const char *whose;
    struct rlimit before, limit;
    (void)unused;
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    limit = (struct rlimit){(rlim_t)status("VmSize:") + room, before.rlim_max};
    if (limit.rlim_cur > before.rlim_cur)
        skip();
    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
    const size_t left = sbv_machine_memory(&whose);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_in_range(left, room / 2, room);
    assert_string_equal(whose, "the limit of address space (ulimit -v) leaves");
}

/* ---- Plans ---- */

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

/* Gray, in one plane with alpha where there is some. */
static int describe(sbv_session *s, int w, int h, int alpha)
{
    sbv_stream stream = {.width = w, .height = h, .components = 1};
    stream.component[0] = (sbv_component){.step = 1 + alpha, .depth = 8};
    stream.alpha = alpha ? SBV_ALPHA_STRAIGHT : SBV_ALPHA_NONE;
    stream.component[3] = (sbv_component){.step = 2, .offset = 1, .depth = 8};
    return sbv_describe(s, &stream);
}

static void restore(sbv_session *s, int first, int count)
{
    const int w = s->engine.stream.width, h = s->engine.stream.height, step = s->engine.stream.component[0].step;
    const int row = w * step;
    unsigned char *in = malloc((size_t)(row * h)), *out = malloc((size_t)(row * h * SCALE * SCALE));
    assert_true(in && out);
    for (int n = first; n < first + count; n++) {
        sbv_frame frame = {.data = {in}, .linesize = {row}, .width = w, .height = h, .tag = n};
        sbv_frame made = {.data = {out}, .linesize = {row * SCALE}, .width = w * SCALE, .height = h * SCALE};
        int ret;
        for (int i = 0; i < row * h; i++)
            in[i] = (unsigned char)(i % row * 3 + i / row * 5 + n * 7);
        assert_int_equal(sbv_send(s, &frame), SBV_OK);
        while ((ret = sbv_receive(s, &made)) == SBV_OK)
            ;
        assert_int_equal(ret, SBV_AGAIN);
    }
    free(in);
    free(out);
}

/* How a plan is tried: with alpha, or in bf16 on any processor. That can be laid out there, and not computed. */
enum trial { PLAIN, ALPHA, STAND_IN };

static void check_plan(sbv_config config, enum trial trial)
{
    enum { W = 240, H = 200 };
    char text[128];
    sbv_session *s;
    assert_int_equal(sbv_open(&s, &config), SBV_OK);
    if (trial == STAND_IN)
        s->engine.exec.ops.type = SBV_MAP_BF16;
    forget_peak();
    const double before = status("VmRSS");
    double pictures = 0; /* of this test */
    assert_int_equal(describe(s, W, H, trial == ALPHA), SBV_OK);
    if (trial != STAND_IN) {
        pictures = W * H * (1 + SCALE * SCALE) * (trial == ALPHA ? 2 : 1);
        restore(s, 0, 5);
    }
    const double found = (status("VmHWM") - before - pictures) / MIB;
    snprintf(text, sizeof(text), "%s%s%s, tile %d, cycle %d, refine %d, kernel_interval %d",
             sbv_precision_name(&s->engine.exec), trial == ALPHA ? " with alpha" : "",
             sbv_model(s)->modulated ? ", modulated" : "", config.tile, config.cycle, config.refine,
             config.kernel_interval);
    printf("# %s: %g MiB planned, %.1f MiB measured\n", text, said, found);
    if (found < 0.9 * said - 1 || found > 1.1 * said + 1)
        fail_msg("%s: %g MiB planned, %g MiB measured", text, said, found);
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
        printf("# skip restoring in bf16: no AMX, %s\n", sbv_amx_missing());
    if (!MEASURED) {
        printf("# skip plans: memory is not measured under a sanitizer\n");
        return;
    }
    /* the second time in fp32, where the processor would choose another */
    for (int precision = SBV_PRECISION_AUTO; precision <= (sbv_amx_missing() ? SBV_PRECISION_AUTO : SBV_PRECISION_FP32);
         precision++)
        for (int option = 0; option < 8; option++) {
            sbv_config config = new_config();
            config.precision = (enum sbv_precision)precision;
            config.tile = option == 1 ? 64 : 0;
            config.cycle = option == 2;
            config.refine = option == 3;
            config.kernel_interval = option == 4;
            config.scene = option == 5 ? 0.3f : 0;
            if (option == 7)
                config.model_path = modulated_path;
            check_plan(config, option == 6 ? ALPHA : PLAIN);
        }
}

/* What is read of the models that are shipped, too: the frames, the kernel network. */
static void test_plans_of_shipped_models(void **unused)
{
    glob_t models;
    (void)unused;
    assert_int_equal(glob("model/*.bin", 0, NULL, &models), 0);
    for (size_t i = 0; MEASURED && i < models.gl_pathc; i++)
        for (int interval = 0; interval < 2; interval++) {
            sbv_config config = new_config();
            config.model_path = models.gl_pathv[i];
            config.kernel_interval = interval;
            printf("# %s\n", config.model_path);
            check_plan(config, PLAIN);
        }
    globfree(&models);
}

static void test_plans_in_bf16(void **unused)
{
    (void)unused;
    if (!MEASURED)
        return; /* said above */
    setenv("SBV_CPU", "c", 1);
    for (int option = 0; option < 4; option++) {
        sbv_config config = new_config();
        config.tile = option == 1 ? 64 : 0;
        config.cycle = option == 2;
        config.refine = option == 3;
        config.kernel =
            option > 1 ? &(float){1} : NULL; /* none is estimated: that would be planned and not allocated */
        config.kernel_side = 1;
        check_plan(config, STAND_IN);
    }
    unsetenv("SBV_CPU");
}

/* Plans with what the machine has leave some of it, unless tiles as small as they can be need it. */
static void test_some_of_the_machine_is_left(void **unused)
{
    sbv_config config = new_config();
    sbv_workspace_request request = {
        .width = 200, .height = 150, .slots = 5, .machine = SIZE_MAX / 2, .whose = "it has"};
    sbv_workspace ws;
    sbv_session *s;
    size_t whole, least = 0;
    int tight = 0;
    (void)unused;
    assert_int_equal(sbv_open(&s, &config), SBV_OK);
    sbv_engine *e = &s->engine;
    assert_int_equal(sbv_workspace_open(&ws, &e->network, &e->exec, &request, &e->report), SBV_OK);
    whole = ws.bytes;
    assert_int_equal(ws.tile, 200);
    sbv_workspace_close(&ws, &e->exec);
    for (size_t percent = 140; percent > 100; percent -= 15) {
        request.machine = whole / 100 * percent;
        assert_int_equal(sbv_workspace_open(&ws, &e->network, &e->exec, &request, &e->report), SBV_OK);
        assert_true((ws.tile == 200) == (percent == 140));
        assert_true(ws.tile <= 64 || ws.bytes <= request.machine / 4 * 3);
        sbv_workspace_close(&ws, &e->exec);
    }
    for (request.machine = whole; !least; request.machine -= 1 << 18)
        if (sbv_workspace_open(&ws, &e->network, &e->exec, &request, &e->report) == SBV_OK) {
            assert_true(ws.tile <= 64 || ws.bytes <= request.machine / 4 * 3);
            tight += ws.tile > 16 && ws.tile <= 64 && ws.bytes > request.machine / 4 * 3;
            sbv_workspace_close(&ws, &e->exec);
        } else {
            least = request.machine;
        }
    assert_non_null(strstr(sbv_last_error(s), "tiles of 16, it has "));
    assert_true(tight); /* rather than tiles of 16 all is used */
    sbv_close(&s);
}

/* What alpha needs is planned again where frames of the same size have it, and given back where they have none. */
static void test_alpha_is_planned(void **unused)
{
    sbv_config config = new_config();
    sbv_session *s;
    double plain, with;
    (void)unused;
    assert_int_equal(sbv_open(&s, &config), SBV_OK);
    assert_int_equal(describe(s, 500, 400, 0), SBV_OK);
    plain = said;
    assert_int_equal(describe(s, 500, 400, 1), SBV_OK);
    with = said;
    assert_true(with - plain > 3.5 && with - plain < 7); /* five maps of floats, a copy, rings: 4.6 MiB */
    assert_int_equal(describe(s, 500, 400, 0), SBV_OK);
    assert_true(said == plain);
    sbv_close(&s);

    config.max_memory = (int64_t)(plain + 1) << 20;
    config.tile = 500;
    assert_int_equal(sbv_open(&s, &config), SBV_OK);
    assert_int_equal(describe(s, 500, 400, 0), SBV_OK);
    assert_int_equal(describe(s, 500, 400, 1), SBV_ERROR_MEMORY);
    sbv_close(&s);
}

/* A kernel that is estimated without an option that has it planned stays within the limit. */
static void test_estimates_stay_within_the_limit(void **unused)
{
    enum { W = 200, H = 150 };
    static unsigned char in[W * H], out[W * SCALE * H * SCALE];
    sbv_frame frame = {.data = {in}, .linesize = {W}, .width = W, .height = H};
    sbv_frame made = {.data = {out}, .linesize = {W * SCALE}, .width = W * SCALE, .height = H * SCALE};
    sbv_config config = new_config();
    (void)unused;
    for (int room = 0; room < 2; room++) {
        sbv_session *s;
        float kernel[7 * 7];
        assert_int_equal(sbv_open(&s, &config), SBV_OK);
        assert_int_equal(describe(s, W, H, 0), SBV_OK);
        for (int n = 0; n < 3; n++)
            assert_int_equal(sbv_send(s, &frame), SBV_OK);
        assert_int_equal(sbv_estimate_kernel(s, kernel), room == 0 ? SBV_OK : SBV_ERROR_MEMORY);
        if (room)
            assert_non_null(strstr(sbv_last_error(s), "estimating a kernel needs "));
        assert_int_equal(sbv_receive(s, &made), SBV_OK); /* it goes on all the same */
        sbv_close(&s);
        config.tile = W;
        config.max_memory = ((int64_t)said + 1) << 20;
    }
}

/* What is named is enough, and not much less is. */
static void test_the_least_that_works(void **unused)
{
    static const struct {
        int tile, estimates, modulated;
    } cases[] = {{0, 0, 0}, {0, 1, 0}, {100, 0, 0}, {0, 0, 1}};
    (void)unused;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sbv_config config = new_config();
        sbv_session *s;
        config.tile = cases[i].tile;
        config.kernel_interval = cases[i].estimates;
        if (cases[i].modulated)
            config.model_path = modulated_path;
        config.max_memory = 1 << 20;
        for (int try = 0; try < 3; try++) {
            assert_int_equal(sbv_open(&s, &config), SBV_OK);
            assert_int_equal(describe(s, 200, 150, 0), try == 1 ? SBV_OK : SBV_ERROR_MEMORY);
            assert_true(strstr(sbv_last_error(s), " MiB with tiles of 16)") || cases[i].tile == 0 || try == 1);
            config.max_memory = ((int64_t)said - try) << 20;
            sbv_close(&s);
        }
    }
}

/* After the first frames nothing is added. What is resident would not tell: the system takes pages away and brings them
 * back; nor what the process has: the heap has room that earlier tests left. */
static void test_a_long_stream(void **unused)
{
#ifdef HAVE_MALLINFO2
    sbv_config config = new_config();
    sbv_session *s;
    (void)unused;
    if (!MEASURED) {
        printf("# skip a long stream: memory is not measured under a sanitizer\n");
        return;
    }
    config.model_path = modulated_path;
    config.kernel_interval = 5;
    config.adapt_interval = 7;
    config.cycle = 1;
    config.scene = 0.3f;
    assert_int_equal(sbv_open(&s, &config), SBV_OK);
    assert_int_equal(describe(s, 24, 20, 0), SBV_OK);
    restore(s, 0, 200);
    const struct mallinfo2 before = mallinfo2();
    restore(s, 200, 1000);
    const struct mallinfo2 after = mallinfo2();
    assert_true(after.uordblks + after.hblkhd < before.uordblks + before.hblkhd + 1000); /* not one byte a frame */
    sbv_close(&s);
#else
    (void)unused;
    printf("# skip a long stream: no mallinfo2\n");
#endif
}

static int make_model(void **unused)
{
    static const struct tiny tiny = {12, 5, 1, 1, SCALE, 3, 6, 7, 1, 0},
                             modulated = {12, 5, 1, 1, SCALE, 3, 6, 7, 1, 9};
    (void)unused;
    if (!mkdtemp(folder))
        return -1;
    snprintf(model_path, sizeof(model_path), "%s/model.bin", folder);
    tiny_write(model_path, &tiny);
    snprintf(modulated_path, sizeof(modulated_path), "%s/modulated.bin", folder);
    tiny_write(modulated_path, &modulated);
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
        cmocka_unit_test(test_control_groups),
        cmocka_unit_test(test_the_smaller_decides),
        cmocka_unit_test(test_address_space),
        cmocka_unit_test(test_plans_are_measured),
        cmocka_unit_test(test_plans_of_shipped_models),
        cmocka_unit_test(test_plans_in_bf16),
        cmocka_unit_test(test_some_of_the_machine_is_left),
        cmocka_unit_test(test_alpha_is_planned),
        cmocka_unit_test(test_estimates_stay_within_the_limit),
        cmocka_unit_test(test_the_least_that_works),
        cmocka_unit_test(test_a_long_stream),
    };
    return cmocka_run_group_tests(tests, make_model, remove_folder);
}
