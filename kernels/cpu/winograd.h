/*
 * Convolution by Winograd: all but the transforms. A source that includes this (conv_winograd2.c, conv_winograd4.c) has
 *
 *     OUT                   side of a tile of outputs
 *     CONV_WINOGRAD, PACK_WINOGRAD, WINOGRAD_BYTES   what it calls its functions
 *     weight_rows           G
 *     transform_inputs()    B'd of OUT + 2 values
 *     transform_sums()      A'm of OUT + 2 values
 *
 * and is compiled once for every instruction set, as conv_f32.c.
 *
 * For each position in a tile of inputs the convolution is a product of matrices, [tile][channel] by [channel][output].
 * It is made for a block of tiles, whose transformed inputs stay in the L2 cache, and a panel of outputs, whose weights
 * for one position stay in the L1 cache.
 *
 * Tiles begin at multiples of OUT, less args.shift, wherever a range begins; what a range does not want of a tile is
 * not stored. The order of the sum depends on the layer alone. So the bits do not depend on ranges.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/scratch.h"
#include "kernels/numbers.h"

#define SIDE      (OUT + 2) /* input pixels of a tile along one axis */
#define POSITIONS (SIDE * SIDE)
#define PIXELS    (OUT * OUT)
#define CHUNK     128 /* input channels at once: of a panel and a position they are 16 KiB of weights with AVX-512 */
#define NARROW    64  /* a chunk where all channels are as few */
#define VECTORS   2
#define PANEL     (VECTORS * SBV_LANES) /* outputs */
#if SBV_LANES == 16 || defined(__aarch64__)
#define ROWS 12 /* tiles whose sums are registers: 24 of 32 */
#else
#define ROWS 6 /* 12 of 16 */
#endif
#define MOST_TILES 48 /* of a block */
#define LINE       16 /* floats, of the cache */
#define PAD        16 /* floats between the matrices, so that a tile's lines differ in their place in the cache */

/* Floats that a block has for each position: as many as there are, and where that is enough so few that they leave
 * room in an L2 cache of 512 KiB for the pixels that come and go. */
#define ROOM (SBV_WINOGRAD_SCRATCH / (int)sizeof(float) / POSITIONS)
#define SNUG ((352 << 10) / (int)sizeof(float) / POSITIONS)

/* Where the outputs of a tile begin. */
struct tile {
    int x, y;
};

/* What a call works with. */
struct winograd {
    const sbv_conv_args *a;
    int begin, end;                   /* rows of the output */
    int left, top, across, tiles;     /* where the tiles of the range begin, in tiles, how many a row has, and all */
    int chunks, chunk;                /* of input channels, and channels that a chunk has room for */
    int most;                         /* tiles of a block, a multiple of ROWS */
    int first, count;                 /* tiles of the block at hand */
    int coming;                       /* products of this block so far */
    ptrdiff_t in_matrix, sums_matrix; /* from one position to the next */
    float *in;                        /* [position][tile][chunk] */
    float *sums;                      /* [panel][position][tile][PANEL]; one panel where one chunk is all */
    struct tile tile[MOST_TILES];     /* of the block */
    const void *ahead[CHUNK / 4];     /* what multiply() fetches on the way */
};

static inline int panels_of(int out)
{
    return (out + PANEL - 1) / PANEL;
}

/* Floats of scratch for each position and tile: the sums of all panels wait where there is another chunk. */
static inline int floats_of(int out, int in)
{
    return (in > NARROW ? CHUNK : NARROW) + (in > CHUNK ? panels_of(out) : 1) * PANEL;
}

/* Tiles that `room` floats for each position are enough for, a multiple of ROWS. */
static inline int tiles_in(int room, int out, int in)
{
    return (room - PAD * (1 + (in > CHUNK ? panels_of(out) : 1))) / floats_of(out, in) / ROWS * ROWS;
}

/* ---- Weights: [chunk][panel][position][channel of the chunk][output of the panel] ---- */

/* With few channels the transforms take longer than the products that are saved; of a panel most should be used. */
size_t WINOGRAD_BYTES(int out, int in)
{
    if (in < PANEL || 4 * out < 3 * PANEL || tiles_in(ROOM, out, in) < ROWS)
        return 0;
    return (size_t)panels_of(out) * PANEL * POSITIONS * (size_t)in * sizeof(float);
}

static ptrdiff_t weights_at(int out, int in, int chunk, int panel)
{
    const ptrdiff_t channels = sbv_min(in - chunk * CHUNK, CHUNK);
    return ((ptrdiff_t)chunk * CHUNK * panels_of(out) + panel * channels) * POSITIONS * PANEL;
}

