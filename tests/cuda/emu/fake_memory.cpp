/*
 * The fake driver: memory of the device and pinned memory of the host.
 *
 * An allocation ends, rounded up to ALIGNMENT, at a page that is never accessible. In the build with the address
 * sanitizer it ends at its very last byte.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "tests/cuda/emu/emu.h"
#include "tests/cuda/emu/fake_cuda.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define POISON(address, bytes)   __asan_poison_memory_region((void *)(address), bytes)
#define UNPOISON(address, bytes) __asan_unpoison_memory_region((void *)(address), bytes)
#else
#define POISON(address, bytes)   ((void)0)
#define UNPOISON(address, bytes) ((void)0)
#endif

namespace fake
{

namespace
{

const size_t ALIGNMENT = 512;     /* as the real driver */
const unsigned char FRESH = 0xff; /* NaN as fp16 and as fp32 */
const unsigned char BEHIND = 0xa5;

struct Allocation {
    CUdeviceptr start;
    size_t size;
    char *pages; /* what is made accessible, followed by the guard page */
    size_t pages_size;
    CUcontext context;
    unsigned number;
    bool live, returned;
};

struct Pinned {
    size_t size;
    unsigned number;
    bool returned;
};

auto &allocations = *new std::map<CUdeviceptr, Allocation>(); /* also those that were freed */
auto &pinned = *new std::map<const char *, Pinned>();
size_t used, peak;
unsigned pinned_count;
int accessible;

size_t round_up(size_t value, size_t unit)
{
    return (value + unit - 1) / unit * unit;
}

size_t page_size()
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* The allocation, live or freed, that an address lies in or a little behind; nullptr if there is none. */
Allocation *allocation_of(CUdeviceptr address)
{
    auto after = allocations.upper_bound(address);
    if (after == allocations.begin())
        return nullptr;
    Allocation &a = std::prev(after)->second;
    return address < (CUdeviceptr)(a.pages + a.pages_size + page_size()) ? &a : nullptr;
}

void set_access(const Allocation &a, bool access)
{
    if (mprotect(a.pages, a.pages_size, access ? PROT_READ | PROT_WRITE : PROT_NONE) != 0)
        abort();
    POISON(a.pages, a.pages_size);
    if (access)
        UNPOISON(a.start, a.size);
}

/* ---- Faults ---- */

#ifdef __SANITIZE_ADDRESS__
/* The sanitizer explains faults itself. */
void catch_faults()
{
}
#else
struct sigaction previous_action;

/* Says whose mistake a fault in device memory is; then the process ends as it would have. */
void on_fault(int, siginfo_t *info, void *)
{
    CUdeviceptr address = (CUdeviceptr)(uintptr_t)info->si_addr;
    const Allocation *a = allocation_of(address);
    if (a) {
        char text[300];
        const char *who = accessible ? (running_kernel ? running_kernel : "device work") : "the host";
        long long behind = (long long)(address - a->start) - (long long)a->size;
        int length = snprintf(text, sizeof(text), "fake CUDA: %s accesses %s allocation %u of %zu bytes at byte %lld\n",
                              who, a->live ? (behind >= 0 ? "memory behind" : "device memory of") : "freed", a->number,
                              a->size, (long long)(address - a->start));
        if (write(STDERR_FILENO, text, (size_t)length) < 0)
            _exit(139);
    }
    sigaction(SIGSEGV, &previous_action, nullptr);
}

void catch_faults()
{
    static bool done;
    if (done)
        return;
    done = true;
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigaction(SIGSEGV, &action, &previous_action);
}
#endif

/* ---- Allocation ---- */

bool fits(size_t bytes)
{
    size_t limit = settings().memory, whole = round_up(bytes, ALIGNMENT);
    return bytes <= limit && whole <= limit && used <= limit - whole;
}

