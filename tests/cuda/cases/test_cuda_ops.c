/*
 * The operations of the CUDA backend against their C twins: the harness behind tests/cuda/cases/cuda_cases.h, and the
 * program. It speaks TAP and needs neither cmocka nor the toolkit. Exit status 77: there is no device, for the reason
 * given.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/device.h"
#include "tests/cuda/cases/cuda_cases.h"

/* Bytes before and after every buffer. A multiple of every alignment that a kernel may ask for. */
#define GUARD 4096
/* What guards and gaps are made of: all ones is NaN as a float, as a half and in any part of them, and not the NaN that
 * arithmetic gives. */
#define PATTERN 0xff
/* Differences that are printed of one comparison. */
#define SHOWN 3
/* Output rows that the C twin computes of a timed case. */
#define TIMED_ROWS 4
/* A timing is the mean of as many runs as fit into this time, at least some. */
#define TIMED_MILLISECONDS 100
#define TIMED_RUNS         5

struct test_options {
    const char *filter; /* a part of the names of the cases to run, or NULL */
    int list, bench;
    enum sbv_conv_path path;
};

/* ---- Numbers ---- */

/* Round to nearest, ties to even, as the device converts. */
static uint16_t to_half(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    bits &= 0x7fffffff;
    if (bits > 0x7f800000)
        return sign | 0x7e00;
    if (bits >= 0x477ff000) /* 65520 and above */
        return sign | 0x7c00;
    if (bits < 0x38800000) /* subnormal: a multiple of 2^-24 */
        return sign | (uint16_t)lrintf(ldexpf(fabsf(value), 24));
    bits += 0xfff + (bits >> 13 & 1);
    return sign | (uint16_t)((bits >> 13) - (112 << 10));
}

static float from_half(uint16_t half)
{
    const int exponent = half >> 10 & 31, mantissa = half & 1023;
    float value = exponent == 31 ? (mantissa ? NAN : INFINITY)
                  : exponent     ? ldexpf((float)(mantissa + 1024), exponent - 25)
                                 : ldexpf((float)mantissa, -24);
    return half & 0x8000 ? -value : value;
}

float test_random(cuda_test *t)
{
    t->random = t->random * 1664525u + 1013904223u;
    return (float)(t->random >> 8) / (float)(1 << 23) - 1;
}

/* Whether a sample still has the pattern it was filled with. */
static int is_pattern(const void *sample, size_t size)
{
    const unsigned char *bytes = sample;
    size_t i = 0;
    while (i < size && bytes[i] == PATTERN)
        i++;
    return i == size;
}

/* ---- Cases ---- */

static void bail_out(const char *what)
{
    printf("Bail out! %s\n", what);
    exit(1);
}

static void *get_memory(size_t bytes)
{
    void *memory = malloc(bytes);
    if (!memory)
        bail_out("out of memory");
    return memory;
}

void test_fail(cuda_test *t, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    printf("# %s: ", t->name);
    vprintf(format, list);
    printf("\n");
    va_end(list);
    t->failures++;
}

/* The backend of `type`, opened when it is first needed. Without a device the program ends. */
static sbv_backend *open_backend(cuda_test *t, enum sbv_type type)
{
    char message[512] = "";
    const sbv_cuda_options options = {.type = type, .conv_path = t->options->path};
    if (t->backends[type])
        return t->backends[type];
    if (sbv_cuda_open(&t->backends[type], &options, message, sizeof(message)) < 0) {
        if (t->backends[!type])
            bail_out(message);
        printf("1..0 # SKIP %s\n", message);
        exit(77);
    }
    return t->backends[type];
}

int test_begin(cuda_test *t, enum sbv_type type, enum test_size size, const char *name, ...)
{
    va_list list;
    va_start(list, name);
    vsnprintf(t->name, sizeof(t->name), name, list);
    va_end(list);
    if ((size == TEST_TIMED) != t->options->bench || (t->options->filter && !strstr(t->name, t->options->filter)))
        return 0;
    t->count++;
    if (t->options->list) {
        printf("%s\n", t->name);
        return 0;
    }
    t->backend = open_backend(t, type);
    if (t->backend->enter(t->backend) < 0)
        bail_out("the device's context cannot be entered");
    t->random = 2166136261u;
    for (const char *p = t->name; *p; p++)
        t->random = (t->random ^ (unsigned char)*p) * 16777619u;
    t->failures = t->ran = 0;
    t->flops = t->milliseconds = 0;
    return 1;
}

/* Bytes that an operation has to move at least: each sample of each buffer once, twice if it is read and written. */
static double bytes_moved(const cuda_test *t)
{
    double sum = 0;
    for (const test_buffer *b = t->buffers; b; b = b->next) {
        const test_map *m = b->map;
        double bytes = (double)b->bytes;
        if (m)
            bytes = (double)m->host.w * m->host.h * m->host.c * (double)sbv_sample_size(m->device.type);
        sum += b->role == TEST_INOUT ? 2 * bytes : bytes;
    }
    return sum;
}

