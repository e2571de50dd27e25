/*
 * FFmpeg filter selfblindvsr: blind video super-resolution with libselfblindvsr.
 *
 * The filter hands pixels to the library and gives back pictures `scale` times as wide and high, one for one and with
 * the timestamps and properties of the frames they were restored from. The network, its window of frames and its
 * caches live in the library, which copies the pixels it needs on arrival: of the frames in flight the filter keeps
 * the properties alone. Output lags behind input by the look-ahead of the model, two frames for a window of five, and
 * one more on a GPU where frames are in ordinary memory.
 *
 * Frames in the memory of an NVIDIA GPU stay there: the session works in their own CUDA context and stream.
 *
 * One source for FFmpeg 5.1, 7.1, 8.1 and 9.0, with or without the headers that FFmpeg's CUDA code needs.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <selfblindvsr.h>

#include "config.h"
#include "libavutil/avstring.h"
#include "libavutil/bswap.h"
#include "libavutil/common.h"
#include "libavutil/dict.h"
#include "libavutil/fifo.h"
#include "libavutil/frame.h"
#include "libavutil/hwcontext.h"
#include "libavutil/imgutils.h"
#include "libavutil/intreadwrite.h"
#include "libavutil/mem.h"
#include "libavutil/opt.h"
#include "libavutil/pixdesc.h"
#include "libavutil/thread.h"
#include "libavutil/version.h"
#if defined(_WIN32)
#include "libavutil/wchar_filename.h"
#endif
#if CONFIG_CUDA
#include "libavutil/hwcontext_cuda_internal.h"
#include "libavutil/cuda_check.h"
#endif
#include "libavfilter/version.h"
#include "avfilter.h"
#include "buffersink.h"
#include "buffersrc.h"
#include "filters.h"
#include "formats.h"
#include "video.h"

/* What differs between the versions of FFmpeg. */
#if LIBAVFILTER_VERSION_INT < AV_VERSION_INT(10, 4, 100) /* before 7.1 */
#include "internal.h"
typedef AVFilterLink FilterLink;
#define ff_filter_link(link) (link)
#endif
#if LIBAVFILTER_VERSION_MAJOR < 11 /* before 8.0 */
typedef AVFilter FFFilter;
#define PUBLIC(field) .field
#else
#define PUBLIC(field) .p.field
#endif
#ifdef AVFILTER_FLAG_HWDEVICE /* else devices are given to all filters */
#define FLAG_HWDEVICE AVFILTER_FLAG_HWDEVICE
#else
#define FLAG_HWDEVICE 0
#endif
#define HAVE_LINK_COLOUR    (LIBAVFILTER_VERSION_MAJOR >= 10)                       /* 7.0 */
#define HAVE_ALPHA_MODE     (LIBAVFILTER_VERSION_INT >= AV_VERSION_INT(11, 8, 100)) /* 8.1 */
#define HAVE_HINT_AND_LCEVC (LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(59, 39, 100))  /* 7.1 */
#ifdef AV_FRAME_FLAG_INTERLACED
#define IS_INTERLACED(frame) ((frame)->flags & AV_FRAME_FLAG_INTERLACED)
#else
#define IS_INTERLACED(frame) ((frame)->interlaced_frame)
#endif

typedef struct SelfBlindVSRContext {
    const AVClass *class;

    char *model;
    int backend;
    int precision;
    int gpu;
    int border;
    int phase;
    float scene;
    int tile;
    int max_memory;
    int kernel_interval;
    char *kernel;
    char *kernel_file;
    int cycle;
    int adapt_interval;
    int64_t start_number;
    int refine;

    float blur[SBV_BLUR_SIDE_MAX * SBV_BLUR_SIDE_MAX]; /* the kernel of the option of that name */
    int blur_side;                                     /* 0: not known */
    const char *blur_scaler;                           /* the option kernel, where it names a scaler */
    sbv_kernel_writer *blur_writer;                    /* of kernel_file */
    struct BlurFile *file;                             /* and what all filters know of it */

    sbv_session *session;
    AVBufferRef *device; /* of CUDA frames; the session works in its context and stream */
    /* What the links were configured for. Filters in front and behind that change sizes while they run write the fields
     * of the links. */
    enum AVPixelFormat link_format;
    enum AVPixelFormat format; /* of the pixels, wherever they lie */
    int width, height;

    AVFilterGraph *scaler; /* brings frames of another size to this one */
    AVFilterContext *scaler_source, *scaler_sink;
    char scaler_input[160]; /* what the scaler was configured for */
    int told_scaler;

    int asked;          /* for formats, so many times */
    sbv_stream stream;  /* what the session was told last */
    int described;      /* whether it was told at all */
    AVFrame *next;      /* first frame of a new description, waiting for the frames before it to come out */
    AVFifo *held;       /* AVFrame *: properties of the frames sent and not yet received, oldest first */
    int64_t sent;       /* frames sent, and so the tag of the next one */
    int64_t first_held; /* tag of the oldest frame held */
    int64_t returned;   /* frames received */
    int status;         /* of the input, once it ended */
    int64_t status_pts;
    int waiting; /* somebody asked for a frame, and what is held does not make one yet */
    int told_interlaced;
    int told_matrix[2]; /* that it is guessed: not supported, not specified */
} SelfBlindVSRContext;

#define OFFSET(x) offsetof(SelfBlindVSRContext, x)
#define FLAGS     (AV_OPT_FLAG_FILTERING_PARAM | AV_OPT_FLAG_VIDEO_PARAM)

/* clang-format off */
#define CHOICE(option, name, value, help) \
    { name, help, 0, AV_OPT_TYPE_CONST, { .i64 = value }, 0, 0, FLAGS, .unit = option }

