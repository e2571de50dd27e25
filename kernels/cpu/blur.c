/*
 * Blur and reduction, its adjoint and what a descent along it adds up, vectorised. One source for every instruction
 * set, as the rest here. For dense maps of three colours, which pictures are; others, and blurs of an uncommon side,
 * are left to kernels/reference.
 *
 * Down: the pixels of a row of the blur, with their colours, are neighbours in memory, and so are their products with
 * the row's weights, each repeated for every colour. They are added up row by row; the sums at every third place make a
 * colour. Up: output pixels at one position in their blocks take the same weights, so that the products of a weight
 * with a row of the input belong to neighbours again. At the edges windows are copied to where they can be continued.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vec.h"
#include "kernels/numbers.h"

#define COLOURS    3
#define SIDE_MAX   31
#define FACTOR_MAX 4
#define PIXELS     4 /* whose windows are copied at once */
#define ROW        ((FACTOR_MAX * (PIXELS - 1) + SIDE_MAX) * COLOURS + SBV_LANES)
#define WEIGHTS    (SIDE_MAX * COLOURS + SBV_LANES)
#define SAMPLES    16 /* input pixels whose blocks are made at once */
#define VALUES     (SAMPLES * COLOURS)
#define REACH_MAX  (SIDE_MAX / 2 + 1) /* at a factor of one */
#define PIECE      ((SAMPLES + 2 * REACH_MAX) * COLOURS)

static int is_dense(const sbv_map *map)
{
    return map->c == COLOURS && map->pixel == COLOURS;
}

/* ---- Down ---- */

/* What PIXELS neighbouring outputs are made of. */
struct windows {
    const float *row[SIDE_MAX];
    float copy[SIDE_MAX][ROW];
};

/* Where all that vectors read lies within the row of the picture the windows are the picture itself. */
static void open_windows(const sbv_blur_down_args *a, int x, int y, struct windows *w)
{
    const int left = a->factor * x - a->side / 2, span = a->factor * (PIXELS - 1) + a->side;
    const int inside = left >= 0 && (left + span) * COLOURS + SBV_LANES <= a->in.w * COLOURS;
    for (int i = 0; i < a->side; i++) {
        const float *row = sbv_at(&a->in, 0, sbv_clamp(a->factor * y + i - a->side / 2, 0, a->in.h - 1));
        w->row[i] = inside ? row + left * COLOURS : w->copy[i];
        for (int j = 0; j < span && !inside; j++)
            memcpy(w->copy[i] + j * COLOURS, row + sbv_clamp(left + j, 0, a->in.w - 1) * COLOURS,
                   COLOURS * sizeof(float));
        if (!inside)
            memset(w->copy[i] + span * COLOURS, 0, SBV_LANES * sizeof(float));
    }
}

SBV_INLINE vec unit(vec value)
{
    const vec_bits below_one = vec_choose(value < 1, (vec_bits)value, (vec_bits)vec_all(1));
    return (vec)vec_choose(value > 0, below_one, (vec_bits){0});
}

SBV_INLINE void add_up(const struct windows *w, float weights[][WEIGHTS], int side, int start, int clamp,
                       float sum[COLOURS])
{
    float values[WEIGHTS];
    for (int at = 0; at < side * COLOURS; at += SBV_LANES) {
        vec part = {0};
        for (int i = 0; i < side; i++) {
            const vec in = *(const vec *)(w->row[i] + start + at);
            part += (clamp ? unit(in) : in) * *(const vec *)(weights[i] + at);
        }
        *(vec *)(values + at) = part;
    }
    for (int c = 0; c < COLOURS; c++)
        sum[c] = 0;
    for (int j = 0; j < side; j++)
        for (int c = 0; c < COLOURS; c++)
            sum[c] += values[j * COLOURS + c];
}

/* sbv_blur_down_sse2, sbv_blur_down_avx2, sbv_blur_down_avx512, sbv_blur_down_neon */
void SBV_CPU_NAME(blur_down)(const sbv_blur_down_args *a, int begin, int end)
{
    float weights[SIDE_MAX][WEIGHTS] = {{0}};
    struct windows w;
    if (!is_dense(&a->in) || a->side > SIDE_MAX || a->factor > FACTOR_MAX) {
        sbv_blur_down_c(a, begin, end);
        return;
    }
    for (int i = 0; i < a->side; i++)
        for (int j = 0; j < a->side * COLOURS; j++)
            weights[i][j] = a->blur[i * a->side + j / COLOURS];
    for (int y = begin; y < end; y++)
        for (int x = 0; x < a->out.w; x++) {
            const int start = x % PIXELS * a->factor * COLOURS;
            float sum[COLOURS];
            if (start == 0)
                open_windows(a, x, y, &w);
            if (a->clamp)
                add_up(&w, weights, a->side, start, 1, sum);
            else
                add_up(&w, weights, a->side, start, 0, sum);
            for (int c = 0; c < COLOURS; c++)
                sbv_at(&a->out, x, y)[c] = a->from.data ? sbv_at(&a->from, x, y)[c] - sum[c] : sum[c];
        }
}

/* ---- Up ---- */

/* Some pixels of a row of the input, nothing beyond its ends. */
static void cut(const sbv_blur_up_args *a, int row, int x, int count, float *piece)
{
    for (int i = 0; i < count; i++)
        if (x + i >= 0 && x + i < a->in.w)
            memcpy(piece + i * COLOURS, sbv_at(&a->in, x + i, row), COLOURS * sizeof(float));
        else
            memset(piece + i * COLOURS, 0, COLOURS * sizeof(float));
}

