/*
 * Scratch memory for operations on the CPU: blocks of one size, as many as ranges can run at once. A range takes one
 * and gives it back, the first that is free, so that few blocks are ever touched and these stay in caches.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CPU_SCRATCH_H
#define SBV_KERNELS_CPU_SCRATCH_H

#include <stdatomic.h>
#include <stddef.h>

struct sbv_scratch {
    size_t size; /* bytes of a block, a multiple of 64 */
    int blocks;
    char *memory;
    atomic_flag *taken; /* of each block */
};

static inline void *sbv_scratch_take(sbv_scratch *s)
{
    int i = 0;
    while (atomic_flag_test_and_set_explicit(&s->taken[i], memory_order_acquire))
        i = (i + 1) % s->blocks;
    return s->memory + (size_t)i * s->size;
}

static inline void sbv_scratch_give(sbv_scratch *s, void *block)
{
    atomic_flag_clear_explicit(&s->taken[(size_t)((char *)block - s->memory) / s->size], memory_order_release);
}

#endif /* SBV_KERNELS_CPU_SCRATCH_H */
