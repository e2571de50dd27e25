"""The checks of check_gpu.py: kernels, golden network, sessions, the filter, compute-sanitizer, memory.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import re
from pathlib import Path
from typing import Optional

import pixels
from device import toolkit_program
from report import NOT_RUN
from runner import Check, Done

# What test_cuda_ops runs: how convolutions are computed, and the part of the cases' names. By cuBLAS alone the cases
# that compare the project's own kernels with each other have no meaning; those with a shape in their names do.
PATHS = (("auto", ""), ("mma", "conv"), ("wgmma", "conv"), ("blas", ", k"))
FEW_PATHS = (("auto", "conv trunk"), ("wgmma", "conv on Hopper"), ("blas", "conv by cuBLAS"), ("auto", "warp"),
             ("auto", "cost_volume"))
GOLDENS = (("three.bin", "even"), ("three.bin", "row"), ("three.bin", "column"), ("six.bin", "odd"),
           ("modulated.bin", "modulated"), ("modulated.bin", "adapted"))

SANITIZED = ("conv trunk", "conv on Hopper", "conv by cuBLAS", "conv extractor", "deconv", "cost_volume", "warp",
             "adaptive_pool", "picture 4 nv12")
FEW_SANITIZED = ("conv trunk", "conv on Hopper", "cost_volume", "warp")

FILTER_FORMATS = ("nv12", "yuv420p", "yuv444p", "p010le", "bgr0", "rgb0")
# In dB, to the processor's pictures in fp32. The golden network has random weights, which blow up what halfs round away:
# it is compared in fp32 alone.
LEAST_PSNR, LEAST_PSNR_FP32 = 45, 60

# From steady work on the device's memory is planned; the process may keep a page or two for its heap.
RSS_GROWTH = 4 << 20


def outcome(done: Done) -> str:
    """Why a program failed, in one line."""
    if done.timed_out:
        return f"took longer than {done.seconds:.0f} s"
    lines = [line for line in (done.err + done.out).splitlines()
             if line.strip() and not line.startswith(("ok ", "1.."))]
    wrong = [line for line in lines if line.startswith(("not ok", "Bail", "#")) or "EXCEEDED" in line]
    return f"status {done.status}: " + ("; ".join((wrong or lines)[:2])[:300] or "it says nothing")


def kernels(check: Check) -> None:
    """Every kernel against its C twin."""
    program = check.need("test_cuda_ops")
    for path, part in FEW_PATHS if check.tiny else PATHS:
        done = check.run([program, f"--conv={path}", *([part] if part else [])], 400)
        passed = len(re.findall(r"^ok \d", done.out, re.M))
        skipped = re.findall(r"^ok \d.*# SKIP (.*)", done.out, re.M)
        failed = re.findall(r"^not ok \d+ - (.*)", done.out, re.M)
        name = f"{part.strip(', ') or 'all'}, convolutions by {path}"
        if done.status == 0 and passed and passed == len(skipped):
            check.report.add("kernels", name, NOT_RUN, skipped[0])
        else:
            detail = f"{passed - len(skipped)} cases" + (f", {len(skipped)} skipped: {skipped[0]}" if skipped else "")
            good = done.status == 0 and passed > 0
            check.report.check("kernels", name, good, detail if good else f"{len(failed)} failed; {outcome(done)}",
                               passed=passed - len(skipped), skipped=len(skipped), failed=failed[:20])


def golden(check: Check) -> None:
    """The golden network, stage by stage."""
    program = check.need("golden_stages")
    folder = check.top / "tests/golden"
    for model, prefix in GOLDENS[:1] if check.tiny else GOLDENS:
        for precision in ("fp32", "fp16"):
            done = check.run([program, folder / model, folder / prefix, "cuda", precision], 200)
            shares = [float(error) / float(limit) for error, limit in re.findall(r"(\S+)  limit (\S+)  ", done.out)]
            good = done.status == 0 and bool(shares)
            detail = f"{len(shares)} comparisons, the worst at {max(shares, default=0):.0%} of its limit"
            check.report.check("golden", f"{model[:-4]}, {prefix}, {precision}", good,
                               detail if good else outcome(done), worst=max(shares, default=None))


def session(check: Check) -> None:
    """Where frames lie and whether launches are recorded changes no bit."""
    model = check.small_model
    size, frames = ("16x12", 10) if check.tiny else ("96x66", 24)
    sums = {}
    for memory in ("cuda", "host"):
        for recording in ("on", "off"):
            figures = check.bench("session", f"{memory} frames, recording {recording}", model, memory=memory,
                                  recording=recording, size=size, frames=frames, quiet=True)
            if figures is None:
                return
            sums[memory, recording] = figures["checksum"]
    different = len(set(sums.values()))
    check.report.check("session", "frames anywhere, recording on or off", different == 1,
                       f"{frames} frames of {size}, " + ("all alike" if different == 1 else f"{different} results"))


# ---- The filter ----

def filter_on_cuda_frames(check: Check) -> None:
    """The filter in FFmpeg on CUDA frames, against what the processor makes of the same frames."""
    ffmpeg = find_ffmpeg(check)
    if not ffmpeg:
        check.report.add("filter", "CUDA frames", NOT_RUN, "there is no FFmpeg with the filter and hwupload_cuda")
        return
    size, frames = ((24, 16), 3) if check.tiny else ((160, 96), 5)
    default, golden_net = check.default_model or check.golden_model, check.golden_model
    for pix_fmt in FILTER_FORMATS[:1] if check.tiny else FILTER_FORMATS:
        compare_filters(check, ffmpeg, pix_fmt, size, frames, default, "")
    for model in [] if check.tiny else check.other_models:
        compare_filters(check, ffmpeg, "yuv420p", size, frames, model, "")
    for pix_fmt in ("yuv444p", "p010le"):
        compare_filters(check, ffmpeg, pix_fmt, size, frames, golden_net, "precision=fp32")
    compare_filters(check, ffmpeg, "yuv420p", size, frames, golden_net, "precision=fp32:backend=cuda", cuda_frames=False)
    tiles(check, ffmpeg, size, frames, golden_net)


def find_ffmpeg(check: Check) -> Optional[Path]:
    candidates = [check.ffmpeg] if check.ffmpeg else [
        *sorted((check.top / "build").glob("lean-*/ffmpeg"), reverse=True), check.top / "build/bin/ffmpeg"]
    for candidate in candidates:
        if candidate.exists():
            names = check.run([candidate, "-hide_banner", "-filters"], 60).out
            if " selfblindvsr " in names and " hwupload_cuda " in names:
                return candidate
    return None


def restore(check: Check, ffmpeg: Path, pix_fmt: str, size: tuple[int, int], chain: str, clip: bytes) -> Done:
    return check.run([ffmpeg, "-hide_banner", "-v", "error", "-f", "rawvideo", "-pix_fmt", pix_fmt, "-s",
                      f"{size[0]}x{size[1]}", "-r", "25", "-i", "-", "-vf", chain, "-f", "rawvideo", "-"], 120, clip)


def vsr(model: Path, *options: str) -> str:
    return ":".join((f"selfblindvsr=model={model}", *filter(None, options)))


def on_gpu(chain: str, pix_fmt: str) -> str:
    return f"hwupload_cuda,{chain},hwdownload,format={pix_fmt}"


def compare_filters(check: Check, ffmpeg: Path, pix_fmt: str, size: tuple[int, int], frames: int, model: Path,
                    options: str, cuda_frames: bool = True) -> None:
    clip = pixels.pattern(pix_fmt, *size, frames)
    chain = vsr(model, options)
    wanted = restore(check, ffmpeg, pix_fmt, size, vsr(model, "backend=cpu:precision=fp32"), clip)
    found = restore(check, ffmpeg, pix_fmt, size, on_gpu(chain, pix_fmt) if cuda_frames else chain, clip)
    name = f"{pix_fmt} in {'CUDA' if cuda_frames else 'host'} memory, {model.stem}, {options or 'fp16'}"
    least = LEAST_PSNR_FP32 if "fp32" in options else LEAST_PSNR
    if wanted.status or found.status:
        check.report.check("filter", name, False, outcome(wanted if wanted.status else found))
        return
    decibels = pixels.psnr(pix_fmt, wanted.data, found.data)
    check.report.check("filter", name, decibels >= least, f"{decibels:.1f} dB to the CPU, at least {least}",
                       psnr=round(decibels, 2))


def tiles(check: Check, ffmpeg: Path, size: tuple[int, int], frames: int, model: Path) -> None:
    clip = pixels.pattern("nv12", *size, frames)
    runs = [restore(check, ffmpeg, "nv12", size, on_gpu(vsr(model, f"tile={tile}"), "nv12"), clip) for tile in (0, 16)]
    good = all(run.status == 0 and run.data for run in runs) and runs[0].data == runs[1].data
    wrong = next((outcome(run) for run in runs if run.status), "tiles change the picture")
    check.report.check("filter", "tiles of 16 change no bit", good, f"{frames} frames" if good else wrong)


# ---- compute-sanitizer ----

def sanitizer(check: Check) -> None:
    """Bad accesses (memcheck), and hazards in shared memory (racecheck)."""
    program, tool = check.need("test_cuda_ops"), toolkit_program("compute-sanitizer")
    if not tool:
        check.report.add("sanitizer", "memcheck, racecheck", NOT_RUN,
                         "there is no compute-sanitizer on PATH or in /usr/local/cuda")
        return
    for kind in ("memcheck", "racecheck"):
        for part in FEW_SANITIZED if check.quick else SANITIZED:
            sanitize(check, tool, kind, program, part)


def sanitize(check: Check, tool: str, kind: str, program: Path, part: str) -> None:
    name = f"{kind}: {part}"
    done = check.run([tool, "--tool", kind, "--error-exitcode", "99", "--print-limit", "3", program, part], 240)
    text = done.out + done.err
    summary = re.search(r"(?:ERROR|RACECHECK) SUMMARY: (.*)", text)
    cases = len(re.findall(r"^ok \d(?!.*# SKIP)", done.out, re.M))
    if re.search(r"Device not supported|LibraryNotLoaded|not supported on this", text, re.I):
        check.report.add("sanitizer", name, NOT_RUN, "compute-sanitizer does not work on this machine")
    elif done.status == 0 and summary and cases == 0:
        check.report.add("sanitizer", name, NOT_RUN, "all cases were skipped")
    else:
        good = done.status == 0 and summary is not None and bool(re.match(r"0 (errors|hazards)", summary[1]))
        hazard = re.search(r"^=+ +((?:Error|Invalid|Program hit|Warning|Race).*)", text, re.M)
        detail = summary[1] if summary else outcome(done)
        check.report.check("sanitizer", name, good, detail + (f"; {hazard[1]}" if hazard and not good else "")
                           + f", {cases} cases")


# ---- Memory ----

def leak(check: Check) -> None:
    """Long streams do not grow, on the device or on the host."""
    frames = 24 if check.tiny else 200 if check.quick else 1000
    size = "16x12" if check.tiny else "320x180"
    for memory in ("cuda", "host"):
        figures = check.bench("leak", f"{frames} frames of {size} in {memory} memory", check.small_model, memory=memory,
                              size=size, frames=frames, quiet=True)
        if figures is None:
            continue
        device, host = figures["device_growth_bytes"], figures["rss_growth_bytes"]
        check.report.check("leak", f"{frames} frames of {size} in {memory} memory", device <= 0 and host <= RSS_GROWTH,
                           f"device {device:+d} bytes, host {host:+d} bytes after frame "
                           f"{frames - figures['steady_frames']}", device=device, host=host)
