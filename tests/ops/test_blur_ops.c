/*
 * Blur and reduction, its adjoint, and the arithmetic of the descent, for every instruction set: against their
 * definitions in double precision, against numbers of model/tools/lib/blur.py, and against each other: D' is the
 * adjoint of D, and the residual of a descent never grows. Guards as in test_ops.c.
 *
 * Limit: 1e-5 of the sum of the magnitudes that were added, about 100 roundings.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guarded.h"
#include "instruction_sets.h"
#include "kernels/cpu/cpu.h"

#define LIMIT     1e-5
#define SIDE_MAX  33
#define ROWS_MAX  400
#define STEPS     20
#define SCALE     4
#define COUNT(a)  (sizeof(a) / sizeof((a)[0]))
#define TOLERANCE 1e-6 /* of a sum of squares of floats, relative: the roundings of the values */

static sbv_ops ops;
static float blur[SIDE_MAX * SIDE_MAX];

/* Pictures, in samples of the reduced one, and kernels. */
static const struct blur_case {
    int w, h, c, side, factor;
} cases[] = {{1, 1, 3, 13, 4}, {3, 2, 3, 13, 4},   {2, 3, 3, 5, 4},  {13, 9, 3, 13, 4},
             {1, 7, 3, 13, 2}, {11, 1, 3, 1, 4},   {5, 4, 1, 3, 2},  {37, 5, 3, 13, 4},
             {7, 8, 2, 21, 4}, {100, 3, 3, 11, 2}, {9, 6, 3, 19, 3}, {67, 3, 3, 7, 4},
             {6, 3, 3, 31, 4}, {3, 3, 3, 33, 4},   {5, 9, 3, 5, 1},  {2, 2, 3, 7, 8}};

static double value(const sbv_map *map, int x, int y, int c)
{
    return (double)sbv_at(map, x, y)[c];
}

/* Whether maps are made without the gaps between pixels, as pictures are: then there is another way to compute them. */
static int dense;

static guarded new_map(int w, int h, int c, int input)
{
    guarded g = guarded_map(SBV_MAP_F32, w, h, c, input);
    if (dense) {
        g.map.pixel = c;
        g.map.row = w * c + 5;
        for (size_t i = 0; i < g.count && input; i++)
            ((float *)g.memory)[i] = NAN;
        for (int i = 0; i < w * h * c && input; i++)
            sbv_at(&g.map, i / c % w, i / c / w)[i % c] = uniform();
    }
    return g;
}

/* Random, of both signs, with a sum of 1. */
static void random_blur(int side)
{
    double sum = 0;
    for (int i = 0; i < side * side; i++)
        sum += blur[i] = 0.7f + uniform();
    for (int i = 0; i < side * side; i++)
        blur[i] = (float)(blur[i] / sum);
}

static int edge(int at, int size)
{
    return at < 0 ? 0 : at >= size ? size - 1 : at;
}

static void check_down(const struct blur_case *k, int from, int clamp)
{
    guarded in = new_map(k->w * k->factor, k->h * k->factor, k->c, 1);
    guarded base = new_map(k->w, k->h, k->c, 1), out = new_map(k->w, k->h, k->c, 0);
    const int half = k->side / 2;
    random_blur(k->side);
    sbv_blur_down_args a = {
        .in = in.map, .out = out.map, .blur = blur, .side = k->side, .factor = k->factor, .clamp = clamp};
    if (from)
        a.from = base.map;
    RUN(blur_down, &a, k->h);
    guarded_check(&out, 0, k->w, 0, k->h);
    for (int n = 0; n < k->w * k->h * k->c; n++) {
        const int x = n / k->c % k->w, y = n / k->c / k->w, c = n % k->c;
        double sum = 0, magnitude = 1;
        for (int i = 0; i < k->side * k->side; i++) {
            double sample = value(&in.map, edge(k->factor * x + i % k->side - half, in.map.w),
                                  edge(k->factor * y + i / k->side - half, in.map.h), c);
            sample = clamp ? fmin(fmax(sample, 0), 1) : sample;
            sum += sample * (double)blur[i];
            magnitude += fabs(sample * (double)blur[i]);
        }
        if (from)
            sum = value(&base.map, x, y, c) - sum;
        assert_true(fabs(value(&out.map, x, y, c) - sum) <= LIMIT * magnitude);
    }
    free(in.memory);
    free(base.memory);
    free(out.memory);
}

