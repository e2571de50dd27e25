"""train_device.py and pack_material.py at toy size on the CPU, and the degradations they make, by hand.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import csv
import io
import json
import shutil
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType
from unittest import mock

import numpy as np
import pytest

from conftest import FFmpeg, raw
from lib import blur, model_file, peers

torch = pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")

import coded_windows  # noqa: E402
import degradations  # noqa: E402
import device_set  # noqa: E402
import device_training  # noqa: E402
import exportable  # noqa: E402
import modulation  # noqa: E402
import pack_material  # noqa: E402
import reference  # noqa: E402
import teacher  # noqa: E402
import train_device  # noqa: E402
import true_degradation  # noqa: E402
from material import CODED  # noqa: E402

torch.set_num_threads(1)
PATCH = 16
ARCHITECTURE = reference.Architecture(3, 12, 2, 2, 5, 4, (4, 6), ((5, 4, 4, 3, 3),), (4, 4, 4, 4, 3, 3, 2),
                                      reference.KernelWidths(8, 2, 4, 20, 13))
TINY = ["--batch", "4", "--patch", PATCH, "--coded", "1", "--clips", "0", "--device", "cpu", "--threads", "1",
        "--report-seconds", "1e-6"]


def picture(height: int, width: int, seed: int = 1) -> np.ndarray:
    """Waves and edges, H x W x 3 uint8."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = [np.sin((x + 5 * seed) / 3 + k) * np.cos(y / (4 + k)) + np.sign(np.sin(x / 17 - y / (23 + k)))
             for k in range(3)]
    return (127 + 60 * np.stack(waves, 2)).astype(np.uint8)


