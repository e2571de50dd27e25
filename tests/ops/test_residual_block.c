/*
 * Residual blocks at once against their definition, the two convolutions one after the other. No bit may differ: not
 * by how rows are cut, in which order ranges are done, in columns of wide images, by threads. Odd sizes, in place and
 * not, guards round every map; hidden rows that nobody has computed are NaN.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guarded.h"
#include "kernels/cpu/cpu.h"
#include "model/runtime/run_ops.h"

#define GUARD   0x7fff /* NaN in bfloat16 */
#define THREADS 17     /* at most */

static sbv_exec exec;

struct block_case {
    int in, hidden, out, w, h;
    int in_place; /* and the residual is the input; otherwise it is a map of its own */
};

struct block {
    sbv_residual_block_args a;
    guarded in, out, residual, result; /* result: where the last convolution writes, `in` or `out` */
    void *input, *expected;            /* copies of memory: of `in`, and of what the result should be */
    uint16_t *hidden;
    size_t hidden_count;
    void *memory[5];
};

static void *allocate(size_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    assert_non_null(memory);
    return memory;
}

static size_t bytes_of(const guarded *g)
{
    return g->count * sbv_sample_size(g->map.type);
}

static void *copy_of(const guarded *g)
{
    return memcpy(allocate(bytes_of(g)), g->memory, bytes_of(g));
}

static sbv_conv_args conv(struct block *b, int which, sbv_map in, sbv_map out, float slope)
{
    const int count = out.c * in.c * 9;
    float *raw = allocate(sizeof(*raw) * (size_t)count), *bias = allocate(sizeof(*bias) * (size_t)(out.c + 16));
    void *weights = allocate(exec.ops.conv_bytes(out.c, in.c, 3, SBV_SPLIT_NONE));
    for (int i = 0; i < count; i++)
        raw[i] = uniform() / 16;
    for (int i = 0; i < out.c + 16; i++)
        bias[i] = i < out.c ? uniform() : 0;
    exec.ops.pack_conv(raw, out.c, in.c, 3, SBV_SPLIT_NONE, weights);
    free(raw);
    b->memory[2 * which] = bias;
    b->memory[2 * which + 1] = weights;
    return (sbv_conv_args){.in = in,
                           .out = out,
                           .weights = weights,
                           .bias = bias,
                           .scratch = exec.scratch,
                           .ksize = 3,
                           .stride = 1,
                           .dilation = 1,
                           .padding = 1,
                           .slope = slope,
                           .x1 = out.w};
}

static void run_one_after_the_other(struct block *b)
{
    exec.ops.conv(&b->a.first, 0, b->a.first.out.h);
    exec.ops.conv(&b->a.second, 0, b->a.second.out.h);
}

/* As before the first run. */
static void reset(struct block *b)
{
    memcpy(b->in.memory, b->input, bytes_of(&b->in));
    guarded_reset(&b->out);
    for (size_t i = 0; i < b->hidden_count; i++)
        b->hidden[i] = GUARD;
}

/* The result is the expected one, with all that lies round it; so is what lies round the hidden map. */
static void check(const struct block *b, const char *how)
{
    const sbv_map *hidden = &b->a.first.out;
    const size_t row = (size_t)hidden->row;
    if (memcmp(b->result.memory, b->expected, bytes_of(&b->result)))
        fail_msg("%d>%d>%d channels, %dx%d: other bits, %s", b->in.map.c, hidden->c, b->result.map.c, hidden->w,
                 hidden->h, how);
    for (size_t i = 0; i < row; i++)
        assert_true(b->hidden[i] == GUARD && b->hidden[b->hidden_count - 1 - i] == GUARD);
}

static struct block make(const struct block_case *c)
{
    const size_t row = (size_t)(c->w * c->hidden);
    struct block b = {.in = guarded_map(SBV_MAP_F32, c->w, c->h, c->in, 1),
                      .out = guarded_map(SBV_MAP_F32, c->w, c->h, c->out, 0),
                      .residual = guarded_map(SBV_MAP_F32, c->w, c->h, c->out, 1),
                      .hidden_count = row * (size_t)(c->h + 2)};
    b.hidden = b.memory[4] = allocate(b.hidden_count * sizeof(*b.hidden));
    b.input = copy_of(&b.in);
    b.result = c->in_place ? b.in : b.out;
    const sbv_map hidden = {b.hidden + row, c->w, c->h, c->hidden, SBV_MAP_BF16, c->hidden, (ptrdiff_t)row};
    b.a.first = conv(&b, 0, b.in.map, hidden, SBV_RELU);
    b.a.second = conv(&b, 1, hidden, b.result.map, SBV_LINEAR);
    b.a.second.residual = c->in_place ? b.in.map : b.residual.map;
    reset(&b);
    run_one_after_the_other(&b);
    b.expected = copy_of(&b.result);
    return b;
}

static void drop(struct block *b)
{
    void *const memory[] = {b->in.memory, b->out.memory, b->residual.memory, b->input, b->expected};
    for (size_t i = 0; i < sizeof(memory) / sizeof(memory[0]); i++) {
        free(memory[i]);
        free(b->memory[i]);
    }
}

/* The input is a multiple of 32 channels or not; the widths are about those of tiles and blocks, and of one column and
 * more; the last column is as narrow as it gets. */
