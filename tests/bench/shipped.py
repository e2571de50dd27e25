"""The section "models" of `make bench`: how fast the models of model/ are beside each other.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

from typing import Any

import programs
from lib import models
from sections import Bench, each_precision, of_kind, session_settings


def shipped(bench: Bench) -> None:
    """A frame by each model, in turns. Times as fast: than by the default model in the same run."""
    names = sorted(models.names(), key=lambda name: name != "default")
    each_precision(bench, "models", "frame", lambda precision: take_turns(bench, names, precision, bench.threads),
                   size=bench.scale.size, threads=bench.threads)


def take_turns(bench: Bench, names: list[str], precision: str, threads: int) -> None:
    size, lines = bench.scale.size, {}
    least: dict[str, float] = {}
    for _ in range(bench.scale.model_rounds):
        for name in names:
            bench.say(f"models: {name}, {size}, {precision}, {threads} thread{'s' if threads > 1 else ''}")
            lines[name] = programs.bench_ops(models.FOLDER / f"{name}.bin", precision=precision, size=size, threads=threads,
                                             seconds=bench.scale.seconds, operations="off")
            time = of_kind(lines[name], "frame")[0]["min_ms"]
            least[name] = min(time, least.get(name, time))
    for name, time in least.items():
        session: dict[str, Any] = of_kind(lines[name], "session")[0]
        bench.results.add("models", "frame", {"times as fast": least[names[0]] / time, "frames/s": 1e3 / time, "ms": time},
                          model=name, size=size, **session_settings(session), parameters=session["parameters"],
                          rounds=bench.scale.model_rounds)
