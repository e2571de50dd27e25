/*
 * Colour conversion on the device; the formulas are those of kernels/reference/colour.c and kernels/reference/resize.c,
 * and so are the sums and products, one by one and in their order: the results are the same bits.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/colour_params.h"

namespace
{

constexpr int GROUP = SBV_COLOUR_GROUP, TILE_W = SBV_COLOUR_TILE_W, TILE_H = SBV_COLOUR_TILE_H;
constexpr int TILE_GROUPS = TILE_W / GROUP;

/* Adding and subtracting it rounds a float below 2^22 to an integer, half to even. */
constexpr float ROUNDER = 12582912.0f;

/* A product that is rounded by itself. nvcc would contract a * b + c to one operation with one rounding. */
__device__ __forceinline__ float product(float a, float b)
{
    return __fmul_rn(a, b);
}

__device__ __forceinline__ int clamp_int(int v, int low, int high)
{
    return v < low ? low : v > high ? high : v;
}

__device__ __forceinline__ const float *pixel_of(const sbv_map &map, int x, int y)
{
    return static_cast<const float *>(map.data) + y * map.row + x * map.pixel;
}

/* ---- Into the network ---- */

/* A sample that is a float, as the network can take it. */
__device__ __forceinline__ float finite(float v)
{
    const float most = 65504.0f;
    v = v == v ? v : 0.0f;
    v = v < most ? v : most;
    return v > -most ? v : -most;
}

__device__ __forceinline__ float load(const sbv_colour_source &s, int x, int y)
{
    const uint8_t *at = s.data + y * s.linesize + static_cast<ptrdiff_t>(x) * s.step;
    /* Planes may begin anywhere: single bytes, not a load that must be aligned. */
    if (s.bytes == 4)
        return finite(__uint_as_float(at[0] | static_cast<unsigned>(at[1]) << 8 | static_cast<unsigned>(at[2]) << 16 |
                                      static_cast<unsigned>(at[3]) << 24));
    const unsigned stored = s.bytes == 2 ? at[0] | static_cast<unsigned>(at[1]) << 8 : at[0];
    return product(static_cast<float>(stored >> s.shift) - s.zero, s.gain);
}

/* Chroma column `column`, interpolated between two rows. */
__device__ __forceinline__ float load_between(const sbv_colour_source &s, int column, int row, int next, float weight)
{
    float value = load(s, column, row);
    if (weight > 0.0f && next != row)
        value += product(weight, load(s, column, next) - value);
    return value;
}

/* A chroma component at luma position (x, y), interpolated linearly between the samples around, the outermost
 * repeated. */
__device__ __forceinline__ float load_chroma(const sbv_colour_in_params &a, const sbv_colour_source &s, int x, int y)
{
    int row = y, next = y;
    float weight = 0.0f;
    if (a.sub_h) {
        row = (y + 1) / 2 - 1;
        next = clamp_int(row + 1, 0, a.chroma_h - 1);
        row = clamp_int(row, 0, a.chroma_h - 1);
        weight = y & 1 ? a.weight_y[1] : a.weight_y[0];
    }
    if (!a.sub_w)
        return load_between(s, x, row, next, weight);
    const int column = (x + 1) / 2 - 1;
    const float left = load_between(s, clamp_int(column, 0, a.chroma_w - 1), row, next, weight);
    const float right = load_between(s, clamp_int(column + 1, 0, a.chroma_w - 1), row, next, weight);
    return left + product(right - left, x & 1 ? a.weight_x[1] : a.weight_x[0]);
}

/* ---- Out of the network: where pixels come from ---- */

typedef float group_rgb[GROUP][3];

/* From a map. */
struct map_pixels {
    const sbv_colour_map_params &a;

    /* The pixels x .. x + GROUP - 1 of row y, the last column repeated. */
    __device__ __forceinline__ void read(group_rgb &rgb, int x, int y) const
    {
#pragma unroll
        for (int i = 0; i < GROUP; i++) {
            const float *pixel = pixel_of(a.in, clamp_int(x + i, 0, a.in.w - 1), y);
#pragma unroll
            for (int c = 0; c < 3; c++)
                rgb[i][c] = pixel[c];
        }
    }
};

