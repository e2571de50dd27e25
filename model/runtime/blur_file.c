/*
 * Files of blur kernels: one kernel read from a .npy file or from text, the kernels of a stream written to a .npy file.
 *
 * The .npy format is that of numpy.lib.format: "\x93NUMPY", a version, the length of a header, the header (a Python
 * dictionary as text: type, order, shape), the values. What is read is one of versions 1 to 3; what is written, 1.0.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/runtime/log.h"
#include "kernels/os.h"

#define MAGIC       "\x93NUMPY"
#define MAGIC_SIZE  6
#define HEADER_READ 4096 /* bytes; NumPy writes about 100 for a plain array */
#define LINE_READ   4096 /* bytes of a line of text */
#define LINES_READ  4096 /* 63 rows, and remarks */
#define WRITTEN     128  /* bytes before the values in a file of ours, a multiple of 64 as NumPy has it */

/* ---- Reading ---- */

struct reader {
    const char *path;
    FILE *file;
    sbv_report *report;
};

SBV_PRINTF(2, 3) static int refuse(const struct reader *r, const char *format, ...)
{
    char what[512];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    return sbv_fail(r->report, SBV_ERROR_FILE, "kernel file '%s': %s", r->path, what);
}

/* There is less to read than there should be. */
static int refuse_end(const struct reader *r)
{
    return refuse(r, "%s", ferror(r->file) ? strerror(errno) : "truncated");
}

/* What the header of a .npy file says. */
struct npy {
    int bytes; /* of a value */
    int fortran;
    int dims;
    int64_t shape[3];
    uint64_t data; /* offset of the values */
};

static int read_header(const struct reader *r, struct npy *npy, char header[HEADER_READ + 1])
{
    unsigned char start[MAGIC_SIZE + 6];
    const size_t got = fread(start, 1, sizeof(start), r->file);
    const int fields = got > MAGIC_SIZE && start[MAGIC_SIZE] == 1 ? 2 : 4; /* bytes of the header's length */
    size_t length = 0;
    if (got < sizeof(start))
        return refuse_end(r);
    if (start[MAGIC_SIZE] < 1 || start[MAGIC_SIZE] > 3)
        return refuse(r, ".npy version %d, 1 to 3 are known", start[MAGIC_SIZE]);
    for (int i = fields - 1; i >= 0; i--)
        length = length << 8 | start[MAGIC_SIZE + 2 + i];
    if (length > HEADER_READ)
        return refuse(r, "header of %zu bytes, the limit is %d", length, HEADER_READ);
    npy->data = (uint64_t)(MAGIC_SIZE + 2 + fields) + length;
    if (sbv_os_seek(r->file, npy->data - length) < 0 || fread(header, 1, length, r->file) != length)
        return refuse_end(r);
    header[length] = 0;
    return SBV_OK;
}

/* The text behind a key of the dictionary, without blanks before it; "" if the key is not there. */
static const char *value_of(const char *header, const char *key)
{
    const char *at = strstr(header, key);
    at = at ? at + strlen(key) : header + strlen(header);
    return at + strspn(at, " ");
}

static int parse_shape(const struct reader *r, struct npy *npy, const char *text)
{
    const char *at = text + (*text == '(');
    at += strspn(at, " ");
    for (npy->dims = 0; npy->dims < 3 && *at >= '0' && *at <= '9'; npy->dims++) {
        char *end;
        npy->shape[npy->dims] = strtoll(at, &end, 10);
        at = end + strspn(end, "L, ");
    }
    if (*text != '(' || *at != ')' || npy->dims < 2)
        return refuse(r, "shape %.*s: expected (rows, columns) or (kernels, rows, columns)",
                      (int)strcspn(text, ")") + 1, text);
    return SBV_OK;
}

static int parse_header(const struct reader *r, struct npy *npy, const char *header)
{
    const char *type = value_of(header, "'descr':"), *order = value_of(header, "'fortran_order':");
    npy->bytes = !strncmp(type, "'<f4'", 5) ? 4 : !strncmp(type, "'<f8'", 5) ? 8 : 0;
    npy->fortran = !strncmp(order, "True", 4);
    if (!npy->bytes)
        return refuse(r, "values of type %.*s: expected '<f4' or '<f8'", (int)strcspn(type, ",}"), type);
    if (!npy->fortran && strncmp(order, "False", 5))
        return refuse(r, "fortran_order %.*s: expected True or False", (int)strcspn(order, ",}"), order);
    return parse_shape(r, npy, value_of(header, "'shape':"));
}

