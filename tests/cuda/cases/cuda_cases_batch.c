/*
 * Cases of batches: several operations in one launch, each with maps of its own between guard bands, must give what
 * each gives alone. Convolutions of a batch may have weights, and a part of the output, of their own; maps may lie at
 * multiples of 16 bytes in some of a batch and not in others.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/conv.h"
#include "tests/cuda/cases/cuda_conv_case.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *name_of(enum sbv_type type)
{
    return type == SBV_MAP_F16 ? "f16" : "f32";
}

/* ---- Convolutions ---- */

struct batch_case {
    const char *what;
    conv_shape s;
    int count;
    int parts;  /* of each convolution: x0 and y0 one more than of the one before, x1 half as far from x0 */
    int shared; /* all have the same weights */
    int odd;    /* every second input lies a channel further on */
};

static const struct batch_case conv_cases[] = {
    {"decoder", {CONV(117, 64, 3, 1, 1, 20, 18), HALVES, .slope = SBV_LEAKY, .in_offset = 8}, 4, .shared = 1},
    {"decoder, flow", {CONV(81, 2, 3, 1, 1, 9, 5), .in_type = SBV_MAP_F16, .slope = SBV_LINEAR}, 3, .shared = 1},
    {"refiner",
     {CONV(32, 2, 3, 1, 1, 18, 35), .in_type = SBV_MAP_F16, .slope = SBV_LINEAR, .residual = OWN_RESIDUAL},
     4,
     .shared = 1},
    {"refiner", {CONV(64, 32, 3, 1, 4, 11, 9), HALVES, .slope = SBV_LEAKY}, 2, .shared = 1},
    {"tail", {CONV(64, 48, 5, 1, 1, 40, 1), .in_type = SBV_MAP_F16, .slope = SBV_LINEAR}, 20, .parts = 1},
    {"tail", {CONV(40, 12, 5, 1, 1, 21, 33), .in_type = SBV_MAP_F16, .slope = SBV_LINEAR}, 5, .parts = 1},
    {"trunk", {CONV(64, 64, 3, 1, 1, 17, 34), HALVES, .slope = SBV_RELU, .residual = OTHER_RESIDUAL}, 2, .shared = 0},
    {"first", {CONV(3, 40, 3, 2, 1, 33, 21), .slope = SBV_LEAKY, .out_type = SBV_MAP_F16}, 3, .shared = 0},
    {"maps at different places", {CONV(40, 33, 3, 1, 1, 13, 11), HALVES, .slope = SBV_LEAKY}, 5, .shared = 1, .odd = 1},
};

/* Maps, weights and arguments of one convolution of a batch. */
struct member {
    test_map *out, *alone; /* by the batch, and by itself */
    float *raw, *packed;
    sbv_conv_args host, device, device_alone;
};

