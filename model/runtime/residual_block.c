/*
 * Residual blocks: both convolutions at once where the processor can, otherwise one after the other.
 *
 * At once a thread takes a range of rows. It would read rows of the next one, which that may have replaced: so the two
 * hidden rows that need rows of both sides of a border are computed first, for all borders. Each row is computed once,
 * and it does not matter how rows are divided.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/stages.h"

/* A thread that is late holds up the others for half of its work; each border costs packing the rows around it. */
#define RANGES_PER_THREAD 2
#define LEAST_ROWS        8 /* of a range: with fewer, two passes keep all threads busy */

struct cut {
    const sbv_ops *ops;
    const sbv_residual_block_args *a;
    int rows, ranges;
};

/* Where range i begins. */
static int border(const struct cut *c, int i)
{
    return (int)((int64_t)c->rows * i / c->ranges);
}

/* Hidden rows beside borders, two each. */
static void run_borders(void *arg, int begin, int end)
{
    const struct cut *c = arg;
    for (int i = begin; i < end; i++) {
        const int y = border(c, i / 2 + 1) - 1 + i % 2;
        c->ops->conv(&c->a->first, y, y + 1);
    }
}

static void run_ranges(void *arg, int begin, int end)
{
    const struct cut *c = arg;
    for (int i = begin; i < end; i++)
        c->ops->residual_block(c->a, border(c, i), border(c, i + 1));
}

/* 0 where it is better to make two passes. */
static int ranges_of(const sbv_exec *exec, const sbv_residual_block_args *a)
{
    const int most = a->second.out.h / LEAST_ROWS, wanted = exec->threads * RANGES_PER_THREAD;
    if (exec->backend || !exec->ops.takes_residual_block || !exec->ops.takes_residual_block(a))
        return 0;
    if (exec->threads == 1)
        return 1;
    return most < exec->threads ? 0 : most < wanted ? most : wanted;
}

void sbv_run_residual_block(const sbv_exec *exec, const sbv_residual_block_args *a)
{
    struct cut cut = {.ops = &exec->ops, .a = a, .rows = a->second.out.h, .ranges = ranges_of(exec, a)};
    if (cut.ranges) {
        sbv_parallel_jobs(exec, run_borders, &cut, 2 * (cut.ranges - 1));
        sbv_parallel_jobs(exec, run_ranges, &cut, cut.ranges);
    } else {
        sbv_run_conv(exec, &a->first, a->first.out.h);
        sbv_run_conv(exec, &a->second, a->second.out.h);
    }
}

void sbv_run_area(const sbv_exec *exec, sbv_conv_args *a, const sbv_area *area)
{
    a->x0 = area->x0;
    a->x1 = area->x1;
    a->y0 = area->y0;
    sbv_run_conv(exec, a, area->y1 - area->y0);
}

void sbv_run_block(const sbv_stages *s, const sbv_block *block, sbv_map x, sbv_map hidden, const sbv_area area[2])
{
    sbv_residual_block_args a = {
        .first = sbv_conv_of(s->network, &block->conv[0], sbv_channels(x, 0, block->conv[0].in), hidden, SBV_RELU),
        .second = sbv_conv_of(s->network, &block->conv[1], hidden, x, SBV_LINEAR),
    };
    a.second.residual = x;
    if (!area) {
        sbv_run_residual_block(s->exec, &a);
        return;
    }
    sbv_run_area(s->exec, &a.first, &area[0]);
    sbv_run_area(s->exec, &a.second, &area[1]);
}
