# SPDX-License-Identifier: LGPL-2.1-or-later
"""The PyTorch definition of the network, the degradation and the tail that training writes."""
from __future__ import annotations

import os
import pathlib
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
SHARED = pathlib.Path(os.environ.get("SBV_SHARED", ROOT.parent / "shared")) / "golden"

from lib import blur  # noqa: E402
from lib import model_file  # noqa: E402
from lib import models  # noqa: E402
from lib import quality  # noqa: E402
from lib import scalers  # noqa: E402

try:
    import torch
except ImportError:
    torch = None
else:
    import reference
    import exportable
    import modulation
    torch.set_num_threads(1)

needs_torch = pytest.mark.skipif(torch is None, reason="torch is not installed")

# of the goldens, which are fp32 results themselves: flow in pixels, and everything computed from it
LIMITS = {"flow": 2e-4}
LIMIT = 5e-4


def tensor(frames: np.ndarray) -> "torch.Tensor":
    return torch.from_numpy(frames.astype(np.float32) / 255).permute(0, 3, 1, 2)[None]


def stages_of(state: dict, frames: np.ndarray, degradation: "torch.Tensor | None" = None,
              **options: bool) -> dict[str, np.ndarray]:
    net = reference.SelfBlindVSR.from_state_dict(state, **options)
    with torch.no_grad():
        stages = net(tensor(frames), stages=True, degradation=degradation)
    stages["warped_0"] = stages.pop("warped")[:, 0]
    return {name: value[0].numpy() for name, value in stages.items()}


def check_goldens(folder: pathlib.Path, case: str, state: dict, degradation: "torch.Tensor | None" = None) -> None:
    stages = stages_of(state, np.load(folder / f"{case}_frames_u8.npy"), degradation)
    compared = 0
    for name, value in stages.items():
        path = folder / f"{case}_{name}.npy"
        if path.exists():
            golden = np.load(path)
            assert value.shape == golden.shape, name
            assert np.abs(value - golden).max() <= LIMITS.get(name, LIMIT), name
            compared += 1
    assert compared >= 2


@needs_torch
@pytest.mark.parametrize("case, network", [("odd", "six"), ("even", "three"), ("row", "three"), ("column", "three"),
                                           ("modulated", "modulated")])
def test_goldens(case: str, network: str) -> None:
    check_goldens(GOLDEN, case, model_file.read(str(GOLDEN / f"{network}.bin"))[0])


@needs_torch
@pytest.mark.parametrize("case, seed, layout", [("a", 1, "layout.tsv"), ("b", 2, "layout.tsv"),
                                                ("c", 2, "layout_small.tsv")])
def test_goldens_of_the_original_code(case: str, seed: int, layout: str) -> None:
    if not SHARED.is_dir():
        pytest.skip(f"no goldens of the original code in {SHARED}")
    sys.path.insert(0, str(SHARED))
    try:
        import make_weights
    finally:
        sys.path.remove(str(SHARED))
    check_goldens(SHARED, case, make_weights.weights(seed, layout))


@needs_torch
@pytest.mark.parametrize("option, stored", [({"warp_align": False}, "odd_recons_warp_false"),
                                            ({"resize_align": True}, "odd_recons_resize_true")])
def test_wrong_align_corners_shows(option: dict, stored: str) -> None:
    state = model_file.read(str(GOLDEN / "six.bin"))[0]
    wrong = stages_of(state, np.load(GOLDEN / "odd_frames_u8.npy"), **option)["recons"]
    assert np.abs(wrong - np.load(GOLDEN / f"{stored}.npy")).max() <= LIMIT
    difference = np.abs(wrong - np.load(GOLDEN / "odd_recons.npy"))
    assert difference.max() > 100 * LIMIT and difference.mean() > 2 * LIMIT


@needs_torch
def test_architecture_survives_the_round_trip() -> None:
    arch = reference.Architecture(n_feat=14, extra_blocks=2, recons_blocks=3, n_sequence=3, scale=2, pyramid=(4, 5),
                                  decoder=((5, 4, 3, 3, 2),), refiner=(3, 4, 5, 4, 3, 2, 2),
                                  kernel_net=reference.KernelWidths(6, 3, 5, 7, 4))
    net = reference.SelfBlindVSR(arch)
    assert reference.SelfBlindVSR.from_state_dict(net.state_dict()).arch == arch
    assert net(torch.rand(1, 3, 3, 10, 7)).shape == (1, 3, 20, 14)


@needs_torch
def test_published_layout() -> None:
    shapes = {name: tuple(value.shape) for name, value in reference.SelfBlindVSR().state_dict().items()}
    assert len(shapes) == 272
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 18_900_215


