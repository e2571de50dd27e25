/*
 * Cases of colour_in, colour_out and picture: frames in the memory of the device and of the host, in every layout, at
 * odd sizes, and the samples and every byte around them compared with what kernels/reference makes.
 *
 * All limits are zero: the kernels compute the same sums and products in the same order, each rounded by itself.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/frame.h"
#include "tests/support/colour_layouts.h"
#include "tests/cuda/cases/cuda_cases.h"

#define EXACT "the same sums and products in the same order"

/* How a frame lies in its memory. */
enum placement {
    ALIGNED,   /* rows at multiples of 64 bytes */
    SWAPPED,   /* the same, the last plane first, as in FFmpeg's CUDA frames */
    ODD,       /* rows at odd addresses, an odd number of bytes apart */
    BOTTOM_UP, /* negative linesize */
    TIGHT,     /* no byte between rows */
    PLACEMENTS
};

typedef struct frame {
    test_buffer *buffer; /* on the device; NULL: in the memory of the host, `found` */
    sbv_frame device;    /* what the backend is given */
    sbv_frame host;      /* the same in `expected`, what the C twin is given */
    unsigned char *expected, *found;
    size_t bytes;
} frame;

/* Bytes of a row of a plane, 0 where there is no such plane, and its rows. */
static int row_bytes(const sbv_stream *s, int plane, int *rows)
{
    int bytes = 0;
    *rows = 0;
    for (int c = 0; c < s->components; c++) {
        const sbv_component *k = &s->component[c];
        const int end = k->offset + (component_w(s, c) - 1) * k->step + sample_bytes(s, c);
        if (k->plane != plane)
            continue;
        bytes = end > bytes ? end : bytes;
        *rows = component_h(s, c) > *rows ? component_h(s, c) : *rows;
    }
    if (bytes && sbv_colour_padded(s))
        bytes = s->width * 4; /* the padding of the last pixel too */
    return bytes;
}

/* Lays out the planes of a frame: offsets of their first rows, linesizes. Returns the bytes in all. */
static size_t place(const sbv_stream *s, enum placement placement, size_t offset[4], ptrdiff_t linesize[4])
{
    size_t bytes = placement == ODD;
    for (int i = 0; i < 4; i++) {
        const int plane = placement == SWAPPED ? 3 - i : i;
        int rows;
        size_t row = (size_t)row_bytes(s, plane, &rows);
        if (!row)
            continue;
        if (placement == ODD)
            row = (row + 5) | 1;
        else if (placement != TIGHT)
            row = (row + 63 + 16) / 64 * 64;
        offset[plane] = bytes;
        linesize[plane] = (ptrdiff_t)row;
        if (placement == BOTTOM_UP) {
            offset[plane] += row * (size_t)(rows - 1);
            linesize[plane] = -linesize[plane];
        }
        bytes += row * (size_t)rows;
    }
    return bytes;
}

static void *allocate(size_t bytes)
{
    void *memory = malloc(bytes ? bytes : 1);
    if (!memory)
        abort();
    return memory;
}

/* A frame of random bytes. Samples with a shift or fewer bits than bytes may have bits outside the range set only where
 * they are to be overwritten, so inputs are masked. */
static frame new_frame(cuda_test *t, enum test_role role, const sbv_stream *s, enum placement placement)
{
    frame f = {0};
    size_t offset[4] = {0};
    ptrdiff_t linesize[4] = {0};
    f.bytes = place(s, placement, offset, linesize);
    f.expected = allocate(f.bytes);
    if (s->memory == SBV_MEMORY_CUDA)
        f.buffer = test_buffer_new(t, role, f.bytes, 0);
    else
        f.found = allocate(f.bytes);
    for (size_t i = 0; i < f.bytes; i++)
        f.expected[i] = (unsigned char)(127.9f * (test_random(t) + 1));
    for (int i = 0; i < 4; i++)
        if (linesize[i]) {
            f.host.data[i] = f.expected + offset[i];
            f.device.data[i] = (f.buffer ? f.buffer->device : f.found) + offset[i];
            f.host.linesize[i] = f.device.linesize[i] = linesize[i];
        }
    for (int c = 0; c < s->components && role == TEST_IN; c++)
        for (int y = 0; y < component_h(s, c); y++)
            for (int x = 0; x < component_w(s, c); x++) {
                const sbv_component *k = &s->component[c];
                uint8_t *at = f.host.data[k->plane] + y * f.host.linesize[k->plane] + k->offset + x * k->step;
                uint16_t wide;
                if (k->depth == 8 || k->depth == 32)
                    continue;
                memcpy(&wide, at, sizeof(wide));
                wide = (uint16_t)((wide & ((1 << k->depth) - 1)) << k->shift);
                memcpy(at, &wide, sizeof(wide));
            }
    memcpy(f.buffer ? f.buffer->host : f.found, f.expected, f.bytes);
    return f;
}

