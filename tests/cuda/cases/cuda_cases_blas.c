/*
 * Cases of the convolution by cuBLAS (kernels/cuda/conv_blas.c): every shape of the network, both types of maps, any
 * alignment, partial ranges, and images that are computed in tiles.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/conv_params.h"
#include "kernels/cuda/conv_blas.h"
#include "tests/cuda/cases/cuda_conv_case.h"

/* Room for 64 KiB, so that small images have several tiles. Wide layers get tiles of few columns. */
static int in_tiles(sbv_cuda *c, const sbv_conv_args *a, int rows)
{
    return sbv_cuda_conv_blas_within(c, a, rows, 65536);
}

/* Every pixel a tile of its own. */
static int pixel_by_pixel(sbv_cuda *c, const sbv_conv_args *a, int rows)
{
    return sbv_cuda_conv_blas_within(c, a, rows, 1);
}

static const struct {
    const char *what;
    conv_function *way;
    conv_shape s;
} cases[] = {
    {"trunk", sbv_cuda_conv_blas, {CONV(128, 128, 3, 1, 1, 17, 11), HALVES, .slope = SBV_RELU}},
    {"trunk",
     sbv_cuda_conv_blas,
     {CONV(64, 64, 3, 1, 1, 9, 13), HALVES, .slope = SBV_LINEAR, .residual = OWN_RESIDUAL}},
    {"fusion", sbv_cuda_conv_blas, {CONV(320, 64, 3, 1, 1, 7, 5), HALVES, .slope = SBV_LINEAR}},
    {"colours", sbv_cuda_conv_blas, {CONV(3, 64, 3, 1, 1, 13, 9), .out_type = SBV_MAP_F16, .slope = SBV_LINEAR}},
    {"colours", sbv_cuda_conv_blas, {CONV(15, 64, 3, 1, 1, 13, 9), .out_type = SBV_MAP_F16, .slope = SBV_LINEAR}},
    {"tail", sbv_cuda_conv_blas, {CONV(64, 48, 5, 1, 1, 12, 10), .in_type = SBV_MAP_F16, .slope = SBV_LINEAR}},
    {"flow, stride", sbv_cuda_conv_blas, {CONV(16, 32, 3, 2, 1, 15, 12), HALVES, .slope = SBV_LEAKY}},
    {"flow, stride", sbv_cuda_conv_blas, {CONV(3, 16, 3, 2, 1, 16, 11), .out_type = SBV_MAP_F16, .slope = SBV_LEAKY}},
    {"flow, dense", sbv_cuda_conv_blas, {CONV(81, 128, 3, 1, 1, 5, 6), HALVES, .slope = SBV_LEAKY, .out_offset = 81}},
    {"flow, dense",
     sbv_cuda_conv_blas,
     {CONV(565, 2, 3, 1, 1, 5, 4), .in_type = SBV_MAP_F16, .in_offset = 32, .slope = 1}},
    {"flow, dilation", sbv_cuda_conv_blas, {CONV(128, 96, 3, 1, 8, 10, 7), HALVES, .slope = SBV_LEAKY}},
    {"flow, dilation", sbv_cuda_conv_blas, {CONV(96, 64, 3, 1, 16, 5, 40), HALVES, .slope = SBV_LEAKY}},
    {"stride and dilation", sbv_cuda_conv_blas, {CONV(24, 10, 3, 2, 2, 19, 14), HALVES, .slope = SBV_LEAKY}},
    {"kernel 1", sbv_cuda_conv_blas, {CONV(64, 4, 1, 1, 1, 1, 1), .slope = SBV_RELU}},
    {"one pixel",
     sbv_cuda_conv_blas,
     {CONV(64, 64, 3, 1, 1, 1, 1), HALVES, .slope = SBV_RELU, .residual = OTHER_RESIDUAL}},
    {"one column", sbv_cuda_conv_blas, {CONV(20, 33, 3, 1, 1, 1, 21), HALVES, .slope = SBV_LEAKY}},
    {"unaligned maps",
     sbv_cuda_conv_blas,
     {CONV(30, 27, 3, 1, 1, 8, 7), HALVES, .slope = SBV_LINEAR, .residual = OTHER_RESIDUAL, .in_offset = 3,
      .out_offset = 5}},
    {"aligned maps, odd channels",
     sbv_cuda_conv_blas,
     {CONV(30, 27, 3, 1, 1, 8, 7), HALVES, .slope = SBV_LINEAR, .residual = OTHER_RESIDUAL, .after = 3}},
    {"unaligned residual",
     sbv_cuda_conv_blas,
     {CONV(16, 24, 3, 1, 1, 8, 7), HALVES, .slope = SBV_LINEAR, .residual = OTHER_RESIDUAL, .residual_offset = 3}},
    {"float residual",
     sbv_cuda_conv_blas,
     {CONV(32, 3, 3, 1, 1, 8, 7), .slope = SBV_LINEAR, .residual = OTHER_RESIDUAL}},
    {"no padding", sbv_cuda_conv_blas, {CONV(16, 16, 5, 1, 1, 14, 9), HALVES, .slope = SBV_LINEAR, .valid = 1}},
    {"part of the image",
     sbv_cuda_conv_blas,
     {CONV(16, 24, 3, 1, 1, 22, 18), HALVES, .slope = 0, .left = 3, .right = 5, .top = 7, .bottom = 2}},
    {"large values", sbv_cuda_conv_blas, {CONV(64, 64, 3, 1, 1, 6, 5), HALVES, .slope = SBV_LINEAR, .values = LARGE}},
    {"cancelling sums",
     sbv_cuda_conv_blas,
     {CONV(64, 64, 3, 1, 1, 6, 5), HALVES, .slope = SBV_LINEAR, .values = CANCEL}},
    {"in tiles", in_tiles, {CONV(64, 64, 3, 1, 1, 37, 29), HALVES, .slope = SBV_RELU, .residual = OWN_RESIDUAL}},
    {"in tiles", in_tiles, {CONV(16, 32, 3, 2, 1, 61, 45), HALVES, .slope = SBV_LEAKY}},
    {"in tiles", in_tiles, {CONV(128, 64, 3, 1, 4, 21, 19), HALVES, .slope = SBV_LEAKY}},
    {"in tiles, part of the image",
     in_tiles,
     {CONV(32, 48, 5, 1, 1, 40, 33), .in_type = SBV_MAP_F16, .slope = SBV_LINEAR, .left = 4, .right = 3, .top = 2,
      .bottom = 6}},
    {"pixel by pixel", pixel_by_pixel, {CONV(8, 8, 3, 2, 1, 9, 7), HALVES, .slope = SBV_LINEAR}},
};

