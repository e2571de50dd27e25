/*
 * As much of cmocka as the tests of operations use, for processors that it is not installed for: the first failure ends
 * the program.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_CROSS_CMOCKA_H
#define SBV_TESTS_CROSS_CMOCKA_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*function)(void **state);
};

#define fail_msg(...) (printf("not ok - %s:%d: ", __FILE__, __LINE__), printf(__VA_ARGS__), printf("\n"), exit(1))

#define assert_true(condition)           ((condition) ? (void)0 : fail_msg("%s", #condition))
#define assert_non_null(pointer)         assert_true((pointer) != NULL)
#define assert_int_equal(a, b)           assert_true((a) == (b))
#define assert_memory_equal(a, b, size)  assert_true(!memcmp(a, b, size))
#define assert_float_equal(a, b, margin) assert_true(fabs((double)(a) - (double)(b)) <= (double)(margin))

#define cmocka_unit_test(test)                                                                                         \
    {                                                                                                                  \
#test, test                                                                                                    \
    }
#define cmocka_run_group_tests_name(group, tests, setup, teardown)                                                     \
    cross_run(group, tests, sizeof(tests) / sizeof((tests)[0]))

static inline int cross_run(const char *group, const struct CMUnitTest *tests, size_t count)
{
    void *state = NULL;
    for (size_t i = 0; i < count; i++) {
        tests[i].function(&state);
        printf("ok - %s: %s\n", group, tests[i].name);
    }
    return 0;
}

#endif /* SBV_TESTS_CROSS_CMOCKA_H */
