"""tests/support/run_test.sh, which `make check` runs each program of tests with.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from conftest import TOP


def run(tmp_path: Path, program: str, **environment: str) -> tuple[int, str]:
    """Its status and what it says, for a program of these lines of shell."""
    logs, path = tmp_path / "logs", tmp_path / "programs/test_x"
    logs.mkdir(exist_ok=True)
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{program}\n")
    path.chmod(0o755)
    done = subprocess.run([TOP / "tests/support/run_test.sh", logs, path.parent, path.name], capture_output=True, text=True,
                          check=False, env={**os.environ, **environment})
    assert not done.stderr
    return done.returncode, done.stdout


def test_passes(tmp_path: Path) -> None:
    program = 'echo "ok 1 - a"; echo "ok 2 - b # SKIP no b"; echo "TAP is $CMOCKA_MESSAGE_OUTPUT"'
    assert run(tmp_path, program) == (0, "  PASS  test_x (2 tests)\nok 2 - b # SKIP no b\n")
    assert "TAP is TAP" in (tmp_path / "logs/test_x.log").read_text()
    assert not (tmp_path / "logs/failed").exists()


def test_is_skipped(tmp_path: Path) -> None:
    assert run(tmp_path, "echo no such processor; exit 77") == (0, "  SKIP  test_x: no such processor\n")
    assert (tmp_path / "logs/test_x.log").read_text().endswith("1..0 # SKIP no such processor\n")


@pytest.mark.parametrize("program, status, environment", [
    ("echo 'not ok 1 - a'; exit 1", 1, {}),
    ("kill -SEGV $$", 139, {}),
    ("exit 0", 1, {}),
    ("echo 'ok - avx2'", 1, {"NEEDS": "^ok - neon"}),
], ids=["fails", "crashes", "says nothing", "ran something else"])
def test_fails(tmp_path: Path, program: str, status: int, environment: dict[str, str]) -> None:
    code, text = run(tmp_path, program, **environment)
    assert code == 1 and text.endswith(f"  FAIL  test_x (status {status})\n"), text
    assert (tmp_path / "logs/failed").read_text() == "test_x\n"


def test_for_another_processor(tmp_path: Path) -> None:
    program = "echo 'ok - neon'; echo '# skip sse2'"
    assert run(tmp_path, program, RUNNER="/bin/sh", NEEDS="^ok - neon") == (0, "  PASS  test_x (1 tests)\n")
