/*
 * Tests of the fake driver: order of streams, events, graphs.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "tests/cuda/emu/fake_test.h"

#include <pthread.h>

/* What the tests of this file work with: two streams, an int of the device, and pinned memory to copy it to. */
typedef struct bench {
    const sbv_cuda_driver *cu;
    CUstream one, two;
    CUevent event;
    CUdeviceptr value;
    int *pinned; /* three ints: nothing is copied to the last one */
    CUmodule module;
    CUfunction add;
} bench;

static bench open_bench(const sbv_cuda_driver *cu, unsigned flags)
{
    bench b = {.cu = cu};
    fake_begin(cu);
    CHECK_OK(cu->cuStreamCreate(&b.one, flags));
    CHECK_OK(cu->cuStreamCreate(&b.two, flags));
    CHECK_OK(cu->cuEventCreate(&b.event, 0));
    CHECK_OK(cu->cuMemHostAlloc((void **)&b.pinned, 3 * sizeof(int), 0));
    CHECK_OK(cu->cuModuleLoadData(&b.module, fake_image));
    b.value = fake_ints(cu, 1, 1);
    b.add = fake_function(cu, b.module, "fake_add");
    for (int i = 0; i < 3; i++)
        b.pinned[i] = 100;
    return b;
}

static void close_bench(bench *b)
{
    CHECK_OK(b->cu->cuModuleUnload(b->module));
    CHECK_OK(b->cu->cuMemFreeHost(b->pinned));
    CHECK_OK(b->cu->cuMemFree(b->value));
    CHECK_OK(b->cu->cuEventDestroy(b->event));
    CHECK_OK(b->cu->cuStreamDestroy(b->one));
    CHECK_OK(b->cu->cuStreamDestroy(b->two));
    fake_end(b->cu);
}

/* The same on a lost device, where every call fails. */
static void abandon_bench(bench *b)
{
    b->cu->cuModuleUnload(b->module);
    b->cu->cuMemFreeHost(b->pinned);
    b->cu->cuMemFree(b->value);
    b->cu->cuEventDestroy(b->event);
    b->cu->cuStreamDestroy(b->one);
    b->cu->cuStreamDestroy(b->two);
    fake_end(b->cu);
}

static void add(bench *b, CUstream stream, int value)
{
    CHECK_OK(fake_launch(b->cu, b->add, stream, b->value, 1, value));
}

static void fetch(bench *b, CUstream stream, int index)
{
    CHECK_OK(b->cu->cuMemcpyDtoHAsync(b->pinned + index, b->value, sizeof(int), stream));
}

/* Without waiting, the host sees what was there before. */
static void missing_wait(const sbv_cuda_driver *cu)
{
    bench b = open_bench(cu, CU_STREAM_NON_BLOCKING);
    add(&b, b.one, 5);
    fetch(&b, b.one, 0);
    CHECK(b.pinned[0] == 100);
    CHECK_OK(cu->cuStreamSynchronize(b.two));
    CHECK(b.pinned[0] == 100);
    CHECK_OK(cu->cuStreamSynchronize(b.one));
    CHECK(b.pinned[0] == 6);
    close_bench(&b);
}

static void eager_streams(const sbv_cuda_driver *cu)
{
    bench b = open_bench(cu, CU_STREAM_NON_BLOCKING);
    add(&b, b.one, 5);
    fetch(&b, b.one, 0);
    CHECK(b.pinned[0] == 6);
    close_bench(&b);
}

/* A stream that does not wait for another one reads stale data; with an event in between it does not. */
static void events_order_streams(const sbv_cuda_driver *cu)
{
    bench b = open_bench(cu, CU_STREAM_NON_BLOCKING);
    add(&b, b.one, 5);
    fetch(&b, b.two, 0);
    CHECK_OK(cu->cuEventRecord(b.event, b.one));
    add(&b, b.one, 10); /* after the event: nobody waits for it */
    CHECK_OK(cu->cuStreamWaitEvent(b.two, b.event, 0));
    fetch(&b, b.two, 1);
    CHECK_OK(cu->cuStreamSynchronize(b.two));
    CHECK(b.pinned[0] == 1 && b.pinned[1] == 6);
    CHECK_OK(cu->cuCtxSynchronize());
    CHECK(fake_int_at(cu, b.value, 0) == 16);
    close_bench(&b);
}

