/*
 * The choice of an instruction set.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cpu/cpu.h"

#include <string.h>

static const char *const names[SBV_ISA_COUNT] = {"c", "sse2", "avx2", "avx512", "neon"};

static int available(enum sbv_isa isa)
{
    switch (isa) {
    case SBV_ISA_C:
        return 1;
#if defined(__x86_64__)
    case SBV_ISA_SSE2:
        return 1;
    case SBV_ISA_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case SBV_ISA_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl");
#elif defined(__aarch64__)
    case SBV_ISA_NEON:
        return 1;
#endif
    default:
        return 0;
    }
}

enum sbv_isa sbv_best_isa(void)
{
    enum sbv_isa best = SBV_ISA_C;
    for (int isa = SBV_ISA_C; isa < SBV_ISA_COUNT; isa++)
        if (available(isa))
            best = isa;
    return best;
}

const char *sbv_isa_name(enum sbv_isa isa)
{
    return names[isa];
}

int sbv_isa_by_name(const char *name)
{
    for (int isa = SBV_ISA_C; isa < SBV_ISA_COUNT; isa++)
        if (!strcmp(name, names[isa]))
            return available(isa) ? isa : -1;
    return -1;
}

#define SET_OP(name, args, isa) ops->name = sbv_##name##_##isa;

void sbv_ops_init_isa(sbv_ops *ops, enum sbv_isa isa)
{
    switch (isa) {
#if defined(__x86_64__)
    case SBV_ISA_SSE2:
        SBV_CPU_OPS(SET_OP, sse2)
        ops->conv_group = 4;
        break;
    case SBV_ISA_AVX2:
        SBV_CPU_OPS(SET_OP, avx2)
        ops->conv_group = 8;
        break;
    case SBV_ISA_AVX512:
        SBV_CPU_OPS(SET_OP, avx512)
        ops->conv_group = 16;
        break;
#elif defined(__aarch64__)
    case SBV_ISA_NEON:
        SBV_CPU_OPS(SET_OP, neon)
        ops->conv_group = 4;
        break;
#endif
    default:
        break;
    }
}
