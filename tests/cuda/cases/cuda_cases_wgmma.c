/*
 * Cases of the Hopper convolution (kernels/cuda/conv_wgmma.cu): one tile, several, images smaller than a tile; rings
 * that are gone round several times, within a tile (many input channels) and over the tiles of a block (few blocks);
 * partial ranges, parts of wider maps, and what it must not take.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/conv_params.h"
#include "kernels/cuda/conv_blas.h"
#include "kernels/cuda/conv_wgmma.h"
#include "tests/cuda/cases/cuda_conv_case.h"

static int by_one_block(sbv_cuda *c, const sbv_conv_args *a, int rows)
{
    return sbv_cuda_conv_wgmma_blocks(c, a, rows, 1);
}

static int by_two_blocks(sbv_cuda *c, const sbv_conv_args *a, int rows)
{
    return sbv_cuda_conv_wgmma_blocks(c, a, rows, 2);
}

/* For convolutions that must be left alone. */
static int refused(sbv_cuda *c, const sbv_conv_args *a, int rows)
{
    return !sbv_cuda_conv_wgmma(c, a, rows) && sbv_cuda_conv_blas(c, a, rows);
}

#define TAPS(i, o, w, h) CONV(i, o, 3, 1, 1, w, h), HALVES

static const struct {
    const char *what;
    conv_function *way;
    conv_shape s;
} cases[] = {
    {"one tile", sbv_cuda_conv_wgmma, {TAPS(64, 64, 16, 32), .slope = SBV_LINEAR}},
    {"one tile", sbv_cuda_conv_wgmma, {TAPS(128, 128, 8, 32), .slope = SBV_LINEAR}},
    {"one pixel", sbv_cuda_conv_wgmma, {TAPS(64, 64, 1, 1), .slope = SBV_RELU}},
    {"one pixel", sbv_cuda_conv_wgmma, {TAPS(128, 128, 1, 1), .slope = SBV_LEAKY, .residual = OTHER_RESIDUAL}},
    {"one column", sbv_cuda_conv_wgmma, {TAPS(64, 128, 1, 67), .slope = SBV_LINEAR}},
    {"one row", sbv_cuda_conv_wgmma, {TAPS(128, 64, 37, 1), .slope = SBV_LINEAR}},
    {"odd size", sbv_cuda_conv_wgmma, {TAPS(64, 64, 37, 35), .slope = SBV_RELU, .residual = OTHER_RESIDUAL}},
    {"odd size", sbv_cuda_conv_wgmma, {TAPS(128, 128, 19, 33), .slope = SBV_LINEAR, .residual = OWN_RESIDUAL}},
    {"fusion", sbv_cuda_conv_wgmma, {TAPS(320, 64, 17, 9), .slope = SBV_LINEAR}},
    {"fusion", sbv_cuda_conv_wgmma, {TAPS(640, 128, 9, 5), .slope = SBV_LINEAR}},
    {"tiles of one block", by_one_block, {TAPS(64, 64, 50, 66), .slope = SBV_LEAKY, .residual = OWN_RESIDUAL}},
    {"tiles of one block", by_one_block, {TAPS(128, 128, 25, 65), .slope = SBV_RELU}},
    {"tiles of one block", by_one_block, {TAPS(192, 64, 33, 33), .slope = SBV_RELU, .residual = OTHER_RESIDUAL}},
    {"tiles of two blocks", by_two_blocks, {TAPS(64, 64, 70, 20), .slope = SBV_LINEAR, .residual = OTHER_RESIDUAL}},
    {"tiles of two blocks", by_two_blocks, {TAPS(64, 128, 35, 20), .slope = SBV_LINEAR, .residual = OTHER_RESIDUAL}},
    {"wider maps",
     sbv_cuda_conv_wgmma,
     {TAPS(64, 64, 20, 11), .slope = SBV_RELU, .in_offset = 8, .out_offset = 24, .after = 16}},
    {"part of the image",
     sbv_cuda_conv_wgmma,
     {TAPS(64, 64, 45, 50), .residual = OTHER_RESIDUAL, .left = 3, .right = 5, .top = 7, .bottom = 2}},
    {"part of the image",
     by_one_block,
     {TAPS(128, 128, 23, 50), .slope = 1, .residual = OWN_RESIDUAL, .left = 9, .right = 1, .top = 1, .bottom = 9}},
    {"no padding", sbv_cuda_conv_wgmma, {TAPS(64, 64, 20, 37), .slope = SBV_LINEAR, .valid = 1}},
    {"large values", sbv_cuda_conv_wgmma, {TAPS(64, 64, 18, 9), .slope = SBV_LINEAR, .values = LARGE}},
    {"cancelling sums", sbv_cuda_conv_wgmma, {TAPS(128, 128, 9, 8), .slope = SBV_LINEAR, .values = CANCEL}},

    {"refused: kernel 1", refused, {CONV(64, 64, 1, 1, 1, 9, 5), HALVES}},
    {"refused: kernel 5", refused, {CONV(64, 64, 5, 1, 1, 9, 5), HALVES}},
    {"refused: stride", refused, {CONV(64, 64, 3, 2, 1, 9, 5), HALVES}},
    {"refused: dilation", refused, {CONV(64, 64, 3, 1, 2, 9, 5), HALVES}},
    {"refused: inputs", refused, {TAPS(96, 64, 9, 5)}},
    {"refused: outputs", refused, {TAPS(64, 96, 9, 5)}},
    {"refused: input of floats", refused, {CONV(64, 64, 3, 1, 1, 9, 5), .out_type = SBV_MAP_F16}},
    {"refused: output of floats", refused, {CONV(64, 64, 3, 1, 1, 9, 5), .in_type = SBV_MAP_F16}},
    {"refused: unaligned input", refused, {TAPS(64, 64, 9, 5), .in_offset = 1}},
    {"refused: unaligned residual", refused, {TAPS(64, 64, 9, 5), .residual = OTHER_RESIDUAL, .residual_offset = 4}},
    {"refused: unaligned output", refused, {TAPS(64, 64, 9, 5), .out_offset = 81}},
};

