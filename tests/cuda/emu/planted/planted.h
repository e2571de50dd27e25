/*
 * Kernels with bugs that can be switched on, to show that the emulator finds them: what the kernels and the program
 * that runs them share. A kernel is correct with PLANT_NONE.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_EMU_PLANTED_H
#define SBV_TESTS_EMU_PLANTED_H

#define PLANTS_MATMUL(P)                                                                                               \
    P(MISSING_BARRIER, "missing-barrier")                                                                              \
    P(WAIT_TOO_FEW, "wait-too-few")                                                                                    \
    P(SKIPPED_BARRIER, "skipped-barrier")                                                                              \
    P(OTHER_BARRIER, "other-barrier")                                                                                  \
    P(EXIT_BEFORE_BARRIER, "exit-before-barrier")                                                                      \
    P(EARLY_REFILL, "early-refill")                                                                                    \
    P(SHARED_READ_OVERRUN, "shared-read-overrun")                                                                      \
    P(SHARED_WRITE_OVERRUN, "shared-write-overrun")                                                                    \
    P(UNSET_SHARED, "unset-shared")                                                                                    \
    P(ARRAY_TOO_LARGE, "array-too-large")                                                                              \
    P(ARRAYS_OVERLAP, "arrays-overlap")                                                                                \
    P(GLOBAL_READ_OVERRUN, "global-read-overrun")                                                                      \
    P(GLOBAL_WRITE_OVERRUN, "global-write-overrun")                                                                    \
    P(MISALIGNED_LDMATRIX, "misaligned-ldmatrix")                                                                      \
    P(MISALIGNED_COPY, "misaligned-copy")                                                                              \
    P(MISALIGNED_VECTOR, "misaligned-vector")                                                                          \
    P(MISSING_LANE, "missing-lane")

#define PLANTS_COUNT(P)                                                                                                \
    P(NOT_ATOMIC, "not-atomic")                                                                                        \
    P(SHUFFLE_EXITED, "shuffle-exited")                                                                                \
    P(SHUFFLE_OUTSIDE, "shuffle-outside")                                                                              \
    P(SHUFFLE_DIVERGENT, "shuffle-divergent")

#define PLANTS_WGMMA(P)                                                                                                \
    P(EARLY_ACCUMULATORS, "early-accumulators")                                                                        \
    P(WRITTEN_ACCUMULATORS, "written-accumulators")                                                                    \
    P(NO_WGMMA_FENCE, "no-wgmma-fence")                                                                                \
    P(WGMMA_MISALIGNED, "wgmma-misaligned")                                                                            \
    P(WGMMA_MISSING_WARP, "wgmma-missing-warp")                                                                        \
    P(BYTES_TOO_MANY, "bytes-too-many")                                                                                \
    P(BYTES_TOO_FEW, "bytes-too-few")                                                                                  \
    P(NO_EMPTY_WAIT, "no-empty-wait")                                                                                  \
    P(EARLY_EMPTY, "early-empty")                                                                                      \
    P(WRONG_PHASE, "wrong-phase")                                                                                      \
    P(NO_MBAR_FENCE, "no-mbar-fence")                                                                                  \
    P(NO_MBAR_INIT, "no-mbar-init")                                                                                    \
    P(TMA_MISALIGNED, "tma-misaligned")                                                                                \
    P(TMA_OVERRUN, "tma-overrun")                                                                                      \
    P(NO_NAMED_BARRIER, "no-named-barrier")                                                                            \
    P(NAMED_BARRIER_COUNT, "named-barrier-count")

#define PLANT_ID(id, name) PLANT_##id,
enum plant { PLANT_NONE, PLANTS_MATMUL(PLANT_ID) PLANTS_COUNT(PLANT_ID) PLANTS_WGMMA(PLANT_ID) PLANT_END };

/* out(rows, 8) = a(rows, MATMUL_DEPTH) * transpose(b(8, MATMUL_DEPTH)); a and b are halves. 64 rows a block. */
#define MATMUL_DEPTH  128
#define MATMUL_STAGES 3
#define MATMUL_SHARED (MATMUL_STAGES * (64 + 8) * 32)
struct matmul_args {
    int plant, rows;
    const void *a, *b;
    float *out;
};

/* counts[0] += number of positive values, counts[1] += the integer sum of all. */
struct count_args {
    int plant, size;
    const int *values;
    int *counts;
};

/* out(64, 64) = sum over WGMMA_TILES of a tile of a (64, 64) times the transpose of one of b; 160 threads. */
#define WGMMA_TILES  6
#define WGMMA_TILE   (64 * 128)
#define WGMMA_SHARED (4 * WGMMA_TILE + 64 * 64 * 4 + 4 * 8)
struct wgmma_args {
    int plant;
    float *out;
};

/* Every other instruction of gpu.h, 128 threads; the parts of `words` begin at these indices. */
#define WORDS_LDMATRIX_X4   0
#define WORDS_LDMATRIX_X2   128
#define WORDS_STMATRIX      192
#define WORDS_SHUFFLES      320 /* index, down, up, exclusive or */
#define WORDS_VOTES         448 /* ballot, any, all */
#define WORDS_ATOMICS       451 /* maximum, minimum, sum, sum of floats, exchange */
#define WORDS_END           456
#define BOX_COLUMNS         8
#define BOX_ROWS            4
#define BOX_LAYERS          2
#define INSTRUCTIONS_SHARED (64 * 128 + 256 * 128 + 4096 + 8)
struct instructions_args {
    const void *a, *b; /* halves (64, 64) and (256, 64) */
    float *product_128, *product_256;
    float *product_tiles; /* (64, 32) */
    unsigned *words;
    float *box;
};

#endif /* SBV_TESTS_EMU_PLANTED_H */
