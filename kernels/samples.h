/*
 * Samples of maps in the memory of the host, floats or bfloat16.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_SAMPLES_H
#define SBV_KERNELS_SAMPLES_H

#include <string.h>

#include "kernels/ops.h"

static inline float sbv_from_bf16(uint16_t stored)
{
    const uint32_t bits = (uint32_t)stored << 16;
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* Rounded to nearest, half to even. NaN stays NaN. */
static inline uint16_t sbv_to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    if (value != value)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* The channels of pixel (x, y), of the type of the map. */
static inline void *sbv_pixel(const sbv_map *map, int x, int y)
{
    return (char *)map->data + (y * map->row + x * map->pixel) * (ptrdiff_t)sbv_sample_size(map->type);
}

/* Channel c of a pixel. */
static inline float sbv_load(const void *pixel, enum sbv_type type, int c)
{
    return type == SBV_MAP_BF16 ? sbv_from_bf16(((const uint16_t *)pixel)[c]) : ((const float *)pixel)[c];
}

static inline void sbv_store(void *pixel, enum sbv_type type, int c, float value)
{
    if (type == SBV_MAP_BF16)
        ((uint16_t *)pixel)[c] = sbv_to_bf16(value);
    else
        ((float *)pixel)[c] = value;
}

#endif /* SBV_KERNELS_SAMPLES_H */
