/*
 * Convolution by Intel AMX: products of bfloat16, sums in fp32. See Intel's Architecture Instruction Set Extensions
 * Programming Reference, chapter 3, for the tiles.
 *
 * A tile register holds 16 rows of 64 bytes. One TDPBF16PS multiplies 16 pixels by 32 channels with 32 channels by 16
 * outputs; four of them, 32 pixels by 32 outputs, share four loads, and their sums are the other four registers. The
 * input is first packed into a strip of rows of its own, small enough for the L2 cache: bfloat16, channels filled up
 * with zeros to a multiple of 32, zeros where a tap would fall outside the image. So padding, types, offsets and
 * channel counts are dealt with once a sample and the tiles load aligned lines, `stride` pixels apart. The strip keeps
 * as many rows as the kernel has, and goes down the image.
 *
 * Channels are taken in chunks of 128: what 32 pixels need of a chunk stays in the L1 cache while the weights of all
 * outputs pass by. Between chunks the sums wait in memory. The order in which a pixel's products are added depends on
 * the layer alone, so the bits do not depend on ranges, tiles and the width of strips.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <immintrin.h>
#include <limits.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/scratch.h"
#include "kernels/samples.h"

#define TILE        16 /* pixels, or outputs, of a tile */
#define STEP        32 /* channels of a tile: one step of a sum */
#define CHUNK_STEPS 4
#define TILE_SIZE   512 /* bfloat16 values */
#define BLOCK       32  /* pixels, and outputs, that are computed at once */
#define BLOCK_SUMS  (BLOCK * BLOCK)
#define MAX_KERNEL  5

#define NO_ROW INT_MIN

/* What a call works with. Positions in the strip count bfloat16 values. */
struct conv {
    const sbv_conv_args *a;
    int steps, chunks, tiles; /* of channels, of chunks of these; of outputs */
    int resident;             /* the strip holds all chunks of a row, else one */
    int columns;              /* output pixels of a row of the strip, a multiple of BLOCK */
    int extent;               /* input pixels that they need */
    ptrdiff_t pixel, row, chunk;
    uint16_t *strip;      /* [chunk][row, in turn][pixel][channel] */
    float *sums;          /* [block of pixels][pair of tiles of outputs][BLOCK_SUMS]; one of these with one chunk */
    int held[MAX_KERNEL]; /* which row of the input a row of the strip holds */
};

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* Steps for the channels of one tap. With `split` each channel comes twice: up to 16 of them as halves of one step,
 * more as pairs of steps. */
static int steps_of(int in, int split)
{
    const int steps = (in + STEP - 1) / STEP;
    return !split ? steps : in <= STEP / 2 ? 1 : 2 * steps;
}

static int tiles_of(int out)
{
    return (out + TILE - 1) / TILE;
}

static int chunk_steps(int steps, int chunk)
{
    return smaller(steps - chunk * CHUNK_STEPS, CHUNK_STEPS);
}

size_t sbv_conv_bytes_amx(int out, int in, int kernel, int split)
{
    return (size_t)(kernel * kernel) * (size_t)steps_of(in, split) * (size_t)tiles_of(out) * TILE_SIZE *
           sizeof(uint16_t);
}

/* Where the weights of a chunk for a pair of output tiles begin: [chunk][pair][tap][step][tile of the pair][tile]. */
static size_t weights_at(int taps, int steps, int tiles, int chunk, int pair)
{
    return ((size_t)chunk * CHUNK_STEPS * (size_t)tiles + 2 * (size_t)pair * (size_t)chunk_steps(steps, chunk)) *
           (size_t)taps * TILE_SIZE;
}

/* A tile of weights is [pair of channels][output][channel of the pair]. `channel` counts those of the packed input. */
static void put_weight(uint16_t *packed, int out, int steps, int taps, int o, int channel, int t, uint16_t value)
{
    const int step = channel / STEP, chunk = step / CHUNK_STEPS, tiles = tiles_of(out), pair = o / BLOCK;
    const int pair_tiles = smaller(tiles - 2 * pair, 2);
    uint16_t *tile = packed + weights_at(taps, steps, tiles, chunk, pair) +
                     ((t * chunk_steps(steps, chunk) + step % CHUNK_STEPS) * pair_tiles + o % BLOCK / TILE) * TILE_SIZE;
    tile[channel % STEP / 2 * 2 * TILE + o % TILE * 2 + channel % 2] = value;
}

