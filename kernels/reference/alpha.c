/*
 * Alpha in and out of a session: see kernels/alpha.h.
 *
 * The interpolation is the cubic convolution of Keys (IEEE Transactions on Acoustics, Speech, and Signal Processing 29,
 * 1981) with a = -0.6, as FFmpeg's scaler has it. It costs nothing beside the network, so that there is no faster one.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>

#include "kernels/alpha.h"
#include "kernels/numbers.h"
#include "kernels/reference/component.h"

#define PIECE      256 /* pixels of a row that are put out at once: a multiple of every factor */
#define MAX_FACTOR 4
#define TAPS       4
#define MARGIN     3 /* more than the samples of a pixel reach beyond its block */

void sbv_alpha_in_c(const sbv_alpha_in_args *a, int begin, int end)
{
    for (int y = begin; y < end; y++)
        load(sbv_at(&a->out, 0, y), a->stream, a->in, 3, y, 0, a->out.w);
}

/* The samples that a pixel of the enlarged picture is made of, left - 1 .. left + 2 from that of its block, and their
 * weights. So too vertically. */
typedef struct taps {
    int left;
    float weight[TAPS];
} taps;

/* Of pixel `phase` of a block. */
static taps taps_of(int phase, int factor, float place)
{
    const double a = -0.6, position = ((double)phase - (double)place) / factor;
    taps t = {.left = (int)floor(position)};

    for (int i = 0; i < TAPS; i++) {
        const double x = fabs(position - t.left + 1 - i);
        t.weight[i] = (float)(x < 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : ((a * x - 5 * a) * x + 8 * a) * x - 4 * a);
    }
    return t;
}

/* The columns first .. first + count - 1, the outermost repeated, interpolated to a row of the enlarged picture. */
static void interpolate_vertically(float *line, const sbv_map *in, int first, int count, int row, const taps *t)
{
    const float *from[TAPS];

    for (int i = 0; i < TAPS; i++)
        from[i] = sbv_at(in, 0, sbv_clamp(row + t->left - 1 + i, 0, in->h - 1));
    for (int i = 0; i < count; i++) {
        const ptrdiff_t x = sbv_clamp(first + i, 0, in->w - 1) * in->pixel;
        line[i] = 0.0f;
        for (int k = 0; k < TAPS; k++)
            line[i] += t->weight[k] * from[k][x];
    }
}

void sbv_alpha_out_c(const sbv_alpha_out_args *a, int begin, int end)
{
    const int factor = a->factor, width = a->in.w * factor;
    float line[PIECE / 2 + 2 * MARGIN], piece[PIECE];
    taps phase[MAX_FACTOR];

    for (int i = 0; i < factor; i++)
        phase[i] = taps_of(i, factor, a->place);
    for (int y = begin; y < end; y++)
        for (int x = 0; x < width; x += PIECE) {
            const int count = width - x < PIECE ? width - x : PIECE;
            interpolate_vertically(line, &a->in, x / factor - MARGIN, count / factor + 2 * MARGIN, y / factor,
                                   &phase[y % factor]);
            for (int i = 0; i < count; i++) {
                const taps *t = &phase[i % factor];
                const float *from = line + MARGIN + i / factor + t->left - 1;
                float value = 0.0f;
                for (int k = 0; k < TAPS; k++)
                    value += t->weight[k] * from[k];
                piece[i] = value > 0.0f ? value < 1.0f ? value : 1.0f : 0.0f;
            }
            store(piece, a->stream, a->out, 3, y, x, count);
        }
}
