# The build for this machine: a shared library for Linux, or for macOS, on which nothing of this was ever run.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later

SYSTEM := posix
STRIP  := true
TARGET_CFLAGS := -fPIC -fvisibility=hidden
LIBRARY_BUILT = $(OUT)/lib/$(LIBRARY_FILE)
MODEL_FOLDER := $(OUT)/share/selfblindvsr

ifeq ($(shell uname -s),Darwin)
LIBS := -ljansson -lm -lpthread
LIBRARY := $(OUT)/lib/libselfblindvsr.dylib
LIBRARY_FILE := libselfblindvsr.$(SOVERSION).dylib
LIBRARY_RELEASE := libselfblindvsr.$(VERSION).dylib
LINK_SHARED = -dynamiclib -Wl,-install_name,@rpath/$(LIBRARY_FILE) -Wl,-exported_symbols_list,$(EXPORTS)
else
LIBS := -ljansson -lm -lpthread -ldl
LIBRARY := $(OUT)/lib/libselfblindvsr.so
LIBRARY_FILE := libselfblindvsr.so.$(SOVERSION)
LIBRARY_RELEASE := libselfblindvsr.so.$(VERSION)
LINK_SHARED = -shared -Wl,-soname,$(LIBRARY_FILE) -Wl,-z,defs -Wl,--version-script=$(EXPORTS)
endif
PC_LIBS := $(LIBS)

# Visibility alone does not hide functions with clones.
EXPORTS := $(B)/obj/exports.map
$(EXPORTS): model/include/selfblindvsr.h Makefile build-aux/native.mak
	@mkdir -p $(@D)
ifeq ($(shell uname -s),Darwin)
	@$(PUBLIC_FUNCTIONS) | sed 's/^/_/' > $@
else
	@{ echo '{ global:'; $(PUBLIC_FUNCTIONS) | sed 's/$$/;/'; echo 'local: *; };'; } > $@
endif

$(LIBRARY_BUILT): $(EXPORTS)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(LINK_SHARED) $(CONFIG_CFLAGS) $(LDFLAGS) $(OBJECTS) $(LIBS) -o $@.new
	@mv -f $@.new $@

$(LIBRARY): $(LIBRARY_BUILT)
	@ln -sf $(<F) $@
