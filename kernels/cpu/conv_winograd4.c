/*
 * Convolution in fp32 by Winograd's minimal filtering, F(4x4, 3x3): as conv_winograd2.c, with tiles of 4x4 output
 * pixels made of 6x6 input pixels, 36 products for each pair of channels where the direct way has 144. The polynomials
 * are taken at 0, a, -a, b, -b and infinity, a^2 = 1/2, b^2 = 2:
 *
 *     B' = 1   0   -5/2   0    1  0     A' = 1   1    1   1    1  0     rows of G, times [1 p p^2] for point p:
 *          0  -2a  -2     a    1  0          0   a   -a   b   -b  0     1, -2/3, -2/3, 1/6, 1/6, and [0 0 1]
 *          0   2a  -2    -a    1  0          0  1/2  1/2  2    2  0
 *          0 -b/2  -1/2   b    1  0          0  a/2 -a/2  2b -2b  1
 *          0  b/2  -1/2  -b    1  0
 *          0   1    0   -5/2   0  1
 *
 * With the points 0, 1, 2 that are often seen the result is rounded twice as much (measured). All of the 6x6 pixels
 * take part in each output pixel, some of them to cancel: so a pixel depends, in its last bits, on all that its tile
 * reads. What is computed from a part of a map has the bits of the whole only where whole tiles lie in it: see
 * sbv_conv_args.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cpu/vec.h"

#define OUT 4
/* sbv_conv_winograd4_sse2, sbv_conv_winograd4_avx2, sbv_conv_winograd4_avx512, sbv_conv_winograd4_neon,
 * sbv_pack_winograd4_sse2, sbv_pack_winograd4_avx2, sbv_pack_winograd4_avx512, sbv_pack_winograd4_neon,
 * sbv_winograd4_bytes_sse2, sbv_winograd4_bytes_avx2, sbv_winograd4_bytes_avx512, sbv_winograd4_bytes_neon */
#define CONV_WINOGRAD  SBV_CPU_NAME(conv_winograd4)
#define PACK_WINOGRAD  SBV_CPU_NAME(pack_winograd4)
#define WINOGRAD_BYTES SBV_CPU_NAME(winograd4_bytes)

#if VEC_REGISTERS == 32
#define INPUT_ROWS                                                                                                     \
    {                                                                                                                  \
        0, 1, 5, 6                                                                                                     \
    }
#define SUM_ROWS                                                                                                       \
    {                                                                                                                  \
        0, 4                                                                                                           \
    }
#else
#define INPUT_ROWS                                                                                                     \
    {                                                                                                                  \
        0, 1, 3, 5, 6                                                                                                  \
    }
#define SUM_ROWS                                                                                                       \
    {                                                                                                                  \
        0, 2, 4                                                                                                        \
    }
#endif
#define SUM_ROW(i) (i)

#define A 0.70710678118654752440
#define B 1.41421356237309504880

static const double weight_rows[OUT + 2][3] = {
    {1, 0, 0},
    {-2 / 3.0, -2 / 3.0 * A, -1 / 3.0},
    {-2 / 3.0, 2 / 3.0 * A, -1 / 3.0},
    {1 / 6.0, B / 6.0, 1 / 3.0},
    {1 / 6.0, -B / 6.0, 1 / 3.0},
    {0, 0, 1},
};

/* B'd of six values. */
SBV_INLINE void transform_inputs(vec *d)
{
    const vec d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3], d4 = d[4], d5 = d[5];
    const vec even_a = d4 - 2 * d2, odd_a = d3 - 2 * d1, even_b = d4 - 0.5f * d2, odd_b = d3 - 0.5f * d1;
    d[0] = d0 + d4 - 2.5f * d2;
    d[1] = even_a + (float)A * odd_a;
    d[2] = even_a - (float)A * odd_a;
    d[3] = even_b + (float)B * odd_b;
    d[4] = even_b - (float)B * odd_b;
    d[5] = d1 + d5 - 2.5f * d3;
}

/* A'm of six values. */
SBV_INLINE void transform_sums(const vec m[OUT + 2], vec *out)
{
    const vec even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];
    out[0] = m[0] + even_a + even_b;
    out[1] = (float)A * odd_a + (float)B * odd_b;
    out[2] = 0.5f * even_a + 2 * even_b;
    out[3] = m[5] + (float)(A / 2) * odd_a + (float)(2 * B) * odd_b;
}

#include "kernels/cpu/winograd.h"
