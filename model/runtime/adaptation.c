/*
 * Estimating the degradation: see adaptation.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/adaptation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/runtime/modulation.h"

#define TWO_PI    6.28318530717958647693
#define SCALERS   4
#define HALF_SIDE (SBV_CANDIDATE_SIDE / 2)
#define REACH     11.5 /* output pixels, of Gaussians: that of Lanczos */
#define TAIL      5.5  /* standard deviations beyond which a Gaussian is less than rounding */
#define LEAST     1e-6 /* mean square of a difference that rounding to 8 bits leaves */
#define FLAT      8    /* times LEAST: with less, most of what is left is rounding */
#define RETRY     10   /* frames: a fade from black is over in some 25, and each estimate takes the time of a frame */

static const char *const scalers[SCALERS] = {"bicubic", "area", "bilinear", "lanczos"};
static const double sigmas[SBV_CANDIDATES - SCALERS] = {0.4, 0.7, 1.0, 1.3, 1.6, 1.9, 2.2, 2.5, 2.8, 3.2, 3.6};
static const double frequencies[SBV_RESPONSES] = {0.0625, 0.09375, 0.125, 0.1875, 0.25}; /* cycles per output pixel */

static void gaussian(double sigma, double place, float *blur, int *side)
{
    const double reach = fmin(REACH, TAIL * sigma);
    const int half = (int)fmin(ceil(reach + place), HALF_SIDE), n = 2 * half + 1;
    double line[SBV_CANDIDATE_SIDE], sum = 0;
    for (int i = 0; i < n; i++) {
        const double x = i - half - place;
        sum += line[i] = fabs(x) <= REACH ? exp(-0.5 * x * x / (sigma * sigma)) : 0;
    }
    for (int i = 0; i < n * n; i++)
        blur[i] = (float)(line[i / n] / sum * (line[i % n] / sum));
    *side = n;
}

void sbv_candidate_kernel(int i, int scale, double place, float *blur, int *side)
{
    if (i < SCALERS)
        sbv_scaler_kernel(scalers[i], scale, place, blur, side);
    else
        gaussian(sigmas[i - SCALERS], place, blur, side);
}

void sbv_blur_response(const float *blur, int side, float response[SBV_RESPONSES])
{
    sbv_moments at;
    if (sbv_kernel_moments(blur, side, &at) < 0)
        at = (sbv_moments){0};
    for (int f = 0; f < SBV_RESPONSES; f++) {
        double sum = 0;
        for (int i = 0; i < side * side; i++) {
            const double x = i % side - side / 2 - at.center_x, y = i / side - side / 2 - at.center_y;
            sum += blur[i] * (cos(TWO_PI * frequencies[f] * x) + cos(TWO_PI * frequencies[f] * y));
        }
        response[f] = (float)(sum / 2);
    }
}

void sbv_adaptation_flush(sbv_adaptation *adaptation)
{
    adaptation->frame = -1;
}

/* At the first frame, at multiples of the interval and at cuts, which do not move the multiples; and some frames after
 * an estimate that told nothing, counted from there: chunks of a film that begin at multiples try for the same frames.
 */
static int is_due(const sbv_engine *e, const sbv_adaptation *a, const sbv_slot *center, int64_t frame)
{
    const int64_t number = e->config.start_number + frame;
    return a->frame < 0 || (frame > a->frame && (number % e->config.adapt_interval == 0 || center->first_of_shot ||
                                                 (!a->told && frame - a->frame >= RETRY)));
}

/* side[i]: of candidate `i`, in ws->adaptation.blur[i] from here on. Errors: DEVICE, not reported. */
static int upload_candidates(sbv_engine *e, int side[SBV_CANDIDATES])
{
    const double place = sbv_engine_model_info(e).place;
    float blur[SBV_BLUR_SIDE_MAX * SBV_BLUR_SIDE_MAX];
    int ret = SBV_OK;
    for (int i = 0; i < SBV_CANDIDATES && ret >= 0; i++) {
        sbv_candidate_kernel(i, e->network.scale, place, blur, &side[i]);
        if (!e->ws.adaptation.uploaded)
            ret = sbv_upload(&e->exec, e->ws.adaptation.blur[i], blur, sizeof(float) * (size_t)(side[i] * side[i]));
    }
    e->ws.adaptation.uploaded = ret >= 0;
    return ret;
}

/* Sums of the rows of the squared differences between the frame and ws->output, blurred and reduced in the way of each
 * candidate. */
