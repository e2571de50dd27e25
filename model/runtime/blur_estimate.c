/*
 * The blur kernel of a stream, and how well a restored picture explains the input by it: see blur_estimate.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/blur_estimate.h"

#include <math.h>

#include "model/runtime/blur_moments.h"

#define SUM_LIMIT    0.01  /* how far from 1 the sum of a kernel may be: decimals that were cut off */
#define PSNR_MAX     100.0 /* dB: beyond the precision of floats */
#define SUMS_AT_ONCE 1024

static int open_given(sbv_engine *e, sbv_blur *b)
{
    const int side = e->config.kernel_side;
    if (side < 1 || side > SBV_BLUR_SIDE_MAX || side % 2 == 0)
        return sbv_fail(&e->report, SBV_ERROR_ARGUMENT, "kernel of side %d: it must be odd, 1 to %d", side,
                        SBV_BLUR_SIDE_MAX);
    for (int i = 0; i < side * side; i++)
        if (!isfinite(e->config.kernel[i]))
            return sbv_fail(&e->report, SBV_ERROR_ARGUMENT, "kernel: row %d, column %d is %g, not a finite number",
                            i / side, i % side, (double)e->config.kernel[i]);
    const double sum = sbv_blur_sum(e->config.kernel, side);
    if (!(fabs(sum - 1) <= SUM_LIMIT))
        return sbv_fail(&e->report, SBV_ERROR_ARGUMENT, "kernel: its values sum to %g, not to 1 within %g", sum,
                        SUM_LIMIT);
    for (int i = 0; i < side * side; i++)
        b->values[i] = (float)(e->config.kernel[i] / sum);
    b->side = side;
    b->given = 1;
    return SBV_OK;
}

static int open_named(sbv_engine *e, sbv_blur *b)
{
    const sbv_model_info info = sbv_engine_model_info(e);
    b->given = 1;
    return sbv_scaler_kernel(e->config.scaler, info.scale, info.place, b->values, &b->side) < 0
               ? sbv_fail(&e->report, SBV_ERROR_ARGUMENT, "scaler '%s': known are " SBV_SCALERS, e->config.scaler)
               : SBV_OK;
}

int sbv_blur_open(sbv_engine *e, sbv_blur *b)
{
    const sbv_config *c = &e->config;
    const int needed = sbv_uses_blur(c) || c->kernel_interval > 0;
    int ret = SBV_OK;
    if (c->kernel)
        ret = open_given(e, b);
    else if (c->scaler)
        ret = open_named(e, b);
    else if (needed && !e->network.kernel_net.present)
        ret = sbv_fail(&e->report, SBV_ERROR_ARGUMENT,
                       "%s: the model has no kernel network (no kernel_net tensors), and no kernel was given",
                       c->refine  ? "refine"
                       : c->cycle ? "cycle"
                                  : "kernel_interval");
    e->estimates = needed && !c->kernel;
    e->config.kernel = NULL; /* the caller's values need not live on */
    e->config.scaler = NULL;
    sbv_blur_flush(b);
    return ret;
}

void sbv_blur_flush(sbv_blur *b)
{
    b->frame = -1;
    b->psnr = NAN;
    if (!b->given)
        b->side = 0;
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
static void move_blur(float *blur, int side, int scale)
{
    for (int i = 0; i < side; i++)
        move_line(blur + i * side, side, 1, scale);
    for (int i = 0; i < side; i++)
        move_line(blur + i, side, side, scale);
    const double sum = sbv_blur_sum(blur, side);
    for (int i = 0; i < side * side && sum > 0; i++)
        blur[i] = (float)(blur[i] / sum);
}

/* Whether the blur is to be estimated anew for this frame: at the first, at multiples of the interval and at cuts. Cuts
 * do not move the multiples, so that whoever begins at one of them estimates for the same frames as from the start. */
static int is_due(const sbv_engine *e, const sbv_blur *b, const sbv_slot *center, int64_t frame)
{
    const int interval = e->config.kernel_interval > 0 ? e->config.kernel_interval : sbv_uses_blur(&e->config);
    if (b->given || !interval)
        return 0;
    const int64_t number = e->config.start_number + frame;
    return b->frame < 0 || (frame > b->frame && (number % interval == 0 || center->first_of_shot));
}

int sbv_blur_update(sbv_engine *e, sbv_blur *b, sbv_slot *const window[], int64_t frame)
{
    const sbv_stages stages = {&e->network, &e->exec, &e->ws};
    int ret;
    if (is_due(e, b, window[e->network.sequence / 2], frame)) {
        if ((ret = sbv_run_kernel_net(&stages, window, b->values, &e->report)) < 0)
            return ret;
        b->side = e->network.kernel_net.size;
        if (e->network.moved)
            move_blur(b->values, b->side, e->network.scale);
        b->frame = frame;
        e->ws.refinement.uploaded = 0;
    }
    if (b->given && b->frame < 0)
        b->frame = frame;
    if (e->ws.refinement.uploaded || !e->ws.refinement.blur)
        return SBV_OK;
    if ((ret = sbv_upload(&e->exec, e->ws.refinement.blur, b->values, sizeof(float) * (size_t)(b->side * b->side))) < 0)
        return sbv_fail(&e->report, ret, "%s", sbv_backend_message(&e->exec));
    e->ws.refinement.uploaded = 1;
    return SBV_OK;
}

int sbv_blur_judge(const sbv_engine *e, sbv_blur *b)
{
    const int rows = e->ws.height;
    float sums[SUMS_AT_ONCE];
    double sum = 0;
    int ret;
    for (int y = 0; y < rows; y += SUMS_AT_ONCE) {
        const int count = rows - y < SUMS_AT_ONCE ? rows - y : SUMS_AT_ONCE;
        ret = sbv_download(&e->exec, sums, e->ws.refinement.cycle + y, sizeof(float) * (size_t)count);
        if (ret < 0)
            return ret;
        for (int i = 0; i < count; i++)
            sum += sums[i];
    }
    const double psnr = -10 * log10(sum / ((double)e->ws.width * rows * SBV_COLOURS));
    b->psnr = psnr > PSNR_MAX ? PSNR_MAX : psnr; /* NAN stays */
    return SBV_OK;
}
