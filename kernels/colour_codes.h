/*
 * What the codes of a frame mean: luma weights, ranges of samples, chroma sites and filters. Shared by the
 * implementations of colour_in and colour_out; kernels/reference/colour.c tells the formulas and the standards.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_COLOUR_CODES_H
#define SBV_KERNELS_COLOUR_CODES_H

#include "model/include/selfblindvsr.h"

typedef struct sbv_luma_weights {
    float r, g, b;
} sbv_luma_weights;

/* sample = zero + unit * value: the sample of value 0, and the distance to that of value 1. */
typedef struct sbv_code_range {
    float zero, unit;
} sbv_code_range;

static inline sbv_luma_weights sbv_luma_weights_of(enum sbv_matrix matrix)
{
    switch (matrix) {
    case SBV_MATRIX_BT601:
        return (sbv_luma_weights){0.299f, 0.587f, 0.114f};
    case SBV_MATRIX_BT2020:
        return (sbv_luma_weights){0.2627f, 0.6780f, 0.0593f};
    default:
        return (sbv_luma_weights){0.2126f, 0.7152f, 0.0722f};
    }
}

/* Component 3 is alpha. */
static inline sbv_code_range sbv_code_range_of(const sbv_stream *s, int component)
{
    const int depth = s->component[component].depth, extra = depth - 8;
    const int chroma = !s->rgb && component > 0 && component < 3;

    if (depth == 32)
        return (sbv_code_range){0.0f, 1.0f};
    const float zero = (float)(128 << extra), full = (float)((256 << extra) - 1);
    if (s->rgb || s->full_range || component == 3)
        return (sbv_code_range){chroma ? zero : 0.0f, full};
    if (chroma)
        return (sbv_code_range){zero, (float)(224 << extra)};
    return (sbv_code_range){(float)(16 << extra), (float)(219 << extra)};
}

/* Where chroma sits between the luma samples 2i and 2i + 1, in halves: 0 or 1 horizontally, 0, 1 or 2 vertically. */
static inline int sbv_site_x(enum sbv_chroma_site site)
{
    return site == SBV_CHROMA_CENTER || site == SBV_CHROMA_TOP || site == SBV_CHROMA_BOTTOM;
}

static inline int sbv_site_y(enum sbv_chroma_site site)
{
    switch (site) {
    case SBV_CHROMA_TOPLEFT:
    case SBV_CHROMA_TOP:
        return 0;
    case SBV_CHROMA_BOTTOMLEFT:
    case SBV_CHROMA_BOTTOM:
        return 2;
    default:
        return 1;
    }
}

/* Weights of the luma positions 2i - 1 .. 2i + 2 in chroma sample i, by site. */
static const float sbv_site_filter[3][4] = {
    {0.25f, 0.5f, 0.25f, 0.0f},
    {0.0f, 0.5f, 0.5f, 0.0f},
    {0.0f, 0.25f, 0.5f, 0.25f},
};

#endif /* SBV_KERNELS_COLOUR_CODES_H */