@pytest.fixture(name="material", scope="module")
def fixture_material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photographs and four coded windows."""
    folder = tmp_path_factory.mktemp("material")
    for index in range(3):
        Image.fromarray(picture(180 + 4 * index, 200, index)).save(folder / f"photo_{index}.webp", lossless=True)
    for index in range(4):
        target = picture(4 * PATCH, 4 * PATCH, index)
        frames = np.stack([target[1::4, k % 4::4] for k in range(5)])
        coded_windows.write_window(folder / CODED, index, frames, target, 0.1 * index + np.arange(7) / 64)
    return folder


@pytest.fixture(name="first", scope="module")
def fixture_first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("model") / "first.bin"
    tensors = {name: value.numpy() for name, value in exportable.Trainee(ARCHITECTURE).export().items()}
    model_file.write(path, tensors, {"name": "first", "phase": "center", "licence": "CC0"}, dtype="F16")
    return path


def run(program: ModuleType, *arguments: object) -> tuple[int, str, str]:
    """A program, in this process: status, output, messages."""
    output, errors = io.StringIO(), io.StringIO()
    command = ["program", *map(str, arguments)]
    with mock.patch.object(sys, "argv", command), redirect_stdout(output), redirect_stderr(errors):
        try:
            status = program.main()
        except SystemExit as end:
            status = int(end.code)
    return status, output.getvalue(), errors.getvalue()


def train(material: Path, first: object, output: Path, *arguments: object) -> tuple[int, str, str]:
    return run(train_device, "--material", material, "--init", first, "--output", output, *TINY, *arguments)


def drawer(seed: int = 1) -> degradations.Degrader:
    return degradations.Degrader(torch.device("cpu"), torch.Generator().manual_seed(seed))


# ---- Degradations ----

@pytest.mark.parametrize("name, flags", [("bicubic -0.6", "bicubic"), ("bilinear", "bilinear"), ("area", "area"),
                                         ("lanczos", "lanczos")])
def test_scalers_reduce_as_ffmpeg_does(ffmpeg: FFmpeg, name: str, flags: str) -> None:
    """The nearest of all kernels is its own, phase included, but for the small weights that FFmpeg drops. At its edge
    FFmpeg continues the picture, so there is a margin of a kernel."""
    sharp = picture(96, 128)
    data = ffmpeg.output(*raw("gbrp", 128, 96), "-vf", f"scale=32:24:flags={flags}+accurate_rnd", "-f", "rawvideo", "-",
                         data=sharp.transpose(2, 0, 1).tobytes())
    wanted = np.frombuffer(data, np.uint8).reshape(3, 24, 32)[:, 3:-3, 3:-3].astype(float)
    # the first half-pixel position of these planes, 2 + 11.5, is that of FFmpeg's sample 3, 4 * 3 + 1.5
    planes = torch.from_numpy(sharp).permute(2, 0, 1)[None, :, 2:-2, 2:-2].float()
    errors = {other: np.abs(degradations.blur_down(planes, torch.outer(line, line)[None])[0].numpy() - wanted).mean()
              for other, line in zip(degradations.SCALERS, drawer().lines)}
    assert min(errors, key=errors.get) == name and errors[name] < 0.7, errors


def test_kernels_sum_to_one_and_are_centered() -> None:
    draw = drawer()
    kernels = draw.blurs(400)
    assert kernels.shape == (400, degradations.TAPS, degradations.TAPS)
    assert kernels.sum((1, 2)).numpy() == pytest.approx(1, abs=1e-4)
    for axis in (1, 2):
        assert (kernels.sum(axis) @ draw.axis).abs().max() < 0.02
    assert (kernels.amin((1, 2)) < -1e-3).any() and (kernels.amax((1, 2)) < 0.03).any()  # scalers with lobes; wide ones


def test_blur_and_blur_down_agree() -> None:
    planes, kernels = torch.rand(3, 2, 64, 64), drawer().blurs(3)
    full = degradations.blur(planes, kernels)
    assert full.shape[2:] == (64 - degradations.TAPS + 1,) * 2
    assert (full[:, :, ::4, ::4] - degradations.blur_down(planes, kernels)).abs().max() < 1e-5


def test_quantised_by_hand() -> None:
    """The mean comes back to half a quantum, flat blocks stay flat, no share changes nothing."""
    draw, frames = drawer(), torch.full((6, 5, 3, 16, 16), 0.5)
    frames[:, :, :, 8:] += 0.2
    same, through = draw.quantised(frames, 0.0, 8)
    assert torch.equal(same, frames) and not through.any()
    coded, through = draw.quantised(frames, 1.0, 8)
    assert through.tolist() == [1.0] * 6
    assert (coded - frames).abs().max() < 28 / 255 and (coded - frames).abs().max() > 0
    assert (coded[..., :8, :] == coded[..., :1, :1]).all()  # a block of one colour stays one
    odd = torch.rand(1, 1, 3, 15, 16)
    assert torch.equal(draw.quantised(odd, 1.0, 8)[0], odd) and torch.equal(draw.chroma(odd, 1.0), odd)


def test_chroma_keeps_luma_and_greys() -> None:
    frames = torch.rand(2, 1, 3, 8, 8)
    through = drawer().chroma(frames, 1.0)
    luma = torch.tensor(degradations.TO_YCC[0])
    assert (torch.einsum("c,nkcyx->nkyx", luma, through - frames)).abs().max() < 1e-5
    assert (through - frames).abs().max() > 0.05
    grey = torch.rand(2, 1, 1, 8, 8).expand(-1, -1, 3, -1, -1)
    assert (drawer().chroma(grey, 1.0) - grey).abs().max() < 1e-5


# ---- Windows ----

def windows(seed: int = 1, clip: bool = False) -> device_set.DeviceSet:
    stills = [torch.from_numpy(picture(190, 200, index)).permute(2, 0, 1) for index in range(3)]
    moving = torch.stack([torch.from_numpy(picture(120, 120, index)).permute(2, 0, 1) for index in range(9)])
    return device_set.DeviceSet(device_set.Material(stills, [moving] if clip else []), PATCH, torch.device("cpu"), seed)


def test_targets_belong_to_frames() -> None:
    """Reduced once more, by area, a target is what the frame shows: it is neither shifted nor turned."""
    data = windows(clip=True)
    batches = {"single": data.single(16), "clips": data.clip_windows(16), "moved": data.moved(16, 4)}
    for name, batch in batches.items():
        frames, target = batch.frames, batch.target
        small = torch.nn.functional.avg_pool2d(target, 4)
        center = frames[:, frames.shape[1] // 2]
        errors = {(dy, dx): (torch.roll(small, (dy, dx), (2, 3)) - center)[:, :, 2:-2, 2:-2].square().mean().item()
                  for dy in (-1, 0, 1) for dx in (-1, 0, 1)}
        assert min(errors, key=errors.get) == (0, 0), (name, errors)


def test_flow_leads_to_the_neighbours() -> None:
    """The neighbours, sampled along the flow, are the center frame."""
    data = windows(3)
    batch = data.moved(8, 0)
    flow = batch.flow[:, 1]
    warped = reference.warp(batch.frames[:, 1], flow)
    inside = (warped != 0).all(1, keepdim=True)
    moving = flow.abs().amax((1, 2, 3)) > 0.3
    aligned = ((warped - batch.frames[:, 2]) * inside).abs().mean((1, 2, 3))[moving]
    apart = ((batch.frames[:, 1] - batch.frames[:, 2]) * inside).abs().mean((1, 2, 3))[moving]
    assert moving.any() and aligned.mean() < 0.3 * apart.mean()


def test_the_same_seed_draws_the_same() -> None:
    first, again, other = (windows(seed).batch("all", 8, 0, 0, 0.5) for seed in (1, 1, 2))
    assert torch.equal(first.frames, again.frames) and torch.equal(first.flow, again.flow)
    assert not torch.equal(first.frames, other.frames)


def test_a_teacher_is_asked_where_it_sees_enough() -> None:
    """What it gets is the target reduced by a scaler: as much as wide blurs leave, less than narrow ones let through."""
    draw = degradations.Degrader(torch.device("cpu"), torch.Generator().manual_seed(1))
    shares = {sigma: device_set.teachable(draw.gaussians(8, sigma, sigma)) for sigma in (0.6, 2.5)}
    assert (shares[0.6] == 0).all() and (shares[2.5] == 1).all()
    scalers = device_set.teachable(draw.scalers(draw.lines[:3], (1, 1, 1), 8))
    assert (scalers == 1).all()


def test_a_teachers_answers_lie_where_the_target_does() -> None:
    asked = []

    def twice_as_bright(frames: np.ndarray) -> np.ndarray:
        asked.append(frames)
        return (2 * frames).repeat(4, 1).repeat(4, 2)

    coarse = torch.rand(3, 3, 6, 5) * 0.4 + 0.05
    target = coarse.repeat_interleave(4, 2).repeat_interleave(4, 3)
    blended = teacher.Teacher(twice_as_bright).blended(target, torch.tensor([0.0, 0.5, 1.0]))
    assert len(asked) == 1 and asked[0].shape == (2, 6, 5, 3)
    assert torch.equal(blended[0], target[0])
    small = torch.nn.functional.interpolate(target, scale_factor=0.25, mode="bicubic", antialias=True)
    answer = 2 * small.repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert (blended[2] - answer[2]).abs().max() <= 1.01 / 255
    assert (blended[1] - (target[1] + answer[1]) / 2).abs().max() <= 1.01 / 255


# ---- The training ----

def test_single_is_the_window_of_one_frame_repeated() -> None:
    torch.manual_seed(1)
    net = exportable.Trainee(ARCHITECTURE)
    torch.nn.init.normal_(net.tail.weight, std=0.1)
    frame = torch.rand(2, 3, 16, 20)
    still = net.restored(frame[:, None].repeat(1, 5, 1, 1, 1), torch.zeros(2, 4, 2, 16, 20))
    assert (device_training.restored_single(net, frame) - still).abs().max() < 1e-4
    device_training.restored_single(net, frame).sum().backward()
    moved = net.fusion.weight.grad.abs().amax((0, 2, 3)).view(5, -1).amax(1) > 0
    assert moved.tolist() == [False, False, True, False, False]


def test_trains_all_stages(material: Path, first: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "better.bin"
    status, out, errors = train(material, first, output, "--minutes", "9", "--steps", "120", "--rate", "0.05",
                                "--adam-rate", "4e-3", "--stages", "single:0.3,flow:0.6,windows:0.8,all:1",
                                "--quantised", "0.5")
    assert status == 0 and errors == "", errors
    assert "6 pictures, 0 clips, 4 coded windows on cpu" in out
    with open(output.with_suffix(".csv"), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    pictures = [float(row["picture"]) / float(row["bicubic"]) for row in rows if row["picture"]]
    flows = [float(row["flow"]) for row in rows if row["flow"]]
    assert len(rows) > 9 and len(flows) > 3
    assert np.mean(pictures[-5:]) < np.mean(pictures[:5])
    assert all(stage in out for stage in ("single:", "flow:", "windows:", "all:")) and "steps_per_second" in out
    tensors, metadata = model_file.read(output)
    assert metadata["steps"] == rows[-1]["step"] and metadata["name"] == "better" and "first" in metadata["init"]
    # still exact on flat colours, and the kernel network is as it was
    before = model_file.read(first)[0]
    assert all(np.array_equal(tensors[name], before[name]) for name in before if name.startswith("kernel_net."))
    net = reference.SelfBlindVSR.from_state_dict(tensors)
    flat = torch.tensor([0.2, 0.7, 0.4]).view(1, 1, 3, 1, 1).expand(1, 5, 3, 16, 16)
    with torch.no_grad():
        assert (net(flat) - flat[:, 0, :, :1, :1]).abs().max() < 1e-5


SIZES = "--features 12 --extra-blocks 1 --recons-blocks 2 --pyramid 4 6 --decoder 5 4 4 3 3 --refiner 4 4 4 4 3 3".split()


def test_begins_from_nothing(material: Path, first: Path, tmp_path: Path) -> None:
    """A network of the sizes that are asked for, the kernel network another model's; and continues."""
    output, common = tmp_path / "x.bin", (*SIZES, "--kernel-net-of", first, "--licence", "CC0", "--minutes", "9")
    status, _, errors = train(material, "new", output, *common, "--steps", "30", "--flow-rate", "1")
    assert status == 0 and errors == "", errors
    tensors, metadata = model_file.read(output)
    net = exportable.from_tensors(tensors)
    assert isinstance(net, exportable.Trainee)
    assert (net.arch.n_feat, net.arch.extra_blocks, net.arch.recons_blocks, net.arch.pyramid) == (12, 1, 2, (4, 6))
    others = model_file.read(first)[0]
    assert all(np.array_equal(tensors[name], others[name]) for name in others if name.startswith("kernel_net."))
    assert np.abs(tensors["upsample_layers.0.weight"]).max() > 0  # zeros before it has learnt something
    assert metadata["init"].startswith("new, kernel network of first (sha256 ") and metadata["licence"] == "CC0"
    assert metadata["training_data"] == material.name and metadata["phase"] == "center"
    status, out, errors = train(material, "new", output, *common, "--steps", "31")
    assert status == 0 and errors == "" and f"continuing from {tmp_path / 'x.pt'} at step 30" in out


