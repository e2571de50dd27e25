/*
 * The reader of model files: every check of it is tripped once and must give its message, a file is cut at every byte,
 * and all values of the short types are read exactly.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _GNU_SOURCE
#include <math.h>
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

#include "model/runtime/model_file.h"
#include "model_image.h"

static image file;

/* ---- The header ---- */

#define TENSOR(name, dtype, shape, begin, end)                                                                         \
    "\"" name "\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"
#define SHAPE(shape)        "{" TENSOR("a", "\"F32\"", shape, "0", "8") "}"
#define OFFSETS(begin, end) "{" TENSOR("a", "\"F32\"", "[2]", begin, end) "}"
#define GOOD                TENSOR("a", "\"F32\"", "[2]", "0", "8")

static const struct {
    const char *header;
    size_t data; /* bytes behind it */
    const char *words;
} malformed[] = {
    {"", 0, "not a safetensors file: header: "},
    {"{", 0, "not a safetensors file: header: "},
    {"{}x", 0, "not a safetensors file: header: "},
    {"{\"a\":}", 0, "not a safetensors file: header: "},
    {"{\"a\":NaN}", 0, "not a safetensors file: header: "},
    {"{\"a\xff\":1}", 0, "not a safetensors file: header: "},
    {"{\"a\\u0000\":1}", 0, "not a safetensors file: header: "},
    {"{\"a\":99999999999999999999}", 0, "not a safetensors file: header: "},
    {"{\"a\":1e999}", 0, "not a safetensors file: header: "},
    {"{\"a\":1,\"a\":2}", 0, "duplicate object key"},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", 0, "duplicate object key"},
    {"[]", 0, "not a JSON object"},
    {"{\"__metadata__\":1}", 0, "__metadata__ is not an object"},
    {"{\"__metadata__\":{\"name\":1}}", 0, "metadata 'name' is not a string"},
    {"{\"a\":1}", 0, "tensor 'a' is not described by an object"},
    {"{\"a\":{}}", 0, "tensor 'a': dtype '(none)', known are F32, F16, BF16"},
    {"{" TENSOR("a", "\"F64\"", "[2]", "0", "8") "}", 8, "tensor 'a': dtype 'F64', known are F32, F16, BF16"},
    {"{" TENSOR("a", "\"f32\"", "[2]", "0", "8") "}", 8, "tensor 'a': dtype 'f32'"},
    {"{" TENSOR("a", "3", "[2]", "0", "8") "}", 8, "tensor 'a': dtype '(none)'"},
    {SHAPE("2"), 8, "shape is not a list of 1 to 4 sizes"},
    {SHAPE("[]"), 8, "shape is not a list of 1 to 4 sizes"},
    {SHAPE("[1,1,1,1,2]"), 8, "shape is not a list of 1 to 4 sizes"},
    {SHAPE("[0]"), 8, "size 0 is not a positive integer"},
    {SHAPE("[2,-1]"), 8, "size 1 is not a positive integer"},
    {SHAPE("[2.0]"), 8, "size 0 is not a positive integer"},
    {SHAPE("[\"2\"]"), 8, "size 0 is not a positive integer"},
    {SHAPE("[true]"), 8, "size 0 is not a positive integer"},
    {SHAPE("[4294967296,4294967296]"), 8, "the product of its sizes overflows"},
    {SHAPE("[4611686018427387904]"), 8, "the product of its sizes overflows"},
    {SHAPE("[3037000500,3037000500]"), 8, "the product of its sizes overflows"},
    {SHAPE("[2147483647,1073741824]"), 8, "8 bytes of data, its shape and dtype need 9223372032559808512"},
    {SHAPE("[3]"), 8, "8 bytes of data, its shape and dtype need 12"},
    {"{" TENSOR("a", "\"F16\"", "[2]", "0", "8") "}", 8, "8 bytes of data, its shape and dtype need 4"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "data_offsets is not a range of bytes"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", 8, "data_offsets is not a range of bytes"},
    {OFFSETS("-8", "0"), 8, "data_offsets is not a range of bytes"},
    {OFFSETS("8", "0"), 8, "data_offsets is not a range of bytes"},
    {OFFSETS("0.0", "8"), 8, "data_offsets is not a range of bytes"},
    {OFFSETS("null", "8"), 8, "data_offsets is not a range of bytes"},
    {OFFSETS("9223372036854775799", "9223372036854775807"), 8, "begins at byte 9223372036854775799"},
    {OFFSETS("4", "12"), 12, "tensor 'a' begins at byte 4, the one before it ends at 0"},
    {"{" GOOD "," TENSOR("b", "\"F32\"", "[2]", "4", "12") "}", 12,
     "tensor 'b' begins at byte 4, the one before it ends at 8"},
    {"{" GOOD "," TENSOR("b", "\"F32\"", "[2]", "0", "8") "}", 8, "begins at byte 0, the one before it ends at 8"},
    {"{" GOOD "," TENSOR("b", "\"F32\"", "[1]", "12", "16") "}", 16, "begins at byte 12, the one before it ends at 8"},
    {"{" GOOD "}", 7, "truncated: 8 bytes of tensors, 7 in the file"},
    {"{" GOOD "}", 0, "truncated: 8 bytes of tensors, 0 in the file"},
    {"{" GOOD "}", 9, "1 bytes behind the last tensor"},
    {"{}", 3, "3 bytes behind the last tensor"},
};

static void test_malformed_headers(void **unused)
{
    image_messages m;
    (void)unused;
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        image_write_file(malformed[i].header, NULL, malformed[i].data);
        image_expect(image_open_tensors(&m), &m, SBV_ERROR_MODEL, malformed[i].words);
        image_expect(image_open_model(&m), &m, SBV_ERROR_MODEL, malformed[i].words);
    }
    image_write_file("{" GOOD "}", NULL, 8);
    assert_int_equal(image_open_tensors(&m), SBV_OK);
    image_expect(image_open_model(&m), &m, SBV_ERROR_MODEL, "tensor 'in_conv.0.weight' is missing");
}