@needs_torch
def test_goldens_of_a_degradation() -> None:
    """What is estimated under the probe, and the stages under the estimate."""
    state = model_file.read(str(GOLDEN / "modulated.bin"))[0]
    net = reference.SelfBlindVSR.from_state_dict(state)
    frames = tensor(np.load(GOLDEN / "modulated_frames_u8.npy"))
    with torch.no_grad():
        features = net.consistency(frames)
        assert torch.equal(features, net.consistency(frames, net(frames, degradation=net.probe(1))))
        assert (features - net.consistency(frames, net(frames))).abs().max() > 0.01
        degradation = net.estimate(features)
        found = {"features": features, "degradation": degradation, "gains": net.gains(degradation, 1)}
    for name, value in found.items():
        assert np.abs(value[0].numpy() - np.load(GOLDEN / f"modulated_{name}.npy")).max() <= LIMIT, name
    check_goldens(GOLDEN, "adapted", state, degradation)
    change = np.abs(np.load(GOLDEN / "adapted_recons.npy") - np.load(GOLDEN / "modulated_recons.npy"))
    assert change.max() > 0.05 and change.mean() > 0.01


def errors_by_hand(picture: np.ndarray, frame: np.ndarray, line: np.ndarray) -> float:
    """The mean squared difference of a frame and a picture reduced with the kernel of a line, one pixel at a time."""
    _, height, width = frame.shape
    squares = []
    for y in range(height):
        for x in range(width):
            rows, columns = (np.clip(4 * at + np.arange(24) - 10, 0, 4 * size - 1) for at, size in ((y, height), (x, width)))
            taps = picture[:, rows][:, :, columns]
            squares.append((np.einsum("cij,i,j->c", taps, line, line) - frame[:, y, x]) ** 2)
    return float(np.mean(squares))


@needs_torch
def test_consistency_by_hand() -> None:
    rng = np.random.default_rng(7)
    frame, picture = rng.uniform(0, 1, (3, 3, 5)), rng.uniform(-0.3, 1.3, (3, 12, 20))
    distance = np.arange(24) - 11.5
    lines = [scalers.weights("bicubic", distance / 4), np.abs(distance) < 2, scalers.weights("bilinear", distance / 4),
             scalers.weights("lanczos", distance / 4)]
    lines += [np.exp(-distance ** 2 / (2 * sigma ** 2)) for sigma in (.4, .7, 1, 1.3, 1.6, 1.9, 2.2, 2.5, 2.8, 3.2, 3.6)]
    errors = np.array([errors_by_hand(picture.clip(0, 1), frame, line / line.sum()) for line in lines])
    level = np.log(errors.mean() + 1e-6)
    found = modulation.consistency(*(torch.from_numpy(x).float()[None] for x in (frame, picture)))[0].numpy()
    assert found == pytest.approx([*(np.log(errors + 1e-6) - level), level], abs=1e-4)


@needs_torch
def test_response_by_hand() -> None:
    """Of a Gaussian: that of the continuous one, near enough; of one longer one way the mean of both ways."""
    narrow, wide = modulation.lines((), (1.0, 2.0))
    kernels = torch.stack((torch.outer(narrow, narrow), torch.outer(narrow, wide)))
    frequencies = np.array([0.0625, 0.09375, 0.125, 0.1875, 0.25])
    expected = [np.exp(-2 * (np.pi * sigma * frequencies) ** 2) for sigma in (1.0, 2.0)]
    found = modulation.response(kernels).numpy()
    assert found[0] == pytest.approx(expected[0], abs=1e-4)
    assert found[1] == pytest.approx((expected[0] + expected[1]) / 2, abs=1e-4)


@needs_torch
def test_an_estimate_keeps_its_range() -> None:
    values = torch.tensor([[-1.0, 2, 0.5, 0.25, 0, -1, 1.5], [0, 0, 0, 0, 0, 2, -0.5]])
    limits = torch.tensor([[-0.3, 1.3, 0.5, 0.25, 0, 0, 1], [0, 0, 0, 0, 0, 2, 0]])
    assert torch.equal(modulation.limited(values), limits)


@needs_torch
def test_gains_fold_into_the_weights() -> None:
    """A modulated network under a degradation is the plain one whose outputs are multiplied with the gains."""
    state = model_file.read(str(GOLDEN / "modulated.bin"))[0]
    gains = np.load(GOLDEN / "modulated_gains.npy")
    convs = ["fusion_conv.0"] + [f"recons_net.{block}.conv{index}" for block in range(2) for index in (1, 2)]
    folded = {name: value for name, value in state.items() if not name.startswith(("modulation.", "degradation_net."))}
    for name, gain in zip(convs, gains, strict=True):
        folded[f"{name}.weight"] = folded[f"{name}.weight"] * gain[:, None, None, None]
        folded[f"{name}.bias"] = folded[f"{name}.bias"] * gain
    check_goldens(GOLDEN, "adapted", folded)


