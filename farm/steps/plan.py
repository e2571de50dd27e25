"""The plan: which frames each chunk restores, and which it reads besides for them to come out as from the whole film.

Frame t depends on the window t - r .. t + r, r = 2 for a window of five frames. The window ends at scene cuts. Whether
frame u begins a shot depends on how u differs from u - 1 and u - 1 from u - 2; the earliest cut that frame t looks at is
before frame t - r + 1, hence on frame t - r - 1. So a chunk reads r + 1 frames before its own, and r behind them.

The blur kernel is estimated for the frames whose number is a multiple of kernel_interval, and at cuts, and serves until the
next estimate; what a modulated model adapts to, for those of adapt_interval. The filter is told the number that its first
frame has in the film (start_number). So a chunk reads from before the last frame up to its first that each estimate is made
for, early enough for the whole windows of these. What the filter estimates of the frames before them, for the first that it
sees or for a cut that is none, serves no frame of the chunk. Sizes of chunks are multiples of the larger interval, so that
chunks begin with its estimates; the one with the smaller interval is at most that much further back.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

from bisect import bisect_right
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Sequence

from .common import FarmError, rescale, seconds

# Of Matroska in FFmpeg; MP4 and QuickTime take that of the encoder.
TICK = {"matroska": Fraction(1, 1000), "webm": Fraction(1, 1000)}


@dataclass(frozen=True)
class Chunk:
    """Frames first..last-1 of the film, restored from frames begin..end-1."""
    number: int
    first: int
    last: int
    begin: int
    end: int
    seek: str | None  # seconds; None: from the beginning

    @property
    def name(self) -> str:
        return f"{self.number:06d}"

    @property
    def frames(self) -> int:
        return self.last - self.first


def context_begin(first: int, radius: int, intervals: Sequence[int]) -> int:
    """The frame that a chunk begins to read at."""
    return max(0, min((first // interval * interval for interval in intervals), default=first) - radius - 1)


def chunk_size(wanted: int, intervals: Sequence[int]) -> int:
    """Rounded up to a multiple of the largest interval."""
    interval = max(intervals, default=1)
    return -(-wanted // interval) * interval


def seek_to(keys: Sequence[int], pts: int, base: Fraction) -> str | None:
    """Where to begin decoding for a frame: the keyframe before the last one that is not after it. From the last, the
    decoder might still lack what an open group of pictures or a gradual refresh takes from before."""
    place = bisect_right(keys, pts) - 2
    if place < 1:
        return None
    return seconds(keys[place] * base)


def make_chunks(times: Sequence[int], keys: Sequence[int], base: Fraction, *, size: int, radius: int,
                intervals: Sequence[int], drops_borders: bool) -> list[Chunk]:
    """times: of all frames, in ticks; keys: of keyframes. drops_borders: the first and last frames do not come out."""
    count, dropped = len(times), radius if drops_borders else 0
    start, stop, step = dropped, count - dropped, chunk_size(size, intervals)
    if stop <= start:
        raise FarmError(f"border=none drops the first and the last {radius} frames: of {count} none is left")
    starts = [start, *range((start // step + 1) * step, stop, step)]
    chunks = []
    for number, (first, last) in enumerate(zip(starts, [*starts[1:], stop])):
        begin = context_begin(first, radius, intervals)
        chunks.append(Chunk(number, first, last, begin, min(count, last + radius), seek_to(keys, times[begin], base)))
    return chunks


def encoder_time_base(times: Sequence[int], base: Fraction, rate: str | None) -> Fraction:
    """One over the frame rate, as ffmpeg has it, if that holds every timestamp exactly; else that of the source."""
    if rate:
        grid = 1 / Fraction(rate)
        if all(rescale(rescale(time, base, grid), grid, base) == time for time in times):
            steps = [rescale(time, base, grid) for time in times]
            if all(now > before for before, now in zip(steps, steps[1:])):
                return grid
    return base


def chunk_time_base(encoder: Fraction, container: str) -> Fraction:
    """A time base whose ticks count in the container: frames lie on them after muxing."""
    return TICK.get(container, encoder)


def as_json(chunks: Sequence[Chunk]) -> list[dict[str, Any]]:
    return [asdict(chunk) for chunk in chunks]


def from_json(rows: Sequence[dict[str, Any]]) -> list[Chunk]:
    return [Chunk(**row) for row in rows]
