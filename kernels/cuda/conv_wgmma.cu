/*
 * 3x3 convolution with 64 or 128 outputs for sm_90a: wgmma, fed and emptied by the copy engine.
 *
 * The matrix product of a tap is outputs x pixels: its rows (M) are output channels, its columns (N) pixels, so that
 * 64 x 256 products of one instruction read 80 bytes of shared memory a cycle; with the roles changed it would be 96,
 * or 128 where there are 64 outputs, and 128 is all there is. Each of two warpgroups holds 64 outputs of a tile of
 * 8 x 32 pixels in registers: with 128 outputs both work on the same tile, with 64 they take the tiles in turn.
 *
 * The warpgroups do not begin together: one multiplies while the other one finishes its tile, so that the tensor cores
 * have always work. With 64 outputs a warpgroup begins when the other one has issued the last product of its tile; with
 * 128, where both read the same pixels, the second one follows the first one at a distance of SBV_WGMMA_HEAD steps.
 *
 * Pixels come as boxes of 64 channels x 8 columns x 34 rows, one for each column of taps. The copy engine fills in
 * zeros outside the image, which is the padding, and swizzles 128-byte rows within atoms of 8 pixels x 128 bytes. A row
 * of a box is one atom, so that the three taps of a column read the same box 0, 1 and 2 atoms further on. Moving
 * sideways would cut atoms in two; each column has a box of its own for that reason. Behind the boxes of a tile comes a
 * place for its results, which has the residual in it where there is one. The copy engine takes the results from there
 * and leaves out what lies outside of the range: tiles at the edge are not a case of their own.
 *
 * The third warpgroup has one warp for the boxes, one or two for the weights and one for the results. A pair of
 * barriers belongs to each place of a ring: "full" when the copy engine has written it, "empty" when all warps that
 * read it have done so. The weights of a 64 -> 64 convolution all fit and stay for the whole launch.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/conv_params.h"
#include "kernels/cuda/gpu.h"

#if SBV_SM90

#define WARPGROUP 128 /* threads */
#define WARPS     (WARPGROUP / 32)
#define PIXELS    (SBV_WGMMA_WIDTH * SBV_WGMMA_HEIGHT)
#define SUMS      (64 * PIXELS / WARPGROUP) /* of a thread */

/* Registers of a thread. A launch gives each of the 384 threads 168, which is as many as 232 * 256 + 40 * 128. */
#define COMPUTE_REGISTERS 232
#define LOAD_REGISTERS    40

/* What becomes of a sum: all of it that a launch does not need is left out. */
enum Activation { RELU, LINEAR, LEAKY /* any slope */ };
template <int OUTPUTS_, Activation ACTIVATION, bool RESIDUAL> struct Kind {
    static constexpr int outputs = OUTPUTS_;
    static constexpr Activation activation = ACTIVATION;
    static constexpr bool has_residual = RESIDUAL;
    static_assert(activation != RELU || !has_residual, "is a conversion, to which nothing can be added");

    static constexpr bool shares_tiles = outputs == 128; /* whether both warpgroups work on each tile */
    static constexpr int results = outputs / 64;         /* places in the ring of boxes, behind those of a tile */
    static constexpr int box_readers = results * WARPS;  /* warps */
    static constexpr int tap_rings = results, taps = SBV_WGMMA_TAPS(outputs);
};

/* Shared memory. */
struct Block {
    unsigned char *boxes, *taps;
    MBar *box_full, *box_empty, *tap_full, *tap_empty;
    MBar *turn;  /* of each warpgroup: it may begin its next tile */
    MBar *ready; /* of each warpgroup: the place for its results is free, with the residual in it */
    MBar *done;  /* of each warpgroup: its results are there */

    __device__ __forceinline__ unsigned char *box(int place) const
    {
        return boxes + place * SBV_WGMMA_BOX;
    }
};

/* The ring of boxes, by the number of places that were passed. */
struct BoxRing {
    unsigned passed = 0;

    __device__ __forceinline__ int place() const
    {
        return static_cast<int>(passed % SBV_WGMMA_BOXES);
    }
    __device__ __forceinline__ unsigned parity() const
    {
        return passed / SBV_WGMMA_BOXES & 1;
    }
};
static_assert((SBV_WGMMA_BOXES & (SBV_WGMMA_BOXES - 1)) == 0, "the number of places passed may overflow");

