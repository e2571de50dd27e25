/*
 * Running operations on all cores: the host's threads, where it gave some, or a pool of the session's own.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_RUN_OPS_H
#define SBV_RUNTIME_RUN_OPS_H

#include "kernels/backend.h"
#include "model/runtime/log.h"
#include "model/runtime/threads.h"

typedef struct sbv_exec {
    sbv_ops ops;
    const char *isa; /* name of the instruction set that ops are for */
    int isa_asked;   /* in the environment, or -1 */
    int threads;
    sbv_execute_fn *execute; /* the host's, or that of the pool */
    void *opaque;
    sbv_pool *pool;       /* NULL where the host's threads are used */
    sbv_scratch *scratch; /* what ops.conv asks for, NULL where that is nothing */
    sbv_backend *backend; /* NULL: the operations are those of `ops` */
} sbv_exec;

/* threads 0: one per processor. Errors: ARGUMENT, MEMORY, reported. */
int sbv_exec_open(sbv_exec *exec, int threads, sbv_execute_fn *execute, void *opaque, sbv_report *report);
void sbv_exec_close(sbv_exec *exec);

/* Operations of the CPU for a precision, in place of those for fp32 that an exec is opened with: AUTO is bf16 where
 * this processor has AMX, else fp32; fp16 is fp32. Errors: ARGUMENT (there is no AMX for bf16), MEMORY, reported. */
int sbv_exec_choose(sbv_exec *exec, enum sbv_precision precision, sbv_report *report);

/* Calls body(arg, begin, end) on ranges that together are [0, count), in parallel. While a body runs, numbers too small
 * to be normal are zero (FTZ, DAZ): a network full of them is an order of magnitude slower. */
typedef void sbv_body_fn(void *arg, int begin, int end);
void sbv_parallel(const sbv_exec *exec, sbv_body_fn *body, void *arg, int count);

/* The same with ranges of one: for jobs that take long. */
void sbv_parallel_jobs(const sbv_exec *exec, sbv_body_fn *body, void *arg, int jobs);

/* A convolution, of so many rows. (run_conv.c) */
void sbv_parallel_conv(const sbv_exec *exec, const sbv_conv_args *a, int rows);

/* Memory that operations work on, filled with zeros: of the backend, or of the host. Errors: MEMORY, DEVICE. */
#define SBV_MEMORY_ALIGN 64 /* bytes: a cache line */
int sbv_allocate(const sbv_exec *exec, size_t bytes, void **memory);
void sbv_release(const sbv_exec *exec, void *memory);

/* Copies from the host's memory to that of operations, and back; complete when they return. Errors: DEVICE. */
int sbv_upload(const sbv_exec *exec, void *to, const void *from, size_t bytes);
int sbv_download(const sbv_exec *exec, void *to, const void *from, size_t bytes);

/* A copy to the host in two steps: the second one waits for it, and not for what was queued between them. One at a
 * time. Errors: MEMORY, DEVICE. */
int sbv_begin_download(const sbv_exec *exec, const void *from, size_t bytes);
int sbv_end_download(const sbv_exec *exec, void *to, const void *from, size_t bytes);

/* What the backend says of its first error; "" where there is none. */
const char *sbv_backend_message(const sbv_exec *exec);

/* A feature map of the type and strides of the backend over such memory: sbv_feature_bytes() for each pixel. */
size_t sbv_feature_bytes(const sbv_exec *exec, int c);
sbv_map sbv_feature_map(const sbv_exec *exec, void *data, int w, int h, int c);

/* A feature map that is not to be rounded: on the CPU of floats in any precision. What residual blocks add to is, which
 * would be rounded dozens of times, and all of the flow network. */
size_t sbv_precise_bytes(const sbv_exec *exec, int c);
sbv_map sbv_precise_map(const sbv_exec *exec, void *data, int w, int h, int c);

/* What the CPU or the backend computes in: "fp32", "fp16", "bf16". */
const char *sbv_precision_name(const sbv_exec *exec);

/* A dense map of floats over such memory. */
static inline sbv_map sbv_map_of(void *data, int w, int h, int c)
{
    return (sbv_map){.data = data, .w = w, .h = h, .c = c, .pixel = c, .row = (ptrdiff_t)w * c};
}

/* Weights of a convolution: bytes they take, and packing from PyTorch's [out][in][ksize][ksize] into host memory.
 * split: see sbv_conv_args. */
size_t sbv_conv_bytes(const sbv_exec *exec, int out, int in, int ksize, enum sbv_split split);
void sbv_pack_conv(const sbv_exec *exec, const float *raw, int out, int in, int ksize, enum sbv_split split,
                   void *packed);

/* The same of a 3x3 convolution by Winograd with tiles of `side`; 0 bytes where there is none, or it would be no
 * faster.
 */
size_t sbv_winograd_bytes(const sbv_exec *exec, int out, int in, int side);
void sbv_pack_winograd(const sbv_exec *exec, const float *raw, int out, int in, int side, void *packed);

/* sbv_run_<operation>(exec, args, jobs): all jobs of an operation, in parallel, or queued in the backend. */
#define SBV_RUN_DECLARATION(name, args) void sbv_run_##name(const sbv_exec *exec, const args *a, int jobs);
SBV_OPS(SBV_RUN_DECLARATION)
#undef SBV_RUN_DECLARATION

/* sbv_run_<operation>_batch(exec, args, count, jobs): any number of operations as SBV_BATCH_OPS has them, of `jobs`
 * jobs each; on the CPU one after the other. */
#define SBV_RUN_BATCH_DECLARATION(name, args)                                                                          \
    void sbv_run_##name##_batch(const sbv_exec *exec, const args *a, int count, int jobs);
SBV_BATCH_OPS(SBV_RUN_BATCH_DECLARATION)
#undef SBV_RUN_BATCH_DECLARATION

/* A residual block as sbv_residual_block_args has it, on any rows; the hidden map is scratch memory. (residual_block.c)
 */
void sbv_run_residual_block(const sbv_exec *exec, const sbv_residual_block_args *a);

#endif /* SBV_RUNTIME_RUN_OPS_H */
