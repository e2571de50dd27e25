/*
 * The operations of the network, one table with one signature each. An operation takes its parameters in a struct and
 * a range of jobs [begin, end), nearly always output rows, so that a caller can spread it over threads; jobs never
 * write what another job of the same call reads, and no result depends on how the range was cut.
 *
 * The functions of kernels/reference are the truth that other implementations are compared with (tests/ops/test_ops.c).
 * None of them allocates, fails or keeps state; the caller has checked the parameters.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_KERNELS_OPS_H
#define SBV_KERNELS_OPS_H

#include <stddef.h>
#include <stdint.h>

#include "model/include/selfblindvsr.h"

/* What the samples of a map are stored as. F16 is for devices, BF16 (the upper half of a float) for the CPU. */
enum sbv_type { SBV_MAP_F32, SBV_MAP_F16, SBV_MAP_BF16 };

/* A feature map, or some channels or a part of one: sample (x, y, channel) is data[y * row + x * pixel + channel].
 * Channels are innermost (NHWC) and contiguous; strides count samples. A concatenation is a wide map written part by
 * part. The data may lie in the memory of a device. */
typedef struct sbv_map {
    void *data;
    int w, h, c;
    enum sbv_type type;
    ptrdiff_t pixel, row;
} sbv_map;

/* The channels of pixel (x, y) of a map of floats in the memory of the host. */
static inline float *sbv_at(const sbv_map *map, int x, int y)
{
    return (float *)map->data + y * map->row + x * map->pixel;
}

static inline size_t sbv_sample_size(enum sbv_type type)
{
    return type == SBV_MAP_F32 ? 4 : 2;
}

/* y = x for x > 0 and slope * x otherwise: slope 1 is no activation, 0 is ReLU, 0.1 is this network's LeakyReLU. */
#define SBV_LINEAR 1.0f
#define SBV_RELU   0.0f
#define SBV_LEAKY  0.1f

/* In kernels/reference output channels are packed in groups of this many, the last group filled with zeros. */
#define SBV_CONV_GROUP 8

/* Scratch memory of the CPU's operations: kernels/cpu/scratch.h. */
typedef struct sbv_scratch sbv_scratch;

/* Convolution: out = activation(bias + weights * in) + residual, zeros outside the input. Computes the
 * output pixels x0 <= x < x1 of the rows y0 + begin .. y0 + end - 1. Jobs: rows.
 *
 * Maps of BF16 come with weights rounded to bfloat16. Where `split` says so the input, F32, is not rounded so coarsely
 * but taken as the sum of two bfloat16, which is 16 bits: colours need more than 8, and what is to cancel must. With
 * weights that are such sums too, all but the product of the two lower halves is added up, and the result is within
 * 3 * 2^-16 of the magnitudes of the products: nearly what fp32 gives. */
enum sbv_split { SBV_SPLIT_NONE, SBV_SPLIT_INPUT, SBV_SPLIT_BOTH };

typedef struct sbv_conv_args {
    sbv_map in, out;
    sbv_map residual;     /* data NULL: none. May be `out` itself. F32 on the CPU. */
    const void *weights;  /* on the CPU [group of output channels][row][column][input channel][output
                             channel of the group], or as pack_conv of the table packs them; a device packs them in its
                             own way */
    const float *bias;    /* [output channels rounded up to a group] */
    const float *zeros;   /* at least in.c zeros: what a tap outside the input reads. Not used by devices. */
    sbv_scratch *scratch; /* of blocks of conv_scratch bytes, where the table asks for them */
    int ksize, stride, dilation, padding; /* ksize: side of the square of taps */
    enum sbv_split split; /* the weights are packed for it. Where there is no BF16 it changes nothing. */
    int winograd;         /* 2, 4 or 6, side of its tiles: the weights are packed for it; ksize 3, stride, dilation and
                             padding 1, maps of F32. 0: none. */
    int shift;            /* its tiles begin at multiples of their side, less this */
    float slope;          /* of the activation */
    int x0, x1, y0;
} sbv_conv_args;