/* A ring of weights: a place in it, and the parity of the times it has been gone round. */
template <int PLACES> struct TapRing {
    int place = 0;
    unsigned parity = 0;

    __device__ __forceinline__ void advance()
    {
        if (++place == PLACES) {
            place = 0;
            parity ^= 1;
        }
    }
};

/* The top left output pixels of the tiles of a block, from one to the next without a division. */
struct Walk {
    int x, y, end;

    __device__ __forceinline__ explicit Walk(const sbv_conv_wgmma_args &a)
    {
        const int tile = static_cast<int>(blockIdx.x);
        end = a.x0 + a.tiles_x * SBV_WGMMA_WIDTH;
        x = a.x0 + tile % a.tiles_x * SBV_WGMMA_WIDTH;
        y = a.y0 + tile / a.tiles_x * SBV_WGMMA_HEIGHT;
    }
    __device__ __forceinline__ void advance(const sbv_conv_wgmma_args &a)
    {
        x += a.step_x;
        y += a.step_y;
        if (x >= end) {
            x -= a.tiles_x * SBV_WGMMA_WIDTH;
            y += SBV_WGMMA_HEIGHT;
        }
    }
};

/* The weights of a 64 -> 64 convolution stay in their places. */
template <class K> static __device__ __forceinline__ bool is_resident(const sbv_conv_wgmma_args &a)
{
    return a.chunks * 9 <= K::taps;
}

/* ---- One thread each ---- */

/* Loads the boxes of all tiles of the block in the order in which they are used, and residuals. */
template <class K>
static __device__ __forceinline__ void load_boxes(const sbv_conv_wgmma_args &a, const TensorMap *pixels,
                                                  const TensorMap *residual, const Block &block)
{
    BoxRing box;
    Walk at(a);
    int warpgroup = 0;
    for (int tile = static_cast<int>(blockIdx.x); tile < a.tiles; tile += gridDim.x, at.advance(a)) {
        const int left = at.x - a.padding, top = at.y - a.padding;
        for (int channel = 0; channel < a.chunks * SBV_WGMMA_CHANNELS; channel += SBV_WGMMA_CHANNELS)
            for (int x = left; x < left + 3; x++, box.passed++) {
                MBar *full = &block.box_full[box.place()];
                mbar_wait(&block.box_empty[box.place()], box.parity() ^ 1);
                mbar_expect(full, SBV_WGMMA_BOX);
                tma_load3(block.box(box.place()), pixels, full, channel, x, top);
            }
#pragma unroll
        for (int i = 0; i < K::results; i++, box.passed++, warpgroup ^= 1) {
            MBar *ready = &block.ready[warpgroup];
            mbar_wait(&block.box_empty[box.place()], box.parity() ^ 1);
            /* Full at once: the other warpgroup does not wait for this place, and counts that it is over. */
            mbar_arrive(&block.box_full[box.place()]);
            if (K::has_residual) {
                mbar_expect(ready, SBV_WGMMA_RESULTS);
                tma_load3(block.box(box.place()), residual, ready, i * 64, at.x, at.y);
            } else {
                mbar_arrive(ready);
            }
        }
    }
}

/* Loads weights, tap by tap, into one of the rings: those of 64 outputs. */
template <class K>
static __device__ __forceinline__ void load_taps(const sbv_conv_wgmma_args &a, const TensorMap *weights,
                                                 const Block &block, int ring)
{
    const int first = ring * K::taps;
    TapRing<K::taps> tap;
    for (int tile = static_cast<int>(blockIdx.x); tile < a.tiles; tile += gridDim.x) {
        for (int channel = 0; channel < a.chunks * SBV_WGMMA_CHANNELS; channel += SBV_WGMMA_CHANNELS)
            for (int dx = 0; dx < 3; dx++)
                for (int dy = 0; dy < 3; dy++, tap.advance()) {
                    const int place = first + tap.place;
                    mbar_wait(&block.tap_empty[place], tap.parity ^ 1);
                    mbar_expect(&block.tap_full[place], SBV_WGMMA_TAP);
                    tma_load3(block.taps + place * SBV_WGMMA_TAP, weights, &block.tap_full[place], channel, ring * 64,
                              dy * 3 + dx);
                }
        if (is_resident<K>(a))
            break;
    }
}

