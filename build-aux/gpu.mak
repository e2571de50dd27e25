# What runs on machines with an NVIDIA GPU: `make check-gpu`, and `make gpu-bundle` for machines that have nothing but
# nvcc, gcc, make and python3. The programs here need no cmocka.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later

GPU_TOOLS    := $(B)/tests/bench $(B)/tests/gemm_peak $(B)/tests/golden_stages
GPU_PROGRAMS := $(GPU_TOOLS) $(B)/tests/test_cuda_ops

$(GPU_TOOLS): $(B)/tests/%: tests/programs/%.c $(STATIC) $(TEST_HEADERS)
	@mkdir -p $(@D)
	@echo "  TEST  $<"
	@$(CC) $(TEST_CFLAGS) -O2 $< $(STATIC) $(LIBS) -o $@

gpu-programs: library $(GPU_PROGRAMS)
check-python: $(GPU_PROGRAMS)

# CHECK_GPU: options of check_gpu.py, --quick say. With an FFmpeg, the filter is checked too.
check-gpu: gpu-programs $(if $(filter none,$(FFMPEG_SERIES)),,$(B)/bin/ffmpeg)
	@$(PYTHON) tests/cuda/gpu/check_gpu.py $(CHECK_GPU)

# The FFmpeg of the bundle: one whose CUDA frames have every format that the filter takes.
GPU_SERIES := $(lastword $(SERIES))

# MATERIAL: folders with photographs and clips, to train with where the bundle is run.
gpu-bundle:
	@SBV_MATERIAL='$(MATERIAL)' PYTHON='$(PYTHON)' tests/cuda/gpu/bundle.sh $(GPU_SERIES)

.PHONY: gpu-programs check-gpu gpu-bundle