/* A residual block, second(first(in)) with second.residual; second.in is first.out, the hidden map, and second.out may
 * be first.in itself. Jobs: rows of second.out. So that no range reads what another replaces, the hidden rows on both
 * sides of its ends have been computed before: begin - 1 and begin unless begin is 0, end - 1 and end unless end is the
 * height. What the rest of the hidden map holds is lost. */
typedef struct sbv_residual_block_args {
    sbv_conv_args first, second;
} sbv_residual_block_args;

/* Transposed convolution, ksize 4, stride 2, padding 1: out is twice as wide and high as in. Jobs: output rows. */
typedef struct sbv_deconv_args {
    sbv_map in, out;
    const float *weights; /* [row][column][output channel][input channel] */
    const float *bias;    /* [output channel] */
} sbv_deconv_args;

/* Cost volume: out channel (dy + 4) * 9 + (dx + 4) = mean over the channels of first(x, y) * second(x + dx, y + dy),
 * dx and dy in -4..4, zeros outside, then the activation. Jobs: rows. */
#define SBV_COST_RADIUS   4
#define SBV_COST_CHANNELS 81
typedef struct sbv_cost_args {
    sbv_map first, second, out;
    float slope;
} sbv_cost_args;

/* Warp: bilinear sample of in at (x, y) + scale * flow(x, y), in pixels, times a 0/1 mask. The mask is one where the
 * bilinear weights that fall inside the image sum to at least 0.999. `clamp` moves the sampling position to the nearest
 * one inside the image first (the feature warp), otherwise taps outside the image are zero (the flow network's warp).
 * The pixel rule is the one of PyTorch's grid_sample with align_corners=True. Jobs: rows. */
typedef struct sbv_warp_args {
    sbv_map in, out;
    sbv_map flow; /* two channels, x and y; read at (x + flow_x, y + flow_y), so that a tile can read a whole flow */
    int x0, y0;   /* position of out's first pixel in the image */
    float scale;
    int clamp;
} sbv_warp_args;

/* A move by (s - 1) / 2 pixels right and down, s even: output pixel x is interpolated between x - s / 2 and the pixel
 * right of it, from these two with the weight SBV_MOVE_NEAR and the next ones with SBV_MOVE_FAR, edges continued. Half
 * a pixel by a cubic convolution of -0.625: 1 % of error at most up to 3/8 of the highest frequency, where the detail
 * of a picture enlarged by four ends, and of an ideal edge 8 % of overshoot. Sharper ones overshoot more (six
 * taps 9 to 13 %) and reach further than a block; a mean of two loses a third there. */
#define SBV_MOVE_TAPS 4
#define SBV_MOVE_NEAR (37 / 64.0f)
#define SBV_MOVE_FAR  (-5 / 64.0f)

/* Bilinear resize of the whole of in to the size of out, align_corners=False, edges replicated, then channel c is
 * multiplied by gain[c], or by one where that is zero. At most SBV_RESIZE_CHANNELS channels. Where out is a part of a
 * larger image, full_w and full_h are the size of that image and x0, y0 the position of out in it. move: 2 or 4:
 * the result is moved as above, with s = move, by which in is enlarged; 0: it is not. Jobs: output rows. */
#define SBV_RESIZE_CHANNELS 3
typedef struct sbv_resize_args {
    sbv_map in, out;
    float gain[SBV_RESIZE_CHANNELS];
    int full_w, full_h, x0, y0;
    int move;
} sbv_resize_args;

/* out(x, y, c) += in(x / s, y / s, c * s * s + (y % s) * s + x % s): PixelShuffle with upscale factor s, added to what
 * is there, or put in its place. Jobs: output rows. */
typedef struct sbv_shuffle_args {
    sbv_map in, out;
    int factor;
    int add;
} sbv_shuffle_args;

/* out = in. Jobs: rows. */
typedef struct sbv_copy_args {
    sbv_map in, out;
} sbv_copy_args;

/* AdaptiveAvgPool2d: bin i of n over size s covers floor(i * s / n) to ceil((i + 1) * s / n). Jobs: output rows. */
typedef struct sbv_pool_args {
    sbv_map in, out;
} sbv_pool_args;

