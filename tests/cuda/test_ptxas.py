"""The kernels as nvcc compiles them, for every GPU they are made for: no register is spilled and no array ends up in
memory, which costs a convolution a multiple of its time.

Needs nvcc (CUDA 13); its own folder, PATH or NVCC says where it is. No GPU is needed.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

TOP = Path(__file__).resolve().parents[2]
KERNELS = sorted((TOP / "kernels" / "cuda").glob("*.cu"))
LIST = TOP / "kernels" / "cuda" / "kernels.h"  # what the backend looks for
NVCC = os.environ.get("NVCC") or shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
TIMEOUT = 600  # seconds for one file

# What ptxas -v says about a kernel.
USAGE = re.compile(r"Compiling entry function '(?P<kernel>\w+)' for '(?P<target>\w+)'.*?"
                   r"(?P<frame>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
                   r"(?P<loads>\d+) bytes spill loads", re.DOTALL)

pytestmark = pytest.mark.skipif(NVCC is None, reason="there is no nvcc")


class Usage(NamedTuple):
    """The memory of a thread, in bytes, that a kernel takes for what registers do not hold."""
    kernel: str
    target: str
    frame: int
    stores: int
    loads: int


def targets(name: str) -> list[str]:
    """What the Makefile compiles a file for, of the GPUs with tensor cores that the convolutions use."""
    if name == "conv_wgmma":
        return ["90a"]
    line = re.search(r"^ARCHITECTURES := (.*)$", (TOP / "Makefile").read_text(), re.MULTILINE)
    assert line, "the Makefile says which GPUs the kernels are compiled for"
    return line[1].split()


def compile_for(source: Path, architectures: list[str], folder: Path) -> list[Usage]:
    """Compiles with the flags of the Makefile. One line for each kernel and target."""
    command = [NVCC, "-std=c++17", "-O3", f"-I{TOP}", "-Xptxas", "-v", "-fatbin", str(source), "-o",
               str(folder / "kernels.fatbin")]
    for target in architectures:
        command += ["-gencode", f"arch=compute_{target},code=sm_{target}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done.stderr
    return [Usage(found["kernel"], found["target"], int(found["frame"]), int(found["stores"]), int(found["loads"]))
            for found in USAGE.finditer(done.stdout + done.stderr)]


@pytest.mark.parametrize("source", KERNELS, ids=[path.stem for path in KERNELS])
def test_nothing_but_registers(source: Path, tmp_path: Path) -> None:
    architectures = targets(source.stem)
    usage = compile_for(source, architectures, tmp_path)
    compiled = {u.kernel for u in usage}
    assert compiled
    assert compiled <= set(re.findall(r'"(sbv_\w+)"', LIST.read_text()))
    assert {(u.kernel, u.target) for u in usage} == {(k, f"sm_{a}") for k in compiled for a in architectures}
    assert not [u for u in usage if u.frame or u.stores or u.loads]


def test_an_array_in_memory_is_seen(tmp_path: Path) -> None:
    source = tmp_path / "array.cu"
    source.write_text('extern "C" __global__ void indexed(int *p)\n'
                      "{\n"
                      "    int array[64];\n"
                      "    for (int i = 0; i < 64; i++)\n"
                      "        array[p[i] & 63] = p[i + 64];\n"
                      "    p[0] = array[p[1] & 63];\n"
                      "}\n")
    (usage,) = compile_for(source, ["80"], tmp_path)
    assert usage.kernel == "indexed" and usage.target == "sm_80" and usage.frame >= 256
