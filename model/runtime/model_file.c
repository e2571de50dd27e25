/*
 * Reader of model files: see model_file.h. The JSON is parsed by Jansson; everything it says is checked before use.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _POSIX_C_SOURCE 200809L
#include "model/runtime/model_file.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/os.h"

static const struct {
    const char *name;
    int bytes;
} dtypes[] = {
    [SBV_F32] = {"F32", 4},
    [SBV_F16] = {"F16", 2},
    [SBV_BF16] = {"BF16", 2},
};

static int read_exactly(const sbv_weights *w, void *to, size_t size)
{
    if (fread(to, 1, size, w->file) == size)
        return SBV_OK;
    if (ferror(w->file))
        return sbv_fail(w->report, SBV_ERROR_FILE, "model file '%s': read error: %s", w->path, strerror(errno));
    return sbv_fail(w->report, SBV_ERROR_MODEL, "model file '%s': truncated", w->path);
}

static int open_file(sbv_weights *w, uint64_t *size)
{
    const int ret = sbv_os_open(w->path, &w->file, size);
    if (ret < 0)
        return sbv_fail(w->report, SBV_ERROR_FILE, "cannot open model file '%s': %s", w->path, strerror(errno));
    if (ret == SBV_OS_IRREGULAR)
        return sbv_fail(w->report, SBV_ERROR_FILE, "model file '%s': not a regular file", w->path);
    return SBV_OK;
}

/* What people give for a model, by how it begins, and what is to be done about it. */
static const struct {
    const char *begins; /* letters in lower case stand for upper case too */
    size_t length;
    const char *what;
} others[] = {
    {"pk\3\4", 4, "a ZIP archive, as PyTorch writes checkpoints: convert it, model/tools/convert.py FILE -o MODEL.bin"},
    {"\x80", 1, "a pickle, as old checkpoints of PyTorch are: convert it, model/tools/convert.py FILE -o MODEL.bin"},
    {"<!doctype html", 14, "an HTML page: download the file that the page shows, not the page"},
    {"<html", 5, "an HTML page: download the file that the page shows, not the page"},
    {"version https://git-lfs", 23, "a Git LFS pointer: fetch what it points to, git lfs pull"},
    {"\xfd"
     "7zxz",
     5, "compressed by xz: unpack it"},
};

static int begins_with(const char *text, size_t size, const char *begins, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (i >= size || (text[i] >= 'A' && text[i] <= 'Z' ? text[i] - 'A' + 'a' : text[i]) != begins[i])
            return 0;
    return 1;
}

/* A length of the header that no model has: says what the file is instead, if that can be told. */
static int refuse_length(sbv_weights *w, const unsigned char *field, unsigned long long size)
{
    char text[65] = {0};
    memcpy(text, field, 8);
    const size_t read = 8 + fread(text + 8, 1, sizeof(text) - 9, w->file);
    const size_t space = begins_with(text, read, "\xef\xbb\xbf", 3) ? 3 : strspn(text, " \t\r\n");
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (begins_with(text + space, read - space, others[i].begins, others[i].length))
            return sbv_fail(w->report, SBV_ERROR_MODEL, "model file '%s': not a safetensors file but %s", w->path,
                            others[i].what);
    return sbv_fail(w->report, SBV_ERROR_MODEL,
                    "model file '%s': not a safetensors file: header of %llu bytes, the limit is %d", w->path, size,
                    SBV_WEIGHTS_MAX_HEADER);
}

