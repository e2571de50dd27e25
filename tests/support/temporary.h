/*
 * Files for the time that a test program runs.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_TEMPORARY_H
#define SBV_TESTS_TEMPORARY_H

/* The path of an empty file, which is removed as the program ends. Without one the program ends at once. */
const char *temporary_file(void);

#endif /* SBV_TESTS_TEMPORARY_H */