static void events_for_the_host(const sbv_cuda_driver *cu)
{
    CUevent second;
    float milliseconds = -1;
    bench b = open_bench(cu, CU_STREAM_NON_BLOCKING);
    CHECK_OK(cu->cuEventCreate(&second, 0));
    CHECK_CODE(cu->cuEventElapsedTime(&milliseconds, b.event, second), CUDA_ERROR_INVALID_HANDLE);
    CHECK_OK(cu->cuEventRecord(b.event, b.one));
    fetch(&b, b.one, 0);
    CHECK_OK(cu->cuEventRecord(second, b.one));
    fetch(&b, b.one, 1);
    CHECK_CODE(cu->cuEventElapsedTime(&milliseconds, b.event, second), CUDA_ERROR_NOT_READY);
    CHECK_OK(cu->cuEventSynchronize(second));
    CHECK(b.pinned[0] == 1 && b.pinned[1] == 100);
    CHECK_OK(cu->cuEventElapsedTime(&milliseconds, b.event, second));
    CHECK(milliseconds >= 0);
    CHECK_OK(cu->cuEventDestroy(second));
    CHECK_CODE(cu->cuEventSynchronize(second), CUDA_ERROR_INVALID_HANDLE);
    close_bench(&b);
}

/* The default stream comes after blocking streams, and they come after it. */
static void default_stream(const sbv_cuda_driver *cu)
{
    bench b = open_bench(cu, CU_STREAM_DEFAULT);
    add(&b, b.one, 5);
    fetch(&b, NULL, 0);
    CHECK_OK(cu->cuStreamSynchronize(NULL));
    CHECK(b.pinned[0] == 6);
    add(&b, NULL, 5);
    fetch(&b, b.two, 1);
    CHECK(b.pinned[1] == 100);
    CHECK_OK(cu->cuStreamSynchronize(b.two));
    CHECK(b.pinned[1] == 11);
    close_bench(&b);
}

static void default_stream_and_others(const sbv_cuda_driver *cu)
{
    bench b = open_bench(cu, CU_STREAM_NON_BLOCKING);
    add(&b, b.one, 5);
    fetch(&b, NULL, 0);
    CHECK_OK(cu->cuStreamSynchronize(NULL));
    CHECK(b.pinned[0] == 1);
    CHECK_OK(cu->cuCtxSynchronize());
    close_bench(&b);
}

