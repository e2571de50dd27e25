# SPDX-License-Identifier: LGPL-2.1-or-later
"""Blur kernels and the reduction that samples through them, as in the Self-Blind-VSR paper. Needs numpy only.

A kernel is a square of odd side. It is anchored on the top-left pixel of a block: low-resolution sample (i, j) is the
sum of kernel[y, x] * picture[scale * i + y - half, scale * j + x - half], the picture continued by its edge. In phase
"topleft" the kernel is centered on its middle entry, in phase "center" (scale - 1) / 2 pixels further right and down,
in the middle of the block.
"""
from __future__ import annotations

from typing import NamedTuple

import numpy as np

PHASES = ("center", "topleft")
BLUR_SIDE = 13      # of the network's kernels, high-resolution pixels
REALISTIC_SIDE = 31   # of the realistic kernels before they are reduced to BLUR_SIDE
REALISTIC_EIGENVALUES = (0.6 * 4, 5 * 4)
REALISTIC_NOISE = 0.25
ROUND = 1e-6          # relative difference of two variances below which a kernel has no direction
CUBIC = -0.75         # of the cubic convolution; the value of OpenCV and PyTorch


def phase_offset(phase: str, scale: int) -> float:
    """How far right of and below the top-left pixel of its block a sample sits, high-resolution pixels."""
    if phase not in PHASES:
        raise ValueError(f"phase {phase!r}: expected one of {', '.join(PHASES)}")
    return 0.0 if phase == "topleft" else (scale - 1) / 2


