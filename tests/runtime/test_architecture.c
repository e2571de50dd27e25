/*
 * Model files whose tensors do not make a network, or are damaged: every tensor missing, of a wrong shape or not a
 * number, and a small valid file mutated a few thousand times. Whatever a file says, opening it ends with a model or
 * with one printable line, without a crash, a leak or a file left open.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/runtime/model_file.h"
#include "model_image.h"

#define MUTATIONS 3000

static image file, scratch;

static int valid_tensors(sbv_weights *weights)
{
    sbv_report report = {0};
    image_make_model(&file);
    assert_int_equal(sbv_weights_open(weights, image_path, &report), SBV_OK);
    return weights->tensors;
}

/* Each tensor in turn is missing under its name. */
static void test_missing_tensors(void **unused)
{
    image_messages m;
    sbv_weights weights;
    const int tensors = valid_tensors(&weights);
    (void)unused;
    assert_int_equal(image_open_model(&m), SBV_OK);
    for (int i = 0; i < tensors; i++) {
        char from[160], to[160];
        scratch = file;
        snprintf(from, sizeof(from), "\"%s\"", weights.tensor[i].name);
        snprintf(to, sizeof(to), "\"X%s\"", weights.tensor[i].name + 1);
        image_replace(&scratch, from, to);
        image_write(&scratch);
        const char *words = weights.tensor[i].name + 1;
        if (strstr(words, "moduleExtractor") && strstr(words, ".0.weight"))
            words = "at least 2 are needed";
        else if (strstr(words, ".body.0.weight")) /* it tells the number of blocks */
            words = "ernel_net.body";
        else if (strstr(words, "recons_net.0.conv1.weight" + 1)) /* likewise, and that tells what modulates them */
            words = "modulation.2.weight";
        image_expect(image_open_model(&m), &m, SBV_ERROR_MODEL, words);
    }
    sbv_weights_close(&weights);
}

/* Each tensor in turn has another number of dimensions, and, where it has more than one, other sizes. */
static void test_wrong_shapes(void **unused)
{
    image_messages m;
    sbv_weights weights;
    const int tensors = valid_tensors(&weights);
    (void)unused;
    for (int i = 0; i < tensors; i++) {
        const sbv_tensor *t = &weights.tensor[i];
        char from[160], shape[64];
        snprintf(from, sizeof(from), "\"%s\"", t->name);
        for (int way = 0; way < 2; way++) {
            scratch = file;
            char *at = memmem(scratch.data + 8, scratch.header, from, strlen(from));
            assert_non_null(at);
            at = strstr(at, "\"shape\":") + strlen("\"shape\":");
            snprintf(shape, sizeof(shape),
                     t->dims == 1 ? "[1,%lld]"
                     : way        ? "[1,1,1,%lld]"
                                  : "[%lld]",
                     (long long)t->count);
            image_splice(&scratch, (size_t)(at - scratch.data), (size_t)(strchr(at, ']') + 1 - at), shape);
            image_write(&scratch);
            image_expect(image_open_model(&m), &m, SBV_ERROR_MODEL,
                         strstr(t->name, "fc_net") ? "kernel_net.fc_net" : t->name);
        }
    }
    sbv_weights_close(&weights);
}

/* Each tensor in turn, the tail's too, ends in a value that is no number. */
static void test_values_that_are_no_numbers(void **unused)
{
    static const unsigned char nan[4] = {0, 0, 0xc0, 0x7f}, infinity[4] = {0, 0, 0x80, 0xff};
    image_messages m;
    sbv_weights weights;
    const int tensors = valid_tensors(&weights);
    char words[256];
    (void)unused;
    for (int i = 0; i < tensors; i++) {
        const sbv_tensor *t = &weights.tensor[i];
        scratch = file;
        memcpy(scratch.data + 8 + scratch.header + t->end - 4, i % 2 ? nan : infinity, 4);
        image_write(&scratch);
        snprintf(words, sizeof(words), "tensor '%s': value %lld is not a finite number", t->name,
                 (long long)t->count - 1);
        image_expect(image_open_model(&m), &m, SBV_ERROR_MODEL, words);
    }
    sbv_weights_close(&weights);
}

