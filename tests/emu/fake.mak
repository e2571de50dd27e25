# libcuda.so.1 and libcublas.so.13 for machines without a GPU: the fake driver, the emulator, and the kernels compiled for
# the host. Programs use them with LD_LIBRARY_PATH=build/emu, those with the address sanitizer with build/emu-asan.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later

EMU_KERNELS  := $(sort $(wildcard kernels/cuda/*.cu)) tests/emu/fake_kernels.cu
EMU_DRIVER   := $(filter-out tests/emu/fake_cublas.cpp,$(sort $(wildcard tests/emu/*.cpp)))
# Kernels look at one piece of memory as several types, which nvcc allows. Products that they want rounded by themselves
# (__fmul_rn) are.
EMU_CXXFLAGS := -std=c++17 -O3 -g -march=native -fno-strict-aliasing -ffp-contract=off -fPIC -fvisibility=hidden -pthread \
                -I. -Itests/emu -Wall -Wextra -Wno-unknown-pragmas -Wno-psabi
EMU_ASAN     := -DEMU_ASAN -fsanitize=address -fno-omit-frame-pointer

fake-cuda: $(B)/emu/libcuda.so.1 $(B)/emu/libcublas.so.13
fake-cuda-asan: $(B)/emu-asan/libcuda.so.1 $(B)/emu-asan/libcublas.so.13
.PHONY: fake-cuda fake-cuda-asan

# A driver is never unloaded: it reports when the process ends.
# $(1): folder under build, $(2): flags.
define emu_rules
$(B)/$(1)/%.o: %.cpp
	@mkdir -p $$(@D)
	@echo "  CXX   $$<"
	@$$(CXX) $$(EMU_CXXFLAGS) $(2) -MMD -MP -c $$< -o $$@
$(B)/$(1)/%.o: %.cu
	@mkdir -p $$(@D)
	@echo "  CXX   $$< (for the host)"
	@$$(CXX) $$(EMU_CXXFLAGS) $(2) -MMD -MP -x c++ -c $$< -o $$@
$(B)/$(1)/list: FORCE
	@mkdir -p $$(@D)
	@echo '$$(EMU_DRIVER) $$(EMU_KERNELS)' | cmp -s - $$@ || echo '$$(EMU_DRIVER) $$(EMU_KERNELS)' > $$@
$(B)/$(1)/libcuda.so.1: $(EMU_DRIVER:%.cpp=$(B)/$(1)/%.o) $(EMU_KERNELS:%.cu=$(B)/$(1)/%.o) $(B)/$(1)/list
	@echo "  LINK  $$@"
	@$$(CXX) -shared -pthread $(2) -Wl,-soname,$$(@F) -Wl,-z,nodelete $$(filter %.o,$$^) -o $$@
$(B)/$(1)/libcublas.so.13: $(B)/$(1)/tests/emu/fake_cublas.o $(B)/$(1)/libcuda.so.1
	@echo "  LINK  $$@"
	@$$(CXX) -shared $(2) -Wl,-soname,$$(@F) -Wl,-z,nodelete $$^ -o $$@
-include $(EMU_DRIVER:%.cpp=$(B)/$(1)/%.d) $(EMU_KERNELS:%.cu=$(B)/$(1)/%.d) $(B)/$(1)/tests/emu/fake_cublas.d
endef
$(eval $(call emu_rules,emu,))
$(eval $(call emu_rules,emu-asan,$(EMU_ASAN)))

# ---- Tests of the fake driver ----

FAKE_TEST := $(sort $(wildcard tests/emu/fake_test*.c)) kernels/cuda/driver.c kernels/cuda/blas.c
FAKE_TEST_FLAGS := -std=c11 -O1 -g -I. -Wall -Wextra -pthread

$(B)/emu/fake_test: $(FAKE_TEST) $(wildcard tests/emu/fake*.h) kernels/cuda/driver.h kernels/cuda/blas.h
	@mkdir -p $(@D)
	@echo "  TEST  $@"
	@$(CC) $(FAKE_TEST_FLAGS) $(FAKE_TEST) -ldl -lm -o $@
$(B)/emu-asan/fake_test: $(FAKE_TEST) $(wildcard tests/emu/fake*.h) kernels/cuda/driver.h kernels/cuda/blas.h
	@mkdir -p $(@D)
	@echo "  TEST  $@"
	@$(CC) $(FAKE_TEST_FLAGS) -fsanitize=address,undefined -fno-sanitize-recover=all $(FAKE_TEST) -ldl -lm -o $@

check-fake-cuda: $(B)/emu/fake_test fake-cuda
	@LD_LIBRARY_PATH=$(B)/emu $<
check-fake-cuda-asan: $(B)/emu-asan/fake_test fake-cuda-asan
	@LD_LIBRARY_PATH=$(B)/emu-asan $<
.PHONY: check-fake-cuda check-fake-cuda-asan
