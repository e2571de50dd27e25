# The GPU kernels: kernels/cuda/*.cu -> build/obj/ptx -> build/obj/cubin -> build/obj/images -> the library.
#
# Each file is compiled to PTX for 75, 80 and, with the instructions of Hopper, 90a; machine code of every GPU is assembled
# from these, and the PTX for 80 is embedded too, for GPUs of the future. Code for Blackwell lies in images of its own: it
# is of a format that older drivers do not know, and they need not look at it. configure says by what:
#   CUDA_COMPILER      options of ptx.py that name the compiler; empty: there is none, and no kernels
#   CUDA_KNOWN         architectures that it can make code for
#   CUDA_DRIVER        the oldest driver that loads what it makes
#   PTXAS              a command that assembles PTX; PTXAS_BLACKWELL: the same for BLACKWELL
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later

# The same for every system that the library is built for.
GPU_CODE := $(if $(filter windows,$(TARGET)),build,$(B))/obj

KERNELS := $(sort $(patsubst kernels/cuda/%.cu,%,$(wildcard kernels/cuda/*.cu)))
# The code of sm_80 runs on 8.6 and 8.9, but not as fast as code of their own.
ARCHITECTURES := 75 80 86 89 90 100 120

BLACKWELL := 100 120

# What a file needs: sm_90a for conv_wgmma.cu, sm_80 for conv_mma.cu. The last is the default.
needed_conv_wgmma := $(if $(filter 90,$(ARCHITECTURES)),90a)
needed_conv_mma   := $(filter-out 75,$(ARCHITECTURES))
architectures = $(filter $(CUDA_KNOWN),$(if $(filter conv_wgmma conv_mma,$(1)),$(needed_$(1)),$(ARCHITECTURES)))
# $(1): an architecture; the one whose PTX its code is made from.
virtual = $(if $(filter 75 90a,$(1)),$(1),80)
# The PTX of a file that is embedded: none of what only one GPU can run.
embedded_ptx = $(if $(filter conv_wgmma,$(1)),,80)
# $(1): an image, which is a file's name, or that with _blackwell; what it is packed from.
cubins = $(patsubst %,$(GPU_CODE)/cubin/$(1).%.cubin,$(2))
pieces = $(call cubins,$(1),$(filter-out $(BLACKWELL),$(call architectures,$(1)))) \
    $(patsubst %,$(GPU_CODE)/ptx/$(1).%.ptx,$(call embedded_ptx,$(1)))
pieces_blackwell = $(call cubins,$(1),$(filter $(BLACKWELL),$(call architectures,$(1))))

# A compiler that cannot make a file at all (nvcc 11.8, conv_wgmma) leaves it out.
with_pieces = $(foreach k,$(KERNELS),$(if $(strip $(call $(1),$(k))),$(k)))
ifeq ($(CONFIG_CUDA)$(if $(CUDA_COMPILER),,none),yes)
IMAGES := $(call with_pieces,pieces)
IMAGES_BLACKWELL := $(call with_pieces,pieces_blackwell)
endif
FATBINS := $(IMAGES:%=$(GPU_CODE)/images/%.fatbin) $(IMAGES_BLACKWELL:%=$(GPU_CODE)/images/%_blackwell.fatbin)

# Nothing is compiled anew where configure chooses the same again.
CUDA_SETTINGS := $(GPU_CODE)/ptx/settings
$(CUDA_SETTINGS): FORCE
	@mkdir -p $(@D)
	@echo '$(CUDA_COMPILER) $(PTXAS) $(PTXAS_BLACKWELL)' | cmp -s - $@ || \
	    echo '$(CUDA_COMPILER) $(PTXAS) $(PTXAS_BLACKWELL)' > $@

# PTX that comes out as it was keeps its time, so that a change of a comment assembles nothing anew.
# $(1): architecture.
define ptx_rule
$(GPU_CODE)/ptx/%.$(1).stamp: kernels/cuda/%.cu build-aux/cuda/ptx.py $$(CUDA_SETTINGS)
	@mkdir -p $$(@D)
	@echo "  PTX   $$< ($(1))"
	@$$(PYTHON) build-aux/cuda/ptx.py $$(CUDA_COMPILER) --arch $(1) --depend $$(@:.stamp=.d) --target $$@ $$< $$(@:.stamp=.ptx)
	@touch $$@
$(GPU_CODE)/ptx/%.$(1).ptx: $(GPU_CODE)/ptx/%.$(1).stamp
	@:
endef
$(foreach a,75 80 90a,$(eval $(call ptx_rule,$(a))))
-include $(wildcard $(GPU_CODE)/ptx/*.d)

define cubin_rule
$(GPU_CODE)/cubin/%.$(1).cubin: $(GPU_CODE)/ptx/%.$(call virtual,$(1)).ptx
	@mkdir -p $$(@D)
	@$(if $(filter $(BLACKWELL),$(1)),$$(PTXAS_BLACKWELL),$$(PTXAS)) -arch=sm_$(1) $$< -o $$@
endef
$(foreach a,75 80 86 89 90 90a 100 120,$(eval $(call cubin_rule,$(a))))

# $(1): image, $(2): its pieces.
define fatbin_rule
$(GPU_CODE)/images/$(1).fatbin: $(2) build-aux/cuda/fatbin.py
	@mkdir -p $$(@D)
	@echo "  GPU   $$@"
	@$$(PYTHON) build-aux/cuda/fatbin.py $$@ $(2)
endef
$(foreach k,$(IMAGES),$(eval $(call fatbin_rule,$(k),$(call pieces,$(k)))))
$(foreach k,$(IMAGES_BLACKWELL),$(eval $(call fatbin_rule,$(k)_blackwell,$(call pieces_blackwell,$(k)))))

# The list that kernels/cuda/images.c embeds, a line IMAGE(name) for each.
FATBIN_LIST := $(GPU_CODE)/images/list.h
IMAGE_LINES := $(foreach k,$(IMAGES),'$(if $(filter $(k),$(IMAGES_BLACKWELL)),IMAGE_AND_BLACKWELL,IMAGE)($(k))')
$(FATBIN_LIST): FORCE
	@mkdir -p $(@D)
	@printf '%s\n' $(IMAGE_LINES) | cmp -s - $@ || printf '%s\n' $(IMAGE_LINES) > $@

# What the tests look at: the PTX of 80 and 90a.
ptx: $(foreach k,$(KERNELS),$(GPU_CODE)/ptx/$(k).$(if $(filter conv_wgmma,$(k)),90a,80).ptx)
.PHONY: ptx
.SECONDARY:

ifneq ($(IMAGES),)
IMAGE_OBJECTS := $(foreach build,obj sanitize/obj,$(B)/$(build)/kernels/cuda/images.o)
$(IMAGE_OBJECTS): $(FATBINS) $(FATBIN_LIST)
$(IMAGE_OBJECTS): BASE_CFLAGS += -DSBV_IMAGES='"$(GPU_CODE)/images"' -DSBV_IMAGE_LIST='"$(FATBIN_LIST)"' \
    -DSBV_IMAGE_DRIVER=$(CUDA_DRIVER)
endif
