"""How far a film is: frames and chunks that are done, frames per second, the time that is left.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass

from .common import read_json
from .work import Work

QUIET = 10.0  # seconds between lines, where they go to a file
STALE = 300.0  # seconds after which a worker that says nothing is not at work any more


@dataclass(frozen=True)
class State:
    """Of all chunks, at one moment."""
    frames: int  # restored, in chunks that are done or at work
    done: int
    running: dict[int, int]  # chunk -> frames
    failed: int
    chunks: int


def state_of(work: Work) -> State:
    names = {entry.name for entry in os.scandir(work.chunks)}
    frames, done, failed, running = 0, 0, 0, {}
    for chunk in work.list:
        if work.record(chunk).name in names:
            frames, done = frames + chunk.frames, done + 1
            continue
        failed += (work.folder / "failures" / chunk.name).exists() and work.failures(chunk) >= work.job["attempts"]
        now = read_json(work.progress(chunk)) if work.progress(chunk).name in names else None
        if now and time.time() - now["now"] < STALE:
            running[chunk.number] = min(now["frames"], chunk.frames)
    return State(frames + sum(running.values()), done, running, failed, len(work.list))


def clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


class Progress:
    """Says it on standard error: on a terminal in one line that changes, else now and then."""

    def __init__(self, work: Work) -> None:
        self.work, self.begun, self.told, self.last = work, time.time(), 0.0, ""
        self.before = state_of(work).frames
        self.total = sum(chunk.frames for chunk in work.list)

    def line(self, state: State) -> str:
        elapsed = time.time() - self.begun
        speed = (state.frames - self.before) / elapsed if elapsed > 0 else 0
        left = clock((self.total - state.frames) / speed) if speed > 0 else "?"
        sizes = {chunk.number: chunk.frames for chunk in self.work.list}
        at = ", ".join(f"{number}: {100 * frames // sizes[number]} %" for number, frames in list(state.running.items())[:4])
        running = f"{len(state.running)} at work{f' ({at})' if at else ''}"
        waiting = state.chunks - state.done - len(state.running) - state.failed
        failed = f", {state.failed} failed" if state.failed else ""
        return (f"{state.frames} of {self.total} frames, {speed:.1f} frames/s, {left} left; chunks: {state.done} done, {running}, "
                f"{waiting} waiting{failed}")

    def tell(self, *, last: bool = False) -> None:
        terminal = sys.stderr.isatty()
        if not terminal and not last and time.time() - self.told < QUIET:
            return
        line = self.line(state_of(self.work))
        if terminal:
            columns = os.get_terminal_size(sys.stderr.fileno()).columns
            print(f"\r\033[K{line[:columns - 1]}", end="\n" if last else "", file=sys.stderr, flush=True)
        elif line != self.last:
            print(line, file=sys.stderr, flush=True)
        self.told, self.last = time.time(), line
