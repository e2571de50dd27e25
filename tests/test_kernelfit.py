"""kernelfit.py, which makes a kernel network, and estimates.py, which measures one.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "model"))

import clips  # noqa: E402
import modelfile  # noqa: E402

torch = pytest.importorskip("torch")

import estimates  # noqa: E402
import kernelfit  # noqa: E402
import kernelset  # noqa: E402
import reference  # noqa: E402
from trainee import initialise_kernel  # noqa: E402

torch.set_num_threads(1)
PICTURE = np.kron(np.random.default_rng(1).integers(0, 256, (75, 75, 3)), np.ones((4, 4, 1))).astype(np.uint8)


@pytest.fixture(scope="module")
def program(ffmpegs) -> str:
    return str(ffmpegs[0].folder / "ffmpeg")


# ---- Material ----

def test_steepness() -> None:
    edge = np.zeros((64, 64, 3), np.uint8)
    edge[:, 20:] = 200
    assert kernelset.steepness(edge) == 0.0  # one edge of 64 pixels is too few
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, np.arange(256) % 32 < 16] = 200
    assert kernelset.steepness(stripes) == 1.0 == kernelset.steepness(stripes.swapaxes(0, 1))
    taps = np.exp(-np.arange(-4, 5) ** 2 / 2)
    soft = np.apply_along_axis(np.convolve, 1, stripes.astype(np.float32), taps / taps.sum(), "same")
    assert 0.5 < kernelset.steepness(soft.astype(np.uint8)) < kernelset.LEAST_STEEPNESS  # a blur of one pixel


def test_split_holds_whole_files_out() -> None:
    files = [[np.full(1, i)] * 2 for i in range(7)]
    kept, held = kernelset.split(files, 3)
    assert [int(x[0]) for x in held] == [1, 1, 4, 4] and [int(x[0]) for x in kept] == [0, 0, 2, 2, 3, 3, 5, 5, 6, 6]
    assert kernelset.split(files, 0) == kernelset.split(files, 8) == (sum(files, []),) * 2


# ---- The network ----

def comparison() -> kernelfit.Comparison:
    """One whose numbers differ, so that no two can be mistaken for each other."""
    start = kernelfit.Comparison.start()
    generator = torch.Generator().manual_seed(1)
    return kernelfit.Comparison(*(number + 0.1 * torch.rand(number.shape, generator=generator)
                                  for number in start.numbers()))


def built(numbers: kernelfit.Comparison) -> reference.KernelNet:
    net = reference.KernelNet(15, reference.KernelWidths())
    net.load_state_dict(kernelfit.network(numbers, {k: tuple(v.shape) for k, v in net.state_dict().items()}))
    return net


def test_the_network_computes_the_comparison() -> None:
    """Its Gaussian has the widths that the statistics of the centre frame give, borders and odd sizes included."""
    rng, numbers = np.random.default_rng(2), comparison()
    net = built(numbers)
    for height, width in ((26, 39), (39, 26)):  # areas of 2 x 3 pixels, all alike
        frames = torch.from_numpy(rng.integers(0, 256, (1, 5, 3, height, width)).astype(np.float32) / 255)
        frames = torch.nn.functional.avg_pool2d(frames[0], (1, 3), 1, (0, 1))[None]  # softer along x than along y
        with torch.no_grad():
            kernel = net(frames)[0, 0].double()
            luma = kernelfit.GAIN_IN * frames[0, 2].mean(0)
            share = (height - 4) * (width - 4) / (height * width)  # the two outer rings count as zero
            widths = [numbers.precision(kernelfit.statistics(plane)[None] * share).rsqrt().item()
                      for plane in (luma, luma.T)]
        axis = torch.arange(13) - 7.5
        wanted = torch.exp(-0.5 * ((axis / widths[0]) ** 2 + (axis[:, None] / widths[1]) ** 2))
        assert widths[0] > 1.02 * widths[1]
        assert (kernel - wanted / wanted.sum()).abs().max() < 1e-4


def test_other_frames_and_contrast_and_brightness() -> None:
    """Only the centre frame counts, and its brightness does not."""
    net = built(comparison())
    frames = torch.rand(1, 5, 3, 26, 39, generator=torch.Generator().manual_seed(3)) / 2
    other = torch.rand(1, 5, 3, 26, 39)
    other[:, 2] = frames[:, 2] + 0.25
    with torch.no_grad():
        assert (net(frames) - net(other)).abs().max() < 1e-4


def test_the_fit_finds_widths() -> None:
    """Statistics of a picture that is known are told apart by sigma, each right on average."""
    found, sigma = kernelfit.Photographs([np.kron(PICTURE, np.ones((2, 2, 1))).astype(np.uint8)], 1).windows(40)
    numbers = kernelfit.fit(found, sigma, 120)
    error = -0.5 * numbers.precision(found).log() - sigma
    assert error.std() < 0.35 and error.mean().abs() < 0.1
    assert np.corrcoef((error + sigma).numpy(), sigma.numpy())[0, 1] > 0.8


# ---- A network that is asked ----

@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A model whose kernel network says a Gaussian of sigma 1.2 of everything."""
    torch.manual_seed(2)
    arch = reference.Architecture(3, 4, 1, 1, 5, 4, (4, 4), ((4,) * 5,), (4,) * 6 + (2,),
                                  reference.KernelWidths(4, 2, 3, 6, 13))
    net = reference.SelfBlindVSR(arch)
    initialise_kernel(net.kernel_net, 1.2, 1.5)
    with torch.no_grad():
        net.kernel_net.fc_net[1].weight.zero_()
    path = tmp_path_factory.mktemp("model") / "says12.bin"
    modelfile.write(str(path), {k: v.numpy() for k, v in net.state_dict().items()}, {"phase": "center"}, dtype="F32")
    return path