/* From the frame at the network's input, FACTOR times enlarged, plus the network's outputs, a pixel's FACTOR * FACTOR
 * values for each colour being those of its FACTOR x FACTOR pixels of the picture. */
template <int FACTOR> struct enlarged_pixels {
    const sbv_colour_picture_params &a;

    static constexpr int SOURCES = GROUP / FACTOR; /* input pixels under a group of the picture's */

    /* How far pixel `phase` of the FACTOR that an input pixel becomes lies right of (below) the center of the input
     * pixel left of (above) it. */
    static __device__ __forceinline__ float fraction(int phase)
    {
        const float center = product(static_cast<float>(phase) + 0.5f, 1.0f / FACTOR);
        return phase < FACTOR / 2 ? center + 0.5f : center - 0.5f;
    }

    __device__ __forceinline__ void enlarge(group_rgb &rgb, int x, int y) const
    {
        const int phase_y = y % FACTOR, upper = phase_y < FACTOR / 2, x0 = x / FACTOR;
        const int top = y / FACTOR - upper;
        const float fy = top < 0 ? 0.0f : fraction(phase_y);
        const float *rows[2] = {pixel_of(a.rgb, 0, top < 0 ? 0 : top),
                                pixel_of(a.rgb, 0, top + 1 < a.rgb.h ? top + 1 : a.rgb.h - 1)};
#pragma unroll
        for (int c = 0; c < 3; c++) {
            float column[2][SOURCES + 2];
#pragma unroll
            for (int i = 0; i < SOURCES + 2; i++)
#pragma unroll
                for (int v = 0; v < 2; v++)
                    column[v][i] = rows[v][clamp_int(x0 - 1 + i, 0, a.rgb.w - 1) * a.rgb.pixel + c];
#pragma unroll
            for (int i = 0; i < GROUP; i++) {
                const int phase = i % FACTOR, left = i / FACTOR + (phase < FACTOR / 2 ? 0 : 1);
                const float fx = x0 - 1 + left < 0 ? 0.0f : fraction(phase);
                const float above = product(1 - fx, column[0][left]) + product(fx, column[0][left + 1]);
                const float below = product(1 - fx, column[1][left]) + product(fx, column[1][left + 1]);
                rgb[i][c] = product(1 - fy, above) + product(fy, below);
            }
        }
    }

    __device__ __forceinline__ void add_outputs(group_rgb &rgb, int x, int y) const
    {
#pragma unroll
        for (int source = 0; source < SOURCES; source++) {
            const float *pixel = pixel_of(a.outputs, clamp_int(x / FACTOR + source, 0, a.outputs.w - 1), y / FACTOR) +
                                 y % FACTOR * FACTOR;
#pragma unroll
            for (int c = 0; c < 3; c++) {
                float value[FACTOR];
                const float *from = pixel + c * FACTOR * FACTOR;
                if (FACTOR == 4 && a.aligned) {
                    const float4 four = *reinterpret_cast<const float4 *>(from);
                    value[0] = four.x;
                    value[1] = four.y;
                    value[FACTOR - 2] = four.z;
                    value[FACTOR - 1] = four.w;
                } else {
#pragma unroll
                    for (int i = 0; i < FACTOR; i++)
                        value[i] = from[i];
                }
#pragma unroll
                for (int i = 0; i < FACTOR; i++)
                    rgb[source * FACTOR + i][c] += value[i];
            }
        }
    }

    __device__ __forceinline__ void read(group_rgb &rgb, int x, int y) const
    {
        enlarge(rgb, x, y);
        add_outputs(rgb, x, y);
    }
};

/* ---- Out of the network: codes into frames ---- */

/* NaN becomes the lowest code, or 0. */
__device__ __forceinline__ unsigned code_of(const sbv_colour_code &code, float value)
{
    if (code.top == 0.0f)
        return __float_as_uint(value == value ? value : 0.0f);
    float v = code.zero + product(code.unit, value);
    v = v > 0.0f ? v : 0.0f;
    v = v < code.top ? v : code.top;
    return static_cast<unsigned>(v + ROUNDER - ROUNDER);
}

