/*
 * The fake driver: modules, functions, launches and tensor maps.
 *
 * A module has the kernels of the image that it was loaded from (fake_images.cpp). What is launched is the code of the
 * same name that was linked with the emulator; kernels of others, FFmpeg's say, cannot be launched.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "tests/cuda/emu/fake_cuda.h"

#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/cuda/emu/emu.h"

struct CUmod_st : fake::Object {
    std::set<std::string> kernels;
    std::map<std::string, CUfunction> functions;
};

struct CUfunc_st : fake::Object {
    CUmodule module;
    std::string name;
    const emu::Kernel *kernel; /* nullptr: somebody else's */
    int shared_limit;          /* dynamic shared memory of a launch at most */
};

namespace fake
{

const char *running_kernel;

namespace
{

const int SHARED_WITHOUT_ASKING = 48 * 1024;

int shared_limit_of_device()
{
    return attribute_of(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
}

/* ---- Launches ---- */

struct Launch {
    emu::Dim3 grid, block;
    size_t shared;
};

bool is_valid(const Launch &l, const CUfunc_st *function)
{
    const emu::Dim3 &g = l.grid, &b = l.block;
    unsigned long long threads = (unsigned long long)b.x * b.y * b.z;
    if (!g.x || !g.y || !g.z || g.x > 0x7fffffff || g.y > 65535 || g.z > 65535)
        misuse(0, "%s: a grid of %u x %u x %u blocks", function->name.c_str(), g.x, g.y, g.z);
    else if (!threads || b.x > 1024 || b.y > 1024 || b.z > 64 || threads > 1024)
        misuse(0, "%s: a block of %u x %u x %u threads", function->name.c_str(), b.x, b.y, b.z);
    else if (l.shared > (size_t)function->shared_limit)
        misuse(0, "%s: %zu bytes of dynamic shared memory, and the function is allowed %d", function->name.c_str(),
               l.shared, function->shared_limit);
    else
        return true;
    return false;
}

/* Whether a word could be a pointer into memory of this process that a GPU does not have. Programs, libraries, stacks
 * and the heap lie above 2^44; below it are pairs of small numbers, and shadow memory of the address sanitizer. What a
 * pointer points at is aligned, unlike a float such as 0.1 and the padding after it, which can be anything. */
bool is_host_address(uint64_t word)
{
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    unsigned char resident;
    if (word % 4 || word >> 44 == 0 || word >> 48 || is_device_address(word) ||
        is_pinned((const void *)(uintptr_t)word))
        return false;
    return mincore((void *)(uintptr_t)(word / page * page), 1, &resident) == 0;
}

/* The parameters as they are now; the caller may change them once the launch is queued. */
std::vector<std::vector<char>> take_parameters(const emu::Kernel *kernel, void **params)
{
    std::vector<std::vector<char>> values;
    for (int i = 0; i < kernel->parameter_count; i++) {
        const char *value = (const char *)params[i];
        values.emplace_back(value, value + kernel->parameter_sizes[i]);
        for (size_t at = 0; at + 8 <= kernel->parameter_sizes[i]; at += 8) {
            uint64_t word;
            memcpy(&word, value + at, 8);
            if (is_host_address(word))
                misuse(0, "%s: byte %zu of parameter %d is an address in memory of the host", kernel->name, at, i);
        }
    }
    return values;
}

/* Values for the emulator, aligned as the structures that they are. */
struct Parameters {
    std::vector<std::unique_ptr<char, void (*)(void *)>> values;
    std::vector<void *> pointers;

    explicit Parameters(const std::vector<std::vector<char>> &taken)
    {
        for (const auto &bytes : taken) {
            size_t size = (bytes.size() + 63) / 64 * 64 + 64;
            char *value = (char *)aligned_alloc(64, size);
            memcpy(value, bytes.data(), bytes.size());
            values.emplace_back(value, free);
            pointers.push_back(value);
        }
    }
};

CUresult run_kernel(const CUfunc_st *function, const Launch &l, const Parameters &parameters)
{
    if (!function->module->live)
        return misuse(CUDA_ERROR_LAUNCH_FAILED, "%s runs after its module was unloaded", function->name.c_str());
    running_kernel = function->kernel->name;
    count_launch(running_kernel, function->context->device);
    std::vector<void *> pointers = parameters.pointers;
    if (list_work(running_kernel, pointers.data(), (int)l.grid.z)) {
        running_kernel = nullptr;
        return CUDA_SUCCESS;
    }
    int error = emu::launch(function->kernel, l.grid, l.block, l.shared, pointers.data());
    running_kernel = nullptr;
    return error ? misuse(CUDA_ERROR_LAUNCH_FAILED, "%s cannot be launched", function->name.c_str()) : CUDA_SUCCESS;
}

} // namespace
} // namespace fake

using namespace fake;

FAKE_EXPORT CUresult cuModuleLoadData(CUmodule *module, const void *image)
{
    FAKE_ENTER(CONTEXT | UNSAFE);
    std::set<std::string> kernels;
    if (CUresult error = read_image(image, &kernels))
        return error;
    *module = make<CUmod_st>(MODULE, current_context());
    (*module)->kernels = kernels;
    return CUDA_SUCCESS;
}

FAKE_EXPORT CUresult cuModuleUnload(CUmodule handle)
{
    FAKE_ENTER_RELEASE(CONTEXT | UNSAFE, give_back(handle, MODULE));
    CUmodule module = use(handle, MODULE);
    if (!module)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult error = finish_all(module->context);
    module->live = false;
    module->returned = true;
    for (auto &entry : module->functions)
        entry.second->live = false;
    return error;
}

FAKE_EXPORT CUresult cuModuleGetFunction(CUfunction *function, CUmodule handle, const char *name)
{
    FAKE_ENTER(CONTEXT);
    CUmodule module = use(handle, MODULE);
    if (!module)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!module->kernels.count(name))
        return CUDA_ERROR_NOT_FOUND;
    CUfunction &known = module->functions[name];
    if (!known) {
        known = make<CUfunc_st>(FUNCTION, module->context);
        known->module = module;
        known->name = name;
        known->kernel = emu::find(name);
        known->shared_limit = SHARED_WITHOUT_ASKING;
    }
    *function = known;
    return CUDA_SUCCESS;
}

