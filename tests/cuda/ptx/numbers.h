/*
 * What the arithmetic instructions of PTX compute, where an operator of C++ does not do it.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_CUDA_PTX_NUMBERS_H
#define SBV_TESTS_CUDA_PTX_NUMBERS_H

#include <limits>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "tests/cuda/emu/half.h"

namespace ptx
{

inline uint32_t bits(float v)
{
    return __builtin_bit_cast(uint32_t, v);
}
inline uint64_t bits(double v)
{
    return __builtin_bit_cast(uint64_t, v);
}
inline float number(uint32_t v)
{
    return __builtin_bit_cast(float, v);
}
inline double number(uint64_t v)
{
    return __builtin_bit_cast(double, v);
}

/* ---- Integers ---- */

inline uint32_t high_product(uint32_t a, uint32_t b)
{
    return (uint32_t)((uint64_t)a * b >> 32);
}
inline int32_t high_product(int32_t a, int32_t b)
{
    return (int32_t)((int64_t)a * b >> 32);
}
inline uint64_t high_product(uint64_t a, uint64_t b)
{
    return (uint64_t)((unsigned __int128)a * b >> 64);
}
inline int64_t high_product(int64_t a, int64_t b)
{
    return (int64_t)((__int128)a * b >> 64);
}
/* A division by zero gives all ones; the smallest number by -1 itself. */
template <class T> inline T quotient(T a, T b)
{
    if (b == 0)
        return (T) ~(T)0;
    return b == (T)-1 && std::numeric_limits<T>::is_signed ? (T)(0 - (uint64_t)a) : (T)(a / b);
}
template <class T> inline T remainder(T a, T b)
{
    if (b == 0)
        return a;
    return b == (T)-1 && std::numeric_limits<T>::is_signed ? (T)0 : (T)(a % b);
}
template <class T> inline T least(T a, T b)
{
    return a < b ? a : b;
}
template <class T> inline T most(T a, T b)
{
    return a > b ? a : b;
}
template <class T> inline T absolute(T a)
{
    return a < 0 ? (T)(0 - (uint64_t)a) : a;
}
template <class T> inline T shift_left(T a, uint32_t count)
{
    return count < sizeof(T) * 8 ? (T)((uint64_t)a << count) : (T)0;
}
template <class T> inline T shift_right(T a, uint32_t count)
{
    return (T)(a >> (count < sizeof(T) * 8 ? count : sizeof(T) * 8 - 1) >> (count < sizeof(T) * 8 ? 0 : 1));
}
inline uint32_t funnel_left(uint32_t low, uint32_t high, uint32_t count)
{
    return (uint32_t)((((uint64_t)high << 32 | low) << count) >> 32);
}
inline uint32_t funnel_right(uint32_t low, uint32_t high, uint32_t count)
{
    return (uint32_t)(((uint64_t)high << 32 | low) >> count);
}
template <class T> inline T bfi(T field, T into, uint32_t at, uint32_t width)
{
    const uint32_t size = sizeof(T) * 8, first = at & 255, count = width & 255;
    if (first >= size || !count)
        return into;
    const T mask = (T)((count >= size ? (T) ~(T)0 : (T)(((T)1 << count) - 1)) << first);
    return (T)((into & ~mask) | ((T)(field << first) & mask));
}
template <class T> inline T bfe(T from, uint32_t at, uint32_t width)
{
    const int size = (int)sizeof(T) * 8, first = (int)(at & 255), count = (int)(width & 255);
    if (!count)
        return 0;
    const int last = first + count - 1 < size - 1 ? first + count - 1 : size - 1;
    const bool sign = std::numeric_limits<T>::is_signed && (from >> last & 1);
    T result = 0;
    for (int i = 0; i < size; i++)
        if (i < count && first + i < size ? (bool)(from >> (first + i) & 1) : sign)
            result = (T)(result | (T)((uint64_t)1 << i));
    return result;
}
template <class T> inline uint32_t popc(T a)
{
    return (uint32_t)__builtin_popcountll(a);
}
inline uint32_t clz(uint32_t a)
{
    return a ? (uint32_t)__builtin_clz(a) : 32;
}
inline uint32_t clz(uint64_t a)
{
    return a ? (uint32_t)__builtin_clzll(a) : 64;
}
template <class T> inline T brev(T a)
{
    T r = 0;
    for (unsigned i = 0; i < sizeof(T) * 8; i++)
        r |= (a >> i & 1) << (sizeof(T) * 8 - 1 - i);
    return r;
}
inline uint32_t prmt(uint32_t a, uint32_t b, uint32_t selection)
{
    const uint64_t all = (uint64_t)b << 32 | a;
    uint32_t result = 0;
    for (int i = 0; i < 4; i++) {
        const uint32_t choice = selection >> 4 * i & 15;
        uint32_t byte = (uint32_t)(all >> 8 * (choice & 7)) & 255;
        if (choice & 8)
            byte = byte & 128 ? 255 : 0;
        result |= byte << 8 * i;
    }
    return result;
}
inline uint32_t lop3(uint32_t a, uint32_t b, uint32_t c, uint32_t table)
{
    uint32_t result = 0;
    for (uint32_t i = 0; i < 8; i++)
        if (table >> i & 1)
            result |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
    return result;
}
template <class To, class From> inline To clamped(From v)
{
    const __int128 low = std::numeric_limits<To>::min(), high = std::numeric_limits<To>::max(), wide = v;
    return (To)(wide < low ? low : wide > high ? high : wide);
}

