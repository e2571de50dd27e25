"""degrade.py against the definition of the degradation, computed here in other ways; what it reads, writes and refuses.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

TOP = Path(__file__).resolve().parents[2]

from conftest import without_x264  # noqa: E402
from lib import blur  # noqa: E402
from lib import clips  # noqa: E402
import degrade  # noqa: E402

try:
    import torch
    from torch.nn import functional as F
except ImportError:
    torch = None

FRAMES, HEIGHT, WIDTH = 3, 21, 30


@pytest.fixture(scope="module")
def program(ffmpegs) -> str:
    return str(ffmpegs[0].folder / "ffmpeg")


@pytest.fixture(scope="module")
def sharp(program, tmp_path_factory) -> tuple[Path, np.ndarray]:
    """A clip of noise, of a size that is no multiple of anything."""
    frames = np.random.default_rng(2).integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("sharp") / "sharp.mkv"
    clips.write_clip(str(path), frames, "30000/1001", program)
    return path, frames


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(TOP / "model/tools/degrade.py"), "--ffmpeg", program, *map(str, arguments)],
                          capture_output=True, text=True, check=False)


def degraded(program: str, path: Path, *arguments: object) -> tuple[np.ndarray, np.ndarray]:
    """The clip that degrade.py writes, and the kernel beside it."""
    done = run(program, *arguments, path)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return clips.read_clip(str(path), program), np.load(path.with_suffix(".kernel.npy"))


def by_definition(frames: np.ndarray, kernel: np.ndarray, scale: int = 4) -> np.ndarray:
    """(HR replicate-padded, correlated with the kernel)[::4, ::4], one sample at a time, not rounded."""
    half = len(kernel) // 2
    padded = np.pad(frames.astype(np.float64), ((0, 0), (half, half), (half, half), (0, 0)), mode="edge")
    rows, columns = range(0, frames.shape[1], scale), range(0, frames.shape[2], scale)
    result = np.empty((len(frames), len(rows), len(columns), 3))
    for i, y in enumerate(rows):
        for j, x in enumerate(columns):
            block = padded[:, y:y + len(kernel), x:x + len(kernel)]
            result[:, i, j] = (block * kernel[None, :, :, None]).sum((1, 2))
    return result


def assert_rounded(low: np.ndarray, exact: np.ndarray) -> None:
    assert low.shape == exact.shape
    assert np.abs(low - exact.clip(0, 255)).max() <= 0.5 + 1e-3  # the filter is computed in single precision


def test_gaussian_top_left(program, sharp, tmp_path: Path) -> None:
    low, kernel = degraded(program, tmp_path / "low.mkv", sharp[0], "--sigma", 1.2, "--phase", "topleft")
    axis = np.arange(9) - 4  # ceil(3 * 1.2) * 2 + 1 = 9
    wanted = np.exp(-(axis[:, None] ** 2 + axis ** 2) / (2 * 1.2 ** 2))
    assert kernel == pytest.approx(wanted / wanted.sum())
    assert_rounded(low, by_definition(sharp[1], wanted / wanted.sum()))


def test_gaussian_center(program, sharp, tmp_path: Path) -> None:
    low, kernel = degraded(program, tmp_path / "low.mkv", sharp[0], "--sigma", 1.2)
    axis = np.arange(13) - 6 - 1.5
    wanted = np.exp(-(axis[:, None] ** 2 + axis ** 2) / (2 * 1.2 ** 2))
    wanted[:3], wanted[:, :3] = 0, 0  # 10 samples, as far to the left of the middle as to the right
    assert kernel == pytest.approx(wanted / wanted.sum())
    assert_rounded(low, by_definition(sharp[1], wanted / wanted.sum()))


def test_anisotropic(program, sharp, tmp_path: Path) -> None:
    low, kernel = degraded(program, tmp_path / "low.mkv", sharp[0], "--sigma", "2,1", "--angle", 30)
    y, x = np.indices(kernel.shape) - len(kernel) // 2 - 1.5
    assert (kernel * x).sum() == pytest.approx(0, abs=1e-9) and (kernel * y).sum() == pytest.approx(0, abs=1e-9)
    turn = np.array([[np.cos(np.pi / 6), -np.sin(np.pi / 6)], [np.sin(np.pi / 6), np.cos(np.pi / 6)]])
    wanted = turn @ np.diag([4.0, 1.0]) @ turn.T
    # a little of the long axis, beyond three sigmas, is cut off
    assert (kernel * x * x).sum() == pytest.approx(wanted[0, 0], rel=0.03)
    assert (kernel * x * y).sum() == pytest.approx(wanted[0, 1], rel=0.05)
    assert (kernel * y * y).sum() == pytest.approx(wanted[1, 1], rel=0.03)
    assert_rounded(low, by_definition(sharp[1], kernel))


def test_separable_and_general_blur_agree() -> None:
    frames = np.random.default_rng(3).integers(0, 256, (2, 17, 22, 3), dtype=np.uint8)
    for phase in blur.PHASES:
        general = blur.blur_down(frames, blur.gaussian_blur((2.3, 2.3), 0.4, phase, 4), 4)
        assert np.abs(blur.gaussian_down(frames, 2.3, phase, 4) - general).max() < 1e-3


@pytest.mark.skipif(torch is None, reason="torch is not installed")
def test_realistic_blur_by_definition() -> None:
    rng = np.random.default_rng(5)
    eigenvalues, angle = rng.uniform(0.6 * 4, 5 * 4, 2), rng.uniform(0, np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    inverse = np.linalg.inv(turn @ np.diag(eigenvalues) @ turn.T)
    axis = np.arange(31) - 15
    points = np.stack(np.meshgrid(axis, axis), 2)  # x, y
    kernel = np.exp(-0.5 * np.einsum("yxi,ij,yxj->yx", points, inverse, points))
    kernel *= 1 + rng.uniform(-0.25, 0.25, (31, 31))
    weight = kernel / kernel.sum()
    shift = np.array([(weight * points[..., 0]).sum(), (weight * points[..., 1]).sum()])
    grid = torch.from_numpy((points + shift) / 15)[None]
    moved = F.grid_sample(torch.from_numpy(kernel)[None, None], grid, mode="bicubic", padding_mode="zeros",
                          align_corners=True).clamp(min=0)
    small = F.interpolate(moved / moved.sum(), size=(13, 13), mode="bicubic", align_corners=False).clamp(min=0)
    wanted = (small / small.sum())[0, 0].numpy()
    assert blur.realistic_blur(np.random.default_rng(5), "topleft", 4) == pytest.approx(wanted, abs=1e-9)


def test_realistic_blurs_lie_where_the_phase_says(program, sharp, tmp_path: Path) -> None:
    # the definition re-centers before it reduces and cuts, which moves uneven kernels a little
    for seed in range(8):
        for phase, center, limit in (("topleft", 6, 0.1), ("center", 7.5, 1e-3)):
            kernel = blur.realistic_blur(np.random.default_rng(seed), phase, 4)
            assert kernel.shape == (13, 13) and kernel.min() >= 0 and kernel.sum() == pytest.approx(1)
            assert blur.center_of_mass(kernel) == pytest.approx([center, center], abs=limit)
    low, kernel = degraded(program, tmp_path / "low.mkv", sharp[0], "--kernel", "realistic", "--seed", 4)
    assert kernel == pytest.approx(blur.realistic_blur(np.random.default_rng(4), "center", 4))
    assert_rounded(low, by_definition(sharp[1], kernel))


def test_blur_of_a_file(program, sharp, tmp_path: Path) -> None:
    given = np.arange(9.0).reshape(3, 3)
    np.save(tmp_path / "own.npy", given)
    low, kernel = degraded(program, tmp_path / "low.mkv", sharp[0], "--kernel", tmp_path / "own.npy", "--scale", 3)
    assert kernel == pytest.approx(given / 36)
    assert_rounded(low, by_definition(sharp[1], given / 36, 3))


def test_the_seed_decides(program, sharp, tmp_path: Path) -> None:
    options = ("--kernel", "realistic", "--noise", 3)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        degraded(program, tmp_path / f"{name}.mkv", sharp[0], *options, "--seed", seed)
    files = {name: (tmp_path / f"{name}.mkv").read_bytes() for name in "abc"}
    assert files["a"] == files["b"] != files["c"]


def test_noise_has_its_strength(program, tmp_path: Path) -> None:
    flat = np.full((2, 160, 160, 3), 128, np.uint8)
    chain = degrade.Degradation(noise=2.5, seed=3)
    low = np.stack(list(chain.apply(flat, program))).astype(float)
    # 9600 samples: the deviation of the estimate is below one per cent; rounding adds 1/12 to the variance
    assert np.std(low) == pytest.approx(np.sqrt(2.5 ** 2 + 1 / 12), rel=0.04)
    assert low.mean() == pytest.approx(128, abs=0.15)


def test_codec(program, tmp_path: Path) -> None:
    y, x = np.mgrid[0:150, 0:182]
    frames = np.stack([np.stack([(x + 3 * t) % 256, y, (x + y) % 256], 2) for t in range(4)]).astype(np.uint8)
    path = tmp_path / "sharp.mkv"
    clips.write_clip(str(path), frames, "25", program)
    plain, _ = degraded(program, tmp_path / "plain.mkv", path)
    coded, _ = degraded(program, tmp_path / "coded.mkv", path, "--crf", 28)
    degraded(program, tmp_path / "again.mkv", path, "--crf", 28)
    assert (tmp_path / "again.mkv").read_bytes() == (tmp_path / "coded.mkv").read_bytes()
    assert coded.shape == plain.shape == (4, 38, 46, 3)
    error = np.abs(coded[..., 1].astype(int) - plain[..., 1]).mean()
    assert 0.3 < error < 12
    lossless, _ = degraded(program, tmp_path / "fine.mkv", path, "--crf", 1)
    assert np.abs(lossless[..., 1].astype(int) - plain[..., 1]).mean() < 0.5 * error


def test_without_codec(program, sharp, tmp_path: Path) -> None:
    done = run(without_x264(program, tmp_path), "--crf", 28, sharp[0], tmp_path / "x.mkv")
    assert done.returncode == 1 and "has no libx264" in done.stderr and done.stderr.count("\n") == 1


def test_folders_of_images(program, sharp, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    clips.write_clip(str(folder), sharp[1], "25", program)
    assert [path.name for path in sorted(folder.iterdir())] == [f"{i:08d}.png" for i in range(FRAMES)]
    done = run(program, folder, tmp_path / "low", "--noise", 1)
    assert done.returncode == 0, done.stderr
    low, _ = degraded(program, tmp_path / "low.mkv", sharp[0], "--noise", 1)
    assert np.array_equal(clips.read_clip(str(tmp_path / "low"), program), low)
    assert (tmp_path / "low/kernel.npy").exists()


def test_every_frame_comes_once(program, tmp_path: Path) -> None:
    # frames of uneven durations: a writer of constant rate would repeat some
    path = tmp_path / "uneven.mkv"
    subprocess.run([program, "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=32x32:r=25", "-frames:v", "6", "-vf",
                    "setpts=N*N/25/TB", "-fps_mode", "passthrough", "-c:v", "ffv1", str(path)], check=True)
    assert len(clips.read_clip(str(path), program)) == 6
    assert len(clips.read_clip(str(path), program, limit=2)) == 2


@pytest.mark.parametrize("arguments, words", [
    (("none.mkv", "x.mkv"), "none.mkv: No such file or directory"),
    (("text.mkv", "x.mkv"), "Invalid data"),
    (("sharp.mkv", "sharp.mkv"), "the same"),
    (("images", "images"), "the same"),
    (("sharp.mkv", "x.nosuch"), "Unable to"),
    (("sharp.mkv", "none/x.mkv"), "No such file or directory"),
    (("sharp.mkv", "x.mkv", "--kernel", "none.npy"), "none.npy: No such file"),
    (("sharp.mkv", "x.mkv", "--kernel", "text.mkv"), "text.mkv: not a .npy file"),
    (("sharp.mkv", "x.mkv", "--kernel", "even.npy"), "odd side"),
    (("empty", "x.mkv"), "no images"),
    (("mixed", "x.mkv"), "not 30x21"),
])
def test_refusals(program, sharp, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    (tmp_path / "text.mkv").write_text("no clip")
    (tmp_path / "sharp.mkv").write_bytes(sharp[0].read_bytes())
    (tmp_path / "empty").mkdir()
    np.save(tmp_path / "even.npy", np.ones((4, 4)))
    clips.write_clip(str(tmp_path / "images"), sharp[1], "25", program)
    clips.write_clip(str(tmp_path / "mixed"), sharp[1][:1], "25", program)
    clips.write_clip(str(tmp_path / "mixed/z.png"), sharp[1][:1, :8], "25", program)
    places = [str(tmp_path / word) if "." in word or word in ("images", "empty", "mixed") else word
              for word in arguments]
    done = run(program, *places)
    assert done.returncode == 1 and done.stderr.startswith("degrade: ") and done.stderr.count("\n") == 1, done.stderr
    assert words in done.stderr
    assert not (tmp_path / "x.mkv").exists() and not list(tmp_path.glob(".partial*"))


@pytest.mark.parametrize("arguments", [("--sigma", "0"), ("--sigma", "1,2,3"), ("--sigma", "wide"), ("--crf", "99"),
                                       ("--crf", "1.5"), ("--phase", "middle"), ("--noise", "-1")])
def test_bad_numbers_are_refused(program, arguments: tuple[str, ...]) -> None:
    done = run(program, "a.mkv", "b.mkv", *arguments)
    assert done.returncode == 2 and "error: argument" in done.stderr.splitlines()[-1]
