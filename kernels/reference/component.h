/*
 * Rows of one component of a frame <-> floats.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_REFERENCE_COMPONENT_H
#define SBV_KERNELS_REFERENCE_COMPONENT_H

#include <string.h>

#include "kernels/colour_codes.h"

#define INLINE static inline __attribute__((always_inline))

/* Adding and subtracting it rounds a float below 2^22 to an integer, half to even (IEEE 754 default rounding). */
#define ROUNDER 12582912.0f

/* A sample that is a float, as the network can take it: no number is 0, and what is out of all measure (that of fp16,
 * in which a GPU computes) is cut. */
INLINE float finite(float v)
{
    const float most = 65504.0f;
    v = v == v ? v : 0.0f;
    v = v < most ? v : most;
    return v > -most ? v : -most;
}

/* Values of the samples first .. first + count - 1 of row y. */
static inline void load(float *value, const sbv_stream *s, const sbv_frame *frame, int component, int y, int first,
                        int count)
{
    const sbv_component c = s->component[component];
    const sbv_code_range range = sbv_code_range_of(s, component);
    const uint8_t *sample = frame->data[c.plane] + y * frame->linesize[c.plane] + c.offset + (ptrdiff_t)first * c.step;
    const float gain = 1.0f / range.unit;

    if (c.depth == 32) {
        for (int i = 0; i < count; i++) {
            memcpy(&value[i], sample + (ptrdiff_t)i * c.step, sizeof(*value));
            value[i] = finite(value[i]);
        }
    } else if (c.depth > 8) {
        for (int i = 0; i < count; i++) {
            uint16_t stored;
            memcpy(&stored, sample + (ptrdiff_t)i * c.step, sizeof(stored));
            value[i] = ((float)(stored >> c.shift) - range.zero) * gain;
        }
    } else {
        for (int i = 0; i < count; i++)
            value[i] = ((float)(sample[(ptrdiff_t)i * c.step] >> c.shift) - range.zero) * gain;
    }
}

/* Values -> samples of one or two bytes, `step` bytes apart. NaN becomes the lowest sample. */
INLINE void store_samples(const float *value, uint8_t *sample, int count, int wide, ptrdiff_t step,
                          sbv_code_range range, float top, int shift)
{
    for (int i = 0; i < count; i++) {
        float v = range.zero + range.unit * value[i];
        v = v > 0.0f ? v : 0.0f;
        v = v < top ? v : top;
        const int code = (int)(v + ROUNDER - ROUNDER) << shift;
        if (wide) {
            const uint16_t stored = (uint16_t)code;
            memcpy(sample + i * step, &stored, sizeof(stored));
        } else {
            sample[i * step] = (uint8_t)code;
        }
    }
}

/* Values -> samples that are floats, not clamped. NaN becomes 0. */
static inline void store_floats(const float *value, uint8_t *sample, int count, ptrdiff_t step)
{
    for (int i = 0; i < count; i++) {
        const float v = value[i] == value[i] ? value[i] : 0.0f;
        memcpy(sample + i * step, &v, sizeof(v));
    }
}

/* Writes the samples first .. first + count - 1 of row y. */
static inline void store(const float *value, const sbv_stream *s, const sbv_frame *frame, int component, int y,
                         int first, int count)
{
    const sbv_component c = s->component[component];
    const sbv_code_range range = sbv_code_range_of(s, component);
    uint8_t *sample = frame->data[c.plane] + y * frame->linesize[c.plane] + c.offset + (ptrdiff_t)first * c.step;

    if (c.depth == 32) {
        store_floats(value, sample, count, c.step);
        return;
    }
    const float top = (float)((1 << c.depth) - 1);
    if (c.depth == 8 && c.step == 1)
        store_samples(value, sample, count, 0, 1, range, top, c.shift);
    else if (c.depth > 8 && c.step == 2)
        store_samples(value, sample, count, 1, 2, range, top, c.shift);
    else
        store_samples(value, sample, count, c.depth > 8, c.step, range, top, c.shift);
}

#endif /* SBV_KERNELS_REFERENCE_COMPONENT_H */