static const AVOption selfblindvsr_options[] = {
    { "model", "name of a model installed with libselfblindvsr (default: default), or a model file", OFFSET(model),
      AV_OPT_TYPE_STRING, { .str = NULL }, 0, 0, FLAGS },
    { "backend", "where the network is computed", OFFSET(backend), AV_OPT_TYPE_INT, { .i64 = SBV_BACKEND_AUTO },
      SBV_BACKEND_AUTO, SBV_BACKEND_CUDA, FLAGS, .unit = "backend" },
    CHOICE("backend", "auto", SBV_BACKEND_AUTO, "on an NVIDIA GPU where one can be used, else on the CPU"),
    CHOICE("backend", "cuda", SBV_BACKEND_CUDA, "on an NVIDIA GPU"),
    CHOICE("backend", "cpu", SBV_BACKEND_CPU, "on the CPU"),
    { "precision", "what weights and feature maps are stored in", OFFSET(precision), AV_OPT_TYPE_INT,
      { .i64 = SBV_PRECISION_AUTO }, SBV_PRECISION_AUTO, SBV_PRECISION_BF16, FLAGS, .unit = "precision" },
    CHOICE("precision", "auto", SBV_PRECISION_AUTO, "fp16 on a GPU, bf16 on a CPU with AMX, else fp32"),
    CHOICE("precision", "fp32", SBV_PRECISION_FP32, "32-bit floating point"),
    CHOICE("precision", "fp16", SBV_PRECISION_FP16, "16-bit floating point, on a GPU only"),
    CHOICE("precision", "bf16", SBV_PRECISION_BF16, "bfloat16, on a CPU with AMX only"),
    { "device", "number of the GPU that works on frames in ordinary memory, from 0; -1: that of -filter_hw_device, else the "
      "first", OFFSET(gpu), AV_OPT_TYPE_INT, { .i64 = -1 }, -1, 255, FLAGS },
    { "border", "what stands in for the frames before the first and after the last one", OFFSET(border),
      AV_OPT_TYPE_INT, { .i64 = SBV_BORDER_REPLICATE }, SBV_BORDER_REPLICATE, SBV_BORDER_NONE, FLAGS,
      .unit = "border" },
    CHOICE("border", "replicate", SBV_BORDER_REPLICATE, "the first or last frame again"),
    CHOICE("border", "reflect", SBV_BORDER_REFLECT, "the frames mirrored about the first or last one"),
    CHOICE("border", "none", SBV_BORDER_NONE,
           "nothing: frames without all their neighbours (the first and last two) are dropped"),
    { "phase", "where the picture of a model of phase topleft lies", OFFSET(phase), AV_OPT_TYPE_INT,
      { .i64 = SBV_PHASE_AUTO }, SBV_PHASE_AUTO, SBV_PHASE_MODEL, FLAGS, .unit = "phase" },
    CHOICE("phase", "auto", SBV_PHASE_AUTO, "in its place, as that of a scaler"),
    CHOICE("phase", "model", SBV_PHASE_MODEL, "where the model makes it, further up and left"),
    { "scene", "scene cut threshold, 0 to 1, on the scene score of the select filter, of luma; 0: no detection",
      OFFSET(scene), AV_OPT_TYPE_FLOAT, { .dbl = SBV_SCENE_DEFAULT }, 0, 1, FLAGS },
    { "tile", "side of the tiles worked on, 16 or more input pixels; 0: as large as max_memory allows", OFFSET(tile),
      AV_OPT_TYPE_INT, { .i64 = 0 }, 0, 8192, FLAGS },
    { "max_memory", "most memory to work with, MiB; 0: three quarters of what the machine has", OFFSET(max_memory), AV_OPT_TYPE_INT,
      { .i64 = 0 }, 0, 1000000, FLAGS },
    { "kernel_interval", "frames from one estimate of the blur kernel to the next, in frame metadata; 0: only where "
      "kernel_file, cycle or refine needs it, and then for each frame", OFFSET(kernel_interval), AV_OPT_TYPE_INT,
      { .i64 = 0 }, 0, SBV_KERNEL_INTERVAL_MAX, FLAGS },
    { "kernel", "the blur kernel, where it is known: " SBV_SCALERS ", for the scaler that reduced the video, or a file, "
      ".npy or rows of numbers; none is estimated then",
      OFFSET(kernel), AV_OPT_TYPE_STRING, { .str = NULL }, 0, 0, FLAGS },
    { "kernel_file", "file to write all blur kernels to: .npy, float32, kernels x rows x columns", OFFSET(kernel_file),
      AV_OPT_TYPE_STRING, { .str = NULL }, 0, 0, FLAGS },
    { "cycle", "measure how well the output, blurred and reduced, explains the input: PSNR in frame metadata, dB",
      OFFSET(cycle), AV_OPT_TYPE_BOOL, { .i64 = 0 }, 0, 1, FLAGS },
    { "refine", "steps that bring the output closer to what explains the input", OFFSET(refine), AV_OPT_TYPE_INT,
      { .i64 = 0 }, 0, SBV_REFINE_MAX, FLAGS },
    { "adapt_interval", "frames from one estimate of how the video was degraded to the next, which a modulated model "
      "adapts to; 0: it works as for an average video", OFFSET(adapt_interval), AV_OPT_TYPE_INT,
      { .i64 = SBV_ADAPT_INTERVAL_DEFAULT }, 0, SBV_ADAPT_INTERVAL_MAX, FLAGS },
    { "start_number", "number that the first frame has for kernel_interval and adapt_interval, where the video is a part of "
      "another", OFFSET(start_number), AV_OPT_TYPE_INT64, { .i64 = 0 }, 0, SBV_START_NUMBER_MAX, FLAGS },
    { NULL }
};
/* clang-format on */

AVFILTER_DEFINE_CLASS(selfblindvsr);

static int averror(int sbv)
{
    switch (sbv) {
    case SBV_OK:
        return 0;
    case SBV_ERROR_MEMORY:
        return AVERROR(ENOMEM);
    case SBV_ERROR_FILE:
        return AVERROR(EIO);
    case SBV_ERROR_MODEL:
        return AVERROR_INVALIDDATA;
    case SBV_ERROR_DEVICE:
        return AVERROR_EXTERNAL;
    default:
        return AVERROR(EINVAL);
    }
}

static void log_message(void *opaque, enum sbv_log_level level, const char *message)
{
    static const int levels[] = {
        [SBV_LOG_ERROR] = AV_LOG_ERROR,
        [SBV_LOG_WARNING] = AV_LOG_WARNING,
        [SBV_LOG_INFO] = AV_LOG_INFO,
        [SBV_LOG_VERBOSE] = AV_LOG_VERBOSE,
    };
    av_log(opaque, levels[level], "%s\n", message);
}

typedef struct Execution {
    sbv_job_fn *job;
    void *arg;
} Execution;

static int run_job(AVFilterContext *ctx, void *arg, int job, int jobs)
{
    const Execution *execution = arg;
    execution->job(execution->arg, job, jobs);
    return 0;
}

static void execute(void *opaque, sbv_job_fn *job, void *arg, int jobs)
{
    ff_filter_execute(opaque, run_job, &(Execution){job, arg}, NULL, jobs);
}

static void tell_model(AVFilterContext *ctx)
{
    SelfBlindVSRContext *s = ctx->priv;
    const sbv_model_info *m = sbv_model(s->session);

    av_log(ctx, AV_LOG_VERBOSE,
           "libselfblindvsr %s, model %s, licence %s: x%d, window of %d frames, %d features, %" PRId64 " parameters\n",
           sbv_version(), m->name[0] ? m->name : "without a name", m->licence[0] ? m->licence : "not stated", m->scale,
           m->sequence, m->features, m->parameters);
    if (m->place == 0)
        av_log(ctx, AV_LOG_WARNING,
               "Model with phase topleft and phase=model: the picture comes out %.1f output pixels up and left of its "
               "place\n",
               (m->scale - 1) / 2.0);
}

/* A known kernel that lies elsewhere than the samples do is most likely centered on its middle entry, by mistake. */
static void check_blur_place(AVFilterContext *ctx)
{
    SelfBlindVSRContext *s = ctx->priv;
    const sbv_model_info *m = sbv_model(s->session);
    sbv_moments moments;

    if (s->blur_side && !s->blur_scaler && sbv_kernel_moments(s->blur, s->blur_side, &moments) >= 0 &&
        hypot(moments.center_x - m->place, moments.center_y - m->place) > 0.5)
        av_log(ctx, AV_LOG_WARNING,
               "Kernel with its center of mass %.2f, %.2f pixels right of and below its middle entry, where for this "
               "model it should be %.1f, %.1f: refine moves the picture\n",
               moments.center_x, moments.center_y, m->place, m->place);
}

