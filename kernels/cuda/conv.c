/*
 * Launches of the convolutions: which kernel takes which shape.
 *
 * A result depends on the layer and not on the size of the tile of the image that is computed: all kernels of a
 * precision that a layer can get add up the same sums in the same order. The exception are layers of the flow network,
 * which always has the whole image: see is_split().
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/conv.h"

#include "kernels/cuda/conv_blas.h"
#include "kernels/cuda/conv_params.h"
#include "kernels/cuda/conv_weights.h"
#include "kernels/cuda/conv_wgmma.h"
#include "kernels/cuda/params.h"

/* As many blocks as keep a GPU of about a hundred multiprocessors busy. */
#define ENOUGH_BLOCKS 96

/* What all of a batch have in common. */
static sbv_conv_cuda_args make_args(const sbv_conv_args *a, int count, int rows, int outputs)
{
    sbv_conv_cuda_args p = {.conv = *a,
                            .rows = rows,
                            .in_packed = sbv_cuda_packed_inputs(a->in.c),
                            .out_packed = sbv_cuda_packed_outputs(a->out.c),
                            .tiles_out = (int)sbv_tiles(a->out.c, outputs),
                            .wide_out = a->out.c % 8 == 0};
    for (int i = 0; i < count; i++)
        p.wide_out =
            p.wide_out && sbv_map_is_half(&a[i].out) && (!a[i].residual.data || sbv_map_is_half(&a[i].residual));
    return p;
}

/* `blocks`: along x, for this one. */
static sbv_conv_member make_member(const sbv_conv_args *a, int64_t blocks)
{
    return (sbv_conv_member){.in = a->in.data,
                             .out = a->out.data,
                             .residual = a->residual.data,
                             .weights = a->weights,
                             .bias = a->bias,
                             .x0 = a->x0,
                             .x1 = a->x1,
                             .y0 = a->y0,
                             .tiles_x = (int)sbv_tiles(a->x1 - a->x0, SBV_MMA_TILE),
                             .blocks = (int)blocks};
}

/* A grid that is as wide as the largest one needs. */
static void launch(sbv_cuda *c, enum sbv_kernel_id kernel, sbv_conv_cuda_args *p, sbv_conv_batch *batch, int count,
                   int grid_y, unsigned threads, size_t shared)
{
    int blocks = 0;
    for (int i = 0; i < count; i++)
        blocks = batch->member[i].blocks > blocks ? batch->member[i].blocks : blocks;
    if (blocks > 0)
        sbv_cuda_launch(c, kernel, (unsigned)blocks, (unsigned)grid_y, (unsigned)count, threads, shared,
                        (void *[]){p, batch});
}

static void convolve_f32(sbv_cuda *c, const sbv_conv_args *a, int count, int rows)
{
    sbv_conv_cuda_args p = make_args(a, count, rows, SBV_CONV_F32_OUTPUTS);
    sbv_conv_batch batch = {0};
    for (int i = 0; i < count; i++)
        batch.member[i] = make_member(&a[i], sbv_tiles((int64_t)(a[i].x1 - a[i].x0) * rows, SBV_CONV_F32_PIXELS));
    launch(c, SBV_KERNEL_CONV_F32, &p, &batch, count, p.tiles_out, SBV_CONV_F32_THREADS, SBV_CONV_F32_SHARED);
}

/* ---- mma.sync ---- */

