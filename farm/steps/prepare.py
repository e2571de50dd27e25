"""Before any chunk: a trial of everything on the first frames, the index, and the plan.

The trial says within seconds what would else be found out after hours: a wrong option of the filter or the encoder, or a
stream that the container cannot hold.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

from . import join, model, plan, probe, vf
from .common import FarmError, digest_of, read_json, run, what_ffmpeg_said, write_json, write_text
from .restore import ALONE
from .work import Work

TRIAL_FRAMES = 9  # more than a window


def is_indexed(work: Work, identity: dict[str, Any]) -> bool:
    known = read_json(work.folder / "source.json")
    return bool(known) and work.index_file.exists() and [known["identity"], known["ffmpeg"], known["index"]] == [
        identity, work.job["version"], work.job["index"]]


def make_index(work: Work, facts: dict[str, Any], identity: dict[str, Any]) -> dict[str, Any]:
    """Index and keyframes of the source; those of the run before where it is still the same."""
    source, ffprobe = Path(work.job["source"]), work.job["ffprobe"]
    if not is_indexed(work, identity):
        times, keys = probe.packet_times(ffprobe, source, facts)
        text, complaints = (probe.index_of_frames(work.job["ffmpeg"], source, facts) if work.job["index"] == "frames" else
                            (probe.index_of_packets(times, source, facts), ""))
        if probe.identity(source) != identity:
            raise FarmError(f"{source}: the source changes while it is read")
        write_text(work.index_file, text)
        write_json(work.folder / "source.json", {
            "identity": identity, "ffmpeg": work.job["version"], "index": work.job["index"], "keyframes": keys,
            "complaints": what_ffmpeg_said(complaints) if complaints.strip() else ""})
    return read_json(work.folder / "source.json")


def try_film(work: Work, facts: dict[str, Any], film: Path) -> int:
    """Restores and encodes the first frame: the radius of the model's window. Errors: FarmError with ffmpeg's message."""
    job = work.job
    base = 1 / Fraction(facts["rate"]) if facts["rate"] else Fraction(facts["time_base"])
    with work.worker() as worker:
        done = run([job["ffmpeg"], "-nostdin", "-hide_banner", "-y", "-v", "level+verbose", "-nostats",
                    *probe.input_options(facts, job["source"]), "-map", f"0:{facts['video']}",
                    "-vf", f"trim=end_frame={TRIAL_FRAMES},{job['vf']}", "-fps_mode", "passthrough", "-enc_time_base",
                    f"{base.numerator}:{base.denominator}", *job["encode"], "-frames:v", "1", *ALONE, "-f", job["container"],
                    probe.url(film)], cwd=job["directory"], env=work.environment(worker))
    if done.returncode:
        raise FarmError(f"the first frame: {what_ffmpeg_said(done.stderr)}")
    sequence = re.search(r"window of (\d+) frames", done.stderr)
    if not sequence:
        raise FarmError("the first frame: the filter did not say how many frames its window has")
    return int(sequence[1]) // 2


def try_streams(work: Work, facts: dict[str, Any], film: Path) -> list[int]:
    """Muxes the first packets with the other streams of the source: the numbers of those to leave out, which hold no
    sound, text or picture. Errors: FarmError, where the container cannot hold one."""
    job, out = work.job, work.folder / f".trial-joined{work.suffix}"
    left_out = list(job["leave_out"])

    def trial(streams: list[dict[str, Any]]) -> str:
        words = join.mux_command(job, facts, streams, film, out, 0, 0, encoder=None)
        done = run([*words[:-1], "-fs", "1", words[-1]], cwd=work.folder)
        out.unlink(missing_ok=True)
        return what_ffmpeg_said(done.stderr) if done.returncode else ""

    wanted = [s for s in facts["streams"] if s["index"] not in left_out]
    if not trial(wanted):
        return left_out
    video = next(s for s in wanted if s["index"] == facts["video"])
    for stream in wanted:
        said = trial([video, stream]) if stream is not video else ""
        if said and stream.get("codec_type") in ("audio", "video", "subtitle", "attachment"):
            raise FarmError(f"{probe.describe(stream)} cannot be copied into {job['container']}: {said}; write to .mkv, or use "
                            f"--leave-out {stream['index']}")
        if said:
            left_out.append(stream["index"])
    if said := trial([s for s in wanted if s["index"] not in left_out]):
        raise FarmError(f"the streams of the film cannot be copied into {job['container']}: {said}")
    return left_out


def signature(work: Work) -> str:
    """Of all that the plan is made from."""
    job = work.job
    asked = {name: job[name] for name in ("source", "vf", "encode", "container", "version", "chunk", "index", "leave_out")}
    chain = vf.parse(job["vf"])
    return digest_of([asked, probe.identity(Path(job["source"])), model.digest(chain, job),
                      {"intervals": chain.intervals(model.is_modulated(chain, job))}])


def is_prepared(work: Work) -> bool:
    """Whether the plan of the run before still holds."""
    known = read_json(work.folder / "plan.json")
    return bool(known) and work.index_file.exists() and known.get("made_for") == signature(work)


def prepare(work: Work) -> None:
    """Writes index.txt and plan.json."""
    job, chain, path, made_for = work.job, vf.parse(work.job["vf"]), Path(work.job["source"]), signature(work)
    identity, facts = probe.identity(path), probe.probe(job["ffprobe"], path)
    film = work.folder / f"trial{work.suffix}"
    try:
        radius = try_film(work, facts, film)
        left_out = try_streams(work, facts, film)
    finally:
        film.unlink(missing_ok=True)
    source = make_index(work, facts, identity)
    base, times = Fraction(facts["time_base"]), [frame.pts for frame in work.index()]
    encoder = plan.encoder_time_base(times, base, facts["rate"])
    modulated = model.is_modulated(chain, job)
    intervals = chain.intervals(modulated)
    chunks = plan.make_chunks(times, source["keyframes"], base, size=job["chunk"], radius=radius,
                              intervals=intervals, drops_borders=chain.drops_borders)
    made_by = {name: job[name] for name in ("vf", "encode", "container", "version")}
    write_json(work.folder / "plan.json", {
        "source": facts, "identity": identity, "complaints": source["complaints"], "frames": len(times),
        "radius": radius, "intervals": intervals, "estimates": chain.estimates(modulated),
        "encoder_time_base": f"{encoder.numerator}/{encoder.denominator}",
        "left_out": left_out, "chunks": plan.as_json(chunks), "made_for": made_for,
        "key": digest_of([identity, made_by, model.digest(chain, job), radius]),
    })
