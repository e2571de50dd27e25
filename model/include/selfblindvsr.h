/*
 * Self-Blind-VSR: blind video super-resolution (Bai and Pan, TPAMI 2024).
 * Public C API of libselfblindvsr.
 *
 * Frames go in one by one and come out in the same order, `scale` times as wide and high. Each output frame is
 * restored from a window of consecutive input frames (five in the published network), so the first output is ready
 * only when the look-ahead is full: two frames for a window of five, and one more where a GPU works on frames in the
 * memory of the host and no blur is estimated or used, so that it has the next frame to work on while one is copied:
 *
 *     sbv_config config;
 *     sbv_config_default(&config);
 *     config.model_path = "x.bin";
 *     sbv_session *session;
 *     if (sbv_open(&session, &config) < 0) ...
 *     if (sbv_describe(session, &stream) < 0) ...
 *     while (have input) {
 *         sbv_send(session, &in);
 *         while (sbv_receive(session, &out) == SBV_OK) ...
 *     }
 *     sbv_send(session, NULL);
 *     while (sbv_receive(session, &out) == SBV_OK) ...
 *     sbv_close(&session);
 *
 * There is no global state: sessions are independent, and two threads may use two sessions. All functions that take a
 * session must be called by one thread at a time, functions that take none by any. Nothing is printed; messages go to
 * the log callback, which is called by the thread that made the call.
 *
 * After an error a session can be closed, and used on where the function says so; after DEVICE, and after MEMORY in
 * sbv_send or sbv_receive, it can only be closed.
 *
 * Programs go on working with every library of the same SONAME, libselfblindvsr.so.MAJOR, before version 1 .so.0.MINOR:
 * structures grow into their reserved members alone, so set up each with sbv_config_default or = {0}. What the library
 * gives out, sbv_model_info, may grow at its end; sbv_component and sbv_moments stay as they are.
 *
 * SBV_CPU in the environment names the instruction set to compute by: c, sse2, avx2, avx512, amx, neon. It is for
 * tests.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SELFBLINDVSR_H
#define SELFBLINDVSR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SBV_VERSION_MAJOR 0
#define SBV_VERSION_MINOR 1
#define SBV_VERSION_PATCH 0

#if defined(__GNUC__)
#define SBV_API __attribute__((visibility("default")))
#else
#define SBV_API
#endif

/* What a call returns: SBV_OK, or a negative code. Every error code comes with one message (log callback at
 * SBV_LOG_ERROR, and sbv_last_error) that names the offending value and the limit. */
enum sbv_status {
    SBV_OK = 0,
    SBV_AGAIN = -1,          /* sbv_receive: more input is needed. Not an error. */
    SBV_END = -2,            /* sbv_receive: every frame has been returned. Not an error. */
    SBV_ERROR_ARGUMENT = -3, /* a parameter is out of range, or a call came in the wrong order */
    SBV_ERROR_MEMORY = -4,   /* out of memory, or the plan exceeds max_memory */
    SBV_ERROR_FILE = -5,     /* the model file cannot be opened or read */
    SBV_ERROR_MODEL = -6,    /* the model file is malformed, or its tensors do not make a network */
    SBV_ERROR_DEVICE = -7,   /* the GPU cannot be used, or failed */
};

enum sbv_log_level { SBV_LOG_ERROR, SBV_LOG_WARNING, SBV_LOG_INFO, SBV_LOG_VERBOSE };

/* What fills the window before the first and after the last frame of the stream or of a shot. */
enum sbv_border {
    SBV_BORDER_REPLICATE, /* the first or last frame again */
    SBV_BORDER_REFLECT,   /* mirrored about the first or last frame */
    SBV_BORDER_NONE,      /* nothing: frames without a full window are not restored and not returned */
};

/* Where the network is computed. */
enum sbv_backend_choice {
    SBV_BACKEND_AUTO, /* on an NVIDIA GPU if one can be used, else on the CPU; if the GPU fails later, on the CPU from
                         the frame at hand on, with one warning. Frames in CUDA memory need the GPU. */
    SBV_BACKEND_CPU,
    SBV_BACKEND_CUDA,
};

