/*
 * Finding the default model: see default_model.h. Where it lies from the library is the same in a build folder and in
 * an installed tree, moved or not.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/default_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/os.h"

static char *join(const char *folder, const char *name)
{
    const size_t size = strlen(folder) + 1 + strlen(name) + 1;
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%s/%s", folder, name);
    return path;
}

char *sbv_default_model(void)
{
    char *folder = sbv_os_own_folder(), *model = join(folder ? folder : "", sbv_os_model_places[0]);
    for (int i = 1; model && !sbv_os_exists(model) && sbv_os_model_places[i]; i++) {
        char *other = join(folder ? folder : "", sbv_os_model_places[i]);
        if (other && sbv_os_exists(other)) {
            free(model);
            model = other;
        } else {
            free(other);
        }
    }
    free(folder);
    return model;
}
