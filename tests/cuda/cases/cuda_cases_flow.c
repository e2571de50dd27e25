/*
 * Cases of the cost volume and of the warps: tiles and groups of channels that do not come out even, maps that are a
 * part of a wider one, and flows that point to edges, outside, or nowhere.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>

#include "tests/cuda/cases/cuda_cases.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *name_of(enum sbv_type type)
{
    return type == SBV_MAP_F16 ? "f16" : "f32";
}

/* ---- Cost volume ---- */

struct cost_case {
    enum test_size size;
    int w, h, c;
    int first, second, out; /* channels of the wider maps before these */
    int jobs_left;          /* rows at the end that are not asked for */
};

static const struct cost_case cost_cases[] = {
    {TEST_SMALL, 1, 1, 6, 0, 0, 0, 0},      {TEST_SMALL, 11, 7, 13, 0, 0, 0, 0},
    {TEST_SMALL, 16, 8, 8, 0, 0, 0, 0},     {TEST_SMALL, 3, 12, 64, 0, 3, 81, 0},
    {TEST_SMALL, 1, 30, 16, 5, 0, 2, 0},    {TEST_SMALL, 41, 1, 24, 8, 0, 7, 0},
    {TEST_SMALL, 33, 17, 32, 0, 16, 0, 3},  {TEST_SMALL, 18, 9, 196, 0, 0, 0, 0},
    {TEST_TIMED, 480, 270, 32, 0, 0, 0, 0}, {TEST_TIMED, 240, 135, 64, 0, 0, 0, 0},
    {TEST_TIMED, 60, 34, 128, 0, 0, 0, 0},
};

static void run_cost(cuda_test *t, const struct cost_case *k, enum sbv_type type)
{
    test_map *first = test_map_new(
        t, TEST_IN, (test_layout){.w = k->w, .h = k->h, .c = k->c, .type = type, .offset = k->first, .row_gap = 1});
    test_map *second = test_map_new(
        t, TEST_IN, (test_layout){.w = k->w, .h = k->h, .c = k->c, .type = type, .offset = k->second, .after = 2});
    test_map *out = test_map_new(
        t, TEST_OUT,
        (test_layout){
            .w = k->w, .h = k->h, .c = SBV_COST_CHANNELS, .type = type, .offset = k->out, .after = 5, .row_gap = 2});
    const sbv_cost_args host = {first->host, second->host, out->host, SBV_LEAKY};
    const sbv_cost_args device = {first->device, second->device, out->device, SBV_LEAKY};
    const int jobs = k->h - k->jobs_left;
    test_flops(t, 2.0 * k->w * k->h * k->c * SBV_COST_CHANNELS);
    test_upload(t);
    sbv_cost_volume_c(&host, 0, test_rows(t, jobs));
    TEST_RUN(t, t->backend->cost_volume(t->backend, &device, 1, jobs));
    if (type == SBV_MAP_F16)
        test_compare(t, out, 6e-4, "the output has 11 bits");
    else
        test_compare(t, out, 2e-6, "up to 200 products, in another order");
}

/* ---- Warp ---- */

enum flow_kind { RANDOM, TO_EDGES, ACROSS_EDGES, WILD, SMOOTH };

struct warp_case {
    enum test_size size;
    const char *name;
    int w, h, c;
    int in, out; /* channels of the wider maps before these */
    int x0, y0;  /* of the tile; the flow has the size of the image */
    int clamp;
    enum flow_kind kind;
    int dense_flow; /* the flow is two channels of a map of features */
    float scale;
};

static const struct warp_case warp_cases[] = {
    {TEST_SMALL, "one pixel", 1, 1, 5, 0, 0, 0, 0, 1, TO_EDGES, 0, 1},
    {TEST_SMALL, "one pixel, wild", 1, 1, 8, 0, 0, 0, 0, 0, WILD, 0, 1},
    {TEST_SMALL, "column", 1, 13, 16, 0, 0, 0, 0, 1, TO_EDGES, 0, 1},
    {TEST_SMALL, "row", 35, 1, 7, 0, 0, 0, 0, 0, TO_EDGES, 1, 0.5f},
    {TEST_SMALL, "features", 33, 9, 64, 0, 0, 0, 0, 1, RANDOM, 0, 1},
    {TEST_SMALL, "features, groups left over", 17, 11, 21, 0, 0, 0, 0, 1, RANDOM, 0, 1},
    {TEST_SMALL, "from a wider map", 17, 11, 16, 3, 0, 0, 0, 1, RANDOM, 0, 1},
    {TEST_SMALL, "into a wider map", 17, 11, 32, 0, 81, 0, 0, 0, RANDOM, 1, 5},
    {TEST_SMALL, "between aligned parts", 19, 6, 24, 8, 16, 0, 0, 0, RANDOM, 1, 2.5f},
    {TEST_SMALL, "tile", 31, 22, 12, 0, 0, 11, 7, 1, RANDOM, 0, 1},
    {TEST_SMALL, "to edges", 23, 15, 8, 0, 0, 0, 0, 0, TO_EDGES, 0, 1},
    {TEST_SMALL, "to edges, clamped", 23, 15, 8, 0, 0, 0, 0, 1, TO_EDGES, 0, 1},
    {TEST_SMALL, "across edges", 64, 8, 3, 0, 0, 0, 0, 0, ACROSS_EDGES, 0, 1},
    {TEST_SMALL, "across edges, clamped", 64, 8, 8, 0, 0, 0, 0, 1, ACROSS_EDGES, 0, 1},
    {TEST_SMALL, "wild", 12, 3, 8, 0, 0, 0, 0, 0, WILD, 0, 1},
    {TEST_SMALL, "wild, clamped", 12, 3, 3, 0, 0, 0, 0, 1, WILD, 0, 1},
    {TEST_TIMED, "features", 960, 540, 128, 0, 0, 0, 0, 1, SMOOTH, 0, 1},
    {TEST_TIMED, "into a wider map", 480, 270, 32, 0, 81, 0, 0, 0, SMOOTH, 1, 5},
};

