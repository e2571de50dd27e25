"""The measurements of check_gpu.py: a large matrix product, whole frames, kernels, and PyTorch on the same GPU.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import random_model
from checks import outcome
from device import ClockWatch
from report import FAILED, NOT_RUN, OK
from runner import SKIPPED, CannotRun, Check

SIZES = ("320x180", "480x270", "960x540")
FRAMES = 80  # 20 of them before steady work
PUBLISHED_FLOPS = 16.8e6  # of the published network for each input pixel, as this library computes it
VARIANTS = ({"memory": "host"}, {"recording": "off"}, {"conv": "mma"}, {"conv": "blas"},
            {"precision": "fp32", "frames": 12})

QUICK_KERNELS = ("conv 128 to 128, k3 s1 d1, 960x540, fp16", "conv on Hopper 128->128", "conv by cuBLAS 128->128",
                 "cost_volume f16 240", "picture 4 nv12")
TINY_KERNELS = ("conv 433 to 96, k3 s1 d1, 15x9, fp16",)
TRUNK = "conv 128 to 128, k3 s1 d1, 960x540, fp16"


def peak(check: Check) -> None:
    """What convolutions are compared with."""
    program = check.need("gemm_peak")
    with ClockWatch() as clock:
        done = check.run([program, *(("64", "1") if check.tiny else ("8192", "2500"))], 120)
    if done.status == SKIPPED:
        check.report.add("peak", "fp16 matrix product by cuBLAS", NOT_RUN, done.err)
    elif done.status:
        check.report.add("peak", "fp16 matrix product by cuBLAS", FAILED, outcome(done))
    else:
        figures = json.loads(done.out)
        check.peak = figures["TFLOP/s"]
        check.report.device.clock_mhz = clock.highest
        at = f" at {clock.highest} MHz" if clock.highest else ""
        check.report.add("peak", "fp16 matrix product by cuBLAS", OK,
                         f"{check.peak:.1f} TFLOP/s{at}, {figures['size']} rows and columns", **figures)


def share(check: Check, rate: float) -> str:
    return f"{rate / check.peak:.1%}" if check.peak else ""


# ---- Whole frames ----

def published_model(check: Check) -> Path:
    path = check.top / "build/random-published.bin"
    if not path.exists():
        random_model.write(path)
    return path


def frames(check: Check) -> None:
    """Whole frames, in CUDA memory unless said otherwise."""
    if check.tiny:
        measure(check, check.small_model, "16x12", frames=8)
        return
    published, largest = published_model(check), SIZES[-1]
    for size in SIZES:
        measure(check, published, size)
    for size in SIZES[-1:] if check.quick else SIZES:
        measure(check, check.small_model, size)
    for model in check.other_models:
        measure(check, model, largest)
    for variant in VARIANTS[:3] if check.quick else VARIANTS:
        measure(check, published, largest, **variant)


def measure(check: Check, model: Path, size: str, **settings: Any) -> None:
    variant = ", ".join(f"{key}={value}" for key, value in settings.items() if key != "frames")
    name = f"{size}, {model.stem}" + (f", {variant}" if variant else "")
    figures = check.bench("frames", name, model, quiet=True, **{"memory": "cuda", "size": size, "frames": FRAMES,
                                                                **settings})
    if figures is None:
        return
    seconds = figures["steady_frame_s"]
    detail = (f"{1 / seconds:.2f} frames/s, {1e3 * seconds:.2f} ms; open {figures['open_s']:.2f} s, first frame "
              f"{figures['first_frame_s']:.2f} s, GPU memory {figures['device_bytes'] / 2**20:.0f} MiB")
    if model.stem.endswith("published"):
        rate = PUBLISHED_FLOPS * figures["width"] * figures["height"] / seconds / 1e12
        detail += f"; {rate:.1f} TFLOP/s" + (f", {share(check, rate)} of the product" if check.peak else "")
    check.report.add("frames", name, OK, detail, size=size, model=model.stem, variant=variant, **{
        key: figures[key] for key in ("steady_frame_s", "frame_s", "open_s", "first_frame_s", "device_bytes",
                                      "plan_bytes", "peak_rss_bytes")})


# ---- Kernels ----

def kernels(check: Check) -> None:
    """Every kernel at the size of real work."""
    program = check.need("test_cuda_ops")
    parts = TINY_KERNELS if check.tiny else QUICK_KERNELS if check.quick else ("",)
    for part in parts:
        time_kernels(check, program, "auto", part)
    if not check.quick:
        for path in ("mma", "blas"):
            time_kernels(check, program, path, TRUNK)


def time_kernels(check: Check, program: Path, path: str, part: str) -> None:
    done = check.run([program, "--bench", f"--conv={path}", *([part] if part else [])], 60 if check.quick else 480)
    lines = [json.loads(line) for line in done.out.splitlines() if line.startswith("{")]
    for figures in lines:
        name = figures.pop("name") + ("" if path == "auto" else f", by {path}")
        rate = figures.get("TFLOP/s")
        of_peak = share(check, rate) if rate else ""
        detail = f"{figures['ms']:.4f} ms, {figures['GB/s']:.0f} GB/s" + (f", {rate:.2f} TFLOP/s" if rate else "")
        check.report.add("bench", name, OK, detail + (f", {of_peak} of the product" if of_peak else ""), **figures,
                         cells=[name, f"{figures['ms']:.4f}", f"{rate:.2f}" if rate else "", of_peak])
    rest = "the rest" if lines else part or "all"
    if done.timed_out:
        check.report.add("bench", f"{rest}, convolutions by {path}", NOT_RUN, f"{done.seconds:.0f} s were not enough")
    elif done.status:
        check.report.add("bench", f"{rest}, convolutions by {path}", FAILED, outcome(done))
    elif not lines:
        reason = done.out.partition("# SKIP ")[2].split("\n")[0] or "no figures"
        check.report.add("bench", f"{rest}, convolutions by {path}", NOT_RUN, reason)


# ---- PyTorch ----

def torch(check: Check) -> None:
    """The same network as PyTorch computes it."""
    pythons = dict.fromkeys(filter(None, (sys.executable, shutil.which("python3"))))
    has_torch = "import importlib.util, sys; sys.exit(not importlib.util.find_spec('torch'))"
    python = next((each for each in pythons if check.run([each, "-c", has_torch], 60).status == 0), None)
    if not python:
        raise CannotRun("there is no PyTorch")
    program = check.top / "tests/cuda/gpu/bench_torch.py"
    sizes = SIZES[:1] if check.quick else SIZES
    for mode in ("eager", "compile"):
        done = check.run([python, program, "--modes", mode, "--sizes", *sizes], 120 if mode == "eager" else 500)
        lines = [json.loads(line) for line in done.out.splitlines() if line.startswith("{")]
        for figures in lines:
            add_torch(check, figures)
        if done.status and not done.timed_out and done.status != SKIPPED:
            check.report.add("torch", f"{mode}: the rest", FAILED, outcome(done))
        elif done.status:
            check.report.add("torch", f"{mode}: the rest" if lines else mode, NOT_RUN, outcome(done))


def add_torch(check: Check, figures: dict[str, Any]) -> None:
    ours = next((row.data["steady_frame_s"] for row in check.report.rows if row.step == "frames"
                 and row.data.get("size") == figures["size"] and row.data["model"].endswith("published")
                 and not row.data["variant"]), None)
    detail = f"{1 / figures['frame_s']:.2f} frames/s, {1e3 * figures['frame_s']:.2f} ms"
    if ours:
        figures["ratio"] = figures["frame_s"] / ours
        detail += f"; this library is {figures['ratio']:.2f} times as fast"
    check.report.add("torch", f"{figures['size']}, fp16 channels last, {figures['mode']}", OK, detail, **figures)
