/*
 * Writes small model files with random weights, for tests. The scales keep activations finite and the flow a few pixels
 * long, so that warps leave the frame and masks matter.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_TINY_MODEL_H
#define SBV_TESTS_TINY_MODEL_H

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/os.h"

struct tiny {
    int features, sequence, extra, recons, scale, levels, width; /* width: channels all through the flow network */
    int blur_side;                                               /* side of the blur kernel; 0: no kernel_net */
    unsigned seed;
    int modulated; /* width of what modulates the network; 0: nothing does */
};

struct tiny_file {
    char header[1 << 17];
    size_t length;
    float *data;
    size_t count, room;
    unsigned state;
};

static float tiny_random(struct tiny_file *f)
{
    f->state = f->state * 1664525u + 1013904223u;
    return (float)(f->state >> 8) / (float)(1 << 23) - 1;
}

static void tiny_tensor(struct tiny_file *f, const char *name, const char *suffix, const char *shape, size_t count,
                        float size)
{
    size_t begin = f->count * 4;
    f->length += (size_t)snprintf(f->header + f->length, sizeof(f->header) - f->length,
                                  "%s\"%s.%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
                                  f->length ? "," : "{", name, suffix, shape, begin, begin + 4 * count);
    if (f->count + count > f->room) {
        f->room = 2 * (f->count + count);
        f->data = realloc(f->data, f->room * sizeof(float));
    }
    for (size_t i = 0; i < count; i++)
        f->data[f->count++] = size * tiny_random(f);
}

/* A layer of out x in (x k x k, for k > 0), transposed convolutions as in x out; gain relative to what keeps variance.
 */
SBV_PRINTF(6, 7)
static void tiny_layer(struct tiny_file *f, int out, int in, int k, float gain, const char *format, ...)
{
    char name[128], shape[64];
    int first = k == 4 ? in : out, second = k == 4 ? out : in, area = k ? k * k : 1;
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof(name), format, args);
    va_end(args);
    snprintf(shape, sizeof(shape), k ? "%d,%d,%d,%d" : "%d,%d", first, second, k, k);
    tiny_tensor(f, name, "weight", shape, (size_t)(out * in * area), gain * sqrtf(6.0f / (float)(in * area)));
    snprintf(shape, sizeof(shape), "%d", out);
    tiny_tensor(f, name, "bias", shape, (size_t)out, 0.05f);
}

static void tiny_flow_net(struct tiny_file *f, const struct tiny *t)
{
    static const char *const words[6] = {"moduleOne", "moduleTwo", "moduleThr", "moduleFou", "moduleFiv", "moduleSix"};
    const char *prefix = "flow_net.moduleNetwork";
    const int w = t->width, dense = 81 + w + 4 + 5 * w;
    for (int l = 0; l < t->levels; l++)
        for (int i = 0; i < 3; i++)
            tiny_layer(f, w, l || i ? w : 3, 3, 1.2f, "%s.moduleExtractor.%s.%d", prefix, words[l], 2 * i);
    for (int l = 2; l <= t->levels; l++) {
        int in = l == t->levels ? 81 : 81 + w + 4;
        if (l < t->levels) {
            int coarser = l + 1 == t->levels ? 81 + 5 * w : dense;
            tiny_layer(f, 2, 2, 4, 0.5f, "%s.%s.moduleUpflow", prefix, words[l - 1]);
            tiny_layer(f, 2, coarser, 4, 0.5f, "%s.%s.moduleUpfeat", prefix, words[l - 1]);
        }
        for (int i = 0; i < 5; i++, in += w)
            tiny_layer(f, w, in, 3, 1.2f, "%s.%s.%s.0", prefix, words[l - 1], words[i]);
        tiny_layer(f, 2, in, 3, 0.1f, "%s.%s.moduleSix.0", prefix, words[l - 1]);
    }
    for (int i = 0; i < 7; i++)
        tiny_layer(f, i < 6 ? w : 2,
                   i                ? w
                   : t->levels == 2 ? 81 + 5 * w
                                    : dense,
                   3, i < 6 ? 1.2f : 0.1f, "%s.moduleRefiner.moduleMain.%d", prefix, 2 * i);
}

static void tiny_kernel_net(struct tiny_file *f, const struct tiny *t)
{
    const int w = 6, area = t->blur_side * t->blur_side;
    tiny_layer(f, w, 3 * t->sequence, 3, 1, "kernel_net.in_conv");
    for (int i = 0; i < 4; i++) {
        const int body = i / 2 + 1, block = i % 2;
        tiny_layer(f, w, w, 3, 1, "kernel_net.body%d.%d.body.0", body, block);
        tiny_layer(f, w, w, 3, 1, "kernel_net.body%d.%d.body.2", body, block);
        tiny_layer(f, 2, w, 1, 1, "kernel_net.body%d.%d.body.3.conv_du.0", body, block);
        tiny_layer(f, w, 2, 1, 1, "kernel_net.body%d.%d.body.3.conv_du.2", body, block);
    }
    tiny_layer(f, 4, w, 3, 1, "kernel_net.body2.2");
    tiny_layer(f, 1, 4, 3, 1, "kernel_net.body2.3");
    tiny_layer(f, 20, area, 0, 1, "kernel_net.fc_net.0");
    tiny_layer(f, area, 20, 0, 1, "kernel_net.fc_net.1");
}

