"""Allocations that fail while the CUDA backend works: each of the library's once, and each of the driver's, of the device and
of pinned memory. Either the pictures are right or there is one message, and nothing is lost or leaks.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import TIMEOUT, TOP, no_gpu_code

if no_gpu_code():
    pytest.skip(no_gpu_code(), allow_module_level=True)

PROGRAM = TOP / "build/tests/test_allocation"
OUT_OF_MEMORY = 2


def run(report: Path, *arguments: str, **settings: str) -> str:
    """Runs it on the emulated driver; returns the report of the driver."""
    environment = os.environ | {"LD_LIBRARY_PATH": str(TOP / "build/emu"), "FAKE_CUDA_REPORT": str(report),
                                "CMOCKA_MESSAGE_OUTPUT": "STDOUT"} | settings
    done = subprocess.run([PROGRAM, *arguments], env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, f"{arguments} {settings}\n{done.stdout}{done.stderr}"
    lines = report.read_text().splitlines()
    assert "end" in lines and not [line for line in lines if line.startswith(("misuse", "leak"))], (settings, lines)
    return "\n".join(lines)


@pytest.mark.parametrize("backend", ["cuda", "auto"])
def test_those_of_the_library(backend: str, tmp_path: Path) -> None:
    text = run(tmp_path / "report", backend)
    assert "launches " in text


@pytest.mark.parametrize("backend", ["cuda", "auto"])
def test_those_of_the_driver(backend: str, tmp_path: Path) -> None:
    words = [line.split() for line in run(tmp_path / "report", backend, "once").splitlines()]
    counts = {word[1]: int(word[2]) for word in words if word[0] == "calls" and "Alloc" in word[1]}
    assert {"cuMemAlloc", "cuMemHostAlloc"} <= set(counts)
    faults = [f"{function}:{call}:{OUT_OF_MEMORY}" for function, count in counts.items() for call in range(1, count + 1)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda fault: run(tmp_path / fault.replace(":", "-"), backend, "once", FAKE_CUDA_FAIL=fault), faults))
