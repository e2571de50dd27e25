/*
 * Model files in memory: see model_image.h.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _GNU_SOURCE
#include "model_image.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/runtime/model_file.h"
#include "tiny_model.h"

static char folder[] = "/tmp/sbv_test_model_XXXXXX";
char image_path[sizeof(folder) + 16];
static int files_before;

void image_make(image *f, const char *header, const void *data, size_t size)
{
    f->header = strlen(header);
    f->size = 8 + f->header + size;
    assert_true(f->size <= sizeof(f->data));
    memcpy(f->data + 8, header, f->header);
    if (data)
        memcpy(f->data + 8 + f->header, data, size);
    else
        memset(f->data + 8 + f->header, 0, size);
}

void image_write(const image *f)
{
    unsigned char length[8];
    FILE *out = fopen(image_path, "wb");
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)f->header >> 8 * i);
    assert_non_null(out);
    assert_int_equal(fwrite(length, 1, 8, out), 8);
    assert_int_equal(fwrite(f->data + 8, 1, f->size - 8, out), f->size - 8);
    assert_int_equal(fclose(out), 0);
}

void image_write_file(const char *header, const void *data, size_t size)
{
    static image f;
    image_make(&f, header, data, size);
    image_write(&f);
}

void image_write_bytes(const void *data, size_t size)
{
    FILE *out = fopen(image_path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(data, 1, size, out), size);
    assert_int_equal(fclose(out), 0);
}

void image_make_model(image *f)
{
    static const struct tiny tiny = {2, 3, 1, 1, 4, 2, 1, 3, 1, 2};
    FILE *in;
    tiny_write(image_path, &tiny);
    in = fopen(image_path, "rb");
    assert_non_null(in);
    f->size = fread(f->data, 1, sizeof(f->data), in);
    fclose(in);
    assert_in_range(f->size, 1000, sizeof(f->data) - 1);
    f->header = (size_t)(unsigned char)f->data[0] | (size_t)(unsigned char)f->data[1] << 8;
}

void image_splice(image *f, size_t at, size_t count, const char *text)
{
    const size_t length = strlen(text);
    assert_true(f->size - count + length <= sizeof(f->data));
    memmove(f->data + at + length, f->data + at + count, f->size - at - count);
    memcpy(f->data + at, text, length);
    f->header += length - count;
    f->size += length - count;
}

void image_replace(image *f, const char *from, const char *to)
{
    char *at = memmem(f->data + 8, f->header, from, strlen(from));
    assert_non_null(at);
    image_splice(f, (size_t)(at - f->data), strlen(from), to);
}

void image_append(image *f, const char *name)
{
    const size_t begin = f->size - 8 - f->header;
    char entry[256];
    snprintf(entry, sizeof(entry), "{\"%s\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[%zu,%zu]},", name, begin,
             begin + 4);
    image_splice(f, 8, 1, entry);
    memset(f->data + f->size, 0, 4);
    f->size += 4;
}

static void take_message(void *opaque, enum sbv_log_level level, const char *message)
{
    image_messages *m = opaque;
    if (level != SBV_LOG_ERROR)
        return;
    m->count++;
    snprintf(m->last, sizeof(m->last), "%s", message);
}

/* An error comes with one printable line, success with none. */
static void check_messages(int ret, const image_messages *m)
{
    assert_int_equal(m->count, ret < 0);
    for (const char *c = m->last; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            fail_msg("message with the byte %02x: %s", (unsigned char)*c, m->last);
}

int image_open_model(image_messages *m)
{
    sbv_session *session = NULL;
    sbv_config config;
    int ret;
    *m = (image_messages){0};
    sbv_config_default(&config);
    config.model_path = image_path;
    config.threads = 1;
    config.log = take_message;
    config.log_opaque = m;
    ret = sbv_open(&session, &config);
    assert_true((ret == SBV_OK) == (session != NULL));
    sbv_close(&session);
    check_messages(ret, m);
    return ret;
}

int image_open_tensors(image_messages *m)
{
    *m = (image_messages){0};
    sbv_report report = {.log = take_message, .opaque = m};
    sbv_weights weights;
    int ret = sbv_weights_open(&weights, image_path, &report), tensors = ret < 0 ? 0 : weights.tensors;
    for (int i = 0; i < tensors && ret >= 0; i++) {
        float *values = malloc((size_t)weights.tensor[i].count * sizeof(*values));
        assert_non_null(values);
        ret = sbv_weights_read(&weights, &weights.tensor[i], values);
        free(values);
    }
    sbv_weights_close(&weights);
    check_messages(ret, m);
    return ret;
}

void image_expect(int ret, const image_messages *m, int code, const char *words)
{
    if (ret != code || !strstr(m->last, words))
        fail_msg("status %d, expected %d; message '%s', expected '%s'", ret, code, m->last, words);
    assert_non_null(strstr(m->last, image_path));
}

static int open_files(void)
{
    int count = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        count++;
    if (d)
        closedir(d);
    return count;
}

int image_make_folder(void **unused)
{
    (void)unused;
    if (!mkdtemp(folder))
        return -1;
    snprintf(image_path, sizeof(image_path), "%s/model.bin", folder);
    files_before = open_files();
    return 0;
}

void image_test_no_file_is_left_open(void **unused)
{
    (void)unused;
    assert_true(files_before > 0);
    assert_int_equal(open_files(), files_before);
}

int image_remove_folder(void **unused)
{
    (void)unused;
    unlink(image_path);
    return rmdir(folder);
}
