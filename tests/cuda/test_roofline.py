"""The list of launches of a frame (tests/cuda/gpu/roofline.py): how many there are, and what they are said to cost.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TIMEOUT, TOP, no_gpu_code

if no_gpu_code():
    pytest.skip(no_gpu_code(), allow_module_level=True)

sys.path.append(str(TOP / "tests/cuda/gpu"))
import random_model  # noqa: E402
import roofline  # noqa: E402

SIZE = (48, 32)
MOST = 85  # launches of a frame of default.bin from ordinary memory, one tile
MOST_PUBLISHED = 138  # likewise, of a network of the published size


@pytest.fixture(scope="module", name="frame")
def fixture_frame() -> dict[roofline.Launch, int]:
    return roofline.of_a_frame(TOP / "model/default.bin", "{}x{}".format(*SIZE), 90)


def shapes(frame: dict[roofline.Launch, int], part: str) -> list[str]:
    """Of the launches whose shape has this part."""
    return sorted(launch.shape for launch in frame if part in launch.shape)


def test_launches_of_a_frame(frame: dict[roofline.Launch, int]) -> None:
    assert 60 < sum(frame.values()) <= MOST
    assert {launch.kernel for launch in frame} >= {"sbv_conv_wgmma_64", "sbv_conv_wgmma_64_relu", "sbv_cost_volume",
                                                   "sbv_conv_wgmma_64_linear_residual", "sbv_warp", "sbv_colour_in"}


def test_launches_of_the_published_network(tmp_path: Path) -> None:
    model = tmp_path / "published.bin"
    random_model.write(model)
    frame = roofline.of_a_frame(model, "{}x{}".format(*SIZE), 90)
    assert 100 < sum(frame.values()) <= MOST_PUBLISHED
    assert shapes(frame, "5x5, 128 to 48") == ["5x5, 128 to 48, 1x30, batch of 2", "5x5, 128 to 48, 46x1, batch of 6",
                                               "5x5, 128 to 48, 46x30"]


def test_batches(frame: dict[roofline.Launch, int]) -> None:
    """The flows of four neighbours come together, their warps too. The tail, which reaches no further than 3x3, is one
    launch; that of the published network has strips around it, in two launches."""
    for kernel, count in (("sbv_cost_volume", 4), ("sbv_warp", 4), ("sbv_deconv", 8)):  # of flows and of features
        launches = [launch for launch in frame if launch.kernel == kernel]
        assert launches and all(frame[a] == 1 and a.shape.endswith(f", batch of {count}") for a in launches)
    assert shapes(frame, "64 to 48, 48x32") == ["3x3, 64 to 48, 48x32"]


def test_work_of_launches(frame: dict[roofline.Launch, int]) -> None:
    """By hand: the convolutions of the trunk, 64 channels of halves and 3x3 taps; the one of the first features."""
    pixels = SIZE[0] * SIZE[1]
    trunk = [launch for launch in frame if launch.shape == "3x3, 64 to 64, 48x32, residual"]
    assert [launch.flop for launch in trunk] == [2 * 9 * 64 * 64 * pixels]
    assert [launch.bytes for launch in trunk] == [3 * 64 * 2 * pixels + 9 * 64 * 64 * 2]
    first = [launch for launch in frame if launch.shape == "3x3, 3 to 64, 48x32"]
    assert [launch.bytes for launch in first] == [(3 * 4 + 64 * 2) * pixels + 9 * 3 * 64 * 2]


def test_bounds() -> None:
    gpu = roofline.Gpu("test", 90, 1e12, 1e11)
    assert roofline.Launch("a", "", 1e9, 0).bound(gpu) == pytest.approx(1e-3)
    assert roofline.Launch("a", "", 1e9, 1e9).bound(gpu) == pytest.approx(1e-2)
    assert roofline.Launch("a", "", 0, 8).bound(gpu) == roofline.LAUNCH


def test_table_names_what_cannot_be_read(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, TOP / "tests/cuda/gpu/roofline.py", tmp_path / "table.md", "--model",
                           tmp_path / "no-such.bin"], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 1 and done.stderr.startswith("roofline: no-such.bin, 320x180: ")
    assert not (tmp_path / "table.md").exists()


def test_table_is_of_these_networks() -> None:
    text = (TOP / "tests/cuda/gpu/ROOFLINE.md").read_text()
    networks = [f"{name}, {size}" for name in ("default.bin", "A network of the published size")
                for size in ("320x180", "960x540")]
    assert re.findall(r"^## (.*)$", text, re.M) == [*networks, "Tiles of the Hopper convolution"]
    assert all(text.count(f"| {gpu.name} |") == 4 for gpu in roofline.GPUS)


@pytest.mark.skipif("--nvrtc" not in (TOP / "config.mak").read_text(),
                    reason="the kernels were compiled by an nvcc of this machine")
def test_table_is_of_these_kernels() -> None:
    """What the table says of tiles is what the library's machine code says."""
    text = (TOP / "tests/cuda/gpu/ROOFLINE.md").read_text()
    assert "\n".join(roofline.write_finishing()).strip() in text, "run tests/cuda/gpu/roofline.py"
