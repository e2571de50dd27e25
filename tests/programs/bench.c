/*
 * Times whole frames and prints one JSON object:
 *
 *     bench MODEL.bin [backend=cpu|cuda] [precision=fp32|fp16|bf16] [memory=host|cuda] [size=320x180] [frames=20]
 *           [threads=0] [conv=auto|mma|wgmma|blas] [recording=on|off] [adapt_interval=100]
 *
 * Frames are NV12 noise, a few different ones in turn. The first output frame is timed apart: it has to wait for the
 * look-ahead, and what is loaded lazily is loaded then. The others end when the device has done all its work. Steady
 * figures leave out the frames before each position of the window has come up twice, when launches are recorded; from
 * there on neither memory of the device nor of the process may grow. Exit status 77: there is no GPU, or the
 * processor does not have that precision.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _POSIX_C_SOURCE 200809L
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kernels/cuda/device.h"
#include "model/runtime/session.h"

#define NO_DEVICE 77  /* or not the precision */
#define INPUTS    4   /* different frames */
#define WARM_UP   20  /* output frames before steady work, or half of all */
#define PITCH     256 /* frames of decoders begin their rows at multiples of this */

/* A library without the CUDA backend has no driver. */
int sbv_cuda_driver_open(sbv_cuda_driver *driver, char *message, size_t size) __attribute__((weak));
void sbv_cuda_driver_close(sbv_cuda_driver *driver) __attribute__((weak));

struct settings {
    const char *model;
    enum sbv_backend_choice backend;
    enum sbv_precision precision;
    enum sbv_memory memory;
    int width, height, frames, threads;
    enum sbv_conv_path conv;
    int no_recording;
    int adapt_interval;
};

/* The device's memory as a whole, seen from a context of our own: what the session has before it is opened and after.
 */
struct watch {
    sbv_cuda_driver driver;
    CUcontext context;
    CUdevice device;
    int version; /* of CUDA, as the driver says: 13000 */
};

/* A moment's use of memory, and the time. */
struct moment {
    double seconds;
    int64_t device, resident; /* bytes; device: free ones */
};

struct picture {
    sbv_frame frame;
    void *memory; /* of all planes, on the host or the device */
    size_t bytes;
};

static void stop(int status, const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(status);
}

static void print_error(void *opaque, enum sbv_log_level level, const char *message)
{
    (void)opaque;
    if (level <= SBV_LOG_WARNING)
        fprintf(stderr, "bench: %s\n", message);
}

/* ---- Time and memory ---- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int64_t resident_bytes(void)
{
    long long total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%lld %lld", &total, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return resident * sysconf(_SC_PAGESIZE);
}

/* The most it ever was. Not what getrusage() says, which knows of the program that started this one. */
static int64_t peak_resident_bytes(void)
{
    char line[256];
    long long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof(line), file) && sscanf(line, "VmHWM: %lld", &kib) != 1)
        ;
    if (file)
        fclose(file);
    return kib * 1024;
}

static void watch_open(struct watch *w)
{
    char message[512] = "this library has no CUDA backend";
    int devices = 0;
    if (!sbv_cuda_driver_open || sbv_cuda_driver_open(&w->driver, message, sizeof(message)) < 0)
        stop(NO_DEVICE, message);
    if (w->driver.cuInit(0) || w->driver.cuDeviceGetCount(&devices) || !devices)
        stop(NO_DEVICE, "there is no NVIDIA GPU");
    if (w->driver.cuDriverGetVersion(&w->version) || w->driver.cuDeviceGet(&w->device, 0) ||
        w->driver.cuDevicePrimaryCtxRetain(&w->context, w->device))
        stop(1, "the GPU gives no context");
}

static void watch_close(struct watch *w)
{
    if (!w->context)
        return;
    w->driver.cuDevicePrimaryCtxRelease(w->device);
    sbv_cuda_driver_close(&w->driver);
}

static int64_t free_bytes(const struct watch *w)
{
    size_t available = 0, total = 0;
    if (!w->context)
        return 0;
    if (w->driver.cuCtxPushCurrent(w->context) || w->driver.cuMemGetInfo(&available, &total) ||
        w->driver.cuCtxPopCurrent(NULL))
        stop(1, "the GPU does not say how much memory is free");
    return (int64_t)available;
}

static struct moment moment_of(const struct watch *w)
{
    return (struct moment){now(), free_bytes(w), resident_bytes()};
}

/* ---- Frames ---- */

