# The library's kernels for the emulated GPU: the PTX that machine code is made from, and that is in the library, as C++.
# What runs is that of 80, and of 90a where only Hopper has the instructions. See README.md in this folder.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later

PTX_TRANSLATOR := $(filter-out %/bugs.py %/check_bugs.py,$(wildcard tests/cuda/ptx/*.py))
PTX_MACHINE    := $(patsubst %,tests/cuda/ptx/%.cpp,machine matrices warpgroups)
PTX_OBJECTS    := $(foreach k,$(IMAGES),$(B)/emu/ptx/$(k).$(if $(filter conv_wgmma,$(k)),90a,80).o)
# Nothing is contracted but where the PTX says so. A kernel is one long function with many variables, few of which a
# compiler can follow everywhere.
PTX_FLAGS      := -std=c++17 -march=native -fno-strict-aliasing -ffp-contract=off -fPIC -fvisibility=hidden -pthread -I. \
                  -Wall -Wextra -Wno-unused-but-set-variable -Wno-unused-label -Wno-maybe-uninitialized -Wno-psabi

$(PTX_OBJECTS:.o=.cpp): $(B)/emu/ptx/%.cpp: $(B)/obj/ptx/%.ptx $(PTX_TRANSLATOR)
	@mkdir -p $(@D)
	@$(PYTHON) tests/cuda/ptx/translate.py $< -o $@
$(PTX_OBJECTS): %.o: %.cpp
	@echo "  CXX   $(<F) (PTX)"
	@$(CXX) $(PTX_FLAGS) -O1 -MMD -MP -c $< -o $@
-include $(PTX_OBJECTS:.o=.d)

# Every bug that is planted in the PTX must be found.
check-ptx: $(B)/tests/test_cuda_ops fake-cuda
ifeq ($(IMAGES),)
	@mkdir -p $(LOGS)/cuda
	@echo "1..0 # SKIP bugs in the kernels' PTX: configure found no CUDA compiler" | tee $(LOGS)/cuda/$@.log
else
	@$(PYTHON) tests/cuda/ptx/check_bugs.py --build $(B) --compile '$(CXX) $(PTX_FLAGS) -O1' $(if $(BUG),--only $(BUG)) \
	    $(filter %.o,$(FAKE_DRIVER:%.cpp=$(B)/emu/%.o) $(PTX_OBJECTS))
endif
.PHONY: check-ptx
