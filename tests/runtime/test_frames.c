/*
 * Frames in the caller's memory: what does not fit the description is refused before a byte is touched, on the way in
 * and out, and can be put right; rows from the bottom up; not a byte beside the picture is written.
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
#include "colour_layouts.h"
#include "temporary.h"
#include "tiny_model.h"

#define SCALE  2
#define WIDTH  13
#define HEIGHT 7
#define GUARD  64
#define FILL   0x5A
#define ROOM   16384 /* bytes of a plane with its guards */

static const char *model_path;

static sbv_session *open_session(void)
{
    sbv_session *s;
    sbv_config config;
    sbv_config_default(&config);
    config.model_path = model_path;
    config.backend = SBV_BACKEND_CPU;
    config.precision = SBV_PRECISION_FP32;
    config.threads = 1;
    assert_int_equal(sbv_open(&s, &config), SBV_OK);
    return s;
}

/* A frame with planes in memory of its own, rows of whole steps with a gap between them, guards around. */
typedef struct picture {
    sbv_frame frame;
    uint8_t memory[4][ROOM];
} picture;

static void plane_size(const sbv_stream *s, int plane, size_t *row, int *rows)
{
    *row = 0;
    *rows = 0;
    for (int c = 0; c < 4; c++) {
        const size_t bytes = (size_t)(component_w(s, c) * s->component[c].step);
        if (!bytes || s->component[c].plane != plane)
            continue;
        *row = bytes > *row ? bytes : *row;
        *rows = component_h(s, c);
    }
}

static void make_picture(picture *p, const sbv_stream *s, int upside_down)
{
    memset(p->memory, FILL, sizeof(p->memory));
    p->frame = (sbv_frame){.width = s->width, .height = s->height};
    for (int plane = 0; plane < 4; plane++) {
        size_t row;
        int rows;
        plane_size(s, plane, &row, &rows);
        if (!rows)
            continue;
        const size_t stride = row + 6;
        const int last = rows - 1;
        assert_true(2 * GUARD + stride * (size_t)rows <= ROOM);
        p->frame.data[plane] = p->memory[plane] + GUARD + (upside_down ? (size_t)last * stride : 0);
        p->frame.linesize[plane] = upside_down ? -(ptrdiff_t)stride : (ptrdiff_t)stride;
        p->frame.size[plane] = stride * (size_t)last + row;
    }
}

static void draw(picture *p, const sbv_stream *s)
{
    for (int plane = 0; plane < 4; plane++) {
        size_t row;
        int rows;
        plane_size(s, plane, &row, &rows);
        for (int y = 0; y < rows; y++)
            for (size_t i = 0; i < row; i++)
                p->frame.data[plane][y * p->frame.linesize[plane] + (ptrdiff_t)i] =
                    (uint8_t)(s->component[0].depth > 8 && i % 2 ? 1 : 70 + y * 5 + (int)i * 3 + plane * 11);
    }
}

/* What lies outside the rows is as it was. */
static void check_guards(const picture *p, const sbv_stream *s)
{
    for (int plane = 0; plane < 4; plane++) {
        static uint8_t expected[ROOM];
        size_t row;
        int rows;
        plane_size(s, plane, &row, &rows);
        memset(expected, FILL, sizeof(expected));
        for (int y = 0; y < rows; y++) {
            const uint8_t *from = p->frame.data[plane] + y * p->frame.linesize[plane];
            memcpy(expected + (from - p->memory[plane]), from, row);
        }
        assert_memory_equal(expected, p->memory[plane], ROOM);
    }
}

static void compare_pictures(const picture *a, const picture *b, const sbv_stream *s)
{
    for (int plane = 0; plane < 4; plane++) {
        size_t row;
        int rows;
        plane_size(s, plane, &row, &rows);
        for (int y = 0; y < rows; y++)
            assert_memory_equal(a->frame.data[plane] + y * a->frame.linesize[plane],
                                b->frame.data[plane] + y * b->frame.linesize[plane], row);
    }
}

static sbv_stream enlarged(sbv_stream s)
{
    s.width *= SCALE;
    s.height *= SCALE;
    return s;
}

/* One frame through a session, in and out with rows from the top down or from the bottom up. */
static void restore(sbv_session *s, const sbv_stream *stream, int in_upside_down, int out_upside_down, picture *out)
{
    static picture in;
    const sbv_stream large = enlarged(*stream);
    make_picture(&in, stream, in_upside_down);
    draw(&in, stream);
    make_picture(out, &large, out_upside_down);
    assert_int_equal(sbv_describe(s, stream), SBV_OK);
    assert_int_equal(sbv_send(s, &in.frame), SBV_OK);
    assert_int_equal(sbv_send(s, NULL), SBV_OK);
    assert_int_equal(sbv_receive(s, &out->frame), SBV_OK);
    check_guards(&in, stream);
    check_guards(out, &large);
}

static void test_negative_linesizes(void **unused)
{
    static picture expected, found;
    sbv_session *s = open_session();
    (void)unused;
    for (int l = 0; l < LAYOUTS; l++) {
        const sbv_stream stream = make_stream(&layouts[l], WIDTH, HEIGHT), large = enlarged(stream);
        restore(s, &stream, 0, 0, &expected);
        for (int way = 1; way < 4; way++) {
            restore(s, &stream, way & 1, way >> 1, &found);
            compare_pictures(&expected, &found, &large);
        }
    }
    sbv_close(&s);
}

