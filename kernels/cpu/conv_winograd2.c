/*
 * Convolution in fp32 by Winograd's minimal filtering, F(2x2, 3x3) of Lavin and Gray, "Fast algorithms for
 * convolutional neural networks", CVPR 2016: ksize 3, stride 1, dilation 1. A tile of 2x2 output pixels is made of 4x4
 * input pixels d as A'((G g G') . (B'd B))A, with 16 products for each pair of channels where the direct way has 36:
 *
 *     B' = 1  0 -1  0     G = 1    0    0      A' = 1  1  1  0
 *          0  1  1  0         1/2  1/2  1/2         0  1 -1 -1
 *          0 -1  1  0         1/2 -1/2  1/2
 *          0  1  0 -1         0    0    1
 *
 * An output pixel depends on the 3x3 pixels round it alone, to the bit: what reaches further meets a zero of A', which
 * is no product but left out of the sum. The rest is in winograd.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cpu/vec.h"

#define OUT 2
/* sbv_conv_winograd2_sse2, sbv_conv_winograd2_avx2, sbv_conv_winograd2_avx512, sbv_conv_winograd2_neon,
 * sbv_pack_winograd2_sse2, sbv_pack_winograd2_avx2, sbv_pack_winograd2_avx512, sbv_pack_winograd2_neon,
 * sbv_winograd2_bytes_sse2, sbv_winograd2_bytes_avx2, sbv_winograd2_bytes_avx512, sbv_winograd2_bytes_neon */
#define CONV_WINOGRAD  SBV_CPU_NAME(conv_winograd2)
#define PACK_WINOGRAD  SBV_CPU_NAME(pack_winograd2)
#define WINOGRAD_BYTES SBV_CPU_NAME(winograd2_bytes)

#define INPUT_ROWS                                                                                                     \
    {                                                                                                                  \
        0, 4                                                                                                           \
    }
#define SUM_ROWS                                                                                                       \
    {                                                                                                                  \
        0, 2                                                                                                           \
    }
#define SUM_ROW(i) (i)

static const double weight_rows[OUT + 2][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};

/* B'd of four values. */
SBV_INLINE void transform_inputs(vec *d)
{
    const vec d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3];
    d[0] = d0 - d2;
    d[1] = d1 + d2;
    d[2] = d2 - d1;
    d[3] = d1 - d3;
}

/* A'm of four values. */
SBV_INLINE void transform_sums(const vec m[OUT + 2], vec *out)
{
    out[0] = m[0] + m[1] + m[2];
    out[1] = m[1] - m[2] - m[3];
}

#include "kernels/cpu/winograd.h"
