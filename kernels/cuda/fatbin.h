/*
 * The kernels, compiled for every GPU architecture the library knows, as one image for cuModuleLoadData.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_FATBIN_H
#define SBV_KERNELS_CUDA_FATBIN_H

/* The image; NULL where the library was built without one. */
const void *sbv_cuda_fatbin(void);

#endif /* SBV_KERNELS_CUDA_FATBIN_H */