#if CONFIG_CUDA
static AVCUDADeviceContext *cuda_of(const AVBufferRef *device)
{
    return ((AVHWDeviceContext *)device->data)->hwctx;
}
#endif

#if CONFIG_CUDA
/* The CUDA device to work in: of CUDA frames, or that which the caller gave the filter; NULL: the library makes its
 * own. */
static AVCUDADeviceContext *device_to_use(AVFilterContext *ctx)
{
    const SelfBlindVSRContext *s = ctx->priv;
    const AVHWDeviceContext *given = ctx->hw_device_ctx ? (const AVHWDeviceContext *)ctx->hw_device_ctx->data : NULL;

    if (s->device)
        return cuda_of(s->device);
    return s->gpu < 0 && given && given->type == AV_HWDEVICE_TYPE_CUDA ? given->hwctx : NULL;
}
#endif

/* Opens the session, in place of one that may be open. */
static sbv_config make_config(AVFilterContext *ctx, enum sbv_backend_choice backend)
{
    SelfBlindVSRContext *s = ctx->priv;
    sbv_config config;

    sbv_config_default(&config);
    config.model_path = s->model;
    config.backend = backend;
    config.precision = s->precision;
    config.cuda_device = FFMAX(s->gpu, 0);
#if CONFIG_CUDA
    if (backend != SBV_BACKEND_CPU && device_to_use(ctx)) {
        config.cuda_context = device_to_use(ctx)->cuda_ctx;
        config.cuda_stream = device_to_use(ctx)->stream;
    }
#endif
    config.border = s->border;
    config.phase = s->phase;
    config.scene = s->scene;
    config.tile = s->tile;
    config.max_memory = (int64_t)s->max_memory << 20;
    config.kernel_interval = s->kernel_interval || !s->kernel_file ? s->kernel_interval : 1;
    config.scaler = s->blur_scaler;
    config.kernel = s->blur_side && !s->blur_scaler ? s->blur : NULL;
    config.kernel_side = s->blur_side;
    config.cycle = s->cycle;
    config.adapt_interval = s->adapt_interval;
    config.start_number = s->start_number;
    config.refine = s->refine;
    config.threads = FFMAX(ff_filter_get_nb_threads(ctx), 1);
    config.execute = execute;
    config.execute_opaque = ctx;
    config.log = log_message;
    config.log_opaque = ctx;
    return config;
}

static int file_exists(const char *path)
{
#if defined(_WIN32)
    wchar_t *name = NULL;
    const int found = !utf8towchar(path, &name) && name && !_waccess(name, F_OK);
    av_free(name);
    return found;
#else
    return !access(path, F_OK);
#endif
}

/* On what device to work is known when the frames are: until then a session on the CPU checks the model and the other
 * options. */
static av_cold int init(AVFilterContext *ctx)
{
    SelfBlindVSRContext *s = ctx->priv;
    sbv_config config;

    /* A file of such a name is ./bicubic. */
    if (s->kernel && sbv_scaler_kernel(s->kernel, 4, 0, s->blur, &s->blur_side) >= 0)
        s->blur_scaler = s->kernel;
    else if (s->kernel && !strpbrk(s->kernel, "./") && !file_exists(s->kernel)) {
        av_log(ctx, AV_LOG_ERROR, "kernel '%s': there is no such file, and scalers are " SBV_SCALERS "\n", s->kernel);
        return AVERROR(EINVAL);
    } else if (s->kernel && sbv_read_kernel(s->kernel, s->blur, &s->blur_side, log_message, ctx) < 0)
        return AVERROR(EINVAL);
    if (!(s->held = av_fifo_alloc2(8, sizeof(AVFrame *), AV_FIFO_FLAG_AUTO_GROW)))
        return AVERROR(ENOMEM);
    /* The model is read once, when the frames are known; what can be wrong without them is said now. */
    config = make_config(ctx, s->backend);
    return averror(sbv_check(&config));
}

/* The files that filters of this process write kernels to, or have. */
typedef struct BlurFile {
    struct BlurFile *next;
    int busy;
    char path[];
} BlurFile;

static BlurFile *blur_files;
static AVMutex blur_files_lock = AV_MUTEX_INITIALIZER;

/* The entry of this path, made where there is none; NULL without memory. *begun: whether it was there. */
static BlurFile *find_blur_file(const char *path, int *begun)
{
    const size_t size = strlen(path) + 1;
    BlurFile *file = blur_files;

    while (file && strcmp(file->path, path))
        file = file->next;
    *begun = !!file;
    if (!file && (file = av_mallocz(sizeof(*file) + size))) {
        memcpy(file->path, path, size);
        file->next = blur_files;
        blur_files = file;
    }
    return file;
}

/* Opens kernel_file. The ffmpeg program makes its filters anew where the size of the pictures changes, say: they go on
 * where those before them ended. */
static int begin_blur_file(AVFilterContext *ctx, int side)
{
    SelfBlindVSRContext *s = ctx->priv;
    int begun, ret;
    BlurFile *file = find_blur_file(s->kernel_file, &begun);

    if (!file)
        return AVERROR(ENOMEM);
    if (file->busy) {
        av_log(ctx, AV_LOG_ERROR, "kernel_file '%s' is being written by another filter\n", s->kernel_file);
        return AVERROR(EINVAL);
    }
    if (begun && sbv_kernel_writer_append(&s->blur_writer, s->kernel_file, side, log_message, ctx) < 0) {
        av_log(ctx, AV_LOG_WARNING, "kernel_file '%s' begins anew\n", s->kernel_file);
        begun = 0;
    }
    if (!begun && (ret = sbv_kernel_writer_open(&s->blur_writer, s->kernel_file, side, log_message, ctx)) < 0)
        return averror(ret);
    file->busy = 1;
    s->file = file;
    return 0;
}

static int close_blur_file(SelfBlindVSRContext *s)
{
    const int ret = averror(sbv_kernel_writer_close(&s->blur_writer));

    ff_mutex_lock(&blur_files_lock);
    if (s->file)
        s->file->busy = 0;
    s->file = NULL;
    ff_mutex_unlock(&blur_files_lock);
    return ret;
}

static int open_blur_file(AVFilterContext *ctx)
{
    SelfBlindVSRContext *s = ctx->priv;
    int ret;

    close_blur_file(s);
    if (!s->kernel_file)
        return 0;
    ff_mutex_lock(&blur_files_lock);
    ret = begin_blur_file(ctx, s->blur_side ? s->blur_side : sbv_model(s->session)->kernel_size);
    ff_mutex_unlock(&blur_files_lock);
    return ret;
}

/* A program may free the filters without telling them that their stream ended: where it makes new ones for pictures of
 * another size, say. */
static void tell_lost(AVFilterContext *ctx)
{
    const SelfBlindVSRContext *s = ctx->priv;
    const int lost = s->waiting && s->border != SBV_BORDER_NONE ? av_fifo_can_read(s->held) : 0;

    if (lost > 0)
        av_log(ctx, AV_LOG_WARNING,
               "The filters were freed before their stream ended: the last %d frame%s of %" PRId64 " %s lost\n", lost,
               lost > 1 ? "s" : "", s->sent, lost > 1 ? "are" : "is");
}

