/*
 * Times one frame on the CPU: as a whole, its convolutions alone, and each operation in its place. Prints lines of
 * JSON:
 *
 *     bench_ops MODEL.bin [precision=auto|fp32|bf16] [size=320x180] [threads=1] [seconds=4] [operations=on|off]
 *               [input=FILE] [output=FILE]
 *
 * What is repeated for so many seconds, and at least once: a frame sent and one received, in the middle of a stream;
 * the convolutions of that frame in their order on the same maps, with nothing between; the frame again with a clock
 * round every operation. On several threads only the shares of that frame are printed: what is no convolution, and what
 * is not spread over threads. "kind" says what a line is about: the session, a peak of the processor, the frame, an
 * operation.
 *
 * Frames are a moving texture in NV12. With input=FILE they are packed 8-bit RGB from there, and output=FILE takes what
 * frame number `sequence / 2` became, whose window is full. Exit status 77: the processor does not have that precision.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "meter.h"
#include "peak.h"

#define NOT_OFFERED   77
#define INPUTS        8  /* different frames at most */
#define PEAK_SMALLEST 15 /* log2 of the bytes that the memory peaks are measured with */
#define PEAK_LARGEST  27
#define MAX_THREADS   256

struct settings {
    const char *model, *input, *output;
    enum sbv_precision precision;
    int width, height, threads, operations;
    double seconds;
};

struct bench {
    const struct settings *set;
    sbv_session *session;
    sbv_stream stream;
    sbv_frame input[INPUTS], output;
    size_t input_bytes, output_bytes;
    int inputs;
    int64_t sent;
    double open_seconds, first_seconds;
    double frame[METER_PASSES], convs[METER_PASSES]; /* seconds: nothing beside, the convolutions alone */
    double other[METER_PASSES],
        serial[METER_PASSES]; /* shares of a metered frame: what is no convolution, one thread */
    int passes;
    meter meter;
    struct {
        float scene;
        int refine;
        const float *blur; /* 3x3 */
    } asked;               /* of the session */
};

static void stop(int status, const char *what)
{
    fprintf(stderr, "bench_ops: %s\n", what);
    exit(status);
}

static void print_error(void *opaque, enum sbv_log_level level, const char *message)
{
    (void)opaque;
    if (level <= SBV_LOG_WARNING)
        fprintf(stderr, "bench_ops: %s\n", message);
}

static void *need(void *memory)
{
    if (!memory)
        stop(1, "out of memory");
    return memory;
}

/* ---- Frames ---- */

static sbv_stream nv12(int width, int height)
{
    return (sbv_stream){
        .width = width,
        .height = height,
        .components = 3,
        .chroma_w_log2 = 1,
        .chroma_h_log2 = 1,
        .component = {{.plane = 0, .step = 1, .depth = 8},
                      {.plane = 1, .step = 2, .offset = 0, .depth = 8},
                      {.plane = 1, .step = 2, .offset = 1, .depth = 8}},
        .matrix = SBV_MATRIX_BT709,
    };
}

static sbv_stream rgb24(int width, int height)
{
    sbv_stream stream = {.width = width, .height = height, .components = 3, .rgb = 1};
    for (int i = 0; i < 3; i++)
        stream.component[i] = (sbv_component){.plane = 0, .step = 3, .offset = i, .depth = 8};
    return stream;
}

/* A picture of the kind of the stream, of that size. Returns its bytes. */
static size_t allocate_frame(const sbv_stream *stream, int width, int height, sbv_frame *frame)
{
    const size_t row = (size_t)width * (stream->rgb ? 3 : 1), luma = row * (size_t)height;
    const size_t chroma_row = ((size_t)width + 1) / 2 * 2;
    const size_t bytes = luma + (stream->rgb ? 0 : chroma_row * (((size_t)height + 1) / 2));
    uint8_t *memory = need(malloc(bytes));
    *frame = (sbv_frame){.data = {memory, stream->rgb ? NULL : memory + luma},
                         .linesize = {(ptrdiff_t)row, stream->rgb ? 0 : (ptrdiff_t)chroma_row},
                         .width = width,
                         .height = height};
    return bytes;
}

