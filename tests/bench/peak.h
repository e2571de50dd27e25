/*
 * What one thread can do at best, by loops that do nothing else: multiply and add in registers, and move memory. The
 * operations are compared with it.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_BENCH_PEAK_H
#define SBV_BENCH_PEAK_H

#include <stddef.h>

/* Multiplications and additions of floats a second, with the registers of an instruction set: a name of sbv_isa_name(),
 * or one that begins with it. */
double peak_f32(const char *isa);

/* The same of products of bfloat16 summed in floats by AMX; 0 where the processor or the system has none. */
double peak_bf16(void);

/* Bytes a second where `bytes` are touched again and again: copying one half of them to the other counts as reading and
 * writing, or reading them all, whichever is faster. A multiple of 1024. 0 if there is no memory for it. */
double peak_memory(const char *isa, size_t bytes);

#endif /* SBV_BENCH_PEAK_H */
