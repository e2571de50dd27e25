# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pictures that are drawn: as sharp as pixels can be, and of more kinds than a few photographs.

Shapes of all sizes in front of each other, rows of windows and bricks, lettering, lines; on some of them clouds. They
are drawn several times larger and averaged down. Needs Pillow, and matplotlib, whose lettering is used.
"""
from __future__ import annotations

import math
import pathlib
import string
from typing import Callable

import numpy as np

try:
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont
except ImportError as error:
    raise ImportError(f"drawings need Pillow and matplotlib (python3-pil, python3-matplotlib): {error.name} is missing"
                      ) from None

FINE = 4  # times larger while drawn
Colour = tuple[int, ...]
Rng = np.random.Generator


def colour(rng: Rng) -> Colour:
    return tuple(rng.integers(0, 256, 3).tolist())


def near(rng: Rng, base: Colour, spread: int) -> Colour:
    """A colour whose components are not further than `spread` from those of base."""
    return tuple((np.array(base) + rng.integers(-spread, spread + 1, 3)).clip(0, 255).tolist())


def evenly_in_log(rng: Rng, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def power_law(rng: Rng, low: float, high: float, exponent: float) -> float:
    """As frequent as its power -exponent."""
    ends = low ** (1 - exponent), high ** (1 - exponent)
    return (ends[0] + rng.random() * (ends[1] - ends[0])) ** (1 / (1 - exponent))


def polygon(rng: Rng, x: float, y: float, size: float) -> list[tuple[float, float]]:
    """A rectangle in any direction, or up to six corners."""
    if rng.random() < 0.5:
        corners = rng.uniform(0, math.pi) + np.arctan2([1, 1, -1, -1], np.array([1, -1, -1, 1]) * rng.uniform(0.2, 1))
        radii = np.full(4, size)
    else:
        corners = np.sort(rng.uniform(0, 2 * math.pi, rng.integers(3, 7)))
        radii = size * rng.uniform(0.5, 1, len(corners))
    return list(zip((x + radii * np.cos(corners)).tolist(), (y + radii * np.sin(corners)).tolist()))


def shapes(rng: Rng, side: int) -> Image.Image:
    picture = Image.new("RGB", (side, side), colour(rng))
    draw = ImageDraw.Draw(picture)
    low, high, exponent = FINE * rng.uniform(1.5, 8), FINE * rng.uniform(30, 120), rng.uniform(1.5, 3.2)
    base, spread = colour(rng), int(rng.integers(30, 256))
    for _ in range(rng.integers(800, 5000)):
        size, (x, y) = power_law(rng, low, high, exponent), rng.uniform(0, side, 2).tolist()
        if rng.random() < 1 / 3:
            flat = size * rng.uniform(0.3, 1)
            draw.ellipse((x - size, y - flat, x + size, y + flat), near(rng, base, spread))
        else:
            draw.polygon(polygon(rng, x, y, size), near(rng, base, spread))
    return picture


def rows(rng: Rng, side: int) -> Image.Image:
    """Stripes and grids, as of houses, turned together."""
    picture = Image.new("RGB", (side, side), colour(rng))
    draw = ImageDraw.Draw(picture)
    for _ in range(rng.integers(6, 30)):
        (x0, y0), (w, h) = rng.uniform(-0.2, 0.9, 2) * side, rng.uniform(0.1, 0.6, 2) * side
        base = colour(rng)
        front = near(rng, base, int(rng.integers(30, 200)))
        draw.rectangle((x0, y0, x0 + w, y0 + h), base)
        period, share = FINE * rng.uniform(3, 24, 2), rng.uniform(0.2, 0.85, 2)
        kind, (dx, dy) = rng.integers(3), period * share
        for x in np.arange(x0, x0 + w - dx, period[0]) if kind != 1 else [x0]:
            for y in np.arange(y0, y0 + h - dy, period[1]) if kind != 0 else [y0]:
                draw.rectangle((x, y, x + (w if kind == 1 else dx), y + (h if kind == 0 else dy)), near(rng, front, 10))
    angle = rng.normal(0, 8) if rng.random() < 0.5 else rng.uniform(0, 90)
    return picture.rotate(angle, Image.BILINEAR, fillcolor=colour(rng))


def lettering(rng: Rng, side: int) -> Image.Image:
    picture = background(rng, side)
    draw = ImageDraw.Draw(picture)
    fonts = sorted(pathlib.Path(matplotlib.get_data_path(), "fonts/ttf").glob("DejaVu*.ttf"))
    letters = list(string.ascii_letters + string.digits + " " * 5 + ".,")
    for _ in range(rng.integers(15, 80)):
        font = ImageFont.truetype(str(fonts[rng.integers(len(fonts))]), round(FINE * evenly_in_log(rng, 7, 60)))
        text = "".join(rng.choice(letters, rng.integers(3, 50)))
        draw.text(tuple((rng.uniform(-0.2, 1, 2) * side).tolist()), text, colour(rng), font)
    return picture


def lines(rng: Rng, side: int) -> Image.Image:
    picture = background(rng, side)
    draw = ImageDraw.Draw(picture)
    for _ in range(rng.integers(50, 400)):
        (x, y), angle, length = rng.uniform(0, side, 2), rng.uniform(0, 2 * math.pi), FINE * rng.uniform(10, 300)
        width = max(1, round(FINE * evenly_in_log(rng, 0.7, 6)))
        draw.line((x, y, x + length * math.cos(angle), y + length * math.sin(angle)), colour(rng), width)
    return picture


def background(rng: Rng, side: int) -> Image.Image:
    return shapes(rng, side) if rng.random() < 0.4 else Image.new("RGB", (side, side), colour(rng))


def clouds(rng: Rng, side: int) -> np.ndarray:
    """Noise whose amplitude falls with the frequency, of standard deviation 1, side x side."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    frequency[0, 0] = 1
    phases = np.exp(2j * math.pi * rng.random(frequency.shape))
    noise = np.fft.irfft2(phases * frequency ** -rng.uniform(0.8, 1.8), (side, side))
    return noise / noise.std()


KINDS: tuple[Callable[[Rng, int], Image.Image], ...] = (shapes, shapes, rows, lettering, lines)


def drawing(seed: int, side: int) -> np.ndarray:
    """The drawing of that seed, side x side x 3 uint8."""
    rng = np.random.default_rng(seed)
    drawn = KINDS[rng.integers(len(KINDS))](rng, FINE * side)
    picture = np.asarray(drawn.reduce(FINE), np.float32)
    if rng.random() < 0.5:
        tint = 1 + 0.2 * rng.standard_normal(3)
        picture = picture + rng.uniform(2, 12) * clouds(rng, side)[..., None] * tint
    gamma = evenly_in_log(rng, 0.6, 1.65)
    return (255 * (picture.clip(0, 255) / 255) ** gamma).astype(np.uint8)
