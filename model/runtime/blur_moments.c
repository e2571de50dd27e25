/*
 * What a blur kernel looks like in numbers: see sbv_kernel_moments.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <string.h>

#include "model/runtime/blur_moments.h"

#define ISOTROPIC 1e-6 /* two variances that differ by less, relative to their sum, have no direction */

double sbv_kernel_sum(const float *kernel, int side)
{
    double sum = 0;
    for (int i = 0; i < side * side; i++)
        sum += kernel[i];
    return isfinite(sum) ? sum : NAN;
}

int sbv_kernel_moments(const float *kernel, int side, sbv_moments *moments)
{
    double mass = 0, x = 0, y = 0, xx = 0, yy = 0, xy = 0;
    memset(moments, 0, sizeof(*moments));
    if (side < 1 || side > SBV_BLUR_SIDE_MAX || side % 2 == 0 || !((mass = sbv_kernel_sum(kernel, side)) > 0))
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
