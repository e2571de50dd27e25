/*
 * Convolution by Winograd: all but the transforms. A source that includes this (conv_winograd2.c, conv_winograd4.c,
 * conv_winograd6.c) has
 *
 *     OUT                   side of a tile of outputs
 *     CONV_WINOGRAD, PACK_WINOGRAD, WINOGRAD_BYTES   what it calls its functions
 *     weight_rows           G
 *     transform_inputs()    B'd of OUT + 2 values, in their place
 *     transform_sums()      A'm of OUT + 2 values
 *     INPUT_ROWS, SUM_ROWS  where rows of B'dB and of A'mA are divided: so many at once as registers hold
 *     SUM_ROW(i)            which row of A'mA is made i-th: those that share sums together
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
#define WIDE      256 /* a chunk where all channels are as few: the tiles of the next block can be fetched then */
#define NARROW    64  /* likewise */
#define NARROWEST 32  /* likewise */
#define VECTORS   2
#define PANEL     (VECTORS * SBV_LANES)     /* outputs */
#define FEWEST    (PANEL < 16 ? PANEL : 16) /* channels that it is worth while for */
#if VEC_REGISTERS == 32
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

#define STEP (OUT > 4 ? OUT : 4) /* pixels that are fetched during a product */

/* Where the outputs of a tile begin. */
struct tile {
    int x, y;
};

/* Pixels to fetch: the row of a tile, where that lies in tiles of the range, and products from one to the next. */
struct coming {
    int row, column, line, wait, every;
};

/* What a call works with. */
struct winograd {
    const sbv_conv_args *a;
    int begin, end;                   /* rows of the output */
    int left, top, across, tiles;     /* where the tiles of the range begin, in tiles, how many a row has, and all */
    int chunks, chunk;                /* of input channels, and channels that a chunk has room for */
    int most;                         /* tiles of a block, a multiple of ROWS */
    int first, count;                 /* tiles of the block at hand */
    struct coming coming;             /* of the next block */
    ptrdiff_t in_matrix, sums_matrix; /* from one position to the next */
    float *in;                        /* [position][tile][chunk] */
    float *sums;                      /* [panel][position][tile][PANEL]; one panel where one chunk is all */
    struct tile tile[MOST_TILES];     /* of the block */
    const void *ahead[WIDE / 4];      /* what multiply() fetches on the way */
};

static inline int panels_of(int out)
{
    return (out + PANEL - 1) / PANEL;
}

/* Outputs that a panel has room for: the last one may be a single vector. */
static inline int width_of(int out, int panel)
{
    return sbv_min(sbv_round_up(out, SBV_LANES) - panel * PANEL, PANEL);
}

/* Channels of a chunk, but for the last one. */
static inline int chunk_of(int in)
{
    return in > WIDE ? CHUNK : WIDE;
}

/* Channels that a chunk has room for. */
static inline int room_of(int in)
{
    return in > WIDE ? CHUNK : in > CHUNK ? WIDE : in > NARROW ? CHUNK : in > NARROWEST ? NARROW : NARROWEST;
}

/* Panels whose sums are kept. */
static inline int sums_of(int out, int in)
{
    return in > WIDE ? panels_of(out) : 1;
}

/* Floats of scratch for each position and tile: the sums of all panels wait where there is another chunk. */
static inline int floats_of(int out, int in)
{
    return room_of(in) + sums_of(out, in) * PANEL;
}

/* Tiles that `room` floats for each position are enough for, a multiple of ROWS. */
static inline int tiles_in(int room, int out, int in)
{
    return (room - PAD * (1 + sums_of(out, in))) / floats_of(out, in) / ROWS * ROWS;
}

/* ---- Weights: [chunk][panel][position][channel of the chunk][output of the panel] ---- */

/* With few channels the transforms take longer than the products that are saved. */
size_t WINOGRAD_BYTES(int out, int in)
{
    if (in < FEWEST || 4 * out < 3 * FEWEST || tiles_in(ROOM, out, in) < ROWS)
        return 0;
    return (size_t)sbv_round_up(out, SBV_LANES) * POSITIONS * (size_t)in * sizeof(float);
}

