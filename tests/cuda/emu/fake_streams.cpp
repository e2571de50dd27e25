/*
 * The fake driver: streams, events, and graphs recorded by capturing a stream.
 *
 * Work is queued with the points in other streams that it comes after, and runs when somebody waits for it or for
 * something after it: what was not waited for has not been done. The default stream comes after everything queued so
 * far in the blocking streams of its context, and they come after it.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "tests/cuda/emu/fake_cuda.h"

#include <algorithm>
#include <chrono>

namespace fake
{

/* Everything up to entry `number` of a stream. */
struct Point {
    CUstream stream = nullptr;
    unsigned long number = 0;
};

namespace
{

struct Entry {
    std::vector<Point> after;
    Work work;
};

struct Capture {
    CUstreamCaptureMode mode;
    std::thread::id thread;
    std::vector<Work> nodes;
    bool spoiled = false;
};

/* The time at which an event was reached, in milliseconds. */
struct Mark {
    bool reached = false;
    double time = 0;
};

} // namespace
} // namespace fake

struct CUstream_st : fake::Object {
    bool blocking = true; /* takes part in the order of the default stream */
    std::deque<fake::Entry> queue;
    unsigned long queued = 0, done = 0;
    std::unique_ptr<fake::Capture> capture;
};

struct CUevent_st : fake::Object {
    bool timing = true, captured = false;
    fake::Point point; /* stream nullptr: never recorded */
    std::shared_ptr<fake::Mark> mark;
};

struct CUgraph_st : fake::Object {
    std::vector<fake::Work> nodes;
};

struct CUgraphExec_st : fake::Object {
    std::vector<fake::Work> nodes;
};

namespace fake
{

namespace
{

auto &streams = *new std::vector<CUstream>(); /* live ones, with the default streams */

CUresult run_until(Point point)
{
    CUstream stream = point.stream;
    while (!lost && stream->done < point.number) {
        Entry entry = std::move(stream->queue.front());
        stream->queue.pop_front();
        for (const Point &before : entry.after)
            if (CUresult error = run_until(before))
                return error;
        if (CUresult error = entry.work())
            return lost = error;
        stream->done++;
    }
    return lost;
}

CUresult run(Point point)
{
    if (point.stream->done >= point.number)
        return lost;
    Accessible memory;
    return run_until(point);
}

/* One entry at most, so that polling gets somewhere. */
CUresult poll(Point point)
{
    if (point.stream->done < point.number)
        if (CUresult error = run({point.stream, point.stream->done + 1}))
            return error;
    return point.stream->done < point.number ? CUDA_ERROR_NOT_READY : lost;
}

/* What new work in a stream comes after, besides the work in that stream. */
std::vector<Point> order_of(CUstream stream)
{
    std::vector<Point> after;
    CUstream legacy = stream->context->default_stream;
    if (stream != legacy && stream->blocking)
        after.push_back({legacy, legacy->queued});
    for (CUstream other : streams)
        if (stream == legacy && other != legacy && other->blocking && other->context == stream->context)
            after.push_back({other, other->queued});
    return after;
}

CUresult spoil(CUstream captured, CUresult error, const char *what)
{
    captured->capture->spoiled = true;
    return misuse(error, "%s while stream %u is captured", what, captured->number);
}

/* Work in the default stream would make it depend on streams that are captured. */
CUresult check_implicit(CUstream stream)
{
    for (CUstream other : streams)
        if (stream == stream->context->default_stream && other->capture && other->blocking &&
            other->context == stream->context)
            return spoil(other, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "work in the default stream");
    return CUDA_SUCCESS;
}

CUresult queue_after(CUstream stream, std::vector<Point> after, Work work)
{
    if (CUresult error = check_implicit(stream))
        return error;
    for (const Point &point : order_of(stream))
        after.push_back(point);
    stream->queue.push_back({std::move(after), std::move(work)});
    stream->queued++;
    return settings().eager ? run({stream, stream->queued}) : CUDA_SUCCESS;
}

/* For calls that wait for a stream. */
CUresult check_waitable(CUstream stream)
{
    if (stream->capture)
        return spoil(stream, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "waiting for a stream");
    return check_implicit(stream);
}

void drop_capture(CUstream handle)
{
    if (find_object(handle, STREAM))
        handle->capture.reset();
}

CUresult reach(const std::shared_ptr<Mark> &mark)
{
    mark->reached = true;
    mark->time = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
    return CUDA_SUCCESS;
}

CUresult run_nodes(const std::vector<Work> &nodes)
{
    for (const Work &node : nodes)
        if (CUresult error = node())
            return error;
    return CUDA_SUCCESS;
}

} // namespace

CUstream make_default_stream(CUcontext context)
{
    CUstream stream = make<CUstream_st>(STREAM, context);
    stream->returned = true;
    streams.push_back(stream);
    return stream;
}

void forget_streams_of(CUcontext context)
{
    auto ended = [=](CUstream stream) { return stream->context == context; };
    streams.erase(std::remove_if(streams.begin(), streams.end(), ended), streams.end());
}

CUstream use_stream(CUstream handle)
{
    CUstream legacy = (CUstream)1; /* CU_STREAM_LEGACY */
    if (!handle || handle == legacy)
        return current_context()->default_stream;
    return use(handle, STREAM);
}

bool is_captured(CUstream stream)
{
    return stream->capture != nullptr;
}

CUresult queue(CUstream stream, Work work)
{
    if (!stream->capture)
        return queue_after(stream, {}, std::move(work));
    if (stream->capture->spoiled)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    stream->capture->nodes.push_back(std::move(work));
    return CUDA_SUCCESS;
}

CUresult finish(CUstream stream)
{
    return run({stream, stream->queued});
}

CUresult finish_all(CUcontext context)
{
    for (CUstream stream : streams)
        if (stream->context == context)
            if (CUresult error = finish(stream))
                return error;
    return lost;
}

CUresult check_no_capture()
{
    for (CUstream stream : streams) {
        const Capture *capture = stream->capture.get();
        if (!capture || capture->mode == CU_STREAM_CAPTURE_MODE_RELAXED)
            continue;
        if (capture->mode == CU_STREAM_CAPTURE_MODE_GLOBAL || capture->thread == std::this_thread::get_id())
            return spoil(stream, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "a call that is not allowed");
    }
    return CUDA_SUCCESS;
}

} // namespace fake

