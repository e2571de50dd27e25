"""Every file of Python tests is one that `make check` runs: pytest leaves out folders of some names, "build" among them.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent


def test_every_file_is_collected() -> None:
    done = subprocess.run([sys.executable, "-m", "pytest", "--collect-only", "-qq", "-p", "no:cacheprovider", "tests"],
                          cwd=TESTS.parent, capture_output=True, text=True, check=False)
    collected = {line.rpartition(":")[0] for line in done.stdout.splitlines()}
    files = {str(path.relative_to(TESTS.parent)) for path in TESTS.rglob("test_*.py")}
    missing = {path for path in files - collected if "importorskip" not in (TESTS.parent / path).read_text()}
    assert not missing, done.stdout[-2000:]
