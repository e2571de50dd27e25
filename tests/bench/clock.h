/*
 * The time, for measurements.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_BENCH_CLOCK_H
#define SBV_BENCH_CLOCK_H

#include <time.h>

/* Seconds since some moment. */
static inline double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds that the calling thread has had a processor for. */
static inline double bench_thread_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* How long something takes. What runs on one thread can be measured beside other programs too: if one of them had the
 * processor in between, the time of the thread is the shorter one, else it is the longer by what it takes to ask. */
typedef struct bench_timer {
    double thread, wall;
} bench_timer;

static inline bench_timer bench_start(void)
{
    bench_timer t = {.thread = bench_thread_now()};
    t.wall = bench_now();
    return t;
}

static inline double bench_seconds(const bench_timer *t, int threads)
{
    const double wall = bench_now() - t->wall, thread = bench_thread_now() - t->thread;
    return threads == 1 && thread < wall ? thread : wall;
}

#endif /* SBV_BENCH_CLOCK_H */
