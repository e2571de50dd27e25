# The emulator's own tests: kernels with bugs that can be switched on run in the plain build and under the sanitizers, and
# every bug must be found. `make check-emu`. The programs are build/emu-check/{plain,asan,tsan}/planted.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later

EMU_ENGINE    := $(patsubst %,tests/cuda/emu/%.cpp,emu fiber warp async wgmma)
PLANTED       := $(sort $(wildcard tests/cuda/emu/planted/*.cpp tests/cuda/emu/planted/*.cu))
PLANTED_FLAGS := -std=c++17 -g -march=native -fno-strict-aliasing -pthread -I. -Itests/cuda/emu -Wall -Wextra
# The engine is no part of the program that ThreadSanitizer sees: it tells it what happens.
EMU_CHECK_plain        := -O2
EMU_CHECK_asan         := -O1 -DEMU_ASAN -fsanitize=address,undefined -fno-sanitize-recover=undefined
EMU_CHECK_tsan         := -O1 -DEMU_TSAN -fsanitize=thread
EMU_CHECK_ENGINE_plain := $(EMU_CHECK_plain)
EMU_CHECK_ENGINE_asan  := $(EMU_CHECK_asan)
# Calls of memcpy and the like are seen even there.
EMU_CHECK_ENGINE_tsan  := -O2 -DEMU_TSAN -fno-tree-loop-distribute-patterns \
                          $(if $(filter x86_64,$(shell uname -m)),-minline-all-stringops)

check-emu: emu-plain emu-asan emu-tsan
	@echo "The emulator finds planted bugs"
	@$(PYTHON) tests/cuda/emu/planted/check.py $(B)/emu-check
.PHONY: check-emu emu-plain emu-asan emu-tsan

# $(1): plain, asan or tsan.
define emu_check_rules
emu-$(1): $(B)/emu-check/$(1)/planted
$(B)/emu-check/$(1)/tests/cuda/emu/planted/%.o: tests/cuda/emu/planted/%
	@mkdir -p $$(@D)
	@echo "  CXX   $$< ($(1))"
	@$$(CXX) $$(PLANTED_FLAGS) $$(EMU_CHECK_$(1)) -MMD -MP -x c++ -c $$< -o $$@
$(B)/emu-check/$(1)/tests/cuda/emu/%.o: tests/cuda/emu/%
	@mkdir -p $$(@D)
	@echo "  CXX   $$< ($(1))"
	@$$(CXX) $$(PLANTED_FLAGS) $$(EMU_CHECK_ENGINE_$(1)) -MMD -MP -c $$< -o $$@
$(B)/emu-check/$(1)/planted: $(patsubst %,$(B)/emu-check/$(1)/%.o,$(EMU_ENGINE) $(PLANTED))
	@echo "  LINK  $$@"
	@$$(CXX) -pthread $$(EMU_CHECK_$(1)) $$^ -o $$@
-include $(patsubst %,$(B)/emu-check/$(1)/%.d,$(EMU_ENGINE) $(PLANTED))
endef
$(foreach build,plain asan tsan,$(eval $(call emu_check_rules,$(build))))

# ---- The driver for programs that are compiled with -fsanitize=thread ----

# Only accesses of kernels are seen by ThreadSanitizer: LD_LIBRARY_PATH=build/emu-tsan finds races between CUDA threads.
EMU_TSAN_KERNELS := tests/cuda/emu/fake_kernels.cu
EMU_TSAN_DRIVER  := $(FAKE_DRIVER)
EMU_TSAN_FLAGS   := $(PLANTED_FLAGS) -fPIC -fvisibility=hidden -ffp-contract=off -Wno-unknown-pragmas -Wno-psabi

fake-cuda-tsan: $(B)/emu-tsan/libcuda.so.1 $(B)/emu-tsan/libcublas.so.13
.PHONY: fake-cuda-tsan

$(B)/emu-tsan/%.cu.o: %.cu
	@mkdir -p $(@D)
	@echo "  CXX   $< (for the host, tsan)"
	@$(CXX) $(EMU_TSAN_FLAGS) $(EMU_CHECK_tsan) -MMD -MP -x c++ -c $< -o $@
$(B)/emu-tsan/%.cpp.o: %.cpp
	@mkdir -p $(@D)
	@echo "  CXX   $< (tsan)"
	@$(CXX) $(EMU_TSAN_FLAGS) $(EMU_CHECK_ENGINE_tsan) -MMD -MP -c $< -o $@
$(B)/emu-tsan/ptx/%.o: $(B)/emu/ptx/%.cpp
	@mkdir -p $(@D)
	@echo "  CXX   $(<F) (PTX, tsan)"
	@$(CXX) $(PTX_FLAGS) $(EMU_CHECK_ENGINE_tsan) -O1 -MMD -MP -c $< -o $@
$(B)/emu-tsan/libcuda.so.1: $(patsubst %,$(B)/emu-tsan/%.o,$(EMU_TSAN_DRIVER) $(EMU_TSAN_KERNELS)) \
    $(PTX_OBJECTS:$(B)/emu/%=$(B)/emu-tsan/%)
	@echo "  LINK  $@"
	@$(CXX) -shared -pthread -fsanitize=thread -Wl,-soname,$(@F) -Wl,-z,nodelete $^ -o $@
$(B)/emu-tsan/libcublas.so.13: $(B)/emu-tsan/tests/cuda/emu/fake_cublas.cpp.o $(B)/emu-tsan/libcuda.so.1
	@echo "  LINK  $@"
	@$(CXX) -shared -fsanitize=thread -Wl,-soname,$(@F) -Wl,-z,nodelete $^ -o $@
-include $(patsubst %,$(B)/emu-tsan/%.d,$(EMU_TSAN_DRIVER) $(EMU_TSAN_KERNELS))
