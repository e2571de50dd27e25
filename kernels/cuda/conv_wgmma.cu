/*
 * 3x3 convolution with 64 or 128 outputs for sm_90a: wgmma, fed by the copy engine.
 *
 * The matrix product of a tap is outputs x pixels: its rows (M) are output channels, its columns (N) pixels, so that
 * 64 x 256 products of one instruction read 80 bytes of shared memory a cycle; with the roles changed it would be 96,
 * or 128 where there are 64 outputs, and 128 is all there is. Each of two warpgroups holds 64 outputs of 256 pixels in
 * registers: with 128 outputs both work on the same 8 x 32 pixels, with 64 on neighbouring ones.
 *
 * Pixels come as boxes of 64 channels x 8 columns x 34 rows, one for each column of taps. The copy engine fills in
 * zeros outside the image, which is the padding, and swizzles 128-byte rows within atoms of 8 pixels x 128 bytes. A row
 * of a box is one atom, so that the three taps of a column read the same box 0, 1 and 2 atoms further on. Moving
 * sideways would cut atoms in two; each column has a box of its own for that reason.
 *
 * One thread of the third warpgroup fills two rings, of boxes and of the weights of single taps, a few taps ahead. A
 * pair of barriers belongs to each place of a ring: "full" when the copy engine has written it, "empty" when all warps
 * that read it have done so. The weights of a 64 -> 64 convolution all fit and stay for the whole launch. Blocks walk
 * over the tiles, and the next tile is being loaded during the epilogue.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/conv_params.h"
#include "kernels/cuda/gpu.h"

#if SBV_SM90

#define WARPGROUP 128 /* threads */
#define PIXELS    (SBV_WGMMA_WIDTH * SBV_WGMMA_HEIGHT)
#define SUMS      (64 * PIXELS / WARPGROUP) /* of a thread */

/* Registers of a thread. A launch gives each of the 384 threads 168, which is as many as 232 * 256 + 40 * 128. */
#define COMPUTE_REGISTERS 232
#define LOAD_REGISTERS    40

/* A place in a ring, and the parity of the times it has been gone round. */
template <int PLACES> struct Ring {
    int place = 0, parity = 0;

    __device__ __forceinline__ void advance(int by)
    {
        place += by;
        if (place >= PLACES) {
            place -= PLACES;
            parity ^= 1;
        }
    }
};

/* Shared memory. */
struct Block {
    __half *boxes, *taps;
    unsigned char *staging;
    MBar *box_full, *box_empty, *tap_full, *tap_empty;
};

template <int OUTPUTS> struct Shape {
    static constexpr int boxes = SBV_WGMMA_BOXES(OUTPUTS), taps = SBV_WGMMA_TAPS(OUTPUTS);
    static constexpr int box_halves = SBV_WGMMA_BOX / 2, tap_halves = SBV_WGMMA_TAP(OUTPUTS) / 2;
    static constexpr int tile_boxes = 128 / OUTPUTS;                    /* boxes side by side */
    static constexpr int box_readers = 8 / tile_boxes, tap_readers = 8; /* warps */
};

/* Top left output pixel of a tile. */
template <int OUTPUTS>
static __device__ __forceinline__ void locate(const sbv_conv_wgmma_args &a, int tile, int &x, int &y)
{
    x = a.x0 + tile % a.tiles_x * (SBV_WGMMA_WIDTH * Shape<OUTPUTS>::tile_boxes);
    y = a.y0 + tile / a.tiles_x * SBV_WGMMA_HEIGHT;
}

/* The weights of a 64 -> 64 convolution stay in their places. */
template <int OUTPUTS> static __device__ __forceinline__ bool is_resident(const sbv_conv_wgmma_args &a)
{
    return a.chunks * 9 <= Shape<OUTPUTS>::taps;
}