static const struct block_case cases[] = {
    {64, 64, 64, 1, 1, 1},    {64, 64, 64, 2, 9, 1},   {32, 32, 32, 15, 2, 1},   {64, 64, 64, 37, 21, 1},
    {64, 64, 64, 75, 16, 1},  {3, 32, 5, 33, 7, 0},    {100, 32, 32, 4, 4, 0},   {128, 32, 128, 50, 11, 1},
    {70, 64, 70, 47, 5, 1},   {64, 64, 64, 480, 4, 1}, {64, 64, 64, 481, 5, 1},  {64, 64, 64, 513, 6, 1},
    {64, 64, 64, 1000, 7, 1}, {64, 64, 64, 961, 3, 1}, {32, 64, 17, 1025, 6, 0}, {20, 96, 20, 700, 9, 1},
};
#define CASES ((int)(sizeof(cases) / sizeof(cases[0])))

/* Where range i of `ranges` begins. */
static int begin_of(int i, int ranges, int h)
{
    return i * h / ranges;
}

static void run_range(const struct block *b, int i, int ranges)
{
    const int h = b->a.first.out.h;
    exec.ops.residual_block(&b->a, begin_of(i, ranges, h), begin_of(i + 1, ranges, h));
}

static void run_ranges(struct block *b, int ranges, int step)
{
    const int h = b->a.first.out.h;
    for (int i = 1; i < ranges; i++)
        exec.ops.conv(&b->a.first, begin_of(i, ranges, h) - 1, begin_of(i, ranges, h) + 1);
    for (int first = 0; first < abs(step); first++)
        for (int i = first; i < ranges; i += abs(step))
            run_range(b, step < 0 ? ranges - 1 - i : i, ranges);
}

static void test_ranges(void **unused)
{
    (void)unused;
    for (int i = 0; i < CASES; i++) {
        struct block b = make(&cases[i]);
        assert_true(exec.ops.takes_residual_block(&b.a));
        for (int ranges = 1; ranges <= cases[i].h; ranges++)
            for (int step = -2; step <= 2; step += step == -1 ? 2 : 1) {
                reset(&b);
                run_ranges(&b, ranges, step);
                check(&b, "in ranges");
            }
        drop(&b);
    }
}

/* One range writes its own rows and no others. */
static void test_rows_of_others(void **unused)
{
    static const struct block_case c = {64, 64, 64, 500, 12, 0};
    struct block b = make(&c);
    (void)unused;
    for (int begin = 0; begin < c.h; begin++)
        for (int end = begin + 1; end <= c.h; end++) {
            run_one_after_the_other(&b);
            guarded_reset(&b.out);
            exec.ops.residual_block(&b.a, begin, end);
            guarded_check(&b.out, 0, c.w, begin, end);
        }
    drop(&b);
}

/* What the host's threads may do as well: the last job first. */
static void run_backwards(void *opaque, sbv_job_fn *job, void *arg, int jobs)
{
    (void)opaque;
    for (int i = jobs - 1; i >= 0; i--)
        job(arg, i, jobs);
}

static void run_with(struct block *b, int threads, sbv_execute_fn *execute)
{
    sbv_report report = {0};
    sbv_exec other;
    assert_int_equal(sbv_exec_open(&other, threads, execute, NULL, &report), SBV_OK);
    assert_int_equal(sbv_exec_choose(&other, SBV_PRECISION_BF16, &report), SBV_OK);
    sbv_residual_block_args a = b->a;
    a.first.scratch = a.second.scratch = other.scratch;
    reset(b);
    sbv_run_residual_block(&other, &a);
    check(b, execute ? "backwards" : "by threads");
    sbv_exec_close(&other);
}

static void test_threads(void **unused)
{
    static const int heights[] = {1, 7, 8, 16, 17, 31, 40, 137};
    (void)unused;
    for (size_t i = 0; i < sizeof(heights) / sizeof(heights[0]); i++) {
        const struct block_case c = {64, 64, 64, 37, heights[i], 1};
        struct block b = make(&c);
        for (int threads = 1; threads <= THREADS; threads += 1 + threads / 4) {
            run_with(&b, threads, NULL);
            run_with(&b, threads, run_backwards);
        }
        drop(&b);
    }
}

/* What is computed in two passes, and comes out the same by sbv_run_residual_block. */
static void test_what_is_not_taken(void **unused)
{
    static const struct block_case two_passes[] = {
        {128, 128, 128, 20, 17, 1}, {64, 40, 64, 20, 17, 1}, {130, 32, 8, 20, 9, 0}};
    static const struct block_case taken = {64, 64, 64, 20, 17, 1};
    (void)unused;
    for (int i = 0; i < 3; i++) {
        struct block b = make(&two_passes[i]);
        assert_false(exec.ops.takes_residual_block(&b.a));
        run_with(&b, 2, NULL);
        drop(&b);
    }
    struct block b = make(&taken);
    sbv_residual_block_args a[6];
    for (int i = 0; i < 6; i++)
        a[i] = b.a;
    a[0].first.dilation = a[0].first.padding = 2;
    a[1].first.split = SBV_SPLIT_INPUT;
    a[2].second.x0 = 1;
    a[3].first.out.type = a[3].second.in.type = SBV_MAP_F32;
    a[4].first.out.pixel = a[4].second.in.pixel = 65;
    a[5].first.residual = b.residual.map;
    for (int i = 0; i < 6; i++)
        assert_false(exec.ops.takes_residual_block(&a[i]));
    drop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_rows_of_others),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_what_is_not_taken),
    };
    sbv_report report = {0};
    if (sbv_amx_missing()) {
        printf("no AMX: %s\n", sbv_amx_missing());
        return 77;
    }
    if (sbv_exec_open(&exec, 1, NULL, NULL, &report) < 0 || sbv_exec_choose(&exec, SBV_PRECISION_BF16, &report) < 0)
        return 1;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sbv_exec_close(&exec);
    return failed;
}