static ptrdiff_t weights_at(int out, int in, int chunk, int panel)
{
    const ptrdiff_t first = (ptrdiff_t)chunk * chunk_of(in), channels = sbv_min(in - (int)first, chunk_of(in));
    return (first * sbv_round_up(out, SBV_LANES) + panel * channels * PANEL) * POSITIONS;
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
    const int all = chunk_of(in);
    memset(packed, 0, WINOGRAD_BYTES(out, in));
    for (int o = 0; o < out; o++)
        for (int i = 0; i < in; i++) {
            const int chunk = i / all, width = width_of(out, o / PANEL);
            const ptrdiff_t channels = sbv_min(in - chunk * all, all);
            float *to = (float *)packed + weights_at(out, in, chunk, o / PANEL);
            transform_weights(raw + ((ptrdiff_t)o * in + i) * 9, to + i % all * width + o % PANEL, channels * width);
        }
}

/* ---- Input ---- */

/* Rows begin to end - 1 of B'dB, of a vector of channels. */
SBV_INLINE void transform_rows(const float *d, ptrdiff_t row, ptrdiff_t pixel, float *to, ptrdiff_t matrix, int begin,
                               int end)
{
    vec half[SIDE][SIDE];
#pragma GCC unroll 8
    for (int x = 0; x < SIDE; x++) {
        vec column[SIDE];
#pragma GCC unroll 8
        for (int y = 0; y < SIDE; y++)
            column[y] = *(const vec *)(d + y * row + x * pixel);
        transform_inputs(column);
#pragma GCC unroll 8
        for (int y = begin; y < end; y++)
            half[y][x] = column[y];
    }
#pragma GCC unroll 8
    for (int y = begin; y < end; y++) {
        transform_inputs(half[y]);
#pragma GCC unroll 8
        for (int x = 0; x < SIDE; x++)
            *(vec *)(to + (y * SIDE + x) * matrix) = half[y][x];
    }
}

/* Where the vector that begins with channel c begins: the last one ends with the last channel, and has some that the
 * one before it had. Fewer channels than a vector has lanes come with zeros behind them. */
SBV_INLINE int vector_at(int c, int channels)
{
    return c + SBV_LANES <= channels || channels < SBV_LANES ? c : channels - SBV_LANES;
}

/* A tile of whole vectors. Not inlined: the bits are the same wherever the pixels lie. */
static __attribute__((noinline)) void transform_tile(const float *d, ptrdiff_t row, ptrdiff_t pixel, int channels,
                                                     float *to, ptrdiff_t matrix)
{
    static const int rows[] = INPUT_ROWS;
    for (int c = 0; c < channels; c += SBV_LANES) {
        const int at = vector_at(c, channels);
#pragma GCC unroll 8
        for (int i = 0; i < (int)(sizeof(rows) / sizeof(*rows)) - 1; i++)
            transform_rows(d + at, row, pixel, to + at, matrix, rows[i], rows[i + 1]);
    }
}

/* `channels` channels of a pixel, zeros behind them to a whole vector; data NULL: zeros. */
static void copy_pixel(const float *data, int channels, float *to)
{
    for (int c = 0; c < channels; c += SBV_LANES) {
        const int at = vector_at(c, channels);
        if (!data)
            *(vec *)(to + at) = (vec){0};
        else if (channels < SBV_LANES)
            *(vec *)to = vec_load_part(data, SBV_MAP_F32, 0, channels);
        else
            *(vec *)(to + at) = *(const vec *)(data + at);
    }
}

/* `channels` channels of a tile, from channel `from` on; zeros outside the map. */
static void read_tile(const struct winograd *w, struct tile tile, int from, int channels, float *to)
{
    const sbv_map *in = &w->a->in;
    const int x = tile.x - 1, y = tile.y - 1;
    float pixels[POSITIONS * CHUNK];
    if (x >= 0 && y >= 0 && x + SIDE <= in->w && y + SIDE <= in->h && channels >= SBV_LANES) {
        transform_tile(sbv_at(in, x, y) + from, in->row, in->pixel, channels, to, w->in_matrix);
        return;
    }
    for (int c = 0; c < channels; c += CHUNK) {
        const int count = sbv_min(channels - c, CHUNK), room = sbv_max(count, SBV_LANES);
        for (int p = 0; p < POSITIONS; p++) {
            const int ix = x + p % SIDE, iy = y + p / SIDE;
            const int inside = ix >= 0 && iy >= 0 && ix < in->w && iy < in->h;
            copy_pixel(inside ? sbv_at(in, ix, iy) + from + c : NULL, count, pixels + p * room);
        }
        transform_tile(pixels, SIDE * room, room, room, to + c, w->in_matrix);
    }
}