/* A stored value; the file is little endian whatever the machine is. */
static int read_value(const struct reader *r, const struct npy *npy, int64_t place, float *value)
{
    unsigned char stored[8];
    uint64_t bits = 0;
    uint32_t low;
    double wide;
    if (sbv_os_seek(r->file, npy->data + (uint64_t)place * (uint64_t)npy->bytes) < 0 ||
        fread(stored, (size_t)npy->bytes, 1, r->file) != 1)
        return refuse_end(r);
    for (int i = npy->bytes - 1; i >= 0; i--)
        bits = bits << 8 | stored[i];
    low = (uint32_t)bits;
    memcpy(&wide, &bits, sizeof(wide));
    memcpy(value, &low, sizeof(*value));
    if (npy->bytes == 8)
        *value = (float)wide;
    return SBV_OK;
}

/* The first kernel of a .npy file, value by value: in Fortran order those of one kernel lie apart. */
static int read_npy(const struct reader *r, float *blur, int *rows, int *columns)
{
    char header[HEADER_READ + 1];
    struct npy npy;
    int ret;
    if ((ret = read_header(r, &npy, header)) < 0 || (ret = parse_header(r, &npy, header)) < 0)
        return ret;
    const int64_t *shape = npy.shape + npy.dims - 2, blurs = npy.dims == 3 ? npy.shape[0] : 1;
    if (blurs < 1 || blurs > INT_MAX || shape[0] < 1 || shape[1] < 1 || shape[0] > SBV_BLUR_SIDE_MAX ||
        shape[1] > SBV_BLUR_SIDE_MAX)
        return refuse(r, "%" PRId64 " kernels of %" PRId64 "x%" PRId64 ": at least 1 and sides of 1 to %d are needed",
                      blurs, shape[0], shape[1], SBV_BLUR_SIDE_MAX);
    *rows = (int)shape[0];
    *columns = (int)shape[1];
    for (int64_t i = 0; i < shape[0] * shape[1]; i++) {
        const int64_t y = i / shape[1], x = i % shape[1];
        if ((ret = read_value(r, &npy, npy.fortran ? blurs * (y + shape[0] * x) : i, &blur[i])) < 0)
            return ret;
    }
    return SBV_OK;
}

/* Adds the numbers of a line of text to the kernel. *columns is 0 before the first row. */
static int read_row(const struct reader *r, char *line, int number, float *blur, int *rows, int *columns)
{
    static const char blanks[] = " \t\r\n,;";
    const int most = *columns ? *columns : SBV_BLUR_SIDE_MAX;
    int count = 0, length;
    for (char *word = line + strspn(line, blanks); *word; word += length + strspn(word + length, blanks)) {
        char *end;
        length = (int)strcspn(word, blanks);
        if (count == most || *rows == SBV_BLUR_SIDE_MAX)
            return refuse(r, "line %d: more than %d %s", number, count == most ? most : SBV_BLUR_SIDE_MAX,
                          count == most ? "columns" : "rows");
        blur[*rows * *columns + count++] = sbv_os_strtof(word, &end);
        if (end != word + length)
            return refuse(r, "line %d: '%.*s' is not a number", number, length < 40 ? length : 40, word);
    }
    if (count && *columns && count != *columns)
        return refuse(r, "line %d: %d columns, the rows before it have %d", number, count, *columns);
    *columns = count ? count : *columns;
    *rows += count > 0;
    return SBV_OK;
}

/* Whether a message may quote this. */
static int is_plain(const char *text)
{
    while (*text == '\t' || *text == '\r' || *text == '\n' || (*text >= ' ' && *text <= '~'))
        text++;
    return !*text;
}

/* The next line without its end, or as much of it as there is room for. Returns its length, -1 where there is none. */
static int read_line(FILE *file, char line[LINE_READ])
{
    int length = 0, c = EOF;
    while (length < LINE_READ - 1 && (c = getc(file)) != EOF && c != '\n')
        line[length++] = (char)c;
    line[length] = 0;
    return length || c == '\n' ? length : -1;
}

