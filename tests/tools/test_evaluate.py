"""evaluate.py and align_corners.py on tiny clips: figures, tables, pictures, and what they refuse.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType
from unittest import mock

import numpy as np
import pytest

TOP = Path(__file__).resolve().parents[2]

import align_corners  # noqa: E402
from lib import blur  # noqa: E402
from lib import clips  # noqa: E402
import evaluate  # noqa: E402
from lib import model_file  # noqa: E402
from lib import plots  # noqa: E402
from lib import quality  # noqa: E402
from lib import scalers  # noqa: E402

try:
    import torch
except ImportError:
    torch = None
try:
    import matplotlib
except ImportError:
    matplotlib = None

needs_torch = pytest.mark.skipif(torch is None, reason="torch is not installed")
needs_matplotlib = pytest.mark.skipif(matplotlib is None, reason="matplotlib is not installed")
FRAMES, HEIGHT, WIDTH = 7, 98, 121  # the last two rows and the last column belong to no whole block


@pytest.fixture(scope="module")
def program(ffmpegs) -> str:
    return str(ffmpegs[0].folder / "ffmpeg")


@pytest.fixture(scope="module")
def sharp(program, tmp_path_factory) -> tuple[Path, np.ndarray]:
    y, x = np.mgrid[0:HEIGHT + 20, 0:WIDTH + 20].astype(np.float32)
    picture = np.stack([127 + 50 * np.sin(x / 5 + k) * np.cos(y / 7) + 40 * np.sign(np.sin(x / 13 - y / (9 + k)))
                        for k in range(3)], 2).astype(np.uint8)
    frames = np.stack([picture[t:t + HEIGHT, 2 * t:2 * t + WIDTH] for t in range(FRAMES)])
    path = tmp_path_factory.mktemp("sharp") / "moving.mkv"
    clips.write_clip(str(path), frames, "25", program)
    return path, frames


def run(what: ModuleType, *arguments: object) -> subprocess.CompletedProcess[str]:
    output, errors = io.StringIO(), io.StringIO()
    command = [f"{what.__name__}.py", *map(str, arguments)]
    with mock.patch.object(sys, "argv", command), redirect_stdout(output), redirect_stderr(errors):
        status = what.main()
    return subprocess.CompletedProcess(command, status, output.getvalue(), errors.getvalue())


def figures(program: str, path: Path, model: Path, folder: Path, *arguments: object) -> dict:
    """The JSON that evaluate.py writes for one clip."""
    written = folder / "figures.json"
    done = run(evaluate, "--ffmpeg", program, "--hr", path, "--model", model, "--json", written, *arguments)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return json.loads(written.read_text())[path.stem]


def test_the_filter_against_the_scalers(ffmpeg, program, sharp, models, tmp_path: Path) -> None:
    row = figures(str(ffmpeg.folder / "ffmpeg"), sharp[0], models.plain, tmp_path)
    assert list(row) == ["bilinear", "bicubic", "lanczos", "model"]
    # this model enlarges bilinearly; the scaler rounds a little differently
    assert row["model"]["psnr"] == pytest.approx(row["bilinear"]["psnr"], abs=0.02)
    assert row["model"]["psnr_y"] == pytest.approx(row["bilinear"]["psnr_y"], abs=0.02)
    assert row["bilinear"]["psnr"] + 0.1 < row["bicubic"]["psnr"]
    for values in row.values():
        assert values["frames"] == FRAMES - 4 == len(values["per_frame"])
        assert values["psnr"] == pytest.approx(np.mean(values["per_frame"]))
    assert 0 < row["model"]["flicker"] <= row["bicubic"]["flicker"]

    low = blur.gaussian_degrade(sharp[1][:, :96, :120], 1.2, "center", 4)
    again = scalers.through_filter(low, "scale=120:96:flags=bicubic+accurate_rnd+full_chroma_int", 4, program)
    wanted = [10 * np.log10(255 ** 2 / np.mean((sharp[1][t, 4:92, 4:116].astype(float) - again[t, 4:-4, 4:-4]) ** 2))
              for t in range(2, FRAMES - 2)]
    assert row["bicubic"]["per_frame"] == pytest.approx(wanted)


def test_options_of_the_filter(program, sharp, models, tmp_path: Path) -> None:
    """Each makes a line of its own: borders differ where the picture depends on the neighbours."""
    row = figures(program, sharp[0], models.random, tmp_path, "--options", "tile=16", "border=reflect:scene=0.001",
                  "--no-temporal")
    assert list(row)[3:] == ["model", "tile=16", "border=reflect:scene=0.001"]
    assert row["tile=16"]["psnr"] == row["model"]["psnr"] != row["border=reflect:scene=0.001"]["psnr"]


def test_a_small_clip_at_hand(program, sharp, models, tmp_path: Path) -> None:
    """--lr with what would have been made gives the same; a compressed one is worse."""
    low = blur.gaussian_degrade(sharp[1], 2.0, "center", 4)
    clips.write_clip(str(tmp_path / "low.mkv"), low, "25", program)
    made = figures(program, sharp[0], models.random, tmp_path, "--sigma", 2)
    given = figures(program, sharp[0], models.random, tmp_path, "--lr", tmp_path / "low.mkv")
    # the given clip has a whole block more, which the blur of the others looked into
    assert given["model"]["psnr"] == pytest.approx(made["model"]["psnr"], abs=0.1)
    assert given["bicubic"]["psnr"] == pytest.approx(made["bicubic"]["psnr"], abs=0.1)


@needs_torch
def test_reference(program, sharp, models, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SBV_CPU", "c")  # in fp32 on every processor
    row = figures(program, sharp[0], models.random, tmp_path, "--reference", "--frames", 5, "--no-temporal")
    assert row["reference"]["psnr"] == pytest.approx(row["model"]["psnr"], abs=1e-3)
    assert row["reference"]["frames"] == 1 and "flicker" not in row["model"]


def test_table(program, sharp, models) -> None:
    done = run(evaluate, "--ffmpeg", program, "--hr", sharp[0], sharp[0], "--model", models.plain, "--frames", 5,
               "--no-temporal")
    lines = done.stdout.splitlines()
    assert lines[0].split() == "clip scaler RGB dB SSIM Y dB Y SSIM gain dB flicker".split()
    assert [line.split()[:2] for line in lines[1:]] == [
        [name, way] for name in ("moving", "moving_1") for way in ("bilinear", "bicubic", "lanczos", "model")]
    assert lines[2].split()[6] == "+0.00"


@needs_matplotlib
def test_pictures(program, sharp, models, tmp_path: Path) -> None:
    figures(program, sharp[0], models.plain, tmp_path, "--png", tmp_path / "new/shots", "--no-temporal")
    names = {path.name for path in (tmp_path / "new/shots").iterdir()}
    assert names == {f"moving_{kind}.png" for kind in ("frames", "crops", "bilinear", "bicubic", "lanczos", "model",
                                                       "sharp", "low")}
    middle = clips.read_clip(str(tmp_path / "new/shots/moving_sharp.png"), program)[0]
    assert np.array_equal(middle, sharp[1][FRAMES // 2, :96, :120])


def test_most_detailed() -> None:
    picture = np.zeros((64, 80, 3), np.uint8)
    picture[32:48, 48:64] = np.random.default_rng(1).integers(0, 256, (16, 16, 3))
    assert plots.most_detailed(picture, 16) == (32, 48)
    assert plots.most_detailed(picture, 64) == (0, 0) or plots.most_detailed(picture, 64) == (0, 16)


def test_luma_by_hand() -> None:
    colours = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [100, 150, 200]]], np.uint8)
    # 16 + (65.481 R + 128.553 G + 24.966 B) / 255
    assert quality.luma(colours)[0, :, 0].tolist() == [16, 235, 81, 145, 41, 137]


def test_ssim_by_hand() -> None:
    """One window, 11 x 11: the formula itself."""
    rng = np.random.default_rng(4)
    a, b = rng.integers(0, 256, (2, 11, 11, 1), dtype=np.uint8)
    axis = np.arange(11) - 5
    weight = np.exp(-(axis[:, None] ** 2 + axis ** 2) / 4.5)
    weight /= weight.sum()
    x, y = a[..., 0].astype(float), b[..., 0].astype(float)
    mx, my = (weight * x).sum(), (weight * y).sum()
    vx, vy, cov = (weight * (x - mx) ** 2).sum(), (weight * (y - my) ** 2).sum(), (weight * (x - mx) * (y - my)).sum()
    wanted = ((2 * mx * my + 6.5025) * (2 * cov + 58.5225)) / ((mx ** 2 + my ** 2 + 6.5025) * (vx + vy + 58.5225))
    assert quality.ssim(a, b, crop=0) == pytest.approx(wanted, abs=1e-4)


def test_flicker_by_hand() -> None:
    clip = np.zeros((7, 2, 2, 3), np.uint8)
    clip[0], clip[3], clip[6] = 200, 9, 200
    assert quality.flicker(clip) == 9.0  # frames 2, 3 and 4: there and back
    assert quality.flicker(np.repeat(clip[:1], 7, 0)) == 0


@pytest.mark.parametrize("kind", scalers.SCALERS)
def test_own_scalers_are_those_of_ffmpeg(program, sharp, kind: str) -> None:
    """Those for top-left samples, put in the middle of the blocks, where ffmpeg's are."""
    low = blur.gaussian_degrade(sharp[1][:1], 1.2, "center", 4)
    theirs = scalers.enlarge(low, kind, 4, program).astype(int)
    down, across = (scalers.upsampling_matrix(kind, n, 4, 1.5) for n in low.shape[1:3])
    ours = np.einsum("ay,bx,yxc->abc", down, across, low[0].astype(np.float32)).clip(0, 255)
    # ffmpeg clips what overshoots between its two passes, too
    assert np.abs(ours - theirs[0]).max() < 4 and np.abs(ours - theirs[0]).mean() < 0.4