/* out = bias + weights * in. Jobs: outputs. */
typedef struct sbv_linear_args {
    const float *in;
    float *out;
    const float *weights; /* [output][input] */
    const float *bias;
    int inputs;
    float slope;
} sbv_linear_args;

/* In place: exp(x_i) / sum exp(x). Jobs: one. */
typedef struct sbv_softmax_args {
    float *data;
    int count;
} sbv_softmax_args;

/* The end of a residual channel attention block: out = in + branch * sigmoid(gain[channel]). Jobs: rows. */
typedef struct sbv_attention_args {
    sbv_map in, branch, out;
    const float *gain;
} sbv_attention_args;

/* out[y] = sum over row y of |luma(now) - luma(before)|, luma the sum of the colours times their weights. Jobs: rows.
 */
typedef struct sbv_difference_args {
    sbv_map before, now;
    float *out;
    float weight[4]; /* of R, G, B; 0: as padding it could hold anything, and a device is given all of it */
} sbv_difference_args;

/* Blur and reduction, D: out(x, y) = sum over i, j of blur[i * side + j] * in(factor * x + j - side / 2,
 * factor * y + i - side / 2), the picture continued by its edge; side is odd. So the blur is anchored on the top-left
 * pixel of a block. Where `from` has data, out = from - that; it may be `out` itself. clamp: in is taken clamped to
 * [0, 1]. in is factor times as wide and high as out; floats, at most SBV_BLUR_CHANNELS channels. Jobs: rows of out. */
#define SBV_BLUR_CHANNELS 3
typedef struct sbv_blur_down_args {
    sbv_map in, out, from;
    const float *blur; /* [row][column] */
    int side, factor, clamp;
} sbv_blur_down_args;

/* The adjoint of D: out, factor times as wide and high as in, with sum(out * x) = sum(in * D(x)) for every x. What D
 * reads beyond the edges goes to the pixels there. Jobs: rows of out. */
typedef struct sbv_blur_up_args {
    sbv_map in, out;
    const float *blur;
    int side, factor;
} sbv_blur_up_args;

/* out[y] = sum of the squares of all samples of row y, floats. Jobs: rows. */
typedef struct sbv_sum_squares_args {
    sbv_map in;
    float *out;
} sbv_sum_squares_args;

/* The length of a step of steepest descent on |r|^2, r = y - D(x), along g = D'(r): step[0] = |g|^2 / |D(g)|^2, at most
 * `most`; 0 where that is no number, or where |r|^2 is `enough` or less. The squares are sums of rows, as sum_squares
 * has left them, added up in one order. Jobs: one. */
typedef struct sbv_step_args {
    const float *residual, *gradient, *lowered; /* of r, g, D(g) */
    int rows, gradient_rows;                    /* of r and D(g); of g */
    float enough, most;
    float *step;
} sbv_step_args;

/* out += sign * step[0] * in, floats. Jobs: rows. */
typedef struct sbv_advance_args {
    sbv_map in, out;
    const float *step;
    float sign;
} sbv_advance_args;

/* Colour into the network: pixels of a frame as the stream describes them -> R, G, B in [0, 1], three channels.
 * Subsampled chroma is interpolated linearly at its site. Values that the matrix puts outside [0, 1] stay there, so
 * that out-of-gamut colours come back unharmed. Jobs: rows. */
typedef struct sbv_colour_in_args {
    const sbv_stream *stream;
    const sbv_frame *in;
    sbv_map out;
} sbv_colour_in_args;

/* Colour out of the network: the inverse, into a frame of the size of `in`; rounded half to even, clamped to the range
 * of the samples. Subsampled chroma is filtered to its site: (1 2 1) / 4 where it sits on a luma sample, (1 1) / 2
 * where it sits between two. Jobs: luma rows of the frame in pairs: job j writes luma rows 2j and 2j + 1 and the chroma
 * rows that belong to them, so (height + 1) / 2 jobs in all. */
