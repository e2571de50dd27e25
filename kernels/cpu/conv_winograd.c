/*
 * Convolution in fp32 by Winograd's minimal filtering, F(2x2, 3x3) of Lavin and Gray, "Fast algorithms for
 * convolutional neural networks", CVPR 2016: kernel 3, stride 1, dilation 1. A tile of 2x2 output pixels is made of 4x4
 * input pixels d as A'((G g G') . (B'd B))A, with 16 products for each pair of channels where the direct way has 36:
 *
 *     B' = 1  0 -1  0     G = 1    0    0      A' = 1  1  1  0
 *          0  1  1  0         1/2  1/2  1/2         0  1 -1 -1
 *          0 -1  1  0         1/2 -1/2  1/2
 *          0  1  0 -1         0    0    1
 *
 * For each of the 16 positions in a tile that is a product of matrices, [tile][channel] by [channel][output]. It is
 * made for a block of tiles, whose transformed inputs stay in the L2 cache, and a panel of outputs, whose weights for
 * one position stay in the L1 cache. One source for every instruction set, as conv_f32.c.
 *
 * Tiles begin at even rows and columns of the map, wherever a range begins; what a range does not want of a tile is not
 * stored. An output pixel depends on the 3x3 pixels round it alone, to the bit: what reaches further meets a zero of
 * A', which is no product but left out of the sum. And the order of the sum depends on the layer alone. So the bits do
 * not depend on ranges, and not on tiles of the image that begin at even positions.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/vec.h"

#define SIDE      4 /* input pixels of a tile along one axis */
#define POSITIONS (SIDE * SIDE)
#define CHUNK     128 /* input channels at once: of a panel and a position they are 16 KiB of weights with AVX-512 */
#define VECTORS   2
#define PANEL     (VECTORS * SBV_LANES) /* outputs */
#if SBV_LANES == 16 || defined(__aarch64__)
#define ROWS 12 /* tiles whose sums are registers: 24 of 32 */
#else
#define ROWS 6 /* 12 of 16 */
#endif
#define MOST_TILES 48 /* of a block: 1/2 MiB with 128 channels */
#define LINE       16 /* floats, of the cache */
#define PAD        16 /* floats between the matrices, so that a tile's lines differ in their place in the cache */

/* Where the outputs of a tile begin. */
struct tile {
    int x, y;
};

/* What a call works with. */
struct winograd {
    const sbv_conv_args *a;
    int begin, end;                   /* rows of the output */
    int left, top, across, tiles;     /* where the tiles of the range begin, in tiles, how many a row has, and all */
    int chunks;                       /* of input channels */
    int most, count;                  /* tiles of a block, a multiple of ROWS, and of the block at hand */
    ptrdiff_t in_matrix, sums_matrix; /* from one position to the next */
    float *in;                        /* [position][tile][CHUNK] */
    float *sums;                      /* [panel][position][tile][PANEL]; one panel where one chunk is all */
    struct tile tile[MOST_TILES];     /* of the block */
    const void *ahead[CHUNK / 4];     /* what multiply() fetches on the way */
};

static inline int smaller(int a, int b)
{
    return a < b ? a : b;
}

static inline int panels_of(int out)
{
    return (out + PANEL - 1) / PANEL;
}

/* ---- Weights: [chunk][panel][position][channel of the chunk][output of the panel] ---- */

/* With few channels the transforms take longer than the products that are saved. */
size_t SBV_CPU_NAME(winograd_bytes)(int out, int in)
{
    return in < PANEL || out < PANEL ? 0 : (size_t)panels_of(out) * PANEL * POSITIONS * (size_t)in * sizeof(float);
}

static ptrdiff_t weights_at(int out, int in, int chunk, int panel)
{
    const ptrdiff_t channels = smaller(in - chunk * CHUNK, CHUNK);
    return ((ptrdiff_t)chunk * CHUNK * panels_of(out) + panel * channels) * POSITIONS * PANEL;
}

