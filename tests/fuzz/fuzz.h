/*
 * Fuzz targets: what they share. Each has the two functions that libFuzzer calls
 * (https://llvm.org/docs/LibFuzzer.html): one takes an input, one makes an input of another, and of an empty one a
 * whole one, so that no corpus is needed to begin with. replay.c calls them without libFuzzer.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_FUZZ_H
#define SBV_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "model/include/selfblindvsr.h"

#define FUZZ_SIZE (1 << 18) /* most bytes of an input */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size); /* libFuzzer's or replay.c's: any bytes */

extern unsigned long fuzz_accepted; /* inputs that were taken as what they should be, and not refused */

/* Ends the program, with the condition, where it does not hold. */
#define FUZZ_EXPECT(condition) fuzz_expect(condition, #condition)
void fuzz_expect(int condition, const char *text);

/* Sets what the numbers are made from; a number below `limit`. */
void fuzz_seed(unsigned seed);
size_t fuzz_below(size_t limit);

/* The path of file 0 or 1, in memory, written or not. */
const char *fuzz_file(int number, const void *data, size_t size);

/* Counts errors; every message must be one printable line. */
void fuzz_log(void *errors, enum sbv_log_level level, const char *message);

/* Opens a session, restores two small frames with it and closes it. `choice` chooses sizes and options. */
int fuzz_session(const char *model, const float *blur, int side, unsigned choice);

#endif /* SBV_TESTS_FUZZ_H */
