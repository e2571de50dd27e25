/*
 * Running operations on all cores: see run_ops.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/run_ops.h"

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/denormals.h"
#include "kernels/cpu/scratch.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/os.h"

/* Ranges per thread: more than one, so that a thread that is late does not hold up the others for long; but each range
 * of a convolution reads all of its weights, and rows around its own, so that it should have some of its own. */
#define RANGES_PER_THREAD 4
#define LEAST_ROWS        8

static void set_isa(sbv_exec *exec, enum sbv_isa isa)
{
    sbv_ops_init(&exec->ops);
    sbv_ops_init_isa(&exec->ops, isa);
    exec->isa = sbv_isa_name(isa);
}

/* SBV_CPU=name in the environment asks for an instruction set other than the best: c is what all others are compared
 * with. What it asks for is what fp32 is computed by; amx, and nothing asked for, leave bf16 possible. */
static int choose_isa(sbv_exec *exec, sbv_report *report)
{
    const char *name = getenv("SBV_CPU");
    const int asked = name && *name, isa = asked ? sbv_isa_by_name(name) : (int)sbv_best_isa();
    if (isa < 0)
        return sbv_fail(report, SBV_ERROR_ARGUMENT, "SBV_CPU=%s: not an instruction set of this processor", name);
    exec->isa_asked = asked ? isa : -1;
    set_isa(exec, isa == SBV_ISA_AMX ? sbv_best_isa() : (enum sbv_isa)isa);
    return SBV_OK;
}

/* As many blocks as ranges can run at once. What is never taken is never touched, so it costs nothing. */
static sbv_scratch *scratch_open(size_t size, int blocks)
{
    sbv_scratch *scratch = calloc(1, sizeof(*scratch) + (size_t)blocks * sizeof(*scratch->taken));
    void *memory = scratch ? sbv_os_allocate(SBV_MEMORY_ALIGN, (size_t)blocks * size) : NULL;
    if (!memory) {
        free(scratch);
        return NULL;
    }
    *scratch = (sbv_scratch){.size = size, .blocks = blocks, .memory = memory, .taken = (atomic_flag *)(scratch + 1)};
    for (int i = 0; i < blocks; i++)
        atomic_flag_clear(&scratch->taken[i]);
    return scratch;
}

static void scratch_close(sbv_scratch *scratch)
{
    if (scratch)
        sbv_os_free(scratch->memory);
    free(scratch);
}

/* What the operations ask for, in place of what was there. */
static int make_scratch(sbv_exec *exec, sbv_report *report)
{
    scratch_close(exec->scratch);
    exec->scratch = NULL;
    if (!exec->ops.conv_scratch)
        return SBV_OK;
    exec->scratch = scratch_open(exec->ops.conv_scratch, exec->threads * RANGES_PER_THREAD);
    return exec->scratch ? SBV_OK : sbv_fail(report, SBV_ERROR_MEMORY, "out of memory: scratch of convolutions");
}

int sbv_exec_choose(sbv_exec *exec, enum sbv_precision precision, sbv_report *report)
{
    const char *missing = exec->isa_asked >= 0 && exec->isa_asked != SBV_ISA_AMX
                              ? "SBV_CPU asks for another instruction set"
                              : sbv_amx_missing();
    if (precision == SBV_PRECISION_BF16 && missing)
        return sbv_fail(report, SBV_ERROR_ARGUMENT, "precision bf16 needs AMX: %s", missing);
    if (missing || (precision != SBV_PRECISION_BF16 && precision != SBV_PRECISION_AUTO))
        return SBV_OK;
    set_isa(exec, SBV_ISA_AMX);
    return make_scratch(exec, report);
}

int sbv_exec_open(sbv_exec *exec, int threads, sbv_execute_fn *execute, void *opaque, sbv_report *report)
{
    int ret;
    memset(exec, 0, sizeof(*exec));
    if ((ret = choose_isa(exec, report)) < 0)
        return ret;
    if (threads < 0 || threads > SBV_MAX_THREADS)
        return sbv_fail(report, SBV_ERROR_ARGUMENT, "threads %d: out of range 0 to %d", threads, SBV_MAX_THREADS);
    if (threads == 0) {
        const int processors = sbv_os_processors();
        threads = processors < 1 ? 1 : processors > SBV_MAX_THREADS ? SBV_MAX_THREADS : processors;
    }
    exec->threads = threads;
    exec->execute = execute;
    exec->opaque = opaque;
    if ((ret = make_scratch(exec, report)) < 0)
        return ret;
    if (!execute) {
        exec->pool = sbv_pool_open(threads - 1);
        if (!exec->pool) {
            sbv_exec_close(exec);
            return sbv_fail(report, SBV_ERROR_MEMORY, "out of memory: thread pool");
        }
        exec->execute = sbv_pool_execute;
        exec->opaque = exec->pool;
    }
    return SBV_OK;
}

