#!/usr/bin/env python3
"""A model file of the published size with random weights, for measurements of speed. The standard library alone.

The weights keep activations finite: a matrix product or a convolution on real values takes as long as with the weights
of a trained network, one on zeros does not.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import argparse
import json
import math
import random
import struct
import sys
from pathlib import Path
from typing import Iterator

FLOW = "flow_net.moduleNetwork"
LEVELS = ("One", "Two", "Thr", "Fou", "Fiv", "Six")
COLOURS, SEQUENCE, SCALE = 3, 5, 4
PYRAMID = (16, 32, 64, 96, 128, 196)
DECODER = (128, 128, 96, 64, 32)
REFINER = (128, 128, 128, 96, 64, 32, 2)
COST_CHANNELS = 81
KERNEL_NET = (64, 4, 32, 1000, 169)  # channels, in attention, before the last; of the linear layers
STEPS = 256  # values that a weight can have

Layer = tuple[str, tuple[int, ...], float]  # name, shape of the weights, gain


def conv(name: str, inputs: int, outputs: int, gain: float = 1.0) -> Layer:
    return name, (outputs, inputs, 3, 3), gain


def reconstruction(features: int, extra: int, recons: int) -> Iterator[Layer]:
    yield conv("in_conv.0", COLOURS, features)
    for chain, blocks in (("extra_feat", extra), ("recons_net", recons)):
        for block in range(blocks):
            yield conv(f"{chain}.{block}.conv1", features, features)
            yield conv(f"{chain}.{block}.conv2", features, features, 0.2)
    yield conv("fusion_conv.0", SEQUENCE * features, features)
    for step in range(SCALE // 2):
        yield conv(f"upsample_layers.{2 * step}", features, 4 * features)
    yield conv("out_conv.0", features, features)
    yield conv("out_conv.1", features, COLOURS, 0.1)


def flow() -> Iterator[Layer]:
    inputs = COLOURS
    for level, width in zip(LEVELS, PYRAMID):
        for index in (0, 2, 4):
            yield conv(f"{FLOW}.moduleExtractor.module{level}.{index}", inputs, width)
            inputs = width
    dense = 0
    for level in range(len(PYRAMID), 1, -1):
        name, coarser, dense = f"{FLOW}.module{LEVELS[level - 1]}", dense, COST_CHANNELS
        if coarser:
            yield f"{name}.moduleUpflow", (2, 2, 4, 4), 0.5
            yield f"{name}.moduleUpfeat", (coarser, 2, 4, 4), 0.2
            dense += PYRAMID[level - 1] + 4
        for part, width in zip(LEVELS, DECODER):
            yield conv(f"{name}.module{part}.0", dense, width)
            dense += width
        yield conv(f"{name}.moduleSix.0", dense, 2, 0.05)
    for index, width in enumerate(REFINER):
        yield conv(f"{FLOW}.moduleRefiner.moduleMain.{2 * index}", dense, width, 0.05 if width == 2 else 1.0)
        dense = width


def kernel_net() -> Iterator[Layer]:
    width, reduced, last, hidden, values = KERNEL_NET
    yield conv("kernel_net.in_conv", SEQUENCE * COLOURS, width)
    for block in ("body1.0", "body1.1", "body2.0", "body2.1"):
        yield conv(f"kernel_net.{block}.body.0", width, width)
        yield conv(f"kernel_net.{block}.body.2", width, width, 0.2)
        yield f"kernel_net.{block}.body.3.conv_du.0", (reduced, width, 1, 1), 1.0
        yield f"kernel_net.{block}.body.3.conv_du.2", (width, reduced, 1, 1), 1.0
    yield conv("kernel_net.body2.2", width, last)
    yield conv("kernel_net.body2.3", last, 1)
    yield "kernel_net.fc_net.0", (hidden, values), 1.0
    yield "kernel_net.fc_net.1", (values, hidden), 1.0


def half(value: float) -> bytes:
    return struct.pack("<e", value)


def random_halfs(generator: random.Random, count: int, limit: float) -> bytes:
    """Values of STEPS different ones, evenly spread over [-limit, limit]."""
    values = [half(limit * (2 * step / (STEPS - 1) - 1)) for step in range(STEPS)]
    chosen = generator.getrandbits(8 * count).to_bytes(count, "little")
    data = bytearray(2 * count)
    for byte in range(2):
        data[byte::2] = chosen.translate(bytes(value[byte] for value in values))
    return bytes(data)


def write(path: Path, features: int = 128, extra: int = 3, recons: int = 20, seed: int = 1,
          with_kernel_net: bool = False) -> int:
    """Writes the file; returns the number of weights. The kernel network is no part of restoring a frame."""
    generator = random.Random(seed)
    header: dict[str, object] = {"__metadata__": {"name": "random weights", "licence": "CC0-1.0", "phase": "center"}}
    tensors: list[bytes] = []
    place = 0

    def add(name: str, shape: tuple[int, ...], limit: float) -> None:
        nonlocal place
        data = random_halfs(generator, math.prod(shape), limit)
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [place, place + len(data)]}
        tensors.append(data)
        place += len(data)

    parts = [reconstruction(features, extra, recons), flow(), *([kernel_net()] if with_kernel_net else [])]
    for layers in parts:
        for name, shape, gain in layers:
            transposed = shape[-1] == 4
            # of a transposed convolution with stride 2 a quarter of the taps meets each output
            inputs = shape[0] * 4 if transposed else math.prod(shape[1:])
            # uniform in +-limit has a third of limit^2 as its variance; the sum of all products is to keep it
            add(f"{name}.weight", shape, gain * math.sqrt(3 / inputs))
            add(f"{name}.bias", (shape[1] if transposed else shape[0],), 0.02)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(tensors))
    return place // 2


def main() -> int:
    parser = argparse.ArgumentParser(description="Writes a model of the published size with random weights.")
    parser.add_argument("path", type=Path, help="the model file")
    parser.add_argument("--features", type=int, default=128, help="channels of the feature maps (128)")
    parser.add_argument("--blocks", type=int, default=20, help="residual blocks of the reconstruction (20)")
    arguments = parser.parse_args()
    count = write(arguments.path, arguments.features, recons=arguments.blocks)
    print(f"{arguments.path}: {count} weights")
    return 0


if __name__ == "__main__":
    sys.exit(main())