static sbv_stream stream_of(const struct settings *set)
{
    return (sbv_stream){
        .width = set->width,
        .height = set->height,
        .memory = set->memory,
        .components = 3,
        .chroma_w_log2 = 1,
        .chroma_h_log2 = 1,
        .component = {{.plane = 0, .step = 1, .depth = 8},
                      {.plane = 1, .step = 2, .offset = 0, .depth = 8},
                      {.plane = 1, .step = 2, .offset = 1, .depth = 8}},
        .matrix = SBV_MATRIX_BT709,
    };
}

static sbv_backend *enter(const sbv_session *s)
{
    sbv_backend *b = s->engine.exec.backend;
    if (b && b->enter(b) < 0)
        stop(1, "the device's context cannot be entered");
    return b;
}

static struct picture make_picture(const sbv_session *s, enum sbv_memory memory, int width, int height)
{
    const size_t pitch = ((size_t)width + 1 + PITCH - 1) / PITCH * PITCH, luma = pitch * (size_t)height;
    struct picture p = {.bytes = luma + pitch * (((size_t)height + 1) / 2)};
    if (memory == SBV_MEMORY_CUDA) {
        sbv_backend *b = enter(s);
        if (b->allocate(b, p.bytes, &p.memory) < 0)
            stop(1, "the device has no memory for frames");
        b->leave(b);
    } else if (!(p.memory = calloc(1, p.bytes))) {
        stop(1, "there is no memory for frames");
    }
    p.frame = (sbv_frame){.data = {p.memory, (uint8_t *)p.memory + luma},
                          .linesize = {(ptrdiff_t)pitch, (ptrdiff_t)pitch},
                          .width = width,
                          .height = height};
    return p;
}

static void free_picture(const sbv_session *s, enum sbv_memory memory, struct picture *p)
{
    if (memory == SBV_MEMORY_CUDA) {
        sbv_backend *b = enter(s);
        b->release(b, p->memory);
        b->leave(b);
    } else {
        free(p->memory);
    }
}

static void fill_with_noise(const sbv_session *s, enum sbv_memory memory, struct picture *p, uint32_t seed)
{
    uint8_t *noise = malloc(p->bytes);
    if (!noise)
        stop(1, "there is no memory for frames");
    for (size_t i = 0; i < p->bytes; i++) {
        seed = seed * 1664525u + 1013904223u;
        noise[i] = (uint8_t)(seed >> 24);
    }
    if (memory == SBV_MEMORY_CUDA) {
        sbv_backend *b = enter(s);
        if (b->upload(b, p->memory, noise, p->bytes) < 0)
            stop(1, "frames cannot be uploaded");
        b->leave(b);
    } else {
        memcpy(p->memory, noise, p->bytes);
    }
    free(noise);
}

/* Of a whole picture: the same work in another way must give the same (FNV-1a). */
static uint64_t checksum(const sbv_session *s, enum sbv_memory memory, const struct picture *p)
{
    uint64_t sum = 14695981039346656037u;
    uint8_t *bytes = p->memory;
    if (memory == SBV_MEMORY_CUDA) {
        sbv_backend *b = enter(s);
        bytes = malloc(p->bytes);
        if (!bytes || b->download(b, bytes, p->memory, p->bytes) < 0)
            stop(1, "the picture cannot be downloaded");
        b->leave(b);
    }
    for (size_t i = 0; i < p->bytes; i++)
        sum = (sum ^ bytes[i]) * 1099511628211u;
    if (bytes != p->memory)
        free(bytes);
    return sum;
}

/* ---- The run ---- */

static sbv_session *open_session(const struct settings *set)
{
    sbv_session *s;
    sbv_config config;
    const sbv_stream stream = stream_of(set);
    sbv_config_default(&config);
    config.model_path = set->model;
    config.backend = set->backend;
    config.precision = set->precision;
    config.threads = set->threads;
    config.adapt_interval = set->adapt_interval;
    config.log = print_error;
    const int ret = sbv_open(&s, &config);
    if (ret < 0)
        exit(ret == SBV_ERROR_ARGUMENT && set->precision != SBV_PRECISION_AUTO ? NO_DEVICE : 1);
    if (s->engine.exec.backend) {
        sbv_cuda *c = (sbv_cuda *)s->engine.exec.backend;
        c->options.conv_path = set->conv;
        c->options.no_recording = set->no_recording;
    }
    if (sbv_describe(s, &stream) < 0)
        exit(1);
    return s;
}

