"""The CUDA backend as a whole, on the emulated driver of build/emu: the golden networks in every precision and on every
kind of device, and what becomes of a session when the driver fails.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Iterator

import pytest

from conftest import TIMEOUT, TOP, no_gpu_code
from golden_cases import GOLDEN, OWN, SHARED, SHARED_CASES
from lib import model_file

if no_gpu_code():
    pytest.skip(no_gpu_code(), allow_module_level=True)

EMULATOR = TOP / "build/emu"
STAGES = TOP / "build/tests/golden_stages"
FALLBACK = TOP / "build/tests/fallback"
MODEL = GOLDEN / "three.bin"

RIGHT, REFUSED = 0, 3  # how tests/programs/fallback.c ends


def run(command: list, report: Path, **settings: str) -> subprocess.CompletedProcess:
    """Runs a program on the emulated driver, whose report is read by complaints() and calls()."""
    env = os.environ | {"LD_LIBRARY_PATH": str(EMULATOR), "FAKE_CUDA_REPORT": str(report)} | settings
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=TIMEOUT, check=False)


def complaints(report: Path) -> list[str]:
    """What the driver found wrong; it must have lived to say that it found all."""
    lines = report.read_text().splitlines()
    return [line for line in lines if line.startswith(("misuse", "leak"))] + ([] if "end" in lines else ["no end"])


def calls(report: Path) -> dict[str, int]:
    words = [line.split() for line in report.read_text().splitlines()]
    return {word[1]: int(word[2]) for word in words if word[0] == "calls"}


def launches(report: Path) -> set[str]:
    return {line.split()[1] for line in report.read_text().splitlines() if line.startswith("launches ")}


# In fp32 the kernels are the same on every device. cuBLAS stands in for the tensor core kernels on the oldest.
@pytest.mark.parametrize("device, precision", [("80", "fp32"), ("75", "fp16"), ("80", "fp16"), ("90", "fp16")])
@pytest.mark.parametrize("case", OWN)
def test_golden(case: str, device: str, precision: str, tmp_path: Path) -> None:
    report = tmp_path / "report"
    done = run([STAGES, GOLDEN / f"{OWN[case]}.bin", GOLDEN / case, "cuda", precision], report, FAKE_CUDA_SM=device)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(stage in done.stdout for stage in ("flow", "feat_center", "warped_0", "fusion", "recons_feat", "recons"))
    assert complaints(report) == []


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no published-size goldens: {SHARED} is not there")
@pytest.mark.parametrize("case, precision", [("a", "fp16"), ("c", "fp16"), ("c", "fp32")])
def test_published_golden(case: str, precision: str, tmp_path: Path) -> None:
    """The published size, and the narrow variant of it that enlarges by two."""
    seed, layout, _ = SHARED_CASES[case]
    weights, model, report = tmp_path / "w.pkl", tmp_path / "w.bin", tmp_path / "report"
    subprocess.run([sys.executable, SHARED / "make_weights.py", str(seed), weights, layout], check=True)
    subprocess.run([sys.executable, TOP / "model/tools/convert.py", weights, "-o", model], check=True, capture_output=True)
    done = run([STAGES, model, SHARED / case, "cuda", precision], report)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "recons" in done.stdout and "kernel" in done.stdout and complaints(report) == []


def test_kernels_by_device(tmp_path: Path) -> None:
    """What each kind of device is meant to run is what runs."""
    used = {}
    for device in ("75", "80"):
        report = tmp_path / device
        assert run([FALLBACK, MODEL, "cuda", "fp16"], report, FAKE_CUDA_SM=device).returncode == RIGHT
        assert complaints(report) == [] and calls(report)["cuGraphLaunch"] > 10
        used[device] = launches(report)
    assert "sbv_conv_pad" in used["75"] and not any("gather" in kernel or "halo" in kernel for kernel in used["75"])
    assert "sbv_conv_pad" not in used["80"] and any("gather" in kernel or "halo" in kernel for kernel in used["80"])


@pytest.mark.parametrize("streams", ["lazy", "eager"])
@pytest.mark.parametrize("options", [["fp32"], ["fp16"], ["fp32", "16"]])
def test_clip(options: list[str], streams: str, tmp_path: Path) -> None:
    report = tmp_path / "report"
    done = run([FALLBACK, MODEL, "cuda", *options], report, FAKE_CUDA_STREAMS=streams)
    assert done.returncode == RIGHT and done.stdout == "ok on cuda, 0 warnings\n", done.stdout + done.stderr
    assert complaints(report) == []
    assert calls(report)["cuGraphLaunch"] > 10


@pytest.mark.parametrize("options", [["fp32", "0", "1"], ["fp32", "16", "20"], ["fp16", "0", "5"]])
def test_refined_clip(options: list[str], tmp_path: Path) -> None:
    """The picture is made in memory, refined and compared with the input, on the device."""
    report = tmp_path / "report"
    done = run([FALLBACK, MODEL, "cuda", *options], report)
    assert done.returncode == RIGHT and done.stdout == "ok on cuda, 0 warnings\n", done.stdout + done.stderr
    assert complaints(report) == [] and calls(report)["cuGraphLaunch"] > 10
    assert {"sbv_blur_up", "sbv_advance"} <= launches(report)
    assert not any("sbv_picture" in kernel for kernel in launches(report))


def test_moved_clip(tmp_path: Path) -> None:
    """A model whose picture is moved to its place."""
    report, model = tmp_path / "report", tmp_path / "topleft.bin"
    tensors, metadata = model_file.read(MODEL)
    model_file.write(model, tensors, metadata | {"phase": "topleft"})
    for options in (["fp32"], ["fp16"], ["fp32", "16", "2"]):
        done = run([FALLBACK, model, "cuda", *options], report)
        assert done.returncode == RIGHT and done.stdout == "ok on cuda, 0 warnings\n", done.stdout + done.stderr
        assert complaints(report) == [] and "sbv_resize_moved" in launches(report)


def test_device_lost_while_refining(tmp_path: Path) -> None:
    done = run([FALLBACK, MODEL, "auto", "fp32", "0", "2"], tmp_path / "report",
               FAKE_CUDA_FAIL="cuGraphLaunch:3:700:sticky")
    assert done.returncode == RIGHT and done.stdout == "ok on cpu, 1 warnings\n", done.stdout + done.stderr


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_modulated(precision: str, tmp_path: Path) -> None:
    """Weights that change in the middle of a stream, under recordings that go on."""
    report = tmp_path / "report"
    done = run([FALLBACK, GOLDEN / "modulated.bin", "cuda", precision], report)
    assert done.returncode == RIGHT and done.stdout == "ok on cuda, 0 warnings\n", done.stdout + done.stderr
    assert complaints(report) == [] and calls(report)["cuGraphLaunch"] > 10
    assert "sbv_blur_down" in launches(report) and "sbv_advance" not in launches(report)


@pytest.mark.parametrize("fault", ["cuGraphLaunch:17:700:sticky", "cuMemcpyHtoDAsync:25:719", "cuMemcpyDtoHAsync:3:700",
                                   "cuLaunchKernel:300:719"])
def test_device_lost_while_adapting(fault: str, tmp_path: Path) -> None:
    """The CPU goes on with the degradation that was found."""
    done = run([FALLBACK, GOLDEN / "modulated.bin", "auto", "fp32"], tmp_path / "report", FAKE_CUDA_FAIL=fault)
    assert done.returncode == RIGHT and done.stdout == "ok on cpu, 1 warnings\n", done.stdout + done.stderr


def test_no_driver() -> None:
    env = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    automatic = subprocess.run([FALLBACK, MODEL, "auto"], env=env, capture_output=True, text=True, check=False)
    assert automatic.returncode == RIGHT
    if automatic.stdout != "ok on cpu, 0 warnings\n":
        pytest.skip("this machine has a CUDA driver")
    forced = subprocess.run([FALLBACK, MODEL, "cuda"], env=env, capture_output=True, text=True, check=False)
    assert forced.returncode == REFUSED
    assert forced.stdout.startswith("CUDA cannot be used: libcuda.so.1") and forced.stdout.count("\n") == 1


def test_lost_device(tmp_path: Path) -> None:
    """A device that is lost in the middle: the CPU goes on, with one warning; or one error where CUDA was asked for."""
    fault = {"FAKE_CUDA_FAIL": "cuGraphLaunch:3:700:sticky"}
    done = run([FALLBACK, MODEL, "auto"], tmp_path / "auto", **fault)
    assert done.returncode == RIGHT and done.stdout == "ok on cpu, 1 warnings\n", done.stdout + done.stderr
    done = run([FALLBACK, MODEL, "cuda"], tmp_path / "cuda", **fault)
    assert done.returncode == REFUSED and "CUDA_ERROR_ILLEGAL_ADDRESS" in done.stdout, done.stdout + done.stderr


# The GPU computes in fp16, which the emulator does four times as fast; the CPU that takes over does not in bf16.
FP32_ON_CPU = {"SBV_CPU": "sse2"} if platform.machine() == "x86_64" else {}


def faults(counts: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Every function, in its first call and one in the middle: failing once with either backend choice, and for good."""
    for function, count in sorted(counts.items()):
        for call in sorted({1, count // 2 + 1}):
            code = "2" if "Alloc" in function else "999"
            yield f"{function}:{call}:{code}", "auto"
            yield f"{function}:{call}:{code}", "cuda"
            yield f"{function}:{call}:{code}:sticky", "auto"


def outcome(fault: str, choice: str, folder: Path) -> list[str]:
    """What is wrong with how a session ended."""
    report = folder / f"{fault}-{choice}".replace(":", "-")
    done = run([FALLBACK, MODEL, choice, "auto"], report, FAKE_CUDA_FAIL=fault, **FP32_ON_CPU)
    wrong = [] if done.returncode in ((RIGHT,) if choice == "auto" else (RIGHT, REFUSED)) else [done.stdout + done.stderr]
    if choice == "auto" and "1 warnings" not in done.stdout and "0 warnings" not in done.stdout:
        wrong.append("more than one warning")
    return [f"{fault} {choice}: {text}" for text in wrong + complaints(report)]


def test_fault_sweep(tmp_path: Path) -> None:
    """Whatever fails, the pictures are right or there is one message: never a crash, a hang or a wrong picture."""
    report = tmp_path / "report"
    assert run([FALLBACK, MODEL, "cuda", "auto"], report, **FP32_ON_CPU).returncode == RIGHT
    cases = list(faults(calls(report)))
    assert len(cases) > 150
    with ThreadPoolExecutor(2) as pool:
        wrong = [text for texts in pool.map(lambda case: outcome(*case, tmp_path), cases) for text in texts]
    assert not wrong, "\n".join(wrong)