static void make_member(cuda_test *t, const struct batch_case *k, int i, struct member *m, const struct member *first)
{
    const conv_shape *s = &k->s;
    const int span = s->dilation * (s->ksize - 1) + 1, padding = span / 2;
    const int w = (s->w + 2 * padding - span) / s->stride + 1, h = (s->h + 2 * padding - span) / s->stride + 1;
    const enum sbv_type in_type = conv_type(t, s->in_type), out_type = conv_type(t, s->out_type);
    const test_layout out_layout = {.w = w, .h = h, .c = s->out, .type = out_type, .offset = s->out_offset};
    const enum test_role role = s->residual == OWN_RESIDUAL ? TEST_INOUT : TEST_OUT;
    test_map *in = test_map_new(t, TEST_IN,
                                (test_layout){.w = s->w,
                                              .h = s->h,
                                              .c = s->in,
                                              .type = in_type,
                                              .offset = s->in_offset + (k->odd ? i % 2 : 0),
                                              .row_gap = 1,
                                              .after = k->odd ? 1 - i % 2 : 0});
    test_map *add = s->residual == OTHER_RESIDUAL ? test_map_new(t, TEST_IN, out_layout) : NULL;
    m->out = test_map_new(t, role, out_layout);
    m->alone = test_map_new(t, role, out_layout);
    if (role == TEST_INOUT)
        memcpy(m->alone->host.data, m->out->host.data, sizeof(float) * (size_t)w * (size_t)h * (size_t)s->out);
    m->host = conv_args(s, w, padding);
    m->host.x0 += k->parts ? i % w : 0;
    m->host.x1 = k->parts ? m->host.x0 + (w - m->host.x0 + 1) / 2 : m->host.x1;
    m->host.y0 += k->parts ? i % h : 0;
    m->device = m->host;
    if (k->shared && i > 0) {
        m->host.weights = first->host.weights;
        m->host.bias = first->host.bias;
        m->device.weights = first->device.weights;
        m->device.bias = first->device.bias;
    } else {
        test_buffer *bias = conv_bias(t, s->out);
        test_buffer *weights =
            test_buffer_new(t, TEST_IN, t->backend->conv_bytes(t->backend, s->out, s->in, s->ksize), 0);
        m->raw = conv_weights(t, s);
        m->packed = conv_pack(s, m->raw);
        t->backend->pack_conv(t->backend, m->raw, s->out, s->in, s->ksize, weights->host);
        m->host.weights = m->packed;
        m->host.bias = (const float *)(const void *)bias->host;
        m->device.weights = weights->device;
        m->device.bias = (const float *)(const void *)bias->device;
    }
    m->host.in = in->host;
    m->device.in = in->device;
    m->host.out = m->out->host;
    m->device.out = m->out->device;
    m->device_alone = m->device;
    m->device_alone.out = m->alone->device;
    if (s->residual != NO_RESIDUAL) {
        m->host.residual = add ? add->host : m->out->host;
        m->device.residual = add ? add->device : m->out->device;
        m->device_alone.residual = add ? add->device : m->alone->device;
    }
}

/* Both maps have been written where the C twin wrote, with the same bits. */
static void compare_members(cuda_test *t, const struct member *m, int count, double limit)
{
    for (int i = 0; i < count; i++) {
        memcpy(m[i].alone->host.data, m[i].out->host.data,
               sizeof(float) * (size_t)m[i].out->host.row * (size_t)m[i].out->host.h);
        test_compare(t, m[i].out, limit, "as a convolution by itself");
        test_compare(t, m[i].alone, limit, "as a convolution by itself");
        conv_compare_bits(t, (test_map *[]){m[i].out, m[i].alone}, 2);
    }
}

/* tile: of conv_mma.cu, or -1 for what the backend chooses. */
static void run_conv(cuda_test *t, const struct batch_case *k, int tile)
{
    struct member m[SBV_MAX_BATCH] = {0};
    sbv_conv_args device[SBV_MAX_BATCH];
    float *zeros = conv_memory((size_t)k->s.in);
    sbv_cuda *c = (sbv_cuda *)t->backend;
    for (int i = 0; i < k->count; i++)
        make_member(t, k, i, &m[i], m);
    const int rows = m[0].out->host.h - (k->parts ? m[k->count - 1].host.y0 : 0);
    test_upload(t);
    for (int i = 0; i < k->count; i++) {
        m[i].host.zeros = zeros;
        device[i] = m[i].device;
        sbv_conv_c(&m[i].host, 0, rows);
    }
    int taken = 1;
    TEST_RUN(t, {
        if (tile < 0)
            c->base.conv(&c->base, device, k->count, rows);
        else
            taken = sbv_cuda_conv_mma(c, device, k->count, rows, (enum sbv_mma_tile)tile);
        for (int i = 0; i < k->count; i++)
            if (tile < 0)
                c->base.conv(&c->base, &m[i].device_alone, 1, rows);
            else
                taken = taken && sbv_cuda_conv_mma(c, &m[i].device_alone, 1, rows, (enum sbv_mma_tile)tile);
    });
    if (!taken)
        test_fail(t, "the kernel does not take this shape");
    compare_members(t, m, k->count, t->backend->type == SBV_MAP_F32 ? TEST_LIMIT_F32 : TEST_LIMIT_F16);
    for (int i = 0; i < k->count; i++) {
        free(m[i].raw);
        free(m[i].packed);
    }
    free(zeros);
}

