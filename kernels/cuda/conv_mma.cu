/*
 * Convolutions on tensor cores by mma.sync: fp16 factors, sums in floats. For sm_80 and later.
 *
 * A block computes a tile of pixels times a tile of outputs. Its factors come through a ring of stages in shared
 * memory, filled by asynchronous copies; a stage is 32 input channels of one tap. There are three kinds of kernels:
 *   - halo: 16x16 pixels. The inputs of all taps lie in shared memory, 32 channels at a time; only weights are
 * streamed. For kernels that are not too wide, with stride 1, on images that fill the GPU with such tiles.
 *   - gather: any pixels in reading order, whose inputs are loaded anew for every tap. For every shape; where the
 * inputs are not fp16 at multiples of 16 bytes they are read one by one.
 *   - split: small tiles, each warp sums an eighth of the products. For long sums on images of a few hundred pixels.
 * Halo and gather kernels add up the same products in the same order: chunks of 32 channels, in each the taps, in each
 * two times 16 channels. So their results have the same bits, whatever the tiles.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/conv_mma_load.cuh"

namespace
{

/* ---- Multiplying ---- */

/* Adds the products of a stage. a and b: offsets of the lane's rows of the first 16 pixels and the first 16 outputs, at
 * the first 16 channels; the next 16 channels are two units further on. ROWS: between pixels and the next 16. */
template <class T, int ROWS>
__device__ __forceinline__ void multiply(float (&sum)[T::TILES_M][T::TILES_N][4], const __half *in, int a,
                                         const __half *weights, int b)
{
#pragma unroll
    for (int half = 0; half < 2; half++) {
        uint32_t pixels[T::TILES_M][4], outputs[T::TILES_N / 2][4];
#pragma unroll
        for (int i = 0; i < T::TILES_M; i++)
            ldmatrix_x4(pixels[i], in + (a ^ (half * 2 * UNIT)) + i * ROWS * CHANNELS);
#pragma unroll
        for (int j = 0; j < T::TILES_N / 2; j++)
            ldmatrix_x4(outputs[j], weights + (b ^ (half * 2 * UNIT)) + j * 16 * CHANNELS);
#pragma unroll
        for (int i = 0; i < T::TILES_M; i++)
#pragma unroll
            for (int j = 0; j < T::TILES_N; j++)
                mma_m16n8k16(sum[i][j], pixels[i], outputs[j / 2][j % 2 * 2], outputs[j / 2][j % 2 * 2 + 1]);
    }
}

/* The row and the unit of which a lane gives the address: of 16 pixels, lanes 0 to 15 at the first unit; of 16 outputs,
 * lanes 0 to 7 and 16 to 23. */
__device__ __forceinline__ int pixel_row(int lane)
{
    return lane & 15;
}

__device__ __forceinline__ int pixel_unit(int lane)
{
    return lane >> 4;
}

__device__ __forceinline__ int output_row(int lane)
{
    return (lane & 7) + (lane >> 4) * 8;
}

__device__ __forceinline__ int output_unit(int lane)
{
    return lane >> 3 & 1;
}

/* ---- The end of a sum ---- */

/* Four lanes hold 2 channels of four groups of 8 each; afterwards each holds the 8 channels of one group. Its own
 * inverse. */
__device__ __forceinline__ void transpose_quad(uint32_t (&word)[4], int lane)
{
#pragma unroll
    for (int distance = 1; distance < 4; distance *= 2)
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (!(i & distance)) {
                const bool upper = lane & distance;
                const uint32_t sent = upper ? word[i] : word[i + distance];
                const uint32_t received = __shfl_xor_sync(~0u, sent, distance);
                word[i] = upper ? received : word[i];
                word[i + distance] = upper ? word[i + distance] : received;
            }
}

