/*
 * The memory of Linux's control groups: see cgroup.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cgroup.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PATH_LENGTH 4096

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The number in a file; SIZE_MAX where there is no file or no number in it, as in "max". */
static size_t number_in(const char *path)
{
    FILE *file = fopen(path, "re");
    uintmax_t number;
    const int found = file && fscanf(file, "%" SCNuMAX, &number) == 1 && number < SIZE_MAX;
    if (file)
        fclose(file);
    return found ? (size_t)number : SIZE_MAX;
}

/* The least limit of a group and of those that it is in. In a container the path may be that of the machine, of which
 * nothing but the end of the walk, the root, is to be seen. */
static size_t limit_of(const char *root, const char *hierarchy, char *group, const char *name)
{
    size_t limit = SIZE_MAX;
    char path[PATH_LENGTH];
    for (;;) {
        char *slash = strrchr(group, '/');
        if (snprintf(path, sizeof(path), "%s/sys/fs/cgroup%s%s/%s", root, hierarchy, group, name) < (int)sizeof(path))
            limit = smaller(limit, number_in(path));
        if (!slash)
            return limit;
        *slash = 0;
    }
}

/* Whether a list of words with commas between them has "memory". */
static int has_memory(const char *controllers)
{
    static const char word[] = "memory";
    for (const char *at = controllers; (at = strstr(at, word)); at += sizeof(word) - 1)
        if ((at == controllers || at[-1] == ',') && (!at[sizeof(word) - 1] || at[sizeof(word) - 1] == ','))
            return 1;
    return 0;
}

size_t sbv_cgroup_memory(const char *root)
{
    size_t limit = SIZE_MAX;
    char line[PATH_LENGTH];
    snprintf(line, sizeof(line), "%s/proc/self/cgroup", root);
    FILE *file = fopen(line, "re");
    /* id:controllers:/group, of version 2 without controllers */
    while (file && fgets(line, sizeof(line), file)) {
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = 0;
        group[strcspn(group, "\n")] = 0;
        if (!*++controllers)
            limit = smaller(limit, limit_of(root, "", group, "memory.max"));
        else if (has_memory(controllers))
            limit = smaller(limit, limit_of(root, "/memory", group, "memory.limit_in_bytes"));
    }
    if (file)
        fclose(file);
    return limit;
}
