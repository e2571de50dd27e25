"""train_kernel_net.py, which makes a kernel network, and evaluate_kernel_net.py, which measures one.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

TOP = Path(__file__).resolve().parents[2]

from lib import clips  # noqa: E402
from lib import model_file  # noqa: E402

torch = pytest.importorskip("torch")

pytest.importorskip("PIL")
pytest.importorskip("matplotlib")

import degrade  # noqa: E402
import synthetic  # noqa: E402
import evaluate_kernel_net  # noqa: E402
import train_kernel_net  # noqa: E402
import kernel_net_init  # noqa: E402
import kernel_net_data  # noqa: E402
import reference  # noqa: E402
from lib.blur import gaussian_down, gaussian_blur, moments  # noqa: E402
from exportable import initialise_kernel_net  # noqa: E402

torch.set_num_threads(1)
PICTURE = np.kron(np.random.default_rng(1).integers(0, 256, (75, 75, 3)), np.ones((4, 4, 1))).astype(np.uint8)


@pytest.fixture(scope="module")
def program(ffmpegs) -> str:
    return str(ffmpegs[0].folder / "ffmpeg")


# ---- Material ----

def test_steepness() -> None:
    edge = np.zeros((64, 64, 3), np.uint8)
    edge[:, 20:] = 200
    assert kernel_net_data.steepness(edge) == 0.0  # one edge of 64 pixels is too few
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, np.arange(256) % 32 < 16] = 200
    assert kernel_net_data.steepness(stripes) == 1.0 == kernel_net_data.steepness(stripes.swapaxes(0, 1))
    taps = np.exp(-np.arange(-4, 5) ** 2 / 2)
    soft = np.apply_along_axis(np.convolve, 1, stripes.astype(np.float32), taps / taps.sum(), "same")
    assert 0.5 < kernel_net_data.steepness(soft.astype(np.uint8)) < kernel_net_data.LEAST_STEEPNESS  # a blur of one pixel


def test_split_holds_whole_files_out() -> None:
    files = [[np.full(1, i)] * 2 for i in range(7)]
    kept, held = kernel_net_data.split(files, 3)
    assert [int(file[0][0]) for file in held] == [1, 4] and [int(file[0][0]) for file in kept] == [0, 2, 3, 5, 6]
    assert kernel_net_data.split(files, 0) == kernel_net_data.split(files, 8) == (files, files)


def test_drawings_are_sharp_and_repeatable() -> None:
    pictures = [synthetic.drawing(seed, 200) for seed in range(12)]
    assert all(picture.shape == (200, 200, 3) and picture.std() > 3 for picture in pictures)
    assert np.mean([kernel_net_data.steepness(picture) >= kernel_net_data.LEAST_STEEPNESS for picture in pictures]) > 0.8
    assert np.array_equal(pictures[3], synthetic.drawing(3, 200))


@pytest.mark.parametrize("sigma, angle", [((1.2, 1.2), 0.0), ((0.8, 2.4), 0.0), ((2.0, 1.0), 0.5)])
def test_blurred_is_the_degradation(sigma: tuple[float, float], angle: float) -> None:
    """Of degrade.py, in phase center, inside the margin."""
    sharp = np.random.default_rng(3).uniform(0, 255, (156, 172)).astype(np.float32)
    axes = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    covariance = axes * np.square(sigma) @ axes.T if angle else np.diag(np.square(sigma))
    low = kernel_net_data.blurred(torch.from_numpy(sharp), covariance, 32).numpy()
    kernel = gaussian_blur(sigma, angle, "center", 4)
    half = len(kernel) // 2
    for row, column in ((0, 0), (5, 9), (31, 31)):
        y, x = (kernel_net_data.MARGIN + 4 * k - half for k in (row, column))
        if min(x, y) >= 0:
            window = sharp[y:y + len(kernel), x:x + len(kernel)]
            assert low[row, column] == pytest.approx((kernel * window).sum(), abs=0.5)
    if sigma[0] == sigma[1]:
        whole = gaussian_down(np.repeat(sharp[14:-14, 14:-14, None], 3, 2), sigma[0], "center", 4)[..., 0]
        assert np.abs(low[1:31, 1:31] - whole[1:31, 1:31]).max() < 0.5


def test_windows() -> None:
    """As many as fill the area, in pairs, none of them the same, and their mirrors; they differ with the seed alone."""
    lumas, covariances = kernel_net_data.Windows([[PICTURE]], [], 1).batch()
    side = lumas.shape[2]
    assert side in kernel_net_data.SIDES and lumas.shape == (len(covariances), 1, side, side)
    assert abs(len(lumas) * side ** 2 / kernel_net_data.AREA - 1) < 0.15
    assert lumas.min() >= 0 and lumas.max() <= 1 and lumas.std((2, 3)).min() > 0
    half = len(lumas) // 2
    assert torch.equal(lumas[half:], lumas[:half].flip(3)) and not torch.equal(lumas[0], lumas[1])
    assert torch.equal(covariances[half:], covariances[:half] * torch.tensor([[1, -1], [-1, 1]]))
    assert covariances[:half, 0, 1].abs().max() > 0
    widths = torch.linalg.eigvalsh(covariances).sqrt()
    assert kernel_net_data.SIGMA[0] - 1e-3 <= widths.min() and widths.max() <= kernel_net_data.SIGMA[1] + 1e-3
    assert torch.equal(lumas, kernel_net_data.Windows([[PICTURE]], [], 1).batch()[0])


@pytest.mark.parametrize("aliased", [0.0, 1.0])
def test_photographs_reduced_by_leaving_pixels_out(monkeypatch, aliased: float) -> None:
    """Of stripes one pixel wide nothing is left of every second pixel; what is too small is taken as it is."""
    monkeypatch.setattr(kernel_net_data, "ALIASED", aliased)
    stripes = np.repeat((np.arange(80) % 2 * 255).astype(np.uint8)[None, :, None], 80, 0).repeat(3, 2)
    windows = kernel_net_data.Windows([[stripes]], [], 1)
    assert (windows._sharp(40).std() > 0) == (aliased == 0)
    assert windows._sharp(41).std() > 0 and windows._sharp(41).shape == (41, 41, 3)


# ---- The network ----

def probe() -> kernel_net_init.Probe:
    """One whose answers differ from picture to picture, as a trained one's do."""
    torch.manual_seed(1)
    made = kernel_net_init.Probe()
    with torch.no_grad():
        for layer in (made.own, made.other):
            layer.weight.uniform_(-20, 20)
        made.other.weight[1] = -made.own.weight[1]
        for layer, weights in ((made.up, (0.4, -0.3)), (made.across, (-0.2, 0.5))):
            layer.weight.copy_(torch.tensor(weights))
        made.up.bias.fill_(-2)
    return made