/* Waves that move by a pixel or two a frame, so that the flow network has something to find. */
static void draw_texture(const sbv_stream *stream, sbv_frame *frame, int time)
{
    for (int plane = 0; plane < 2; plane++) {
        const int w = plane ? (stream->width + 1) / 2 * 2 : stream->width;
        const int h = plane ? (stream->height + 1) / 2 : stream->height;
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) {
                const float u = (float)(x + 2 * time), v = (float)(y - time);
                frame->data[plane][y * frame->linesize[plane] + x] =
                    (uint8_t)(126 + 40 * sinf(0.31f * u + 0.17f * v) + 40 * sinf(0.11f * u - 0.47f * v));
            }
    }
}

static void read_frames(struct bench *b)
{
    FILE *file = fopen(b->set->input, "rb");
    if (!file)
        stop(1, "the input cannot be opened");
    while (b->inputs < INPUTS) {
        sbv_frame *frame = &b->input[b->inputs];
        const size_t bytes = allocate_frame(&b->stream, b->stream.width, b->stream.height, frame);
        if (fread(frame->data[0], 1, bytes, file) != bytes) {
            free(frame->data[0]);
            break;
        }
        b->inputs++;
    }
    fclose(file);
    if (!b->inputs)
        stop(1, "the input has no whole frame");
}

static void make_frames(struct bench *b)
{
    const int scale = sbv_model(b->session)->scale;
    if (b->set->input)
        read_frames(b);
    while (!b->set->input && b->inputs < INPUTS / 2) {
        allocate_frame(&b->stream, b->stream.width, b->stream.height, &b->input[b->inputs]);
        draw_texture(&b->stream, &b->input[b->inputs], b->inputs);
        b->inputs++;
    }
    b->output_bytes = allocate_frame(&b->stream, b->stream.width * scale, b->stream.height * scale, &b->output);
}

static void write_output(const struct bench *b)
{
    FILE *file = fopen(b->set->output, "wb");
    if (!file || fwrite(b->output.data[0], 1, b->output_bytes, file) != b->output_bytes || fclose(file))
        stop(1, "the output cannot be written");
}

/* ---- The session ---- */

static void open_session(struct bench *b)
{
    const struct settings *set = b->set;
    const double start = bench_now();
    sbv_config config;
    int ret;
    sbv_config_default(&config);
    config.model_path = set->model;
    config.backend = SBV_BACKEND_CPU;
    config.precision = set->precision;
    config.threads = set->threads;
    config.scene = b->asked.scene;
    config.refine = b->asked.refine;
    config.kernel = b->asked.blur;
    config.kernel_side = b->asked.blur ? 3 : 0;
    config.log = print_error;
    if ((ret = sbv_open(&b->session, &config)) < 0)
        exit(ret == SBV_ERROR_ARGUMENT && set->precision != SBV_PRECISION_FP32 ? NOT_OFFERED : 1);
    b->stream = (set->input ? rgb24 : nv12)(set->width, set->height);
    if (sbv_describe(b->session, &b->stream) < 0)
        exit(1);
    b->open_seconds = bench_now() - start;
}

static void send_frame(struct bench *b)
{
    if (sbv_send(b->session, &b->input[b->sent++ % b->inputs]) != SBV_OK)
        stop(1, "a frame is not taken");
}

static void receive_frame(struct bench *b)
{
    if (sbv_receive(b->session, &b->output) != SBV_OK)
        stop(1, "a frame is not given back");
}

static int is_conv(const meter_group *group)
{
    return group->op == COST_conv || group->op == COST_residual_block;
}

/* A frame in the middle of a stream. Returns its seconds. */
static double step(struct bench *b)
{
    const bench_timer timer = bench_start();
    send_frame(b);
    receive_frame(b);
    return bench_seconds(&timer, b->set->threads);
}

/* Frames until the first comes back. */
static void send_first(struct bench *b)
{
    while (sbv_ready(b->session, NULL) == SBV_AGAIN)
        send_frame(b);
}

static void restore_first(struct bench *b)
{
    const int sequence = sbv_model(b->session)->sequence;
    const bench_timer timer = bench_start();
    send_first(b);
    receive_frame(b);
    b->first_seconds = bench_seconds(&timer, b->set->threads);
    for (int i = 0; b->set->output && i < sequence / 2; i++)
        step(b);
    if (b->set->output)
        write_output(b);
}

