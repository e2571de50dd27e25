#!/usr/bin/env python3
"""Checks the CUDA backend on a machine with an NVIDIA GPU, then measures it: `make check-gpu`.

Prints one table, and writes it as JSON and, for bench/RESULTS.md, as Markdown. The standard library alone. A step that
cannot be run says why; one that fails makes the exit status 1. So does a machine without a GPU, in one line.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Callable

import benchmarks
import checks
import device
from report import FAILED, NOT_RUN, Report, markdown
from runner import CannotRun, Check

TOP = Path(__file__).resolve().parents[3]
STEPS: dict[str, Callable[[Check], None]] = {
    "kernels": checks.kernels, "golden": checks.golden, "session": checks.session,
    "filter": checks.filter_on_cuda_frames, "leak": checks.leak, "sanitizer": checks.sanitizer,
    "peak": benchmarks.peak, "frames": benchmarks.frames, "bench": benchmarks.kernels, "torch": benchmarks.torch}


def steps_of(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in STEPS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: the steps are {', '.join(STEPS)}")
    return names


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Checks the CUDA backend on an NVIDIA GPU and measures it.",
                                     epilog=f"steps: {', '.join(STEPS)}")
    parser.add_argument("--quick", action="store_true", help="leave the long parts out")
    parser.add_argument("--tiny", action="store_true", help="small sizes alone, which an emulated GPU can do")
    parser.add_argument("--steps", type=steps_of, default=list(STEPS), help="which to run, separated by commas (all)")
    parser.add_argument("--ffmpeg", type=Path, help="with the filter (default: the one of the build)")
    parser.add_argument("--json", type=Path, default=TOP / "build/check-gpu.json",
                        help="where the figures go (build/check-gpu.json)")
    parser.add_argument("--markdown", type=Path, help="where they go as Markdown")
    parser.add_argument("--seconds", type=float, default=3600, help="time for everything; what is left then is not run")
    return parser.parse_args()


def run_step(name: str, check: Check) -> None:
    try:
        STEPS[name](check)
    except CannotRun as reason:
        check.report.add(name, "the rest of it" if any(row.step == name for row in check.report.rows) else "all of it",
                         NOT_RUN, str(reason))
    except Exception as error:  # the other steps are worth running
        check.report.add(name, "the step itself", FAILED, f"{type(error).__name__}: {error}")


def main() -> int:
    arguments = parse()
    try:
        gpu = device.describe()
    except device.NoDevice as error:
        print(f"check-gpu: {error}", file=sys.stderr)
        return 1
    report = Report(gpu, arguments.json)
    check = Check(TOP, report, quick=arguments.quick, tiny=arguments.tiny, ffmpeg=arguments.ffmpeg,
                  seconds=arguments.seconds, libraries=device.library_folders())
    for name in STEPS:
        if name in arguments.steps:
            run_step(name, check)
    status = report.finish()
    if arguments.markdown:
        arguments.markdown.parent.mkdir(parents=True, exist_ok=True)
        arguments.markdown.write_text(markdown(report))
    return status


if __name__ == "__main__":
    sys.exit(main())