using namespace fake;

CUresult fake_cuda_allocation()
{
    std::lock_guard<std::recursive_mutex> lock(fake::mutex);
    return check_no_capture();
}

CUresult fake_cuda_queue(CUstream handle, Work work)
{
    std::lock_guard<std::recursive_mutex> lock(fake::mutex);
    CUstream stream = use_stream(handle);
    return stream ? queue(stream, std::move(work)) : CUDA_ERROR_INVALID_HANDLE;
}

/* ---- Streams ---- */

FAKE_EXPORT CUresult cuCtxSynchronize(void)
{
    FAKE_ENTER(CONTEXT);
    for (CUstream stream : streams)
        if (stream->capture && stream->context == current_context())
            return spoil(stream, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "waiting for the context");
    return finish_all(current_context());
}

FAKE_EXPORT CUresult cuStreamCreate(CUstream *stream, unsigned flags)
{
    FAKE_ENTER(CONTEXT);
    *stream = make<CUstream_st>(STREAM, current_context());
    (*stream)->blocking = !(flags & CU_STREAM_NON_BLOCKING);
    streams.push_back(*stream);
    return CUDA_SUCCESS;
}

FAKE_EXPORT CUresult cuStreamDestroy_v2(CUstream handle)
{
    FAKE_ENTER_RELEASE(CONTEXT, give_back(handle, STREAM));
    CUstream stream = use(handle, STREAM);
    if (!stream || stream == stream->context->default_stream)
        return misuse(CUDA_ERROR_INVALID_HANDLE, "this stream cannot be destroyed");
    if (stream->capture)
        return spoil(stream, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "destruction");
    CUresult error = finish(stream);
    stream->live = false;
    stream->returned = true;
    streams.erase(std::find(streams.begin(), streams.end(), stream));
    return error;
}

