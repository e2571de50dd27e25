"""What `make bench` measures, one function for each section of the table.

Times are the least of several runs, with the median beside them in the JSON file; runs are repeated because other
programs may want the processor too. Of what runs on one thread only the time that it had a processor for counts.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional

import programs
from programs import Failed, NotRun
from results import Results

PRECISIONS = ("fp32", "bf16")
MIB = 1 << 20


@dataclass
class Scale:
    """How much is measured."""
    size: str = "320x180"                            # of single operations, memory, PyTorch and ffmpeg
    frame_sizes: tuple[str, ...] = ("160x90", "320x180", "1280x720")
    line_sizes: tuple[str, ...] = ("320x180", "960x540", "1920x1080")
    line_frames: int = 4
    seconds: float = 3                               # for one measurement to be repeated
    torch_models: int = 2                            # the first so many; PyTorch is slow
    longest_frame: float = 15                        # seconds; frames that would take longer are left out
    ffmpeg_frames: int = 10
    memory_frames: int = 6
    model_rounds: int = 3                            # turns of each shipped model
    peer_rounds: int = 5                             # passes of each engine
    whole_network: bool = True                       # of other engines


QUICK = Scale("64x36", ("64x36",), ("64x36", "128x72"), 3, 0, 1, 15, 4, 6, 1, 2, False)


@dataclass
class Bench:
    results: Results
    models: dict[str, Path]    # by the name in the table; the first is the default model
    scale: Scale
    folder: Path               # for files in between
    ffmpeg: Optional[Path]
    options: list[str]         # of the filter, whose cost is measured
    precisions: tuple[str, ...] = PRECISIONS
    threads: int = 1           # at most
    peer_python: str = sys.executable  # that has the wheels of other engines
    known: dict[tuple, list[dict[str, Any]]] = field(default_factory=dict)  # by settings, what bench_ops said

    def say(self, text: str) -> None:
        print(f"bench: {text}", file=sys.stderr, flush=True)

    @property
    def default_model(self) -> str:
        return next(iter(self.models))

    def frame(self, model: str, size: str, precision: str, threads: int, operations: str) -> list[dict[str, Any]]:
        """What bench_ops says; once for the same settings."""
        key = (model, size, precision, threads)
        if key not in self.known or (operations == "on" and not of_kind(self.known[key], "operation")):
            self.say(f"{model}, {size}, {precision}, {threads} thread{'s' if threads > 1 else ''}")
            self.known[key] = programs.bench_ops(self.models[model], precision=precision, size=size, threads=threads,
                                                 seconds=self.scale.seconds, operations=operations)
        return self.known[key]


def of_kind(lines: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["kind"] == kind]


def pixels(size: str) -> int:
    width, height = size.split("x")
    return int(width) * int(height)


# ---- Peaks, operations, frames ----

class Peaks:
    """What one thread did at best while the lines of a run were measured."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        found = of_kind(lines, "peak")
        self.flops = {name: max(peak["flops"] for peak in found if peak["name"] == name) for name in ("f32", "bf16")}
        self.memory: dict[int, float] = {}
        for peak in found:
            if peak["name"] == "memory":
                self.memory[peak["bytes"]] = max(peak["rate"], self.memory.get(peak["bytes"], 0))

    def memory_rate(self, size: float) -> float:
        """Of moving so many bytes: the best of the powers of two around it, and around half of it, for what is changed in
        place lies in less memory than is read and written."""
        sizes = [each for each in self.memory if size / 4 < each < size * 2]
        nearest = min(self.memory, key=lambda each: abs(math.log2(each / max(size, 1))))
        return max(self.memory[each] for each in sizes or [nearest])

    def of_convolutions(self, precision: str) -> float:
        return self.flops["bf16" if precision == "bf16" else "f32"]


def each_precision(bench: Bench, section: str, name: str, measure: Callable[[str], None], **settings: Any) -> None:
    """measure(precision) for each one. A reason why not is said once in a section."""
    for precision in bench.precisions:
        try:
            measure(precision)
        except NotRun as reason:
            if not bench.results.was_not_run(section, str(reason), precision=precision):
                bench.results.not_run(section, name, str(reason), precision=precision, **settings)