CUresult allocate(CUdeviceptr *address, size_t bytes)
{
    static unsigned count;
    if (!address || !bytes)
        return misuse(CUDA_ERROR_INVALID_VALUE, "allocation of %zu bytes", bytes);
    if (!fits(bytes))
        return CUDA_ERROR_OUT_OF_MEMORY;
    size_t page = page_size(), whole = round_up(bytes, ALIGNMENT), pages = round_up(whole, page);
    char *area = (char *)mmap(nullptr, pages + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED)
        return CUDA_ERROR_OUT_OF_MEMORY;
    catch_faults();
    Allocation a = {};
    a.pages = area + page;
    a.pages_size = pages;
    a.start = (CUdeviceptr)(uintptr_t)(a.pages + pages - whole);
    a.size = bytes;
    a.context = current_context();
    a.number = ++count;
    a.live = true;
    set_access(a, true);
    memset((void *)(uintptr_t)a.start, FRESH, bytes);
    UNPOISON(a.pages, a.pages_size);
    memset((char *)(uintptr_t)a.start + bytes, BEHIND, whole - bytes);
    set_access(a, accessible > 0);
    used += whole;
    peak = used > peak ? used : peak;
    allocations[a.start] = a;
    *address = a.start;
    return CUDA_SUCCESS;
}

/* What lies between the end and the guard page must be as it was. */
void check_behind(const Allocation &a)
{
    const unsigned char *behind = (const unsigned char *)(uintptr_t)(a.start + a.size);
    size_t bytes = (size_t)((unsigned char *)a.pages + a.pages_size - behind);
    for (size_t i = 0; i < bytes; i++)
        if (behind[i] != BEHIND) {
            misuse(0, "something wrote %zu bytes behind the end of allocation %u of %zu bytes", i, a.number, a.size);
            return;
        }
}

void release(Allocation &a)
{
    set_access(a, true);
    UNPOISON(a.pages, a.pages_size);
    check_behind(a);
    a.live = false;
    a.returned = true;
    used -= round_up(a.size, ALIGNMENT);
    POISON(a.pages, a.pages_size);
    /* The memory is given back, the addresses stay taken. */
    if (mmap(a.pages, a.pages_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) !=
        a.pages)
        abort();
}

Allocation *allocation_at(CUdeviceptr address)
{
    auto found = allocations.find(address);
    return found == allocations.end() ? nullptr : &found->second;
}

void give_back_memory(CUdeviceptr address)
{
    if (Allocation *a = allocation_at(address))
        a->returned = true;
}

void give_back_pinned(const void *memory)
{
    auto block = pinned.find((const char *)memory);
    if (block != pinned.end())
        block->second.returned = true;
}

/* The pinned block that an address lies in. */
std::map<const char *, Pinned>::iterator pinned_block(const void *address)
{
    auto after = pinned.upper_bound((const char *)address);
    if (after == pinned.begin())
        return pinned.end();
    auto block = std::prev(after);
    return (const char *)address < block->first + block->second.size ? block : pinned.end();
}

} // namespace

Accessible::~Accessible()
{
    /* Where nothing is computed nobody is looked at, and closing it every time takes longer than all else. */
    if (--accessible == 0 && !lists_work())
        for (auto &entry : allocations)
            if (entry.second.live)
                set_access(entry.second, false);
}

bool check_range(CUdeviceptr address, size_t bytes, const char *what)
{
    const Allocation *a = allocation_of(address);
    if (!a || (!a->live && address >= a->start + a->size))
        misuse(0, "%s: %#llx is no device memory", what, address);
    else if (!a->live)
        misuse(0, "%s: allocation %u is used after it was freed", what, a->number);
    else if (address - a->start > a->size || bytes > a->size - (address - a->start))
        misuse(0, "%s: bytes %llu to %llu of allocation %u, which has %zu bytes", what, address - a->start,
               address - a->start + bytes, a->number, a->size);
    else
        return true;
    return false;
}

/* The allocation, or the pinned block, that a kernel may access around an address. */
static bool find_memory(uint64_t address, uint64_t *first, uint64_t *end)
{
    const Allocation *a = allocation_of(address);
    const auto block = pinned_block((const void *)(uintptr_t)address);
    const bool on_host = block != pinned.end();
    if (!on_host && (!a || !a->live || address - a->start >= a->size))
        return false;
    *first = on_host ? (uint64_t)(uintptr_t)block->first : a->start;
    *end = *first + (on_host ? block->second.size : a->size);
    return true;
}

