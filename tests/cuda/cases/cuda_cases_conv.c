/*
 * Cases of the convolutions (kernels/cuda/conv.c): every kernel and every shape of the network, small images and images
 * of several tiles, parts of images, parts of wider maps at any alignment, and values that rounding or overflow would
 * spoil.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/conv.h"
#include "tests/cuda/cases/cuda_conv_case.h"

#define FLOATS .in_type = SBV_MAP_F32, .out_type = SBV_MAP_F32

/* Ends the case too. */
static void convolve_or_skip(cuda_test *t, const conv_shape *s, const conv_way *ways, int count)
{
    if (ways[count - 1].forced && ((sbv_cuda *)t->backend)->sm < 80) {
        test_skip(t, "tensor cores by mma.sync: compute capability 8.0 or later");
        return;
    }
    conv_case(t, s, ways, count);
    test_end(t);
}

/* Tiles of conv_mma.cu that take a shape. */
#define HALO   (1 << SBV_MMA_HALO_128 | 1 << SBV_MMA_HALO_64 | 1 << SBV_MMA_HALO_32)
#define GATHER (1 << SBV_MMA_GATHER_64 | 1 << SBV_MMA_GATHER_32)
#define SPLIT  (1 << SBV_MMA_SPLIT)
#define ALL    (HALO | GATHER | SPLIT)

