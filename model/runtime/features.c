/*
 * Feature extraction: what the reconstruction knows of one frame.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/stages.h"

void sbv_extract_features(const sbv_stages *s, sbv_slot *slot)
{
    const sbv_network *n = s->network;
    sbv_map x = s->ws->extracted[0].data ? s->ws->extracted[0] : slot->features;
    sbv_map hidden = s->ws->extracted[0].data ? s->ws->extracted[1] : s->ws->hidden;
    sbv_conv_args in = sbv_conv_of(n, &n->in_conv, slot->rgb, x, SBV_LINEAR);
    sbv_copy_args copy = {x, slot->features};
    sbv_run_conv(s->exec, &in, x.h);
    for (int i = 0; i < n->extra_blocks; i++)
        sbv_run_block(s, &n->extra[i], x, n->extra[i].conv[1].split ? hidden : s->ws->hidden, NULL);
    if (x.data != slot->features.data)
        sbv_run_copy(s->exec, &copy, x.h);
}
