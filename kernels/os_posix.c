/*
 * Linux and macOS: see os.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#if defined(__APPLE__)
#define _DARWIN_C_SOURCE
#else
#define _GNU_SOURCE /* dladdr, madvise, uselocale */
#endif
#define _FILE_OFFSET_BITS 64
#include "kernels/os.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(__APPLE__)
#include <mach-o/dyld.h>
#include <xlocale.h>
#elif defined(__linux__)
#include <sys/syscall.h>
#endif

#include "kernels/cgroup.h"

/* ---- Files ---- */

int sbv_os_open(const char *path, FILE **file, uint64_t *size)
{
    struct stat info;
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    int ret = -1;
    *file = NULL;
    if (fd < 0)
        return -1;
    if (!fstat(fd, &info))
        ret = S_ISREG(info.st_mode) ? 0 : SBV_OS_IRREGULAR;
    if (!ret && !(*file = fdopen(fd, "rb")))
        ret = -1;
    if (ret) {
        const int error = errno;
        close(fd);
        errno = error;
        return ret;
    }
    *size = (uint64_t)info.st_size;
    return 0;
}

int sbv_os_seek(FILE *file, uint64_t offset)
{
    return fseeko(file, (off_t)offset, SEEK_SET) < 0 ? -1 : 0;
}

int sbv_os_create(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_CLOEXEC, 0666);
}

int sbv_os_open_for_update(const char *path)
{
    return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

int sbv_os_read_at(int file, void *data, size_t bytes, uint64_t offset)
{
    for (size_t done = 0; done < bytes;) {
        const ssize_t step = pread(file, (char *)data + done, bytes - done, (off_t)(offset + done));
        if (!step)
            errno = 0;
        if (!step || (step < 0 && errno != EINTR))
            return -1;
        done += step > 0 ? (size_t)step : 0;
    }
    return 0;
}

int sbv_os_write_at(int file, const void *data, size_t bytes, uint64_t offset)
{
    for (size_t done = 0; done < bytes;) {
        const ssize_t step = pwrite(file, (const char *)data + done, bytes - done, (off_t)(offset + done));
        if (step < 0 && errno != EINTR)
            return -1;
        done += step > 0 ? (size_t)step : 0;
    }
    return 0;
}

int sbv_os_file_size(int file, uint64_t *size)
{
    struct stat info;
    if (fstat(file, &info) < 0)
        return -1;
    *size = (uint64_t)info.st_size;
    return 0;
}

int sbv_os_close(int file)
{
    return close(file);
}

/* ---- Where the library and others lie ---- */

const char *const sbv_os_model_folders[] = {"../share/selfblindvsr", NULL};

/* dladdr names a program as it was called, which need not be a path; the system knows. */
static char *program_path(void)
{
#if defined(__APPLE__)
    char path[PATH_MAX];
    uint32_t size = sizeof(path);
    return _NSGetExecutablePath(path, &size) ? NULL : realpath(path, NULL);
#else
    return realpath("/proc/self/exe", NULL);
#endif
}

char *sbv_os_own_folder(void)
{
#if defined(__APPLE__)
    static const char extension[] = ".dylib";
#else
    static const char extension[] = ".so";
#endif
    Dl_info info;
    char *path = NULL, *slash;
    if (dladdr(extension, &info) && info.dli_fname && strstr(info.dli_fname, extension))
        path = realpath(info.dli_fname, NULL);
    if (!path)
        path = program_path();
    slash = path ? strrchr(path, '/') : NULL;
    if (slash)
        *slash = 0;
    return path;
}

int sbv_os_exists(const char *path)
{
    return !access(path, F_OK);
}

void sbv_os_list(const char *folder, void (*each)(void *opaque, const char *name), void *opaque)
{
    DIR *names = opendir(folder);
    for (struct dirent *entry; names && (entry = readdir(names));)
        each(opaque, entry->d_name);
    if (names)
        closedir(names);
}

/* ---- Libraries that are loaded when they are needed ---- */

const char sbv_os_cuda_driver[] = "libcuda.so.1";
const char *const sbv_os_cublas[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so.11", NULL};
const char sbv_os_cublas_names[] = "libcublas.so.13, .12 or .11";

void *sbv_os_load(const char *name, char *message, size_t size)
{
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *reason = dlerror();
        snprintf(message, size, "%s", reason ? reason : "no reason is given");
    }
    return library;
}

void *sbv_os_symbol(void *library, const char *name)
{
    return dlsym(library, name);
}

void sbv_os_unload(void *library)
{
    dlclose(library);
}

/* ---- Memory and processors ---- */

void *sbv_os_allocate(size_t align, size_t bytes)
{
    void *memory;
    return posix_memalign(&memory, align, bytes) ? NULL : memory;
}

void sbv_os_free(void *memory)
{
    free(memory);
}

void sbv_os_want_large_pages(void *memory, size_t bytes)
{
#if defined(MADV_HUGEPAGE)
    madvise(memory, bytes, MADV_HUGEPAGE);
#else
    (void)memory, (void)bytes;
#endif
}

size_t sbv_os_memory(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (size_t)pages * (size_t)page : SIZE_MAX / 2;
}

/* The address space of this process in bytes; 0 where that is not known. */
static size_t address_space(void)
{
    uintmax_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    if (fscanf(file, "%" SCNuMAX, &pages) != 1)
        pages = 0;
    fclose(file);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* What `ulimit -v` leaves of the address space, SIZE_MAX without a limit. */
static size_t address_space_left(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) || limit.rlim_cur == RLIM_INFINITY)
        return SIZE_MAX;
    const size_t used = address_space();
    return limit.rlim_cur > used ? (size_t)limit.rlim_cur - used : 0;
}

size_t sbv_os_memory_limit(const char **whose)
{
    const size_t group = sbv_cgroup_memory(""), left = address_space_left();
    *whose = left < group ? "the limit of address space (ulimit -v) leaves"
                          : "the limit of this control group or container is";
    return left < group ? left : group;
}

int sbv_os_processors(void)
{
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return processors > INT_MAX ? INT_MAX : (int)processors;
}

const char *sbv_os_refuses_amx(void)
{
#if defined(__linux__) && defined(__x86_64__)
    const long request = 0x1023 /* ARCH_REQ_XCOMP_PERM of arch_prctl(2) */, tiles = 18;
    return syscall(SYS_arch_prctl, request, tiles) ? "the kernel does not permit its use" : NULL;
#else
    return "this build does not have it";
#endif
}

/* ---- Numbers ---- */

float sbv_os_strtof(const char *text, char **end)
{
    const locale_t point = newlocale(LC_ALL_MASK, "C", (locale_t)0), host = point ? uselocale(point) : (locale_t)0;
    float value;
    *end = (char *)text;
    if (!point)
        return 0;
    value = strtof(text, end);
    uselocale(host);
    freelocale(point);
    return value;
}
