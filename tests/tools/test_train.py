"""train.py: the loss terms by hand, twenty steps of each method, resuming, the files it writes, what it refuses.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import csv
import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

TOP = Path(__file__).resolve().parents[2]

from conftest import without_x264  # noqa: E402
from lib import blur  # noqa: E402
from lib import clips  # noqa: E402
from lib import model_file  # noqa: E402
from lib import plots  # noqa: E402

torch = pytest.importorskip("torch")

import losses  # noqa: E402
import reference  # noqa: E402
import train  # noqa: E402
import exportable  # noqa: E402
import training  # noqa: E402
import trainset  # noqa: E402
from selfsupervised import ClipWindows  # noqa: E402

torch.set_num_threads(1)
SIZES = ("--features 12 --extra-blocks 1 --recons-blocks 1 --pyramid 4 6 --decoder 5 4 4 3 3 --refiner 4 4 4 4 3 3 "
         "--kernel-net 8 2 4 20").split()
TINY = [*SIZES, *"--batch 4 --threads 1 --report 1 --precision fp32 --device cpu".split()]
SUPERVISED = ["--method", "supervised", "--patch", "16", "--flow-patch", "16", "--hold-out", "0", "--codec", "0"]
SELF = ["--method", "self", "--patch", "32"]


@pytest.fixture(scope="module")
def program(ffmpegs) -> str:
    return str(ffmpegs[0].folder / "ffmpeg")


@pytest.fixture(scope="module")
def material(program, tmp_path_factory) -> Path:
    """sharp.mkv, a moving pattern with edges, and low.mkv, made of it."""
    folder = tmp_path_factory.mktemp("material")
    y, x = np.mgrid[0:400, 0:400].astype(np.float32)
    waves = np.stack([np.sin(x / 3 + k) * np.cos(y / (4 + k)) + np.sign(np.sin(x / 17 - y / (23 + k)))
                      for k in range(3)], 2)
    picture = (127 + 60 * waves).astype(np.uint8)
    frames = np.stack([picture[2 * t:2 * t + 304, 3 * t:3 * t + 320] for t in range(9)])
    clips.write_clip(str(folder / "sharp.mkv"), frames, "25", program)
    clips.write_clip(str(folder / "low.mkv"), blur.gaussian_degrade(frames, 1.2), "25", program)
    return folder


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The program, in this process: PyTorch takes longer to start than such a run lasts. A model has sizes of its own."""
    output, errors = io.StringIO(), io.StringIO()
    words = [str(word) for word in arguments]
    if "--init" in words and words[:len(SIZES)] == SIZES:
        words = words[len(SIZES):]
    command = ["train.py", "--ffmpeg", program, *words]
    with mock.patch.object(sys, "argv", command), redirect_stdout(output), redirect_stderr(errors):
        status = train.main()
    return subprocess.CompletedProcess(command, status, output.getvalue(), errors.getvalue())


def trained(program: str, output: Path, *arguments: object) -> list[dict[str, float]]:
    """The rows of the curve of a run that must succeed."""
    done = run(program, *TINY, "--output", output, *arguments)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    with open(output.with_suffix(".csv"), newline="", encoding="utf-8") as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def falls(rows: list[dict[str, float]], name: str) -> bool:
    values = [row[name] for row in rows if name in row]
    return len(values) >= 10 and np.mean(values[-5:]) < np.mean(values[:5])


# ---- Loss terms ----

def blur_of(values: np.ndarray) -> "torch.Tensor":
    return torch.from_numpy(values.astype(np.float32))[None, None]


def test_blur_down_by_hand() -> None:
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (2, 3, 12, 8, 3), dtype=np.uint8)
    kernels = rng.random((2, 5, 5))
    tensor = torch.from_numpy(frames.astype(np.float32)).permute(0, 1, 4, 2, 3)
    low = losses.blur_down(tensor, torch.from_numpy(kernels.astype(np.float32))[:, None], 4)
    for n in range(2):
        wanted = blur.blur_down(frames[n], kernels[n], 4).transpose(0, 3, 1, 2)
        assert low[n].numpy() == pytest.approx(wanted, rel=1e-4)


