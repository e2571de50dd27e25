/*
 * Files for the time that a test program runs: see temporary.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _POSIX_C_SOURCE 200809L
#include "temporary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST 4

static char paths[MOST][32];
static int count;
static pid_t owner;

static void remove_files(void)
{
    for (int i = 0; i < count && getpid() == owner; i++)
        unlink(paths[i]);
}

const char *temporary_file(void)
{
    char *path = count < MOST ? paths[count] : NULL;
    int file = -1;
    if (path) {
        strcpy(path, "/tmp/sbv_test_XXXXXX");
        file = mkstemp(path);
    }
    if (file < 0) {
        perror("a temporary file cannot be made");
        exit(2);
    }
    close(file);
    owner = getpid();
    if (!count++)
        atexit(remove_files);
    return path;
}