/* Loads everything the block needs, in the order in which it is used. Run by one thread. */
template <int OUTPUTS>
static __device__ __forceinline__ void load(const sbv_conv_wgmma_args &a, const TensorMap &pixels,
                                            const TensorMap &weights, const Block &block)
{
    using S = Shape<OUTPUTS>;
    Ring<S::boxes> box;
    Ring<S::taps> tap;
    for (int tile = blockIdx.x; tile < a.tiles; tile += gridDim.x) {
        const bool weights_too = tile == (int)blockIdx.x || !is_resident<OUTPUTS>(a);
        int x, y;
        locate<OUTPUTS>(a, tile, x, y);
        for (int step = 0; step < a.chunks * 3; step++) {
            const int channel = step / 3 * SBV_WGMMA_CHANNELS, dx = step % 3;
            for (int i = 0; i < S::tile_boxes; i++, box.advance(1)) {
                mbar_wait(&block.box_empty[box.place], box.parity ^ 1);
                mbar_expect(&block.box_full[box.place], SBV_WGMMA_BOX);
                tma_load3(block.boxes + box.place * S::box_halves, &pixels, &block.box_full[box.place], channel,
                          x + i * SBV_WGMMA_WIDTH + dx - a.padding, y - a.padding);
            }
            for (int dy = 0; dy < 3 && weights_too; dy++, tap.advance(1)) {
                mbar_wait(&block.tap_empty[tap.place], tap.parity ^ 1);
                mbar_expect(&block.tap_full[tap.place], SBV_WGMMA_TAP(OUTPUTS));
                tma_load3(block.taps + tap.place * S::tap_halves, &weights, &block.tap_full[tap.place], channel, 0,
                          dy * 3 + dx);
            }
        }
    }
}

/* The epilogue works on 8 rows of pixels and the 16 outputs of a warp at a time. In shared memory the two groups of
 * eight channels of a pixel lie side by side, changed over in every other set of four pixels, so that eight successive
 * pixels of a group lie in different banks. */
#define PIECE       (8 * SBV_WGMMA_WIDTH) /* pixels */
#define PIECE_UNITS (PIECE * 2 / 32)      /* of 16 bytes, for each thread */

static __device__ __forceinline__ unsigned char *staged(unsigned char *staging, int pixel, int group)
{
    return staging + (pixel * 2 + (group ^ (pixel >> 2 & 1))) * 16;
}

/* The outputs of a warp: 16 channels from `channel`, in tile column x and the rows from y. */
struct Output {
    int x, y, channel;
};

/* Where unit i of this thread lies in a map; whether it is to be computed. */
static __device__ __forceinline__ bool find_unit(const sbv_conv_wgmma_args &a, const sbv_map &map, const Output &o,
                                                 int piece, int i, __half *&at)
{
    const int unit = i * 32 + (threadIdx.x & 31), pixel = unit >> 1, group = unit & 1;
    const int x = o.x + pixel % SBV_WGMMA_WIDTH, y = o.y + piece * 8 + pixel / SBV_WGMMA_WIDTH;
    at = static_cast<__half *>(map.data) + y * map.row + x * map.pixel + o.channel + group * 8;
    return x < a.x1 && y < a.y1;
}

static __device__ __forceinline__ void load_residual(const sbv_conv_wgmma_args &a, const Output &o, int piece,
                                                     uint4 (&unit)[PIECE_UNITS])
{
#pragma unroll
    for (int i = 0; i < PIECE_UNITS; i++) {
        __half *at;
        unit[i] = make_uint4(0, 0, 0, 0);
        if (find_unit(a, a.residual, o, piece, i, at))
            unit[i] = *reinterpret_cast<const uint4 *>(at);
    }
}

static __device__ __forceinline__ uint32_t finish_pair(const sbv_conv_wgmma_args &a, float first, float second,
                                                       float bias, uint32_t residual)
{
    __half2 add, sum;
    memcpy(&add, &residual, sizeof(add));
    first += bias;
    second += bias;
    first = first > 0 ? first : a.slope * first;
    second = second > 0 ? second : a.slope * second;
    sum = __floats2half2_rn(first + __low2float(add), second + __high2float(add));
    memcpy(&residual, &sum, sizeof(sum));
    return residual;
}

/* Bias, activation and residual; sums lie in registers as [channel][pixel] and go out as [pixel][channel], turned round
 * by the transposing matrix loads and stores of shared memory. */
