/*
 * Messages of a session: one line each, to the caller's log callback; the last error is kept.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_LOG_H
#define SBV_RUNTIME_LOG_H

#include "model/include/selfblindvsr.h"
#include "kernels/os.h"

typedef struct sbv_report {
    sbv_log_fn *log; /* may be NULL */
    void *opaque;
    char *error; /* of the caller, gets errors too; NULL: none */
    size_t error_size;
    int can_fall_back; /* lack of memory and failures of the device are not logged: another device is tried */
    int withheld;      /* the last error was not logged for that */
    int reported;      /* code of the last error; a call of the public API begins with 0 */
    char last_error[1024];
} sbv_report;

/* Reports an error and returns `code`, so that callers can write: return sbv_fail(...). */
SBV_PRINTF(3, 4) int sbv_fail(sbv_report *report, int code, const char *format, ...);

/* The end of a call of the public API, which returns `ret`: an error that was withheld is logged if no other device has
 * helped. Returns ret. */
int sbv_settle(sbv_report *report, int ret);

/* Reports anything that is not an error. */
SBV_PRINTF(3, 4) void sbv_say(sbv_report *report, enum sbv_log_level level, const char *format, ...);

/* A tensor name or a path may hold anything; what is said of it stays one line, and does nothing to a terminal: control
 * characters become question marks. */
void sbv_make_printable(char *text);

#endif /* SBV_RUNTIME_LOG_H */
