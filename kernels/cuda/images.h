/*
 * The compiled kernels, embedded in the library: for each .cu file one image for cuModuleLoadData with the machine code
 * of several GPU architectures and PTX, and one with that of the newest, which older drivers cannot read.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_IMAGES_H
#define SBV_KERNELS_CUDA_IMAGES_H

#define SBV_MAX_IMAGES 32
#define SBV_BLACKWELL  100 /* compute capability from which `blackwell` is tried, before `code` */

typedef struct sbv_cuda_image {
    const char *name;
    const void *code, *blackwell; /* blackwell: NULL where there is none */
} sbv_cuda_image;

/* Image number i, NULL where i is past the last one. */
const sbv_cuda_image *sbv_cuda_get_image(int i);

/* The oldest driver that loads the images, 525 say; 0 where the library was built without a CUDA compiler. */
int sbv_cuda_images_driver(void);

#endif /* SBV_KERNELS_CUDA_IMAGES_H */
