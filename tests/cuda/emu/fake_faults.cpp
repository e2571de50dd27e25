/*
 * The fake driver: settings, injected faults, what callers did wrong, and the report at the end.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "tests/cuda/emu/fake_cuda.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unordered_map>

namespace fake
{

std::recursive_mutex mutex;
CUresult lost = CUDA_SUCCESS;

namespace
{

struct Fault {
    std::string function;
    long call = 0;
    CUresult code = CUDA_SUCCESS;
    bool sticky = false;
};

/* Never destroyed, as everything that the report and late calls need. */
struct Book {
    std::map<std::string, long> calls, launches;
    std::map<CUdevice, long> devices; /* launches on each */
    std::vector<std::string> misuses;
    std::unordered_map<const void *, Object *> objects;
    std::map<Kind, unsigned> numbers;
    Settings settings;
    Fault fault;
    FILE *list = nullptr; /* of calls */
    bool initialized = false;
    int blas_handles = 0;
};

[[noreturn]] void bad_setting(const char *name, const char *value)
{
    fprintf(stderr, "fake CUDA: %s=%s makes no sense\n", name, value);
    abort();
}

long long number_of(const char *name, long long fallback, long long lowest)
{
    const char *text = getenv(name);
    if (!text)
        return fallback;
    char *end;
    long long value = strtoll(text, &end, 0);
    if (end == text || *end || value < lowest)
        bad_setting(name, text);
    return value;
}

Fault read_fault()
{
    Fault fault;
    const char *text = getenv("FAKE_CUDA_FAIL");
    if (!text || !*text)
        return fault;
    char function[64], sticky[16] = "";
    int count = sscanf(text, "%63[^:]:%ld:%d:%15s", function, &fault.call, &fault.code, sticky);
    if (count < 3 || fault.call < 1 || fault.code < 1 || (count == 4 && strcmp(sticky, "sticky") != 0))
        bad_setting("FAKE_CUDA_FAIL", text);
    fault.function = function;
    fault.sticky = count == 4;
    return fault;
}

/* "12.2" is 12020, as cuDriverGetVersion says it. */
int read_driver(int sm)
{
    int major, minor;
    char rest;
    const char *text = getenv("FAKE_CUDA_DRIVER");
    if (!text)
        return sm < 100 ? 12000 : 12080;
    if (sscanf(text, "%d.%d%c", &major, &minor, &rest) != 2 || major < 11 || minor < 0 || minor > 9)
        bad_setting("FAKE_CUDA_DRIVER", text);
    return 1000 * major + 10 * minor;
}

Book *read_book()
{
    Book *book = new Book();
    const char *streams = getenv("FAKE_CUDA_STREAMS");
    if (streams && strcmp(streams, "eager") != 0 && strcmp(streams, "lazy") != 0)
        bad_setting("FAKE_CUDA_STREAMS", streams);
    book->settings.eager = streams && strcmp(streams, "eager") == 0;
    book->settings.sm = (int)number_of("FAKE_CUDA_SM", 80, 30);
    book->settings.devices = (int)number_of("FAKE_CUDA_DEVICES", 1, 0);
    if (book->settings.devices > MAX_DEVICES)
        bad_setting("FAKE_CUDA_DEVICES", getenv("FAKE_CUDA_DEVICES"));
    book->settings.driver = read_driver(book->settings.sm);
    book->settings.memory = (size_t)number_of("FAKE_CUDA_MEMORY", 16LL << 30, 0);
    book->fault = read_fault();
    if (const char *path = getenv("FAKE_CUDA_CALLS"))
        if (!(book->list = fopen(path, "w")))
            bad_setting("FAKE_CUDA_CALLS", path);
    return book;
}

Book &book()
{
    static Book *const instance = read_book();
    return *instance;
}

/* "cuMemAlloc_v2" is known as cuMemAlloc. */
std::string plain_name(const char *function)
{
    std::string name = function;
    size_t underscore = name.rfind("_v");
    return underscore == std::string::npos ? name : name.substr(0, underscore);
}

thread_local char calling[64]; /* no object: it must outlive what is destroyed at the end of a thread */

} // namespace

const Settings &settings()
{
    return book().settings;
}