/* What it is computed in. */
enum sbv_precision {
    SBV_PRECISION_AUTO, /* the fastest of the backend: fp16 on a GPU; on the CPU bf16 where it has AMX, else fp32 */
    SBV_PRECISION_FP32,
    SBV_PRECISION_FP16, /* feature maps and weights; sums, positions and pictures in fp32. GPU only. */
    SBV_PRECISION_BF16, /* likewise, but 8 significant bits instead of 11, and the sums of residual blocks in fp32. Only
                           on a CPU with AMX (Intel Xeon from Sapphire Rapids on), else ARGUMENT. */
};

/* Where the picture lies. Models of phase "topleft", as the published ones, were trained on input samples that sit on
 * the top-left pixels of their blocks, and make a picture (scale - 1) / 2 pixels further up and left than scalers do,
 * which take them to sit in the middle. */
enum sbv_phase {
    SBV_PHASE_AUTO,  /* in its place: moved right and down where the model is one of these, on the fly, by interpolation
                      */
    SBV_PHASE_MODEL, /* where the model makes it */
};

/* Where the pixels of frames lie. */
enum sbv_memory {
    SBV_MEMORY_HOST,
    SBV_MEMORY_CUDA, /* device memory of sbv_config.cuda_context; frames are read and written in the order of
                        sbv_config.cuda_stream, after the calls have returned */
};

enum sbv_matrix { SBV_MATRIX_BT601, SBV_MATRIX_BT709, SBV_MATRIX_BT2020 };

/* Where 2x subsampled chroma samples sit, horizontally and vertically, in the manner of ITU-T H.273 ChromaLocType. */
enum sbv_chroma_site {
    SBV_CHROMA_LEFT,       /* type 0: MPEG-2, H.264, HEVC default */
    SBV_CHROMA_CENTER,     /* type 1: JPEG, MPEG-1 */
    SBV_CHROMA_TOPLEFT,    /* type 2: BT.2020 */
    SBV_CHROMA_TOP,        /* type 3 */
    SBV_CHROMA_BOTTOMLEFT, /* type 4 */
    SBV_CHROMA_BOTTOM,     /* type 5 */
};

/* Alpha of frames: full range, not subsampled. It takes no part in the restoration: it is enlarged by bicubic
 * interpolation. */
enum sbv_alpha_mode {
    SBV_ALPHA_NONE,
    SBV_ALPHA_STRAIGHT, /* colour where it is 0 counts for nothing: within a few pixels of where it is not, it becomes
                           that of the visible pixels beside it, so that it shows at no edge */
    SBV_ALPHA_PREMULTIPLIED, /* colours are multiplied by it */
};

typedef struct sbv_session sbv_session;

typedef void sbv_log_fn(void *opaque, enum sbv_log_level level, const char *message);

/* Runs job(arg, 0, jobs) ... job(arg, jobs - 1, jobs), in any order and in parallel, and returns when all are done. */
typedef void sbv_job_fn(void *arg, int job, int jobs);
typedef void sbv_execute_fn(void *opaque, sbv_job_fn *job, void *arg, int jobs);

/* Most of sbv_config.refine, .kernel_interval and .adapt_interval; largest .kernel_side. */
#define SBV_REFINE_MAX          20
#define SBV_KERNEL_INTERVAL_MAX 1000000
#define SBV_ADAPT_INTERVAL_MAX  1000000
#define SBV_BLUR_SIDE_MAX       63

/* Most of sbv_config.start_number: more than any stream has, and exact in the floating point of a host's options. */
#define SBV_START_NUMBER_MAX INT64_C(1000000000000)

/* Of sbv_config.scene. Of 194 cuts between clips 193 score more, of 29 clips no motion does. */
#define SBV_SCENE_DEFAULT 0.2f

/* What sbv_config_default sets sbv_config.adapt_interval to. */
#define SBV_ADAPT_INTERVAL_DEFAULT 100

/* Names for sbv_config.scaler, in words. */
#define SBV_SCALERS "area, bicubic, bilinear and lanczos"