def test_boundaries_by_hand() -> None:
    # 13 x 13: the central 9 x 9 is free; outside 30 * (1 - exp(-r^2 / (2 * 13^2)))
    kernel = np.zeros((13, 13))
    kernel[6, 6], kernel[2, 10], kernel[0, 0], kernel[6, 11] = 0.4, 0.3, 0.2, 0.1
    corner, side = 1 - np.exp(-72 / 338), 1 - np.exp(-25 / 338)
    wanted = 30 * (0.2 * corner + 0.1 * side) / 169
    assert losses.boundaries(blur_of(kernel), 0.0).item() == pytest.approx(wanted, rel=1e-5)
    assert losses.blur_terms(blur_of(kernel), 0.0)["boundaries"].item() == pytest.approx(0.5 * wanted, rel=1e-5)


def test_boundaries_follow_the_phase() -> None:
    # in phase center the free region is 4 pixels round 7.5; the largest Gaussian lies half a pixel from there
    kernel = np.zeros((13, 13))
    kernel[7, 7], kernel[4, 11], kernel[3, 7], kernel[12, 8] = 0.4, 0.3, 0.2, 0.1
    top = np.exp(-0.5 / 338)
    wanted = 30 * (0.2 * (1 - np.exp(-(4.5 ** 2 + 0.25) / 338) / top)
                   + 0.1 * (1 - np.exp(-(4.5 ** 2 + 0.25) / 338) / top)) / 169
    assert losses.boundaries(blur_of(kernel), 1.5).item() == pytest.approx(wanted, rel=1e-4)


def test_sparsity_by_hand() -> None:
    kernel = np.zeros((13, 13))
    kernel[3, 4], kernel[5, 6] = 0.64, 0.36
    term = losses.blur_terms(blur_of(kernel), 0.0)["sparsity"].item()
    assert term == pytest.approx(0.04 * (0.8 + 0.6) / 169, rel=1e-3)
    values = blur_of(kernel).requires_grad_()
    losses.sparsity(values).backward()  # the slope of the square root at 0 must not spoil the others
    assert torch.isfinite(values.grad).all() and values.grad[0, 0, 3, 4] > 0


def test_center_by_hand() -> None:
    kernel = np.zeros((13, 13))
    kernel[5, 6], kernel[7, 10] = 0.5, 0.5  # center of mass: row 6, column 8
    both = torch.cat((blur_of(kernel), blur_of(kernel * 2)))
    assert losses.center_of_mass(both).tolist() == [[6, 8], [6, 8]]
    assert losses.centering(both, 0.0).item() == pytest.approx((0 + 4) / 2)
    assert losses.blur_terms(both, 1.5)["center"].item() == pytest.approx((1.5 ** 2 + 0.5 ** 2) / 2)


def test_picture_terms_by_hand(program, material: Path) -> None:
    """The two differences of pictures, from the network's own stages, and the sum of all terms."""
    import argparse
    from selfsupervised import SelfSupervised
    torch.manual_seed(2)
    arch = reference.Architecture(3, 6, 1, 1, 3, 2, (4, 5), ((5, 4, 3, 3, 2),), (3, 4, 5, 4, 3, 2, 2),
                                  reference.KernelWidths(6, 3, 5, 7, 13))
    net = exportable.Plain(arch)
    clip = clips.read_clip(str(material / "low.mkv"), program)
    args = argparse.Namespace(device="cpu", phase="center", patch=16, batch=2, rate=1e-4)
    method = SelfSupervised(args, net, [clip], 0.01)
    frames = ClipWindows([clip], 3, 16, 7).draw(2)
    terms = method.losses(net, frames, 0.0)
    kernel = net.kernel_net(frames)
    down = losses.blur_down(frames, kernel, 2)
    restored = np.abs((net(down) - frames[:, 1]).detach().numpy()).mean()
    cycle = np.abs((losses.blur_down(net(frames), kernel, 2) - frames[:, 1]).detach().numpy()).mean()
    assert terms["restored"].item() == pytest.approx(restored, rel=1e-4)
    assert terms["cycle"].item() == pytest.approx(cycle, rel=1e-4)
    own = losses.blur_terms(kernel, 0.5)
    assert terms["sum"].item() == pytest.approx(restored + cycle + sum(v.item() for v in own.values()), rel=1e-4)
    # the second difference teaches the kernel, not the picture
    net.zero_grad()
    terms["cycle"].backward()
    assert net.recons_net[0].conv1.weight.grad is None
    assert net.kernel_net.fc_net[1].bias.grad.abs().max() > 0