static av_cold void uninit(AVFilterContext *ctx)
{
    SelfBlindVSRContext *s = ctx->priv;
    AVFrame *frame;

    tell_lost(ctx);
    sbv_close(&s->session);
    close_blur_file(s);
    avfilter_graph_free(&s->scaler);
    av_frame_free(&s->next);
    while (s->held && av_fifo_read(s->held, &frame, 1) >= 0)
        av_frame_free(&frame);
    av_fifo_freep2(&s->held);
    av_buffer_unref(&s->device);
}

/* Whether component i of a format can be told: whole bytes of its own, 8 to 16 bits or a float. */
static int component_describable(const AVPixFmtDescriptor *desc, int i)
{
    const AVComponentDescriptor *c = &desc->comp[i], *luma = &desc->comp[0];
    const int floats = !!(desc->flags & AV_PIX_FMT_FLAG_FLOAT), bytes = floats ? 4 : c->depth > 8 ? 2 : 1;
    const int chroma = !(desc->flags & AV_PIX_FMT_FLAG_RGB) && (i == 1 || i == 2);
    const int log2_w = chroma ? desc->log2_chroma_w : 0;

    if (c->depth != luma->depth || (floats ? c->depth != 32 : c->depth < 8 || c->depth > 16) ||
        c->depth + c->shift > 8 * bytes || (bytes == 1 && c->shift) || c->offset + bytes > c->step)
        return 0;
    for (int j = 0; j < i; j++)
        if (desc->comp[j].plane == c->plane && FFABS(desc->comp[j].offset - c->offset) < bytes)
            return 0;
    /* Samples of luma and chroma in one plane take turns. */
    return c->plane != luma->plane || c->step == luma->step << log2_w;
}

/* Whether the library can be told of this format. The bytes of samples may be in the other order: see swap_bytes(). */
static int describable(enum AVPixelFormat format)
{
    const uint64_t unfit =
        AV_PIX_FMT_FLAG_HWACCEL | AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_BITSTREAM | AV_PIX_FMT_FLAG_BAYER;
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(format);

    if (!desc || desc->flags & unfit || desc->log2_chroma_w > 1 || desc->log2_chroma_h > 1 ||
        format == AV_PIX_FMT_XYZ12LE || format == AV_PIX_FMT_XYZ12BE)
        return 0;
    for (int i = 0; i < desc->nb_components; i++)
        if (!component_describable(desc, i))
            return 0;
    return 1;
}

static int has_matrix(enum AVPixelFormat format)
{
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(format);
    return !(desc->flags & AV_PIX_FMT_FLAG_RGB) && desc->nb_components >= 3;
}

static int has_other_endianness(enum AVPixelFormat format)
{
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(format);
    return desc->comp[0].depth > 8 && !!(desc->flags & AV_PIX_FMT_FLAG_BE) != HAVE_BIGENDIAN;
}

/* Whether frames that come in one of these formats may be restored in another. Formats that can be told stay as they
 * are; others are converted to one that holds all of them, which is what comes out then. (With a list that does not
 * look at the input, FFmpeg would choose among what the encoder takes too, and convert 16 bits to 8 before the filter
 * where both have no other format in common.) */
static int takes_place(enum AVPixelFormat format, const AVFilterFormats *offered)
{
    const int lossy = FF_LOSS_RESOLUTION | FF_LOSS_DEPTH | FF_LOSS_ALPHA | FF_LOSS_CHROMA;
    const uint64_t flags = av_pix_fmt_desc_get(format)->flags;
    const int usual = !has_other_endianness(format) && (flags & AV_PIX_FMT_FLAG_PLANAR || !has_matrix(format));

    for (int i = 0; i < offered->nb_formats; i++) {
        const enum AVPixelFormat in = offered->formats[i];
        const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(in);
        if (in == format)
            return 1;
        if (usual && desc && !describable(in) && !(desc->flags & AV_PIX_FMT_FLAG_HWACCEL) &&
            !(av_get_pix_fmt_loss(format, in, !!(desc->flags & AV_PIX_FMT_FLAG_ALPHA)) & lossy))
            return 1;
    }
    return 0;
}

/* At first the filter in front may not know itself what it will be given: it has a list of all formats then. */
static int query_formats(AVFilterContext *ctx)
{
    SelfBlindVSRContext *s = ctx->priv;
    const AVFilterFormats *offered = ctx->inputs[0]->incfg.formats;
    AVFilterFormats *formats = NULL;
    const AVPixFmtDescriptor *desc = NULL;
    int ret = 0;

    if (!s->asked++ || !offered || !offered->nb_formats)
        return AVERROR(EAGAIN);
    if (CONFIG_CUDA)
        ret = ff_add_format(&formats, AV_PIX_FMT_CUDA);
    while (ret >= 0 && (desc = av_pix_fmt_desc_next(desc))) {
        const enum AVPixelFormat format = av_pix_fmt_desc_get_id(desc);
        if (describable(format) && takes_place(format, offered))
            ret = ff_add_format(&formats, format);
    }
    return ret < 0 ? ret : ff_set_common_formats(ctx, formats);
}

/* Takes over device and format of CUDA frames. */
static int use_frames(AVFilterContext *ctx, AVBufferRef *hw_frames_ctx)
{
    SelfBlindVSRContext *s = ctx->priv;
    const AVHWFramesContext *frames;

    if (s->backend == SBV_BACKEND_CPU) {
        av_log(ctx, AV_LOG_ERROR, "backend=cpu does not work on CUDA frames: put hwdownload before the filter\n");
        return AVERROR(EINVAL);
    }
    if (!hw_frames_ctx) {
        av_log(ctx, AV_LOG_ERROR, "CUDA frames without a hardware frames context\n");
        return AVERROR(EINVAL);
    }
    frames = (const AVHWFramesContext *)hw_frames_ctx->data;
    if (!describable(frames->sw_format) ||
        av_pix_fmt_desc_get(frames->sw_format)->flags & (AV_PIX_FMT_FLAG_ALPHA | AV_PIX_FMT_FLAG_BE)) {
        av_log(ctx, AV_LOG_ERROR, "CUDA frames of %s not supported: put scale_cuda=format=nv12 before the filter\n",
               av_get_pix_fmt_name(frames->sw_format));
        return AVERROR(ENOSYS);
    }
    s->format = frames->sw_format;
    return av_buffer_replace(&s->device, frames->device_ref);
}

static int config_input(AVFilterLink *inlink)
{
    AVFilterContext *ctx = inlink->dst;
    SelfBlindVSRContext *s = ctx->priv;
    const int cuda = inlink->format == AV_PIX_FMT_CUDA;
    sbv_config config;
    int ret;

    s->format = s->link_format = inlink->format;
    s->width = inlink->w;
    s->height = inlink->h;
    if (cuda && (ret = use_frames(ctx, ff_filter_link(inlink)->hw_frames_ctx)) < 0)
        return ret;
    sbv_close(&s->session);
    config = make_config(ctx, cuda ? SBV_BACKEND_CUDA : s->backend);
    if ((ret = sbv_open(&s->session, &config)) < 0)
        return averror(ret);
    if (s->blur_scaler) /* kernel_file must know its side */
        sbv_scaler_kernel(s->blur_scaler, sbv_model(s->session)->scale, sbv_model(s->session)->place, s->blur,
                          &s->blur_side);
    return 0;
}

