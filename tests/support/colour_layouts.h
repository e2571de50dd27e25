/*
 * Layouts of frames for the colour tests: those of the filter, and others that sbv_stream can describe.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_COLOUR_LAYOUTS_H
#define SBV_TESTS_COLOUR_LAYOUTS_H

#include <string.h>

#include "model/include/selfblindvsr.h"

typedef struct layout {
    const char *name;
    int components, rgb, w_log2, h_log2;
    sbv_component component[4]; /* the last: alpha, where it has a step */
} layout;

/* clang-format off */
#define BYTES(depth) ((depth) == 32 ? 4 : (depth) > 8 ? 2 : 1)
#define PLANE(plane, depth) {plane, BYTES(depth), 0, 0, depth}
#define PLANAR(depth) {PLANE(0, depth), PLANE(1, depth), PLANE(2, depth)}
#define PLANAR_ALPHA(depth) {PLANE(0, depth), PLANE(1, depth), PLANE(2, depth), PLANE(3, depth)}
#define GBR(depth) {PLANE(2, depth), PLANE(0, depth), PLANE(1, depth)}
#define GBR_ALPHA(depth) {PLANE(2, depth), PLANE(0, depth), PLANE(1, depth), PLANE(3, depth)}
#define PACKED_ALPHA(step, r, g, b, a) {{0, step, r, 0, 8}, {0, step, g, 0, 8}, {0, step, b, 0, 8}, {0, step, a, 0, 8}}
#define PACKED(step, r, g, b) {{0, step, r, 0, 8}, {0, step, g, 0, 8}, {0, step, b, 0, 8}}
/* clang-format on */