FAKE_EXPORT CUresult cuStreamSynchronize(CUstream handle)
{
    FAKE_ENTER(CONTEXT);
    CUstream stream = use_stream(handle);
    if (!stream)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult error = check_waitable(stream);
    return error ? error : finish(stream);
}

FAKE_EXPORT CUresult cuStreamQuery(CUstream handle)
{
    FAKE_ENTER(CONTEXT);
    CUstream stream = use_stream(handle);
    if (!stream)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult error = check_waitable(stream);
    return error ? error : poll({stream, stream->queued});
}

FAKE_EXPORT CUresult cuStreamWaitEvent(CUstream handle, CUevent event_handle, unsigned)
{
    FAKE_ENTER(CONTEXT);
    CUstream stream = use_stream(handle);
    CUevent event = use(event_handle, EVENT);
    if (!stream || !event)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!stream->capture && event->captured)
        return misuse(CUDA_ERROR_NOT_SUPPORTED, "captures of several streams are not emulated");
    if (stream->capture && event->captured)
        return CUDA_SUCCESS; /* of the one captured stream: in order anyway */
    if (stream->capture && event->point.stream)
        return spoil(stream, CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "waiting for an event from outside");
    if (!event->point.stream)
        return CUDA_SUCCESS;
    return queue_after(stream, {event->point}, [] { return CUDA_SUCCESS; });
}

/* ---- Events ---- */

FAKE_EXPORT CUresult cuEventCreate(CUevent *event, unsigned flags)
{
    FAKE_ENTER(CONTEXT);
    *event = make<CUevent_st>(EVENT, current_context());
    (*event)->timing = !(flags & CU_EVENT_DISABLE_TIMING);
    return CUDA_SUCCESS;
}

FAKE_EXPORT CUresult cuEventDestroy_v2(CUevent handle)
{
    FAKE_ENTER_RELEASE(CONTEXT, give_back(handle, EVENT));
    CUevent event = use(handle, EVENT);
    if (!event)
        return CUDA_ERROR_INVALID_HANDLE;
    event->live = false;
    event->returned = true;
    return CUDA_SUCCESS;
}

FAKE_EXPORT CUresult cuEventRecord(CUevent handle, CUstream stream_handle)
{
    FAKE_ENTER(CONTEXT);
    CUstream stream = use_stream(stream_handle);
    CUevent event = use(handle, EVENT);
    if (!stream || !event)
        return CUDA_ERROR_INVALID_HANDLE;
    list_detail(std::to_string(event->number));
    event->captured = stream->capture != nullptr;
    event->mark = std::make_shared<Mark>();
    auto mark = event->mark;
    CUresult error = queue(stream, [mark] { return reach(mark); });
    if (!error && !event->captured)
        event->point = {stream, stream->queued};
    return error;
}

FAKE_EXPORT CUresult cuEventSynchronize(CUevent handle)
{
    FAKE_ENTER(CONTEXT);
    CUevent event = use(handle, EVENT);
    if (!event)
        return CUDA_ERROR_INVALID_HANDLE;
    list_detail(std::to_string(event->number));
    if (event->captured)
        return misuse(CUDA_ERROR_CAPTURED_EVENT, "event %u was recorded in a capture", event->number);
    return event->point.stream ? run(event->point) : CUDA_SUCCESS;
}

FAKE_EXPORT CUresult cuEventQuery(CUevent handle)
{
    FAKE_ENTER(CONTEXT);
    CUevent event = use(handle, EVENT);
    if (!event)
        return CUDA_ERROR_INVALID_HANDLE;
    if (event->captured)
        return misuse(CUDA_ERROR_CAPTURED_EVENT, "event %u was recorded in a capture", event->number);
    return event->point.stream ? poll(event->point) : CUDA_SUCCESS;
}

