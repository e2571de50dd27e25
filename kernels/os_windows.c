/*
 * Windows, 7 and later: see os.h. Names are wide characters here, UTF-8 everywhere else.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define WIN32_LEAN_AND_MEAN
#define _WIN32_WINNT 0x0602 /* LOAD_LIBRARY_SEARCH_SYSTEM32 */
#include "kernels/os.h"

#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <limits.h>
#include <locale.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <windows.h>

/* ---- Names ---- */

/* errno is EINVAL for what is no UTF-8. */
static wchar_t *wide(const char *text)
{
    const int count = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, NULL, 0);
    wchar_t *copy = count > 0 ? malloc((size_t)count * sizeof(*copy)) : NULL;
    errno = count > 0 ? ENOMEM : EINVAL;
    if (copy)
        MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, copy, count);
    return copy;
}

static char *narrow(const wchar_t *text)
{
    const int count = WideCharToMultiByte(CP_UTF8, 0, text, -1, NULL, 0, NULL, NULL);
    char *copy = count > 0 ? malloc((size_t)count) : NULL;
    if (copy)
        WideCharToMultiByte(CP_UTF8, 0, text, -1, copy, count, NULL, NULL);
    return copy;
}

/* Replaces a path of MAX_PATH characters or more by what Windows takes for one: whole, with \\?\ before it. */
static wchar_t *extended(wchar_t *path)
{
    static const wchar_t disk[] = L"\\\\?\\", share[] = L"\\\\?\\UNC";
    const DWORD room = GetFullPathNameW(path, 0, NULL, NULL);
    wchar_t *full = room ? malloc((room + sizeof(share) / sizeof(*share)) * sizeof(*full)) : NULL;
    if (full && GetFullPathNameW(path, room, full, NULL) < room && wcsncmp(full, L"\\\\?\\", 4)) {
        const int on_share = full[0] == L'\\' && full[1] == L'\\';
        const wchar_t *prefix = on_share ? share : disk;
        memmove(full + wcslen(prefix), full + on_share, (wcslen(full + on_share) + 1) * sizeof(*full));
        memcpy(full, prefix, wcslen(prefix) * sizeof(*full));
        free(path);
        return full;
    }
    free(full);
    return path;
}

/* A path for Windows, allocated. NULL: errno. */
static wchar_t *wide_path(const char *path)
{
    wchar_t *name = wide(path);
    return name && wcslen(name) >= MAX_PATH - 12 ? extended(name) : name;
}

/* ---- Files ---- */

static int open_path(const char *path, int flags)
{
    wchar_t *name = wide_path(path);
    int fd = -1;
    if (name) {
        fd = _wopen(name, flags | _O_BINARY | _O_NOINHERIT, _S_IREAD | _S_IWRITE);
        const int error = errno;
        free(name);
        errno = error;
    }
    return fd;
}

static int is_folder(const char *path)
{
    wchar_t *name = wide_path(path);
    const DWORD attributes = name ? GetFileAttributesW(name) : INVALID_FILE_ATTRIBUTES;
    free(name);
    return attributes != INVALID_FILE_ATTRIBUTES && attributes & FILE_ATTRIBUTE_DIRECTORY;
}

int sbv_os_open(const char *path, FILE **file, uint64_t *size)
{
    struct _stat64 info;
    int ret = -1, fd;
    *file = NULL;
    if (is_folder(path))
        return SBV_OS_IRREGULAR;
    if ((fd = open_path(path, _O_RDONLY)) < 0)
        return -1;
    if (!_fstat64(fd, &info))
        ret = (info.st_mode & _S_IFMT) == _S_IFREG ? 0 : SBV_OS_IRREGULAR;
    if (!ret && !(*file = _fdopen(fd, "rb")))
        ret = -1;
    if (ret) {
        const int error = errno;
        _close(fd);
        errno = error;
        return ret;
    }
    *size = (uint64_t)info.st_size;
    return 0;
}

int sbv_os_seek(FILE *file, uint64_t offset)
{
    return _fseeki64(file, (int64_t)offset, SEEK_SET) ? -1 : 0;
}

int sbv_os_create(const char *path)
{
    return open_path(path, _O_WRONLY | _O_CREAT | _O_TRUNC);
}

int sbv_os_open_for_update(const char *path)
{
    return open_path(path, _O_RDWR);
}

int sbv_os_read_at(int file, void *data, size_t bytes, uint64_t offset)
{
    if (_lseeki64(file, (int64_t)offset, SEEK_SET) < 0)
        return -1;
    for (size_t done = 0; done < bytes;) {
        const size_t left = bytes - done;
        const int step = _read(file, (char *)data + done, left < INT_MAX ? (unsigned)left : INT_MAX);
        if (!step)
            errno = 0;
        if (step <= 0)
            return -1;
        done += (size_t)step;
    }
    return 0;
}

