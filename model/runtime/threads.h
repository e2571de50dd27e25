/*
 * A pool of threads of a session's own.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_THREADS_H
#define SBV_RUNTIME_THREADS_H

#include "model/include/selfblindvsr.h"

#define SBV_MAX_THREADS 256

typedef struct sbv_pool sbv_pool;

/* A pool of as many workers as could be started; with none the calling thread does everything. NULL: no memory. */
sbv_pool *sbv_pool_open(int workers);
void sbv_pool_close(sbv_pool *pool);

/* An sbv_execute_fn; opaque is the pool. */
void sbv_pool_execute(void *opaque, sbv_job_fn *job, void *arg, int jobs);

#endif /* SBV_RUNTIME_THREADS_H */