/* 32 channels of a pixel from `channel` on, the pixel's eight lanes of sums being sum[0..3][first] and [first + 1]. */
template <int TILES_N>
__device__ __forceinline__ void finish_wide(const sbv_conv_args &a, bool inside, int x, int y, int channel,
                                            const float (&sum)[TILES_N][4], int group, int first,
                                            const float2 (&bias)[4], int lane)
{
    const int mine = channel + lane % 4 * UNIT;
    const bool ok = inside && mine < a.out.c;
    uint32_t word[4] = {0, 0, 0, 0};
    if (a.residual.data) {
        if (ok) {
            const uint4 wide = *reinterpret_cast<const uint4 *>(static_cast<const __half *>(a.residual.data) +
                                                                sample_offset(a.residual, x, y) + mine);
            word[0] = wide.x;
            word[1] = wide.y;
            word[2] = wide.z;
            word[3] = wide.w;
        }
        transpose_quad(word, lane);
    }
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const float2 add = __half22float2(reinterpret_cast<const __half2 &>(word[j]));
        const float *s = &sum[group * 4 + j][first];
        const __half2 pair =
            __floats2half2_rn(activate(s[0] + bias[j].x, a.slope) + add.x, activate(s[1] + bias[j].y, a.slope) + add.y);
        word[j] = reinterpret_cast<const uint32_t &>(pair);
    }
    transpose_quad(word, lane);
    if (ok)
        *reinterpret_cast<uint4 *>(static_cast<__half *>(a.out.data) + sample_offset(a.out, x, y) + mine) =
            make_uint4(word[0], word[1], word[2], word[3]);
}

/* The sums of a warp into the output. `place` tells where pixel `row` of the tile is, and whether it is to be written.
 */
template <class T, class Place>
__device__ __forceinline__ void finish(const sbv_conv_cuda_args &p, const float (&sum)[T::TILES_M][T::TILES_N][4],
                                       const Place &place, int first_row, int first_output, int lane)
{
    const sbv_conv_args &a = p.conv;
#pragma unroll
    for (int group = 0; group < T::TILES_N / 4; group++) {
        const int channel = first_output + group * 32, own = channel + lane % 4 * 2;
        float2 bias[4];
#pragma unroll
        for (int j = 0; j < 4; j++)
            bias[j] = own + j * 8 < p.out_packed ? make_float2(a.bias[own + j * 8], a.bias[own + j * 8 + 1])
                                                 : make_float2(0, 0);
#pragma unroll
        for (int i = 0; i < T::TILES_M; i++)
#pragma unroll
            for (int lower = 0; lower < 2; lower++) {
                int x, y;
                const bool inside = place(first_row + i * 16 + lower * 8 + lane / 4, x, y);
                if (p.wide_out) {
                    finish_wide(a, inside, x, y, channel, sum[i], group, lower * 2, bias, lane);
                    continue;
                }
                if (!inside)
                    continue;
#pragma unroll
                for (int j = 0; j < 4; j++)
#pragma unroll
                    for (int k = 0; k < 2; k++)
                        if (own + j * 8 + k < a.out.c)
                            finish_sample(a, x, y, own + j * 8 + k, sum[i][group * 4 + j][lower * 2 + k]);
            }
    }
}

/* ---- The kernels ---- */

