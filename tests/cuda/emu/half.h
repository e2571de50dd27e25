/*
 * Half precision and vector types for kernels that run on the host: the parts of cuda_fp16.h and vector_types.h that
 * the kernels use, with the same names and the same rounding (to nearest, ties to even). The toolkit's own header works
 * on the host too, but converts bit by bit, several times slower, and is not there on machines without the toolkit.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_EMU_HALF_H
#define SBV_TESTS_EMU_HALF_H

#include <math.h>
#include <stdint.h>
#include <string.h>

namespace emu
{
#if defined(__aarch64__)
typedef __fp16 float16;
#else
typedef _Float16 float16;
#endif
} // namespace emu

#define EMU_VECTOR(type, scalar, align2, align4)                                                                       \
    struct alignas(align2) type##2                                                                                     \
    {                                                                                                                  \
        scalar x, y;                                                                                                   \
    };                                                                                                                 \
    struct type##3                                                                                                     \
    {                                                                                                                  \
        scalar x, y, z;                                                                                                \
    };                                                                                                                 \
    struct alignas(align4) type##4                                                                                     \
    {                                                                                                                  \
        scalar x, y, z, w;                                                                                             \
    };                                                                                                                 \
    inline type##2 make_##type##2(scalar x, scalar y)                                                                  \
    {                                                                                                                  \
        return {x, y};                                                                                                 \
    }                                                                                                                  \
    inline type##3 make_##type##3(scalar x, scalar y, scalar z)                                                        \
    {                                                                                                                  \
        return {x, y, z};                                                                                              \
    }                                                                                                                  \
    inline type##4 make_##type##4(scalar x, scalar y, scalar z, scalar w)                                              \
    {                                                                                                                  \
        return {x, y, z, w};                                                                                           \
    }
EMU_VECTOR(char, signed char, 2, 4)
EMU_VECTOR(uchar, unsigned char, 2, 4)
EMU_VECTOR(short, short, 4, 8)
EMU_VECTOR(ushort, unsigned short, 4, 8)
EMU_VECTOR(int, int, 8, 16)
EMU_VECTOR(uint, unsigned, 8, 16)
EMU_VECTOR(float, float, 8, 16)
#undef EMU_VECTOR

struct __half {
    emu::float16 value;
    __half() = default;
    __half(float v) : value((emu::float16)v)
    {
    }
    operator float() const
    {
        return (float)value;
    }
};
struct alignas(4) __half2 {
    __half x, y;
};
typedef __half half;
typedef __half2 half2;

inline __half __float2half(float v)
{
    return __half(v);
}
inline __half __float2half_rn(float v)
{
    return __half(v);
}
inline float __half2float(__half v)
{
    return (float)v;
}
inline __half2 __floats2half2_rn(float x, float y)
{
    return {__half(x), __half(y)};
}
inline __half2 __float22half2_rn(float2 v)
{
    return {__half(v.x), __half(v.y)};
}
inline __half2 __float2half2_rn(float v)
{
    return {__half(v), __half(v)};
}
inline float2 __half22float2(__half2 v)
{
    return {(float)v.x, (float)v.y};
}
inline float __low2float(__half2 v)
{
    return (float)v.x;
}
inline float __high2float(__half2 v)
{
    return (float)v.y;
}
inline __half __low2half(__half2 v)
{
    return v.x;
}
inline __half __high2half(__half2 v)
{
    return v.y;
}
inline __half2 __halves2half2(__half x, __half y)
{
    return {x, y};
}
inline __half2 __half2half2(__half v)
{
    return {v, v};
}
inline unsigned short __half_as_ushort(__half v)
{
    unsigned short bits;
    memcpy(&bits, &v, 2);
    return bits;
}
inline __half __ushort_as_half(unsigned short bits)
{
    __half v;
    memcpy(&v, &bits, 2);
    return v;
}

inline __half __hadd(__half a, __half b)
{
    return __half((float)a + (float)b);
}
inline __half __hsub(__half a, __half b)
{
    return __half((float)a - (float)b);
}
inline __half __hmul(__half a, __half b)
{
    return __half((float)a * (float)b);
}
inline __half __hmax(__half a, __half b)
{
    return __half(fmaxf(a, b));
}
inline __half __hmin(__half a, __half b)
{
    return __half(fminf(a, b));
}
/* The product of two halves is exact in a double, and so nearly always is the sum: one rounding, as on the device. */
inline __half __hfma(__half a, __half b, __half c)
{
    return __half((float)((double)(float)a * (double)(float)b + (double)(float)c));
}
inline __half2 __hadd2(__half2 a, __half2 b)
{
    return {__hadd(a.x, b.x), __hadd(a.y, b.y)};
}
inline __half2 __hsub2(__half2 a, __half2 b)
{
    return {__hsub(a.x, b.x), __hsub(a.y, b.y)};
}
inline __half2 __hmul2(__half2 a, __half2 b)
{
    return {__hmul(a.x, b.x), __hmul(a.y, b.y)};
}
inline __half2 __hfma2(__half2 a, __half2 b, __half2 c)
{
    return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)};
}
inline __half2 __hmax2(__half2 a, __half2 b)
{
    return {__hmax(a.x, b.x), __hmax(a.y, b.y)};
}
inline __half2 __hmin2(__half2 a, __half2 b)
{
    return {__hmin(a.x, b.x), __hmin(a.y, b.y)};
}

#endif /* SBV_TESTS_EMU_HALF_H */