/* Range of sbv_config.tile. */
#define SBV_TILE_MIN 16
#define SBV_TILE_MAX 8192

typedef struct sbv_config {
    const char *model_path;          /* model file, or the name of a model that is installed with the library, which
                                        has no slash, backslash, colon or dot; NULL, the default: "default" */
    enum sbv_backend_choice backend; /* default SBV_BACKEND_AUTO */
    enum sbv_precision precision;    /* default SBV_PRECISION_AUTO */
    int cuda_device;                 /* number of the GPU to work on, from 0, the default; an ARGUMENT error where
                                        there are GPUs, but none of that number. Not used where cuda_context is set. */
    void *cuda_context;              /* CUcontext to work in; NULL (default): the primary context of cuda_device */
    void *cuda_stream;    /* CUstream to work in, in cuda_context; NULL (default): the default stream of that context */
    enum sbv_phase phase; /* default SBV_PHASE_AUTO */
    enum sbv_border border; /* default SBV_BORDER_REPLICATE */
    float scene; /* scene cut threshold, 0 to 1, default SBV_SCENE_DEFAULT, on the score of FFmpeg's select filter: the
                    mean absolute difference of luma to the frame before, in codes of 8 bits, or how much that differs
                    from the difference before it, whichever is less, divided by 100. Windows end at a cut. 0: off */
    int tile;    /* side of the square tiles the reconstruction works on, input pixels; 0 (default): chosen
                    so that max_memory holds, the whole frame if it can. Tiles never change a bit. */
    int64_t max_memory;  /* bytes the session may allocate for a stream; 0 (default): three quarters of those that the
                            machine or the container has, more where tiles would be smaller than 64, or all of
                            the device */
    int kernel_interval; /* the blur kernel is estimated for the frames whose number, from 0, is a multiple of it,
                            0 to SBV_KERNEL_INTERVAL_MAX, and for the first after a scene cut. 0 (default): estimated
                            where refine or cycle need it alone, and then for every frame. The model must have a
                            kernel network. */
    const float *kernel; /* the blur kernel where it is known: kernel_side rows of kernel_side values that sum to 1
                            within 0.01 (they are divided by their sum), in the phase of the output frames; see
                            sbv_kernel. Nothing is estimated then. NULL (default): it is not known. */
    int kernel_side;     /* odd, 1 to SBV_BLUR_SIDE_MAX */
    const char *scaler;  /* instead of kernel: that of the scaler which reduced the picture, one of SBV_SCALERS, in
                            the phase of the output frames. NULL (default): none */
    int cycle;           /* nonzero: sbv_cycle_psnr tells how well output frames explain the input; default 0 */
    int refine;          /* steps, 0 (default) to SBV_REFINE_MAX, that bring the output closer to what explains the
                            input: gradient descent on the squared difference of the input frame and the output
                            blurred by the kernel and reduced, in float32, on R, G, B. A step never makes the
                            difference larger; none is made where it is down to what rounding the input to its bit
                            depth leaves. Noise of the input is taken for detail, so few steps, or none, for noisy
                            or hard compressed footage. */
    int threads;         /* threads (or jobs given to execute); 0 (default): one per processor */
    sbv_execute_fn *execute; /* the host's thread pool; NULL (default): the session's own */
    void *execute_opaque;
    sbv_log_fn *log; /* NULL (default): messages are dropped */
    void *log_opaque;
    char *error; /* where sbv_open and sbv_check write their error, one line of at most error_size bytes with
                    its final zero; NULL (default): nowhere */
    size_t error_size;
    int64_t adapt_interval; /* of a modulated model (sbv_model_info.modulated) the degradation of the footage is
                               estimated for the frames whose number, from 0, is a multiple of it, 0 to
                               SBV_ADAPT_INTERVAL_MAX, for the first frame and for the first after a scene cut, and the
                               network works for that from there on. A black or flat picture tells nothing: the network
                               works as with 0 then, and it is tried again ten frames later. The blur is that of
                               `kernel` or `scaler` where one is given. 0: never, the network works for an average
                               degradation, worse than an estimate does. Default SBV_ADAPT_INTERVAL_DEFAULT */
    int64_t start_number;   /* that the first frame of the stream has for kernel_interval and adapt_interval, after each
                               description and sbv_flush, 0 (default) to SBV_START_NUMBER_MAX: with it the parts of a
                               video have the estimates of the whole, from the first multiple of both intervals on that
                               has its window in the part */
    int64_t reserved[14];   /* zero, or it is an ARGUMENT error */
} sbv_config;