template <int PIECE_INDEX>
static __device__ __forceinline__ void write_piece(const sbv_conv_wgmma_args &a, const Output &o,
                                                   const float (&sum)[SUMS], const float (&bias)[2],
                                                   uint4 (&residual)[PIECE_UNITS], unsigned char *staging)
{
    const int lane = threadIdx.x & 31;
    if (a.residual.data) {
#pragma unroll
        for (int i = 0; i < PIECE_UNITS; i++) {
            const int unit = i * 32 + lane;
            *reinterpret_cast<uint4 *>(staged(staging, unit >> 1, unit & 1)) = residual[i];
        }
        __syncwarp();
        if (PIECE_INDEX + 1 < PIXELS / PIECE)
            load_residual(a, o, PIECE_INDEX + 1, residual);
    }
#pragma unroll
    for (int pair = 0; pair < 4; pair++) { /* of rows */
        /* matrices: both groups of channels of the first row, of the second row */
        unsigned char *at = staged(staging, (pair * 2 + (lane >> 4)) * SBV_WGMMA_WIDTH + (lane & 7), lane >> 3 & 1);
        const int first = (PIECE_INDEX * 8 + pair * 2) * 4;
        uint32_t r[4] = {0, 0, 0, 0};
        if (a.residual.data)
            ldmatrix_x4_trans(r, at);
#pragma unroll
        for (int m = 0; m < 4; m++)
            r[m] = finish_pair(a, sum[first + m * 2], sum[first + m * 2 + 1], bias[m & 1], r[m]);
        stmatrix_x4_trans(at, r);
    }
    __syncwarp();
#pragma unroll
    for (int i = 0; i < PIECE_UNITS; i++) {
        const int unit = i * 32 + lane;
        __half *at;
        const uint4 value = *reinterpret_cast<const uint4 *>(staged(staging, unit >> 1, unit & 1));
        if (find_unit(a, a.out, o, PIECE_INDEX, i, at))
            *reinterpret_cast<uint4 *>(at) = value;
    }
    __syncwarp();
}

/* Computes the warpgroup's part of every tile of the block. */
template <int OUTPUTS>
static __device__ __forceinline__ void compute(const sbv_conv_wgmma_args &a, const Block &block, int warpgroup)
{
    using S = Shape<OUTPUTS>;
    const int warp = threadIdx.x / 32, lane = threadIdx.x & 31;
    const int side = S::tile_boxes == 2 ? warpgroup : 0;              /* which box */
    const int first_output = S::tile_boxes == 2 ? 0 : warpgroup * 64; /* of the warpgroup */
    unsigned char *staging = block.staging + warp * SBV_WGMMA_STAGING;
    Ring<S::boxes> box;
    Ring<S::taps> tap;
    Output o;
    float bias[2];
    box.place = side;
    o.channel = first_output + warp % 4 * 16;
    bias[0] = a.bias[o.channel + lane / 4];
    bias[1] = a.bias[o.channel + lane / 4 + 8];
    for (int tile = blockIdx.x; tile < a.tiles; tile += gridDim.x) {
        float sum[SUMS];
        uint4 residual[PIECE_UNITS];
        int last_box = 0, last_tap = 0;
#pragma unroll
        for (int i = 0; i < SUMS; i++)
            sum[i] = 0;
        wgmma_hold(sum);
        for (int step = 0; step < a.chunks * 3; step++) {
            mbar_wait(&block.box_full[box.place], box.parity);
#pragma unroll
            for (int dy = 0; dy < 3; dy++) {
                mbar_wait(&block.tap_full[tap.place], tap.parity);
                const WDesc weights = wdesc(block.taps + tap.place * S::tap_halves + first_output * SBV_WGMMA_CHANNELS);
                const WDesc pixels =
                    wdesc(block.boxes + box.place * S::box_halves + dy * SBV_WGMMA_WIDTH * SBV_WGMMA_CHANNELS);
                wgmma_fence();
#pragma unroll
                for (int k = 0; k < SBV_WGMMA_CHANNELS; k += 16)
                    wgmma_m64n256k16(sum, wdesc_k(weights, k), wdesc_k(pixels, k));
                wgmma_commit();
                /* While this tap is computed the one before it is done with. */
                if (step > 0 || dy > 0) {
                    wgmma_wait<1>();
                    __syncwarp();
                    if (lane == 0) {
                        mbar_arrive(&block.tap_empty[last_tap]);
                        if (dy == 0)
                            mbar_arrive(&block.box_empty[last_box]);
                    }
                }
                last_tap = tap.place;
                tap.advance(1);
            }
            last_box = box.place;
            box.advance(S::tile_boxes);
        }
        locate<OUTPUTS>(a, tile, o.x, o.y);
        o.x += side * SBV_WGMMA_WIDTH;
        if (a.residual.data)
            load_residual(a, o, 0, residual);
        wgmma_wait<0>();
        wgmma_hold(sum);
        __syncwarp();
        if (lane == 0) {
            mbar_arrive(&block.tap_empty[last_tap]);
            mbar_arrive(&block.box_empty[last_box]);
        }
        if (is_resident<OUTPUTS>(a))
            tap = Ring<S::taps>();
        write_piece<0>(a, o, sum, bias, residual, staging);
        write_piece<1>(a, o, sum, bias, residual, staging);
        write_piece<2>(a, o, sum, bias, residual, staging);
        write_piece<3>(a, o, sum, bias, residual, staging);
    }
}