def test_begins_with_a_kernel_network_of_its_own(material: Path, tmp_path: Path) -> None:
    """It says a Gaussian in the middle of the block, whatever the clip."""
    status, _, errors = train(material, "new", tmp_path / "x.bin", *SIZES, "--kernel-net", "8", "2", "4", "20", "--minutes",
                              "9", "--steps", "2")
    assert status == 0 and errors == "", errors
    tensors, metadata = model_file.read(tmp_path / "x.bin")
    assert metadata["init"] == "new"
    with torch.no_grad():
        blurs = exportable.from_tensors(tensors).kernel_net(torch.rand(2, 5, 3, 24, 24))[:, None]
    said = blur.moments(blurs[0].reshape(13, 13).numpy())
    assert said.sigma_x == pytest.approx(1.2, rel=0.1) and said.center_x == pytest.approx(1.5, abs=0.1)


@pytest.mark.parametrize("init, arguments, status, words", [
    ("first", ("--recons-blocks", "5"), 2, "has sizes of its own"),
    ("first", ("--kernel-net-of", "default"), 2, "has a kernel network of its own; only with --init new"),
    ("new", ("--features", "8"), 2, "--features 8: at least 12"),
    ("new", ("--kernel-net-of", "nonesuch"), 1, "model 'nonesuch': there is none of this name"),
    ("new", ("--kernel-net-of", "random"), 1, "has no kernel network"),
    ("nonesuch", (), 1, "model 'nonesuch': there is none of this name"),
])
def test_beginnings_that_are_refused(material: Path, first: Path, models, tmp_path: Path, init: str, arguments: tuple[str, ...],
                                     status: int, words: str) -> None:
    places = {"first": first, "random": models.random}
    got, _, errors = train(material, places.get(init, init), tmp_path / "x.bin", "--minutes", "9", "--steps", "2",
                           *(places.get(word, word) for word in arguments))
    assert got == status and words in errors and (status == 2 or errors.count("\n") == 1), errors
    assert not (tmp_path / "x.bin").exists()


