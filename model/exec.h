/*
 * Running operations on all cores: the host's threads, where it gave some, or a pool of the session's own.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_MODEL_EXEC_H
#define SBV_MODEL_EXEC_H

#include "kernels/ops.h"
#include "model/report.h"

typedef struct sbv_pool sbv_pool;

typedef struct sbv_exec {
    sbv_ops ops;
    int threads;
    sbv_execute_fn *execute; /* the host's, or that of the pool */
    void *opaque;
    sbv_pool *pool; /* NULL where the host's threads are used */
} sbv_exec;

/* threads 0: one per processor. Errors: ARGUMENT, MEMORY, reported. */
int sbv_exec_open(sbv_exec *exec, int threads, sbv_execute_fn *execute, void *opaque, sbv_report *report);
void sbv_exec_close(sbv_exec *exec);

/* Calls body(arg, begin, end) on ranges that together are [0, count), in parallel. While a body runs, numbers too small
 * to be normal are zero (FTZ, DAZ): a network full of them is an order of magnitude slower. */
typedef void sbv_body_fn(void *arg, int begin, int end);
void sbv_parallel(const sbv_exec *exec, sbv_body_fn *body, void *arg, int count);

/* sbv_run_<operation>(exec, args, jobs): all jobs of an operation, in parallel. */
#define SBV_RUN_DECLARATION(name, args) void sbv_run_##name(const sbv_exec *exec, const args *a, int jobs);
SBV_OPS(SBV_RUN_DECLARATION)
#undef SBV_RUN_DECLARATION

#endif /* SBV_MODEL_EXEC_H */
