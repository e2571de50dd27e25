/*
 * Colour conversion (kernels/reference/colour.c), as plain C and for every instruction set, on dense maps and others:
 * every layout there and back, known values, chroma positions, guard bands; and the bits of plain C.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/cpu/cpu.h"
#include "tests/support/colour_layouts.h"
#include "instruction_sets.h"

#define GUARD      64 /* bytes before, after and between the rows that nobody may touch */
#define GUARD_BYTE 0xA5
#define MAX_PLANE  (64 * 1024)
#define MAX_PIXEL  4
#define NOBODY     -77.0f

/* The last two do not fit into one piece of a row. */
static const int sizes[][2] = {{1, 1}, {1, 5}, {6, 1}, {2, 2}, {3, 3}, {7, 5}, {16, 10}, {257, 3}, {515, 2}};

static sbv_ops ops;
static int pixel; /* floats from one pixel of the map to the next; where they are 4, one is nobody's */

static uint32_t random_state = 1;

static unsigned random_code(unsigned top)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (unsigned)(((uint64_t)random_state * (top + 1)) >> 32);
}

static const layout *find_layout(const char *name)
{
    for (int i = 0; i < LAYOUTS; i++)
        if (!strcmp(layouts[i].name, name))
            return &layouts[i];
    fail_msg("no layout %s", name);
    return NULL;
}

/* A frame and the map of its pixels, in fixed buffers. */
typedef struct picture {
    sbv_frame frame;
    uint8_t plane[3][MAX_PLANE];
} picture;

static picture first_picture, second_picture;
static float map_floats[MAX_PIXEL * 515 * 16];

static void make_picture(picture *p, const sbv_stream *s)
{
    memset(p->plane, GUARD_BYTE, sizeof(p->plane));
    for (int c = 0; c < s->components; c++) {
        const int plane = s->component[c].plane;
        p->frame.data[plane] = p->plane[plane] + GUARD;
        p->frame.linesize[plane] = (s->width + 1) * 8 + GUARD;
        assert_true(p->frame.linesize[plane] * s->height + 2 * GUARD <= MAX_PLANE);
    }
}

static uint8_t *sample_at(const picture *p, const sbv_stream *s, int c, int x, int y)
{
    const sbv_component *k = &s->component[c];
    return p->frame.data[k->plane] + y * p->frame.linesize[k->plane] + k->offset + x * k->step;
}

/* Floats are told in codes of 16 bits here. */
static unsigned top_of(const sbv_stream *s, int c)
{
    const int depth = s->component[c].depth;
    return (1u << (depth == 32 ? 16 : depth)) - 1;
}

static unsigned get(const picture *p, const sbv_stream *s, int c, int x, int y)
{
    const uint8_t *sample = sample_at(p, s, c, x, y);
    uint16_t wide;
    float value;
    if (s->component[c].depth == 32) {
        memcpy(&value, sample, sizeof(value));
        return (unsigned)lrintf(value * 65535.0f);
    }
    memcpy(&wide, sample, sizeof(wide));
    return (s->component[c].depth > 8 ? wide : *sample) >> s->component[c].shift;
}

static void put(picture *p, const sbv_stream *s, int c, int x, int y, unsigned code)
{
    uint8_t *sample = sample_at(p, s, c, x, y);
    const uint16_t wide = (uint16_t)(code << s->component[c].shift);
    const float value = (float)code / 65535.0f;
    if (s->component[c].depth == 32)
        memcpy(sample, &value, sizeof(value));
    else if (s->component[c].depth > 8)
        memcpy(sample, &wide, sizeof(wide));
    else
        *sample = (uint8_t)wide;
}

static void put_all(picture *p, const sbv_stream *s, int c, unsigned code)
{
    for (int y = 0; y < component_h(s, c); y++)
        for (int x = 0; x < component_w(s, c); x++)
            put(p, s, c, x, y, code);
}

static sbv_map make_map(const sbv_stream *s)
{
    for (size_t i = 0; i < sizeof(map_floats) / sizeof(map_floats[0]); i++)
        map_floats[i] = NOBODY;
    return (sbv_map){
        .data = map_floats, .w = s->width, .h = s->height, .c = 3, .pixel = pixel, .row = pixel * s->width};
}

