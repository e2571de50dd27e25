# SPDX-License-Identifier: LGPL-2.1-or-later
"""A kernel network that does not see contrast, brightness and borders, in the form that is trained, and as KernelNet.

How much a picture is blurred does not depend on its brightness and contrast, and of a picture that is turned it is the
turned blur. A network that has to learn this first takes one thing for the other for a long time, and answers with
round blurs whatever it is shown. So it is built in, out of what the layers of KernelNet can do:

- in_conv takes the luma of the center frame to the differences of each pixel from its eight neighbours.
- Behind it there are two branches. The second computes of the picture what the first does of the picture turned by a
  quarter: its weights are those of the first, turned.
- body1.0 filters the differences without biases, so what it finds grows with the contrast and with nothing else. Its
  attention sees the mean difference of neighbours, A, and three gates, together a copy of 1 / A within 5 %, divide by
  it.
- body1.1 has biases, and finds what it likes in a picture that now has a contrast of one.
- Channels of ones, which are zero outside the picture, pull all of that to zero where a filter reaches beyond the
  border. What the other layers see comes from inside the picture alone.
- body2.0 works on the 13 x 13 areas. What body2.1 computes is not added: its attention sees the means, and three of
  its gates, which are the same all over the map, are the answer, the inverse covariance of a Gaussian. Exchanging the
  branches exchanges xx and yy, and turns the sign of xy.
- body2.2 leaves one map, and has to bring all three through: one comes from the row above, so that it is missing in the
  first row, one from the column before. The last layers take them apart and to the exponent.
"""
from __future__ import annotations

import math
from typing import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SCALE, WINDOW, BLUR_SIDE = 4, 5, 13
CENTER = BLUR_SIDE // 2 + (SCALE - 1) / 2  # of the block, in a kernel
FEATURES, REDUCED, LAST, HIDDEN = 64, 4, 32, 1000  # widths of the published network, which is what is filled
NEIGHBOURS = ((1, 2), (2, 1), (1, 0), (0, 1), (0, 0), (0, 2), (2, 0), (2, 2))  # rows and columns of a 3 x 3 kernel
BRANCHES = 2
FOUND = 5           # kinds of features that are divided, of a branch
LEVEL = 0.2         # mean difference that all pictures are brought to
# LEVEL / A is about the sum of height * sigmoid(bias - slope * A), for A from 0.005 to 0.3 with colours of 0 to 1
SLOPE, BIAS, HEIGHT = (206.9, 40.2, 6.8), (-0.47, 0.13, 0.67), (753.2, 90.4, 15.5)
GATES = len(SLOPE)
# Channels: ones, differences; what is divided by each gate, for each kind; ones but for two rings; all that is found;
# the answers, which are nothing up to body2.1.
ONES, DIFFERENCES = 0, 1
DIVIDED = DIFFERENCES + len(NEIGHBOURS)
INNER = DIVIDED + GATES * FOUND * BRANCHES
FREE = INNER + 1
ANSWERS = FEATURES - 3
REST = (ANSWERS - FREE) // BRANCHES
HALF = FEATURES // BRANCHES
MAGNITUDES = FEATURES - 5          # of body1.0, four for A, and the last for the ones
FILTERS = MAGNITUDES // BRANCHES
REACH = 3               # rings of the picture where nothing is found
GAIN = 16.0             # of the luma, 0 to 1, in KernelNet, so that what guards adds does not swallow small differences
LARGEST = 20.0          # divisor with which what lies on the border is still kept out, LEVEL / 0.01
OPEN = 30.0             # bias of a gate that is always open, negative: closed
AWAKE = 4.0             # what the few hidden units start with, that none is zero for all pictures, and so for good
TELLING = (37.0, -23.0)  # how far the means of first and second differences tell a direction: fitted to photographs
SLANTED = (0.0, -0.6)   # of the hidden units for its gate; not trained: the noise of the first steps would turn it off
RANGES = (2.6, 2.6, 2.4)  # of the inverse covariance (xx, yy, xy), for gates of 0 to 1
LEAST = (0.0, 0.0, -1.2)


def gradients() -> Tensor:
    """Filters that take the neighbours' differences from the pixel between them."""
    filters = torch.zeros(len(NEIGHBOURS), 1, 3, 3)
    for row, (y, x) in enumerate(NEIGHBOURS):
        filters[row, 0, y, x], filters[row, 0, 1, 1] = 1, -1
    return filters