/* Rows of numbers; what follows a # is a remark. */
static int read_text(const struct reader *r, float *blur, int *rows, int *columns)
{
    char line[LINE_READ];
    int ret, length;
    *rows = *columns = 0;
    for (int number = 1; (length = read_line(r->file, line)) >= 0; number++) {
        const int binary = strlen(line) < (size_t)length;
        line[strcspn(line, "#")] = 0;
        if (binary || !is_plain(line))
            return refuse(r, "line %d: neither .npy nor rows of numbers", number);
        if (length == LINE_READ - 1)
            return refuse(r, "line %d: longer than %d bytes", number, LINE_READ - 2);
        if (number > LINES_READ)
            return refuse(r, "more than %d lines", LINES_READ);
        if ((ret = read_row(r, line, number, blur, rows, columns)) < 0)
            return ret;
    }
    if (ferror(r->file))
        return refuse_end(r);
    return *rows ? SBV_OK : refuse(r, "nothing in it");
}

static int read_either(const struct reader *r, float *blur, int *side)
{
    char magic[MAGIC_SIZE];
    const int npy = fread(magic, sizeof(magic), 1, r->file) == 1 && !memcmp(magic, MAGIC, sizeof(magic));
    int rows = 0, columns = 0, ret;
    rewind(r->file);
    ret = npy ? read_npy(r, blur, &rows, &columns) : read_text(r, blur, &rows, &columns);
    if (ret >= 0 && rows != columns)
        return refuse(r, "%d rows of %d values: a kernel is square", rows, columns);
    *side = rows;
    return ret;
}

int sbv_read_kernel(const char *path, float *blur, int *side, sbv_log_fn *log, void *log_opaque)
{
    sbv_report report = {.log = log, .opaque = log_opaque};
    struct reader r = {.path = path, .report = &report};
    uint64_t size;
    int ret = sbv_os_open(path, &r.file, &size);
    if (ret < 0)
        return refuse(&r, "%s", strerror(errno));
    if (ret == SBV_OS_IRREGULAR)
        return refuse(&r, "not a regular file");
    ret = read_either(&r, blur, side);
    fclose(r.file);
    return ret;
}

/* ---- Writing ---- */

struct sbv_kernel_writer {
    sbv_report report;
    int fd, size;
    int64_t blurs;
    char path[]; /* for messages */
};

static int fail_to_write(sbv_kernel_writer *w)
{
    return sbv_fail(&w->report, SBV_ERROR_FILE, "kernel file '%s': cannot be written after %" PRId64 " kernels: %s",
                    w->path, w->blurs, strerror(errno));
}

static int write_at(sbv_kernel_writer *w, const void *data, size_t size, uint64_t place)
{
    return sbv_os_write_at(w->fd, data, size, place) < 0 ? fail_to_write(w) : SBV_OK;
}

/* The header, of one length whatever the number of kernels is. */
static void make_header(const sbv_kernel_writer *w, unsigned char header[WRITTEN])
{
    const int start = MAGIC_SIZE + 4, length = WRITTEN - start;
    char text[WRITTEN];
    snprintf(text, sizeof(text), "{'descr': '<f4', 'fortran_order': False, 'shape': (%10" PRId64 ", %d, %d), }",
             w->blurs, w->size, w->size);
    memcpy(header, MAGIC "\1\0", MAGIC_SIZE + 2);
    header[MAGIC_SIZE + 2] = length;
    header[MAGIC_SIZE + 3] = 0;
    memset(header + start, ' ', (size_t)length);
    memcpy(header + start, text, strlen(text));
    header[WRITTEN - 1] = '\n';
}

static int write_header(sbv_kernel_writer *w)
{
    unsigned char header[WRITTEN];
    make_header(w, header);
    return write_at(w, header, sizeof(header), 0);
}

