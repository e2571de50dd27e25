/*
 * Colour: the plain C source, with the vectors of an instruction set, and the same bits. (The build keeps the compiler
 * from contracting products and sums here.)
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cpu/cpu.h"

#define SBV_COLOUR_NAME(name) SBV_CPU_NAME(name)
#include "kernels/reference/colour.c"