/* Stores what the warpgroups leave in their places, and gives these back. */
template <class K>
static __device__ __forceinline__ void store_results(const sbv_conv_wgmma_args &a, const TensorMap *out,
                                                     const Block &block)
{
    BoxRing box;
    Walk at(a);
    unsigned count = 0;
    for (int tile = static_cast<int>(blockIdx.x); tile < a.tiles; tile += gridDim.x, at.advance(a), count++) {
        box.passed += static_cast<unsigned>(a.chunks * 3);
#pragma unroll
        for (int i = 0; i < K::results; i++, box.passed++) {
            const int warpgroup = K::shares_tiles ? i : static_cast<int>(count & 1);
            mbar_wait(&block.done[warpgroup], (K::shares_tiles ? count : count / 2) & 1);
            tma_store3(out, block.box(box.place()), i * 64, at.x, at.y);
            tma_store_commit();
            tma_store_wait_read<0>();
            for (int warp = 0; warp < K::box_readers; warp++)
                mbar_arrive(&block.box_empty[box.place()]);
        }
    }
    tma_store_wait<0>();
}

/* ---- Warpgroups that compute ---- */

template <class K>
static __device__ __forceinline__ uint32_t finish_pair(const sbv_conv_wgmma_args &a, float first, float second,
                                                       float bias, uint32_t residual)
{
    first += bias;
    second += bias;
    if (K::activation == RELU)
        return half2_relu(first, second);
    if (K::activation == LEAKY) {
        first = first > 0 ? first : a.slope * first;
        second = second > 0 ? second : a.slope * second;
    }
    if (K::has_residual) {
        __half2 add;
        memcpy(&add, &residual, sizeof(add));
        first += __low2float(add);
        second += __high2float(add);
    }
    const __half2 sum = __floats2half2_rn(first, second);
    memcpy(&residual, &sum, sizeof(sum));
    return residual;
}

/* Bias, activation and residual. Sums lie in registers as [channel][pixel] and go out as [pixel][channel], turned round
 * by the transposing matrix loads and stores of shared memory. A place for results is 256 pixels of 64 halves, swizzled
 * as boxes are; each warp has 16 of the channels to itself, and writes where it has read the residual. */
template <class K>
static __device__ __forceinline__ void finish_tile(const sbv_conv_wgmma_args &a, const float (&sum)[SUMS],
                                                   const float (&bias)[2], unsigned char *results)
{
    const int warp = threadIdx.x / 32 % WARPS, lane = threadIdx.x & 31;
    /* matrices: both groups of eight channels of the first row of pixels, of the second row */
    const int pixel = lane & 7, group = warp * 2 + (lane >> 3 & 1);
    unsigned char *at = results + (lane >> 4) * SBV_WGMMA_WIDTH * 128 + pixel * 128 + (group ^ pixel) * 16;
#pragma unroll
    for (int row = 0; row < SBV_WGMMA_HEIGHT; row += 2) {
        uint32_t r[4] = {0, 0, 0, 0};
        if (K::has_residual)
            ldmatrix_x4_trans(r, at + row * SBV_WGMMA_WIDTH * 128);
#pragma unroll
        for (int m = 0; m < 4; m++)
            r[m] = finish_pair<K>(a, sum[row * 4 + m * 2], sum[row * 4 + m * 2 + 1], bias[m & 1], r[m]);
        stmatrix_x4_trans(at + row * SBV_WGMMA_WIDTH * 128, r);
    }
}