FAKE_EXPORT CUresult cuModuleGetGlobal_v2(CUdeviceptr *, size_t *, CUmodule, const char *)
{
    FAKE_ENTER(CONTEXT);
    return CUDA_ERROR_NOT_FOUND;
}

FAKE_EXPORT CUresult cuModuleGetGlobal(CUdeviceptr *address, size_t *bytes, CUmodule module, const char *name)
{
    return cuModuleGetGlobal_v2(address, bytes, module, name);
}

FAKE_EXPORT CUresult cuFuncGetAttribute(int *value, CUfunction_attribute attribute, CUfunction handle)
{
    FAKE_ENTER(CONTEXT);
    CUfunction function = use(handle, FUNCTION);
    if (!function)
        return CUDA_ERROR_INVALID_HANDLE;
    switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
        *value = 1024;
        break;
    case CU_FUNC_ATTRIBUTE_NUM_REGS:
        *value = 64;
        break;
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
        *value = settings().sm;
        break;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
        *value = function->shared_limit;
        break;
    default:
        *value = 0;
    }
    return CUDA_SUCCESS;
}

FAKE_EXPORT CUresult cuFuncSetAttribute(CUfunction handle, CUfunction_attribute attribute, int value)
{
    FAKE_ENTER(CONTEXT);
    CUfunction function = use(handle, FUNCTION);
    if (!function)
        return CUDA_ERROR_INVALID_HANDLE;
    if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES)
        return misuse(CUDA_ERROR_NOT_SUPPORTED, "attribute %d is not emulated", attribute);
    if (value < 0 || value > shared_limit_of_device())
        return misuse(CUDA_ERROR_INVALID_VALUE, "%s: %d bytes of dynamic shared memory, and the device has %d",
                      function->name.c_str(), value, shared_limit_of_device());
    function->shared_limit = value;
    return CUDA_SUCCESS;
}