static void free_buffers(cuda_test *t)
{
    for (test_buffer *b = t->buffers, *next; b; b = next) {
        next = b->next;
        t->backend->release(t->backend, b->memory);
        if (b->map)
            free(b->map->host.data);
        free(b->map);
        free(b->uploaded);
        free(b->found);
        free(b);
    }
    t->buffers = NULL;
}

static void leave_case(cuda_test *t)
{
    const char *message = "";
    free_buffers(t);
    t->backend->leave(t->backend);
    if (t->backend->status(t->backend, &message) != SBV_OK)
        bail_out(message);
}

void test_end(cuda_test *t)
{
    if (!t->ran)
        test_fail(t, "the operation was not run");
    for (const test_buffer *b = t->buffers; b; b = b->next)
        if (b->map && b->role != TEST_IN && !b->map->compared)
            test_fail(t, "an output was not compared");
    if (t->options->bench && !t->failures) {
        const double seconds = t->milliseconds / 1e3;
        printf("{\"name\": \"%s\", \"ms\": %.4f, \"GB/s\": %.1f", t->name, t->milliseconds,
               bytes_moved(t) / seconds / 1e9);
        if (t->flops > 0)
            printf(", \"TFLOP/s\": %.2f", t->flops / seconds / 1e12);
        printf("}\n");
    } else {
        printf("%sok %d - %s\n", t->failures ? "not " : "", t->count, t->name);
    }
    fflush(stdout);
    t->failed += t->failures != 0;
    leave_case(t);
}

void test_skip(cuda_test *t, const char *reason, ...)
{
    va_list list;
    va_start(list, reason);
    printf("%s%d - %s # SKIP ", t->options->bench ? "# " : "ok ", t->count, t->name);
    vprintf(reason, list);
    printf("\n");
    va_end(list);
    leave_case(t);
}

/* ---- Buffers ---- */

test_buffer *test_buffer_new(cuda_test *t, enum test_role role, size_t bytes, size_t offset)
{
    test_buffer *b = get_memory(sizeof(*b));
    *b = (test_buffer){.role = role, .bytes = bytes, .before = GUARD + offset, .total = 2 * GUARD + offset + bytes};
    b->uploaded = get_memory(b->total);
    b->found = get_memory(b->total);
    memset(b->uploaded, PATTERN, b->total);
    memset(b->uploaded + b->before, 0, bytes);
    b->host = b->uploaded + b->before;
    if (t->backend->allocate(t->backend, b->total, &b->memory) < 0) {
        const char *message = "";
        t->backend->status(t->backend, &message);
        bail_out(message);
    }
    b->device = (unsigned char *)b->memory + b->before;
    b->next = t->buffers;
    t->buffers = b;
    return b;
}

test_map *test_map_new(cuda_test *t, enum test_role role, test_layout layout)
{
    const size_t size = sbv_sample_size(layout.type);
    const size_t samples = (size_t)layout.w * layout.h * layout.c;
    const int align = layout.type == SBV_MAP_F16 && !layout.dense ? 8 : 1;
    test_map *m = get_memory(sizeof(*m));
    ptrdiff_t pixel = (layout.offset + layout.c + layout.after + align - 1) / align * align;
    ptrdiff_t row = pixel * (layout.w + layout.row_gap);

    *m = (test_map){.host = {.w = layout.w, .h = layout.h, .c = layout.c, .type = SBV_MAP_F32}};
    m->device = m->host;
    m->host.pixel = layout.c;
    m->host.row = (ptrdiff_t)layout.c * layout.w;
    m->host.data = get_memory(samples * sizeof(float));
    m->device.type = layout.type;
    m->device.pixel = pixel;
    m->device.row = row;
    m->buffer = test_buffer_new(t, role, (size_t)row * layout.h * size, 0);
    m->buffer->map = m;
    m->device.data = m->buffer->device + layout.offset * size;

    float *values = m->host.data;
    if (role == TEST_OUT)
        memset(values, PATTERN, samples * sizeof(float));
    for (size_t i = 0; i < samples && role != TEST_OUT; i++)
        values[i] = test_random(t);
    memset(m->buffer->host, PATTERN, m->buffer->bytes);
    return m;
}

float *test_at(test_map *map, int x, int y, int channel)
{
    return sbv_at(&map->host, x, y) + channel;
}

/* Where a sample lies in the bytes that went to the device and came back. */
static size_t sample_offset(const test_map *map, int x, int y, int channel)
{
    const sbv_map *d = &map->device;
    ptrdiff_t at = (y * d->row + x * d->pixel + channel) * (ptrdiff_t)sbv_sample_size(d->type);
    return map->buffer->before + (size_t)((unsigned char *)d->data - map->buffer->device) + (size_t)at;
}

