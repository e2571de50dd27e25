/*
 * The blur kernel of a stream: given by the caller or estimated now and then, its moments, and how well a restored
 * picture explains the input by it.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <string.h>

#include "model/runtime/session.h"

#define SUM_LIMIT    0.01  /* how far from 1 the sum of a kernel may be: decimals that were cut off */
#define ISOTROPIC    1e-6  /* two variances that differ by less, relative to their sum, have no direction */
#define PSNR_MAX     100.0 /* dB: beyond the precision of floats */
#define SUMS_AT_ONCE 1024

/* The sum of a kernel; NAN where it has no sense. */
static double sum_of(const float *kernel, int side)
{
    double sum = 0;
    for (int i = 0; i < side * side; i++)
        sum += kernel[i];
    return isfinite(sum) ? sum : NAN;
}

static int open_given(sbv_session *s)
{
    const int side = s->config.kernel_side;
    sbv_blur *b = &s->blur;
    if (side < 1 || side > SBV_BLUR_SIDE_MAX || side % 2 == 0)
        return sbv_fail(&s->report, SBV_ERROR_ARGUMENT, "kernel of side %d: it must be odd, 1 to %d", side,
                        SBV_BLUR_SIDE_MAX);
    for (int i = 0; i < side * side; i++)
        if (!isfinite(s->config.kernel[i]))
            return sbv_fail(&s->report, SBV_ERROR_ARGUMENT, "kernel: row %d, column %d is %g, not a finite number",
                            i / side, i % side, (double)s->config.kernel[i]);
    const double sum = sum_of(s->config.kernel, side);
    if (!(fabs(sum - 1) <= SUM_LIMIT))
        return sbv_fail(&s->report, SBV_ERROR_ARGUMENT, "kernel: its values sum to %g, not to 1 within %g", sum,
                        SUM_LIMIT);
    for (int i = 0; i < side * side; i++)
        b->kernel[i] = (float)(s->config.kernel[i] / sum);
    b->side = side;
    b->given = 1;
    return SBV_OK;
}

int sbv_blur_open(sbv_session *s)
{
    const sbv_config *c = &s->config;
    const int needed = sbv_uses_blur(c) || c->kernel_interval > 0;
    int ret = SBV_OK;
    if (c->kernel)
        ret = open_given(s);
    else if (needed && !s->network.kernel.present)
        ret = sbv_fail(&s->report, SBV_ERROR_ARGUMENT,
                       "%s: the model has no kernel network (no kernel_net tensors), and no kernel was given",
                       c->refine  ? "refine"
                       : c->cycle ? "cycle"
                                  : "kernel_interval");
    s->config.kernel = NULL; /* the caller's values need not live on */
    sbv_blur_flush(s);
    return ret;
}

void sbv_blur_flush(sbv_session *s)
{
    s->blur.frame = -1;
    s->blur.psnr = NAN;
    if (!s->blur.given)
        s->blur.side = 0;
}

/* One row or column of a kernel, `step` apart, moved as the picture is. */
static void move_line(float *line, int side, int step, int scale)
{
    float moved[SBV_BLUR_SIDE_MAX];
    for (int i = 0; i < side; i++) {
        moved[i] = 0;
        for (int t = 0; t < SBV_MOVE_TAPS; t++) {
            const int from = i - scale / 2 - 1 + t;
            const float weight = t == 0 || t == SBV_MOVE_TAPS - 1 ? SBV_MOVE_FAR : SBV_MOVE_NEAR;
            moved[i] += from >= 0 && from < side ? weight * line[from * step] : 0;
        }
    }
    for (int i = 0; i < side; i++)
        line[i * step] = moved[i];
}

/* The kernel of the picture as the model makes it -> that of the moved one. What leaves the square is lost, and made up
 * for by the rest. */
static void move_kernel(float *kernel, int side, int scale)
{
    for (int i = 0; i < side; i++)
        move_line(kernel + i * side, side, 1, scale);
    for (int i = 0; i < side; i++)
        move_line(kernel + i, side, side, scale);
    const double sum = sum_of(kernel, side);
    for (int i = 0; i < side * side && sum > 0; i++)
        kernel[i] = (float)(kernel[i] / sum);
}

