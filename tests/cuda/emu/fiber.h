/*
 * Fibers: stacks that one thread of the host switches between, in a way that the sanitizers follow.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_EMU_FIBER_H
#define SBV_TESTS_EMU_FIBER_H

#include <stddef.h>

namespace emu
{

struct Fiber {
    void *stack_pointer; /* while it does not run */
    void *fake_stack;    /* AddressSanitizer's */
    void *tsan;          /* ThreadSanitizer's */
    const void *stack;
    size_t stack_size;
};

/* Makes a fiber that runs `entry`, which must not return, when it is first switched to. It is never freed. */
Fiber *fiber_new(void (*entry)());

/* Makes `f` stand for what runs now: the stack of the calling thread of the host. */
void fiber_adopt(Fiber *f);

/* Leaves `from`, which runs, for `to`. */
void fiber_switch(Fiber *from, Fiber *to);

/* The first thing `entry` calls. */
void fiber_started();

} // namespace emu

#endif /* SBV_TESTS_EMU_FIBER_H */