def test_windows_leave_the_flow_as_it_is(material: Path, first: Path, tmp_path: Path) -> None:
    def repeated(frames: np.ndarray) -> np.ndarray:
        return frames.repeat(4, 1).repeat(4, 2)

    with mock.patch.object(peers, "available", lambda: {"span": repeated}):
        status, _, errors = train(material, first, tmp_path / "x.bin", "--minutes", "9", "--steps", "4", "--stages",
                                  "windows:1", "--fusion-rate", "3", "--teacher", "span")
    assert status == 0 and errors == "", errors
    before, after = (model_file.read(path)[0] for path in (first, tmp_path / "x.bin"))
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed and not any(name.startswith("flow_net.") for name in changed)
    with mock.patch.object(peers, "available", lambda: {}):
        status, _, errors = train(material, first, tmp_path / "y.bin", "--minutes", "9", "--teacher", "span")
    assert status == 1 and "--teacher span is not installed: pip install ncnn" in errors and errors.count("\n") == 1


def test_continues(material: Path, first: Path, tmp_path: Path) -> None:
    output = tmp_path / "x.bin"
    status, out, _ = train(material, first, output, "--minutes", "9", "--steps", "5")
    assert status == 0
    step = int(model_file.read(output)[1]["steps"])
    with mock.patch.object(device_training, "PART", 5000):
        status, out, _ = train(material, first, output, "--minutes", "9", "--steps", "9")
        assert status == 0 and f"continuing from {tmp_path / 'x.pt'} at step {step}" in out
    parts = json.loads((tmp_path / "x.pt").read_text())["parts"]
    assert len(parts) > 3 and all((tmp_path / name).stat().st_size <= 5000 for name in parts)
    assert {path.name for path in tmp_path.glob("x.pt.*")} == set(parts)  # those of before are gone
    assert int(model_file.read(output)[1]["steps"]) > step
    (tmp_path / parts[1]).unlink()
    status, out, errors = train(material, first, output, "--minutes", "9", "--steps", "11")
    assert status == 1 and errors.count("\n") == 1 and f"its part {parts[1]} is missing" in errors


