# Self-Blind-VSR for FFmpeg: the library, an FFmpeg with the filter, the demo and the tests. `make help` lists the targets.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later

VERSION   := $(shell awk '/define SBV_VERSION_(MAJOR|MINOR|PATCH)/ { printf "%s%s", dot, $$3; dot = "." }' model/include/selfblindvsr.h)
# Before version 1 the minor version counts as the major one.
SOVERSION := $(if $(filter 0.%,$(VERSION)),$(basename $(VERSION)),$(firstword $(subst ., ,$(VERSION))))

.DEFAULT_GOAL := all

# Without a configuration, the default one. Nothing is configured in order to clean up or to read the help.
ifneq ($(filter-out clean distclean help,$(or $(MAKECMDGOALS),all)),)
include config.mak
endif
config.mak: configure
	@./configure $(CONFIGURE_ARGS)

# Every processor, unless the command line, which comes last, says how many.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
endif
MAKEFLAGS += --no-print-directory

PREFIX ?= $(CONFIG_PREFIX)
DESTDIR ?=
AR ?= ar

# The system that the build is for: native or windows; B: what is built, OUT: what of it users get, PROGRAMS: where.
TARGET := $(or $(CONFIG_TARGET),native)
B := build
OUT := $(B)
PROGRAMS := $(B)/bin
# The models that are shipped: those that are there.
MODELS := $(notdir $(wildcard model/*.bin))
include build-aux/$(TARGET).mak
STATIC  := $(OUT)/lib/libselfblindvsr.a
HEADER  := $(OUT)/include/selfblindvsr.h
PKGCONFIG := $(OUT)/lib/pkgconfig/selfblindvsr.pc

all: library $(if $(filter none,$(FFMPEG_SERIES)),,$(PROGRAMS)/ffmpeg$(EXE))
.PHONY: all

help:
	@echo 'make                   the library and FFmpeg: build/lib, build/bin/ffmpeg, build/bin/ffprobe'
	@echo 'make demo              restores a scene it renders itself and measures the result; build/demo.png'
	@echo 'make demo INPUT=a OUTPUT=b   restores a clip, a picture or a folder of pictures; MODEL=fast by another model'
	@echo 'make library           the library alone'
	@echo 'make install           library, header, pkg-config file and models under PREFIX, DESTDIR'
	@echo 'make install-ffmpeg    ffmpeg and ffprobe under PREFIX'
	@echo 'make uninstall         removes what make install put under PREFIX'
	@echo 'make check             all tests: $(patsubst %,check-%,fuzz $(CHECK_PARTS))'
	@echo 'make format            formats C, CUDA and C++ by .clang-format; make check-format checks, Python too'
	@echo 'make fuzz              damaged models and kernel files for FUZZ_SECONDS=60 each, under libFuzzer; needs clang'
	@echo 'make check-cuda        the GPU kernels and their driver calls on an emulated GPU: check-emu, check-fake-cuda, check-cuda-ops, check-ptx'
	@echo 'make check-gpu         checks and measures the CUDA backend, on a machine with an NVIDIA GPU'
	@echo 'make gpu-bundle        all that takes, to be built on that machine with nvcc, gcc, make and python3: build/gpu-bundle'
	@echo 'make windows-zip       build/windows as an archive; after ./configure --target=windows'
	@echo 'make bench             measures the speed on this machine; BENCH=quick takes a minute; build/bench.json'
	@echo 'make lean-SERIES       a small FFmpeg for the tests, build/lean-SERIES/ffmpeg; series: $(shell build-aux/series.sh)'
	@echo 'make compile-SERIES    compiles the filter alone against an FFmpeg, without warnings'
	@echo 'make clean             removes what was compiled; make distclean removes sources and settings too'
.PHONY: help

# ---- The library ----

WARNINGS := -Wall -Wextra -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes
# No contraction to fused multiply-add: the plain C result is the same on every processor. Neither errno nor floating-point traps
# are looked at, which changes no result and lets loops be vectorized.
BASE_CFLAGS := -std=c11 -I. $(TARGET_CFLAGS) -ffp-contract=off -fno-math-errno -fno-trapping-math $(WARNINGS)

# The CUDA backend needs nothing of CUDA but a compiler, and that for the kernels alone.
CUDA_HOST := $(filter-out kernels/cuda/stub.c,$(wildcard kernels/cuda/*.c))
CUDA_SOURCES := $(if $(filter yes,$(CONFIG_CUDA)),$(CUDA_HOST),kernels/cuda/stub.c)

# AMX, where the compiler has it.
AMX_FLAGS  := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512bf16 -mamx-tile -mamx-bf16
AMX_CFLAGS := $(if $(filter native,$(TARGET)),$(shell $(CC) $(AMX_FLAGS) -fsyntax-only -xc /dev/null 2>/dev/null && echo '$(AMX_FLAGS)'))
AMX_SOURCES := $(if $(AMX_CFLAGS),kernels/cpu/conv_amx.c kernels/cpu/block_amx.c)
BASE_CFLAGS += $(if $(AMX_CFLAGS),-DSBV_AMX)
$(foreach build,obj sanitize/obj,$(AMX_SOURCES:%.c=$(B)/$(build)/%.o)): BASE_CFLAGS += $(AMX_CFLAGS)

# What the system does differently is behind kernels/os.h, in one file for each.
SOURCES := $(sort $(wildcard model/runtime/*.c kernels/reference/*.c) kernels/os_$(SYSTEM).c kernels/cgroup.c kernels/cpu/cpu.c $(AMX_SOURCES) $(CUDA_SOURCES))

# What is compiled once for each instruction set of the processor family; there products may be fused with sums, but in
# conversions of colour, whose results are the same everywhere.
FAMILY := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine 2>/dev/null)))
INSTRUCTION_SETS := $(if $(filter x86_64,$(FAMILY)),sse2 avx2 avx512)$(if $(filter aarch64,$(FAMILY)),neon)
ISA_CFLAGS_sse2   := -DSBV_LANES=4 -msse2
ISA_CFLAGS_avx2   := -DSBV_LANES=8 -mavx2 -mfma
ISA_CFLAGS_avx512 := -DSBV_LANES=16 -mavx512f -mavx512vl -mprefer-vector-width=512
ISA_CFLAGS_neon   := -DSBV_LANES=4
ISA_SOURCES := $(addprefix kernels/cpu/,blur colour conv_f32 conv_winograd2 conv_winograd4 conv_winograd6 copy cost_volume deconv dense pixel_shuffle pool resize warp)
ISA_OBJECTS := $(foreach isa,$(INSTRUCTION_SETS),$(ISA_SOURCES:%=%_$(isa).o))

OBJECTS := $(SOURCES:%.c=$(B)/obj/%.o) $(addprefix $(B)/obj/,$(ISA_OBJECTS))

$(OBJECTS): | $(LIBRARY_NEEDS)

library: $(LIBRARY) $(STATIC) $(HEADER) $(PKGCONFIG) $(LIBRARY_BESIDES) $(MODELS:%=$(MODEL_FOLDER)/%)
.PHONY: library

$(B)/obj/%.o: %.c config.mak Makefile
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(BASE_CFLAGS) -O3 $(CONFIG_CFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

include build-aux/cuda/kernels.mak

# $(1): folder, $(2): flags, $(3): source, $(4): instruction set
define isa_rule
$(1)/$(3)_$(4).o: $(3).c config.mak Makefile
	@mkdir -p $$(@D)
	@echo "  CC    $$< ($(4))"
	@$$(CC) $$(BASE_CFLAGS) -ffp-contract=$(if $(filter %/colour,$(3)),off,fast) $(2) $$(ISA_CFLAGS_$(4)) -DSBV_ISA=$(4) $$(CFLAGS) -MMD -MP -c $$< -o $$@
endef
$(foreach isa,$(INSTRUCTION_SETS),$(foreach source,$(ISA_SOURCES),$(eval $(call isa_rule,$(B)/obj,-O3 $(CONFIG_CFLAGS),$(source),$(isa)))))

# The list of objects is a prerequisite too, so that a file taken away is taken out of the library.
$(B)/obj/list: FORCE
	@mkdir -p $(@D)
	@echo '$(OBJECTS)' | cmp -s - $@ || echo '$(OBJECTS)' > $@
FORCE:
.PHONY: FORCE

# How it is linked: build-aux/$(TARGET).mak.
$(LIBRARY_BUILT): $(OBJECTS) $(B)/obj/list

$(STATIC): $(OBJECTS) $(B)/obj/list
	@mkdir -p $(@D)
	@echo "  AR    $@"
	@rm -f $@ && $(AR) rcs $@ $(OBJECTS)

# The public functions, one a line: nothing else leaves the shared library.
PUBLIC_FUNCTIONS = sed -n 's/^SBV_API .*[ *]\(sbv_[a-z_]*\)(.*/\1/p' model/include/selfblindvsr.h

$(HEADER): model/include/selfblindvsr.h
	@mkdir -p $(@D)
	@cp $< $@

# $(1): the prefix written into the file. That of the build folder is relative to the file.
pkgconfig = sed -e 's|@PREFIX@|$(1)|' -e 's|@VERSION@|$(VERSION)|' -e 's|@LIBS@|$(PC_LIBS)|' build-aux/selfblindvsr.pc.in

$(PKGCONFIG): build-aux/selfblindvsr.pc.in model/include/selfblindvsr.h Makefile
	@mkdir -p $(@D)
	@$(call pkgconfig,$${pcfiledir}/../..) > $@

$(MODELS:%=$(MODEL_FOLDER)/%): $(MODEL_FOLDER)/%: model/%
	@mkdir -p $(@D)
	@cp $< $@.new && mv -f $@.new $@

-include $(OBJECTS:.o=.d)

# ---- FFmpeg ----

FFMPEG_INPUTS := vf_selfblindvsr.c $(wildcard patches/*.patch) build-aux/ffmpeg-build.sh build-aux/ffmpeg-source.sh
export CC MAKE
export SERIES_SRC := $(FFMPEG_SRC)

export SBV_TARGET := $(TARGET)

$(B)/ffmpeg-$(FFMPEG_SERIES)/ffmpeg$(EXE): $(FFMPEG_INPUTS) $(HEADER) $(FFMPEG_NEEDS) config.mak | library
	+@build-aux/ffmpeg-build.sh full $(FFMPEG_SERIES)

$(PROGRAMS)/ffmpeg$(EXE): $(B)/ffmpeg-$(FFMPEG_SERIES)/ffmpeg$(EXE)
	@mkdir -p $(@D)
	@for program in ffprobe$(EXE) ffmpeg$(EXE); do \
	    cp $(<D)/$$program $(@D)/$$program.new && $(STRIP) $(@D)/$$program.new && mv -f $(@D)/$$program.new $(@D)/$$program || exit 1; done
	@echo "  $@ is ready$(if $(filter default.bin,$(MODELS)),, (there is no model/default.bin: give the filter a model=FILE))"
$(PROGRAMS)/ffprobe$(EXE): $(PROGRAMS)/ffmpeg$(EXE)

$(B)/lean-%/ffmpeg$(EXE): $(FFMPEG_INPUTS) $(HEADER) | library
	+@build-aux/ffmpeg-build.sh lean $*
.PRECIOUS: $(B)/lean-%/ffmpeg$(EXE)
lean-%: $(B)/lean-%/ffmpeg$(EXE)
	@:
# In a folder that lean-% has made.
$(B)/asan-%/ffmpeg: $(B)/lean-%/ffmpeg
	+@build-aux/ffmpeg-build.sh asan $*
.PRECIOUS: $(B)/asan-%/ffmpeg
compile-%: $(HEADER) | library
	+@build-aux/ffmpeg-build.sh compile $*

ifeq ($(TARGET),native)
# ---- Installation ----

install: library
	@install -d $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/share/selfblindvsr
	@install -m 755 $(LIBRARY_BUILT) $(DESTDIR)$(PREFIX)/lib/$(LIBRARY_RELEASE)
	@ln -sf $(LIBRARY_RELEASE) $(DESTDIR)$(PREFIX)/lib/$(LIBRARY_FILE)
	@ln -sf $(LIBRARY_FILE) $(DESTDIR)$(PREFIX)/lib/$(notdir $(LIBRARY))
	@install -m 644 $(STATIC) $(DESTDIR)$(PREFIX)/lib
	@install -m 644 $(HEADER) $(DESTDIR)$(PREFIX)/include
	@$(call pkgconfig,$(PREFIX)) > $(DESTDIR)$(PREFIX)/lib/pkgconfig/selfblindvsr.pc
	@for model in $(MODELS); do \
	    install -m 644 $(MODEL_FOLDER)/$$model $(DESTDIR)$(PREFIX)/share/selfblindvsr || exit 1; done
	@echo "libselfblindvsr $(VERSION) is installed under $(DESTDIR)$(PREFIX)"
	@[ -n "$(DESTDIR)" ] || echo "If programs do not find it there, run ldconfig as root."

install-ffmpeg: install $(B)/bin/ffmpeg
	@install -d $(DESTDIR)$(PREFIX)/bin
	@install -m 755 $(B)/bin/ffmpeg $(B)/bin/ffprobe $(DESTDIR)$(PREFIX)/bin
	@echo "ffmpeg and ffprobe are installed under $(DESTDIR)$(PREFIX)/bin"

uninstall:
	@rm -f $(addprefix $(DESTDIR)$(PREFIX)/,lib/$(LIBRARY_RELEASE) lib/$(LIBRARY_FILE) \
	    lib/$(notdir $(LIBRARY)) lib/libselfblindvsr.a lib/pkgconfig/selfblindvsr.pc include/selfblindvsr.h \
	    $(MODELS:%=share/selfblindvsr/%))
	@rmdir $(DESTDIR)$(PREFIX)/share/selfblindvsr 2>/dev/null || :
.PHONY: install install-ffmpeg uninstall

endif
# ---- Demo ----

# Names as they were given: neither make nor the shell looks for quotes and dollars in them.
unexport INPUT OUTPUT MODEL
given = $(if $(value $(2)),$(1) '$(subst ','\'',$(value $(2)))')
demo: all
	@$(PYTHON) model/tools/demo.py --ffmpeg $(B)/bin/ffmpeg $(call given,--input,INPUT) $(call given,--output,OUTPUT) \
	    $(call given,--model,MODEL)
.PHONY: demo

include build-aux/check.mak
ifeq ($(TARGET),windows)
include build-aux/windows/check.mak
endif
include build-aux/format.mak
include build-aux/fuzz.mak
include tests/cuda/ptx/ptx.mak
include tests/cuda/emu/fake.mak
include tests/cuda/emu/emu.mak
include tests/cuda/emu/ops.mak
include build-aux/gpu.mak
include tests/bench/bench.mak

clean: B := build
clean:
	rm -rf $(B)/obj $(B)/lib $(B)/include $(B)/share $(B)/bin $(B)/tests $(B)/sanitize $(B)/tsan $(B)/fuzz $(B)/neon $(B)/check $(B)/ffmpeg-* $(B)/lean-* $(B)/asan-* \
	    $(B)/demo* $(B)/emu* build/windows build/mingw build/selfblindvsr-*.zip
distclean: clean
	rm -rf build config.mak
.PHONY: clean distclean
