# The build for Windows, on Linux, with the compiler of Debian's gcc-mingw-w64-x86-64: what users get is build/windows, one
# folder that needs no library but Windows' own; what that is made of is in build/mingw.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later

SYSTEM := windows
EXE    := .exe
B      := build/mingw
OUT    := build/windows
PROGRAMS := $(OUT)
CROSS  := $(patsubst %gcc,%,$(lastword $(CC)))
AR     := $(CROSS)ar
STRIP  := $(CROSS)strip
DEPS   := $(B)/deps
DEFAULT_MODEL := $(OUT)/default.bin

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

windows-zip: all
	@rm -f $(ZIP) $(ZIP:.zip=) && ln -s $(notdir $(OUT)) $(ZIP:.zip=)
	@cd build && zip -q -r $(notdir $(ZIP)) $(notdir $(ZIP:.zip=))
	@rm -f $(ZIP:.zip=)
	@echo "  $(ZIP) is ready"
.PHONY: windows-zip

# ---- Tests ----

# Those that ask nothing of the system that Windows, or Wine, does not have.
WINE := build-aux/windows/wine.sh
WINDOWS_TESTS := test_ops test_ops_winograd test_blur_ops test_colour test_network test_frames test_blur_file test_config test_os
WINDOWS_PROGRAMS = $(WINDOWS_TESTS:%=$(B)/tests/%.exe)

$(B)/tests/%.exe: %.c $(TEST_HELPERS) tests/cross/windows.h $(STATIC) $(DEPS)/lib/libcmocka.a
	@mkdir -p $(@D)
	@echo "  TEST  $< (Windows)"
	@$(CC) $(TEST_CFLAGS) $(TARGET_CFLAGS) -include tests/cross/windows.h -O1 $< tests/support/guarded.c $(STATIC) -lcmocka $(LIBS) \
	    -static -o $@

# As a user would, by the header and the DLL.
$(B)/tests/example.exe: tests/programs/example.c $(LIBRARY) $(IMPORT) $(HEADER)
	@mkdir -p $(@D)
	@echo "  TEST  $< (Windows)"
	@$(CC) $(WARNINGS) -I$(OUT)/include $< -L$(OUT)/lib -lselfblindvsr -o $@

check-wine: library $(WINDOWS_PROGRAMS) $(B)/tests/example.exe lean-$(lastword $(shell build-aux/series.sh))
	@failed=; for test in $(WINDOWS_TESTS); do \
	    log=$(LOGS)/windows/$$test.log; CMOCKA_MESSAGE_OUTPUT=TAP $(WINE) $(B)/tests/$$test.exe > $$log 2>&1; status=$$?; \
	    case $$status in \
	    0) echo "  PASS  $$test ($$(grep -c '^ok' $$log) tests)"; grep -i '# *skip' $$log || : ;; \
	    *) cat $$log; echo "  FAIL  $$test (status $$status)"; failed="$$failed $$test" ;; \
	    esac; done; \
	if [ -n "$$failed" ]; then echo "Failed:$$failed" >&2; exit 1; fi
	@$(PYTHON) -m pytest -q -rs -p no:cacheprovider --junitxml=$(LOGS)/windows/python.xml tests/windows
.PHONY: check-wine
