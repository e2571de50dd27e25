/*
 * Fuzz target: model files, from the file to a few restored frames. The mutator changes the header as what it is, JSON,
 * and mostly lets offsets and data follow, so that files pass the reader and reach what stands behind it.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <jansson.h>

#include "fuzz.h"
#include "tests/support/tiny_model.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned choice = (unsigned)size;
    for (size_t at = size > 64 ? size - 64 : 0; at < size; at++)
        choice = choice * 31 + data[at];
    fuzz_session(fuzz_file(0, data, size), NULL, 0, choice);
    return 0;
}

static size_t make_model(uint8_t *data, size_t max_size)
{
    const struct tiny tiny = {.features = 1 + (int)fuzz_below(4),
                              .sequence = fuzz_below(4) ? 3 + 2 * (int)fuzz_below(3) : 1 + (int)fuzz_below(20),
                              .extra = (int)fuzz_below(3),
                              .recons = (int)fuzz_below(3),
                              .scale = 2 << fuzz_below(2),
                              .levels = 2 + (int)fuzz_below(3),
                              .width = 1,
                              .blur_side = fuzz_below(2) ? 1 + 2 * (int)fuzz_below(3) : 0,
                              .modulated = fuzz_below(2) ? 1 + (int)fuzz_below(3) : 0};
    const char *path = fuzz_file(1, "", 0);
    tiny_write_as(path, &tiny, 1, fuzz_below(2) ? "topleft" : "center");
    FILE *file = fopen(path, "rb");
    FUZZ_EXPECT(file != NULL);
    const size_t size = fread(data, 1, max_size, file);
    fclose(file);
    return size;
}

static const char *any_key(json_t *object)
{
    void *at = json_object_iter(object);
    for (size_t n = fuzz_below(json_object_size(object)); n; n--)
        at = json_object_iter_next(object, at);
    return json_object_iter_key(at);
}

static json_t *any_size(void)
{
    static const json_int_t sizes[] = {
        -1, 0, 1, 2, 3, 4, 6, 8, 9, 16, 63, 64, 1024, 1025, 15360, 1 << 30, 2147483648, INT64_MAX / 4, INT64_MAX};
    return json_integer(sizes[fuzz_below(COUNT(sizes))]);
}

/* Another name, or another text, made of this one. */
static json_t *any_name(const char *like)
{
    static const char *const letters[] = {"0", "1", "2", "3", "9", ".", "a", "\n", "\x1b", "\xc2\x9b"};
    char name[128];
    const size_t at = fuzz_below(strlen(like) + 1), digit = strcspn(like, "0123456789");
    const size_t end = like[digit] && fuzz_below(4) ? digit : at;
    snprintf(name, sizeof(name), "%.*s%s%s", (int)end, like, letters[fuzz_below(COUNT(letters))],
             like[end] ? like + end + 1 : "");
    return json_string(name);
}

/* One change to the header. Returns whether offsets and data should follow. */
static int change(json_t *header)
{
    static const char *const types[] = {"F32", "F16", "BF16", "F64"};
    json_t *one = json_object_get(header, any_key(header)), *shape = json_object_get(one, "shape"), *name;
    switch (fuzz_below(6)) {
    case 0:
        return (fuzz_below(4) ? json_array_set_new
                              : json_array_insert_new)(shape, fuzz_below(1 + json_array_size(shape)), any_size()) == 0;
    case 1:
        return json_object_set_new(one, "dtype", json_string(types[fuzz_below(COUNT(types))])) == 0;
    case 2:
        return json_object_del(header, any_key(header)) == 0;
    case 3:
        name = any_name(any_key(header));
        json_object_set_new(header, json_string_value(name), json_deep_copy(one));
        json_decref(name);
        return 1;
    case 4:
        json_array_set_new(json_object_get(one, "data_offsets"), fuzz_below(2), any_size());
        return 0;
    default:
        json_object_set_new(json_object_get(header, "__metadata__"), fuzz_below(2) ? "name" : "phase",
                            any_name("phase"));
        return 1;
    }
}

/* Offsets of tensors that lie one behind the other. Returns where they end; those that lead too far stay. */
static size_t lay_out(json_t *header)
{
    const char *key;
    json_t *tensor, *size;
    size_t at = 0, i;
    json_object_foreach (header, key, tensor) {
        const char *dtype = json_string_value(json_object_get(tensor, "dtype"));
        json_t *offsets = json_object_get(tensor, "data_offsets");
        double bytes = dtype && strcmp(dtype, "F32") ? 2 : 4;
        json_array_foreach(json_object_get(tensor, "shape"), i, size) bytes *= json_number_value(size);
        if (!offsets || bytes < 0 || bytes > (double)(FUZZ_SIZE - at))
            continue;
        json_array_set_new(offsets, 0, json_integer((json_int_t)at));
        json_array_set_new(offsets, 1, json_integer((json_int_t)(at += (size_t)bytes)));
    }
    return at;
}

/* The model with another header; what data it lacks then are small numbers, in each of the types. */
static size_t change_header(json_t *header, uint8_t *data, size_t begin, size_t size, size_t max_size)
{
    static uint8_t old[FUZZ_SIZE];
    int follow = fuzz_below(8) > 0;
    size_t behind = size - begin;
    memcpy(old, data + begin, behind);
    memset(old + behind, 0x2c, sizeof(old) - behind);
    for (size_t n = 1 + fuzz_below(2); n && json_object_size(header); n--)
        follow = change(header) && follow;
    behind = follow ? lay_out(header) : behind;
    const size_t room = max_size - 8, length = json_dumpb(header, (char *)data + 8, room, JSON_COMPACT);
    if (length > room)
        return 0;
    for (int i = 0; i < 8; i++)
        data[i] = (uint8_t)((uint64_t)length >> 8 * i);
    behind = behind < room - length ? behind : room - length;
    memcpy(data + 8 + length, old, behind);
    return 8 + length + behind;
}

/* Values that numbers go wrong with, a few or many. */
static void change_values(uint8_t *data, size_t size)
{
    static const float values[] = {3e38f, -3e38f, 1e19f, -1e30f, 1e-40f, 0, 1e9f, (float)INFINITY, (float)NAN};
    const float value = values[fuzz_below(COUNT(values) - (fuzz_below(8) ? 2 : 0))];
    const size_t first = fuzz_below(size / 4 + 1), last = first + 1 + fuzz_below(fuzz_below(2) ? 8 : size / 4 + 1);
    for (size_t at = first; at < last && 4 * at + 4 <= size; at++)
        memcpy(data + 4 * at, &value, 4);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    const size_t length = size > 8 ? (size_t)(data[0] | data[1] << 8 | data[2] << 16) : 0;
    fuzz_seed(seed);
    if (max_size != FUZZ_SIZE || (size > 8 && fuzz_below(8) == 0))
        return LLVMFuzzerMutate(data, size, max_size);
    json_t *header = length && length <= size - 8 ? json_loadb((char *)data + 8, length, 0, NULL) : NULL;
    if (!json_is_object(header) || fuzz_below(32) == 0)
        size = make_model(data, max_size);
    else if (fuzz_below(4) == 0)
        change_values(data + 8 + length, size - 8 - length);
    else
        size = change_header(header, data, 8 + length, size, max_size);
    json_decref(header);
    return size;
}
