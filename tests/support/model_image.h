/*
 * Model files in memory, whole or damaged, and what opening them says. For tests.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_MODEL_IMAGE_H
#define SBV_TESTS_MODEL_IMAGE_H

#include <stddef.h>

typedef struct image {
    size_t header, size; /* bytes of the header, and of all */
    char data[1 << 18];  /* the length field is filled in when the file is written */
} image;

typedef struct image_messages {
    int count;
    char last[1024];
} image_messages;

/* Where the file of the test is, in a folder that is there from image_make_folder to image_remove_folder. */
extern char image_path[];
int image_make_folder(void **unused);
int image_remove_folder(void **unused);

/* A file of this header with `size` bytes behind it, zeros where data is NULL. */
void image_make(image *f, const char *header, const void *data, size_t size);

/* A small valid model of 2 features, 1 + 1 blocks, 3 frames, scale 2, 2 pyramid levels and a 3x3 kernel. */
void image_make_model(image *f);

/* Replaces `count` bytes at `at`, in the header, by text; the first occurrence of a text in the header by another. */
void image_splice(image *f, size_t at, size_t count, const char *text);
void image_replace(image *f, const char *from, const char *to);

/* Adds a tensor of one value at the end. */
void image_append(image *f, const char *name);

void image_write(const image *f);
void image_write_file(const char *header, const void *data, size_t size);
void image_write_bytes(const void *data, size_t size);

/* Opens a session with the file; opens the file as tensors and reads them all. Both return the status, and fail the
 * test unless an error comes with one printable line and success with none. */
int image_open_model(image_messages *m);
int image_open_tensors(image_messages *m);

/* Fails the test unless the status is `code` and the message has the words in it. */
void image_expect(int ret, const image_messages *m, int code, const char *words);

/* The last test of a program. */
void image_test_no_file_is_left_open(void **unused);

#endif /* SBV_TESTS_MODEL_IMAGE_H */
