/*
 * What a blur kernel looks like in numbers: see sbv_kernel_moments.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <string.h>

#include "model/runtime/blur_moments.h"

#define ISOTROPIC 1e-6 /* two variances that differ by less, relative to their sum, have no direction */

double sbv_blur_sum(const float *blur, int side)
{
    double sum = 0;
    for (int i = 0; i < side * side; i++)
        sum += blur[i];
    return isfinite(sum) ? sum : NAN;
}

int sbv_kernel_moments(const float *blur, int side, sbv_moments *moments)
{
    double mass = 0, x = 0, y = 0, xx = 0, yy = 0, xy = 0;
    memset(moments, 0, sizeof(*moments));
    if (side < 1 || side > SBV_BLUR_SIDE_MAX || side % 2 == 0 || !((mass = sbv_blur_sum(blur, side)) > 0))
        return SBV_ERROR_ARGUMENT;
    for (int i = 0; i < side * side; i++) {
        x += blur[i] / mass * (i % side - side / 2);
        y += blur[i] / mass * (i / side - side / 2);
    }
    for (int i = 0; i < side * side; i++) {
        const double dx = i % side - side / 2 - x, dy = i / side - side / 2 - y;
        xx += blur[i] / mass * dx * dx;
        yy += blur[i] / mass * dy * dy;
        xy += blur[i] / mass * dx * dy;
    }
    /* The principal axes are those of the covariance matrix, its eigenvalues the variances along them. */
    const double half = hypot((xx - yy) / 2, xy), sign = xx < yy ? -1 : 1;
    *moments = (sbv_moments){
        .center_x = x,
        .center_y = y,
        .sigma_x = sqrt(fmax((xx + yy) / 2 + sign * half, 0)),
        .sigma_y = sqrt(fmax((xx + yy) / 2 - sign * half, 0)),
    };
    if (half > ISOTROPIC * (fabs(xx) + fabs(yy)))
        moments->angle = atan2(sign * xy, sign * (xx - yy) / 2) * 90 / acos(-1);
    return SBV_OK;
}
