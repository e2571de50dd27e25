/*
 * Packed weights of the convolutions.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_CONV_WEIGHTS_H
#define SBV_KERNELS_CUDA_CONV_WEIGHTS_H

#include "kernels/ops.h"

/* Channels that weights are packed for. */
int sbv_cuda_packed_inputs(int in);
int sbv_cuda_packed_outputs(int out);

/* Bytes of the packed weights of a convolution, and their packing from PyTorch's [out][in][ksize][ksize]:
 * [row][column][output, rounded up to 64][input, rounded up to 16, or to 64 if more than 32], zeros in
 * the padding, of the type of the session's maps. */
size_t sbv_cuda_conv_bytes(enum sbv_type type, int out, int in, int ksize);
void sbv_cuda_pack_conv(enum sbv_type type, const float *raw, int out, int in, int ksize, void *packed);

#endif /* SBV_KERNELS_CUDA_CONV_WEIGHTS_H */