def expanded(made: kernel_net_init.Probe, dtype: torch.dtype = torch.float32) -> reference.KernelNet:
    net = reference.KernelNet(15, reference.KernelWidths())
    state = kernel_net_init.expanded(made, {k: tuple(v.shape) for k, v in net.state_dict().items()})
    net.load_state_dict({name: value.to(dtype).float() for name, value in state.items()})
    return net


@pytest.mark.parametrize("height, width, gain", [(26, 39, 0.3), (40, 53, 0.1), (144, 176, 1.0)])
def test_the_network_computes_the_probe(height: int, width: int, gain: float) -> None:
    """From the center frame alone, borders and odd sizes included."""
    made = probe()
    generator = torch.Generator().manual_seed(2)
    frames = 0.5 + gain * (torch.rand(2, 5, 3, height, width, generator=generator) - 0.5)
    frames[1] = torch.nn.functional.avg_pool2d(frames[1], 3, 1, 1)
    with torch.no_grad():
        precision = made(frames[:, 2].mean(1, keepdim=True))
        kernels = expanded(made)(frames)[:, 0]
    assert (precision[0] - precision[1]).abs().max() > 1e-3 * precision.abs().max()
    assert (kernels - kernel_net_init.gaussians(precision)).abs().max() < 1e-4 * kernels.max()