static float *pixel_at(const sbv_map *m, int x, int y)
{
    return sbv_at(m, x, y);
}

static void colour_in(const sbv_stream *s, const picture *p, sbv_map map)
{
    ops.colour_in(&(sbv_colour_in_args){s, &p->frame, map}, 0, s->height);
}

static void colour_out(const sbv_stream *s, sbv_map map, const picture *p)
{
    ops.colour_out(&(sbv_colour_out_args){s, map, &p->frame}, 0, (s->height + 1) / 2);
}

/* Every byte that is no sample of the picture still is GUARD_BYTE. Erases the picture. */
static void check_guards(picture *p, const sbv_stream *s, const char *name)
{
    for (int c = 0; c < s->components; c++)
        for (int y = 0; y < component_h(s, c); y++)
            for (int x = 0; x < component_w(s, c); x++)
                memset(sample_at(p, s, c, x, y), GUARD_BYTE, (size_t)sample_bytes(s, c));
    for (int plane = 0; plane < 3; plane++)
        for (int i = 0; i < MAX_PLANE; i++)
            if (p->plane[plane][i] != GUARD_BYTE)
                fail_msg("%s %dx%d: byte %d of plane %d overwritten", name, s->width, s->height, i, plane);
}

static void compare(const sbv_stream *s, const char *name, int limit)
{
    for (int c = 0; c < s->components; c++)
        for (int y = 0; y < component_h(s, c); y++)
            for (int x = 0; x < component_w(s, c); x++) {
                const int a = (int)get(&first_picture, s, c, x, y), b = (int)get(&second_picture, s, c, x, y);
                if (abs(a - b) > limit)
                    fail_msg("%s %dx%d matrix %d full %d site %d: component %d at %d,%d: %d became %d", name, s->width,
                             s->height, s->matrix, s->full_range, s->chroma_site, c, x, y, a, b);
            }
}

static void there_and_back(const sbv_stream *s, const char *name, int limit)
{
    const sbv_map map = make_map(s);

    make_picture(&second_picture, s);
    colour_in(s, &first_picture, map);
    for (int i = 0; i < s->width * s->height && pixel > 3; i++)
        assert_true(map_floats[i * pixel + 3] == NOBODY);
    assert_true(map_floats[pixel * s->width * s->height] == NOBODY);
    colour_out(s, map, &second_picture);
    compare(s, name, limit);
    check_guards(&second_picture, s, name);
}

/* Calls fn for every layout, size, matrix, range and site that makes a difference. */
static void for_each_stream(void (*fn)(const sbv_stream *s, const char *name))
{
    for (int l = 0; l < LAYOUTS; l++) {
        const int yuv = !layouts[l].rgb && layouts[l].components == 3;
        const int sites = layouts[l].w_log2 || layouts[l].h_log2 ? 6 : 1;
        for (size_t n = 0; n < sizeof(sizes) / sizeof(sizes[0]); n++)
            for (int matrix = 0; matrix < (yuv ? 3 : 1); matrix++)
                for (int full = 0; full < 2; full++)
                    for (int site = 0; site < sites; site++) {
                        sbv_stream s = make_stream(&layouts[l], sizes[n][0], sizes[n][1]);
                        s.matrix = (enum sbv_matrix)matrix;
                        s.full_range = full;
                        s.chroma_site = (enum sbv_chroma_site)site;
                        fn(&s, layouts[l].name);
                    }
    }
}

/* Flat colours, most of them outside the RGB cube, come back exactly. */
static void flat(const sbv_stream *s, const char *name)
{
    make_picture(&first_picture, s);
    for (int c = 0; c < s->components; c++)
        put_all(&first_picture, s, c, random_code(top_of(s, c)));
    there_and_back(s, name, 0);
}

/* Any luma, and chroma that rises by a code value a sample, come back within the rounding of the chroma. */
static void smooth(const sbv_stream *s, const char *name)
{
    make_picture(&first_picture, s);
    for (int c = 0; c < s->components; c++) {
        const unsigned top = top_of(s, c);
        for (int y = 0; y < component_h(s, c); y++)
            for (int x = 0; x < component_w(s, c); x++) {
                const int subsampled = !s->rgb && c && (s->chroma_w_log2 || s->chroma_h_log2);
                const unsigned way = (unsigned)abs(x + (c == 1 ? y : -y)) % 256;
                const unsigned triangle = way < 128 ? way : 255 - way;
                put(&first_picture, s, c, x, y, subsampled ? top / 4 + triangle : random_code(top));
            }
    }
    there_and_back(s, name, s->chroma_w_log2 || s->chroma_h_log2);
}

