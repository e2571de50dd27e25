/*
 * Vectors of SBV_LANES floats, for the sources that are compiled once per instruction set, in the vector extensions of
 * GCC and Clang. Maps of floats and of bfloat16 are loaded as floats.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CPU_VEC_H
#define SBV_KERNELS_CPU_VEC_H

#if SBV_LANES == 16
#include <immintrin.h>
#endif

#include "kernels/samples.h"

#define SBV_INLINE static inline __attribute__((always_inline))

#if SBV_LANES == 16 || defined(__aarch64__)
#define VEC_REGISTERS 32
#else
#define VEC_REGISTERS 16
#endif

typedef float vec __attribute__((vector_size(4 * SBV_LANES), aligned(4), may_alias));
typedef int32_t vec_int __attribute__((vector_size(4 * SBV_LANES)));
typedef uint32_t vec_bits __attribute__((vector_size(4 * SBV_LANES)));
typedef uint16_t vec_bf16 __attribute__((vector_size(2 * SBV_LANES), aligned(2), may_alias));

SBV_INLINE vec vec_all(float value)
{
    return value - (vec){0};
}

SBV_INLINE vec_bits vec_choose(vec_int condition, vec_bits yes, vec_bits no)
{
    return ((vec_bits)condition & yes) | (~(vec_bits)condition & no);
}

/* x for x > 0, slope * x otherwise. GCC would make the mask of AVX-512 a vector. */
SBV_INLINE vec vec_activate(vec x, float slope)
{
#if SBV_LANES == 16
    return (vec)_mm512_mask_mul_ps((__m512)x, _mm512_cmp_ps_mask((__m512)x, _mm512_setzero_ps(), _CMP_NGT_UQ),
                                   (__m512)x, _mm512_set1_ps(slope));
#else
    return (vec)vec_choose(x > 0, (vec_bits)x, (vec_bits)(slope * x));
#endif
}

/* To 32 bits a lane and back. GCC would take 16 lanes in halves. */
SBV_INLINE vec_bits vec_widen(vec_bf16 values)
{
#if SBV_LANES == 16
    return (vec_bits)_mm512_cvtepu16_epi32((__m256i)values);
#else
    return __builtin_convertvector(values, vec_bits);
#endif
}

SBV_INLINE vec_bf16 vec_narrow(vec_bits values)
{
#if SBV_LANES == 16
    return (vec_bf16)_mm512_cvtepi32_epi16((__m512i)values);
#else
    return __builtin_convertvector(values, vec_bf16);
#endif
}

SBV_INLINE vec_bf16 vec_to_bf16(vec value)
{
    const vec_bits bits = (vec_bits)value;
    const vec_bits rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return vec_narrow(vec_choose(value == value, rounded, bits >> 16 | 0x40));
}

/* Channels c .. c + SBV_LANES - 1 of a pixel. */
SBV_INLINE vec vec_load(const void *pixel, enum sbv_type type, int c)
{
    if (type == SBV_MAP_BF16)
        return (vec)(vec_widen(*(const vec_bf16 *)((const uint16_t *)pixel + c)) << 16);
    return *(const vec *)((const float *)pixel + c);
}

SBV_INLINE void vec_store(void *pixel, enum sbv_type type, int c, vec value)
{
    if (type == SBV_MAP_BF16)
        *(vec_bf16 *)((uint16_t *)pixel + c) = vec_to_bf16(value);
    else
        *(vec *)((float *)pixel + c) = value;
}

/* The first `count` of them, fewer than SBV_LANES; zeros behind. */
SBV_INLINE vec vec_load_part(const void *pixel, enum sbv_type type, int c, int count)
{
    float value[SBV_LANES] = {0};
    for (int i = 0; i < count; i++)
        value[i] = sbv_load(pixel, type, c + i);
    return *(const vec *)value;
}

SBV_INLINE void vec_store_part(void *pixel, enum sbv_type type, int c, vec value, int count)
{
    for (int i = 0; i < count; i++)
        sbv_store(pixel, type, c + i, value[i]);
}

/* Pixels ahead of the one that is written now. */
#define SBV_AHEAD 8

/* Fetches the cache lines of the nearest pixel of row y to x, to be read or written. Worth it where the processor does
 * not foresee them: writes to some channels of a wide map, walks down the rows. */
SBV_INLINE void vec_expect(const sbv_map *map, int x, int y, int write)
{
    const char *pixel = sbv_pixel(map, x < 0 ? 0 : x < map->w ? x : map->w - 1, y);
    const ptrdiff_t bytes = map->c * (ptrdiff_t)sbv_sample_size(map->type);
    for (ptrdiff_t at = 0; at < bytes; at += 64)
        if (write)
            __builtin_prefetch(pixel + at, 1);
        else
            __builtin_prefetch(pixel + at, 0);
}

#ifdef __clang__
#define VEC_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define VEC_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (vec_int){__VA_ARGS__})
#endif

/* The lower halves of a and b, lane by lane in turn, and the upper halves. */
SBV_INLINE vec vec_zip_low(vec a, vec b)
{
#if SBV_LANES == 16
    return VEC_SHUFFLE(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
#elif SBV_LANES == 8
    return VEC_SHUFFLE(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
#else
    return VEC_SHUFFLE(a, b, 0, 4, 1, 5);
#endif
}

SBV_INLINE vec vec_zip_high(vec a, vec b)
{
#if SBV_LANES == 16
    return VEC_SHUFFLE(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#elif SBV_LANES == 8
    return VEC_SHUFFLE(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
#else
    return VEC_SHUFFLE(a, b, 2, 6, 3, 7);
#endif
}

/* Rows become columns: each pass makes the two halves of the rows alternate, lane by lane. */
SBV_INLINE void vec_transpose(vec row[SBV_LANES])
{
    vec other[SBV_LANES];
    for (int pass = 1; pass < SBV_LANES; pass *= 2) {
        for (int i = 0; i < SBV_LANES / 2; i++) {
            other[2 * i] = vec_zip_low(row[i], row[i + SBV_LANES / 2]);
            other[2 * i + 1] = vec_zip_high(row[i], row[i + SBV_LANES / 2]);
        }
        for (int i = 0; i < SBV_LANES; i++)
            row[i] = other[i];
    }
}

#endif /* SBV_KERNELS_CPU_VEC_H */
