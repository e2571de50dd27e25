/*
 * Cases of blur and reduction, its adjoint, sums of squares, and the descent's steps.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>

#include "tests/cuda/cases/cuda_cases.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LIMIT        1e-5 /* absolute: values are up to 1, and at a corner some hundred products are added up */

/* A map of floats without padding, with a gap between rows. */
static test_layout plain(int w, int h, int c)
{
    return (test_layout){.w = w, .h = h, .c = c, .type = SBV_MAP_F32, .row_gap = 1};
}

static test_layout vector(int n)
{
    return (test_layout){.w = 1, .h = 1, .c = n, .type = SBV_MAP_F32};
}

/* Pictures, in samples of the reduced one. */
static const struct blur_case {
    enum test_size size;
    int w, h, c, side, factor, from, clamp;
} blur_cases[] = {
    {TEST_SMALL, 1, 1, 3, 13, 4, 1, 0},     {TEST_SMALL, 3, 2, 3, 13, 4, 0, 1},  {TEST_SMALL, 67, 5, 3, 13, 4, 1, 1},
    {TEST_SMALL, 2, 19, 3, 13, 2, 0, 0},    {TEST_SMALL, 11, 1, 3, 1, 4, 1, 0},  {TEST_SMALL, 5, 4, 1, 5, 2, 0, 0},
    {TEST_SMALL, 9, 7, 2, 21, 4, 1, 0},     {TEST_SMALL, 300, 2, 3, 9, 4, 0, 0}, {TEST_SMALL, 1, 16390, 1, 1, 4, 0, 0},
    {TEST_TIMED, 960, 540, 3, 13, 4, 1, 0},
};

/* Values that sum to about 1, so that the limits are those of pictures. */
static test_map *blur_of(cuda_test *t, int side)
{
    test_map *blur = test_map_new(t, TEST_IN, vector(side * side));
    for (int i = 0; i < side * side; i++)
        *test_at(blur, 0, 0, i) = (1 + *test_at(blur, 0, 0, i)) / (float)(side * side);
    return blur;
}

static void run_down(cuda_test *t, const struct blur_case *k)
{
    test_map *in = test_map_new(t, TEST_IN, plain(k->w * k->factor, k->h * k->factor, k->c));
    test_map *from = test_map_new(t, TEST_IN, plain(k->w, k->h, k->c));
    test_map *out = test_map_new(t, TEST_OUT, plain(k->w, k->h, k->c)), *blur = blur_of(t, k->side);
    sbv_blur_down_args host = {.in = in->host,
                               .out = out->host,
                               .blur = blur->host.data,
                               .side = k->side,
                               .factor = k->factor,
                               .clamp = k->clamp};
    sbv_blur_down_args device = host;
    device.in = in->device;
    device.out = out->device;
    device.blur = blur->device.data;
    if (k->from) {
        host.from = from->host;
        device.from = from->device;
    }
    test_flops(t, 2.0 * k->w * k->h * k->c * k->side * k->side);
    test_upload(t);
    sbv_blur_down_c(&host, 0, test_rows(t, k->h));
    TEST_RUN(t, t->backend->blur_down(t->backend, &device, k->h));
    test_compare_absolute(t, out, LIMIT, "sums of 441 products at most, in one order, fused or not");
}

static void run_up(cuda_test *t, const struct blur_case *k)
{
    test_map *in = test_map_new(t, TEST_IN, plain(k->w, k->h, k->c)), *blur = blur_of(t, k->side);
    test_map *out = test_map_new(t, TEST_OUT, plain(k->w * k->factor, k->h * k->factor, k->c));
    const sbv_blur_up_args host = {in->host, out->host, blur->host.data, k->side, k->factor};
    const sbv_blur_up_args device = {in->device, out->device, blur->device.data, k->side, k->factor};
    test_flops(t, 2.0 * k->w * k->h * k->c * k->side * k->side);
    test_upload(t);
    sbv_blur_up_c(&host, 0, test_rows(t, k->h * k->factor));
    TEST_RUN(t, t->backend->blur_up(t->backend, &device, k->h * k->factor));
    test_compare_absolute(t, out, LIMIT, "sums of 441 products at most, weights added up first");
}

static void run_squares(cuda_test *t, int w, int h, int c)
{
    test_map *in = test_map_new(t, TEST_IN, plain(w, h, c)), *out = test_map_new(t, TEST_OUT, vector(h));
    const sbv_sum_squares_args host = {in->host, out->host.data}, device = {in->device, out->device.data};
    test_upload(t);
    sbv_sum_squares_c(&host, 0, h);
    TEST_RUN(t, t->backend->sum_squares(t->backend, &device, h));
    test_compare(t, out, 1e-6, "floats added up with care where the twin has doubles");
}