static const struct mma_kernel {
    enum sbv_kernel_id wide, any; /* for inputs that are fp16 at multiples of 16 bytes; for others, or the same: none */
    int pixels, outputs;          /* of a tile */
    unsigned threads;
    size_t shared;
} mma_kernels[] = {
    [SBV_MMA_HALO_128] = {SBV_KERNEL_CONV_HALO_128, SBV_KERNEL_CONV_HALO_128, 256, 128, 256, SBV_MMA_HALO_SHARED(128)},
    [SBV_MMA_HALO_64] = {SBV_KERNEL_CONV_HALO_64, SBV_KERNEL_CONV_HALO_64, 256, 64, 256, SBV_MMA_HALO_SHARED(64)},
    [SBV_MMA_HALO_32] = {SBV_KERNEL_CONV_HALO_32, SBV_KERNEL_CONV_HALO_32, 256, 32, 256, SBV_MMA_HALO_SHARED(32)},
    [SBV_MMA_GATHER_64] = {SBV_KERNEL_CONV_GATHER_64, SBV_KERNEL_CONV_GATHER_64_ANY, 128, 64, 256,
                           SBV_MMA_GATHER_SHARED(128, 64)},
    [SBV_MMA_GATHER_32] = {SBV_KERNEL_CONV_GATHER_32, SBV_KERNEL_CONV_GATHER_32_ANY, 64, 32, 128,
                           SBV_MMA_GATHER_SHARED(64, 32)},
    [SBV_MMA_SPLIT] = {SBV_KERNEL_CONV_SPLIT, SBV_KERNEL_CONV_SPLIT, SBV_MMA_SPLIT_TILE, SBV_MMA_SPLIT_TILE,
                       SBV_MMA_SPLIT_WARPS * 32, SBV_MMA_SPLIT_SHARED},
};

static int has_halo(enum sbv_mma_tile tile)
{
    return tile == SBV_MMA_HALO_128 || tile == SBV_MMA_HALO_64 || tile == SBV_MMA_HALO_32;
}

/* Whether the inputs of a tile fit, and there are so many taps and channels that its pipeline works. */
static int suits_halo(const sbv_conv_args *a)
{
    return sbv_map_is_half(&a->in) && a->stride == 1 && a->ksize > 1 && (a->ksize - 1) * a->dilation <= SBV_MMA_HALO &&
           sbv_cuda_packed_inputs(a->in.c) >= SBV_MMA_CHANNELS;
}

/* Of a whole batch. */
static int64_t count_tiles(const sbv_conv_args *a, int count, int rows, enum sbv_mma_tile tile)
{
    int64_t tiles = 0;
    for (int i = 0; i < count; i++) {
        const int w = a[i].x1 - a[i].x0;
        tiles += has_halo(tile) ? sbv_tiles(w, SBV_MMA_TILE) * sbv_tiles(rows, SBV_MMA_TILE)
                                : sbv_tiles((int64_t)w * rows, mma_kernels[tile].pixels);
    }
    return tiles * sbv_tiles(a->out.c, mma_kernels[tile].outputs);
}

int sbv_cuda_conv_mma(sbv_cuda *c, const sbv_conv_args *a, int count, int rows, enum sbv_mma_tile tile)
{
    const struct mma_kernel *k = &mma_kernels[tile];
    const enum sbv_kernel_id kernel = sbv_map_is_half(&a->in) ? k->wide : k->any;
    sbv_conv_cuda_args p = make_args(a, count, rows, k->outputs);
    sbv_conv_batch batch = {0};
    if (c->base.type != SBV_MAP_F16 || !sbv_cuda_has(c, kernel) || (has_halo(tile) && !suits_halo(a)) ||
        (tile == SBV_MMA_SPLIT && !sbv_map_is_half(&a->in)))
        return 0;
    for (int i = 0; i < count; i++)
        batch.member[i] = make_member(&a[i], count_tiles(&a[i], 1, rows, tile));
    launch(c, kernel, &p, &batch, count, 1, k->threads, k->shared);
    return 1;
}

/* Whether the sums of a layer may be split. It depends on the size of the output, so it is for layers that are never
 * cut into tiles alone, those of the flow network: they read part of a wider map, or give a flow. */
static int is_split(const sbv_conv_args *a)
{
    const int64_t blocks = sbv_tiles((int64_t)a->out.w * a->out.h, mma_kernels[SBV_MMA_GATHER_32].pixels) *
                           sbv_tiles(a->out.c, mma_kernels[SBV_MMA_GATHER_32].outputs);
    return sbv_map_is_half(&a->in) && (a->in.pixel >= (a->in.c + 7) / 8 * 8 + 8 || a->out.c <= 8) && a->in.c >= 64 &&
           blocks < ENOUGH_BLOCKS;
}