def operations(bench: Bench) -> None:
    """Every operation of a frame, on one thread, and those that options of the session add to it. GFLOP/s are of products
    and sums as an operation is defined; the share of the peak is of those that are made, fewer by Winograd's way."""
    for model in bench.models:
        size = bench.scale.size
        each_precision(bench, "ops", "all", lambda precision: add_operations(
            bench, bench.frame(model, size, precision, 1, "on"), model, size), model=model, size=size)


def add_operations(bench: Bench, lines: list[dict[str, Any]], model: str, size: str) -> None:
    session, peaks = of_kind(lines, "session")[0], Peaks(lines)
    settings = {"model": model, "size": size, **session_settings(session)}
    add_peaks(bench, peaks, settings)
    for line in of_kind(lines, "operation"):
        seconds, flops = line["min_ms"] / 1e3, line["flops"]
        figures = {"ms": line["min_ms"]}
        if flops:
            convolution = line["name"] in ("conv", "residual_block")
            peak = peaks.of_convolutions(session["precision"]) if convolution else peaks.flops["f32"]
            figures["GFLOP/s"] = flops / seconds / 1e9
            figures["% of the peak"] = 100 * line["made"] / seconds / peak
        else:
            figures["GB/s"] = line["bytes"] / seconds / 1e9
            figures["% of memory"] = 100 * line["bytes"] / seconds / peaks.memory_rate(line["bytes"] / line["parts"])
        part = "" if line["part"] == "frame" else f" ({line['part']})"
        bench.results.add("ops", f"{line['name']} {line['shape']} x{line['calls']}{part}", figures, **settings,
                          operation=line["name"], shape=line["shape"], calls=line["calls"], part=line["part"],
                          median_ms=line["median_ms"], passes=line["passes"])


def add_peaks(bench: Bench, peaks: Peaks, settings: dict[str, Any]) -> None:
    shown = {"threads": 1, "isa": settings["isa"]}
    if bench.results.find("ops", "peak f32", "GFLOP/s", **shown) is not None:
        return
    for name, rate in peaks.flops.items():
        if rate:
            bench.results.add("ops", f"peak {name}", {"GFLOP/s": rate / 1e9}, **shown)
    for size, rate in sorted(peaks.memory.items()):
        bench.results.add("ops", f"peak memory {size >> 10} KiB", {"GB/s": rate / 1e9}, **shown, bytes=size)


def session_settings(session: dict[str, Any]) -> dict[str, Any]:
    return {key: session[key] for key in ("precision", "threads", "isa", "library")}


def frames(bench: Bench) -> None:
    """Whole frames in the middle of a stream, their convolutions alone, and what more threads gain."""
    for model in bench.models:
        for size in bench.scale.frame_sizes:
            for threads in sorted({1, bench.threads}):
                each_precision(bench, "frames", "frame", lambda precision: measure_frame(
                    bench, model, size, precision, threads), model=model, size=size, threads=threads)


def measure_frame(bench: Bench, model: str, size: str, precision: str, threads: int) -> None:
    for smaller in bench.scale.frame_sizes:
        known = bench.results.find("frames", "frame", "ms", model=model, size=smaller, precision=precision,
                                   threads=threads)
        expected = (known or 0) / 1e3 * pixels(size) / pixels(smaller)
        if expected > bench.scale.longest_frame:
            raise NotRun(f"would take about {expected:.0f} s a frame")
    one = bench.results.find("frames", "frame", "ms", model=model, size=size, precision=precision, threads=1)
    add_frame(bench, bench.frame(model, size, precision, threads, "off"), model, size, one)


def add_frame(bench: Bench, lines: list[dict[str, Any]], model: str, size: str, one: Optional[float]) -> None:
    """one: ms of a frame on one thread, where that is known. What the other threads wait for is what is not spread
    over them."""
    session, frame, peaks = of_kind(lines, "session")[0], of_kind(lines, "frame")[0], Peaks(lines)
    rate, made = (frame[key] / frame["convs_min_ms"] * 1e3 for key in ("convs_flops", "convs_made"))
    figures = {
        "frames/s": 1e3 / frame["min_ms"],
        "ms": frame["min_ms"],
        "ms the first": frame["first_ms"],
        "% of it convolutions": 100 * frame["convs_min_ms"] / frame["min_ms"],
        "GFLOP/s in those": rate / 1e9,
        "% of the peak": 100 * made / session["threads"] / peaks.of_convolutions(session["precision"]),
        "% other operations": 100 * frame["other_share"],
    }
    if session["threads"] > 1:
        figures["% not spread over threads"] = 100 * frame["serial_share"]
        if one:
            figures["times as fast as one thread"] = one / frame["min_ms"]
    bench.results.add("frames", "frame", figures, model=model, size=size, **session_settings(session),
                      passes=frame["passes"], median_ms=frame["median_ms"], open_ms=session["open_ms"],
                      convolutions=frame["convs"], convolutions_ms=frame["convs_min_ms"],
                      convolutions_median_ms=frame["convs_median_ms"])


