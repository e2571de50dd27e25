/*
 * Times of operations: see meter.h. Functions of our own stand in the session's table of operations and in the place of
 * its threads; those say when an operation begins and ends on all threads, these which one it is.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _POSIX_C_SOURCE 200809L
#include "meter.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

static struct {
    meter *m;
    sbv_exec *exec, own; /* own: what the session had */
    int on_threads;      /* between begin and end of an operation that is spread over threads */
    /* The operation at hand, on several threads. */
    enum cost_op op;
    union cost_args args;
    atomic_int jobs;
    double beside; /* seconds of hidden rows beside the borders of ranges, for the residual block that comes next */
} now;

static void stop(const char *what)
{
    fprintf(stderr, "bench_ops: %s\n", what);
    exit(1);
}

const meter_group *meter_find(const meter *m, enum cost_op op, const char *shape)
{
    for (int i = 0; i < m->groups; i++)
        if (m->group[i].op == op && !strcmp(m->group[i].shape, shape))
            return &m->group[i];
    return NULL;
}

static meter_group *group_of(meter *m, enum cost_op op, const char *shape)
{
    const meter_group *found = meter_find(m, op, shape);
    if (found)
        return &m->group[found - m->group];
    if (m->groups == METER_GROUPS)
        stop("more kinds of operations than there is room for");
    meter_group *g = &m->group[m->groups++];
    *g = (meter_group){.op = op};
    snprintf(g->shape, sizeof(g->shape), "%s", shape);
    return g;
}

static void take_down(meter *m, enum cost_op op, const union cost_args *args, int begin, int end)
{
    if (m->convs == m->room) {
        m->room = m->room ? 2 * m->room : 256;
        m->conv = realloc(m->conv, (size_t)m->room * sizeof(*m->conv));
        if (!m->conv)
            stop("out of memory");
    }
    m->conv[m->convs] = (meter_conv){op, *args, end - begin};
    if (op == COST_conv)
        m->conv[m->convs].args.conv.y0 += begin;
    m->convs++;
}

/* Jobs begin to end - 1 of an operation are done. */
static void add(enum cost_op op, const union cost_args *args, int begin, int end, double seconds)
{
    meter *m = now.m;
    const cost c = cost_of(op, args, end - begin);
    meter_group *g = group_of(m, op, c.shape);
    g->calls += begin == 0;
    g->parts++;
    g->flops += c.flops;
    g->made += c.made;
    g->bytes += c.bytes;
    g->seconds[m->passes] += seconds;
    if (op == COST_conv || op == COST_residual_block)
        take_down(m, op, args, begin, end);
}

/* One range of an operation on several threads. The range that begins with 0 is there once; where it is not, they are
 * hidden rows of a residual block. */
static void note(enum cost_op op, const void *args, size_t size, int begin, int end)
{
    int jobs = atomic_load(&now.jobs);
    while (jobs < end && !atomic_compare_exchange_weak(&now.jobs, &jobs, end))
        ;
    if (begin == 0) {
        now.op = op;
        memcpy(&now.args, args, size);
    }
}

#define METERED(name, type)                                                                                            \
    static void metered_##name(const type *a, int begin, int end)                                                      \
    {                                                                                                                  \
        const bench_timer timer = bench_start();                                                                       \
        now.own.ops.name(a, begin, end);                                                                               \
        const double seconds = bench_seconds(&timer, 1);                                                               \
        if (now.on_threads)                                                                                            \
            note(COST_##name, a, sizeof(*a), begin, end);                                                              \
        else                                                                                                           \
            add(COST_##name, &(union cost_args){.name = *a}, begin, end, seconds);                                     \
    }
COST_ALL(METERED)
#undef METERED

static void metered_execute(void *opaque, sbv_job_fn *job, void *arg, int jobs)
{
    now.on_threads = 1;
    now.op = COST_OPS;
    const double start = bench_now();
    now.own.execute(opaque, job, arg, jobs);
    const double spread = bench_now() - start, seconds = now.beside + spread;
    now.m->spread[now.m->passes] += spread;
    const int end = atomic_exchange(&now.jobs, 0);
    now.on_threads = 0;
    now.beside = now.op == COST_OPS ? seconds : 0;
    if (now.op != COST_OPS)
        add(now.op, &now.args, 0, end, seconds);
}

void meter_begin(meter *m, sbv_session *s)
{
    if (m->passes == METER_PASSES)
        stop("more passes than there is room for");
    now.m = m;
    now.exec = &s->engine.exec;
    now.own = s->engine.exec;
    atomic_init(&now.jobs, 0);
    m->convs = 0;
    for (int i = 0; i < m->groups; i++)
        m->group[i].calls = m->group[i].parts = 0, m->group[i].flops = m->group[i].made = m->group[i].bytes = 0;
#define REPLACE(name, type) s->engine.exec.ops.name = metered_##name;
    SBV_OPS(REPLACE)
#undef REPLACE
    if (s->engine.exec.ops.residual_block)
        s->engine.exec.ops.residual_block = metered_residual_block;
    s->engine.exec.execute = metered_execute;
}

void meter_end(void)
{
    *now.exec = now.own;
    now.m->passes++;
}

void meter_run_convs(const meter *m, const sbv_session *s)
{
    for (int i = 0; i < m->convs; i++)
        if (m->conv[i].op == COST_conv)
            sbv_run_conv(&s->engine.exec, &m->conv[i].args.conv, m->conv[i].jobs);
        else
            sbv_run_residual_block(&s->engine.exec, &m->conv[i].args.residual_block);
}

void meter_free(meter *m)
{
    free(m->conv);
    memset(m, 0, sizeof(*m));
}
