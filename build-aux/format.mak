# `make format` formats the tree, `make check-format` says what is not formatted. The rules are in .clang-format and
# setup.cfg.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later

CLANG_FORMAT := clang-format
# Other versions format some things otherwise.
CLANG_FORMAT_VERSION := 14
FLAKE8       := flake8
C_FILES       = $(shell git ls-files --cached --others --exclude-standard '*.c' '*.h' '*.cu' '*.cuh' '*.cpp')

format:
	@$(CLANG_FORMAT) -i $(C_FILES)

check-format:
	@echo "Formatting"
	@rm -rf $(LOGS)/format && mkdir -p $(LOGS)/format
	@if ! git rev-parse --is-inside-work-tree >/dev/null 2>&1; then \
	    echo "1..0 # SKIP this is no git checkout" | tee $(LOGS)/format/c.log; \
	elif ! $(CLANG_FORMAT) --version 2>/dev/null | grep -q 'version $(CLANG_FORMAT_VERSION)\.'; then \
	    echo "1..0 # SKIP there is no clang-format $(CLANG_FORMAT_VERSION)" | tee $(LOGS)/format/c.log; \
	else \
	    $(CLANG_FORMAT) --dry-run -Werror $(C_FILES) && echo "ok - C and CUDA" >$(LOGS)/format/c.log && echo "  PASS  C and CUDA"; \
	fi
	@if ! command -v $(FLAKE8) >/dev/null; then \
	    echo "1..0 # SKIP there is no flake8" | tee $(LOGS)/format/python.log; \
	else \
	    $(FLAKE8) model tests build-aux farm farm/upscale && echo "ok - Python" >$(LOGS)/format/python.log && echo "  PASS  Python"; \
	fi
.PHONY: format check-format