/* Gains of 0.5 to 1.5, say, for degradations that depend on the picture. */
static void tiny_modulation(struct tiny_file *f, const struct tiny *t)
{
    const int w = t->modulated;
    tiny_layer(f, w, 7, 0, 1, "modulation.0");
    tiny_layer(f, w, w, 0, 1, "modulation.1");
    tiny_layer(f, (1 + 2 * t->recons) * t->features, w, 0, 0.3f, "modulation.2");
    tiny_layer(f, w, 16, 0, 0.5f, "degradation_net.0");
    tiny_layer(f, 7, w, 0, 0.5f, "degradation_net.1");
    tiny_tensor(f, "degradation_net", "neutral", "7", 7, 0.5f);
    tiny_tensor(f, "degradation_net", "probe", "7", 7, 0.5f);
}

/* A convolution that passes the first channels on: those there are, or `most`. */
static void tiny_pass(struct tiny_file *f, int out, int in, int most, const char *name)
{
    const size_t begin = f->count;
    tiny_layer(f, out, in, 3, 0, "%s", name);
    memset(f->data + begin, 0, (f->count - begin) * sizeof(*f->data));
    for (int c = 0; c < out && c < in && c < most; c++)
        f->data[begin + (size_t)((c * in + c) * 9 + 4)] = 1;
}

enum tiny_tail { TINY_WIDE, TINY_NARROW };

/* Writes the model to `path`; ends the program if it cannot. detail: size of what the network adds to the enlarged
 * frame, relative to about 1; phase: "center" or "topleft"; a narrow tail is all in its first convolution. */
static inline void tiny_write_with(const char *path, const struct tiny *t, float detail, const char *phase,
                                   enum tiny_tail tail)
{
    struct tiny_file *f = calloc(1, sizeof(*f));
    unsigned char length[8] = {0};
    FILE *file = fopen(path, "wb");
    const int n = t->features;
    if (!f || !file) {
        perror(path);
        exit(2);
    }
    f->state = t->seed + 1;
    tiny_layer(f, n, 3, 3, 1, "in_conv.0");
    for (int i = 0; i < 2 * t->extra; i++)
        tiny_layer(f, n, n, 3, 0.7f, "extra_feat.%d.conv%d", i / 2, i % 2 + 1);
    tiny_layer(f, n, t->sequence * n, 3, 1, "fusion_conv.0");
    for (int i = 0; i < 2 * t->recons; i++)
        tiny_layer(f, n, n, 3, 0.7f, "recons_net.%d.conv%d", i / 2, i % 2 + 1);
    tiny_layer(f, 4 * n, n, 3, 0.8f, "upsample_layers.0");
    if (tail == TINY_NARROW) {
        if (t->scale == 4)
            tiny_pass(f, 4 * n, n, 12, "upsample_layers.2");
        tiny_pass(f, n, n, 3, "out_conv.0");
        tiny_pass(f, 3, n, 3, "out_conv.1");
    } else {
        if (t->scale == 4)
            tiny_layer(f, 4 * n, n, 3, 0.8f, "upsample_layers.2");
        tiny_layer(f, n, n, 3, 0.8f, "out_conv.0");
        tiny_layer(f, 3, n, 3, 0.8f * detail, "out_conv.1");
    }
    tiny_flow_net(f, t);
    if (t->blur_side)
        tiny_kernel_net(f, t);
    if (t->modulated)
        tiny_modulation(f, t);
    f->length += (size_t)snprintf(f->header + f->length, sizeof(f->header) - f->length,
                                  ",\"__metadata__\":{\"name\":\"tiny\",\"phase\":\"%s\"}}", phase);
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)f->length >> 8 * i);
    if (fwrite(length, 1, 8, file) != 8 || fwrite(f->header, 1, f->length, file) != f->length ||
        fwrite(f->data, 4, f->count, file) != f->count || fclose(file)) {
        perror(path);
        exit(2);
    }
    free(f->data);
    free(f);
}

static inline void tiny_write_as(const char *path, const struct tiny *t, float detail, const char *phase)
{
    tiny_write_with(path, t, detail, phase, TINY_WIDE);
}

static inline void tiny_write(const char *path, const struct tiny *t)
{
    tiny_write_as(path, t, 1, "center");
}

#endif /* SBV_TESTS_TINY_MODEL_H */