/* G g G' of one pair of channels, to `matrix` floats apart. */
static void transform_weights(const float *g, float *to, ptrdiff_t matrix)
{
    for (int i = 0; i < SIDE; i++) {
        const double *r = weight_rows[i];
        double row[3];
        for (int t = 0; t < 3; t++)
            row[t] = r[0] * g[t] + r[1] * g[3 + t] + r[2] * g[6 + t];
        for (int j = 0; j < SIDE; j++, to += matrix)
            *to = (float)(weight_rows[j][0] * row[0] + weight_rows[j][1] * row[1] + weight_rows[j][2] * row[2]);
    }
}

void PACK_WINOGRAD(const float *raw, int out, int in, void *packed)
{
    memset(packed, 0, WINOGRAD_BYTES(out, in));
    for (int o = 0; o < out; o++)
        for (int i = 0; i < in; i++) {
            const ptrdiff_t channels = sbv_min(in - i / CHUNK * CHUNK, CHUNK);
            float *to = (float *)packed + weights_at(out, in, i / CHUNK, o / PANEL);
            transform_weights(raw + ((ptrdiff_t)o * in + i) * 9, to + i % CHUNK * PANEL + o % PANEL, channels * PANEL);
        }
}

/* ---- Input ---- */

/* Where the pixels of a tile lie, from channel `from` on; outside the map they are zeros. */
static void find_pixels(const struct winograd *w, struct tile tile, int from, const float *at[POSITIONS])
{
    const sbv_map *in = &w->a->in;
    const int x = tile.x - 1, y = tile.y - 1;
    if (x >= 0 && y >= 0 && x + SIDE <= in->w && y + SIDE <= in->h) {
        const float *first = sbv_at(in, x, y) + from;
        for (int p = 0; p < POSITIONS; p++)
            at[p] = first + p / SIDE * in->row + p % SIDE * in->pixel;
        return;
    }
    for (int p = 0; p < POSITIONS; p++) {
        const int ix = x + p % SIDE, iy = y + p / SIDE;
        const int inside = ix >= 0 && iy >= 0 && ix < in->w && iy < in->h;
        at[p] = (inside ? sbv_at(in, ix, iy) : w->a->zeros) + from;
    }
}

/* `channels` channels of a tile, from channel `from` on. */
static void read_tile(const struct winograd *w, struct tile tile, int from, int channels, float *to)
{
    const ptrdiff_t matrix = w->in_matrix;
    const float *at[POSITIONS];
    find_pixels(w, tile, from, at);
    for (int c = 0; c < channels; c += SBV_LANES) {
        vec d[POSITIONS];
#pragma GCC unroll 6
        for (int i = 0; i < SIDE; i++) {
#pragma GCC unroll 6
            for (int p = i; p < POSITIONS; p += SIDE)
                d[p] = channels - c >= SBV_LANES ? *(const vec *)(at[p] + c)
                                                 : vec_load_part(at[p], SBV_MAP_F32, c, channels - c);
            transform_inputs(d + i, SIDE);
        }
#pragma GCC unroll 6
        for (int i = 0; i < SIDE; i++) {
            transform_inputs(d + i * SIDE, 1);
#pragma GCC unroll 6
            for (int p = i * SIDE; p < (i + 1) * SIDE; p++)
                *(vec *)(to + p * matrix + c) = d[p];
        }
    }
}

/* ---- Products ---- */

SBV_INLINE void add_channel(vec sum[ROWS][VECTORS], const float *in, const float *weights, int row)
{
    const vec w0 = *(const vec *)weights, w1 = *(const vec *)(weights + SBV_LANES);
#pragma GCC unroll 12
    for (int i = 0; i < ROWS; i++) {
        sum[i][0] += in[i * row] * w0;
        sum[i][1] += in[i * row] * w1;
    }
}

/* sums = or += in * weights, for ROWS tiles, `row` floats apart, and a panel of outputs. Lines of memory are fetched in
 * between, one at a time: more at once would be in the way of the next inputs. */
