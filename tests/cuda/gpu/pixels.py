"""Raw frames for the checks, and how much two of them differ. The standard library alone.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import array
import math
import sys
from typing import NamedTuple


class Format(NamedTuple):
    """A pixel format: planes of (log2 of the subsampling, both ways; components in each sample of the plane)."""
    planes: tuple[tuple[int, int], ...]
    depth: int = 8
    shift: int = 0  # of the value within 16 bits


YUV420 = ((0, 1), (1, 1), (1, 1))
FORMATS = {
    "nv12": Format(((0, 1), (1, 2))),
    "yuv420p": Format(YUV420),
    "yuv444p": Format(((0, 1), (0, 1), (0, 1))),
    "p010le": Format(((0, 1), (1, 2)), 10, 6),
    "bgr0": Format(((0, 4),)),
    "rgb0": Format(((0, 4),)),
    "rgb24": Format(((0, 3),)),
}


def sample_code(pix_fmt: str) -> str:
    return "B" if FORMATS[pix_fmt].depth == 8 else "H"


def pattern(pix_fmt: str, width: int, height: int, frames: int) -> bytes:
    """Frames of a smooth pattern that moves; the fourth component, padding, is 255."""
    form = FORMATS[pix_fmt]
    code = sample_code(pix_fmt)
    data = bytearray()
    for time in range(frames):
        component = 0
        for subsampling, count in form.planes:
            w, h = -(-width >> subsampling), -(-height >> subsampling)
            plane = array.array(code, bytes(w * h * count * array.array(code).itemsize))
            for place in range(count):
                values = wave(w, h, time, component, (1 << form.depth) - 1) if component < 3 else [255] * (w * h)
                plane[place::count] = array.array(code, [value << form.shift for value in values])
                component += 1
            if sys.byteorder == "big" and code == "H":
                plane.byteswap()
            data += plane.tobytes()
    return bytes(data)


def wave(width: int, height: int, time: int, component: int, largest: int) -> list[int]:
    across = [math.sin(0.7 * time + 0.31 * (1 + component) * x) for x in range(width)]
    down = [math.cos(0.4 * time + 0.23 * (2 + component) * y) for y in range(height)]
    return [int(largest * (0.5 + 0.2 * a + 0.15 * d)) for d in down for a in across]


def psnr(pix_fmt: str, one: bytes, other: bytes) -> float:
    """Of all samples together, in dB; 0 where the sizes differ or the pictures are flat."""
    form = FORMATS[pix_fmt]
    a, b = array.array(sample_code(pix_fmt)), array.array(sample_code(pix_fmt))
    if len(one) != len(other) or not one or len(one) % a.itemsize:
        return 0.0
    a.frombytes(one)
    b.frombytes(other)
    if sys.byteorder == "big" and a.itemsize == 2:
        a.byteswap()
        b.byteswap()
    if min(a) == max(a):
        return 0.0
    squares = sum((x - y) * (x - y) for x, y in zip(a, b)) / len(a) / (1 << 2 * form.shift)
    return 10 * math.log10(((1 << form.depth) - 1) ** 2 / max(squares, 1e-9))