/* ---- Floats ---- */

/* The other one where one is NaN; +0 is more than -0. */
template <> inline float least(float a, float b)
{
    return a != a ? b : b != b ? a : a == b ? number(bits(a) | bits(b)) : a < b ? a : b;
}
template <> inline float most(float a, float b)
{
    return a != a ? b : b != b ? a : a == b ? number(bits(a) & bits(b)) : a > b ? a : b;
}
template <> inline float absolute(float a)
{
    return fabsf(a);
}
inline float saturate(float a)
{
    return a > 0 ? (a < 1 ? a : 1) : 0;
}
inline float flush(float a)
{
    return fabsf(a) < 1.17549435e-38f ? copysignf(0, a) : a;
}
/* a * b + c rounded down. The product is exact in a double, and what its sum with c loses is known. */
inline float fma_down(float a, float b, float c)
{
    const double product = (double)a * b, sum = product + c, part = sum - product;
    const double lost = (product - (sum - part)) + (c - part);
    const float near = (float)sum;
    const bool above = (double)near > sum || ((double)near == sum && lost < 0);
    return above ? nextafterf(near, -INFINITY) : near;
}
/* PTX leaves it to its assembler whether this is one operation or two. EMU_CONTRACT=no: two. */
extern bool contracts;
inline float sum_of_product(float a, float b, float c, float separate)
{
    return contracts ? __builtin_fmaf(a, b, c) : separate;
}

template <class T> inline T rounded_(T a)
{
    return a;
}
template <class T> inline T rounded_rni(T a)
{
    return __builtin_rint(a);
}
template <class T> inline T rounded_rzi(T a)
{
    return __builtin_trunc(a);
}
template <class T> inline T rounded_rmi(T a)
{
    return __builtin_floor(a);
}
template <class T> inline T rounded_rpi(T a)
{
    return __builtin_ceil(a);
}
/* NaN gives 0, what is too large the largest. */
template <class To, class From> inline To to_integer(From v)
{
    const From low = (From)std::numeric_limits<To>::min(), high = (From)std::numeric_limits<To>::max();
    if (v != v)
        return 0;
    return v <= low ? std::numeric_limits<To>::min() : v >= high ? std::numeric_limits<To>::max() : (To)v;
}

/* ---- Halves ---- */

inline float from_half(uint16_t h)
{
    return (float)__builtin_bit_cast(emu::float16, h);
}
inline uint16_t to_half(float v)
{
    return __builtin_bit_cast(uint16_t, (emu::float16)v);
}
inline uint32_t to_half2(float low, float high)
{
    return to_half(low) | (uint32_t)to_half(high) << 16;
}
/* cvt.relu: NaN stays NaN. */
inline float relu(float v)
{
    return v < 0 ? 0.0f : v;
}
inline uint16_t add_f16(uint16_t a, uint16_t b)
{
    return to_half(from_half(a) + from_half(b));
}
inline uint16_t sub_f16(uint16_t a, uint16_t b)
{
    return to_half(from_half(a) - from_half(b));
}
inline uint16_t mul_f16(uint16_t a, uint16_t b)
{
    return to_half(from_half(a) * from_half(b));
}
inline uint16_t fma_f16(uint16_t a, uint16_t b, uint16_t c)
{
    return __builtin_bit_cast(uint16_t,
                              (emu::float16)((double)from_half(a) * (double)from_half(b) + (double)from_half(c)));
}
#define PTX_PAIRS(name)                                                                                                \
    inline uint32_t name##_f16x2(uint32_t a, uint32_t b)                                                               \
    {                                                                                                                  \
        return name##_f16((uint16_t)a, (uint16_t)b) | (uint32_t)name##_f16((uint16_t)(a >> 16), (uint16_t)(b >> 16))   \
                                                          << 16;                                                       \
    }
PTX_PAIRS(add)
PTX_PAIRS(sub)
PTX_PAIRS(mul)
#undef PTX_PAIRS
inline uint32_t fma_f16x2(uint32_t a, uint32_t b, uint32_t c)
{
    return fma_f16((uint16_t)a, (uint16_t)b, (uint16_t)c) |
           (uint32_t)fma_f16((uint16_t)(a >> 16), (uint16_t)(b >> 16), (uint16_t)(c >> 16)) << 16;
}

} // namespace ptx

#endif /* SBV_TESTS_CUDA_PTX_NUMBERS_H */