static void test_header_length(void **unused)
{
    image_messages m;
    (void)unused;
    image_write_bytes("", 0);
    image_expect(image_open_tensors(&m), &m, SBV_ERROR_MODEL, "0 bytes, the length field alone has 8");
    image_write_bytes("\2\0\0\0\0\0\0", 7);
    image_expect(image_open_tensors(&m), &m, SBV_ERROR_MODEL, "7 bytes, the length field alone has 8");
    image_write_bytes("\3\0\0\0\0\0\0\0{}", 10);
    image_expect(image_open_tensors(&m), &m, SBV_ERROR_MODEL, "truncated: header of 3 bytes, 2 bytes follow");
    image_write_bytes("\1\0\x10\0\0\0\0\0{}", 10);
    image_expect(image_open_tensors(&m), &m, SBV_ERROR_MODEL, "header of 1048577 bytes, the limit is 1048576");
    image_write_bytes("\0\0\x10\0\0\0\0\0{}", 10);
    image_expect(image_open_tensors(&m), &m, SBV_ERROR_MODEL, "truncated: header of 1048576 bytes");
    image_write_bytes("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10);
    image_expect(image_open_tensors(&m), &m, SBV_ERROR_MODEL, "header of 18446744073709551615 bytes, the limit is");
    image_write_bytes("\0\0\0\0\0\0\0\x80{}", 10);
    image_expect(image_open_tensors(&m), &m, SBV_ERROR_MODEL, "header of 9223372036854775808 bytes, the limit is");
}

/* What is given for a model now and then: the message says what it is and what helps. */
static void test_other_files(void **unused)
{
    static const struct {
        const char *text;
        size_t size;
        const char *words;
    } files[] = {
        {"PK\3\4\0\0\10\10\0\0", 10, "a ZIP archive, as PyTorch writes checkpoints: convert it"},
        {"\x80\2\x8a\nl\xfc\x9c"
         "F\xf9 j\xa8P\x19.",
         14, "a pickle, as old checkpoints of PyTorch are: convert it"},
        {"\x80\4\x95\x10\0\0\0\0\0\0\0", 11, "a pickle"},
        {"<!DOCTYPE html>\n<html>", 22, "an HTML page: download the file"},
        {"\n  <HTML lang=en>", 17, "an HTML page"},
        {"\xef\xbb\xbf<!doctype HTML>", 18, "an HTML page"},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", 64, "a Git LFS pointer: fetch"},
        {"\xfd"
         "7zXZ\0\0\4\xe6\xd6",
         10, "compressed by xz: unpack it"},
        {"                                                                      ", 70, "header of 2314885530818453536"},
        {"<!DOCTYPE", 9, "header of "},
    };
    image_messages m;
    (void)unused;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        image_write_bytes(files[i].text, files[i].size);
        image_expect(image_open_tensors(&m), &m, SBV_ERROR_MODEL, "not a safetensors file");
        image_expect(image_open_model(&m), &m, SBV_ERROR_MODEL, files[i].words);
    }
}