float test_found(test_map *map, int x, int y, int channel)
{
    const unsigned char *sample = map->buffer->found + sample_offset(map, x, y, channel);
    uint16_t half;
    float value;
    if (map->device.type == SBV_MAP_F16) {
        memcpy(&half, sample, sizeof(half));
        return from_half(half);
    }
    memcpy(&value, sample, sizeof(value));
    return value;
}

/* Puts the host's values of a map into the bytes to upload, and back as what the device will read. */
static void store_values(test_map *m)
{
    for (int y = 0; y < m->host.h; y++)
        for (int x = 0; x < m->host.w; x++)
            for (int c = 0; c < m->host.c; c++) {
                float *value = test_at(m, x, y, c);
                unsigned char *sample = m->buffer->uploaded + sample_offset(m, x, y, c);
                if (m->device.type == SBV_MAP_F16) {
                    uint16_t half = to_half(*value);
                    memcpy(sample, &half, sizeof(half));
                    *value = from_half(half);
                } else {
                    memcpy(sample, value, sizeof(*value));
                }
            }
}

void test_upload(cuda_test *t)
{
    for (test_buffer *b = t->buffers; b; b = b->next) {
        if (b->map && b->role != TEST_OUT)
            store_values(b->map);
        else if (b->map) /* whatever gaps hold, samples that are not written are found out */
            for (int y = 0; y < b->map->host.h; y++)
                for (int x = 0; x < b->map->host.w; x++)
                    memset(b->uploaded + sample_offset(b->map, x, y, 0), PATTERN,
                           (size_t)b->map->host.c * sbv_sample_size(b->map->device.type));
        if (t->backend->upload(t->backend, b->memory, b->uploaded, b->total) < 0)
            test_fail(t, "upload failed");
    }
}

/* ---- Runs ---- */

/* Everything but the samples of an output map, or the bytes of an output, must have come back as it went. */
static void check_guards(cuda_test *t, const test_buffer *b)
{
    unsigned char *may_change = calloc(b->total, 1);
    size_t changed = 0, first = 0;
    if (!may_change)
        bail_out("out of memory");
    if (b->role != TEST_IN && !b->map)
        memset(may_change + b->before, 1, b->bytes);
    for (int y = 0; b->role != TEST_IN && b->map && y < b->map->host.h; y++)
        for (int x = 0; x < b->map->host.w; x++)
            memset(may_change + sample_offset(b->map, x, y, 0), 1,
                   (size_t)b->map->host.c * sbv_sample_size(b->map->device.type));
    for (size_t i = 0; i < b->total; i++)
        if (!may_change[i] && b->found[i] != b->uploaded[i])
            first = changed++ ? first : i;
    if (changed)
        test_fail(t, "%zu bytes changed outside the output, the first %td bytes from the start of a %s of %zu", changed,
                  (ptrdiff_t)first - (ptrdiff_t)b->before,
                  b->role == TEST_IN ? "buffer that is only read"
                  : b->map           ? "map"
                                     : "buffer",
                  b->bytes);
    free(may_change);
}

static void download(cuda_test *t)
{
    const char *message = "";
    if (t->backend->wait(t->backend) < 0 || t->backend->status(t->backend, &message) != SBV_OK) {
        t->backend->status(t->backend, &message);
        test_fail(t, "%s", message);
    }
    for (test_buffer *b = t->buffers; b; b = b->next) {
        if (t->backend->download(t->backend, b->found, b->memory, b->total) < 0)
            test_fail(t, "download failed");
        b->host = b->found + b->before;
        check_guards(t, b);
    }
}

/* The device's clock: records an event in the stream. */
static CUevent record_event(sbv_cuda *c)
{
    CUevent event = NULL;
    if (c->cu->cuEventCreate(&event, CU_EVENT_DEFAULT) || c->cu->cuEventRecord(event, c->stream))
        bail_out("no event can be recorded");
    return event;
}

/* Whether a timed case is to be run again. Run 0 was the one that is compared; run 1 tells how many make a timing. */
static int time_runs(cuda_test *t, int times)
{
    static CUevent start, warm;
    static int runs;
    sbv_cuda *c = (sbv_cuda *)t->backend;
    float milliseconds = 0;
    c->cu->cuCtxPushCurrent(c->context);
    if (times == 1) {
        start = record_event(c);
    } else if (times == 2) {
        warm = record_event(c);
        c->cu->cuEventSynchronize(warm);
        c->cu->cuEventElapsedTime(&milliseconds, start, warm);
        runs = milliseconds > 0 ? (int)(TIMED_MILLISECONDS / milliseconds) : 1000;
        runs = runs < TIMED_RUNS ? TIMED_RUNS : runs < 1000 ? runs : 1000;
        c->cu->cuEventDestroy(start);
        c->cu->cuEventDestroy(warm);
        start = record_event(c);
    } else if (times == 2 + runs) {
        warm = record_event(c);
        c->cu->cuEventSynchronize(warm);
        c->cu->cuEventElapsedTime(&milliseconds, start, warm);
        t->milliseconds = (double)milliseconds / runs;
        c->cu->cuEventDestroy(start);
        c->cu->cuEventDestroy(warm);
    }
    c->cu->cuCtxPopCurrent(NULL);
    return times < 3 || times < 2 + runs;
}

