"""The compiler of the GPU kernels: what configure makes of an nvcc, and of a network that is not there; that PTX is made old.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TIMEOUT, TOP

TOOLS = TOP / "build-aux/cuda"
sys.path.append(str(TOOLS))
import ptx  # noqa: E402

# An nvcc that compiles to as much as a pipe does not hold, in the newest format.
NVCC = r"""#!/bin/sh
case $1 in
--version) echo "Cuda compilation tools, release {version}, V{version}.1" ;;
--list-gpu-code) printf 'sm_%s\n' {codes} ;;
*)
    while [ "$1" != -o ]; do shift; done
    printf '//\n.version 9.0\n.target sm_80\n\t.pragma "used_bytes_mask 0xff";\n' >"$2"
    head -c 300000 /dev/zero | tr '\0' '\n' >>"$2"
    ;;
esac
"""


def write_nvcc(folder: Path, version: str, codes: str) -> Path:
    nvcc = folder / "nvcc"
    nvcc.write_text(NVCC.format(version=version, codes=codes))
    nvcc.chmod(0o755)
    return nvcc


def settings(nvcc: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([TOOLS / "nvcc-settings.sh", nvcc], capture_output=True, text=True, timeout=TIMEOUT, check=False)


@pytest.mark.parametrize("version, codes, known, driver", [
    ("11.8", "50 52 75 80 86 87 89 90", "75 80 86 89 90", "520"),
    ("12.0", "50 75 80 86 87 89 90", "75 80 86 89 90 90a", "525"),
    ("12.6", "50 75 80 86 87 89 90 90a", "75 80 86 89 90 90a", "525"),
    ("13.0", "75 80 86 87 88 89 90 100 103 110 120 121", "75 80 86 89 90 90a 100 120", "580"),
])
def test_settings_of_an_nvcc(version: str, codes: str, known: str, driver: str, tmp_path: Path) -> None:
    done = settings(write_nvcc(tmp_path, version, codes))
    assert done.returncode == 0 and done.stderr == ""
    assert f"\nCUDA_KNOWN := {known}\nCUDA_DRIVER := {driver}\n" in done.stdout
    assert ("without the fast convolutions of Hopper" in done.stdout) == ("90a" not in known)


@pytest.mark.parametrize("version, codes, words", [("11.7", "75 80", "is of CUDA 11.7, and the kernels need 11.8 or later"),
                                                   ("11.8", "50 60", "lists no GPU that the kernels run on")])
def test_an_nvcc_that_will_not_do(version: str, codes: str, words: str, tmp_path: Path) -> None:
    done = settings(write_nvcc(tmp_path, version, codes))
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and words in done.stderr


def test_no_nvcc_at_all() -> None:
    done = settings(Path(sys.executable))
    assert done.returncode == 1 and "cannot be run, or is no nvcc" in done.stderr


def test_long_ptx_of_an_nvcc_is_made_old(tmp_path: Path) -> None:
    source, out = tmp_path / "long.cu", tmp_path / "long.80.ptx"
    source.write_text("")
    done = subprocess.run([sys.executable, TOOLS / "ptx.py", "--nvcc", write_nvcc(tmp_path, "13.0", "80"), "--arch", "80",
                           source, out], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done.stderr
    text = out.read_text()
    assert text.startswith("//\n.version 7.8\n.target sm_80\n\n") and len(text) > 300000 and "pragma" not in text


def test_versions_of_ptx() -> None:
    assert ".version 8.0\n" in ptx.made_old(".version 8.4\n", "90a")
    assert ".version 7.8\n" in ptx.made_old(".version 8.4\n", "75")
    assert ".version 7.5\n" in ptx.made_old(".version 7.5\n", "80")
    with pytest.raises(ptx.CompileError):
        ptx.made_old("no PTX", "80")


def test_without_a_network(tmp_path: Path) -> None:
    """One line says what could not be had; nothing half-made is left."""
    env = os.environ | {"SBV_CACHE": str(tmp_path / "cache"), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    done = subprocess.run([sys.executable, TOOLS / "fetch.py", tmp_path / "compiler"], env=env, capture_output=True, text=True,
                          timeout=TIMEOUT, check=False)
    assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1
    assert "nvidia-cuda-nvrtc-cu12 12.4.127" in done.stderr or "there is no pip" in done.stderr
    assert not (tmp_path / "compiler").exists()
