/*
 * What the blur is good for once it is known: the restored picture, blurred and reduced, must give the input
 * frame. How well it does is a measure of the restoration; and the picture can be moved to where it does better.
 *
 * Steps of steepest descent on |y - D(x)|^2, x the picture, y the input frame, D blur and reduction (Irani and Peleg,
 * "Improving resolution by image registration", 1991, with the adjoint for their back-projection kernel): x moves along
 * g = D'(y - D(x)) by t = |g|^2 / |D(g)|^2, which minimises the difference along g, or less, so that it never grows.
 * t is held to scale^2: that is what a large flat area wants, where blurs that reach far would ask for far more in
 * order to bring back detail that noise has long covered. Descent ends where the difference is down to that which
 * rounding leaves (Morozov's discrepancy principle). No step looks at numbers on the host, so that a device does not
 * wait; a step of length 0 changes nothing.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/stages.h"

/* out = in blurred and reduced, or what `from` has more than that. */
static void blur_down(const sbv_stages *s, sbv_map in, sbv_map out, sbv_map from, int side, int clamp)
{
    const sbv_blur_down_args blur = {.in = in,
                                     .out = out,
                                     .from = from,
                                     .blur = s->ws->refinement.blur,
                                     .side = side,
                                     .factor = s->network->scale,
                                     .clamp = clamp};
    sbv_run_blur_down(s->exec, &blur, out.h);
}

static void sum_squares(const sbv_stages *s, sbv_map in, float *sums)
{
    const sbv_sum_squares_args squares = {in, sums};
    sbv_run_sum_squares(s->exec, &squares, in.h);
}

static void advance(const sbv_stages *s, sbv_map out, sbv_map in, float sign)
{
    const sbv_advance_args advance = {.in = in, .out = out, .step = s->ws->refinement.step, .sign = sign};
    sbv_run_advance(s->exec, &advance, out.h);
}

void sbv_refine(const sbv_stages *s, const sbv_slot *center, int side, int steps, float enough)
{
    const sbv_map picture = s->ws->output, residual = s->ws->refinement.residual;
    const sbv_map gradient = s->ws->refinement.gradient, lowered = s->ws->refinement.lowered;
    float *const *sums = s->ws->refinement.sums;
    const int scale = s->network->scale;
    const sbv_blur_up_args up = {residual, gradient, s->ws->refinement.blur, side, scale};
    const sbv_step_args step = {.residual = sums[0],
                                .gradient = sums[1],
                                .lowered = sums[2],
                                .rows = residual.h,
                                .gradient_rows = gradient.h,
                                .enough = enough * (float)residual.w * (float)residual.h * SBV_COLOURS,
                                .most = (float)(scale * scale),
                                .step = s->ws->refinement.step};
    blur_down(s, picture, residual, center->rgb, side, 0);
    for (int i = 0; i < steps; i++) {
        sum_squares(s, residual, sums[0]);
        sbv_run_blur_up(s->exec, &up, gradient.h);
        sum_squares(s, gradient, sums[1]);
        blur_down(s, gradient, lowered, (sbv_map){0}, side, 0);
        sum_squares(s, lowered, sums[2]);
        sbv_run_step(s->exec, &step, 1);
        advance(s, picture, gradient, 1);
        advance(s, residual, lowered, -1);
    }
}

void sbv_compare_cycle(const sbv_stages *s, const sbv_slot *center, int side)
{
    const sbv_map residual = s->ws->refinement.residual;
    blur_down(s, s->ws->output, residual, center->rgb, side, 1);
    sum_squares(s, residual, s->ws->refinement.cycle);
}
