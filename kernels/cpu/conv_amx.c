/*
 * Convolution by Intel AMX: products of bfloat16, sums in fp32. See Intel's Architecture Instruction Set Extensions
 * Programming Reference, chapter 3, for the tiles.
 *
 * A tile register holds 16 rows of 64 bytes. One TDPBF16PS multiplies 16 pixels by 32 channels with 32 channels by 16
 * outputs; four of them, 32 pixels by 32 outputs, share four loads, and their sums are the other four registers. The
 * input is first packed into a strip of rows of its own, small enough for the L2 cache: bfloat16, channels filled up
 * with zeros to a multiple of 32, zeros where a tap would fall outside the image. So padding, types, offsets and
 * channel counts are dealt with once a sample and the tiles load aligned lines, `stride` pixels apart. The strip keeps
 * as many rows as the taps have, and goes down the image.
 *
 * A float that is split becomes the bfloat16 next to it and the one next to what that leaves, in tiles of their own; up
 * to 16 channels share one tile. Where inputs and weights are split, three products of tiles are added up: upper inputs
 * with lower and with upper weights, lower inputs with upper weights.
 *
 * Channels are taken in chunks of four tiles: what 32 pixels need of a chunk stays in the L1 cache while the weights of
 * all outputs pass by. Between chunks the sums wait in memory. The order in which a pixel's products are added depends
 * on the layer alone, so the bits do not depend on ranges, tiles and the width of strips.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cpu/conv_amx.h"

#include <immintrin.h>

#include "kernels/cpu/scratch.h"
#include "kernels/numbers.h"
#include "kernels/samples.h"

static int tiles_of(int out)
{
    return (out + TILE - 1) / TILE;
}

/* Whether both halves of all channels fit one tile. */
static int is_narrow(int in)
{
    return in <= HALF_STEP;
}

static struct division divide(int in, enum sbv_split split)
{
    struct division d = {.groups = (in + STEP - 1) / STEP, .inputs = 1, .weights = 1};
    if (split && !is_narrow(in))
        d.inputs = 2;
    if (split == SBV_SPLIT_BOTH)
        d.weights = 2;
    const int most = CHUNK_TILES / d.inputs, chunks = (d.groups + most - 1) / most;
    d.chunk = (d.groups + chunks - 1) / chunks;
    return d;
}

size_t sbv_conv_bytes_amx(int out, int in, int ksize, enum sbv_split split)
{
    const struct division d = divide(in, split);
    return (size_t)(ksize * ksize) * (size_t)(d.groups * d.weights) * (size_t)tiles_of(out) * TILE_SIZE *
           sizeof(uint16_t);
}

/* Groups of the chunk that begins with group `first`. */
static int chunk_groups(const struct division *d, int first)
{
    return sbv_min(d->groups - first, d->chunk);
}

/* Where the weights of the chunk that begins with group `first` begin for a pair of output tiles:
 * [chunk][pair][tap][group][half, the lower one first][tile of the pair][tile]. */
static ptrdiff_t weights_at(const struct division *d, int taps, int tiles, int first, int pair)
{
    return ((ptrdiff_t)first * tiles + 2 * (ptrdiff_t)pair * chunk_groups(d, first)) * d->weights * taps * TILE_SIZE;
}

/* What weights are packed for. */
struct layer {
    int out, taps;
    struct division channels;
};

/* A tile of weights is [pair of channels][output][channel of the pair]. `half`: which tile of a group that has two. */
static void put_weight(const struct layer *l, uint16_t *packed, int o, int channel, int t, int half, uint16_t value)
{
    const struct division *d = &l->channels;
    const int group = channel / STEP, first = group / d->chunk * d->chunk, tiles = tiles_of(l->out), pair = o / BLOCK;
    uint16_t *tile = packed + weights_at(d, l->taps, tiles, first, pair);
    const int step = (t * chunk_groups(d, first) + group - first) * d->weights + half;
    tile += (step * sbv_min(tiles - 2 * pair, 2) + o % BLOCK / TILE) * TILE_SIZE;
    tile[channel % STEP / 2 * 2 * TILE + o % TILE * 2 + channel % 2] = value;
}

