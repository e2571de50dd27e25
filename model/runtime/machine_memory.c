/*
 * How much memory there is to plan with: see machine_memory.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/machine_memory.h"

#include "kernels/os.h"

size_t sbv_machine_memory(const char **whose)
{
    const size_t physical = sbv_os_memory(), limit = sbv_os_memory_limit(whose);
    if (limit < physical)
        return limit;
    *whose = "this machine has";
    return physical;
}