/* A stream that is destroyed does its work first; its handle is of no use then. */
static void destroyed_stream(const sbv_cuda_driver *cu)
{
    CUstream stream;
    bench b = open_bench(cu, CU_STREAM_NON_BLOCKING);
    CHECK_OK(cu->cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    fetch(&b, stream, 0);
    CHECK_OK(cu->cuStreamDestroy(stream));
    CHECK(b.pinned[0] == 1);
    CHECK_CODE(cu->cuStreamSynchronize(stream), CUDA_ERROR_INVALID_HANDLE);
    CHECK_CODE(cu->cuStreamSynchronize((CUstream)b.event), CUDA_ERROR_INVALID_HANDLE);
    close_bench(&b);
}

/* ---- Graphs ---- */

static CUgraphExec instantiate(bench *b, CUgraph graph)
{
    CUgraphExec executable;
    CHECK_OK(b->cu->cuGraphInstantiateWithFlags(&executable, graph, 0));
    CHECK_OK(b->cu->cuGraphDestroy(graph));
    return executable;
}

/* Nothing runs while it is recorded; then it runs as often as it is launched, in the order of its stream. */
static void graphs(const sbv_cuda_driver *cu)
{
    CUgraph graph;
    bench b = open_bench(cu, CU_STREAM_NON_BLOCKING);
    CHECK_OK(cu->cuStreamBeginCapture(b.one, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    add(&b, b.one, 5);
    fetch(&b, b.one, 0);
    CHECK_OK(cu->cuStreamEndCapture(b.one, &graph));
    CUgraphExec executable = instantiate(&b, graph);
    CHECK_OK(cu->cuCtxSynchronize());
    CHECK(b.pinned[0] == 100);
    CHECK_OK(cu->cuGraphLaunch(executable, b.two));
    CHECK_OK(cu->cuGraphLaunch(executable, b.two));
    add(&b, b.two, 1000);
    CHECK(b.pinned[0] == 100);
    CHECK_OK(cu->cuStreamSynchronize(b.two));
    CHECK(b.pinned[0] == 11 && fake_int_at(cu, b.value, 0) == 1011);
    CHECK_OK(cu->cuGraphExecDestroy(executable));
    CHECK_CODE(cu->cuGraphLaunch(executable, b.two), CUDA_ERROR_INVALID_VALUE);
    close_bench(&b);
}

static void leaked_graphs(const sbv_cuda_driver *cu)
{
    CUgraph graph;
    bench b = open_bench(cu, CU_STREAM_NON_BLOCKING);
    CHECK_OK(cu->cuStreamBeginCapture(b.one, CU_STREAM_CAPTURE_MODE_RELAXED));
    CHECK_OK(cu->cuStreamEndCapture(b.one, &graph));
    close_bench(&b);
}

/* A recording whose memory has been freed. */
static void stale_graph(const sbv_cuda_driver *cu)
{
    CUgraph graph;
    CUdeviceptr a;
    bench b = open_bench(cu, CU_STREAM_NON_BLOCKING);
    CHECK_OK(cu->cuMemAlloc(&a, 8));
    CHECK_OK(cu->cuStreamBeginCapture(b.one, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    CHECK_OK(cu->cuMemsetD8Async(a, 0, 8, b.one));
    CHECK_OK(cu->cuStreamEndCapture(b.one, &graph));
    CUgraphExec executable = instantiate(&b, graph);
    CHECK_OK(cu->cuMemFree(a));
    CHECK_OK(cu->cuGraphLaunch(executable, b.two));
    CHECK_CODE(cu->cuStreamSynchronize(b.two), CUDA_ERROR_ILLEGAL_ADDRESS);
    CHECK_CODE(cu->cuMemAlloc(&a, 8), CUDA_ERROR_ILLEGAL_ADDRESS);
    CHECK_CODE(cu->cuGraphExecDestroy(executable), CUDA_ERROR_ILLEGAL_ADDRESS);
    abandon_bench(&b);
}

/* Begins a capture, makes a call that spoils it, and ends it. */
#define SPOILED(b, mode, call, code)                                                                                   \
    do {                                                                                                               \
        CUgraph graph = (CUgraph)1;                                                                                    \
        CHECK_OK((b).cu->cuStreamBeginCapture((b).one, mode));                                                         \
        CHECK_CODE(call, code);                                                                                        \
        CHECK_CODE((b).cu->cuMemsetD8Async((b).value, 0, 1, (b).one), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);          \
        CHECK_CODE((b).cu->cuStreamEndCapture((b).one, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);                \
        CHECK(graph == NULL);                                                                                          \
    } while (0)

static void spoiled_captures(const sbv_cuda_driver *cu)
{
    CUdeviceptr a;
    bench b = open_bench(cu, CU_STREAM_NON_BLOCKING);
    CHECK_OK(cu->cuEventRecord(b.event, b.two));
    SPOILED(b, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, cu->cuStreamSynchronize(b.one),
            CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    SPOILED(b, CU_STREAM_CAPTURE_MODE_RELAXED, cu->cuCtxSynchronize(), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    SPOILED(b, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, cu->cuMemAlloc(&a, 8), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    SPOILED(b, CU_STREAM_CAPTURE_MODE_GLOBAL, cu->cuMemcpyHtoD(b.value, b.pinned, 4),
            CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    SPOILED(b, CU_STREAM_CAPTURE_MODE_RELAXED, cu->cuStreamWaitEvent(b.one, b.event, 0),
            CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
    CHECK_CODE(cu->cuStreamBeginCapture(NULL, CU_STREAM_CAPTURE_MODE_RELAXED), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    close_bench(&b);
}

/* The default stream would come after a blocking stream that is captured, but has nothing to do with others. */
static void captures_and_the_default_stream(const sbv_cuda_driver *cu)
{
    CUgraph graph;
    CUstream blocking;
    bench b = open_bench(cu, CU_STREAM_NON_BLOCKING);
    CHECK_OK(cu->cuStreamBeginCapture(b.one, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    add(&b, NULL, 1);
    CHECK_OK(cu->cuStreamEndCapture(b.one, &graph));
    CHECK_OK(cu->cuGraphDestroy(graph));
    CHECK_OK(cu->cuStreamCreate(&blocking, 0));
    CHECK_OK(cu->cuStreamBeginCapture(blocking, CU_STREAM_CAPTURE_MODE_RELAXED));
    CHECK_CODE(fake_launch(cu, b.add, NULL, b.value, 1, 1), CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
    CHECK_CODE(cu->cuStreamEndCapture(blocking, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    CHECK_OK(cu->cuStreamDestroy(blocking));
    close_bench(&b);
}

/* In a capture the event has no time at which the host could wait for it. */
static void events_in_captures(const sbv_cuda_driver *cu)
{
    CUgraph graph;
    int pageable = 0;
    bench b = open_bench(cu, CU_STREAM_NON_BLOCKING);
    CHECK_OK(cu->cuStreamBeginCapture(b.one, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    CHECK_OK(cu->cuEventRecord(b.event, b.one));
    CHECK_CODE(cu->cuEventSynchronize(b.event), CUDA_ERROR_CAPTURED_EVENT);
    CHECK_CODE(cu->cuMemcpyHtoDAsync(b.value, &pageable, 4, b.one), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    CHECK_OK(cu->cuStreamEndCapture(b.one, &graph));
    CHECK_OK(cu->cuGraphDestroy(graph));
    close_bench(&b);
}

/* An allocation in another thread spoils a capture in global mode, and no other. */
static void *allocate(void *bench_pointer)
{
    bench *b = bench_pointer;
    CUdeviceptr a;
    CUcontext context;
    CHECK_OK(b->cu->cuDevicePrimaryCtxRetain(&context, 0));
    CHECK_OK(b->cu->cuCtxPushCurrent(context));
    int error = b->cu->cuMemAlloc(&a, 8);
    if (!error)
        CHECK_OK(b->cu->cuMemFree(a));
    CHECK_OK(b->cu->cuCtxPopCurrent(&context));
    CHECK_OK(b->cu->cuDevicePrimaryCtxRelease(0));
    return error ? bench_pointer : NULL;
}

static int fails_in_another_thread(bench *b)
{
    pthread_t thread;
    void *failed;
    CHECK(pthread_create(&thread, NULL, allocate, b) == 0 && pthread_join(thread, &failed) == 0);
    return failed != NULL;
}

static void captures_and_threads(const sbv_cuda_driver *cu)
{
    CUgraph graph;
    bench b = open_bench(cu, CU_STREAM_NON_BLOCKING);
    CHECK_OK(cu->cuStreamBeginCapture(b.one, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    CHECK(!fails_in_another_thread(&b));
    CHECK_OK(cu->cuStreamEndCapture(b.one, &graph));
    CHECK_OK(cu->cuGraphDestroy(graph));
    CHECK_OK(cu->cuStreamBeginCapture(b.one, CU_STREAM_CAPTURE_MODE_GLOBAL));
    CHECK(fails_in_another_thread(&b));
    CHECK_CODE(cu->cuStreamEndCapture(b.one, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    close_bench(&b);
}

const fake_case fake_stream_cases[] = {
    {"missing wait", missing_wait, {0}, {0}, 0},
    {"eager streams", eager_streams, {"FAKE_CUDA_STREAMS=eager"}, {0}, 0},
    {"events order streams", events_order_streams, {0}, {0}, 0},
    {"events for the host",
     events_for_the_host,
     {0},
     {"events that were not recorded", "cuEventSynchronize: event 2 is used after it was destroyed"},
     0},
    {"default stream", default_stream, {0}, {0}, 0},
    {"default stream and streams that do not block", default_stream_and_others, {0}, {0}, 0},
    {"destroyed stream", destroyed_stream, {0}, {"is used after it was destroyed", "is no stream"}, 0},
    {"graphs", graphs, {0}, {"cuGraphLaunch: executable graph 1 is used after it was destroyed"}, 0},
    {"leaked graph", leaked_graphs, {0}, {"leak graph 1"}, 0},
    {"stale graph", stale_graph, {0}, {"allocation 2 is used after it was freed"}, 0},
    {"spoiled captures",
     spoiled_captures,
     {0},
     {"cuStreamSynchronize: waiting for a stream", "cuCtxSynchronize: waiting for the context",
      "cuMemAlloc: a call that is not allowed", "cuMemcpyHtoD: a call that is not allowed",
      "cuStreamWaitEvent: waiting for an event from outside", "default stream cannot be captured"},
     0},
    {"captures and the default stream",
     captures_and_the_default_stream,
     {0},
     {"cuLaunchKernel: work in the default stream"},
     0},
    {"events in captures", events_in_captures, {0}, {"was recorded in a capture", "pageable memory"}, 0},
    {"captures and threads", captures_and_threads, {0}, {"cuMemAlloc: a call that is not allowed"}, 0},
    {0}};
