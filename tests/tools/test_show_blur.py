"""show_blur.py: the moments it prints, the picture it draws, what it refuses.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import TIMEOUT, TOP

from lib import blur  # noqa: E402

try:
    from matplotlib import image
except ImportError:
    image = None

needs_matplotlib = pytest.mark.skipif(image is None, reason="matplotlib is not installed")


def gaussian(sigma: tuple[float, float] = (1.5, 0.9), angle: float = 25, center: tuple[float, float] = (0.3, -0.2),
             side: int = 13) -> np.ndarray:
    """A Gaussian, wide along an angle in degrees, about a point right of and below the middle."""
    axis, turn = np.arange(side) - side // 2, math.radians(angle)
    x, y = axis - center[0], axis[:, None] - center[1]
    along, across = math.cos(turn) * x + math.sin(turn) * y, math.cos(turn) * y - math.sin(turn) * x
    kernel = np.exp(-0.5 * ((along / sigma[0]) ** 2 + (across / sigma[1]) ** 2))
    return kernel / kernel.sum()


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(TOP / "model/tools/show_blur.py"), *map(str, arguments)],
                          capture_output=True, text=True, timeout=TIMEOUT, check=False)


@pytest.mark.parametrize("angle", [-80, -44, 0, 25, 46, 89])
def test_moments_of_a_gaussian(angle: float) -> None:
    """Beyond 45 degrees the other axis is the one closer to the horizontal."""
    wanted = (1.5, 0.9, angle) if abs(angle) <= 45 else (0.9, 1.5, angle - math.copysign(90, angle))
    assert blur.moments(gaussian(angle=angle)) == pytest.approx((*wanted, 0.3, -0.2), abs=2e-3 * (1 + abs(wanted[2])))


def test_moments_by_hand() -> None:
    """Two points, and a kernel whose negative values leave it without a width."""
    kernel = np.zeros((5, 5))
    kernel[1, 2] = kernel[3, 4] = 2
    assert blur.moments(kernel) == pytest.approx((math.sqrt(2), 0, 45, 1, 0), abs=1e-7)
    kernel = np.zeros((5, 5))
    kernel[2] = -1, 0, 3, 0, -1
    assert blur.moments(kernel)[:2] == (0, 0)
    assert blur.moments(gaussian((1.2, 1.2)))[:3] == pytest.approx((1.2, 1.2, 0), abs=1e-3)


@needs_matplotlib
def test_picture(tmp_path: Path) -> None:
    path = tmp_path / "kernels.npy"
    np.save(path, np.array([gaussian((1 + time / 9, 0.8)) for time in range(12)], np.float32))
    done = run(path)
    assert done.returncode == 0 and not done.stderr, done.stderr
    medians = {line.split()[0]: float(line.split()[2]) for line in done.stdout.splitlines()[:5]}
    assert medians == pytest.approx({"sigma_x": 1 + 5.5 / 9, "sigma_y": 0.8, "angle": 25, "center_x": 0.3,
                                     "center_y": -0.2}, abs=0.02)
    picture = image.imread(tmp_path / "kernels.png")
    assert picture.shape[0] > 500 and picture.shape[1] > 1000
    np.save(path, np.array([gaussian((1 + time / 9, 0.8), -60) for time in range(12)], np.float32))
    assert run(path, "-o", tmp_path / "new/other.png").returncode == 0
    other = image.imread(tmp_path / "new/other.png")
    maps, curves = np.s_[50:200], np.s_[-180:]
    for part in (maps, curves):
        assert not np.array_equal(picture[part], other[part])


@needs_matplotlib
def test_one_kernel(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", gaussian(side=15))
    assert run(tmp_path / "one.npy").returncode == 0
    assert (tmp_path / "one.png").exists()


@pytest.mark.parametrize("content, words", [
    (None, "No such file"), (b"", "not a whole .npy file"), (b"\x93NUMPY\1\0", "not a whole .npy file"),
    (np.zeros((0, 13, 13), np.float32), "no kernel in it"), (np.ones((2, 2), int), "int64 (2, 2), expected"),
    (np.ones(13), "(13,), expected"), (np.full((1, 3, 3), np.nan), "must be finite"),
    (np.zeros((1, 3, 3)), "positive sum")])
def test_refused(tmp_path: Path, content: bytes | np.ndarray | None, words: str) -> None:
    path = tmp_path / "k.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    done = run(path)
    assert done.returncode == 1 and not done.stdout
    assert len(done.stderr.splitlines()) == 1 and str(path) in done.stderr and words in done.stderr
    assert not (tmp_path / "k.png").exists()


def test_other_picture_formats_are_refused(tmp_path: Path) -> None:
    done = run(tmp_path / "k.npy", "-o", tmp_path / "k.jpg")
    assert done.returncode == 2 and "k.jpg: a .png is written" in done.stderr.splitlines()[-1]
