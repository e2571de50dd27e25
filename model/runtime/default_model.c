/*
 * Finding the default model: ../share/selfblindvsr/default.bin from the folder of the shared library, or of the program
 * where the library is linked statically. The same holds for a build folder and for an installed tree, moved or not.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/runtime/default_model.h"

#define DEFAULT_MODEL "../share/selfblindvsr/default.bin"

/* Path of the file this function was loaded from, allocated. dladdr names a program as it was called, which need not be
 * a path; the kernel knows. */
static char *own_path(void)
{
    Dl_info info;
    char *path = NULL;
    if (dladdr(DEFAULT_MODEL, &info) && info.dli_fname && strstr(info.dli_fname, ".so"))
        path = realpath(info.dli_fname, NULL);
    return path ? path : realpath("/proc/self/exe", NULL);
}

char *sbv_default_model(void)
{
    char *path = own_path(), *slash = path ? strrchr(path, '/') : NULL, *model;
    int folder = slash ? (int)(slash - path) : 0;
    size_t size = (size_t)folder + sizeof("/" DEFAULT_MODEL);
    model = malloc(size);
    if (model)
        snprintf(model, size, "%.*s/" DEFAULT_MODEL, folder, path ? path : "");
    free(path);
    return model;
}
