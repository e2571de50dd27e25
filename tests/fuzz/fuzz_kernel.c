/*
 * Fuzz target: files of blur kernels. What is read as a kernel goes through a session with a small model.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "fuzz.h"
#include "tests/support/tiny_model.h"

#define ANY_OF(...) any_of((const char *const[]){__VA_ARGS__, NULL})

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct tiny tiny = {2, 3, 1, 1, 2, 2, 1, 3, 1, 0};
    static float blur[SBV_BLUR_SIDE_MAX * SBV_BLUR_SIDE_MAX];
    static int there;
    sbv_moments moments;
    int side = 0, errors = 0;
    if (!there++)
        tiny_write_as(fuzz_file(1, NULL, 0), &tiny, 1, "topleft");
    const int ret = sbv_read_kernel(fuzz_file(0, data, size), blur, &side, fuzz_log, &errors);
    FUZZ_EXPECT(errors == (ret < 0) && (ret < 0 || (side >= 1 && side <= SBV_BLUR_SIDE_MAX)));
    if (ret < 0)
        return 0;
    sbv_kernel_moments(blur, side, &moments);
    fuzz_session(fuzz_file(1, NULL, 0), blur, side, (unsigned)size);
    return 0;
}

static const char *any_of(const char *const *text)
{
    size_t count = 0;
    while (text[count])
        count++;
    return text[fuzz_below(count)];
}

static const char *any_number(void)
{
    return ANY_OF("0", "1", "2", "3", "3", "3", "5", "63", "64", "-1", "0.25", "-2e-2", "1e38", "-3e38", "1e99", "nan",
                  "inf", "0x1p-3", "2147483647", "9223372036854775807", "99999999999999999999", "1L", "x");
}

static const char *any_side(void)
{
    return fuzz_below(2) ? ANY_OF("1", "3", "63", "64") : any_number();
}

static size_t make_npy(char *file)
{
    static const float values[] = {1, 0, 0, 0, 0, -1, 3e38f, 1e-40f};
    char *at = file + 10;
    at += sprintf(at, "{'descr': '%s', 'fortran_order': %s, 'shape': (%s%s, %s%s), }\n",
                  ANY_OF("<f4", "<f4", "<f8", ">f4", "|u1", "<f4'"), ANY_OF("False", "True", ""),
                  ANY_OF("", "", "2, ", "0, ", "2147483647, ", "99999999999999999999, "), any_side(), any_side(),
                  ANY_OF("", "", ",", ", 1"));
    memcpy(file, "\x93NUMPY\1\0", 8);
    file[8] = (char)(at - file - 10);
    file[9] = 0;
    for (size_t n = fuzz_below(2) ? fuzz_below(90) : 5000; n; n--, at += sizeof(*values))
        memcpy(at, &values[fuzz_below(8)], sizeof(*values));
    return (size_t)(at - file);
}

static size_t make_text(char *file)
{
    const size_t rows = 1 + 2 * fuzz_below(fuzz_below(8) ? 3 : 36), strange = fuzz_below(3) == 0;
    char *at = file;
    for (size_t i = 0; i < rows * rows; i++)
        at += sprintf(at, "%s%s",
                      strange ? any_number()
                      : i     ? "0"
                              : "1",
                      (i + 1) % rows ? ANY_OF(" ", ",", ";", "\t ") : ANY_OF("\n", "\r\n", "# x\n"));
    return (size_t)(at - file);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    fuzz_seed(seed);
    if (max_size < FUZZ_SIZE || (size > 4 && fuzz_below(8)))
        return LLVMFuzzerMutate(data, size, max_size);
    return fuzz_below(2) ? make_npy((char *)data) : make_text((char *)data);
}
