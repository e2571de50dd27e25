"""What the steps share: errors of one line, files that appear whole, child processes that do not outlive their parent.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any, Callable, NamedTuple, Sequence

PR_SET_PDEATHSIG = 1  # linux/prctl.h
BLOCK = 1 << 20
NO_TIME = -(1 << 63)  # AV_NOPTS_VALUE


class FarmError(Exception):
    """What the user is told, in one line."""


class Killed(FarmError):
    """A program was ended from outside: that says nothing about the film."""


class Packet(NamedTuple):
    """A line of FFmpeg's framecrc muxer: a frame, or a packet, in ticks of the stream's time base."""
    stream: int
    pts: int
    size: int
    checksum: str


def die_with_parent(how: int = signal.SIGKILL) -> Callable[[], None]:
    """For Popen's preexec_fn: the kernel ends the child when its parent ends, however that came about."""
    libc = ctypes.CDLL(None, use_errno=True)

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, how, 0, 0, 0)
    return ask


def run(command: Sequence[str | Path], **more: Any) -> subprocess.CompletedProcess[str]:
    """A program that reads nothing; its output as text, whatever bytes are in it. Errors: Killed."""
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          errors="replace", check=False, preexec_fn=die_with_parent(), **more)
    if done.returncode < 0:
        raise Killed(f"{os.path.basename(command[0])} was killed by signal {-done.returncode}")
    return done


def write_text(path: Path, text: str) -> None:
    """The file is there whole or as it was before."""
    new = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}")
    with open(new, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """The value, None where there is no such file or it is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def digest_of(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def rescale(ticks: int, old: Fraction, new: Fraction) -> int:
    """Ticks of one time base in another, rounded as av_rescale_q does: to the nearest, halves away from zero."""
    exact = abs(ticks) * old / new
    whole = (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)
    return whole if ticks >= 0 else -whole


def seconds(time: Fraction | int) -> str:
    """A time for an option of ffmpeg's, to the microsecond."""
    ticks = round(time * 1000000)
    return f"{'-' if ticks < 0 else ''}{abs(ticks) // 1000000}.{abs(ticks) % 1000000:06d}"


def read_framecrc(text: str) -> tuple[list[Packet], dict[int, Fraction]]:
    """What the framecrc muxer wrote: its lines, and the time base of each stream."""
    packets, bases = [], {}
    for line in text.splitlines():
        if line.startswith("#tb "):
            stream, base = line[4:].split(":")
            bases[int(stream)] = Fraction(base.strip())
        elif line and not line.startswith("#"):
            words = [word.strip() for word in line.split(",")]
            packets.append(Packet(int(words[0]), NO_TIME if words[2] == "NOPTS" else int(words[2]), int(words[4]), words[5]))
    return packets, bases


def what_ffmpeg_said(text: str, lines: int = 2) -> str:
    """The first errors of a log, in one line. Logs of level+verbose name the level of each line; others hold errors alone."""
    said = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in said if "[error] " in line or "[fatal] " in line or "[panic] " in line]
    plain = [re.sub(r"^(\[[^\]]* @ 0x[0-9a-f]+\] |\[(error|fatal|panic)\] )+", "", line) for line in errors or said[-lines:]]
    return " | ".join(list(dict.fromkeys(plain))[:lines]) or "no message"
