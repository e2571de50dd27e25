/*
 * Running operations on all cores: see exec.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _POSIX_C_SOURCE 200809L
#include "model/exec.h"

#include "kernels/cpu/cpu.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__SSE2__)
#include <xmmintrin.h>
#define DENORMALS_ARE_ZERO 0x8040 /* FTZ and DAZ bits of MXCSR */
#endif

#define MAX_THREADS 256

/* Ranges per thread: more than one, so that a thread that is late does not hold up the others for long. */
#define RANGES_PER_THREAD 4

struct sbv_pool {
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    pthread_t thread[MAX_THREADS];
    int threads;    /* workers; the calling thread works too */
    unsigned round; /* counts the batches given out */
    int busy, quit;
    sbv_job_fn *job;
    void *arg;
    int jobs;
    atomic_int next;
};

static void take_jobs(sbv_pool *pool)
{
    int job;
    while ((job = atomic_fetch_add(&pool->next, 1)) < pool->jobs)
        pool->job(pool->arg, job, pool->jobs);
}

static void *worker(void *arg)
{
    sbv_pool *pool = arg;
    unsigned seen = 0;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->quit && pool->round == seen)
            pthread_cond_wait(&pool->work, &pool->lock);
        if (pool->quit)
            break;
        seen = pool->round;
        pthread_mutex_unlock(&pool->lock);
        take_jobs(pool);
        pthread_mutex_lock(&pool->lock);
        if (--pool->busy == 0)
            pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static void pool_execute(void *opaque, sbv_job_fn *job, void *arg, int jobs)
{
    sbv_pool *pool = opaque;
    pthread_mutex_lock(&pool->lock);
    pool->job = job;
    pool->arg = arg;
    pool->jobs = jobs;
    atomic_store(&pool->next, 0);
    pool->busy = pool->threads;
    pool->round++;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    take_jobs(pool);
    pthread_mutex_lock(&pool->lock);
    while (pool->busy)
        pthread_cond_wait(&pool->done, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}

static void pool_close(sbv_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->quit = 1;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->threads; i++)
        pthread_join(pool->thread[i], NULL);
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->done);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

/* A pool of as many workers as could be started; with none the calling thread does everything. */
static sbv_pool *pool_open(int workers)
{
    sbv_pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return NULL;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    while (pool->threads < workers && !pthread_create(&pool->thread[pool->threads], NULL, worker, pool))
        pool->threads++;
    return pool;
}

/* SBV_CPU=name in the environment asks for an instruction set other than the best: c is what all others are compared
 * with. */
static int choose_isa(sbv_exec *exec, sbv_report *report)
{
    const char *name = getenv("SBV_CPU");
    int isa = name && *name ? sbv_isa_by_name(name) : (int)sbv_best_isa();
    if (isa < 0)
        return sbv_fail(report, SBV_ERROR_ARGUMENT, "SBV_CPU=%s: not an instruction set of this processor", name);
    sbv_ops_init_isa(&exec->ops, (enum sbv_isa)isa);
    exec->isa = sbv_isa_name((enum sbv_isa)isa);
    return SBV_OK;
}

int sbv_exec_open(sbv_exec *exec, int threads, sbv_execute_fn *execute, void *opaque, sbv_report *report)
{
    int ret;
    memset(exec, 0, sizeof(*exec));
    sbv_ops_init(&exec->ops);
    if ((ret = choose_isa(exec, report)) < 0)
        return ret;
    if (threads < 0 || threads > MAX_THREADS)
        return sbv_fail(report, SBV_ERROR_ARGUMENT, "threads %d: out of range 0 to %d", threads, MAX_THREADS);
    if (threads == 0) {
        long processors = sysconf(_SC_NPROCESSORS_ONLN);
        threads = processors < 1 ? 1 : processors > MAX_THREADS ? MAX_THREADS : (int)processors;
    }
    exec->threads = threads;
    exec->execute = execute;
    exec->opaque = opaque;
    if (!execute) {
        exec->pool = pool_open(threads - 1);
        if (!exec->pool)
            return sbv_fail(report, SBV_ERROR_MEMORY, "out of memory: thread pool");
        exec->execute = pool_execute;
        exec->opaque = exec->pool;
    }
    return SBV_OK;
}

void sbv_exec_close(sbv_exec *exec)
{
    if (exec->pool)
        pool_close(exec->pool);
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
    int begin = (int)((int64_t)call->count * job / jobs), end = (int)((int64_t)call->count * (job + 1) / jobs);
#if defined(DENORMALS_ARE_ZERO)
    unsigned control = _mm_getcsr();
    _mm_setcsr(control | DENORMALS_ARE_ZERO);
#endif
    if (begin < end)
        call->body(call->arg, begin, end);
#if defined(DENORMALS_ARE_ZERO)
    _mm_setcsr(control);
#endif
}

void sbv_parallel(const sbv_exec *exec, sbv_body_fn *body, void *arg, int count)
{
    struct range_call call = {body, arg, count};
    int jobs = exec->threads > 1 ? exec->threads * RANGES_PER_THREAD : 1;
    if (jobs > count)
        jobs = count;
    if (jobs > 1)
        exec->execute(exec->opaque, run_range, &call, jobs);
    else if (jobs == 1)
        run_range(&call, 0, 1);
}

#define SBV_RUN_DEFINITION(op, args)                                                                                   \
    struct op##_call {                                                                                                 \
        const sbv_exec *exec;                                                                                          \
        const args *a;                                                                                                 \
    };                                                                                                                 \
    static void op##_body(void *arg, int begin, int end)                                                               \
    {                                                                                                                  \
        const struct op##_call *call = arg;                                                                            \
        call->exec->ops.op(call->a, begin, end);                                                                       \
    }                                                                                                                  \
    void sbv_run_##op(const sbv_exec *exec, const args *a, int jobs)                                                   \
    {                                                                                                                  \
        struct op##_call call = {exec, a};                                                                             \
        if (exec->backend)                                                                                             \
            exec->backend->op(exec->backend, a, jobs);                                                                 \
        else                                                                                                           \
            sbv_parallel(exec, op##_body, &call, jobs);                                                                \
    }
SBV_OPS(SBV_RUN_DEFINITION)
