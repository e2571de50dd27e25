#!/usr/bin/env python3
"""How far the farm scales, by simulation: 1 to 10,000 GPUs on a film, and on a catalogue of films.

Chunks are handed out in order, each to the GPU that is free first. The figures of Assumptions are assumptions: change them
by options, one for each.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import argparse
import heapq
import random
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import NormalDist
from typing import Iterator, Sequence

GPUS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
CHUNKS = (25, 50, 100, 200, 350, 500, 700, 1000, 1500, 2000, 3500, 5000, 10000, 20000)


@dataclass(frozen=True)
class Assumptions:
    frames: int = 172800      # of a film: two hours at 24 frames/s, 960x540 to 3840x2160
    films: int = 1000         # of a catalogue
    speed: float = 60.0       # frames/s that a GPU restores and encodes; not measured, no GPU has run this yet
    context: int = 5          # frames that a chunk restores besides its own
    start: float = 6.0        # s: job script, Snakemake, ffmpeg, CUDA context, model, kernels
    latency: float = 3.0      # s from the end of a job to the start of the next one on that GPU
    dispatch: float = 10.0    # jobs/s that the scheduler starts for one film; for a catalogue, ten times as many
    decode: float = 800.0     # frames/s of the decoder: index of frames, and frames between keyframe and chunk
    source_bytes: float = 4e4  # of a frame of the source, read for an index of packets
    seek: int = 375           # frames decoded before a chunk: one and a half groups of 250
    frame_bytes: float = 4e5  # of a restored frame, encoded: 77 Mbit/s
    storage: float = 5e9      # bytes/s of the shared storage
    stream: float = 1e9       # bytes/s of one reader or writer
    passes: int = 3           # over the film when it is joined: read, write, comparison
    spread: float = 0.05      # of the speeds of GPUs, standard deviation
    slow: float = 0.01        # share of GPUs at half the speed
    lost: float = 1e-3        # machines lost in a GPU hour; the chunk is restored again


@dataclass(frozen=True)
class Result:
    """Times in seconds."""
    gpus: int
    chunk: int
    index: float
    restore: float
    join: float
    waste: float  # share of GPU time that restores no frame of the film

    @property
    def total(self) -> float:
        return self.index + self.restore + self.join


def speeds(a: Assumptions, gpus: int) -> list[float]:
    """Frames/s of each GPU; less, where the storage is too slow for all of them. They are spread as a normal distribution,
    in no order, and as many as that makes are slow."""
    normal, slow = NormalDist(1, a.spread), round(gpus * a.slow)
    own = [a.speed * max(0.1, normal.inv_cdf((number + 0.5) / gpus) if a.spread else 1) for number in range(gpus)]
    random.Random(1).shuffle(own)
    own = [value / 2 if number < slow else value for number, value in enumerate(own)]
    share = min(1.0, a.storage / (sum(own) * a.frame_bytes))
    return [value * share for value in own]


def restore_time(a: Assumptions, gpus: int, chunk: int) -> tuple[float, float]:
    """Time until the last chunk is done, and the share of GPU time that is not spent on frames of the film."""
    rng, jobs = random.Random(2), -(-a.frames // chunk)
    own = speeds(a, min(gpus, jobs))
    free = [(0.0, number) for number in range(len(own))]
    end, useful = 0.0, 0.0
    for job in range(jobs):
        at, gpu = heapq.heappop(free)
        frames = min(chunk, a.frames - job * chunk)
        work = a.start + a.seek / a.decode + (frames + a.context) / own[gpu]
        if rng.random() < a.lost * work / 3600:
            work *= 1.5  # half of it for nothing
        done = max(at, job / a.dispatch) + work
        heapq.heappush(free, (done + a.latency, gpu))
        end, useful = max(end, done), useful + frames / own[gpu]
    return end, 1 - useful / (end * gpus)


def film(a: Assumptions, gpus: int, chunk: int, packets: bool = False) -> Result:
    """packets: the index is of packets."""
    restore, waste = restore_time(a, gpus, chunk)
    index = a.frames * a.source_bytes / a.stream if packets else a.frames / a.decode
    return Result(gpus, chunk, index, restore, a.passes * a.frames * a.frame_bytes / a.stream, waste)


def best_film(a: Assumptions, gpus: int, packets: bool = False) -> Result:
    return min((film(a, gpus, chunk, packets) for chunk in CHUNKS), key=lambda result: result.total)


def catalogue(a: Assumptions, gpus: int, chunk: int) -> float:
    """Frames/s over many films: index and join of some run on other machines while chunks of others are restored, so that
    what is left are GPUs, storage and scheduler."""
    own = speeds(replace(a, storage=float("inf")), gpus)
    overhead = a.start + a.latency + a.seek / a.decode
    gpu = sum(chunk / (overhead + (chunk + a.context) / value) for value in own)
    return min(gpu, a.storage / (a.frame_bytes * (1 + a.passes)), 10 * a.dispatch * chunk)


def best_catalogue(a: Assumptions, gpus: int) -> tuple[int, float]:
    """The smallest chunk within 2 % of the best, and frames/s: small chunks lose less with a machine."""
    rates = [(chunk, catalogue(a, gpus, chunk)) for chunk in CHUNKS]
    most = max(rate for _, rate in rates)
    return next((chunk, rate) for chunk, rate in rates if rate >= 0.98 * most)


def rows(a: Assumptions) -> Iterator[str]:
    yield "        A film                              --index frames        --index packets       A catalogue"
    yield "  GPUs  chunk  restore s  join s  waste   total s  speed-up     total s  speed-up     chunk  films/day  of the GPUs"
    alone = a.frames / a.speed
    for gpus in GPUS:
        best, quick, (chunk, rate) = best_film(a, gpus), best_film(a, gpus, packets=True), best_catalogue(a, gpus)
        yield (f"{gpus:6}  {best.chunk:5}  {best.restore:9.0f}  {best.join:6.0f}  {100 * best.waste:3.0f} %  {best.total:8.0f}  "
               f"{alone / best.total:8.1f}  {quick.total:10.0f}  {alone / quick.total:8.1f}  {chunk:8}  "
               f"{86400 * rate / a.frames:9.1f}  {100 * rate / (gpus * a.speed):9.0f} %")


def draw(a: Assumptions, path: Path) -> None:
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    best, quick = ([best_film(a, gpus, packets) for gpus in GPUS] for packets in (False, True))
    for name, values, style in (
            ("chunks of 100", [film(a, gpus, 100).total for gpus in GPUS], ":"),
            ("chunks of 500", [film(a, gpus, 500).total for gpus in GPUS], "--"),
            ("best chunk", [result.total for result in best], "-"),
            ("best chunk, index of packets", [result.total for result in quick], "-"),
            ("join alone", [result.join for result in best], "-.")):
        left.loglog(GPUS, values, style, label=name)
    left.loglog(GPUS, [a.frames / a.speed / gpus for gpus in GPUS], color="0.7", label="ideal")
    left.set(title=f"A film of {a.frames} frames", xlabel="GPUs", ylabel="seconds", ylim=(50, None))
    for scale in (1, 10, 100):
        faster = replace(a, storage=a.storage * scale)
        right.loglog(GPUS, [best_catalogue(faster, gpus)[1] for gpus in GPUS], label=f"storage of {faster.storage / 1e9:.0f} GB/s")
    right.loglog(GPUS, [gpus * a.speed for gpus in GPUS], color="0.7", label="ideal")
    right.set(title="A catalogue", xlabel="GPUs", ylabel="frames/s")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=80)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw the figure, PNG")
    for each in fields(Assumptions):
        parser.add_argument(f"--{each.name.replace('_', '-')}", type=type(each.default), default=each.default, metavar="N",
                            help="default: %(default)s")
    given = vars(parser.parse_args(arguments))
    figure = given.pop("figure")
    wrong = [name for name, value in given.items() if value <= 0 and name not in ("context", "slow", "spread", "lost", "seek")]
    if wrong:
        print(f"simulate: --{wrong[0].replace('_', '-')} {given[wrong[0]]}: must be more than 0", file=sys.stderr)
        return 1
    assumptions = Assumptions(**given)
    for row in rows(assumptions):
        print(row)
    if figure:
        draw(assumptions, figure)
    return 0


if __name__ == "__main__":
    sys.exit(main())