/* Writes the elements x .. x + COUNT - 1 of row y, or those of them that lie before `end`. */
template <int COUNT>
__device__ __forceinline__ void write(const sbv_colour_target &t, const uint32_t (&element)[COUNT], int x, int y,
                                      int end)
{
    uint8_t *at = t.data + y * t.linesize + static_cast<ptrdiff_t>(x) * t.step;
    const uint32_t *e = element;
    constexpr int LAST = COUNT - 1; /* keeps the indices of four in range where there are two */

    if (!t.aligned || x + COUNT > end) {
#pragma unroll
        for (int i = 0; i < COUNT; i++)
            for (int b = 0; b < t.bytes && x + i < end; b++)
                at[static_cast<ptrdiff_t>(i) * t.step + b] = static_cast<uint8_t>(element[i] >> 8 * b);
    } else if (COUNT == 2) {
        if (t.bytes == 1)
            *reinterpret_cast<uint16_t *>(at) = static_cast<uint16_t>(e[0] | e[1] << 8);
        else if (t.bytes == 2)
            *reinterpret_cast<uint32_t *>(at) = e[0] | e[1] << 16;
        else
            *reinterpret_cast<uint2 *>(at) = uint2{e[0], e[1]};
    } else {
        uint32_t *words = reinterpret_cast<uint32_t *>(at);
        if (t.bytes == 1) {
            *words = e[0] | e[1] << 8 | e[LAST - 1] << 16 | e[LAST] << 24;
        } else if (t.bytes == 2) {
            *reinterpret_cast<uint2 *>(at) = uint2{e[0] | e[1] << 16, e[LAST - 1] | e[LAST] << 16};
        } else if (t.bytes == 3) {
            words[0] = e[0] | e[1] << 24;
            words[1] = e[1] >> 8 | e[LAST - 1] << 16;
            words[2] = e[LAST - 1] >> 16 | e[LAST] << 8;
        } else {
            *reinterpret_cast<uint4 *>(at) = uint4{e[0], e[1], e[LAST - 1], e[LAST]};
        }
    }
}

/* Writes COUNT neighbours of the components FIRST .. LAST, whichever of the planes they lie in. */
template <int FIRST, int LAST, int COUNT>
__device__ __forceinline__ void write_components(const sbv_colour_out_params &p,
                                                 const unsigned (&code)[LAST - FIRST + 1][COUNT], int x, int y, int end)
{
#pragma unroll
    for (int t = FIRST; t <= LAST; t++) {
        const sbv_colour_target &target = p.target[t];
        if (!target.bytes)
            continue;
        uint32_t element[COUNT];
#pragma unroll
        for (int i = 0; i < COUNT; i++)
            element[i] = target.padding;
#pragma unroll
        for (int c = FIRST; c <= LAST; c++)
            if (p.code[c].target == t)
#pragma unroll
                for (int i = 0; i < COUNT; i++)
                    element[i] |= code[c - FIRST][i] << p.code[c].bit;
        write<COUNT>(target, element, x, y, end);
    }
}

__device__ __forceinline__ void write_rgb(const sbv_colour_out_params &p, const group_rgb &rgb, int x, int y)
{
    unsigned code[3][GROUP];
#pragma unroll
    for (int c = 0; c < 3; c++)
#pragma unroll
        for (int i = 0; i < GROUP; i++)
            code[c][i] = code_of(p.code[c], rgb[i][c]);
    write_components<0, 2, GROUP>(p, code, x, y, p.w);
}

__device__ __forceinline__ void write_luma(const sbv_colour_out_params &p, const float (&luma)[GROUP], int x, int y)
{
    unsigned code[1][GROUP];
#pragma unroll
    for (int i = 0; i < GROUP; i++)
        code[0][i] = code_of(p.code[0], luma[i]);
    write_components<0, 0, GROUP>(p, code, x, y, p.w);
}

/* Colour differences B - luma and R - luma of a tile, with a column on the left and a row above and below. */
struct differences {
    float *blue, *red;

    static __device__ __forceinline__ int at(int column, int row) /* in the tile, from -1 on */
    {
        return (row + 1) * SBV_COLOUR_SHARED_ROW + GROUP + column;
    }
};

/* Filters a tile's colour differences to COUNT neighbouring chroma samples from (x, y) on, and writes them. The
 * vertical filter comes first, as in kernels/reference. */
