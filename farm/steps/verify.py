"""Whether the joined film is what it must be: every packet of every chunk, in order, at its time; every other stream.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from .common import NO_TIME, FarmError, Packet, read_framecrc, read_json, rescale, run, what_ffmpeg_said, write_json
from . import probe
from .join import check_chunks
from .plan import chunk_time_base
from .restore import expected_times, packets_of
from .work import Work

SYNC = Fraction(1, 100)  # s, between sound and picture; timestamps are rounded to milliseconds twice


def check_packets(work: Work, packets: list[Packet]) -> None:
    """The packets of chunks one after the other. Errors: FarmError, which names the frames."""
    at = 0
    for chunk in work.list:
        wanted = read_json(work.record(chunk))["packets"]
        found = [[packet.size, packet.checksum] for packet in packets[at:at + len(wanted)]]
        if found != wanted:
            raise FarmError(f"frames {chunk.first} to {chunk.last - 1}: the joined film does not hold the packets of chunk "
                            f"{chunk.number}")
        at += len(wanted)
    if at != len(packets):
        raise FarmError(f"the joined film has {len(packets)} frames, not {at}")


def check_times(work: Work, packets: list[Packet], base: Fraction) -> Fraction:
    """Timestamps to the tick, from the first frame on. Returns by how many seconds that one is later than planned: FFmpeg
    moves a film where packets of another stream would begin before 0."""
    plan, container = work.plan, work.job["container"]
    encoder, first = Fraction(plan["encoder_time_base"]), work.list[0].first
    times = [frame.pts for frame in work.index()][first:work.list[-1].last]
    wanted = expected_times(times, Fraction(plan["source"]["time_base"]), encoder, container)
    unit = chunk_time_base(encoder, container)
    shown = sorted(packet.pts for packet in packets)
    for number, (found, want) in enumerate(zip(shown, wanted), first):
        if rescale(found - shown[0], base, unit) != want - wanted[0] or (found - shown[0]) * base != (want - wanted[0]) * unit:
            raise FarmError(f"frame {number} of the joined film is {float((found - shown[0]) * base):.6f} s after the first, not "
                            f"{float((want - wanted[0]) * unit):.6f} s")
    return shown[0] * base - wanted[0] * unit


def other_packets(work: Work, film: str | Path, streams: list[int]) -> list[tuple[int, Fraction | None]]:
    """How many packets streams of a file have, and the time of the first, seconds."""
    maps = [word for stream in streams for word in ("-map", f"0:{stream}")]
    done = run([work.job["ffmpeg"], "-nostdin", "-hide_banner", "-v", "error", "-copyts", "-i", probe.url(film), *maps, "-c",
                "copy", "-f", "framecrc", "-"])
    if done.returncode:
        raise FarmError(f"{film}: it cannot be read: {what_ffmpeg_said(done.stderr)}")
    packets, bases = read_framecrc(done.stdout)
    found = []
    for number in range(len(streams)):
        times = [packet.pts for packet in packets if packet.stream == number]
        found.append((len(times), times[0] * bases[number] if times and times[0] != NO_TIME else None))
    return found


def check_others(work: Work, shift: Fraction) -> list[str]:
    """Warnings about the other streams. Errors: FarmError, where one of them is missing, or sound is not in its place."""
    kept = [s for s in work.plan["source"]["streams"] if s["index"] not in work.plan["left_out"]]
    found = probe.streams_of(work.job["ffprobe"], work.joined)["streams"]
    if len(found) < len(kept):
        raise FarmError(f"the joined film has {len(found)} streams, not {len(kept)}")
    # Attachments have no packets, and a cover is written once wherever it is.
    pairs = [(place, s) for place, s in enumerate(kept) if s.get("codec_type") in ("audio", "subtitle")]
    if not pairs:
        return []
    before = other_packets(work, work.job["source"], [s["index"] for _, s in pairs])
    after = other_packets(work, work.joined, [place for place, _ in pairs])
    start, warnings = Fraction(work.plan["source"]["start_us"], 1000000), []
    for (_, stream), (wanted, planned), (got, shown) in zip(pairs, before, after):
        if wanted and not got:
            raise FarmError(f"{probe.describe(stream)} has no packets in the joined film, {wanted} in the source")
        if stream["codec_type"] == "audio" and planned is not None and shown is not None:
            late = shown - (planned - start) - shift
            if abs(late) > SYNC:
                raise FarmError(f"{probe.describe(stream)} is {float(late):.3f} s late in the joined film")
        if wanted != got:
            warnings.append(f"{probe.describe(stream)} has {got} packets in the joined film, {wanted} in the source")
    return warnings


def verify(work: Work) -> None:
    """Writes verified.json, with what the user should be told. Errors: FarmError; the joined film is removed."""
    try:
        work.check_source()
        packets, base = packets_of(work.job["ffmpeg"], work.joined, f"v:{video_place(work)}")
        check_packets(work, packets)
        warnings = check_others(work, check_times(work, packets, base))
    except FarmError:
        work.joined.unlink(missing_ok=True)
        check_chunks(work, whole=True)  # the reason may be a damaged one, which is then made again
        raise
    machines = sorted({read_json(work.record(chunk))["computed"] for chunk in work.list})
    if len(machines) > 1:
        warnings.append(f"chunks were computed in different ways ({'; '.join(machines)}): their bits may differ from those of one "
                        "machine")
    write_json(work.folder / "verified.json", {"key": work.plan["key"], "frames": len(packets), "warnings": warnings})


def video_place(work: Work) -> int:
    """Which of the video streams of the joined film is the restored one; covers and other films count too."""
    kept = [s for s in work.plan["source"]["streams"] if s["index"] not in work.plan["left_out"]
            and s.get("codec_type") == "video"]
    if work.job["container"] in ("matroska", "webm"):  # covers become attachments, and come last when it is read
        kept.sort(key=probe.is_cover)
    return [s["index"] for s in kept].index(work.plan["source"]["video"])
