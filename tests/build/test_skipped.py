"""skipped.py, which lists what `make check` skipped.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from conftest import TOP

PROGRAM = TOP / "tests/support/skipped.py"


def listed(*parts: Path) -> list[str]:
    done = subprocess.run([sys.executable, PROGRAM, *parts], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def part(folder: Path, name: str, **logs: str) -> Path:
    (folder / name).mkdir()
    for log, text in logs.items():
        (folder / name / f"{log.replace('_in_', '.')}.log").write_text(text)
    return folder / name


def test_tap(tmp_path: Path) -> None:
    unit = part(tmp_path, "unit", test_ops="1..2\nok 1 - conv\n# skip avx512: not here\nok 2 - warp\n",
                test_amx="no AMX: not Linux\n1..0 # SKIP no AMX: not Linux\n")
    assert listed(unit) == ["Skipped: 2", "  unit: no AMX: not Linux", "      test_amx",
                            "  unit: not here", "      test_ops: avx512"]


def test_what_another_run_ran_is_not_skipped(tmp_path: Path) -> None:
    cuda = part(tmp_path, "cuda", ops_in_sm90="ok 1 - a\nok 2 - b\n",
                ops_in_sm80="ok 1 - a # SKIP old\nok 2 - c # SKIP old\n")
    assert listed(cuda) == ["Skipped: 1", "  cuda: old", "      ops: c"]
    unit = part(tmp_path, "unit", ops="ok 1 - conv\n# skip neon: no\n")
    neon = part(tmp_path, "neon", ops="ok - neon: conv\n")
    assert listed(unit, neon) == ["Nothing was skipped."] and len(listed(unit)) == 3


def test_pytest(tmp_path: Path) -> None:
    """Cases with their number, modules of which nothing is read."""
    for name, text in (("test_cases", "import pytest\n@pytest.mark.parametrize('x', (1, 2))\ndef test_x(x):\n"
                                      "    pytest.skip('no x')\ndef test_y():\n    pass\n"),
                       ("test_module", "import pytest\npytest.importorskip('no_such_module')\n")):
        (tmp_path / f"{name}.py").write_text(text)
    python = part(tmp_path, "python")
    subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={python}/python.xml",
                    tmp_path], capture_output=True, check=True)
    assert sorted(listed(python)) == sorted([
        "Skipped: 3", "  python: no x", "      test_cases: test_x (2 cases)",
        "  python: could not import 'no_such_module': No module named 'no_such_module'", "      test_module"])


def test_a_part_without_a_log_was_not_run(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, PROGRAM, part(tmp_path, "unit")], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 1 and "unit: no log" in done.stderr and done.stderr.count("\n") == 1
