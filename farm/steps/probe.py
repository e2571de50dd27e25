"""What the source is: its streams, and an index of its frames.

The index is made by decoding the film once, from its beginning, the way one ffmpeg would: a timestamp and a checksum of
every frame. It is what chunks are held against, which get to their frames by seeking. Packets are read faster than frames
are decoded, but there may be more or fewer of them, and keyframes that are none; an index of packets is made on request.

Timestamps are those that ffmpeg works with: of the container, less the start of its first stream.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import hashlib
import json
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

from .common import BLOCK, FarmError, Packet, read_framecrc, rescale, run, seconds, what_ffmpeg_said

MICROSECOND = Fraction(1, 1000000)
UNKNOWN = "-"  # in the place of a checksum, where frames were not decoded for the index
# Containers in which ffmpeg corrects the start to that of the streams it uses. It does not if the offset is not exactly
# the one it would have chosen: a microsecond is less than half a tick of them.
DISCONTINUOUS = {"mpegts", "mpeg", "hls", "dash"}


def url(path: str | Path) -> str:
    """A path that FFmpeg takes for nothing else."""
    return f"file:{path}"


def identity(source: Path) -> dict[str, Any]:
    """What tells that a file is still the same: size, time, and a digest of its first and last MiB."""
    digest = hashlib.sha256()
    with open(source, "rb") as file:
        digest.update(file.read(BLOCK))
        file.seek(max(0, os.fstat(file.fileno()).st_size - BLOCK))
        digest.update(file.read(BLOCK))
        status = os.fstat(file.fileno())
    return {"bytes": status.st_size, "modified_ns": status.st_mtime_ns, "ends": digest.hexdigest()}


def describe(stream: dict[str, Any]) -> str:
    """A stream in words: number, kind, codec, language."""
    language = stream.get("tags", {}).get("language")
    words = [stream.get("codec_type", "unknown"), stream.get("codec_name", "unknown codec"), *([language] if language else [])]
    return f"stream {stream['index']} ({', '.join(words)})"


def streams_of(ffprobe: str, source: Path) -> dict[str, Any]:
    """What ffprobe says of a file: {"format": ..., "streams": [...]}."""
    done = run([ffprobe, "-v", "error", "-of", "json", "-show_format", "-show_streams", url(source)])
    if done.returncode or not done.stdout.strip():
        raise FarmError(f"{source}: FFmpeg cannot read it: {what_ffmpeg_said(done.stderr)}")
    return json.loads(done.stdout)


def is_cover(stream: dict[str, Any]) -> bool:
    return bool(stream.get("disposition", {}).get("attached_pic"))


def probe(ffprobe: str, source: Path) -> dict[str, Any]:
    """The facts of the source that the other steps need."""
    found = streams_of(ffprobe, source)
    film = next((s for s in found["streams"] if s.get("codec_type") == "video" and not is_cover(s)), None)
    if film is None:
        raise FarmError(f"{source}: there is no video stream in it")
    start = round(Fraction(found["format"].get("start_time", "0")) / MICROSECOND)
    if DISCONTINUOUS & set(found["format"]["format_name"].split(",")):
        start -= 1
    return {
        "video": film["index"],
        "start_us": start,
        "time_base": film["time_base"],
        "rate": rate_of(film),
        "size": [film["width"], film["height"]],
        "packets": int(film["nb_frames"]) if film.get("nb_frames", "").isdigit() else None,
        "streams": [{key: s[key] for key in ("index", "codec_type", "codec_name", "disposition", "tags") if key in s}
                    for s in found["streams"]],
    }


def rate_of(stream: dict[str, Any]) -> str | None:
    """The frame rate that ffmpeg's filters and encoders are told: av_guess_frame_rate()."""
    def fraction(name: str) -> Fraction:
        top, _, bottom = stream.get(name, "0/1").partition("/")
        return Fraction(int(top), int(bottom)) if int(bottom or 0) else Fraction(0)
    real, average = fraction("r_frame_rate"), fraction("avg_frame_rate")
    rate = average if 0 < average < 70 and real > 210 else real
    return f"{rate.numerator}/{rate.denominator}" if rate else None


