/*
 * What an operation has to do: products and sums, and memory that has to be read and written once.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_BENCH_COST_H
#define SBV_BENCH_COST_H

#include "kernels/ops.h"

/* An operation of kernels/ops.h: those of the table, and residual blocks at once. */
#define COST_ALL(OP) SBV_OPS(OP) OP(residual_block, sbv_residual_block_args)
enum cost_op {
#define COST_OP(name, args) COST_##name,
    COST_ALL(COST_OP)
#undef COST_OP
        COST_OPS
};

/* Room for the parameters of any operation. */
union cost_args {
#define COST_MEMBER(name, args) args name;
    COST_ALL(COST_MEMBER)
#undef COST_MEMBER
};

typedef struct cost {
    char shape[96]; /* of what comes in and goes out, for people; equal for operations that cost the same */
    double flops;   /* products and sums of its definition, 0 for what only moves data */
    double made;    /* those that are made: fewer where there is a way with fewer products */
    double bytes;   /* read and written, each once */
} cost;

const char *cost_name(enum cost_op op);

/* Of `jobs` jobs of an operation, nearly always rows. The shape is that of the whole but for convolutions and
 * residual blocks. */
cost cost_of(enum cost_op op, const union cost_args *args, int jobs);

#endif /* SBV_BENCH_COST_H */