template <int COUNT>
__device__ __forceinline__ void write_chroma(const sbv_colour_out_params &p, const differences &d, int x0, int y0,
                                             int x, int y)
{
    const int end = (p.w + p.sub_w) >> p.sub_w;
    unsigned code[2][COUNT];
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
        float cb = 0.0f, cr = 0.0f;
#pragma unroll
        for (int h = 0; h < 4; h++) {
            if (p.filter_x[h] == 0.0f)
                continue;
            const int column = clamp_int(((x + i) << p.sub_w) - 1 + h, 0, p.w - 1) - x0;
            float column_cb = 0.0f, column_cr = 0.0f;
#pragma unroll
            for (int v = 0; v < 4; v++) {
                if (p.filter_y[v] == 0.0f)
                    continue;
                const int at = differences::at(column, clamp_int((y << p.sub_h) - 1 + v, 0, p.h - 1) - y0);
                column_cb += product(product(p.filter_y[v], p.cb_gain), d.blue[at]);
                column_cr += product(product(p.filter_y[v], p.cr_gain), d.red[at]);
            }
            cb += product(p.filter_x[h], column_cb);
            cr += product(p.filter_x[h], column_cr);
        }
        code[0][i] = code_of(p.code[1], cb);
        code[1][i] = code_of(p.code[2], cr);
    }
    write_components<1, 2, COUNT>(p, code, x, y, end);
}

/* Chroma that is not subsampled needs no neighbours. */
__device__ __forceinline__ void write_full_chroma(const sbv_colour_out_params &p, const float (&blue)[GROUP],
                                                  const float (&red)[GROUP], int x, int y)
{
    unsigned code[2][GROUP];
#pragma unroll
    for (int i = 0; i < GROUP; i++) {
        code[0][i] = code_of(p.code[1], product(p.cb_gain, blue[i]));
        code[1][i] = code_of(p.code[2], product(p.cr_gain, red[i]));
    }
    write_components<1, 2, GROUP>(p, code, x, y, p.w);
}

/* Converts a group of pixels. `inside`: it belongs to the tile, and is not one of the neighbours of the tile that only
 * the chroma filter needs. */
__device__ __forceinline__ void convert_group(const sbv_colour_out_params &p, const group_rgb &rgb,
                                              const differences &d, int x0, int y0, int x, int y, bool inside)
{
    float luma[GROUP], blue[GROUP], red[GROUP];

    if (p.rgb) {
        write_rgb(p, rgb, x, y);
        return;
    }
#pragma unroll
    for (int i = 0; i < GROUP; i++) {
        const float *pixel = rgb[i];
        luma[i] = pixel[1] + product(p.luma_r, pixel[0] - pixel[1]) + product(p.luma_b, pixel[2] - pixel[1]);
        blue[i] = pixel[2] - luma[i];
        red[i] = pixel[0] - luma[i];
    }
    if (inside)
        write_luma(p, luma, x, y);
    if (p.components == 1)
        return;
    if (p.sub_w || p.sub_h) {
        const int at = differences::at(x - x0, y - y0);
        *reinterpret_cast<float4 *>(d.blue + at) = float4{blue[0], blue[1], blue[2], blue[3]};
        *reinterpret_cast<float4 *>(d.red + at) = float4{red[0], red[1], red[2], red[3]};
    } else {
        write_full_chroma(p, blue, red, x, y);
    }
}

