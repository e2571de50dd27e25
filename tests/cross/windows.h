/*
 * What the tests ask of POSIX and Windows does not have; included before everything else.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_WINDOWS_H
#define SBV_TESTS_WINDOWS_H

#include <direct.h>
#include <io.h>
#include <stdlib.h>

static inline int setenv(const char *name, const char *value, int replace)
{
    return replace || !getenv(name) ? _putenv_s(name, value) : 0;
}

static inline int unsetenv(const char *name)
{
    return _putenv_s(name, "");
}

static inline char *mkdtemp(char *name)
{
    return _mktemp(name) && !_mkdir(name) ? name : NULL;
}

#endif /* SBV_TESTS_WINDOWS_H */
