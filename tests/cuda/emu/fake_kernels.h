/*
 * Parameters of the kernels for the tests of the fake driver.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_EMU_FAKE_KERNELS_H
#define SBV_TESTS_EMU_FAKE_KERNELS_H

typedef struct fake_kernel_args {
    int *data; /* memory of the device */
    int count, value;
} fake_kernel_args;

#endif /* SBV_TESTS_EMU_FAKE_KERNELS_H */
