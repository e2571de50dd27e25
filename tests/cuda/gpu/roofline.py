"""What a frame costs at the least: a table of all launches, each at its bound, for several GPUs.

The launches are those that the library makes for a frame, listed by the emulated driver (build/emu, FAKE_CUDA_WORK), which
computes nothing then. A launch takes as long as its products at the rate of the tensor cores, its bytes at the rate of the
memory, or the time that a launch takes in a graph, whichever is longest. Kernels that reach their bound do not exist; the
column "measured" is for what a GPU says.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import random_model

TOP = Path(__file__).resolve().parents[3]
sys.path.append(str(TOP / "tests/support"))
import cuda_images  # noqa: E402
import sass  # noqa: E402

LIBRARY = TOP / "build/lib/libselfblindvsr.so"
BENCH = TOP / "build/tests/bench"
EMULATOR = TOP / "build/emu"
TIMEOUT = 600  # seconds for one run
FRAMES = (22, 24)  # of two runs: the difference is steady work
LAUNCH = 2.5e-6   # seconds from one kernel of a graph to the next
WGMMA_CYCLES = 128  # of one m64n256k16 at the rate of the tensor cores


class Gpu(NamedTuple):
    name: str
    sm: int       # compute capability, which decides on kernels
    flops: float  # products and sums a second, fp16 with sums in fp32, dense
    bytes: float  # a second


GPUS = (Gpu("H100", 90, 989e12, 3.35e12), Gpu("H200", 90, 989e12, 4.8e12), Gpu("RTX 4090", 89, 165e12, 1.008e12),
        Gpu("RTX 3060", 86, 25.5e12, 0.36e12))


class Launch(NamedTuple):
    """A line of the list: one kernel and shape."""
    kernel: str
    shape: str
    flop: float
    bytes: float

    def bound(self, gpu: Gpu) -> float:
        """Seconds."""
        return max(self.flop / gpu.flops, self.bytes / gpu.bytes, LAUNCH)


class RooflineError(Exception):
    """Why there is no table, in one line."""


def run(model: Path, size: str, sm: int, frames: int) -> Counter[Launch]:
    """The launches of so many frames."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "work"
        env = os.environ | {"LD_LIBRARY_PATH": str(EMULATOR), "FAKE_CUDA_SM": str(sm), "FAKE_CUDA_WORK": str(work)}
        done = subprocess.run([BENCH, model, "backend=cuda", "precision=fp16", "memory=host", f"size={size}",
                               f"frames={frames}", "adapt_interval=0"], env=env, capture_output=True, text=True,
                              timeout=TIMEOUT, check=False)
        if done.returncode or not work.exists():
            raise RooflineError(f"{model.name}, {size}: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
        launches: Counter[Launch] = Counter()
        for line in work.read_text().splitlines():
            kernel, shape, count, flop, size_in_bytes = line.split("\t")
            launches[Launch(kernel, shape, float(flop), float(size_in_bytes))] += int(count)
        return launches


def of_a_frame(model: Path, size: str, sm: int) -> dict[Launch, int]:
    """How often each launch is made for a frame. What does not come once a frame is an error."""
    few, many = (run(model, size, sm, frames) for frames in FRAMES)
    steady = {launch: many[launch] - few[launch] for launch in many if many[launch] > few[launch]}
    frames = FRAMES[1] - FRAMES[0]
    uneven = [launch for launch, count in steady.items() if count % frames]
    if uneven:
        raise RooflineError(f"{model.name}, {size}: not the same for every frame: {uneven[0]}")
    return {launch: count // frames for launch, count in steady.items()}


def seconds(launches: dict[Launch, int], gpu: Gpu) -> float:
    return sum(count * launch.bound(gpu) for launch, count in launches.items())


def write_table(title: str, size: str, frames: dict[int, dict[Launch, int]]) -> list[str]:
    """A frame on every GPU, then the launches on the first."""
    lines = [f"## {title}, {size}", "", "| GPU | launches | GFLOP | GB | predicted ms | of it launches alone | measured ms |",
             "|---|---|---|---|---|---|---|"]
    for gpu in GPUS:
        launches = frames[gpu.sm]
        small = sum(count * LAUNCH for launch, count in launches.items() if launch.bound(gpu) == LAUNCH)
        lines.append(f"| {gpu.name} | {sum(launches.values())} | {sum(n * a.flop for a, n in launches.items()) / 1e9:.0f} | "
                     f"{sum(n * a.bytes for a, n in launches.items()) / 1e9:.2f} | {seconds(launches, gpu) * 1e3:.2f} | "
                     f"{small * 1e3:.2f} | |")
    first, header = frames[GPUS[0].sm], " | ".join(f"{gpu.name}, µs" for gpu in GPUS if gpu.sm == GPUS[0].sm)
    lines += ["", f"| kernel (compute capability {GPUS[0].sm / 10}) | shape | launches | MFLOP each | MB each | {header} | "
              "measured, µs |", "|---|---|---|---|---|" + "---|" * (header.count("|") + 2)]
    for launch, count in sorted(first.items(), key=lambda item: -item[1] * item[0].bound(GPUS[0])):
        times = " | ".join(f"{launch.bound(gpu) * 1e6:.1f}" for gpu in GPUS if gpu.sm == GPUS[0].sm)
        lines.append(f"| {launch.kernel} | {launch.shape} | {count} | {launch.flop / 1e6:.0f} | {launch.bytes / 1e6:.2f} | "
                     f"{times} | |")
    return [*lines, ""]


def hopper_kernels(library: Path = LIBRARY) -> dict[str, cuda_images.Kernel]:
    """The convolutions by wgmma in the machine code of a library."""
    return {name: kernel for image in cuda_images.images_of(library) for piece in image
            if not piece.is_ptx and piece.arch == "90a" for name, kernel in sorted(piece.kernels.items())}


def write_finishing() -> list[str]:
    """What a warpgroup does for a tile besides products, from the machine code."""
    one, both = 9 * 4 * WGMMA_CYCLES, 2 * 3 * 4 * WGMMA_CYCLES
    lines = ["## Tiles of the Hopper convolution", "",
             "A warpgroup finishes its tile, 64 outputs of 8 x 32 pixels, while the other one multiplies: with 64 inputs and",
             f"outputs for {one} cycles; with 128 outputs, where both read the same pixels, their distance is {both} cycles.",
             "What a warp has to do meanwhile is the loop over tiles without the loop over products in it, counted in the",
             "machine code. A block of 384 threads takes all registers and nearly all shared memory of a multiprocessor.", "",
             "| kernel | registers of a thread | instructions of a step, 12 of them products | of the rest of a tile |",
             "|---|---|---|---|"]
    for name, kernel in hopper_kernels().items():
        products, tiles = sass.around(kernel.code, sass.HGMMA)[:2]
        lines.append(f"| {name} | {kernel.registers} | {products.length} | {tiles.length - products.length} |")
    return [*lines, ""]


def write(models: dict[str, Path], sizes: list[str]) -> str:
    lines = ["# What a frame costs at the least", "",
             "Written by tests/cuda/gpu/roofline.py from the launches that the library makes; nothing here was measured. A",
             "launch is counted with its products at the rate of the tensor cores (fp16, sums in fp32, dense), its bytes, each",
             f"once, at the rate of the memory, or {LAUNCH * 1e6:.1f} µs, whichever is longest; launches follow each other. Frames",
             "are NV12 in ordinary memory; their way to the GPU and back is not counted.", ""]
    rates = ", ".join(f"{gpu.name} {gpu.flops / 1e12:g} TFLOP/s and {gpu.bytes / 1e12:g} TB/s" for gpu in GPUS)
    lines += [f"Rates: {rates}.", ""]
    for title, model in models.items():
        for size in sizes:
            lines += write_table(title, size, {sm: of_a_frame(model, size, sm) for sm in {gpu.sm for gpu in GPUS}})
    return "\n".join([*lines, *write_finishing()]).rstrip() + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Writes a table of the launches of a frame, each at its bound.")
    parser.add_argument("output", type=Path, nargs="?", default=Path(__file__).with_name("ROOFLINE.md"))
    parser.add_argument("--sizes", nargs="+", default=["320x180", "960x540"], metavar="WxH")
    parser.add_argument("--model", type=Path, help="of this model alone (default.bin, and random weights of the published size)")
    options = parser.parse_args()
    try:
        if options.model:
            options.output.write_text(write({options.model.name: options.model}, options.sizes))
            return 0
        with tempfile.TemporaryDirectory() as folder:
            published = Path(folder) / "published.bin"
            random_model.write(published)
            models = {"default.bin": TOP / "model/default.bin", "A network of the published size": published}
            options.output.write_text(write(models, options.sizes))
    except (RooflineError, OSError, subprocess.TimeoutExpired) as error:
        print(f"roofline: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