static void test_down(void **unused)
{
    (void)unused;
    for (size_t n = 0; n < COUNT(cases); n++)
        for (int i = 0; i < 4; i++)
            check_down(&cases[n], i % 2, i / 2);
}

/* What blur_down() of model/tools/lib/blur.py, and that of model/training/losses.py, make of this picture and this
 * kernel. */
static void test_down_equals_training(void **unused)
{
    static const float expected[2][3] = {{967, 1488, 1232}, {1391, 970, 802}};
    guarded in = new_map(12, 8, 1, 1), out = new_map(3, 2, 1, 0);
    (void)unused;
    for (int y = 0; y < 8; y++)
        for (int x = 0; x < 12; x++)
            *sbv_at(&in.map, x, y) = (float)((7 * x + 13 * y + 5 * x * y) % 32);
    for (int i = 0; i < 25; i++)
        blur[i] = (float)((3 * (i / 5) + 5 * (i % 5) + i / 5 * (i % 5)) % 7);
    sbv_blur_down_args a = {.in = in.map, .out = out.map, .blur = blur, .side = 5, .factor = 4};
    RUN(blur_down, &a, 2);
    for (int i = 0; i < 6; i++)
        assert_true(*sbv_at(&out.map, i % 3, i / 3) == expected[i / 3][i % 3]); /* whole numbers: exact */
    free(in.memory);
    free(out.memory);
}

static void check_up(const struct blur_case *k)
{
    const int w = k->w * k->factor, h = k->h * k->factor, half = k->side / 2;
    guarded in = new_map(k->w, k->h, k->c, 1), out = new_map(w, h, k->c, 0);
    double *sum = calloc((size_t)(w * h * k->c), sizeof(*sum));
    assert_non_null(sum);
    random_blur(k->side);
    sbv_blur_up_args a = {in.map, out.map, blur, k->side, k->factor};
    RUN(blur_up, &a, h);
    guarded_check(&out, 0, w, 0, h);
    for (int n = 0; n < k->w * k->h * k->side * k->side; n++) {
        const int i = n % (k->side * k->side), u = n / (k->side * k->side) % k->w, v = n / (k->side * k->side) / k->w;
        const int x = edge(k->factor * u + i % k->side - half, w), y = edge(k->factor * v + i / k->side - half, h);
        for (int c = 0; c < k->c; c++)
            sum[(y * w + x) * k->c + c] += (double)blur[i] * value(&in.map, u, v, c);
    }
    for (int n = 0; n < w * h * k->c; n++)
        assert_true(fabs(value(&out.map, n / k->c % w, n / k->c / w, n % k->c) - sum[n]) <= LIMIT * 2);
    free(sum);
    free(in.memory);
    free(out.memory);
}

static void test_up(void **unused)
{
    (void)unused;
    for (size_t n = 0; n < COUNT(cases); n++)
        check_up(&cases[n]);
}

static double dot(const sbv_map *a, const sbv_map *b)
{
    double sum = 0;
    for (int n = 0; n < a->w * a->h * a->c; n++)
        sum +=
            value(a, n / a->c % a->w, n / a->c / a->w, n % a->c) * value(b, n / a->c % a->w, n / a->c / a->w, n % a->c);
    return sum;
}