/* A frame with a clock round its operations. */
static void meter_frame(struct bench *b)
{
    const int pass = b->passes;
    double convs = 0;
    meter_begin(&b->meter, b->session);
    const double seconds = step(b);
    meter_end();
    for (int i = 0; i < b->meter.groups; i++)
        if (is_conv(&b->meter.group[i]))
            convs += b->meter.group[i].seconds[pass];
    b->other[pass] = 1 - convs / seconds;
    b->serial[pass] = b->set->threads > 1 ? 1 - b->meter.spread[pass] / seconds : 1;
}

static void repeat_frame(struct bench *b)
{
    const double start = bench_now();
    do {
        b->frame[b->passes] = step(b);
        meter_frame(b);
        const bench_timer timer = bench_start();
        meter_run_convs(&b->meter, b->session);
        b->convs[b->passes++] = bench_seconds(&timer, b->set->threads);
    } while (b->passes < METER_PASSES && bench_now() - start < b->set->seconds);
}

/* ---- Lines ---- */

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The one in the middle. Sorts them. */
static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof(*values), compare);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* "min_ms": the least, "median_ms": the one in the middle. Sorts them. */
static void print_times(const char *prefix, double *seconds, int count)
{
    const double middle = median(seconds, count);
    printf("\"%smin_ms\": %.6f, \"%smedian_ms\": %.6f, ", prefix, 1e3 * seconds[0], prefix, 1e3 * middle);
}

static void print_session(const struct bench *b)
{
    printf("{\"kind\": \"session\", \"library\": \"%s\", \"isa\": \"%s\", \"threads\": %d, \"precision\": \"%s\", "
           "\"width\": %d, \"height\": %d, \"parameters\": %lld, \"open_ms\": %.3f, \"plan_bytes\": %zu}\n",
           sbv_version(), b->session->engine.exec.isa, b->session->engine.exec.threads,
           sbv_precision_name(&b->session->engine.exec), b->stream.width, b->stream.height,
           (long long)sbv_model(b->session)->parameters, 1e3 * b->open_seconds, b->session->engine.ws.bytes);
}

static void print_memory_peaks(const struct bench *b)
{
    for (int i = PEAK_SMALLEST; i <= PEAK_LARGEST; i++)
        printf("{\"kind\": \"peak\", \"name\": \"memory\", \"bytes\": %zu, \"rate\": %.6e}\n", (size_t)1 << i,
               peak_memory(b->session->engine.exec.isa, (size_t)1 << i));
}

static void print_peaks(const struct bench *b)
{
    printf("{\"kind\": \"peak\", \"name\": \"f32\", \"flops\": %.6e}\n", peak_f32(b->session->engine.exec.isa));
    printf("{\"kind\": \"peak\", \"name\": \"bf16\", \"flops\": %.6e}\n", peak_bf16());
}

static void print_frame(struct bench *b)
{
    double flops = 0, made = 0;
    for (int i = 0; i < b->meter.groups; i++)
        if (is_conv(&b->meter.group[i])) {
            flops += b->meter.group[i].flops;
            made += b->meter.group[i].made;
        }
    printf("{\"kind\": \"frame\", ");
    print_times("", b->frame, b->passes);
    print_times("convs_", b->convs, b->passes);
    printf("\"other_share\": %.6f, \"serial_share\": %.6f, ", median(b->other, b->passes),
           median(b->serial, b->passes));
    printf("\"first_ms\": %.3f, \"convs\": %d, \"convs_flops\": %.6e, \"convs_made\": %.6e, \"passes\": %d}\n",
           1e3 * b->first_seconds, b->meter.convs, flops, made, b->passes);
}

/* But those that are in `others` too. */
static void print_operations(meter *m, const char *part, const meter *others)
{
    for (int i = 0; i < m->groups; i++) {
        meter_group *g = &m->group[i];
        if (others && meter_find(others, g->op, g->shape))
            continue;
        printf("{\"kind\": \"operation\", \"part\": \"%s\", \"name\": \"%s\", \"shape\": \"%s\", \"calls\": %d, ", part,
               cost_name(g->op), g->shape, g->calls);
        print_times("", g->seconds, m->passes);
        printf("\"flops\": %.6e, \"made\": %.6e, \"bytes\": %.6e, \"parts\": %d, \"passes\": %d}\n", g->flops, g->made,
               g->bytes, g->parts, m->passes);
    }
}

