/*
 * Warps on the device; the formulas are those of kernels/reference/warp.c.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/params.h"
#include "kernels/cuda/samples.h"

namespace
{

/* The two taps of a bilinear sample along one axis: positions inside the image, and weights, zero for a tap outside. */
struct Taps {
    int position[2];
    float weight[2];
};

__device__ __forceinline__ Taps find_taps(float at, int size)
{
    Taps t;
    /* Beyond these bounds every tap is outside anyway; NaN becomes such a position too. */
    at = at > -2.0f ? at : -2.0f;
    at = at < static_cast<float>(size) + 1.0f ? at : static_cast<float>(size) + 1.0f;
    const int whole = static_cast<int>(floorf(at));
    const float fraction = at - static_cast<float>(whole);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const bool inside = whole + i >= 0 && whole + i < size;
        t.position[i] = inside ? whole + i : 0;
        t.weight[i] = inside ? (i ? fraction : 1.0f - fraction) : 0.0f;
    }
    return t;
}

__device__ __forceinline__ float clamp_to_image(float at, int size)
{
    at = at > 0.0f ? at : 0.0f;
    return at < static_cast<float>(size - 1) ? at : static_cast<float>(size - 1);
}

/* The products and sums are rounded one by one as in the C twin: the mask must fall the same way for both. */
__device__ __forceinline__ float position(int at, float scale, float flow)
{
    return __fadd_rn(static_cast<float>(at), __fmul_rn(scale, flow));
}

/* Interpolates n channels, at most GROUP, from `channel` on. */
template <class T>
__device__ __forceinline__ void sample(const sbv_map &in, const Taps &h, const Taps &v, int channel, int n, int wide,
                                       float (&value)[GROUP])
{
    const T *data = static_cast<const T *>(in.data) + channel;
    float tap[4][GROUP];
#pragma unroll
    for (int i = 0; i < 4; i++)
        load_group(data + sample_offset(in, h.position[i % 2], v.position[i / 2]), n, wide, tap[i]);
#pragma unroll
    for (int c = 0; c < GROUP; c++)
        value[c] = tap[0][c] * (h.weight[0] * v.weight[0]) + tap[1][c] * (h.weight[1] * v.weight[0]) +
                   tap[2][c] * (h.weight[0] * v.weight[1]) + tap[3][c] * (h.weight[1] * v.weight[1]);
}

} // namespace

/* A thread for `group` channels of one pixel. */
KERNEL(LAUNCH_BOUNDS(SBV_IMAGE_THREADS, 4) sbv_warp, const sbv_warp_params p)
{
    const int groups = (p.a.in.c + p.group - 1) / p.group, unit = blockIdx.x * SBV_IMAGE_THREADS + threadIdx.x;
    const int x = unit / groups, y = row_of_block(p.batch), channel = unit % groups * p.group;
    const int n = min(p.a.in.c - channel, p.group), member = member_of_block(p.batch);
    const sbv_map in = map_at(p.a.in, p.batch.in[member]), out = map_at(p.a.out, p.batch.out[member]);
    const sbv_map flow = map_at(p.a.flow, p.batch.other[member]);
    if (x >= out.w || y >= out.h)
        return;
    const int64_t at = sample_offset(flow, p.a.x0 + x, p.a.y0 + y);
    const float at_x = position(p.a.x0 + x, p.a.scale, load_sample(flow, at));
    const float at_y = position(p.a.y0 + y, p.a.scale, load_sample(flow, at + 1));
    Taps h = find_taps(at_x, in.w), v = find_taps(at_y, in.h);
    float value[GROUP] = {};
    if (__fmul_rn(h.weight[0] + h.weight[1], v.weight[0] + v.weight[1]) >= 0.999f) {
        if (p.a.clamp) {
            h = find_taps(clamp_to_image(at_x, in.w), in.w);
            v = find_taps(clamp_to_image(at_y, in.h), in.h);
        }
        if (in.type == SBV_MAP_F16)
            sample<__half>(in, h, v, channel, n, p.wide, value);
        else
            sample<float>(in, h, v, channel, n, p.wide, value);
    }
    store_group(out, sample_offset(out, x, y) + channel, n, p.wide, value);
}
