/*
 * Bilinear resize on the device; the formulas are those of kernels/reference/resize.c.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/params.h"
#include "kernels/cuda/samples.h"

namespace
{

/* Source position of output sample `at` of `out` when `in` samples are resized. Rounded step by step as in the C twin:
 * a position next to a whole number must fall on the same side of it. */
__device__ __forceinline__ void source(int at, int in, int out, int *first, int *second, float *fraction)
{
    const float scale = static_cast<float>(in) / static_cast<float>(out);
    float position = __fadd_rn(__fmul_rn(static_cast<float>(at) + 0.5f, scale), -0.5f);
    position = position > 0.0f ? position : 0.0f;
    *first = static_cast<int>(position) < in - 1 ? static_cast<int>(position) : in - 1;
    *second = *first + 1 < in ? *first + 1 : *first;
    *fraction = position - static_cast<float>(*first);
}

/* Neighbours of in that a sample of the moved result is made of, along one axis, and their weights. */
struct Neighbours {
    int first;
    float weight[SBV_MOVE_TAPS];
};

__device__ __forceinline__ Neighbours moved_source(int at, int in, int out, int move)
{
    Neighbours n = {};
#pragma unroll
    for (int i = 0; i < SBV_MOVE_TAPS; i++) {
        const float weight = i == 0 || i == SBV_MOVE_TAPS - 1 ? SBV_MOVE_FAR : SBV_MOVE_NEAR;
        int first, second;
        float fraction;
        source(max(0, min(at - move / 2 - 1 + i, out - 1)), in, out, &first, &second, &fraction);
        if (i == 0)
            n.first = first;
#pragma unroll
        for (int j = 0; j < SBV_MOVE_TAPS; j++) {
            n.weight[j] += first - n.first == j ? weight * (1.0f - fraction) : 0.0f;
            n.weight[j] += second - n.first == j ? weight * fraction : 0.0f;
        }
    }
    return n;
}

} // namespace

/* A thread for a pixel. */
KERNEL(LAUNCH_BOUNDS(SBV_IMAGE_THREADS, 4) sbv_resize, const sbv_resize_params p)
{
    const sbv_resize_args &a = p.a;
    const int member = member_of_block(p.batch);
    const sbv_map in = map_at(a.in, p.batch.in[member]), out = map_at(a.out, p.batch.out[member]);
    const int x = blockIdx.x * SBV_IMAGE_THREADS + threadIdx.x, y = row_of_block(p.batch);
    int y0, y1, x0, x1;
    float fy, fx;
    if (x >= out.w || y >= out.h)
        return;
    source(a.y0 + y, in.h, a.full_h, &y0, &y1, &fy);
    source(a.x0 + x, in.w, a.full_w, &x0, &x1, &fx);
    const int64_t to = sample_offset(out, x, y);
#pragma unroll
    for (int c = 0; c < SBV_RESIZE_CHANNELS; c++) {
        if (c >= in.c)
            break;
        const float top = (1.0f - fx) * load_sample(in, sample_offset(in, x0, y0) + c) +
                          fx * load_sample(in, sample_offset(in, x1, y0) + c);
        const float bottom = (1.0f - fx) * load_sample(in, sample_offset(in, x0, y1) + c) +
                             fx * load_sample(in, sample_offset(in, x1, y1) + c);
        const float value = (1.0f - fy) * top + fy * bottom;
        store_sample(out, to + c, a.gain[c] != 0.0f ? value * a.gain[c] : value);
    }
}

/* The same of the moved result. */
KERNEL(LAUNCH_BOUNDS(SBV_IMAGE_THREADS, 4) sbv_resize_moved, const sbv_resize_params p)
{
    const sbv_resize_args &a = p.a;
    const int member = member_of_block(p.batch);
    const sbv_map in = map_at(a.in, p.batch.in[member]), out = map_at(a.out, p.batch.out[member]);
    const int x = blockIdx.x * SBV_IMAGE_THREADS + threadIdx.x, y = row_of_block(p.batch);
    if (x >= out.w || y >= out.h)
        return;
    const Neighbours v = moved_source(a.y0 + y, in.h, a.full_h, a.move);
    const Neighbours h = moved_source(a.x0 + x, in.w, a.full_w, a.move);
    float value[SBV_RESIZE_CHANNELS] = {};
#pragma unroll
    for (int i = 0; i < SBV_MOVE_TAPS; i++)
#pragma unroll
        for (int j = 0; j < SBV_MOVE_TAPS; j++) {
            /* what lies beyond the edge has no weight */
            const int64_t from = sample_offset(in, min(h.first + j, in.w - 1), min(v.first + i, in.h - 1));
            for (int c = 0; c < SBV_RESIZE_CHANNELS; c++)
                if (c < in.c)
                    value[c] += v.weight[i] * h.weight[j] * load_sample(in, from + c);
        }
    const int64_t to = sample_offset(out, x, y);
#pragma unroll
    for (int c = 0; c < SBV_RESIZE_CHANNELS; c++)
        if (c < in.c)
            store_sample(out, to + c, a.gain[c] != 0.0f ? value[c] * a.gain[c] : value[c]);
}
