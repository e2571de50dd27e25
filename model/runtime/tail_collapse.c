/*
 * The collapsed tail.
 *
 * Behind the trunk come one or two (convolution, pixel shuffle) pairs and two more convolutions, with no activation
 * between them. All of it is linear: one 5x5 convolution at input resolution with 3 * scale^2 outputs, followed by a
 * pixel shuffle, does the same at a fraction of the cost. At the border of the image the zero padding inside the tail
 * makes the operator differ; there, what the inner convolutions would have computed outside the image counts as zero.
 * It depends only on which neighbours of a pixel lie outside, so there is one convolution per class of position.
 *
 * Each is found by running the tail backwards from a unit impulse at every one of its outputs: the gradient at the
 * input is the filter, the gradients met on the way, times the biases, make the bias. Images one pixel high or wide
 * need W_both = W_first + W_last - W_middle, per axis: what lies outside on either side is then left out, since the
 * operator is a sum over paths and no path leaves on one side and returns on the other.
 *
 * Where the first convolution does all the work and the others pass channels on, as in the models that are trained
 * here, the filters reach no further than 3x3, and at the border they are those of the middle: what lies outside is
 * zero. Such a tail is one 3x3 convolution of the whole image.
 *
 * Models whose samples sit on the top-left pixels of their blocks make a picture that lies (scale - 1) / 2 pixels too
 * far up and left. The move that puts it right is linear too: an output of a moved tail is the weighted sum of outputs
 * of the tail, of its own block and of those beside it, at the border each of its own class. It grows to 7x7.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdlib.h>
#include <string.h>

#include "model/runtime/tail_collapse.h"
#include "kernels/numbers.h"
#include "model/runtime/weight_memory.h"

#define TAIL_LAYERS 4
#define RADIUS      (SBV_TAIL_KSIZE / 2)
#define MAX_AREA    36 /* floats of a gradient, per feature channel: 5x5 pixels, or 3x3 of 4 times the channels */

/* A tail layer with weights as [out][tap][in], so that the inner loop over input channels is contiguous. */
struct plain_layer {
    int in, out;
    float *weights, *bias;
};

struct collapse {
    sbv_network *network;
    const sbv_exec *exec;
    struct plain_layer up[2], last[2];
    float *filters; /* [vertical][horizontal][output][bias, then tap, then channel] of the nine basic classes */
    size_t filter_floats;
    float *scratch; /* two gradients for each job */
    size_t gradient_floats;
    float *moved; /* one of these as one class has it, moved where that is asked for */
    size_t moved_floats;
    float *raw; /* the weights of one class, [output][channel][tap] */
};

/* A gradient: values [y][x][channel] at positions x0 .. x0 + extent - 1 of an image, both ways. */
struct gradient {
    float *data;
    int y0, x0, h, w, channels;
};

static int read_plain(const sbv_weights *weights, const sbv_layer *layer, struct plain_layer *plain)
{
    const size_t in = (size_t)layer->in, out = (size_t)layer->out;
    float *raw = malloc(in * out * 9 * sizeof(*raw));
    int ret;
    plain->in = layer->in;
    plain->out = layer->out;
    plain->weights = malloc(in * out * 9 * sizeof(*plain->weights));
    plain->bias = malloc(out * sizeof(*plain->bias));
    if (!raw || !plain->weights || !plain->bias)
        ret = sbv_fail(weights->report, SBV_ERROR_MEMORY, "out of memory: weights of the tail");
    else if ((ret = sbv_weights_read(weights, layer->weight_tensor, raw)) >= 0 &&
             (ret = sbv_weights_read(weights, layer->bias_tensor, plain->bias)) >= 0)
        for (size_t o = 0; o < out; o++)
            for (size_t i = 0; i < in; i++)
                for (size_t t = 0; t < 9; t++)
                    plain->weights[(o * 9 + t) * in + i] = raw[(o * in + i) * 9 + t];
    free(raw);
    return ret;
}

/* Zeroes what lies outside an image that, in this class, begins at 0 or ends at `end` (positions of the center pixel).
 */
