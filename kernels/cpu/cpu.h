/*
 * Vectorised operations for the CPU, over the same maps as the plain C ones of kernels/reference, which they are tested
 * against. The instruction set is chosen at run time.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CPU_CPU_H
#define SBV_KERNELS_CPU_CPU_H

#include "kernels/ops.h"

/* AMX is for bfloat16 (maps of BF16), what is not a convolution is AVX-512's there; the others are for fp32. */
enum sbv_isa { SBV_ISA_C, SBV_ISA_SSE2, SBV_ISA_AVX2, SBV_ISA_AVX512, SBV_ISA_NEON, SBV_ISA_AMX, SBV_ISA_COUNT };

/* The best instruction set for fp32 of this processor that the library was built for. */
enum sbv_isa sbv_best_isa(void);

/* What is missing for AMX, in words, or NULL where it can be used. The kernel is asked for the permission to, once. */
const char *sbv_amx_missing(void);

/* "c", "sse2", ... and back: negative for an unknown name, and for one that this processor or this build lacks. */
const char *sbv_isa_name(enum sbv_isa isa);
int sbv_isa_by_name(const char *name);

/* Replaces the operations of a table, filled by sbv_ops_init, with those for an instruction set that is there. */
void sbv_ops_init_isa(sbv_ops *ops, enum sbv_isa isa);

/* What a source that is compiled once per instruction set calls its functions: sbv_<name>_<isa>. */
#define SBV_JOIN_(a, b)    a##b
#define SBV_JOIN(a, b)     SBV_JOIN_(a, b)
#define SBV_CPU_NAME(name) SBV_JOIN(sbv_##name##_, SBV_ISA)

/* The operations that there are for every instruction set; the others are those of kernels/reference. */
#define SBV_CPU_OPS(OP, isa)                                                                                           \
    OP(conv, sbv_conv_args, isa)                                                                                       \
    OP(deconv, sbv_deconv_args, isa)                                                                                   \
    OP(cost_volume, sbv_cost_args, isa)                                                                                \
    OP(warp, sbv_warp_args, isa)                                                                                       \
    OP(resize, sbv_resize_args, isa)                                                                                   \
    OP(pixel_shuffle, sbv_shuffle_args, isa)                                                                           \
    OP(copy, sbv_copy_args, isa)                                                                                       \
    OP(adaptive_pool, sbv_pool_args, isa)                                                                              \
    OP(attention, sbv_attention_args, isa)                                                                             \
    OP(blur_down, sbv_blur_down_args, isa)                                                                             \
    OP(blur_up, sbv_blur_up_args, isa)                                                                                 \
    OP(sum_squares, sbv_sum_squares_args, isa)                                                                         \
    OP(advance, sbv_advance_args, isa)                                                                                 \
    OP(colour_in, sbv_colour_in_args, isa)                                                                             \
    OP(colour_out, sbv_colour_out_args, isa)

#define SBV_CPU_OP(name, args, isa) void sbv_##name##_##isa(const args *a, int begin, int end);
SBV_CPU_OPS(SBV_CPU_OP, sse2)
SBV_CPU_OPS(SBV_CPU_OP, avx2)
SBV_CPU_OPS(SBV_CPU_OP, avx512)
SBV_CPU_OPS(SBV_CPU_OP, neon)
#undef SBV_CPU_OP

/* Convolution by Winograd, of maps of floats: what sbv_conv_<isa> does where args.winograd is set. */
#define SBV_WINOGRAD_SCRATCH (1 << 20) /* bytes, of which the layers of this network use 3/4 */
#define SBV_WINOGRAD(isa, side)                                                                                        \
    void sbv_conv_winograd##side##_##isa(const sbv_conv_args *a, int begin, int end);                                  \
    size_t sbv_winograd##side##_bytes_##isa(int out, int in);                                                          \
    void sbv_pack_winograd##side##_##isa(const float *raw, int out, int in, void *packed);
#define SBV_WINOGRADS(isa)                                                                                             \
    SBV_WINOGRAD(isa, 2)                                                                                               \
    SBV_WINOGRAD(isa, 4)                                                                                               \
    SBV_WINOGRAD(isa, 6)                                                                                               \
    size_t sbv_winograd_bytes_##isa(int out, int in, int side);                                                        \
    void sbv_pack_winograd_##isa(const float *raw, int out, int in, int side, void *packed);
SBV_WINOGRADS(sse2)
SBV_WINOGRADS(avx2)
SBV_WINOGRADS(avx512)
SBV_WINOGRADS(neon)
#undef SBV_WINOGRADS
#undef SBV_WINOGRAD

/* Convolution by AMX: maps of BF16 or F32, the latter rounded unless args.split says otherwise. */
#define SBV_AMX_SCRATCH (1 << 20) /* bytes: what fits into the L2 cache beside the weights */
void sbv_conv_amx(const sbv_conv_args *a, int begin, int end);
size_t sbv_conv_bytes_amx(int out, int in, int ksize, enum sbv_split split);
void sbv_pack_conv_amx(const float *raw, int out, int in, int ksize, enum sbv_split split, void *packed);

/* Both convolutions of a residual block: 3x3, inputs not split, a hidden map of BF16 whose channels are a multiple of
 * 32 and dense. */
int sbv_takes_residual_block_amx(const sbv_residual_block_args *a);
void sbv_residual_block_amx(const sbv_residual_block_args *a, int begin, int end);

#endif /* SBV_KERNELS_CPU_CPU_H */
