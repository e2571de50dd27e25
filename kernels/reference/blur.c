/*
 * Blur and reduction, their adjoint, and the arithmetic of a descent along it, plain C.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/ops.h"
#include "kernels/numbers.h"

static float unit(float value)
{
    return value < 0 ? 0 : value > 1 ? 1 : value;
}

void sbv_blur_down_c(const sbv_blur_down_args *a, int begin, int end)
{
    const int half = a->side / 2;
    for (int y = begin; y < end; y++)
        for (int x = 0; x < a->out.w; x++) {
            float sum[SBV_BLUR_CHANNELS] = {0};
            for (int i = 0; i < a->side; i++)
                for (int j = 0; j < a->side; j++) {
                    const float *in = sbv_at(&a->in, sbv_clamp(a->factor * x + j - half, 0, a->in.w - 1),
                                             sbv_clamp(a->factor * y + i - half, 0, a->in.h - 1));
                    for (int c = 0; c < a->in.c; c++)
                        sum[c] += a->blur[i * a->side + j] * (a->clamp ? unit(in[c]) : in[c]);
                }
            for (int c = 0; c < a->out.c; c++)
                sbv_at(&a->out, x, y)[c] = a->from.data ? sbv_at(&a->from, x, y)[c] - sum[c] : sum[c];
        }
}

/* The entries first .. last - 1 of the blur, along one axis, through which D reads pixel `at` of `size` for its
 * sample: one of them, or at an edge all those that reach it or beyond; last <= first if there are none. */
static void taps(const sbv_blur_up_args *a, int at, int size, int sample, int *first, int *last)
{
    const int tap = at - a->factor * sample + a->side / 2;
    *first = at == 0 || tap < 0 ? 0 : tap;
    *last = at == size - 1 || tap >= a->side ? a->side : tap + 1;
}

void sbv_blur_up_c(const sbv_blur_up_args *a, int begin, int end)
{
    const int reach = (a->side / 2 + a->factor - 1) / a->factor; /* in samples of in */
    for (int y = begin; y < end; y++)
        for (int x = 0; x < a->out.w; x++) {
            float sum[SBV_BLUR_CHANNELS] = {0};
            int top, bottom, left, right;
            for (int v = sbv_clamp(y / a->factor - reach, 0, a->in.h - 1);
                 v <= sbv_clamp(y / a->factor + reach, 0, a->in.h - 1); v++) {
                taps(a, y, a->out.h, v, &top, &bottom);
                for (int u = sbv_clamp(x / a->factor - reach, 0, a->in.w - 1);
                     u <= sbv_clamp(x / a->factor + reach, 0, a->in.w - 1); u++) {
                    taps(a, x, a->out.w, u, &left, &right);
                    for (int i = top; i < bottom; i++)
                        for (int j = left; j < right; j++)
                            for (int c = 0; c < a->in.c; c++)
                                sum[c] += a->blur[i * a->side + j] * sbv_at(&a->in, u, v)[c];
                }
            }
            for (int c = 0; c < a->out.c; c++)
                sbv_at(&a->out, x, y)[c] = sum[c];
        }
}

void sbv_sum_squares_c(const sbv_sum_squares_args *a, int begin, int end)
{
    for (int y = begin; y < end; y++) {
        double sum = 0;
        for (int x = 0; x < a->in.w; x++)
            for (int c = 0; c < a->in.c; c++)
                sum += (double)sbv_at(&a->in, x, y)[c] * sbv_at(&a->in, x, y)[c];
        a->out[y] = (float)sum;
    }
}

static double total(const float *sums, int rows)
{
    double sum = 0;
    for (int y = 0; y < rows; y++)
        sum += sums[y];
    return sum;
}

void sbv_step_c(const sbv_step_args *a, int begin, int end)
{
    const double gradient = total(a->gradient, a->gradient_rows), lowered = total(a->lowered, a->rows);
    (void)begin;
    (void)end;
    *a->step = 0;
    if (total(a->residual, a->rows) > a->enough && lowered > 0)
        *a->step = gradient < a->most * lowered ? (float)(gradient / lowered) : a->most;
}

void sbv_advance_c(const sbv_advance_args *a, int begin, int end)
{
    const float factor = a->sign * *a->step;
    for (int y = begin; y < end; y++)
        for (int x = 0; x < a->out.w; x++)
            for (int c = 0; c < a->out.c; c++)
                sbv_at(&a->out, x, y)[c] += factor * sbv_at(&a->in, x, y)[c];
}