/* A header as deep and as wide as its limit allows. */
static void test_extreme_headers(void **unused)
{
    static char header[SBV_WEIGHTS_MAX_HEADER + 9];
    static const char *const openings[2] = {"[", "{\"\":"};
    image_messages m;
    size_t at;
    (void)unused;
    for (int i = 0; i < 2; i++) {
        const size_t step = strlen(openings[i]);
        for (at = 8; at + step <= sizeof(header) - 1; at += step)
            memcpy(header + at, openings[i], step);
        memcpy(header, "\0\0\x10\0\0\0\0\0", 8);
        image_write_bytes(header, 8 + SBV_WEIGHTS_MAX_HEADER);
        image_expect(image_open_tensors(&m), &m, SBV_ERROR_MODEL, "not a safetensors file: header: ");
    }
    for (int count = SBV_WEIGHTS_MAX_TENSORS; count <= SBV_WEIGHTS_MAX_TENSORS + 1; count++) {
        at = 8;
        for (int i = 0; i < count; i++)
            at += (size_t)sprintf(header + at, "%s\"%d\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
                                  i ? "," : "{", i, 4 * i, 4 * i + 4);
        at += (size_t)sprintf(header + at, "}");
        for (int i = 0; i < 8; i++)
            header[i] = (char)((at - 8) >> 8 * i);
        memset(header + at, 0, (size_t)count * 4);
        image_write_bytes(header, at + (size_t)count * 4);
        if (count > SBV_WEIGHTS_MAX_TENSORS)
            image_expect(image_open_tensors(&m), &m, SBV_ERROR_MODEL, "4097 tensors, the limit is 4096");
        else
            assert_int_equal(image_open_tensors(&m), SBV_OK);
    }
}

/* What a file says appears in messages, but cannot break the line or fill the terminal. */
static void test_messages_are_one_line(void **unused)
{
    image_messages m;
    char *header = malloc(200001 + 64);
    (void)unused;
    image_write_file("{\"a\\n\\u001b[31m\":1}", NULL, 0);
    image_expect(image_open_tensors(&m), &m, SBV_ERROR_MODEL, "tensor 'a??[31m' is not described");
    image_write_file("{\"%s%n%d\":1}", NULL, 0);
    image_expect(image_open_tensors(&m), &m, SBV_ERROR_MODEL, "tensor '%s%n%d' is not described");
    sprintf(header, "{\"%0200000d\":1}", 7);
    image_write_file(header, NULL, 0);
    image_expect(image_open_tensors(&m), &m, SBV_ERROR_MODEL, "tensor '000000");
    free(header);
    /* U+009B begins what U+001B and [ do. */
    image_write_file("{\"a\\u009b31m\":1}", NULL, 0);
    image_expect(image_open_tensors(&m), &m, SBV_ERROR_MODEL, "tensor 'a??31m' is not described");
    image_write_file("{\"a\xc3\x9b\":1}", NULL, 0);
    image_expect(image_open_tensors(&m), &m, SBV_ERROR_MODEL, "tensor 'a\xc3\x9b' is not described");
}

/* What programs say of a model is one line too. */
static void test_metadata_is_one_line(void **unused)
{
    sbv_report report = {0};
    sbv_weights weights;
    (void)unused;
    image_write_file(
        "{\"__metadata__\":{\"name\":\"a\\nb\",\"licence\":\"\\u001b[31m\",\"phase\":\"\\u0085\"}," GOOD "}", NULL, 8);
    assert_int_equal(sbv_weights_open(&weights, image_path, &report), SBV_OK);
    assert_string_equal(weights.name, "a?b");
    assert_string_equal(weights.licence, "?[31m");
    assert_string_equal(weights.phase, "??");
    sbv_weights_close(&weights);
}

/* ---- Values ---- */

static void write_tensor(const char *dtype, int count, int bytes, const void *data)
{
    char header[128];
    snprintf(header, sizeof(header), "{\"a\":{\"dtype\":\"%s\",\"shape\":[%d],\"data_offsets\":[0,%d]}}", dtype, count,
             count * bytes);
    image_write_file(header, data, (size_t)(count * bytes));
}

/* What the 16 bits mean, by the definition of IEEE 754 binary16 and of bfloat16. */
static double meaning(unsigned bits, int brain)
{
    const int places = brain ? 7 : 10, bias = brain ? 127 : 15;
    const int exponent = (int)(bits >> places) & (2 * bias + 1);
    double value = bits & ((1u << places) - 1);
    if (exponent == 2 * bias + 1)
        return NAN;
    value = ldexp(value + (exponent ? 1 << places : 0), (exponent ? exponent : 1) - bias - places);
    return bits >> 15 ? -value : value;
}

