/*
 * Runs the kernels of this folder on the emulator and compares them with plain C++.
 *     planted             all kernels without a bug, and the instructions
 *     planted BUG         the kernel that can have this bug, with it
 *     planted --list      the names of the bugs
 * Exit status 0: all results are right; 1: the first that is not has been printed.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <memory>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cuda/emu/emu.h"
#include "tests/cuda/emu/planted/planted.h"

/* Memory of exactly the size asked for, so that AddressSanitizer sees every overrun. */
template <class T> struct Buffer {
    std::unique_ptr<T[]> data;
    size_t size;
    explicit Buffer(size_t n) : data(new T[n]()), size(n)
    {
    }
    T &operator[](size_t i)
    {
        return data[i];
    }
    T *get()
    {
        return data.get();
    }
};

static uint32_t random_state = 1;

static float random_float()
{
    random_state = random_state * 1664525u + 1013904223u;
    return (float)(random_state >> 8) / 8388608.0f - 1;
}

static void fill_random(Buffer<__half> &b)
{
    for (size_t i = 0; i < b.size; i++)
        b[i] = __float2half(random_float());
}

static bool right(const char *name, size_t index, double got, double expected, double limit)
{
    if (fabs(got - expected) <= limit)
        return true;
    printf("wrong: %s[%zu] is %g instead of %g\n", name, index, got, expected);
    return false;
}

static void launch(const char *name, unsigned grid, unsigned block, size_t shared, void **parameters)
{
    const emu::Kernel *kernel = emu::find(name);
    if (!kernel || emu::launch(kernel, {grid, 1, 1}, {block, 1, 1}, shared, parameters)) {
        printf("wrong: %s cannot be launched\n", name);
        exit(1);
    }
}

/* out(rows_a, rows_b) = start + a(rows_a, depth) * transpose(b(rows_b, depth)). Products of halves are exact in a
 * float, and up to 384 of at most one are added in another order: 1e-4. */
static bool check_product(const char *name, float *out, const __half *a, const __half *b, int rows_a, int rows_b,
                          int depth, int tiles, float start)
{
    for (int i = 0; i < rows_a; i++)
        for (int j = 0; j < rows_b; j++) {
            double sum = start;
            for (int t = 0; t < tiles; t++)
                for (int k = 0; k < depth; k++)
                    sum += (double)__half2float(a[(t * rows_a + i) * depth + k]) *
                           (double)__half2float(b[(t * rows_b + j) * depth + k]);
            if (!right(name, (size_t)(i * rows_b + j), out[i * rows_b + j], sum, 1e-4))
                return false;
        }
    return true;
}

static bool test_matmul(int plant)
{
    const int rows = 100;
    Buffer<__half> a(rows * MATMUL_DEPTH), b(8 * MATMUL_DEPTH);
    Buffer<float> out(rows * 8);
    fill_random(a);
    fill_random(b);
    matmul_args args = {plant, rows, a.get(), b.get(), out.get()};
    void *parameters[] = {&args};
    launch("planted_matmul", 2, 128, MATMUL_SHARED, parameters);
    return check_product("matmul", out.get(), a.get(), b.get(), rows, 8, MATMUL_DEPTH, 1, 0);
}

static bool test_count(int plant)
{
    const int size = 1000;
    int expected[2] = {0, 0};
    Buffer<int> values(size), counts(2);
    for (int i = 0; i < size; i++) {
        values[i] = (int)(random_float() * 100);
        expected[0] += values[i] > 0;
        expected[1] += values[i];
    }
    count_args args = {plant, size, values.get(), counts.get()};
    void *parameters[] = {&args};
    launch("planted_count", 4, 256, 0, parameters);
    return right("counts", 0, counts[0], expected[0], 0) && right("counts", 1, counts[1], expected[1], 0);
}

/* What cuTensorMapEncodeTiled would make of a dense tensor of halves (64, 64, tiles) and boxes of one tile. */
static emu::TensorMap tile_map(void *base, int tiles)
{
    emu::TensorMap map = {};
    map.base = base;
    map.rank = 3;
    map.element_size = 2;
    map.swizzle = 3;
    map.stride[0] = 2;
    map.stride[1] = 128;
    map.stride[2] = WGMMA_TILE;
    map.size[0] = map.size[1] = 64;
    map.size[2] = (uint32_t)tiles;
    map.box[0] = map.box[1] = 64;
    map.box[2] = 1;
    return map;
}

static bool test_wgmma(int plant)
{
    Buffer<__half> a(WGMMA_TILES * 64 * 64), b(WGMMA_TILES * 64 * 64);
    Buffer<float> out(64 * 64);
    fill_random(a);
    fill_random(b);
    emu::TensorMap map_a = tile_map(a.get(), WGMMA_TILES), map_b = tile_map(b.get(), WGMMA_TILES);
    wgmma_args args = {plant, out.get()};
    void *parameters[] = {&map_a, &map_b, &args};
    launch("planted_wgmma", 1, 160, WGMMA_SHARED, parameters);
    return check_product("wgmma", out.get(), a.get(), b.get(), 64, 64, 64, WGMMA_TILES, 0);
}

/* ---- The instructions ---- */

