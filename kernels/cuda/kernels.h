/*
 * The kernels of the image that is loaded onto the device, by the file they are in: identifier, name, and the dynamic
 * shared memory of a launch at most, in bytes.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_KERNELS_H
#define SBV_KERNELS_CUDA_KERNELS_H

#include "kernels/cuda/conv_params.h"

/* conv_mma.cu, conv_f32.cu */
#define SBV_KERNELS_CONV(K)                                                                                            \
    K(CONV_F32, "sbv_conv_f32", SBV_CONV_F32_SHARED)                                                                   \
    K(DECONV, "sbv_deconv", 0)                                                                                         \
    K(CONV_HALO_128, "sbv_conv_mma_halo_128", SBV_MMA_HALO_SHARED(128))                                                \
    K(CONV_HALO_64, "sbv_conv_mma_halo_64", SBV_MMA_HALO_SHARED(64))                                                   \
    K(CONV_HALO_32, "sbv_conv_mma_halo_32", SBV_MMA_HALO_SHARED(32))                                                   \
    K(CONV_GATHER_64, "sbv_conv_mma_gather_64", SBV_MMA_GATHER_SHARED(128, 64))                                        \
    K(CONV_GATHER_64_ANY, "sbv_conv_mma_gather_64_any", SBV_MMA_GATHER_SHARED(128, 64))                                \
    K(CONV_GATHER_32, "sbv_conv_mma_gather_32", SBV_MMA_GATHER_SHARED(64, 32))                                         \
    K(CONV_GATHER_32_ANY, "sbv_conv_mma_gather_32_any", SBV_MMA_GATHER_SHARED(64, 32))                                 \
    K(CONV_SPLIT, "sbv_conv_mma_split", SBV_MMA_SPLIT_SHARED)

/* conv_wgmma.cu */
#define SBV_KERNELS_WGMMA(K)                                                                                           \
    K(CONV_WGMMA_64, "sbv_conv_wgmma_64", SBV_WGMMA_SHARED(64))                                                        \
    K(CONV_WGMMA_64_RELU, "sbv_conv_wgmma_64_relu", SBV_WGMMA_SHARED(64))                                              \
    K(CONV_WGMMA_64_RESIDUAL, "sbv_conv_wgmma_64_residual", SBV_WGMMA_SHARED(64))                                      \
    K(CONV_WGMMA_64_LINEAR_RESIDUAL, "sbv_conv_wgmma_64_linear_residual", SBV_WGMMA_SHARED(64))                        \
    K(CONV_WGMMA_128, "sbv_conv_wgmma_128", SBV_WGMMA_SHARED(128))                                                     \
    K(CONV_WGMMA_128_RELU, "sbv_conv_wgmma_128_relu", SBV_WGMMA_SHARED(128))                                           \
    K(CONV_WGMMA_128_RESIDUAL, "sbv_conv_wgmma_128_residual", SBV_WGMMA_SHARED(128))                                   \
    K(CONV_WGMMA_128_LINEAR_RESIDUAL, "sbv_conv_wgmma_128_linear_residual", SBV_WGMMA_SHARED(128))

/* conv_blas.cu */
#define SBV_KERNELS_BLAS(K)                                                                                            \
    K(CONV_PAD, "sbv_conv_pad", 0)                                                                                     \
    K(CONV_FINISH, "sbv_conv_finish", 0)

/* cost_volume.cu, warp.cu */
#define SBV_KERNELS_FLOW(K)                                                                                            \
    K(COST_VOLUME, "sbv_cost_volume", 41472)                                                                           \
    K(WARP, "sbv_warp", 0)

/* resize.cu, pixel_shuffle.cu, copy.cu, pool.cu, dense.cu, difference.cu */
#define SBV_KERNELS_IMAGE(K)                                                                                           \
    K(RESIZE, "sbv_resize", 0)                                                                                         \
    K(RESIZE_MOVED, "sbv_resize_moved", 0)                                                                             \
    K(PIXEL_SHUFFLE, "sbv_pixel_shuffle", 0)                                                                           \
    K(COPY, "sbv_copy", 0)                                                                                             \
    K(ADAPTIVE_POOL, "sbv_adaptive_pool", 512)                                                                         \
    K(LINEAR, "sbv_linear", 512)                                                                                       \
    K(SOFTMAX, "sbv_softmax", 512)                                                                                     \
    K(ATTENTION, "sbv_attention", 0)                                                                                   \
    K(DIFFERENCE, "sbv_difference", 512)

/* blur.cu */
#define SBV_KERNELS_BLUR(K)                                                                                            \
    K(BLUR_DOWN, "sbv_blur_down", 0)                                                                                   \
    K(BLUR_UP, "sbv_blur_up", 0)                                                                                       \
    K(SUM_SQUARES, "sbv_sum_squares", 512)                                                                             \
    K(STEP, "sbv_step", 512)                                                                                           \
    K(ADVANCE, "sbv_advance", 0)

/* colour.cu */
#define SBV_KERNELS_COLOUR(K)                                                                                          \
    K(COLOUR_IN, "sbv_colour_in", 0)                                                                                   \
    K(COLOUR_OUT, "sbv_colour_out", 19008)                                                                             \
    K(PICTURE_2, "sbv_picture_2", 19008)                                                                               \
    K(PICTURE_4, "sbv_picture_4", 19008)

#define SBV_KERNELS(K)                                                                                                 \
    SBV_KERNELS_CONV(K)                                                                                                \
    SBV_KERNELS_WGMMA(K)                                                                                               \
    SBV_KERNELS_BLAS(K)                                                                                                \
    SBV_KERNELS_FLOW(K)                                                                                                \
    SBV_KERNELS_IMAGE(K)                                                                                               \
    SBV_KERNELS_BLUR(K)                                                                                                \
    SBV_KERNELS_COLOUR(K)

#define SBV_KERNEL_ID(id, name, shared) SBV_KERNEL_##id,
enum sbv_kernel_id { SBV_KERNELS(SBV_KERNEL_ID) SBV_KERNEL_COUNT };
#undef SBV_KERNEL_ID

#endif /* SBV_KERNELS_CUDA_KERNELS_H */