/* Whether the kernel is to be estimated anew for this frame. */
static int is_due(const sbv_session *s, const sbv_slot *centre, int64_t frame)
{
    const int interval = s->config.kernel_interval > 0 ? s->config.kernel_interval : sbv_uses_blur(&s->config);
    if (s->blur.given || !interval)
        return 0;
    return s->blur.frame < 0 || frame - s->blur.frame >= interval || (centre->first_of_shot && frame > s->blur.frame);
}

int sbv_blur_update(sbv_session *s, sbv_slot *const window[], int64_t frame)
{
    const sbv_stages stages = {&s->network, &s->exec, &s->ws};
    sbv_blur *b = &s->blur;
    int ret;
    if (is_due(s, window[s->network.sequence / 2], frame)) {
        if ((ret = sbv_run_kernel_net(&stages, window, b->kernel, &s->report)) < 0)
            return ret;
        b->side = s->network.kernel.size;
        if (s->network.moved)
            move_kernel(b->kernel, b->side, s->network.scale);
        b->frame = frame;
        b->uploaded = 0;
    }
    if (b->given && b->frame < 0)
        b->frame = frame;
    if (b->uploaded || !s->ws.refinement.kernel)
        return SBV_OK;
    if ((ret = sbv_upload(&s->exec, s->ws.refinement.kernel, b->kernel, sizeof(float) * (size_t)(b->side * b->side))) <
        0)
        return sbv_fail(&s->report, ret, "%s", sbv_backend_message(&s->exec));
    b->uploaded = 1;
    return SBV_OK;
}

int sbv_blur_judge(sbv_session *s)
{
    const int rows = s->ws.height;
    float sums[SUMS_AT_ONCE];
    double sum = 0;
    int ret;
    for (int y = 0; y < rows; y += SUMS_AT_ONCE) {
        const int count = rows - y < SUMS_AT_ONCE ? rows - y : SUMS_AT_ONCE;
        ret = sbv_download(&s->exec, sums, s->ws.refinement.cycle + y, sizeof(float) * (size_t)count);
        if (ret < 0)
            return ret;
        for (int i = 0; i < count; i++)
            sum += sums[i];
    }
    const double psnr = -10 * log10(sum / ((double)s->ws.width * rows * SBV_COLOURS));
    s->blur.psnr = psnr > PSNR_MAX ? PSNR_MAX : psnr; /* NAN stays */
    return SBV_OK;
}

const float *sbv_kernel(const sbv_session *session, int *side)
{
    *side = session->blur.side;
    return *side ? session->blur.kernel : NULL;
}

int sbv_kernel_is_new(const sbv_session *session)
{
    return session->blur.frame >= 0 && session->blur.frame == session->returned - 1;
}

double sbv_cycle_psnr(const sbv_session *session)
{
    return session->blur.psnr;
}

int sbv_kernel_moments(const float *kernel, int side, sbv_moments *moments)
{
    double mass = 0, x = 0, y = 0, xx = 0, yy = 0, xy = 0;
    memset(moments, 0, sizeof(*moments));
    if (side < 1 || side > SBV_BLUR_SIDE_MAX || side % 2 == 0 || !((mass = sum_of(kernel, side)) > 0))
        return SBV_ERROR_ARGUMENT;
    for (int i = 0; i < side * side; i++) {
        x += kernel[i] / mass * (i % side - side / 2);
        y += kernel[i] / mass * (i / side - side / 2);
    }
    for (int i = 0; i < side * side; i++) {
        const double dx = i % side - side / 2 - x, dy = i / side - side / 2 - y;
        xx += kernel[i] / mass * dx * dx;
        yy += kernel[i] / mass * dy * dy;
        xy += kernel[i] / mass * dx * dy;
    }
    /* The principal axes are those of the covariance matrix, its eigenvalues the variances along them. */
    const double half = hypot((xx - yy) / 2, xy), sign = xx < yy ? -1 : 1;
    *moments = (sbv_moments){
        .centre_x = x,
        .centre_y = y,
        .sigma_x = sqrt(fmax((xx + yy) / 2 + sign * half, 0)),
        .sigma_y = sqrt(fmax((xx + yy) / 2 - sign * half, 0)),
    };
    if (half > ISOTROPIC * (fabs(xx) + fabs(yy)))
        moments->angle = atan2(sign * xy, sign * (xx - yy) / 2) * 90 / acos(-1);
    return SBV_OK;
}