template <class T> __device__ __forceinline__ void convolve_halo(const sbv_conv_cuda_args &p)
{
    DYN_SMEM();
    SMEM_ARRAY(__half, slabs, 0, 2 * SLAB);
    SMEM_ARRAY(__half, stages, 2 * SBV_MMA_SLAB, STAGES * T::OUTPUTS * CHANNELS);
    constexpr int STAGE = T::OUTPUTS * CHANNELS;
    static_assert(T::PIXELS == TILE * TILE, "a tile of 16 rows of 16 pixels");
    const sbv_conv_args &a = p.conv;
    const int thread = (int)threadIdx.x, lane = thread % 32, warp = thread / 32;
    const int first_row = warp % T::WARPS_M * T::TILES_M, first_column = warp / T::WARPS_M * T::TILES_N * 8;
    const int tile = (int)blockIdx.x / p.tiles_out, first_output = (int)blockIdx.x % p.tiles_out * T::OUTPUTS;
    const int x0 = a.x0 + tile % p.tiles_x * TILE, y0 = a.y0 + tile / p.tiles_x * TILE;
    const int steps = (a.in.c + CHANNELS - 1) / CHANNELS * a.ksize * a.ksize;
    const int b = unit_at(first_column + output_row(lane), output_unit(lane));
    LoadCursor ahead(p);
    TapCursor now = {0, 0, 0};
    Weights<T> weights;
    float sum[T::TILES_M][T::TILES_N][4] = {};

    /* At least four taps: so many that the next chunk is there when it is needed, and no ring is longer than the sum.
     */
    ahead.begin_at(thread % UNITS * UNIT);
    weights.locate(p, first_output, thread);
    load_slab<T>(slabs, p, x0 - a.padding, y0 - a.padding, 0, thread);
    for (int step = 0; step < STAGES - 1; step++) {
        weights.load(stages + step * STAGE, p, ahead, thread);
        cp_async_commit();
        ahead.advance(1, a.ksize);
    }
    for (int step = 0; step < steps; step++) {
        cp_async_wait<STAGES - 2>();
        __syncthreads();
        const int chunk = now.channel / CHANNELS;
        if (step + STAGES - 1 < steps)
            weights.load(stages + (step + STAGES - 1) % STAGES * STAGE, p, ahead, thread);
        if (now.kx == 0 && now.ky == 0 && now.channel + CHANNELS < a.in.c)
            load_slab<T>(slabs + (chunk + 1) % 2 * SLAB, p, x0 - a.padding, y0 - a.padding, now.channel + CHANNELS,
                         thread);
        cp_async_commit();
        const int pixel = (first_row + now.ky * a.dilation) * SLAB_WIDTH + pixel_row(lane) + now.kx * a.dilation;
        multiply<T, SLAB_WIDTH>(sum, slabs + chunk % 2 * SLAB, unit_at(pixel, pixel_unit(lane)),
                                stages + step % STAGES * STAGE, b);
        ahead.advance(1, a.ksize);
        now.advance(1, a.ksize, CHANNELS);
    }
    const auto place = [&](int row, int &x, int &y) {
        x = x0 + row % TILE;
        y = y0 + row / TILE;
        return x < a.x1 && y < a.y0 + p.rows;
    };
    finish<T>(p, sum, place, first_row * 16, first_output + first_column, lane);
}

template <class T, bool WIDE> __device__ __forceinline__ void convolve_gather(const sbv_conv_cuda_args &p)
{
    constexpr int PIXEL_STAGE = T::PIXELS * CHANNELS, OUTPUT_STAGE = T::OUTPUTS * CHANNELS;
    DYN_SMEM();
    SMEM_ARRAY(__half, inputs, 0, STAGES * PIXEL_STAGE);
    SMEM_ARRAY(__half, factors, STAGES * PIXEL_STAGE * 2, STAGES * OUTPUT_STAGE);
    const sbv_conv_args &a = p.conv;
    const int thread = (int)threadIdx.x, lane = thread % 32, warp = thread / 32, unit = thread % UNITS;
    const int first_row = warp % T::WARPS_M * T::TILES_M * 16, first_column = warp / T::WARPS_M * T::TILES_N * 8;
    const int64_t first_pixel = (int64_t)(blockIdx.x / (unsigned)p.tiles_out) * T::PIXELS;
    const int first_output = (int)(blockIdx.x % (unsigned)p.tiles_out) * T::OUTPUTS;
    const int pixels = unit_at(first_row + pixel_row(lane), pixel_unit(lane));
    const int outputs = unit_at(first_column + output_row(lane), output_unit(lane));
    /* Where there are 16 input channels or fewer, a stage is two taps. */
    const int taps = p.in_packed < CHANNELS ? 2 : 1;
    const int steps = (a.in.c + CHANNELS - 1) / CHANNELS * ((a.ksize * a.ksize + taps - 1) / taps);
    float sum[T::TILES_M][T::TILES_N][4] = {};
    LoadCursor ahead(p);
    Gather<T, WIDE> gather;
    Weights<T> weights;

    gather.locate(p, first_pixel, thread);
    weights.locate(p, first_output, thread);
    ahead.begin_at(taps == 2 ? unit % 2 * UNIT : unit * UNIT);
    ahead.advance(taps == 2 ? unit / 2 : 0, a.ksize);
    for (int step = 0; step < STAGES - 1; step++) {
        if (step < steps) {
            gather.load(inputs + step * PIXEL_STAGE, p, ahead, thread);
            weights.load(factors + step * OUTPUT_STAGE, p, ahead, thread);
        }
        cp_async_commit();
        ahead.advance(taps, a.ksize);
    }
    for (int step = 0; step < steps; step++) {
        cp_async_wait<STAGES - 2>();
        __syncthreads();
        if (step + STAGES - 1 < steps) {
            const int next = (step + STAGES - 1) % STAGES;
            gather.load(inputs + next * PIXEL_STAGE, p, ahead, thread);
            weights.load(factors + next * OUTPUT_STAGE, p, ahead, thread);
        }
        cp_async_commit();
        ahead.advance(taps, a.ksize);
        multiply<T, 16>(sum, inputs + step % STAGES * PIXEL_STAGE, pixels, factors + step % STAGES * OUTPUT_STAGE,
                        outputs);
    }
    const auto place = [&](int row, int &x, int &y) {
        const int width = a.x1 - a.x0;
        const int64_t pixel = first_pixel + row;
        y = (int)(pixel / width);
        x = a.x0 + (int)(pixel - (int64_t)y * width);
        y += a.y0;
        return y < a.y0 + p.rows;
    };
    finish<T>(p, sum, place, first_row, first_output + first_column, lane);
}

