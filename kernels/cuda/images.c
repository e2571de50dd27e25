/*
 * The compiled kernels: see fatbin.h. The build says in SBV_FATBINS, a string, in which folder they lie.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stddef.h>

#include "kernels/cuda/images.h"

#if defined(SBV_FATBINS)
#define EMBED(name)                                                                                                    \
    __asm__(".pushsection .rodata\n"                                                                                   \
            ".balign 64\n"                                                                                             \
            "sbv_fatbin_" #name ":\n"                                                                                  \
            ".incbin \"" SBV_FATBINS "/" #name ".fatbin\"\n"                                                           \
            ".byte 0\n"                                                                                                \
            ".popsection\n");                                                                                          \
    extern const char sbv_fatbin_##name[] __attribute__((visibility("hidden")));
EMBED(blas_conv)
EMBED(colour)
EMBED(conv_f32)
EMBED(conv_mma)
EMBED(conv_wgmma)
EMBED(flow)
EMBED(image)

const void *sbv_cuda_fatbin(int i)
{
    const char *const images[] = {
        sbv_fatbin_blas_conv,  sbv_fatbin_colour, sbv_fatbin_conv_f32, sbv_fatbin_conv_mma,
        sbv_fatbin_conv_wgmma, sbv_fatbin_flow,   sbv_fatbin_image,
    };
    return (size_t)i < sizeof(images) / sizeof(images[0]) ? images[i] : NULL;
}
#else

/* Built without nvcc: a module that any driver loads, and that has no kernels. */
const void *sbv_cuda_fatbin(int i)
{
    return i == 0 ? ".version 7.0\n.target sm_75\n.address_size 64\n" : NULL;
}
#endif
