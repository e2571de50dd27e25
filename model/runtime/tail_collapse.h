/*
 * The linear tail of the network as one convolution: see tail_collapse.c.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_TAIL_COLLAPSE_H
#define SBV_RUNTIME_TAIL_COLLAPSE_H

#include "model/runtime/layers.h"
#include "model/runtime/run_ops.h"

/* Collapses upsample_layers and out_conv, and the move of the picture, into one convolution per position at the border:
 * see tail_collapse.c. Errors: MEMORY, and those of reading the weights, reported. */
int sbv_tail_collapse(sbv_network *network, const sbv_weights *weights, int moved, const sbv_exec *exec,
                      sbv_report *report);

#endif /* SBV_RUNTIME_TAIL_COLLAPSE_H */