/* Where output frames come from if they are CUDA frames. Sides are multiples of 32, as scale_cuda makes them. */
static int make_frames_context(AVFilterLink *outlink)
{
    SelfBlindVSRContext *s = outlink->src->priv;
    FilterLink *link = ff_filter_link(outlink);
    AVHWFramesContext *frames;

    av_buffer_unref(&link->hw_frames_ctx);
    if (!(link->hw_frames_ctx = av_hwframe_ctx_alloc(s->device)))
        return AVERROR(ENOMEM);
    frames = (AVHWFramesContext *)link->hw_frames_ctx->data;
    frames->format = AV_PIX_FMT_CUDA;
    frames->sw_format = s->format;
    frames->width = FFALIGN(outlink->w, 32);
    frames->height = FFALIGN(outlink->h, 32);
    return av_hwframe_ctx_init(link->hw_frames_ctx);
}

/* What players take for the matrix of frames that do not say it. */
static enum sbv_matrix guess_matrix(int height)
{
    return height < 720 ? SBV_MATRIX_BT601 : SBV_MATRIX_BT709;
}

/* The name of the matrix that a session was told. What was not said is said from here on: a player would guess anew, by
 * a height that is another now. */
static enum AVColorSpace color_space_of(enum sbv_matrix matrix)
{
    return matrix == SBV_MATRIX_BT601    ? AVCOL_SPC_SMPTE170M
           : matrix == SBV_MATRIX_BT2020 ? AVCOL_SPC_BT2020_NCL
                                         : AVCOL_SPC_BT709;
}

static int config_output(AVFilterLink *outlink)
{
    AVFilterContext *ctx = outlink->src;
    SelfBlindVSRContext *s = ctx->priv;
    const int scale = sbv_model(s->session)->scale;
    const int64_t w = (int64_t)s->width * scale, h = (int64_t)s->height * scale;
    const int64_t linesize = w <= INT_MAX ? av_image_get_linesize(s->format, w, 0) : -1;
    int ret;

    /* The condition of av_image_check_size2(), which would say less. */
    if (linesize <= 0 || h > INT_MAX || linesize + 128 * 8 > INT_MAX / (h + 128)) {
        av_log(ctx, AV_LOG_ERROR,
               "%dx%d times %d is %" PRId64 "x%" PRId64 ", larger than FFmpeg's limit of 2 GiB for a picture\n",
               s->width, s->height, scale, w, h);
        return AVERROR(EINVAL);
    }
    outlink->w = w;
    outlink->h = h;
#if HAVE_LINK_COLOUR
    if (outlink->colorspace == AVCOL_SPC_UNSPECIFIED && has_matrix(s->format))
        outlink->colorspace = color_space_of(guess_matrix(s->height));
#endif
    tell_model(ctx);
    check_blur_place(ctx);
    if ((ret = open_blur_file(ctx)) < 0)
        return ret;
    return s->device ? make_frames_context(outlink) : 0;
}

/* The matrix of a frame; one that is not known is guessed, and said once. */
static enum sbv_matrix matrix_of(AVFilterContext *ctx, const AVFrame *frame)
{
    SelfBlindVSRContext *s = ctx->priv;
    const enum sbv_matrix guess = guess_matrix(frame->height);
    const int unspecified = frame->colorspace == AVCOL_SPC_UNSPECIFIED;
    const char *name = unspecified ? NULL : av_color_space_name(frame->colorspace);

    switch (frame->colorspace) {
    case AVCOL_SPC_BT709:
        return SBV_MATRIX_BT709;
    case AVCOL_SPC_BT470BG:
    case AVCOL_SPC_SMPTE170M:
        return SBV_MATRIX_BT601;
    case AVCOL_SPC_BT2020_NCL:
        return SBV_MATRIX_BT2020;
    default:
        break;
    }
    if (!s->told_matrix[unspecified])
        av_log(ctx, unspecified ? AV_LOG_VERBOSE : AV_LOG_WARNING, "Colour matrix %s%snot %s, taken as %s\n",
               name ? name : "", name ? " " : "", unspecified ? "specified" : "supported",
               guess == SBV_MATRIX_BT601 ? "bt601" : "bt709");
    s->told_matrix[unspecified] = 1;
    return guess;
}

static enum sbv_chroma_site chroma_site_of(const AVFrame *frame)
{
    static const enum sbv_chroma_site sites[] = {
        [AVCHROMA_LOC_UNSPECIFIED] = SBV_CHROMA_LEFT, [AVCHROMA_LOC_LEFT] = SBV_CHROMA_LEFT,
        [AVCHROMA_LOC_CENTER] = SBV_CHROMA_CENTER,    [AVCHROMA_LOC_TOPLEFT] = SBV_CHROMA_TOPLEFT,
        [AVCHROMA_LOC_TOP] = SBV_CHROMA_TOP,          [AVCHROMA_LOC_BOTTOMLEFT] = SBV_CHROMA_BOTTOMLEFT,
        [AVCHROMA_LOC_BOTTOM] = SBV_CHROMA_BOTTOM,
    };
    return (unsigned)frame->chroma_location < FF_ARRAY_ELEMS(sites) ? sites[frame->chroma_location] : SBV_CHROMA_LEFT;
}

/* Formats that say nothing are full range where FFmpeg's scaler takes them so: yuvj and gray. */
static int full_range_of(const AVFrame *frame, enum AVPixelFormat format)
{
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(format);
    const int gray = desc->nb_components <= 2, yuvj = av_strstart(desc->name, "yuvj", NULL);

    return yuvj || frame->color_range == AVCOL_RANGE_JPEG || (gray && frame->color_range != AVCOL_RANGE_MPEG);
}

static sbv_component component_of(const AVComponentDescriptor *c)
{
    return (sbv_component){
        .plane = c->plane, .step = c->step, .offset = c->offset, .shift = c->shift, .depth = c->depth};
}

static enum sbv_alpha_mode alpha_mode_of(const AVFrame *frame, const AVPixFmtDescriptor *desc)
{
    if (!(desc->flags & AV_PIX_FMT_FLAG_ALPHA))
        return SBV_ALPHA_NONE;
#if HAVE_ALPHA_MODE
    if (frame->alpha_mode == AVALPHA_MODE_PREMULTIPLIED)
        return SBV_ALPHA_PREMULTIPLIED;
#endif
    return SBV_ALPHA_STRAIGHT;
}

/* What a frame looks like, in the library's words. What the format has no use for is zero, so that descriptions can be
 * compared as memory: they consist of ints. */
