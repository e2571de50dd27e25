/*
 * Fibers: see fiber.h. The switch saves what a called function must preserve on the stack and exchanges the stacks.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "fiber.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef EMU_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

extern "C" void emu_switch_stack(void **save, void *to);

#ifdef EMU_TSAN
extern "C" {
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
}
enum { TSAN_NO_ORDER = 1 }; /* a switch tells nothing about the order of accesses */
#endif

namespace emu
{

#if defined(__x86_64__)
asm(R"(
.text
.globl emu_switch_stack
.hidden emu_switch_stack
.type emu_switch_stack, @function
emu_switch_stack:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
.size emu_switch_stack, . - emu_switch_stack
)");

static void *initial_stack(char *top, void (*entry)())
{
    void **p = (void **)top;
    *--p = nullptr; /* where entry would return to; also makes the stack 16 bytes off, as after a call */
    *--p = (void *)entry;
    for (int i = 0; i < 6; i++)
        *--p = nullptr;
    return p;
}
#elif defined(__aarch64__)
asm(R"(
.text
.globl emu_switch_stack
.hidden emu_switch_stack
.type emu_switch_stack, %function
emu_switch_stack:
    sub sp, sp, #160
    stp x19, x20, [sp]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
.size emu_switch_stack, . - emu_switch_stack
)");

static void *initial_stack(char *top, void (*entry)())
{
    uint64_t *p = (uint64_t *)top - 20;
    memset(p, 0, 160);
    p[11] = (uint64_t)entry;
    return p;
}
#else
#error "no stack switch for this processor"
#endif

/* Room for the large frames of AddressSanitizer. Only what is used takes memory. */
static const size_t STACK_SIZE = 256 * 1024;

Fiber *fiber_new(void (*entry)())
{
    static unsigned count;
    const size_t page = 4096;
    char *memory = (char *)mmap(nullptr, STACK_SIZE + page, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, page, PROT_NONE)) {
        perror("EMU: stack of a fiber");
        abort();
    }
    Fiber *f = new Fiber();
    f->stack = memory + page;
    f->stack_size = STACK_SIZE;
    /* Stacks that begin at the same offset of a page would all compete for the same few lines of the cache. */
    const size_t colour = count++ % 61 * 1088;
    f->stack_pointer = initial_stack(memory + page + STACK_SIZE - colour, entry);
#ifdef EMU_TSAN
    f->tsan = __tsan_create_fiber(0);
#endif
    return f;
}

void fiber_adopt(Fiber *f)
{
    *f = Fiber();
#ifdef EMU_ASAN
    pthread_attr_t attributes;
    void *stack;
    if (pthread_getattr_np(pthread_self(), &attributes) || pthread_attr_getstack(&attributes, &stack, &f->stack_size)) {
        perror("EMU: stack of the thread");
        abort();
    }
    f->stack = stack;
    pthread_attr_destroy(&attributes);
#endif
#ifdef EMU_TSAN
    f->tsan = __tsan_get_current_fiber();
#endif
}

void fiber_switch(Fiber *from, Fiber *to)
{
#ifdef EMU_ASAN
    __sanitizer_start_switch_fiber(&from->fake_stack, to->stack, to->stack_size);
#endif
#ifdef EMU_TSAN
    __tsan_switch_to_fiber(to->tsan, TSAN_NO_ORDER);
#endif
    emu_switch_stack(&from->stack_pointer, to->stack_pointer);
#ifdef EMU_ASAN
    __sanitizer_finish_switch_fiber(from->fake_stack, nullptr, nullptr);
#endif
}

void fiber_started()
{
#ifdef EMU_ASAN
    __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
}

} // namespace emu
