/*
 * The compiled kernels, embedded in the library: one image for cuModuleLoadData per .cu file, each for several GPU
 * architectures.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_IMAGES_H
#define SBV_KERNELS_CUDA_IMAGES_H

#define SBV_MAX_FATBINS 16

/* Image number i, NULL where i is past the last one. */
const void *sbv_cuda_fatbin(int i);

#endif /* SBV_KERNELS_CUDA_IMAGES_H */