/* ---- Products ---- */

SBV_INLINE void add_channel(vec sum[ROWS][VECTORS], const float *in, const float *weights, int row, int vectors)
{
    vec weight[VECTORS];
    for (int v = 0; v < vectors; v++)
        weight[v] = *(const vec *)(weights + v * SBV_LANES);
#pragma GCC unroll 12
    for (int i = 0; i < ROWS; i++)
        for (int v = 0; v < vectors; v++)
            sum[i][v] += in[i * row] * weight[v];
}

/* sums = or += in * weights, for ROWS tiles, `row` floats apart, and a panel of outputs. Lines of memory are fetched in
 * between, one at a time: more at once would be in the way of the next inputs. */
SBV_INLINE void multiply(const float *in, int row, const float *weights, int channels, int vectors, float *sums,
                         int fresh, const void *const ahead[], const float *next)
{
    const int width = vectors * SBV_LANES;
    vec sum[ROWS][VECTORS];
    int c = 0;
#pragma GCC unroll 12
    for (int i = 0; i < ROWS; i++)
        for (int v = 0; v < vectors; v++)
            sum[i][v] = (vec){0};
    for (; c < channels - 3; c += 4, weights += 4 * width) {
        __builtin_prefetch(ahead[c / 4]);
        __builtin_prefetch(next + c * STEP, 0, 2);
        if (STEP > 4)
            __builtin_prefetch(next + c * STEP + LINE, 0, 2);
        add_channel(sum, in + c, weights, row, vectors);
        add_channel(sum, in + c + 1, weights + width, row, vectors);
        add_channel(sum, in + c + 2, weights + 2 * width, row, vectors);
        add_channel(sum, in + c + 3, weights + 3 * width, row, vectors);
    }
    for (; c < channels; c++, weights += width)
        add_channel(sum, in + c, weights, row, vectors);
#pragma GCC unroll 12
    for (int i = 0; i < ROWS; i++)
        for (int v = 0; v < vectors; v++) {
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
    const sbv_map *out = &w->a->out, *add = &w->a->residual;
    const int apart = add->data && add->data != out->data, width = width_of(out->c, panel);
    const void **ahead = w->ahead, *const *const full = w->ahead + sbv_min(w->a->in.c, w->chunk) / 4;
    const int end = sbv_min((position + 1) * ROWS * PIXELS / POSITIONS, (w->count - t) * PIXELS);
    for (int i = position * ROWS * PIXELS / POSITIONS; i < end; i++) {
        const struct tile *tile = &w->tile[t + i / PIXELS];
        const int x = tile->x + i % OUT, y = tile->y + i / OUT % OUT;
        const float *to = sbv_at(out, x, y) + panel * PANEL, *from = apart ? sbv_at(add, x, y) + panel * PANEL : NULL;
        for (int c = 0; c < width && ahead < full; c += LINE) {
            *ahead++ = to + c;
            if (apart && ahead < full)
                *ahead++ = from + c;
        }
    }
}

/* Pixels that the next block will read, STEP of a row, to be fetched during the next product: rows and tiles in turn,
 * at the pace of the products of this block. Only where all channels are one chunk. */
static const float *next_pixels(struct winograd *w)
{
    const sbv_map *in = &w->a->in;
    struct coming *coming = &w->coming;
    int x, y;
    if (w->chunks > 1 || --coming->wait > 0)
        return w->a->bias;
    coming->wait = coming->every;
    x = OUT * (w->left + coming->column) - w->a->shift + 1;
    y = OUT * (w->top + coming->line) - w->a->shift + coming->row - 1;
    if (++coming->row == SIDE) {
        coming->row = 0;
        if (++coming->column == w->across)
            coming->column = 0, coming->line++;
    }
    return x < 0 || x >= in->w || y < 0 || y >= in->h ? w->a->bias : sbv_at(in, x, y);
}

/* multiply() with numbers that the compiler knows. */
static void multiply_rows(const struct winograd *w, const float *in, const float *weights, int channels, int width,
                          float *sums, int fresh, const float *next)
{
    const void *const *const ahead = w->ahead;
#define MULTIPLY(row, vectors, fresh) multiply(in, row, weights, channels, vectors, sums, fresh, ahead, next)
#define MULTIPLY_BY(vectors)                                                                                           \
    if (w->chunk == NARROWEST)                                                                                         \
        MULTIPLY(NARROWEST, vectors, 1);                                                                               \
    else if (w->chunk == NARROW)                                                                                       \
        MULTIPLY(NARROW, vectors, 1);                                                                                  \
    else if (w->chunk == WIDE)                                                                                         \
        MULTIPLY(WIDE, vectors, 1);                                                                                    \
    else if (fresh)                                                                                                    \
        MULTIPLY(CHUNK, vectors, 1);                                                                                   \
    else                                                                                                               \
        MULTIPLY(CHUNK, vectors, 0);
    if (width == PANEL)
        MULTIPLY_BY(VECTORS)
    else
        MULTIPLY_BY(1)
#undef MULTIPLY_BY
#undef MULTIPLY
}

/* One chunk of a panel of outputs, for the block. Rows of tiles behind the last one hold what was there before; nobody
 * reads their sums. */
static void multiply_panel(struct winograd *w, int chunk, int panel, float *sums)
{
    const sbv_conv_args *a = w->a;
    const int all = chunk_of(a->in.c), channels = sbv_min(a->in.c - chunk * all, all), last = chunk == w->chunks - 1;
    const int width = width_of(a->out.c, panel);
    const float *weights = (const float *)a->weights + weights_at(a->out.c, a->in.c, chunk, panel);
    for (int p = 0; p < POSITIONS; p++, weights += channels * width)
        for (int t = 0; t < w->count; t += ROWS) {
            const float *next = next_pixels(w);
            const float *in = w->in + p * w->in_matrix + t * w->chunk;
            float *to = sums + p * w->sums_matrix + t * PANEL;
            if (last)
                look_ahead(w, panel, p, t);
            multiply_rows(w, in, weights, channels, width, to, chunk == 0, next);
        }
}

/* ---- Output ---- */

/* Rows begin to end - 1 of A'mA, of a vector of channels, to the tile at (x, y). */
SBV_INLINE void finish_rows(const sbv_conv_args *a, int x, int y, int first, const float *sums, ptrdiff_t matrix,
                            int residual, int begin, int end)
{
    vec half[OUT][SIDE];
#pragma GCC unroll 8
    for (int j = 0; j < SIDE; j++) {
        vec m[SIDE], column[OUT];
#pragma GCC unroll 8
        for (int i = 0; i < SIDE; i++)
            m[i] = *(const vec *)(sums + (i * SIDE + j) * matrix);
        transform_sums(m, column);
#pragma GCC unroll 6
        for (int i = begin; i < end; i++)
            half[i][j] = column[SUM_ROW(i)];
    }
#pragma GCC unroll 6
    for (int i = begin; i < end; i++) {
        float *out = sbv_at(&a->out, x, y + SUM_ROW(i)) + first;
        const float *add = residual ? sbv_at(&a->residual, x, y + SUM_ROW(i)) + first : NULL;
        vec sum[OUT];
        transform_sums(half[i], sum);
#pragma GCC unroll 6
        for (int j = 0; j < OUT; j++) {
            vec value = vec_activate(sum[j] + *(const vec *)(a->bias + first), a->slope);
            if (residual)
                value += *(const vec *)(add + j * a->residual.pixel);
            *(vec *)(out + j * a->out.pixel) = value;
        }
    }
}

/* A whole tile, of a whole vector of channels. Not inlined: the bits are the same wherever it is stored. */
static __attribute__((noinline)) void finish_tile(const sbv_conv_args *a, int x, int y, int first, const float *sums,
                                                  ptrdiff_t matrix)
{
    static const int rows[] = SUM_ROWS;
#pragma GCC unroll 6
    for (int i = 0; i < (int)(sizeof(rows) / sizeof(*rows)) - 1; i++)
        if (a->residual.data)
            finish_rows(a, x, y, first, sums, matrix, 1, rows[i], rows[i + 1]);
        else
            finish_rows(a, x, y, first, sums, matrix, 0, rows[i], rows[i + 1]);
}

/* Those pixels of a tile that the range has, and those channels of a vector that there are. */
static void finish_part(const struct winograd *w, struct tile tile, int first, const float *sums)
{
    const sbv_conv_args *a = w->a;
    const size_t bytes = (size_t)sbv_min(a->out.c - first, SBV_LANES) * sizeof(float);
    float out[PIXELS * SBV_LANES], add[PIXELS * SBV_LANES] = {0};
    sbv_conv_args whole = *a;
    whole.out = (sbv_map){.data = out, .pixel = SBV_LANES, .row = OUT * SBV_LANES};
    whole.bias = a->bias + first;
    if (a->residual.data)
        whole.residual = (sbv_map){.data = add, .pixel = SBV_LANES, .row = OUT * SBV_LANES};
    const int x0 = sbv_max(a->x0 - tile.x, 0), x1 = sbv_min(a->x1 - tile.x, OUT);
    const int y0 = sbv_max(w->begin - tile.y, 0), y1 = sbv_min(w->end - tile.y, OUT);
    for (int y = y0; y < y1 && a->residual.data; y++)
        for (int x = x0; x < x1; x++)
            memcpy(add + (y * OUT + x) * SBV_LANES, sbv_at(&a->residual, tile.x + x, tile.y + y) + first, bytes);
    finish_tile(&whole, 0, 0, 0, sums, w->sums_matrix);
    for (int y = y0; y < y1; y++)
        for (int x = x0; x < x1; x++)
            memcpy(sbv_at(&a->out, tile.x + x, tile.y + y) + first, out + (y * OUT + x) * SBV_LANES, bytes);
}

/* The outputs of a panel, of one tile. */
static void write_tile(const struct winograd *w, struct tile tile, int panel, const float *sums)
{
    const sbv_conv_args *a = w->a;
    const int inside = tile.x >= a->x0 && tile.x + OUT <= a->x1 && tile.y >= w->begin && tile.y + OUT <= w->end;
    for (int v = 0; v < VECTORS; v++) {
        const int first = panel * PANEL + v * SBV_LANES;
        if (inside && first + SBV_LANES <= a->out.c)
            finish_tile(a, tile.x, tile.y, first, sums + v * SBV_LANES, w->sums_matrix);
        else if (first < a->out.c)
            finish_part(w, tile, first, sums + v * SBV_LANES);
    }
}

/* ---- Blocks ---- */

/* w->count tiles from the range's tile w->first on, row after row. */
static void compute_block(struct winograd *w)
{
    const sbv_conv_args *a = w->a;
    const int panels = panels_of(a->out.c);
    w->coming =
        (struct coming){.column = (w->first + w->most) % w->across,
                        .line = (w->first + w->most) / w->across,
                        .every = sbv_max(panels * SIDE / ROWS, 1)}; /* POSITIONS products for a panel and ROWS tiles */
    for (int t = 0; t < w->count; t++)
        w->tile[t] = (struct tile){OUT * (w->left + (w->first + t) % w->across) - a->shift,
                                   OUT * (w->top + (w->first + t) / w->across) - a->shift};
    for (int chunk = 0; chunk < w->chunks; chunk++) {
        const int from = chunk * chunk_of(a->in.c), channels = sbv_min(a->in.c - from, chunk_of(a->in.c));
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
    w->chunk = room_of(a->in.c);
    w->chunks = (a->in.c - 1) / chunk_of(a->in.c) + 1;
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
    for (int i = 0; i < WIDE / 4; i++)
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