/* ---- The run ---- */

static void close_all(struct bench *b)
{
    for (int i = 0; i < b->inputs; i++)
        free(b->input[i].data[0]);
    free(b->output.data[0]);
    meter_free(&b->meter);
    sbv_close(&b->session);
}

/* What is no part of a frame unless it is asked for: the look for scene cuts, the kernel network, a step of refinement.
 */
static void run_options(const struct bench *frame)
{
    static const float box[9] = {1 / 9.0f, 1 / 9.0f, 1 / 9.0f, 1 / 9.0f, 1 / 9.0f,
                                 1 / 9.0f, 1 / 9.0f, 1 / 9.0f, 1 / 9.0f};
    struct bench b = {.set = frame->set, .asked = {.scene = 1, .refine = 1}};
    if (!sbv_model(frame->session)->kernel_size)
        b.asked.blur = box;
    open_session(&b);
    make_frames(&b);
    send_frame(&b);
    meter_begin(&b.meter, b.session);
    send_first(&b);
    receive_frame(&b);
    meter_end();
    print_operations(&b.meter, "options", &frame->meter);
    close_all(&b);
}

static void measure(struct bench *b)
{
    open_session(b);
    make_frames(b);
    restore_first(b);
    print_session(b);
    print_peaks(b); /* now, when the processor is as warm as it is going to be */
    repeat_frame(b);
    print_peaks(b);
    print_frame(b);
    if (b->set->operations && b->set->threads == 1) {
        print_memory_peaks(b);
        print_operations(&b->meter, "frame", NULL);
        run_options(b);
    }
    close_all(b);
}

/* ---- The command line ---- */

static int parse_precision(struct settings *set, const char *value)
{
    if (!strcmp(value, "auto"))
        set->precision = SBV_PRECISION_AUTO;
    else if (!strcmp(value, "fp32"))
        set->precision = SBV_PRECISION_FP32;
    else if (!strcmp(value, "bf16"))
        set->precision = SBV_PRECISION_BF16;
    else
        return -1;
    return 0;
}

/* One name=value of the command line; -1 if it is wrong. */
static int parse(struct settings *set, const char *argument)
{
    const char *value = strchr(argument, '=');
    const size_t name = value ? (size_t)(value++ - argument) : 0;
    int length = 0;
#define IS(word) (name == sizeof(word) - 1 && !strncmp(argument, word, name))
    if (IS("precision"))
        return parse_precision(set, value);
    if (IS("size"))
        return sscanf(value, "%4dx%4d%n", &set->width, &set->height, &length) == 2 && !value[length] ? 0 : -1;
    if (IS("threads"))
        return sscanf(value, "%3d%n", &set->threads, &length) == 1 && !value[length] && set->threads > 0 &&
                       set->threads <= MAX_THREADS
                   ? 0
                   : -1;
    if (IS("seconds"))
        return sscanf(value, "%lf%n", &set->seconds, &length) == 1 && !value[length] && set->seconds >= 0 ? 0 : -1;
    if (IS("operations"))
        return set->operations = !strcmp(value, "on"), !strcmp(value, "on") || !strcmp(value, "off") ? 0 : -1;
    if (IS("input"))
        return set->input = value, 0;
    if (IS("output"))
        return set->output = value, 0;
#undef IS
    return -1;
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct settings set = {.width = 320, .height = 180, .threads = 1, .operations = 1, .seconds = 4};
    if (argc < 2)
        stop(2, "usage: bench_ops MODEL.bin [precision=auto|fp32|bf16] [size=320x180] [threads=1] [seconds=4]\n"
                "                 [operations=on|off] [input=FILE] [output=FILE]");
    set.model = argv[1];
    for (int i = 2; i < argc; i++)
        if (parse(&set, argv[i]) < 0) {
            fprintf(stderr, "bench_ops: '%s' cannot be used\n", argv[i]);
            return 2;
        }
    b.set = &set;
    measure(&b);
    return 0;
}
