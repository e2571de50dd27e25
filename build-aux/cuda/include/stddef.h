/* For NVRTC, which has no headers of a C library. SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

typedef long ptrdiff_t;
#ifndef NULL
#define NULL 0
#endif
