/*
 * A modulated network: what its fusion and the blocks of its reconstruction put out is multiplied, channel by channel,
 * with gains that depend on how the video was degraded. So one network restores what a scaler made as well as what a
 * lens did, where an unmodulated one aims between them. (The idea is that of SRMD, Zhang et al., CVPR 2018, whose
 * network is told the blur kernel and the noise.)
 *
 * A degradation is SBV_DEGRADATION numbers: the response of the blur kernel, blur and reduction together, at
 * SBV_RESPONSES frequencies, the mean of the horizontal and the vertical one; 100 times the standard deviation of the
 * noise; and how much a codec was at work, 0 to 1.
 *
 * The gains are folded into the weights, so that the operations know nothing of them and a frame takes no longer.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_MODULATION_H
#define SBV_RUNTIME_MODULATION_H

#include "model/runtime/layers.h"
#include "model/runtime/run_ops.h"

/* Reads what modulates the network, if anything does, and the weights that are modulated once more, as they are in the
 * file; folds the gains of the neutral degradation into the packed ones. Errors: FILE, MODEL, MEMORY, DEVICE,
 * reported; what was allocated is then for sbv_modulation_close. */
int sbv_modulation_read(sbv_network *network, const sbv_weights *weights, const sbv_exec *exec, sbv_report *report);
void sbv_modulation_close(sbv_modulation *modulation);

/* Folds the gains of a degradation into the weights; does nothing where they are in there. Errors: MEMORY, DEVICE,
 * reported. */
int sbv_modulate(sbv_network *network, const sbv_exec *exec, const float degradation[SBV_DEGRADATION],
                 sbv_report *report);

/* The degradation that these measures tell of, see adaptation.h. */
void sbv_tell_degradation(const sbv_modulation *modulation, const float measure[SBV_MEASURES],
                          float degradation[SBV_DEGRADATION]);

#endif /* SBV_RUNTIME_MODULATION_H */