void sbv_pack_conv_amx(const float *raw, int out, int in, int kernel, int split, void *packed)
{
    const int steps = steps_of(in, split), taps = kernel * kernel;
    const int second = in <= STEP / 2 ? STEP / 2 : STEP; /* from a channel to its lower half */
    memset(packed, 0, sbv_conv_bytes_amx(out, in, kernel, split));
    for (int o = 0; o < out; o++)
        for (int i = 0; i < in; i++)
            for (int t = 0; t < taps; t++) {
                const uint16_t value = sbv_to_bf16(*raw++);
                const int channel = split ? i / STEP * 2 * STEP + i % STEP : i;
                put_weight(packed, out, steps, taps, o, channel, t, value);
                if (split)
                    put_weight(packed, out, steps, taps, o, channel + second, t, value);
            }
}

/* ---- Packing the input ---- */

static __mmask32 channel_mask(int channels)
{
    return channels >= STEP ? 0xffffffffu : channels <= 0 ? 0 : (1u << channels) - 1;
}

static inline __m512i load_floats(const float *from, __mmask32 mask)
{
    const __m512 low = _mm512_maskz_loadu_ps((__mmask16)mask, from);
    const __m512 high = _mm512_maskz_loadu_ps((__mmask16)(mask >> 16), from + 16);
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/* The upper and the lower bfloat16 of up to 16 floats, side by side. */
static inline __m512i load_split(const float *from, __mmask16 mask)
{
    const __m512 value = _mm512_maskz_loadu_ps(mask, from);
    const __m256i high = (__m256i)_mm512_cvtneps_pbh(value);
    const __m512 rest = _mm512_sub_ps(value, (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
    return _mm512_inserti64x4(_mm512_castsi256_si512(high), (__m256i)_mm512_cvtneps_pbh(rest), 1);
}

/* Channels of `count` pixels that steps first .. first + steps - 1 are made of. */
static void pack_bfloat16(const struct conv *c, uint16_t *to, const uint16_t *from, int count, int first, int steps)
{
    const sbv_map *in = &c->a->in;
    for (int i = 0; i < count; i++, to += c->pixel, from += in->pixel)
        for (int s = 0; s < steps; s++) {
            const int at = (first + s) * STEP;
            _mm512_store_si512(to + s * STEP, _mm512_maskz_loadu_epi16(channel_mask(in->c - at), from + at));
        }
}

static void pack_floats(const struct conv *c, uint16_t *to, const float *from, int count, int first, int steps)
{
    const sbv_map *in = &c->a->in;
    for (int i = 0; i < count; i++, to += c->pixel, from += in->pixel)
        for (int s = 0; s < steps; s++) {
            const int at = (first + s) * STEP;
            _mm512_store_si512(to + s * STEP, load_floats(from + at, channel_mask(in->c - at)));
        }
}

static void pack_split(const struct conv *c, uint16_t *to, const float *from, int count, int first, int steps)
{
    const sbv_map *in = &c->a->in;
    for (int i = 0; i < count; i++, to += c->pixel, from += in->pixel) {
        if (in->c <= STEP / 2) {
            _mm512_store_si512(to, load_split(from, (__mmask16)channel_mask(in->c)));
            continue;
        }
        for (int s = 0; s < steps; s += 2) {
            const int at = (first + s) / 2 * STEP;
            const __mmask32 mask = channel_mask(in->c - at);
            const __m512i one = load_split(from + at, (__mmask16)mask);
            const __m512i other = load_split(from + at + 16, (__mmask16)(mask >> 16));
            _mm512_store_si512(to + s * STEP, _mm512_shuffle_i64x2(one, other, 0x44));
            _mm512_store_si512(to + (s + 1) * STEP, _mm512_shuffle_i64x2(one, other, 0xee));
        }
    }
}

/* Steps of one chunk of row iy of the input, from column ix on; zeros outside. */
static void pack_row(const struct conv *c, uint16_t *to, int iy, int ix, int chunk)
{
    const sbv_conv_args *a = c->a;
    const int first = chunk * CHUNK_STEPS, steps = chunk_steps(c->steps, chunk);
    const int left = iy < 0 || iy >= a->in.h ? c->extent : smaller(ix < 0 ? -ix : 0, c->extent);
    const int right = smaller(a->in.w - ix, c->extent); /* where the image ends */
    const ptrdiff_t from = iy * a->in.row + (ix + left) * a->in.pixel;
    memset(to, 0, (size_t)(left * c->pixel) * sizeof(*to));
    if (right < c->extent && left < c->extent) {
        const int end = right > left ? right : left;
        memset(to + end * c->pixel, 0, (size_t)((c->extent - end) * c->pixel) * sizeof(*to));
    }
    if (right <= left || left == c->extent)
        return;
    to += left * c->pixel;
    if (a->in.type == SBV_MAP_BF16)
        pack_bfloat16(c, to, (const uint16_t *)a->in.data + from, right - left, first, steps);
    else if (a->split)
        pack_split(c, to, (const float *)a->in.data + from, right - left, first, steps);
    else
        pack_floats(c, to, (const float *)a->in.data + from, right - left, first, steps);
}

/* Where row iy of the input lies in the strip. */
static int slot_of(const sbv_conv_args *a, int iy)
{
    return (iy + a->padding) / a->dilation % a->kernel;
}

/* Sees to it that the strip holds chunks begin .. end - 1 of what output row y needs, from output column x on. */
static void pack_rows(struct conv *c, int x, int y, int begin, int end)
{
    const sbv_conv_args *a = c->a;
    for (int ky = 0; ky < a->kernel; ky++) {
        const int iy = y * a->stride - a->padding + ky * a->dilation, slot = slot_of(a, iy);
        if (c->held[slot] == iy)
            continue;
        c->held[slot] = iy;
        for (int chunk = begin; chunk < end; chunk++)
            pack_row(c, c->strip + (chunk - begin) * c->chunk + slot * c->row, iy, x * a->stride - a->padding, chunk);
    }
}

/* ---- Multiplying ---- */

static void configure_tiles(void)
{
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = 64;
        config.rows[i] = TILE;
    }
    __asm__ volatile("" ::"m"(config) : "memory"); /* the intrinsic does not say all of what it reads */
    _tile_loadconfig(&config);
}

/* sums += inputs * weights, over all taps of a chunk, for pixels * 16 pixels and outputs * 16 outputs. `rows` are where
 * the first pixel's taps begin. */
static inline __attribute__((always_inline)) void multiply(const struct conv *c, const uint16_t *const rows[],
                                                           const uint16_t *w, float *sums, int steps, int fresh,
                                                           int pixels, int outputs)
{
    const sbv_conv_args *a = c->a;
    const ptrdiff_t next = a->stride * c->pixel, next_bytes = next * (ptrdiff_t)sizeof(uint16_t);
    if (fresh) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    } else {
        _tile_loadd(0, sums, 64);
        _tile_loadd(1, sums + 256, 64);
        _tile_loadd(2, sums + 512, 64);
        _tile_loadd(3, sums + 768, 64);
    }
    for (int ky = 0; ky < a->kernel; ky++)
        for (int kx = 0; kx < a->kernel; kx++) {
            const uint16_t *in = rows[ky] + kx * a->dilation * c->pixel;
            for (int s = 0; s < steps; s++, in += STEP, w += outputs * TILE_SIZE) {
                _tile_loadd(4, in, next_bytes);
                _tile_loadd(6, w, 64);
                _tile_dpbf16ps(0, 4, 6);
                if (outputs == 2) {
                    _tile_loadd(7, w + TILE_SIZE, 64);
                    _tile_dpbf16ps(1, 4, 7);
                }
                if (pixels == 2) {
                    _tile_loadd(5, in + TILE * next, next_bytes);
                    _tile_dpbf16ps(2, 5, 6);
                    if (outputs == 2)
                        _tile_dpbf16ps(3, 5, 7);
                }
            }
        }
    _tile_stored(0, sums, 64);
    _tile_stored(1, sums + 256, 64);
    _tile_stored(2, sums + 512, 64);
    _tile_stored(3, sums + 768, 64);
}

/* Bias, activation and residual of one pixel's sums for up to 16 outputs, stored. */
static inline void store_pixel(const sbv_conv_args *a, const float *sums, int x, int y, int first)
{
    const __mmask16 mask = (__mmask16)channel_mask(smaller(a->out.c - first, TILE));
    const ptrdiff_t at = y * a->out.row + x * a->out.pixel + first;
    __m512 value = _mm512_add_ps(_mm512_load_ps(sums), _mm512_loadu_ps(a->bias + first));
    value = _mm512_mask_mul_ps(value, _mm512_cmp_ps_mask(value, _mm512_setzero_ps(), _CMP_NGT_UQ), value,
                               _mm512_set1_ps(a->slope));
    if (a->residual.data)
        value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, sbv_at(&a->residual, x, y) + first));
    if (a->out.type == SBV_MAP_BF16)
        _mm256_mask_storeu_epi16((uint16_t *)a->out.data + at, mask, (__m256i)_mm512_cvtneps_pbh(value));
    else
        _mm512_mask_storeu_ps((float *)a->out.data + at, mask, value);
}