def test_flicker_by_hand() -> None:
    """Ours differ by 4 and 1, a plain scaler's by 2 and 2; with a share of 0.5 the first pair has 3 too much."""
    zero = torch.zeros(2, 3, 4, 4)
    ours, plain = zero + torch.tensor([4.0, 1.0]).view(2, 1, 1, 1), zero + 2
    assert losses.flicker(zero, ours, plain, zero, 0.5).item() == pytest.approx(3 / 2)
    assert losses.flicker(ours, ours, plain, zero, 0.5).item() == 0


def test_knee_by_hand() -> None:
    a, b = torch.tensor([0.3, 0.0]), torch.tensor([0.0, 0.0])
    assert losses.charbonnier(a, b, 0.4).item() == pytest.approx((0.5 + 0.4) / 2)


def test_true_kernels_cost_nothing() -> None:
    sigma = torch.tensor([[1.2, 1.2], [2.0, 1.0]])
    truth = trainset.Blur(sigma, torch.tensor([0.0, 0.5])).weights()
    assert losses.blur_error(truth, truth).item() == 0
    assert losses.centering(truth[:1], 1.5).item() < 1e-6
    assert truth[0, 0].numpy() == pytest.approx(blur.gaussian_blur((1.2, 1.2), 0, "center", 4), abs=2e-3)
    away = torch.roll(truth, 1, 3)
    # the whole of a narrow kernel moved by a pixel: its first moment by one
    assert losses.blur_error(away, truth).item() > 0.05


# ---- Windows ----

def test_clip_windows_are_windows_of_the_clip() -> None:
    clip = np.arange(7 * 20 * 24 * 3, dtype=np.uint32).reshape(7, 20, 24, 3)
    clip = (clip * 2654435761 >> 24).astype(np.uint8)
    found = set()
    draw = ClipWindows([clip], 5, 8, 3)
    for window in (draw.draw(40) * 255).round().byte().permute(0, 1, 3, 4, 2).numpy():
        for turn in range(16):
            back = window.swapaxes(1, 2) if turn & 1 else window
            back = back[::-1] if turn & 2 else back
            back = back[:, ::-1] if turn & 4 else back
            back = back[:, :, ::-1] if turn & 8 else back
            places = [(t, y, x) for t in range(3) for y in range(13) for x in range(17)
                      if np.array_equal(clip[t:t + 5, y:y + 8, x:x + 8], back)]
            if places:
                found.add((turn, *places[0]))
                break
        else:
            pytest.fail("a window that is not in the clip")
    assert len({turn for turn, *_ in found}) > 8 and len({t for _, t, *_ in found}) == 3