static sbv_stream stream_of(AVFilterContext *ctx, const AVFrame *frame)
{
    const SelfBlindVSRContext *s = ctx->priv;
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(s->format);
    sbv_stream stream;

    memset(&stream, 0, sizeof(stream));
    stream.width = frame->width;
    stream.height = frame->height;
    stream.memory = s->device ? SBV_MEMORY_CUDA : SBV_MEMORY_HOST;
    stream.alpha = alpha_mode_of(frame, desc);
    stream.components = desc->nb_components - !!stream.alpha;
    stream.rgb = !!(desc->flags & AV_PIX_FMT_FLAG_RGB);
    for (int i = 0; i < stream.components; i++)
        stream.component[i] = component_of(&desc->comp[i]);
    if (stream.alpha)
        stream.component[3] = component_of(&desc->comp[stream.components]);
    if (!stream.rgb)
        stream.full_range = full_range_of(frame, s->format);
    if (!stream.rgb && stream.components == 3) {
        stream.matrix = matrix_of(ctx, frame);
        stream.chroma_w_log2 = desc->log2_chroma_w;
        stream.chroma_h_log2 = desc->log2_chroma_h;
        if (desc->log2_chroma_w || desc->log2_chroma_h)
            stream.chroma_site = chroma_site_of(frame);
    }
    return stream;
}

/* Frames whose samples have their bytes in the other order <-> those that the library takes. */
static void swap_bytes(const SelfBlindVSRContext *s, AVFrame *frame)
{
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(s->format);

    for (int plane = 0; plane < av_pix_fmt_count_planes(s->format); plane++) {
        const int bytes = av_image_get_linesize(s->format, frame->width, plane);
        const int rows = AV_CEIL_RSHIFT(frame->height, plane == 1 || plane == 2 ? desc->log2_chroma_h : 0);
        for (int y = 0; y < rows; y++) {
            uint8_t *row = frame->data[plane] + y * (ptrdiff_t)frame->linesize[plane];
            if (desc->comp[0].depth == 32)
                for (int i = 0; i + 4 <= bytes; i += 4)
                    AV_WN32(row + i, av_bswap32(AV_RN32(row + i)));
            else
                for (int i = 0; i + 2 <= bytes; i += 2)
                    AV_WN16(row + i, av_bswap16(AV_RN16(row + i)));
        }
    }
}

/* Bytes of a plane's buffer from the plane's lowest row on, 0 where that is not known; 1 where that row lies before it.
 */
static size_t plane_bytes(AVFrame *frame, int plane, const AVPixFmtDescriptor *desc)
{
    const AVBufferRef *buffer = frame->data[plane] ? av_frame_get_plane_buffer(frame, plane) : NULL;
    const int rows = AV_CEIL_RSHIFT(frame->height, plane == 1 || plane == 2 ? desc->log2_chroma_h : 0);
    const ptrdiff_t lowest = FFMIN((rows - 1) * (ptrdiff_t)frame->linesize[plane], 0);
    const ptrdiff_t before = buffer ? frame->data[plane] - buffer->data + lowest : 0;

    return !buffer ? 0 : before < 0 ? 1 : buffer->size - before;
}

static sbv_frame picture_of(const SelfBlindVSRContext *s, AVFrame *frame, int width, int height)
{
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(s->format);
    sbv_frame picture = {.width = width, .height = height};

    for (int i = 0; i < FF_ARRAY_ELEMS(picture.data); i++) {
        picture.data[i] = frame->data[i];
        picture.linesize[i] = frame->linesize[i];
        picture.size[i] = plane_bytes(frame, i, desc);
    }
    return picture;
}

/* Sends a frame, which is taken over, and keeps its properties.
 *
 * A CUDA frame is read after sbv_send has returned, in the order of the device's stream, and its buffer can be given
 * back all the same: whoever gets it next, be it a filter or a decoder that maps another picture there, writes it in
 * the order of that same stream, and cuMemFree waits for the GPU. */
static int send_frame(AVFilterContext *ctx, AVFrame *frame)
{
    SelfBlindVSRContext *s = ctx->priv;
    sbv_frame picture;
    int ret;

    if (has_other_endianness(s->format)) {
        if ((ret = av_frame_make_writable(frame)) < 0) {
            av_frame_free(&frame);
            return ret;
        }
        swap_bytes(s, frame);
    }
    picture = picture_of(s, frame, frame->width, frame->height);
    picture.tag = s->sent;
    if ((ret = sbv_send(s->session, &picture)) < 0) {
        av_frame_free(&frame);
        return averror(ret);
    }
    s->sent++;
    for (int i = 0; i < AV_NUM_DATA_POINTERS; i++) {
        av_buffer_unref(&frame->buf[i]);
        frame->data[i] = NULL;
    }
    av_buffer_unref(&frame->hw_frames_ctx);
    if ((ret = av_fifo_write(s->held, &frame, 1)) < 0)
        av_frame_free(&frame);
    return ret;
}

static int describe_and_send(AVFilterContext *ctx, AVFrame *frame)
{
    SelfBlindVSRContext *s = ctx->priv;
    int ret;

    s->stream = stream_of(ctx, frame);
    if ((ret = sbv_describe(s->session, &s->stream)) < 0) {
        av_frame_free(&frame);
        return averror(ret);
    }
    s->described = 1;
    return send_frame(ctx, frame);
}

static int end_stream(SelfBlindVSRContext *s)
{
    const int ret = s->described ? sbv_send(s->session, NULL) : SBV_OK;
    return ret < 0 ? averror(ret) : 0;
}

/* Whether a frame is of the format and device that the links were configured for. Its frames context may be another
 * one, of another decoder say, but output frames come from the device and go to filters that know no other. */
static int check_frame(AVFilterContext *ctx, const AVFrame *frame)
{
    const SelfBlindVSRContext *s = ctx->priv;
    const AVHWFramesContext *frames = frame->hw_frames_ctx ? (void *)frame->hw_frames_ctx->data : NULL;
    const enum AVPixelFormat format = s->device && frames ? frames->sw_format : frame->format;

    if (frame->format != s->link_format || format != s->format ||
        (s->device && (frame->width != s->width || frame->height != s->height))) {
        av_log(ctx, AV_LOG_ERROR, "A frame is %dx%d %s, but the stream %dx%d %s\n", frame->width, frame->height,
               av_get_pix_fmt_name(format), s->width, s->height, av_get_pix_fmt_name(s->format));
        return AVERROR(EINVAL);
    }
#if CONFIG_CUDA
    if (s->device && (cuda_of(frames->device_ref)->cuda_ctx != cuda_of(s->device)->cuda_ctx ||
                      cuda_of(frames->device_ref)->stream != cuda_of(s->device)->stream)) {
        av_log(ctx, AV_LOG_ERROR, "A frame lies on another CUDA device, context or stream than those before it\n");
        return AVERROR(EINVAL);
    }
#endif
    return 0;
}

/* What a source of frames that look like this one is configured with. */
static void describe_source(char *text, size_t size, const AVFrame *frame, AVRational time_base)
{
    const AVRational sar = frame->sample_aspect_ratio;

    snprintf(text, size, "video_size=%dx%d:pix_fmt=%d:time_base=%d/%d:sar=%d/%d", frame->width, frame->height,
             frame->format, time_base.num, time_base.den, sar.num, FFMAX(sar.den, 1));
#if HAVE_LINK_COLOUR
    av_strlcatf(text, size, ":colorspace=%d:range=%d", frame->colorspace, frame->color_range);
#endif
#if HAVE_ALPHA_MODE
    av_strlcatf(text, size, ":alpha_mode=%d", frame->alpha_mode);
#endif
}

