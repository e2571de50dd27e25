# The operations of the CUDA backend against their C twins: on the fake driver with make check-cuda-ops, and as it is,
# build/tests/test_cuda_ops, on a GPU.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later

CUDA_OPS_TEST := tests/cuda/cases/test_cuda_ops.c $(sort $(wildcard tests/cuda/cases/cuda_cases_*.c))

$(B)/tests/test_cuda_ops: $(CUDA_OPS_TEST) $(STATIC) $(TEST_HEADERS) $(wildcard tests/cuda/cases/*.h)
	@mkdir -p $(@D)
	@echo "  TEST  $@"
	@$(CC) $(TEST_CFLAGS) -O2 $(CUDA_OPS_TEST) $(STATIC) $(LIBS) -o $@
$(B)/sanitize/test_cuda_ops: $(CUDA_OPS_TEST) $(B)/sanitize/libselfblindvsr.a $(TEST_HEADERS) $(wildcard tests/cuda/cases/*.h)
	@echo "  TEST  $@"
	@$(CC) $(TEST_CFLAGS) -O1 $(SANITIZE) $(CUDA_OPS_TEST) $(B)/sanitize/libselfblindvsr.a $(LIBS) -o $@

# ThreadSanitizer looks at the program, whose threads the kernels' are; the library is as it is.
$(B)/emu-tsan/test_cuda_ops: $(CUDA_OPS_TEST) $(STATIC) $(TEST_HEADERS) $(wildcard tests/cuda/cases/*.h)
	@mkdir -p $(@D)
	@echo "  TEST  $@"
	@$(CC) $(TEST_CFLAGS) -O2 -fsanitize=thread $(CUDA_OPS_TEST) $(STATIC) $(LIBS) -o $@

# $(1): program, $(2): folder of the driver, $(3): environment: the compute capability, and how the emulator runs threads
# and copies, $(4): part of the names of the cases to run, "" for all, $(5): of the log.
define run_cuda_ops
@mkdir -p $(LOGS)/cuda; log=$(LOGS)/cuda/test_cuda_ops.$(5).log; \
LD_LIBRARY_PATH=$(B)/$(2) $(3) $(1) $(4) > $$log 2>&1 || \
    { grep -v '^ok' $$log; echo "  FAIL  test_cuda_ops $(4) ($(3))"; exit 1; }; \
echo "  PASS  test_cuda_ops $(4), $(3): $$(grep -c '^ok' $$log) cases, $$(grep -c '^ok.*# SKIP' $$log) of them skipped"
endef

ifeq ($(IMAGES),)
check-cuda-ops check-cuda-ops-asan check-cuda-ops-tsan:
	@mkdir -p $(LOGS)/cuda
	@echo "1..0 # SKIP the library has no kernels for GPUs, configure found no CUDA compiler" | tee $(LOGS)/cuda/$@.log
else
# What a device of one kind has not is skipped there: no case is skipped in both runs.
check-cuda-ops: check-cuda-ops-sm90 check-cuda-ops-sm80
check-cuda-ops-sm90: $(B)/tests/test_cuda_ops fake-cuda
	$(call run_cuda_ops,$<,emu,FAKE_CUDA_SM=90 EMU_ORDER=greedy EMU_ASYNC=lazy,,sm90)
check-cuda-ops-sm80: $(B)/tests/test_cuda_ops fake-cuda
	$(call run_cuda_ops,$<,emu,FAKE_CUDA_SM=80 EMU_ORDER=random EMU_ASYNC=eager,,sm80)
check-cuda-ops-asan: $(B)/sanitize/test_cuda_ops fake-cuda-asan
	$(call run_cuda_ops,$<,emu-asan,FAKE_CUDA_SM=90 EMU_ORDER=reverse EMU_ASYNC=lazy,,asan)
# Kernels whose threads share memory.
check-cuda-ops-tsan: $(B)/emu-tsan/test_cuda_ops fake-cuda-tsan
	$(call run_cuda_ops,$<,emu-tsan,FAKE_CUDA_SM=90 EMU_ASYNC=eager,'conv on Hopper',tsan-hopper)
	$(call run_cuda_ops,$<,emu-tsan,FAKE_CUDA_SM=90 EMU_ASYNC=eager,'conv trunk',tsan-trunk)
	$(call run_cuda_ops,$<,emu-tsan,FAKE_CUDA_SM=90 EMU_ASYNC=lazy,cost_volume,tsan-cost)
	$(call run_cuda_ops,$<,emu-tsan,FAKE_CUDA_SM=90 EMU_ASYNC=lazy,adaptive_pool,tsan-pool)
	$(call run_cuda_ops,$<,emu-tsan,FAKE_CUDA_SM=90 EMU_ASYNC=lazy,'colour_out nv12',tsan-nv12)
endif
.PHONY: check-cuda-ops check-cuda-ops-sm90 check-cuda-ops-sm80 check-cuda-ops-asan check-cuda-ops-tsan
