/*
 * Allocations that fail: see allocate.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "allocate.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
int __real_posix_memalign(void **memory, size_t align, size_t size);
char *__real_strdup(const char *text);
void __real_free(void *memory);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
int __wrap_posix_memalign(void **memory, size_t align, size_t size);
char *__wrap_strdup(const char *text);
void __wrap_free(void *memory);

static atomic_int left = -1, failed, held;

int fuzz_fail_allocation(int count)
{
    atomic_store(&left, count < 0 ? -1 : count);
    return atomic_exchange(&failed, 0);
}

int fuzz_allocations_held(void)
{
    return atomic_load(&held);
}

/* A new allocation. */
static void *counted(void *memory)
{
    if (memory)
        atomic_fetch_add(&held, 1);
    return memory;
}

static int fails(void)
{
    if (atomic_load(&left) < 0 || atomic_fetch_sub(&left, 1))
        return 0;
    atomic_store(&failed, 1);
    return 1;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *memory, size_t size)
{
    if (fails())
        return NULL;
    return memory ? __real_realloc(memory, size) : counted(__real_realloc(NULL, size));
}

int __wrap_posix_memalign(void **memory, size_t align, size_t size)
{
    if (fails())
        return ENOMEM;
    const int ret = __real_posix_memalign(memory, align, size);
    if (!ret)
        counted(*memory);
    return ret;
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : counted(__real_strdup(text));
}

void __wrap_free(void *memory)
{
    if (memory)
        atomic_fetch_sub(&held, 1);
    __real_free(memory);
}
