/*
 * Feature extraction: what the reconstruction knows of one frame.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/stages.h"

void sbv_run_block(const sbv_stages *s, const sbv_block *block, sbv_map x, sbv_map hidden)
{
    sbv_conv_args first = sbv_conv_of(s->network, &block->conv[0], x, hidden, SBV_RELU);
    sbv_conv_args second = sbv_conv_of(s->network, &block->conv[1], hidden, x, SBV_LINEAR);
    second.residual = x;
    sbv_run_conv(s->exec, &first, x.h);
    sbv_run_conv(s->exec, &second, x.h);
}

void sbv_extract_features(const sbv_stages *s, sbv_slot *slot)
{
    sbv_conv_args in = sbv_conv_of(s->network, &s->network->in_conv, slot->rgb, slot->features, SBV_LINEAR);
    sbv_run_conv(s->exec, &in, slot->features.h);
    for (int i = 0; i < s->network->extra_blocks; i++)
        sbv_run_block(s, &s->network->extra[i], slot->features, s->ws->hidden);
}
