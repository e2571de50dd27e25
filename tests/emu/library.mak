# The library for FFmpegs that are run on the fake driver: the compiled kernels are replaced by an image that this driver
# takes, so that nvcc is not needed. It lies beside the driver, and LD_LIBRARY_PATH=build/emu finds both.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later

EMU_LIBRARY := $(B)/emu/$(notdir $(LIBRARY)).$(SOVERSION)

fake-library: $(EMU_LIBRARY) fake-cuda
.PHONY: fake-library

$(EMU_LIBRARY): $(filter-out $(B)/obj/kernels/cuda/fatbin.o,$(OBJECTS)) tests/emu/ops_image.c $(B)/obj/list $(B)/obj/exports.map
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(BASE_CFLAGS) -O1 -shared -Wl,-soname,$(@F) -Wl,-z,defs -Wl,--version-script=$(B)/obj/exports.map $(CONFIG_CFLAGS) \
	    $(LDFLAGS) tests/emu/ops_image.c $(filter %.o,$^) $(LIBS) -o $@