static void convolutions(cuda_test *t)
{
    /* The shape of the first case suits all tiles; its inputs all lie alike. */
    static const char *const tiles[] = {"halo 128", "halo 64", "halo 32", "gather 64", "gather 32", "split"};
    for (size_t n = 0; n < 2 * COUNT(conv_cases); n++) {
        const struct batch_case *k = &conv_cases[n / 2];
        if (test_begin(t, n % 2 ? SBV_MAP_F16 : SBV_MAP_F32, TEST_SMALL, "batch of %d: conv %s, %d to %d, %dx%d, %s",
                       k->count, k->what, k->s.in, k->s.out, k->s.w, k->s.h, n % 2 ? "fp16" : "fp32")) {
            run_conv(t, k, -1);
            test_end(t);
        }
    }
    for (int tile = 0; tile < (int)COUNT(tiles); tile++)
        for (size_t n = 0; n < 2; n++) {
            const struct batch_case *k = &conv_cases[n ? 5 : 0];
            if (!test_begin(t, SBV_MAP_F16, TEST_SMALL, "batch of %d: conv %s, %d to %d, %s", k->count, k->what,
                            k->s.in, k->s.out, tiles[tile]))
                continue;
            if (((sbv_cuda *)t->backend)->sm < 80) {
                test_skip(t, "tensor cores by mma.sync: compute capability 8.0 or later");
                continue;
            }
            run_conv(t, k, tile);
            test_end(t);
        }
}

/* ---- The others ---- */

/* A map of each of a batch; every second one begins `shift` channels further on. */
static void make_maps(cuda_test *t, test_map *map[], int count, enum test_role role, test_layout layout, int shift)
{
    for (int i = 0; i < count; i++) {
        test_layout own = layout;
        own.offset += i % 2 ? shift : 0;
        own.after += i % 2 ? 0 : shift;
        map[i] = test_map_new(t, role, own);
    }
}

static void compare_maps(cuda_test *t, test_map *map[], int count, double limit, const char *reason)
{
    for (int i = 0; i < count; i++)
        test_compare(t, map[i], limit, reason);
}

static void copies(cuda_test *t)
{
    /* Size, number, channels by which places differ. */
    static const int sizes[][5] = {{7, 5, 29, 3, 0}, {1, 3, 64, 20, 0}, {9, 2, 16, 4, 3}, {1, 65540, 1, 2, 0}};
    for (size_t n = 0; n < 2 * COUNT(sizes); n++) {
        const int *k = sizes[n / 2], count = k[3];
        const enum sbv_type type = n % 2 ? SBV_MAP_F16 : SBV_MAP_F32;
        test_map *in[SBV_MAX_BATCH], *out[SBV_MAX_BATCH];
        sbv_copy_args host[SBV_MAX_BATCH], device[SBV_MAX_BATCH];
        const test_layout layout = {.w = k[0], .h = k[1], .c = k[2], .type = type, .row_gap = 1};
        if (!test_begin(t, type, TEST_SMALL, "batch of %d: copy %dx%dx%d, %s", count, k[0], k[1], k[2], name_of(type)))
            continue;
        make_maps(t, in, count, TEST_IN, layout, k[4]);
        make_maps(t, out, count, TEST_OUT, layout, 0);
        test_upload(t);
        for (int i = 0; i < count; i++) {
            host[i] = (sbv_copy_args){in[i]->host, out[i]->host};
            device[i] = (sbv_copy_args){in[i]->device, out[i]->device};
            sbv_copy_c(&host[i], 0, k[1]);
        }
        TEST_RUN(t, t->backend->copy(t->backend, device, count, k[1]));
        compare_maps(t, out, count, 0, "a copy is exact");
        test_end(t);
    }
}

