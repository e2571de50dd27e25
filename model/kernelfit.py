#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fit the kernel network of a model: a few numbers to photographs, the rest by construction.

How much a picture is blurred shows in how its differences over one, two and three pixels compare, whatever its
contrast. The network that is written computes just that, with the layers it has:

- The first convolutions take the luma of the centre frame to differences along x and along y, their magnitudes, and
  by how much the difference of neighbours exceeds shares of that over three pixels; nothing near the border counts.
- Each of the last two attention blocks compares two weighted sums of the means over the frame: its gates open one
  after the other as the first sum grows against the second. The sum of the gates is 1 / sigma^2, for x and for y.
- The convolutions behind leave that of x in the first row of the 13 x 13 areas and both in the others, and the last
  layers make of it the exponent of a Gaussian, centred in the block. So a blur along a slant comes out as a round one.

The weights of the sums and the gates are fitted to photographs, reduced by several factors and only where they are
sharp then, some sharpened as cameras do, blurred by Gaussians and sampled. Windows of one sigma must be right on
average: a plain fit leans towards the middle of what it saw.
"""
from __future__ import annotations

import argparse
import math
import pathlib
import sys
from dataclasses import dataclass
from typing import Optional, Sequence

import numpy as np

try:
    import torch
except ImportError:
    sys.exit("kernelfit: PyTorch is needed (python3-torch, or https://pytorch.org)")
from torch import Tensor
from torch.nn import functional as F

import modelfile
from clips import ClipError, find_ffmpeg
from degrade import number_in
from kernelset import decode_steep, split
from reference import Architecture

SCALE, WINDOW, KERNEL = 4, 5, 13
CENTRE = KERNEL // 2 + (SCALE - 1) / 2  # of the block, in a kernel
SIDES = (64, 96, 144)      # of the windows
MARGIN = 10                # high-resolution pixels round a window that the blur may reach
SIGMA = (0.7, 3.0)         # high-resolution pixels, evenly in the logarithm; below, all looks alike
LONG = 0.3                 # share of the blurs with another sigma in y
GAIN = (0.5, 1.0)          # of the contrast
SHARPENED, AMOUNT = 0.5, 1.0  # share of the pictures, and how much at most, of an unsharp mask of one pixel
NOISY, NOISE = 0.15, 1.2   # share of the windows, and the largest standard deviation of the luma, code values
ROUNDING = 0.17            # of the mean of three colours, code values
SHARES = (0.4, 0.6, 0.8, 1.0)  # of the difference over three pixels
STATISTICS = 4 + len(SHARES)
PAIRS, GATES = 2, 7
GAIN_IN = 16.0             # of the luma, 0 to 1, in the network
GUARD = 64.0               # more than any difference of it
OPEN = 30.0                # exponent of a gate that is always open
BINS, BIAS_WEIGHT = 7, 4.0
RATE = 2e-2


def gaussian_rows(sigma: float, first: float, step: int, count: int, size: int) -> Tensor:
    """count x size: rows that weigh `size` samples by a Gaussian round first + step * row."""
    rows = torch.exp(-0.5 * ((torch.arange(size) - first - step * torch.arange(count)[:, None]) / sigma) ** 2)
    return rows / rows.sum(1, keepdim=True)


def statistics(luma: Tensor) -> Tensor:
    """Means of what the first layers compute along x of an H x W luma, as far from the border as they do."""
    before, here, after = luma[:, 1:-3], luma[:, 2:-2], luma[:, 3:-1]
    one, two, bend, three = after - here, after - before, after - 2 * here + before, luma[:, 4:] - before
    one, two, bend, three = (plane[2:-2].abs() for plane in (one, two, bend, three))
    beyond = [(one - share * three).relu() for share in SHARES]
    return torch.stack([plane.mean() for plane in (one, two, bend, three, *beyond)])


class Photographs:
    """Draws statistics of blurred windows."""

    def __init__(self, stills: Sequence[np.ndarray], seed: int) -> None:
        self.stills, self.rng = stills, np.random.default_rng(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.sharpener = gaussian_rows(1.0, 3.0, 1, 1, 7)[0]

    def _crop(self, side: int) -> np.ndarray:
        """Of three squares of a photograph the one with most detail, which is what tells a blur."""
        fitting = [still for still in self.stills if min(still.shape[:2]) >= side]
        still = fitting[self.rng.integers(len(fitting))]
        places = self.rng.integers((still.shape[0] - side + 1, still.shape[1] - side + 1), size=(3, 2))
        crops = [still[y:y + side, x:x + side] for y, x in places]
        return max(crops, key=lambda crop: np.abs(np.diff(crop[::4, :, 1].astype(np.int16), axis=1)).mean())

    def _luma(self, side: int) -> Tensor:
        luma = torch.from_numpy(self._crop(side).mean(2, dtype=np.float32))
        if self.rng.random() < SHARPENED:
            padded = F.pad(luma[None, None], (3,) * 4, mode="replicate")
            blurred = F.conv2d(F.conv2d(padded, self.sharpener.view(1, 1, 7, 1)), self.sharpener.view(1, 1, 1, 7))[0, 0]
            luma = (luma + self.rng.uniform(0, AMOUNT) * (luma - blurred)).clamp(0, 255)
        return luma * math.exp(self.rng.uniform(*np.log(GAIN)))

    def window(self) -> tuple[Tensor, Tensor]:
        """Statistics along x and y, 2 x STATISTICS, and the logarithms of the two sigma."""
        patch = SIDES[self.rng.integers(len(SIDES))]
        side = SCALE * patch + 2 * MARGIN
        if not any(min(still.shape[:2]) >= side for still in self.stills):
            patch, side = SIDES[0], SCALE * SIDES[0] + 2 * MARGIN
        sigma = np.exp(self.rng.uniform(*np.log(SIGMA), 2))
        if self.rng.random() > LONG:
            sigma[1] = sigma[0]
        across, down = (gaussian_rows(s, MARGIN + (SCALE - 1) / 2, SCALE, patch, side) for s in sigma)
        low = down @ self._luma(side) @ across.T
        noise = self.rng.uniform(0, NOISE) if self.rng.random() < NOISY else 0.0
        low += math.hypot(noise, ROUNDING) * torch.randn(low.shape, generator=self.generator)
        low = low * (GAIN_IN / 255)
        return torch.stack((statistics(low), statistics(low.T))), torch.from_numpy(np.log(sigma)).float()

    def windows(self, count: int) -> tuple[Tensor, Tensor]:
        """2 count x STATISTICS, and 2 count."""
        found, sigma = zip(*(self.window() for _ in range(count)))
        return torch.cat(found), torch.cat(sigma)


@dataclass
class Comparison:
    """The numbers that are fitted: weights of both sums, PAIRS x STATISTICS, and of each gate its steepness, the
    ratio at which it opens and its height, PAIRS x GATES and as logarithms, with a constant."""
    upper: Tensor
    lower: Tensor
    slope: Tensor
    ratio: Tensor
    height: Tensor
    constant: Tensor

    @staticmethod
    def start() -> "Comparison":
        upper, lower = torch.full((PAIRS, STATISTICS), 0.02), torch.full((PAIRS, STATISTICS), 0.02)
        upper[0, 0] = lower[0, 2] = upper[1, 3] = lower[1, 0] = 1.0
        upper, lower = lower.clone(), upper.clone()  # differences of neighbours, and bends, above: sharp is high
        ratio = torch.stack((torch.linspace(-0.4, 1.6, GATES), torch.linspace(-1.2, 0.7, GATES)))
        full = torch.full((PAIRS, GATES), 1.0)
        return Comparison(upper, lower, 2.5 * full, ratio, -2.0 * full, torch.tensor(-2.5))

    def numbers(self) -> list[Tensor]:
        return list(vars(self).values())

    def precision(self, found: Tensor) -> Tensor:
        """1 / sigma^2 of N x STATISTICS."""
        upper, lower = ((found @ weights.T).relu()[..., None] for weights in (self.upper, self.lower))
        gates = torch.sigmoid(self.slope.exp() * (upper - self.ratio.exp() * lower))
        return (gates * self.height.exp()).sum((1, 2)) + self.constant.exp()


def fit(found: Tensor, sigma: Tensor, steps: int) -> Comparison:
    """The comparison that tells the logarithms of sigma best, and right on average in each bin of them."""
    comparison = Comparison.start()
    numbers = [number.requires_grad_() for number in comparison.numbers()]
    edges = torch.linspace(*np.log(SIGMA), BINS + 1)[1:-1]
    member = F.one_hot(torch.bucketize(sigma, edges), BINS).float()
    member /= member.sum(0).clamp(min=1)
    optimiser = torch.optim.Adam(numbers, RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        error = -0.5 * comparison.precision(found).log() - sigma
        loss = error.abs().mean() + BIAS_WEIGHT * (member.T @ error).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return Comparison(*(number.detach() for number in numbers))


def first_layers(state: dict[str, Tensor]) -> None:
    """in_conv: differences over one and two pixels and bends along x (channels 0 to 2) and y (3 to 5), and ones.
    First block: their magnitudes and that over three pixels (8 to 11, 12 to 15), and ones without the outermost ring.
    Second block: the statistics (20 to 27, 28 to 35)."""
    luma = [3 * (WINDOW // 2) + colour for colour in range(3)]
    taps = torch.tensor([[0, -1, 1], [-1, 0, 1], [1, -2, 1]]) * GAIN_IN / 3
    one, two = "body1.0.body", "body1.1.body"
    state["in_conv.bias"][6] = 1
    for row in range(3):
        state["in_conv.weight"][row, luma, 1, :] = taps[row]
        state["in_conv.weight"][3 + row, luma, :, 1] = taps[row]
    for axis in range(2):
        sources = [{(0, 0): 3 * axis}, {(0, 0): 3 * axis + 1}, {(0, 0): 3 * axis + 2},
                   {(0, step) if axis == 0 else (step, 0): 3 * axis for step in (-1, 0, 1)}]
        for kind, places in enumerate(sources):
            for sign in (0, 1):
                row = 8 * axis + 2 * kind + sign
                for (dy, dx), channel in places.items():
                    state[f"{one}.0.weight"][row, channel, 1 + dy, 1 + dx] = 1 - 2 * sign
                guard(state, f"{one}.0", row, 6)
                state[f"{one}.2.weight"][8 + 4 * axis + kind, row, 1, 1] = 1
        for kind in range(STATISTICS):
            row = STATISTICS * axis + kind
            state[f"{two}.0.weight"][row, 8 + 4 * axis + (kind if kind < 4 else 0), 1, 1] = 1
            if kind >= 4:
                state[f"{two}.0.weight"][row, 11 + 4 * axis, 1, 1] = -SHARES[kind - 4]
            guard(state, f"{two}.0", row, 16)
            state[f"{two}.2.weight"][20 + row, row, 1, 1] = 1
    state[f"{one}.0.weight"][16, 6] = 1
    state[f"{one}.0.bias"][16] = -8
    state[f"{one}.2.weight"][16, 16, 1, 1] = 1
    for block in (one, two):
        state[f"{block}.3.conv_du.2.bias"][:] = OPEN


def guard(state: dict[str, Tensor], name: str, row: int, ones: int) -> None:
    """Pulls a row below zero wherever its nine taps do not all see a one."""
    state[f"{name}.weight"][row, ones] = GUARD
    state[f"{name}.bias"][row] = -9 * GUARD


def last_layers(state: dict[str, Tensor], comparison: Comparison) -> None:
    """Third and fourth block: the gates (channels 36 to 63). Behind: 1 / sigma^2, and the exponent."""
    for pair in range(PAIRS):
        block = f"body2.{pair}.body"
        for row in range(2 * STATISTICS):  # passed by for the attention to see, and not added
            state[f"{block}.0.weight"][row, 20 + row, 1, 1] = 1
            state[f"{block}.2.weight"][20 + row, row, 1, 1] = 1
            state[f"{block}.3.conv_du.2.bias"][20 + row] = -OPEN
        for axis in range(2):
            for side, weights in enumerate((comparison.upper, comparison.lower)):
                begin = 20 + STATISTICS * axis
                state[f"{block}.3.conv_du.0.weight"][2 * axis + side, begin:begin + STATISTICS, 0, 0] = weights[pair]
            begin = 36 + GATES * (2 * pair + axis)
            gates, slope = slice(begin, begin + GATES), comparison.slope[pair].exp()
            state[f"{block}.2.bias"][gates] = 1
            state[f"{block}.3.conv_du.2.weight"][gates, 2 * axis, 0, 0] = slope
            state[f"{block}.3.conv_du.2.weight"][gates, 2 * axis + 1, 0, 0] = -slope * comparison.ratio[pair].exp()
            # what comes from the row above is missing in the first
            state["body2.2.weight"][axis, gates, 1 - axis, 1] = comparison.height[pair].exp()
    state["body2.3.weight"][0, :2, 1, 1] = 1
    areas = torch.zeros(KERNEL, KERNEL)
    areas[0] = 1 / KERNEL
    state["fc_net.0.weight"][0] = areas.flatten()
    below = torch.full((KERNEL, KERNEL), 1 / (KERNEL * (KERNEL - 1)))
    below[0] = -1 / KERNEL
    state["fc_net.0.weight"][1] = below.flatten()
    square = (torch.arange(KERNEL) - CENTRE) ** 2
    state["fc_net.1.weight"][:, 0] = -0.5 * square.repeat(KERNEL)
    state["fc_net.1.weight"][:, 1] = -0.5 * square.repeat_interleave(KERNEL)
    state["fc_net.1.bias"][:] = -0.5 * comparison.constant.exp() * (square + square[:, None]).flatten()


def network(comparison: Comparison, shapes: dict[str, Sequence[int]]) -> dict[str, Tensor]:
    """The tensors of a kernel network of the published widths, by their names in it."""
    state = {name: torch.zeros(*shape) for name, shape in shapes.items()}
    first_layers(state)
    last_layers(state, comparison)
    return state


def report(name: str, comparison: Comparison, found: Tensor, sigma: Tensor) -> None:
    error = -0.5 * comparison.precision(found).log() - sigma
    edges = torch.linspace(*np.log(SIGMA), BINS + 1)
    bins = torch.bucketize(sigma, edges[1:-1])
    means = " ".join(f"{100 * math.expm1(error[bins == k].mean()):+.0f}" for k in range(BINS) if (bins == k).any())
    print(f"{name}: {len(sigma)} values of sigma, error {100 * math.expm1(error.std()):.0f} % (standard deviation), "
          f"mean from narrow to wide {means} %", flush=True)


def run(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    tensors, metadata = modelfile.read(args.init)
    arch = Architecture.from_shapes({name: tuple(value.shape) for name, value in tensors.items()})
    widths = arch.kernel
    if not widths or (arch.n_sequence, arch.scale, arch.n_colors, widths.ksize) != (WINDOW, SCALE, 3, KERNEL):
        raise ValueError(f"{args.init}: not an x{SCALE} RGB model with windows of {WINDOW} and kernels of {KERNEL}")
    if widths.features < 64 or widths.reduced < 4 or widths.last < 2 or widths.hidden < 2:
        raise ValueError(f"{args.init}: its kernel network is narrower than 64, 4, 2, 2")
    ffmpeg = find_ffmpeg(args.ffmpeg)
    stills = decode_steep(args.data, args.cache, ffmpeg, SCALE * SIDES[0] + 2 * MARGIN)
    kept, held = split(stills, args.hold_out)
    found, sigma = Photographs(kept, args.seed).windows(args.windows)
    comparison = fit(found, sigma, args.steps)
    report("fitted", comparison, found, sigma)
    report("held out", comparison, *Photographs(held, args.seed + 1).windows(max(1, args.windows // 8)))
    prefix = "kernel_net."
    shapes = {name[len(prefix):]: value.shape for name, value in tensors.items() if name.startswith(prefix)}
    fitted = {prefix + name: value.numpy() for name, value in network(comparison, shapes).items()}
    modelfile.write(str(args.output), {**tensors, **fitted}, metadata, dtype=args.dtype)


def parse(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    whole = number_in(1, 10 ** 9, int)
    add = parser.add_argument
    add("--data", type=pathlib.Path, required=True, nargs="+", metavar="PATH", help="photographs, or folders of them")
    add("--init", type=pathlib.Path, required=True, metavar="X.bin", help="model file whose kernel network to replace")
    add("--output", type=pathlib.Path, required=True, metavar="X.bin", help="model file to write")
    add("--windows", type=whole, default=4000, help="windows of photographs to fit to (default 4000)")
    add("--steps", type=whole, default=1200, help="of the fit (default 1200)")
    add("--hold-out", type=number_in(0, 10 ** 6, int), default=12,
        help="every so many photographs one is kept for checking; 0: none (default 12)")
    add("--seed", type=number_in(0, 2 ** 31, int), default=1, help="of the windows (default 1)")
    add("--cache", type=pathlib.Path, metavar="DIR", help="for the decoded material (default: cache beside --output)")
    add("--dtype", choices=("F16", "F32", "BF16"), default="F16", help="of the weights in the file (default F16)")
    add("--threads", type=whole, default=torch.get_num_threads(), help="CPU threads (default: all)")
    add("--ffmpeg", help="ffmpeg that decodes the material; default: build/bin/ffmpeg, else the one on PATH")
    args = parser.parse_args(arguments)
    args.cache = args.cache or args.output.parent / "cache"
    return args


def main() -> int:
    try:
        run(parse())
    except (ClipError, modelfile.ModelFileError, OSError, ValueError) as error:
        print(f"kernelfit: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
