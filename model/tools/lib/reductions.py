# SPDX-License-Identifier: LGPL-2.1-or-later
"""How low-resolution clips come about, by name: "bicubic", "gaussian:1.2,noise:2,x264:28", "area,twice:23".

The first word is the kernel, center phase: a scaler (area, bicubic, bilinear, lanczos, stretched by the scale) or
gaussian:SIGMA, high-resolution pixels. Then, in this order: twice[:CRF], halved by a bicubic scaler and through x264
before the kernel, which does the rest; noise:SIGMA, code values; one of x264:CRF, x265:CRF, mpeg2:Q.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import numpy as np

from .clips import CODECS, ClipError, compressed, require_encoder
from .scalers import weights

BLURS = ("area", "bicubic", "bilinear", "lanczos", "gaussian")
LIMITS = {"gaussian": (0.1, 20), "noise": (0, 255), "twice": (0, 51), "x264": (0, 51), "x265": (0, 51),
          "mpeg2": (1, 31)}
WHOLE = ("twice", *CODECS)
TWICE = 23.0  # crf
REACH = {"area": 1, "bilinear": 1, "bicubic": 2, "lanczos": 3}  # pixels of the low resolution
GAUSSIAN_REACH = 4                                              # standard deviations
SEED = 0


@dataclass(frozen=True)
class Reduction:
    """A degradation with its name as it was written."""
    name: str
    blur: str
    sigma: float = 0.0
    twice: Optional[float] = None
    noise: float = 0.0
    codec: str = ""
    quality: float = 0.0

    def check_scale(self, scale: int) -> None:
        if self.twice is not None and scale % 2:
            raise ClipError(f"{self.name}: twice needs an even scale, not {scale}")

    def check_encoders(self, ffmpeg: str) -> None:
        """Raises ClipError where this ffmpeg has not what apply() needs."""
        for codec in filter(None, ("x264" if self.twice is not None else "", self.codec)):
            require_encoder(ffmpeg, codec)

    def apply(self, sharp: np.ndarray, scale: int, ffmpeg: str) -> np.ndarray:
        """N x H x W x 3 uint8, H and W multiples of scale, to N x H/scale x W/scale x 3."""
        self.check_scale(scale)
        frames, factor, sigma = sharp, scale, self.sigma
        if self.twice is not None:
            half = rounded(reduce(sharp, "bicubic", 2))
            frames, factor, sigma = np.stack(list(compressed(half, round(self.twice), ffmpeg))), scale // 2, sigma / 2
        low = reduce(frames, self.blur, factor, sigma) if factor > 1 else frames.astype(np.float32)
        if self.noise:
            low = low + np.random.default_rng(SEED).normal(0, self.noise, low.shape).astype(np.float32)
        return self.coded(rounded(low), ffmpeg)

    def coded(self, low: np.ndarray, ffmpeg: str) -> np.ndarray:
        """Through the codec of this degradation, if it has one."""
        return np.stack(list(compressed(low, round(self.quality), ffmpeg, codec=self.codec))) if self.codec else low


def number(word: str, default: Optional[float] = None) -> float:
    name, colon, text = word.partition(":")
    low, high = LIMITS[name]
    try:
        value = float(text) if colon or default is None else default
    except ValueError:
        raise ValueError(f"{word!r}: a number is needed, as in {name}:{low + 1:g}") from None
    if not low <= value <= high:
        raise ValueError(f"{word!r}: {value:g} is not within {low:g} to {high:g}")
    if name in WHOLE and value != round(value):
        raise ValueError(f"{word!r}: a whole number is needed")
    return value


def parse(text: str) -> Reduction:
    """ValueError says what is wrong with the name."""
    blur, *rest = text.split(",")
    kind = blur.partition(":")[0]
    if kind not in BLURS or (kind != "gaussian" and ":" in blur):
        raise ValueError(f"{blur!r}: kernels are {', '.join(BLURS[:-1])} and gaussian:SIGMA")
    values, order = {}, ["twice", "noise", *CODECS]
    for word in rest:
        name = word.partition(":")[0]
        if name not in order:
            raise ValueError(f"{word!r} in {text!r}: twice, noise:SIGMA or one of {', '.join(CODECS)} are expected, "
                             "in this order and once each")
        order = order[order.index(name) + 1:] if name not in CODECS else []
        values[name] = number(word, TWICE if name == "twice" else None)
    codec = next((name for name in values if name in CODECS), "")
    return Reduction(text, kind, number(blur) if kind == "gaussian" else 0.0, values.get("twice"),
                     values.get("noise", 0.0), codec, values.get(codec, 0.0))


def line(blur: str, distance: np.ndarray, scale: int, sigma: float) -> np.ndarray:
    """Weights at distances in high-resolution pixels from a sample."""
    if blur == "gaussian":
        return np.exp(-0.5 * (distance / sigma) ** 2)
    if blur == "area":  # what of the high-resolution pixel lies within
        return (np.minimum(distance + 0.5, scale / 2) - np.maximum(distance - 0.5, -scale / 2)).clip(0)
    return weights(blur, distance / scale)


def reduction_matrix(blur: str, size: int, scale: int, sigma: float) -> np.ndarray:
    """size / scale rows of weights, each with a sum of 1; the picture is continued by its edge."""
    count = size // scale
    reach = int(np.ceil(GAUSSIAN_REACH * sigma if blur == "gaussian" else REACH[blur] * scale)) + 1
    positions = np.arange(count) * scale + (scale - 1) / 2
    matrix = np.zeros((count, size), np.float32)
    for step in range(-reach, reach + 1):
        index = np.floor(positions).astype(int) + step
        np.add.at(matrix, (np.arange(count), index.clip(0, size - 1)), line(blur, positions - index, scale, sigma))
    return matrix / matrix.sum(1, keepdims=True)


def reduce(frames: np.ndarray, blur: str, scale: int, sigma: float = 0.0) -> np.ndarray:
    """N x H x W x 3 to N x H/scale x W/scale x 3 float32, not rounded."""
    down, across = (reduction_matrix(blur, n, scale, sigma) for n in frames.shape[1:3])
    narrow = (np.einsum("lk,jkc->jlc", across, frame, optimize=True) for frame in frames.astype(np.float32))
    return np.stack([np.einsum("ij,jkc->ikc", down, frame, optimize=True) for frame in narrow])


def rounded(frames: np.ndarray) -> np.ndarray:
    return np.rint(frames).clip(0, 255).astype(np.uint8)
