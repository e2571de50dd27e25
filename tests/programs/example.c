/*
 * Restores raw RGB frames with libselfblindvsr:
 *
 *     example MODEL WIDTH HEIGHT < small.rgb > large.rgb
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdio.h>
#include <stdlib.h>
#if defined(_WIN32)
#include <fcntl.h>
#include <io.h>
#endif

#include <selfblindvsr.h>

static void print_message(void *opaque, enum sbv_log_level level, const char *message)
{
    (void)opaque;
    if (level <= SBV_LOG_WARNING)
        fprintf(stderr, "%s\n", message);
}

/* Three bytes a pixel, rows one after the other. */
static sbv_stream describe(int width, int height)
{
    sbv_stream stream = {.width = width, .height = height, .components = 3, .rgb = 1};
    for (int i = 0; i < 3; i++)
        stream.component[i] = (sbv_component){.plane = 0, .step = 3, .offset = i, .depth = 8};
    return stream;
}

static sbv_frame allocate(int width, int height)
{
    const size_t size = (size_t)3 * (size_t)width * (size_t)height;
    return (sbv_frame){
        .data = {malloc(size)}, .linesize = {(ptrdiff_t)3 * width}, .size = {size}, .width = width, .height = height};
}

/* Writes every frame that is ready. */
static int write_frames(sbv_session *session, sbv_frame *out)
{
    int status;
    while ((status = sbv_receive(session, out)) == SBV_OK)
        if (fwrite(out->data[0], 1, out->size[0], stdout) != out->size[0]) {
            perror("standard output");
            return SBV_ERROR_FILE;
        }
    return status;
}

int main(int argc, char **argv)
{
    const int width = argc == 4 ? atoi(argv[2]) : 0, height = argc == 4 ? atoi(argv[3]) : 0;
    sbv_session *session;
    sbv_config config;
    if (width < 1 || height < 1) {
        fprintf(stderr, "usage: example MODEL WIDTH HEIGHT < small.rgb > large.rgb\n");
        return 2;
    }
#if defined(_WIN32)
    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
#endif
    sbv_config_default(&config);
    config.model_path = argv[1];
    config.log = print_message;
    if (sbv_open(&session, &config) < 0)
        return 1;
    const sbv_stream stream = describe(width, height);
    const int scale = sbv_model(session)->scale;
    sbv_frame in = allocate(width, height), out = allocate(width * scale, height * scale);
    int status = in.data[0] && out.data[0] ? sbv_describe(session, &stream) : SBV_ERROR_MEMORY;
    while (status == SBV_OK && fread(in.data[0], 1, in.size[0], stdin) == in.size[0])
        if ((status = sbv_send(session, &in)) == SBV_OK && (status = write_frames(session, &out)) == SBV_AGAIN)
            status = SBV_OK;
    if (status == SBV_OK && (status = sbv_send(session, NULL)) == SBV_OK)
        status = write_frames(session, &out);
    if (fflush(stdout)) {
        perror("standard output");
        status = SBV_ERROR_FILE;
    }
    free(in.data[0]);
    free(out.data[0]);
    sbv_close(&session);
    return status == SBV_END ? 0 : 1;
}
