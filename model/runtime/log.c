/*
 * Messages of a session.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/runtime/log.h"

#include <stdarg.h>
#include <stdio.h>

/* The control characters of UTF-8: U+0000 to U+001F and U+007F to U+009F. */
void sbv_make_printable(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f)
            *c = '?';
        else if (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
            c[0] = c[1] = '?';
}

int sbv_fail(sbv_report *report, int code, const char *format, ...)
{
    va_list args;
    report->reported = code;
    va_start(args, format);
    vsnprintf(report->last_error, sizeof(report->last_error), format, args);
    va_end(args);
    sbv_make_printable(report->last_error);
    if (report->error && report->error_size)
        snprintf(report->error, report->error_size, "%s", report->last_error);
    report->withheld = report->can_fall_back && (code == SBV_ERROR_MEMORY || code == SBV_ERROR_DEVICE);
    if (report->log && !report->withheld)
        report->log(report->opaque, SBV_LOG_ERROR, report->last_error);
    return code;
}

int sbv_settle(sbv_report *report, int ret)
{
    if (report->log && report->withheld && ret < 0 && ret != SBV_AGAIN && ret != SBV_END)
        report->log(report->opaque, SBV_LOG_ERROR, report->last_error);
    report->withheld = 0;
    return ret;
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
    sbv_make_printable(line);
    report->log(report->opaque, level, line);
}
