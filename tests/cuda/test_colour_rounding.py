"""colour.cu gives the bits of kernels/reference/colour.c, which no emulator can show: nvcc contracts a product and the sum behind
it to one operation with one rounding, unless the product is written as product().

Needs nvcc (CUDA 13); its own folder, PATH or NVCC says where it is. No GPU is needed.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
NVCC = os.environ.get("NVCC") or shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")

pytestmark = pytest.mark.skipif(NVCC is None, reason="there is no nvcc")


def test_every_product_is_rounded(tmp_path: Path) -> None:
    ptx = tmp_path / "colour.ptx"
    command = [NVCC, "-std=c++17", "-O3", f"-I{TOP}", "-arch=sm_80", "-ptx", "kernels/cuda/colour.cu", "-o", str(ptx)]
    done = subprocess.run(command, cwd=TOP, text=True, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    # mul.rn.f32 is never contracted; mul.f32 may be, and fma.rn.f32 was.
    products = re.findall(r"\b(?:mul|fma)(?:\.\w+)*\.f32\b", ptx.read_text())
    assert products and set(products) == {"mul.rn.f32"}