def test_until_counts_from_now(material: Path, first: Path, tmp_path: Path) -> None:
    """An hour that was spent before does not shorten what is left."""
    output, state = tmp_path / "x.bin", tmp_path / "x.pt"
    assert train(material, first, output, "--minutes", "9", "--steps", "2")[0] == 0
    values = device_training.read_parts(state, torch.device("cpu"))
    device_training.write_parts(state, {**values, "spent": 3600.0})
    status, _, errors = train(material, first, output, "--until", time.time() + train_device.WRITING + 2)
    assert status == 0 and errors == "", errors
    assert int(model_file.read(output)[1]["steps"]) > values["step"]


def test_damaged_state(material: Path, first: Path, tmp_path: Path) -> None:
    assert train(material, first, tmp_path / "x.bin", "--minutes", "9", "--steps", "2")[0] == 0
    part = tmp_path / json.loads((tmp_path / "x.pt").read_text())["parts"][0]
    part.write_bytes(part.read_bytes()[:-1] + b"!")
    status, _, errors = train(material, first, tmp_path / "x.bin", "--minutes", "9", "--steps", "3")
    assert status == 1 and "its parts are damaged" in errors and errors.count("\n") == 1
    (tmp_path / "x.pt").write_text("no list")
    status, _, errors = train(material, first, tmp_path / "x.bin", "--minutes", "9", "--steps", "3")
    assert status == 1 and "it is not a list of parts" in errors and errors.count("\n") == 1


@pytest.mark.parametrize("arguments, status, words", [
    (("--stages", "single:0.5,fast:1"), 2, "'fast:1' is not one of"),
    (("--stages", "single:0.5,all:0.9"), 2, "the shares must rise, up to 1"),
    (("--coded", "4"), 2, "leave none of --batch 4"),
    (("--patch", "20"), 1, "the coded windows have patches of 16"),
    (("--init", "nothing.bin"), 1, "nothing.bin"),
    (("--material", "nowhere"), 1, "nowhere: no such folder"),
    (("--hold-out", "photo"), 1, "no photographs in there"),
])
def test_refusals(material: Path, first: Path, tmp_path: Path, arguments: tuple[str, ...], status: int,
                  words: str) -> None:
    got, _, errors = train(material, first, tmp_path / "x.bin", "--minutes", "9", "--steps", "2", *arguments)
    assert got == status and words in errors and (status == 2 or errors.count("\n") == 1)
    assert not (tmp_path / "x.bin").exists()


def test_a_model_of_another_kind_is_refused(material: Path, models, tmp_path: Path) -> None:
    status, _, errors = train(material, models.random, tmp_path / "x.bin", "--minutes", "9", "--steps", "2")
    assert status == 1 and "not a model that train.py or this program wrote" in errors and errors.count("\n") == 1