/* Real work: what Hopper's kernel and the others for tensor cores are compared with. */
static const conv_shape timed[] = {
    {CONV(64, 64, 3, 1, 1, 960, 540), HALVES, .slope = SBV_RELU},
    {CONV(128, 128, 3, 1, 1, 960, 540), HALVES, .slope = SBV_RELU},
    {CONV(640, 128, 3, 1, 1, 960, 540), HALVES, .slope = SBV_LINEAR},
};

static void run(cuda_test *t, const conv_shape *s, conv_function *way)
{
    if (!sbv_cuda_conv_blas((sbv_cuda *)t->backend, &(sbv_conv_args){.ksize = 0}, 0)) {
        test_skip(t, "cuBLAS cannot be loaded");
        return;
    }
    conv_case(t, s, &(conv_way){.run = way}, 1);
    test_end(t);
}

void cuda_cases_blas(cuda_test *t)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const conv_shape *s = &cases[i].s;
        if (test_begin(t, SBV_MAP_F16, TEST_SMALL, "conv by cuBLAS %d->%d %dx%d s%d d%d %dx%d, %s", s->in, s->out,
                       s->ksize, s->ksize, s->stride, s->dilation, s->w, s->h, cases[i].what))
            run(t, s, cases[i].way);
    }
    for (size_t i = 0; i < sizeof(timed) / sizeof(*timed); i++)
        if (test_begin(t, SBV_MAP_F16, TEST_TIMED, "conv by cuBLAS %d->%d %dx%d", timed[i].in, timed[i].out, timed[i].w,
                       timed[i].h))
            run(t, &timed[i], sbv_cuda_conv_blas);
}