def input_options(facts: dict[str, Any], source: str | Path, seek: str | None = None) -> list[str]:
    """The source as an input of ffmpeg, its timestamps as if it were read from the beginning."""
    offset = seconds(Fraction(-facts["start_us"], 1000000))
    return ["-copyts", *(["-noaccurate_seek", "-ss", seek] if seek else []), "-itsoffset", offset, "-i", url(source)]


def checksums(facts: dict[str, Any]) -> list[str]:
    """Output options for a line of framecrc about each decoded frame."""
    return ["-map", f"0:{facts['video']}", "-fps_mode", "passthrough", "-enc_time_base", facts["time_base"].replace("/", ":"),
            "-noautoscale", "-c:v", "rawvideo", "-f", "framecrc"]


def count_packets(ffprobe: str, source: Path, facts: dict[str, Any]) -> int:
    """About how many frames there are, without decoding."""
    done = run([ffprobe, "-v", "error", "-select_streams", facts["video"], "-count_packets", "-show_entries",
                "stream=nb_read_packets", "-of", "csv=p=0", url(source)])
    return int(done.stdout.split(",")[0].split()[0]) if done.stdout.strip() else 0


def packet_times(ffprobe: str, source: Path, facts: dict[str, Any]) -> tuple[list[int], list[int]]:
    """Timestamps of the packets that are shown, and of those marked as keyframes, in ticks, in order."""
    done = run([ffprobe, "-v", "error", "-select_streams", facts["video"], "-show_entries", "packet=pts,dts,flags", "-of",
                "json", url(source)])
    base = Fraction(facts["time_base"])
    shift = rescale(-facts["start_us"], MICROSECOND, base)
    packets = [(packet.get("pts", packet.get("dts")), packet.get("flags", "")) for packet in
               json.loads(done.stdout or "{}").get("packets", [])]
    timed = sorted((time + shift, flags) for time, flags in packets if time is not None)
    return [time for time, flags in timed if "D" not in flags], [time for time, flags in timed if flags.startswith("K")]


def check_index(frames: list[Packet], source: Path) -> None:
    if not frames:
        raise FarmError(f"{source}: no frame of its video stream can be decoded")
    for number, (before, now) in enumerate(zip(frames, frames[1:]), 1):
        if now.pts <= before.pts:
            raise FarmError(f"{source}: the timestamp of frame {number} ({now.pts}) is not after that of the frame before it "
                            f"({before.pts}); give the film timestamps first, by ffmpeg -fflags +genpts or mkvmerge")
        if now.size != before.size:
            raise FarmError(f"{source}: the size of the pictures changes at frame {number}; split the film there first")


def index_of_packets(times: list[int], source: Path, facts: dict[str, Any]) -> str:
    """An index without checksums, in the format of the other one."""
    frames = [Packet(0, time, 0, UNKNOWN) for time in times]
    check_index(frames, source)
    return f"#tb 0: {facts['time_base']}\n" + "".join(f"0, {f.pts}, {f.pts}, 0, {f.size}, {f.checksum}\n" for f in frames)


def index_of_frames(ffmpeg: str, source: Path, facts: dict[str, Any]) -> tuple[str, str]:
    """Decodes the film: the index, and what the decoder complained about."""
    done = run([ffmpeg, "-nostdin", "-hide_banner", "-v", "error", *input_options(facts, source), *checksums(facts), "-"])
    if done.returncode:
        raise FarmError(f"{source}: it cannot be decoded: {what_ffmpeg_said(done.stderr)}")
    frames, _ = read_framecrc(done.stdout)
    check_index(frames, source)
    return done.stdout, done.stderr