/* Reads the length field and the header behind it; *header is allocated. */
static int read_header(sbv_weights *w, uint64_t file_size, char **header, size_t *header_size)
{
    unsigned char field[8];
    uint64_t size = 0;
    int ret;
    if (file_size < sizeof(field))
        return sbv_fail(w->report, SBV_ERROR_MODEL,
                        "model file '%s': not a safetensors file: %llu bytes, the length field alone has 8", w->path,
                        (unsigned long long)file_size);
    if ((ret = read_exactly(w, field, sizeof(field))) < 0)
        return ret;
    for (int i = 7; i >= 0; i--)
        size = size << 8 | field[i];
    if (size > SBV_WEIGHTS_MAX_HEADER)
        return refuse_length(w, field, (unsigned long long)size);
    if (size > file_size - sizeof(field))
        return sbv_fail(w->report, SBV_ERROR_MODEL,
                        "model file '%s': truncated: header of %llu bytes, %llu bytes follow", w->path,
                        (unsigned long long)size, (unsigned long long)(file_size - sizeof(field)));
    *header = malloc(size + 1);
    if (!*header)
        return sbv_fail(w->report, SBV_ERROR_MEMORY, "out of memory: %llu bytes for the header of '%s'",
                        (unsigned long long)size, w->path);
    *header_size = (size_t)size;
    w->data_offset = sizeof(field) + size;
    return read_exactly(w, *header, (size_t)size);
}

static char *metadata_string(const json_t *metadata, const char *key)
{
    const char *value = json_string_value(json_object_get(metadata, key));
    char *text = strdup(value ? value : "");
    if (text)
        sbv_make_printable(text);
    return text;
}

static int read_metadata(sbv_weights *w, const json_t *metadata)
{
    const char *key;
    json_t *value;
    if (metadata && !json_is_object(metadata))
        return sbv_fail(w->report, SBV_ERROR_MODEL, "model file '%s': __metadata__ is not an object", w->path);
    json_object_foreach ((json_t *)metadata, key, value)
        if (!json_is_string(value))
            return sbv_fail(w->report, SBV_ERROR_MODEL, "model file '%s': metadata '%s' is not a string", w->path, key);
    w->name = metadata_string(metadata, "name");
    w->licence = metadata_string(metadata, "licence");
    w->phase = metadata_string(metadata, "phase");
    if (!w->name || !w->licence || !w->phase)
        return sbv_fail(w->report, SBV_ERROR_MEMORY, "out of memory: metadata of '%s'", w->path);
    return SBV_OK;
}

static int parse_dtype(sbv_weights *w, sbv_tensor *t, const json_t *value)
{
    const char *name = json_string_value(value);
    for (size_t i = 0; name && i < sizeof(dtypes) / sizeof(dtypes[0]); i++)
        if (!strcmp(name, dtypes[i].name)) {
            t->dtype = (enum sbv_dtype)i;
            return SBV_OK;
        }
    return sbv_fail(w->report, SBV_ERROR_MODEL, "model file '%s': tensor '%s': dtype '%s', known are F32, F16, BF16",
                    w->path, t->name, name ? name : "(none)");
}

static int parse_shape(sbv_weights *w, sbv_tensor *t, const json_t *value)
{
    size_t dims = json_array_size(value);
    if (!json_is_array(value) || dims < 1 || dims > SBV_WEIGHTS_MAX_DIMS)
        return sbv_fail(w->report, SBV_ERROR_MODEL,
                        "model file '%s': tensor '%s': shape is not a list of 1 to %d sizes", w->path, t->name,
                        SBV_WEIGHTS_MAX_DIMS);
    t->dims = (int)dims;
    t->count = 1;
    for (int i = 0; i < t->dims; i++) {
        const json_t *size = json_array_get(value, (size_t)i);
        t->shape[i] = json_integer_value(size);
        if (!json_is_integer(size) || t->shape[i] < 1)
            return sbv_fail(w->report, SBV_ERROR_MODEL,
                            "model file '%s': tensor '%s': size %d is not a positive integer", w->path, t->name, i);
        if (__builtin_mul_overflow(t->count, t->shape[i], &t->count) || t->count > INT64_MAX / 4)
            return sbv_fail(w->report, SBV_ERROR_MODEL,
                            "model file '%s': tensor '%s': the product of its sizes overflows", w->path, t->name);
    }
    return SBV_OK;
}

