#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Train the small network of a modulated model that estimates the degradation of a video.

Windows are drawn as train_device.py draws them: photographs that move, clips, noise, a codec's stand-in, and windows
that went through a real encoder. The neutral degradation becomes the mean of theirs. The model restores each under the
probe, and from how well its picture, reduced with known kernels, agrees with the frame (modulation.py) the network
learns the degradation, in seconds; restoring the windows is what takes time. Some windows are held out: the errors that
are printed are those of a network that did not see them. The rest of the model stays as it is.

    train_degradation_net.py --material PHOTOS --init better.bin --output best.bin --minutes 5
"""
from __future__ import annotations

import argparse
import math
import pathlib
import sys
import time
from typing import Optional

try:
    import numpy as np
except ImportError:
    sys.exit("train_degradation_net: NumPy is needed (python3-numpy, or https://numpy.org)")

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "tools"))
try:
    import torch
except ImportError:
    sys.exit("train_degradation_net: PyTorch is needed (python3-torch, or https://pytorch.org)")
from torch import Tensor
from torch.nn import functional as F

import material
from degrade import number_in
from device_set import CENTER, DeviceSet, Material
from exportable import Network, from_tensors
from lib import model_file, models
from lib.clips import ClipError
from lib.program import finish
from modulation import FREQUENCIES, DegradationNet, consistency
from training import multiplies_bf16, say
from trainset import SCALE, WINDOW

TOGETHER = 4             # windows that are drawn, and restored, at a time
CODED = 0.2              # share of the windows that went through a real encoder, where there are such
CLIPS = 1                # of TOGETHER
QUANTISED = 0.2          # share of the others that go through a codec's stand-in
HELD_OUT = 0.2
LEAST = 20               # windows that a network can be made of
DRAWING = 0.4            # share of the time in which windows are drawn, at most
FITTING = 15.0           # seconds at the end for the fit
REPORT = 30.0            # seconds from line to line
STEPS, RATE = 1500, 3e-3
DECAY = 2.0              # of the weights, times the rate each step
JITTER = 0.2             # noise on the features while they are learnt from, of their standard deviation
ANSWERS = [f"response at {f:g} cycles per pixel" for f in FREQUENCIES] + ["noise, of 1/100", "codec"]


class Samples:
    """Windows with their degradations, drawn beforehand: `count`, or as many as can be until then, time.monotonic().
    groups, one of each size: frames N x 5 x 3 x P x P as bytes, and degradations N x 7."""

    def __init__(self, data: Material, patch: int, count: int, device: torch.device, seed: int, until: float) -> None:
        self.groups: list[tuple[Tensor, Tensor]] = []
        coded = round(CODED * count) if data.coded_frames is not None else 0
        drawn = DeviceSet(data, patch, device, seed)
        parts = []
        for _ in range(-(-(count - coded) // TOGETHER)):
            batch = drawn.batch("windows", TOGETHER, 0, CLIPS, QUANTISED)
            parts.append(((batch.frames * 255).round().byte(), batch.degradation))
            if time.monotonic() > until:
                coded = min(coded, round(CODED / (1 - CODED) * TOGETHER * len(parts)))
                break
        self.groups.append(tuple(torch.cat(part) for part in zip(*parts)))
        if coded:
            index = torch.from_numpy(drawn.rng.choice(len(data.coded_frames), coded, replace=True)).to(device)
            self.groups.append((data.coded_frames[index], data.coded_degradations[index]))
        batches = [(group, start) for group, (frames, _) in enumerate(self.groups)
                   for start in range(0, len(frames), TOGETHER)]
        self.batches = [batches[i] for i in drawn.rng.permutation(len(batches))]

    @property
    def neutral(self) -> Tensor:
        return torch.cat([degradation for _, degradation in self.groups]).mean(0)

    def __iter__(self):
        """Frames in 0 to 1 and their degradations, a batch at a time, the kinds mixed."""
        for group, start in self.batches:
            frames, degradation = (x[start:start + TOGETHER] for x in self.groups[group])
            yield frames.float() / 255, degradation


@torch.no_grad()
def measure(net: Network, samples: Samples, until: float) -> tuple[Tensor, Tensor]:
    """Features N x 16 and degradations N x 7 of the windows that can be restored until then, time.monotonic()."""
    device = next(net.parameters()).device
    features, truth, said = [], [], time.monotonic()
    for frames, degradation in samples:
        with torch.autocast(device.type, torch.bfloat16, enabled=multiplies_bf16(str(device))):
            pictures = net.restored(frames, degradation=net.probe(len(frames)))
        features.append(consistency(frames[:, CENTER], pictures.float()))
        truth.append(degradation)
        now = time.monotonic()
        if now - said > REPORT:
            say(f"{sum(map(len, features))} windows")
            said = now
        if now > until:
            break
    return torch.cat(features).cpu(), torch.cat(truth).cpu()


def fitted(features: Tensor, truth: Tensor, neutral: Tensor, hidden: int, seed: int) -> DegradationNet:
    """A network of standardised values, with the standardisation in its layers."""
    torch.manual_seed(seed)
    (mean, spread), (middle, width) = ((x.mean(0), x.std(0).clamp(min=1e-3)) for x in (features, truth))
    inputs, wanted = (features - mean) / spread, (truth - middle) / width
    net = DegradationNet(hidden)
    net.set_neutral(neutral)
    first, last = net
    torch.nn.init.normal_(last.weight, std=0.1)
    torch.nn.init.zeros_(last.bias)
    decayed, free = [first.weight, last.weight], [first.bias, last.bias]
    optimiser = torch.optim.AdamW([{"params": decayed, "weight_decay": DECAY},
                                   {"params": free, "weight_decay": 0.0}], RATE, betas=(0.9, 0.99))
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        answers = last(F.relu(first(inputs + JITTER * torch.randn_like(inputs))))
        loss = F.smooth_l1_loss(answers, wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        first.weight.div_(spread)
        first.bias.sub_(first.weight @ mean)
        last.weight.mul_(width[:, None])
        last.bias.mul_(width).add_(middle)
    return net


@torch.no_grad()
def rounded(net: DegradationNet, dtype: str) -> DegradationNet:
    """As it is read from a file with weights of dtype."""
    kind = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}[dtype]
    net.load_state_dict({name: value.to(kind).float() for name, value in net.state_dict().items()})
    return net


@torch.no_grad()
def report(net: DegradationNet, features: Tensor, truth: Tensor, middle: Tensor) -> None:
    """The mean absolute errors, beside those of saying the middle of all windows always."""
    errors, plain = ((answer - truth).abs().mean(0).tolist() for answer in (net(features), middle.expand_as(truth)))
    say(f"{len(truth)} windows held out; mean absolute errors, in brackets those of always saying the mean:")
    for name, error, other in zip(ANSWERS, errors, plain):
        say(f"  {name}: {error:.3f} ({other:.3f})")


def model_to_train(path: pathlib.Path) -> tuple[Network, dict[str, np.ndarray], dict[str, str]]:
    tensors, metadata = model_file.read(path)
    net = from_tensors(tensors)
    if not net.arch.modulation:
        raise ValueError(f"{path}: not a modulated model (train_device.py --modulated makes one)")
    if (net.arch.n_sequence, net.arch.scale, net.arch.n_colors) != (WINDOW, SCALE, 3):
        raise ValueError(f"{path}: only x{SCALE} RGB models with windows of {WINDOW} can be trained here")
    return net.eval(), tensors, metadata


def run(args: argparse.Namespace) -> None:
    began = time.monotonic()
    device = torch.device(args.device)
    torch.manual_seed(args.seed)
    if args.threads:
        torch.set_num_threads(args.threads)
    net, tensors, metadata = model_to_train(args.init)
    data = material.load(args.material, args.clip_frames, args.cache, args.ffmpeg, device, args.hold_out)
    with torch.no_grad():
        samples = Samples(data, args.patch, args.windows, device, args.seed,
                          time.monotonic() + DRAWING * 60 * args.minutes)
    neutral = samples.neutral.cpu()
    net.degradation_net = DegradationNet(args.hidden)
    net.degradation_net.set_neutral(neutral)
    say(f"{sum(len(frames) for frames, _ in samples.groups)} windows drawn in {time.monotonic() - began:.0f} s; neutral "
        "degradation " + " ".join(f"{value:.3f}" for value in neutral))
    features, truth = measure(net.to(device, memory_format=torch.channels_last), samples,
                              began + 60 * args.minutes - FITTING)
    if len(features) < LEAST:
        raise ValueError(f"--minutes {args.minutes:g}: {len(features)} windows in this time, at least {LEAST} are needed")
    held = max(TOGETHER, round(HELD_OUT * len(features)))
    tried = fitted(features[held:], truth[held:], neutral, args.hidden, args.seed)
    report(rounded(tried, args.dtype), features[:held], truth[:held], truth[held:].mean(0))
    trained = fitted(features, truth, neutral, args.hidden, args.seed).state_dict()
    written = {f"degradation_net.{name}": value.numpy() for name, value in trained.items()}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    model_file.write(args.output, {**tensors, **written}, metadata, dtype=args.dtype)
    say(f"{args.output}: {len(features)} windows, {(time.monotonic() - began) / 60:.1f} minutes")


def parse(arguments: Optional[list[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    whole, some = number_in(1, 10 ** 9, int), number_in(0, 10 ** 6, int)
    add = parser.add_argument
    add("--material", type=pathlib.Path, required=True, nargs="+", metavar="DIR",
        help="folders with photographs and clips, and perhaps coded windows (pack_material.py)")
    add("--init", type=models.argument, required=True, metavar="MODEL", help=f"{models.HELP}, a modulated one")
    add("--output", type=pathlib.Path, required=True, metavar="X.bin", help="model file to write")
    add("--minutes", type=number_in(1e-9, 1e9), default=5.0, help="wall clock, at most (default 5)")
    add("--windows", type=whole, default=500, help="how many are drawn (default 500)")
    add("--hidden", type=whole, default=32, help="width of the network (default 32)")
    add("--hold-out", nargs="+", default=[], metavar="NAME", help="leave out files whose names begin so")
    add("--patch", type=whole, default=80, help="side of a window, low-resolution pixels (default 80)")
    add("--seed", type=some, default=1, help="of the draws (default 1)")
    add("--dtype", choices=("F16", "F32", "BF16"), default="F16", help="of the weights in the file (default F16)")
    add("--device", help="cpu, cuda, cuda:1, ...; default: cuda if PyTorch finds a GPU")
    add("--threads", type=whole, help="CPU threads (default: all)")
    add("--clip-frames", type=whole, default=72, help="frames taken of each clip (default 72)")
    add("--cache", type=pathlib.Path, metavar="DIR", help="for decoded clips (default: cache beside --output)")
    add("--ffmpeg", help="ffmpeg that decodes clips; default: build/bin/ffmpeg, else the one on PATH")
    args = parser.parse_args(arguments)
    args.cache = args.cache or args.output.parent / "cache"
    args.device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    return args


def main() -> int:
    args = parse()
    return finish("train_degradation_net", lambda: run(args), ClipError, ValueError)


if __name__ == "__main__":
    sys.exit(main())