@needs_torch
def test_modulation_survives_the_round_trip() -> None:
    arch = reference.Architecture(n_feat=6, extra_blocks=1, recons_blocks=3, pyramid=(4, 5), decoder=((5, 4, 3, 3, 2),),
                                  refiner=(3, 4, 5, 4, 3, 2, 2), kernel_net=None, modulation=5, estimator=4)
    net = reference.SelfBlindVSR(arch)
    state = net.state_dict()
    assert reference.SelfBlindVSR.from_state_dict(state).arch == arch
    assert state["modulation.2.weight"].shape == (7 * 6, 5) and state["degradation_net.neutral"].shape == (7,)
    frames = torch.rand(1, 5, 3, 8, 8)
    with torch.no_grad():  # a new one has gains of 1
        assert torch.equal(net(frames), net(frames, degradation=torch.rand(1, 7)))
    for missing in ("modulation.1.bias", "degradation_net.neutral", "degradation_net.probe", "degradation_net.0.weight"):
        with pytest.raises((KeyError, RuntimeError), match=missing):
            reference.SelfBlindVSR.from_state_dict({name: value for name, value in state.items() if name != missing})
    with pytest.raises(ValueError, match="not modulated"):
        reference.SelfBlindVSR(reference.Architecture(n_feat=4, extra_blocks=0, recons_blocks=0, pyramid=(2, 2),
                                                      decoder=((2,) * 5,), refiner=(2,) * 7, kernel_net=None)
                               )(frames, degradation=torch.rand(1, 7))


def warp_by_hand(x: np.ndarray, flow: np.ndarray, zeros: bool) -> np.ndarray:
    """The pixel rule, one pixel at a time."""
    channels, height, width = x.shape
    result = np.zeros_like(x)
    for py in range(height):
        for px in range(width):
            at_x, at_y = px + flow[0, py, px], py + flow[1, py, px]
            value, cover = np.zeros(channels), 0.0
            for y in (np.floor(at_y), np.floor(at_y) + 1):
                for x_ in (np.floor(at_x), np.floor(at_x) + 1):
                    weight = (1 - abs(at_x - x_)) * (1 - abs(at_y - y))
                    inside = 0 <= x_ < width and 0 <= y < height
                    cover += weight * inside
                    if inside or not zeros:
                        value += weight * x[:, int(np.clip(y, 0, height - 1)), int(np.clip(x_, 0, width - 1))]
            result[:, py, px] = value * (cover >= 0.999)
    return result


@needs_torch
@pytest.mark.parametrize("height, width", [(5, 7), (1, 6), (6, 1), (1, 1)])
def test_warps_follow_the_pixel_rule(height: int, width: int) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, height, width)).astype(np.float32)
    # halves of pixels are far from the threshold of the mask, and 0 and 0.0005 are inside it
    flow = rng.choice([0, 0, 0.0005, 0.5, -0.5, 1, -1.5, 3], (2, height, width)).astype(np.float32)
    tensors = torch.from_numpy(x)[None], torch.from_numpy(flow)[None]
    assert np.abs(reference.warp(*tensors)[0].numpy() - warp_by_hand(x, flow, False)).max() < 1e-5
    assert np.abs(reference.backward_warp(*tensors)[0].numpy() - warp_by_hand(x, flow, True)).max() < 1e-5


@needs_torch
def test_expanded_tail_equals_the_direct_one() -> None:
    rng = torch.Generator().manual_seed(4)
    weight, bias = (torch.randn(*shape, generator=rng) * 0.1 for shape in ((48, 12, 3, 3), (48,)))
    x = torch.randn(1, 12, 5, 6, generator=rng)
    net = reference.SelfBlindVSR(reference.Architecture(n_feat=12, extra_blocks=0, recons_blocks=0, kernel_net=None))
    net.load_state_dict(exportable.expand_tail(weight, bias), strict=False)
    direct = torch.pixel_shuffle(torch.conv2d(x, weight, bias, padding=1), 4)
    with torch.no_grad():
        assert (net.tail(x) - direct).abs().max() < 1e-5