static void test_flat(void **state)
{
    (void)state;
    for_each_stream(flat);
}

static void test_smooth(void **state)
{
    (void)state;
    for_each_stream(smooth);
}

/* Codes of colours by the standards: ITU-R BT.601, BT.709, BT.2020 and JFIF, rounded to code values. */
static void test_known_values(void **state)
{
    static const struct {
        const char *layout;
        enum sbv_matrix matrix;
        int full;
        unsigned code[3];
        float rgb[3];
    } known[] = {
        {"yuv444p", SBV_MATRIX_BT709, 0, {235, 128, 128}, {1, 1, 1}},
        {"yuv444p", SBV_MATRIX_BT709, 0, {16, 128, 128}, {0, 0, 0}},
        {"yuv420p", SBV_MATRIX_BT709, 0, {63, 102, 240}, {1, 0, 0}},
        {"yuv420p", SBV_MATRIX_BT709, 0, {173, 42, 26}, {0, 1, 0}},
        {"nv12", SBV_MATRIX_BT709, 0, {32, 240, 118}, {0, 0, 1}},
        {"yuv420p", SBV_MATRIX_BT601, 0, {81, 90, 240}, {1, 0, 0}},
        {"yuv422p", SBV_MATRIX_BT601, 0, {145, 54, 34}, {0, 1, 0}},
        {"yuv420p", SBV_MATRIX_BT601, 0, {41, 240, 110}, {0, 0, 1}},
        {"yuv420p", SBV_MATRIX_BT601, 1, {76, 85, 255}, {1, 0, 0}},
        {"yuv420p10", SBV_MATRIX_BT2020, 0, {294, 387, 960}, {1, 0, 0}},
        {"p010", SBV_MATRIX_BT2020, 0, {658, 189, 100}, {0, 1, 0}},
        {"p010", SBV_MATRIX_BT709, 0, {940, 512, 512}, {1, 1, 1}},
        {"yuv444p10", SBV_MATRIX_BT709, 1, {1023, 512, 512}, {1, 1, 1}},
        {"gray", SBV_MATRIX_BT601, 0, {126, 0, 0}, {0.5023f, 0.5023f, 0.5023f}},
        {"rgb24", SBV_MATRIX_BT601, 0, {255, 0, 51}, {1, 0, 0.2f}},
        {"bgr24", SBV_MATRIX_BT601, 0, {255, 0, 51}, {1, 0, 0.2f}},
        {"0rgb", SBV_MATRIX_BT601, 0, {255, 0, 51}, {1, 0, 0.2f}},
        {"gbrp10", SBV_MATRIX_BT601, 0, {1023, 0, 341}, {1, 0, 1.0f / 3}},
        {"gbrp9", SBV_MATRIX_BT601, 0, {511, 0, 73}, {1, 0, 1.0f / 7}},
        {"gbrpf32", SBV_MATRIX_BT601, 0, {65535, 0, 21845}, {1, 0, 1.0f / 3}},
        {"grayf32", SBV_MATRIX_BT601, 0, {13107, 0, 0}, {0.2f, 0.2f, 0.2f}},
        {"gray14", SBV_MATRIX_BT601, 1, {16383, 0, 0}, {1, 1, 1}},
        {"y210", SBV_MATRIX_BT709, 0, {940, 512, 512}, {1, 1, 1}},
        {"xv36", SBV_MATRIX_BT709, 0, {3760, 2048, 2048}, {1, 1, 1}},
        {"rgba", SBV_MATRIX_BT601, 0, {255, 0, 51}, {1, 0, 0.2f}},
        {"abgr", SBV_MATRIX_BT601, 0, {255, 0, 51}, {1, 0, 0.2f}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        sbv_stream s = make_stream(find_layout(known[i].layout), 4, 4);
        s.matrix = known[i].matrix;
        s.full_range = known[i].full;
        make_picture(&first_picture, &s);
        for (int c = 0; c < s.components; c++)
            put_all(&first_picture, &s, c, known[i].code[c]);
        const sbv_map map = make_map(&s);
        colour_in(&s, &first_picture, map);
        /* The codes are rounded: half a chroma code at 8 bits moves blue by 0.5 / 224 * 1.8556 * 1.8. */
        const double limit = s.rgb || s.components == 1 ? 1e-4 : 0.0075;
        for (int c = 0; c < 3; c++)
            if (fabs((double)pixel_at(&map, 2, 1)[c] - (double)known[i].rgb[c]) > limit)
                fail_msg("%s matrix %d: channel %d is %f, not %f", known[i].layout, s.matrix, c,
                         (double)pixel_at(&map, 2, 1)[c], (double)known[i].rgb[c]);
        for (int p = 0; p < 16; p++)
            memcpy(pixel_at(&map, p % 4, p / 4), known[i].rgb, sizeof(known[i].rgb));
        make_picture(&second_picture, &s);
        colour_out(&s, map, &second_picture);
        compare(&s, known[i].layout, 0);
    }
}

/* A chroma ramp in luma pixels: each sample holds its own position, and so must each pixel, and back. */
static void check_position(enum sbv_chroma_site site, double site_x, double site_y, int vertical)
{
    sbv_stream s = make_stream(find_layout("yuv420p10"), 22, 15);
    s.chroma_site = site;
    s.full_range = 1;
    make_picture(&first_picture, &s);
    put_all(&first_picture, &s, 0, 512);
    put_all(&first_picture, &s, 1, 512);
    for (int y = 0; y < component_h(&s, 2); y++)
        for (int x = 0; x < component_w(&s, 2); x++) {
            const double position = vertical ? 2 * y + site_y : 2 * x + site_x;
            put(&first_picture, &s, 2, x, y, (unsigned)(512 + 16 * position));
        }
    const sbv_map map = make_map(&s);
    colour_in(&s, &first_picture, map);
    for (int y = 2; y < s.height - 2; y++)
        for (int x = 2; x < s.width - 2; x++) {
            const float *p = pixel_at(&map, x, y);
            const double luma = 0.2126 * (double)p[0] + 0.7152 * (double)p[1] + 0.0722 * (double)p[2];
            const double cr = ((double)p[0] - luma) / (2 * (1 - 0.2126));
            assert_float_equal((float)(cr * 1023 / 16), (float)(vertical ? y : x), 0.01f);
        }
    make_picture(&second_picture, &s);
    colour_out(&s, map, &second_picture);
    for (int y = 1; y < component_h(&s, 2) - 1; y++)
        for (int x = 1; x < component_w(&s, 2) - 1; x++)
            assert_int_equal(get(&second_picture, &s, 2, x, y), get(&first_picture, &s, 2, x, y));
}

static void test_chroma_position(void **state)
{
    static const double site_x[6] = {0, 0.5, 0, 0.5, 0, 0.5}, site_y[6] = {0.5, 0.5, 0, 0, 1, 1};
    (void)state;
    for (int site = 0; site < 6; site++)
        for (int vertical = 0; vertical < 2; vertical++)
            check_position((enum sbv_chroma_site)site, site_x[site], site_y[site], vertical);
}

/* The filters that ops.h promises, at an impulse: (1 2 1) / 4 on a luma sample, (1 1) / 2 between two. */
static void test_chroma_filter(void **state)
{
    static const enum sbv_chroma_site site[2] = {SBV_CHROMA_LEFT, SBV_CHROMA_CENTER};
    static const unsigned row[2][8] = {{512, 512, 608, 704, 608, 512, 512, 512},
                                       {512, 512, 512, 704, 704, 512, 512, 512}};
    (void)state;
    for (int i = 0; i < 2; i++)
        for (int impulse = 4; impulse < 8; impulse++) {
            sbv_stream s = make_stream(find_layout("yuv422p10"), 16, 1);
            s.full_range = 1;
            s.chroma_site = site[i];
            sbv_map map = make_map(&s);
            for (int x = 0; x < s.width; x++)
                memset(pixel_at(&map, x, 0), 0, 3 * sizeof(float));
            /* Cr = 384 / 1023 at one pixel, its luma being zero. */
            float *p = pixel_at(&map, impulse, 0);
            p[0] = 384.0f / 1023.0f * 2 * (1 - 0.2126f);
            p[1] = -p[0] * 0.2126f / 0.7152f;
            make_picture(&second_picture, &s);
            colour_out(&s, map, &second_picture);
            for (int x = 0; x < 8; x++) {
                const int offset = impulse - 2 * x; /* luma pixels right of the even one */
                const unsigned expected = offset >= -3 && offset <= 4 ? row[i][offset + 3] : 512;
                assert_int_equal(get(&second_picture, &s, 2, x, 0), expected);
            }
        }
}

/* Floats beyond black and white stay; what is no number, or out of all measure, does not reach the network. */
static void test_floats(void **state)
{
    static const float in[] = {-0.5f, 0, 1, 7.25f, NAN, INFINITY, -INFINITY, 1e30f};
    static const float seen[] = {-0.5f, 0, 1, 7.25f, 0, 65504, -65504, 65504};
    const sbv_stream s = make_stream(find_layout("gbrpf32"), 8, 1);
    (void)state;
    make_picture(&first_picture, &s);
    for (int c = 0; c < 3; c++)
        memcpy(sample_at(&first_picture, &s, c, 0, 0), in, sizeof(in));
    const sbv_map map = make_map(&s);
    colour_in(&s, &first_picture, map);
    for (int x = 0; x < 8; x++)
        for (int c = 0; c < 3; c++)
            assert_true(pixel_at(&map, x, 0)[c] == seen[x]);
    pixel_at(&map, 0, 0)[1] = NAN;
    make_picture(&second_picture, &s);
    colour_out(&s, map, &second_picture);
    for (int x = 0; x < 8; x++)
        for (int c = 0; c < 3; c++) {
            float value;
            memcpy(&value, sample_at(&second_picture, &s, c, x, 0), sizeof(value));
            assert_true(value == (x == 0 && c == 1 ? 0 : seen[x]));
        }
    check_guards(&second_picture, &s, "gbrpf32");
}

static void test_rounding_and_clamping(void **state)
{
    /* 64 + 876 * k / 8 lies half-way between two codes. */
    static const float value[8] = {1.0f / 8, 3.0f / 8, 5.0f / 8, 7.0f / 8, 2.0f, -1.0f, 0.0f, 1.0f};
    static const unsigned code[8] = {174, 392, 612, 830, 1023, 0, 64, 940};
    sbv_stream s = make_stream(find_layout("gray10"), 9, 1);
    (void)state;
    for (int matrix = 0; matrix < 3; matrix++) {
        s.matrix = (enum sbv_matrix)matrix;
        const sbv_map map = make_map(&s);
        for (int x = 0; x < 9; x++)
            for (int c = 0; c < 3; c++)
                pixel_at(&map, x, 0)[c] = x < 8 ? value[x] : NAN;
        make_picture(&second_picture, &s);
        colour_out(&s, map, &second_picture);
        for (int x = 0; x < 8; x++)
            assert_int_equal(get(&second_picture, &s, 0, x, 0), code[x]);
        assert_int_equal(get(&second_picture, &s, 0, 8, 0), 0);
    }
}

/* P010 keeps its ten bits on top and zeros below. */
static void test_p010_bits(void **state)
{
    const sbv_stream s = make_stream(find_layout("p010"), 2, 2);
    const sbv_map map = make_map(&s);
    (void)state;
    for (int i = 0; i < 4; i++)
        for (int c = 0; c < 3; c++)
            pixel_at(&map, i % 2, i / 2)[c] = 1.0f;
    make_picture(&second_picture, &s);
    colour_out(&s, map, &second_picture);
    uint16_t luma, chroma[2];
    memcpy(&luma, second_picture.frame.data[0], sizeof(luma));
    memcpy(chroma, second_picture.frame.data[1], sizeof(chroma));
    assert_int_equal(luma, 940 << 6);
    assert_int_equal(chroma[0], 512 << 6);
    assert_int_equal(chroma[1], 512 << 6);
}

/* A picture stored bottom up, and one converted in one-row ranges, give the same. */
static void test_row_order(void **state)
{
    sbv_stream s = make_stream(find_layout("yuv420p"), 21, 13);
    sbv_map map = make_map(&s);
    static float straight[MAX_PIXEL * 21 * 13];
    (void)state;
    make_picture(&first_picture, &s);
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < component_h(&s, c); y++)
            for (int x = 0; x < component_w(&s, c); x++)
                put(&first_picture, &s, c, x, y, random_code(255));
    colour_in(&s, &first_picture, map);
    memcpy(straight, map.data, sizeof(straight));

    second_picture = first_picture;
    for (int c = 0; c < 3; c++) {
        const int h = component_h(&s, c);
        second_picture.frame.data[c] = second_picture.plane[c] + GUARD + (h - 1) * first_picture.frame.linesize[c];
        second_picture.frame.linesize[c] = -first_picture.frame.linesize[c];
        for (int y = 0; y < h; y++)
            for (int x = 0; x < component_w(&s, c); x++) {
                const uint8_t *from = first_picture.plane[c] + GUARD + y * first_picture.frame.linesize[c] + x;
                put(&second_picture, &s, c, x, y, *from);
            }
    }
    map = make_map(&s);
    for (int y = s.height - 1; y >= 0; y--)
        ops.colour_in(&(sbv_colour_in_args){&s, &second_picture.frame, map}, y, y + 1);
    assert_memory_equal(straight, map.data, sizeof(straight));

    static picture whole;
    make_picture(&whole, &s);
    colour_out(&s, map, &whole);
    memset(second_picture.plane, GUARD_BYTE, sizeof(second_picture.plane));
    for (int job = (s.height + 1) / 2 - 1; job >= 0; job--)
        ops.colour_out(&(sbv_colour_out_args){&s, map, &second_picture.frame}, job, job + 1);
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < component_h(&s, c); y++)
            for (int x = 0; x < component_w(&s, c); x++)
                assert_int_equal(get(&second_picture, &s, c, x, y), get(&whole, &s, c, x, y));
}