CUresult enter(const char *function, int need)
{
    Book &b = book();
    std::string name = plain_name(function);
    snprintf(calling, sizeof(calling), "%s", name.c_str());
    long call = ++b.calls[name];
    if (b.list)
        fprintf(b.list, "\n%s", name.c_str());
    if (b.fault.call == call && b.fault.function == name) {
        if (b.fault.sticky)
            lost = b.fault.code;
        return b.fault.code;
    }
    if (lost && !(need & SURVIVES_LOSS))
        return lost;
    if (name == "cuInit")
        b.initialized = true;
    if ((need & INIT) && !b.initialized)
        return misuse(CUDA_ERROR_NOT_INITIALIZED, "called before cuInit");
    if ((need & CONTEXT) == CONTEXT && !current_context())
        return misuse(CUDA_ERROR_INVALID_CONTEXT, "no current context");
    if ((need & CONTEXT) == CONTEXT && !current_context()->live)
        return misuse(CUDA_ERROR_CONTEXT_IS_DESTROYED, "the current context has been destroyed");
    return need & UNSAFE ? check_no_capture() : CUDA_SUCCESS;
}

CUresult misuse(CUresult error, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    std::string line = std::string(calling) + ": " + text;
    fprintf(stderr, "fake CUDA: %s\n", line.c_str());
    book().misuses.push_back(line);
    return error;
}

void list_detail(const std::string &detail)
{
    if (book().list)
        fprintf(book().list, " %s", detail.c_str());
}

void count_launch(const char *kernel, CUdevice device)
{
    book().devices[device]++;
    book().launches[kernel]++;
}

/* ---- Handles ---- */

const char *kind_name(Kind kind)
{
    static const char *const names[] = {"context", "stream",           "event",  "module", "function",
                                        "graph",   "executable graph", "texture"};
    return names[kind];
}

void enter_object(Object *object, Kind kind, CUcontext context)
{
    object->kind = kind;
    object->context = context;
    object->number = ++book().numbers[kind];
    book().objects[object] = object;
}

Object *find_object(const void *handle, Kind kind)
{
    auto found = book().objects.find(handle);
    return found == book().objects.end() || found->second->kind != kind ? nullptr : found->second;
}

Object *use_object(const void *handle, Kind kind)
{
    Object *object = find_object(handle, kind);
    if (!object)
        misuse(0, "%p is no %s", handle, kind_name(kind));
    else if (!object->live)
        misuse(0, "%s %u is used after it was destroyed", kind_name(kind), object->number);
    else if (object->context != current_context())
        misuse(0, "%s %u belongs to another context than the current one", kind_name(kind), object->number);
    else
        return object;
    return nullptr;
}

void give_back(const void *handle, Kind kind)
{
    if (Object *object = find_object(handle, kind))
        object->returned = true;
}

void destroy_objects_of(CUcontext context)
{
    for (auto &entry : book().objects)
        if (entry.second->context == context)
            entry.second->live = false;
}

/* ---- The report ---- */

namespace
{

std::vector<std::string> leaks()
{
    std::vector<std::string> lines;
    auto leak = [&](const std::string &what) { lines.push_back(what); };
    report_memory_leaks(leak);
    for (auto &entry : book().objects) {
        Object *object = entry.second;
        if (object->kind != FUNCTION && !object->returned)
            leak(std::string(kind_name(object->kind)) + " " + std::to_string(object->number));
    }
    if (book().blas_handles > 0)
        leak(std::to_string(book().blas_handles) + " handles of cuBLAS");
    if (retained_contexts() > 0)
        leak("primary context, retained " + std::to_string(retained_contexts()) + " times");
    return lines;
}

__attribute__((destructor)) void write_report()
{
    const char *path = getenv("FAKE_CUDA_REPORT");
    FILE *file = path ? fopen(path, "a") : nullptr;
    if (!file)
        return;
    std::lock_guard<std::recursive_mutex> lock(mutex);
    for (auto &line : book().misuses)
        fprintf(file, "misuse %s\n", line.c_str());
    for (auto &line : leaks())
        fprintf(file, "leak %s\n", line.c_str());
    for (auto &entry : book().calls)
        fprintf(file, "calls %s %ld\n", entry.first.c_str(), entry.second);
    for (auto &entry : book().launches)
        fprintf(file, "launches %s %ld\n", entry.first.c_str(), entry.second);
    for (auto &entry : book().devices)
        fprintf(file, "device %d %ld\n", entry.first, entry.second);
    fprintf(file, "memory %zu\nend\n", peak_memory());
    fclose(file);
}

} // namespace
} // namespace fake

CUresult fake_cuda_enter(const char *function)
{
    std::lock_guard<std::recursive_mutex> lock(fake::mutex);
    return fake::enter(function, fake::CONTEXT);
}

void fake_cuda_count_handle(int change)
{
    std::lock_guard<std::recursive_mutex> lock(fake::mutex);
    fake::book().blas_handles += change;
}
