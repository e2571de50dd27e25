/*
 * The operations for each instruction set, one after the other.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_INSTRUCTION_SETS_H
#define SBV_TESTS_INSTRUCTION_SETS_H

#include <stdio.h>

#include "kernels/cpu/cpu.h"

/* Fills *ops with the operations for the next instruction set after `isa` and before `end` that is there, and says
 * which are not. Returns it, or -1 where there is no more: for (int isa = -1; (isa = next_isa(&ops, isa, end)) >= 0;)
 */
static inline int next_isa(sbv_ops *ops, int isa, int end)
{
    while (++isa < end) {
        if (sbv_isa_by_name(sbv_isa_name(isa)) >= 0) {
            sbv_ops_init(ops);
            sbv_ops_init_isa(ops, isa);
            return isa;
        }
        printf("# skip %s: this processor, or this build, does not have it\n", sbv_isa_name(isa));
    }
    return -1;
}

#endif /* SBV_TESTS_INSTRUCTION_SETS_H */
