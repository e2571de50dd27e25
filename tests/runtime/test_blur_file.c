/*
 * Files of blur kernels: what is read from .npy files and from text, what is refused and why, what is written; a file
 * is cut and changed at every byte.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _GNU_SOURCE
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/include/selfblindvsr.h"
#include "temporary.h"

#define SIDE SBV_BLUR_SIDE_MAX

static const char *path;
static float blur[SIDE * SIDE];
static int side, messages;
static char message[1024];

static void keep_message(void *opaque, enum sbv_log_level level, const char *text)
{
    (void)opaque;
    (void)level;
    messages++;
    snprintf(message, sizeof(message), "%s", text);
}

static void put(const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* Reads the file. One message where it is refused, none where it is not. */
static int get(void)
{
    messages = 0;
    message[0] = 0;
    const int ret = sbv_read_kernel(path, blur, &side, keep_message, NULL);
    assert_int_equal(messages, ret < 0);
    assert_true(ret == SBV_OK || (ret == SBV_ERROR_FILE && strstr(message, path)));
    return ret;
}

/* A .npy file of version 1.0 with this dictionary -> its size. */
static size_t npy(unsigned char *file, const char *dictionary, const void *data, size_t size)
{
    const size_t length = strlen(dictionary);
    memcpy(file, "\x93NUMPY\1\0", 8);
    file[8] = (unsigned char)length;
    file[9] = (unsigned char)(length >> 8);
    memcpy(file + 10, dictionary, length);
    memcpy(file + 10 + length, data, size);
    return 10 + length + size;
}

#define DICTIONARY(type, order, shape) "{'descr': '" type "', 'fortran_order': " order ", 'shape': " shape ", }\n"

static int get_npy(const char *dictionary, const void *data, size_t size)
{
    unsigned char file[4096];
    put(file, npy(file, dictionary, data, size));
    return get();
}

