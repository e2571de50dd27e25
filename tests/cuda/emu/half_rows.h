/*
 * Eight floats at once, from halves: what the matrix instructions of the emulator compute with.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_EMU_HALF_ROWS_H
#define SBV_TESTS_EMU_HALF_ROWS_H

#include "half.h"

#if defined(__F16C__) && defined(__AVX__)
#include <immintrin.h>
#endif

namespace emu
{

typedef float Row8 __attribute__((vector_size(32)));

/* `halves` is a multiple of 16 bytes. */
static inline Row8 load_halves8(const uint16_t *halves)
{
#if defined(__F16C__) && defined(__AVX__)
    return (Row8)_mm256_cvtph_ps(_mm_load_si128((const __m128i *)halves));
#else
    Row8 row;
    for (int i = 0; i < 8; i++) {
        float16 h;
        memcpy(&h, halves + i, 2);
        row[i] = (float)h;
    }
    return row;
#endif
}

/* sum + factor * row, in one rounding where the processor can. */
static inline Row8 multiply_add(const Row8 &sum, float factor, const Row8 &row)
{
#if defined(__FMA__)
    return (Row8)_mm256_fmadd_ps(_mm256_set1_ps(factor), (__m256)row, (__m256)sum);
#else
    return sum + factor * row;
#endif
}

static inline void store_row8(float *p, const Row8 &row)
{
    memcpy(p, &row, sizeof(row));
}

} // namespace emu

#endif /* SBV_TESTS_EMU_HALF_ROWS_H */
