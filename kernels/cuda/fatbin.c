/*
 * The image of the kernels: see fatbin.h. The build names the file to embed in SBV_FATBIN, a string, if there is one.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stddef.h>

#include "kernels/cuda/fatbin.h"

#if defined(SBV_FATBIN)
__asm__(".pushsection .rodata\n"
        ".balign 64\n"
        "sbv_fatbin_data:\n"
        ".incbin \"" SBV_FATBIN "\"\n"
        ".byte 0\n"
        ".popsection\n");
extern const char sbv_fatbin_data[] __attribute__((visibility("hidden")));

const void *sbv_cuda_fatbin(void)
{
    return sbv_fatbin_data;
}
#else
const void *sbv_cuda_fatbin(void)
{
    return NULL;
}
#endif
