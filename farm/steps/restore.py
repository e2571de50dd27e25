"""One chunk: seek, decode, restore, encode, check.

The decoded frames are compared with the index. If they differ, seeking did not lead to them; then the film is decoded
from its beginning. If they still differ, it is not the film of the index.

The encoded chunk gets its name after its packets have been counted and their timestamps compared; the record of it,
which the workflow waits for, comes last.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

from . import probe, vf
from .common import FarmError, Killed, Packet, die_with_parent, read_framecrc, rescale, run, sha256, what_ffmpeg_said, write_json
from .plan import Chunk, chunk_time_base
from .work import Work, Worker


ALIKE = ("codec_name", "profile", "width", "height", "pix_fmt", "sample_aspect_ratio", "extradata_hash")
# A chunk has no metadata: a timecode would become a stream beside the video.
ALONE = ("-map_metadata", "-1", "-map_chapters", "-1")
# The filter counts frames anew after this.
BEGINS_ANEW = ("Colour properties change at frame", "Reconfiguring filter graph")


def between(times: list[int], first: int, last: int) -> str:
    """A filter that lets frames first..last-1 through. It goes by timestamps, not by counts, which begin anew where ffmpeg
    makes its filters anew."""
    end = f":end_pts={times[last - 1] + 1}" if last < len(times) else ""
    return f"trim=start_pts={times[first]}{end}"


def command(work: Work, chunk: Chunk, times: list[int], *, seek: str | None, film: Path, seen: Path) -> list[str]:
    job, facts = work.job, work.plan["source"]
    chain = vf.with_start_number(job["vf"], chunk.begin) if work.plan["intervals"] else job["vf"]
    inside, own = between(times, chunk.begin, chunk.end), between(times, chunk.first, chunk.last)
    return [job["ffmpeg"], "-nostdin", "-hide_banner", "-y", "-v", "level+verbose", "-nostats", "-progress", "pipe:1",
            *(["-filter_threads", str(job["threads"])] if job["threads"] else []),
            *probe.input_options(facts, job["source"], seek),
            "-map", f"0:{facts['video']}", "-vf", f"{inside},{chain},{own}", "-fps_mode", "passthrough",
            "-enc_time_base", work.plan["encoder_time_base"].replace("/", ":"), *job["encode"], *ALONE, "-f", job["container"],
            probe.url(film),
            "-vf", inside, *probe.checksums(facts), probe.url(seen)]


def follow(child: subprocess.Popen[str], tell: Any) -> None:
    """Passes on the frames that ffmpeg has written, from what -progress says."""
    assert child.stdout
    for line in child.stdout:
        name, _, value = line.strip().partition("=")
        if name == "frame" and value.strip().isdigit():
            tell(int(value))


def run_ffmpeg(words: list[str], job: dict[str, Any], worker: Worker, log: Path, tell: Any) -> str:
    """Returns what it logged. Errors: FarmError with its message; Killed."""
    with open(log, "w", encoding="utf-8", errors="replace") as file:
        child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=file, text=True,
                                 cwd=job["directory"], env=Work.environment(worker),
                                 preexec_fn=die_with_parent())
        follow(child, tell)
        status = child.wait()
    said = log.read_text(encoding="utf-8", errors="replace")
    if status < 0:
        raise Killed(f"ffmpeg was killed by signal {-status}")
    # FFmpeg 5.1 ends with 0 after some failed writes.
    if status or "No space left on device" in said:
        raise FarmError(f"ffmpeg: {what_ffmpeg_said(said)}")
    return said


def computed_on(said: str) -> str:
    """Of the line "320x180: 158 MiB, tiles of 512, avx2, fp32", what decides about bits."""
    for line in said.splitlines():
        _, mark, rest = line.partition(", tiles of ")
        if mark:
            return ", ".join(rest.split(", ")[1:]).strip()
    return "unknown"


def check_frames(seen: Path, chunk: Chunk, index: list[Packet]) -> bool:
    """Whether the decoded frames are those of the index, of which timestamps alone may be known."""
    found, wanted = read_framecrc(seen.read_text(encoding="utf-8"))[0], index[chunk.begin:chunk.end]
    return [f.pts for f in found] == [f.pts for f in wanted] and all(
        want.checksum in (probe.UNKNOWN, have.checksum) and want.size in (0, have.size) for have, want in zip(found, wanted))


def expected_times(times: list[int], source: Fraction, encoder: Fraction, container: str) -> list[int]:
    """Timestamps of frames in ticks of the chunk's container."""
    base = chunk_time_base(encoder, container)
    return [rescale(rescale(time, source, encoder), encoder, base) for time in times]


def packets_of(ffmpeg: str, film: Path, stream: str = "v") -> tuple[list[Packet], Fraction]:
    """The packets of a stream as they are in the file."""
    done = run([ffmpeg, "-nostdin", "-hide_banner", "-v", "error", "-copyts", "-i", probe.url(film), "-map", f"0:{stream}",
                "-c", "copy", "-f", "framecrc", "-"])
    if done.returncode:
        raise FarmError(f"{film.name}: it cannot be read: {what_ffmpeg_said(done.stderr)}")
    packets, bases = read_framecrc(done.stdout)
    return packets, bases.get(0, Fraction(1))