#define SBV_STEP_MAX 64

/* One component inside the planes of a frame. Samples of depth 9 to 16 are 16-bit, those of depth 32 floats, which have
 * the value 0 for black and 1 for white whatever the range, and may lie beyond; native endian. */
typedef struct sbv_component {
    int plane;  /* index into sbv_frame.data */
    int step;   /* bytes between two horizontally neighbouring samples of this component, at most SBV_STEP_MAX */
    int offset; /* bytes before the first sample of a row; a sample ends within its first step */
    int shift;  /* bits to shift a stored value right to get the sample (6 in P010) */
    int depth;  /* significant bits: 8 to 16, or 32 */
} sbv_component;

/* What the frames of a stream look like. Output frames have the same description, `scale` times as wide and high. */
typedef struct sbv_stream {
    int width, height; /* pixels, at least 1 */
    enum sbv_memory memory;
    int components;            /* 1: gray (luma), 3: Y Cb Cr, or R G B where rgb is set */
    int rgb;                   /* nonzero: the components are R, G, B, full range; matrix, full_range and site unused */
    enum sbv_alpha_mode alpha; /* whether component[3] is alpha, and of which kind: in host memory alone */
    int chroma_w_log2, chroma_h_log2; /* log2 of the chroma subsampling, 0 or 1; a subsampled size is rounded up */
    sbv_component component[4];
    enum sbv_matrix matrix;
    int full_range; /* nonzero: 0..2^depth-1, else 16..235 (luma) and 16..240 (chroma) at 8 bits, scaled */
    enum sbv_chroma_site chroma_site; /* used where chroma is subsampled */
    int reserved[17];                 /* zero, or it is an ARGUMENT error */
} sbv_stream;

/* A picture in the caller's memory. It is read or written during the call only. What it says of itself is compared with
 * the description before a byte is touched. Initialise all of it, with = {0} say: members that are added to it will
 * take the room of `reserved`, and zero will mean what there was without them. */
typedef struct sbv_frame {
    uint8_t *data[4];
    ptrdiff_t linesize[4]; /* bytes from one row to the next, which has whole steps; may be negative: data is the row at
                              the top */
    size_t size[4];        /* bytes of memory from the beginning of the row that comes first there on; 0: not known */
    int width, height;     /* pixels: those described, in an output frame `scale` times as many */
    int64_t tag;           /* the caller's: an output frame carries the tag of the input frame it was restored from */
    int64_t reserved[8];   /* zero */
} sbv_frame;

/* What a model file contains. Strings are one printable line, "" where the file does not say; they live as long as the
 * session. */
typedef struct sbv_model_info {
    const char *name, *licence, *phase;
    double place;    /* of input samples in their blocks of the output: so many pixels right of and below the top-left
                        one, (scale - 1) / 2, or 0 where a model of phase "topleft" is left as it is */
    int scale;       /* output pixels per input pixel, horizontally and vertically: 2 or 4 */
    int sequence;    /* frames in a window, odd */
    int features;    /* channels of the feature maps */
    int kernel_size; /* side of the blur kernel the model can estimate, 0 if it cannot */
    int64_t parameters;
    int modulated; /* nonzero: the network can adapt to the degradation of the footage, see sbv_config.adapt_interval */
} sbv_model_info;

/* Fills *config with the defaults named above. */
SBV_API void sbv_config_default(sbv_config *config);

/* Opens a session: reads and checks the model, prepares the weights. What the pointers in *config show is copied, but
 * for execute and log, which are called until sbv_close. On failure *session is NULL and the message has gone to
 * config->log and config->error. Errors: ARGUMENT (a kernel is to be estimated by a model that cannot, for one),
 * MEMORY, FILE, MODEL, DEVICE. */
