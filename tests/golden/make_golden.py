#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Make the golden tensors beside this file: python3 tests/golden/make_golden.py

Tiny networks with seeded random weights, small windows, and every stage of the PyTorch definition on them. The
pictures mean nothing, the numbers do. The weights are scaled so that every branch is exercised (the script refuses to
write goldens where that fails): the flow is a few pixels long, warps leave the frame, cost volumes go negative. And no
warp mask hangs on the last bit of a position: a float64 run gives the same.

    six.bin    x4, six pyramid levels, with a kernel network, stored as F16
    three.bin  x2, three pyramid levels, no kernel network, stored as F32
    modulated.bin  x4, three pyramid levels, modulated by the degradation, stored as F16
    odd        six.bin on 21 x 27 (height x width): resized for the flow; also the picture with align_corners wrong in
               the warps (recons_warp_false) and in the resizes (recons_resize_true)
    even       three.bin on 16 x 24: a multiple of 8, nothing is resized for the flow
    row        three.bin on 1 x 13, column: on 11 x 1: the pixel rule of the warps where the image is one pixel wide
    modulated  modulated.bin on 18 x 22 under its neutral degradation; also what is estimated of it: the features under
               the probe (modulated_features, 16), the degradation (modulated_degradation, 7) and the gains that it makes
               (modulated_gains, (1 + 2 blocks) x channels)
    adapted    modulated.bin on the same frames under that degradation

<case>_<stage>.npy, float32 without the batch axis: flow, 4 x 2 x h x w from the center to frames 0, 1, 3, 4, in pixels,
x first; feat_center; warped_0; fusion; recons_feat; recons, unclamped; kernel. <case>_frames_u8.npy: 5 x h x w x 3.
"""
from __future__ import annotations

import argparse
import pathlib
import sys
from typing import Optional

import numpy as np
import torch

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "model" / folder) for folder in ("tools", "training")]

from lib import model_file  # noqa: E402
from reference import Architecture, KernelWidths, SelfBlindVSR, correlate, resize  # noqa: E402

# architecture, seed, gain of the layers that emit a flow, sample format
NETWORKS = {
    "six": (Architecture(n_feat=8, extra_blocks=1, recons_blocks=2, scale=4, pyramid=(4, 4, 5, 6, 6, 7),
                         decoder=((5, 4, 4, 3, 3),) * 5, refiner=(4, 4, 4, 4, 3, 3, 2),
                         kernel_net=KernelWidths(8, 2, 4, 12, 5)), 15, 0.05, "F16"),
    "three": (Architecture(n_feat=6, extra_blocks=2, recons_blocks=1, scale=2, pyramid=(4, 6, 8),
                           decoder=((5, 5, 4, 4, 3), (6, 5, 5, 4, 4)), refiner=(5, 5, 4, 4, 3, 3, 2), kernel_net=None),
              12, 1.5, "F32"),
    "modulated": (Architecture(n_feat=7, extra_blocks=1, recons_blocks=2, scale=4, pyramid=(4, 5, 6),
                               decoder=((5, 4, 4, 3, 3),) * 2, refiner=(4, 4, 4, 4, 3, 3, 2), kernel_net=None,
                               modulation=9, estimator=6), 12, 1.0, "F16"),
}
CASES = {"odd": ("six", 21, 27), "even": ("three", 16, 24), "row": ("three", 1, 13), "column": ("three", 11, 1),
         "modulated": ("modulated", 18, 22)}
NEUTRAL = np.array([0.93, 0.85, 0.74, 0.53, 0.3, 0.5, 0.4], np.float32)  # a degradation of the middle
PROBE = np.array([0.55, 0.26, 0.09, 0.01, 0.0, 0.1, 0.2], np.float32)      # a wide blur
STAGES = ("flow", "feat_center", "warped_0", "fusion", "recons_feat", "recons", "kernel")


def gain(name: str, flow_gain: float) -> float:
    """Of a layer's weights, relative to the deviation that keeps the size of activations."""
    if ".conv2." in name:
        return 0.3
    if "moduleUp" in name:
        return 0.5
    if name.startswith("flow_net"):
        emits_flow = ("moduleSix.0" in name or "moduleMain.12" in name) and "Extractor" not in name
        return flow_gain if emits_flow else 1.3
    if name.startswith("modulation.2"):
        return 0.15
    if name.startswith("degradation_net"):
        return 0.35
    return 0.6 if name.startswith(("upsample_layers", "out_conv")) else 1.0