int sbv_os_write_at(int file, const void *data, size_t bytes, uint64_t offset)
{
    if (_lseeki64(file, (int64_t)offset, SEEK_SET) < 0)
        return -1;
    for (size_t done = 0; done < bytes;) {
        const size_t left = bytes - done;
        const int step = _write(file, (const char *)data + done, left < INT_MAX ? (unsigned)left : INT_MAX);
        if (!step)
            errno = ENOSPC;
        if (step <= 0)
            return -1;
        done += (size_t)step;
    }
    return 0;
}

int sbv_os_file_size(int file, uint64_t *size)
{
    const int64_t length = _filelengthi64(file);
    if (length < 0)
        return -1;
    *size = (uint64_t)length;
    return 0;
}

int sbv_os_close(int file)
{
    return _close(file);
}

/* ---- Where the library and others lie ---- */

/* All in one folder, or installed. */
const char *const sbv_os_model_folders[] = {"", "../share/selfblindvsr", NULL};

/* The whole path of a module, NULL without memory. */
static wchar_t *module_path(HMODULE module)
{
    for (DWORD room = MAX_PATH;; room *= 2) {
        wchar_t *path = malloc(room * sizeof(*path));
        const DWORD length = path ? GetModuleFileNameW(module, path, room) : 0;
        if (length && length < room)
            return path;
        free(path);
        if (!length)
            return NULL;
    }
}

static wchar_t *own_folder(void)
{
    static const char inside;
    HMODULE module;
    wchar_t *path, *slash;
    if (!GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                            (const wchar_t *)&inside, &module))
        return NULL;
    path = module_path(module);
    slash = path ? wcsrchr(path, L'\\') : NULL;
    if (slash)
        *slash = 0;
    /* \\?\C:\folder: a slash could not be used behind that, which extended() puts there again where it has to be */
    if (path && !wcsncmp(path, L"\\\\?\\", 4) && path[4] && path[5] == L':')
        memmove(path, path + 4, (wcslen(path + 4) + 1) * sizeof(*path));
    return path;
}

char *sbv_os_own_folder(void)
{
    wchar_t *folder = own_folder();
    char *copy = folder ? narrow(folder) : NULL;
    free(folder);
    return copy;
}

int sbv_os_exists(const char *path)
{
    wchar_t *name = wide_path(path);
    const int found = name && GetFileAttributesW(name) != INVALID_FILE_ATTRIBUTES;
    free(name);
    return found;
}

/* "folder/" and a pattern, for FindFirstFileW. */
static wchar_t *all_in(const char *folder)
{
    const size_t room = strlen(folder) + sizeof("/*");
    char *pattern = malloc(room);
    wchar_t *name = NULL;
    if (pattern) {
        snprintf(pattern, room, "%s/*", folder);
        name = wide_path(pattern);
    }
    free(pattern);
    return name;
}

void sbv_os_list(const char *folder, void (*each)(void *opaque, const char *name), void *opaque)
{
    WIN32_FIND_DATAW entry;
    wchar_t *pattern = all_in(folder);
    const HANDLE names = pattern ? FindFirstFileW(pattern, &entry) : INVALID_HANDLE_VALUE;
    if (names != INVALID_HANDLE_VALUE) {
        do {
            char *name = narrow(entry.cFileName);
            if (name)
                each(opaque, name);
            free(name);
        } while (FindNextFileW(names, &entry));
        FindClose(names);
    }
    free(pattern);
}

/* ---- Libraries that are loaded when they are needed ---- */

const char sbv_os_cuda_driver[] = "nvcuda.dll";
const char *const sbv_os_cublas[] = {"cublas64_13.dll", "cublas64_12.dll", "cublas64_11.dll", NULL};
const char sbv_os_cublas_names[] = "cublas64_13.dll, _12 or _11";

/* In one line, without the full stop. */
static void explain(DWORD error, char *message, size_t size)
{
    wchar_t text[256];
    const DWORD length = FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, error, 0,
                                        text, sizeof(text) / sizeof(*text), NULL);
    char *utf8 = length ? narrow(text) : NULL;
    size_t end = utf8 ? strlen(utf8) : 0;
    while (end && strchr(" .\r\n", utf8[end - 1]))
        end--;
    if (end)
        snprintf(message, size, "%.*s (error %lu)", (int)end, utf8, (unsigned long)error);
    else
        snprintf(message, size, "error %lu", (unsigned long)error);
    free(utf8);
}

