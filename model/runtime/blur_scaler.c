/*
 * Blur kernels of scalers: what a reduction by a whole number weights the pixels of the sharp picture with.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <string.h>

#include "model/include/selfblindvsr.h"

#define PI          3.14159265358979323846
#define CUBIC_SLOPE (-0.6) /* at distance 1; that of FFmpeg's bicubic scaler */
#define LOBES       3      /* of Lanczos */

/* Weights at a distance x, in input pixels, of what lies there; `half` is half the width of an output pixel. */

static double bicubic(double x, double half)
{
    const double a = CUBIC_SLOPE;
    (void)half;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? a * (((x - 5) * x + 8) * x - 4) : 0;
}

static double bilinear(double x, double half)
{
    (void)half;
    return fmax(1 - fabs(x), 0);
}

static double lanczos(double x, double half)
{
    (void)half;
    if (fabs(x) >= LOBES)
        return 0;
    return x == 0 ? 1 : LOBES * sin(PI * x) * sin(PI * x / LOBES) / (PI * PI * x * x);
}

/* What of the output pixel lies within the input pixel. */
static double area(double x, double half)
{
    return fmax(fmin(x + half, 0.5) - fmax(x - half, -0.5), 0);
}

static const struct scaler {
    const char *name;
    double (*weight)(double x, double half);
    int reach; /* input pixels */
} scalers[] = {{"area", area, 1}, {"bicubic", bicubic, 2}, {"bilinear", bilinear, 1}, {"lanczos", lanczos, LOBES}};

int sbv_scaler_kernel(const char *name, int scale, double place, float *blur, int *side)
{
    const struct scaler *s = scalers;
    double line[SBV_BLUR_SIDE_MAX], sum = 0;
    while (s < scalers + sizeof(scalers) / sizeof(*scalers) && strcmp(s->name, name))
        s++;
    if (s == scalers + sizeof(scalers) / sizeof(*scalers) || scale < 2 || !(place >= 0 && place < scale))
        return SBV_ERROR_ARGUMENT;
    int half = (int)ceil(s->reach * scale + place) - 1;
    while (half > 0 && !s->weight((half - place) / scale, 0.5 / scale) &&
           !s->weight((-half - place) / scale, 0.5 / scale))
        half--;
    const int n = 2 * half + 1;
    if (n > SBV_BLUR_SIDE_MAX)
        return SBV_ERROR_ARGUMENT;
    for (int i = 0; i < n; i++)
        sum += line[i] = s->weight((i - half - place) / scale, 0.5 / scale);
    for (int i = 0; i < n * n; i++)
        blur[i] = (float)(line[i / n] / sum * (line[i % n] / sum));
    *side = n;
    return SBV_OK;
}
