/*
 * The operating system: everything that Linux, macOS and Windows do differently, but for threads, which are POSIX
 * threads on all of them. os_posix.c and os_windows.c define it; a port to another system replaces that one file.
 *
 * Paths are UTF-8 on Windows and bytes elsewhere, with either slash on Windows. What fails sets errno unless it says
 * otherwise.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_OS_H
#define SBV_KERNELS_OS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* For the compiler: parameter format_at is a format of printf, its arguments begin at `first`. Windows has other
 * formats of its own, which this project does not use. */
#if defined(_WIN32)
#define SBV_PRINTF(format_at, first) __attribute__((format(gnu_printf, format_at, first)))
#else
#define SBV_PRINTF(format_at, first) __attribute__((format(printf, format_at, first)))
#endif

/* ---- Files ---- */

enum { SBV_OS_IRREGULAR = 1 };

/* Opens a regular file for reading, in binary; size in bytes. It does not wait, as the opening of a FIFO otherwise
 * does. Returns 0; -1 where that fails; SBV_OS_IRREGULAR where there is something else than a file. */
int sbv_os_open(const char *path, FILE **file, uint64_t *size);

/* Offset from the beginning, of 64 bits. 0 or -1. */
int sbv_os_seek(FILE *file, uint64_t offset);

/* Descriptors, in binary: of a new file in place of what was there, for writing; of one that is there, for reading and
 * writing. -1 where that fails. */
int sbv_os_create(const char *path);
int sbv_os_open_for_update(const char *path);

/* All `bytes` from an offset on. 0; -1 where that fails, or where there are less to read (errno 0). */
int sbv_os_read_at(int file, void *data, size_t bytes, uint64_t offset);
int sbv_os_write_at(int file, const void *data, size_t bytes, uint64_t offset);

/* Bytes in an open file. 0 or -1. */
int sbv_os_file_size(int file, uint64_t *size);
int sbv_os_close(int file);

/* ---- Where the library and others lie ---- */

/* The folder of the shared library that this is in, or of the program where it is linked statically; allocated. NULL
 * where that cannot be known or there is no memory. */
char *sbv_os_own_folder(void);

/* Where models are installed, from that folder, in the order of search; "": in that folder itself; the last is NULL. */
extern const char *const sbv_os_model_folders[];

/* Whether there is a file, or anything else, of this name. */
int sbv_os_exists(const char *path);

/* Calls each(opaque, name) for all that is in a folder, in no order; for nothing where there is no such folder. */
void sbv_os_list(const char *folder, void (*each)(void *opaque, const char *name), void *opaque);

/* ---- Libraries that are loaded when they are needed ---- */

/* What NVIDIA's driver is called, and cuBLAS: the files, newest first, the last is NULL; for messages. */
extern const char sbv_os_cuda_driver[];
extern const char *const sbv_os_cublas[];
extern const char sbv_os_cublas_names[];

/* A library, looked for where the system does, never in the current folder. NULL where it cannot be loaded, with one
 * line in message (size bytes) that says why. errno is not set. */
void *sbv_os_load(const char *name, char *message, size_t size);
void *sbv_os_symbol(void *library, const char *name);
void sbv_os_unload(void *library);

/* ---- Memory and processors ---- */

/* align: a power of two, a multiple of a pointer's size. NULL without memory. What this returns is freed by sbv_os_free
 * alone; NULL may be freed. */
void *sbv_os_allocate(size_t align, size_t bytes);
void sbv_os_free(void *memory);

/* Asks for large pages, which is a wish: where it is not granted nothing changes. */
void sbv_os_want_large_pages(void *memory, size_t bytes);

/* The main memory in bytes; SIZE_MAX / 2 where that is not known. */
size_t sbv_os_memory(void);

/* How many bytes a container, or a limit of its address space, leaves this process; SIZE_MAX where there is no limit.
 * *whose: the beginning of a sentence that ends with the number. */
size_t sbv_os_memory_limit(const char **whose);

/* How many processors can be used; less than 1 where that is not known. */
int sbv_os_processors(void);

/* Asks for the use of AMX's tiles by this process; NULL where it is granted, else why it is not. errno is not set. */
const char *sbv_os_refuses_amx(void);

/* ---- Numbers ---- */

/* As strtof, with a point in every locale. */
float sbv_os_strtof(const char *text, char **end);

#endif /* SBV_KERNELS_OS_H */
