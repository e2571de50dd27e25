/*
 * Cases of resize, pixel shuffle, copy, adaptive pooling, linear layers, softmax, attention and difference.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <stdio.h>

#include "tests/cuda/cases/cuda_cases.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
/* A case for every type of a session. */
#define FOR_TYPES(type) for (enum sbv_type type = SBV_MAP_F32; type <= SBV_MAP_F16; type++)

static const char *name_of(enum sbv_type type)
{
    return type == SBV_MAP_F16 ? "f16" : "f32";
}

/* A map of floats without padding: colours, flows, vectors. */
static test_layout plain(int w, int h, int c)
{
    return (test_layout){.w = w, .h = h, .c = c, .type = SBV_MAP_F32};
}

static test_layout vector(int n)
{
    return plain(1, 1, n);
}

/* ---- Resize ---- */

static const struct resize_case {
    enum test_size size;
    int in_w, in_h, full_w, full_h, c;
    int x0, y0, part; /* out begins at (x0, y0) of the full size; `part`: it ends one pixel early */
    float gain[SBV_RESIZE_CHANNELS];
    int move;
} resize_cases[] = {
    {TEST_SMALL, 1, 1, 4, 4, 3, 0, 0, 0, {0}, 0},           {TEST_SMALL, 1, 9, 2, 18, 2, 0, 0, 0, {2, -0.5f, 0}, 0},
    {TEST_SMALL, 9, 1, 36, 4, 1, 0, 0, 0, {0}, 0},          {TEST_SMALL, 13, 9, 64, 64, 3, 0, 0, 0, {0}, 0},
    {TEST_SMALL, 64, 61, 13, 9, 3, 0, 0, 0, {0}, 0},        {TEST_SMALL, 301, 3, 1204, 12, 3, 700, 5, 1, {0}, 0},
    {TEST_SMALL, 21, 13, 84, 52, 2, 0, 0, 0, {4, 4, 0}, 0}, {TEST_SMALL, 6, 6, 6, 6, 3, 2, 3, 1, {1, 2, 3}, 0},
    {TEST_SMALL, 1, 1, 4, 4, 3, 0, 0, 0, {0}, 4},           {TEST_SMALL, 67, 3, 268, 12, 3, 0, 0, 0, {0}, 4},
    {TEST_SMALL, 1, 16390, 1, 65560, 1, 0, 0, 0, {0}, 0}, /* more rows than a grid has */
    {TEST_SMALL, 5, 9, 10, 18, 2, 0, 0, 0, {2, 1, 0}, 2},   {TEST_SMALL, 9, 2, 36, 8, 3, 7, 3, 1, {0}, 4},
    {TEST_TIMED, 960, 540, 3840, 2160, 3, 0, 0, 0, {0}, 0}, {TEST_TIMED, 960, 540, 3840, 2160, 3, 0, 0, 0, {0}, 4},
};

static void run_resize(cuda_test *t, const struct resize_case *k)
{
    const int w = k->full_w - k->x0 - k->part, h = k->full_h - k->y0 - k->part;
    test_layout in_layout = plain(k->in_w, k->in_h, k->c), out_layout = plain(w, h, k->c);
    in_layout.row_gap = 2;
    out_layout.offset = 1;
    out_layout.after = 2;
    test_map *in = test_map_new(t, TEST_IN, in_layout), *out = test_map_new(t, TEST_OUT, out_layout);
    sbv_resize_args host = {.in = in->host,
                            .out = out->host,
                            .full_w = k->full_w,
                            .full_h = k->full_h,
                            .x0 = k->x0,
                            .y0 = k->y0,
                            .move = k->move};
    for (int c = 0; c < SBV_RESIZE_CHANNELS; c++)
        host.gain[c] = k->gain[c];
    sbv_resize_args device = host;
    device.in = in->device;
    device.out = out->device;
    test_upload(t);
    sbv_resize_c(&host, 0, test_rows(t, h));
    TEST_RUN(t, t->backend->resize(t->backend, &device, 1, h));
    test_compare(t, out, 1e-6, "up to sixteen products, fused or not");
}

/* ---- Pixel shuffle ---- */

static const struct shuffle_case {
    enum test_size size;
    int w, h, c, factor, add;
} shuffle_cases[] = {
    {TEST_SMALL, 1, 1, 3, 4, 1},     {TEST_SMALL, 5, 3, 3, 2, 0},  {TEST_SMALL, 67, 2, 3, 4, 1},
    {TEST_SMALL, 1, 32780, 1, 2, 0}, {TEST_SMALL, 1, 11, 1, 3, 0}, {TEST_TIMED, 960, 540, 3, 4, 1},
};