typedef struct sbv_colour_out_args {
    const sbv_stream *stream; /* its width and height are those of the input frames, not used here */
    sbv_map in;
    const sbv_frame *out; /* not used by a device where frames are in the memory of the host: */
    int buffer;           /* the one of its buffers that the frame is put into (sbv_backend.fetch) */
} sbv_colour_out_args;

/* Operations that come in batches: up to SBV_MAX_BATCH of them at once, which differ in where their maps lie and, of
 * convolutions, in weights, bias, x0, x1 and y0 alone; deconvolutions in all but the size of their outputs. None reads
 * what another one writes. A backend makes one launch of a batch where it can. */
#define SBV_MAX_BATCH 20
#define SBV_BATCH_OPS(OP)                                                                                              \
    OP(conv, sbv_conv_args)                                                                                            \
    OP(deconv, sbv_deconv_args)                                                                                        \
    OP(cost_volume, sbv_cost_args)                                                                                     \
    OP(warp, sbv_warp_args)                                                                                            \
    OP(resize, sbv_resize_args)                                                                                        \
    OP(copy, sbv_copy_args)

#define SBV_SINGLE_OPS(OP)                                                                                             \
    OP(pixel_shuffle, sbv_shuffle_args)                                                                                \
    OP(adaptive_pool, sbv_pool_args)                                                                                   \
    OP(linear, sbv_linear_args)                                                                                        \
    OP(softmax, sbv_softmax_args)                                                                                      \
    OP(attention, sbv_attention_args)                                                                                  \
    OP(difference, sbv_difference_args)                                                                                \
    OP(blur_down, sbv_blur_down_args)                                                                                  \
    OP(blur_up, sbv_blur_up_args)                                                                                      \
    OP(sum_squares, sbv_sum_squares_args)                                                                              \
    OP(step, sbv_step_args)                                                                                            \
    OP(advance, sbv_advance_args)                                                                                      \
    OP(colour_in, sbv_colour_in_args)                                                                                  \
    OP(colour_out, sbv_colour_out_args)

#define SBV_OPS(OP) SBV_BATCH_OPS(OP) SBV_SINGLE_OPS(OP)

typedef struct sbv_ops {
    enum sbv_type
        type;       /* that feature maps should have: F32, or BF16, which all operations but some take (see there) */
    int conv_group; /* output channels that the weights of its convolution are packed in groups of */
    size_t conv_scratch; /* bytes of scratch that a range of its convolution takes */

    /* Where its convolution has weights of its own layout instead of groups: their bytes, and packing from PyTorch's
     * [out][in][ksize][ksize]. */
    size_t (*conv_bytes)(int out, int in, int ksize, enum sbv_split split);
    void (*pack_conv)(const float *raw, int out, int in, int ksize, enum sbv_split split, void *packed);

    /* Where its convolution can take weights transformed for Winograd's way with tiles of so many pixels a side, which
     * has fewer products and is rounded more: their bytes, 0 where it is no faster, and packing from [out][in][3][3].
     * Otherwise NULL. */
    size_t (*winograd_bytes)(int out, int in, int side);
    void (*pack_winograd)(const float *raw, int out, int in, int side, void *packed);

    /* Where it can compute both convolutions of a residual block at once: whether it does so for these, and doing it.
     * It is the same to the bit as one after the other. Otherwise NULL. */
    int (*takes_residual_block)(const sbv_residual_block_args *a);
    void (*residual_block)(const sbv_residual_block_args *a, int begin, int end);
#define SBV_OP_MEMBER(name, args) void (*name)(const args *a, int begin, int end);
    SBV_OPS(SBV_OP_MEMBER)
#undef SBV_OP_MEMBER
} sbv_ops;

/* The plain C functions, sbv_<name>_c. */
#define SBV_OP_C(name, args) void sbv_##name##_c(const args *a, int begin, int end);
SBV_OPS(SBV_OP_C)
#undef SBV_OP_C

/* Fills the table with the plain C functions. */
void sbv_ops_init(sbv_ops *ops);

#endif /* SBV_KERNELS_OPS_H */