static void mask(struct gradient *g, enum sbv_side vertical, enum sbv_side horizontal, int end)
{
    for (int y = 0; y < g->h; y++)
        for (int x = 0; x < g->w; x++) {
            int outside = (vertical == SBV_FIRST && g->y0 + y < 0) || (vertical == SBV_LAST && g->y0 + y >= end) ||
                          (horizontal == SBV_FIRST && g->x0 + x < 0) || (horizontal == SBV_LAST && g->x0 + x >= end);
            if (outside)
                memset(g->data + (y * g->w + x) * g->channels, 0, (size_t)g->channels * sizeof(float));
        }
}

/* Backwards through a 3x3 convolution: *g, a gradient at its output, is replaced by the one at its input, built in
 * `to`. Returns the part of the bias. */
static float back_conv(struct gradient *g, const struct plain_layer *layer, float *to)
{
    struct gradient in = {to, g->y0 - 1, g->x0 - 1, g->h + 2, g->w + 2, layer->in};
    float bias = 0;
    memset(to, 0, (size_t)(in.h * in.w * in.channels) * sizeof(*to));
    for (int y = 0; y < g->h; y++)
        for (int x = 0; x < g->w; x++)
            for (int o = 0; o < layer->out; o++) {
                float value = g->data[(y * g->w + x) * g->channels + o];
                if (value == 0)
                    continue;
                bias += value * layer->bias[o];
                for (int t = 0; t < 9; t++) {
                    const float *w = layer->weights + ((ptrdiff_t)o * 9 + t) * layer->in;
                    float *into = to + ((y + t / 3) * in.w + x + t % 3) * in.channels;
                    for (int i = 0; i < layer->in; i++)
                        into[i] += value * w[i];
                }
            }
    *g = in;
    return bias;
}

static int floor_half(int n)
{
    return n >= 0 ? n / 2 : -((1 - n) / 2);
}

/* Backwards through a pixel shuffle by 2. */
static void back_shuffle(struct gradient *g, float *to)
{
    struct gradient in = {to, floor_half(g->y0), floor_half(g->x0), 0, 0, 4 * g->channels};
    in.h = floor_half(g->y0 + g->h - 1) - in.y0 + 1;
    in.w = floor_half(g->x0 + g->w - 1) - in.x0 + 1;
    memset(to, 0, (size_t)(in.h * in.w * in.channels) * sizeof(*to));
    for (int y = 0; y < g->h; y++)
        for (int x = 0; x < g->w; x++) {
            int py = floor_half(g->y0 + y), px = floor_half(g->x0 + x);
            int phase = (g->y0 + y - 2 * py) * 2 + g->x0 + x - 2 * px;
            float *into = to + ((py - in.y0) * in.w + px - in.x0) * in.channels + phase;
            for (int c = 0; c < g->channels; c++)
                into[4 * c] = g->data[(y * g->w + x) * g->channels + c];
        }
    *g = in;
}

/* The filter of one output (channel, row and column inside the pixel's block) in one class. */
static void collapse_output(const struct collapse *c, enum sbv_side vertical, enum sbv_side horizontal, int output,
                            float *filter, float *scratch)
{
    const int scale = c->network->scale, area = scale * scale;
    float *buffer[2] = {scratch, scratch + c->gradient_floats};
    struct gradient g = {buffer[0], output % area / scale, output % scale, 1, 1, SBV_COLOURS};
    float bias;
    memset(g.data, 0, SBV_COLOURS * sizeof(float));
    g.data[output / area] = 1;
    bias = back_conv(&g, &c->last[1], buffer[1]);
    mask(&g, vertical, horizontal, scale);
    bias += back_conv(&g, &c->last[0], buffer[0]);
    mask(&g, vertical, horizontal, scale);
    for (int size = scale / 2, up = size - 1; size >= 1; size /= 2, up--) {
        back_shuffle(&g, buffer[1]);
        bias += back_conv(&g, &c->up[up], buffer[0]);
        mask(&g, vertical, horizontal, size);
    }
    filter[0] = bias;
    memset(filter + 1, 0, (c->filter_floats - 1) * sizeof(*filter));
    for (int y = 0; y < g.h; y++)
        for (int x = 0; x < g.w; x++)
            memcpy(filter + 1 + ((g.y0 + y + RADIUS) * SBV_TAIL_KSIZE + g.x0 + x + RADIUS) * g.channels,
                   g.data + (y * g.w + x) * g.channels, (size_t)g.channels * sizeof(float));
}

