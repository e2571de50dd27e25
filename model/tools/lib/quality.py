# SPDX-License-Identifier: LGPL-2.1-or-later
"""How near one clip is to another: PSNR and SSIM as in the Self-Blind-VSR paper, and how still it stands.

Pictures are 8-bit RGB, H x W x 3. Y is the luma of ITU-R BT.601 in 16..235, rounded, as papers on super-resolution
compute it.
"""
from __future__ import annotations

from typing import Any

import numpy as np

CROP = 4    # pixels left out on each side
MARGIN = 2  # frames left out at each end: their window is not full
LUMA = np.array([65.481, 128.553, 24.966], np.float32) / 255


def luma(image: np.ndarray) -> np.ndarray:
    """... x H x W x 3 uint8 to ... x H x W x 1 uint8."""
    return np.rint(image.astype(np.float32) @ LUMA + 16)[..., None].astype(np.uint8)


def cropped(image: np.ndarray, crop: int) -> np.ndarray:
    return image[..., crop:image.shape[-3] - crop, crop:image.shape[-2] - crop, :].astype(np.float32)


def psnr(a: np.ndarray, b: np.ndarray, crop: int = CROP) -> float:
    """Of one H x W x C uint8 picture, decibels; infinite where the two are equal."""
    error = np.square(cropped(a, crop) - cropped(b, crop), dtype=np.float64).mean()
    return float("inf") if error == 0 else float(10 * np.log10(255 ** 2 / error))


def smoothed(image: np.ndarray) -> np.ndarray:
    """The Gaussian window of SSIM, 11 x 11, sigma 1.5, where it lies inside the picture."""
    taps = np.exp(-np.arange(-5, 6) ** 2 / (2 * 1.5 ** 2)).astype(np.float32)
    taps /= taps.sum()
    height, width = image.shape[0] - 10, image.shape[1] - 10
    rows = sum(taps[k] * image[k:k + height] for k in range(11))
    return sum(taps[k] * rows[:, k:k + width] for k in range(11))


def ssim(a: np.ndarray, b: np.ndarray, crop: int = CROP) -> float:
    """Structural similarity (Wang et al., 2004) of one H x W x C uint8 picture, mean over the colours."""
    x, y = cropped(a, crop), cropped(b, crop)
    if min(x.shape[:2]) < 11:
        raise ValueError(f"ssim: {x.shape[1]} x {x.shape[0]} pixels after cropping, at least 11 x 11 are needed")
    mean_x, mean_y = smoothed(x), smoothed(y)
    variance_x = smoothed(x * x) - mean_x ** 2
    variance_y = smoothed(y * y) - mean_y ** 2
    covariance = smoothed(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return float(np.mean((2 * mean_x * mean_y + c1) * (2 * covariance + c2)
                         / ((mean_x ** 2 + mean_y ** 2 + c1) * (variance_x + variance_y + c2)), dtype=np.float64))


def require_size(sharp: np.ndarray) -> None:
    """ValueError where pictures, N x H x W x 3, are too small for the window of SSIM."""
    least = 2 * CROP + 11
    if min(sharp.shape[1:3]) < least:
        raise ValueError(f"pictures of {sharp.shape[2]} x {sharp.shape[1]}, at least {least} x {least} are needed")


def compare_frames(sharp: np.ndarray, restored: np.ndarray) -> dict[str, list[float]]:
    """PSNR and SSIM, RGB and Y, of every frame whose window is full."""
    require_size(sharp)
    columns: dict[str, list[float]] = {"psnr": [], "ssim": [], "psnr_y": [], "ssim_y": []}
    for index in range(MARGIN, min(len(sharp), len(restored)) - MARGIN):
        a, b = sharp[index], restored[index]
        ya, yb = luma(a), luma(b)
        for name, value in zip(columns, (psnr(a, b), ssim(a, b), psnr(ya, yb), ssim(ya, yb))):
            columns[name].append(value)
    return columns


def compare(sharp: np.ndarray, restored: np.ndarray) -> dict[str, Any]:
    """Means of compare_frames(), the number of frames, and the PSNR of each as "per_frame"."""
    columns = compare_frames(sharp, restored)
    means = {name: float(np.mean(values)) for name, values in columns.items()}
    return {**means, "frames": len(columns["psnr"]), "per_frame": columns["psnr"]}


def flicker(clip: np.ndarray) -> float:
    """Mean absolute difference of consecutive frames, code values, without the frames whose window is not full."""
    inner = clip[MARGIN:len(clip) - MARGIN].astype(np.int16)
    return float(np.abs(np.diff(inner, axis=0)).mean())


def change_error(sharp: np.ndarray, clip: np.ndarray) -> float:
    """Mean absolute error of the differences of consecutive frames, code values, without the frames whose window is
    not full: what shimmers that should not, and what does not move that should."""
    def changes(frames: np.ndarray) -> np.ndarray:
        return np.diff(cropped(frames[MARGIN:len(frames) - MARGIN], CROP), axis=0)
    return float(np.abs(changes(sharp) - changes(clip)).mean())


def detail(sharp: np.ndarray, clip: np.ndarray) -> float:
    """How much of the detail of a sharp clip is in another: the factor by which what a Gaussian of 1.5 pixels takes
    from its luma goes into the same of the other, 1 where all is there. Detail that is invented does not count."""
    def fine(frame: np.ndarray) -> np.ndarray:
        y = cropped(luma(frame), CROP)
        return (y[5:-5, 5:-5] - smoothed(y))[..., 0]
    pairs = [(fine(a), fine(b)) for a, b in zip(sharp[MARGIN:-MARGIN], clip[MARGIN:-MARGIN])]
    own = sum(float(np.square(a, dtype=np.float64).sum()) for a, _ in pairs)
    return sum(float((a * b).sum(dtype=np.float64)) for a, b in pairs) / max(own, 1e-9)