void sbv_pack_conv_amx(const float *raw, int out, int in, int ksize, enum sbv_split split, void *packed)
{
    const struct layer l = {out, ksize * ksize, divide(in, split)};
    const int upper = l.channels.weights - 1;
    memset(packed, 0, sbv_conv_bytes_amx(out, in, ksize, split));
    for (int o = 0; o < out; o++)
        for (int i = 0; i < in; i++)
            for (int t = 0; t < l.taps; t++, raw++) {
                const uint16_t value = sbv_to_bf16(*raw), rest = sbv_to_bf16(*raw - sbv_from_bf16(value));
                for (int c = i; c < (split && is_narrow(in) ? STEP : i + 1); c += HALF_STEP) {
                    put_weight(&l, packed, o, c, t, upper, value);
                    if (upper)
                        put_weight(&l, packed, o, c, t, 0, rest);
                }
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

/* bfloat16 values 0 to 15 as floats. */
static inline __m512 as_floats(__m256i values)
{
    return (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(values), 16);
}

/* The upper and the lower bfloat16 of up to 16 floats, side by side. */
static inline __m512i load_narrow(const float *from, __mmask16 mask)
{
    const __m512 value = _mm512_maskz_loadu_ps(mask, from);
    const __m256i upper = (__m256i)_mm512_cvtneps_pbh(value);
    const __m512 rest = _mm512_sub_ps(value, as_floats(upper));
    return _mm512_inserti64x4(_mm512_castsi256_si512(upper), (__m256i)_mm512_cvtneps_pbh(rest), 1);
}

/* The same of up to 32 floats, one after the other. */
static inline void split_floats(uint16_t *to, const float *from, __mmask32 mask)
{
    const __m512 low = _mm512_maskz_loadu_ps((__mmask16)mask, from);
    const __m512 high = _mm512_maskz_loadu_ps((__mmask16)(mask >> 16), from + 16);
    const __m512i upper = (__m512i)_mm512_cvtne2ps_pbh(high, low);
    const __m512 low_rest = _mm512_sub_ps(low, as_floats(_mm512_castsi512_si256(upper)));
    const __m512 high_rest = _mm512_sub_ps(high, as_floats(_mm512_extracti64x4_epi64(upper, 1)));
    _mm512_store_si512(to, upper);
    _mm512_store_si512(to + STEP, (__m512i)_mm512_cvtne2ps_pbh(high_rest, low_rest));
}

/* Groups first .. first + groups - 1 of `count` pixels. */
static void pack_bfloat16(const struct conv *c, uint16_t *to, const uint16_t *from, int count, int first, int groups)
{
    const sbv_map *in = &c->a->in;
    for (int i = 0; i < count; i++, to += c->pixel, from += in->pixel)
        for (int g = 0; g < groups; g++) {
            const int at = (first + g) * STEP;
            _mm512_store_si512(to + g * STEP, _mm512_maskz_loadu_epi16(channel_mask(in->c - at), from + at));
        }
}

static void pack_floats(const struct conv *c, uint16_t *to, const float *from, int count, int first, int groups)
{
    const sbv_map *in = &c->a->in;
    for (int i = 0; i < count; i++, to += c->pixel, from += in->pixel)
        for (int g = 0; g < groups; g++) {
            const int at = (first + g) * STEP;
            _mm512_store_si512(to + g * STEP, load_floats(from + at, channel_mask(in->c - at)));
        }
}

static void pack_narrow(const struct conv *c, uint16_t *to, const float *from, int count)
{
    const sbv_map *in = &c->a->in;
    const __mmask16 mask = (__mmask16)channel_mask(in->c);
    for (int i = 0; i < count; i++, to += c->pixel, from += in->pixel)
        _mm512_store_si512(to, load_narrow(from, mask));
}

static void pack_split(const struct conv *c, uint16_t *to, const float *from, int count, int first, int groups)
{
    const sbv_map *in = &c->a->in;
    for (int i = 0; i < count; i++, to += c->pixel, from += in->pixel)
        for (int g = 0; g < groups; g++) {
            const int at = (first + g) * STEP;
            split_floats(to + 2 * g * STEP, from + at, channel_mask(in->c - at));
        }
}

/* One chunk of row iy of the input, from column ix on; zeros outside. */
static void pack_row(const struct conv *c, uint16_t *to, int iy, int ix, int chunk)
{
    const sbv_conv_args *a = c->a;
    const int first = chunk * c->channels.chunk, groups = chunk_groups(&c->channels, first);
    const int left = iy < 0 || iy >= a->in.h ? c->extent : sbv_min(ix < 0 ? -ix : 0, c->extent);
    const int right = sbv_min(a->in.w - ix, c->extent); /* where the image ends */
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
        pack_bfloat16(c, to, (const uint16_t *)a->in.data + from, right - left, first, groups);
    else if (!a->split)
        pack_floats(c, to, (const float *)a->in.data + from, right - left, first, groups);
    else if (is_narrow(a->in.c))
        pack_narrow(c, to, (const float *)a->in.data + from, right - left);
    else
        pack_split(c, to, (const float *)a->in.data + from, right - left, first, groups);
}

/* Sees to it that the strip holds what output row y needs of a chunk, from output column x on. */
static void pack_rows(struct conv *c, int x, int y, int chunk)
{
    const sbv_conv_args *a = c->a;
    for (int ky = 0; ky < a->ksize; ky++) {
        const int iy = y * a->stride - a->padding + ky * a->dilation, slot = sbv_amx_slot(a, iy);
        if (c->held[slot] != iy)
            pack_row(c, c->strip + slot * c->row, iy, x * a->stride - a->padding, chunk);
        c->held[slot] = iy;
    }
}

/* ---- Multiplying ---- */

void sbv_amx_begin(void)
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

/* Bias, activation and residual of the next `count` pixels of the finished block, stored. */
static inline __attribute__((always_inline)) void store_pixels(const sbv_conv_args *a, struct block *b, int count)
{
    const int first = b->first, end = sbv_min(b->next + count, b->pixels), channels = a->out.c - first;
    const __mmask16 masks[2] = {(__mmask16)channel_mask(sbv_min(channels, TILE)),
                                (__mmask16)channel_mask(sbv_min(channels - TILE, TILE))};
    const __m512 slope = _mm512_set1_ps(a->slope), zero = _mm512_setzero_ps();
    const __m512 bias[2] = {_mm512_maskz_loadu_ps(masks[0], a->bias + first),
                            _mm512_maskz_loadu_ps(masks[1], a->bias + first + TILE)};
    for (int i = b->next; i < end; i++) {
        const float *sums = b->sums + i / TILE * 2 * TILE * TILE + i % TILE * TILE;
        const float *add = a->residual.data ? sbv_at(&a->residual, b->x + i, b->y) + first : NULL;
        char *out = (char *)sbv_pixel(&a->out, b->x + i, b->y);
        __m512 value[2];
        for (int o = 0; o < 2; o++) {
            value[o] = _mm512_add_ps(_mm512_load_ps(sums + o * TILE * TILE), bias[o]);
            value[o] = _mm512_mask_mul_ps(value[o], _mm512_cmp_ps_mask(value[o], zero, _CMP_NGT_UQ), value[o], slope);
            if (add)
                value[o] = _mm512_add_ps(value[o], _mm512_maskz_loadu_ps(masks[o], add + o * TILE));
        }
        if (a->out.type == SBV_MAP_BF16) {
            _mm512_mask_storeu_epi16((uint16_t *)out + first, (__mmask32)masks[1] << TILE | masks[0],
                                     (__m512i)_mm512_cvtne2ps_pbh(value[1], value[0]));
        } else {
            _mm512_mask_storeu_ps((float *)out + first, masks[0], value[0]);
            _mm512_mask_storeu_ps((float *)out + first + TILE, masks[1], value[1]);
        }
    }
    b->next = end;
}

/* Brings the next pixels of the row that will be packed next nearer. */
static inline void fetch_pixels(struct ahead *ahead, int count)
{
    for (; count && ahead->at != ahead->end; count--, ahead->at += ahead->pixel_bytes)
        for (ptrdiff_t i = 0; i < ahead->bytes; i += 64)
            _mm_prefetch(ahead->at + i, _MM_HINT_T1);
}

/* Brings nearer the residual of `count` pixels of a block, which may be what the output replaces. */
static inline void fetch_residual(const sbv_conv_args *a, const struct block *b, int begin, int count)
{
    const int end = a->residual.data ? sbv_min(begin + count, b->pixels) : 0;
    for (int i = begin; i < end; i++) {
        const float *residual = sbv_at(&a->residual, b->x + i, b->y) + b->first;
        __builtin_prefetch(residual);
        __builtin_prefetch(residual + TILE);
    }
}

static inline __attribute__((always_inline)) void load_inputs(const uint16_t *in, ptrdiff_t next, int pixels)
{
    _tile_loadd(4, in, next * (ptrdiff_t)sizeof(*in));
    if (pixels == 2)
        _tile_loadd(5, in + TILE * next, next * (ptrdiff_t)sizeof(*in));
}

/* sums += inputs * weights, of tiles. Inputs stay in the L1 cache, weights pass through. */
static inline __attribute__((always_inline)) void add_product(const uint16_t *w, int pixels, int outputs)
{
    _tile_stream_loadd(6, w, 64);
    _tile_dpbf16ps(0, 4, 6);
    if (outputs == 2) {
        _tile_stream_loadd(7, w + TILE_SIZE, 64);
        _tile_dpbf16ps(1, 4, 7);
    }
    if (pixels == 2) {
        _tile_dpbf16ps(2, 5, 6);
        if (outputs == 2)
            _tile_dpbf16ps(3, 5, 7);
    }
}

/* What stores tiles, and adds vectors, goes to sleep when it had neither to do for 2000 cycles, and takes 1000 to wake
 * up (measured; no manual says so). Sums that wait for the next chunk would meet it asleep. */
static inline void stay_awake(void)
{
    __m512 zero = _mm512_setzero_ps();
    __asm__ volatile("vaddps %0, %0, %0" : "+v"(zero));
}

/* sums = or += inputs * weights, over all taps of a chunk, for pixels * 16 pixels and outputs * 16 outputs. `rows` are
 * where the first pixel's taps begin. Between taps the block before is stored, so that it and the tiles' arithmetic run
 * side by side; `sums` may be the same memory. */
static inline __attribute__((always_inline)) void multiply(struct conv *c, const uint16_t *const rows[],
                                                           const uint16_t *w, float *sums, int groups, int fresh,
                                                           const struct block *coming, int pixels, int outputs)
{
    const sbv_conv_args *a = c->a;
    const int inputs = c->channels.inputs, weights = c->channels.weights;
    const ptrdiff_t next = a->stride * c->pixel, half = outputs * TILE_SIZE;
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
    for (int ky = 0; ky < a->ksize; ky++)
        for (int kx = 0; kx < a->ksize; kx++) {
            const uint16_t *in = rows[ky] + kx * a->dilation * c->pixel;
            for (int g = 0; g < groups; g++, in += inputs * STEP, w += weights * half) {
                load_inputs(in, next, pixels);
                if (weights == 2)
                    add_product(w, pixels, outputs);
                add_product(w + (weights - 1) * half, pixels, outputs);
                if (inputs == 2) {
                    load_inputs(in + STEP, next, pixels);
                    add_product(w + (weights - 1) * half, pixels, outputs);
                }
            }
            stay_awake();
            store_pixels(a, &c->block, c->share);
            if (c->near)
                continue;
            fetch_pixels(&c->ahead, c->fetched);
            fetch_residual(a, coming, (ky * a->ksize + kx) * c->share, c->share);
        }
    store_pixels(a, &c->block, BLOCK);
    _tile_stored(0, sums, 64);
    _tile_stored(1, sums + 256, 64);
    _tile_stored(2, sums + 512, 64);
    _tile_stored(3, sums + 768, 64);
}

/* One chunk of `pixels` output pixels, at most BLOCK, from column x of row y on, which is column `at` of the strip. */
static void compute_block(struct conv *c, int at, int x, int y, int pixels, int chunk)
{
    const sbv_conv_args *a = c->a;
    const int first = chunk * c->channels.chunk, groups = chunk_groups(&c->channels, first);
    const int wide = pixels > TILE, pairs = (c->tiles + 1) / 2;
    const uint16_t *rows[MAX_KSIZE];
    for (int ky = 0; ky < a->ksize; ky++)
        rows[ky] = c->strip + sbv_amx_slot(a, y * a->stride - a->padding + ky * a->dilation) * c->row +
                   at * a->stride * c->pixel;
    for (int pair = 0; pair < pairs; pair++) {
        const uint16_t *w =
            (const uint16_t *)a->weights + weights_at(&c->channels, a->ksize * a->ksize, c->tiles, first, pair);
        float *sums = c->row_sums + (c->chunks > 1 ? (ptrdiff_t)(at / BLOCK * pairs + pair) * BLOCK_SUMS : 0);
        struct block coming = {.sums = sums, .x = x, .y = y, .first = pair * BLOCK};
        if (chunk == c->chunks - 1)
            coming.pixels = pixels;
        if (2 * pair + 1 < c->tiles && wide)
            multiply(c, rows, w, sums, groups, chunk == 0, &coming, 2, 2);
        else if (wide)
            multiply(c, rows, w, sums, groups, chunk == 0, &coming, 2, 1);
        else if (2 * pair + 1 < c->tiles)
            multiply(c, rows, w, sums, groups, chunk == 0, &coming, 1, 2);
        else
            multiply(c, rows, w, sums, groups, chunk == 0, &coming, 1, 1);
        if (chunk == c->chunks - 1)
            c->block = coming;
    }
}

/* What the row after y will need, if it is inside the image, will be fetched while y is computed. */
static void look_ahead(struct conv *c, int x, int y, int chunk)
{
    const sbv_conv_args *a = c->a;
    const sbv_map *in = &a->in;
    const int iy = (y + 1) * a->stride - a->padding + (a->ksize - 1) * a->dilation;
    const int ix = x * a->stride - a->padding, begin = ix > 0 ? ix : 0, end = sbv_min(in->w, ix + c->extent);
    const ptrdiff_t size = (ptrdiff_t)sbv_sample_size(in->type);
    const int most = c->channels.chunk * STEP, first = chunk * most;
    c->ahead = (struct ahead){.bytes = sbv_min(in->c - first, most) * size, .pixel_bytes = in->pixel * size};
    if (iy < 0 || iy >= in->h || begin >= end)
        return;
    c->ahead.at = (const char *)sbv_pixel(in, begin, iy) + first * size;
    c->ahead.end = c->ahead.at + (end - begin) * c->ahead.pixel_bytes;
}

void sbv_amx_forget(struct conv *c)
{
    for (int i = 0; i < MAX_KSIZE; i++)
        c->held[i] = NO_ROW;
}

void sbv_amx_row(struct conv *c, int x, int y, int count, int chunk)
{
    pack_rows(c, x, y, chunk);
    if (!c->near)
        look_ahead(c, x, y, chunk);
    __asm__ volatile("" ::: "memory"); /* tile loads do not say what they read */
    for (int at = 0; at < count; at += BLOCK)
        compute_block(c, at, x + at, y, sbv_min(count - at, BLOCK), chunk);
}

/* Rows of sums that wait between chunks are few, so that they stay in the cache as the weights of a chunk do. */
static void compute_columns(struct conv *c, int x, int begin, int end)
{
    const int count = sbv_min(c->a->x1 - x, c->columns);
    sbv_amx_forget(c);
    for (int y = begin; y < end; y += c->rows)
        for (int chunk = 0; chunk < c->chunks; chunk++) {
            if (c->chunks > 1)
                sbv_amx_forget(c);
            c->row_sums = c->sums;
            for (int i = y; i < sbv_min(end, y + c->rows); i++) {
                sbv_amx_row(c, x, i, count, chunk);
                c->row_sums += c->sums_row;
            }
        }
}

size_t sbv_amx_lay_out(struct conv *c, int columns)
{
    const sbv_conv_args *a = c->a;
    const int taps = columns / BLOCK * ((c->tiles + 1) / 2) * a->ksize * a->ksize; /* of a row */
    c->columns = columns;
    c->extent = (columns - 1) * a->stride + (a->ksize - 1) * a->dilation + 1;
    c->pixel = c->channels.chunk * c->channels.inputs * STEP;
    c->row = c->extent * c->pixel;
    c->fetched = (c->extent + taps - 1) / taps;
    return (size_t)(a->ksize * c->row) * sizeof(uint16_t);
}

/* How many rows and columns are worked on at once: with one chunk whole rows as far as they fit, otherwise as many rows
 * as have room for their sums. Of several strips none is much narrower than the others. */
void sbv_amx_plan(struct conv *c, const sbv_conv_args *a, int rows)
{
    const int width = a->x1 - a->x0, pairs = (tiles_of(a->out.c) + 1) / 2;
    int blocks = (width + BLOCK - 1) / BLOCK, most, strips;
    *c = (struct conv){.a = a, .channels = divide(a->in.c, a->split), .tiles = tiles_of(a->out.c), .rows = rows};
    c->chunks = (c->channels.groups + c->channels.chunk - 1) / c->channels.chunk;
    c->share = (BLOCK + a->ksize * a->ksize - 1) / (a->ksize * a->ksize);
    most = SUMS_BYTES / (pairs * BLOCK_SUMS * (int)sizeof(float)); /* blocks of pixels with room for their sums */
    if (c->chunks > 1) {
        c->rows = sbv_min(rows, most);
        blocks = sbv_min(blocks, most / c->rows);
    }
    while (sbv_amx_lay_out(c, blocks * BLOCK) > SBV_AMX_SCRATCH - SUMS_BYTES)
        blocks--;
    strips = (width + blocks * BLOCK - 1) / (blocks * BLOCK);
    sbv_amx_lay_out(c, ((width + strips - 1) / strips + BLOCK - 1) / BLOCK * BLOCK);
    if (c->chunks > 1)
        c->sums_row = (ptrdiff_t)c->columns / BLOCK * pairs * BLOCK_SUMS;
}

void sbv_amx_finish(struct conv *c)
{
    store_pixels(c->a, &c->block, BLOCK);
}

void sbv_amx_end(void)
{
    _tile_release();
}

void sbv_conv_amx(const sbv_conv_args *a, int begin, int end)
{
    struct conv c;
    char *scratch = sbv_scratch_take(a->scratch);
    sbv_amx_plan(&c, a, end - begin);
    c.sums = (float *)scratch;
    c.strip = (uint16_t *)(scratch + SUMS_BYTES);
    sbv_amx_begin();
    for (int x = a->x0; x < a->x1; x += c.columns)
        compute_columns(&c, x, a->y0 + begin, a->y0 + end);
    sbv_amx_finish(&c);
    sbv_amx_end();
    sbv_scratch_give(a->scratch, scratch);
}
