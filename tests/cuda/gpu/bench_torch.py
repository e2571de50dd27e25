#!/usr/bin/env python3
"""Times the network as PyTorch computes it: model/training/reference.py in fp16, channels last, eager and by torch.compile.

Random weights of the published size, random frames that stay on the GPU; every frame of the window is computed anew, as
the definition has it. One line of JSON for each measurement.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Callable

sys.path[:0] = [str(Path(__file__).resolve().parents[3] / "model" / folder) for folder in ("tools", "training")]

try:
    import torch
except ImportError as error:
    sys.exit(f"there is no PyTorch: {error}")
import reference  # noqa: E402

WARM_UP = 3


def size_of(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text}: not WIDTHxHEIGHT")
    return int(width), int(height)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Times the network as PyTorch computes it, on a GPU.")
    parser.add_argument("--sizes", type=size_of, nargs="+", default=[(320, 180)], help="of input frames (320x180)")
    parser.add_argument("--modes", choices=("eager", "compile"), nargs="+", default=["eager", "compile"])
    parser.add_argument("--runs", type=int, default=20, help="whose median is taken (20)")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu for trying this out, in bfloat16")
    parser.add_argument("--features", type=int, default=128)
    parser.add_argument("--blocks", type=int, default=20, help="of the reconstruction (20)")
    return parser.parse_args()


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def seconds_of(run: Callable[[], object], device: str, runs: int) -> tuple[float, float]:
    """Seconds of the first run, and the median of the others."""
    begin = time.perf_counter()
    run()
    synchronize(device)
    first = time.perf_counter() - begin
    for _ in range(WARM_UP):
        run()
    times = []
    for _ in range(runs):
        synchronize(device)
        begin = time.perf_counter()
        run()
        synchronize(device)
        times.append(time.perf_counter() - begin)
    return first, statistics.median(times)


def measure(net: torch.nn.Module, mode: str, size: tuple[int, int], arguments: argparse.Namespace) -> None:
    device, (width, height) = arguments.device, size
    kind = torch.float16 if device == "cuda" else torch.bfloat16
    sequence = net.arch.n_sequence
    frames = torch.rand(1, sequence, 3, height, width, device=device).to(kind)
    module = torch.compile(net, dynamic=False) if mode == "compile" else net

    def run() -> None:
        # positions and sums over the warped features are floats, as in the definition; all convolutions are in `kind`
        with torch.inference_mode(), torch.autocast(device, kind):
            module(frames)

    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    first, median = seconds_of(run, device, arguments.runs)
    memory = torch.cuda.max_memory_allocated() if device == "cuda" else 0
    print(json.dumps({"size": f"{width}x{height}", "mode": mode, "frame_s": median, "first_s": first,
                      "memory_bytes": memory, "torch": torch.__version__}), flush=True)


def main() -> int:
    arguments = parse()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("PyTorch sees no GPU", file=sys.stderr)
        return 77
    torch.manual_seed(1)
    torch.backends.cudnn.benchmark = True
    arch = reference.Architecture(n_feat=arguments.features, recons_blocks=arguments.blocks)
    net = reference.SelfBlindVSR(arch).eval().to(arguments.device)
    net = net.to(torch.float16 if arguments.device == "cuda" else torch.bfloat16).to(memory_format=torch.channels_last)
    for mode in arguments.modes:
        for size in arguments.sizes:
            measure(net, mode, size, arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