static void free_frame(frame *f)
{
    free(f->expected);
    free(f->found);
}

/* The fourth byte of packed R, G, B is set, which the C twin leaves to its caller. */
static void fill_padding(const frame *f, const sbv_stream *s)
{
    if (!sbv_colour_padded(s))
        return;
    const int padding = 6 - s->component[0].offset - s->component[1].offset - s->component[2].offset;
    for (int y = 0; y < s->height; y++)
        for (int x = 0; x < s->width; x++)
            f->host.data[0][y * f->host.linesize[0] + 4 * x + padding] = 0xFF;
}

/* Every byte, those between samples, rows and planes too. */
static void compare_frame(cuda_test *t, const frame *f)
{
    const unsigned char *found = f->buffer ? f->buffer->host : f->found;
    for (size_t i = 0; i < f->bytes; i++)
        if (found[i] != f->expected[i]) {
            test_fail(t, "byte %zu of %zu is %d, not %d", i, f->bytes, found[i], f->expected[i]);
            return;
        }
}

/* Random values, a quarter of the range beyond black and white. */
static test_map *new_map(cuda_test *t, test_layout layout)
{
    test_map *map = test_map_new(t, TEST_IN, layout);
    for (int y = 0; y < layout.h; y++)
        for (int x = 0; x < layout.w; x++)
            for (int c = 0; c < layout.c; c++)
                *test_at(map, x, y, c) = 0.5f + 0.75f * test_random(t);
    return map;
}

/* Host frames pass through buffers for the stream at hand. */
static void describe(cuda_test *t, const sbv_stream *s, int scale)
{
    if (t->backend->describe(t->backend, s, scale) < 0)
        test_fail(t, "describe failed");
}

/* ---- The operations ---- */

typedef struct variant {
    const char *layout;
    sbv_stream stream;
    enum placement placement;
    int rows; /* of the input or the picture that are converted */
} variant;

static int begin(cuda_test *t, enum test_size size, const char *op, const variant *v)
{
    const sbv_stream *s = &v->stream;
    return test_begin(t, SBV_MAP_F32, size, "%s %s %dx%d site %d matrix %d full %d memory %d placement %d rows %d", op,
                      v->layout, s->width, s->height, s->chroma_site, s->matrix, s->full_range, s->memory, v->placement,
                      v->rows);
}

static void case_in(cuda_test *t, enum test_size size, const variant *v)
{
    const sbv_stream *s = &v->stream;
    if (!begin(t, size, "colour_in", v))
        return;
    frame f = new_frame(t, TEST_IN, s, v->placement);
    test_layout layout = {.w = s->width, .h = s->height, .c = 3, .dense = v->placement != ODD, .row_gap = 1};
    test_map *out = test_map_new(t, TEST_OUT, layout);
    sbv_colour_in_args host = {s, &f.host, out->host}, device = {s, &f.device, out->device};
    describe(t, s, 1);
    test_upload(t);
    sbv_colour_in_c(&host, 0, test_rows(t, v->rows));
    TEST_RUN(t, t->backend->colour_in(t->backend, &device, v->rows));
    test_compare(t, out, 0, EXACT);
    compare_frame(t, &f);
    free_frame(&f);
    test_end(t);
}

