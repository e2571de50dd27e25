"""How check_gpu.py runs programs, and what all its steps know.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Sequence, Union

from report import NOT_RUN, Report

SKIPPED = 77  # exit status of programs that find nothing to run on
LEAST_SECONDS = 5


class CannotRun(Exception):
    """A step has not what it needs. The message is one line."""


@dataclass
class Done:
    status: int
    data: bytes  # standard output
    err: str
    seconds: float
    timed_out: bool = False

    @property
    def out(self) -> str:
        return self.data.decode(errors="replace")


class Check:
    """What the steps share."""

    def __init__(self, top: Path, report: Report, *, quick: bool, tiny: bool, ffmpeg: Optional[Path], seconds: float,
                 libraries: Sequence[str]) -> None:
        self.top, self.report, self.ffmpeg = top, report, ffmpeg
        self.quick, self.tiny = quick or tiny, tiny
        self.deadline = time.monotonic() + seconds
        self.environment = dict(os.environ)
        if libraries:
            paths = [*libraries, *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
            self.environment["LD_LIBRARY_PATH"] = ":".join(paths)
        self.peak: Optional[float] = None  # TFLOP/s of a large matrix product, once it is known

    @property
    def golden_model(self) -> Path:
        return self.top / "tests/golden/three.bin"

    @property
    def default_model(self) -> Optional[Path]:
        path = self.top / "model/default.bin"
        return path if path.exists() else None

    @property
    def other_models(self) -> list[Path]:
        """Those that are shipped beside the default one."""
        return sorted(path for path in (self.top / "model").glob("*.bin") if path != self.default_model)

    @property
    def small_model(self) -> Path:
        """The default model; where everything has to be small, the golden network."""
        return self.golden_model if self.tiny or not self.default_model else self.default_model

    def remaining(self) -> float:
        return self.deadline - time.monotonic()

    def need(self, program: str) -> Path:
        path = self.top / "build/tests" / program
        if not path.exists():
            raise CannotRun(f"build/tests/{program} is missing: make gpu-programs")
        return path

    def run(self, command: Sequence[Union[str, Path]], limit: float, data: Optional[bytes] = None) -> Done:
        """Runs a program for at most `limit` seconds, and not past the end of the time there is."""
        limit = min(limit, self.remaining())
        if limit < LEAST_SECONDS:
            raise CannotRun("the time is up")
        begin = time.monotonic()
        # a session of its own, so that nothing of it is left behind
        with subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE if data else subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment, cwd=self.top,
                              start_new_session=True) as process:
            timed_out = False
            try:
                out, err = process.communicate(data, timeout=limit)
            except subprocess.TimeoutExpired:
                timed_out = True
                os.killpg(process.pid, signal.SIGKILL)
                out, err = process.communicate()
        return Done(process.returncode, out, err.decode(errors="replace"), time.monotonic() - begin, timed_out)

    def bench(self, step: str, name: str, model: Path, quiet: bool = False, limit: float = 200,
              **settings: Any) -> Optional[dict[str, Any]]:
        """Runs build/tests/bench on the GPU. A failure is reported, as is success unless `quiet`."""
        arguments = {"backend": "cuda", "precision": "fp16", **settings}
        done = self.run([self.need("bench"), model, *(f"{key}={value}" for key, value in arguments.items())], limit)
        if done.status == SKIPPED:
            self.report.add(step, name, NOT_RUN, done.err)
            return None
        if done.status or done.timed_out:
            detail = "it took too long" if done.timed_out else f"status {done.status}: {done.err[-300:]}"
            self.report.check(step, name, False, detail)
            return None
        figures = json.loads(done.out)
        if not quiet:
            self.report.check(step, name, True, f"{1 / figures['steady_frame_s']:.1f} frames/s", **figures)
        return figures
