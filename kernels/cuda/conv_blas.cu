/*
 * The kernels before and after the matrix products of conv_blas.h. A thread moves 8 channels of one pixel.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/conv_params.h"
#include "kernels/cuda/samples.h"

KERNEL(sbv_conv_pad, const sbv_conv_pad_args a)
{
    const int units = a.channels / 8, unit = blockIdx.x * blockDim.x + threadIdx.x;
    if (unit >= a.w * a.h * units)
        return;
    const int pixel = unit / units, c = unit % units * 8;
    const int x = a.x0 + pixel % a.w, y = a.y0 + pixel / a.w;
    eight_halves value;
    value.bits = make_uint4(0, 0, 0, 0);
    if (x >= 0 && x < a.in.w && y >= 0 && y < a.in.h) {
        const ptrdiff_t at = sample_offset(a.in, x, y) + c;
        if (a.wide && c + 8 <= a.in.c) {
            value.bits = *reinterpret_cast<const uint4 *>(static_cast<const __half *>(a.in.data) + at);
        } else {
#pragma unroll
            for (int i = 0; i < 8; i++)
                if (c + i < a.in.c)
                    value.half[i] = __float2half(load_sample(a.in, at + i));
        }
    }
    static_cast<uint4 *>(a.padded)[unit] = value.bits;
}

KERNEL(sbv_conv_finish, const sbv_conv_finish_args a)
{
    const int units = a.channels / 8, unit = blockIdx.x * blockDim.x + threadIdx.x;
    if (unit >= a.w * a.h * units)
        return;
    const int pixel = unit / units, c = unit % units * 8;
    const int x = pixel % a.w, y = pixel / a.w;
    const float4 *sums = reinterpret_cast<const float4 *>(a.sums + ((ptrdiff_t)y * a.pitch + x) * a.channels + c);
    const float4 low = sums[0], high = sums[1];
    float value[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
    const ptrdiff_t at = sample_offset(a.out, a.x0 + x, a.y0 + y) + c;
    const ptrdiff_t add = a.residual.data ? sample_offset(a.residual, a.x0 + x, a.y0 + y) + c : 0;
    const int wide = a.wide && c + 8 <= a.out.c;
    eight_halves residual;
    if (wide && a.residual.data)
        residual.bits = *reinterpret_cast<const uint4 *>(static_cast<const __half *>(a.residual.data) + add);
    eight_halves packed;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        if (c + i < a.out.c) {
            float v = value[i] + a.bias[c + i];
            v = v > 0 ? v : a.slope * v;
            if (a.residual.data)
                v += wide ? __half2float(residual.half[i]) : load_sample(a.residual, add + i);
            if (wide)
                packed.half[i] = __float2half(v);
            else
                store_sample(a.out, at + i, v);
        }
    }
    if (wide)
        *reinterpret_cast<uint4 *>(static_cast<__half *>(a.out.data) + at) = packed.bits;
}
