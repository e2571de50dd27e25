# The operations of the CUDA backend against their C twins, on the fake driver: make check-cuda-ops, check-cuda-ops-asan.
# build/tests/test_cuda_ops has the library's own kernels and is for a GPU.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later

CUDA_OPS_TEST := tests/test_cuda_ops.c $(sort $(wildcard tests/cuda_cases_*.c))
CUDA_OPS_FAKE := $(CUDA_OPS_TEST) tests/emu/ops_image.c $(sort $(wildcard kernels/c/*.c)) \
                 $(sort $(filter-out kernels/cuda/absent.c kernels/cuda/fatbin.c,$(wildcard kernels/cuda/*.c)))
CUDA_OPS_HEADERS := $(wildcard tests/*.h kernels/*.h kernels/c/*.h kernels/cuda/*.h)

$(B)/tests/test_cuda_ops: $(CUDA_OPS_TEST) $(STATIC) $(CUDA_OPS_HEADERS)
	@mkdir -p $(@D)
	@echo "  TEST  $@"
	@$(CC) $(TEST_CFLAGS) -O2 $(CUDA_OPS_TEST) $(STATIC) $(LIBS) -o $@

# $(1): folder under build, $(2): flags.
define cuda_ops_rules
$(B)/$(1)/test_cuda_ops: $(CUDA_OPS_FAKE) $(CUDA_OPS_HEADERS)
	@mkdir -p $$(@D)
	@echo "  TEST  $$@"
	@$$(CC) $$(BASE_CFLAGS) -O1 -g $(2) $(CUDA_OPS_FAKE) -lm -lpthread -ldl -o $$@
endef
$(eval $(call cuda_ops_rules,emu,))
$(eval $(call cuda_ops_rules,emu-asan,$(SANITIZE)))

# $(1): folder under build, $(2): environment: the compute capability, and how the emulator runs threads and copies.
define run_cuda_ops
@LD_LIBRARY_PATH=$(B)/$(1) $(2) $(B)/$(1)/test_cuda_ops > $(B)/$(1)/test_cuda_ops.log 2>&1 || { \
    grep -v '^ok' $(B)/$(1)/test_cuda_ops.log; echo "  FAIL  test_cuda_ops ($(2))"; exit 1; }
@echo "  PASS  test_cuda_ops, $(2): $$(grep -c '^ok' $(B)/$(1)/test_cuda_ops.log) cases," \
    "$$(grep -c '^ok.*# SKIP' $(B)/$(1)/test_cuda_ops.log) of them skipped"
endef

# What a device of one kind has not is skipped there: no case is skipped in both runs.
check-cuda-ops: $(B)/emu/test_cuda_ops fake-cuda
	$(call run_cuda_ops,emu,FAKE_CUDA_SM=90 EMU_ORDER=greedy EMU_ASYNC=lazy)
	$(call run_cuda_ops,emu,FAKE_CUDA_SM=80 EMU_ORDER=greedy EMU_ASYNC=eager)
check-cuda-ops-asan: $(B)/emu-asan/test_cuda_ops fake-cuda-asan
	$(call run_cuda_ops,emu-asan,FAKE_CUDA_SM=90 EMU_ORDER=reverse EMU_ASYNC=lazy)
.PHONY: check-cuda-ops check-cuda-ops-asan