/* What is in the memory of the host is made in a buffer first. */
static void fetch(cuda_test *t, const sbv_stream *s, int buffer, const frame *f)
{
    if (s->memory == SBV_MEMORY_HOST && t->backend->fetch(t->backend, buffer, &f->device) < 0)
        test_fail(t, "fetch failed");
}

static void case_out(cuda_test *t, const variant *v)
{
    const sbv_stream *s = &v->stream;
    const int jobs = (v->rows + 1) / 2;
    if (!begin(t, TEST_SMALL, "colour_out", v))
        return;
    frame f = new_frame(t, TEST_INOUT, s, v->placement);
    test_map *in = new_map(t, (test_layout){.w = s->width, .h = s->height, .c = 3, .after = v->placement % 2});
    sbv_colour_out_args host = {s, in->host, &f.host, 0}, device = {s, in->device, &f.device, 1};
    describe(t, s, 1);
    test_upload(t);
    sbv_colour_out_c(&host, 0, jobs);
    if (v->rows == s->height)
        fill_padding(&f, s);
    TEST_RUN(t, {
        t->backend->colour_out(t->backend, &device, jobs);
        fetch(t, s, device.buffer, &f);
    });
    compare_frame(t, &f);
    free_frame(&f);
    test_end(t);
}

/* What `picture` replaces: the enlargement, the pixel shuffle, and colour out of the network. */
static void picture_c(const sbv_stream *s, sbv_map outputs, sbv_map rgb, const sbv_frame *out, int factor)
{
    const int w = rgb.w * factor, h = rgb.h * factor;
    float *pixels = allocate((size_t)w * (size_t)h * 3 * sizeof(*pixels));
    sbv_map full = {.data = pixels, .w = w, .h = h, .c = 3, .type = SBV_MAP_F32, .pixel = 3, .row = (ptrdiff_t)w * 3};
    sbv_resize_c(&(sbv_resize_args){.in = rgb, .out = full, .full_w = w, .full_h = h}, 0, h);
    sbv_pixel_shuffle_c(&(sbv_shuffle_args){.in = outputs, .out = full, .factor = factor, .add = 1}, 0, h);
    sbv_colour_out_c(&(sbv_colour_out_args){s, full, out, 0}, 0, (h + 1) / 2);
    free(pixels);
}

static void case_picture(cuda_test *t, enum test_size size, const variant *v, int factor)
{
    const sbv_stream *s = &v->stream;
    sbv_stream large = *s;
    large.width *= factor;
    large.height *= factor;
    if (!begin(t, size, factor == 2 ? "picture 2" : "picture 4", v))
        return;
    frame f = new_frame(t, TEST_INOUT, &large, v->placement);
    /* Outputs that begin anywhere are read one by one, others as vectors. */
    test_map *outputs = new_map(t, (test_layout){.w = s->width,
                                                 .h = s->height,
                                                 .c = 3 * factor * factor,
                                                 .offset = v->placement == ODD,
                                                 .after = v->placement == ODD ? 3 : 0,
                                                 .dense = v->placement != ODD});
    test_map *rgb = new_map(t, (test_layout){.w = s->width, .h = s->height, .c = 3, .after = v->placement % 2});
    sbv_picture_args device = {s, outputs->device, rgb->device, &f.device, factor, factor == 2};
    describe(t, s, factor);
    test_upload(t);
    picture_c(s, outputs->host, rgb->host, &f.host, factor);
    fill_padding(&f, &large);
    TEST_RUN(t, {
        t->backend->picture(t->backend, &device);
        fetch(t, s, device.buffer, &f);
    });
    compare_frame(t, &f);
    free_frame(&f);
    test_end(t);
}

