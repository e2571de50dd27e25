/*
 * The compiled kernels: see images.h. The build says in SBV_IMAGES in which folder they lie, in SBV_IMAGE_LIST which
 * file has their list, both strings, and in SBV_IMAGE_DRIVER which driver they need.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/images.h"

#include <stddef.h>

#if defined(SBV_IMAGES)
/* Constant data and the way back from it, in the words of each object format; the name of a symbol of C. */
#if defined(_WIN32)
#define CONSTANTS ".section .rdata,\"dr\"\n"
#define BACK      ".text\n"
#elif defined(__APPLE__)
#define CONSTANTS ".const_data\n"
#define BACK      ".text\n"
#else
#define CONSTANTS ".pushsection .rodata\n"
#define BACK      ".popsection\n"
#endif
#define STRING(text)  #text
#define EXPAND(text)  STRING(text)
#define SYMBOL_PREFIX EXPAND(__USER_LABEL_PREFIX__)

#define EMBED(name)                                                                                                    \
    __asm__(CONSTANTS ".balign 64\n" SYMBOL_PREFIX "sbv_image_" #name ":\n"                                            \
                      ".incbin \"" SBV_IMAGES "/" #name ".fatbin\"\n"                                                  \
                      ".byte 0\n" BACK);                                                                               \
    extern const char sbv_image_##name[] __attribute__((visibility("hidden")));
#define IMAGE(name)               EMBED(name)
#define IMAGE_AND_BLACKWELL(name) EMBED(name) EMBED(name##_blackwell)
#include SBV_IMAGE_LIST
#undef IMAGE
#undef IMAGE_AND_BLACKWELL

static const sbv_cuda_image images[] = {
#define IMAGE(name)               {#name, sbv_image_##name, NULL},
#define IMAGE_AND_BLACKWELL(name) {#name, sbv_image_##name, sbv_image_##name##_blackwell},
#include SBV_IMAGE_LIST
#undef IMAGE
#undef IMAGE_AND_BLACKWELL
};
_Static_assert(sizeof(images) / sizeof(*images) <= SBV_MAX_IMAGES, "SBV_MAX_IMAGES is too small");

int sbv_cuda_images_driver(void)
{
    return SBV_IMAGE_DRIVER;
}
#else

/* Built without a CUDA compiler: a module that any driver loads, and that has no kernels. */
static const sbv_cuda_image images[] = {{"none", ".version 7.0\n.target sm_75\n.address_size 64\n", NULL}};

int sbv_cuda_images_driver(void)
{
    return 0;
}
#endif

const sbv_cuda_image *sbv_cuda_get_image(int i)
{
    return (size_t)i < sizeof(images) / sizeof(*images) ? &images[i] : NULL;
}