static void run_shuffle(cuda_test *t, const struct shuffle_case *k)
{
    const int s = k->factor;
    test_layout out_layout = plain(k->w * s, k->h * s, k->c);
    out_layout.row_gap = 1;
    test_map *in = test_map_new(t, TEST_IN, plain(k->w, k->h, k->c * s * s));
    test_map *out = test_map_new(t, k->add ? TEST_INOUT : TEST_OUT, out_layout);
    const sbv_shuffle_args host = {in->host, out->host, s, k->add}, device = {in->device, out->device, s, k->add};
    test_upload(t);
    /* Adding leaves no trace of the rows that the twin has not computed: all of them. */
    sbv_pixel_shuffle_c(&host, 0, k->add ? k->h * s : test_rows(t, k->h * s));
    TEST_RUN(t, t->backend->pixel_shuffle(t->backend, &device, k->h * s));
    test_compare(t, out, 0, "one sum or none");
}

/* ---- Copy ---- */

static const struct copy_case {
    enum test_size size;
    int w, h, c, in, out; /* in, out: channels of the wider maps before these */
    int jobs_left;
} copy_cases[] = {
    {TEST_SMALL, 1, 1, 1, 0, 0, 0},    {TEST_SMALL, 7, 5, 3, 0, 0, 0},      {TEST_SMALL, 19, 3, 64, 0, 0, 1},
    {TEST_SMALL, 9, 4, 29, 8, 16, 0},  {TEST_SMALL, 9, 4, 32, 0, 81, 0},    {TEST_SMALL, 1, 40, 16, 3, 8, 7},
    {TEST_SMALL, 300, 2, 2, 1, 85, 0}, {TEST_TIMED, 960, 540, 64, 0, 0, 0}, {TEST_TIMED, 480, 270, 32, 0, 81, 0},
};

static void run_copy(cuda_test *t, const struct copy_case *k, enum sbv_type from, enum sbv_type to)
{
    test_map *in = test_map_new(
        t, TEST_IN, (test_layout){.w = k->w, .h = k->h, .c = k->c, .type = from, .offset = k->in, .row_gap = 1});
    test_map *out = test_map_new(
        t, TEST_OUT,
        (test_layout){.w = k->w, .h = k->h, .c = k->c, .type = to, .offset = k->out, .after = 4, .row_gap = 3});
    const sbv_copy_args host = {in->host, out->host}, device = {in->device, out->device};
    const int jobs = k->h - k->jobs_left;
    test_upload(t);
    sbv_copy_c(&host, 0, test_rows(t, jobs));
    TEST_RUN(t, t->backend->copy(t->backend, &device, 1, jobs));
    if (to == SBV_MAP_F16 && from == SBV_MAP_F32)
        test_compare_absolute(t, out, 1.0 / 4096, "half a unit of 11 bits below 1");
    else
        test_compare(t, out, 0, "a copy that fits is exact");
}

/* ---- Adaptive pooling ---- */

static const struct pool_case {
    enum test_size size;
    int w, h, c, bins_w, bins_h, offset;
    float mean; /* added to the values: bins of one sign are where sums get large */
    int flat;   /* all values are the mean: roundings add up instead of cancelling out */
} pool_cases[] = {
    {TEST_SMALL, 1, 1, 3, 1, 1, 0, 0, 0},         {TEST_SMALL, 48, 64, 6, 13, 13, 0, 0, 0},
    {TEST_SMALL, 5, 1, 11, 13, 13, 0, 0, 0},      {TEST_SMALL, 13, 13, 8, 13, 13, 0, 0, 0},
    {TEST_SMALL, 7, 3, 40, 1, 1, 3, 0, 0},        {TEST_SMALL, 31, 17, 16, 5, 7, 8, 1, 0},
    {TEST_SMALL, 211, 97, 9, 1, 1, 0, 8, 0},      {TEST_SMALL, 211, 97, 3, 2, 1, 0, 1000, 0},
    {TEST_SMALL, 1000, 601, 1, 1, 1, 0, 0.3f, 1}, {TEST_TIMED, 960, 540, 64, 1, 1, 0, 0, 0},
    {TEST_TIMED, 960, 540, 64, 13, 13, 0, 0, 0},
};