/* Rows of the split kernel are 16 units; in eight rows in a row, the lowest three bits of the unit differ. */
__device__ __forceinline__ int long_unit_at(int row, int unit)
{
    return row * SBV_MMA_SPLIT_CHANNELS + (unit ^ (row & 7)) * UNIT;
}

/* Adds the products of the 16 channels of a stage that begin at `unit`. */
template <class T>
__device__ __forceinline__ void multiply_split(float (&sum)[T::TILES_M][T::TILES_N][4], const __half *in,
                                               const __half *weights, int unit, int lane)
{
    uint32_t pixels[T::TILES_M][4], outputs[T::TILES_N / 2][4];
#pragma unroll
    for (int i = 0; i < T::TILES_M; i++)
        ldmatrix_x4(pixels[i], in + long_unit_at(i * 16 + pixel_row(lane), unit + pixel_unit(lane)));
#pragma unroll
    for (int j = 0; j < T::TILES_N / 2; j++)
        ldmatrix_x4(outputs[j], weights + long_unit_at(j * 16 + output_row(lane), unit + output_unit(lane)));
#pragma unroll
    for (int i = 0; i < T::TILES_M; i++)
#pragma unroll
        for (int j = 0; j < T::TILES_N; j++)
            mma_m16n8k16(sum[i][j], pixels[i], outputs[j / 2][j % 2 * 2], outputs[j / 2][j % 2 * 2 + 1]);
}

/* The sums of a warp, pixel by pixel. */
template <class T>
__device__ __forceinline__ void store_parts(float *part, const float (&sum)[T::TILES_M][T::TILES_N][4], int lane)
{
#pragma unroll
    for (int i = 0; i < T::TILES_M; i++)
#pragma unroll
        for (int j = 0; j < T::TILES_N; j++)
#pragma unroll
            for (int k = 0; k < 4; k++)
                part[(i * 16 + k / 2 * 8 + lane / 4) * T::OUTPUTS + j * 8 + lane % 4 * 2 + k % 2] = sum[i][j][k];
}

/* Taps are the outer loop and channels the inner one; `channels` is rounded up to 16, the part of a warp. */
__device__ __forceinline__ void advance_channels(TapCursor &at, int count, int channels, int ksize)
{
    at.channel += count;
    while (at.channel >= channels) {
        at.channel -= channels;
        if (++at.kx == ksize) {
            at.kx = 0;
            at.ky++;
        }
    }
}