def test_top_left_scaling_is_not_shifted(program) -> None:
    ramp = np.arange(0, 200, 2, dtype=np.uint8)[None, None, :, None].repeat(8, 1).repeat(3, 3)
    low = blur.gaussian_degrade(ramp, 1.2, "topleft", 4)
    for kind, limit in (("bilinear", 0), ("bicubic", 1), ("lanczos", 1)):
        back = scalers.enlarge(low, kind, 4, program, "topleft").astype(int)
        assert np.abs(back - ramp)[:, :, 16:-16].max() <= limit
    shifted = scalers.enlarge(low, "bilinear", 4, program).astype(int)
    assert (ramp - shifted)[:, :, 16:-16].mean() == pytest.approx(3, abs=0.3)  # 1.5 pixels of 2 each


@needs_torch
def test_flipped_align_corners_are_measured(program, sharp, models, tmp_path: Path) -> None:
    done = run(align_corners, "--ffmpeg", program, "--hr", sharp[0], "--model", models.random, "--frames", 5,
               "--json", tmp_path / "out.json")
    assert done.returncode == 0, done.stderr
    row = json.loads((tmp_path / "out.json").read_text())["moving"]
    assert list(row) == ["right", "warps flipped", "resizes flipped"]
    assert len({round(values["psnr"], 4) for values in row.values()}) == 3
    assert done.stdout.splitlines()[0].endswith("+0.00 dB")
    model_file.write(tmp_path / "other.bin", {"weight": np.zeros((1, 1), np.float32)}, {})
    for path, model, words in ((tmp_path / "none.mkv", models.plain, "No such file"),
                               (sharp[0], tmp_path / "other.bin", "do not make a network")):
        done = run(align_corners, "--ffmpeg", program, "--hr", path, "--model", model)
        assert done.returncode == 1 and words in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_a_model_by_name(program, sharp, models, tmp_path: Path, monkeypatch) -> None:
    """One of the folder model/, where a file of the current folder is called the same."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model/second.bin").symlink_to(models.random)
    (tmp_path / "second").symlink_to(models.plain)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lib.models.FOLDER", tmp_path / "model")
    rows = {model: figures(program, sharp[0], model, tmp_path, "--frames", 5, "--no-temporal")["model"]
            for model in ("second", "./second", models.random)}
    assert rows["second"] == rows[models.random] != rows["./second"]


def test_refusals(program, sharp, models, tmp_path: Path) -> None:
    short, small, text = tmp_path / "short.mkv", tmp_path / "small.mkv", tmp_path / "text.bin"
    clips.write_clip(str(short), sharp[1][:4], "25", program)
    clips.write_clip(str(small), sharp[1][:, :8, :8], "25", program)
    text.write_text("no model, no clip")
    empty = tmp_path / "other.bin"
    model_file.write(empty, {"weight": np.zeros((1, 1), np.float32)}, {})
    for path, model, more, words in (
            (tmp_path / "none.mkv", models.plain, (), "No such file"),
            (text, models.plain, (), "Invalid data"),
            (short, models.plain, (), "4 frames, at least 5 are needed"),
            (small, models.plain, (), "at least 19 x 19"),
            (sharp[0], tmp_path / "none.bin", (), "none.bin"),
            (sharp[0], "nonesuch", (), "model 'nonesuch': there is none of this name; a file would be ./nonesuch; there are: "),
            (sharp[0], text, (), "not a safetensors file"),
            (sharp[0], empty, (), "selfblindvsr=model="),
            (sharp[0], models.plain, ("--lr", short), "the sharp clip has"),
            (sharp[0], models.plain, ("--json", tmp_path / "no/x.json"), "there is no folder")):
        done = run(evaluate, "--ffmpeg", program, "--hr", path, "--model", model, "--no-temporal", *more)
        assert done.returncode == 1 and done.stdout == "", words
        assert done.stderr.startswith("evaluate: ") and done.stderr.count("\n") == 1, done.stderr
        assert words in done.stderr, done.stderr
    with pytest.raises(SystemExit), redirect_stderr(io.StringIO()) as errors:
        evaluate.parse(["--hr", "a", "b", "--lr", "c", "--model", "m"])
    assert "--lr: 1 clips for 2 of --hr" in errors.getvalue()


def test_without_torch_and_matplotlib(program, sharp, models, tmp_path: Path) -> None:
    for module in ("torch", "matplotlib"):
        (tmp_path / f"{module}.py").write_text("raise ImportError('none here')\n")
    for option, word in (("--reference", "PyTorch"), ("--png=x", "matplotlib"), ("--no-temporal", "")):
        done = subprocess.run(
            [sys.executable, str(TOP / "model/tools/evaluate.py"), "--ffmpeg", program, "--hr", str(sharp[0]), "--frames", "5",
             "--model", str(models.plain), option], capture_output=True, text=True, check=False, cwd=tmp_path,
            env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"})
        assert done.returncode == (1 if word else 0) and word in done.stderr
        assert done.stderr.count("\n") == (1 if word else 0), done.stderr
