/*
 * Convolutions on all cores: ranges of rows and, where these are too few for the threads, of columns too.
 *
 * By Winograd's way a tile that is cut is computed on both sides of the cut. So ranges begin where tiles do.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/run_ops.h"

#define RANGES_PER_THREAD 4  /* so that a thread that is late does not hold up the others for long */
#define LEAST_ROWS        8  /* of a range, where there are several for a thread: each reads all of the weights */
#define LEAST_COLUMNS     32 /* of a strip, likewise */

/* One axis, in units: the first begins `lead` pixels before the pixels that are computed. */
struct axis {
    int unit, lead, pixels, units;
};

struct conv_call {
    const sbv_exec *exec;
    const sbv_conv_args *a;
    struct axis rows, columns;
    int strips, jobs;
};

static struct axis axis_of(const sbv_conv_args *a, int begin, int pixels)
{
    const int unit = a->winograd ? a->winograd : 1, lead = (begin + a->shift) % unit;
    return (struct axis){unit, lead, pixels, (lead + pixels + unit - 1) / unit};
}

/* Where unit i begins, of the pixels that are computed. */
static int begin_of(const struct axis *axis, int64_t i)
{
    const int at = (int)i * axis->unit - axis->lead;
    return at < 0 ? 0 : at < axis->pixels ? at : axis->pixels;
}

/* Part `job` of all strips, one below the other. */
static void run_part(void *arg, int job, int end)
{
    const struct conv_call *call = arg;
    const int64_t units = (int64_t)call->rows.units * call->strips;
    const int64_t stop = units * end / call->jobs;
    for (int64_t at = units * job / call->jobs, next; at < stop; at = next) {
        const int64_t strip = at / call->rows.units, top = strip * call->rows.units;
        sbv_conv_args a = *call->a;
        next = top + call->rows.units < stop ? top + call->rows.units : stop;
        a.x1 = a.x0 + begin_of(&call->columns, call->columns.units * (strip + 1) / call->strips);
        a.x0 += begin_of(&call->columns, call->columns.units * strip / call->strips);
        call->exec->ops.conv(&a, begin_of(&call->rows, at - top), begin_of(&call->rows, next - top));
    }
}

void sbv_parallel_conv(const sbv_exec *exec, const sbv_conv_args *a, int rows)
{
    struct conv_call call = {exec, a, axis_of(a, a->y0, rows), axis_of(a, a->x0, a->x1 - a->x0), 1, 1};
    const int threads = exec->threads, each = rows / (threads * LEAST_ROWS);
    if (threads > 1 && rows > 0) {
        const int most = call.columns.pixels / LEAST_COLUMNS, wanted = (2 * threads - 1) / call.rows.units + 1;
        const int64_t ranges = (int64_t)threads * (each < 1 ? 1 : each < RANGES_PER_THREAD ? each : RANGES_PER_THREAD);
        if (call.rows.units < 2 * threads && most > 1)
            call.strips = wanted < most ? wanted : most;
        const int64_t units = (int64_t)call.rows.units * call.strips;
        call.jobs = (int)(ranges < units ? ranges : units);
    }
    sbv_parallel_jobs(exec, run_part, &call, call.jobs);
}