template <int OUTPUTS>
static __device__ __forceinline__ void convolve(const sbv_conv_wgmma_args &a, const TensorMap &pixels,
                                                const TensorMap &weights, const Block &block)
{
    using S = Shape<OUTPUTS>;
    const int warpgroup = threadIdx.x / WARPGROUP;
    if (threadIdx.x == 0) {
        for (int i = 0; i < S::boxes; i++) {
            mbar_init(&block.box_full[i], 1);
            mbar_init(&block.box_empty[i], S::box_readers);
        }
        for (int i = 0; i < S::taps; i++) {
            mbar_init(&block.tap_full[i], 1);
            mbar_init(&block.tap_empty[i], S::tap_readers);
        }
        mbar_fence();
    }
    __syncthreads();
    if (warpgroup == 2) {
        setmaxnreg_dec<LOAD_REGISTERS>();
        if (threadIdx.x == 2 * WARPGROUP)
            load<OUTPUTS>(a, pixels, weights, block);
    } else {
        setmaxnreg_inc<COMPUTE_REGISTERS>();
        compute<OUTPUTS>(a, block, warpgroup);
    }
}

#define CONV_WGMMA(outputs)                                                                                            \
    KERNEL(LAUNCH_BOUNDS(SBV_WGMMA_THREADS, 1) sbv_conv_wgmma_##outputs, const sbv_conv_wgmma_args a,                  \
           TMAP_PARAM(pixels), TMAP_PARAM(weights))                                                                    \
    {                                                                                                                  \
        const int boxes_count = SBV_WGMMA_BOXES(outputs), taps_count = SBV_WGMMA_TAPS(outputs);                        \
        DYN_SMEM();                                                                                                    \
        SMEM_ARRAY(__half, boxes, 0, SBV_WGMMA_TAPS_AT(outputs) / 2);                                                  \
        SMEM_ARRAY(__half, taps, SBV_WGMMA_TAPS_AT(outputs), taps_count *SBV_WGMMA_TAP(outputs) / 2);                  \
        SMEM_ARRAY(unsigned char, staging, SBV_WGMMA_STAGING_AT(outputs), 8 * SBV_WGMMA_STAGING);                      \
        SMEM_ARRAY(MBar, barriers, SBV_WGMMA_BARRIERS_AT(outputs), 2 * (boxes_count + taps_count));                    \
        const Block block = {boxes,                                                                                    \
                             taps,                                                                                     \
                             staging,                                                                                  \
                             barriers,                                                                                 \
                             barriers + boxes_count,                                                                   \
                             barriers + 2 * boxes_count,                                                               \
                             barriers + 2 * boxes_count + taps_count};                                                 \
        convolve<outputs>(a, pixels, weights, block);                                                                  \
    }

CONV_WGMMA(64)
CONV_WGMMA(128)

#endif /* SBV_SM90 */