Accessible::Accessible()
{
    emu::find_memory = find_memory;
    if (accessible++ == 0)
        for (auto &entry : allocations)
            if (entry.second.live)
                set_access(entry.second, true);
}

bool is_device_address(CUdeviceptr address)
{
    const Allocation *a = allocation_of(address);
    return a && address <= a->start + a->size;
}

bool is_pinned(const void *address)
{
    return pinned_block(address) != pinned.end();
}

size_t peak_memory()
{
    return peak;
}

void report_memory_leaks(const std::function<void(const std::string &)> &leak)
{
    for (auto &entry : allocations)
        if (!entry.second.returned)
            leak("device memory, allocation " + std::to_string(entry.second.number) + " of " +
                 std::to_string(entry.second.size) + " bytes");
    for (auto &entry : pinned)
        if (!entry.second.returned)
            leak("pinned memory, block " + std::to_string(entry.second.number) + " of " +
                 std::to_string(entry.second.size) + " bytes");
}

/* The memory is gone with its context, but it stays a leak. */
void release_memory_of(CUcontext context)
{
    for (auto &entry : allocations)
        if (entry.second.live && entry.second.context == context) {
            bool returned = entry.second.returned;
            release(entry.second);
            entry.second.returned = returned;
        }
}

/* ---- Copies ---- */

namespace
{

/* One side of a copy: rows of bytes in memory of the host or the device. */
struct Side {
    bool device;
    char *start;
    size_t pitch;
};

struct Copy {
    Side to, from;
    size_t width, height; /* bytes, rows */
};

size_t extent(const Side &side, const Copy &copy)
{
    return (copy.height - 1) * side.pitch + copy.width;
}

/* Whether both sides are there in full. */
bool check_side(const Side &side, const Copy &copy, const char *what)
{
    size_t bytes = extent(side, copy);
    if (side.pitch < copy.width && copy.height > 1) {
        misuse(0, "%s: rows of %zu bytes are %zu bytes apart", what, copy.width, side.pitch);
        return false;
    }
    if (side.device) {
        CUdeviceptr address = (CUdeviceptr)(uintptr_t)side.start;
        if (!check_range(address, bytes, what))
            return false;
        const Allocation *a = allocation_of(address);
        if (a->context != current_context() && current_context())
            misuse(0, "%s: allocation %u belongs to another context than the current one", what, a->number);
        return true;
    }
    auto block = pinned_block(side.start);
    if (is_device_address((CUdeviceptr)(uintptr_t)side.start) || !side.start)
        misuse(0, "%s: %p is no memory of the host", what, side.start);
    else if (block != pinned.end() && side.start + bytes > block->first + block->second.size)
        misuse(0, "%s: %zu bytes reach over the end of pinned block %u of %zu bytes", what, bytes, block->second.number,
               block->second.size);
    else
        return true;
    return false;
}

bool overlap(const Copy &copy)
{
    return copy.to.start < copy.from.start + extent(copy.from, copy) &&
           copy.from.start < copy.to.start + extent(copy.to, copy);
}

void copy_rows(const Copy &copy)
{
    for (size_t y = 0; y < copy.height; y++)
        memcpy(copy.to.start + y * copy.to.pitch, copy.from.start + y * copy.from.pitch, copy.width);
}

/* The memory is looked at again when its turn has come: it may have been freed in between. */
CUresult run_copy(const Copy &copy)
{
    if ((copy.to.device && !check_range((CUdeviceptr)(uintptr_t)copy.to.start, extent(copy.to, copy), "target")) ||
        (copy.from.device && !check_range((CUdeviceptr)(uintptr_t)copy.from.start, extent(copy.from, copy), "source")))
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    copy_rows(copy);
    return CUDA_SUCCESS;
}

/* As the real driver: pinned memory is read and written when the copy's turn has come; pageable memory is read before
 * the call returns, and has been written when it does. */
CUresult copy_async(const Copy &copy, CUstream handle)
{
    CUstream stream = use_stream(handle);
    if (!stream)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!copy.width || !copy.height)
        return CUDA_SUCCESS;
    if (!check_side(copy.to, copy, "target") || !check_side(copy.from, copy, "source"))
        return CUDA_ERROR_INVALID_VALUE;
    if (copy.to.device && copy.from.device && overlap(copy))
        return misuse(CUDA_ERROR_INVALID_VALUE, "source and target overlap");
    bool pageable_source = !copy.from.device && !is_pinned(copy.from.start);
    bool pageable_target = !copy.to.device && !is_pinned(copy.to.start);
    if ((pageable_source || pageable_target) && is_captured(stream))
        return misuse(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "pageable memory in a capture");
    if (!pageable_source) {
        CUresult error = queue(stream, [copy] { return run_copy(copy); });
        return error || !pageable_target ? error : finish(stream);
    }
    auto rows = std::make_shared<std::vector<char>>(copy.width * copy.height);
    Copy staged = copy;
    staged.from = {false, rows->data(), copy.width};
    Copy staging = copy;
    staging.to = staged.from;
    copy_rows(staging);
    CUresult error = queue(stream, [staged, rows] { return run_copy(staged); });
    return error || !pageable_target ? error : finish(stream);
}

