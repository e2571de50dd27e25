/*
 * Transposed convolution on the device, a warp for an output pixel; the formula is that of kernels/reference/deconv.c.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/samples.h"

/* Output (x, y) gets kernel row ky from input row (y + 1 - ky) / 2 where that is whole and inside: two rows at most, of
 * the parity of y + 1, and likewise for columns. Grid: groups of warps x rows x operations of the batch. */
KERNEL(LAUNCH_BOUNDS(SBV_DECONV_WARPS * 32, 2) sbv_deconv, const sbv_deconv_params p)
{
    const sbv_deconv_args &a = p.a[blockIdx.z];
    const sbv_map &in = a.in, &out = a.out;
    const int lane = (int)threadIdx.x % 32, x = (int)(blockIdx.x * SBV_DECONV_WARPS + threadIdx.x / 32);
    if (x >= out.w)
        return;
    for (int y = (int)blockIdx.y; y < p.rows; y += (int)gridDim.y)
        for (int output = 0; output < out.c; output++) {
            float sum = 0;
            for (int ky = (y + 1) % 2; ky < 4; ky += 2)
                for (int kx = (x + 1) % 2; kx < 4; kx += 2) {
                    const int in_x = (x + 1 - kx) / 2, in_y = (y + 1 - ky) / 2;
                    if (x + 1 < kx || y + 1 < ky || in_x >= in.w || in_y >= in.h)
                        continue;
                    const int64_t from = sample_offset(in, in_x, in_y);
                    const float *weights = a.weights + ((int64_t)(ky * 4 + kx) * out.c + output) * in.c;
                    for (int c = lane; c < in.c; c += 32)
                        sum += load_sample(in, from + c) * weights[c];
                }
#pragma unroll
            for (int distance = 16; distance; distance /= 2)
                sum += __shfl_xor_sync(~0u, sum, distance);
            if (lane == 0)
                store_sample(out, sample_offset(out, x, y) + output, sum + a.bias[output]);
        }
}
