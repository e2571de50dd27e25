/*
 * Fuzz target: a whole session through the C API. An input is a list of choices: options, descriptions, sizes, frames
 * that fit or not, the order of the calls, which allocation fails. Frames lie in memory of just the size that they
 * tell, so that the address sanitizer sees a byte too much.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "allocate.h"
#include "fuzz.h"
#include "tests/support/colour_layouts.h"
#include "tests/support/tiny_model.h"

#define CALLS  24
#define SIDE   16  /* most pixels of an input frame, but for those that are to be refused */
#define LENGTH 160 /* bytes of a new input */
#define PLANES 4

static const uint8_t *choices;
static size_t choices_left;

/* The next choice, 0 to limit - 1. */
static unsigned choose(unsigned limit)
{
    if (!choices_left)
        return 0;
    choices_left--;
    return *choices++ % limit;
}

static int errors; /* messages since the last call */

/* At times an allocation of the call that follows fails. */
static void arm(void)
{
    if (choose(8) == 7)
        fuzz_fail_allocation((int)choose(256) >> choose(8));
}

/* Every error comes with a message, and no message without one. */
static int checked(int ret)
{
    fuzz_fail_allocation(-1);
    FUZZ_EXPECT(ret <= SBV_OK && ret >= SBV_ERROR_DEVICE);
    FUZZ_EXPECT((ret < SBV_END) == (errors > 0));
    errors = 0;
    return ret;
}

static sbv_session *open_session(void)
{
    static const struct tiny models[] = {{2, 3, 1, 1, 2, 2, 1, 3, 1, 0}, {3, 5, 0, 1, 4, 3, 2, 0, 2, 2}};
    static int written;
    sbv_session *s;
    sbv_config config;
    if (!written++)
        for (int i = 0; i < 2; i++)
            tiny_write_as(fuzz_file(i, NULL, 0), &models[i], 1, i ? "center" : "topleft");
    sbv_config_default(&config);
    config.model_path = fuzz_file((int)choose(2), NULL, 0);
    config.backend = SBV_BACKEND_CPU;
    config.precision = choose(2) ? SBV_PRECISION_FP32 : SBV_PRECISION_AUTO;
    config.phase = (enum sbv_phase)choose(2);
    config.border = (enum sbv_border)choose(3);
    config.scene = choose(2) ? 0.02f : 0;
    config.tile = choose(2) ? SBV_TILE_MIN : 0;
    config.max_memory = 64 << 20;
    config.kernel_interval = (int)choose(3);
    config.adapt_interval = choose(3);
    config.cycle = choose(4) == 0;
    config.refine = choose(4) == 0;
    config.threads = 1 + choose(8) / 7;
    config.log = fuzz_log;
    config.log_opaque = &errors;
    arm();
    const int ret = checked(sbv_open(&s, &config));
    FUZZ_EXPECT((ret < 0) == (s == NULL));
    return s;
}

/* A layout of the list at a small size, and at times something else about it. */
static sbv_stream any_stream(void)
{
    static const int numbers[] = {-1, 0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 64, 65, 1 << 20, INT32_MAX, INT32_MIN};
    sbv_stream s = make_stream(&layouts[choose(LAYOUTS)], 1 + (int)choose(SIDE), 1 + (int)choose(SIDE));
    s.matrix = (enum sbv_matrix)choose(3);
    s.full_range = (int)choose(2);
    s.chroma_site = (enum sbv_chroma_site)choose(6);
    if (choose(4) == 3) {
        const int number = numbers[choose(sizeof(numbers) / sizeof(*numbers))];
        memcpy((int *)&s + choose(sizeof(s) / sizeof(int)), &number, sizeof(int));
    }
    return s;
}

/* Bytes of a row and rows of a plane of frames that the session has accepted the description of. */
static size_t plane_size(const sbv_stream *s, int plane, int *rows)
{
    size_t row = 0;
    *rows = 0;
    for (int c = 0; c < 4; c++) {
        const size_t bytes = (size_t)component_w(s, c) * (size_t)s->component[c].step;
        if ((c >= s->components && !(c == 3 && s->alpha)) || s->component[c].plane != plane)
            continue;
        row = bytes > row ? bytes : row;
        *rows = component_h(s, c) > *rows ? component_h(s, c) : *rows;
    }
    return row;
}

