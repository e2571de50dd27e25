/*
 * A pool of threads: see threads.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/threads.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct sbv_pool {
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    pthread_t thread[SBV_MAX_THREADS];
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

void sbv_pool_execute(void *opaque, sbv_job_fn *job, void *arg, int jobs)
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

void sbv_pool_close(sbv_pool *pool)
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

sbv_pool *sbv_pool_open(int workers)
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