/* Everything that can be wrong with a frame, one by one; 0 where there is no more. */
static int spoil(sbv_frame *frame, int way)
{
    switch (way) {
    case 0:
        frame->width--;
        return 1;
    case 1:
        frame->height++;
        return 1;
    case 2:
        frame->width = frame->height = 0;
        return 1;
    case 3:
        frame->size[0]--;
        return 1;
    case 4:
        frame->size[1]--;
        return 1;
    case 5:
        frame->data[2] = NULL;
        return 1;
    case 6:
        frame->linesize[1] = frame->linesize[1] / 4;
        return 1;
    case 7:
        frame->linesize[0] = 0;
        return 1;
    case 8:
        frame->linesize[0] = PTRDIFF_MAX / 2;
        frame->size[0] = 0;
        return 1;
    case 9:
        frame->linesize[0] = PTRDIFF_MIN;
        return 1;
    default:
        return 0;
    }
}

/* A frame that does not fit is refused, and after that the right one is taken, or given, as if nothing had been. */
static void test_what_does_not_fit(void **unused)
{
    static picture in, out, expected;
    const sbv_stream stream = make_stream(&layouts[0], WIDTH, HEIGHT), large = enlarged(stream);
    sbv_session *s = open_session();
    (void)unused;
    for (int upside_down = 0; upside_down < 2; upside_down++)
        for (int way = 0;; way++) {
            sbv_frame wrong;
            restore(s, &stream, 0, 0, &expected);
            make_picture(&in, &stream, upside_down);
            draw(&in, &stream);
            make_picture(&out, &large, upside_down);
            assert_int_equal(sbv_describe(s, &stream), SBV_OK);
            wrong = in.frame;
            if (!spoil(&wrong, way))
                break;
            assert_int_equal(sbv_send(s, &wrong), SBV_ERROR_ARGUMENT);
            assert_int_equal(sbv_send(s, &in.frame), SBV_OK);
            assert_int_equal(sbv_send(s, NULL), SBV_OK);
            wrong = out.frame;
            spoil(&wrong, way);
            assert_int_equal(sbv_receive(s, &wrong), SBV_ERROR_ARGUMENT);
            assert_int_equal(sbv_receive(s, &out.frame), SBV_OK);
            assert_int_equal(sbv_receive(s, &out.frame), SBV_END);
            check_guards(&out, &large);
            compare_pictures(&expected, &out, &large);
        }
    sbv_close(&s);
}

/* The message names what was given and what should have been. */
static void test_messages(void **unused)
{
    static picture in;
    const sbv_stream stream = make_stream(&layouts[0], WIDTH, HEIGHT);
    sbv_session *s = open_session();
    (void)unused;
    assert_int_equal(sbv_describe(s, &stream), SBV_OK);
    make_picture(&in, &stream, 0);
    in.frame.width = 160;
    in.frame.height = 96;
    assert_int_equal(sbv_send(s, &in.frame), SBV_ERROR_ARGUMENT);
    assert_string_equal(sbv_last_error(s), "frame of 160x96: should be 13x7, as described");
    make_picture(&in, &stream, 0);
    in.frame.size[1] = 40;
    assert_int_equal(sbv_send(s, &in.frame), SBV_ERROR_ARGUMENT);
    assert_string_equal(sbv_last_error(s), "plane 1: 4 rows of 7 bytes do not fit into 40 bytes with a linesize of 13");
    sbv_close(&s);
}

/* Sizes that are not told are not checked, and a single row may have any linesize. */
static void test_unknown_sizes(void **unused)
{
    static picture in;
    sbv_stream stream = make_stream(&layouts[0], WIDTH, 1);
    sbv_session *s = open_session();
    (void)unused;
    assert_int_equal(sbv_describe(s, &stream), SBV_OK);
    make_picture(&in, &stream, 0);
    memset(in.frame.size, 0, sizeof(in.frame.size));
    memset(in.frame.linesize, 0, sizeof(in.frame.linesize));
    assert_int_equal(sbv_send(s, &in.frame), SBV_OK);
    sbv_close(&s);
}

/* Layouts whose samples would lie outside their steps, or far apart. */
static void test_descriptions(void **unused)
{
    static const sbv_component wrong[] = {
        {0, 1, 1, 0, 8},       {0, 2, 1, 0, 10}, {0, 1, 0, 0, 10},  {0, 65, 0, 0, 8},
        {0, 1 << 30, 0, 0, 8}, {0, 1, -1, 0, 8}, {4, 1, 0, 0, 8},   {-1, 1, 0, 0, 8},
        {0, 2, 0, 7, 10},      {0, 1, 0, 1, 8},  {0, 2, 0, -1, 10}, {0, 1, 0, 0, 7},
        {0, 2, 0, 0, 17},      {0, 0, 0, 0, 8},  {0, -1, 0, 0, 8},  {0, 2, 0, INT32_MAX, 10}};
    sbv_session *s = open_session();
    (void)unused;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        sbv_stream stream = {.width = 4, .height = 4, .components = 1, .component = {wrong[i]}};
        assert_int_equal(sbv_describe(s, &stream), SBV_ERROR_ARGUMENT);
    }
    sbv_stream later = make_stream(&layouts[0], WIDTH, HEIGHT);
    later.reserved[7] = 5;
    assert_int_equal(sbv_describe(s, &later), SBV_ERROR_ARGUMENT);
    assert_string_equal(sbv_last_error(s), "reserved[7] of the stream is 5, not 0: initialise all of it");
    sbv_close(&s);
}

int main(void)
{
    static const struct tiny tiny = {3, 3, 0, 1, SCALE, 2, 3, 0, 1, 0};
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_negative_linesizes), cmocka_unit_test(test_what_does_not_fit),
        cmocka_unit_test(test_messages),           cmocka_unit_test(test_unknown_sizes),
        cmocka_unit_test(test_descriptions),
    };
    model_path = temporary_file();
    tiny_write(model_path, &tiny);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