static void test_npy(void **state)
{
    static const float rows[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const double wide[1] = {-1e-3};
    (void)state;
    assert_int_equal(get_npy(DICTIONARY("<f4", "False", "(2, 2)"), rows, 16), SBV_OK);
    assert_int_equal(side, 2);
    assert_memory_equal(blur, rows, 16);
    /* The first of two. */
    assert_int_equal(get_npy(DICTIONARY("<f4", "False", "(2, 2, 2)"), rows, 32), SBV_OK);
    assert_memory_equal(blur, rows, 16);
    /* The same in Fortran order: column by column, the kernels taking turns. */
    static const float turns[4] = {1, 5, 3, 7}, columns[4] = {1, 3, 2, 4};
    assert_int_equal(get_npy(DICTIONARY("<f4", "True", "(2, 2, 2)"), rows, 32), SBV_OK);
    assert_memory_equal(blur, turns, 16);
    assert_int_equal(get_npy(DICTIONARY("<f4", "True", "(2, 2)"), rows, 16), SBV_OK);
    assert_memory_equal(blur, columns, 16);
    assert_int_equal(get_npy(DICTIONARY("<f8", "False", "(1, 1)"), wide, 8), SBV_OK);
    assert_true(side == 1 && blur[0] == -1e-3f);
}

static void test_text(void **state)
{
    static const char text[] = "# a kernel\n\n0.25, 0.5\t1e-1 # three\r\n;-1 0x1p-3 ,2\n 3 4 5";
    static const float values[9] = {0.25f, 0.5f, 1e-1f, -1, 0.125f, 2, 3, 4, 5};
    (void)state;
    put(text, sizeof(text) - 1);
    assert_int_equal(get(), SBV_OK);
    assert_int_equal(side, 3);
    assert_memory_equal(blur, values, sizeof(values));
}

/* The largest kernel, and one row or column more. */
static void test_sides(void **state)
{
    static char text[2 * (SIDE + 1) * (SIDE + 1) + 1];
    (void)state;
    for (int wide = 0; wide < 2; wide++)
        for (int tall = 0; tall < 2; tall++) {
            char *at = text;
            for (int y = 0; y < SIDE + tall; y++)
                for (int x = 0; x < SIDE + wide; x++)
                    at += sprintf(at, "7%c", x == SIDE + wide - 1 ? '\n' : ' ');
            put(text, (size_t)(at - text));
            assert_int_equal(get(), wide || tall ? SBV_ERROR_FILE : SBV_OK);
            if (wide || tall)
                assert_non_null(strstr(message, wide ? "more than 63 columns" : "more than 63 rows"));
            else
                assert_true(side == SIDE && blur[SIDE * SIDE - 1] == 7);
        }
}

static const struct {
    const char *content, *words;
} refused[] = {
    {"", "nothing in it"},
    {"# nothing\n \n", "nothing in it"},
    {"\x89PNG\r\n\x1a\n", "line 1: neither .npy nor rows of numbers"},
    {"1 # \xe2\x82\xac\n\x80\n", "line 2: neither .npy nor rows of numbers"},
    {"1 2\n3 four\n", "line 2: 'four' is not a number"},
    {"1 2x\n", "line 1: '2x' is not a number"},
    {"1 2\n3\n", "line 2: 1 columns, the rows before it have 2"},
    {"1 2 3\n4 5 6\n", "2 rows of 3 values: a kernel is square"},
    {"1 2\n3 4 5\n", "line 2: more than 2 columns"},
    {"\x93NUMPY", "truncated"},
    {"\x93NUMPY\x04\x01\x01\x01\x01\x01\x01\x01", ".npy version 4"},
    {"\x93NUMPY\x02\x01\x01\x01\x01\x01\x01\x01", "header of 16843009 bytes"},
    {"\x93NUMPY\x01\x01\x10\x01\x01\x01\x01\x01", "truncated"},
};

static const struct {
    const char *dictionary, *words;
} malformed[] = {
    {"{}", "values of type"},
    {DICTIONARY("<i4", "False", "(2, 2)"), "'<i4': expected '<f4' or '<f8'"},
    {DICTIONARY(">f4", "False", "(2, 2)"), "'>f4'"},
    {DICTIONARY("<f4", "false", "(2, 2)"), "fortran_order false: expected True or False"},
    {"{'descr': '<f4', 'shape': (2, 2), }\n", "fortran_order : expected True or False"},
    {DICTIONARY("<f4", "False", "(4,)"), "shape (4,): expected"},
    {DICTIONARY("<f4", "False", "()"), "shape (): expected"},
    {DICTIONARY("<f4", "False", "(1, 1, 2, 2)"), "shape (1, 1, 2, 2): expected"},
    {DICTIONARY("<f4", "False", "(2, -2)"), "shape (2, -2): expected"},
    {DICTIONARY("<f4", "False", "[2, 2]"), "shape [2, 2]"},
    {DICTIONARY("<f4", "False", "(0, 2, 2)"), "0 kernels of 2x2"},
    {DICTIONARY("<f4", "False", "(0, 2)"), "1 kernels of 0x2"},
    {DICTIONARY("<f4", "False", "(2, 64)"), "1 kernels of 2x64"},
    {DICTIONARY("<f4", "False", "(99999999999999999999, 2, 2)"), "sides of 1 to 63"},
    {DICTIONARY("<f4", "False", "(2, 1)"), "2 rows of 1 values: a kernel is square"},
    {DICTIONARY("<f4", "False", "(3, 3)"), "truncated"},
    {DICTIONARY("<f8", "True", "(2, 2)"), "truncated"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
        put(refused[i].content, strlen(refused[i].content));
        assert_int_equal(get(), SBV_ERROR_FILE);
        if (!strstr(message, refused[i].words))
            fail_msg("'%s' was expected in: %s", refused[i].words, message);
    }
    for (size_t i = 0; i < sizeof(malformed) / sizeof(*malformed); i++) {
        assert_int_equal(get_npy(malformed[i].dictionary, blur, 16), SBV_ERROR_FILE);
        if (!strstr(message, malformed[i].words))
            fail_msg("'%s' was expected in: %s", malformed[i].words, message);
    }
    assert_int_equal(sbv_read_kernel("/tmp", blur, &side, keep_message, NULL), SBV_ERROR_FILE);
    assert_non_null(strstr(message, "'/tmp': not a regular file"));
    assert_int_equal(sbv_read_kernel("/tmp/no/such", blur, &side, NULL, NULL), SBV_ERROR_FILE);
}

/* What is no text, even where it looks like some up to there. */
static void test_not_a_text(void **state)
{
    static const char hidden[] = "1 2\n3 4\0 5";
    static char lines[4097];
    (void)state;
    put(hidden, sizeof(hidden) - 1);
    assert_int_equal(get(), SBV_ERROR_FILE);
    assert_non_null(strstr(message, "line 2: neither .npy nor rows of numbers"));
    memset(lines, ' ', sizeof(lines));
    lines[0] = '1';
    put(lines, 4094);
    assert_int_equal(get(), SBV_OK);
    put(lines, 4095);
    assert_int_equal(get(), SBV_ERROR_FILE);
    assert_non_null(strstr(message, "line 1: longer than 4094 bytes"));
    memset(lines + 1, '\n', sizeof(lines) - 1);
    put(lines, 4096);
    assert_int_equal(get(), SBV_OK);
    put(lines, 4097);
    assert_int_equal(get(), SBV_OK);
    lines[0] = '\n';
    put(lines, 4097);
    assert_int_equal(get(), SBV_ERROR_FILE);
    assert_non_null(strstr(message, "more than 4096 lines"));
}

/* A file that opens and cannot be read. */
static void test_read_error(void **state)
{
    (void)state;
#if defined(_WIN32)
    print_message("Windows has no such file\n");
    skip();
#endif
    messages = 0;
    assert_int_equal(sbv_read_kernel("/proc/self/mem", blur, &side, keep_message, NULL), SBV_ERROR_FILE);
    assert_int_equal(messages, 1);
    assert_non_null(strstr(message, "'/proc/self/mem': Input/output error"));
}

/* Cut anywhere it is refused; with any byte changed it is refused or read, and nothing else happens. */
static void test_damaged(void **state)
{
    static const float values[4] = {1, 2, 3, 4};
    unsigned char file[256];
    const size_t size = npy(file, DICTIONARY("<f4", "False", "(1, 2, 2)"), values, sizeof(values));
    (void)state;
    for (size_t cut = 0; cut < size; cut++) {
        put(file, cut);
        assert_int_equal(get(), SBV_ERROR_FILE);
    }
    for (size_t i = 0; i < size - sizeof(values); i++)
        for (int bit = 0; bit < 8; bit++) {
            file[i] ^= (unsigned char)(1 << bit);
            put(file, size);
            get();
            file[i] ^= (unsigned char)(1 << bit);
        }
    put(file, size);
    assert_int_equal(get(), SBV_OK);
}

/* What is written can be read after every kernel, and is counted. */
static void test_written(void **state)
{
    sbv_kernel_writer *writer;
    float written[9];
    char header[129] = "", shape[64];
    (void)state;
    put("something longer than a header, that must not shine through", 40);
    assert_int_equal(sbv_kernel_writer_open(&writer, path, 3, keep_message, NULL), SBV_OK);
    for (int count = 0; count < 12; count++) {
        FILE *file = fopen(path, "rb");
        assert_int_equal(fread(header, 1, 128, file), 128);
        assert_int_equal(fseek(file, 0, SEEK_END), 0);
        assert_int_equal(ftell(file), 128 + 36 * count);
        fclose(file);
        snprintf(shape, sizeof(shape), "'shape': (%10d, 3, 3)", count);
        assert_non_null(strstr(header + 10, shape));
        assert_int_equal(header[127], '\n');
        assert_int_equal(get(), count ? SBV_OK : SBV_ERROR_FILE);
        for (int i = 0; i < 9; i++) {
            assert_true(!count || blur[i] == (float)i / 7);
            written[i] = (float)i / 7 + (float)count;
        }
        assert_int_equal(sbv_kernel_writer_add(writer, written), SBV_OK);
    }
    assert_int_equal(sbv_kernel_writer_close(&writer), SBV_OK);
    assert_null(writer);
    assert_int_equal(sbv_kernel_writer_close(&writer), SBV_OK);
}

static void test_not_written(void **state)
{
    sbv_kernel_writer *writer;
    (void)state;
    assert_int_equal(sbv_kernel_writer_open(&writer, "/dev/full", 3, keep_message, NULL), SBV_ERROR_FILE);
    assert_null(writer);
    assert_non_null(strstr(message, "'/dev/full': cannot be written after 0 kernels: No space left"));
    assert_int_equal(sbv_kernel_writer_open(&writer, "/tmp/no/such", 3, keep_message, NULL), SBV_ERROR_FILE);
    assert_non_null(strstr(message, "cannot be created: No such file"));
    for (int side = 0; side <= SIDE + 1; side += SIDE + 1)
        assert_int_equal(sbv_kernel_writer_open(&writer, path, side, keep_message, NULL), SBV_ERROR_ARGUMENT);
}

static float third_of_written(int number)
{
    return (float)number / 3;
}

/* A second writer goes on where the first ended, and refuses what the first did not write. */
static void test_appended(void **state)
{
    sbv_kernel_writer *writer;
    char saved[128 + 4 * 4 * 3];
    (void)state;
    assert_int_equal(sbv_kernel_writer_open(&writer, path, 2, keep_message, NULL), SBV_OK);
    for (int number = 0; number < 3; number++) {
        const float value = third_of_written(number), written[4] = {value, value, value, value};
        assert_int_equal(sbv_kernel_writer_add(writer, written), SBV_OK);
        assert_int_equal(sbv_kernel_writer_close(&writer), SBV_OK);
        messages = 0;
        assert_int_equal(sbv_kernel_writer_append(&writer, path, 2, keep_message, NULL), SBV_OK);
        assert_int_equal(messages, 1);
        assert_non_null(strstr(message, "goes on after"));
    }
    assert_int_equal(sbv_kernel_writer_close(&writer), SBV_OK);
    FILE *file = fopen(path, "rb");
    assert_int_equal(fread(saved, 1, sizeof(saved), file), sizeof(saved));
    assert_int_equal(getc(file), EOF);
    fclose(file);
    assert_non_null(strstr(saved + 10, "(         3, 2, 2)"));
    for (int i = 0; i < 12; i++) {
        float value;
        memcpy(&value, saved + 128 + 4 * i, 4);
        assert_true(value == third_of_written(i / 4));
    }
    assert_int_equal(sbv_kernel_writer_append(&writer, path, 3, keep_message, NULL), SBV_ERROR_FILE);
    assert_null(writer);
    assert_non_null(strstr(message, "cannot go on"));
    put(saved, sizeof(saved) - 1); /* the last value is cut */
    assert_int_equal(sbv_kernel_writer_append(&writer, path, 2, keep_message, NULL), SBV_ERROR_FILE);
    put("# rows\n1\n", 9);
    assert_int_equal(sbv_kernel_writer_append(&writer, path, 2, keep_message, NULL), SBV_ERROR_FILE);
    assert_int_equal(sbv_kernel_writer_append(&writer, "/tmp/no/such", 2, keep_message, NULL), SBV_ERROR_FILE);
}

/* Sets a locale with a decimal comma. Windows has one; elsewhere it is made. */
static int set_german(void)
{
#if defined(_WIN32)
    setlocale(LC_ALL, "German");
#else
    char folder[] = "/tmp/sbv-locale-XXXXXX", command[128];
    assert_non_null(mkdtemp(folder));
    snprintf(command, sizeof(command), "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 2>/dev/null", folder);
    const int made = system(command);
    setenv("LOCPATH", folder, 1);
    if (!setlocale(LC_ALL, "de_DE.UTF-8"))
        print_message("localedef ended with %d\n", made);
    unsetenv("LOCPATH");
    snprintf(command, sizeof(command), "rm -r %s", folder);
    assert_int_equal(system(command), 0);
#endif
    return *localeconv()->decimal_point == ',';
}

/* Numbers of text have points where the program's locale has commas. */
static void test_locale(void **state)
{
    static const char text[] = "0.0 0.125 0.0\n0.125,0.5,0.125\n0.0 1.25e-1 0.0\n";
    (void)state;
    const int comma = set_german();
    put(text, sizeof(text) - 1);
    const int ret = comma ? get() : SBV_OK;
    const int kept = !comma || *localeconv()->decimal_point == ',';
    setlocale(LC_ALL, "C");
    if (!comma) {
        print_message("no locale with a decimal comma\n");
        skip();
    }
    assert_int_equal(ret, SBV_OK);
    assert_true(kept);
    assert_int_equal(side, 3);
    assert_true(blur[4] == 0.5f && blur[1] == 0.125f && blur[7] == 0.125f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_npy),     cmocka_unit_test(test_text),        cmocka_unit_test(test_sides),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_not_a_text),  cmocka_unit_test(test_read_error),
        cmocka_unit_test(test_damaged), cmocka_unit_test(test_written),     cmocka_unit_test(test_appended),
        cmocka_unit_test(test_locale),  cmocka_unit_test(test_not_written),
    };
    path = temporary_file();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
