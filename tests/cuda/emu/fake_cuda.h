/*
 * A libcuda.so.1 for machines without a GPU. Device memory is memory of this process, kernels run in the emulator
 * (emu.h), and the driver is as unfriendly as the API allows:
 *
 *   - Device memory is inaccessible except while device work runs, is filled with NaNs, ends at a guard page and is
 *     never used again after it was freed.
 *   - Work on streams is put off until somebody waits for it. FAKE_CUDA_STREAMS=eager: it runs at once.
 *   - Every handle, range and context is checked; what is wrong is printed, kept for the report, and the call fails.
 *
 * Environment, read at the first call:
 *
 *   FAKE_CUDA_SM=80            compute capability; 75 to 120
 *
 *   FAKE_CUDA_DRIVER=12.0      version of the driver as CUDA counts: 12.0 is 525, 12.2 is 535, 12.4 is 550, 12.8
 *                              is 570, 13.0 is 580. The default is 12.0 up to sm_90, 12.8 from sm_100 on
 *
 *   FAKE_CUDA_DEVICES=1        how many GPUs
 *
 *   FAKE_CUDA_MEMORY=bytes     memory of the device (16 GiB)
 *
 *   FAKE_CUDA_STREAMS=eager
 *
 *   FAKE_CUDA_FAIL=function:nth:code[:sticky]   call nth (from 1) of a function, named without _v2, gives this error
 *                              number; sticky: the device is lost, and later calls give it too
 *
 *   FAKE_CUDA_WORK=path        kernels are not run, but their work is listed in the file: see fake_work.cpp
 *
 *   FAKE_CUDA_CALLS=path       the calls of the driver, one a line, in their order; behind cuEventRecord and
 *                              cuEventSynchronize the number of the event, behind cuLaunchKernel the kernel
 *
 *   FAKE_CUDA_REPORT=path      lines that are appended to the file at the end of the process: "misuse ...",
 *                              "leak ...", "calls FUNCTION COUNT", "launches KERNEL COUNT", "device NUMBER LAUNCHES",
 *                              "memory PEAK" and finally "end"
 *
 * One lock guards everything; device work runs while it is held, in the thread that waits.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_EMU_FAKE_CUDA_H
#define SBV_TESTS_EMU_FAKE_CUDA_H

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "kernels/cuda/driver.h"

#define FAKE_EXPORT extern "C" __attribute__((visibility("default")))

/* What the library does not need the names of. */
enum { CUDA_ERROR_ILLEGAL_STATE = 401 };