static const struct {
    const char *from, *to, *words;
} edits[] = {
    {"[2,3,3,3]", "[3,2,3,3]", "tensor 'in_conv.0.weight' has shape 3x2x3x3, expected Nx3x3x3"},
    {"[2,6,3,3]", "[3,4,3,3]", "makes a window of 2 frames of 2 channels, it must be odd, 3 to 15"},
    {"[2,6,3,3]", "[6,2,3,3]", "makes a window of 1 frames of 2 channels"},
    {"[2,6,3,3]", "[1,12,3,3]", "makes a window of 6 frames of 2 channels"},
    {"[8,2,3,3]", "[16,1,3,3]", "tensor 'upsample_layers.0.weight' has shape 16x1x3x3, expected 8x2x3x3"},
    {"[9,20]", "[10,18]", "makes a kernel of 10 values, it must be the square of an odd number, 1 to 63"},
    {"[9,20]", "[4,45]", "makes a kernel of 4 values"},
};

static void test_architecture(void **unused)
{
    image_messages m;
    char name[80];
    (void)unused;
    for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
        image_make_model(&file);
        image_replace(&file, edits[i].from, edits[i].to);
        image_write(&file);
        image_expect(image_open_model(&m), &m, SBV_ERROR_MODEL, edits[i].words);
    }
    image_make_model(&file);
    image_append(&file, "in_conv.1.weight");
    image_write(&file);
    image_expect(image_open_model(&m), &m, SBV_ERROR_MODEL, "unknown tensor 'in_conv.1.weight'");

    image_make_model(&file);
    for (int i = 2; i < 9; i++) {
        snprintf(name, sizeof(name), "kernel_net.body1.%d.body.0.weight", i);
        image_append(&file, name);
    }
    image_write(&file);
    image_expect(image_open_model(&m), &m, SBV_ERROR_MODEL, "more than 8 blocks in 'kernel_net.body1'");

    image_make_model(&file);
    for (int i = 1; i < 257; i++) {
        snprintf(name, sizeof(name), "recons_net.%d.conv1.weight", i);
        image_append(&file, name);
    }
    image_write(&file);
    image_expect(image_open_model(&m), &m, SBV_ERROR_MODEL, "more than 256 blocks in 'recons_net'");

    image_write_file("{\"in_conv.0.weight\":{\"dtype\":\"F32\",\"shape\":[1025,3,3,3],\"data_offsets\":[0,110700]}}",
                     NULL, 110700);
    image_expect(image_open_model(&m), &m, SBV_ERROR_MODEL, "has shape 1025x3x3x3, the limit is 1024 channels");
}

static void test_truncated(void **unused)
{
    image_messages m;
    (void)unused;
    image_make_model(&file);
    for (size_t size = file.size - 1; size > 97; size -= 97) {
        assert_int_equal(truncate(image_path, (off_t)size), 0);
        image_expect(image_open_model(&m), &m, SBV_ERROR_MODEL, "truncated: ");
    }
}

static uint32_t random_state = 12345;

static size_t random_below(size_t limit)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (size_t)((uint64_t)random_state * limit >> 32);
}

/* One change: a byte that means something in JSON, a bit, a piece taken out or put in twice. */
static void mutate(image *f)
{
    static const char bytes[] = "\0\"{}[],:-0189eEFntu\\ \xff";
    const size_t at = 8 + random_below(random_below(4) ? f->header : f->size - 8);
    const size_t piece = random_below(1 + (f->size - at < 80 ? f->size - at : 80));
    switch (random_below(6)) {
    case 0:
        f->data[at] ^= (char)(1 << random_below(8));
        break;
    case 1:
        memmove(f->data + at, f->data + at + piece, f->size - at - piece);
        f->size -= piece;
        f->header -= piece < f->header ? piece : f->header;
        break;
    case 2:
        memmove(f->data + at + piece, f->data + at, f->size - at);
        f->size += piece;
        f->header += piece;
        break;
    case 3:
        f->header = random_below(2 * f->header);
        break;
    default:
        f->data[at] = bytes[random_below(sizeof(bytes) - 1)];
    }
}

static void test_mutated(void **unused)
{
    image_messages m;
    int accepted = 0, refused = 0;
    (void)unused;
    image_make_model(&file);
    for (int i = 0; i < MUTATIONS; i++) {
        scratch = file;
        for (size_t n = 1 + random_below(3); n--;)
            mutate(&scratch);
        image_write(&scratch);
        int ret = image_open_model(&m);
        assert_true(ret == SBV_OK || ret == SBV_ERROR_MODEL);
        accepted += ret == SBV_OK;
        refused += ret != SBV_OK;
    }
    assert_true(accepted > MUTATIONS / 100 && refused > MUTATIONS / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing_tensors),
        cmocka_unit_test(test_wrong_shapes),
        cmocka_unit_test(test_values_that_are_no_numbers),
        cmocka_unit_test(test_architecture),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_mutated),
        cmocka_unit_test(image_test_no_file_is_left_open),
    };
    return cmocka_run_group_tests(tests, image_make_folder, image_remove_folder);
}