def test_the_network_in_16_bits() -> None:
    """Of a file of F16: what keeps the border out does not swallow biases."""
    made = probe()
    with torch.no_grad():
        made.branch.second.bias.mul_(5)
        frames = torch.rand(1, 5, 3, 52, 65, generator=torch.Generator().manual_seed(4))
        fine, coarse = (expanded(made, dtype)(frames) for dtype in (torch.float32, torch.float16))
    assert (fine - coarse).abs().max() < 0.02 * fine.max()


def test_contracted_goes_back() -> None:
    made = probe()
    state = kernel_net_init.expanded(made, {k: tuple(v.shape) for k, v in expanded(made).state_dict().items()})
    back = kernel_net_init.contracted({name: value.half().float() for name, value in state.items()})
    for name, value in made.state_dict().items():
        assert (back.state_dict()[name] - value).abs().max() <= 1e-3 * value.abs().max()
    state["body1.0.body.0.weight"][3, 20] = 1
    with pytest.raises(ValueError, match="not made by train_kernel_net.py"):
        kernel_net_init.contracted(state)


def test_a_turned_picture_has_the_turned_blur() -> None:
    """By a quarter; one that is the same after two of them."""
    made = probe()
    luma = torch.rand(2, 1, 61, 47, generator=torch.Generator().manual_seed(5))
    luma = torch.nn.functional.avg_pool2d(luma + luma.rot90(2, (2, 3)), (1, 2), 1) / 2
    with torch.no_grad():
        xx, yy, xy = made(luma).T
        turned = made(luma.rot90(1, (2, 3))).T
    assert (xx - yy).abs().min() > 2e-3 and xy.abs().min() > 2e-3
    assert torch.allclose(turned, torch.stack((yy, xx, -xy)), atol=2e-4)  # A is taken to the right and down


def test_brightness_and_contrast() -> None:
    """The first does not count at all, the second next to nothing."""
    net = expanded(probe())
    frames = torch.rand(1, 5, 3, 52, 65, generator=torch.Generator().manual_seed(3)) / 4
    with torch.no_grad():
        kernel, brighter, fainter = net(frames), net(frames + 0.6), net(0.3 * frames)
        other = net(torch.rand(1, 5, 3, 52, 65) / 4)
    assert (kernel - brighter).abs().max() < 1e-3 * kernel.max()
    assert (kernel - fainter).abs().max() < 0.3 * kernel.max() and not torch.equal(kernel, other)


def test_gaussians_and_their_form() -> None:
    """What goes for a kernel everywhere: moments of blur.py, center of the block, errors of 0 for the truth."""
    covariance = torch.tensor([[[1.2, 0.3], [0.3, 0.8]], [[0.7, 0.0], [0.0, 0.7]]])
    inverse = torch.linalg.inv(covariance)
    precision = torch.stack((inverse[:, 0, 0], inverse[:, 1, 1], inverse[:, 0, 1]), 1)
    kernels = kernel_net_init.gaussians(precision)
    found = moments(kernels[0].numpy())
    wanted = np.sqrt(np.linalg.eigvalsh(covariance[0].numpy()))
    assert (found.sigma_y, found.sigma_x) == pytest.approx(wanted.tolist(), abs=0.01)
    assert found.angle == pytest.approx(np.degrees(0.5 * np.arctan2(2 * 0.3, 0.4)), abs=0.5)
    assert found.center_x == pytest.approx(1.5, abs=0.01) == found.center_y
    error, width = train_kernel_net.errors(kernels, covariance)
    assert error.abs().max() < 0.01 and error.shape == (2, 4) and width[1] == pytest.approx(0.5 * np.log(0.7), abs=1e-4)
    wider, _ = train_kernel_net.errors(kernel_net_init.gaussians(precision / 1.21), covariance)
    assert wider.flatten() == pytest.approx([np.log(1.1)] * 8, abs=0.02)


