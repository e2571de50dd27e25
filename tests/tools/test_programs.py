"""What holds for all programs of model/tools and model/training.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import TOP

PROGRAMS = sorted(path for folder in ("tools", "training") for path in (TOP / "model" / folder).glob("*.py")
                  if "__main__" in path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_a_missing_numpy_is_said(program: Path, tmp_path: Path) -> None:
    """In one line. PyTorch is of no use without it, and may be what is missed."""
    for name in ("numpy", "torch"):
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError({name!r})\n", encoding="utf-8")
    done = subprocess.run([sys.executable, program, "--help"], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.startswith(f"{program.stem}: ") and done.stderr.count("\n") == 1
    assert "is needed" in done.stderr or "are needed" in done.stderr
