# Fuzz targets, tests/fuzz/fuzz_*.c: `make fuzz` runs each for FUZZ_SECONDS seconds under libFuzzer, which needs Clang, and
# keeps what it found interesting in build/fuzz/corpus-*; `make check-fuzz` runs a few thousand inputs, the same ones each
# time, with any compiler. What fails is written to build/fuzz/crash-*; build/fuzz/tests/NAME FILE runs it again.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later

FUZZ_CC      := clang
FUZZ_SECONDS := 60
FUZZ_INPUTS  := 1000
FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_FLAGS   := -max_len=262144 -len_control=0 -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=1024 -print_final_stats=1
FUZZ_HELPERS := tests/fuzz/fuzz.c tests/fuzz/allocate.c
FUZZ_HEADERS := $(wildcard tests/fuzz/*.h) $(wildcard tests/support/*.h)
FUZZ_LINK    := $(foreach name,malloc calloc realloc posix_memalign strdup free,-Wl,--wrap=$(name))

# A library of its own, whose every branch libFuzzer sees.
fuzz:
	@command -v $(FUZZ_CC) >/dev/null || { echo "make fuzz needs $(FUZZ_CC) (package clang), or FUZZ_CC=another" >&2; exit 1; }
	+@$(MAKE) B=$(B)/fuzz CC=$(FUZZ_CC) CONFIG_CUDA=no CFLAGS='-O1 -g $(SANITIZE) -fsanitize=fuzzer-no-link' \
	    $(FUZZ_TARGETS:%=$(B)/fuzz/tests/%)
	@for target in $(FUZZ_TARGETS); do \
	    mkdir -p $(B)/fuzz/corpus-$$target; \
	    echo "  FUZZ  $$target, $(FUZZ_SECONDS) seconds"; \
	    $(B)/fuzz/tests/$$target $(FUZZ_FLAGS) -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=$(B)/fuzz/ \
	        $(B)/fuzz/corpus-$$target > $(B)/fuzz/$$target.log 2>&1 || \
	        { tail -n 60 $(B)/fuzz/$$target.log; echo "  FAIL  $$target"; exit 1; }; \
	    grep -E '^(Done|#[0-9]+.DONE)' $(B)/fuzz/$$target.log; done

$(B)/tests/fuzz_%: tests/fuzz/fuzz_%.c $(FUZZ_HELPERS) $(FUZZ_HEADERS) $(STATIC)
	@mkdir -p $(@D)
	@echo "  FUZZ  $<"
	@$(CC) $(TEST_CFLAGS) -fsanitize=fuzzer $< $(FUZZ_HELPERS) $(STATIC) $(LIBS) $(FUZZ_LINK) -o $@

$(B)/sanitize/fuzz_%: tests/fuzz/fuzz_%.c tests/fuzz/replay.c $(FUZZ_HELPERS) $(FUZZ_HEADERS) $(B)/sanitize/libselfblindvsr.a
	@echo "  TEST  $< (sanitizers)"
	@$(CC) $(TEST_CFLAGS) -O1 $(SANITIZE) $< tests/fuzz/replay.c $(FUZZ_HELPERS) $(B)/sanitize/libselfblindvsr.a $(LIBS) \
	    $(FUZZ_LINK) -o $@

check-fuzz: $(FUZZ_TARGETS:%=$(B)/sanitize/%)
	@echo "Damaged files and any order of calls, under the sanitizers"
	@for target in $(FUZZ_TARGETS); do \
	    $(B)/sanitize/$$target $(FUZZ_INPUTS) > $(B)/sanitize/$$target.log 2>&1 || \
	        { cat $(B)/sanitize/$$target.log; echo "  FAIL  $$target"; exit 1; }; \
	    echo "  PASS  $$target ($$(tail -n 1 $(B)/sanitize/$$target.log))"; done

.PHONY: fuzz check-fuzz