/* One tile of the picture: first each pixel, with those around that the chroma filter needs, then the chroma. */
template <class Pixels>
__device__ __forceinline__ void convert_tile(const sbv_colour_out_params &p, const Pixels &pixels, const differences &d)
{
    const int x0 = blockIdx.x * TILE_W, y0 = p.y_begin + blockIdx.y * TILE_H;
    const int above = p.filter_y[0] != 0.0f, below = p.filter_y[3] != 0.0f, left = p.filter_x[0] != 0.0f;
    const int rows = above + TILE_H + below, groups = rows * TILE_GROUPS;

    for (int item = threadIdx.x; item < groups + left * rows; item += SBV_COLOUR_THREADS) {
        const int column = item < groups ? item % TILE_GROUPS * GROUP : -GROUP;
        const int row = (item < groups ? item / TILE_GROUPS : item - groups) - above;
        const int x = x0 + column, y = y0 + row;
        if (x < 0 || x >= p.w || y < 0 || y >= p.h)
            continue;
        group_rgb rgb;
        pixels.read(rgb, x, y);
        convert_group(p, rgb, d, x0, y0, x, y, column >= 0 && row >= 0 && row < TILE_H && y < p.y_end);
    }
    if (p.rgb || p.components == 1 || !(p.sub_w || p.sub_h))
        return;
    __syncthreads();
    for (int item = threadIdx.x; item < (TILE_H >> p.sub_h) * TILE_GROUPS; item += SBV_COLOUR_THREADS) {
        const int x = x0 + item % TILE_GROUPS * GROUP, y = y0 + (item / TILE_GROUPS << p.sub_h);
        if (x >= p.w || y >= p.y_end)
            continue;
        if (p.sub_w)
            write_chroma<GROUP / 2>(p, d, x0, y0, x / 2, y >> p.sub_h);
        else
            write_chroma<GROUP>(p, d, x0, y0, x, y >> p.sub_h);
    }
}

} // namespace

/* Grid: groups of threads in a row, rows. */
KERNEL(LAUNCH_BOUNDS(SBV_COLOUR_THREADS, 4) sbv_colour_in, const sbv_colour_in_params a)
{
    const int x = blockIdx.x * SBV_COLOUR_THREADS + threadIdx.x, y = blockIdx.z * gridDim.y + blockIdx.y;
    if (x >= a.w || y >= a.h)
        return;
    float *out = static_cast<float *>(a.out.data) + y * a.out.row + x * a.out.pixel;
    const float first = load(a.source[0], x, y);
    if (a.components == 1) {
        out[0] = out[1] = out[2] = first;
    } else if (a.rgb) {
        out[0] = first;
        out[1] = load(a.source[1], x, y);
        out[2] = load(a.source[2], x, y);
    } else {
        const float cb = load_chroma(a, a.source[1], x, y), cr = load_chroma(a, a.source[2], x, y);
        out[0] = first + product(a.r_cr, cr);
        out[1] = first + product(a.g_cb, cb) + product(a.g_cr, cr);
        out[2] = first + product(a.b_cb, cb);
    }
}

/* Grid of the rest: tiles in a row, rows of tiles. */
KERNEL(LAUNCH_BOUNDS(SBV_COLOUR_THREADS, 4) sbv_colour_out, const sbv_colour_map_params a)
{
    DYN_SMEM();
    SMEM_ARRAY(float, blue, 0, SBV_COLOUR_SHARED_ROWS *SBV_COLOUR_SHARED_ROW);
    SMEM_ARRAY(float, red, SBV_COLOUR_SHARED / 2, SBV_COLOUR_SHARED_ROWS * SBV_COLOUR_SHARED_ROW);
    convert_tile(a.colour, map_pixels{a}, differences{blue, red});
}

KERNEL(LAUNCH_BOUNDS(SBV_COLOUR_THREADS, 4) sbv_picture_2, const sbv_colour_picture_params a)
{
    DYN_SMEM();
    SMEM_ARRAY(float, blue, 0, SBV_COLOUR_SHARED_ROWS *SBV_COLOUR_SHARED_ROW);
    SMEM_ARRAY(float, red, SBV_COLOUR_SHARED / 2, SBV_COLOUR_SHARED_ROWS * SBV_COLOUR_SHARED_ROW);
    convert_tile(a.colour, enlarged_pixels<2>{a}, differences{blue, red});
}

KERNEL(LAUNCH_BOUNDS(SBV_COLOUR_THREADS, 4) sbv_picture_4, const sbv_colour_picture_params a)
{
    DYN_SMEM();
    SMEM_ARRAY(float, blue, 0, SBV_COLOUR_SHARED_ROWS *SBV_COLOUR_SHARED_ROW);
    SMEM_ARRAY(float, red, SBV_COLOUR_SHARED / 2, SBV_COLOUR_SHARED_ROWS * SBV_COLOUR_SHARED_ROW);
    convert_tile(a.colour, enlarged_pixels<4>{a}, differences{blue, red});
}
