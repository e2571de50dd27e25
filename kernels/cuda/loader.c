/*
 * Functions of libraries that are loaded at run time: see loader.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/loader.h"

#include <string.h>

#include "kernels/os.h"

const char *sbv_load_symbols(void *library, const sbv_symbol *symbols, size_t count, void *table)
{
    for (size_t i = 0; i < count; i++) {
        void *function = sbv_os_symbol(library, symbols[i].name);
        if (!function && !symbols[i].optional)
            return symbols[i].name;
        memcpy((char *)table + symbols[i].offset, &function, sizeof(function));
    }
    return NULL;
}
