/*
 * The memory that Linux's control groups, hence containers, leave a process.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CGROUP_H
#define SBV_KERNELS_CGROUP_H

#include <stddef.h>

/* Bytes that Linux's control groups allow this process, of version 1 and 2, the groups above its own included; SIZE_MAX
 * where there is no limit. root: what to read /proc and /sys/fs/cgroup under, "" but in tests. */
size_t sbv_cgroup_memory(const char *root);

#endif /* SBV_KERNELS_CGROUP_H */
