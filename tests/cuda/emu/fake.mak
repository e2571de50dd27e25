# libcuda.so.1 and libcublas.so.13 for machines without a GPU: the fake driver, the emulator, and the library's kernels as
# tests/cuda/ptx translates them from the PTX that is in the library. Programs use them with LD_LIBRARY_PATH=build/emu,
# those with the address sanitizer with build/emu-asan.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later

FAKE_KERNELS := tests/cuda/emu/fake_kernels.cu
FAKE_DRIVER  := $(patsubst %,tests/cuda/emu/%.cpp,fake_cuda fake_faults fake_memory fake_memset fake_streams fake_images fake_work fake_modules fake_ffmpeg \
                  emu fiber warp async wgmma) $(PTX_MACHINE)
# Kernels look at one piece of memory as several types, which nvcc allows. Products that they want rounded by themselves
# (__fmul_rn) are.
FAKE_FLAGS   := -std=c++17 -O3 -g -march=native -fno-strict-aliasing -ffp-contract=off -fPIC -fvisibility=hidden -pthread \
                -I. -Itests/cuda/emu -Wall -Wextra -Wno-unknown-pragmas -Wno-psabi
FAKE_ASAN    := -DEMU_ASAN -fsanitize=address -fno-omit-frame-pointer

fake-cuda: $(B)/emu/libcuda.so.1 $(B)/emu/libcublas.so.13
fake-cuda-asan: $(B)/emu-asan/libcuda.so.1 $(B)/emu-asan/libcublas.so.13
.PHONY: fake-cuda fake-cuda-asan

# A driver is never unloaded: it reports when the process ends.
# $(1): folder under build, $(2): flags.
define fake_rules
$(B)/$(1)/%.o: %.cpp
	@mkdir -p $$(@D)
	@echo "  CXX   $$<"
	@$$(CXX) $$(FAKE_FLAGS) $(2) -MMD -MP -c $$< -o $$@
$(B)/$(1)/%.o: %.cu
	@mkdir -p $$(@D)
	@echo "  CXX   $$< (for the host)"
	@$$(CXX) $$(FAKE_FLAGS) $(2) -MMD -MP -x c++ -c $$< -o $$@
$(B)/$(1)/list: FORCE
	@mkdir -p $$(@D)
	@echo '$$(FAKE_DRIVER) $$(FAKE_KERNELS) $$(PTX_OBJECTS)' | cmp -s - $$@ || \
	    echo '$$(FAKE_DRIVER) $$(FAKE_KERNELS) $$(PTX_OBJECTS)' > $$@
$(B)/$(1)/libcuda.so.1: $(FAKE_DRIVER:%.cpp=$(B)/$(1)/%.o) $(FAKE_KERNELS:%.cu=$(B)/$(1)/%.o) $(PTX_OBJECTS) $(B)/$(1)/list
	@echo "  LINK  $$@"
	@$$(CXX) -shared -pthread $(2) -Wl,-soname,$$(@F) -Wl,-z,nodelete $$(filter %.o,$$^) -o $$@
$(B)/$(1)/libcublas.so.13: $(B)/$(1)/tests/cuda/emu/fake_cublas.o $(B)/$(1)/libcuda.so.1
	@echo "  LINK  $$@"
	@$$(CXX) -shared $(2) -Wl,-soname,$$(@F) -Wl,-z,nodelete $$^ -o $$@
-include $(FAKE_DRIVER:%.cpp=$(B)/$(1)/%.d) $(FAKE_KERNELS:%.cu=$(B)/$(1)/%.d) $(B)/$(1)/tests/cuda/emu/fake_cublas.d
endef
$(eval $(call fake_rules,emu,))
$(eval $(call fake_rules,emu-asan,$(FAKE_ASAN)))

# ---- Tests of the fake driver ----

FAKE_TEST    := $(sort $(wildcard tests/cuda/emu/fake_test*.c)) kernels/cuda/driver.c kernels/cuda/cublas.c kernels/cuda/loader.c \
                kernels/os_$(SYSTEM).c kernels/cgroup.c
# A toolkit, whose headers the library's own declarations are compared with.
CUDA_INCLUDE ?= /usr/local/cuda/include

# $(1): folder under build, $(2): flags. Beside the program lie libraries that are none, and libraries without functions.
define fake_test_rules
$(B)/$(1)/fake_test: $(FAKE_TEST) $(wildcard tests/cuda/emu/fake*.h) kernels/cuda/driver.h kernels/cuda/cublas.h
	@mkdir -p $$(@D)/none $$(@D)/lacking
	@echo "  TEST  $$@"
	@echo no library > $$(@D)/none/libcuda.so.1
	@for library in libcuda.so.1 libcublas.so.13; do \
	    echo | $$(CC) -shared $(2) -x c - -o $$(@D)/lacking/$$$$library || exit 1; done
	@$$(CC) -std=c11 -O1 -g -I. -Wall -Wextra -pthread $(2) $(FAKE_TEST) -ldl -lm -o $$@
endef
$(eval $(call fake_test_rules,emu,))
comma := ,
$(eval $(call fake_test_rules,emu-asan,-fsanitize=address$(comma)undefined -fno-sanitize-recover=all))

check-fake-cuda: $(B)/emu/fake_test fake-cuda
	@LD_LIBRARY_PATH=$(B)/emu $<
check-fake-cuda-asan: $(B)/emu-asan/fake_test fake-cuda-asan
	@LD_LIBRARY_PATH=$(B)/emu-asan $<

check-cuda-abi: tests/cuda/emu/abi.cpp
	@mkdir -p $(LOGS)/cuda
	@if [ -e $(CUDA_INCLUDE)/cublas_v2.h ]; then \
	    $(CXX) -std=c++17 -I. -I$(CUDA_INCLUDE) -Wall -Wno-address -Werror -fsyntax-only $< && \
	    echo "ok - declarations of the driver API and cuBLAS" > $(LOGS)/cuda/declarations.log && \
	    echo "  PASS  declarations of the driver API and cuBLAS"; \
	else echo "1..0 # SKIP no toolkit in $(CUDA_INCLUDE)" | tee $(LOGS)/cuda/declarations.log; fi
.PHONY: check-fake-cuda check-fake-cuda-asan check-cuda-abi