/* What the sums of a block, [pixels in 16s][outputs in 16s][pixel][output], become. */
static void store_block(const sbv_conv_args *a, const float *sums, int x, int y, int first, int pixels)
{
    for (int i = 0; i < pixels; i++)
        for (int o = 0; o < 2 && first + o * TILE < a->out.c; o++)
            store_pixel(a, sums + (i / TILE * 2 + o) * 256 + i % TILE * TILE, x + i, y, first + o * TILE);
}

/* One chunk of `pixels` output pixels, at most BLOCK, from column x of row y on, which is column `at` of the strip. */
static void compute_block(const struct conv *c, int at, int x, int y, int pixels, int chunk)
{
    const sbv_conv_args *a = c->a;
    const int steps = chunk_steps(c->steps, chunk), last = chunk == c->chunks - 1, wide = pixels > TILE;
    const uint16_t *rows[MAX_KERNEL];
    for (int ky = 0; ky < a->kernel; ky++)
        rows[ky] = c->strip + (c->resident ? chunk : 0) * c->chunk +
                   slot_of(a, y * a->stride - a->padding + ky * a->dilation) * c->row + at * a->stride * c->pixel;
    for (int pair = 0; 2 * pair < c->tiles; pair++) {
        const uint16_t *w =
            (const uint16_t *)a->weights + weights_at(a->kernel * a->kernel, c->steps, c->tiles, chunk, pair);
        float *sums = c->sums;
        if (c->chunks > 1)
            sums += (ptrdiff_t)(at / BLOCK * ((c->tiles + 1) / 2) + pair) * BLOCK_SUMS;
        if (2 * pair + 1 < c->tiles && wide)
            multiply(c, rows, w, sums, steps, chunk == 0, 2, 2);
        else if (wide)
            multiply(c, rows, w, sums, steps, chunk == 0, 2, 1);
        else if (2 * pair + 1 < c->tiles)
            multiply(c, rows, w, sums, steps, chunk == 0, 1, 2);
        else
            multiply(c, rows, w, sums, steps, chunk == 0, 1, 1);
        if (last)
            store_block(a, sums, x, y, pair * BLOCK, pixels);
    }
}