def weights(arch: Architecture, seed: int, flow_gain: float) -> dict[str, np.ndarray]:
    """Random weights from NumPy's frozen MT19937 generator, tensor by tensor in the order of their names."""
    rng = np.random.RandomState(seed)
    result = {}
    for name, tensor in sorted(SelfBlindVSR(arch).state_dict().items()):
        if name == "degradation_net.probe":
            continue  # it is set below
        shape = tuple(tensor.shape)
        values = rng.standard_normal(shape)
        if len(shape) == 1:
            values *= 0.02
        else:
            fan_in = shape[0] * 4 if "moduleUp" in name else int(np.prod(shape[1:]))
            values *= gain(name, flow_gain) * np.sqrt(2.0 / fan_in)
            if "moduleExtractor" in name and name.endswith(".4.weight"):
                # filters that sum to zero, at full strength: features, and so cost volumes, of both signs
                values = 1.5 * (values - values.mean((1, 2, 3), keepdims=True))
        result[name] = values.astype(np.float32)
    if arch.modulation:
        result["degradation_net.neutral"], result["degradation_net.probe"] = NEUTRAL.copy(), PROBE.copy()
        result["degradation_net.1.bias"] += NEUTRAL
    return result


def window(height: int, width: int, seed: int) -> np.ndarray:
    """Five frames of a smooth random texture that moves, with a little noise."""
    rng = np.random.RandomState(seed)
    coarse = rng.uniform(0, 255, (height // 3 + 8, width // 3 + 8, 3))
    texture = np.repeat(np.repeat(coarse, 3, 0), 3, 1)
    texture = (texture[:-2] + texture[1:-1] + texture[2:]) / 3
    texture = (texture[:, :-2] + texture[:, 1:-1] + texture[:, 2:]) / 3
    frames = [texture[2 + t:2 + t + height, 1 + 2 * t:1 + 2 * t + width] for t in range(5)]
    noisy = np.stack(frames) + rng.normal(0, 4, (5, height, width, 3))
    return np.rint(noisy).clip(0, 255).astype(np.uint8)


def tensor(frames: np.ndarray, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2)[None].to(dtype) / 255


def run(state: dict[str, np.ndarray], frames: np.ndarray, dtype: torch.dtype = torch.float32,
        degradation: Optional[np.ndarray] = None, **options: bool) -> dict[str, np.ndarray]:
    """Every stage, by the name it is stored under."""
    net = SelfBlindVSR.from_state_dict(state, **options).to(dtype)
    with torch.no_grad():
        stages = net(tensor(frames, dtype), stages=True,
                     degradation=None if degradation is None else torch.from_numpy(degradation)[None].to(dtype))
    stages["warped_0"] = stages.pop("warped")[:, 0]
    return {name: stages[name][0].numpy() for name in STAGES if name in stages}


def estimate(state: dict[str, np.ndarray], frames: np.ndarray, dtype: torch.dtype = torch.float32) -> dict[str, np.ndarray]:
    """What a modulated network estimates of a window, by the name it is stored under."""
    net = SelfBlindVSR.from_state_dict(state).to(dtype)
    with torch.no_grad():
        features = net.consistency(tensor(frames, dtype))
        degradation = net.estimate(features)
        values = {"features": features, "degradation": degradation, "gains": net.gains(degradation, 1)}
    return {name: value[0].numpy() for name, value in values.items()}


def check_estimate(state: dict[str, np.ndarray], frames: np.ndarray, found: dict[str, np.ndarray],
                   change: np.ndarray) -> None:
    """Refuses an estimate that the picture, by its change, hardly depends on."""
    exact = estimate(state, frames, torch.float64)
    error = max(float(np.abs(found[name] - exact[name]).max()) for name in found)
    least, most = float(found["gains"].min()), float(found["gains"].max())
    largest = float(np.abs(change).max())
    shown = " ".join(f"{v:.2f}" for v in found["degradation"])
    print(f"adapted: degradation {shown}, gains {least:.2f} to {most:.2f}, recons "
          f"changes by up to {largest:.3f}, {error:.0e} from float64")
    inner = 0.1 < found["degradation"][5] and 0.1 < found["degradation"][6] < 0.9
    if not inner or least < 0.4 or most > 1.6 or most - least < 0.5 or largest < 0.02 or error > 2e-4:
        sys.exit("make_golden: adapted: does not exercise the modulation")


def check(name: str, state: dict[str, np.ndarray], frames: np.ndarray, stages: dict[str, np.ndarray],
          degradation: Optional[np.ndarray] = None) -> None:
    """Refuses a case that would not exercise what it is there for."""
    length = float(np.abs(stages["flow"]).mean())
    net = SelfBlindVSR.from_state_dict(state)
    step = 2 ** len(net.arch.pyramid)
    height, width = (-(-n // step) * step for n in frames.shape[1:3])
    extractor = net.flow_net.moduleNetwork.moduleExtractor
    with torch.no_grad():
        levels = extractor(resize(torch.from_numpy(frames.astype(np.float32) / 255).permute(0, 3, 1, 2), height, width))
        negative = float(np.mean([(correlate(x[2:3], x[0:1]) < -1e-3).float().mean() for x in levels[1:]]))
    outside = float((stages["warped_0"] == 0).all(0).mean())
    exact = run(state, frames, torch.float64, degradation)
    error = max(float(np.abs(stages[stage] - exact[stage]).max()) for stage in stages)
    print(f"{name}: mean |flow| {length:.2f} pixels, {100 * outside:.0f} % warped from outside, "
          f"{100 * negative:.0f} % of a cost volume negative, recons {stages['recons'].std():.3f}, "
          f"{error:.0e} from float64")
    one_pixel = 1 in frames.shape[1:3]  # any flow across leaves such a frame
    long_enough = (0.2 if one_pixel else 1) < length < 8
    if not long_enough or not (one_pixel or 0.01 < outside < 0.9) or negative < 0.005 or error > 5e-5:
        sys.exit(f"make_golden: {name}: does not exercise the network")


def save(name: str, values: np.ndarray) -> None:
    np.save(HERE / f"{name}.npy", np.ascontiguousarray(values))


def save_case(case: str, frames: np.ndarray, stages: dict[str, np.ndarray]) -> None:
    save(f"{case}_frames_u8", frames)
    for stage, values in stages.items():
        save(f"{case}_{stage}", values)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    for name, (arch, seed, flow_gain, dtype) in NETWORKS.items():
        model_file.write(str(HERE / f"{name}.bin"), weights(arch, seed, flow_gain),
                         {"name": f"golden {name}", "licence": "LGPL-2.1-or-later",
                          "training_data": "none: random weights", "phase": "center"}, dtype=dtype)
    for index, (case, (network, height, width)) in enumerate(CASES.items()):
        state = model_file.read(str(HERE / f"{network}.bin"))[0]
        frames = window(height, width, 100 + index)
        stages = run(state, frames)
        check(case, state, frames, stages)
        save_case(case, frames, stages)
        if case == "modulated":
            found = estimate(state, frames)
            adapted = run(state, frames, degradation=found["degradation"])
            check("adapted", state, frames, adapted, found["degradation"])
            check_estimate(state, frames, found, adapted["recons"] - stages["recons"])
            save_case("adapted", frames, {**adapted, "degradation": found["degradation"]})
            for name, values in found.items():
                save(f"{case}_{name}", values)
        if case == "odd":
            save("odd_recons_warp_false", run(state, frames, warp_align=False)["recons"])
            save("odd_recons_resize_true", run(state, frames, resize_align=True)["recons"])


if __name__ == "__main__":
    main()