static int add_filter(SelfBlindVSRContext *s, AVFilterContext **filter, const char *name, const char *arguments)
{
    const AVFilter *type = avfilter_get_by_name(name);
    return type ? avfilter_graph_create_filter(filter, type, name, arguments, NULL, s->scaler)
                : AVERROR_FILTER_NOT_FOUND;
}

/* A graph of FFmpeg's scaler alone, for frames that look like this one; it serves the frames after it too. */
static int open_scaler(AVFilterContext *ctx, const AVFrame *frame)
{
    SelfBlindVSRContext *s = ctx->priv;
    char input[sizeof(s->scaler_input)], size[32];
    AVFilterContext *scale;
    int ret;

    describe_source(input, sizeof(input), frame, ctx->inputs[0]->time_base);
    if (s->scaler && !strcmp(input, s->scaler_input))
        return 0;
    snprintf(size, sizeof(size), "%d:%d", s->width, s->height);
    avfilter_graph_free(&s->scaler);
    if (!(s->scaler = avfilter_graph_alloc()))
        return AVERROR(ENOMEM);
    s->scaler->nb_threads = 1;
    if ((ret = add_filter(s, &s->scaler_source, "buffer", input)) < 0 ||
        (ret = add_filter(s, &scale, "scale", size)) < 0 ||
        (ret = add_filter(s, &s->scaler_sink, "buffersink", NULL)) < 0 ||
        (ret = avfilter_link(s->scaler_source, 0, scale, 0)) < 0 ||
        (ret = avfilter_link(scale, 0, s->scaler_sink, 0)) < 0 || (ret = avfilter_graph_config(s->scaler, ctx)) < 0) {
        avfilter_graph_free(&s->scaler);
        return ret;
    }
    av_strlcpy(s->scaler_input, input, sizeof(s->scaler_input));
    return 0;
}

/* Brings a frame to the size that the links were configured for, as a scaler before the filter would. */
static int scale_frame(AVFilterContext *ctx, AVFrame *frame)
{
    SelfBlindVSRContext *s = ctx->priv;
    const int w = frame->width, h = frame->height;
    int ret;

    if (w == s->width && h == s->height)
        return 0;
    if (!s->told_scaler++)
        av_log(ctx, AV_LOG_WARNING,
               "The size of frames changes from %dx%d to %dx%d: they are scaled to %dx%d and restored from that\n",
               s->width, s->height, w, h, s->width, s->height);
    if ((ret = open_scaler(ctx, frame)) >= 0 && (ret = av_buffersrc_add_frame(s->scaler_source, frame)) >= 0)
        ret = av_buffersink_get_frame(s->scaler_sink, frame);
    if (ret >= 0 && frame->format != s->format)
        ret = AVERROR(ENOSYS);
    if (ret < 0)
        av_log(ctx, AV_LOG_ERROR, "A frame of %dx%d %s cannot be scaled to %dx%d\n", w, h,
               av_get_pix_fmt_name(s->format), s->width, s->height);
    return ret;
}

static void check_interlaced(AVFilterContext *ctx, const AVFrame *frame)
{
    SelfBlindVSRContext *s = ctx->priv;

    if (!s->told_interlaced && IS_INTERLACED(frame)) {
        av_log(ctx, AV_LOG_WARNING,
               "Frames are flagged as interlaced: restored as they are, two fields woven together; put bwdif or yadif "
               "before the filter\n");
        s->told_interlaced = 1;
    }
}

/* Takes a frame from the input. Where it looks different, those before it must come out first. */
static int take_frame(AVFilterContext *ctx, AVFrame *frame)
{
    SelfBlindVSRContext *s = ctx->priv;
    sbv_stream stream;
    int ret;

    if ((ret = check_frame(ctx, frame)) < 0 || (ret = scale_frame(ctx, frame)) < 0) {
        av_frame_free(&frame);
        return ret;
    }
    check_interlaced(ctx, frame);
    if (!s->described)
        return describe_and_send(ctx, frame);
    stream = stream_of(ctx, frame);
    if (!memcmp(&stream, &s->stream, sizeof(stream)))
        return send_frame(ctx, frame);
    av_log(ctx, AV_LOG_VERBOSE, "Colour properties change at frame %" PRId64 "\n", s->sent);
    s->next = frame;
    return end_stream(s);
}

/* Gives a picture the properties of the frame it was restored from, but for what depends on the size. */
static int copy_props(AVFrame *out, const AVFrame *in, int scale)
{
    static const enum AVFrameSideDataType dropped[] = {
        AV_FRAME_DATA_PANSCAN,
        AV_FRAME_DATA_MOTION_VECTORS,
        AV_FRAME_DATA_REGIONS_OF_INTEREST,
        AV_FRAME_DATA_VIDEO_ENC_PARAMS,
        AV_FRAME_DATA_DETECTION_BBOXES,
#if HAVE_HINT_AND_LCEVC
        AV_FRAME_DATA_VIDEO_HINT,
        AV_FRAME_DATA_LCEVC,
#endif
    };
    const int ret = av_frame_copy_props(out, in);

    for (int i = 0; i < FF_ARRAY_ELEMS(dropped); i++)
        av_frame_remove_side_data(out, dropped[i]);
    out->crop_left = in->crop_left * scale;
    out->crop_right = in->crop_right * scale;
    out->crop_top = in->crop_top * scale;
    out->crop_bottom = in->crop_bottom * scale;
    return ret;
}

/* The bytes of the pixels of 0RGB and the like that no component has, of which the library does not know: opaque. Of
 * CUDA frames, which it writes in whole pixels, it sees to that itself. */
static void fill_padding(const SelfBlindVSRContext *s, AVFrame *frame)
{
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(s->format);

    int used = 0;

    for (int i = 0; i < desc->nb_components; i++)
        if (desc->comp[i].plane == 0)
            used += (desc->comp[i].depth + 7) / 8;
    if (!s->device && !desc->log2_chroma_w && used < desc->comp[0].step)
        for (int y = 0; y < frame->height; y++)
            memset(frame->data[0] + (ptrdiff_t)y * frame->linesize[0], 0xFF, desc->comp[0].step * (size_t)frame->width);
}

/* With four decimals and a point before them, whatever the locale of the program is. */
static void set_metadata(AVFrame *frame, const char *name, double value)
{
    char key[64], text[32] = "nan";
    const long long units = isnan(value) ? 0 : llrint(fabs(value) * 10000);

    snprintf(key, sizeof(key), "lavfi.selfblindvsr.%s", name);
    if (!isnan(value))
        snprintf(text, sizeof(text), "%s%lld.%04lld", value < 0 && units ? "-" : "", units / 10000, units % 10000);
    av_dict_set(&frame->metadata, key, text, 0);
}