/* A frame of w x h pixels that says that it has those of the stream, or what it has. */
static sbv_frame new_frame(const sbv_stream *described, int w, int h, int lies, uint8_t *memory[PLANES])
{
    sbv_frame frame = {.width = lies ? described->width : w, .height = lies ? described->height : h};
    sbv_stream s = *described;
    const int told = lies || choose(2), upside_down = choose(2) && !lies;
    s.width = w;
    s.height = h;
    for (int plane = 0; plane < PLANES; plane++) {
        int rows;
        const size_t row = plane_size(&s, plane, &rows), stride = row + choose(3);
        const size_t size = rows ? stride * (size_t)(rows - 1) + row : 0;
        memory[plane] = malloc(size ? size : 1);
        FUZZ_EXPECT(memory[plane] != NULL);
        for (size_t i = 0; i < size; i++)
            memory[plane][i] = (uint8_t)(i * 37 + (i >> 5));
        frame.data[plane] = upside_down && rows ? memory[plane] + stride * (size_t)(rows - 1) : memory[plane];
        frame.linesize[plane] = upside_down ? -(ptrdiff_t)stride : (ptrdiff_t)stride;
        frame.size[plane] = told ? size : 0;
    }
    return frame;
}

typedef int frame_call(sbv_session *s, sbv_frame *frame);

static int send_frame(sbv_session *s, sbv_frame *frame)
{
    return sbv_send(s, frame);
}

/* A call with a frame that fits, or with one that has a row or column less, or says that it has not. */
static int call_with_frame(sbv_session *s, frame_call *call, const sbv_stream *stream, int scale)
{
    uint8_t *memory[PLANES];
    sbv_stream described = *stream;
    described.width *= scale;
    described.height *= scale;
    const int wrong = choose(4) == 3, lies = wrong && choose(2);
    const int less_w = wrong && described.width > 1 && choose(2), less_h = wrong && !less_w && described.height > 1;
    sbv_frame frame = new_frame(&described, described.width - less_w, described.height - less_h, lies, memory);
    arm();
    const int ret = checked(call(s, &frame));
    FUZZ_EXPECT(ret != SBV_OK || lies ||
                !(less_w || less_h)); /* a column less can be no byte less: 4:2:2 in one plane */
    for (int plane = 0; plane < PLANES; plane++)
        free(memory[plane]);
    return ret;
}

static void look(sbv_session *s)
{
    static float blur[SBV_BLUR_SIDE_MAX * SBV_BLUR_SIDE_MAX];
    sbv_moments moments;
    int side;
    int64_t tag;
    const float *used = sbv_kernel(s, &side);
    if (used)
        sbv_kernel_moments(used, side, &moments);
    sbv_kernel_is_new(s);
    sbv_cycle_psnr(s);
    checked(sbv_ready(s, &tag));
    FUZZ_EXPECT(strlen(sbv_last_error(s)) < 4096);
    arm();
    checked(sbv_estimate_kernel(s, blur));
}

/* A description that is refused leaves the one before as it is; one for which there is no memory does not. */
static void describe(sbv_session *s, sbv_stream *stream, int *described)
{
    const sbv_stream next = any_stream();
    arm();
    const int ret = checked(sbv_describe(s, &next));
    if (ret == SBV_ERROR_ARGUMENT)
        return;
    *described = ret == SBV_OK;
    *stream = next;
}

/* Returns the frames restored. */
static int make_call(sbv_session *s, sbv_stream *stream, int *described)
{
    const int scale = sbv_model(s)->scale;
    switch (choose(16)) {
    case 0:
        describe(s, stream, described);
        return 0;
    case 1:
        checked(sbv_send(s, NULL));
        return 0;
    case 2:
        sbv_flush(s);
        return 0;
    case 3:
        look(s);
        return 0;
    case 4:
    case 5:
    case 6:
    case 7:
        return *described && call_with_frame(s, sbv_receive, stream, scale) == SBV_OK;
    default:
        if (*described)
            call_with_frame(s, send_frame, stream, 1);
        return 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sbv_stream stream;
    int described = 0, restored = 0;
    choices = data;
    choices_left = size;
    errors = 0;
    sbv_session *s = open_session();
    if (!s)
        return 0;
    describe(s, &stream, &described);
    for (int i = 0; i < CALLS && choices_left; i++)
        restored += make_call(s, &stream, &described);
    fuzz_accepted += restored > 0;
    sbv_close(&s);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    fuzz_seed(seed);
    if (size && fuzz_below(4))
        return LLVMFuzzerMutate(data, size, max_size < 4 * LENGTH ? max_size : 4 * LENGTH);
    for (size = 0; size < LENGTH && size < max_size; size++)
        data[size] = (uint8_t)fuzz_below(256);
    return size;
}