static void compare(sbv_engine *e, const sbv_slot *center, const int side[SBV_CANDIDATES])
{
    const sbv_map residual = e->ws.refinement.residual;
    for (int i = 0; i < SBV_CANDIDATES; i++) {
        const sbv_blur_down_args down = {.in = e->ws.output,
                                         .out = residual,
                                         .from = center->rgb,
                                         .blur = e->ws.adaptation.blur[i],
                                         .side = side[i],
                                         .factor = e->network.scale,
                                         .clamp = 1};
        const sbv_sum_squares_args squares = {residual, e->ws.adaptation.sums + (size_t)i * (size_t)residual.h};
        sbv_run_blur_down(&e->exec, &down, residual.h);
        sbv_run_sum_squares(&e->exec, &squares, residual.h);
    }
}

/* Logarithms of the mean squares of the differences, to their mean, and of that. */
static void find_measures(const float *sums, int width, int height, float measure[SBV_MEASURES])
{
    double square[SBV_CANDIDATES] = {0}, mean = 0;
    for (int i = 0; i < SBV_CANDIDATES; i++) {
        for (int y = 0; y < height; y++)
            square[i] += sums[(size_t)i * (size_t)height + (size_t)y];
        square[i] /= (double)width * height * SBV_COLOURS;
        mean += square[i] / SBV_CANDIDATES;
    }
    measure[SBV_CANDIDATES] = (float)log(mean + LEAST);
    for (int i = 0; i < SBV_CANDIDATES; i++)
        measure[i] = (float)log(square[i] + LEAST) - measure[SBV_CANDIDATES];
}

/* Errors: MEMORY, DEVICE, not reported. */
static int measure_picture(sbv_engine *e, sbv_slot *const window[], float measure[SBV_MEASURES])
{
    const int height = e->ws.height;
    const size_t bytes = sizeof(float) * SBV_CANDIDATES * (size_t)height;
    float *const sums = malloc(bytes);
    int side[SBV_CANDIDATES];
    int ret = sums ? upload_candidates(e, side) : SBV_ERROR_MEMORY;
    if (ret >= 0) {
        sbv_engine_restore_inside(e, window);
        compare(e, window[e->network.sequence / 2], side);
        ret = sbv_download(&e->exec, sums, e->ws.adaptation.sums, bytes);
    }
    if (ret >= 0)
        find_measures(sums, e->ws.width, height, measure);
    free(sums);
    return ret;
}

int sbv_measure_window(sbv_engine *e, sbv_slot *const window[], float measure[SBV_MEASURES])
{
    int ret = sbv_modulate(&e->network, &e->exec, e->network.modulation.probe, &e->report);
    if (ret < 0)
        return ret;
    if ((ret = measure_picture(e, window, measure)) < 0)
        return sbv_fail(&e->report, ret, "estimating the degradation: %s",
                        ret == SBV_ERROR_MEMORY ? "out of memory" : sbv_backend_message(&e->exec));
    return SBV_OK;
}

/* The degradation that the window tells of, or the neutral one, with the blur that is known. */
static int estimate(sbv_engine *e, sbv_adaptation *a, const sbv_blur *blur, sbv_slot *const window[], int64_t frame)
{
    const sbv_modulation *m = &e->network.modulation;
    float measure[SBV_MEASURES], *const d = a->degradation;
    const int ret = sbv_measure_window(e, window, measure);
    if (ret < 0)
        return ret;
    a->told = measure[SBV_CANDIDATES] >= log(FLAT * LEAST);
    if (a->told)
        sbv_tell_degradation(m, measure, d);
    else
        memcpy(d, m->neutral, sizeof(m->neutral));
    if (blur->given)
        sbv_blur_response(blur->values, blur->side, d);
    a->frame = frame;
    sbv_say(&e->report, SBV_LOG_VERBOSE,
            "frame %lld: %sresponse of the blur %.2f %.2f %.2f %.2f %.2f, noise %.1f codes, codec %.2f",
            (long long)(e->config.start_number + frame), a->told ? "" : "too flat to tell, ", (double)d[0],
            (double)d[1], (double)d[2], (double)d[3], (double)d[4], (double)d[SBV_RESPONSES] * 2.55,
            (double)d[SBV_RESPONSES + 1]);
    return SBV_OK;
}

int sbv_adapt(sbv_engine *e, sbv_adaptation *a, const sbv_blur *blur, sbv_slot *const window[], int64_t frame)
{
    int ret;
    if (!sbv_adapts(e))
        return SBV_OK;
    if (is_due(e, a, window[e->network.sequence / 2], frame) && (ret = estimate(e, a, blur, window, frame)) < 0)
        return ret;
    return sbv_modulate(&e->network, &e->exec, a->degradation, &e->report);
}
