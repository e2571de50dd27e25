"""Training of modulated models at toy size: the true degradation, the gains, what estimates the degradation.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import pytest

from conftest import FFmpeg
from lib import model_file

torch = pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")

import degradations  # noqa: E402
import device_training  # noqa: E402
import exportable  # noqa: E402
import modulation  # noqa: E402
import reference  # noqa: E402
import train  # noqa: E402
import train_degradation_net  # noqa: E402
import true_degradation  # noqa: E402
from test_train_device import (ARCHITECTURE, PATCH, drawer, fixture_first, fixture_material, picture, run,  # noqa: E402,F401
                               train as train_on_device, windows)


@pytest.fixture(name="modulated", scope="module")
def fixture_modulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A modulated model whose gains and whose estimate say something."""
    torch.manual_seed(4)
    net = exportable.Trainee(ARCHITECTURE)
    net.become_modulated(8, 5)
    with torch.no_grad():
        for part, spread in ((net.tail, 0.1), (net.modulation[2], 0.4), (net.degradation_net[1], 0.1)):
            part.weight.normal_(0, spread)
        net.degradation_net.probe.mul_(0.9)
    path = tmp_path_factory.mktemp("modulated") / "modulated.bin"
    model_file.write(path, {name: value.numpy() for name, value in net.export().items()},
                     {"name": "modulated", "phase": "center", "licence": "CC0"}, dtype="F16")
    return path


# ---- The true degradation ----

