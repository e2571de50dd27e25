/*
 * Peaks: see peak.h. The loops are written in assembly, so that no compiler can make them slower, or faster than true.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _GNU_SOURCE
#include "peak.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#endif

#define SAMPLES 24     /* of which the best counts, and short ones: others may want the processor too */
#define SECONDS 0.0015 /* of one sample, at least */

typedef void loop_fn(void *arg, int64_t rounds);

static double seconds_of(loop_fn *loop, void *arg, int64_t rounds)
{
    const bench_timer timer = bench_start();
    loop(arg, rounds);
    return bench_seconds(&timer, 1);
}

/* Rounds a second. */
static double rate(loop_fn *loop, void *arg)
{
    int64_t rounds = 1;
    double best = 0;
    while (seconds_of(loop, arg, rounds) < SECONDS)
        rounds *= 2;
    for (int i = 0; i < SAMPLES; i++) {
        const double now = (double)rounds / seconds_of(loop, arg, rounds);
        best = now > best ? now : best;
    }
    return best;
}

/* ---- Products and sums ---- */

/* Chains that do not depend on each other: more than latency times throughput of any processor. */
#define TIMES_12(OP) OP(0) OP(1) OP(2) OP(3) OP(4) OP(5) OP(6) OP(7) OP(8) OP(9) OP(10) OP(11)
#define CHAINS       12

#if defined(__x86_64__)
#define SUMS "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12"

/* Without fused instructions: six chains of products and as many of sums. */
static void sums_sse2(void *arg, int64_t rounds)
{
    (void)arg;
#define OP(n) "mulps %%xmm12, %%xmm" #n "\n\taddps %%xmm12, %%xmm" #n "\n\t"
    __asm__ volatile("xorps %%xmm12, %%xmm12\n"
                     "1:\n\t" TIMES_12(OP) "dec %0\n\tjnz 1b"
                     : "+r"(rounds)
                     :
                     : "cc", SUMS);
#undef OP
}

__attribute__((target("avx2,fma"))) static void sums_avx2(void *arg, int64_t rounds)
{
    (void)arg;
#define OP(n) "vfmadd231ps %%ymm12, %%ymm12, %%ymm" #n "\n\t"
    __asm__ volatile("vzeroall\n"
                     "1:\n\t" TIMES_12(OP) "dec %0\n\tjnz 1b\n\tvzeroupper"
                     : "+r"(rounds)
                     :
                     : "cc", SUMS);
#undef OP
}

__attribute__((target("avx512f"))) static void sums_avx512(void *arg, int64_t rounds)
{
    (void)arg;
#define OP(n) "vfmadd231ps %%zmm12, %%zmm12, %%zmm" #n "\n\t"
    __asm__ volatile("vzeroall\n"
                     "1:\n\t" TIMES_12(OP) "dec %0\n\tjnz 1b\n\tvzeroupper"
                     : "+r"(rounds)
                     :
                     : "cc", SUMS);
#undef OP
}
#elif defined(__aarch64__)
static void sums_neon(void *arg, int64_t rounds)
{
    (void)arg;
#define OP(n) "fmla v" #n ".4s, v12.4s, v12.4s\n\t"
    __asm__ volatile("movi v12.4s, #0\n"
                     "1:\n\t" TIMES_12(OP) "subs %0, %0, #1\n\tb.ne 1b"
                     : "+r"(rounds)
                     :
                     : "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12");
#undef OP
}
#endif

static void sums_scalar(void *arg, int64_t rounds)
{
    volatile float *sink = arg;
    float a = sink[0], sum[CHAINS] = {0};
    for (int64_t i = 0; i < rounds; i++) {
#define OP(n) sum[n] += a * a;
        TIMES_12(OP)
#undef OP
        __asm__ volatile("" : "+g"(a));
    }
    for (int i = 0; i < CHAINS; i++)
        sink[0] += sum[i];
}

#if defined(__x86_64__)
#define ARCH_REQ_XCOMP_PERM 0x1023
#define XFEATURE_XTILEDATA  18
#define TILE_ROWS           16
#define TILE_BYTES          64 /* of a row: 16 floats, or 32 bfloat16 */

struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

static int has_amx(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d >> 22 & 1) || !(d >> 24 & 1))
        return 0;
    return !syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA);
}