/* Synchronous copies use the default stream and wait for it. */
CUresult copy_sync(const Copy &copy)
{
    CUresult error = copy_async(copy, nullptr);
    return error ? error : finish(use_stream(nullptr));
}

Side device_side(CUdeviceptr address)
{
    return {true, (char *)(uintptr_t)address, 0};
}

Side host_side(const void *address)
{
    return {false, (char *)address, 0};
}

/* An address that says itself what it is. */
Side unified_side(CUdeviceptr address)
{
    return is_device_address(address) ? device_side(address) : host_side((const void *)(uintptr_t)address);
}

bool side_of(CUmemorytype type, const void *host, CUdeviceptr device, size_t x, size_t y, size_t pitch, Side *side)
{
    if (type == CU_MEMORYTYPE_HOST)
        *side = host_side(host);
    else if (type == CU_MEMORYTYPE_DEVICE)
        *side = device_side(device);
    else if (type == CU_MEMORYTYPE_UNIFIED)
        *side = unified_side(device);
    else
        return false;
    side->start += y * pitch + x;
    side->pitch = pitch;
    return true;
}

bool copy_of(const CUDA_MEMCPY2D *c, Copy *copy)
{
    copy->width = c->WidthInBytes;
    copy->height = c->Height;
    return side_of(c->dstMemoryType, c->dstHost, c->dstDevice, c->dstXInBytes, c->dstY, c->dstPitch, &copy->to) &&
           side_of(c->srcMemoryType, c->srcHost, c->srcDevice, c->srcXInBytes, c->srcY, c->srcPitch, &copy->from);
}

} // namespace
} // namespace fake

using namespace fake;

bool fake_cuda_check(const void *memory, size_t bytes, const char *what)
{
    std::lock_guard<std::recursive_mutex> lock(fake::mutex);
    return check_range((CUdeviceptr)(uintptr_t)memory, bytes, what);
}

FAKE_EXPORT CUresult cuMemGetInfo_v2(size_t *available, size_t *total)
{
    FAKE_ENTER(CONTEXT);
    *total = settings().memory;
    *available = settings().memory - used;
    return CUDA_SUCCESS;
}

FAKE_EXPORT CUresult cuMemAlloc_v2(CUdeviceptr *memory, size_t bytes)
{
    FAKE_ENTER(CONTEXT | UNSAFE);
    return allocate(memory, bytes);
}

FAKE_EXPORT CUresult cuMemAllocPitch_v2(CUdeviceptr *memory, size_t *pitch, size_t width, size_t height, unsigned)
{
    FAKE_ENTER(CONTEXT | UNSAFE);
    *pitch = round_up(width, ALIGNMENT);
    return allocate(memory, *pitch * height);
}