static int parse_offsets(sbv_weights *w, sbv_tensor *t, const json_t *value)
{
    const json_t *begin = json_array_get(value, 0), *end = json_array_get(value, 1);
    if (json_array_size(value) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
        return sbv_fail(w->report, SBV_ERROR_MODEL,
                        "model file '%s': tensor '%s': data_offsets is not a range of bytes", w->path, t->name);
    t->begin = (uint64_t)json_integer_value(begin);
    t->end = (uint64_t)json_integer_value(end);
    if (t->end - t->begin != (uint64_t)t->count * (uint64_t)dtypes[t->dtype].bytes)
        return sbv_fail(w->report, SBV_ERROR_MODEL,
                        "model file '%s': tensor '%s': %llu bytes of data, its shape and dtype need %llu", w->path,
                        t->name, (unsigned long long)(t->end - t->begin),
                        (unsigned long long)t->count * (unsigned long long)dtypes[t->dtype].bytes);
    return SBV_OK;
}

static int parse_tensor(sbv_weights *w, const char *name, const json_t *value)
{
    sbv_tensor *t = &w->tensor[w->tensors];
    int ret;
    if (!json_is_object(value))
        return sbv_fail(w->report, SBV_ERROR_MODEL, "model file '%s': tensor '%s' is not described by an object",
                        w->path, name);
    t->name = strdup(name);
    if (!t->name)
        return sbv_fail(w->report, SBV_ERROR_MEMORY, "out of memory: tensor names of '%s'", w->path);
    w->tensors++;
    if ((ret = parse_dtype(w, t, json_object_get(value, "dtype"))) < 0 ||
        (ret = parse_shape(w, t, json_object_get(value, "shape"))) < 0)
        return ret;
    return parse_offsets(w, t, json_object_get(value, "data_offsets"));
}

static int by_offset(const void *a, const void *b)
{
    const sbv_tensor *s = a, *t = b;
    return (s->begin > t->begin) - (s->begin < t->begin);
}

/* The tensors must cover what follows the header exactly. */
static int check_coverage(sbv_weights *w, uint64_t data_size)
{
    uint64_t at = 0;
    qsort(w->tensor, (size_t)w->tensors, sizeof(*w->tensor), by_offset);
    for (int i = 0; i < w->tensors; i++) {
        const sbv_tensor *t = &w->tensor[i];
        if (t->begin != at)
            return sbv_fail(w->report, SBV_ERROR_MODEL,
                            "model file '%s': tensor '%s' begins at byte %llu, the one before it ends at %llu", w->path,
                            t->name, (unsigned long long)t->begin, (unsigned long long)at);
        at = t->end;
    }
    if (at > data_size)
        return sbv_fail(w->report, SBV_ERROR_MODEL,
                        "model file '%s': truncated: %llu bytes of tensors, %llu in the file", w->path,
                        (unsigned long long)at, (unsigned long long)data_size);
    if (at < data_size)
        return sbv_fail(w->report, SBV_ERROR_MODEL, "model file '%s': %llu bytes behind the last tensor", w->path,
                        (unsigned long long)(data_size - at));
    return SBV_OK;
}

/* *root has to be released. Where memory is out Jansson may leave a byte of a token out without a word, which shows
 * beside the same text read again. */
static int parse_json(const sbv_weights *w, const char *text, size_t size, json_t **root)
{
    json_error_t error;
    *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    json_t *again = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    const int equal = *root && again ? json_equal(*root, again) : *root == again;
    json_decref(again);
    if (!equal || (!*root && !error.text[0]))
        return sbv_fail(w->report, SBV_ERROR_MEMORY, "out of memory: header of '%s'", w->path);
    if (!json_is_object(*root))
        return sbv_fail(w->report, SBV_ERROR_MODEL, "model file '%s': not a safetensors file: header: %s", w->path,
                        *root ? "not a JSON object" : error.text);
    return SBV_OK;
}

static int parse_tensors(sbv_weights *w, json_t *root)
{
    const char *key;
    json_t *value;
    int ret = read_metadata(w, json_object_get(root, "__metadata__"));
    if (ret < 0)
        return ret;
    json_object_del(root, "__metadata__");
    if (json_object_size(root) > SBV_WEIGHTS_MAX_TENSORS)
        return sbv_fail(w->report, SBV_ERROR_MODEL, "model file '%s': %zu tensors, the limit is %d", w->path,
                        json_object_size(root), SBV_WEIGHTS_MAX_TENSORS);
    if (!(w->tensor = calloc(json_object_size(root) + 1, sizeof(*w->tensor))))
        return sbv_fail(w->report, SBV_ERROR_MEMORY, "out of memory: tensors of '%s'", w->path);
    json_object_foreach (root, key, value)
        if ((ret = parse_tensor(w, key, value)) < 0)
            return ret;
    return SBV_OK;
}

static int parse_header(sbv_weights *w, const char *header, size_t size, uint64_t data_size)
{
    json_t *root;
    int ret = parse_json(w, header, size, &root);
    if (ret >= 0)
        ret = parse_tensors(w, root);
    json_decref(root);
    return ret < 0 ? ret : check_coverage(w, data_size);
}

int sbv_weights_open(sbv_weights *weights, const char *path, sbv_report *report)
{
    char *header = NULL;
    size_t header_size = 0;
    uint64_t file_size = 0;
    int ret;
    memset(weights, 0, sizeof(*weights));
    weights->path = path;
    weights->report = report;
    if ((ret = open_file(weights, &file_size)) >= 0 &&
        (ret = read_header(weights, file_size, &header, &header_size)) >= 0)
        ret = parse_header(weights, header, header_size, file_size - weights->data_offset);
    free(header);
    if (ret < 0)
        sbv_weights_close(weights);
    return ret;
}

sbv_tensor *sbv_weights_find(const sbv_weights *weights, const char *name)
{
    for (int i = 0; i < weights->tensors; i++)
        if (!strcmp(weights->tensor[i].name, name))
            return &weights->tensor[i];
    return NULL;
}

static float float_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* IEEE 754 binary16 to binary32. */
static float float_from_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, mantissa = half & 1023;
    if (exponent == 31)
        return float_from_bits(sign | 0x7f800000 | mantissa << 13);
    if (exponent == 0)
        return (sign ? -1.0f : 1.0f) * (float)mantissa * 0x1p-24f;
    return float_from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

/* One stored value; the file is little endian whatever the machine is. */
static float decode(const unsigned char *p, enum sbv_dtype dtype)
{
    uint32_t low = (uint32_t)p[0] | (uint32_t)p[1] << 8;
    if (dtype == SBV_F16)
        return float_from_half((uint16_t)low);
    if (dtype == SBV_BF16)
        return float_from_bits(low << 16);
    return float_from_bits(low | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
}

int sbv_weights_read(const sbv_weights *weights, const sbv_tensor *tensor, float *out)
{
    unsigned char chunk[16384];
    const int bytes = dtypes[tensor->dtype].bytes;
    int ret;
    if (sbv_os_seek(weights->file, weights->data_offset + (uint64_t)tensor->begin) < 0)
        return sbv_fail(weights->report, SBV_ERROR_FILE, "model file '%s': seek error: %s", weights->path,
                        strerror(errno));
    for (int64_t done = 0; done < tensor->count;) {
        int64_t n = tensor->count - done, room = (int64_t)sizeof(chunk) / bytes;
        n = n < room ? n : room;
        if ((ret = read_exactly(weights, chunk, (size_t)(n * bytes))) < 0)
            return ret;
        for (int64_t i = 0; i < n; i++, done++) {
            out[done] = decode(chunk + i * bytes, tensor->dtype);
            if (!isfinite(out[done]))
                return sbv_fail(weights->report, SBV_ERROR_MODEL,
                                "model file '%s': tensor '%s': value %lld is not a finite number", weights->path,
                                tensor->name, (long long)done);
        }
    }
    return SBV_OK;
}

void sbv_tensor_shape(const sbv_tensor *tensor, char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (int i = 0; i < tensor->dims && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%lld", i ? "x" : "", (long long)tensor->shape[i]);
}

void sbv_weights_close(sbv_weights *weights)
{
    for (int i = 0; i < weights->tensors; i++)
        free(weights->tensor[i].name);
    free(weights->tensor);
    free(weights->name);
    free(weights->licence);
    free(weights->phase);
    if (weights->file)
        fclose(weights->file);
    memset(weights, 0, sizeof(*weights));
}
