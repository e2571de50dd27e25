/*
 * Transposed convolution (ksize 4, stride 2), vectorised over input channels: its outputs are few, its inputs many.
 *
 * Output row y takes two input rows, each with one row of the taps. Along a row, input pixel i reaches the output
 * columns 2i - 1 .. 2i + 2, through the four columns of taps; so the sums of pixel i, one for each column of taps and
 * output channel, are made at once from one pass over its channels, and an output column is what two neighbours give:
 * 2i from column 1 of pixel i and 3 of pixel i - 1, 2i + 1 from column 2 of pixel i and 0 of pixel i + 1.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vec.h"

#define OUTPUTS 2 /* channels of the output at once */
#define SUMS    (4 * OUTPUTS)
#if SBV_LANES == 16 || defined(__aarch64__)
#define PIXELS 2 /* input pixels at once: 16 of 32 registers hold sums */
#else
#define PIXELS 1 /* 8 of 16 */
#endif

/* An output row and channels o .. o + OUTPUTS - 1 of it: the input rows and the weights they are multiplied by. */
struct line {
    int rows;
    int y[2];
    const float *weights[2][SUMS];
    vec rest[2][SUMS]; /* those of the channels behind the whole vectors, and zeros */
};

static struct line find_line(const sbv_deconv_args *a, int y, int o)
{
    const int whole = a->in.c - a->in.c % SBV_LANES;
    struct line line = {0};
    for (int ky = (y + 1) % 2; ky < 4; ky += 2) {
        const int iy = y + 1 < ky ? -1 : (y + 1 - ky) / 2;
        if (iy < 0 || iy >= a->in.h)
            continue;
        line.y[line.rows] = iy;
        for (int s = 0; s < SUMS; s++) {
            const int output = o + s % OUTPUTS < a->out.c ? o + s % OUTPUTS : o;
            line.weights[line.rows][s] = a->weights + ((ptrdiff_t)(ky * 4 + s / OUTPUTS) * a->out.c + output) * a->in.c;
        }
        for (int s = 0; s < SUMS && whole < a->in.c; s++)
            line.rest[line.rows][s] = vec_load_part(line.weights[line.rows][s], SBV_MAP_F32, whole, a->in.c - whole);
        line.rows++;
    }
    return line;
}

SBV_INLINE void multiply(vec sum[PIXELS][SUMS], const vec in[PIXELS], int s, vec weight)
{
    for (int i = 0; i < PIXELS; i++)
        sum[i][s] += in[i] * weight;
}

/* The sums of the lanes of each of the vectors: those of as many as there are lanes, or fewer, become the lanes of one
 * vector, in the order of the vectors. */
SBV_INLINE void add_lanes(vec sum[SUMS], float total[SUMS])
{
    const int group = SUMS < SBV_LANES ? SUMS : SBV_LANES;
    float lanes[SBV_LANES];
    for (int g = 0; g < SUMS; g += group) {
        for (int half = group / 2; half; half /= 2)
            for (int i = g; i < g + half; i++)
                sum[i] = vec_zip_low(sum[i], sum[i + half]) + vec_zip_high(sum[i], sum[i + half]);
        *(vec *)lanes = sum[g];
        for (int s = 0; s < group; s++) {
            total[g + s] = lanes[s];
            for (int lane = s + group; lane < SBV_LANES; lane += group)
                total[g + s] += lanes[lane];
        }
    }
}

/* The sums of the input pixels x .. x + PIXELS - 1; those beyond the row are of its last pixel. */
SBV_INLINE void add_up(const sbv_deconv_args *a, const struct line *line, int x, enum sbv_type type,
                       float total[PIXELS][SUMS])
{
    const int channels = a->in.c, whole = channels - channels % SBV_LANES;
    vec sum[PIXELS][SUMS];
    for (int i = 0; i < PIXELS; i++)
        for (int s = 0; s < SUMS; s++)
            sum[i][s] = (vec){0};
    for (int r = 0; r < line->rows; r++) {
        const void *pixel[PIXELS];
        vec in[PIXELS];
        for (int i = 0; i < PIXELS; i++)
            pixel[i] = sbv_pixel(&a->in, x + i < a->in.w ? x + i : a->in.w - 1, line->y[r]);
        for (int c = 0; c < whole; c += SBV_LANES) {
            for (int i = 0; i < PIXELS; i++)
                in[i] = vec_load(pixel[i], type, c);
            for (int s = 0; s < SUMS; s++)
                multiply(sum, in, s, vec_load(line->weights[r][s], SBV_MAP_F32, c));
        }
        if (whole < channels) {
            for (int i = 0; i < PIXELS; i++)
                in[i] = vec_load_part(pixel[i], type, whole, channels - whole);
            for (int s = 0; s < SUMS; s++)
                multiply(sum, in, s, line->rest[r][s]);
        }
    }
    for (int i = 0; i < PIXELS; i++)
        add_lanes(sum[i], total[i]);
}

/* Writes the columns 2i - 1 and 2i, that lie between the input pixels i - 1 and i. */
static void put(const sbv_deconv_args *a, int y, int i, int o, const float left[SUMS], const float right[SUMS])
{
    for (int k = 0; k < OUTPUTS && o + k < a->out.c; k++) {
        if (i > 0)
            sbv_store(sbv_pixel(&a->out, 2 * i - 1, y), a->out.type, o + k,
                      a->bias[o + k] + (left[2 * OUTPUTS + k] + right[k]));
        if (i < a->in.w)
            sbv_store(sbv_pixel(&a->out, 2 * i, y), a->out.type, o + k,
                      a->bias[o + k] + (left[3 * OUTPUTS + k] + right[OUTPUTS + k]));
    }
}

SBV_INLINE void deconv(const sbv_deconv_args *a, int y, int o, enum sbv_type type)
{
    static const float nothing[SUMS];
    const struct line line = find_line(a, y, o);
    float left[SUMS] = {0}, total[PIXELS][SUMS];
    for (int x = 0; x < a->in.w; x += PIXELS) {
        add_up(a, &line, x, type, total);
        for (int i = 0; i < PIXELS && x + i < a->in.w; i++) {
            put(a, y, x + i, o, left, total[i]);
            memcpy(left, total[i], sizeof(left));
        }
    }
    put(a, y, a->in.w, o, left, nothing);
}

/* sbv_deconv_sse2, sbv_deconv_avx2, sbv_deconv_avx512, sbv_deconv_neon */
void SBV_CPU_NAME(deconv)(const sbv_deconv_args *a, int begin, int end)
{
    for (int y = begin; y < end; y++)
        for (int o = 0; o < a->out.c; o += OUTPUTS) {
            if (a->in.type == SBV_MAP_BF16)
                deconv(a, y, o, SBV_MAP_BF16);
            else
                deconv(a, y, o, SBV_MAP_F32);
        }
}
