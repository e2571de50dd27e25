/*
 * The table of operations, filled with the plain C functions.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/ops.h"

void sbv_ops_init(sbv_ops *ops)
{
    *ops = (sbv_ops){.type = SBV_MAP_F32, .conv_group = SBV_CONV_GROUP};
#define SBV_OP_SET(name, args) ops->name = sbv_##name##_c;
    SBV_OPS(SBV_OP_SET)
#undef SBV_OP_SET
}
