/*
 * How much memory there is to plan with: that of the machine, or what a container may have of it.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_MACHINE_MEMORY_H
#define SBV_RUNTIME_MACHINE_MEMORY_H

#include <stddef.h>

/* Bytes: the smaller of the main memory and what the control groups of the process allow; SIZE_MAX / 2 where nothing is
 * known. *whose: the beginning of a sentence that ends with the number. */
size_t sbv_machine_memory(const char **whose);

#endif /* SBV_RUNTIME_MACHINE_MEMORY_H */