# ---- Larger frames, memory, the GPU ----

def linearity(bench: Bench) -> None:
    """Time for each input pixel as frames become larger, in the precision that the library takes by itself."""
    model, count, plan = bench.default_model, bench.scale.line_frames, 0
    for size in bench.scale.line_sizes:
        try:
            expected = plan * pixels(size)
            available = programs.available_memory()
            if available is not None and expected > 0.8 * available:
                raise NotRun(f"needs about {expected / MIB:.0f} MiB, {available / MIB:.0f} MiB are free")
            bench.say(f"{model}, {size}, {count} frames")
            figures = programs.bench_frames(bench.models[model], size=size, frames=count, threads=bench.threads)
        except NotRun as reason:
            bench.results.not_run("linearity", "time for a pixel", str(reason), model=model, size=size)
            continue
        plan = figures["plan_bytes"] / pixels(size)
        seconds = (figures["first_frame_s"] + figures["frame_s"] * (count - 1)) / count
        bench.results.add("linearity", "time for a pixel", {"ns": 1e9 * seconds / pixels(size), "s a frame": seconds},
                          model=model, size=size, precision=figures["precision"], threads=figures["threads"],
                          isa=figures["device"], frames=count)


def memory(bench: Bench) -> None:
    """The most memory that a process that restores frames ever had resident."""
    size, count, threads = bench.scale.size, bench.scale.memory_frames, bench.threads
    for model in bench.models:
        def measure(precision: str) -> None:
            bench.say(f"memory: {model}, {size}, {precision}")
            figures = programs.bench_frames(bench.models[model], size=size, frames=count, precision=precision,
                                            threads=threads)
            bench.results.add("memory", "peak resident", {"MiB": figures["peak_rss_bytes"] / MIB}, model=model,
                              size=size, precision=figures["precision"], threads=threads, frames=count,
                              planned_bytes=figures["plan_bytes"], isa=figures["device"])
        each_precision(bench, "memory", "peak resident", measure, model=model, size=size)


def gpu(bench: Bench) -> None:
    """Whole frames on an NVIDIA GPU, in its memory."""
    for model in bench.models:
        for size in bench.scale.frame_sizes:
            try:
                figures = programs.bench_frames(bench.models[model], backend="cuda", memory="cuda", size=size,
                                                frames=40)
            except NotRun as reason:
                bench.results.not_run("gpu", "frame", str(reason))
                return
            seconds = figures["steady_frame_s"]
            bench.results.add("gpu", "frame", {"frames/s": 1 / seconds, "ms": 1e3 * seconds,
                                               "ms the first": 1e3 * figures["first_frame_s"]},
                              model=model, size=size, precision=figures["precision"], device=figures["device"])


# ---- PyTorch ----

def window_file(bench: Bench, size: str) -> Path:
    """Five frames of a texture that moves, packed 8-bit RGB."""
    width, height = (int(side) for side in size.split("x"))
    data = bytearray()
    for time in range(5):
        across = [40 * math.sin(0.31 * (x + 2 * time)) for x in range(width)]
        down = [40 * math.sin(0.23 * (y - time)) for y in range(height)]
        for y in range(height):
            for x in range(width):
                level = 128 + across[x] + down[y]
                data += bytes((int(level), int(level * 0.8), int(255 - level)))
    path = bench.folder / f"window-{size}.rgb"
    path.write_bytes(data)
    return path


def psnr(first: bytes, second: bytes) -> float:
    error = sum((a - b) ** 2 for a, b in zip(first, second)) / len(first)
    return 10 * math.log10(255 ** 2 / error) if error else 99.0


def torch(bench: Bench) -> None:
    """model/training/reference.py on the same window, on all processors; its picture is compared with ours."""
    size, threads = bench.scale.size, bench.threads
    for model in list(bench.models)[:bench.scale.torch_models]:
        each_precision(bench, "torch", "model/training/reference.py", lambda precision: compare_with_torch(
            bench, model, size, precision, threads), model=model, size=size, threads=threads)