/* Six tiles of sums, each 16 x 16, from tiles of 16 x 32 and 32 x 16. */
static void loop_amx(void *arg, int64_t rounds)
{
    struct tile_config config = {.palette = 1};
    (void)arg;
    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = TILE_BYTES;
        config.rows[i] = TILE_ROWS;
    }
    __asm__ volatile("ldtilecfg %1\n\t"
                     "tilezero %%tmm0\n\ttilezero %%tmm1\n\ttilezero %%tmm2\n\ttilezero %%tmm3\n\t"
                     "tilezero %%tmm4\n\ttilezero %%tmm5\n\ttilezero %%tmm6\n\ttilezero %%tmm7\n"
                     "1:\n\t"
                     "tdpbf16ps %%tmm6, %%tmm7, %%tmm0\n\ttdpbf16ps %%tmm6, %%tmm7, %%tmm1\n\t"
                     "tdpbf16ps %%tmm6, %%tmm7, %%tmm2\n\ttdpbf16ps %%tmm6, %%tmm7, %%tmm3\n\t"
                     "tdpbf16ps %%tmm6, %%tmm7, %%tmm4\n\ttdpbf16ps %%tmm6, %%tmm7, %%tmm5\n\t"
                     "dec %0\n\tjnz 1b\n\ttilerelease"
                     : "+r"(rounds)
                     : "m"(config)
                     : "cc");
}

double peak_bf16(void)
{
    return has_amx() ? rate(loop_amx, NULL) * 6 * TILE_ROWS * 16 * 32 * 2 : 0;
}
#else
double peak_bf16(void)
{
    return 0;
}
#endif

/* ---- Memory ---- */

struct block {
    char *data;
    size_t bytes;
    const void *volatile found; /* by a search */
};

static void loop_copy(void *arg, int64_t rounds)
{
    struct block *b = arg;
    while (rounds--) {
        memcpy(b->data, b->data + b->bytes / 2, b->bytes / 2);
        __asm__ volatile("" : : "r"(b->data) : "memory");
    }
}

/* Sixteen loads a turn, of nothing but what they load. */
#define LOADS(OP) OP(0) OP(1) OP(2) OP(3) OP(4) OP(5) OP(6) OP(7) OP(8) OP(9) OP(10) OP(11) OP(12) OP(13) OP(14) OP(15)

#if defined(__x86_64__)
#define READ_LOOP(name, isa, load, vector, after)                                                                      \
    isa static void name(void *arg, int64_t rounds)                                                                    \
    {                                                                                                                  \
        const struct block *b = arg;                                                                                   \
        while (rounds--)                                                                                               \
            for (size_t at = 0; at < b->bytes; at += 16 * sizeof(vector))                                              \
                __asm__ volatile(LOADS(load) : : "r"(b->data + at) : "xmm0", "memory");                                \
        __asm__ volatile(after);                                                                                       \
    }
#define LOAD_16(n) "movups 16*" #n "(%0), %%xmm0\n\t"
#define LOAD_32(n) "vmovups 32*" #n "(%0), %%ymm0\n\t"
#define LOAD_64(n) "vmovups 64*" #n "(%0), %%zmm0\n\t"
READ_LOOP(read_sse2, , LOAD_16, char[16], "")
READ_LOOP(read_avx2, __attribute__((target("avx2"))), LOAD_32, char[32], "vzeroupper")
READ_LOOP(read_avx512, __attribute__((target("avx512f"))), LOAD_64, char[64], "vzeroupper")
#else
/* A search for what is not there reads everything, as fast as the C library can. */
static void read_library(void *arg, int64_t rounds)
{
    struct block *b = arg;
    while (rounds--)
        b->found = memchr(b->data, 1, b->bytes);
}
#endif

/* ---- The loops of an instruction set ---- */

struct known {
    const char *isa; /* what its name begins with */
    loop_fn *sums, *read;
    int lanes;
};

static const struct known *known_of(const char *isa)
{
    static const struct known known[] = {
#if defined(__x86_64__)
        {"amx", sums_avx512, read_avx512, 16}, /* what is not a convolution */
        {"avx512", sums_avx512, read_avx512, 16},
        {"avx2", sums_avx2, read_avx2, 8},
        {"sse2", sums_sse2, read_sse2, 4},
        {"", sums_scalar, read_sse2, 1},
#elif defined(__aarch64__)
        {"neon", sums_neon, read_library, 4},
        {"", sums_scalar, read_library, 1},
#else
        {"", sums_scalar, read_library, 1},
#endif
    };
    const struct known *k = known;
    while (strncmp(isa, k->isa, strlen(k->isa)))
        k++;
    return k;
}

double peak_f32(const char *isa)
{
    const struct known *k = known_of(isa);
    float zero = 0;
    return rate(k->sums, &zero) * CHAINS * k->lanes * 2;
}

double peak_memory(const char *isa, size_t bytes)
{
    loop_fn *const read_all = known_of(isa)->read;
    struct block block = {.bytes = bytes};
    if (posix_memalign((void **)&block.data, 64, bytes))
        return 0;
    memset(block.data, 0, bytes);
    const double copy = rate(loop_copy, &block), read = rate(read_all, &block);
    free(block.data);
    return (copy > read ? copy : read) * (double)bytes;
}