def test_a_batch_knows_its_degradation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every window, drawn from a photograph or a clip: its kernel's response, sharpening, noise and codec."""
    monkeypatch.setattr(degradations, "SHARPENED", (0.5, 0.2, 0.8))
    monkeypatch.setattr(degradations, "NOISY", (0.5, 3 / 255))
    data, kernels, amounts = windows(clip=True), [], []
    blurs, sharpened = data.draw.blurs, data.draw.sharpened

    def recorded_blurs(count: int) -> "torch.Tensor":
        kernels.append(blurs(count))
        return kernels[-1]

    def recorded_sharpened(frames: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
        found = sharpened(frames)
        amounts.append(found[1])
        return found

    monkeypatch.setattr(data.draw, "blurs", recorded_blurs)
    monkeypatch.setattr(data.draw, "sharpened", recorded_sharpened)
    batch = data.batch("all", 12, 0, 3, 0.5)
    assert batch.degradation.shape == (12, 7)
    axis, line = np.arange(24) - 11.5, torch.cat(kernels).numpy()
    for index, frequency in enumerate((0.0625, 0.09375, 0.125, 0.1875, 0.25)):
        wave = np.cos(2 * np.pi * frequency * axis)
        response = (np.einsum("nij,j->n", line, wave) + np.einsum("nij,i->n", line, wave)) / 2
        smooth = 0.5 + 0.5 * math.cos(2 * math.pi * 4 * frequency)  # of [1 2 1] / 4 in small pixels
        expected = response * (1 + amounts[0].numpy() * (1 - smooth))
        assert batch.degradation[:, index].numpy() == pytest.approx(expected, abs=1e-5)
    assert 0 < (amounts[0] > 0).sum() < 12
    noise, codec = batch.degradation[:, 5], batch.degradation[:, 6]
    assert noise.min() == 0 and 0 < noise.max() <= 300 / 255 and set(codec.tolist()) == {0.0, 1.0}
    assert data.batch("single", 6, 0, 0).degradation.shape == (6, 7)


@pytest.mark.parametrize("name", ["area", "bicubic -0.6", 0.7, 1.2, 2.4])
def test_a_coded_window_is_fitted(name: object) -> None:
    """Reduced and rounded, it tells the kernel it was reduced with."""
    target = torch.stack([torch.from_numpy(picture(96, 128, seed)).permute(2, 0, 1).float() / 255 for seed in (1, 4)])
    line = modulation.lines((name,), ()) if isinstance(name, str) else modulation.lines((), (name,))
    frames = (modulation.reduced(target, line[0]) * 255).round() / 255
    frames += 2 / 255 * torch.randn(frames.shape, generator=torch.Generator().manual_seed(1))
    expected = modulation.response(line[:, :, None] * line[:, None, :])
    found = true_degradation.coded_degradation(frames, target)
    assert (found[:, :5] - expected).abs().max() < 0.01
    assert found[:, 5:].tolist() == [[0, 1]] * 2


def test_coded_windows_have_a_degradation(material: Path) -> None:
    data = windows()
    data.material.coded_targets = torch.from_numpy(np.stack([picture(4 * PATCH, 4 * PATCH, k) for k in range(4)])
                                                   ).permute(0, 3, 1, 2)
    data.material.coded_frames = data.material.coded_targets[:, None, :, 1::4, 1::4].expand(-1, 5, -1, -1, -1)
    data.material.coded_degradations = torch.rand(4, 7, generator=torch.Generator().manual_seed(1))
    batch = data.batch("all", 5, 2, 0)
    assert batch.degradation.shape == (5, 7) and batch.degradation[:3, 6].tolist() == [0, 0, 0]
    for row in range(3, 5):
        assert (data.material.coded_degradations == batch.degradation[row]).all(1).any()


def test_an_estimate_is_off() -> None:
    """By about as much as it is said to be; within the range of a degradation."""
    truth = torch.tensor([[0.9, 0.8, 0.6, 0.4, 0.2, 0.0, 0.0], [0.9, 0.8, 0.6, 0.4, 0.2, 1.0, 1.0]]).repeat(2000, 1)
    said = true_degradation.misjudged(truth, drawer())
    off = (said - truth)[:, :5]
    assert off.mean().abs() < 0.01 and 0.03 < off.std() < 0.08
    assert said[:, 5].min() == 0 and (said[1::2, 5].mean() - 1).abs() < 0.05
    assert said[:, 6].min() >= 0 and said[:, 6].max() <= 1
    assert said[::2, 6].median() < 0.15 and said[1::2, 6].median() > 0.85


# ---- The forms that are trained ----

def test_a_modulated_model_is_written_and_read(modulated: Path) -> None:
    tensors = model_file.read(modulated)[0]
    net = exportable.from_tensors(tensors)
    assert isinstance(net, exportable.Trainee) and (net.arch.modulation, net.arch.estimator) == (8, 5)
    assert all(np.array_equal(value.numpy(), tensors[name]) for name, value in net.export().items())
    definition, plain = reference.SelfBlindVSR.from_state_dict(tensors), exportable.Plain(net.arch)
    plain.load_state_dict({name: torch.as_tensor(value) for name, value in tensors.items()})
    frames, degradation = torch.rand(2, 5, 3, 16, 16), torch.rand(2, 7)
    with torch.no_grad():
        for given in (degradation, None):
            expected = definition(frames, degradation=given)
            assert (net.restored(frames, degradation=given) - expected).abs().max() < 1e-5
            assert (plain.restored(frames, degradation=given) - expected).abs().max() < 1e-5
        assert (definition(frames) - expected).abs().max() == 0
        assert (definition(frames, degradation=degradation) - expected).abs().max() > 0.01
        flat = torch.tensor([0.2, 0.7, 0.4]).view(1, 1, 3, 1, 1).expand(2, 5, 3, 16, 16)
        assert (definition(flat, degradation=degradation) - flat[:, 0, :, :1, :1]).abs().max() < 1e-5


def test_single_follows_the_degradation(modulated: Path) -> None:
    net = exportable.from_tensors(model_file.read(modulated)[0])
    frame, degradation = torch.rand(2, 3, 16, 20), torch.rand(2, 7)
    still = net.restored(frame[:, None].repeat(1, 5, 1, 1, 1), torch.zeros(2, 4, 2, 16, 20), degradation)
    assert (device_training.restored_single(net, frame, degradation) - still).abs().max() < 1e-4
    assert (device_training.restored_single(net, frame) - still).abs().max() > 0.01


def changed(before: Path, after: Path) -> set[str]:
    first, second = (model_file.read(path)[0] for path in (before, after))
    return {name for name in second if name not in first or not np.array_equal(first[name], second[name])}


def test_gains_are_added_and_trained(material: Path, first: Path, tmp_path: Path) -> None:
    output, common = tmp_path / "x.bin", ("--minutes", "9", "--modulated", "--freeze-features")
    status, out, errors = train_on_device(material, first, output, *common, "--steps", "8", "--stages",
                                          "single:0.3,flow:0.5,windows:1", "--quantised", "0.5")
    assert status == 0 and errors == "", errors
    tensors = model_file.read(output)[0]
    net = exportable.from_tensors(tensors)
    assert isinstance(net, exportable.Trainee) and (net.arch.modulation, net.arch.estimator) == (64, 32)
    assert np.abs(tensors["modulation.2.weight"]).max() > 0  # zeros before it has learnt something
    assert tensors["degradation_net.neutral"] == pytest.approx(true_degradation.middle_degradation().numpy(), abs=1e-3)
    names = changed(first, output)
    assert {"fusion_conv.0.weight", "recons_net.0.conv1.weight", "upsample_layers.0.weight"} <= names
    assert not any(name.startswith(("in_conv", "extra_feat", "kernel_net")) for name in names)
    status, out, errors = train_on_device(material, first, output, *common, "--steps", "9")
    assert status == 0 and errors == "" and f"continuing from {tmp_path / 'x.pt'} at step 8" in out


def test_a_modulated_model_is_trained_on(material: Path, modulated: Path, tmp_path: Path) -> None:
    output = tmp_path / "x.bin"
    status, _, errors = train_on_device(material, modulated, output, "--minutes", "9", "--steps", "4", "--stages", "all:1")
    assert status == 0 and errors == "", errors
    names = changed(modulated, output)
    assert {"modulation.0.weight", "modulation.2.bias", "extra_feat.0.conv2.weight"} <= names
    assert not any(name.startswith("degradation_net") for name in names)
    status, _, errors = train_on_device(material, modulated, tmp_path / "y.bin", "--minutes", "9", "--modulated")
    assert status == 1 and errors.count("\n") == 1 and f"--modulated: {modulated}: it is modulated already" in errors


@pytest.mark.parametrize("form", ["trainee", "plain"])
def test_a_modulated_model_settles(modulated: Path, form: str) -> None:
    """It becomes the plain one that does the same under one degradation."""
    tensors = model_file.read(modulated)[0]
    net = exportable.from_tensors(tensors)
    if form == "plain":
        net = exportable.Plain(net.arch)
        net.load_state_dict({name: torch.as_tensor(value) for name, value in tensors.items()})
        torch.nn.init.normal_(net.fusion_conv[0].bias, std=0.1)
    frames, degradation = torch.rand(2, 5, 3, 16, 16), torch.rand(7)
    for given in (degradation, None):
        settled = copy.deepcopy(net)
        settled.settle(given)
        with torch.no_grad():
            expected = net.restored(frames, degradation=None if given is None else given.expand(2, -1))
            assert (settled.restored(frames) - expected).abs().max() < 1e-5
        again = exportable.from_tensors(settled.export())
        assert again.arch.modulation == 0 and not any(name.startswith(("modul", "degr")) for name in settled.export())


def test_a_network_estimates_as_the_definition_does(modulated: Path) -> None:
    tensors, frames = model_file.read(modulated)[0], torch.rand(2, 5, 3, 16, 16)
    definition = reference.SelfBlindVSR.from_state_dict(tensors)
    with torch.no_grad():
        expected = definition.estimate(definition.consistency(frames))
    assert (exportable.from_tensors(tensors).estimated(frames) - expected).abs().max() < 1e-4


def train_here(method: str, material: Path, init: Path, output: Path, *arguments: object) -> tuple[int, str, str]:
    return run(train, "--method", method, "--data", material, "--init", init, "--output", output, "--patch", PATCH,
               "--batch", "2", "--steps", "2", "--device", "cpu", "--threads", "1", "--report", "1", *arguments)


def test_train_settles_a_modulated_model(ffmpegs: list[FFmpeg], modulated: Path, tmp_path: Path) -> None:
    """Under what is estimated of the clip, or under the neutral degradation; the result is a model like others."""
    folder, program = tmp_path / "clip", ffmpegs[0].folder / "ffmpeg"
    folder.mkdir()
    frames = [picture(32, 40, index) for index in range(6)]
    ffmpegs[0].output("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "40x32", "-i", "-", "-c:v", "ffv1", folder / "clip.mkv",
                      data=b"".join(frame.tobytes() for frame in frames))
    status, out, errors = train_here("self", folder / "clip.mkv", modulated, tmp_path / "x.bin", "--ffmpeg", program)
    assert status == 0 and errors == "" and "trained as it is for these clips, and no longer adapts" in out, errors
    for index in range(3):
        Image.fromarray(picture(400, 420, index)).save(folder / f"{index}.png")
    status, out, errors = train_here("supervised", folder, modulated, tmp_path / "y.bin", "--ffmpeg", program,
                                     "--codec", "0", "--hold-out", "2")
    assert status == 0 and errors == "" and "where nothing is known of that, and no longer adapts" in out, errors
    for path in (tmp_path / "x.bin", tmp_path / "y.bin"):
        tensors = model_file.read(path)[0]
        assert not any(name.startswith(("modulation", "degradation")) for name in tensors)
        assert isinstance(exportable.from_tensors(tensors), exportable.Trainee)


# ---- The estimate ----

def estimate(material: Path, init: object, output: Path, *arguments: object) -> tuple[int, str, str]:
    return run(train_degradation_net, "--material", material, "--init", init, "--output", output, "--patch", PATCH,
               "--minutes", "2", "--windows", "60", "--device", "cpu", "--threads", "1", "--cache", output.parent / "cache",
               *arguments)


def test_learns_to_estimate(material: Path, modulated: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "x.bin"
    status, out, errors = estimate(material, modulated, output)
    assert status == 0 and errors == "", errors
    assert changed(modulated, output) == {f"degradation_net.{name}" for name in
                                          ("0.weight", "0.bias", "1.weight", "1.bias", "neutral", "probe")}
    rows = [line.strip() for line in out.splitlines() if line.startswith("  ")]
    assert len(rows) == 7 and rows[0].startswith("response at 0.0625 cycles per pixel: 0.")
    assert "12 windows held out" in out and f"{output}: 60 windows" in out
    before, after = (reference.SelfBlindVSR.from_state_dict(model_file.read(path)[0]) for path in (modulated, output))
    data = windows(5)
    batch = data.batch("windows", 16, 0, 0, 0.0)
    with torch.no_grad():
        assert torch.equal(before.modulation(batch.degradation), after.modulation(batch.degradation))
        found = after.estimate(after.consistency(batch.frames))
    neutral = after.degradation_net.neutral
    error, plain = ((answer - batch.degradation)[:, :5].abs().mean() for answer in (found, neutral))
    assert error < 0.8 * plain, (error, plain)


def test_an_estimate_folds_the_standardisation() -> None:
    """Learnt from features of any size: a known function of them comes back."""
    rng = torch.Generator().manual_seed(1)
    features = torch.randn(300, 16, generator=rng) * torch.linspace(0.1, 3, 16) + torch.linspace(-9, 1, 16)
    truth = (0.5 + 0.1 * (features - features.mean(0)) / features.std(0))[:, :7]
    net = train_degradation_net.fitted(features[:250], truth[:250], truth.mean(0), 32, 1)
    with torch.no_grad():
        error = (net(features[250:]) - truth[250:]).abs().mean()
        assert torch.equal(net.neutral, truth.mean(0))
    assert error < 0.4 * (truth - truth.mean(0)).abs().mean()


@pytest.mark.parametrize("arguments, words", [
    (("--minutes", "1e-3"), " windows in this time, at least 20 are needed"),
    (("--material", "nowhere"), "nowhere: no such folder"),
    (("--init", "first"), "not a modulated model (train_device.py --modulated makes one)"),
])
def test_estimates_that_are_refused(material: Path, modulated: Path, first: Path, tmp_path: Path,
                                    arguments: tuple[str, ...], words: str) -> None:
    given = [first if word == "first" else word for word in arguments]
    status, _, errors = estimate(material, modulated, tmp_path / "x.bin", *given)
    assert status == 1 and words in errors and errors.count("\n") == 1, errors
    assert not (tmp_path / "x.bin").exists()