/* Real work: the trunk and the fusion of the default model and of the published one. */
static const conv_shape timed[] = {
    {TAPS(64, 64, 960, 540), .slope = SBV_RELU},
    {TAPS(64, 64, 960, 540), .slope = SBV_LINEAR, .residual = OTHER_RESIDUAL},
    {TAPS(320, 64, 960, 540), .slope = SBV_LINEAR},
    {TAPS(128, 128, 960, 540), .slope = SBV_RELU},
    {TAPS(128, 128, 960, 540), .slope = SBV_LINEAR, .residual = OTHER_RESIDUAL},
    {TAPS(640, 128, 960, 540), .slope = SBV_LINEAR},
};

static void run(cuda_test *t, const conv_shape *s, conv_function *way)
{
    if (!sbv_cuda_has((sbv_cuda *)t->backend, SBV_KERNEL_CONV_WGMMA_64)) {
        test_skip(t, "the device is no Hopper GPU, compute capability 9.0");
        return;
    }
    conv_case(t, s, &(conv_way){.run = way}, 1);
    test_end(t);
}

void cuda_cases_wgmma(cuda_test *t)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const conv_shape *s = &cases[i].s;
        if (test_begin(t, SBV_MAP_F16, TEST_SMALL, "conv on Hopper %d->%d %dx%d, %s", s->in, s->out, s->w, s->h,
                       cases[i].what))
            run(t, s, cases[i].way);
    }
    for (size_t i = 0; i < sizeof(timed) / sizeof(*timed); i++)
        if (test_begin(t, SBV_MAP_F16, TEST_TIMED, "conv on Hopper %d->%d %dx%d%s", timed[i].in, timed[i].out,
                       timed[i].w, timed[i].h, timed[i].residual ? ", residual" : ""))
            run(t, &timed[i], sbv_cuda_conv_wgmma);
}