/* The products of a tile, `steps` boxes with three taps each. The rings go past what was used. */
template <class K>
static __device__ __forceinline__ void multiply_tile(const sbv_conv_wgmma_args &a, const Block &block, int warpgroup,
                                                     BoxRing &box, TapRing<K::taps> &tap, float (&sum)[SUMS])
{
    const bool speaks = (threadIdx.x & 31) == 0; /* for the warp */
    const bool frees_taps = speaks && !is_resident<K>(a);
    const int ring = K::shares_tiles ? warpgroup * K::taps : 0, steps = a.chunks * 3;
    int last_box = 0, last_tap = 0;
#pragma unroll
    for (int i = 0; i < SUMS; i++)
        sum[i] = 0;
    wgmma_hold(sum);
    for (int step = 0; step < steps; step++) {
        mbar_wait(&block.box_full[box.place()], box.parity());
#pragma unroll
        for (int dy = 0; dy < 3; dy++) {
            const int place = ring + tap.place;
            mbar_wait(&block.tap_full[place], tap.parity);
            const WDesc weights = wdesc(block.taps + place * SBV_WGMMA_TAP);
            const WDesc pixels = wdesc(block.box(box.place()) + dy * SBV_WGMMA_WIDTH * SBV_WGMMA_CHANNELS * 2);
            wgmma_fence();
#pragma unroll
            for (int k = 0; k < SBV_WGMMA_CHANNELS; k += 16)
                wgmma_m64n256k16(sum, wdesc_k(weights, k), wdesc_k(pixels, k));
            wgmma_commit();
            if (K::shares_tiles && dy == 2 && step == SBV_WGMMA_HEAD - 1 && speaks)
                mbar_arrive(&block.turn[warpgroup ^ 1]);
            /* While this tap is computed the one before it is done with. */
            if (step > 0 || dy > 0) {
                wgmma_wait<1>();
                __syncwarp();
                if (frees_taps)
                    mbar_arrive(&block.tap_empty[last_tap]);
                if (dy == 0 && speaks)
                    mbar_arrive(&block.box_empty[last_box]);
            }
            last_tap = place;
            tap.advance();
        }
        last_box = box.place();
        box.passed++;
    }
    if (!K::shares_tiles && speaks)
        mbar_arrive(&block.turn[warpgroup ^ 1]);
    wgmma_wait<0>();
    wgmma_hold(sum);
    __syncwarp();
    if (frees_taps)
        mbar_arrive(&block.tap_empty[last_tap]);
    if (speaks)
        mbar_arrive(&block.box_empty[last_box]);
}

/* Multiplies and finishes the warpgroup's part of the tiles of the block. */
template <class K>
static __device__ __forceinline__ void compute(const sbv_conv_wgmma_args &a, const Block &block, int warpgroup)
{
    const int first_output = (K::shares_tiles ? warpgroup : 0) * 64 + threadIdx.x / 32 % WARPS * 16;
    const float *own_bias = a.bias + first_output + (threadIdx.x & 31) / 4;
    const float bias[2] = {own_bias[0], own_bias[8]};
    const int first = static_cast<int>(blockIdx.x + (K::shares_tiles ? 0 : warpgroup * gridDim.x));
    const int stride = static_cast<int>(gridDim.x) * (K::shares_tiles ? 1 : 2), steps = a.chunks * 3;
    BoxRing box;
    TapRing<K::taps> tap;
    unsigned parity = 0; /* of the tiles that were begun */
    if (!K::shares_tiles && warpgroup) {
        box.passed = static_cast<unsigned>(steps + 1);
        tap.parity = is_resident<K>(a) ? 0 : a.chunks & 1;
    }
    for (int tile = first; tile < a.tiles; tile += stride, parity ^= 1) {
        float sum[SUMS];
        /* The first warpgroup begins without being told. Where boxes are passed over, this also says that the other one
         * has seen them full: a barrier's phase can be told from the one before it alone. */
        mbar_wait(&block.turn[warpgroup], warpgroup ? parity : parity ^ 1);
        multiply_tile<K>(a, block, warpgroup, box, tap, sum);
        box.passed += K::shares_tiles ? warpgroup : 0;
        mbar_wait(&block.ready[warpgroup], parity);
        finish_tile<K>(a, sum, bias, block.box(box.place()));
        proxy_fence();
        __syncwarp();
        if ((threadIdx.x & 31) == 0)
            mbar_arrive(&block.done[warpgroup]);
        /* past the results, and what belongs to the other warpgroup */
        box.passed += K::shares_tiles ? K::results - warpgroup : steps + 2;
        if (is_resident<K>(a))
            tap = TapRing<K::taps>();
        else if (!K::shares_tiles)
            tap.parity ^= a.chunks & 1;
    }
}

