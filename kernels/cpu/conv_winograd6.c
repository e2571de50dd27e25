/*
 * Convolution in fp32 by Winograd's minimal filtering, F(6x6, 3x3): as conv_winograd4.c, with tiles of 6x6 output
 * pixels made of 8x8 input pixels, 64 products for each pair of channels where the direct way has 324, and tiles of 4x4
 * 81. The polynomials are taken at 0, 1, -1, 2, -2, 1/2, -1/2 and infinity:
 *
 *     B' = -1   0   21/4   0   -21/4   0    1  0     A' = 1  1   1   1   1    1     1   0
 *           0   1    1  -17/4  -17/4   1    1  0          0  1  -1   2  -2   1/2  -1/2  0
 *           0  -1    1   17/4  -17/4  -1    1  0          0  1   1   4   4   1/4   1/4  0
 *           0  1/2  1/4  -5/2   -5/4   2    1  0          0  1  -1   8  -8   1/8  -1/8  0
 *           0 -1/2  1/4   5/2   -5/4  -2    1  0          0  1   1  16  16   1/16  1/16 0
 *           0   2    4   -5/2    -5   1/2   1  0          0  1  -1  32 -32   1/32 -1/32 1
 *           0  -2    4    5/2    -5  -1/2   1  0
 *           0  -1    0   21/4    0  -21/4   0  1
 *
 * rows of G, times [1 p p^2] for point p: -1, -2/9, -2/9, 1/90, 1/90, 32/45, 32/45, and [0 0 1].
 *
 * Of the points that were tried these round least, and all factors but those of G are exact: the error is four times
 * that of tiles of 4x4 (root mean square, simulated). As there, a pixel depends in its last bits on all that its tile
 * reads.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cpu/vec.h"

#define OUT 6
/* sbv_conv_winograd6_sse2, sbv_conv_winograd6_avx2, sbv_conv_winograd6_avx512, sbv_conv_winograd6_neon,
 * sbv_pack_winograd6_sse2, sbv_pack_winograd6_avx2, sbv_pack_winograd6_avx512, sbv_pack_winograd6_neon,
 * sbv_winograd6_bytes_sse2, sbv_winograd6_bytes_avx2, sbv_winograd6_bytes_avx512, sbv_winograd6_bytes_neon */
#define CONV_WINOGRAD  SBV_CPU_NAME(conv_winograd6)
#define PACK_WINOGRAD  SBV_CPU_NAME(pack_winograd6)
#define WINOGRAD_BYTES SBV_CPU_NAME(winograd6_bytes)

#define INPUT_ROWS                                                                                                     \
    {                                                                                                                  \
        0, 1, 3, 5, 7, 8                                                                                               \
    }
#define SUM_ROWS                                                                                                       \
    {                                                                                                                  \
        0, 3, 6                                                                                                        \
    }
#define SUM_ROW(i) ((i) % 3 * 2 + (i) / 3) /* even ones, then odd ones */

static const double weight_rows[OUT + 2][3] = {
    {-1, 0, 0},
    {-2 / 9.0, -2 / 9.0, -2 / 9.0},
    {-2 / 9.0, 2 / 9.0, -2 / 9.0},
    {1 / 90.0, 2 / 90.0, 4 / 90.0},
    {1 / 90.0, -2 / 90.0, 4 / 90.0},
    {32 / 45.0, 16 / 45.0, 8 / 45.0},
    {32 / 45.0, -16 / 45.0, 8 / 45.0},
    {0, 0, 1},
};

/* B'd of eight values. */
SBV_INLINE void transform_inputs(vec *d)
{
    const vec d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3], d4 = d[4], d5 = d[5], d6 = d[6], d7 = d[7];
    const vec even_1 = d2 + d6 - 4.25f * d4, odd_1 = d1 + d5 - 4.25f * d3;
    const vec even_2 = d6 - 1.25f * d4 + 0.25f * d2, odd_2 = d5 - 1.25f * d3 + 0.25f * d1;
    const vec even_half = d6 - 5 * d4 + 4 * d2, odd_half = d5 - 5 * d3 + 4 * d1;
    d[0] = d6 - d0 + 5.25f * (d2 - d4);
    d[1] = even_1 + odd_1;
    d[2] = even_1 - odd_1;
    d[3] = even_2 + 2 * odd_2;
    d[4] = even_2 - 2 * odd_2;
    d[5] = even_half + 0.5f * odd_half;
    d[6] = even_half - 0.5f * odd_half;
    d[7] = d7 - d1 + 5.25f * (d3 - d5);
}

/* A'm of eight values. */
SBV_INLINE void transform_sums(const vec m[OUT + 2], vec *out)
{
    const vec even_1 = m[1] + m[2], odd_1 = m[1] - m[2], even_2 = m[3] + m[4], odd_2 = m[3] - m[4];
    const vec even_half = m[5] + m[6], odd_half = m[5] - m[6];
    out[0] = m[0] + even_1 + even_2 + even_half;
    out[1] = odd_1 + 2 * odd_2 + 0.5f * odd_half;
    out[2] = even_1 + 4 * even_2 + 0.25f * even_half;
    out[3] = odd_1 + 8 * odd_2 + 0.125f * odd_half;
    out[4] = even_1 + 16 * even_2 + 0.0625f * even_half;
    out[5] = m[7] + odd_1 + 32 * odd_2 + 0.03125f * odd_half;
}

#include "kernels/cpu/winograd.h"