/* NaN becomes the lowest code, as values without bounds become the lowest or the highest. */
static void case_not_a_number(cuda_test *t, const layout *l)
{
    static const float values[] = {NAN, INFINITY, -INFINITY, 1e30f, -1e30f};
    sbv_stream s = make_stream(l, 5, 3);
    s.memory = SBV_MEMORY_CUDA;
    if (!test_begin(t, SBV_MAP_F32, TEST_SMALL, "colour_out %s, not a number", l->name))
        return;
    frame f = new_frame(t, TEST_INOUT, &s, ALIGNED);
    test_map *in = new_map(t, (test_layout){.w = s.width, .h = s.height, .c = 3});
    for (int i = 0; i < 15; i++)
        for (int c = 0; c < 3; c++)
            *test_at(in, i % 5, i / 5, c) = values[i % 5];
    sbv_colour_out_args host = {&s, in->host, &f.host, 0}, device = {&s, in->device, &f.device, 0};
    test_upload(t);
    sbv_colour_out_c(&host, 0, 2);
    fill_padding(&f, &s);
    TEST_RUN(t, t->backend->colour_out(t->backend, &device, 2));
    compare_frame(t, &f);
    free_frame(&f);
    test_end(t);
}

#define QUEUED 7

static void send_all(cuda_test *t, const sbv_stream *s, const frame *f, test_map *const *out)
{
    for (int i = 0; i < QUEUED; i++) {
        sbv_colour_in_args a = {s, &f[i].device, out[i]->device};
        t->backend->colour_in(t->backend, &a, s->height);
        memset(f[i].found, 0xEE, f[i].bytes);
    }
}

/* Frames of the host sent one behind the other with nobody waiting for the device in between; the memory of each is
 * overwritten as soon as the call is back. */
static void case_queued_inputs(cuda_test *t)
{
    sbv_stream s = make_stream(&layouts[0], 37, 23);
    frame f[QUEUED];
    test_map *out[QUEUED];
    if (!test_begin(t, SBV_MAP_F32, TEST_SMALL, "colour_in, %d frames of the host in a row", QUEUED))
        return;
    for (int i = 0; i < QUEUED; i++) {
        f[i] = new_frame(t, TEST_IN, &s, ALIGNED);
        out[i] = test_map_new(t, TEST_OUT, (test_layout){.w = s.width, .h = s.height, .c = 3});
    }
    describe(t, &s, 1);
    test_upload(t);
    for (int i = 0; i < QUEUED; i++)
        sbv_colour_in_c(&(sbv_colour_in_args){&s, &f[i].host, out[i]->host}, 0, s.height);
    TEST_RUN(t, send_all(t, &s, f, out));
    for (int i = 0; i < QUEUED; i++) {
        test_compare(t, out[i], 0, EXACT);
        free_frame(&f[i]);
    }
    test_end(t);
}

static void receive_all(cuda_test *t, const sbv_stream *s, const frame *f, test_map *const *outputs,
                        test_map *const *rgb)
{
    for (int i = -1; i < 3; i++) {
        const int n = i < 0 ? 2 : i;
        sbv_picture_args a = {s, outputs[n]->device, rgb[n]->device, &f[n].device, 4, n % SBV_OUTPUT_BUFFERS};
        t->backend->picture(t->backend, &a);
        if (i > 0)
            fetch(t, s, (i - 1) % SBV_OUTPUT_BUFFERS, &f[i - 1]);
    }
    fetch(t, s, 2 % SBV_OUTPUT_BUFFERS, &f[2]);
    for (int i = 0; i < 3; i++)
        compare_frame(t, &f[i]);
}

/* Pictures for the host, each queued before the one before it is fetched, after one that is never fetched. */
static void case_queued_pictures(cuda_test *t)
{
    sbv_stream s = make_stream(&layouts[0], 9, 27);
    sbv_stream large = s;
    frame f[3];
    test_map *outputs[3], *rgb[3];
    large.width *= 4;
    large.height *= 4;
    if (!test_begin(t, SBV_MAP_F32, TEST_SMALL, "picture, 3 for the host in a row"))
        return;
    for (int i = 0; i < 3; i++) {
        f[i] = new_frame(t, TEST_INOUT, &large, ALIGNED);
        outputs[i] = new_map(t, (test_layout){.w = s.width, .h = s.height, .c = 48});
        rgb[i] = new_map(t, (test_layout){.w = s.width, .h = s.height, .c = 3});
    }
    describe(t, &s, 4);
    test_upload(t);
    for (int i = 0; i < 3; i++)
        picture_c(&s, outputs[i]->host, rgb[i]->host, &f[i].host, 4);
    TEST_RUN(t, receive_all(t, &s, f, outputs, rgb));
    for (int i = 0; i < 3; i++)
        free_frame(&f[i]);
    test_end(t);
}