static const layout layouts[] = {
    {"yuv420p", 3, 0, 1, 1, PLANAR(8)},
    {"yuv422p", 3, 0, 1, 0, PLANAR(8)},
    {"yuv440p", 3, 0, 0, 1, PLANAR(8)},
    {"yuv444p", 3, 0, 0, 0, PLANAR(8)},
    {"yuv420p10", 3, 0, 1, 1, PLANAR(10)},
    {"yuv422p10", 3, 0, 1, 0, PLANAR(10)},
    {"yuv440p10", 3, 0, 0, 1, PLANAR(10)},
    {"yuv444p10", 3, 0, 0, 0, PLANAR(10)},
    {"yuv420p12", 3, 0, 1, 1, PLANAR(12)},
    {"yuv444p16", 3, 0, 0, 0, PLANAR(16)},
    {"nv12", 3, 0, 1, 1, {{0, 1, 0, 0, 8}, {1, 2, 0, 0, 8}, {1, 2, 1, 0, 8}}},
    {"nv21", 3, 0, 1, 1, {{0, 1, 0, 0, 8}, {1, 2, 1, 0, 8}, {1, 2, 0, 0, 8}}},
    {"nv24", 3, 0, 0, 0, {{0, 1, 0, 0, 8}, {1, 2, 0, 0, 8}, {1, 2, 1, 0, 8}}},
    {"p010", 3, 0, 1, 1, {{0, 2, 0, 6, 10}, {1, 4, 0, 6, 10}, {1, 4, 2, 6, 10}}},
    {"p016", 3, 0, 1, 1, {{0, 2, 0, 0, 16}, {1, 4, 0, 0, 16}, {1, 4, 2, 0, 16}}},
    {"p210", 3, 0, 1, 0, {{0, 2, 0, 6, 10}, {1, 4, 0, 6, 10}, {1, 4, 2, 6, 10}}},
    {"yuyv422", 3, 0, 1, 0, {{0, 2, 0, 0, 8}, {0, 4, 1, 0, 8}, {0, 4, 3, 0, 8}}},
    {"vuyx", 3, 0, 0, 0, {{0, 4, 2, 0, 8}, {0, 4, 1, 0, 8}, {0, 4, 0, 0, 8}}},
    {"gray", 1, 0, 0, 0, {{0, 1, 0, 0, 8}}},
    {"gray10", 1, 0, 0, 0, {{0, 2, 0, 0, 10}}},
    {"gray14", 1, 0, 0, 0, {PLANE(0, 14)}},
    {"grayf32", 1, 0, 0, 0, {PLANE(0, 32)}},
    {"gbrp", 3, 1, 0, 0, GBR(8)},
    {"gbrp9", 3, 1, 0, 0, GBR(9)},
    {"gbrp10", 3, 1, 0, 0, GBR(10)},
    {"gbrp16", 3, 1, 0, 0, GBR(16)},
    {"gbrpf32", 3, 1, 0, 0, GBR(32)},
    {"rgb24", 3, 1, 0, 0, PACKED(3, 0, 1, 2)},
    {"bgr24", 3, 1, 0, 0, PACKED(3, 2, 1, 0)},
    {"0rgb", 3, 1, 0, 0, PACKED(4, 1, 2, 3)},
    {"rgb0", 3, 1, 0, 0, PACKED(4, 0, 1, 2)},
    {"0bgr", 3, 1, 0, 0, PACKED(4, 3, 2, 1)},
    {"bgr0", 3, 1, 0, 0, PACKED(4, 2, 1, 0)},
    {"rgb48", 3, 1, 0, 0, {{0, 6, 0, 0, 16}, {0, 6, 2, 0, 16}, {0, 6, 4, 0, 16}}},
    {"xrgb64", 3, 1, 0, 0, {{0, 8, 2, 0, 16}, {0, 8, 4, 0, 16}, {0, 8, 6, 0, 16}}},
    {"y210", 3, 0, 1, 0, {{0, 4, 0, 6, 10}, {0, 8, 2, 6, 10}, {0, 8, 6, 6, 10}}},
    {"xv36", 3, 0, 0, 0, {{0, 8, 2, 4, 12}, {0, 8, 0, 4, 12}, {0, 8, 4, 4, 12}}},
    {"yuva420p", 3, 0, 1, 1, PLANAR_ALPHA(8)},
    {"yuva422p12", 3, 0, 1, 0, PLANAR_ALPHA(12)},
    {"yuva444p16", 3, 0, 0, 0, PLANAR_ALPHA(16)},
    {"vuya", 3, 0, 0, 0, {{0, 4, 2, 0, 8}, {0, 4, 1, 0, 8}, {0, 4, 0, 0, 8}, {0, 4, 3, 0, 8}}},
    {"ya8", 1, 0, 0, 0, {{0, 2, 0, 0, 8}, {0}, {0}, {0, 2, 1, 0, 8}}},
    {"ya16", 1, 0, 0, 0, {{0, 4, 0, 0, 16}, {0}, {0}, {0, 4, 2, 0, 16}}},
    {"rgba", 3, 1, 0, 0, PACKED_ALPHA(4, 0, 1, 2, 3)},
    {"abgr", 3, 1, 0, 0, PACKED_ALPHA(4, 3, 2, 1, 0)},
    {"rgba64", 3, 1, 0, 0, {{0, 8, 0, 0, 16}, {0, 8, 2, 0, 16}, {0, 8, 4, 0, 16}, {0, 8, 6, 0, 16}}},
    {"gbrap10", 3, 1, 0, 0, GBR_ALPHA(10)},
    {"gbrapf32", 3, 1, 0, 0, GBR_ALPHA(32)},
};

#define LAYOUTS ((int)(sizeof(layouts) / sizeof(layouts[0])))

static inline sbv_stream make_stream(const layout *l, int w, int h)
{
    sbv_stream s = {.width = w, .height = h, .components = l->components, .rgb = l->rgb};
    s.chroma_w_log2 = l->w_log2;
    s.chroma_h_log2 = l->h_log2;
    memcpy(s.component, l->component, sizeof(s.component));
    s.alpha = l->component[3].step ? SBV_ALPHA_STRAIGHT : SBV_ALPHA_NONE;
    s.matrix = SBV_MATRIX_BT709;
    return s;
}

static inline int component_w(const sbv_stream *s, int c)
{
    return !s->rgb && c && c < 3 ? (s->width + s->chroma_w_log2) >> s->chroma_w_log2 : s->width;
}

static inline int component_h(const sbv_stream *s, int c)
{
    return !s->rgb && c && c < 3 ? (s->height + s->chroma_h_log2) >> s->chroma_h_log2 : s->height;
}

static inline int sample_bytes(const sbv_stream *s, int c)
{
    return BYTES(s->component[c].depth);
}

#endif /* SBV_TESTS_COLOUR_LAYOUTS_H */