static float flow_at(cuda_test *t, const struct warp_case *k, int x, int y, int axis)
{
    static const float wild[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e9f, -1e9f, 0, 65504, -65504, -2, 1e-8f};
    const int size = axis ? k->h : k->w, at = axis ? y : x;
    const float random = test_random(t);
    switch (k->kind) {
    case TO_EDGES: /* whole pixels: the last one inside, the first one outside, on either side */
        return (float)((x * 7 + y * 3) % 4 < 2 ? size - 1 - at + (x + y) % 2 : -at - (x + y) % 2) / k->scale;
    case ACROSS_EDGES: /* round where the weights inside the image sum to 0.999 */
        return ((x + y + axis) % 2 ? (float)(size - 1 - at) : -(float)at) + 0.004f * random;
    case WILD:
        return wild[(axis ? x * 5 + y : x + y * 7) % (int)COUNT(wild)];
    case SMOOTH:
        return 8 * sinf((float)(x + 2 * y) / 50) / k->scale;
    default:
        return 4 * random / k->scale;
    }
}

static void run_warp(cuda_test *t, const struct warp_case *k, enum sbv_type type)
{
    const int w = k->w - k->x0, h = k->h - k->y0;
    test_map *in =
        test_map_new(t, TEST_IN, (test_layout){.w = k->w, .h = k->h, .c = k->c, .type = type, .offset = k->in});
    test_map *flow = test_map_new(t, TEST_IN,
                                  (test_layout){.w = k->w,
                                                .h = k->h,
                                                .c = 2,
                                                .type = k->dense_flow ? type : SBV_MAP_F32,
                                                .offset = k->dense_flow ? 85 : 0,
                                                .after = k->dense_flow ? 3 : 0});
    test_map *out = test_map_new(
        t, TEST_OUT, (test_layout){.w = w, .h = h, .c = k->c, .type = type, .offset = k->out, .row_gap = 1});
    for (int i = 0; i < k->w * k->h * 2; i++)
        *test_at(flow, i / 2 % k->w, i / 2 / k->w, i % 2) = flow_at(t, k, i / 2 % k->w, i / 2 / k->w, i % 2);

    sbv_warp_args host = {.x0 = k->x0, .y0 = k->y0, .scale = k->scale, .clamp = k->clamp}, device = host;
    host.in = in->host, host.out = out->host, host.flow = flow->host;
    device.in = in->device, device.out = out->device, device.flow = flow->device;
    test_upload(t);
    sbv_warp_c(&host, 0, test_rows(t, h));
    TEST_RUN(t, t->backend->warp(t->backend, &device, 1, h));
    if (type == SBV_MAP_F16)
        test_compare_absolute(t, out, 6e-4, "samples of up to 1 with 11 bits; the mask has no limit");
    else
        test_compare_absolute(t, out, 1e-6, "four products, fused or not; the mask has no limit");
}

void cuda_cases_flow(cuda_test *t)
{
    for (size_t n = 0; n < 2 * COUNT(cost_cases); n++) {
        const struct cost_case *k = &cost_cases[n / 2];
        const enum sbv_type type = n % 2 ? SBV_MAP_F16 : SBV_MAP_F32;
        if (test_begin(t, type, k->size, "cost_volume %s %dx%dx%d at %d, %d, into %d", name_of(type), k->w, k->h, k->c,
                       k->first, k->second, k->out)) {
            run_cost(t, k, type);
            test_end(t);
        }
    }
    for (size_t n = 0; n < 2 * COUNT(warp_cases); n++) {
        const struct warp_case *k = &warp_cases[n / 2];
        const enum sbv_type type = n % 2 ? SBV_MAP_F16 : SBV_MAP_F32;
        if (test_begin(t, type, k->size, "warp %s %s %dx%dx%d", name_of(type), k->name, k->w, k->h, k->c)) {
            run_warp(t, k, type);
            test_end(t);
        }
    }
}
