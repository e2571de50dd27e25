"""The folder of a film's work: what lies where in it, what belongs to the film as it is wanted now, and the workers.

job.json        what was asked for: source, filters, encoder
index.txt       a line for each decoded frame of the source
plan.json       facts of the source, and the chunks
chunks/N.mkv    a restored chunk; N.json: its record, there once it is done; N.log: what ffmpeg logged
failures/N/     a file for each failed attempt
joined.mkv      all of it, before it gets its name

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import fcntl
import os
import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Iterator

from .common import FarmError, Packet, digest_of, read_framecrc, read_json, sha256, write_json
from .plan import Chunk, from_json
from .probe import identity

ENDINGS = {"matroska": ".mkv", "webm": ".webm", "mp4": ".mp4", "mov": ".mov"}


@dataclass(frozen=True)
class Worker:
    """Who restores a chunk: a machine, and a slot or GPU of it."""
    name: str
    environment: dict[str, str] = field(default_factory=dict)


class Work:
    """A work folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.chunks = folder / "chunks"

    @cached_property
    def job(self) -> dict[str, Any]:
        return read_json(self.folder / "job.json")

    @cached_property
    def plan(self) -> dict[str, Any]:
        return read_json(self.folder / "plan.json")

    @cached_property
    def list(self) -> list[Chunk]:
        return from_json(self.plan["chunks"])

    @property
    def suffix(self) -> str:
        return ENDINGS[self.job["container"]]

    @property
    def joined(self) -> Path:
        return self.folder / f"joined{self.suffix}"

    @property
    def index_file(self) -> Path:
        return self.folder / "index.txt"

    def film(self, chunk: Chunk) -> Path:
        return self.chunks / f"{chunk.name}{self.suffix}"

    def record(self, chunk: Chunk) -> Path:
        return self.chunks / f"{chunk.name}.json"

    def progress(self, chunk: Chunk) -> Path:
        return self.chunks / f"{chunk.name}.progress"

    def log(self, chunk: Chunk) -> Path:
        return self.chunks / f"{chunk.name}.log"

    def index(self) -> list[Packet]:
        return read_framecrc(self.index_file.read_text(encoding="utf-8"))[0]

    def key(self, chunk: Chunk) -> str:
        """What a chunk was made from and by: it serves another run if this is the same."""
        return digest_of([self.plan["key"], chunk.first, chunk.last])

    def check_source(self) -> None:
        """Errors: FarmError, where the source is not what was indexed."""
        source = Path(self.job["source"])
        try:
            now = identity(source)
        except OSError as error:
            raise FarmError(f"{source}: {error.strerror}") from None
        if now != self.plan["identity"]:
            raise FarmError(f"{source}: the source has changed since it was indexed; start again")

    def is_done(self, chunk: Chunk, *, whole: bool) -> bool:
        """Whether a chunk is there and fits its record; whole: its checksum is compared too."""
        record, film = read_json(self.record(chunk)), self.film(chunk)
        try:
            return (record is not None and record["key"] == self.key(chunk) and film.stat().st_size == record["bytes"]
                    and (not whole or sha256(film) == record["sha256"]))
        except (OSError, KeyError, TypeError):
            return False

    def discard(self, chunk: Chunk) -> bool:
        """Whether there was something of it."""
        there = self.record(chunk).exists()
        for path in (self.record(chunk), self.film(chunk)):
            path.unlink(missing_ok=True)
        return there

    # ---- Failures ----

    def failure_files(self, name: str) -> list[Path]:
        return sorted((self.folder / "failures" / name).glob("*.json"))

    def failures(self, chunk: Chunk) -> int:
        return sum(bool((read_json(path) or {}).get("counts")) for path in self.failure_files(chunk.name))

    def note(self, name: str, **what: Any) -> None:
        folder = self.folder / "failures" / name
        folder.mkdir(parents=True, exist_ok=True)
        try:
            write_json(folder / f"{time.time():.6f}-{socket.gethostname()}.json", {"time": time.time(), **what})
        except OSError:  # a full disk: the log of the workflow has the message too
            pass

    def note_failure(self, chunk: Chunk, worker: str, message: str, *, counts: bool) -> None:
        self.note(chunk.name, chunk=chunk.number, first=chunk.first, last=chunk.last - 1, worker=worker, message=message,
                  counts=counts)

    # ---- Workers ----

    @staticmethod
    def environment(worker: Worker) -> dict[str, str]:
        return {**os.environ, **worker.environment}

    @contextmanager
    def worker(self) -> Iterator[Worker]:
        """On this machine alone, a slot that nobody else has, and its GPU; a scheduler has chosen both otherwise."""
        host = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
        slots = self.job["slots"]
        if slots is None:
            device = os.environ.get("CUDA_VISIBLE_DEVICES")
            yield Worker(f"{host}/gpu{device}" if device and self.job["gpu"] else host)
            return
        (self.folder / "slots").mkdir(exist_ok=True)
        while True:
            for number, device in enumerate(slots):
                with open(self.folder / "slots" / str(number), "w", encoding="utf-8") as lock:
                    try:
                        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except OSError:
                        continue
                    gpu = {"CUDA_VISIBLE_DEVICES": device} if device is not None else {}
                    yield Worker(f"{host}/gpu{device}" if gpu else f"{host}/{number}", gpu)
                    return
            time.sleep(0.2)