FAKE_EXPORT CUresult cuLaunchKernel(CUfunction function_handle, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                                    unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                                    CUstream stream_handle, void **params, void **extra)
{
    FAKE_ENTER(CONTEXT);
    CUfunction function = use(function_handle, FUNCTION);
    CUstream stream = use_stream(stream_handle);
    if (!function || !stream)
        return CUDA_ERROR_INVALID_HANDLE;
    list_detail(function->name);
    Launch launch = {{grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes};
    if (!is_valid(launch, function))
        return CUDA_ERROR_INVALID_VALUE;
    if (!function->kernel || extra)
        return CUDA_ERROR_NOT_SUPPORTED;
    auto parameters = std::make_shared<Parameters>(take_parameters(function->kernel, params));
    return queue(stream, [=] { return run_kernel(function, launch, *parameters); });
}

/* ---- Tensor maps ---- */

namespace fake
{

namespace
{

struct Tensor {
    CUtensorMapDataType type;
    uint32_t rank;
    CUdeviceptr address;
    const uint64_t *sizes, *strides;
    const uint32_t *box, *element_strides;
    CUtensorMapSwizzle swizzle;
    bool fill_nan;
};

size_t element_size(CUtensorMapDataType type)
{
    switch (type) {
    case CU_TENSOR_MAP_DATA_TYPE_UINT8:
        return 1;
    case CU_TENSOR_MAP_DATA_TYPE_UINT16:
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT16:
        return 2;
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT32:
        return 4;
    }
    return 0;
}

size_t swizzle_span(CUtensorMapSwizzle swizzle)
{
    return swizzle == CU_TENSOR_MAP_SWIZZLE_NONE ? SIZE_MAX : (size_t)16 << swizzle;
}

/* What is wrong with one dimension; nullptr if nothing is. */
const char *dimension_error(const Tensor &t, uint32_t i)
{
    if (!t.sizes[i] || t.sizes[i] > 0xffffffff)
        return "size";
    if (i && (t.strides[i - 1] % 16 || t.strides[i - 1] >> 40))
        return "stride, which must be a multiple of 16 bytes below 2^40";
    if (!t.box[i] || t.box[i] > 256)
        return "box, which must be 1 to 256";
    if (!t.element_strides[i] || t.element_strides[i] > 8)
        return "element stride, which must be 1 to 8";
    return nullptr;
}

/* The checks of the real driver, and that all of the tensor is allocated. */
CUresult check_tensor(const Tensor &t)
{
    size_t element = element_size(t.type), bytes = element;
    if (!element || t.rank < 1 || t.rank > 5)
        return misuse(CUDA_ERROR_INVALID_VALUE, "type %d, rank %u", t.type, t.rank);
    if (t.address % 16)
        return misuse(CUDA_ERROR_INVALID_VALUE, "address %#llx is no multiple of 16", t.address);
    for (uint32_t i = 0; i < t.rank; i++) {
        if (const char *error = dimension_error(t, i))
            return misuse(CUDA_ERROR_INVALID_VALUE, "dimension %u: %s", i, error);
        bytes += (t.sizes[i] - 1) * (i ? t.strides[i - 1] : element);
    }
    if (t.box[0] * element % 16 || t.box[0] * element > swizzle_span(t.swizzle))
        return misuse(CUDA_ERROR_INVALID_VALUE, "an innermost box of %zu bytes", t.box[0] * element);
    return check_range(t.address, bytes, "tensor") ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

void encode(const Tensor &t, emu::TensorMap *map)
{
    *map = {};
    map->base = (void *)(uintptr_t)t.address;
    map->rank = (uint8_t)t.rank;
    map->element_size = (uint8_t)element_size(t.type);
    map->swizzle = (uint8_t)t.swizzle;
    map->fill_nan = t.fill_nan;
    for (uint32_t i = 0; i < t.rank; i++) {
        map->stride[i] = i ? t.strides[i - 1] : map->element_size;
        map->size[i] = (uint32_t)t.sizes[i];
        map->box[i] = (uint16_t)t.box[i];
    }
}

bool is_emulated(const Tensor &t)
{
    for (uint32_t i = 0; i < t.rank; i++)
        if (t.element_strides[i] != 1)
            return false;
    return t.swizzle >= CU_TENSOR_MAP_SWIZZLE_NONE && t.swizzle <= CU_TENSOR_MAP_SWIZZLE_128B;
}

} // namespace
} // namespace fake

FAKE_EXPORT CUresult cuTensorMapEncodeTiled(CUtensorMap *map, CUtensorMapDataType type, uint32_t rank, void *address,
                                            const uint64_t *sizes, const uint64_t *strides, const uint32_t *box,
                                            const uint32_t *element_strides, CUtensorMapInterleave interleave,
                                            CUtensorMapSwizzle swizzle, CUtensorMapL2promotion,
                                            CUtensorMapFloatOOBfill fill)
{
    FAKE_ENTER(CONTEXT);
    Tensor tensor = {type,
                     rank,
                     (CUdeviceptr)(uintptr_t)address,
                     sizes,
                     strides,
                     box,
                     element_strides,
                     swizzle,
                     fill != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE};
    if (settings().sm < 90)
        return misuse(CUDA_ERROR_NOT_SUPPORTED, "tensor maps need sm_90");
    if ((uintptr_t)map % 64)
        return misuse(CUDA_ERROR_INVALID_VALUE, "the tensor map lies at %p, which is no multiple of 64", (void *)map);
    if (CUresult error = check_tensor(tensor))
        return error;
    if (interleave != CU_TENSOR_MAP_INTERLEAVE_NONE || !is_emulated(tensor))
        return misuse(CUDA_ERROR_NOT_SUPPORTED, "this interleave, swizzle or element stride is not emulated");
    encode(tensor, (emu::TensorMap *)map);
    return CUDA_SUCCESS;
}