static void compute_row(struct conv *c, int x, int y, int count)
{
    for (int chunk = 0; chunk < c->chunks; chunk++) {
        if (!c->resident)
            for (int i = 0; i < MAX_KERNEL; i++)
                c->held[i] = NO_ROW;
        if (chunk == 0 || !c->resident)
            pack_rows(c, x, y, c->resident ? 0 : chunk, c->resident ? c->chunks : chunk + 1);
        __asm__ volatile("" ::: "memory"); /* tile loads do not say what they read */
        for (int at = 0; at < count; at += BLOCK)
            compute_block(c, at, x + at, y, smaller(count - at, BLOCK), chunk);
    }
}

/* Lays the strip out for so many columns. Returns the bytes of strip and sums. */
static size_t lay_out(struct conv *c, int columns, int resident)
{
    const sbv_conv_args *a = c->a;
    c->columns = columns;
    c->resident = resident;
    c->extent = (columns - 1) * a->stride + (a->kernel - 1) * a->dilation + 1;
    c->pixel = smaller(c->steps, CHUNK_STEPS) * STEP;
    c->row = c->extent * c->pixel;
    c->chunk = a->kernel * c->row;
    const size_t strip = (size_t)c->chunk * (size_t)(resident ? c->chunks : 1) * sizeof(uint16_t);
    const size_t blocks = c->chunks > 1 ? (size_t)(columns / BLOCK) * (size_t)((c->tiles + 1) / 2) : 1;
    return strip + blocks * BLOCK_SUMS * sizeof(float);
}

/* Strips as wide as fit, all of about the same width. */
static void plan(struct conv *c, const sbv_conv_args *a)
{
    const int width = a->x1 - a->x0;
    int columns = (width + BLOCK - 1) / BLOCK * BLOCK, strips;
    c->a = a;
    c->steps = steps_of(a->in.c, a->split);
    c->chunks = (c->steps + CHUNK_STEPS - 1) / CHUNK_STEPS;
    c->tiles = tiles_of(a->out.c);
    while (lay_out(c, columns, 1) > SBV_AMX_SCRATCH && columns > BLOCK)
        columns -= BLOCK;
    strips = (width + columns - 1) / columns;
    columns = ((width + strips - 1) / strips + BLOCK - 1) / BLOCK * BLOCK;
    if (lay_out(c, columns, 1) > SBV_AMX_SCRATCH)
        lay_out(c, columns, 0);
}

void sbv_conv_amx(const sbv_conv_args *a, int begin, int end)
{
    struct conv c;
    void *scratch = sbv_scratch_take(a->scratch);
    plan(&c, a);
    c.sums = scratch;
    c.strip = (uint16_t *)((char *)scratch + lay_out(&c, c.columns, c.resident) -
                           (size_t)c.chunk * (size_t)(c.resident ? c.chunks : 1) * sizeof(uint16_t));
    configure_tiles();
    for (int x = a->x0; x < a->x1; x += c.columns) {
        for (int i = 0; i < MAX_KERNEL; i++)
            c.held[i] = NO_ROW;
        for (int y = a->y0 + begin; y < a->y0 + end; y++)
            compute_row(&c, x, y, smaller(a->x1 - x, c.columns));
    }
    _tile_release();
    sbv_scratch_give(a->scratch, scratch);
}