static void resizes(cuda_test *t)
{
    /* Size, that of the result, number, move. */
    static const int sizes[][6] = {
        {5, 3, 20, 11, 4, 0}, {3, 5, 300, 7, 20, 0}, {4, 3, 16, 12, 3, 4}, {1, 1, 1, 65540, 2, 0}};
    for (size_t n = 0; n < COUNT(sizes); n++) {
        const int *k = sizes[n], count = k[4];
        test_map *in[SBV_MAX_BATCH], *out[SBV_MAX_BATCH];
        sbv_resize_args host[SBV_MAX_BATCH], device[SBV_MAX_BATCH];
        if (!test_begin(t, SBV_MAP_F32, TEST_SMALL, "batch of %d: resize %dx%d to %dx%d%s", count, k[0], k[1], k[2],
                        k[3], k[5] ? ", moved" : ""))
            continue;
        make_maps(t, in, count, TEST_IN, (test_layout){.w = k[0], .h = k[1], .c = 2}, 1);
        make_maps(t, out, count, TEST_OUT, (test_layout){.w = k[2], .h = k[3], .c = 2, .row_gap = 1}, 2);
        test_upload(t);
        for (int i = 0; i < count; i++) {
            host[i] = (sbv_resize_args){.gain = {2.5f, -0.5f}, .full_w = k[2], .full_h = k[3], .move = k[5]};
            device[i] = host[i];
            host[i].in = in[i]->host, host[i].out = out[i]->host;
            device[i].in = in[i]->device, device[i].out = out[i]->device;
            sbv_resize_c(&host[i], 0, k[3]);
        }
        TEST_RUN(t, t->backend->resize(t->backend, device, count, k[3]));
        compare_maps(t, out, count, 1e-6, "up to sixteen products, fused or not");
        test_end(t);
    }
}

/* Every other one reads half of the channels, with weights and biases of its own: the flow and the features of a level.
 */
static sbv_deconv_args deconv_args(sbv_map in, sbv_map out, const float *weights, const float *bias, int i)
{
    in.c >>= i % 2;
    return (sbv_deconv_args){in, out, weights + i % 2 * 8, bias + i % 2};
}

static void deconvolutions(cuda_test *t)
{
    /* Channels in and out, size, number. */
    static const int sizes[][5] = {{2, 2, 7, 5, 4}, {533, 2, 3, 2, 3}, {33, 1, 13, 3, 20}};
    for (size_t n = 0; n < 2 * COUNT(sizes); n++) {
        const int *k = sizes[n / 2], count = k[4];
        const enum sbv_type type = n % 2 ? SBV_MAP_F16 : SBV_MAP_F32;
        test_map *in[SBV_MAX_BATCH], *out[SBV_MAX_BATCH];
        sbv_deconv_args device[SBV_MAX_BATCH];
        if (!test_begin(t, type, TEST_SMALL, "batch of %d: deconv %d to %d, %dx%d, %s", count, k[0], k[1], k[2], k[3],
                        name_of(type)))
            continue;
        make_maps(t, in, count, TEST_IN, (test_layout){.w = k[2], .h = k[3], .c = k[0], .type = type, .row_gap = 1}, 0);
        make_maps(t, out, count, TEST_OUT, (test_layout){.w = 2 * k[2], .h = 2 * k[3], .c = k[1], .type = type}, 3);
        test_buffer *weights = test_buffer_new(t, TEST_IN, (size_t)(16 * k[0] * k[1]) * sizeof(float), 0);
        test_buffer *bias = test_buffer_new(t, TEST_IN, (size_t)(k[1] + 1) * sizeof(float), 4);
        for (size_t i = 0; i < weights->bytes / sizeof(float); i++)
            ((float *)(void *)weights->host)[i] = test_random(t);
        for (int i = 0; i <= k[1]; i++)
            ((float *)(void *)bias->host)[i] = test_random(t);
        test_upload(t);
        for (int i = 0; i < count; i++) {
            const sbv_deconv_args host =
                deconv_args(in[i]->host, out[i]->host, (float *)(void *)weights->host, (float *)(void *)bias->host, i);
            device[i] = deconv_args(in[i]->device, out[i]->device, (float *)(void *)weights->device,
                                    (float *)(void *)bias->device, i);
            sbv_deconv_c(&host, 0, 2 * k[3]);
        }
        TEST_RUN(t, t->backend->deconv(t->backend, device, count, 2 * k[3]));
        compare_maps(t, out, count, type == SBV_MAP_F16 ? TEST_LIMIT_F16 : TEST_LIMIT_F32, "sums in another order");
        test_end(t);
    }
}