/* Any codes into the network, and any values out of it, as plain C does it. */
static void same_bits(const sbv_stream *s, const char *name)
{
    static float expected[sizeof(map_floats) / sizeof(map_floats[0])];
    sbv_map map = make_map(s);
    make_picture(&first_picture, s);
    for (int c = 0; c < s->components; c++)
        for (int y = 0; y < component_h(s, c); y++)
            for (int x = 0; x < component_w(s, c); x++)
                put(&first_picture, s, c, x, y, random_code(top_of(s, c)));
    sbv_colour_in_c(&(sbv_colour_in_args){s, &first_picture.frame, map}, 0, s->height);
    memcpy(expected, map_floats, sizeof(expected));
    map = make_map(s);
    colour_in(s, &first_picture, map);
    if (memcmp(expected, map_floats, sizeof(expected)))
        fail_msg("%s %dx%d: colours in differ from those of plain C", name, s->width, s->height);
    for (int i = 0; i < pixel * s->width * s->height; i++)
        map_floats[i] = (float)random_code(1u << 24) / (1 << 23) - 0.5f;
    make_picture(&first_picture, s);
    make_picture(&second_picture, s);
    sbv_colour_out_c(&(sbv_colour_out_args){s, map, &first_picture.frame}, 0, (s->height + 1) / 2);
    colour_out(s, map, &second_picture);
    if (memcmp(first_picture.plane, second_picture.plane, sizeof(first_picture.plane)))
        fail_msg("%s %dx%d: colours out differ from those of plain C", name, s->width, s->height);
}

static void test_same_bits(void **state)
{
    (void)state;
    for_each_stream(same_bits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flat),          cmocka_unit_test(test_smooth),
        cmocka_unit_test(test_known_values),  cmocka_unit_test(test_chroma_position),
        cmocka_unit_test(test_chroma_filter), cmocka_unit_test(test_rounding_and_clamping),
        cmocka_unit_test(test_floats),        cmocka_unit_test(test_p010_bits),
        cmocka_unit_test(test_row_order),     cmocka_unit_test(test_same_bits),
    };
    int failed = 0;
    for (int isa = -1; (isa = next_isa(&ops, isa, SBV_ISA_COUNT)) >= 0;) {
        for (pixel = 3; pixel <= MAX_PIXEL; pixel++)
            failed += cmocka_run_group_tests_name(sbv_isa_name(isa), tests, NULL, NULL);
    }
    return failed;
}
