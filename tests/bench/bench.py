#!/usr/bin/env python3
"""Measures how fast the library is on this machine: one table, and a JSON file of all figures.

Operations, whole frames, growth with the size of frames, PyTorch on the same input, memory, ffmpeg from end to end,
what options of the filter cost, the models that are shipped beside each other, and other engines on the same work. What
cannot be measured here is in the table too, with the reason.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Optional, Sequence

import programs
from programs import TOP, Failed, NotRun
from peers import peers
from results import Results
from sections import PRECISIONS, QUICK, SECTIONS, Bench, Scale

sys.path[1:1] = [str(TOP / folder) for folder in ("tests/cuda/gpu", "model/tools")]
import random_model  # noqa: E402
from lib import models  # noqa: E402
from shipped import shipped  # noqa: E402

PUBLISHED = "published size"
SECTIONS |= {"models": shipped, "peers": peers}
# Options of the filter that cost time, where it has them.
OPTIONS = ("scene=0", "refine=5")


def sections_of(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    unknown = [name for name in chosen if name not in SECTIONS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]}: not one of {', '.join(SECTIONS)}")
    return chosen


def precisions_of(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    unknown = [name for name in chosen if name not in PRECISIONS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]}: not one of {', '.join(PRECISIONS)}")
    return chosen


def parse(words: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Measures how fast the library is on this machine.")
    parser.add_argument("--quick", action="store_true", help="small frames, each once: shows that it works")
    parser.add_argument("--only", type=sections_of, default=tuple(SECTIONS), metavar="SECTION[,SECTION...]",
                        help=f"of {', '.join(SECTIONS)}; the file keeps the others as they were")
    parser.add_argument("--precision", type=precisions_of, default=PRECISIONS, metavar="PRECISION[,PRECISION]",
                        help=f"of {', '.join(PRECISIONS)}")
    parser.add_argument("--threads", type=int, default=programs.processors(), choices=range(1, 257), metavar="N",
                        help="at most (as many as there are processors)")
    parser.add_argument("--model", default="default", help=f"{models.HELP}, beside the network of the published size with "
                        "random weights (default)")
    parser.add_argument("--json", type=Path, default=TOP / "build/bench.json", help="build/bench.json")
    parser.add_argument("--peer-python", default=sys.executable, metavar="PYTHON",
                        help="that has ncnn, openvino, onnxruntime and onnx, as many as there are (this one)")
    parser.add_argument("--ffmpeg", type=Path, help="with the filter (build/bin/ffmpeg)")
    parser.add_argument("--option", action="append", metavar="NAME=VALUE[:NAME=VALUE...]",
                        help=f"of the filter, whose cost is measured ({', '.join(OPTIONS)})")
    parser.add_argument("--compiler", default="cc", help="that the library was compiled with, to be named")
    parser.add_argument("--flags", default="", help="of the compiler, likewise")
    return parser.parse_args(words)


def main() -> int:
    arguments = parse()
    try:
        model = Path(models.find(arguments.model))
    except ValueError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    if not model.is_file():
        print(f"bench: there is no model {model}", file=sys.stderr)
        return 1
    published = TOP / "build/random-published-kernel.bin"
    if not published.exists():
        random_model.write(published, with_kernel_net=True)
    results = Results({"cpu": programs.processor(), "processors": programs.processors(), "quick": arguments.quick,
                       "compiler": programs.compiler(arguments.compiler), "flags": " ".join(arguments.flags.split())})
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(results, {model.name: model, PUBLISHED: published},
                      QUICK if arguments.quick else Scale(), Path(folder), arguments.ffmpeg,
                      list(arguments.option or OPTIONS), arguments.precision,
                      arguments.threads, arguments.peer_python)
        for section in arguments.only:
            try:
                SECTIONS[section](bench)
            except NotRun as reason:
                results.not_run(section, "all", str(reason))
            except Failed as error:
                print(f"bench: {section}: {error}", file=sys.stderr)
                return 1
    results.write(arguments.json, arguments.only, arguments.precision)
    print(f"{results.machine['cpu']}, {results.machine['processors']} processors; {results.machine['compiler']}")
    print(results.table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