FAKE_EXPORT CUresult cuEventElapsedTime(float *milliseconds, CUevent from_handle, CUevent to_handle)
{
    FAKE_ENTER(CONTEXT);
    CUevent from = use(from_handle, EVENT), to = use(to_handle, EVENT);
    if (!from || !to || !from->mark || !to->mark || !from->timing || !to->timing)
        return misuse(CUDA_ERROR_INVALID_HANDLE, "events that were not recorded, or have no timing");
    if (!from->mark->reached || !to->mark->reached)
        return CUDA_ERROR_NOT_READY;
    *milliseconds = (float)(to->mark->time - from->mark->time);
    return CUDA_SUCCESS;
}

/* ---- Graphs ---- */

FAKE_EXPORT CUresult cuStreamBeginCapture_v2(CUstream handle, CUstreamCaptureMode mode)
{
    FAKE_ENTER(CONTEXT);
    CUstream stream = use_stream(handle);
    if (!stream)
        return CUDA_ERROR_INVALID_HANDLE;
    if (stream == stream->context->default_stream)
        return misuse(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "the default stream cannot be captured");
    if (stream->capture)
        return misuse(CUDA_ERROR_ILLEGAL_STATE, "stream %u is captured already", stream->number);
    stream->capture = std::make_unique<Capture>();
    stream->capture->mode = mode;
    stream->capture->thread = std::this_thread::get_id();
    return CUDA_SUCCESS;
}

FAKE_EXPORT CUresult cuStreamEndCapture(CUstream handle, CUgraph *graph)
{
    FAKE_ENTER_RELEASE(CONTEXT, drop_capture(handle));
    *graph = nullptr;
    CUstream stream = use_stream(handle);
    if (!stream)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!stream->capture)
        return misuse(CUDA_ERROR_ILLEGAL_STATE, "stream %u is not captured", stream->number);
    if (stream->capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED &&
        stream->capture->thread != std::this_thread::get_id())
        return misuse(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "the capture was begun in another thread");
    auto capture = std::move(stream->capture);
    if (capture->spoiled)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    *graph = make<CUgraph_st>(GRAPH, current_context());
    (*graph)->nodes = std::move(capture->nodes);
    return CUDA_SUCCESS;
}

FAKE_EXPORT CUresult cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph handle, unsigned long long)
{
    FAKE_ENTER(CONTEXT | UNSAFE);
    CUgraph graph = use(handle, GRAPH);
    if (!graph)
        return CUDA_ERROR_INVALID_VALUE;
    *executable = make<CUgraphExec_st>(EXECUTABLE, current_context());
    (*executable)->nodes = graph->nodes;
    return CUDA_SUCCESS;
}

FAKE_EXPORT CUresult cuGraphLaunch(CUgraphExec handle, CUstream stream_handle)
{
    FAKE_ENTER(CONTEXT);
    CUstream stream = use_stream(stream_handle);
    CUgraphExec executable = use(handle, EXECUTABLE);
    if (!stream || !executable)
        return CUDA_ERROR_INVALID_VALUE;
    if (stream->capture)
        return misuse(CUDA_ERROR_NOT_SUPPORTED, "graphs in graphs are not emulated");
    std::vector<Work> nodes = executable->nodes;
    return queue(stream, [nodes] { return run_nodes(nodes); });
}

FAKE_EXPORT CUresult cuGraphDestroy(CUgraph handle)
{
    FAKE_ENTER_RELEASE(INIT, give_back(handle, GRAPH));
    Object *graph = find_object(handle, GRAPH);
    if (!graph || !graph->live)
        return misuse(CUDA_ERROR_INVALID_VALUE, "no graph, or one that was destroyed");
    graph->live = false;
    graph->returned = true;
    return CUDA_SUCCESS;
}

FAKE_EXPORT CUresult cuGraphExecDestroy(CUgraphExec handle)
{
    FAKE_ENTER_RELEASE(INIT, give_back(handle, EXECUTABLE));
    Object *executable = find_object(handle, EXECUTABLE);
    if (!executable || !executable->live)
        return misuse(CUDA_ERROR_INVALID_VALUE, "no executable graph, or one that was destroyed");
    executable->live = false;
    executable->returned = true;
    return CUDA_SUCCESS;
}