static void wait_for_device(const sbv_session *s)
{
    sbv_backend *b = enter(s);
    if (!b)
        return;
    if (b->wait(b) < 0)
        stop(1, sbv_backend_message(&s->engine.exec));
    b->leave(b);
}

/* Restores all frames; moments[0] is before the first frame, [1] after the first output frame, [2] when steady work
 * begins, [3] at the end. Returns the output frames before [2]. */
static int run(const struct settings *set, const struct watch *w, sbv_session *s, struct picture *inputs,
               struct picture *output, struct moment *moments)
{
    const int warm = set->frames / 2 < WARM_UP ? (set->frames + 1) / 2 : WARM_UP;
    int sent = 0, received = 0, ret = SBV_AGAIN;
    moments[0] = moment_of(w);
    while (ret != SBV_END) {
        if (ret == SBV_AGAIN && sbv_send(s, sent < set->frames ? &inputs[sent % INPUTS].frame : NULL) != SBV_OK)
            exit(1);
        sent += ret == SBV_AGAIN;
        if ((ret = sbv_receive(s, &output->frame)) == SBV_OK) {
            received++;
            if (received > 1 && received != warm)
                continue;
            wait_for_device(s);
            if (received == 1)
                moments[1] = moment_of(w);
            if (received == warm)
                moments[2] = moment_of(w);
        } else if (ret != SBV_AGAIN && ret != SBV_END) {
            exit(1);
        }
    }
    wait_for_device(s);
    moments[3] = moment_of(w);
    if (received != set->frames)
        stop(1, "not as many frames came out as went in");
    return warm;
}

static const char *const backends[] = {
    [SBV_BACKEND_AUTO] = "auto", [SBV_BACKEND_CPU] = "cpu", [SBV_BACKEND_CUDA] = "cuda"};
static const char *const precisions[] = {[SBV_PRECISION_AUTO] = "auto",
                                         [SBV_PRECISION_FP32] = "fp32",
                                         [SBV_PRECISION_FP16] = "fp16",
                                         [SBV_PRECISION_BF16] = "bf16"};
static const char *const memories[] = {[SBV_MEMORY_HOST] = "host", [SBV_MEMORY_CUDA] = "cuda"};
static const char *const paths[] = {
    [SBV_CONV_AUTO] = "auto", [SBV_CONV_MMA] = "mma", [SBV_CONV_WGMMA] = "wgmma", [SBV_CONV_BLAS] = "blas"};
static const char *const switches[] = {"on", "off"};

static void print_settings(const struct settings *set, const struct watch *w, const sbv_session *s)
{
    const sbv_cuda *c = (const sbv_cuda *)s->engine.exec.backend;
    printf("{\"backend\": \"%s\", \"device\": \"%s\", ", c ? "cuda" : "cpu", c ? c->device_name : s->engine.exec.isa);
    if (c)
        printf("\"compute_capability\": \"%d.%d\", \"cuda_version\": %d, \"conv\": \"%s\", \"recording\": \"%s\", ",
               c->sm / 10, c->sm % 10, w->version, paths[set->conv], switches[set->no_recording]);
    else
        printf("\"threads\": %d, ", s->engine.exec.threads);
    printf("\"precision\": \"%s\", \"memory\": \"%s\", \"width\": %d, \"height\": %d, \"frames\": %d, ",
           sbv_precision_name(&s->engine.exec), memories[set->memory], set->width, set->height, set->frames);
}

