# `make format` formats the tree, `make check-format` says what is not formatted. The rules are in .clang-format and
# setup.cfg.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later

CLANG_FORMAT := clang-format
# Other versions format some things otherwise.
CLANG_FORMAT_VERSION := 14
FLAKE8       := flake8
C_FILES       = $(shell git ls-files '*.c' '*.h' '*.cu' '*.cuh' '*.cpp')

format:
	@$(CLANG_FORMAT) -i $(C_FILES)

check-format:
	@echo "Formatting"
	@if ! git rev-parse --is-inside-work-tree >/dev/null 2>&1; then \
	    echo "  SKIP  check-format: this is no git checkout"; \
	elif ! $(CLANG_FORMAT) --version 2>/dev/null | grep -q 'version $(CLANG_FORMAT_VERSION)\.'; then \
	    echo "  SKIP  check-format, C and CUDA: there is no clang-format $(CLANG_FORMAT_VERSION)"; \
	else \
	    $(CLANG_FORMAT) --dry-run -Werror $(C_FILES) && echo "  PASS  C and CUDA"; \
	fi
	@if ! command -v $(FLAKE8) >/dev/null; then \
	    echo "  SKIP  check-format, Python: there is no flake8"; \
	else \
	    $(FLAKE8) model tests build-aux && echo "  PASS  Python"; \
	fi
.PHONY: format check-format