static bool check_words(const unsigned *words)
{
    bool ok = true;
    for (int lane = 0; lane < 32; lane++) {
        const int column = lane / 4, row = lane % 4 * 2;
        for (int i = 0; i < 4; i++) {
            const unsigned low = (unsigned)(i * 64 + row * 8 + column), pair = low | (low + 8) << 16;
            const unsigned there = (unsigned)(lane * 8 + i * 2), back = there | (there + 1) << 16;
            ok = ok && right("ldmatrix_x4_trans", (size_t)lane, words[WORDS_LDMATRIX_X4 + lane * 4 + i], pair, 0);
            ok = ok && right("stmatrix_x4_trans", (size_t)lane, words[WORDS_STMATRIX + lane * 4 + i], back, 0);
            if (i < 2)
                ok = ok && right("ldmatrix_x2_trans", (size_t)lane, words[WORDS_LDMATRIX_X2 + lane * 2 + i], pair, 0);
        }
        const int down = lane % 16 + 5 < 16 ? lane + 5 : lane, up = lane >= 3 ? lane - 3 : lane;
        const int sources[4] = {lane / 8 * 8 + 3, down, up, lane ^ 9};
        for (int i = 0; i < 4; i++)
            ok = ok &&
                 right("shuffle", (size_t)(i * 32 + lane), words[WORDS_SHUFFLES + i * 32 + lane], sources[i] * 3, 0);
    }
    const unsigned votes[3] = {0x49249249, 0, 1}, atomics[5] = {31, 7, 496, 0x43f80000 /* 496.0f */, 9};
    for (int i = 0; i < 3; i++)
        ok = ok && right("votes", (size_t)i, words[WORDS_VOTES + i], votes[i], 0);
    for (int i = 0; i < 5; i++)
        ok = ok && right("atomics", (size_t)i, words[WORDS_ATOMICS + i], atomics[i], 0);
    return ok;
}

/* The tensor (12, 4, 5, 3) is numbered through; a box that begins at (-3, 1, -1, 2) is partly outside of it. */
static bool check_box(const float *box)
{
    bool ok = true;
    for (int z = 0; z < BOX_LAYERS; z++)
        for (int y = 0; y < BOX_ROWS; y++)
            for (int x = 0; x < BOX_COLUMNS; x++) {
                const int tx = x - 3, ty = y + 1, tz = z - 1;
                const bool inside = tx >= 0 && tx < 12 && ty < 4 && tz >= 0;
                const int i = (z * BOX_ROWS + y) * BOX_COLUMNS + x;
                ok = ok && right("box", (size_t)i, box[i], inside ? ((2 * 5 + tz) * 4 + ty) * 12 + tx : 0, 0);
            }
    return ok;
}

static bool test_instructions()
{
    Buffer<__half> a(64 * 64), b(256 * 64);
    Buffer<float> product_128(64 * 128), product_256(64 * 256), product_tiles(64 * 32), tensor(12 * 4 * 5 * 3);
    Buffer<float> box(BOX_COLUMNS * BOX_ROWS * BOX_LAYERS);
    Buffer<unsigned> words(WORDS_END);
    fill_random(a);
    fill_random(b);
    for (size_t i = 0; i < tensor.size; i++)
        tensor[i] = (float)i;
    words[WORDS_ATOMICS + 1] = 1000;
    emu::TensorMap map = {};
    map.base = tensor.get();
    map.rank = 4;
    map.element_size = 4;
    const uint32_t size[4] = {12, 4, 5, 3};
    const uint16_t boxes[4] = {BOX_COLUMNS, BOX_ROWS, BOX_LAYERS, 1};
    for (int i = 0; i < 4; i++) {
        map.size[i] = size[i];
        map.box[i] = boxes[i];
        map.stride[i] = i ? map.stride[i - 1] * size[i - 1] : 4;
    }
    instructions_args args = {a.get(),     b.get(),  product_128.get(), product_256.get(), product_tiles.get(),
                              words.get(), box.get()};
    void *parameters[] = {&map, &args};
    launch("planted_instructions", 1, 128, INSTRUCTIONS_SHARED, parameters);
    return check_words(words.get()) && check_box(box.get()) &&
           check_product("tiles", product_tiles.get(), a.get(), b.get(), 64, 32, 64, 1, 0) &&
           check_product("wgmma 128", product_128.get(), a.get(), b.get(), 64, 128, 64, 1, 1) &&
           check_product("wgmma 256", product_256.get(), a.get(), b.get(), 64, 256, 64, 1, 1);
}

/* ---- */

struct Plant {
    int id;
    const char *name;
    bool (*test)(int plant);
};
#define MATMUL_ENTRY(id, name) {PLANT_##id, name, test_matmul},
#define COUNT_ENTRY(id, name)  {PLANT_##id, name, test_count},
#define WGMMA_ENTRY(id, name)  {PLANT_##id, name, test_wgmma},
static const Plant plants[] = {PLANTS_MATMUL(MATMUL_ENTRY) PLANTS_COUNT(COUNT_ENTRY) PLANTS_WGMMA(WGMMA_ENTRY)};

int main(int argc, char **argv)
{
    bool ok = false;
    if (argc == 1) {
        ok = test_matmul(PLANT_NONE) && test_count(PLANT_NONE) && test_wgmma(PLANT_NONE) && test_instructions();
        if (ok)
            printf("right\n");
        return !ok;
    }
    for (const Plant &plant : plants) {
        if (!strcmp(argv[1], "--list"))
            printf("%s\n", plant.name);
        else if (!strcmp(argv[1], plant.name)) {
            ok = plant.test(plant.id);
            if (ok)
                printf("right\n");
            return !ok;
        }
    }
    return strcmp(argv[1], "--list") != 0;
}