def offsets() -> Tensor:
    """Squares and the product of the distances from the center that the exponent weighs, (KERNEL * KERNEL) x 3."""
    axis = torch.arange(BLUR_SIDE) - CENTER
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return -0.5 * torch.stack((x * x, y * y, 2 * x * y), -1).flatten(0, 1)


class Attended(nn.Module):
    """An RCAB of the free channels of a branch."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(REST, HALF, 3, padding=1), nn.Conv2d(HALF, REST, 3, padding=1)
        self.down, self.up = nn.Linear(REST, REDUCED // BRANCHES), nn.Linear(REDUCED // BRANCHES, REST)

    def forward(self, x: Tensor) -> Tensor:
        y = self.two(self.one(x).relu())
        return x + y * self.up(self.down(y.mean((2, 3))).relu()).sigmoid()[:, :, None, None]


class Branch(nn.Module):
    """N x 1 x H x W lumas of 0 to 1, and what to divide them by, to N x HALF means."""

    def __init__(self) -> None:
        super().__init__()
        self.filters, self.found = nn.Conv2d(len(NEIGHBOURS), FILTERS, 3, bias=False), nn.Conv2d(FILTERS, FOUND, 1,
                                                                                                 bias=False)
        self.second, self.chosen = nn.Conv2d(FOUND, HALF, 3), nn.Conv2d(HALF, REST, 1, bias=False)
        self.block, self.third = Attended(), nn.Conv2d(REST, HALF, 3, padding=1)
        with torch.no_grad():
            self.filters.weight.mul_(3)
            self.found.weight.mul_(2)

    def forward(self, luma: Tensor, divisor: Tensor) -> Tensor:
        differences = F.conv2d(luma.contiguous(memory_format=torch.channels_last), gradients())
        found = self.found(self.filters(differences).relu())
        found = self.chosen(self.second(found * divisor).relu())
        areas = F.adaptive_avg_pool2d(F.pad(found, (REACH,) * 4), BLUR_SIDE)
        return self.third(self.block(areas)).relu().mean((2, 3))


class Probe(nn.Module):
    """What is trained: N x 1 x H x W lumas of 0 to 1 to N x 3, the inverse covariance (xx, yy, xy) of the blur."""

    def __init__(self) -> None:
        super().__init__()
        hidden = REDUCED // BRANCHES
        self.branch = Branch()
        self.own, self.other = nn.Linear(HALF, hidden), nn.Linear(HALF, hidden, bias=False)
        self.up, self.across = nn.Linear(hidden, 1), nn.Linear(hidden, 1, bias=False)
        with torch.no_grad():
            self.own.bias.fill_(AWAKE)
            for layer, weights in ((self.up, (0.6, 0)), (self.across, (0.1, 0))):
                layer.weight.copy_(torch.tensor(weights))
            self.up.bias.fill_(-1 - AWAKE * (0.6 + 0.1))  # sigma 1.2
            self.own.weight[1], self.other.weight[1] = 0, 0
            self.start(0, (0,), (0, 2), (-2, 2))
            self.start(1, (7,), (4, 7), (1, -1))

    def start(self, unit: int, first: Sequence[int], second: Sequence[int], signs: tuple[float, float]) -> None:
        """A linear guess at a direction for a hidden unit, which chance does not bring about: a blur takes more from
        the second differences along it than from the first, compared with those along the other branch's direction.
        first, second: sums of neighbours that make them. They are two kinds of features, at first passed on alone."""
        branch, block, half = self.branch, self.branch.block, len(TELLING) * (2 - unit)
        filters, found = branch.filters.weight, branch.found.weight
        for place, neighbours in enumerate((first, second)):
            kind, passed, last = (size - half + place for size in (FOUND, REST, HALF))
            rows = slice(4 * unit + 2 * place, 4 * unit + 2 * place + 2)
            filters[rows], found[kind], found[:, rows] = 0, 0, 0
            for neighbour in neighbours:
                filters[rows, neighbour, 1, 1] = torch.tensor((1.0, -1.0))
            found[kind, rows] = 1
            for layer, row, column in ((branch.second, last, kind), (branch.chosen, passed, last),
                                       (branch.third, last, passed)):
                layer.weight[row] = 0
                layer.weight[row, column, layer.kernel_size[0] // 2, layer.kernel_size[1] // 2] = 1
                if layer.bias is not None:
                    layer.bias[row] = 0
            block.two.weight[passed], block.two.bias[passed] = 0, 0
            for layer, sign in zip((self.own, self.other), signs):
                layer.weight[unit, last] = sign * TELLING[place] / 2

    @staticmethod
    def divisor(luma: Tensor) -> Tensor:
        """About LEVEL / A, N x 1 x 1 x 1."""
        differences = F.conv2d(luma, gradients()[:2])
        mean = differences.abs().sum((1, 2, 3), keepdim=True) / (luma.shape[2] * luma.shape[3])
        gates = torch.sigmoid(torch.tensor(BIAS) - torch.tensor(SLOPE) * mean)
        return LEVEL * (torch.tensor(HEIGHT) * gates).sum(3, keepdim=True)

    def forward(self, luma: Tensor) -> Tensor:
        divisor = self.divisor(luma)
        one, two = (self.branch(picture, divisor) for picture in (luma, torch.rot90(luma, 1, (2, 3))))
        one, two = (self.own(one) + self.other(two)).relu(), (self.own(two) + self.other(one)).relu()
        gates = torch.cat((self.up(one) + self.across(two), self.up(two) + self.across(one),
                           (one - two) @ torch.tensor(SLANTED)[:, None]), 1)
        return torch.tensor(RANGES) * gates.sigmoid() + torch.tensor(LEAST)


def gaussians(precision: Tensor) -> Tensor:
    """The kernels of inverse covariances, N x KERNEL x KERNEL."""
    return (precision @ offsets().T).softmax(1).view(-1, BLUR_SIDE, BLUR_SIDE)


def turned(weight: Tensor, branch: int) -> Tensor:
    """Kernels that do to a picture what `weight` does to it when it is turned for that branch."""
    return torch.rot90(weight, -branch, (2, 3))


def turned_differences(branch: int) -> list[int]:
    """The channels of in_conv that are the differences of a picture turned for that branch."""
    filters = gradients()
    return [DIFFERENCES + next(k for k in range(len(filters)) if torch.equal(filters[k], each))
            for each in turned(filters, branch)]


def parts(count: int, first: int = 0) -> Iterator[tuple[int, slice]]:
    """Each branch and its `count` channels, from `first` on."""
    return ((b, slice(first + b * count, first + (b + 1) * count)) for b in range(BRANCHES))


def border_sums(branch: Branch) -> tuple[float, float]:
    """The largest sums of `filters` and of `second`, not divided, where they reach beyond the border of a white
    picture, which is zero outside."""
    white = torch.ones(1, 1, 16, 16)
    sums = F.conv2d(F.conv2d(white, gradients(), padding=1), branch.filters.weight, padding=1)
    return sums.max().item(), F.conv2d(branch.found(sums.relu()), branch.second.weight, padding=1).max().item()


def first_block(probe: Probe, state: dict[str, Tensor]) -> None:
    """in_conv and body1.0."""
    colours = slice(3 * (WINDOW // 2), 3 * (WINDOW // 2) + 3)
    state["in_conv.weight"][DIFFERENCES:DIVIDED, colours] = gradients() * (GAIN / 3)
    state["in_conv.bias"][ONES] = 1
    one, two, down, up = (f"body1.0.body.{name}" for name in ("0", "2", "3.conv_du.0", "3.conv_du.2"))
    magnitudes, ones = slice(MAGNITUDES, MAGNITUDES + 4), MAGNITUDES + 4
    for b, rows in parts(FILTERS):
        state[f"{one}.weight"][rows, turned_differences(b)] = turned(probe.branch.filters.weight, b)
    for row in range(4):  # two signs of the differences to the right and down
        state[f"{one}.weight"][MAGNITUDES + row, DIFFERENCES + row // 2, 1, 1] = 1 - 2 * (row % 2)
    guard(state, one, slice(ones), ONES, GAIN * max(1.0, border_sums(probe.branch)[0]))
    state[f"{one}.weight"][ones, ONES] = 1
    state[f"{one}.bias"][ones] = -8  # leaves ones without the outermost ring
    state[f"{two}.weight"][ONES, magnitudes, 1, 1] = 1  # for the attention to see, and not added
    state[f"{up}.bias"][:DIVIDED] = -OPEN
    for b, columns in parts(FILTERS):
        for gate in range(GATES):
            state[f"{two}.weight"][divided(b, gate), columns, 1, 1] = probe.branch.found.weight[:, :, 0, 0]
    for gate in range(GATES):
        rows = slice(DIVIDED + gate, INNER, GATES)
        state[f"{up}.weight"][rows, 0, 0, 0] = -SLOPE[gate]
        state[f"{up}.bias"][rows] = BIAS[gate]
    state[f"{down}.weight"][0, ONES, 0, 0] = 1 / GAIN
    state[f"{two}.weight"][INNER, ones] = 1
    state[f"{two}.bias"][INNER] = -8  # ones, and less than -1 on two rings
    state[f"{up}.bias"][INNER:] = OPEN


def divided(branch: int, gate: int) -> slice:
    """The channels of what a branch finds, divided by a gate."""
    first = DIVIDED + branch * FOUND * GATES
    return slice(first + gate, first + FOUND * GATES, GATES)


def second_block(probe: Probe, state: dict[str, Tensor]) -> None:
    """body1.1, on what is divided."""
    one, two, up = (f"body1.1.body.{name}" for name in ("0", "2", "3.conv_du.2"))
    second = probe.branch.second
    for b, rows in parts(HALF):
        for gate in range(GATES):
            state[f"{one}.weight"][rows, divided(b, gate)] = (LEVEL * HEIGHT[gate] / GAIN) * turned(second.weight, b)
        state[f"{one}.weight"][rows, ONES, 1, 1] = second.bias  # would be lost in 16 bits beside the guard's
    largest = LARGEST * border_sums(probe.branch)[1] + second.bias.max().item()
    guard(state, one, slice(FEATURES), INNER, max(1.0, largest))
    for (_, rows), (_, columns) in zip(parts(REST, FREE), parts(HALF)):
        state[f"{two}.weight"][rows, columns, 1, 1] = probe.branch.chosen.weight[:, :, 0, 0]
    state[f"{up}.bias"][:] = OPEN


def guard(state: dict[str, Tensor], name: str, rows: slice, ones: int, largest: float) -> None:
    """Pulls rows below zero wherever their nine taps do not all see a one; at least three do not. What texture adds to
    the largest sum of a border is allowed for by as much again. A power of two leaves most of a small sum."""
    weight = 2.0 ** math.ceil(math.log2(2 * largest / 3))
    state[f"{name}.weight"][rows, ones] = weight
    state[f"{name}.bias"][rows] -= 9 * weight


def third_block(probe: Probe, state: dict[str, Tensor]) -> None:
    """body2.0, all of which is trained."""
    one, two, down, up = (f"body2.0.body.{name}" for name in ("0", "2", "3.conv_du.0", "3.conv_du.2"))
    block = probe.branch.block
    for (b, free), (_, half), (_, few) in zip(parts(REST, FREE), parts(HALF), parts(REDUCED // BRANCHES)):
        state[f"{one}.weight"][half, free], state[f"{one}.bias"][half] = turned(block.one.weight, b), block.one.bias
        state[f"{two}.weight"][free, half], state[f"{two}.bias"][free] = turned(block.two.weight, b), block.two.bias
        state[f"{down}.weight"][few, free, 0, 0], state[f"{down}.bias"][few] = block.down.weight, block.down.bias
        state[f"{up}.weight"][free, few, 0, 0], state[f"{up}.bias"][free] = block.up.weight, block.up.bias


def last_block(probe: Probe, state: dict[str, Tensor]) -> None:
    """body2.1: of the first channels only the means are wanted, and of the last the gates."""
    one, two, down, up = (f"body2.1.body.{name}" for name in ("0", "2", "3.conv_du.0", "3.conv_du.2"))
    answers, third = slice(ANSWERS, FEATURES), probe.branch.third
    for (b, free), (_, half) in zip(parts(REST, FREE), parts(HALF)):
        state[f"{one}.weight"][half, free], state[f"{one}.bias"][half] = turned(third.weight, b), third.bias
    for b, few in parts(REDUCED // BRANCHES):
        pair = (probe.own.weight, probe.other.weight)
        state[f"{two}.weight"][few, :, 1, 1] = torch.cat(pair if b == 0 else pair[::-1], 1)
        state[f"{down}.bias"][few] = probe.own.bias
    state[f"{down}.weight"][:, :REDUCED, 0, 0] = torch.eye(REDUCED)
    state[f"{two}.bias"][answers] = 1
    state[f"{up}.bias"][:] = -OPEN
    upper, across, slant = probe.up.weight, probe.across.weight, torch.tensor([SLANTED])
    rows = (torch.cat(pair, 1) for pair in ((upper, across), (across, upper), (slant, -slant)))
    state[f"{up}.weight"][answers, :, 0, 0] = torch.cat(tuple(rows))
    state[f"{up}.bias"][answers] = torch.cat((probe.up.bias, probe.up.bias, torch.zeros(1)))


def last_layers(state: dict[str, Tensor]) -> None:
    """From body2.2: in the map xx is everywhere, yy but in the first row, xy but in the first column."""
    for answer, (y, x) in enumerate(((1, 1), (0, 1), (1, 0))):
        state["body2.2.weight"][0, ANSWERS + answer, y, x] = RANGES[answer]
    state["body2.3.weight"][0, 0, 1, 1] = 1
    places = torch.zeros(3, BLUR_SIDE, BLUR_SIDE)  # the first row, the first column, neither
    places[0, 0, 1:], places[1, 1:, 0], places[2, 1:, 1:] = 1, 1, 1
    row, column, both = (places / places.sum((1, 2), keepdim=True)).flatten(1)
    state["fc_net.0.weight"][:3] = torch.stack((row + column - both, both - row, both - column))
    state["fc_net.0.bias"][:3] = torch.tensor(LEAST)
    state["fc_net.1.weight"][:, :3] = offsets()


@torch.no_grad()
def expanded(probe: Probe, shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """The tensors of a KernelNet of the published widths that computes the same, by their names in it."""
    state = {name: torch.zeros(*shape) for name, shape in shapes.items()}
    for layers in (first_block, second_block, third_block, last_block):
        layers(probe, state)
    last_layers(state)
    return state


@torch.no_grad()
def contracted(state: Mapping[str, Tensor]) -> Probe:
    """The probe that `state` was expanded from. Errors: ValueError where it was not made like that."""
    probe, few, half, free = Probe(), slice(REDUCED // BRANCHES), slice(HALF), slice(FREE, FREE + REST)
    branch, block = probe.branch, probe.branch.block
    names = [f"body{b}.{name}" for b in ("1.0", "1.1", "2.0", "2.1")
             for name in ("body.0", "body.2", "body.3.conv_du.0", "body.3.conv_du.2")]
    weights, biases = ([state[f"{name}.{kind}"] for name in names] for kind in ("weight", "bias"))
    for value, place in (
            (branch.filters.weight, weights[0][:FILTERS, DIFFERENCES:DIVIDED]),
            (branch.found.weight, weights[1][divided(0, 0), :FILTERS, 1:2, 1:2]),
            (branch.second.weight, weights[4][half, divided(0, 0)] * (GAIN / (LEVEL * HEIGHT[0]))),
            (branch.second.bias, weights[4][half, ONES, 1, 1]),
            (branch.chosen.weight, weights[5][free, half, 1:2, 1:2]),
            (block.one.weight, weights[8][half, free]), (block.one.bias, biases[8][half]),
            (block.two.weight, weights[9][free, half]), (block.two.bias, biases[9][free]),
            (block.down.weight, weights[10][few, free, 0, 0]), (block.down.bias, biases[10][few]),
            (block.up.weight, weights[11][free, few, 0, 0]), (block.up.bias, biases[11][free]),
            (branch.third.weight, weights[12][half, free]), (branch.third.bias, biases[12][half]),
            (probe.own.weight, weights[13][few, :HALF, 1, 1]), (probe.own.bias, biases[14][few]),
            (probe.other.weight, weights[13][few, HALF:, 1, 1]),
            (probe.up.weight, weights[15][ANSWERS, few, 0, 0]), (probe.up.bias, biases[15][ANSWERS]),
            (probe.across.weight, weights[15][ANSWERS + 1, few, 0, 0])):
        value.copy_(place)
    again = expanded(probe, {name: value.shape for name, value in state.items()})
    if any((again[name] - value).abs().max() > 0.01 * value.abs().max() for name, value in state.items()):
        raise ValueError("its kernel network was not made by train_kernel_net.py")
    return probe
