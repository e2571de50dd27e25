"""The whole network against golden tensors, stage by stage in the library and through ffmpeg.

tests/golden holds small ones of the project's own, made by model/training/reference.py. A folder with the published
network's size, named by SBV_SHARED (default: shared beside the checkout), is used besides where it is there.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import TIMEOUT, TOP, FFmpeg
from golden_cases import GOLDEN, OWN, SHARED, SHARED_CASES

STAGES = TOP / "build/tests/golden_stages"

# 8-bit output of a float computation within 5e-4: a few values in a thousand round the other way.
LEAST_PSNR = 55.0


def check_stages(model: Path, prefix: Path, precision: str = "fp32") -> str:
    done = subprocess.run([STAGES, model, prefix, "cpu", precision], capture_output=True, text=True, timeout=TIMEOUT,
                          check=False)
    if "needs AMX" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def upscale(ffmpeg: FFmpeg, model: Path, frames: np.ndarray, options: str = "") -> np.ndarray:
    """Runs the filter on one window of RGB frames without borders; returns the one frame that comes out."""
    count, height, width, _ = frames.shape
    chain = f"selfblindvsr=model={model}:border=none:scene=0:precision=fp32:phase=model{options}"
    command = [ffmpeg.folder / "ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "gbrp", "-s", f"{width}x{height}",
               "-i", "-", "-vf", chain, "-f", "rawvideo", "-pix_fmt", "gbrp", "-"]
    planes = frames[..., [1, 2, 0]].transpose(0, 3, 1, 2)
    done = subprocess.run(command, input=planes.tobytes(), capture_output=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr.decode()
    scale = round((len(done.stdout) / (3 * width * height)) ** 0.5)
    out = np.frombuffer(done.stdout, np.uint8).reshape(3, height * scale, width * scale)
    return out[[2, 0, 1]]


def psnr(out: np.ndarray, recons: np.ndarray) -> float:
    expected = np.clip(np.rint(recons.astype(np.float64) * 255), 0, 255)
    error = np.mean((out - expected) ** 2)
    return 99.0 if error == 0 else 10 * np.log10(255**2 / error)


def check_ffmpeg(ffmpeg: FFmpeg, model: Path, prefix: Path) -> None:
    frames = np.load(f"{prefix}_frames_u8.npy")
    recons = np.load(f"{prefix}_recons.npy")
    # what the filter adapts to is estimated; "modulated" is the picture without
    options = ":adapt_interval=0" if prefix.name == "modulated" else ""
    assert psnr(upscale(ffmpeg, model, frames, options), recons) >= LEAST_PSNR


def own_model(case: str) -> Path:
    return GOLDEN / f"{OWN[case]}.bin"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("case", OWN)
def test_own_stages(case: str, precision: str) -> None:
    done = check_stages(own_model(case), GOLDEN / case, precision)
    assert all(stage in done for stage in ("flow", "feat_center", "warped_0", "fusion", "recons_feat", "recons"))
    assert ("kernel" in done) == (case == "odd")


@pytest.mark.parametrize("case", OWN)
def test_own_through_ffmpeg(ffmpeg: FFmpeg, case: str) -> None:
    check_ffmpeg(ffmpeg, own_model(case), GOLDEN / case)


@pytest.mark.parametrize("flip", ["warp_false", "resize_true"])
def test_align_corners(flip: str, tmp_path: Path) -> None:
    """With align_corners flipped in the warps, or in the resizes, the reference gives another picture: one that the
    library must not give."""
    for name in ("frames_u8", "flow"):
        (tmp_path / f"odd_{name}.npy").symlink_to(GOLDEN / f"odd_{name}.npy")
    (tmp_path / "odd_recons.npy").symlink_to(GOLDEN / f"odd_recons_{flip}.npy")
    done = subprocess.run([STAGES, own_model("odd"), tmp_path / "odd"], capture_output=True, text=True, timeout=TIMEOUT,
                          check=False)
    recons = [line for line in done.stdout.splitlines() if " recons " in line]
    assert done.returncode == 1 and len(recons) == 2 and all("EXCEEDED" in line for line in recons), done.stdout


@pytest.fixture(scope="module")
def published(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A case and its seeded weights in the case's form of a checkpoint, converted."""
    case = request.param
    seed, layout, ending = SHARED_CASES[case]
    if ending.endswith(".pt"):
        pytest.importorskip("torch", reason="PyTorch writes this form of checkpoint")
    folder = tmp_path_factory.mktemp("published")
    weights, model = folder / f"w{ending}", folder / "w.bin"
    subprocess.run([sys.executable, SHARED / "make_weights.py", str(seed), weights, layout], check=True)
    subprocess.run([sys.executable, TOP / "model/tools/convert.py", weights, "-o", model], check=True,
                   capture_output=True)
    return case, model


published_size = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no published-size goldens: {SHARED} is not there")


@published_size
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("published", SHARED_CASES, indirect=True)
def test_published_size(published: tuple[str, Path], precision: str) -> None:
    check_stages(published[1], SHARED / published[0], precision)


@published_size
@pytest.mark.parametrize("published", SHARED_CASES, indirect=True)
def test_published_size_through_ffmpeg(ffmpeg: FFmpeg, published: tuple[str, Path]) -> None:
    check_ffmpeg(ffmpeg, published[1], SHARED / published[0])