def stream_of(ffprobe: str, film: Path) -> dict[str, Any]:
    """What all chunks must have in common for one decoder to read them as one."""
    done = run([ffprobe, "-v", "error", "-of", "json", "-show_streams", "-show_data_hash", "md5", probe.url(film)])
    stream = json.loads(done.stdout)["streams"][0]
    tags = {name.lower(): value for name, value in stream.get("tags", {}).items()}
    return {**{name: stream.get(name) for name in ALIKE}, "encoder": tags.get("encoder")}


def check_film(work: Work, chunk: Chunk, times: list[int], film: Path) -> list[Packet]:
    """The packets of an encoded chunk, once they are found to be as many as its frames, and in their places."""
    packets, base = packets_of(work.job["ffmpeg"], film)
    if len(packets) != chunk.frames:
        raise FarmError(f"{len(packets)} frames were encoded, not {chunk.frames}")
    encoder = Fraction(work.plan["encoder_time_base"])
    wanted = expected_times(times[chunk.first:chunk.last], Fraction(work.plan["source"]["time_base"]), encoder,
                            work.job["container"])
    shown = sorted(packet.pts for packet in packets)
    unit = chunk_time_base(encoder, work.job["container"])
    for number, (found, want) in enumerate(zip(shown, wanted)):
        if rescale(found - shown[0], base, unit) != want - wanted[0] or (found - shown[0]) * base != (want - wanted[0]) * unit:
            raise FarmError(f"frame {chunk.first + number} was encoded {float((found - shown[0]) * base):.6f} s after the first, "
                            f"not {float((want - wanted[0]) * unit):.6f} s")
    return packets


def check_space(work: Work) -> None:
    """Errors: FarmError, where there is no room for one more chunk as large as those that are done."""
    largest = max((path.stat().st_size for path in work.chunks.glob(f"*{work.suffix}")), default=0)
    free = shutil.disk_usage(work.folder).free
    if free < largest + (1 << 16):
        raise FarmError(f"no space left on device: {free >> 10} KiB are free in {work.folder}, a chunk takes up to "
                        f"{largest >> 10} KiB")


def attempt(work: Work, chunk: Chunk, worker: Worker) -> dict[str, Any]:
    """Restores a chunk once: the record of it."""
    index, job = work.index(), work.job
    times = [frame.pts for frame in index]
    begun, place = time.time(), f"{socket.gethostname()}-{os.getpid()}"
    film, seen = (work.chunks / f".{chunk.name}-{place}{ending}" for ending in (work.suffix, ".framecrc"))

    def tell(frames: int) -> None:
        write_json(work.progress(chunk), {"worker": worker.name, "begun": begun, "now": time.time(), "frames": frames})
    try:
        check_space(work)
        work.check_source()
        tell(0)
        for seek in dict.fromkeys((chunk.seek, None)):
            said = run_ffmpeg(command(work, chunk, times, seek=seek, film=film, seen=seen), job, worker, work.log(chunk), tell)
            if check_frames(seen, chunk, index):
                break
        else:
            work.check_source()
            raise FarmError("the decoded frames are not those of the index: " + (
                "this machine decodes the film differently" if job["index"] == "frames" else "packets are not frames here; use "
                "--index frames"))
        if work.plan["intervals"] and any(mark in said for mark in BEGINS_ANEW):
            raise FarmError("the colour properties of the film change, and the filter counts frames anew there: chunks are "
                            f"exact only with 0 or 1 in place of {work.plan['estimates']}")
        packets = check_film(work, chunk, times, film)
        record = {"chunk": chunk.number, "key": work.key(chunk), "bytes": film.stat().st_size, "sha256": sha256(film),
                  "packets": [[p.size, p.checksum] for p in packets], "stream": stream_of(job["ffprobe"], film),
                  "worker": worker.name, "computed": computed_on(said),
                  "seek": seek, "begun": begun, "ended": time.time(), "frames": chunk.frames,
                  "read": chunk.end - chunk.begin}
        os.replace(film, work.film(chunk))
        return record
    finally:
        film.unlink(missing_ok=True)
        seen.unlink(missing_ok=True)
        work.progress(chunk).unlink(missing_ok=True)


def restore(work: Work, chunk: Chunk) -> None:
    """Restores a chunk and records it. A chunk that has failed three times is not tried again."""
    if work.failures(chunk) >= work.job["attempts"]:
        raise FarmError(f"chunk {chunk.number} has failed {work.job['attempts']} times")
    with work.worker() as worker:
        try:
            write_json(work.record(chunk), attempt(work, chunk, worker))
        except (FarmError, OSError) as error:
            work.note_failure(chunk, worker.name, str(error), counts=not isinstance(error, Killed))
            raise FarmError(f"chunk {chunk.number}, frames {chunk.first} to {chunk.last - 1}: {error}") from None
