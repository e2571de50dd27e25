/*
 * The convolution by wgmma: launches of conv_wgmma.cu.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/conv_wgmma.h"

#include "kernels/cuda/conv_params.h"
#include "kernels/cuda/params.h"

/* The kernel that has what becomes of the sums and nothing else. */
static enum sbv_kernel_id choose_kernel(const sbv_conv_args *a)
{
    static const struct {
        enum sbv_kernel_id any_slope, relu, residual, linear_residual;
    } kernels[] = {{SBV_KERNEL_CONV_WGMMA_64, SBV_KERNEL_CONV_WGMMA_64_RELU, SBV_KERNEL_CONV_WGMMA_64_RESIDUAL,
                    SBV_KERNEL_CONV_WGMMA_64_LINEAR_RESIDUAL},
                   {SBV_KERNEL_CONV_WGMMA_128, SBV_KERNEL_CONV_WGMMA_128_RELU, SBV_KERNEL_CONV_WGMMA_128_RESIDUAL,
                    SBV_KERNEL_CONV_WGMMA_128_LINEAR_RESIDUAL}};
    const int i = a->out.c == 128;
    if (a->residual.data)
        return a->slope == SBV_LINEAR ? kernels[i].linear_residual : kernels[i].residual;
    return a->slope == SBV_RELU ? kernels[i].relu : kernels[i].any_slope;
}

/* The shape of the layer decides and the size of the image does not, so that a tile of an image gets the same bits as
 * the whole. */
static int is_supported(const sbv_cuda *c, const sbv_conv_args *a)
{
    return c->base.type == SBV_MAP_F16 && c->cu->cuTensorMapEncodeTiled && sbv_cuda_has(c, choose_kernel(a)) &&
           a->ksize == 3 && a->stride == 1 && a->dilation == 1 && a->in.c % SBV_WGMMA_CHANNELS == 0 &&
           (a->out.c == 64 || a->out.c == 128) && sbv_map_is_half(&a->in) && sbv_map_is_half(&a->out) &&
           (!a->residual.data || sbv_map_is_half(&a->residual));
}

/* A tensor of halves, innermost dimension first, and the box that is loaded of it at a time. Strides of the outer
 * dimensions in bytes. */
static int encode(sbv_cuda *c, CUtensorMap *map, const void *data, const uint64_t size[3], const uint64_t stride[2],
                  const uint32_t box[3])
{
    static const uint32_t every[3] = {1, 1, 1};
    return !SBV_CUDA_CHECK(
        c, c->cu->cuTensorMapEncodeTiled(map, CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 3, (void *)(uintptr_t)data, size, stride,
                                         box, every, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                         CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE));
}

static int encode_pixels(sbv_cuda *c, CUtensorMap *map, const sbv_map *in)
{
    const uint64_t size[3] = {(uint64_t)in->c, (uint64_t)in->w, (uint64_t)in->h};
    const uint64_t stride[2] = {(uint64_t)in->pixel * 2, (uint64_t)in->row * 2};
    const uint32_t box[3] = {SBV_WGMMA_CHANNELS, SBV_WGMMA_WIDTH, SBV_WGMMA_ROWS};
    return encode(c, map, in->data, size, stride, box);
}

/* Packed weights: [tap][output][input]. */
static int encode_weights(sbv_cuda *c, CUtensorMap *map, const sbv_conv_args *a)
{
    const uint64_t in = (uint64_t)a->in.c, out = (uint64_t)a->out.c;
    const uint64_t size[3] = {in, out, 9}, stride[2] = {in * 2, in * out * 2};
    const uint32_t box[3] = {SBV_WGMMA_CHANNELS, 64, 1};
    return encode(c, map, a->weights, size, stride, box);
}

/* The output or the residual up to the end of what is to be computed: beyond it nothing is read or written. */
static int encode_results(sbv_cuda *c, CUtensorMap *map, const sbv_map *results, int x1, int y1)
{
    const uint64_t size[3] = {(uint64_t)results->c, (uint64_t)x1, (uint64_t)y1};
    const uint64_t stride[2] = {(uint64_t)results->pixel * 2, (uint64_t)results->row * 2};
    const uint32_t box[3] = {64, SBV_WGMMA_WIDTH, SBV_WGMMA_HEIGHT};
    return encode(c, map, results->data, size, stride, box);
}

int sbv_cuda_conv_wgmma_blocks(sbv_cuda *c, const sbv_conv_args *a, int rows, int most_blocks)
{
    CUtensorMap pixels, weights, residual, out;
    if (!is_supported(c, a))
        return 0;
    if (rows <= 0 || a->x1 <= a->x0 || c->status < 0)
        return 1;
    sbv_conv_wgmma_args args = {.bias = a->bias,
                                .slope = a->slope,
                                .x0 = a->x0,
                                .y0 = a->y0,
                                .x1 = a->x1,
                                .y1 = a->y0 + rows,
                                .padding = a->padding,
                                .chunks = a->in.c / SBV_WGMMA_CHANNELS,
                                .tiles_x = (int)sbv_tiles(a->x1 - a->x0, SBV_WGMMA_WIDTH)};
    args.tiles = args.tiles_x * (int)sbv_tiles(rows, SBV_WGMMA_HEIGHT);
    const int blocks = args.tiles < most_blocks ? args.tiles : most_blocks;
    args.step_x = blocks % args.tiles_x * SBV_WGMMA_WIDTH;
    args.step_y = blocks / args.tiles_x * SBV_WGMMA_HEIGHT;
    if (!encode_pixels(c, &pixels, &a->in) || !encode_weights(c, &weights, a) ||
        !encode_results(c, &out, &a->out, args.x1, args.y1) ||
        !encode_results(c, &residual, a->residual.data ? &a->residual : &a->out, args.x1, args.y1))
        return 1;
    sbv_cuda_launch(c, choose_kernel(a), (unsigned)blocks, 1, 1, SBV_WGMMA_THREADS,
                    a->out.c == 64 ? SBV_WGMMA_SHARED(64) : SBV_WGMMA_SHARED(128),
                    (void *[]){&args, &pixels, &weights, &residual, &out});
    return 1;
}

/* A block takes a whole multiprocessor: as many blocks as there are of those. */
int sbv_cuda_conv_wgmma(sbv_cuda *c, const sbv_conv_args *a, int rows)
{
    int processors = 0;
    if (!is_supported(c, a))
        return 0;
    if (SBV_CUDA_CHECK(c,
                       c->cu->cuDeviceGetAttribute(&processors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, c->device)))
        return 1;
    return sbv_cuda_conv_wgmma_blocks(c, a, rows, processors);
}