/* kind 0: an ordinary step; 1: one that is held to the longest; 2, 3: none, the residual is small, the gradient 0. */
static void run_step(cuda_test *t, int rows, int kind)
{
    test_map *residual = test_map_new(t, TEST_IN, vector(rows)), *gradient = test_map_new(t, TEST_IN, vector(4 * rows));
    test_map *lowered = test_map_new(t, TEST_IN, vector(rows)), *step = test_map_new(t, TEST_OUT, vector(1));
    test_map *const sums[3] = {residual, gradient, lowered};
    for (int m = 0; m < 3; m++)
        for (int i = 0; i < sums[m]->host.c; i++)
            *test_at(sums[m], 0, 0, i) = m == 2 && kind == 3 ? 0 : 1.001f + *test_at(sums[m], 0, 0, i);
    sbv_step_args host = {.residual = residual->host.data,
                          .gradient = gradient->host.data,
                          .lowered = lowered->host.data,
                          .rows = rows,
                          .gradient_rows = 4 * rows,
                          .enough = kind == 2 ? 3.0f * (float)rows : 0,
                          .most = kind == 1 ? 1e-4f : 1e4f,
                          .step = step->host.data};
    sbv_step_args device = host;
    device.residual = residual->device.data;
    device.gradient = gradient->device.data;
    device.lowered = lowered->device.data;
    device.step = step->device.data;
    test_upload(t);
    sbv_step_c(&host, 0, 1);
    TEST_RUN(t, t->backend->step(t->backend, &device, 1));
    test_compare(t, step, 1e-6, "floats added up with care where the twin has doubles");
}

static void run_advance(cuda_test *t, int w, int h, int c, int jobs_left)
{
    test_map *in = test_map_new(t, TEST_IN, plain(w, h, c)), *out = test_map_new(t, TEST_INOUT, plain(w, h, c));
    test_map *step = test_map_new(t, TEST_IN, vector(1));
    const sbv_advance_args host = {in->host, out->host, step->host.data, -1};
    const sbv_advance_args device = {in->device, out->device, step->device.data, -1};
    test_upload(t);
    sbv_advance_c(&host, 0, h - jobs_left);
    TEST_RUN(t, t->backend->advance(t->backend, &device, h - jobs_left));
    test_compare_absolute(t, out, 1e-6, "a product and a sum, fused or not");
}

static void descent_cases(cuda_test *t)
{
    static const int sizes[][4] = {{1, 1, 3, 0}, {513, 3, 3, 1}, {7, 20, 2, 5}, {1200, 2, 1, 0}, {1, 65560, 1, 0}};
    static const int rows[] = {1, 13, 700};
    for (size_t n = 0; n < COUNT(sizes); n++) {
        const int *s = sizes[n];
        if (test_begin(t, SBV_MAP_F16, TEST_SMALL, "sum_squares %dx%dx%d", s[0], s[1], s[2])) {
            run_squares(t, s[0], s[1], s[2]);
            test_end(t);
        }
        if (test_begin(t, SBV_MAP_F16, TEST_SMALL, "advance %dx%dx%d", s[0], s[1], s[2])) {
            run_advance(t, s[0], s[1], s[2], s[3]);
            test_end(t);
        }
    }
    for (size_t n = 0; n < 4 * COUNT(rows); n++)
        if (test_begin(t, SBV_MAP_F16, TEST_SMALL, "step of %d rows, kind %d", rows[n / 4], (int)n % 4)) {
            run_step(t, rows[n / 4], (int)n % 4);
            test_end(t);
        }
    if (test_begin(t, SBV_MAP_F16, TEST_TIMED, "sum_squares 3840x2160x3")) {
        run_squares(t, 3840, 2160, 3);
        test_end(t);
    }
    if (test_begin(t, SBV_MAP_F16, TEST_TIMED, "advance 3840x2160x3")) {
        run_advance(t, 3840, 2160, 3, 0);
        test_end(t);
    }
}

void cuda_cases_blur(cuda_test *t)
{
    for (size_t n = 0; n < COUNT(blur_cases); n++) {
        const struct blur_case *k = &blur_cases[n];
        if (test_begin(t, SBV_MAP_F16, k->size, "blur_down %dx%dx%d by %d, kernel of %d%s%s", k->w, k->h, k->c,
                       k->factor, k->side, k->from ? ", difference" : "", k->clamp ? ", clamped" : "")) {
            run_down(t, k);
            test_end(t);
        }
        if (test_begin(t, SBV_MAP_F16, k->size, "blur_up %dx%dx%d by %d, kernel of %d", k->w, k->h, k->c, k->factor,
                       k->side)) {
            run_up(t, k);
            test_end(t);
        }
    }
    descent_cases(t);
}
