/*
 * Allocations that fail when a fuzz target asks for it. The linker leads malloc and its kin of all that is linked in,
 * but not of shared libraries, to these (--wrap).
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_FUZZ_ALLOCATE_H
#define SBV_TESTS_FUZZ_ALLOCATE_H

/* Allocation number `count` from now on fails, once; negative: none. Returns whether the one asked for before has. */
int fuzz_fail_allocation(int count);

/* Allocations that have not been released. */
int fuzz_allocations_held(void);

#endif /* SBV_TESTS_FUZZ_ALLOCATE_H */
