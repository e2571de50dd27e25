/*
 * Packing of the weights of convolutions: see conv_weights.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/conv_weights.h"
#include "kernels/numbers.h"

#include <string.h>

int sbv_cuda_packed_inputs(int in)
{
    return sbv_round_up(in, in > 32 ? 64 : 16);
}

int sbv_cuda_packed_outputs(int out)
{
    return sbv_round_up(out, 64);
}

/* Rounded to nearest, ties to even. */
static uint16_t to_half(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    const uint32_t sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffff;
    if (bits > 0x7f800000) /* not a number */
        return (uint16_t)(sign | 0x7e00);
    if (bits >= 0x477ff000) /* 65520 rounds to infinity */
        return (uint16_t)(sign | 0x7c00);
    if (bits < 0x38800000) { /* below 2^-14: multiples of 2^-24, the spacing of floats at 0.5 */
        const float shifted = (value < 0 ? -value : value) + 0.5f;
        memcpy(&bits, &shifted, sizeof(bits));
        return (uint16_t)(sign | (bits - 0x3f000000));
    }
    bits += 0xfff + (bits >> 13 & 1);
    return (uint16_t)(sign | (bits - 0x38000000) >> 13);
}

size_t sbv_cuda_conv_bytes(enum sbv_type type, int out, int in, int ksize)
{
    return (size_t)ksize * (size_t)ksize * (size_t)sbv_cuda_packed_outputs(out) * (size_t)sbv_cuda_packed_inputs(in) *
           sbv_sample_size(type);
}

void sbv_cuda_pack_conv(enum sbv_type type, const float *raw, int out, int in, int ksize, void *packed)
{
    const size_t row = (size_t)sbv_cuda_packed_inputs(in), tap = (size_t)sbv_cuda_packed_outputs(out) * row;
    memset(packed, 0, sbv_cuda_conv_bytes(type, out, in, ksize));
    for (size_t o = 0; o < (size_t)out; o++)
        for (size_t i = 0; i < (size_t)in; i++)
            for (size_t t = 0; t < (size_t)(ksize * ksize); t++, raw++) {
                const size_t at = t * tap + o * row + i;
                if (type == SBV_MAP_F16)
                    ((uint16_t *)packed)[at] = to_half(*raw);
                else
                    ((float *)packed)[at] = *raw;
            }
}