def test_drawn_windows_obey_their_flow_and_kernel() -> None:
    """A window without noise: its center frame is the degradation of its target, frames that stand still are equal."""
    picture = np.random.default_rng(1).integers(0, 256, (240, 240, 3), dtype=np.uint8)
    picture = (blur.decimate(blur.decimate(picture.astype(np.float32), 0, np.arange(-3, 4), np.full(7, 1 / 7), 1), 1,
                             np.arange(-3, 4), np.full(7, 1 / 7), 1) * 3 - 255).clip(0, 255).astype(np.uint8)
    data = trainset.TrainingSet([picture], [], 16, 5)
    still = 0
    for _ in range(6):
        batch = data.draw(8, 0, 0, noise=False)
        low = losses.blur_down(batch.target, batch.blur, 4)
        inner = (low - batch.frames[:, 2])[..., 3:-3, 3:-3]
        assert inner.abs().max() < 0.02  # a kernel of 13 pixels has not all of the widest blur, and 8-bit rounding
        for frames, flow in zip(batch.frames, batch.flow):
            if not flow.any():
                still += 1
                assert torch.equal(frames[0], frames[2]) and torch.equal(frames[4], frames[2])
    assert 0 < still < 20


def test_noise_of_windows() -> None:
    picture = np.full((240, 240, 3), 128, np.uint8)
    quiet, noisy = (trainset.TrainingSet([picture], [], 16, 5, noisy=share).draw(40, 0, 0) for share in (0.0, 0.5))
    quiet, noisy = (batch.frames[:, 0].flatten(1).std(1) * 255 for batch in (quiet, noisy))
    assert quiet.max() < 0.6  # a colour between two code values is rounded to either
    assert 6 < (noisy > 0.6).sum() < 30 and 2 < noisy.max() < 3.2


def test_steady_windows_are_one_frame_apart() -> None:
    """The pairs share four frames, still scenes under noise, and have the target and the kernel of their scene."""
    picture = np.random.default_rng(1).integers(40, 200, (240, 240, 3), dtype=np.uint8)
    batch = trainset.TrainingSet([picture], [], 16, 5).draw(2, 0, 0, steady=3)
    assert batch.steady == 3 and len(batch.frames) == len(batch.target) == len(batch.blur) == 8
    assert len(batch.flow) == 2
    first, second = batch.frames[-6:-3], batch.frames[-3:]
    assert torch.equal(first[:, 1:], second[:, :-1])
    assert torch.equal(batch.target[-6:-3], batch.target[-3:])
    noise = (first[:, 0] - first[:, 1]).flatten(1).std(1) * 255 / 2 ** 0.5
    assert 0.3 < noise.min() and noise.max() < 2.2  # 8-bit rounding adds 0.29
    low = losses.blur_down(batch.target[-3:], batch.blur[-3:], 4)
    assert (low - first.mean(1))[..., 3:-3, 3:-3].abs().mean() < 0.01


def test_prefetch_keeps_the_order_and_hands_errors_over() -> None:
    counters = [iter(range(0, 100, 2)), iter(range(1, 100, 2))]
    batches = training.Prefetch([lambda c=c: next(c) for c in counters])
    assert [batches() for _ in range(20)] == list(range(20))
    batches.close()

    def broken() -> None:
        raise clips.ClipError("no clip")
    batches = training.Prefetch([broken])
    with pytest.raises(clips.ClipError, match="no clip"):
        batches()
    batches.close()


# ---- Whole runs ----

@pytest.fixture(scope="module")
def supervised(program, material: Path, tmp_path_factory) -> tuple[Path, list[dict[str, float]]]:
    """A model file and the rows of the curve of its training."""
    output = tmp_path_factory.mktemp("supervised") / "new.bin"
    return output, trained(program, output, *SUPERVISED, "--data", material / "sharp.mkv", "--steps", 20,
                           "--flow-share", 0, "--rate", "3e-3", "--licence", "CC0")


def test_supervised(supervised) -> None:
    output, rows = supervised
    assert falls(rows, "loss") and falls(rows, "kernel")
    # windows differ too much for twenty losses of pictures; these are the same ones before and after
    assert rows[-1]["psnr"] > rows[0]["psnr"] + 0.05
    tensors, metadata = model_file.read(output)
    assert metadata["phase"] == "center" and metadata["method"] == "supervised" and metadata["licence"] == "CC0"
    assert metadata["training_data"] == "1 files of sharp.mkv" and metadata["steps"] == "20"
    net = reference.SelfBlindVSR.from_state_dict(tensors)
    assert (net.arch.n_feat, net.arch.kernel_net.ksize) == (12, 13)


