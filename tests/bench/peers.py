"""The section of `make bench` that sets other engines to the same work: a residual trunk, with the same weights and
input, and the whole network. Passes of all of them take turns, so that what else the machine does meets each alike.

An engine is a program that says "ready NAME", answers each line "run" by the seconds that a pass took, and writes the
result of a trunk at the end: peer.py, and build/tests/trunk for this library.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import array
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import programs
from programs import TOP, Failed, NotRun, Word
from sections import Bench, each_precision, of_kind

ENGINES = ("ncnn", "OpenVINO", "ONNX Runtime")
WHOLE = {"OpenVINO": "openvino", "ONNX Runtime": "onnxruntime"}  # and their modules: these have all operations of it
OURS = "this library"
SCRIPT = Path(__file__).with_name("peer.py")
EXPORT = Path(__file__).with_name("export_onnx.py")
BLOCKS = {64: 16, 128: 8}  # of a trunk, by its channels
PEER_THREADS = 1           # whose time is that of the processor, whatever else runs
EXPORT_LIMIT = 900         # seconds
AGREE = 1e-3               # of the largest value; bf16 is not compared


@dataclass
class Engine:
    """A program that is ready for passes."""
    name: str
    process: subprocess.Popen[str]
    seconds: list[float] = field(default_factory=list)

    def read(self) -> str:
        line = self.process.stdout.readline().strip() if self.process.stdout else ""
        if not line:
            _, errors = self.process.communicate()
            reason = programs.last_line(errors, "it ended without a word")
            raise (NotRun if self.process.returncode == programs.NOT_OFFERED else Failed)(f"{self.name}: {reason}")
        return line

    def run(self) -> None:
        if self.process.stdin:
            self.process.stdin.write("run\n")
            self.process.stdin.flush()
        self.seconds.append(float(self.read()))

    def end(self) -> None:
        self.process.communicate()


def start(name: str, command: list[Word]) -> tuple[Engine, str]:
    """The engine, and what it says of itself."""
    try:
        process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
    except OSError as error:
        raise Failed(f"{name} cannot be run: {error.strerror}") from None
    engine = Engine(name, process)
    line = engine.read()
    while not line.startswith("ready "):  # engines print notes of their own
        line = engine.read()
    return engine, line[len("ready "):]


def floats(path: Path) -> array.array:
    values = array.array("f")
    values.frombytes(path.read_bytes())
    return values


def check_agreement(folder: Path, name: str) -> float:
    """The largest difference, as a share of the largest value."""
    ours, theirs = floats(folder / "out.f32"), floats(folder / f"{name}.f32")
    worst = max(abs(a - b) for a, b in zip(ours, theirs)) / max(map(abs, ours))
    if len(ours) != len(theirs) or not worst <= AGREE:
        raise Failed(f"{name} computes something else: its result is off by {worst:.2g} of the largest value")
    return worst


def add(bench: Bench, what: str, engines: dict[str, Engine], versions: dict[str, str],
        settings: dict[str, Any]) -> None:
    best = {name: min(engine.seconds) for name, engine in engines.items()}
    for name, seconds in best.items():
        figures = {"ms": 1e3 * seconds}
        if name != OURS:
            figures["times as fast is this library"] = seconds / best[OURS]
        bench.results.add("peers", f"{what}: {versions[name]}", figures, engine=name, what=what,
                          passes=len(engines[name].seconds), **settings)


def measure_trunk(bench: Bench, model: str, channels: int, precision: str) -> None:
    blocks, size, threads = BLOCKS[channels], bench.scale.size, PEER_THREADS
    what = f"trunk, {blocks} blocks of {channels} channels"
    settings: dict[str, Any] = {"model": model, "size": size, "threads": threads, "precision": precision}
    bench.say(f"peers: {what}, {size}, {precision}")
    options = {"size": size, "threads": threads, "precision": precision}
    path = bench.models[model]
    ours, isa = start(OURS, [programs.PROGRAMS / "trunk", path, bench.folder, f"blocks={blocks}",
                             *(f"{key}={value}" for key, value in options.items())])
    engines, versions = {OURS: ours}, {OURS: f"{OURS}, {isa}"}
    for name in ENGINES:
        try:
            engines[name], versions[name] = start(name, [
                bench.peer_python, SCRIPT, name, path, bench.folder, "--trunk", str(blocks),
                *(f"--{key}={value}" for key, value in options.items())])
        except NotRun as reason:
            bench.results.not_run("peers", f"{what}: {name}", str(reason), **settings)
    for _ in range(bench.scale.peer_rounds):
        for engine in engines.values():
            engine.run()
    for engine in engines.values():
        engine.end()
    for name in engines:
        if name != OURS and precision == "fp32":
            settings[f"off, {name}"] = check_agreement(bench.folder, name)
    add(bench, what, engines, versions, settings)


def exported(bench: Bench, model: str, size: str) -> Path:
    """The network as ONNX, written by PyTorch, which takes minutes: so it is kept."""
    source, path = bench.models[model], TOP / f"build/peers/{model}-{size}.onnx"
    if not path.exists() or path.stat().st_mtime < source.stat().st_mtime:
        bench.say(f"peers: PyTorch writes {path}")
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        programs.run([sys.executable, EXPORT, source, new, size], EXPORT_LIMIT)
        new.replace(path)
    return path


def installed(bench: Bench, module: str) -> bool:
    done = subprocess.run([bench.peer_python, "-c", f"import {module}"], capture_output=True, check=False)
    return done.returncode == 0


def measure_network(bench: Bench, model: str, precision: str) -> None:
    """A window of five frames for the others, the next frame of a stream for this library."""
    size, threads = bench.scale.size, PEER_THREADS
    settings: dict[str, Any] = {"model": model, "size": size, "threads": threads, "precision": precision}
    bench.say(f"peers: whole network, {model}, {size}, {precision}")
    if not bench.scale.whole_network:
        raise NotRun("left out of a quick run")
    if not any(installed(bench, module) for module in WHOLE.values()):
        raise NotRun(f"not installed: {', '.join(WHOLE.values())}")
    path = exported(bench, model, size)
    engines: dict[str, Engine] = {}
    versions: dict[str, str] = {}
    for name in WHOLE:
        try:
            engines[name], versions[name] = start(name, [
                bench.peer_python, SCRIPT, name, path, bench.folder, f"--size={size}", f"--threads={threads}",
                f"--precision={precision}"])
        except NotRun as reason:
            bench.results.not_run("peers", f"whole network: {name}", str(reason), **settings)
    ours: list[float] = []
    for _ in range(bench.scale.peer_rounds):
        for engine in engines.values():
            engine.run()
        lines = programs.bench_ops(bench.models[model], size=size, threads=threads, precision=precision, seconds=0,
                                   operations="off")
        ours.append(of_kind(lines, "frame")[0]["min_ms"] / 1e3)
        versions[OURS] = f"{OURS}, {of_kind(lines, 'session')[0]['isa']}"
    for engine in engines.values():
        engine.end()
    bench.results.add("peers", f"whole network: {versions[OURS]}", {"ms": 1e3 * min(ours)}, engine=OURS,
                      what="whole network", passes=len(ours), **settings)
    for name, engine in engines.items():
        seconds = min(engine.seconds)
        bench.results.add("peers", f"whole network: {versions[name]}",
                          {"ms": 1e3 * seconds, "times as fast is this library": seconds / min(ours)}, engine=name,
                          what="whole network", passes=len(engine.seconds), **settings)


def peers(bench: Bench) -> None:
    """Both trunks and the whole network, on one thread."""
    names = list(bench.models)
    for model, channels in zip((names[0], names[-1]), BLOCKS):
        each_precision(bench, "peers", f"trunk of {channels} channels", lambda precision: measure_trunk(
            bench, model, channels, precision), model=model, size=bench.scale.size)
    each_precision(bench, "peers", "whole network", lambda precision: measure_network(bench, names[0], precision),
                   model=names[0], size=bench.scale.size)