/* <D(x), y> = <x, D'(y)>, for any x and y. */
static void test_adjoint(void **unused)
{
    (void)unused;
    for (size_t n = 0; n < COUNT(cases); n++) {
        const struct blur_case *k = &cases[n];
        guarded x = new_map(k->w * k->factor, k->h * k->factor, k->c, 1);
        guarded y = new_map(k->w, k->h, k->c, 1), low = new_map(k->w, k->h, k->c, 0);
        guarded high = new_map(x.map.w, x.map.h, k->c, 0);
        random_blur(k->side);
        sbv_blur_down_args down = {.in = x.map, .out = low.map, .blur = blur, .side = k->side, .factor = k->factor};
        sbv_blur_up_args up = {y.map, high.map, blur, k->side, k->factor};
        RUN(blur_down, &down, k->h);
        RUN(blur_up, &up, high.map.h);
        const double scale = sqrt(dot(&low.map, &low.map) * dot(&y.map, &y.map)) + 1e-3;
        assert_true(fabs(dot(&low.map, &y.map) - dot(&x.map, &high.map)) <= LIMIT * scale);
        free(x.memory);
        free(y.memory);
        free(low.memory);
        free(high.memory);
    }
}

static void test_sums_and_steps(void **unused)
{
    static const float ones[4] = {1, 2, 3, 4};
    guarded in = new_map(19, 5, 3, 1), out = new_map(19, 5, 3, 0);
    float sums[6] = {0}, length[2] = {PATTERN, PATTERN};
    double all = 0;
    (void)unused;
    sums[5] = PATTERN;
    sbv_sum_squares_args squares = {in.map, sums};
    RUN(sum_squares, &squares, 5);
    for (int y = 0; y < 5; y++)
        all += (double)sums[y];
    assert_true(fabs(all - dot(&in.map, &in.map)) <= TOLERANCE * all && sums[5] == PATTERN);

    /* 10 / 3, held to 2, and 0 where the residual is small enough or no number, or nothing is left of the gradient. */
    sbv_step_args step = {.residual = ones, .gradient = ones, .lowered = ones, .rows = 2, .gradient_rows = 4};
    const float none[2] = {0}, no_number[2] = {NAN, 1};
    step.enough = 2.9f;
    step.most = 16;
    step.step = length;
    RUN(step, &step, 1);
    assert_true(fabsf(length[0] - 10.0f / 3) < 1e-6f && length[1] == PATTERN);
    step.most = 2;
    RUN(step, &step, 1);
    assert_true(length[0] == 2);
    step.enough = 3;
    RUN(step, &step, 1);
    assert_true(length[0] == 0);
    step.enough = 0;
    step.lowered = none;
    RUN(step, &step, 1);
    assert_true(length[0] == 0);
    step.lowered = ones;
    step.residual = no_number;
    RUN(step, &step, 1);
    assert_true(length[0] == 0);

    for (int i = 0; i < 19 * 5 * 3; i++)
        sbv_at(&out.map, i / 3 % 19, i / 57)[i % 3] = 1;
    length[0] = 0.25f;
    sbv_advance_args advance = {.in = in.map, .out = out.map, .step = length, .sign = -1};
    RUN(advance, &advance, 5);
    guarded_check(&out, 0, 19, 0, 5);
    for (int i = 0; i < 19 * 5 * 3; i++)
        assert_true(sbv_at(&out.map, i / 3 % 19, i / 57)[i % 3] ==
                    1 - 0.25f * sbv_at(&in.map, i / 3 % 19, i / 57)[i % 3]);
    free(in.memory);
    free(out.memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_down),    cmocka_unit_test(test_down_equals_training), cmocka_unit_test(test_up),
        cmocka_unit_test(test_adjoint), cmocka_unit_test(test_sums_and_steps),
    };
    int failed = 0;
    for (int isa = -1; (isa = next_isa(&ops, isa, SBV_ISA_COUNT)) >= 0;) {
        for (dense = 0; dense < 2; dense++)
            failed += cmocka_run_group_tests_name(sbv_isa_name(isa), tests, NULL, NULL);
    }
    return failed;
}
