/*
 * Messages of a session.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/report.h"

#include <stdarg.h>
#include <stdio.h>

/* A tensor name or a path may hold anything; a message stays one printable line. */
static void make_printable(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

int sbv_fail(sbv_report *report, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(report->last_error, sizeof(report->last_error), format, args);
    va_end(args);
    make_printable(report->last_error);
    if (report->log && !(report->can_fall_back && (code == SBV_ERROR_MEMORY || code == SBV_ERROR_DEVICE)))
        report->log(report->opaque, SBV_LOG_ERROR, report->last_error);
    return code;
}

void sbv_say(sbv_report *report, enum sbv_log_level level, const char *format, ...)
{
    char line[sizeof(report->last_error)];
    va_list args;
    if (!report->log)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    make_printable(line);
    report->log(report->opaque, level, line);
}