void sbv_exec_close(sbv_exec *exec)
{
    if (exec->pool)
        sbv_pool_close(exec->pool);
    scratch_close(exec->scratch);
    memset(exec, 0, sizeof(*exec));
}

struct range_call {
    sbv_body_fn *body;
    void *arg;
    int count;
};

static void run_range(void *arg, int job, int jobs)
{
    const struct range_call *call = arg;
    const int begin = (int)((int64_t)call->count * job / jobs), end = (int)((int64_t)call->count * (job + 1) / jobs);
    const uint64_t mode = sbv_flush_denormals();
    if (begin < end)
        call->body(call->arg, begin, end);
    sbv_set_float_mode(mode);
}

static int ranges_per_thread(const sbv_exec *exec, int count)
{
    const int ranges = count / (exec->threads * LEAST_ROWS);
    return ranges < 1 ? 1 : ranges < RANGES_PER_THREAD ? ranges : RANGES_PER_THREAD;
}

static void execute(const sbv_exec *exec, struct range_call *call, int jobs)
{
    if (jobs > 1)
        exec->execute(exec->opaque, run_range, call, jobs);
    else if (jobs == 1)
        run_range(call, 0, 1);
}

void sbv_parallel(const sbv_exec *exec, sbv_body_fn *body, void *arg, int count)
{
    struct range_call call = {body, arg, count};
    const int jobs = exec->threads > 1 ? exec->threads * ranges_per_thread(exec, count) : 1;
    execute(exec, &call, jobs < count ? jobs : count);
}

void sbv_parallel_jobs(const sbv_exec *exec, sbv_body_fn *body, void *arg, int jobs)
{
    struct range_call call = {body, arg, jobs};
    execute(exec, &call, jobs);
}

/* An operation on the CPU. */
#define CPU_DEFINITION(op, args)                                                                                       \
    struct op##_call {                                                                                                 \
        const sbv_exec *exec;                                                                                          \
        const args *a;                                                                                                 \
    };                                                                                                                 \
    static void op##_body(void *arg, int begin, int end)                                                               \
    {                                                                                                                  \
        const struct op##_call *call = arg;                                                                            \
        call->exec->ops.op(call->a, begin, end);                                                                       \
    }                                                                                                                  \
    static void op##_on_cpu(const sbv_exec *exec, const args *a, int jobs)                                             \
    {                                                                                                                  \
        struct op##_call call = {exec, a};                                                                             \
        if (_Generic(a, const sbv_conv_args * : 1, default : 0))                                                       \
            sbv_parallel_conv(exec, (const void *)a, jobs);                                                            \
        else                                                                                                           \
            sbv_parallel(exec, op##_body, &call, jobs);                                                                \
    }
SBV_OPS(CPU_DEFINITION)

/* sbv_run_pixel_shuffle, sbv_run_adaptive_pool, sbv_run_linear, sbv_run_softmax, sbv_run_attention, sbv_run_difference,
 * sbv_run_blur_down, sbv_run_blur_up, sbv_run_sum_squares, sbv_run_step, sbv_run_advance, sbv_run_colour_in,
 * sbv_run_colour_out. */
#define SINGLE_DEFINITION(op, args)                                                                                    \
    void sbv_run_##op(const sbv_exec *exec, const args *a, int jobs)                                                   \
    {                                                                                                                  \
        if (exec->backend)                                                                                             \
            exec->backend->op(exec->backend, a, jobs);                                                                 \
        else                                                                                                           \
            op##_on_cpu(exec, a, jobs);                                                                                \
    }
SBV_SINGLE_OPS(SINGLE_DEFINITION)

/* sbv_run_conv, sbv_run_deconv, sbv_run_cost_volume, sbv_run_warp, sbv_run_resize, sbv_run_copy, and
 * sbv_run_conv_batch, sbv_run_deconv_batch, sbv_run_cost_volume_batch, sbv_run_warp_batch, sbv_run_resize_batch,
 * sbv_run_copy_batch. */
#define BATCH_DEFINITION(op, args)                                                                                     \
    void sbv_run_##op##_batch(const sbv_exec *exec, const args *a, int count, int jobs)                                \
    {                                                                                                                  \
        for (int i = 0; i < count && exec->backend; i += SBV_MAX_BATCH)                                                \
            exec->backend->op(exec->backend, a + i, count - i < SBV_MAX_BATCH ? count - i : SBV_MAX_BATCH, jobs);      \
        for (int i = 0; i < count && !exec->backend; i++)                                                              \
            op##_on_cpu(exec, a + i, jobs);                                                                            \
    }                                                                                                                  \
    void sbv_run_##op(const sbv_exec *exec, const args *a, int jobs)                                                   \
    {                                                                                                                  \
        sbv_run_##op##_batch(exec, a, 1, jobs);                                                                        \
    }
SBV_BATCH_OPS(BATCH_DEFINITION)
