# The build for Windows, on Linux, with the compiler of Debian's gcc-mingw-w64-x86-64: what users get is build/windows, one
# folder that needs no library but Windows' own; what that is made of is in build/mingw.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later

# What runs on this machine is built for it: the build for Windows is tested from that configuration too.
NATIVE_GOALS := demo bench fuzz install install-ffmpeg uninstall check-windows gpu-bundle check $(filter-out check-format check-wine,$(filter check-%,$(MAKECMDGOALS)))
ifneq ($(filter $(NATIVE_GOALS),$(if $(filter 0,$(MAKELEVEL)),$(MAKECMDGOALS))),)
$(error make $(firstword $(filter $(NATIVE_GOALS),$(MAKECMDGOALS))) is for this machine, and it is configured for Windows: run ./configure without --target first)
endif

SYSTEM := windows
EXE    := .exe
B      := build/mingw
OUT    := build/windows
PROGRAMS := $(OUT)
CROSS  := $(patsubst %gcc,%,$(lastword $(CC)))
AR     := $(CROSS)ar
STRIP  := $(CROSS)strip
DEPS   := $(B)/deps
MODEL_FOLDER := $(OUT)

# GCC takes the stack for aligned to the size of vectors, which on Windows it is not (its bug 54412): the assembler makes
# every move of a vector one that needs no alignment. The formats of printf are those of C.
TARGET_CFLAGS := -I$(DEPS)/include -Wa,-muse-unaligned-vector-move -D__USE_MINGW_ANSI_STDIO=1
LIBS    := -L$(DEPS)/lib -ljansson -lm -lpthread
PC_LIBS := -ljansson -lm -lpthread

LIBRARY := $(OUT)/selfblindvsr.dll
LIBRARY_BUILT := $(LIBRARY)
IMPORT  := $(OUT)/lib/libselfblindvsr.dll.a
LIBRARY_NEEDS := $(DEPS)/lib/libjansson.a
LIBRARY_BESIDES = $(IMPORT) $(OUT)/lib/libjansson.a
FFMPEG_NEEDS := $(DEPS)/lib/libx264.a

EXPORTS := $(B)/obj/exports.def
$(EXPORTS): model/include/selfblindvsr.h Makefile build-aux/windows.mak
	@mkdir -p $(@D)
	@{ echo "LIBRARY $(notdir $(LIBRARY))"; echo EXPORTS; $(PUBLIC_FUNCTIONS); } > $@

$(LIBRARY): $(EXPORTS) $(LIBRARY_NEEDS)
	@mkdir -p $(@D) $(dir $(IMPORT))
	@echo "  LINK  $@"
	@$(CC) -shared -static -s $(EXPORTS) -Wl,--out-implib,$(IMPORT) $(CONFIG_CFLAGS) $(LDFLAGS) $(OBJECTS) $(LIBS) -o $@.new
	@mv -f $@.new $@
$(IMPORT): $(LIBRARY)
	@:

$(DEPS)/lib/lib%.a: build-aux/windows/deps.sh
	+@CC='$(CC)' MAKE='$(MAKE)' build-aux/windows/deps.sh $* $(DEPS)
.PRECIOUS: $(DEPS)/lib/lib%.a
$(OUT)/lib/libjansson.a: $(DEPS)/lib/libjansson.a
	@mkdir -p $(@D)
	@cp $< $@

# ---- The folder, and an archive of it ----

FOLDER_TEXTS := $(OUT)/restore.bat $(OUT)/readme.txt
LICENCES := $(OUT)/licences
ZIP := build/selfblindvsr-$(VERSION)-windows-x86_64.zip

# With the ends of lines of Windows.
$(OUT)/restore.bat: build-aux/windows/restore.bat
	@mkdir -p $(@D)
	@sed 's/$$/\r/' $< > $@
$(OUT)/readme.txt: build-aux/windows/readme.txt $(PROGRAMS)/ffmpeg.exe
	@mkdir -p $(@D)
	@sed -e 's/@VERSION@/$(VERSION)/' -e "s/@FFMPEG@/$$(cat build/src/ffmpeg-$(FFMPEG_SERIES)/RELEASE)/" -e 's/$$/\r/' $< > $@

# Of all that is linked into the programs and the library.
$(LICENCES): LICENSE $(PROGRAMS)/ffmpeg.exe
	@rm -rf $@ && mkdir -p $@
	@cp LICENSE $@/selfblindvsr-LGPL-2.1.txt
	@cp build/src/ffmpeg-$(FFMPEG_SERIES)/COPYING.GPLv2 $@/ffmpeg-GPL-2.txt
	@cp build/src/ffmpeg-$(FFMPEG_SERIES)/LICENSE.md $@/ffmpeg.txt
	@cp $(DEPS)/licences/jansson.txt $(DEPS)/licences/x264.txt $@
	@cp /usr/share/doc/libz-mingw-w64-dev/copyright $@/zlib.txt
	@cp /usr/share/doc/mingw-w64-x86-64-dev/copyright $@/mingw-w64.txt

all: $(if $(filter none,$(FFMPEG_SERIES)),,$(FOLDER_TEXTS) $(LICENCES))

# What the archive holds, and nothing else that lies in the folder.
ZIPPED = $(PROGRAMS)/ffmpeg.exe $(PROGRAMS)/ffprobe.exe $(LIBRARY) $(STATIC) $(HEADER) $(PKGCONFIG) $(LIBRARY_BESIDES) \
         $(MODELS:%=$(MODEL_FOLDER)/%) $(FOLDER_TEXTS) $(LICENCES)

windows-zip: all
	@command -v zip >/dev/null || { echo "make windows-zip needs zip (package zip)" >&2; exit 1; }
	@rm -f $(ZIP) $(ZIP:.zip=) && ln -s $(notdir $(OUT)) $(ZIP:.zip=)
	@cd build && zip -q -r $(notdir $(ZIP)) $(patsubst $(OUT)/%,$(notdir $(ZIP:.zip=))/%,$(ZIPPED))
	@rm -f $(ZIP:.zip=)
	@echo "  $(ZIP) is ready"
.PHONY: windows-zip