/* What the session knows of the blur and the fit of the frame it returned last -> metadata and kernel_file. */
static int tell_blur(SelfBlindVSRContext *s, AVFrame *out)
{
    sbv_moments moments;
    int side;
    const float *kernel = sbv_kernel(s->session, &side);

    if (s->cycle)
        set_metadata(out, "cycle_psnr", sbv_cycle_psnr(s->session));
    if (kernel && sbv_kernel_moments(kernel, side, &moments) >= 0) {
        set_metadata(out, "kernel_sigma_x", moments.sigma_x);
        set_metadata(out, "kernel_sigma_y", moments.sigma_y);
        set_metadata(out, "kernel_angle", moments.angle);
        set_metadata(out, "kernel_center_x", moments.center_x);
        set_metadata(out, "kernel_center_y", moments.center_y);
    }
    return s->blur_writer && sbv_kernel_is_new(s->session) ? averror(sbv_kernel_writer_add(s->blur_writer, kernel)) : 0;
}

/* Restores the frame of this tag and passes it on. The held frames before it are those that border=none drops. */
static int output_frame(AVFilterContext *ctx, int64_t tag)
{
    SelfBlindVSRContext *s = ctx->priv;
    AVFilterLink *outlink = ctx->outputs[0];
    const int scale = sbv_model(s->session)->scale, w = s->width * scale, h = s->height * scale;
    AVFrame *in = NULL, *out = NULL;
    sbv_frame picture;
    int ret;

    for (; s->first_held <= tag; s->first_held++) {
        av_frame_free(&in);
        if ((ret = av_fifo_read(s->held, &in, 1)) < 0)
            return AVERROR_BUG;
    }
    if (!(out = ff_get_video_buffer(outlink, w, h))) {
        ret = AVERROR(ENOMEM);
        goto end;
    }
    out->width = w;
    out->height = h;
    if ((ret = copy_props(out, in, scale)) < 0)
        goto end;
    if (out->colorspace == AVCOL_SPC_UNSPECIFIED && has_matrix(s->format))
        out->colorspace = color_space_of(s->stream.matrix);
    fill_padding(s, out);
    picture = picture_of(s, out, w, h);
    if ((ret = sbv_receive(s->session, &picture)) < 0) {
        ret = averror(ret);
        goto end;
    }
    if (has_other_endianness(s->format))
        swap_bytes(s, out);
    s->returned++;
    if ((ret = tell_blur(s, out)) < 0)
        goto end;
    ret = ff_filter_frame(outlink, out);
    out = NULL;
end:
    av_frame_free(&in);
    av_frame_free(&out);
    return ret;
}

/* Waits until the pictures given out are there. A GPU may fail after the last call of the library has returned, and
 * hwdownload passes on what it could not download. */
static int wait_for_device(AVFilterContext *ctx)
{
    int ret = 0;
#if CONFIG_CUDA
    const SelfBlindVSRContext *s = ctx->priv;

    if (s->device) {
        const AVCUDADeviceContext *cuda = cuda_of(s->device);
        CudaFunctions *cu = cuda->internal->cuda_dl;
        CUcontext popped;

        if ((ret = FF_CUDA_CHECK_DL(ctx, cu, cu->cuCtxPushCurrent(cuda->cuda_ctx))) < 0)
            return ret;
        ret = FF_CUDA_CHECK_DL(ctx, cu, cu->cuStreamSynchronize(cuda->stream));
        FF_CUDA_CHECK_DL(ctx, cu, cu->cuCtxPopCurrent(&popped));
    }
#endif
    return ret;
}

/* All frames of a description are out: the next description, or the end. */
static int finish(AVFilterContext *ctx)
{
    SelfBlindVSRContext *s = ctx->priv;
    AVFrame *frame = s->next;
    int ret;

    if (frame) {
        s->next = NULL;
        return describe_and_send(ctx, frame);
    }
    if (s->status == AVERROR_EOF && s->sent && !s->returned)
        av_log(ctx, AV_LOG_WARNING, "No frame came out: border=none needs at least %d frames, there were %" PRId64 "\n",
               sbv_model(s->session)->sequence, s->sent);
    if ((ret = wait_for_device(ctx)) < 0 || (ret = close_blur_file(s)) < 0)
        return ret;
    ff_outlink_set_status(ctx->outputs[0], s->status, s->status_pts);
    return 0;
}

/* The session has room: the next frame or the end of the input. Returns FFERROR_NOT_READY where there is neither. */
static int feed(AVFilterContext *ctx)
{
    SelfBlindVSRContext *s = ctx->priv;
    AVFilterLink *inlink = ctx->inputs[0], *outlink = ctx->outputs[0];
    AVFrame *frame;
    int ret = ff_inlink_consume_frame(inlink, &frame);

    if (ret < 0)
        return ret;
    if (ret > 0)
        return take_frame(ctx, frame);
    if (ff_inlink_acknowledge_status(inlink, &s->status, &s->status_pts))
        return end_stream(s);
    s->waiting = ff_outlink_frame_wanted(outlink);
    if (s->waiting)
        ff_inlink_request_frame(inlink);
    return FFERROR_NOT_READY;
}

static int activate(AVFilterContext *ctx)
{
    SelfBlindVSRContext *s = ctx->priv;
    AVFilterLink *inlink = ctx->inputs[0], *outlink = ctx->outputs[0];
    int64_t tag;
    int ret;

    s->waiting = 0;
    FF_FILTER_FORWARD_STATUS_BACK(outlink, inlink);

    do {
        ret = s->described ? sbv_ready(s->session, &tag) : s->status ? SBV_END : SBV_AGAIN;
        if (ret == SBV_OK) {
            if (!ff_outlink_frame_wanted(outlink))
                return FFERROR_NOT_READY;
            ret = output_frame(ctx, tag);
        } else if (ret == SBV_AGAIN) {
            ret = feed(ctx);
        } else if (ret == SBV_END) {
            const int ended = !s->next;
            /* Not together with the last frame: filters that look for the end first, as xfade does, would drop it. */
            if (ended && !ff_outlink_frame_wanted(outlink))
                return FFERROR_NOT_READY;
            ret = finish(ctx);
            if (ended)
                return ret;
        } else {
            ret = averror(ret);
        }
    } while (ret >= 0);
    return ret;
}

static const AVFilterPad inputs[] = {
    {
        .name = "default",
        .type = AVMEDIA_TYPE_VIDEO,
        .config_props = config_input,
    },
};

static const AVFilterPad outputs[] = {
    {
        .name = "default",
        .type = AVMEDIA_TYPE_VIDEO,
        .config_props = config_output,
    },
};

const FFFilter ff_vf_selfblindvsr = {
    PUBLIC(name) = "selfblindvsr",
    PUBLIC(description) = NULL_IF_CONFIG_SMALL("Restore and enlarge video, blur unknown, with a neural network."),
    PUBLIC(priv_class) = &selfblindvsr_class,
    PUBLIC(flags) = AVFILTER_FLAG_SLICE_THREADS | FLAG_HWDEVICE,
    .priv_size = sizeof(SelfBlindVSRContext),
    .init = init,
    .uninit = uninit,
    .activate = activate,
    FILTER_INPUTS(inputs),
    FILTER_OUTPUTS(outputs),
    FILTER_QUERY_FUNC(query_formats),
    .flags_internal = FF_FILTER_FLAG_HWFRAME_AWARE,
};
