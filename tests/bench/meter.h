/*
 * Takes the time of every operation that a session runs on the CPU, in its place, with the maps and the state of the
 * caches that it has there; and takes down the convolutions, so that they can be run again without anything between.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_BENCH_METER_H
#define SBV_BENCH_METER_H

#include "cost.h"
#include "model/runtime/session.h"

#define METER_GROUPS 256
#define METER_PASSES 64

/* All operations of one kind and shape of a pass. */
typedef struct meter_group {
    enum cost_op op;
    char shape[sizeof(((cost *)0)->shape)];
    int calls, parts;          /* of the last pass: how often one began, and in how many parts they ran */
    double flops, made, bytes; /* of the last pass, all together */
    double seconds[METER_PASSES];
} meter_group;

/* A convolution, or both of a residual block. */
typedef struct meter_conv {
    enum cost_op op;
    union cost_args args;
    int jobs;
} meter_conv;

typedef struct meter {
    meter_group group[METER_GROUPS];
    int groups, passes;
    double spread[METER_PASSES]; /* seconds of a pass, of the clock, in which all threads had work to take */
    meter_conv *conv;            /* of the last pass, in order */
    int convs, room;
} meter;

/* From here to meter_end the operations of the session are a pass. One session at a time. On several threads only
 * convolutions are told from each other, for there other operations may take turns in small parts. More groups, passes
 * or convolutions than there is room for end the program. */
void meter_begin(meter *m, sbv_session *s);
void meter_end(void);

/* The convolutions of the last pass, on the maps they had. */
void meter_run_convs(const meter *m, const sbv_session *s);

/* The group of an operation of that shape, NULL if there is none. */
const meter_group *meter_find(const meter *m, enum cost_op op, const char *shape);

void meter_free(meter *m);

#endif /* SBV_BENCH_METER_H */