@pytest.mark.parametrize("sigma", [(1.5, 0.8), (0.8, 1.5)])
def test_widths_are_compared_by_size(sigma: tuple[float, float]) -> None:
    """Whichever axis is the longer."""
    axis = np.arange(13) - 7.5
    kernel = np.exp(-0.5 * ((axis / sigma[0]) ** 2 + (axis[:, None] / sigma[1]) ** 2))
    row = estimates.compared(kernel[None] / kernel.sum(), sigma)
    assert row["sigma"] == [1.5, 0.8] and row["error"] == pytest.approx([0, 0], abs=0.01)


def test_estimates(program: str, model: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    sharp = tmp_path / "sharp.mkv"
    clips.write_clip(str(sharp), np.stack([PICTURE[k:k + 98, :121] for k in range(7)]), "25", program)
    command = ["estimates.py", "--hr", str(sharp), "--model", str(model), "--windows", "2", "--ffmpeg", program]
    monkeypatch.setattr(sys, "argv", command + ["--sigma", "1.2", "0.8", "2.4,1.2", "--json", str(tmp_path / "x.json")])
    assert estimates.main() == 0
    first, second, third = json.loads((tmp_path / "x.json").read_text())["sharp"]
    assert first["sigma"] == [1.2] and first["error"] == [pytest.approx(0, abs=0.01)]
    assert second["estimate"] == [pytest.approx(1.2, abs=0.01)] and second["error"] == [pytest.approx(0.5, abs=0.01)]
    assert third["sigma"] == [2.4, 1.2] and third["error"] == pytest.approx([-0.5, 0], abs=0.01)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[1] == "sharp  sigma 0.80  estimate 1.20  +50 %"


def test_estimates_refuses(program: str, model: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    short = tmp_path / "short.mkv"
    clips.write_clip(str(short), PICTURE[None, :64, :64].repeat(4, 0), "25", program)
    no_kernel = tmp_path / "none.bin"
    tensors, metadata = modelfile.read(model)
    modelfile.write(str(no_kernel), {k: v for k, v in tensors.items() if "kernel_net" not in k}, metadata, dtype="F32")
    for clip, path, words in ((short, model, "short.mkv: 4 frames, at least 5 are needed"),
                              (short, no_kernel, "none.bin: has no kernel network"),
                              (tmp_path / "no.mkv", model, "no.mkv")):
        monkeypatch.setattr(sys, "argv", ["estimates.py", "--hr", str(clip), "--model", str(path), "--ffmpeg", program])
        assert estimates.main() == 1
        error = capsys.readouterr().err
        assert error.startswith("estimates: ") and words in error and error.count("\n") == 1


def test_only_the_kernel_network_is_replaced(program: str, tmp_path: Path, monkeypatch, capsys) -> None:
    still = tmp_path / "still.png"
    clips.write_clip(str(still), PICTURE[None], "1", program)
    monkeypatch.setattr(kernelfit, "SIDES", (40,))
    before, metadata = modelfile.read(TOP / "model/default.bin")
    monkeypatch.setattr(sys, "argv", ["kernelfit.py", "--data", str(still), "--init", str(TOP / "model/default.bin"),
                                      "--output", str(tmp_path / "x.bin"), "--windows", "10", "--steps", "4",
                                      "--threads", "1", "--ffmpeg", program])
    assert kernelfit.main() == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["fitted", "held out"]
    after, written = modelfile.read(tmp_path / "x.bin")
    assert written == metadata and set(after) == set(before)
    for name, value in before.items():
        assert after[name].shape == value.shape
        assert np.array_equal(after[name], value) or name.startswith("kernel_net.")
    assert np.count_nonzero(after["kernel_net.body2.0.body.3.conv_du.0.weight"]) == 4 * kernelfit.STATISTICS


@pytest.mark.parametrize("init, words", [("narrow", "narrower than 64"), ("none", "none.bin")])
def test_kernelfit_refuses(program: str, model: Path, tmp_path: Path, monkeypatch, capsys, init: str, words: str) -> None:
    path = model if init == "narrow" else tmp_path / "none.bin"
    monkeypatch.setattr(sys, "argv", ["kernelfit.py", "--data", str(tmp_path), "--init", str(path), "--output",
                                      str(tmp_path / "x.bin"), "--threads", "1", "--ffmpeg", program])
    assert kernelfit.main() == 1
    error = capsys.readouterr().err
    assert error.startswith("kernelfit: ") and words in error and error.count("\n") == 1
