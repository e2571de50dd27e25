# The tests. Each test_*.c of tests/ops and tests/runtime is a program of its own, build/tests/test_x, that speaks TAP; exit
# status 77 means: skipped, for the reason it gave. tests/support/*.c are linked into every program; tests/programs/*.c
# are what the Python tests run, build/tests/x. Every test_*.py is run by pytest and finds the FFmpegs of the tests as
# build/lean-SERIES/ffmpeg.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later

# The oldest and the newest FFmpeg run the filter; the others compile it.
SERIES         := $(shell build-aux/series.sh)
RUN_SERIES     := $(firstword $(SERIES)) $(lastword $(SERIES))
COMPILE_SERIES := $(filter-out $(RUN_SERIES),$(SERIES))

UNIT_TESTS  := $(notdir $(basename $(sort $(wildcard tests/ops/test_*.c tests/runtime/test_*.c))))
TEST_HELPERS := $(wildcard tests/support/*.c)
TEST_HEADERS := $(wildcard tests/support/*.h)
TEST_TOOLS  := $(patsubst tests/programs/%.c,$(B)/tests/%,$(wildcard tests/programs/*.c))
TEST_CFLAGS  = -std=c11 -I. -Itests/support -g $(WARNINGS) $(CONFIG_CFLAGS) $(CFLAGS)
SANITIZE    := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -DSBV_DEBUG
SANITIZE_OBJECTS := $(SOURCES:%.c=$(B)/sanitize/obj/%.o) $(addprefix $(B)/sanitize/obj/,$(ISA_OBJECTS))
$(foreach isa,$(INSTRUCTION_SETS),$(foreach source,$(ISA_SOURCES),$(eval $(call isa_rule,$(B)/sanitize/obj,-O1 -g $(SANITIZE),$(source),$(isa)))))

# What each part has run and skipped: TAP in LOGS/PART/NAME.log or NAME.VARIANT.log, and what pytest writes, in XML.
LOGS := $(B)/check
CHECK_PARTS := format unit sanitize threads neon windows compile cuda python

# One after the other, so that the first failure is the last thing on the screen but for what was skipped.
check: library
	@rm -rf $(LOGS)
	+@$(MAKE) check-format
	+@$(MAKE) check-unit
	+@$(MAKE) check-sanitize
	+@$(MAKE) check-threads
	+@$(MAKE) check-fuzz
	+@$(MAKE) check-neon
	+@$(MAKE) check-windows
	+@$(MAKE) check-compile
	+@$(MAKE) check-cuda
	+@$(MAKE) check-python
	@$(PYTHON) tests/support/skipped.py $(CHECK_PARTS:%=$(LOGS)/%)
	@echo "Every test that was run passed."

# $(1): programs, $(2): their folder, $(3): folder of the logs. As many at a time as there are processors; a failure stops
# nothing, so that one run shows them all.
define run_tests
	@rm -rf $(3) && mkdir -p $(3)
	@printf '%s\n' $(1) | xargs -n 1 -P $$(nproc) tests/support/run_test.sh $(3) $(2) || \
	    { echo "Failed:" $$(cat $(3)/failed) >&2; exit 1; }
endef

check-unit: $(UNIT_TESTS:%=$(B)/tests/%)
	@echo "Unit tests"
	$(call run_tests,$(UNIT_TESTS),$(B)/tests,$(LOGS)/unit)

# A program is called by the name of its source, whatever folder that is in.
vpath %.c tests/ops tests/runtime tests/programs

$(B)/tests/%: %.c $(TEST_HELPERS) $(STATIC) $(TEST_HEADERS)
	@mkdir -p $(@D)
	@echo "  TEST  $<"
	@$(CC) $(TEST_CFLAGS) -O1 $< $(TEST_HELPERS) $(STATIC) -lcmocka $(LIBS) $(TEST_LINK) -o $@

# Allocations that fail.
$(B)/tests/test_allocation $(B)/sanitize/test_allocation: TEST_LINK = tests/fuzz/allocate.c $(FUZZ_LINK)
$(B)/tests/test_allocation $(B)/sanitize/test_allocation: tests/fuzz/allocate.c tests/fuzz/allocate.h

# As a user would: by the header and the shared library, as pkg-config says.
$(B)/tests/example: tests/programs/example.c $(LIBRARY) $(HEADER) $(PKGCONFIG)
	@mkdir -p $(@D)
	@echo "  TEST  $<"
	@$(CC) $(WARNINGS) $< $$(PKG_CONFIG_PATH=$(B)/lib/pkgconfig pkg-config --cflags --libs selfblindvsr) \
	    -Wl,-rpath,$(abspath $(B)/lib) -o $@

# Threads of a session, and sessions in threads, under the thread sanitizer, in a library of its own.
check-threads:
	@echo "Threads under the thread sanitizer"
	+@$(MAKE) B=$(B)/tsan CONFIG_CUDA=no CFLAGS='-O1 -g -fsanitize=thread' $(B)/tsan/tests/test_sessions
	@mkdir -p $(LOGS)/threads; log=$(LOGS)/threads/test_sessions.log; \
	CMOCKA_MESSAGE_OUTPUT=TAP $(B)/tsan/tests/test_sessions > $$log 2>&1 || \
	    { cat $$log; echo "  FAIL  test_sessions"; exit 1; }; \
	echo "  PASS  test_sessions ($$(grep -c '^ok' $$log) tests)"

check-sanitize: $(UNIT_TESTS:%=$(B)/sanitize/%)
	@echo "Unit tests under the address and undefined behaviour sanitizers"
	$(call run_tests,$(UNIT_TESTS),$(B)/sanitize,$(LOGS)/sanitize)

$(B)/sanitize/obj/%.o: %.c config.mak Makefile
	@mkdir -p $(@D)
	@echo "  CC    $< (sanitizers)"
	@$(CC) $(BASE_CFLAGS) -O1 -g $(SANITIZE) $(CFLAGS) -MMD -MP -c $< -o $@
$(B)/sanitize/libselfblindvsr.a: $(SANITIZE_OBJECTS)
	@rm -f $@ && $(AR) rcs $@ $^
# For programs that were linked with the library as it is: they run with this one in its place.
$(B)/sanitize/libselfblindvsr.so.$(SOVERSION): $(SANITIZE_OBJECTS) $(B)/obj/exports.map
	@echo "  LINK  $@"
	@$(CC) -shared -Wl,-soname,$(@F) -Wl,--version-script=$(B)/obj/exports.map $(SANITIZE) $(LDFLAGS) $(SANITIZE_OBJECTS) $(LIBS) -o $@
$(B)/sanitize/%: %.c $(TEST_HELPERS) $(B)/sanitize/libselfblindvsr.a $(TEST_HEADERS)
	@echo "  TEST  $< (sanitizers)"
	@$(CC) $(TEST_CFLAGS) -O1 $(SANITIZE) $< $(TEST_HELPERS) $(B)/sanitize/libselfblindvsr.a -lcmocka $(LIBS) \
	    $(TEST_LINK) -o $@
-include $(SANITIZE_OBJECTS:.o=.d)

# The operations for another processor, with a compiler and an emulator of it.
CROSS_CC     := aarch64-linux-gnu-gcc
CROSS_RUN    := qemu-aarch64
CROSS_TESTS  := $(filter test_ops% test_colour test_blur_ops,$(UNIT_TESTS))
CROSS_OBJECTS = $(filter $(B)/obj/kernels/reference/% $(B)/obj/kernels/cpu/% $(B)/obj/kernels/os_% %/cgroup.o,$(OBJECTS))

check-neon:
	@echo "Operations for NEON, on an emulated processor"
	@rm -rf $(LOGS)/neon && mkdir -p $(LOGS)/neon
	+@missing=; for tool in $(CROSS_CC) $(CROSS_RUN); do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	if [ -n "$$missing" ]; then \
	    echo "1..0 # SKIP not there:$$missing (packages gcc-aarch64-linux-gnu, libc6-dev-arm64-cross, qemu-user)" | \
	        tee $(LOGS)/neon/operations.log; \
	else \
	    $(MAKE) B=$(B)/neon LOGS=$(LOGS) CC=$(CROSS_CC) check-cross; \
	fi

check-cross: export RUNNER = $(CROSS_RUN)
check-cross: export NEEDS = ^ok - neon
check-cross: $(CROSS_TESTS:%=$(B)/tests/cross/%)
	$(call run_tests,$(CROSS_TESTS),$(B)/tests/cross,$(LOGS)/neon)

$(B)/tests/cross/%: %.c tests/support/guarded.c tests/cross/cmocka.h $(CROSS_OBJECTS) $(TEST_HEADERS)
	@mkdir -p $(@D)
	@echo "  TEST  $< ($(FAMILY))"
	@$(CC) $(TEST_CFLAGS) -O1 -Itests/cross $< tests/support/guarded.c $(CROSS_OBJECTS) -static -lm -o $@

# The build for Windows, under Wine: build-aux/windows.mak.
WINDOWS_CC := x86_64-w64-mingw32-gcc
ZLIB_WINDOWS := /usr/x86_64-w64-mingw32/lib/libz.a

check-windows:
	@echo "The build for Windows, under Wine"
	@rm -rf $(LOGS)/windows && mkdir -p $(LOGS)/windows
	+@missing=; command -v $(WINDOWS_CC) >/dev/null || missing="$$missing $(WINDOWS_CC)"; \
	[ -e $(ZLIB_WINDOWS) ] || missing="$$missing $(ZLIB_WINDOWS)"; \
	build-aux/windows/wine.sh --where >/dev/null 2>&1 || missing="$$missing wine64"; \
	if [ -n "$$missing" ]; then \
	    echo "1..0 # SKIP not there:$$missing (./configure --target=windows --install-deps)" | tee $(LOGS)/windows/windows.log; \
	else \
	    $(MAKE) lean-$(lastword $(SERIES)) && \
	    $(MAKE) CONFIG_TARGET=windows CC=$(WINDOWS_CC) LOGS=$(LOGS) check-wine; \
	fi

# A series that the archive has dropped is no failure, but it is said, here and to the Python tests.
# $(1): target prefix, $(2): list of series.
define for_series
	@mkdir -p $(LOGS)/$(1)
	+@for series in $(2); do log=$(LOGS)/$(1)/ffmpeg-$$series.log; \
	    rm -f $(B)/lean-$$series/SKIPPED; build-aux/ffmpeg-source.sh $$series; status=$$?; \
	    case $$status in \
	    0) $(MAKE) $(1)-$$series || exit 1; echo "ok - $(1)" > $$log; echo "  PASS  FFmpeg $$series: $(1)" ;; \
	    3) echo "1..0 # SKIP the archive no longer offers it" > $$log; \
	        mkdir -p $(B)/lean-$$series; echo "the archive no longer offers it" > $(B)/lean-$$series/SKIPPED; \
	       echo "  SKIP  FFmpeg $$series: the archive no longer offers it" ;; \
	    *) exit 1 ;; \
	    esac; done
endef

check-compile: library
	@echo "The filter compiles without warnings"
	$(call for_series,compile,$(COMPILE_SERIES))

check-lean: library
	$(call for_series,lean,$(RUN_SERIES))

check-asan: check-lean
	+@for series in $(RUN_SERIES); do \
	    [ -e $(B)/lean-$$series/SKIPPED ] || $(MAKE) $(B)/asan-$$series/ffmpeg || exit 1; done

# A file's tests run one after the other, as many files at a time as there are processors.
check-python: check-asan $(TEST_TOOLS) $(B)/tests/test_allocation fake-cuda $(B)/sanitize/libselfblindvsr.so.$(SOVERSION)
	@echo "Python tests"
	@$(PYTHON) -m pytest -q -rs -p no:cacheprovider -n $$(nproc) --dist loadfile --junitxml=$(LOGS)/python/python.xml \
	    --ignore=tests/windows tests

# What needs a GPU runs on an emulated one: the emulator and its driver first, then the kernels. check-python has the rest.
check-cuda:
	@echo "The GPU kernels, on an emulated GPU"
	+@$(MAKE) check-emu
	+@$(MAKE) check-fake-cuda
	+@$(MAKE) check-fake-cuda-asan
	+@$(MAKE) check-cuda-abi
	+@$(MAKE) check-cuda-ops check-cuda-ops-asan check-cuda-ops-tsan
	+@$(MAKE) check-ptx

.PHONY: check check-unit check-sanitize check-threads check-neon check-cross check-windows check-compile check-cuda check-lean check-asan check-python
