/*
 * The fake driver: what FFmpeg needs besides. Its loader takes no driver that lacks one of these functions, and its
 * CUDA filters make texture objects before they launch kernels.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "tests/cuda/emu/fake_cuda.h"

using namespace fake;

/* CUDA_RESOURCE_DESC, as far as it describes an image in linear memory. */
struct ResourceDescription {
    enum Type { PITCH2D = 3 } type;
    struct {
        CUdeviceptr address;
        enum Format { UINT8 = 1, UINT16 = 2 } format;
        unsigned channels;
        size_t width, height, pitch;
    } image;
};

struct Texture : Object {
};

FAKE_EXPORT CUresult cuTexObjectCreate(unsigned long long *texture, const ResourceDescription *resource, const void *,
                                       const void *)
{
    FAKE_ENTER(CONTEXT);
    const auto &image = resource->image;
    if (resource->type != ResourceDescription::PITCH2D || (image.format != image.UINT8 && image.format != image.UINT16))
        return misuse(CUDA_ERROR_NOT_SUPPORTED, "textures of this kind are not emulated");
    if (image.address % 512 || image.pitch % 32)
        return misuse(CUDA_ERROR_INVALID_VALUE, "address %#llx, pitch %zu", image.address, image.pitch);
    size_t row = image.width * image.channels * (image.format == image.UINT8 ? 1 : 2);
    if (!check_range(image.address, (image.height - 1) * image.pitch + row, "texture"))
        return CUDA_ERROR_INVALID_VALUE;
    *texture = (uintptr_t)make<Texture>(TEXTURE, current_context());
    return CUDA_SUCCESS;
}

FAKE_EXPORT CUresult cuTexObjectDestroy(unsigned long long texture)
{
    const void *handle = (const void *)(uintptr_t)texture;
    FAKE_ENTER_RELEASE(CONTEXT, give_back(handle, TEXTURE));
    Object *object = use_object(handle, TEXTURE);
    if (!object)
        return CUDA_ERROR_INVALID_VALUE;
    object->live = false;
    object->returned = true;
    return CUDA_SUCCESS;
}

#define NOT_EMULATED(name)                                                                                             \
    FAKE_EXPORT CUresult name()                                                                                        \
    {                                                                                                                  \
        FAKE_ENTER(NOTHING);                                                                                           \
        return misuse(CUDA_ERROR_NOT_SUPPORTED, "not emulated");                                                       \
    }

NOT_EMULATED(cuMemAllocManaged)
NOT_EMULATED(cuStreamAddCallback)
NOT_EMULATED(cuLinkCreate)
NOT_EMULATED(cuLinkCreate_v2)
NOT_EMULATED(cuLinkAddData)
NOT_EMULATED(cuLinkAddData_v2)
NOT_EMULATED(cuLinkComplete)
NOT_EMULATED(cuLinkDestroy)
NOT_EMULATED(cuArrayCreate_v2)
NOT_EMULATED(cuArray3DCreate_v2)
NOT_EMULATED(cuArrayDestroy)
NOT_EMULATED(cuGLGetDevices_v2)
NOT_EMULATED(cuGraphicsGLRegisterImage)
NOT_EMULATED(cuGraphicsUnregisterResource)
NOT_EMULATED(cuGraphicsMapResources)
NOT_EMULATED(cuGraphicsUnmapResources)
NOT_EMULATED(cuGraphicsSubResourceGetMappedArray)
NOT_EMULATED(cuGraphicsResourceGetMappedPointer_v2)
