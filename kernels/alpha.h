/*
 * Alpha: kept as floats beside the network, and enlarged.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_ALPHA_H
#define SBV_KERNELS_ALPHA_H

#include "kernels/ops.h"

/* Alpha of a frame in host memory -> a map of one channel, 0 transparent to 1 opaque. Jobs: rows. */
typedef struct sbv_alpha_in_args {
    const sbv_stream *stream;
    const sbv_frame *in;
    sbv_map out;
} sbv_alpha_in_args;

void sbv_alpha_in_c(const sbv_alpha_in_args *a, int begin, int end);

/* The map, enlarged `factor` times, -> alpha of a frame: bicubic interpolation, the picture continued by its edge, the
 * result within 0 to 1. `place`: input samples lie so many pixels of the frame right of and below the top-left ones of
 * their blocks, (factor - 1) / 2 for those in the middle. Jobs: rows of the frame. */
typedef struct sbv_alpha_out_args {
    const sbv_stream *stream;
    sbv_map in;
    const sbv_frame *out;
    int factor;
    float place;
} sbv_alpha_out_args;

void sbv_alpha_out_c(const sbv_alpha_out_args *a, int begin, int end);

/* Colour that nobody sees but the network, under alpha of 0, becomes that of what can be seen beside it, so that it
 * does not show at the edges of the enlarged picture: in rings from there outwards, each sample the mean of those
 * around it that have a colour. Subsampled chroma is seen where any of its pixels is. Jobs: the components of colour.
 */
#define SBV_FILL_RINGS 4 /* bicubic alpha reaches less than 2 samples beyond what can be seen */

typedef struct sbv_fill_args {
    const sbv_stream *stream;
    sbv_map alpha;        /* as sbv_alpha_in makes it */
    const sbv_frame *out; /* changed in place */
    uint8_t *rings;       /* scratch: a byte for each sample of each component, width * height for each of them */
} sbv_fill_args;

void sbv_fill_hidden_c(const sbv_fill_args *a, int begin, int end);

#endif /* SBV_KERNELS_ALPHA_H */