SBV_INLINE void multiply(const float *in, int row, const float *weights, int channels, float *sums, int fresh,
                         const void *const ahead[], const float *next)
{
    vec sum[ROWS][VECTORS];
    int c = 0;
    for (int i = 0; i < ROWS; i++)
        for (int v = 0; v < VECTORS; v++)
            sum[i][v] = (vec){0};
    for (; c < channels - 3; c += 4, weights += 4 * PANEL) {
        __builtin_prefetch(ahead[c / 4]);
        __builtin_prefetch(next + c * 4, 0, 2);
        add_channel(sum, in + c, weights, row);
        add_channel(sum, in + c + 1, weights + PANEL, row);
        add_channel(sum, in + c + 2, weights + 2 * PANEL, row);
        add_channel(sum, in + c + 3, weights + 3 * PANEL, row);
    }
    for (; c < channels; c++, weights += PANEL)
        add_channel(sum, in + c, weights, row);
    for (int i = 0; i < ROWS; i++)
        for (int v = 0; v < VECTORS; v++) {
            vec *to = (vec *)(sums + i * PANEL + v * SBV_LANES);
            if (!fresh)
                sum[i][v] += *to;
            *to = sum[i][v];
        }
}

/* What the sums of a panel will be stored to, and their residual, is fetched while they are computed: at each position
 * some pixels of the tiles at hand, which begin at tile t of the block. */
static void look_ahead(struct winograd *w, int panel, int position, int t)
{
    const sbv_conv_args *a = w->a;
    const void **ahead = w->ahead, *const *const full = w->ahead + sbv_min(a->in.c, CHUNK) / 4;
    const int begin = position * ROWS * PIXELS / POSITIONS, end = (position + 1) * ROWS * PIXELS / POSITIONS;
    for (int i = begin; i < end && t + i / PIXELS < w->count; i++) {
        const struct tile *tile = &w->tile[t + i / PIXELS];
        const int x = tile->x + i % OUT, y = tile->y + i / OUT % OUT;
        for (int c = panel * PANEL; c < (panel + 1) * PANEL && ahead < full; c += LINE) {
            *ahead++ = sbv_at(&a->out, x, y) + c;
            if (a->residual.data && a->residual.data != a->out.data && ahead < full)
                *ahead++ = sbv_at(&a->residual, x, y) + c;
        }
    }
}

/* Pixels that the next block will read, OUT of a row, to be fetched during the next product: rows and tiles in turn, at
 * the pace of the products of this block. Only where all channels are one chunk. */
static const float *next_pixels(struct winograd *w, int panels)
{
    const sbv_map *in = &w->a->in;
    const int every = panels * SIDE >= ROWS ? panels * SIDE / ROWS : 1; /* products for a row of a tile */
    const int row = w->coming++ / every, tile = w->first + w->most + row / SIDE;
    const int x = OUT * (w->left + tile % w->across) - w->a->shift + 1;
    const int y = OUT * (w->top + tile / w->across) - w->a->shift + row % SIDE - 1;
    if (w->chunks > 1 || tile >= w->tiles || w->coming % every || x < 0 || y < 0 || y >= in->h)
        return w->a->bias;
    return sbv_at(in, x, y);
}

/* One chunk of a panel of outputs, for the block. Rows of tiles behind the last one hold what was there before; nobody
 * reads their sums. */
static void multiply_panel(struct winograd *w, int chunk, int panel, float *sums)
{
    const sbv_conv_args *a = w->a;
    const int channels = sbv_min(a->in.c - chunk * CHUNK, CHUNK), last = chunk == w->chunks - 1;
    const float *weights = (const float *)a->weights + weights_at(a->out.c, a->in.c, chunk, panel);
    for (int p = 0; p < POSITIONS; p++, weights += channels * PANEL)
        for (int t = 0; t < w->count; t += ROWS) {
            const float *next = next_pixels(w, panels_of(a->out.c));
            const float *in = w->in + p * w->in_matrix + t * w->chunk;
            float *to = sums + p * w->sums_matrix + t * PANEL;
            if (last)
                look_ahead(w, panel, p, t);
            if (w->chunk == NARROW)
                multiply(in, NARROW, weights, channels, to, 1, w->ahead, next);
            else if (chunk == 0)
                multiply(in, CHUNK, weights, channels, to, 1, w->ahead, next);
            else
                multiply(in, CHUNK, weights, channels, to, 0, w->ahead, next);
        }
}

/* ---- Output ---- */

/* What a sum becomes in channels `first` and on of a pixel; add: the residual's pixel, or NULL. */
SBV_INLINE void store(const sbv_conv_args *a, vec sum, float *out, const float *add, int first)
{
    const int channels = sbv_min(a->out.c - first, SBV_LANES);
    vec value = vec_activate(sum + *(const vec *)(a->bias + first), a->slope);
    if (channels < SBV_LANES) {
        if (add)
            value += vec_load_part(add, SBV_MAP_F32, first, channels);
        vec_store_part(out, SBV_MAP_F32, first, value, channels);
        return;
    }
    if (add)
        value += *(const vec *)(add + first);
    *(vec *)(out + first) = value;
}