/* Inputs and weights of 128 products; a thread loads one unit of two pixels and of two outputs. Behind the last tap
 * there are zeros. */
struct SplitLoader {
    static constexpr int UNITS = SBV_MMA_SPLIT_CHANNELS / UNIT, ROWS = SBV_MMA_SPLIT_WARPS * 32 / UNITS;
    static constexpr int COUNT = SBV_MMA_SPLIT_TILE / ROWS;
    int x[COUNT], y[COUNT];

    __device__ __forceinline__ void locate(const sbv_conv_cuda_args &p, int64_t first_pixel, int thread)
    {
        const sbv_conv_args &a = p.conv;
        const int width = a.x1 - a.x0;
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            const int64_t pixel = first_pixel + i * ROWS + thread / UNITS;
            const int row = (int)(pixel / width), column = (int)(pixel - (int64_t)row * width);
            x[i] = (a.x0 + column) * a.stride - a.padding;
            y[i] = row < p.rows ? (a.y0 + row) * a.stride - a.padding : INT32_MIN / 2;
        }
    }

    __device__ __forceinline__ void load(__half *inputs, __half *outputs, const sbv_conv_cuda_args &p,
                                         const TapCursor &tap, int first_output, int thread) const
    {
        const sbv_conv_args &a = p.conv;
        const __half *base = static_cast<const __half *>(a.in.data), *weights = static_cast<const __half *>(a.weights);
        const bool more = tap.ky < a.ksize;
        const int bytes = unit_bytes(a.in, tap.channel);
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            const int row = i * ROWS + thread / UNITS, output = first_output + row;
            const int at_x = x[i] + tap.kx * a.dilation, at_y = y[i] + tap.ky * a.dilation;
            const bool ok = more && at_x >= 0 && at_x < a.in.w && at_y >= 0 && at_y < a.in.h && bytes;
            const int64_t from =
                ((int64_t)(tap.ky * a.ksize + tap.kx) * p.out_packed + output) * p.in_packed + tap.channel;
            cp_async16(inputs + long_unit_at(row, thread % UNITS), ok ? in_pixel(a.in, at_x, at_y) + tap.channel : base,
                       ok ? bytes : 0);
            cp_async16(outputs + long_unit_at(row, thread % UNITS), more ? weights + from : weights,
                       more ? UNIT_BYTES : 0);
        }
    }
};

__device__ __forceinline__ void convolve_split(const sbv_conv_cuda_args &p)
{
    constexpr int SIZE = SBV_MMA_SPLIT_TILE, STAGE = SIZE * SBV_MMA_SPLIT_CHANNELS;
    using T = Tile<1, 1, SIZE / 16, SIZE / 8>; /* of a warp */
    DYN_SMEM();
    SMEM_ARRAY(__half, inputs, 0, STAGES * STAGE);
    SMEM_ARRAY(__half, weights, STAGES * STAGE * 2, STAGES * STAGE);
    const sbv_conv_args &a = p.conv;
    const int thread = (int)threadIdx.x, lane = thread % 32, warp = thread / 32;
    const int64_t first_pixel = (int64_t)(blockIdx.x / (unsigned)p.tiles_out) * SIZE;
    const int first_output = (int)(blockIdx.x % (unsigned)p.tiles_out) * SIZE;
    const int channels = (a.in.c + 15) / 16 * 16;
    const int steps = (channels * a.ksize * a.ksize + SBV_MMA_SPLIT_CHANNELS - 1) / SBV_MMA_SPLIT_CHANNELS;
    float sum[T::TILES_M][T::TILES_N][4] = {};
    TapCursor ahead = {0, 0, 0};
    SplitLoader loader;

    loader.locate(p, first_pixel, thread);
    advance_channels(ahead, thread % SplitLoader::UNITS * UNIT, channels, a.ksize);
    for (int step = 0; step < STAGES - 1; step++) {
        loader.load(inputs + step * STAGE, weights + step * STAGE, p, ahead, first_output, thread);
        cp_async_commit();
        advance_channels(ahead, SBV_MMA_SPLIT_CHANNELS, channels, a.ksize);
    }
    for (int step = 0; step < steps; step++) {
        cp_async_wait<STAGES - 2>();
        __syncthreads();
        const int next = (step + STAGES - 1) % STAGES * STAGE;
        loader.load(inputs + next, weights + next, p, ahead, first_output, thread);
        cp_async_commit();
        advance_channels(ahead, SBV_MMA_SPLIT_CHANNELS, channels, a.ksize);
        multiply_split<T>(sum, inputs + step % STAGES * STAGE, weights + step % STAGES * STAGE, warp * 2, lane);
    }
    /* The stages become room for the sums of the warps. */
    cp_async_wait<0>();
    __syncthreads();
    float *parts = reinterpret_cast<float *>(inputs);
    store_parts<T>(parts + warp * SIZE * SIZE, sum, lane);
    __syncthreads();
    for (int i = thread; i < SIZE * SIZE; i += SBV_MMA_SPLIT_WARPS * 32) {
        const int width = a.x1 - a.x0, output = first_output + i % SIZE;
        const int64_t pixel = first_pixel + i / SIZE;
        const int row = (int)(pixel / width), column = (int)(pixel - (int64_t)row * width);
        float total = 0;
        for (int part = 0; part < SBV_MMA_SPLIT_WARPS; part++)
            total += parts[part * SIZE * SIZE + i];
        if (row < p.rows && output < a.out.c)
            finish_sample(a, a.x0 + column, a.y0 + row, output, total);
    }
}

} // namespace

