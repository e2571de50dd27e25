"""The film from its chunks: video packets one after the other, and every other stream of the source, copied.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any, Sequence

from . import probe
from .common import FarmError, read_json, run, seconds, what_ffmpeg_said, write_text
from .plan import chunk_time_base
from .restore import expected_times
from .work import Work


def starts_of(work: Work) -> list[Fraction]:
    """The time of the first frame of each chunk in the film to be, in seconds."""
    plan, times = work.plan, [frame.pts for frame in work.index()]
    encoder = Fraction(plan["encoder_time_base"])
    firsts = [times[chunk.first] for chunk in work.list]
    unit = chunk_time_base(encoder, work.job["container"])
    return [time * unit for time in expected_times(firsts, Fraction(plan["source"]["time_base"]), encoder,
                                                   work.job["container"])]


def chunk_list(names: Sequence[str], starts: Sequence[Fraction]) -> str:
    """A list for FFmpeg's concat demuxer. Its times are whole microseconds; the sums of these are rounded, not each."""
    lines, at = ["ffconcat version 1.0"], [round((start - starts[0]) * 1000000) for start in starts]
    for number, name in enumerate(names):
        lines.append(f"file '{name}'")
        if number + 1 < len(names):
            lines.append(f"duration {seconds(Fraction(at[number + 1] - at[number], 1000000))}")
    return "\n".join(lines) + "\n"


def mux_command(job: dict[str, Any], facts: dict[str, Any], streams: Sequence[dict[str, Any]], film: Path | str, out: Path,
                start: Fraction | int, source_start: int, *, encoder: str | None) -> list[str]:
    """Input 0: the restored video, which begins at `start` seconds. Input 1: the source, which ffmpeg shifts to 0."""
    words = [job["ffmpeg"], "-nostdin", "-hide_banner", "-y", "-v", "error", "-itsoffset", seconds(start),
             *(["-f", "concat", "-auto_convert", "0"] if str(film).endswith(".ffconcat") else []), "-i", str(film),
             "-copyts", "-itsoffset", seconds(Fraction(-source_start, 1000000)), "-i", probe.url(job["source"])]
    for place, stream in enumerate(streams):
        video = stream["index"] == facts["video"]
        flags = "+".join(name for name, on in stream.get("disposition", {}).items() if on)
        words += ["-map", "0:v:0" if video else f"1:{stream['index']}", f"-map_metadata:s:{place}", f"1:s:{stream['index']}",
                  f"-disposition:{place}", flags or "0"]
        if video and encoder:
            words += [f"-metadata:s:{place}", f"encoder={encoder}"]
        if video:  # of two adjacent chunks' decoding times, which nothing but their order matters
            words += [f"-bsf:{place}", "setts=pts=PTS:dts=max(DTS\\,PREV_OUTDTS+1)"]
    return [*words, "-map_metadata", "1", "-map_chapters", "1", "-c", "copy", "-f", job["container"], probe.url(out)]


def check_chunks(work: Work, *, whole: bool) -> None:
    """Discards chunks that are not as they were recorded; whole: by their checksums, else by their sizes. Errors: FarmError,
    where there are any."""
    damaged = [chunk for chunk in work.list if not work.is_done(chunk, whole=whole)]
    for chunk in damaged:
        work.discard(chunk)
    if damaged:
        work.note("damaged", chunks=[chunk.number for chunk in damaged])
        raise FarmError(f"{len(damaged)} chunks are damaged: {', '.join(str(chunk.number) for chunk in damaged[:20])}")


def check_encoders(work: Work) -> str | None:
    """Errors: FarmError, where a chunk has other parameters than the first. Returns the name of the encoder."""
    first, *others = [read_json(work.record(chunk))["stream"] for chunk in work.list]
    for number, other in enumerate(others, 1):
        for name, value in first.items():
            if other.get(name) != value:
                raise FarmError(f"chunk {number} was encoded with {name} {other.get(name)}, chunk 0 with {value}, and cannot be "
                                "joined to it: machines have different encoders, or the film changes there")
    return first["encoder"]


def check_space(work: Work) -> None:
    need = sum(work.film(chunk).stat().st_size for chunk in work.list)
    free = shutil.disk_usage(work.folder).free
    if free < need:
        raise FarmError(f"no space left on device: joining takes {need >> 20} MiB, {free >> 20} MiB are free in {work.folder}")


def join(work: Work) -> None:
    """Writes the whole film into the work folder. The packets of chunks are compared once they are in it."""
    work.check_source()
    check_chunks(work, whole=False)
    check_space(work)
    encoder = check_encoders(work)
    starts, facts = starts_of(work), work.plan["source"]
    write_text(work.folder / "chunks.ffconcat",
               chunk_list([f"chunks/{work.film(chunk).name}" for chunk in work.list], starts))
    streams = [s for s in facts["streams"] if s["index"] not in work.plan["left_out"]]
    words = mux_command(work.job, facts, streams, "chunks.ffconcat", work.joined, starts[0], facts["start_us"], encoder=encoder)
    done = run(words, cwd=work.folder)
    if done.returncode or "No space left on device" in done.stderr:
        work.joined.unlink(missing_ok=True)
        check_chunks(work, whole=True)
        raise FarmError(f"joining the chunks: {what_ffmpeg_said(done.stderr)}")