template <class K>
static __device__ __forceinline__ void convolve(const sbv_conv_wgmma_args &a, const TensorMap *pixels,
                                                const TensorMap *weights, const TensorMap *residual,
                                                const TensorMap *out, const Block &block)
{
    const int warpgroup = threadIdx.x / WARPGROUP, warp = threadIdx.x / 32 % WARPS;
    if (threadIdx.x == 0) {
        for (int i = 0; i < SBV_WGMMA_BOXES; i++) {
            mbar_init(&block.box_full[i], 1);
            mbar_init(&block.box_empty[i], K::box_readers);
        }
        for (int i = 0; i < K::tap_rings * K::taps; i++) {
            mbar_init(&block.tap_full[i], 1);
            mbar_init(&block.tap_empty[i], WARPS);
        }
        for (int i = 0; i < 2; i++) {
            mbar_init(&block.turn[i], WARPS);
            mbar_init(&block.ready[i], 1);
            mbar_init(&block.done[i], WARPS);
        }
        mbar_fence();
    }
    __syncthreads();
    if (warpgroup < 2) {
        setmaxnreg_inc<COMPUTE_REGISTERS>();
        compute<K>(a, block, warpgroup);
        return;
    }
    setmaxnreg_dec<LOAD_REGISTERS>();
    if ((threadIdx.x & 31) != 0)
        return;
    if (warp == 0)
        load_boxes<K>(a, pixels, residual, block);
    else if (warp <= K::tap_rings)
        load_taps<K>(a, weights, block, warp - 1);
    else if (warp == 3)
        store_results<K>(a, out, block);
}

/* For nine taps, whose ring a tile goes round once for each chunk: see where compute() leaves out those of the other
 * warpgroup. */
static_assert(SBV_WGMMA_TAPS(64) == 9, "a chunk is once round the ring");
static_assert(SBV_WGMMA_HEAD <= 3 && SBV_WGMMA_HEAD < SBV_WGMMA_BOXES, "a tile has so many steps, and boxes for them");

#define CONV_WGMMA(name, outputs, activation, has_residual)                                                            \
    KERNEL(LAUNCH_BOUNDS(SBV_WGMMA_THREADS, 1) name, const sbv_conv_wgmma_args a, TMAP_PARAM(pixels),                  \
           TMAP_PARAM(weights), TMAP_PARAM(residual), TMAP_PARAM(out))                                                 \
    {                                                                                                                  \
        const int rings = SBV_WGMMA_TAP_PLACES(outputs);                                                               \
        DYN_SMEM();                                                                                                    \
        SMEM_ARRAY(unsigned char, boxes, 0, SBV_WGMMA_TAPS_AT);                                                        \
        SMEM_ARRAY(unsigned char, taps, SBV_WGMMA_TAPS_AT, rings *SBV_WGMMA_TAP);                                      \
        SMEM_ARRAY(MBar, barriers, SBV_WGMMA_BARRIERS_AT(outputs), SBV_WGMMA_BARRIERS(outputs));                       \
        MBar *tap_barriers = barriers + 2 * SBV_WGMMA_BOXES, *others = tap_barriers + 2 * rings;                       \
        const Block block = {                                                                                          \
            boxes,  taps,       barriers,  barriers + SBV_WGMMA_BOXES, tap_barriers, tap_barriers + rings,             \
            others, others + 2, others + 4};                                                                           \
        convolve<Kind<outputs, activation, has_residual>>(a, &pixels, &weights, &residual, &out, block);               \
    }

CONV_WGMMA(sbv_conv_wgmma_64_relu, 64, RELU, false)
CONV_WGMMA(sbv_conv_wgmma_64_linear_residual, 64, LINEAR, true)
CONV_WGMMA(sbv_conv_wgmma_64, 64, LEAKY, false)
CONV_WGMMA(sbv_conv_wgmma_64_residual, 64, LEAKY, true)
CONV_WGMMA(sbv_conv_wgmma_128_relu, 128, RELU, false)
CONV_WGMMA(sbv_conv_wgmma_128_linear_residual, 128, LINEAR, true)
CONV_WGMMA(sbv_conv_wgmma_128, 128, LEAKY, false)
CONV_WGMMA(sbv_conv_wgmma_128_residual, 128, LEAKY, true)

#endif /* SBV_SM90 */
