/*
 * Finding the file of a model: see find_model.h. Where it lies from the library is the same in a build folder and in an
 * installed tree, moved or not. Which models there are is not written down anywhere: they are the files in the folder.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _POSIX_C_SOURCE 200809L
#include "model/runtime/find_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/numbers.h"
#include "kernels/os.h"

#define ENDING      ".bin"
#define QUOTED_NAME 80  /* bytes of a name that a message quotes */
#define LISTED      400 /* bytes of a message that names the models there are */

/* The names of the models there are. */
struct names {
    char **name;
    int count;
    int failed; /* there was no memory for some */
};

/* first, second and third in one, allocated. */
static char *join(const char *first, const char *second, const char *third)
{
    const size_t size = strlen(first) + strlen(second) + strlen(third) + 1;
    char *text = malloc(size);
    if (text)
        snprintf(text, size, "%s%s%s", first, second, third);
    return text;
}

/* Number i of the folders where models are installed, allocated; NULL without memory. */
static char *folder_of_models(int i)
{
    char *own = sbv_os_own_folder();
    char *folder = join(own ? own : "", *sbv_os_model_folders[i] ? "/" : "", sbv_os_model_folders[i]);
    free(own);
    return folder;
}

/* The file of a model in folder i, be it there or not. */
static char *file_in(int i, const char *name)
{
    char *folder = folder_of_models(i), *start = folder ? join(folder, "/", name) : NULL;
    char *path = start ? join(start, ENDING, "") : NULL;
    free(folder);
    free(start);
    return path;
}

/* 1: *path is the file of that name; 0: there is none, and *path is where it is looked for first; or MEMORY. */
static int look_for(char **path, const char *name)
{
    int found = 0;
    *path = NULL;
    for (int i = 0; !found && sbv_os_model_folders[i]; i++) {
        char *file = file_in(i, name);
        found = !file ? SBV_ERROR_MEMORY : sbv_os_exists(file);
        if (found || i == 0) {
            free(*path);
            *path = file;
        } else {
            free(file);
        }
    }
    return found;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Takes NAME.bin among the names. */
static void take_name(void *opaque, const char *file)
{
    struct names *names = opaque;
    const size_t length = strlen(file), ending = strlen(ENDING);
    char **more, *name;
    if (length <= ending || strcmp(file + length - ending, ENDING) || memchr(file, '.', length - ending))
        return;
    name = strdup(file);
    more = name ? realloc(names->name, ((size_t)names->count + 1) * sizeof(*more)) : NULL;
    if (!more) {
        free(name);
        names->failed = 1;
        return;
    }
    name[length - ending] = 0;
    names->name = more;
    names->name[names->count++] = name;
}

/* "default, fast and mine", in the order of the alphabet. */
static void list_names(const struct names *names, char *text, size_t size)
{
    size_t at = 0;
    for (int i = 0; i < names->count && at < size; i++) {
        const char *between = i == 0 ? "" : i + 1 < names->count ? ", " : " and ";
        at += (size_t)sbv_max(snprintf(text + at, size - at, "%s%s", between, names->name[i]), 0);
    }
    if (at >= size)
        strcpy(text + size - 4, "...");
}

/* Says that there is no model of this name, and which there are and where. */
static int no_such_model(const char *name, sbv_report *report)
{
    struct names names = {0};
    char list[LISTED] = "none", *folders = strdup("");
    for (int i = 0; sbv_os_model_folders[i]; i++) {
        char *folder = folder_of_models(i), *longer;
        if (folder) {
            sbv_os_list(folder, take_name, &names);
            longer = folders ? join(folders, *folders ? " or " : "", folder) : NULL;
            free(folders);
            folders = longer;
        }
        free(folder);
    }
    if (names.count)
        qsort(names.name, (size_t)names.count, sizeof(*names.name), by_name);
    list_names(&names, list, sizeof(list));
    const int ret =
        names.failed || !folders
            ? sbv_fail(report, SBV_ERROR_MEMORY, "out of memory: names of models")
            : sbv_fail(report, SBV_ERROR_FILE,
                       "model '%.*s': there is none of this name; a file would be ./%.*s; installed are: %s, in %s",
                       QUOTED_NAME, name, QUOTED_NAME, name, list, folders);
    for (int i = 0; i < names.count; i++)
        free(names.name[i]);
    free(names.name);
    free(folders);
    return ret;
}

int sbv_find_model(char **path, const char *model, sbv_report *report)
{
    const int is_path = model && (!*model || strpbrk(model, "/\\:."));
    int found = 1;
    if (is_path)
        *path = strdup(model);
    else
        found = look_for(path, model ? model : SBV_DEFAULT_MODEL);
    if (found < 0 || !*path)
        return sbv_fail(report, SBV_ERROR_MEMORY, "out of memory: path of the model");
    if (found || !model)
        return SBV_OK;
    free(*path);
    *path = NULL;
    return no_such_model(model, report);
}