static void run_pool(cuda_test *t, const struct pool_case *k, enum sbv_type type)
{
    test_map *in = test_map_new(
        t, TEST_IN, (test_layout){.w = k->w, .h = k->h, .c = k->c, .type = type, .offset = k->offset, .row_gap = 1});
    test_map *out = test_map_new(t, TEST_OUT, plain(k->bins_w, k->bins_h, k->c));
    const sbv_pool_args host = {in->host, out->host}, device = {in->device, out->device};
    for (int i = 0; i < k->w * k->h * k->c; i++) {
        float *value = (float *)in->host.data + i;
        *value = k->flat ? k->mean : *value + k->mean;
    }
    test_upload(t);
    sbv_adaptive_pool_c(&host, 0, k->bins_h);
    TEST_RUN(t, t->backend->adaptive_pool(t->backend, &device, k->bins_h));
    test_compare_absolute(t, out, 5e-7 * (1 + (double)k->mean), "compensated sums, and 21 roundings of the last ones");
}

/* ---- Vectors ---- */

static const struct linear_case {
    enum test_size size;
    int inputs, outputs;
    float slope;
} linear_cases[] = {
    {TEST_SMALL, 1, 1, SBV_LINEAR},   {TEST_SMALL, 19, 7, SBV_RELU},         {TEST_SMALL, 1000, 13, SBV_LEAKY},
    {TEST_SMALL, 513, 3, SBV_LINEAR}, {TEST_TIMED, 21632, 1024, SBV_LINEAR},
};

static void run_linear(cuda_test *t, const struct linear_case *k)
{
    test_map *in = test_map_new(t, TEST_IN, vector(k->inputs)), *out = test_map_new(t, TEST_OUT, vector(k->outputs));
    test_map *weights = test_map_new(t, TEST_IN, plain(1, k->outputs, k->inputs));
    test_map *bias = test_map_new(t, TEST_IN, vector(k->outputs));
    const sbv_linear_args host = {in->host.data,   out->host.data, weights->host.data,
                                  bias->host.data, k->inputs,      k->slope};
    const sbv_linear_args device = {in->device.data,   out->device.data, weights->device.data,
                                    bias->device.data, k->inputs,        k->slope};
    test_flops(t, 2.0 * k->inputs * k->outputs);
    test_upload(t);
    sbv_linear_c(&host, 0, k->outputs);
    TEST_RUN(t, t->backend->linear(t->backend, &device, k->outputs));
    test_compare(t, out, 5e-6, "sums of inputs in another order, up to 100 times the result");
}

static void run_softmax(cuda_test *t, int count, float spread)
{
    test_map *data = test_map_new(t, TEST_INOUT, vector(count));
    const sbv_softmax_args host = {data->host.data, count}, device = {data->device.data, count};
    for (int i = 0; i < count; i++)
        *test_at(data, 0, 0, i) *= spread; /* 100 overflows an exp that nothing was subtracted from */
    test_upload(t);
    sbv_softmax_c(&host, 0, 1);
    TEST_RUN(t, t->backend->softmax(t->backend, &device, 1));
    test_compare(t, data, 2e-6, "exp of two libraries, a sum in another order");
}

/* ---- Attention ---- */

static const struct attention_case {
    enum test_size size;
    int w, h, c, offset, in_place;
} attention_cases[] = {
    {TEST_SMALL, 1, 1, 5, 0, 0},   {TEST_SMALL, 13, 7, 64, 0, 1}, {TEST_SMALL, 3, 5, 21, 0, 0},
    {TEST_SMALL, 35, 2, 16, 3, 0}, {TEST_SMALL, 1, 19, 12, 8, 1}, {TEST_TIMED, 960, 540, 64, 0, 0},
};

static void run_attention(cuda_test *t, const struct attention_case *k, enum sbv_type type)
{
    const test_layout layout = {.w = k->w, .h = k->h, .c = k->c, .type = type, .offset = k->offset, .row_gap = 1};
    test_map *in = test_map_new(t, k->in_place ? TEST_INOUT : TEST_IN, layout);
    test_map *branch = test_map_new(t, TEST_IN, layout), *gain = test_map_new(t, TEST_IN, vector(k->c));
    test_map *out = k->in_place ? in : test_map_new(t, TEST_OUT, layout);
    for (int c = 0; c < k->c; c++)
        *test_at(gain, 0, 0, c) *= c % 3 ? 5 : 100; /* the sigmoid's exp overflows, which must give 0 */
    const sbv_attention_args host = {in->host, branch->host, out->host, gain->host.data};
    const sbv_attention_args device = {in->device, branch->device, out->device, gain->device.data};
    test_upload(t);
    sbv_attention_c(&host, 0, test_rows(t, k->h));
    TEST_RUN(t, t->backend->attention(t->backend, &device, k->h));
    if (type == SBV_MAP_F16)
        test_compare_absolute(t, out, 6e-4, "half a unit of 11 bits below 2");
    else
        test_compare_absolute(t, out, 5e-7, "exp of two libraries");
}

/* ---- Difference ---- */

