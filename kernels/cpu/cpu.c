/*
 * The choice of an instruction set.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cpu/cpu.h"

#include <string.h>

static const char *const names[SBV_ISA_COUNT] = {"c", "sse2", "avx2", "avx512", "neon", "amx"};

#if defined(SBV_AMX)
#include <cpuid.h>

#include "kernels/os.h"

const char *sbv_amx_missing(void)
{
    unsigned a, b, c, d, features = 0;
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d))
        features = a >> 5 & 1;                                                        /* AVX512_BF16 */
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d >> 22 & 1) || !(d >> 24 & 1)) /* AMX-BF16, AMX-TILE */
        return "this processor does not have it";
    if (!features || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl"))
        return "this processor does not have the AVX-512 BF16 that goes with it";
    return sbv_os_refuses_amx();
}
#else
const char *sbv_amx_missing(void)
{
    return "this build does not have it";
}
#endif

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
    case SBV_ISA_AMX:
        return !sbv_amx_missing();
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
    for (int isa = SBV_ISA_C; isa < SBV_ISA_AMX; isa++)
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
#define SET_OPS(isa, lanes)                                                                                            \
    SBV_CPU_OPS(SET_OP, isa)                                                                                           \
    ops->conv_group = lanes;                                                                                           \
    ops->conv_scratch = SBV_WINOGRAD_SCRATCH;                                                                          \
    ops->winograd_bytes = sbv_winograd_bytes_##isa;                                                                    \
    ops->pack_winograd = sbv_pack_winograd_##isa;

void sbv_ops_init_isa(sbv_ops *ops, enum sbv_isa isa)
{
    switch (isa) {
#if defined(__x86_64__)
    case SBV_ISA_SSE2:
        SET_OPS(sse2, 4)
        break;
    case SBV_ISA_AVX2:
        SET_OPS(avx2, 8)
        break;
    case SBV_ISA_AVX512:
        SET_OPS(avx512, 16)
        break;
#if defined(SBV_AMX)
    case SBV_ISA_AMX:
        sbv_ops_init_isa(ops, SBV_ISA_AVX512);
        ops->type = SBV_MAP_BF16;
        ops->conv = sbv_conv_amx;
        ops->conv_scratch = SBV_AMX_SCRATCH;
        ops->conv_bytes = sbv_conv_bytes_amx;
        ops->pack_conv = sbv_pack_conv_amx;
        ops->winograd_bytes = NULL;
        ops->pack_winograd = NULL;
        ops->takes_residual_block = sbv_takes_residual_block_amx;
        ops->residual_block = sbv_residual_block_amx;
        break;
#endif
#elif defined(__aarch64__)
    case SBV_ISA_NEON:
        SET_OPS(neon, 4)
        break;
#endif
    default:
        break;
    }
}