static float *basic_filter(const struct collapse *c, int vertical, int horizontal, int output)
{
    const int outputs = SBV_COLOURS * c->network->scale * c->network->scale;
    return c->filters + (size_t)((vertical * 3 + horizontal) * outputs + output) * c->filter_floats;
}

static void collapse_range(void *arg, int begin, int end)
{
    const struct collapse *c = arg;
    const int outputs = SBV_COLOURS * c->network->scale * c->network->scale;
    for (int job = begin; job < end; job++) {
        int vertical = job / outputs / 3, horizontal = job / outputs % 3, output = job % outputs;
        collapse_output(c, (enum sbv_side)vertical, (enum sbv_side)horizontal, output,
                        basic_filter(c, vertical, horizontal, output),
                        c->scratch + (size_t)job * 2 * c->gradient_floats);
    }
}

/* The basic classes, with signs, that make up each class of one axis. */
static const int parts[SBV_TAIL_SIDES][3] = {
    [SBV_MIDDLE] = {1, 0, 0},
    [SBV_FIRST] = {0, 1, 0},
    [SBV_LAST] = {0, 0, 1},
    [SBV_BOTH] = {-1, 1, 1},
};

static float combined(const struct collapse *c, int vertical, int horizontal, int output, size_t at)
{
    float sum = 0;
    for (int v = 0; v < 3; v++)
        for (int h = 0; h < 3; h++)
            if (parts[vertical][v] && parts[horizontal][h])
                sum += (float)(parts[vertical][v] * parts[horizontal][h]) * basic_filter(c, v, h, output)[at];
    return sum;
}

/* Where a tap of a moved output lies, along one axis: in the block of the pixel `block` further on, at `phase` in it,
 * and which side of the image that pixel lies on. */
struct tap {
    float weight;
    int block, phase;
    enum sbv_side side;
};

/* The taps of output `phase` of the block of a pixel on a side as sbv_tail_side gives it. Without a move there is one.
 * Returns their number. */
static int find_taps(const sbv_network *n, int side, int phase, struct tap tap[SBV_MOVE_TAPS])
{
    const int left = side / (n->tail_right + 2), right = side % (n->tail_right + 2);
    const int count = n->moved ? SBV_MOVE_TAPS : 1;
    for (int i = 0; i < count; i++) {
        int at = n->moved ? phase - n->scale / 2 - 1 + i : phase;
        at = at < -left * n->scale ? -left * n->scale : at; /* continued by its edge */
        at = at >= (right + 1) * n->scale ? (right + 1) * n->scale - 1 : at;
        const int block = (at + n->scale * 2) / n->scale - 2, first = left + block == 0, last = right - block == 0;
        tap[i] = (struct tap){
            .weight = !n->moved                          ? 1
                      : i == 0 || i == SBV_MOVE_TAPS - 1 ? SBV_MOVE_FAR
                                                         : SBV_MOVE_NEAR,
            .block = block,
            .phase = at - block * n->scale,
            .side = first && last ? SBV_BOTH
                    : first       ? SBV_FIRST
                    : last        ? SBV_LAST
                                  : SBV_MIDDLE,
        };
    }
    return count;
}

/* filter += what one tap of an output takes, at its place in a filter of the network's size. */
static void add_tap(const struct collapse *c, const struct tap *v, const struct tap *h, int colour, float *filter)
{
    const sbv_network *n = c->network;
    const size_t channels = (size_t)n->features;
    const int output = (colour * n->scale + v->phase) * n->scale + h->phase, grown = n->tail_ksize / 2 - RADIUS;
    const float weight = v->weight * h->weight;
    filter[0] += weight * combined(c, (int)v->side, (int)h->side, output, 0);
    for (int t = 0; t < SBV_TAIL_KSIZE * SBV_TAIL_KSIZE; t++) {
        const int y = t / SBV_TAIL_KSIZE + grown + v->block, x = t % SBV_TAIL_KSIZE + grown + h->block;
        for (size_t i = 0; i < channels; i++)
            filter[1 + (size_t)(y * n->tail_ksize + x) * channels + i] +=
                weight * combined(c, (int)v->side, (int)h->side, output, 1 + (size_t)t * channels + i);
    }
}

