/*
 * Kernels for the tests of the fake driver.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/gpu.h"

#include "tests/cuda/emu/fake_kernels.h"

/* data[i] += value */
KERNEL(fake_add, const fake_kernel_args a)
{
    const int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < a.count)
        a.data[i] += a.value;
}

/* data[i] = value, by way of dynamic shared memory */
KERNEL(fake_shared, const fake_kernel_args a)
{
    DYN_SMEM();
    SMEM_ARRAY(int, values, 0, 64 * 1024 / 4);
    values[threadIdx.x] = a.value;
    __syncthreads();
    if ((int)threadIdx.x < a.count)
        a.data[threadIdx.x] = values[threadIdx.x];
}