def test_the_curve_is_drawn(supervised) -> None:
    try:
        plots.require()
    except plots.PlotError as error:
        pytest.skip(str(error))
    assert supervised[0].with_suffix(".png").read_bytes()[:4] == b"\x89PNG"


def test_the_filter_computes_the_definition(program, ffmpeg, supervised, material: Path) -> None:
    output = supervised[0]
    net = reference.SelfBlindVSR.from_state_dict(model_file.read(output)[0])
    clip = clips.read_clip(str(material / "low.mkv"), program, limit=5)[:, :40, :48]
    raw = ffmpeg.output("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "48x40", "-i", "-", "-vf",
                        f"format=gbrp,selfblindvsr=model={output}:precision=fp32:scene=0", "-f", "rawvideo", "-pix_fmt",
                        "rgb24", "-", data=np.ascontiguousarray(clip).tobytes())
    filtered = np.frombuffer(raw, np.uint8).reshape(5, 160, 192, 3)[2]
    window = torch.from_numpy(clip.astype(np.float32) / 255).permute(0, 3, 1, 2)[None]
    with torch.no_grad():
        wanted = (net(window)[0].permute(1, 2, 0) * 255).clamp(0, 255).numpy()
    assert np.abs(filtered - wanted).max() < 0.52  # rounding, and single precision


def test_parts(program, material: Path, tmp_path: Path) -> None:
    """What is not a part keeps its weights."""
    arguments = (*SUPERVISED, "--data", material / "sharp.mkv", "--batch", 8, "--steady", 1, "--rate", "3e-3")
    start = tmp_path / "start.bin"
    trained(program, start, *arguments, "--steps", 1, "--flow-share", 0, "--dtype", "F32")
    before, _ = model_file.read(start)
    for part, other in (("picture", "kernel"), ("kernel", "picture")):
        output = tmp_path / f"{part}.bin"
        rows = trained(program, output, *arguments, "--steps", 3, "--init", start, "--parts", part, "--dtype", "F32")
        after, _ = model_file.read(output)
        moved = {name.split(".")[0] for name in before if not np.array_equal(before[name], after[name])}
        assert ("kernel_net" in moved, moved >= {"recons_net", "flow_net"}) == (part == "kernel", part == "picture")
        assert part in rows[-2] and other not in rows[-2] and ("flicker" in rows[-2]) == (part == "picture")


def test_flow_network_first(program, material: Path, tmp_path: Path) -> None:
    rows = trained(program, tmp_path / "flow.bin", *SUPERVISED, "--data", material / "sharp.mkv", "--steps", 20,
                   "--flow-share", 0.8, "--rate", "3e-3")
    assert falls(rows, "matching")
    assert "picture" not in rows[10] and "picture" in rows[-2]


@pytest.mark.parametrize("phase, offset", [("center", 1.5), ("topleft", 0.0)])
def test_self_supervised(program, material: Path, tmp_path: Path, phase: str, offset: float) -> None:
    rows = trained(program, tmp_path / "self.bin", *SELF, "--data", material / "low.mkv", "--steps", 20, "--phase",
                   phase, "--rate", "3e-3")
    assert falls(rows, "loss")
    # on the same windows before and after; the kernel that they are reduced by changes meanwhile
    gains = [row["psnr"] - row["bicubic"] for row in (rows[0], rows[-1])]
    assert gains[1] > gains[0] + 0.2 and rows[-1]["cycle_psnr"] > rows[0]["cycle_psnr"] + 0.2
    assert rows[-1]["kernel_offset"] == pytest.approx(offset, abs=0.1)
    tensors, metadata = model_file.read(tmp_path / "self.bin")
    assert metadata["phase"] == phase and "kernel_net.in_conv.weight" in tensors