/* Sets w->kernels to what the file says, if it is one that a writer of kernels of this size left. */
static int read_written(sbv_kernel_writer *w)
{
    unsigned char found[WRITTEN], header[WRITTEN];
    char text[WRITTEN + 1] = "";
    const char *shape;
    uint64_t size;
    if (!sbv_os_read_at(w->fd, found, WRITTEN, 0) && !sbv_os_file_size(w->fd, &size)) {
        memcpy(text, found, WRITTEN);
        shape = strstr(text + MAGIC_SIZE + 4, "'shape': (");
        w->blurs = shape ? strtoll(shape + strlen("'shape': ("), NULL, 10) : -1;
        make_header(w, header);
        if (w->blurs >= 0 && !memcmp(found, header, WRITTEN) &&
            w->blurs <= ((int64_t)size - WRITTEN) / (w->size * w->size * (int64_t)sizeof(uint32_t)))
            return SBV_OK;
    }
    return sbv_fail(&w->report, SBV_ERROR_FILE,
                    "kernel file '%s': cannot go on: not one of kernels of %dx%d, written here", w->path, w->size,
                    w->size);
}

static int open_writer(sbv_kernel_writer **writer, const char *path, int size, int append, sbv_log_fn *log,
                       void *log_opaque)
{
    sbv_report report = {.log = log, .opaque = log_opaque};
    sbv_kernel_writer *w;
    int ret;
    *writer = NULL;
    if (size < 1 || size > SBV_BLUR_SIDE_MAX)
        return sbv_fail(&report, SBV_ERROR_ARGUMENT, "kernel file '%s': side %d: out of range 1 to %d", path, size,
                        SBV_BLUR_SIDE_MAX);
    if (!(w = calloc(1, sizeof(*w) + strlen(path) + 1)))
        return sbv_fail(&report, SBV_ERROR_MEMORY, "out of memory: kernel file");
    w->report = report;
    w->size = size;
    strcpy(w->path, path);
    w->fd = append ? sbv_os_open_for_update(path) : sbv_os_create(path);
    if (w->fd < 0)
        ret = sbv_fail(&w->report, SBV_ERROR_FILE, "kernel file '%s': cannot be %s: %s", path,
                       append ? "opened" : "created", strerror(errno));
    else
        ret = append ? read_written(w) : write_header(w);
    if (ret < 0) {
        sbv_kernel_writer_close(&w);
        return ret;
    }
    *writer = w;
    return SBV_OK;
}

int sbv_kernel_writer_open(sbv_kernel_writer **writer, const char *path, int size, sbv_log_fn *log, void *log_opaque)
{
    return open_writer(writer, path, size, 0, log, log_opaque);
}

int sbv_kernel_writer_append(sbv_kernel_writer **writer, const char *path, int size, sbv_log_fn *log, void *log_opaque)
{
    const int ret = open_writer(writer, path, size, 1, log, log_opaque);
    if (ret >= 0)
        sbv_say(&(*writer)->report, SBV_LOG_INFO, "kernel file '%s': goes on after %" PRId64 " kernels", path,
                (*writer)->blurs);
    return ret;
}

/* First the values, then the header that counts them: at no time does it promise what is not there. */
int sbv_kernel_writer_add(sbv_kernel_writer *writer, const float *blur)
{
    const size_t values = (size_t)(writer->size * writer->size);
    const uint64_t place = WRITTEN + (uint64_t)writer->blurs * values * sizeof(uint32_t);
    unsigned char stored[SBV_BLUR_SIDE_MAX * SBV_BLUR_SIDE_MAX * sizeof(uint32_t)];
    int ret;
    for (size_t i = 0; i < values; i++) {
        uint32_t bits;
        memcpy(&bits, &blur[i], sizeof(bits));
        for (size_t byte = 0; byte < sizeof(bits); byte++)
            stored[i * sizeof(bits) + byte] = (unsigned char)(bits >> 8 * byte);
    }
    if ((ret = write_at(writer, stored, values * sizeof(uint32_t), place)) < 0)
        return ret;
    writer->blurs++;
    return write_header(writer);
}

int sbv_kernel_writer_close(sbv_kernel_writer **writer)
{
    sbv_kernel_writer *w = *writer;
    int ret = SBV_OK;
    if (w && w->fd >= 0 && sbv_os_close(w->fd) < 0)
        ret = fail_to_write(w);
    free(w);
    *writer = NULL;
    return ret;
}