def compare_with_torch(bench: Bench, model: str, size: str, precision: str, threads: int) -> None:
    bench.say(f"PyTorch: {model}, {size}, {precision}")
    width, height = size.split("x")
    window, pictures = window_file(bench, size), [bench.folder / f"{whose}.rgb" for whose in ("ours", "theirs")]
    theirs = programs.time_reference(bench.models[model], input=window, output=pictures[1], width=width, height=height,
                                     precision=precision, threads=threads, seconds=bench.scale.seconds)
    figures = {"frames/s": 1e3 / theirs["min_ms"], "ms": theirs["min_ms"]}
    settings: dict[str, Any] = {"model": model, "size": size, "precision": precision, "threads": threads,
                                "torch": theirs["torch"], "passes": theirs["passes"], "median_ms": theirs["median_ms"]}
    try:
        lines = programs.bench_ops(bench.models[model], input=window, output=pictures[0], size=size, threads=threads,
                                   precision=precision, seconds=bench.scale.seconds, operations="off")
    except NotRun as reason:
        bench.results.add("torch", "model/training/reference.py", figures, **settings, ours_not_run=str(reason))
        return
    ours = of_kind(lines, "frame")[0]
    figures["times as fast is this library"] = theirs["min_ms"] / ours["min_ms"]
    figures["dB between the pictures"] = psnr(*(path.read_bytes() for path in pictures))
    bench.results.add("torch", "model/training/reference.py", figures, **settings, ours_ms=ours["min_ms"],
                      isa=of_kind(lines, "session")[0]["isa"])


# ---- ffmpeg ----

def through_ffmpeg(bench: Bench) -> None:
    """From start to end: ffmpeg's own picture source, the filter, and nothing behind it."""
    size, count = bench.scale.size, bench.scale.ffmpeg_frames
    ffmpeg = programs.find_ffmpeg(bench.ffmpeg)
    offered = re.findall(r"^ +(fp32|bf16) ", programs.filter_help(ffmpeg), re.M)
    for model, path in bench.models.items():
        for precision in bench.precisions:
            if precision not in offered:
                bench.results.not_run("ffmpeg", "ffmpeg -f null", f"this filter has no precision={precision}",
                                      model=model, size=size, precision=precision)
                continue
            bench.say(f"ffmpeg: {model}, {size}, {precision}")
            try:
                seconds = programs.time_ffmpeg(ffmpeg, size, count, {"model": path, "backend": "cpu",
                                                                     "precision": precision})
            except Failed as error:
                if precision == "fp32":
                    raise
                bench.results.not_run("ffmpeg", "ffmpeg -f null", str(error), model=model, size=size,
                                      precision=precision)
                continue
            bench.results.add("ffmpeg", "ffmpeg -f null", {"frames/s": count / seconds}, model=model, size=size,
                              precision=precision, frames=count, seconds=seconds, ffmpeg=str(ffmpeg))


def filter_options(bench: Bench) -> None:
    """What options of the filter cost."""
    size, count, model = bench.scale.size, bench.scale.ffmpeg_frames, bench.default_model
    ffmpeg = programs.find_ffmpeg(bench.ffmpeg)
    names = set(re.findall(r"^ +(\w+) +<", programs.filter_help(ffmpeg), re.M))
    base: Optional[float] = None
    for option in bench.options:
        asked = dict(word.partition("=")[::2] for word in option.split(":"))
        missing = [name for name in asked if name not in names]
        if missing:
            bench.results.not_run("options", option, f"this filter has no option {missing[0]}", model=model, size=size)
            continue
        bench.say(f"ffmpeg: {option}")
        plain = {"model": bench.models[model], "backend": "cpu"}
        base = base or programs.time_ffmpeg(ffmpeg, size, count, plain)
        try:
            seconds = programs.time_ffmpeg(ffmpeg, size, count, {**plain, **asked})
        except Failed as error:
            bench.results.not_run("options", option, str(error), model=model, size=size)
            continue
        bench.results.add("options", option, {"ms a frame": 1e3 * seconds / count, "times as long": seconds / base},
                          model=model, size=size, frames=count, ffmpeg=str(ffmpeg))


SECTIONS: dict[str, Callable[[Bench], None]] = {
    "ops": operations, "frames": frames, "linearity": linearity, "torch": torch, "memory": memory,
    "ffmpeg": through_ffmpeg, "options": filter_options, "gpu": gpu,
}
