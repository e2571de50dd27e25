/*
 * What the runtime asks of the system: files with names of any characters and of more than 4 GiB, where things lie,
 * memory, numbers.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/os.h"

#define NAME   "Модель 影像 é.bin"
#define BEYOND ((uint64_t)5 << 30)

/* Below the folder that the tests are run in, so that its name is the same for every system. */
static char folder[] = "build/sbv_test_os_XXXXXX";

static void make_file(const char *path, const char *text, uint64_t offset)
{
    const int file = sbv_os_create(path);
    assert_true(file >= 0);
    assert_int_equal(sbv_os_write_at(file, text, strlen(text), offset), 0);
    assert_int_equal(sbv_os_close(file), 0);
}

static void expect_text(const char *path, const char *text, uint64_t offset)
{
    char found[16] = "";
    uint64_t size = 0;
    FILE *file;
    assert_int_equal(sbv_os_open(path, &file, &size), 0);
    assert_true(size == offset + strlen(text));
    assert_int_equal(sbv_os_seek(file, offset), 0);
    assert_int_equal(fread(found, 1, strlen(text), file), strlen(text));
    assert_string_equal(found, text);
    fclose(file);
}

static void test_names_of_any_characters(void **unused)
{
    (void)unused;
    char path[sizeof(folder) + sizeof(NAME) + 1];
    snprintf(path, sizeof(path), "%s/%s", folder, NAME);
    assert_false(sbv_os_exists(path));
    make_file(path, "here\r\n\x1a", 0);
    assert_true(sbv_os_exists(path));
    expect_text(path, "here\r\n\x1a", 0);
    make_file(path, "new", 0);
    expect_text(path, "new", 0);
}

static void test_long_paths(void **unused)
{
    (void)unused;
    char path[1000] = "";
    while (strlen(path) < 600)
        strcat(path, "./");
    strcat(path, folder);
    strcat(path, "/long");
    make_file(path, "long", 0);
    expect_text(path, "long", 0);
}

static void test_offsets_beyond_4_gib(void **unused)
{
    (void)unused;
    char path[sizeof(folder) + 16], found[8] = "";
    uint64_t size = 0;
    snprintf(path, sizeof(path), "%s/large", folder);
    make_file(path, "far off", BEYOND);
    expect_text(path, "far off", BEYOND);
    const int file = sbv_os_open_for_update(path);
    assert_true(file >= 0);
    assert_int_equal(sbv_os_file_size(file, &size), 0);
    assert_true(size == BEYOND + 7);
    assert_int_equal(sbv_os_read_at(file, found, 7, BEYOND), 0);
    assert_string_equal(found, "far off");
    assert_int_equal(sbv_os_read_at(file, found, 7, BEYOND + 1), -1);
    assert_int_equal(errno, 0);
    assert_int_equal(sbv_os_close(file), 0);
    assert_int_equal(sbv_os_close(sbv_os_create(path)), 0);
}

static void test_what_is_no_file(void **unused)
{
    (void)unused;
    uint64_t size;
    FILE *file;
    assert_int_equal(sbv_os_open(folder, &file, &size), SBV_OS_IRREGULAR);
    assert_null(file);
    assert_int_equal(sbv_os_open("no/such/file", &file, &size), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(sbv_os_create("no/such/file"), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(sbv_os_open_for_update("no such file"), -1);
    assert_int_equal(errno, ENOENT);
}

static void count_name(void *opaque, const char *name)
{
    *(int *)opaque += !strcmp(name, NAME);
}

static void test_a_folder_is_listed(void **unused)
{
    (void)unused;
    char path[sizeof(folder) + sizeof(NAME) + 1];
    int found = 0;
    snprintf(path, sizeof(path), "%s/%s", folder, NAME);
    make_file(path, "here", 0);
    sbv_os_list(folder, count_name, &found);
    assert_int_equal(found, 1);
    sbv_os_list("no/such/folder", count_name, &found);
    sbv_os_list(path, count_name, &found);
    assert_int_equal(found, 1);
}

static void test_where_things_lie(void **unused)
{
    (void)unused;
    char *own = sbv_os_own_folder(), message[200] = "";
    assert_non_null(own);
    assert_true(sbv_os_exists(own));
    assert_non_null(sbv_os_model_folders[0]);
    assert_null(sbv_os_load("no_such_library", message, sizeof(message)));
    assert_true(strlen(message) > 5);
    assert_null(strchr(message, '\n'));
    free(own);
}

static void test_memory(void **unused)
{
    (void)unused;
    const char *whose = NULL;
    for (size_t align = 8; align <= 4096; align *= 2) {
        void *memory = sbv_os_allocate(align, 3 * align);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % align, 0);
        sbv_os_want_large_pages(memory, 3 * align);
        sbv_os_free(memory);
    }
    sbv_os_free(NULL);
    assert_true(sbv_os_memory() > (size_t)64 << 20);
    assert_true(sbv_os_memory_limit(&whose) > (size_t)64 << 20);
    assert_non_null(whose);
    assert_in_range(sbv_os_processors(), 1, 100000);
}

static void test_numbers(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        float value;
        int length;
    } cases[] = {
        {"0.5", 0.5f, 3}, {"-1.25e-3x", -1.25e-3f, 8}, {"1,5", 1, 1}, {"x", 0, 0}, {"16777217.0000001", 16777218, 16}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *end;
        assert_true(sbv_os_strtof(cases[i].text, &end) == cases[i].value);
        assert_int_equal(end - cases[i].text, cases[i].length);
    }
}

static int set_up(void **unused)
{
    (void)unused;
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **unused)
{
    (void)unused;
    char command[64];
    snprintf(command, sizeof(command), "%s \"%s\"",
#if defined(_WIN32)
             "rmdir /s /q",
#else
             "rm -r",
#endif
             folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_of_any_characters),
        cmocka_unit_test(test_long_paths),
        cmocka_unit_test(test_offsets_beyond_4_gib),
        cmocka_unit_test(test_what_is_no_file),
        cmocka_unit_test(test_a_folder_is_listed),
        cmocka_unit_test(test_where_things_lie),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests_name("os", tests, set_up, tear_down);
}
