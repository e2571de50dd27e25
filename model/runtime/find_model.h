/*
 * Which file a model is: a path, or the name of one that is installed with the library.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_FIND_MODEL_H
#define SBV_RUNTIME_FIND_MODEL_H

#include "model/runtime/log.h"

/* The model that is meant where none is named. */
#define SBV_DEFAULT_MODEL "default"

/* The path of a model's file, allocated. `model` is a path if there is a slash, backslash, colon or dot in it or if it
 * is empty; else it is the name of the file NAME.bin in one of the folders where models are installed. NULL: the
 * default model, be its file there or not. Errors: FILE (there is no model of that name), MEMORY; *path is NULL then.
 */
int sbv_find_model(char **path, const char *model, sbv_report *report);

#endif /* SBV_RUNTIME_FIND_MODEL_H */
