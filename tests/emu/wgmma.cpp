/*
 * Matrix products of warpgroups (wgmma) on the emulator.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine.h"
namespace emu
{
void reset_wgmma(Thread *t)
{
    t->accumulators.clear();
    t->products.clear();
    t->product_groups.clear();
    t->products_committed = t->products_issued = 0;
    t->fenced = false;
}
void check_wgmma_at_block_end()
{
}
} // namespace emu