/* The outputs of a panel, of one tile: those pixels that the range has. */
static void write_tile(const struct winograd *w, struct tile tile, int panel, const float *sums)
{
    const sbv_conv_args *a = w->a;
    float *out[PIXELS] = {NULL};
    const float *add[PIXELS] = {NULL};
    for (int i = 0; i < PIXELS; i++) {
        const int x = tile.x + i % OUT, y = tile.y + i / OUT;
        if (x < a->x0 || x >= a->x1 || y < w->begin || y >= w->end)
            continue;
        out[i] = sbv_at(&a->out, x, y);
        if (a->residual.data)
            add[i] = sbv_at(&a->residual, x, y);
    }
    for (int v = 0; v < VECTORS; v++) {
        const int first = panel * PANEL + v * SBV_LANES;
        vec half[SIDE][OUT], sum[PIXELS];
        if (first >= a->out.c)
            return;
        for (int i = 0; i < SIDE; i++) {
            vec m[SIDE];
            for (int k = 0; k < SIDE; k++)
                m[k] = *(const vec *)(sums + (i * SIDE + k) * w->sums_matrix + v * SBV_LANES);
            transform_sums(m, half[i], 1);
        }
        for (int i = 0; i < OUT; i++) {
            vec m[SIDE];
            for (int k = 0; k < SIDE; k++)
                m[k] = half[k][i];
            transform_sums(m, sum + i, OUT);
        }
        for (int i = 0; i < PIXELS; i++)
            if (out[i])
                store(a, sum[i], out[i], add[i], first);
    }
}

/* ---- Blocks ---- */

/* w->count tiles from the range's tile w->first on, row after row. */
static void compute_block(struct winograd *w)
{
    const sbv_conv_args *a = w->a;
    const int panels = panels_of(a->out.c);
    w->coming = 0;
    for (int t = 0; t < w->count; t++)
        w->tile[t] = (struct tile){OUT * (w->left + (w->first + t) % w->across) - a->shift,
                                   OUT * (w->top + (w->first + t) / w->across) - a->shift};
    for (int chunk = 0; chunk < w->chunks; chunk++) {
        const int from = chunk * CHUNK, channels = sbv_min(a->in.c - from, CHUNK);
        for (int t = 0; t < w->count; t++)
            read_tile(w, w->tile[t], from, channels, w->in + t * w->chunk);
        for (int panel = 0; panel < panels; panel++) {
            float *sums = w->sums + (w->chunks > 1 ? panel * POSITIONS * w->sums_matrix : 0);
            multiply_panel(w, chunk, panel, sums);
            for (int t = 0; t < w->count && chunk == w->chunks - 1; t++)
                write_tile(w, w->tile[t], panel, sums + t * PANEL);
        }
    }
}

/* As many tiles in a block as the scratch memory has room for, and no block much smaller than the others. */
static void plan(struct winograd *w, char *scratch)
{
    const sbv_conv_args *a = w->a;
    int blocks;
    w->chunk = a->in.c > NARROW ? CHUNK : NARROW;
    w->chunks = (a->in.c + CHUNK - 1) / CHUNK;
    w->left = (a->x0 + a->shift) / OUT;
    w->top = (w->begin + a->shift) / OUT;
    w->across = (a->x1 + a->shift + OUT - 1) / OUT - w->left;
    w->tiles = w->across * ((w->end + a->shift + OUT - 1) / OUT - w->top);
    w->most = sbv_min(tiles_in(SNUG, a->out.c, a->in.c), MOST_TILES);
    if (w->most < ROWS)
        w->most = ROWS;
    blocks = (w->tiles + w->most - 1) / w->most;
    w->most = ((w->tiles + blocks - 1) / blocks + ROWS - 1) / ROWS * ROWS;
    w->in_matrix = w->most * w->chunk + PAD;
    w->sums_matrix = w->most * PANEL + PAD;
    w->in = (float *)scratch;
    w->sums = w->in + POSITIONS * w->in_matrix;
    for (int i = 0; i < CHUNK / 4; i++)
        w->ahead[i] = a->bias;
}

void CONV_WINOGRAD(const sbv_conv_args *a, int begin, int end)
{
    struct winograd w = {.a = a, .begin = a->y0 + begin, .end = a->y0 + end};
    char *scratch;
    if (begin >= end || a->x0 >= a->x1)
        return;
    scratch = sbv_scratch_take(a->scratch);
    plan(&w, scratch);
    for (; w.first < w.tiles; w.first += w.most) {
        w.count = sbv_min(w.tiles - w.first, w.most);
        compute_block(&w);
    }
    sbv_scratch_give(a->scratch, scratch);
}