/* Whether tap `at` along an axis of a filter of SBV_TAIL_KSIZE taps lies outside the image in this class. */
static int is_outside(int side, int at)
{
    return (side == SBV_FIRST && at < RADIUS) || (side == SBV_LAST && at > RADIUS);
}

static int in_narrow(int at)
{
    return abs(at - RADIUS) <= SBV_NARROW_KSIZE / 2;
}

/* Whether the filter of an output in this class is, inside the image, that of the middle, and no wider than 3x3. */
static int is_narrow_filter(const struct collapse *c, int vertical, int horizontal, int output)
{
    const size_t channels = (size_t)c->network->features;
    const float *filter = basic_filter(c, vertical, horizontal, output);
    const float *middle = basic_filter(c, SBV_MIDDLE, SBV_MIDDLE, output);
    int same = filter[0] == middle[0];
    for (int t = 0; same && t < SBV_TAIL_KSIZE * SBV_TAIL_KSIZE; t++) {
        const int y = t / SBV_TAIL_KSIZE, x = t % SBV_TAIL_KSIZE, inner = in_narrow(y) && in_narrow(x);
        for (size_t i = 1 + (size_t)t * channels; i < 1 + (size_t)(t + 1) * channels; i++)
            same =
                same && (is_outside(vertical, y) || is_outside(horizontal, x) || filter[i] == (inner ? middle[i] : 0));
    }
    return same;
}

static int is_narrow(const struct collapse *c)
{
    const int outputs = SBV_COLOURS * c->network->scale * c->network->scale;
    for (int side = 0; side < 9; side++)
        for (int output = 0; output < outputs; output++)
            if (!is_narrow_filter(c, side / 3, side % 3, output))
                return 0;
    return 1;
}

/* The filter of an output of a narrow tail: [bias, then tap, then channel]. */
static void make_narrow_filter(const struct collapse *c, int output, float *filter)
{
    const size_t channels = (size_t)c->network->features;
    const float *middle = basic_filter(c, SBV_MIDDLE, SBV_MIDDLE, output);
    *filter++ = *middle++;
    for (int t = 0; t < SBV_TAIL_KSIZE * SBV_TAIL_KSIZE; t++, middle += channels)
        if (in_narrow(t / SBV_TAIL_KSIZE) && in_narrow(t % SBV_TAIL_KSIZE)) {
            memcpy(filter, middle, channels * sizeof(*filter));
            filter += channels;
        }
}

/* The filter of an output on a side of the image, of tail_ksize^2 taps: [bias, then tap, then channel]. */
static void make_filter(const struct collapse *c, int vertical, int horizontal, int output, float *filter)
{
    const sbv_network *n = c->network;
    struct tap v[SBV_MOVE_TAPS], h[SBV_MOVE_TAPS];
    const int area = n->scale * n->scale;
    const int rows = find_taps(n, vertical, output % area / n->scale, v);
    const int columns = find_taps(n, horizontal, output % n->scale, h);
    memset(filter, 0, c->moved_floats * sizeof(*filter));
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < columns; x++)
            add_tap(c, &v[y], &h[x], output / area, filter);
}

/* The convolution of one class, without its weights. */
static sbv_layer class_layer(const struct collapse *c)
{
    const sbv_network *n = c->network;
    sbv_layer layer = {.in = n->features, .out = SBV_COLOURS * n->scale * n->scale, .ksize = n->tail_ksize};
    layer.winograd = layer.ksize == SBV_NARROW_KSIZE ? 4 : 0;
    sbv_choose_winograd(c->exec, &layer);
    return layer;
}

static size_t class_bytes(const struct collapse *c)
{
    const sbv_layer layer = class_layer(c);
    return sbv_align(sbv_conv_layer_bytes(c->exec, &layer), SBV_WEIGHT_ALIGN) + sbv_bias_bytes(layer.out);
}