def gaussian_taps(sigma: float, phase: str, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Offsets of the pixels that sample 0 is made of, and their weights, along one axis."""
    center = phase_offset(phase, scale)
    radius = int(np.ceil(3 * sigma))
    offsets = np.arange(int(np.floor(center)) - radius, int(np.ceil(center)) + radius + 1)
    weights = np.exp(-(offsets - center) ** 2 / (2 * sigma ** 2))
    return offsets, (weights / weights.sum()).astype(np.float32)


def gaussian_blur(sigma: tuple[float, float], angle: float, phase: str, scale: int) -> np.ndarray:
    """A Gaussian with two standard deviations, the first along a direction `angle` radians from right towards down.

    Its side is 2 * ceil(3 * sigma) + 1 in phase topleft, and what covers the same range about the middle in phase
    center, where it is zero outside that range.
    """
    offsets, _ = gaussian_taps(max(sigma), phase, scale)
    half = int(np.abs(offsets).max())
    center = phase_offset(phase, scale)
    axis = np.arange(-half, half + 1)
    x, y = axis - center, axis[:, None] - center
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    inside = np.isin(axis, offsets)
    blur = np.exp(-0.5 * ((along / sigma[0]) ** 2 + (across / sigma[1]) ** 2)) * inside * inside[:, None]
    return blur / blur.sum()


def center_of_mass(blur: np.ndarray) -> np.ndarray:
    """Row and column of the center of mass."""
    rows, columns = np.indices(blur.shape)
    return np.array([(rows * blur).sum(), (columns * blur).sum()]) / blur.sum()


class Moments(NamedTuple):
    """Width and place of a kernel, pixels of it: the standard deviations along the principal axis that lies closer to
    the horizontal and across it, the direction of that axis in degrees from right towards down, above -45 up to 45 (0
    for a round kernel), and the center of mass right of and below the middle entry."""
    sigma_x: float
    sigma_y: float
    angle: float
    center_x: float
    center_y: float


def moments(blur: np.ndarray) -> Moments:
    """The moments of a kernel of positive sum. Negative values may leave it without a width: that is 0 then."""
    weights = blur.astype(np.float64) / blur.sum(dtype=np.float64)
    center = center_of_mass(weights)
    y, x = (axis - place for axis, place in zip(np.indices(blur.shape), center))
    xx, yy, xy = ((weights * product).sum() for product in (x * x, y * y, x * y))
    sign = -1 if xx < yy else 1
    mean, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    angle = np.degrees(np.arctan2(sign * xy, sign * (xx - yy) / 2)) / 2 if half > ROUND * (abs(xx) + abs(yy)) else 0.0
    middle = (np.array(blur.shape) - 1) / 2
    return Moments(np.sqrt(max(mean + sign * half, 0)), np.sqrt(max(mean - sign * half, 0)), angle,
                   *(center - middle)[::-1])


def cubic_matrix(positions: np.ndarray, size: int, edge: str) -> np.ndarray:
    """Rows that interpolate `size` samples at positions; outside lies the edge sample ("edge") or nothing ("zero")."""
    matrix = np.zeros((len(positions), size))
    for row, position in enumerate(positions):
        for index in range(int(np.floor(position)) - 1, int(np.floor(position)) + 3):
            t = abs(position - index)
            weight = ((CUBIC + 2) * t ** 3 - (CUBIC + 3) * t ** 2 + 1 if t <= 1
                      else CUBIC * (t ** 3 - 5 * t ** 2 + 8 * t - 4))
            if edge == "edge" or 0 <= index < size:
                matrix[row, min(max(index, 0), size - 1)] += weight
    return matrix


def moved(blur: np.ndarray, center: np.ndarray) -> np.ndarray:
    """The kernel with its center of mass moved to (row, column) `center`, clipped at 0 and normalised."""
    shift = center_of_mass(blur) - center
    down, across = (cubic_matrix(np.arange(n) + s, n, "zero") for n, s in zip(blur.shape, shift))
    result = (down @ blur @ across.T).clip(0)
    return result / result.sum()


def reduced(blur: np.ndarray, side: int = BLUR_SIDE) -> np.ndarray:
    """The kernel resized (cubic, centers of pixels in proportion), clipped at 0 and normalised."""
    matrix = cubic_matrix((np.arange(side) + 0.5) * len(blur) / side - 0.5, len(blur), "edge")
    result = (matrix @ blur @ matrix.T).clip(0)
    return result / result.sum()


def realistic_blur(rng: np.random.Generator, phase: str, scale: int) -> np.ndarray:
    """A kernel of the paper's "realistic" set, 13 x 13: an anisotropic Gaussian on a 31 x 31 grid, made uneven by
    noise, re-centered and reduced. In phase center the center of mass is brought to the middle of the block exactly."""
    eigenvalues, angle = rng.uniform(*REALISTIC_EIGENVALUES, 2), rng.uniform(0, np.pi)
    axis = np.arange(REALISTIC_SIDE) - REALISTIC_SIDE // 2
    along = np.cos(angle) * axis + np.sin(angle) * axis[:, None]
    across = np.cos(angle) * axis[:, None] - np.sin(angle) * axis
    blur = np.exp(-0.5 * (along ** 2 / eigenvalues[0] + across ** 2 / eigenvalues[1]))
    blur *= 1 + rng.uniform(-REALISTIC_NOISE, REALISTIC_NOISE, blur.shape)
    middle = np.full(2, REALISTIC_SIDE // 2, float)
    offset = phase_offset(phase, scale)
    if not offset:
        return reduced(moved(blur, middle))
    wanted, ratio = BLUR_SIDE // 2 + offset, REALISTIC_SIDE / BLUR_SIDE
    aim = middle + offset * ratio
    for _ in range(8):  # what the reduction cuts off moves the center a little
        result = reduced(moved(blur, aim))
        aim = aim + (wanted - center_of_mass(result)) * ratio
    return result


def decimate(image: np.ndarray, axis: int, offsets: np.ndarray, weights: np.ndarray, scale: int) -> np.ndarray:
    """Filters and subsamples along one axis; pixels outside are those of the edge."""
    size = image.shape[axis]
    starts = np.arange(0, size, scale)
    total = 0.0
    for offset, weight in zip(offsets, weights):
        total = total + np.take(image, np.clip(starts + offset, 0, size - 1), axis) * weight
    return total


def rounded(image: np.ndarray) -> np.ndarray:
    return np.rint(image).clip(0, 255).astype(np.uint8)


def blur_down(frames: np.ndarray, blur: np.ndarray, scale: int) -> np.ndarray:
    """Blurs and subsamples: ... x H x W x 3 to ... x ceil(H/scale) x ceil(W/scale) x 3 float32, not rounded."""
    half = len(blur) // 2
    rows, columns = (np.arange(0, n, scale) for n in frames.shape[-3:-1])
    total = np.zeros(frames.shape[:-3] + (len(rows), len(columns), frames.shape[-1]), np.float32)
    for y, x in np.argwhere(blur):
        lines = np.take(frames, np.clip(rows + y - half, 0, frames.shape[-3] - 1), -3)
        total += np.take(lines, np.clip(columns + x - half, 0, frames.shape[-2] - 1), -2) * np.float32(blur[y, x])
    return total


def gaussian_down(frames: np.ndarray, sigma: float, phase: str, scale: int) -> np.ndarray:
    """blur_down through an isotropic Gaussian, which is separable: the same in a fraction of the time."""
    taps = gaussian_taps(sigma, phase, scale)
    rows = decimate(frames.astype(np.float32), -3, *taps, scale)
    return decimate(rows, -2, *taps, scale)


def gaussian_degrade(frames: np.ndarray, sigma: float, phase: str = "center", scale: int = 4) -> np.ndarray:
    """Blurs, subsamples and rounds: ... x H x W x 3 uint8 to ... x ceil(H/scale) x ceil(W/scale) x 3 uint8."""
    return rounded(gaussian_down(frames, sigma, phase, scale))