/* ---- The list ---- */

/* The last ones are more than a tile wide, and more than a band of a picture high. */
static const int sizes[][2] = {{1, 1}, {1, 2}, {2, 1}, {3, 5}, {17, 9}, {33, 18}, {131, 3}, {5, 67}};

static void run_variant(cuda_test *t, const variant *v)
{
    case_in(t, TEST_SMALL, v);
    case_out(t, v);
    if (v->rows == v->stream.height && v->stream.width * v->stream.height < 600) {
        case_picture(t, TEST_SMALL, v, 2);
        case_picture(t, TEST_SMALL, v, 4);
    }
}

/* Every layout at every size, with what else makes a difference taking turns. */
static void all_layouts(cuda_test *t)
{
    int turn = 0;
    for (int l = 0; l < LAYOUTS; l++)
        for (size_t n = 0; n < sizeof(sizes) / sizeof(sizes[0]); n++, turn++) {
            variant v = {.layout = layouts[l].name, .stream = make_stream(&layouts[l], sizes[n][0], sizes[n][1])};
            v.stream.matrix = (enum sbv_matrix)(turn % 3);
            v.stream.full_range = turn / 3 % 2;
            v.stream.chroma_site = (enum sbv_chroma_site)(turn % 6);
            v.stream.memory = turn % 3 ? SBV_MEMORY_CUDA : SBV_MEMORY_HOST;
            v.placement = (enum placement)(turn % PLACEMENTS);
            v.rows = v.stream.height;
            run_variant(t, &v);
        }
}

/* Everything that makes a difference to the chroma, in both kinds of memory. */
static void all_sites(cuda_test *t)
{
    int turn = 0;
    for (int l = 0; l < LAYOUTS; l++)
        for (int site = 0; site < 6 && (layouts[l].w_log2 || layouts[l].h_log2); site++)
            for (int memory = 0; memory < 2; memory++, turn++) {
                variant v = {.layout = layouts[l].name, .stream = make_stream(&layouts[l], 19, 35)};
                v.stream.chroma_site = (enum sbv_chroma_site)site;
                v.stream.memory = memory ? SBV_MEMORY_CUDA : SBV_MEMORY_HOST;
                v.stream.matrix = (enum sbv_matrix)(turn % 3);
                v.stream.full_range = turn % 2;
                v.placement = (enum placement)((turn + site) % PLACEMENTS);
                v.rows = 35;
                case_in(t, TEST_SMALL, &v);
                case_out(t, &v);
                v.rows = 18; /* the rest of the frame keeps its bytes */
                case_in(t, TEST_SMALL, &v);
                case_out(t, &v);
            }
}

static void timed(cuda_test *t)
{
    static const char *const names[] = {"yuv420p", "nv12", "p010", "bgr0"};
    for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
        for (int l = 0; l < LAYOUTS; l++)
            for (int memory = 0; memory < 2 && !strcmp(layouts[l].name, names[n]); memory++) {
                variant v = {.layout = names[n], .stream = make_stream(&layouts[l], 960, 540), .rows = 540};
                v.stream.memory = memory ? SBV_MEMORY_CUDA : SBV_MEMORY_HOST;
                case_in(t, TEST_TIMED, &v);
                case_picture(t, TEST_TIMED, &v, 4);
            }
}

void cuda_cases_colour(cuda_test *t)
{
    all_layouts(t);
    all_sites(t);
    for (int l = 0; l < LAYOUTS; l++)
        if (layouts[l].rgb || layouts[l].components == 1)
            case_not_a_number(t, &layouts[l]);
    case_queued_inputs(t);
    case_queued_pictures(t);
    timed(t);
}