/* The largest tile of which there are enough to keep the GPU busy, and of which not too much lies outside. */
static enum sbv_mma_tile choose_tile(const sbv_conv_args *a, int count, int rows)
{
    static const enum sbv_mma_tile halo[] = {SBV_MMA_HALO_128, SBV_MMA_HALO_64, SBV_MMA_HALO_32};
    int64_t covered = 0, pixels = 0;
    if (is_split(a))
        return SBV_MMA_SPLIT;
    for (int i = 0; i < count; i++) {
        const int w = a[i].x1 - a[i].x0;
        covered += sbv_tiles(w, SBV_MMA_TILE) * sbv_tiles(rows, SBV_MMA_TILE) * SBV_MMA_TILE * SBV_MMA_TILE;
        pixels += (int64_t)w * rows;
    }
    for (size_t i = 0; i < sizeof(halo) / sizeof(halo[0]) && suits_halo(a) && covered <= pixels * 3 / 2; i++)
        if ((halo[i] == SBV_MMA_HALO_32 || a->out.c > mma_kernels[halo[i]].outputs / 2) &&
            count_tiles(a, count, rows, halo[i]) >= ENOUGH_BLOCKS)
            return halo[i];
    return a->out.c > mma_kernels[SBV_MMA_GATHER_32].outputs &&
                   count_tiles(a, count, rows, SBV_MMA_GATHER_64) >= ENOUGH_BLOCKS
               ? SBV_MMA_GATHER_64
               : SBV_MMA_GATHER_32;
}

/* ---- The operations ---- */

/* One after the other, in a way that takes the shape of all of them or of none. */
static int convolve_each(sbv_cuda *c, const sbv_conv_args *a, int count, int rows,
                         int (*way)(sbv_cuda *c, const sbv_conv_args *a, int rows))
{
    int taken = 1;
    for (int i = 0; i < count && taken; i++)
        taken = way(c, &a[i], rows);
    return taken;
}

/* The fastest way that there is, or the one that was asked for; WGMMA with MMA for what it is not made for. */
static int convolve_f16(sbv_cuda *c, const sbv_conv_args *a, int count, int rows)
{
    const enum sbv_conv_path path = c->options.conv_path;
    if (path == SBV_CONV_BLAS)
        return convolve_each(c, a, count, rows, sbv_cuda_conv_blas);
    return (path != SBV_CONV_MMA && convolve_each(c, a, count, rows, sbv_cuda_conv_wgmma)) ||
           sbv_cuda_conv_mma(c, a, count, rows, choose_tile(a, count, rows)) ||
           (path == SBV_CONV_AUTO && convolve_each(c, a, count, rows, sbv_cuda_conv_blas));
}

/* Kernels are chosen by where the maps of the first one of a batch lie. */
static int lie_alike(const sbv_conv_args *a, const sbv_conv_args *first)
{
    return sbv_map_is_half(&a->in) == sbv_map_is_half(&first->in) &&
           sbv_map_is_half(&a->out) == sbv_map_is_half(&first->out) &&
           sbv_map_is_half(&a->residual) == sbv_map_is_half(&first->residual);
}

void sbv_conv_cuda(sbv_backend *b, const sbv_conv_args *a, int count, int jobs)
{
    sbv_cuda *c = (sbv_cuda *)b;
    int alike = 1;
    while (alike < count && lie_alike(&a[alike], a))
        alike++;
    if (alike < count)
        sbv_conv_cuda(b, a + alike, count - alike, jobs);
    if (jobs <= 0)
        return;
    if (b->type == SBV_MAP_F32)
        convolve_f32(c, a, alike, jobs);
    else if (!convolve_f16(c, a, alike, jobs))
        sbv_cuda_fail(c, SBV_ERROR_DEVICE, "%s (compute capability %d.%d): no kernel for convolutions in fp16%s",
                      c->device_name, c->sm / 10, c->sm % 10,
                      c->options.conv_path == SBV_CONV_AUTO ? ", and no cuBLAS" : " of the kind asked for");
}