/* The rows of the blur through which D reads row y of the picture for row v of the input: one, or at an edge some,
 * added up. Returns 0 if there are none. */
static int weights_of(const sbv_blur_up_args *a, int y, int v, float weights[SIDE_MAX])
{
    const int tap = y - a->factor * v + a->side / 2;
    const int first = y == 0 || tap < 0 ? 0 : tap, last = y == a->out.h - 1 || tap >= a->side ? a->side - 1 : tap;
    for (int j = 0; j < a->side; j++)
        weights[j] = 0;
    for (int i = first; i <= last; i++)
        for (int j = 0; j < a->side; j++)
            weights[j] += a->blur[i * a->side + j];
    return first <= last;
}

/* The blocks of SAMPLES input pixels from x on, one row of them: out[position in the block][value]. */
static void make_blocks(const sbv_blur_up_args *a, int x, int y, int reach, float out[FACTOR_MAX][VALUES])
{
    float piece[PIECE], weights[SIDE_MAX];
    memset(out, 0, sizeof(float) * FACTOR_MAX * VALUES);
    for (int v = sbv_clamp(y / a->factor - reach, 0, a->in.h - 1);
         v <= sbv_clamp(y / a->factor + reach, 0, a->in.h - 1); v++) {
        if (!weights_of(a, y, v, weights))
            continue;
        cut(a, v, x - reach, SAMPLES + 2 * reach, piece);
        for (int shift = -reach; shift <= reach; shift++) /* input pixel `shift` right of the block */
            for (int p = 0; p < a->factor; p++) {
                const int tap = p - a->factor * shift + a->side / 2;
                const float *in = piece + (reach + shift) * COLOURS;
                for (int i = 0; i < VALUES && tap >= 0 && tap < a->side; i += SBV_LANES)
                    *(vec *)(out[p] + i) += weights[tap] * *(const vec *)(in + i);
            }
    }
}

/* sbv_blur_up_sse2, sbv_blur_up_avx2, sbv_blur_up_avx512, sbv_blur_up_neon */
void SBV_CPU_NAME(blur_up)(const sbv_blur_up_args *a, int begin, int end)
{
    const int reach = (a->side / 2 + a->factor - 1) / a->factor; /* in samples of in */
    float blocks[FACTOR_MAX][VALUES];
    if (!is_dense(&a->in) || !is_dense(&a->out) || a->side > SIDE_MAX || a->factor > FACTOR_MAX) {
        sbv_blur_up_c(a, begin, end);
        return;
    }
    for (int y = begin; y < end; y++) {
        float *row = sbv_at(&a->out, 0, y);
        memset(row, 0, sizeof(float) * COLOURS);
        memset(row + (a->out.w - 1) * COLOURS, 0, sizeof(float) * COLOURS);
        /* Beyond the ends of the row too: what falls there belongs to the edge. */
        for (int x = -reach; x < a->in.w + reach; x += SAMPLES) {
            make_blocks(a, x, y, reach, blocks);
            for (int i = 0; i < SAMPLES * a->factor; i++) {
                const int at = a->factor * x + i, edge = at <= 0 || at >= a->out.w - 1;
                float *out = row + sbv_clamp(at, 0, a->out.w - 1) * COLOURS;
                const float *in = blocks[i % a->factor] + i / a->factor * COLOURS;
                for (int c = 0; c < COLOURS; c++)
                    out[c] = edge ? out[c] + in[c] : in[c];
            }
        }
    }
}

/* ---- The descent ---- */

#define PART 4096 /* samples whose squares are added up as floats; parts are added up as doubles */

static double squares(const float *in, int count)
{
    vec part = {0};
    double sum = 0;
    int i = 0;
    for (; i + SBV_LANES <= count; i += SBV_LANES) {
        const vec value = *(const vec *)(in + i);
        part += value * value;
    }
    for (; i < count; i++)
        sum += (double)in[i] * in[i];
    for (int lane = 0; lane < SBV_LANES; lane++)
        sum += part[lane];
    return sum;
}

/* sbv_sum_squares_sse2, sbv_sum_squares_avx2, sbv_sum_squares_avx512, sbv_sum_squares_neon */
void SBV_CPU_NAME(sum_squares)(const sbv_sum_squares_args *a, int begin, int end)
{
    const int count = a->in.w * COLOURS;
    if (!is_dense(&a->in)) {
        sbv_sum_squares_c(a, begin, end);
        return;
    }
    for (int y = begin; y < end; y++) {
        double sum = 0;
        for (int i = 0; i < count; i += PART)
            sum += squares(sbv_at(&a->in, 0, y) + i, count - i < PART ? count - i : PART);
        a->out[y] = (float)sum;
    }
}

/* sbv_advance_sse2, sbv_advance_avx2, sbv_advance_avx512, sbv_advance_neon */
void SBV_CPU_NAME(advance)(const sbv_advance_args *a, int begin, int end)
{
    const float factor = a->sign * *a->step;
    if (!is_dense(&a->in) || !is_dense(&a->out)) {
        sbv_advance_c(a, begin, end);
        return;
    }
    for (int y = begin; y < end; y++) {
        const float *in = sbv_at(&a->in, 0, y);
        float *out = sbv_at(&a->out, 0, y);
        for (int i = 0; i < a->out.w * COLOURS; i++)
            out[i] += factor * in[i];
    }
}
