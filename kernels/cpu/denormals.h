/*
 * Numbers too small to be normal, taken for zero, where the processor can do that; it is much slower with them.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CPU_DENORMALS_H
#define SBV_KERNELS_CPU_DENORMALS_H

#include <stdint.h>

#if defined(__SSE2__)
#include <xmmintrin.h>
#define SBV_DENORMALS_FLUSHED 0x8040 /* FTZ and DAZ of MXCSR: results and operands */
#elif defined(__aarch64__)
#define SBV_DENORMALS_FLUSHED (1 << 24) /* FZ of FPCR: both */
#endif

static inline void sbv_set_float_mode(uint64_t mode)
{
#if defined(__SSE2__)
    _mm_setcsr((unsigned)mode);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(mode) : "memory");
#else
    (void)mode;
#endif
}

/* For this thread, until what it returns is given to sbv_set_float_mode. */
static inline uint64_t sbv_flush_denormals(void)
{
    uint64_t mode = 0;
#if defined(__SSE2__)
    mode = _mm_getcsr();
#elif defined(__aarch64__)
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
#endif
#if defined(SBV_DENORMALS_FLUSHED)
    sbv_set_float_mode(mode | SBV_DENORMALS_FLUSHED);
#endif
    return mode;
}

#endif /* SBV_KERNELS_CPU_DENORMALS_H */
