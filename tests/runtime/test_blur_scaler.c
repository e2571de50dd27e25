/*
 * The blur kernels of scalers.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "model/include/selfblindvsr.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* What a scaler weights pixels with: it keeps a constant, lies where the samples do, and bilinear and area are known.
 */
static void test_blurs_of_scalers(void **unused)
{
    static const char *const names[] = {"area", "bicubic", "bilinear", "lanczos"};
    static const double tent[8] = {1, 3, 5, 7, 7, 5, 3, 1};
    float blur[SBV_BLUR_SIDE_MAX * SBV_BLUR_SIDE_MAX];
    int side;
    (void)unused;
    for (size_t n = 0; n < COUNT(names); n++)
        for (int scale = 2; scale <= 4; scale += 2)
            for (int corner = 0; corner < 2; corner++) {
                const double place = corner ? 0 : (scale - 1) / 2.0;
                double sum = 0, x = 0, y = 0;
                assert_int_equal(sbv_scaler_kernel(names[n], scale, place, blur, &side), SBV_OK);
                for (int i = 0; i < side * side; i++) {
                    sum += blur[i];
                    x += blur[i] * (i % side - side / 2);
                    y += blur[i] * (i / side - side / 2);
                }
                assert_true(fabs(sum - 1) < 1e-5 && fabs(x - place) < 1e-5 && fabs(y - place) < 1e-5);
            }
    assert_int_equal(sbv_scaler_kernel("area", 4, 1.5, blur, &side), SBV_OK);
    assert_int_equal(side, 7);
    for (int i = 0; i < 49; i++)
        assert_true(fabs(blur[i] - (i % 7 >= 3 && i / 7 >= 3) / 16.0) < 1e-7);
    assert_int_equal(sbv_scaler_kernel("bilinear", 4, 1.5, blur, &side), SBV_OK);
    assert_int_equal(side, 11);
    for (int i = 3; i < 11; i++)
        for (int j = 3; j < 11; j++)
            assert_true(fabs(blur[i * 11 + j] - tent[i - 3] * tent[j - 3] / 1024) < 1e-7);
    assert_int_equal(sbv_scaler_kernel("cubic", 4, 1.5, blur, &side), SBV_ERROR_ARGUMENT);
    assert_int_equal(sbv_scaler_kernel("lanczos", 16, 0, blur, &side), SBV_ERROR_ARGUMENT);
    assert_int_equal(sbv_scaler_kernel("area", 1, 0, blur, &side), SBV_ERROR_ARGUMENT);
    assert_int_equal(sbv_scaler_kernel("area", 4, 4, blur, &side), SBV_ERROR_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_blurs_of_scalers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