SBV_API int sbv_open(sbv_session **session, const sbv_config *config);

/* Checks a configuration as sbv_open does, but reads the header of the model file alone and looks for no GPU: for
 * programs that learn what frames there are long after their options. Errors: ARGUMENT, MEMORY, FILE, MODEL. */
SBV_API int sbv_check(const sbv_config *config);

/* What the model is. Valid from sbv_open to sbv_close. */
SBV_API const sbv_model_info *sbv_model(const sbv_session *session);

/* Sets, or changes, what the frames look like, and allocates all memory the stream needs. Must come before the first
 * sbv_send; later it drops the frames held, as sbv_flush does. Errors: ARGUMENT (the last description stays), MEMORY,
 * DEVICE, and those of sbv_open where the CPU takes over (the stream must be described again). */
SBV_API int sbv_describe(sbv_session *session, const sbv_stream *stream);

/* Takes the next frame; its pixels are read before the call returns. NULL says that no more frames come (until
 * sbv_flush). SBV_AGAIN: a frame must be received first. Errors: ARGUMENT (a frame of another size than described, for
 * one, or planes that are too small; nothing has been taken then), MEMORY, DEVICE. */
SBV_API int sbv_send(sbv_session *session, const sbv_frame *frame);

/* Says whether sbv_receive would return a frame: SBV_OK (with its tag in *tag unless tag is NULL), SBV_AGAIN or
 * SBV_END. For callers that allocate the output only when there is one. */
SBV_API int sbv_ready(const sbv_session *session, int64_t *tag);

/* Restores the next frame into out->data and sets out->tag. SBV_OK, SBV_AGAIN, SBV_END. Errors: ARGUMENT (as sbv_send;
 * the frame can be asked for again), MEMORY, DEVICE. */
SBV_API int sbv_receive(sbv_session *session, sbv_frame *out);

/* Estimates the blur kernel of the window of the frame that sbv_receive would return next: kernel_size * kernel_size
 * values into blur, row by row, that sum to 1, of the picture where the model makes it (sbv_phase). SBV_OK or
 * SBV_AGAIN, SBV_END as sbv_ready. Errors: ARGUMENT (the model has no kernel network), MEMORY, DEVICE. Costs about as
 * much as 2 % of the published network. Its memory is planned where an option of sbv_config has kernels estimated; else
 * MEMORY where max_memory has no room for it, and the session can be used on. */
SBV_API int sbv_estimate_kernel(sbv_session *session, float *blur);

/* The blur kernel in use for the frame that sbv_receive returned last, given or estimated: *side rows of *side values
 * that sum to 1. NULL where there is none: none was given, and none asked for or no frame returned yet. Valid until the
 * next call with this session.
 *
 * It is anchored on the top-left pixel of a block: with D for blur and reduction and h = side / 2, D(out)(x, y) = sum
 * over i, j of blur[i * side + j] * out(scale * x + j - h, scale * y + i - h), the picture continued by its edge.
 * Where input samples sit in the middle of their blocks, its center of mass is (scale - 1) / 2 pixels right of and
 * below its middle entry. */
SBV_API const float *sbv_kernel(const sbv_session *session, int *side);

/* Whether that kernel was estimated for that very frame: nonzero for the first frame that it serves, 0 for those after
 * it and where there is none. Of a given kernel the first frame sent after sbv_describe or sbv_flush is the one. */
SBV_API int sbv_kernel_is_new(const sbv_session *session);

/* With sbv_config.cycle: how well the frame that sbv_receive returned last explains the input: PSNR in dB, peak 1, of
 * the input frame against D of the output, over all pixels of R, G and B. The input is R, G, B as the network sees it,
 * the output is clamped to [0, 1] and not rounded yet. 100 at most, which stands for infinity too; NAN where there is
 * no such frame, or where values in it are not numbers, as weights beyond all measure make them. */
SBV_API double sbv_cycle_psnr(const sbv_session *session);