@pytest.mark.parametrize("method, clip", [(SUPERVISED, "sharp.mkv"), (SELF, "low.mkv")], ids=["supervised", "self"])
def test_bfloat16(program, material: Path, tmp_path: Path, method: list[str], clip: str) -> None:
    if not train.multiplies_bf16("cpu"):
        pytest.skip("this processor, or this PyTorch, does not multiply in bfloat16")
    rows = trained(program, tmp_path / "x.bin", *method, "--data", material / clip, "--steps", 20, "--rate", "3e-3",
                   "--precision", "bf16")
    assert falls(rows, "loss")


def test_bfloat16_is_refused_where_it_is_emulated(program, material: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(train, "multiplies_bf16", lambda device: False)
    done = run(program, *TINY, "--output", tmp_path / "x.bin", *SELF, "--data", material / "low.mkv", "--steps", 1,
               "--precision", "bf16")
    assert done.returncode == 1 and "--precision bf16: cpu does not multiply in bfloat16" in done.stderr
    assert done.stderr.count("\n") == 1 and not (tmp_path / "x.bin").exists()


def test_adapting_keeps_the_form_and_the_phase(program, models, material: Path, tmp_path: Path) -> None:
    """From a file of this trainer, of another architecture without kernel network, and of phase topleft."""
    first = tmp_path / "first.bin"
    trained(program, first, *SELF, "--data", material / "low.mkv", "--steps", 1)
    trained(program, tmp_path / "next.bin", *SELF, "--data", material / "low.mkv", "--steps", 3, "--init", first,
            "--rate", "1e-3")
    tensors, metadata = model_file.read(tmp_path / "next.bin")
    assert isinstance(exportable.from_tensors(tensors), exportable.Trainee)
    assert metadata["init"].startswith("first (sha256 ") and metadata["training_data"] == "low.mkv; then low.mkv"
    before = model_file.read(first)[0]
    assert any(not np.array_equal(before[name], tensors[name]) for name in before if name.startswith("recons_net"))

    rows = trained(program, tmp_path / "plain.bin", *SELF, "--data", material / "low.mkv", "--steps", 2, "--init",
                   models.topleft)
    tensors, metadata = model_file.read(tmp_path / "plain.bin")
    assert metadata["phase"] == "topleft" and rows[-1]["kernel_offset"] == pytest.approx(0, abs=0.1)
    assert "kernel_net.in_conv.weight" in tensors and isinstance(exportable.from_tensors(tensors), exportable.Plain)


def test_resuming(program, material: Path, tmp_path: Path) -> None:
    output = tmp_path / "run.bin"
    common = (*SELF, "--data", material / "low.mkv")
    trained(program, output, *common, "--steps", 3)
    state = torch.load(tmp_path / "run.pt")
    assert state["step"] == 3 and state["identity"]["method"] == "self"
    rows = trained(program, output, *common, "--steps", 5)
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4, 5]
    assert model_file.read(output)[1]["steps"] == "5"
    done = run(program, *TINY, "--output", output, *common, "--features", 14)
    assert done.returncode == 1 and "run.pt: not a checkpoint of this network" in done.stderr
    done = run(program, *TINY, "--output", output, *common, "--phase", "topleft")
    assert done.returncode == 1 and "of another run, with phase center" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("dtype, size", [("F16", 2), ("F32", 4)])
def test_storage(program, material: Path, tmp_path: Path, dtype: str, size: int) -> None:
    trained(program, tmp_path / "x.bin", *SELF, "--data", material / "low.mkv", "--steps", 1, "--dtype", dtype)
    tensors, _ = model_file.read(tmp_path / "x.bin")
    data = size * sum(value.size for value in tensors.values())
    assert data < (tmp_path / "x.bin").stat().st_size < data + 40000