static void cost_volumes(cuda_test *t)
{
    /* Size, number, channels by which places differ. */
    static const int sizes[][5] = {{11, 7, 13, 4, 0}, {18, 9, 32, 3, 2}, {3, 2, 6, 20, 0}};
    for (size_t n = 0; n < 2 * COUNT(sizes); n++) {
        const int *k = sizes[n / 2], count = k[3];
        const enum sbv_type type = n % 2 ? SBV_MAP_F16 : SBV_MAP_F32;
        test_map *first[SBV_MAX_BATCH], *second[SBV_MAX_BATCH], *out[SBV_MAX_BATCH];
        sbv_cost_args device[SBV_MAX_BATCH];
        test_layout layout = {.w = k[0], .h = k[1], .c = k[2], .type = type, .row_gap = 1};
        if (!test_begin(t, type, TEST_SMALL, "batch of %d: cost_volume %dx%dx%d, %s", count, k[0], k[1], k[2],
                        name_of(type)))
            continue;
        make_maps(t, first, count, TEST_IN, layout, 0);
        make_maps(t, second, count, TEST_IN, layout, k[4]);
        layout.c = SBV_COST_CHANNELS;
        make_maps(t, out, count, TEST_OUT, layout, 5);
        test_upload(t);
        for (int i = 0; i < count; i++) {
            /* As in the network: one of the two is the same for all. */
            const sbv_cost_args host = {first[0]->host, second[i]->host, out[i]->host, SBV_LEAKY};
            device[i] = (sbv_cost_args){first[0]->device, second[i]->device, out[i]->device, SBV_LEAKY};
            sbv_cost_volume_c(&host, 0, k[1]);
        }
        TEST_RUN(t, t->backend->cost_volume(t->backend, device, count, k[1]));
        compare_maps(t, out, count, type == SBV_MAP_F16 ? 6e-4 : 2e-6, "sums in another order, rounded to the type");
        test_end(t);
    }
}

static void warps(cuda_test *t)
{
    /* Size, number, channels by which places differ. */
    static const int sizes[][5] = {{17, 11, 21, 4, 0}, {33, 9, 64, 3, 0}, {19, 6, 24, 4, 3}, {5, 4, 8, 20, 0}};
    for (size_t n = 0; n < 2 * COUNT(sizes); n++) {
        const int *k = sizes[n / 2], count = k[3];
        const enum sbv_type type = n % 2 ? SBV_MAP_F16 : SBV_MAP_F32;
        const test_layout layout = {.w = k[0], .h = k[1], .c = k[2], .type = type};
        test_map *in[SBV_MAX_BATCH], *flow[SBV_MAX_BATCH], *out[SBV_MAX_BATCH];
        sbv_warp_args device[SBV_MAX_BATCH];
        if (!test_begin(t, type, TEST_SMALL, "batch of %d: warp %dx%dx%d, %s", count, k[0], k[1], k[2], name_of(type)))
            continue;
        make_maps(t, in, count, TEST_IN, layout, k[4]);
        make_maps(t, flow, count, TEST_IN, (test_layout){.w = k[0], .h = k[1], .c = 2, .type = type, .offset = 5}, 1);
        make_maps(t, out, count, TEST_OUT, layout, 0);
        test_upload(t);
        for (int i = 0; i < count; i++) {
            sbv_warp_args host = {.scale = 3, .clamp = n / 2 % 2};
            device[i] = host;
            host.in = in[i]->host, host.out = out[i]->host, host.flow = flow[i]->host;
            device[i].in = in[i]->device, device[i].out = out[i]->device, device[i].flow = flow[i]->device;
            sbv_warp_c(&host, 0, k[1]);
        }
        TEST_RUN(t, t->backend->warp(t->backend, device, count, k[1]));
        for (int i = 0; i < count; i++)
            test_compare_absolute(t, out[i], type == SBV_MAP_F16 ? 6e-4 : 1e-6, "four products, rounded to the type");
        test_end(t);
    }
}

void cuda_cases_batch(cuda_test *t)
{
    convolutions(t);
    copies(t);
    resizes(t);
    deconvolutions(t);
    cost_volumes(t);
    warps(t);
}