static const struct {
    const char *what;
    conv_shape s;
    unsigned tiles;
} cases[] = {
    /* Layers of the network. */
    {"trunk", {CONV(128, 128, 3, 1, 1, 37, 19), HALVES, .slope = SBV_RELU}, ALL},
    {"trunk", {CONV(128, 128, 3, 1, 1, 21, 33), HALVES, .slope = SBV_LINEAR, .residual = OWN_RESIDUAL}, ALL},
    {"trunk", {CONV(64, 64, 3, 1, 1, 33, 17), HALVES, .slope = SBV_LINEAR, .residual = OTHER_RESIDUAL}, ALL},
    {"fusion", {CONV(320, 128, 3, 1, 1, 19, 5), HALVES, .slope = SBV_LINEAR}, ALL},
    {"tail", {CONV(128, 48, 5, 1, 1, 18, 17), .slope = SBV_LINEAR, .in_type = SBV_MAP_F16}, ALL},
    {"tail, a column",
     {CONV(64, 48, 5, 1, 1, 9, 35), .slope = SBV_LINEAR, .in_type = SBV_MAP_F16, .right = 8, .top = 1, .bottom = 1},
     ALL},
    {"tail, a corner",
     {CONV(64, 12, 5, 1, 1, 9, 35), .slope = SBV_LINEAR, .in_type = SBV_MAP_F16, .left = 8, .top = 34},
     ALL},
    {"first", {CONV(3, 128, 3, 1, 1, 23, 11), .slope = SBV_LINEAR, .out_type = SBV_MAP_F16}, GATHER},
    {"first", {CONV(15, 64, 3, 1, 1, 13, 13), .slope = SBV_LINEAR, .out_type = SBV_MAP_F16}, GATHER},
    {"extractor", {CONV(3, 16, 3, 2, 1, 64, 32), .slope = SBV_LEAKY, .out_type = SBV_MAP_F16}, GATHER},
    {"extractor", {CONV(16, 16, 3, 1, 1, 32, 11), HALVES, .slope = SBV_LEAKY}, GATHER | SPLIT},
    {"extractor", {CONV(16, 32, 3, 2, 1, 33, 31), HALVES, .slope = SBV_LEAKY}, GATHER | SPLIT},
    {"extractor", {CONV(32, 64, 3, 2, 1, 17, 31), HALVES, .slope = SBV_LEAKY}, GATHER | SPLIT},
    {"extractor", {CONV(128, 196, 3, 2, 1, 8, 6), HALVES, .slope = SBV_LEAKY}, GATHER | SPLIT},
    {"extractor", {CONV(196, 196, 3, 1, 1, 4, 3), HALVES, .slope = SBV_LEAKY}, ALL},
    {"decoder", {CONV(81, 128, 3, 1, 1, 5, 3), HALVES, .slope = SBV_LEAKY, .in_offset = 448, .out_offset = 320}, ALL},
    {"decoder", {CONV(117, 128, 3, 1, 1, 20, 18), HALVES, .slope = SBV_LEAKY, .in_offset = 8, .after = 7}, ALL},
    {"decoder", {CONV(661, 32, 3, 1, 1, 5, 7), HALVES, .slope = SBV_LEAKY, .in_offset = 32, .out_offset = 0}, ALL},
    {"decoder, flow", {CONV(529, 2, 3, 1, 1, 9, 5), .slope = SBV_LINEAR, .in_type = SBV_MAP_F16}, ALL},
    {"refiner", {CONV(128, 128, 3, 1, 2, 19, 21), HALVES, .slope = SBV_LEAKY}, ALL},
    {"refiner", {CONV(128, 128, 3, 1, 4, 11, 9), HALVES, .slope = SBV_LEAKY}, GATHER | SPLIT},
    {"refiner", {CONV(128, 96, 3, 1, 8, 21, 19), HALVES, .slope = SBV_LEAKY}, GATHER | SPLIT},
    {"refiner", {CONV(96, 64, 3, 1, 16, 35, 33), HALVES, .slope = SBV_LEAKY}, GATHER | SPLIT},
    {"refiner",
     {CONV(32, 2, 3, 1, 1, 18, 35), .slope = SBV_LINEAR, .in_type = SBV_MAP_F16, .residual = OTHER_RESIDUAL},
     ALL},
    {"kernel", {CONV(32, 1, 3, 1, 1, 13, 13), .slope = SBV_LINEAR, .in_type = SBV_MAP_F16}, ALL},
    /* Sizes. */
    {"one pixel", {CONV(64, 64, 3, 1, 1, 1, 1), HALVES, .slope = SBV_RELU}, ALL},
    {"one pixel", {CONV(128, 48, 5, 1, 1, 1, 1), HALVES, .slope = SBV_LINEAR}, ALL},
    {"one column", {CONV(40, 72, 3, 1, 1, 1, 67), HALVES, .slope = SBV_LINEAR}, ALL},
    {"one row", {CONV(40, 136, 3, 1, 1, 67, 1), HALVES, .slope = SBV_LINEAR}, ALL},
    {"one tile", {CONV(48, 128, 3, 1, 1, 16, 16), HALVES, .slope = SBV_LINEAR}, ALL},
    {"a pixel more than a tile", {CONV(64, 130, 3, 1, 1, 17, 33), HALVES, .slope = SBV_LINEAR}, ALL},
    {"a tap", {CONV(128, 64, 1, 1, 1, 13, 9), HALVES, .slope = SBV_LINEAR}, GATHER | SPLIT},
    {"a tap", {CONV(7, 64, 1, 1, 1, 13, 9), HALVES, .slope = SBV_LINEAR}, GATHER | SPLIT},
    {"two taps a row", {CONV(64, 64, 2, 1, 1, 13, 9), HALVES, .slope = SBV_LINEAR, .valid = 1}, ALL},
    {"two taps a row", {CONV(5, 64, 2, 2, 3, 13, 9), HALVES, .slope = SBV_LINEAR, .valid = 1}, GATHER | SPLIT},
    {"no padding", {CONV(64, 64, 3, 1, 1, 20, 37), HALVES, .slope = SBV_LINEAR, .valid = 1}, ALL},
    {"no padding", {CONV(96, 8, 3, 1, 2, 21, 23), HALVES, .slope = SBV_LINEAR, .valid = 1}, ALL},
    {"stride 3", {CONV(24, 40, 5, 3, 2, 31, 29), HALVES, .slope = SBV_LINEAR}, GATHER | SPLIT},
    /* Parts of images, and of maps at any channel. */
    {"part of the image",
     {CONV(64, 64, 3, 1, 1, 45, 29), HALVES, .residual = OTHER_RESIDUAL, .left = 3, .right = 5, .top = 7, .bottom = 2},
     ALL},
    {"part of the image",
     {CONV(64, 64, 3, 2, 1, 45, 29), HALVES, .residual = OWN_RESIDUAL, .left = 3, .right = 5, .top = 7, .bottom = 2},
     GATHER | SPLIT},
    {"odd channel of the input", {CONV(40, 64, 3, 1, 1, 19, 9), HALVES, .slope = SBV_LEAKY, .in_offset = 81}, GATHER},
    {"odd channel of the input", {CONV(11, 32, 3, 2, 1, 19, 9), HALVES, .in_offset = 5, .after = 3}, GATHER},
    {"odd channel of the output",
     {CONV(64, 64, 3, 1, 1, 19, 9), HALVES, .residual = OWN_RESIDUAL, .out_offset = 3, .after = 2},
     ALL},
    {"even channel of the output",
     {CONV(64, 40, 3, 1, 1, 19, 9), HALVES, .residual = OTHER_RESIDUAL, .out_offset = 2},
     ALL},
    {"odd channel of the residual",
     {CONV(64, 64, 3, 1, 1, 19, 9), HALVES, .residual = OTHER_RESIDUAL, .residual_offset = 3},
     ALL},
    {"few outputs", {CONV(64, 3, 3, 1, 1, 19, 9), HALVES, .residual = OTHER_RESIDUAL}, ALL},
    {"floats", {CONV(40, 24, 3, 1, 1, 19, 9), FLOATS, .residual = OTHER_RESIDUAL, .slope = SBV_LEAKY}, GATHER},
    /* Values. */
    {"large", {CONV(128, 64, 3, 1, 1, 17, 5), HALVES, .slope = SBV_LINEAR, .values = LARGE}, ALL},
    {"large", {CONV(3, 64, 3, 2, 1, 17, 5), .slope = SBV_LINEAR, .out_type = SBV_MAP_F16, .values = LARGE}, GATHER},
    {"cancelling", {CONV(128, 64, 3, 1, 1, 17, 5), HALVES, .slope = SBV_LINEAR, .values = CANCEL}, ALL},
    {"cancelling", {CONV(600, 16, 3, 1, 1, 7, 5), HALVES, .slope = SBV_LINEAR, .values = CANCEL}, ALL},
    {"cancelling", {CONV(14, 16, 3, 1, 1, 7, 5), .slope = SBV_LINEAR, .values = CANCEL}, GATHER},
};