/* G g G' of one pair of channels, to `matrix` floats apart. */
static void transform_weights(const float *g, float *to, ptrdiff_t matrix)
{
    static const double rows[SIDE][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
    for (int p = 0; p < POSITIONS; p++) {
        double sum = 0;
        for (int t = 0; t < 9; t++)
            sum += rows[p / SIDE][t / 3] * rows[p % SIDE][t % 3] * g[t];
        to[p * matrix] = (float)sum;
    }
}

void SBV_CPU_NAME(pack_winograd)(const float *raw, int out, int in, void *packed)
{
    memset(packed, 0, SBV_CPU_NAME(winograd_bytes)(out, in));
    for (int o = 0; o < out; o++)
        for (int i = 0; i < in; i++) {
            const ptrdiff_t channels = smaller(in - i / CHUNK * CHUNK, CHUNK);
            float *to = (float *)packed + weights_at(out, in, i / CHUNK, o / PANEL);
            transform_weights(raw + ((ptrdiff_t)o * in + i) * 9, to + i % CHUNK * PANEL + o % PANEL, channels * PANEL);
        }
}

/* ---- Input ---- */

SBV_INLINE void transform_input(vec d[POSITIONS])
{
    for (int half = 0; half < 2; half++) {
        const int along = half ? 1 : SIDE, step = half ? SIDE : 1; /* columns first, then rows */
        for (int i = 0; i < SIDE; i++) {
            vec *at = d + i * step;
            const vec d0 = at[0], d1 = at[along], d2 = at[2 * along], d3 = at[3 * along];
            at[0] = d0 - d2;
            at[along] = d1 + d2;
            at[2 * along] = d2 - d1;
            at[3 * along] = d1 - d3;
        }
    }
}

/* `channels` channels of a tile, from channel `from` on. */
static void read_tile(const struct winograd *w, struct tile tile, int from, int channels, float *to)
{
    const sbv_map *in = &w->a->in;
    const float *at[POSITIONS];
    for (int p = 0; p < POSITIONS; p++) {
        const int ix = tile.x + p % SIDE - 1, iy = tile.y + p / SIDE - 1;
        const int inside = ix >= 0 && iy >= 0 && ix < in->w && iy < in->h;
        at[p] = (inside ? sbv_at(in, ix, iy) : w->a->zeros) + from;
    }
    for (int c = 0; c < channels; c += SBV_LANES) {
        vec d[POSITIONS];
        if (channels - c >= SBV_LANES)
            for (int p = 0; p < POSITIONS; p++)
                d[p] = *(const vec *)(at[p] + c);
        else
            for (int p = 0; p < POSITIONS; p++)
                d[p] = vec_load_part(at[p], SBV_MAP_F32, c, channels - c);
        transform_input(d);
        for (int p = 0; p < POSITIONS; p++)
            *(vec *)(to + p * w->in_matrix + c) = d[p];
    }
}

/* ---- Products ---- */

SBV_INLINE void add_channel(vec sum[ROWS][VECTORS], const float *in, const float *weights)
{
    const vec w0 = *(const vec *)weights, w1 = *(const vec *)(weights + SBV_LANES);
#pragma GCC unroll 12
    for (int i = 0; i < ROWS; i++) {
        sum[i][0] += in[i * CHUNK] * w0;
        sum[i][1] += in[i * CHUNK] * w1;
    }
}

/* sums = or += in * weights, for ROWS tiles and a panel of outputs. Lines of memory are fetched in between, one at a
 * time: more at once would be in the way of the next inputs. */
SBV_INLINE void multiply(const float *in, const float *weights, int channels, float *sums, int fresh,
                         const void *const ahead[])
{
    vec sum[ROWS][VECTORS];
    int c = 0;
    for (int i = 0; i < ROWS; i++)
        for (int v = 0; v < VECTORS; v++)
            sum[i][v] = (vec){0};
    for (; c < channels - 3; c += 4, weights += 4 * PANEL) {
        __builtin_prefetch(ahead[c / 4]);
        add_channel(sum, in + c, weights);
        add_channel(sum, in + c + 1, weights + PANEL);
        add_channel(sum, in + c + 2, weights + 2 * PANEL);
        add_channel(sum, in + c + 3, weights + 3 * PANEL);
    }
    for (; c < channels; c++, weights += PANEL)
        add_channel(sum, in + c, weights);
    for (int i = 0; i < ROWS; i++)
        for (int v = 0; v < VECTORS; v++) {
            vec *to = (vec *)(sums + i * PANEL + v * SBV_LANES);
            if (!fresh)
                sum[i][v] += *to;
            *to = sum[i][v];
        }
}

/* What the sums of a panel will be stored to, and their residual, is fetched while they are computed: at each position
 * one pixel of a quarter of the tiles at hand, which begin at tile t of the block. */
static void look_ahead(struct winograd *w, int panel, int position, int t)
{
    const sbv_conv_args *a = w->a;
    const int quarter = position / 4, end = smaller(t + ROWS * (quarter + 1) / 4, w->count);
    const void **ahead = w->ahead;
    for (int i = t + ROWS * quarter / 4; i < end; i++) {
        const int x = w->tile[i].x + position % 2, y = w->tile[i].y + position / 2 % 2;
        for (int c = panel * PANEL; c < (panel + 1) * PANEL; c += LINE) {
            *ahead++ = sbv_at(&a->out, x, y) + c;
            if (a->residual.data && a->residual.data != a->out.data)
                *ahead++ = sbv_at(&a->residual, x, y) + c;
        }
    }
}

/* One chunk of a panel of outputs, for the block. Rows of tiles behind the last one hold what was there before; nobody
 * reads their sums. */
static void multiply_panel(struct winograd *w, int chunk, int panel, float *sums)
{
    const sbv_conv_args *a = w->a;
    const int channels = smaller(a->in.c - chunk * CHUNK, CHUNK), last = chunk == w->chunks - 1;
    const float *weights = (const float *)a->weights + weights_at(a->out.c, a->in.c, chunk, panel);
    for (int p = 0; p < POSITIONS; p++, weights += channels * PANEL)
        for (int t = 0; t < w->count; t += ROWS) {
            const float *in = w->in + p * w->in_matrix + t * CHUNK;
            float *to = sums + p * w->sums_matrix + t * PANEL;
            if (last)
                look_ahead(w, panel, p, t);
            if (chunk == 0)
                multiply(in, weights, channels, to, 1, w->ahead);
            else
                multiply(in, weights, channels, to, 0, w->ahead);
        }
}

/* ---- Output ---- */

/* A'mA of one tile and vector of outputs: [row][column]. */
SBV_INLINE void transform_sums(const float *m, ptrdiff_t matrix, vec out[4])
{
    vec half[2][SIDE];
    for (int i = 0; i < SIDE; i++) {
        const vec m0 = *(const vec *)(m + i * matrix), m1 = *(const vec *)(m + (SIDE + i) * matrix);
        const vec m2 = *(const vec *)(m + (2 * SIDE + i) * matrix), m3 = *(const vec *)(m + (3 * SIDE + i) * matrix);
        half[0][i] = m0 + m1 + m2;
        half[1][i] = m1 - m2 - m3;
    }
    for (int r = 0; r < 2; r++) {
        out[2 * r] = half[r][0] + half[r][1] + half[r][2];
        out[2 * r + 1] = half[r][1] - half[r][2] - half[r][3];
    }
}

/* What a sum becomes in channels `first` and on of a pixel; add: the residual's pixel, or NULL. */
SBV_INLINE void store(const sbv_conv_args *a, vec sum, float *out, const float *add, int first)
{
    const int channels = smaller(a->out.c - first, SBV_LANES);
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
    float *out[4] = {NULL};
    const float *add[4] = {NULL};
    for (int i = 0; i < 4; i++) {
        const int x = tile.x + i % 2, y = tile.y + i / 2;
        if (x < a->x0 || x >= a->x1 || y < w->begin || y >= w->end)
            continue;
        out[i] = sbv_at(&a->out, x, y);
        if (a->residual.data)
            add[i] = sbv_at(&a->residual, x, y);
    }
    for (int v = 0; v < VECTORS; v++) {
        const int first = panel * PANEL + v * SBV_LANES;
        vec sum[4];
        if (first >= a->out.c)
            return;
        transform_sums(sums + v * SBV_LANES, w->sums_matrix, sum);
        for (int i = 0; i < 4; i++)
            if (out[i])
                store(a, sum[i], out[i], add[i], first);
    }
}

/* ---- Blocks ---- */

/* w->count tiles from the range's tile `first` on, row after row. */
static void compute_block(struct winograd *w, int first)
{
    const sbv_conv_args *a = w->a;
    const int panels = panels_of(a->out.c);
    for (int t = 0; t < w->count; t++)
        w->tile[t] = (struct tile){2 * (w->left + (first + t) % w->across), 2 * (w->top + (first + t) / w->across)};
    for (int chunk = 0; chunk < w->chunks; chunk++) {
        const int from = chunk * CHUNK, channels = smaller(a->in.c - from, CHUNK);
        for (int t = 0; t < w->count; t++)
            read_tile(w, w->tile[t], from, channels, w->in + t * CHUNK);
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
    const int panels = a->in.c > CHUNK ? panels_of(a->out.c) : 1; /* whose sums wait for the next chunk */
    const int per_tile = CHUNK + panels * PANEL, room = SBV_WINOGRAD_SCRATCH / (int)sizeof(float) / POSITIONS;
    int blocks;
    w->chunks = (a->in.c + CHUNK - 1) / CHUNK;
    w->left = a->x0 / 2;
    w->top = w->begin / 2;
    w->across = (a->x1 + 1) / 2 - w->left;
    w->tiles = w->across * ((w->end + 1) / 2 - w->top);
    w->most = smaller((room - PAD * (1 + panels)) / per_tile, MOST_TILES) / ROWS * ROWS;
    blocks = (w->tiles + w->most - 1) / w->most;
    w->most = ((w->tiles + blocks - 1) / blocks + ROWS - 1) / ROWS * ROWS;
    w->in_matrix = w->most * CHUNK + PAD;
    w->sums_matrix = w->most * PANEL + PAD;
    w->in = (float *)scratch;
    w->sums = w->in + POSITIONS * w->in_matrix;
    for (int i = 0; i < CHUNK / 4; i++)
        w->ahead[i] = a->bias;
}

void SBV_CPU_NAME(conv_winograd)(const sbv_conv_args *a, int begin, int end)
{
    struct winograd w = {.a = a, .begin = a->y0 + begin, .end = a->y0 + end};
    char *scratch;
    if (begin >= end || a->x0 >= a->x1)
        return;
    scratch = sbv_scratch_take(a->scratch);
    plan(&w, scratch);
    for (int first = 0; first < w.tiles; first += w.most) {
        w.count = smaller(w.tiles - first, w.most);
        compute_block(&w, first);
    }
    sbv_scratch_give(a->scratch, scratch);
}