static void measure(const struct settings *set, const struct watch *w)
{
    struct moment moments[4];
    struct picture inputs[INPUTS], output;
    const int64_t free_before = free_bytes(w);
    const double begin = now();
    sbv_session *s = open_session(set);
    wait_for_device(s);
    const double open_seconds = now() - begin;
    const int scale = s->engine.network.scale;
    const int64_t used = free_before - free_bytes(w);

    for (int i = 0; i < INPUTS; i++) {
        inputs[i] = make_picture(s, set->memory, set->width, set->height);
        fill_with_noise(s, set->memory, &inputs[i], (uint32_t)(i + 1));
    }
    output = make_picture(s, set->memory, set->width * scale, set->height * scale);
    const int64_t lazily = free_bytes(w);
    const int warm = run(set, w, s, inputs, &output, moments);
    const int rest = set->frames > 1 ? set->frames - 1 : 1, steady = set->frames > warm ? set->frames - warm : 1;

    print_settings(set, w, s);
    printf("\"scale\": %d, \"parameters\": %lld, \"open_s\": %.4f, \"first_frame_s\": %.4f, \"frame_s\": %.6f, ", scale,
           (long long)s->info.parameters, open_seconds, moments[1].seconds - moments[0].seconds,
           (moments[3].seconds - moments[1].seconds) / rest);
    printf("\"steady_frame_s\": %.6f, \"steady_frames\": %d, \"plan_bytes\": %zu, \"device_bytes\": %lld, ",
           (moments[3].seconds - moments[2].seconds) / steady, steady, s->engine.ws.bytes,
           (long long)(used + lazily - moments[3].device));
    printf("\"peak_rss_bytes\": %lld, \"device_growth_bytes\": %lld, \"rss_growth_bytes\": %lld, ",
           (long long)peak_resident_bytes(), (long long)(moments[2].device - moments[3].device),
           (long long)(moments[3].resident - moments[2].resident));
    printf("\"checksum\": \"%016llx\"}\n", (unsigned long long)checksum(s, set->memory, &output));

    for (int i = 0; i < INPUTS; i++)
        free_picture(s, set->memory, &inputs[i]);
    free_picture(s, set->memory, &output);
    sbv_close(&s);
}

/* ---- The command line ---- */

#define COUNT(list) ((int)(sizeof(list) / sizeof((list)[0])))

/* Index of `word` in a list, or -1. */
static int find(const char *const list[], int count, const char *word)
{
    int i = 0;
    while (i < count && strcmp(list[i], word))
        i++;
    return i < count ? i : -1;
}

static int number(const char *word, int least)
{
    char *end;
    long value = strtol(word, &end, 10);
    return end != word && !*end && value >= least && value <= 1000000 ? (int)value : -1;
}

/* One name=value of the command line; -1 if it is wrong. */
static int parse(struct settings *set, const char *argument)
{
    const char *value = strchr(argument, '=');
    int chosen = -1, length = 0;
    char name[16] = "";
    if (!value || value - argument >= (ptrdiff_t)sizeof(name))
        return -1;
    memcpy(name, argument, (size_t)(value++ - argument));
    if (!strcmp(name, "backend"))
        set->backend = (enum sbv_backend_choice)(chosen = find(backends, COUNT(backends), value));
    else if (!strcmp(name, "precision"))
        set->precision = (enum sbv_precision)(chosen = find(precisions, COUNT(precisions), value));
    else if (!strcmp(name, "memory"))
        set->memory = (enum sbv_memory)(chosen = find(memories, COUNT(memories), value));
    else if (!strcmp(name, "conv"))
        set->conv = (enum sbv_conv_path)(chosen = find(paths, COUNT(paths), value));
    else if (!strcmp(name, "recording"))
        set->no_recording = chosen = find(switches, COUNT(switches), value);
    else if (!strcmp(name, "frames"))
        set->frames = chosen = number(value, 1);
    else if (!strcmp(name, "threads"))
        set->threads = chosen = number(value, 0);
    else if (!strcmp(name, "adapt_interval"))
        set->adapt_interval = chosen = number(value, 0);
    else if (!strcmp(name, "size") && sscanf(value, "%dx%d%n", &set->width, &set->height, &length) == 2)
        chosen = value[length] || set->width < 1 || set->height < 1 ? -1 : 0;
    return chosen < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
    struct settings set = {.model = argv[1],
                           .backend = SBV_BACKEND_CPU,
                           .width = 320,
                           .height = 180,
                           .frames = 20,
                           .conv = SBV_CONV_AUTO,
                           .adapt_interval = SBV_ADAPT_INTERVAL_DEFAULT};
    struct watch w = {.context = NULL};
    for (int i = 2; i < argc; i++)
        if (parse(&set, argv[i]) < 0) {
            fprintf(stderr, "bench: '%s' cannot be used\n", argv[i]);
            return 2;
        }
    if (argc < 2) {
        fprintf(stderr, "usage: bench MODEL.bin [backend=cpu|cuda] [precision=fp32|fp16|bf16] [memory=host|cuda]\n"
                        "             [size=320x180] [frames=20] [threads=0] [conv=auto|mma|wgmma|blas] "
                        "[recording=on|off]\n"
                        "             [adapt_interval=100]\n");
        return 2;
    }
    if (set.backend != SBV_BACKEND_CPU)
        watch_open(&w);
    measure(&set, &w);
    watch_close(&w);
    return 0;
}
