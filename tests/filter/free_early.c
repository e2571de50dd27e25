/*
 * Uses filters as a careless program does: sends frames, takes what comes out, and frees the filters without telling
 * them that their stream ended. Linked with the FFmpeg of the tests.
 *
 *     free_early FILTERS FRAMES CLOSE      CLOSE: 1 closes the input and takes the rest first
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include <libavutil/frame.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(int ret)
{
    if (ret < 0)
        exit(2);
}

static AVFrame *gray_frame(int64_t pts)
{
    AVFrame *frame = av_frame_alloc();
    frame->format = AV_PIX_FMT_GRAY8;
    frame->width = 16;
    frame->height = 12;
    frame->pts = pts;
    check(av_frame_get_buffer(frame, 0));
    memset(frame->data[0], (int)(40 + 10 * pts), (size_t)frame->linesize[0] * 12);
    return frame;
}

/* Takes the frames that come out: their number. */
static int take(AVFilterContext *sink)
{
    AVFrame *frame = av_frame_alloc();
    int count = 0;
    for (; av_buffersink_get_frame(sink, frame) >= 0; count++)
        av_frame_unref(frame);
    av_frame_free(&frame);
    return count;
}

int main(int argc, char **argv)
{
    static const char source[] = "video_size=16x12:pix_fmt=gray:time_base=1/25";
    AVFilterGraph *graph = avfilter_graph_alloc();
    AVFilterInOut *inputs = avfilter_inout_alloc(), *outputs = avfilter_inout_alloc();
    AVFilterContext *src, *sink;
    int out = 0;
    if (argc != 4)
        return 2;
    check(avfilter_graph_create_filter(&src, avfilter_get_by_name("buffer"), "in", source, NULL, graph));
    check(avfilter_graph_create_filter(&sink, avfilter_get_by_name("buffersink"), "out", NULL, NULL, graph));
    *outputs = (AVFilterInOut){av_strdup("in"), src, 0, NULL};
    *inputs = (AVFilterInOut){av_strdup("out"), sink, 0, NULL};
    check(avfilter_graph_parse_ptr(graph, argv[1], &inputs, &outputs, NULL));
    check(avfilter_graph_config(graph, NULL));
    for (int64_t pts = 0; pts < atoi(argv[2]); pts++) {
        AVFrame *frame = gray_frame(pts);
        check(av_buffersrc_add_frame(src, frame));
        av_frame_free(&frame);
        out += take(sink);
    }
    if (atoi(argv[3])) {
        check(av_buffersrc_close(src, atoi(argv[2]), 0));
        out += take(sink);
    }
    printf("%d\n", out);
    avfilter_graph_free(&graph);
    return 0;
}