def test_plain_form_equals_the_definition() -> None:
    torch.manual_seed(3)
    arch = reference.Architecture(3, 8, 1, 1, 5, 4, (4, 5, 6), ((5, 4, 3, 3, 2),) * 2, (3, 4, 5, 4, 3, 2, 2), None)
    net = exportable.Plain(arch)
    frames = torch.rand(2, 5, 3, 18, 27)  # no multiples of 8: the flow is resized
    with torch.no_grad():
        assert (net.restored(frames) - net(frames)).abs().max() < 1e-5


@pytest.mark.parametrize("arguments, words", [
    (("--method", "self", "--data", "none.mkv"), "none.mkv: no such file or folder"),
    (("--method", "self", "--data", "text.mkv"), "Invalid data"),
    (("--method", "self", "--data", "short.mkv"), "short.mkv: 2 frames, at least 5 are needed"),
    (("--method", "self", "--data", "low.mkv", "--init", "none.bin"), "none.bin"),
    (("--method", "self", "--data", "low.mkv", "--init", "text.mkv"), "not a safetensors file"),
    (("--method", "self", "--data", "low.mkv", "--init", "other.bin"), "do not make a network"),
    (("--method", "self", "--data", "low.mkv", "--device", "cuda:7"), "finds no GPU"),
    (("--method", "self", "--data", "low.mkv", "--output", "nowhere/x.bin"), "no such folder"),
    (("--method", "supervised", "--codec", "0", "--data", "empty"), "no photographs and no clips"),
    (("--method", "supervised", "--codec", "0", "--data", "low.mkv"), "need a photograph of at least"),
    (("--method", "supervised", "--data", "sharp.mkv", "--patch", "20"), "--patch 20: must be a multiple of 16"),
    (("--method", "supervised", "--data", "sharp.mkv", "--phase", "topleft"), "only phase center"),
])
def test_refusals(program, material: Path, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    if "cuda:7" in arguments and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    for name in ("low.mkv", "sharp.mkv"):
        (tmp_path / name).write_bytes((material / name).read_bytes())
    (tmp_path / "text.mkv").write_text("no clip, no model")
    (tmp_path / "empty").mkdir()
    clips.write_clip(str(tmp_path / "short.mkv"), np.zeros((2, 32, 32, 3), np.uint8), "25", program)
    model_file.write(tmp_path / "other.bin", {"weight": np.zeros((1, 1), np.float32)}, {})
    output = [] if "--output" in arguments else ["--output", "x.bin"]
    places = [str(tmp_path / word) if "." in word or word in ("empty", "nowhere/x.bin") else word
              for word in (*arguments, *output)]
    done = run(program, *TINY[:-2], "--steps", 1, *places)
    assert done.returncode == 1 and done.stderr.startswith("train: ") and done.stderr.count("\n") == 1, done.stderr
    assert words in done.stderr
    assert not (tmp_path / "x.bin").exists()


@pytest.mark.parametrize("arguments, words", [
    (("--init", "x.bin", "--recons-blocks", "2"), "--recons-blocks: x.bin has sizes of its own"),
    (("--features", "11"), "--features 11: at least 12"),
    (("--pyramid", "16"), "--pyramid: 1 levels, 2 to 6 are possible"),
])
def test_wrong_sizes(program, arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        train.parse(["--method", "self", "--data", "a.mkv", "--output", "y.bin", *arguments])
    assert end.value.code == 2 and words in capsys.readouterr().err


def test_without_codec(program, material: Path, tmp_path: Path) -> None:
    done = run(without_x264(program, tmp_path), *TINY[:-2], "--steps", 1, "--method", "supervised", "--data",
               material / "sharp.mkv", "--patch", 16, "--output", tmp_path / "x.bin")
    assert done.returncode == 1 and "has no libx264" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "x.bin").exists()


def test_without_torch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('none here')\n")
    done = subprocess.run([sys.executable, str(TOP / "model/training/train.py"), "--help"], capture_output=True, text=True,
                          check=False, env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"})
    assert done.returncode == 1 and done.stderr.startswith("train: PyTorch is needed") and done.stderr.count("\n") == 1