@pytest.mark.parametrize("straight", [0.0, 1.0])
def test_what_training_starts_with_tells_directions(monkeypatch, straight: float) -> None:
    monkeypatch.setattr(kernel_net_data, "LONG", 1)
    monkeypatch.setattr(kernel_net_data, "STRAIGHT", straight)
    monkeypatch.setattr(kernel_net_data, "SIDES", (64,))
    torch.manual_seed(1)
    windows = kernel_net_data.Windows([[synthetic.drawing(seed, 440) for seed in range(4)]], [], 1)
    lumas, covariances = (torch.cat(x) for x in zip(*(windows.batch() for _ in range(2))))
    with torch.no_grad():
        xx, yy, xy = kernel_net_init.Probe()(lumas).T
    said = yy - xx if straight else -xy  # of the inverse
    true = covariances[:, 0, 0] - covariances[:, 1, 1] if straight else covariances[:, 0, 1]
    assert np.corrcoef(said.numpy(), true.numpy())[0, 1] > 0.4


def test_training_finds_widths(monkeypatch) -> None:
    """A few steps on a few pictures tell sharp from soft, and across from down."""
    monkeypatch.setattr(kernel_net_data, "SIDES", (48,))
    for name, value in (("AREA", 12 * 48 ** 2), ("LONG", 0.6), ("STRAIGHT", 1), ("NOISY", 0), ("JPEG", 0),
                        ("SHARPENED", 0)):
        monkeypatch.setattr(kernel_net_data, name, value)
    monkeypatch.setattr(train_kernel_net, "WARM", 10)
    torch.manual_seed(1)
    stills = [[synthetic.drawing(seed, 300) for seed in range(3)]]
    made = kernel_net_init.Probe()
    train_kernel_net.train(made, kernel_net_data.Windows(stills, [], 1), 300, 2e-3)
    lumas, covariances = (torch.cat(x) for x in zip(*(kernel_net_data.Windows(stills, [], 2).batch() for _ in range(4))))
    with torch.no_grad():
        error, width = train_kernel_net.errors(kernel_net_init.gaussians(made(lumas)), covariances)
    assert np.corrcoef((error.mean(1) + width).numpy(), width.numpy())[0, 1] > 0.8
    true = 0.5 * (covariances[:, 0, 0] / covariances[:, 1, 1]).log()
    assert np.corrcoef((error[:, 0] - error[:, 1] + true).numpy(), true.numpy())[0, 1] > 0.6


# ---- default.bin ----

@pytest.mark.parametrize("sigma", evaluate_kernel_net.SIGMAS)
def test_default_model_tells_widths(sigma: float) -> None:
    """Of drawings that it was not trained on, to 15 % on average, whatever their contrast. The narrowest, a fifth of a
    sample, hardly shows beside what a pixel of a drawing averages itself."""
    net = reference.SelfBlindVSR.from_state_dict(model_file.read(TOP / "model/default.bin")[0])
    found = []
    for seed, gain in enumerate((1.0, 0.5, 0.25, 1.0, 0.5, 0.25)):
        sharp = synthetic.drawing(10 ** 6 + seed, 440).astype(np.float32)
        low = gaussian_down(gain * sharp + 60 * (1 - gain), sigma, "center", 4)
        window = np.broadcast_to(low.round().clip(0, 255), (5, *low.shape))
        found.append(np.mean(moments(evaluate_kernel_net.blurs(net, window, 1)[0])[:2]))
    assert np.exp(np.mean(np.log(found))) == pytest.approx(sigma, rel=0.15 if sigma > 0.8 else 0.3)
    assert np.std(np.log(found)) < 0.25