/* What a blur kernel looks like, in pixels of the output, x to the right, y down. */
typedef struct sbv_moments {
    double center_x, center_y; /* center of mass, from the middle entry */
    double sigma_x, sigma_y;   /* standard deviations along the principal axes: the one that lies closer to the
                                  horizontal, and the one across it */
    double angle;              /* of the first of these axes, degrees from right towards down, -45 to 45; 0
                                  where the two sigmas are the same */
} sbv_moments;

/* The moments of a kernel of side * side values, side odd, 1 to SBV_BLUR_SIDE_MAX. A variance that comes out negative,
 * as it can where values are negative, counts as 0. Errors: ARGUMENT (the side; values that are not finite or whose sum
 * is not positive), with no message. */
SBV_API int sbv_kernel_moments(const float *blur, int side, sbv_moments *moments);

/* The blur kernel of a scaler, one of SBV_SCALERS, that reduces by `scale`, 2 or more, as FFmpeg's and most others do:
 * its weights are stretched by `scale`. `place` is where samples sit, right of and below the top left pixel of their
 * block, 0 up to scale (sbv_model_info.place). *side rows of *side values that sum to 1 into blur, which must have
 * room for SBV_BLUR_SIDE_MAX * SBV_BLUR_SIDE_MAX. Errors: ARGUMENT (an unknown name, a kernel that would be larger),
 * with no message. */
SBV_API int sbv_scaler_kernel(const char *name, int scale, double place, float *blur, int *side);

/* ---- Files of blur kernels ---- */

/* Reads a blur kernel from a file: *side rows of *side values, as they stand, into blur, which must have room for
 * SBV_BLUR_SIDE_MAX * SBV_BLUR_SIDE_MAX. The file is a .npy file of little-endian float32 or float64 of shape
 * (rows, columns), or (kernels, rows, columns), of which the first is read; or text, a row a line, numbers separated by
 * blanks, tabs, commas or semicolons, remarks from # to the end of a line. Numbers have
 * points in every locale. Errors: FILE, MEMORY (message to log). */
SBV_API int sbv_read_kernel(const char *path, float *blur, int *side, sbv_log_fn *log, void *log_opaque);

/* A .npy file of float32 of shape (kernels, size, size) that is written kernel by kernel. After every call it is whole,
 * so that it can be read whenever the program ends. It is written in place: a regular file. */
typedef struct sbv_kernel_writer sbv_kernel_writer;

/* Creates the file, or empties it. size: 1 to SBV_BLUR_SIDE_MAX. On failure *writer is NULL. Messages go to log.
 * Errors: ARGUMENT, FILE, MEMORY. */
SBV_API int sbv_kernel_writer_open(sbv_kernel_writer **writer, const char *path, int size, sbv_log_fn *log,
                                   void *log_opaque);

/* Opens the file that an earlier writer of the same size has left, to add to it, and says so at SBV_LOG_INFO. Errors:
 * ARGUMENT, FILE (there is no such file, or it is another), MEMORY. */
SBV_API int sbv_kernel_writer_append(sbv_kernel_writer **writer, const char *path, int size, sbv_log_fn *log,
                                     void *log_opaque);

/* Adds a kernel of size * size values. Errors: FILE (no space left, say). */
SBV_API int sbv_kernel_writer_add(sbv_kernel_writer *writer, const float *blur);

/* Closes the file and sets *writer to NULL; does nothing where it is NULL. Errors: FILE. */
SBV_API int sbv_kernel_writer_close(sbv_kernel_writer **writer);

/* ---- The rest ---- */

/* Forgets the frames held and the end of the stream, after a seek say. The model and the description stay. */
SBV_API void sbv_flush(sbv_session *session);

/* The message of the last error of this session, "" if there was none. */
SBV_API const char *sbv_last_error(const sbv_session *session);

/* Closes the session and sets *session to NULL; does nothing where it is NULL. */
SBV_API void sbv_close(sbv_session **session);

/* Version of the library in use, "major.minor.patch". */
SBV_API const char *sbv_version(void);

#ifdef __cplusplus
}
#endif
#endif /* SELFBLINDVSR_H */