/* What a model of the published size computes on images of 960x540, and its flow network's coarse levels. */
static const conv_shape timed[] = {
    {CONV(128, 128, 3, 1, 1, 960, 540), HALVES, .slope = SBV_RELU},
    {CONV(128, 128, 3, 1, 1, 960, 540), HALVES, .slope = SBV_LINEAR, .residual = OWN_RESIDUAL},
    {CONV(640, 128, 3, 1, 1, 960, 540), HALVES, .slope = SBV_LINEAR},
    {CONV(128, 48, 5, 1, 1, 960, 540), .slope = SBV_LINEAR, .in_type = SBV_MAP_F16},
    {CONV(3, 128, 3, 1, 1, 960, 540), .slope = SBV_LINEAR, .out_type = SBV_MAP_F16},
    {CONV(64, 64, 3, 1, 1, 960, 540), HALVES, .slope = SBV_RELU},
    {CONV(565, 128, 3, 1, 1, 240, 144), HALVES, .slope = SBV_LEAKY},
    {CONV(128, 128, 3, 1, 4, 240, 144), HALVES, .slope = SBV_LEAKY},
    {CONV(3, 16, 3, 2, 1, 960, 576), .slope = SBV_LEAKY, .out_type = SBV_MAP_F16},
    {CONV(16, 16, 3, 1, 1, 480, 288), HALVES, .slope = SBV_LEAKY},
    {CONV(533, 64, 3, 1, 1, 60, 36), HALVES, .slope = SBV_LEAKY, .in_offset = 96},
    {CONV(433, 96, 3, 1, 1, 15, 9), HALVES, .slope = SBV_LEAKY, .in_offset = 96},
    {CONV(529, 2, 3, 1, 1, 15, 9), .slope = SBV_LINEAR, .in_type = SBV_MAP_F16},
};

