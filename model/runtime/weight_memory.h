/*
 * Memory for packed weights.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_WEIGHT_MEMORY_H
#define SBV_RUNTIME_WEIGHT_MEMORY_H

#include "model/runtime/layers.h"
#include "model/runtime/run_ops.h"

#define SBV_WEIGHT_ALIGN 256 /* bytes: what copies to a device and vector loads want */
#define SBV_BIAS_GROUP   64
size_t sbv_bias_bytes(int out);

/* A convolution that may be computed by Winograd's way is, with the largest tiles that make it faster; or it is not,
 * where none do. A shift becomes half of the side of its tiles, none where a pixel depends on its neighbours alone. */
void sbv_choose_winograd(const sbv_exec *exec, sbv_layer *layer);

/* Weights of a convolution, by Winograd's way or not: bytes they take, and packing from PyTorch's
 * [out][in][ksize][ksize] into host memory. */
size_t sbv_conv_layer_bytes(const sbv_exec *exec, const sbv_layer *layer);
void sbv_pack_conv_layer(const sbv_exec *exec, const sbv_layer *layer, const float *raw, void *packed);

/* Memory for weights: *memory is that of operations, *host is where to pack them, the same on the CPU. done copies them
 * over and frees *host; it passes an error on. Errors: MEMORY, DEVICE, reported. */
int sbv_weights_memory(const sbv_exec *exec, size_t bytes, void **memory, char **host, sbv_report *report);
int sbv_weights_done(const sbv_exec *exec, size_t bytes, void *memory, char *host, int ret, sbv_report *report);

#endif /* SBV_RUNTIME_WEIGHT_MEMORY_H */
