# `make bench`: how fast the library is on this machine, in one table and in build/bench.json.
#
#     make bench                      all of it, about ten minutes on two processors
#     make bench BENCH=quick          the same on small frames, about a minute
#     make bench BENCH='--only ops'   a part; tests/bench/bench.py --help lists them
#     make bench MODEL=fast           another model in the place of default.bin: a name, or a file
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later

BENCH_PROGRAMS := $(B)/tests/bench_ops $(B)/tests/bench $(B)/tests/trunk

$(B)/tests/bench_ops: $(wildcard tests/bench/*.c tests/bench/*.h) $(STATIC)
	@mkdir -p $(@D)
	@echo "  TEST  tests/bench"
	@$(CC) $(TEST_CFLAGS) -O2 $(filter %.c,$^) $(STATIC) $(LIBS) -o $@

bench-programs: library $(BENCH_PROGRAMS)
check-python: bench-programs

BENCH ?=
bench: bench-programs
	@$(PYTHON) tests/bench/bench.py --compiler '$(CC)' --flags '$(BASE_CFLAGS) -O3 $(CONFIG_CFLAGS) $(CFLAGS)' \
	    $(call given,--model,MODEL) $(if $(filter quick,$(BENCH)),--quick) $(filter-out quick,$(BENCH))

.PHONY: bench bench-programs