static const char *const tile_names[] = {"halo 128", "halo 64", "halo 32", "gather 64", "gather 32", "split"};

static void convolve_all(cuda_test *t, const char *what, const conv_shape *s, unsigned tiles)
{
    static const conv_way chosen = {.run = NULL};
    for (int type = 0; type < 2; type++)
        if (test_begin(t, type ? SBV_MAP_F16 : SBV_MAP_F32, TEST_SMALL, "conv %s: %d to %d, k%d s%d d%d, %dx%d, %s",
                       what, s->in, s->out, s->ksize, s->stride, s->dilation, s->w, s->h, type ? "fp16" : "fp32")) {
            convolve_or_skip(t, s, &chosen, 1);
        }
    for (int tile = 0; tile <= SBV_MMA_SPLIT; tile++) {
        const conv_way way = {.forced = 1, .tile = (enum sbv_mma_tile)tile};
        if (tiles >> tile & 1 &&
            test_begin(t, SBV_MAP_F16, TEST_SMALL, "conv %s: %d to %d, k%d s%d d%d, %dx%d, %s", what, s->in, s->out,
                       s->ksize, s->stride, s->dilation, s->w, s->h, tile_names[tile])) {
            convolve_or_skip(t, s, &way, 1);
        }
    }
}

/* A tile of an image must get the bits that it gets in the whole image, where other kernels may be chosen. */
static void tiles_agree(cuda_test *t)
{
    static const conv_way ways[] = {{.forced = 1, .tile = SBV_MMA_GATHER_32},
                                    {.forced = 1, .tile = SBV_MMA_GATHER_64},
                                    {.forced = 1, .tile = SBV_MMA_HALO_32},
                                    {.forced = 1, .tile = SBV_MMA_HALO_64},
                                    {.forced = 1, .tile = SBV_MMA_HALO_128}};
    static const conv_shape shapes[] = {
        {CONV(128, 128, 3, 1, 1, 19, 17), HALVES, .slope = SBV_RELU},
        {CONV(320, 64, 3, 1, 1, 17, 3), HALVES, .slope = SBV_LINEAR, .residual = OTHER_RESIDUAL},
        {CONV(128, 48, 5, 1, 1, 17, 9), .slope = SBV_LINEAR, .in_type = SBV_MAP_F16},
        {CONV(40, 12, 5, 1, 1, 5, 9), .slope = SBV_LINEAR, .in_type = SBV_MAP_F16},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        if (test_begin(t, SBV_MAP_F16, TEST_SMALL, "conv: all tiles agree, %d to %d, k%d", shapes[i].in, shapes[i].out,
                       shapes[i].ksize)) {
            convolve_or_skip(t, &shapes[i], ways, 5);
        }
}

/* Large enough that the backend chooses a halo kernel, though of few channels. */
static void large_images(cuda_test *t)
{
    static const conv_way ways[] = {{.run = NULL}, {.forced = 1, .tile = SBV_MMA_GATHER_64}};
    static const conv_shape shapes[] = {
        {CONV(24, 65, 3, 1, 1, 161, 150), HALVES, .slope = SBV_RELU},
        {CONV(24, 40, 3, 1, 1, 161, 150), HALVES, .slope = SBV_RELU},
        {CONV(24, 12, 3, 1, 1, 161, 150), HALVES, .slope = SBV_RELU},
        {CONV(3, 40, 3, 1, 1, 150, 90), .slope = SBV_LINEAR, .out_type = SBV_MAP_F16},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        if (test_begin(t, SBV_MAP_F16, TEST_SMALL, "conv: large image, %d to %d", shapes[i].in, shapes[i].out)) {
            convolve_or_skip(t, &shapes[i], ways, 2);
        }
}

/* ---- Transposed convolution ---- */

static void deconvolve(cuda_test *t, int in_channels, int out_channels, int w, int h, int offset, int rows)
{
    const enum sbv_type type = t->backend->type;
    test_map *in =
        test_map_new(t, TEST_IN, (test_layout){.w = w, .h = h, .c = in_channels, .type = type, .offset = offset});
    test_map *out = test_map_new(
        t, TEST_OUT,
        (test_layout){.w = 2 * w, .h = 2 * h, .c = out_channels, .type = type, .offset = offset, .row_gap = 1});
    test_buffer *weights = test_buffer_new(t, TEST_IN, (size_t)(16 * in_channels * out_channels) * sizeof(float), 0);
    test_buffer *bias = test_buffer_new(t, TEST_IN, (size_t)out_channels * sizeof(float), 4);
    for (size_t i = 0; i < weights->bytes / sizeof(float); i++)
        ((float *)(void *)weights->host)[i] = test_random(t);
    for (int i = 0; i < out_channels; i++)
        ((float *)(void *)bias->host)[i] = test_random(t);
    test_upload(t);
    sbv_deconv_args host = {in->host, out->host, (float *)(void *)weights->host, (float *)(void *)bias->host};
    sbv_deconv_args device = {in->device, out->device, (float *)(void *)weights->device, (float *)(void *)bias->device};
    sbv_deconv_c(&host, 0, rows);
    TEST_RUN(t, t->backend->deconv(t->backend, &device, 1, rows));
    test_compare(t, out, type == SBV_MAP_F16 ? TEST_LIMIT_F16 : TEST_LIMIT_F32,
                 type == SBV_MAP_F16 ? "the output is rounded to 11 bits" : "sums of floats in another order");
}

static void deconvolutions(cuda_test *t)
{
    /* Channels in and out, size of the input, channels of wider maps before them, output rows. */
    static const int sizes[][6] = {{2, 2, 1, 1, 0, 2},   {2, 2, 7, 5, 209, 10}, {661, 2, 3, 2, 3, 4},
                                   {529, 2, 9, 1, 0, 2}, {40, 5, 1, 6, 1, 9},   {33, 1, 13, 3, 0, 5},
                                   {8, 3, 2, 9, 8, 1}};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (int type = 0; type < 2; type++)
            if (test_begin(t, type ? SBV_MAP_F16 : SBV_MAP_F32, TEST_SMALL, "deconv %d to %d, %dx%d, %d rows, %s",
                           sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3], sizes[i][5], type ? "fp16" : "fp32")) {
                deconvolve(t, sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3], sizes[i][4], sizes[i][5]);
                test_end(t);
            }
}

void cuda_cases_conv(cuda_test *t)
{
    static const conv_way chosen = {.run = NULL};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        convolve_all(t, cases[i].what, &cases[i].s, cases[i].tiles);
    tiles_agree(t);
    large_images(t);
    deconvolutions(t);
    for (size_t i = 0; i < sizeof(timed) / sizeof(timed[0]); i++)
        for (int type = 0; type < 2; type++)
            if (test_begin(t, type ? SBV_MAP_F16 : SBV_MAP_F32, TEST_TIMED, "conv %d to %d, k%d s%d d%d, %dx%d, %s",
                           timed[i].in, timed[i].out, timed[i].ksize, timed[i].stride, timed[i].dilation, timed[i].w,
                           timed[i].h, type ? "fp16" : "fp32")) {
                convolve_or_skip(t, &timed[i], &chosen, 1);
            }
}