/* Grid: tiles of outputs, in them tiles of pixels x 1 x convolutions of the batch. */
KERNEL(LAUNCH_BOUNDS(256, 1) sbv_conv_mma_halo_128, const sbv_conv_cuda_args first, const sbv_conv_batch batch)
{
    if (has_work(batch))
        convolve_halo<Tile<4, 2, 4, 8>>(member_of(first, batch));
}

KERNEL(LAUNCH_BOUNDS(256, 2) sbv_conv_mma_halo_64, const sbv_conv_cuda_args first, const sbv_conv_batch batch)
{
    if (has_work(batch))
        convolve_halo<Tile<4, 2, 4, 4>>(member_of(first, batch));
}

KERNEL(LAUNCH_BOUNDS(256, 2) sbv_conv_mma_halo_32, const sbv_conv_cuda_args first, const sbv_conv_batch batch)
{
    if (has_work(batch))
        convolve_halo<Tile<8, 1, 2, 4>>(member_of(first, batch));
}

KERNEL(LAUNCH_BOUNDS(256, 2) sbv_conv_mma_gather_64, const sbv_conv_cuda_args first, const sbv_conv_batch batch)
{
    if (has_work(batch))
        convolve_gather<Tile<4, 2, 2, 4>, true>(member_of(first, batch));
}

KERNEL(LAUNCH_BOUNDS(256, 2) sbv_conv_mma_gather_64_any, const sbv_conv_cuda_args first, const sbv_conv_batch batch)
{
    if (has_work(batch))
        convolve_gather<Tile<4, 2, 2, 4>, false>(member_of(first, batch));
}

KERNEL(LAUNCH_BOUNDS(128, 4) sbv_conv_mma_gather_32, const sbv_conv_cuda_args first, const sbv_conv_batch batch)
{
    if (has_work(batch))
        convolve_gather<Tile<4, 1, 1, 4>, true>(member_of(first, batch));
}

KERNEL(LAUNCH_BOUNDS(128, 4) sbv_conv_mma_gather_32_any, const sbv_conv_cuda_args first, const sbv_conv_batch batch)
{
    if (has_work(batch))
        convolve_gather<Tile<4, 1, 1, 4>, false>(member_of(first, batch));
}

KERNEL(LAUNCH_BOUNDS(SBV_MMA_SPLIT_WARPS * 32, 2) sbv_conv_mma_split, const sbv_conv_cuda_args first,
       const sbv_conv_batch batch)
{
    if (has_work(batch))
        convolve_split(member_of(first, batch));
}