def small_trainee() -> "exportable.Trainee":
    torch.manual_seed(5)
    arch = reference.Architecture(3, 14, 2, 2, 5, 4, (4, 6), ((5, 4, 4, 3, 3),), (4, 4, 4, 4, 3, 3, 2), None)
    net = exportable.Trainee(arch)
    with torch.no_grad():
        net.tail.weight.normal_(0, 0.1)
        net.difference.copy_((net.filters() / exportable.FILTER_GRID).round() * exportable.FILTER_GRID)
        net.difference[:, :, 1, 1] -= net.difference.sum((2, 3))
    return net


@needs_torch
def test_exported_network_equals_the_trained_one() -> None:
    net = small_trainee()
    written = reference.SelfBlindVSR.from_state_dict(net.export())
    frames = torch.rand(1, 5, 3, 16, 20)
    with torch.no_grad():
        output = net.restored(frames)
        assert (written(frames) - output).abs().max() < 2e-5
        assert (output - reference.resize(frames[:, 2], 64, 80)).abs().max() > 0.01


@needs_torch
@pytest.mark.parametrize("colour", [(0.0, 0.0, 0.0), (1.0, 0.0, 0.5), (-0.1, 1.1, 0.3)])
@pytest.mark.parametrize("network", ["trained", *models.names()])
def test_flat_colours_come_back_exactly(network: str, colour: tuple) -> None:
    if network == "trained":
        state = small_trainee().export()
    else:
        state = model_file.read(models.find(network))[0]
    frames = torch.tensor(colour).view(1, 1, 3, 1, 1).expand(1, 5, 3, 9, 13).contiguous()
    with torch.no_grad():
        output = reference.SelfBlindVSR.from_state_dict(state)(frames)
    assert (output - frames[0, :1, :, :1, :1]).abs().max() < 0.02 / 255


def test_degradation_by_hand() -> None:
    # sigma so small that only the nearest pixels count: one of them top-left, four of equal weight in the center
    image = np.arange(64, dtype=np.uint8).reshape(8, 8)[:, :, None].repeat(3, 2)
    assert blur.gaussian_degrade(image, 0.1, "topleft")[..., 0].tolist() == [[0, 4], [32, 36]]
    # the mean of rows 1, 2 and columns 1, 2 is 13.5, which rounds to even
    assert blur.gaussian_degrade(image, 0.1, "center")[..., 0].tolist() == [[14, 18], [46, 50]]
    # an edge in the middle of the block: the nearest taps, at half a pixel, on both sides
    offsets, weights = blur.gaussian_taps(1.0, "center", 4)
    assert offsets.tolist() == list(range(-2, 6))
    assert weights == pytest.approx(np.exp(-(offsets - 1.5) ** 2 / 2) / np.exp(-(offsets - 1.5) ** 2 / 2).sum())
    edge = np.zeros((4, 4, 3), np.uint8)
    edge[:, 2:] = 254
    assert blur.gaussian_degrade(edge, 1.0, "center").ravel().tolist() == [127] * 3


def test_degradation_shifts_by_the_phase() -> None:
    ramp = np.arange(0, 160, 2, dtype=np.uint8)[None, :, None].repeat(8, 0).repeat(3, 2)
    inner = slice(4, -4)
    assert blur.gaussian_degrade(ramp, 1.2, "topleft")[0, inner, 0].tolist() == ramp[0, ::4, 0][inner].tolist()
    assert blur.gaussian_degrade(ramp, 1.2, "center")[0, inner, 0].tolist() == [
        v + 3 for v in ramp[0, ::4, 0][inner]]


def test_degradation_refuses_an_unknown_phase() -> None:
    with pytest.raises(ValueError, match="'middle'.*center, topleft"):
        blur.gaussian_degrade(np.zeros((4, 4, 3), np.uint8), 1.2, "middle")


def test_measures() -> None:
    rng = np.random.default_rng(6)
    a = rng.integers(0, 256, (40, 44, 3), dtype=np.uint8)
    assert quality.psnr(a, a) == float("inf")
    b = np.where(a < 255, a + 1, a - 1).astype(np.uint8)
    assert quality.psnr(a, b) == pytest.approx(20 * np.log10(255))
    c = a.copy()
    c[:4], c[:, -4:] = 0, 0
    assert quality.psnr(a, c) == float("inf")
    assert quality.ssim(a, a) == pytest.approx(1)
    assert quality.ssim(a, b) < 1
    assert abs(quality.ssim(a, rng.integers(0, 256, a.shape, dtype=np.uint8))) < 0.1


def test_filter_argument_is_quoted() -> None:
    assert scalers.filter_argument("plain.bin") == "plain.bin"
    assert scalers.filter_argument("a:b,c.bin") == "a\\\\:b\\,c.bin"
