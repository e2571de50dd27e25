/*
 * Opening the network of a model file.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_NETWORK_H
#define SBV_RUNTIME_NETWORK_H

#include "model/runtime/layers.h"
#include "model/runtime/run_ops.h"

/* Reads the architecture from the names and shapes of the tensors, checks it as a whole, then reads and packs the
 * weights and collapses the tail; moved: one that moves its picture. Errors: MODEL, FILE, MEMORY, reported; *network is
 * then closed. */
int sbv_network_open(sbv_network *network, const sbv_weights *weights, int moved, const sbv_exec *exec,
                     sbv_report *report);
void sbv_network_close(sbv_network *network, const sbv_exec *exec);

/* The convolution of `in` by `layer`, output to `out`: stride 1, dilation 1, zero padding that keeps the size. */
sbv_conv_args sbv_conv_of(const sbv_network *network, const sbv_layer *layer, sbv_map in, sbv_map out, float slope);

#endif /* SBV_RUNTIME_NETWORK_H */