static void run_difference(cuda_test *t, int w, int h, int jobs_left)
{
    test_layout layout = plain(w, h, 3);
    layout.row_gap = 1;
    test_map *before = test_map_new(t, TEST_IN, layout), *now = test_map_new(t, TEST_IN, layout);
    test_map *out = test_map_new(t, TEST_OUT, vector(h));
    const sbv_difference_args host = {before->host, now->host, out->host.data, {0.25f, 0.5f, 0.125f}};
    const sbv_difference_args device = {before->device, now->device, out->device.data, {0.25f, 0.5f, 0.125f}};
    test_upload(t);
    sbv_difference_c(&host, 0, h - jobs_left);
    TEST_RUN(t, t->backend->difference(t->backend, &device, h - jobs_left));
    test_compare(t, out, 2e-6, "floats added up where the twin has doubles");
}

/* ---- Lists ---- */

static void map_cases(cuda_test *t)
{
    for (size_t n = 0; n < COUNT(resize_cases); n++) {
        const struct resize_case *k = &resize_cases[n];
        if (test_begin(t, SBV_MAP_F16, k->size, "resize %dx%dx%d to %dx%d from %d, %d%s", k->in_w, k->in_h, k->c,
                       k->full_w, k->full_h, k->x0, k->y0, k->move ? ", moved" : "")) {
            run_resize(t, k);
            test_end(t);
        }
    }
    for (size_t n = 0; n < COUNT(shuffle_cases); n++) {
        const struct shuffle_case *k = &shuffle_cases[n];
        if (test_begin(t, SBV_MAP_F16, k->size, "pixel_shuffle %dx%dx%d by %d%s", k->w, k->h, k->c, k->factor,
                       k->add ? ", added" : "")) {
            run_shuffle(t, k);
            test_end(t);
        }
    }
    for (size_t n = 0; n < COUNT(copy_cases); n++)
        FOR_TYPES(from) FOR_TYPES(to)
        {
            const struct copy_case *k = &copy_cases[n];
            if (test_begin(t, to, k->size, "copy %s to %s %dx%dx%d at %d into %d", name_of(from), name_of(to), k->w,
                           k->h, k->c, k->in, k->out)) {
                run_copy(t, k, from, to);
                test_end(t);
            }
        }
}

static void dense_cases(cuda_test *t)
{
    static const int counts[] = {1, 2, 31, 169, 361, 1300};
    static const int sizes[][3] = {{1, 1, 0}, {3, 17, 5}, {1201, 2, 0}};
    for (size_t n = 0; n < COUNT(linear_cases); n++)
        if (test_begin(t, SBV_MAP_F16, linear_cases[n].size, "linear %d to %d", linear_cases[n].inputs,
                       linear_cases[n].outputs)) {
            run_linear(t, &linear_cases[n]);
            test_end(t);
        }
    for (size_t n = 0; n < 2 * COUNT(counts); n++)
        if (test_begin(t, SBV_MAP_F16, TEST_SMALL, "softmax %d%s", counts[n / 2], n % 2 ? ", spread" : "")) {
            run_softmax(t, counts[n / 2], n % 2 ? 100 : 1);
            test_end(t);
        }
    for (size_t n = 0; n < COUNT(sizes); n++)
        if (test_begin(t, SBV_MAP_F16, TEST_SMALL, "difference %dx%d", sizes[n][0], sizes[n][1])) {
            run_difference(t, sizes[n][0], sizes[n][1], sizes[n][2]);
            test_end(t);
        }
    if (test_begin(t, SBV_MAP_F16, TEST_TIMED, "difference 960x540")) {
        run_difference(t, 960, 540, 0);
        test_end(t);
    }
}

void cuda_cases_image(cuda_test *t)
{
    map_cases(t);
    dense_cases(t);
    FOR_TYPES(type)
    {
        for (size_t n = 0; n < COUNT(pool_cases); n++) {
            const struct pool_case *k = &pool_cases[n];
            if (test_begin(t, type, k->size, "adaptive_pool %s %dx%dx%d at %d to %dx%d", name_of(type), k->w, k->h,
                           k->c, k->offset, k->bins_w, k->bins_h)) {
                run_pool(t, k, type);
                test_end(t);
            }
        }
        for (size_t n = 0; n < COUNT(attention_cases); n++) {
            const struct attention_case *k = &attention_cases[n];
            if (test_begin(t, type, k->size, "attention %s %dx%dx%d at %d%s", name_of(type), k->w, k->h, k->c,
                           k->offset, k->in_place ? ", in place" : "")) {
                run_attention(t, k, type);
                test_end(t);
            }
        }
    }
}