/* Packs the convolution of one class at `to`, of the host, which will be at `at` for the operations. */
static void pack_class(const struct collapse *c, int vertical, int horizontal, char *to, const char *at)
{
    sbv_layer *layer = &c->network->tail[vertical][horizontal];
    *layer = class_layer(c);
    const int taps = layer->ksize * layer->ksize;
    const size_t weights = class_bytes(c) - sbv_bias_bytes(layer->out);
    float *bias = (float *)(to + weights);
    for (int o = 0; o < layer->out; o++) {
        if (layer->ksize == SBV_NARROW_KSIZE)
            make_narrow_filter(c, o, c->moved);
        else
            make_filter(c, vertical, horizontal, o, c->moved);
        bias[o] = c->moved[0];
        for (int i = 0; i < layer->in; i++)
            for (int t = 0; t < taps; t++)
                c->raw[((ptrdiff_t)o * layer->in + i) * taps + t] = c->moved[1 + t * layer->in + i];
    }
    sbv_pack_conv_layer(c->exec, layer, c->raw, to);
    layer->weights = at;
    layer->bias = (const float *)(at + weights);
}

static int pack_classes(const struct collapse *c, sbv_report *report)
{
    sbv_network *n = c->network;
    const int sides = (n->tail_left + 2) * (n->tail_right + 2);
    const size_t each = class_bytes(c), bytes = (size_t)(sides * sides) * each;
    char *host = NULL;
    int ret = sbv_weights_memory(c->exec, bytes, &n->tail_memory, &host, report);
    for (int i = 0; i < sides * sides && ret >= 0; i++)
        pack_class(c, i / sides, i % sides, host + (size_t)i * each, (char *)n->tail_memory + (size_t)i * each);
    return sbv_weights_done(c->exec, bytes, n->tail_memory, host, ret, report);
}

static int allocate(struct collapse *c, sbv_report *report)
{
    sbv_network *n = c->network;
    const size_t jobs = 9 * SBV_COLOURS * (size_t)(n->scale * n->scale);
    c->filter_floats = 1 + SBV_TAIL_KSIZE * SBV_TAIL_KSIZE * (size_t)n->features;
    c->gradient_floats = MAX_AREA * (size_t)n->features;
    c->filters = malloc(jobs * c->filter_floats * sizeof(float));
    c->scratch = malloc(jobs * 2 * c->gradient_floats * sizeof(float));
    c->moved_floats = 1 + (size_t)(n->tail_ksize * n->tail_ksize) * (size_t)n->features;
    c->moved = malloc(c->moved_floats * sizeof(float));
    c->raw = malloc(SBV_COLOURS * (size_t)(n->scale * n->scale) * c->moved_floats * sizeof(float));
    if (!c->filters || !c->scratch || !c->moved || !c->raw)
        return sbv_fail(report, SBV_ERROR_MEMORY, "out of memory: collapsed tail");
    return SBV_OK;
}

int sbv_tail_collapse(sbv_network *network, const sbv_weights *weights, int moved, const sbv_exec *exec,
                      sbv_report *report)
{
    struct collapse c = {.network = network, .exec = exec};
    struct plain_layer *plain[TAIL_LAYERS] = {&c.last[0], &c.last[1], &c.up[0], &c.up[1]};
    const sbv_layer *layer[TAIL_LAYERS] = {&network->out[0], &network->out[1], &network->up[0], &network->up[1]};
    const int layers = 2 + network->scale / 2;
    int ret;
    network->moved = moved;
    network->tail_ksize = moved ? SBV_MOVED_KSIZE : SBV_TAIL_KSIZE;
    network->tail_left = moved ? 1 : 0;
    network->tail_right = moved && network->scale == 2 ? 1 : 0; /* of 4 the last tap is the pixel itself */
    ret = allocate(&c, report);
    for (int i = 0; i < layers && ret >= 0; i++)
        ret = read_plain(weights, layer[i], plain[i]);
    if (ret >= 0) {
        sbv_parallel(exec, collapse_range, &c, 9 * SBV_COLOURS * network->scale * network->scale);
        if (!moved && is_narrow(&c)) {
            network->tail_ksize = SBV_NARROW_KSIZE;
            network->tail_left = network->tail_right = -1;
        }
        ret = pack_classes(&c, report);
    }
    for (int i = 0; i < TAIL_LAYERS; i++) {
        free(plain[i]->weights);
        free(plain[i]->bias);
    }
    free(c.filters);
    free(c.moved);
    free(c.scratch);
    free(c.raw);
    return ret;
}