# ---- Packing ----

def test_pack(ffmpegs: list[FFmpeg], first: Path, tmp_path: Path) -> None:
    for index in range(4):
        Image.fromarray(picture(820, 840, index)).save(tmp_path / f"large_{index}.png")
    (tmp_path / "MANIFEST.tsv").write_text("file\tlicence\nlarge_1.png\tCC0\nother.png\tCC0\n")
    folder = tmp_path / "packed"
    status, out, errors = run(pack_material, tmp_path, "--output", folder, "--mebibytes", "2", "--windows", "10", "--patch",
                              PATCH, "--cache", tmp_path / "cache", "--ffmpeg", ffmpegs[0].folder / "ffmpeg")
    assert status == 0 and errors == "", errors
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    photographs = list(folder.glob("large_*.webp"))
    assert 0 < len(photographs) and size < 2 * (1 << 20) + 1000
    assert f"{len(photographs)} of 4 photographs, 16 coded windows" in out
    assert len(list((folder / CODED).iterdir())) == 2 * 16 + 1
    assert all(Image.open(path).size == (420, 410) for path in photographs)
    assert (folder / "MANIFEST.tsv").read_text() == "file\tlicence\nlarge_1.png\tCC0\n"
    status, out, errors = train(folder, first, tmp_path / "x.bin", "--minutes", "9", "--steps", "2")
    assert status == 0 and "16 coded windows" in out
    status, _, errors = run(pack_material, tmp_path, "--output", folder, "--cache", tmp_path / "cache")
    assert status == 1 and "not empty" in errors and errors.count("\n") == 1


def test_coded_windows_know_their_degradation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all kernels they were drawn with, sharpened: what the encoder does changes nothing of it."""
    monkeypatch.setattr(degradations, "SHARPENED", (0.5, 0.2, 0.8))
    monkeypatch.setattr(coded_windows, "through_codec", lambda frames, crf, ffmpeg: frames)
    data, kernels, amounts = windows(clip=True), [], []
    blurs, sharpened = data.draw.blurs, data.draw.sharpened
    monkeypatch.setattr(data.draw, "blurs", lambda count: kernels.append(blurs(count)) or kernels[-1])
    monkeypatch.setattr(data.draw, "sharpened", lambda frames: amounts.append(sharpened(frames)) or amounts[-1])
    frames, target, degradation = coded_windows.draw_coded(data, "ffmpeg")
    plain = modulation.response(torch.cat(kernels))
    expected = true_degradation.sharpened_response(plain, amounts[0][1])
    assert (expected - plain).abs().max() > 0.05
    assert frames.shape == (8, 5, PATCH, PATCH, 3) and target.shape == (8, 4 * PATCH, 4 * PATCH, 3)
    assert np.abs(degradation[:, :5] - expected.numpy()).max() < 1e-6 and (degradation[:, 5:] == [0, 1]).all()


def test_coded_windows_are_read(material: Path, tmp_path: Path) -> None:
    folder, device = tmp_path / CODED, torch.device("cpu")
    shutil.copytree(material / CODED, folder)
    frames, targets, stored = coded_windows.read_windows(folder, device)
    assert torch.allclose(stored, 0.1 * torch.arange(4)[:, None] + torch.arange(7) / 64, atol=1e-5)
    table = folder / coded_windows.DEGRADATIONS
    lines = table.read_text().splitlines(keepends=True)
    table.unlink()
    fitted = true_degradation.coded_degradation(frames[:, 2].float() / 255, targets.float() / 255)
    assert torch.equal(coded_windows.read_windows(folder, device)[2], fitted)
    for text, words in (("".join(lines[1:]), "no line for window 0000"), ("0000\t1\t2\n", "'0000\t1\t2': a number"),
                        (lines[0].replace("0.0", "x", 1), "7 values are needed")):
        table.write_text(text)
        with pytest.raises(ValueError, match="degradations.tsv: ") as refused:
            coded_windows.read_windows(folder, device)
        assert words in str(refused.value)


def test_pack_without_room(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (820, 840, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    status, _, errors = run(pack_material, tmp_path, "--output", tmp_path / "packed", "--mebibytes", "0.1", "--windows",
                            "0", "--cache", tmp_path / "cache")
    assert status == 1 and "no room for a photograph" in errors and errors.count("\n") == 1