@pytest.mark.parametrize("angle", [0, 45, 90, 135])
def test_default_model_tells_directions(angle: int) -> None:
    """Of a blur twice as long one way: which way, and that it is."""
    net = reference.SelfBlindVSR.from_state_dict(model_file.read(TOP / "model/default.bin")[0])
    along, difference = np.radians(angle), []
    for seed in range(6):
        sharp = synthetic.drawing(10 ** 6 + seed, 440).astype(np.float32)
        chain = degrade.Degradation("gaussian", (2.2, 1.1), angle, "center", 4, 0.0, None)
        low = np.stack(list(chain.apply(sharp[None].round().astype(np.uint8), "")))
        kernel = evaluate_kernel_net.blurs(net, low.repeat(5, 0), 1)
        xx, yy, xy = train_kernel_net.moments(torch.from_numpy(kernel))[0]
        difference.append((xx - yy) / 2 * np.cos(2 * along) + xy * np.sin(2 * along))
    assert np.mean(difference) > 0.5 * (2.2 ** 2 - 1.1 ** 2) / 2


# ---- A network that is asked ----

@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A model whose kernel network says a Gaussian of sigma 1.2 of everything."""
    torch.manual_seed(2)
    arch = reference.Architecture(3, 4, 1, 1, 5, 4, (4, 4), ((4,) * 5,), (4,) * 6 + (2,),
                                  reference.KernelWidths(4, 2, 3, 6, 13))
    net = reference.SelfBlindVSR(arch)
    initialise_kernel_net(net.kernel_net, 1.2, 1.5)
    with torch.no_grad():
        net.kernel_net.fc_net[1].weight.zero_()
    path = tmp_path_factory.mktemp("model") / "says12.bin"
    model_file.write(str(path), {k: v.numpy() for k, v in net.state_dict().items()}, {"phase": "center"}, dtype="F32")
    return path


@pytest.mark.parametrize("sigma", [(1.5, 0.8), (0.8, 1.5)])
def test_widths_are_compared_by_size(sigma: tuple[float, float]) -> None:
    """Whichever axis is the longer."""
    axis = np.arange(13) - 7.5
    kernel = np.exp(-0.5 * ((axis / sigma[0]) ** 2 + (axis[:, None] / sigma[1]) ** 2))
    row = evaluate_kernel_net.compared(kernel[None] / kernel.sum(), sigma)
    assert row["sigma"] == [1.5, 0.8] and row["error"] == pytest.approx([0, 0], abs=0.01)
    assert abs(row["angle"]) == pytest.approx(0 if sigma[0] > sigma[1] else 90, abs=0.1)


@pytest.mark.parametrize("angle", [-70, -30, 30, 70])
def test_the_direction_is_that_of_the_longer(angle: int) -> None:
    row = evaluate_kernel_net.compared(gaussian_blur((2.0, 1.0), np.radians(angle), "center", 4)[None], (2.0, 1.0))
    assert row["angle"] == pytest.approx(angle, abs=0.5)


def test_estimates(program: str, model: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    sharp = tmp_path / "sharp.mkv"
    clips.write_clip(str(sharp), np.stack([PICTURE[k:k + 98, :121] for k in range(7)]), "25", program)
    command = ["evaluate_kernel_net.py", "--hr", str(sharp), "--model", str(model), "--windows", "2", "--ffmpeg", program]
    monkeypatch.setattr(sys, "argv", command + ["--sigma", "1.2", "0.8", "2.4,1.2", "--json", str(tmp_path / "x.json")])
    assert evaluate_kernel_net.main() == 0
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
    tensors, metadata = model_file.read(model)
    model_file.write(str(no_kernel), {k: v for k, v in tensors.items() if "kernel_net" not in k}, metadata, dtype="F32")
    for clip, path, words in ((short, model, "short.mkv: 4 frames, at least 5 are needed"),
                              (short, no_kernel, "none.bin: has no kernel network"),
                              (tmp_path / "no.mkv", model, "no.mkv")):
        monkeypatch.setattr(sys, "argv", ["evaluate_kernel_net.py", "--hr", str(clip), "--model", str(path), "--ffmpeg", program])
        assert evaluate_kernel_net.main() == 1
        error = capsys.readouterr().err
        assert error.startswith("evaluate_kernel_net: ") and words in error and error.count("\n") == 1


def test_only_the_kernel_network_is_replaced(program: str, tmp_path: Path, monkeypatch, capsys) -> None:
    still = tmp_path / "still.png"
    clips.write_clip(str(still), PICTURE[None], "1", program)
    for module in (train_kernel_net, kernel_net_data):
        monkeypatch.setattr(module, "SIDES", (40,))
    monkeypatch.setattr(kernel_net_data, "AREA", 4 * 40 ** 2)
    monkeypatch.setattr(train_kernel_net, "CHECKS", 1)
    before, metadata = model_file.read(TOP / "model/default.bin")
    monkeypatch.setattr(sys, "argv", ["train_kernel_net.py", "--data", str(still), "--init", str(TOP / "model/default.bin"),
                                      "--output", str(tmp_path / "x.bin"), "--steps", "2", "--drawings", "1",
                                      "--threads", "1", "--ffmpeg", program])
    assert train_kernel_net.main() == 0
    sys.argv += ["--resume", "--init", str(tmp_path / "x.bin"), "--rate", "1e-9"]
    assert train_kernel_net.main() == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["trained on", "held out"] * 2
    after, written = model_file.read(tmp_path / "x.bin")
    assert written == metadata and set(after) == set(before)
    for name, value in before.items():
        assert after[name].shape == value.shape
        assert np.array_equal(after[name], value) or name.startswith("kernel_net.")
    assert np.count_nonzero(after["kernel_net.body2.0.body.3.conv_du.0.weight"]) == 4 * kernel_net_init.REST


def test_what_was_learnt_is_kept_at_an_interrupt(program: str, tmp_path: Path, monkeypatch) -> None:
    def interrupted(probe, windows, steps, highest, keep) -> None:
        probe.branch.second.bias.data.fill_(0.25)
        keep()
        raise KeyboardInterrupt

    still = tmp_path / "still.png"
    clips.write_clip(str(still), PICTURE[None], "1", program)
    for module in (train_kernel_net, kernel_net_data):
        monkeypatch.setattr(module, "SIDES", (40,))
    monkeypatch.setattr(train_kernel_net, "train", interrupted)
    monkeypatch.setattr(sys, "argv", ["train_kernel_net.py", "--data", str(still), "--init", str(TOP / "model/default.bin"),
                                      "--output", str(tmp_path / "x.bin"), "--drawings", "1", "--threads", "1",
                                      "--ffmpeg", program])
    assert train_kernel_net.main() == 130
    state = {name[len("kernel_net."):]: torch.from_numpy(value.astype(np.float32))
             for name, value in model_file.read(tmp_path / "x.bin")[0].items() if name.startswith("kernel_net.")}
    assert kernel_net_init.contracted(state).branch.second.bias.tolist() == [0.25] * kernel_net_init.HALF


@pytest.mark.parametrize("init, words", [("narrow", "has not the widths 64, 4, 32, 1000"), ("none", "none.bin")])
def test_kernelfit_refuses(program: str, model: Path, tmp_path: Path, monkeypatch, capsys, init: str, words: str) -> None:
    path = model if init == "narrow" else tmp_path / "none.bin"
    monkeypatch.setattr(sys, "argv", ["train_kernel_net.py", "--data", str(tmp_path), "--init", str(path), "--output",
                                      str(tmp_path / "x.bin"), "--threads", "1", "--ffmpeg", program])
    assert train_kernel_net.main() == 1
    error = capsys.readouterr().err
    assert error.startswith("train_kernel_net: ") and words in error and error.count("\n") == 1
