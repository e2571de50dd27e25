/*
 * Maps between guards, for tests of operations: NaN round every input, where a value that is read spoils the result, a
 * pattern round every output, which is checked afterwards.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_GUARDED_H
#define SBV_TESTS_GUARDED_H

#include <stddef.h>

#include "kernels/samples.h"

#define PATTERN 12345.5f

typedef struct guarded {
    void *memory;
    size_t count; /* samples */
    sbv_map map;
} guarded;

/* The next of a fixed row of numbers between -1 and 1. */
float uniform(void);

/* A map with gaps between pixels and between rows; the gaps are guards too. Random inside if `input`. Freed by
 * free(memory). */
guarded guarded_map(enum sbv_type type, int w, int h, int c, int input);

/* The same, of floats, with gaps between rows alone. */
guarded guarded_dense(int w, int h, int c, int input);

/* All of an output gets the pattern again. */
void guarded_reset(guarded *g);

/* What is no sample of the map, or lies outside columns x0 .. x1 - 1 and rows y0 .. y1 - 1, still has the pattern. */
void guarded_check(const guarded *g, int x0, int x1, int y0, int y1);

/* Channels that vectors of any width do not divide, and those of networks. */
static const int guarded_channels[] = {1, 2, 3, 5, 16, 17, 64, 81, 128, 130};
#define GUARDED_CHANNELS ((int)(sizeof(guarded_channels) / sizeof(guarded_channels[0])))

/* All jobs of an operation, cut into uneven ranges, or uncut if `guarded_uncut`. */
extern int guarded_uncut;
#define RUN(op, args, jobs)                                                                                            \
    for (int begin = 0, end; begin < (jobs); begin = end) {                                                            \
        end = begin + 1 + begin % 3 < (jobs) && !guarded_uncut ? begin + 1 + begin % 3 : (jobs);                       \
        ops.op(args, begin, end);                                                                                      \
    }

#endif /* SBV_TESTS_GUARDED_H */