/* Waits for the device first, as the real driver does. */
FAKE_EXPORT CUresult cuMemFree_v2(CUdeviceptr memory)
{
    FAKE_ENTER_RELEASE(CONTEXT | UNSAFE, give_back_memory(memory));
    if (!memory)
        return CUDA_SUCCESS;
    Allocation *a = allocation_at(memory);
    if (!a)
        return misuse(CUDA_ERROR_INVALID_VALUE, "%#llx is no allocation", memory);
    if (!a->live)
        return misuse(CUDA_ERROR_INVALID_VALUE, "allocation %u is freed twice", a->number);
    if (a->context != current_context())
        misuse(0, "allocation %u belongs to another context than the current one", a->number);
    a->returned = true;
    CUresult error = finish_all(a->context);
    release(*a);
    return error;
}

FAKE_EXPORT CUresult cuMemHostAlloc(void **memory, size_t bytes, unsigned)
{
    FAKE_ENTER(CONTEXT | UNSAFE);
    if (!bytes)
        return misuse(CUDA_ERROR_INVALID_VALUE, "allocation of no bytes");
    if (posix_memalign(memory, page_size(), bytes) != 0)
        return CUDA_ERROR_OUT_OF_MEMORY;
    memset(*memory, FRESH, bytes);
    pinned[(const char *)*memory] = {bytes, ++pinned_count, false};
    return CUDA_SUCCESS;
}

FAKE_EXPORT CUresult cuMemFreeHost(void *memory)
{
    FAKE_ENTER_RELEASE(CONTEXT | UNSAFE, give_back_pinned(memory));
    auto block = pinned.find((const char *)memory);
    if (block == pinned.end())
        return misuse(CUDA_ERROR_INVALID_VALUE, "%p is no pinned memory", memory);
    CUresult error = finish_all(current_context());
    pinned.erase(block);
    free(memory);
    return error;
}

FAKE_EXPORT CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t bytes)
{
    FAKE_ENTER(CONTEXT | UNSAFE);
    return copy_sync({device_side(to), host_side(from), bytes, 1});
}

FAKE_EXPORT CUresult cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes)
{
    FAKE_ENTER(CONTEXT | UNSAFE);
    return copy_sync({host_side(to), device_side(from), bytes, 1});
}

FAKE_EXPORT CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes)
{
    FAKE_ENTER(CONTEXT | UNSAFE);
    return copy_sync({device_side(to), device_side(from), bytes, 1});
}

FAKE_EXPORT CUresult cuMemcpy(CUdeviceptr to, CUdeviceptr from, size_t bytes)
{
    FAKE_ENTER(CONTEXT | UNSAFE);
    return copy_sync({unified_side(to), unified_side(from), bytes, 1});
}

FAKE_EXPORT CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    FAKE_ENTER(CONTEXT);
    return copy_async({unified_side(to), unified_side(from), bytes, 1}, stream);
}

FAKE_EXPORT CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream)
{
    FAKE_ENTER(CONTEXT);
    return copy_async({device_side(to), host_side(from), bytes, 1}, stream);
}

FAKE_EXPORT CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    FAKE_ENTER(CONTEXT);
    return copy_async({host_side(to), device_side(from), bytes, 1}, stream);
}

FAKE_EXPORT CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    FAKE_ENTER(CONTEXT);
    return copy_async({device_side(to), device_side(from), bytes, 1}, stream);
}

FAKE_EXPORT CUresult cuMemcpy2D_v2(const CUDA_MEMCPY2D *c)
{
    FAKE_ENTER(CONTEXT | UNSAFE);
    Copy copy;
    return copy_of(c, &copy) ? copy_sync(copy) : misuse(CUDA_ERROR_NOT_SUPPORTED, "arrays are not emulated");
}

FAKE_EXPORT CUresult cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D *c, CUstream stream)
{
    FAKE_ENTER(CONTEXT);
    Copy copy;
    return copy_of(c, &copy) ? copy_async(copy, stream) : misuse(CUDA_ERROR_NOT_SUPPORTED, "arrays are not emulated");
}