/* folder\name with the libraries that it needs, beside it or in the system's folder. */
static HMODULE load_from(const wchar_t *folder, const char *name)
{
    const size_t room = wcslen(folder) + 1 + strlen(name) + 1;
    wchar_t *path = malloc(room * sizeof(*path));
    HMODULE library = NULL;
    if (path && *folder) {
        _snwprintf(path, room, L"%ls\\%hs", folder, name);
        library = LoadLibraryExW(path, NULL, LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_SYSTEM32);
    }
    free(path);
    return library;
}

/* From the folder bin of the CUDA toolkit, or from bin\x64, where CUDA 13 has it. */
static HMODULE load_from_toolkit(const char *name)
{
    static const wchar_t *const folders[] = {L"\\bin\\x64", L"\\bin"};
    wchar_t folder[MAX_PATH];
    const DWORD length = GetEnvironmentVariableW(L"CUDA_PATH", folder, MAX_PATH - 16);
    HMODULE library = NULL;
    for (int i = 0; i < 2 && !library && length && length < MAX_PATH - 16; i++) {
        wcscpy(folder + length, folders[i]);
        library = load_from(folder, name);
    }
    return library;
}

/* The driver is the system's. cuBLAS may also lie beside this library, or where its installer has put it. */
static HMODULE load(const char *name)
{
    wchar_t *file = wide(name), *folder;
    HMODULE library = file ? LoadLibraryExW(file, NULL, LOAD_LIBRARY_SEARCH_SYSTEM32) : NULL;
    free(file);
    if (library || !strcmp(name, sbv_os_cuda_driver))
        return library;
    folder = own_folder();
    library = folder ? load_from(folder, name) : NULL;
    free(folder);
    return library ? library : load_from_toolkit(name);
}

void *sbv_os_load(const char *name, char *message, size_t size)
{
    DWORD mode;
    const BOOL quiet = SetThreadErrorMode(SEM_FAILCRITICALERRORS, &mode); /* no window that says what is missing */
    HMODULE library = load(name);
    if (!library)
        explain(GetLastError(), message, size);
    if (quiet)
        SetThreadErrorMode(mode, NULL);
    return library;
}

void *sbv_os_symbol(void *library, const char *name)
{
    const FARPROC function = GetProcAddress(library, name);
    void *symbol;
    memcpy(&symbol, &function, sizeof(symbol));
    return symbol;
}

void sbv_os_unload(void *library)
{
    FreeLibrary(library);
}

/* ---- Memory and processors ---- */

void *sbv_os_allocate(size_t align, size_t bytes)
{
    return _aligned_malloc(bytes, align);
}

void sbv_os_free(void *memory)
{
    _aligned_free(memory);
}

/* Windows gives them to programs with a privilege that users do not have. */
void sbv_os_want_large_pages(void *memory, size_t bytes)
{
    (void)memory, (void)bytes;
}

size_t sbv_os_memory(void)
{
    MEMORYSTATUSEX status = {.dwLength = sizeof(status)};
    return GlobalMemoryStatusEx(&status) ? (size_t)status.ullTotalPhys : SIZE_MAX / 2;
}

size_t sbv_os_memory_limit(const char **whose)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION job;
    size_t limit = SIZE_MAX;
    *whose = "the limit of this job or container is";
    if (!QueryInformationJobObject(NULL, JobObjectExtendedLimitInformation, &job, sizeof(job), NULL))
        return limit;
    if (job.BasicLimitInformation.LimitFlags & JOB_OBJECT_LIMIT_PROCESS_MEMORY)
        limit = job.ProcessMemoryLimit;
    if (job.BasicLimitInformation.LimitFlags & JOB_OBJECT_LIMIT_JOB_MEMORY && job.JobMemoryLimit < limit)
        limit = job.JobMemoryLimit;
    return limit;
}

int sbv_os_processors(void)
{
    DWORD_PTR own, all;
    SYSTEM_INFO info;
    if (GetProcessAffinityMask(GetCurrentProcess(), &own, &all) && own)
        return __builtin_popcountll(own);
    GetSystemInfo(&info);
    return (int)info.dwNumberOfProcessors;
}

const char *sbv_os_refuses_amx(void)
{
    return "this build does not have it";
}

/* ---- Numbers ---- */

/* What a locale has for a point and the point change places. Locales are those of the process here. */
float sbv_os_strtof(const char *text, char **end)
{
    const char point = *localeconv()->decimal_point;
    char *copy = _strdup(text), *stop;
    float value;
    *end = (char *)text;
    if (!copy)
        return 0;
    for (char *c = copy; *c && point != '.'; c++)
        *c = *c == '.' ? point : *c == point ? '.' : *c;
    value = strtof(copy, &stop);
    *end = (char *)text + (stop - copy);
    free(copy);
    return value;
}
