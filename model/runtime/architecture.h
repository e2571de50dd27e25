/*
 * Reading the architecture from the tensors of a model file.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_ARCHITECTURE_H
#define SBV_RUNTIME_ARCHITECTURE_H

#include "model/runtime/layers.h"

/* Fills in the sizes of the network and the kinds, sizes and tensors of its layers. *layer becomes an allocated list of
 * the layers whose weights are used as they are, all but the tail's. Nothing is read but the header. Errors: MODEL (a
 * tensor is missing, unknown or of the wrong shape), MEMORY, reported; *layer is then NULL or allocated. */
int sbv_architecture_read(sbv_network *network, const sbv_weights *weights, sbv_report *report, sbv_layer ***layer,
                          int *layers);

#endif /* SBV_RUNTIME_ARCHITECTURE_H */