int test_again(cuda_test *t, int times)
{
    if (times == 0)
        return 1;
    if (times == 1) {
        t->ran = 1;
        download(t);
    }
    return t->options->bench && !t->failures && time_runs(t, times);
}

int test_rows(cuda_test *t, int jobs)
{
    return t->options->bench && jobs > TIMED_ROWS ? TIMED_ROWS : jobs;
}

void test_flops(cuda_test *t, double flops)
{
    t->flops = flops;
}

/* ---- Comparison ---- */

void test_compare_absolute(cuda_test *t, test_map *map, double limit, const char *reason)
{
    const size_t size = sbv_sample_size(map->device.type);
    size_t wrong = 0;
    map->compared = 1;
    for (int y = 0; y < map->host.h; y++)
        for (int x = 0; x < map->host.w; x++)
            for (int c = 0; c < map->host.c; c++) {
                const float *expected = test_at(map, x, y, c);
                const int twin_wrote = !is_pattern(expected, sizeof(*expected));
                const int written = !is_pattern(map->buffer->found + sample_offset(map, x, y, c), size);
                const double found = (double)test_found(map, x, y, c);
                const int equal = isnan(*expected)
                                      ? isnan(found)
                                      : found == (double)*expected || fabs(found - (double)*expected) <= limit;
                if (twin_wrote ? written && equal : !written || t->options->bench)
                    continue;
                if (wrong++ < SHOWN) {
                    if (twin_wrote && written)
                        test_fail(t, "(%d, %d) channel %d: %.9g, expected %.9g, limit %.3g (%s)", x, y, c, found,
                                  (double)*expected, limit, reason);
                    else
                        test_fail(t, "(%d, %d) channel %d: %s", x, y, c, written ? "written" : "not written");
                }
            }
    if (wrong > SHOWN)
        test_fail(t, "%zu samples are wrong", wrong);
}

void test_compare(cuda_test *t, test_map *map, double limit, const char *reason)
{
    double largest = 0;
    const float *values = map->host.data;
    const size_t samples = (size_t)map->host.w * map->host.h * map->host.c;
    for (size_t i = 0; i < samples; i++)
        if (isfinite(values[i]))
            largest = fmax(largest, fabs((double)values[i]));
    test_compare_absolute(t, map, limit * largest, reason);
}

/* ---- Program ---- */

static const char usage[] = "usage: test_cuda_ops [--list] [--bench] [--conv=auto|mma|wgmma|blas] [PART OF A NAME]\n"
                            "  --list   prints the names of the cases\n"
                            "  --bench  checks and times cases of the size of real work; one line of JSON each\n"
                            "  --conv   which kernels convolve\n";

static int parse(struct test_options *options, int argc, char **argv)
{
    static const char *const paths[] = {
        [SBV_CONV_AUTO] = "auto", [SBV_CONV_MMA] = "mma", [SBV_CONV_WGMMA] = "wgmma", [SBV_CONV_BLAS] = "blas"};
    for (int i = 1; i < argc; i++) {
        int path = 0;
        while (path < 4 && (strncmp(argv[i], "--conv=", 7) || strcmp(argv[i] + 7, paths[path])))
            path++;
        if (!strcmp(argv[i], "--list"))
            options->list = 1;
        else if (!strcmp(argv[i], "--bench"))
            options->bench = 1;
        else if (path < 4)
            options->path = (enum sbv_conv_path)path;
        else if (argv[i][0] == '-' || options->filter)
            return -1;
        else
            options->filter = argv[i];
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct test_options options = {.path = SBV_CONV_AUTO};
    cuda_test t = {.options = &options};
    if (parse(&options, argc, argv) < 0) {
        fputs(usage, stderr);
        return 2;
    }
#define RUN_FAMILY(family)                                                                                             \
    if (cuda_cases_##family)                                                                                           \
        cuda_cases_##family(&t);
    CUDA_CASES(RUN_FAMILY)
    for (int type = 0; type < 2; type++)
        if (t.backends[type])
            t.backends[type]->close(t.backends[type]);
    if (!t.count) {
        fprintf(stderr, "no case of that name\n");
        return 2;
    }
    if (!options.list && !options.bench)
        printf("1..%d\n", t.count);
    return t.failed != 0;
}