/* All finite values of the short types, each read exactly; each of the others alone is refused. */
static void test_short_types(void **unused)
{
    static unsigned char data[2 << 16];
    static float values[1 << 16];
    static const char *const names[2] = {"F16", "BF16"};
    sbv_report report = {0};
    image_messages m;
    (void)unused;
    for (int brain = 0; brain < 2; brain++) {
        sbv_weights weights;
        int count = 0, at = 0;
        for (unsigned bits = 0; bits < 1 << 16; bits++)
            if (!isnan(meaning(bits, brain))) {
                data[2 * count] = (unsigned char)bits;
                data[2 * count++ + 1] = (unsigned char)(bits >> 8);
            }
        write_tensor(names[brain], count, 2, data);
        assert_int_equal(sbv_weights_open(&weights, image_path, &report), SBV_OK);
        assert_int_equal(sbv_weights_read(&weights, &weights.tensor[0], values), SBV_OK);
        sbv_weights_close(&weights);
        for (unsigned bits = 0; bits < 1 << 16; bits++)
            if (!isnan(meaning(bits, brain))) {
                assert_true(values[at] == meaning(bits, brain) && !signbit(values[at]) == !(bits >> 15));
                at++;
            } else if (bits % 61 == 0) {
                unsigned char bad[4] = {0, 0, (unsigned char)bits, (unsigned char)(bits >> 8)};
                write_tensor(names[brain], 2, 2, bad);
                image_expect(image_open_tensors(&m), &m, SBV_ERROR_MODEL, "tensor 'a': value 1 is not a finite number");
            }
    }
}

/* ---- Files ---- */

static void test_truncated(void **unused)
{
    image_messages m;
    (void)unused;
    image_make(&file, "{\"__metadata__\":{\"name\":\"n\"}," GOOD "," TENSOR("b", "\"F16\"", "[1,3]", "8", "14") "}",
               NULL, 14);
    image_write(&file);
    assert_int_equal(image_open_tensors(&m), SBV_OK);
    for (size_t size = file.size; size-- > 0;) {
        assert_int_equal(truncate(image_path, (off_t)size), 0);
        image_expect(image_open_tensors(&m), &m, SBV_ERROR_MODEL, size < 8 ? "not a safetensors file" : "truncated: ");
    }
}

static void test_files_that_cannot_be_read(void **unused)
{
    image_messages m;
    (void)unused;
    unlink(image_path);
    image_expect(image_open_model(&m), &m, SBV_ERROR_FILE, "cannot open model file");
    image_expect(image_open_model(&m), &m, SBV_ERROR_FILE, "No such file");
    assert_int_equal(mkdir(image_path, 0700), 0);
    image_expect(image_open_model(&m), &m, SBV_ERROR_FILE, "not a regular file");
    assert_int_equal(rmdir(image_path), 0);
    assert_int_equal(mkfifo(image_path, 0600), 0);
    image_expect(image_open_model(&m), &m, SBV_ERROR_FILE, "not a regular file");
    unlink(image_path);
    assert_int_equal(symlink("/dev/zero", image_path), 0);
    image_expect(image_open_model(&m), &m, SBV_ERROR_FILE, "not a regular file");
    unlink(image_path);
    image_write_bytes("", 0);
    assert_int_equal(chmod(image_path, 0), 0);
    const int root = geteuid() == 0; /* who may read everything */
    assert_int_equal(root ? seteuid(65534) : 0, 0);
    image_expect(image_open_model(&m), &m, SBV_ERROR_FILE, "Permission denied");
    assert_int_equal(root ? seteuid(0) : 0, 0);
}

/* A file that another process cuts between the header and the data, or while the data are read. */
static void test_a_file_that_shrinks(void **unused)
{
    static float values[40000];
    sbv_weights weights;
    sbv_report report = {0};
    (void)unused;
    image_write_file("{\"a\":{\"dtype\":\"F32\",\"shape\":[40000],\"data_offsets\":[0,160000]}}", NULL, 160000);
    for (off_t size = 159999; size > 71; size /= 3) {
        assert_int_equal(sbv_weights_open(&weights, image_path, &report), SBV_OK);
        assert_int_equal(truncate(image_path, size), 0);
        assert_int_equal(sbv_weights_read(&weights, &weights.tensor[0], values), SBV_ERROR_MODEL);
        assert_non_null(strstr(report.last_error, "truncated"));
        sbv_weights_close(&weights);
        assert_int_equal(truncate(image_path, 160000 + 71), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed_headers),
        cmocka_unit_test(test_header_length),
        cmocka_unit_test(test_other_files),
        cmocka_unit_test(test_extreme_headers),
        cmocka_unit_test(test_messages_are_one_line),
        cmocka_unit_test(test_metadata_is_one_line),
        cmocka_unit_test(test_short_types),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_files_that_cannot_be_read),
        cmocka_unit_test(test_a_file_that_shrinks),
        cmocka_unit_test(image_test_no_file_is_left_open),
    };
    return cmocka_run_group_tests(tests, image_make_folder, image_remove_folder);
}
