/*
 * What the simple kernels are given: the arguments of an operation, where its maps can be accessed by 16 bytes, and how
 * many rows to compute. For C and CUDA C++.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_CUDA_PARAMS_H
#define SBV_KERNELS_CUDA_PARAMS_H

#include "kernels/ops.h"

/* A block of the cost volume: a tile of pixels, a thread for four of them in a row and one vertical displacement. */
#define SBV_COST_TILE_W  16
#define SBV_COST_TILE_H  8
#define SBV_COST_SHARED  (SBV_COST_TILE_W * SBV_COST_TILE_H * SBV_COST_CHANNELS * 4)
#define SBV_COST_THREADS (SBV_COST_TILE_W / 4 * SBV_COST_TILE_H * (2 * SBV_COST_RADIUS + 1))

#define SBV_IMAGE_GROUP    8   /* channels of 16-byte accesses */
#define SBV_IMAGE_THREADS  256 /* of a block that works on pixels */
#define SBV_REDUCE_THREADS 512 /* of a block that computes a sum */
#define SBV_REDUCE_SHARED  (SBV_REDUCE_THREADS / 32 * SBV_IMAGE_GROUP * 4)

/* Where the maps of the operations of a batch lie; what else they are given is that of the first one. */
typedef struct sbv_batch {
    int count;
    void *in[SBV_MAX_BATCH], *out[SBV_MAX_BATCH];
    void *other[SBV_MAX_BATCH]; /* second input, or flow */
} sbv_batch;

typedef struct sbv_cost_params {
    sbv_cost_args a;
    int rows;
    int wide_first, wide_second;
    sbv_batch batch;
} sbv_cost_params;

typedef struct sbv_warp_params {
    sbv_warp_args a;
    int group; /* channels of a thread, 8 or 1 */
    int wide;
    sbv_batch batch;
} sbv_warp_params;

typedef struct sbv_copy_params {
    sbv_copy_args a;
    int group;
    int wide;
    sbv_batch batch;
} sbv_copy_params;

typedef struct sbv_resize_params {
    sbv_resize_args a;
    sbv_batch batch;
} sbv_resize_params;

typedef struct sbv_deconv_params {
    int rows, count;
    sbv_deconv_args a[SBV_MAX_BATCH]; /* with outputs of one size */
} sbv_deconv_params;

#define SBV_DECONV_WARPS 8 /* of a block: each computes an output pixel */

typedef struct sbv_attention_params {
    sbv_attention_args a;
    int group;
    int wide;
} sbv_attention_params;

typedef struct sbv_pool_params {
    sbv_pool_args a;
    int wide;
} sbv_pool_params;

#ifndef __cplusplus
#include <stdint.h>

/* Whether every group of eight channels of a map begins at a multiple of 16 bytes. */
static inline int sbv_map_is_wide(const sbv_map *map)
{
    const uintptr_t size = (uintptr_t)sbv_sample_size(map->type);
    return !(((uintptr_t)map->data | (uintptr_t)map->pixel * size | (uintptr_t)map->row * size) % 16);
}

/* Whether the channels of every pixel are halves that begin at a multiple of 16 bytes. */
static inline int sbv_map_is_half(const sbv_map *map)
{
    return map->type == SBV_MAP_F16 && (uintptr_t)map->data % 16 == 0 && map->pixel % 8 == 0 && map->row % 8 == 0;
}

/* Tiles, or blocks, of so many that cover n. */
static inline int64_t sbv_tiles(int64_t n, int of)
{
    return (n + of - 1) / of;
}

static inline unsigned sbv_blocks(int64_t n, int per_block)
{
    return (unsigned)sbv_tiles(n, per_block);
}
#endif

#endif /* SBV_KERNELS_CUDA_PARAMS_H */