namespace fake
{

/* ---- Calls, misuse and faults: fake_faults.cpp ---- */

/* What a call needs. */
enum Need {
    NOTHING = 0,      /* not even cuInit */
    INIT = 1,         /* cuInit */
    CONTEXT = 2 | 1,  /* and a current context */
    UNSAFE = 4,       /* must not be made while a stream is captured, see cuThreadExchangeStreamCaptureMode */
    SURVIVES_LOSS = 8 /* works on a lost device */
};

/* Counts the call, and says why it cannot be made, CUDA_SUCCESS if it can. */
CUresult enter(const char *function, int need);

#define FAKE_ENTER(need)                                                                                               \
    std::lock_guard<std::recursive_mutex> lock(fake::mutex);                                                           \
    if (CUresult error = fake::enter(__func__, need))                                                                  \
    return error

/* The same for a call that gives something back: where it fails, `after` runs, so that what the caller tried to give
 * back does not count as a leak. */
#define FAKE_ENTER_RELEASE(need, after)                                                                                \
    std::lock_guard<std::recursive_mutex> lock(fake::mutex);                                                           \
    if (CUresult error = fake::enter(__func__, need)) {                                                                \
        after;                                                                                                         \
        return error;                                                                                                  \
    }

/* Keeps and prints a mistake of the caller, and returns `error`. */
CUresult misuse(CUresult error, const char *format, ...) __attribute__((format(printf, 2, 3)));

void count_launch(const char *kernel, CUdevice device);

/* Puts something behind the call in the list of FAKE_CUDA_CALLS. */
void list_detail(const std::string &detail);

const int MAX_DEVICES = 16;

struct Settings {
    int sm, devices;
    int driver; /* 12020 for CUDA 12.2 */
    size_t memory;
    bool eager;
};
const Settings &settings();

extern std::recursive_mutex mutex;
extern CUresult lost; /* what every call gives once the device is lost */

/* ---- Handles ---- */

enum Kind { CONTEXT_OBJECT, STREAM, EVENT, MODULE, FUNCTION, GRAPH, EXECUTABLE, TEXTURE };

/* What a handle points at. Objects are never deleted, so that a handle used too late is recognized. */
struct Object {
    Kind kind;
    CUcontext context;
    bool live = true;
    bool returned = false; /* the caller gave it back, or tried to */
    unsigned number;       /* of its kind, from 1 */
};

/* Enters a new object, to be reported as a leak if it is never given back. */
template <class T> T *make(Kind kind, CUcontext context);
void enter_object(Object *object, Kind kind, CUcontext context);

/* The object of a handle, whatever its state, or nullptr. */
Object *find_object(const void *handle, Kind kind);

/* The live object of a handle in the current context; nullptr, after a report, if it is not one. */
Object *use_object(const void *handle, Kind kind);

void give_back(const void *handle, Kind kind);

/* What happens to the objects of a context that is destroyed. They stay leaks. */
void destroy_objects_of(CUcontext context);
const char *kind_name(Kind kind);

template <class T> T *make(Kind kind, CUcontext context)
{
    T *object = new T();
    enter_object(object, kind, context);
    return object;
}

template <class T> T *use(T *handle, Kind kind)
{
    return static_cast<T *>(use_object(handle, kind));
}

/* ---- Contexts: fake_cuda.cpp ---- */

CUcontext current_context();     /* of this thread, nullptr if there is none */
int attribute_of(int attribute); /* of the device; -1 for one that is not emulated */
int retained_contexts();         /* references to the primary context */

/* ---- Memory: fake_memory.cpp ---- */

/* Device memory can be accessed while one of these exists. */
struct Accessible {
    Accessible();
    ~Accessible();
    Accessible(const Accessible &) = delete;
};

/* Whether these bytes are live device memory; if not, that is reported. */
bool check_range(CUdeviceptr address, size_t bytes, const char *what);

/* Whether an address lies in memory of the device, now or formerly. */
bool is_device_address(CUdeviceptr address);
bool is_pinned(const void *address);

size_t peak_memory();
void report_memory_leaks(const std::function<void(const std::string &)> &leak);
void release_memory_of(CUcontext context);

/* ---- Streams: fake_streams.cpp ---- */

using Work = std::function<CUresult()>;

/* The stream of a handle, NULL being the default stream of the current context; nullptr after a report. */
CUstream use_stream(CUstream handle);

/* Queues work in a stream, or adds it to the graph that is being captured. The device memory that it uses is accessible
 * to it. */
CUresult queue(CUstream stream, Work work);
bool is_captured(CUstream stream);

/* Runs everything queued in a stream, or in all of a context. */
CUresult finish(CUstream stream);
CUresult finish_all(CUcontext context);

/* Fails, and spoils the capture, where a call is made that must not be made during one. */
CUresult check_no_capture();

CUstream make_default_stream(CUcontext context);
void forget_streams_of(CUcontext context);

/* ---- Images: fake_images.cpp ---- */

/* The names of the kernels that the device gets out of an image, or why it gets none. */
CUresult read_image(const void *image, std::set<std::string> *kernels);

/* ---- Work: fake_work.cpp ---- */

/* Enters a launch, with its first parameter, in the list of work, and says so where launches are to be listed alone. */
bool list_work(const char *kernel, void *const *parameters, int count);
bool lists_work();

/* ---- Modules: fake_modules.cpp ---- */

/* Name of the kernel that runs, for messages. */
extern const char *running_kernel;

} // namespace fake

/* Handles of the API. */
struct CUctx_st : fake::Object {
    bool primary = false;
    CUdevice device = 0;
    CUstream default_stream = nullptr;
};

/* For fake_cublas.cpp: whether a call can be made, work in a stream of the current context, a range of device memory,
 * and handles made (1) and destroyed (-1). */
#define FAKE_SHARED __attribute__((visibility("default")))
FAKE_SHARED CUresult fake_cuda_enter(const char *function);
FAKE_SHARED CUresult fake_cuda_queue(CUstream stream, fake::Work work);
FAKE_SHARED bool fake_cuda_check(const void *memory, size_t bytes, const char *what);
FAKE_SHARED void fake_cuda_count_handle(int change);
FAKE_SHARED CUresult fake_cuda_allocation(); /* allocates something, which must not be during a capture */

#endif /* SBV_TESTS_EMU_FAKE_CUDA_H */
