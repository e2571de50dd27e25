# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clips enlarged by FFmpeg: by its scalers, and by the selfblindvsr filter.

FFmpeg's scalers put samples in the middle of their blocks. For clips with samples on the top-left pixel the same
kernels are computed here, because with FFmpeg's own every picture would lie 1.5 pixels off and measure badly.
"""
from __future__ import annotations

import subprocess

import numpy as np

from lib.clips import ClipError, first_line

SCALERS = ("bilinear", "bicubic", "lanczos")
FLAGS = "accurate_rnd+full_chroma_int"
BICUBIC = -0.6  # of the cubic convolution, FFmpeg's value
LANCZOS = 3     # lobes


def through_filter(frames: np.ndarray, filters: str, scale: int, ffmpeg: str) -> np.ndarray:
    """N x H x W x 3 uint8 through an ffmpeg filter chain, in planar RGB, that enlarges by scale."""
    count, height, width = frames.shape[:3]
    command = [ffmpeg, "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-i", "-",
               "-vf", f"format=gbrp,{filters},format=gbrp", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    result = subprocess.run(command, input=frames.tobytes(), capture_output=True, check=False)
    if result.returncode:
        raise ClipError(f"{filters}: {first_line(result.stderr)}")
    shape = (count, height * scale, width * scale, 3)
    if len(result.stdout) != int(np.prod(shape)):
        raise ClipError(f"{filters}: {len(result.stdout)} bytes came back, expected {int(np.prod(shape))}")
    return np.frombuffer(result.stdout, np.uint8).reshape(shape)


def filter_argument(text: str) -> str:
    """Quotes an option value for a filter graph: once for the option list, once for the graph."""
    option = "".join("\\" + c if c in "\\':" else c for c in text)
    return "".join("\\" + c if c in "\\'[],;" else c for c in option)


def restore(frames: np.ndarray, model: str, scale: int, ffmpeg: str, options: str = "") -> np.ndarray:
    """The selfblindvsr filter, with more options of it as its users write them."""
    chain = f"selfblindvsr=model={filter_argument(model)}{':' if options else ''}{options}"
    return through_filter(frames, chain, scale, ffmpeg)


def weights(kind: str, distance: np.ndarray) -> np.ndarray:
    """A scaler's kernel at distances in low-resolution pixels."""
    t = np.abs(distance)
    if kind == "bilinear":
        return (1 - t).clip(0)
    if kind == "lanczos":
        return np.where(t < LANCZOS, np.sinc(t) * np.sinc(t / LANCZOS), 0)
    near = (BICUBIC + 2) * t ** 3 - (BICUBIC + 3) * t ** 2 + 1
    return np.where(t <= 1, near, np.where(t < 2, BICUBIC * (t ** 3 - 5 * t ** 2 + 8 * t - 4), 0))


def upsampling_matrix(kind: str, size: int, scale: int, offset: float) -> np.ndarray:
    """size * scale rows of weights; sample i sits on high-resolution pixel scale * i + offset, the edge goes on."""
    positions = (np.arange(size * scale) - offset) / scale
    first = np.floor(positions).astype(int) - LANCZOS + 1
    matrix = np.zeros((size * scale, size), np.float32)
    for step in range(2 * LANCZOS):
        index = first + step
        np.add.at(matrix, (np.arange(size * scale), index.clip(0, size - 1)), weights(kind, positions - index))
    return matrix / matrix.sum(1, keepdims=True)


def enlarge(frames: np.ndarray, kind: str, scale: int, ffmpeg: str, phase: str = "center") -> np.ndarray:
    """N x H x W x 3 uint8 enlarged by one of SCALERS."""
    height, width = frames.shape[1:3]
    if phase == "center":
        return through_filter(frames, f"scale={width * scale}:{height * scale}:flags={kind}+{FLAGS}", scale, ffmpeg)
    down, across = (upsampling_matrix(kind, n, scale, 0) for n in (height, width))
    output = np.empty((len(frames), height * scale, width * scale, 3), np.uint8)
    for index, frame in enumerate(frames):
        tall = np.tensordot(down, frame.astype(np.float32), (1, 0))
        output[index] = np.rint(np.tensordot(across, tall, (1, 1)).swapaxes(0, 1)).clip(0, 255)
    return output
