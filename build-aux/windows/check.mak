# The tests of the build for Windows, under Wine: what `make check-windows` runs.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later

# Those that ask nothing of the system that Windows, or Wine, does not have.
WINE := build-aux/windows/wine.sh
WINDOWS_TESTS := test_ops test_ops_winograd test_blur_ops test_network test_frames test_blur_file test_config test_os
WINDOWS_PROGRAMS = $(WINDOWS_TESTS:%=$(B)/tests/%.exe)

$(B)/tests/%.exe: %.c $(TEST_HELPERS) tests/cross/windows.h $(TEST_HEADERS) $(STATIC) $(DEPS)/lib/libcmocka.a
	@mkdir -p $(@D)
	@echo "  TEST  $< (Windows)"
	@$(CC) $(TEST_CFLAGS) $(TARGET_CFLAGS) -include tests/cross/windows.h -O1 $< tests/support/guarded.c tests/support/temporary.c $(STATIC) -lcmocka $(LIBS) \
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
