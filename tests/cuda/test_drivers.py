"""What a session says and does on the drivers and GPUs that people have, played by the emulated driver: one that does not
load the kernels, a GPU without tensor cores for them and no cuBLAS or one that does not work, a GPU that is not there.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from conftest import TIMEOUT, TOP, Models, no_gpu_code
from golden_cases import GOLDEN

if no_gpu_code():
    pytest.skip(no_gpu_code(), allow_module_level=True)

EMULATOR = TOP / "build/emu"
FALLBACK = TOP / "build/tests/fallback"
DEPTHS = TOP / "build/tests/depths"
MODEL = GOLDEN / "three.bin"
RIGHT, REFUSED = 0, 3  # how tests/programs/fallback.c ends
NO_DRIVER_FOR_IT = {200: "CUDA_ERROR_INVALID_IMAGE", 209: "CUDA_ERROR_NO_BINARY_FOR_GPU",
                    222: "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"}


def run(*arguments: str, library: Path = EMULATOR, **settings: str) -> subprocess.CompletedProcess[str]:
    """The program on the emulated driver: auto or cuda, the precision; warnings are on standard error."""
    env = os.environ | {"LD_LIBRARY_PATH": str(library)} | settings
    return subprocess.run([FALLBACK, MODEL, *arguments], env=env, capture_output=True, text=True, timeout=TIMEOUT,
                          check=False)


@pytest.mark.parametrize("driver, sm", [("12.0", "75"), ("12.0", "90"), ("12.2", "80"), ("12.2", "89"), ("12.4", "86"),
                                        ("13.0", "75"), ("13.0", "90")])
def test_drivers_that_load_it(driver: str, sm: str) -> None:
    done = run("cuda", "fp32", FAKE_CUDA_DRIVER=driver, FAKE_CUDA_SM=sm)
    assert done.returncode == RIGHT and done.stdout == "ok on cuda, 0 warnings\n", done.stdout + done.stderr


@pytest.mark.parametrize("driver, sm", [("12.2", "120"), ("12.8", "100"), ("13.0", "120")])
def test_blackwell(driver: str, sm: str) -> None:
    """A driver that does not know the machine code compiles the PTX."""
    done = run("cuda", "fp32", FAKE_CUDA_DRIVER=driver, FAKE_CUDA_SM=sm)
    assert done.returncode == RIGHT and done.stdout == "ok on cuda, 0 warnings\n", done.stdout + done.stderr


@pytest.mark.parametrize("call", ["1", "2"])
@pytest.mark.parametrize("code", NO_DRIVER_FOR_IT)
def test_driver_that_does_not_load_it(code: int, call: str) -> None:
    """The CPU goes on, but not without a word: the warning names the driver, its version and the one that is needed."""
    if code == 209 and call == "2":
        pytest.skip("a file without code for a GPU is left out")
    fault = {"FAKE_CUDA_FAIL": f"cuModuleLoadData:{call}:{code}:sticky", "FAKE_CUDA_DRIVER": "12.2", "FAKE_CUDA_SM": "86"}
    words = ("Emulated GPU (sm_86) (compute capability 8.6): its driver (of CUDA 12.2, 535) does not load the kernels, "
             "which need driver 525 or later")
    done = run("auto", "fp32", **fault)
    assert done.returncode == RIGHT and done.stdout == "ok on cpu, 1 warnings\n", done.stdout + done.stderr
    assert f"warning: working on the CPU: {words}" in done.stderr and f"({NO_DRIVER_FOR_IT[code]})" in done.stderr
    done = run("cuda", "fp32", **fault)
    assert done.returncode == REFUSED and done.stdout.startswith(f"CUDA cannot be used: {words}")


def test_gpu_that_is_too_old() -> None:
    done = run("auto", "fp32", FAKE_CUDA_SM="61")
    assert done.returncode == RIGHT and done.stdout == "ok on cpu, 1 warnings\n", done.stdout + done.stderr
    assert "compute capability 6.1, at least 7.5 is needed" in done.stderr


@pytest.mark.parametrize("settings", [{"FAKE_CUDA_DEVICES": "0"}, {"FAKE_CUDA_FAIL": "cuInit:1:100:sticky"}])
def test_no_gpu_is_no_news(settings: dict[str, str]) -> None:
    """A driver without a GPU: containers have that, and build machines."""
    done = run("auto", "fp32", **settings)
    assert done.returncode == RIGHT and done.stdout == "ok on cpu, 0 warnings\n", done.stdout + done.stderr


def libraries(folder: Path, *names: str) -> Path:
    """A folder with the emulated driver, and its cuBLAS under these names."""
    (folder / "libcuda.so.1").symlink_to(EMULATOR / "libcuda.so.1")
    for name in names:
        (folder / name).symlink_to(EMULATOR / "libcublas.so.13")
    return folder


def test_turing_without_cublas(tmp_path: Path) -> None:
    """No driver brings cuBLAS: fp32 needs none."""
    library = libraries(tmp_path)
    done = run("cuda", "auto", library=library, FAKE_CUDA_SM="75")
    assert done.returncode == RIGHT and done.stdout == "ok on cuda, 1 warnings\n", done.stdout + done.stderr
    assert "working in fp32, which is slower: Emulated GPU (sm_75) (compute capability 7.5)" in done.stderr
    assert "libcublas.so.13, .12 or .11" in done.stderr
    done = run("auto", "fp16", library=library, FAKE_CUDA_SM="75")
    assert done.returncode == REFUSED and "fp16 need cuBLAS" in done.stdout, done.stdout + done.stderr
    done = run("cuda", "auto", library=library, FAKE_CUDA_SM="80")
    assert done.returncode == RIGHT and done.stdout == "ok on cuda, 0 warnings\n", done.stdout + done.stderr


@pytest.mark.parametrize("status", [1, 8, 14])
def test_cublas_that_does_not_work(status: int, tmp_path: Path) -> None:
    """One of a later CUDA than the driver is loaded and works on no device: an older one does."""
    library = libraries(tmp_path, "libcublas.so.13", "libcublas.so.12")
    fault = {"FAKE_CUDA_FAIL": f"cublasCreate:1:{status}", "FAKE_CUDA_SM": "75"}
    done = run("cuda", "auto", library=library, **fault)
    assert done.returncode == RIGHT and done.stdout == "ok on cuda, 0 warnings\n", done.stdout + done.stderr
    (library / "libcublas.so.12").unlink()
    done = run("cuda", "auto", library=library, **fault)
    assert done.returncode == RIGHT and done.stdout == "ok on cuda, 1 warnings\n", done.stdout + done.stderr


def test_depth_is_not_recorded(models: Models) -> None:
    """A clip of 10 bits after one of 8 bits in one session: where refinement stops depends on the depth, and what was
    recorded for the first clip must not be used for the second."""
    env = os.environ | {"LD_LIBRARY_PATH": str(EMULATOR)}
    for backend in ("cpu", "cuda"):
        done = subprocess.run([DEPTHS, models.plain, backend], env=env, capture_output=True, text=True, timeout=TIMEOUT,
                              check=False)
        assert done.returncode == 0, (backend, done.stdout + done.stderr)
