"""What `make bench` runs: the programs of build/tests, ffmpeg, PyTorch; and what it says of the machine.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Optional, Union

TOP = Path(__file__).resolve().parents[2]
PROGRAMS = TOP / "build/tests"
NOT_OFFERED = 77  # exit status of a program on a machine, or with a library, that lacks what was asked for
LIMIT = 300       # seconds for one program
TORCH_LIMIT = 120

Word = Union[str, Path]


class NotRun(Exception):
    """Something cannot be measured here. The message is the reason, in one line."""


class Failed(Exception):
    """A program failed that should not. The message is one line."""


def last_line(text: str, otherwise: str = "") -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else otherwise


def run(command: list[Word], limit: float = LIMIT) -> tuple[str, float]:
    """Standard output and seconds. Raises NotRun where a program says so or takes too long, Failed where it fails."""
    begin = time.monotonic()
    name = Path(command[0]).name
    try:
        done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", timeout=limit, check=False)
    except OSError as error:
        raise Failed(f"{name} cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise NotRun(f"took more than {limit:.0f} s") from None
    if done.returncode == NOT_OFFERED:
        raise NotRun(last_line(done.stderr, "not offered").removeprefix(f"{name}: "))
    if done.returncode:
        raise Failed(last_line(done.stderr, f"{name} ended with status {done.returncode}"))
    return done.stdout, time.monotonic() - begin


def run_json(command: list[Word], limit: float = LIMIT) -> list[dict[str, Any]]:
    """The lines of JSON that a program prints."""
    out, _ = run(command, limit)
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def bench_ops(model: Path, **settings: Any) -> list[dict[str, Any]]:
    return run_json([PROGRAMS / "bench_ops", model, *(f"{key}={value}" for key, value in settings.items())])


def bench_frames(model: Path, **settings: Any) -> dict[str, Any]:
    return run_json([PROGRAMS / "bench", model, *(f"{key}={value}" for key, value in settings.items())])[0]


def processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return os.uname().machine


def compiler(command: str) -> str:
    """Its first line about itself."""
    try:
        out, _ = run([*command.split(), "--version"], 20)
    except (Failed, NotRun):
        return command
    return out.splitlines()[0] if out else command


def processors() -> int:
    return len(os.sched_getaffinity(0))


def available_memory() -> Optional[int]:
    """Bytes that programs can still have, None where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


# ---- ffmpeg ----

def find_ffmpeg(path: Optional[Path]) -> Path:
    path = path or TOP / "build/bin/ffmpeg"
    if not path.exists():
        raise NotRun(f"{path} is not built")
    return path


def filter_help(ffmpeg: Path) -> str:
    out, _ = run([ffmpeg, "-v", "error", "-h", "filter=selfblindvsr"], 20)
    return out


def time_ffmpeg(ffmpeg: Path, size: str, frames: int, options: dict[str, Any]) -> float:
    """Seconds for so many frames through the filter, from start to end."""
    text = ":".join(f"{key}={value}" for key, value in options.items())
    _, seconds = run([ffmpeg, "-v", "error", "-f", "lavfi", "-i", f"testsrc2=s={size}:r=10:d={frames / 10}", "-vf",
                      f"selfblindvsr={text}", "-f", "null", "-"])
    return seconds


# ---- PyTorch ----

def time_reference(model: Path, **settings: Any) -> dict[str, Any]:
    """By this Python, in a process of its own."""
    script = Path(__file__).with_name("time_reference.py")
    words = [f"--{key}={value}" for key, value in settings.items()]
    return run_json([sys.executable, script, model, *words], TORCH_LIMIT)[0]
