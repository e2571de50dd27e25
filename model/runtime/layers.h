/*
 * The layers of the network: their sizes as read from a model file, and their weights as the operations want them.
 * Names follow the published checkpoint: in_conv, extra_feat, flow_net, fusion_conv, recons_net, upsample_layers,
 * out_conv, kernel_net.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_LAYERS_H
#define SBV_RUNTIME_LAYERS_H

#include "kernels/backend.h"
#include "model/runtime/model_file.h"

#define SBV_COLOURS         3
#define SBV_MAX_SEQUENCE    15
#define SBV_MAX_CHANNELS    1024
#define SBV_MAX_BLOCKS      256 /* residual blocks in one chain */
#define SBV_MAX_LEVELS      6   /* of the flow pyramid */
#define SBV_MAX_ATTENTION   8   /* channel attention blocks in one chain */
#define SBV_EXTRACTOR_CONVS 3
#define SBV_DENSE_CONVS     5
#define SBV_REFINER_CONVS   7
#define SBV_TAIL_KSIZE      5
#define SBV_TAIL_SIDES      4
#define SBV_NARROW_KSIZE    3 /* of a tail that reaches no further */
#define SBV_MOVED_KSIZE     7 /* of one that moves its picture */
#define SBV_MOVED_SIDES     9
#define SBV_RESPONSES       5                   /* of the blur kernel, at so many frequencies */
#define SBV_DEGRADATION     (SBV_RESPONSES + 2) /* numbers that a degradation is told by */
#define SBV_CANDIDATES      15                  /* blur kernels that a picture is compared with its frame by */
#define SBV_CANDIDATE_SIDE  27                  /* of one of these */
#define SBV_MEASURES        (SBV_CANDIDATES + 1)

enum sbv_layer_kind { SBV_LAYER_CONV, SBV_LAYER_DECONV, SBV_LAYER_LINEAR };

/* One layer with weights and bias, packed as the operation of its kind wants them (kernels/ops.h). */
typedef struct sbv_layer {
    enum sbv_layer_kind kind;
    int in, out, ksize;
    enum sbv_split split;                          /* see sbv_conv_args */
    int winograd, shift;                           /* likewise */
    const sbv_tensor *weight_tensor, *bias_tensor; /* valid while the model file is open */
    const void *weights;                           /* of the memory of operations */
    const float *bias;                             /* likewise, padded with zeros to a multiple of SBV_BIAS_GROUP */
} sbv_layer;

/* ResBlock: x + conv[1](relu(conv[0](x))) */
typedef struct sbv_block {
    sbv_layer conv[2];
} sbv_block;

/* Decoder of one pyramid level; the coarsest level has no up_flow and up_feat. */
typedef struct sbv_decoder {
    sbv_layer up_flow, up_feat, dense[SBV_DENSE_CONVS], flow;
    int volume_at, features; /* channel of the cost volume in the dense feature map, and channels of that map */
} sbv_decoder;

typedef struct sbv_rcab {
    sbv_layer conv[2], squeeze, excite;
} sbv_rcab;

typedef struct sbv_kernel_net {
    int present, size; /* size: side of the blur */
    int blocks[2];
    sbv_layer in_conv, conv[2], fc[2];
    sbv_rcab block[2][SBV_MAX_ATTENTION];
} sbv_kernel_net;

/* What the outputs of the fusion and of the blocks of the reconstruction are multiplied with, channel by channel: it
 * depends on the degradation of the video. See modulation.h. Everything is in the memory of the host. */
typedef struct sbv_modulation {
    int present;
    int layers;                                      /* that are modulated: the fusion, and two of each block */
    sbv_layer gain[3], estimate[2];                  /* degradation -> gains less 1; measures -> degradation */
    const sbv_tensor *neutral_tensor, *probe_tensor; /* valid while the model file is open */
    float neutral[SBV_DEGRADATION];                  /* where nothing is estimated */
    float probe[SBV_DEGRADATION];                    /* what measures are taken under */
    float in_use[SBV_DEGRADATION];                   /* what the weights of the network are for */
    float *memory;                 /* of weights and biases, these and those of the modulated layers, unmodulated */
    float *gains, *hidden;         /* of the layers, one after another; what those above make on their way */
    const float **weights, **bias; /* of each modulated layer */
} sbv_modulation;

/* Which side of an image a pixel lies on, along one axis: in the middle, first, last, or both where the size is 1. */
enum sbv_side { SBV_MIDDLE, SBV_FIRST, SBV_LAST, SBV_BOTH };

typedef struct sbv_network {
    int features, sequence, scale, extra_blocks, recons_blocks;
    int levels, refiner_in;
    int64_t parameters;
    sbv_layer in_conv, fusion, up[2], out[2];
    sbv_block extra[SBV_MAX_BLOCKS], recons[SBV_MAX_BLOCKS];
    sbv_layer extractor[SBV_MAX_LEVELS][SBV_EXTRACTOR_CONVS]; /* [0] is level 1 */
    sbv_decoder decoder[SBV_MAX_LEVELS];                      /* [0] unused */
    sbv_layer refiner[SBV_REFINER_CONVS];
    sbv_kernel_net kernel_net;
    sbv_modulation modulation;
    int moved; /* the picture comes out (scale - 1) / 2 pixels further right and down than the model makes it */
    int tail_ksize, tail_left, tail_right; /* input pixels beyond its own that a moved block is taken from; -1 and -1 of
                                              a narrow tail, which is the same at the border as in the middle */
    sbv_layer tail[SBV_MOVED_SIDES][SBV_MOVED_SIDES]; /* collapsed, by sbv_tail_side, [vertical][horizontal] */
    void *memory;                                     /* of all weights but the tail's */
    void *tail_memory;
    float *zeros;         /* on the CPU: as many as a convolution has input channels */
    sbv_scratch *scratch; /* likewise: that of the exec */
} sbv_network;

/* Where pixel `at` of `size` lies along one axis, as far as the tail minds: tail_left + 1 pixels from an edge and more
 * are the middle. */
static inline int sbv_tail_side(const sbv_network *n, int at, int size)
{
    const int left = at < n->tail_left + 1 ? at : n->tail_left + 1;
    const int right = size - 1 - at < n->tail_right + 1 ? size - 1 - at : n->tail_right + 1;
    return left * (n->tail_right + 2) + right;
}

#endif /* SBV_RUNTIME_LAYERS_H */
