/*
 * Runs a fuzz target without libFuzzer, with as many inputs as the argument says, the same ones each time.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#define GENERATION 12 /* inputs that are made one of the other, before the next begins with nothing */
#define SHARE      20 /* of so many inputs one must be accepted: else too little of the library is reached */

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
    const size_t at = fuzz_below(size), piece = fuzz_below(1 + (size - at < 80 ? size - at : 80));
    if (fuzz_below(4) == 0 && size + piece <= max_size) { /* a piece twice */
        memmove(data + at + piece, data + at, size - at);
        return size + piece;
    }
    if (fuzz_below(4) == 0) { /* a piece away */
        memmove(data + at, data + at + piece, size - at - piece);
        return size - piece;
    }
    if (size)
        data[at] = fuzz_below(2) ? (uint8_t)fuzz_below(256) : (uint8_t) "\0\"{}[],:-0189eEFntu\\ '\n"[fuzz_below(24)];
    return size;
}

int main(int argc, char **argv)
{
    static uint8_t data[FUZZ_SIZE];
    const unsigned long inputs = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
    size_t size = 0;
    for (unsigned i = 0; i < inputs; i++) {
        size = LLVMFuzzerCustomMutator(data, i % GENERATION ? size : 0, sizeof(data), i);
        LLVMFuzzerTestOneInput(data, size);
    }
    printf("%lu inputs, %lu accepted\n", inputs, fuzz_accepted);
    return fuzz_accepted <= inputs / SHARE;
}
