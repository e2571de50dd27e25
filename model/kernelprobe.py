# SPDX-License-Identifier: LGPL-2.1-or-later
"""A kernel network that does not see contrast, brightness and borders, in the form that is trained, and as KernelNet.

How much a picture is blurred does not depend on its brightness and contrast, and a network that has to learn this
first takes one for the other for a long time. So it is built in, out of what the layers of KernelNet can do:

- in_conv takes the luma of the centre frame to the differences of each pixel from its eight neighbours.
- body1.0 filters these without biases, so what it finds grows with the contrast and with nothing else. Its attention
  sees the mean difference of neighbours, A, and three gates, together a copy of 1 / A within 5 %, divide by it.
- body1.1 has biases, and finds what it likes in a picture that now has a contrast of one.
- Channels of ones, which are zero outside the picture, pull all of that to zero where a filter reaches beyond the
  border. What the other layers see comes from inside the picture alone.
- body2 works on the 13 x 13 areas. Behind it, the last layers take three weighted sums of its map for the inverse
  covariance of a Gaussian, centred in the block, and to its exponent.
"""
from __future__ import annotations

import math
from typing import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SCALE, WINDOW, KERNEL = 4, 5, 13
CENTRE = KERNEL // 2 + (SCALE - 1) / 2  # of the block, in a kernel
FEATURES, REDUCED, LAST, HIDDEN = 64, 4, 32, 1000  # widths of the published network, which is what is filled
NEIGHBOURS = ((1, 2), (2, 1), (1, 0), (0, 1), (0, 0), (0, 2), (2, 0), (2, 2))  # rows and columns of a 3 x 3 kernel
FOUND = 10          # kinds of features that are divided
LEVEL = 0.2         # mean difference that all pictures are brought to
# LEVEL / A is about the sum of height * sigmoid(bias - slope * A), for A from 0.005 to 0.3 with colours of 0 to 1
SLOPE, BIAS, HEIGHT = (206.9, 40.2, 6.8), (-0.47, 0.13, 0.67), (753.2, 90.4, 15.5)
GATES = len(SLOPE)
# Channels: ones, differences; what is divided by each gate, for each kind; ones but for two rings; all that is found.
ONES, DIFFERENCES = 0, 1
DIVIDED = DIFFERENCES + len(NEIGHBOURS)
INNER = DIVIDED + GATES * FOUND
FREE = INNER + 1
REST = FEATURES - FREE
FILTERS = FEATURES - 5  # of body1.0, beside four for A and one for the ones
REACH = 3               # rings of the picture where nothing is found
GAIN = 16.0             # of the luma, 0 to 1, in KernelNet, so that what guards adds does not swallow small differences
LARGEST = 20.0          # divisor with which what lies on the border is still kept out, LEVEL / 0.01
OPEN = 30.0             # bias of a gate that is always open, negative: closed


def gradients() -> Tensor:
    """Filters that take the neighbours' differences from the pixel between them."""
    filters = torch.zeros(len(NEIGHBOURS), 1, 3, 3)
    for row, (y, x) in enumerate(NEIGHBOURS):
        filters[row, 0, y, x], filters[row, 0, 1, 1] = 1, -1
    return filters


def offsets() -> Tensor:
    """Squares and the product of the distances from the centre that the exponent weighs, (KERNEL * KERNEL) x 3."""
    axis = torch.arange(KERNEL) - CENTRE
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return -0.5 * torch.stack((x * x, y * y, 2 * x * y), -1).flatten(0, 1)


class Attended(nn.Module):
    """An RCAB of the free channels."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(REST, FEATURES, 3, padding=1), nn.Conv2d(FEATURES, REST, 3, padding=1)
        self.down, self.up = nn.Linear(REST, REDUCED), nn.Linear(REDUCED, REST)

    def forward(self, x: Tensor) -> Tensor:
        y = self.two(self.one(x).relu())
        return x + y * self.up(self.down(y.mean((2, 3))).relu()).sigmoid()[:, :, None, None]


class Probe(nn.Module):
    """What is trained: N x 1 x H x W lumas of 0 to 1 to N x 3, the inverse covariance (xx, yy, xy) of the blur."""

    def __init__(self) -> None:
        super().__init__()
        self.filters, self.found = nn.Conv2d(len(NEIGHBOURS), FILTERS, 3, bias=False), nn.Conv2d(FILTERS, FOUND, 1,
                                                                                                 bias=False)
        self.second, self.chosen = nn.Conv2d(FOUND, FEATURES, 3), nn.Conv2d(FEATURES, REST, 1, bias=False)
        self.blocks = nn.Sequential(Attended(), Attended())
        self.last = nn.Sequential(nn.Conv2d(REST, LAST, 3, padding=1), nn.Conv2d(LAST, 1, 3, padding=1))
        self.out = nn.Linear(KERNEL * KERNEL, 3)
        with torch.no_grad():
            self.filters.weight.mul_(3)
            self.found.weight.mul_(2)
            self.out.weight.mul_(0.1)
            self.out.bias.copy_(torch.tensor([0.5, 0.5, 0.0]))

    @staticmethod
    def divisor(differences: Tensor, pixels: int) -> Tensor:
        """About LEVEL / A, N x 1 x 1 x 1."""
        mean = differences[:, :2].abs().sum((1, 2, 3), keepdim=True) / pixels
        gates = torch.sigmoid(torch.tensor(BIAS) - torch.tensor(SLOPE) * mean)
        return LEVEL * (torch.tensor(HEIGHT) * gates).sum(3, keepdim=True)

    def forward(self, luma: Tensor, fast: bool = False) -> Tensor:
        """fast: filters in bfloat16."""
        differences = F.conv2d(luma.contiguous(memory_format=torch.channels_last), gradients())
        divisor = self.divisor(differences, luma.shape[2] * luma.shape[3])
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            found = self.found(self.filters(differences).relu())
            found = self.chosen(self.second(found * divisor.to(found.dtype)).relu())
        areas = F.adaptive_avg_pool2d(F.pad(found.float(), (REACH,) * 4), KERNEL)
        return self.out(self.last(self.blocks(areas)).flatten(1))


def gaussians(precision: Tensor) -> Tensor:
    """The kernels of inverse covariances, N x KERNEL x KERNEL."""
    return (precision @ offsets().T).softmax(1).view(-1, KERNEL, KERNEL)


def border_sums(probe: Probe) -> tuple[float, float]:
    """The largest sums of `filters` and of `second`, not divided, where they reach beyond the border of a white
    picture, which is zero outside."""
    white = torch.ones(1, 1, 16, 16)
    sums = F.conv2d(F.conv2d(white, gradients(), padding=1), probe.filters.weight, padding=1)
    return sums.max().item(), F.conv2d(probe.found(sums.relu()), probe.second.weight, padding=1).max().item()


def first_block(probe: Probe, state: dict[str, Tensor]) -> None:
    """in_conv and body1.0."""
    colours = slice(3 * (WINDOW // 2), 3 * (WINDOW // 2) + 3)
    state["in_conv.weight"][DIFFERENCES:DIVIDED, colours] = gradients() * (GAIN / 3)
    state["in_conv.bias"][ONES] = 1
    one, two, down, up = (f"body1.0.body.{name}" for name in ("0", "2", "3.conv_du.0", "3.conv_du.2"))
    inside, magnitudes, ones = slice(FILTERS), slice(FILTERS, FILTERS + 4), FILTERS + 4
    state[f"{one}.weight"][inside, DIFFERENCES:DIVIDED] = probe.filters.weight
    for row in range(4):  # two signs of the differences to the right and down
        state[f"{one}.weight"][FILTERS + row, DIFFERENCES + row // 2, 1, 1] = 1 - 2 * (row % 2)
    guard(state, one, slice(FILTERS + 4), ONES, GAIN * max(1.0, border_sums(probe)[0]))
    state[f"{one}.weight"][ones, ONES] = 1
    state[f"{one}.bias"][ones] = -8  # leaves ones without the outermost ring
    state[f"{two}.weight"][ONES, magnitudes, 1, 1] = 1  # for the attention to see, and not added
    state[f"{up}.bias"][:DIVIDED] = -OPEN
    for gate in range(GATES):
        rows = slice(DIVIDED + gate, INNER, GATES)
        state[f"{two}.weight"][rows, inside, 1, 1] = probe.found.weight[:, :, 0, 0]
        state[f"{up}.weight"][rows, 0, 0, 0] = -SLOPE[gate]
        state[f"{up}.bias"][rows] = BIAS[gate]
    state[f"{down}.weight"][0, ONES, 0, 0] = 1 / GAIN
    state[f"{two}.weight"][INNER, ones] = 1
    state[f"{two}.bias"][INNER] = -8  # ones, and less than -1 on two rings
    state[f"{up}.bias"][INNER:] = OPEN


def second_block(probe: Probe, state: dict[str, Tensor]) -> None:
    """body1.1, on what is divided."""
    one, two, up = (f"body1.1.body.{name}" for name in ("0", "2", "3.conv_du.2"))
    for gate in range(GATES):
        state[f"{one}.weight"][:, DIVIDED + gate:INNER:GATES] = (LEVEL * HEIGHT[gate] / GAIN) * probe.second.weight
    state[f"{one}.weight"][:, ONES, 1, 1] = probe.second.bias  # would be lost in 16 bits beside the guard's
    largest = LARGEST * border_sums(probe)[1] + probe.second.bias.max().item()
    guard(state, one, slice(FEATURES), INNER, max(1.0, largest))
    state[f"{two}.weight"][FREE:, :, 1, 1] = probe.chosen.weight[:, :, 0, 0]
    state[f"{up}.bias"][:] = OPEN


def guard(state: dict[str, Tensor], name: str, rows: slice, ones: int, largest: float) -> None:
    """Pulls rows below zero wherever their nine taps do not all see a one; at least three do not. What texture adds to
    the largest sum of a border is allowed for by as much again. A power of two leaves most of a small sum."""
    weight = 2.0 ** math.ceil(math.log2(2 * largest / 3))
    state[f"{name}.weight"][rows, ones] = weight
    state[f"{name}.bias"][rows] -= 9 * weight


def rest(probe: Probe, state: dict[str, Tensor]) -> None:
    """body2 and the last layers."""
    for index, block in enumerate(probe.blocks):
        one, two, down, up = (f"body2.{index}.body.{name}" for name in ("0", "2", "3.conv_du.0", "3.conv_du.2"))
        state[f"{one}.weight"][:, FREE:], state[f"{one}.bias"][:] = block.one.weight, block.one.bias
        state[f"{two}.weight"][FREE:], state[f"{two}.bias"][FREE:] = block.two.weight, block.two.bias
        state[f"{down}.weight"][:, FREE:, 0, 0], state[f"{down}.bias"][:] = block.down.weight, block.down.bias
        state[f"{up}.weight"][FREE:, :, 0, 0], state[f"{up}.bias"][FREE:] = block.up.weight, block.up.bias
    state["body2.2.weight"][:, FREE:], state["body2.2.bias"][:] = probe.last[0].weight, probe.last[0].bias
    state["body2.3.weight"][:], state["body2.3.bias"][:] = probe.last[1].weight, probe.last[1].bias
    state["fc_net.0.weight"][:3], state["fc_net.0.bias"][:3] = probe.out.weight, probe.out.bias
    state["fc_net.1.weight"][:, :3] = offsets()


@torch.no_grad()
def expanded(probe: Probe, shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """The tensors of a KernelNet of the published widths that computes the same, by their names in it."""
    state = {name: torch.zeros(*shape) for name, shape in shapes.items()}
    first_block(probe, state)
    second_block(probe, state)
    rest(probe, state)
    return state


@torch.no_grad()
def contracted(state: Mapping[str, Tensor]) -> Probe:
    """The probe that `state` was expanded from. Errors: ValueError where it was not made like that."""
    probe = Probe()
    one, two = (state[f"body1.0.body.{name}.weight"] for name in ("0", "2"))
    probe.filters.weight.copy_(one[:FILTERS, DIFFERENCES:DIVIDED])
    probe.found.weight[:, :, 0, 0] = two[DIVIDED:INNER:GATES, :FILTERS, 1, 1]
    one, two = (state[f"body1.1.body.{name}.weight"] for name in ("0", "2"))
    probe.second.weight.copy_(one[:, DIVIDED:INNER:GATES] * (GAIN / (LEVEL * HEIGHT[0])))
    probe.second.bias.copy_(one[:, ONES, 1, 1])
    probe.chosen.weight[:, :, 0, 0] = two[FREE:, :, 1, 1]
    for index, block in enumerate(probe.blocks):
        names = (f"body2.{index}.body.{name}" for name in ("0", "2", "3.conv_du.0", "3.conv_du.2"))
        one, two, down, up = ((state[f"{name}.weight"], state[f"{name}.bias"]) for name in names)
        block.one.weight.copy_(one[0][:, FREE:]), block.one.bias.copy_(one[1])
        block.two.weight.copy_(two[0][FREE:]), block.two.bias.copy_(two[1][FREE:])
        block.down.weight.copy_(down[0][:, FREE:, 0, 0]), block.down.bias.copy_(down[1])
        block.up.weight.copy_(up[0][FREE:, :, 0, 0]), block.up.bias.copy_(up[1][FREE:])
    probe.last[0].weight.copy_(state["body2.2.weight"][:, FREE:]), probe.last[0].bias.copy_(state["body2.2.bias"])
    probe.last[1].weight.copy_(state["body2.3.weight"]), probe.last[1].bias.copy_(state["body2.3.bias"])
    probe.out.weight.copy_(state["fc_net.0.weight"][:3]), probe.out.bias.copy_(state["fc_net.0.bias"][:3])
    again = expanded(probe, {name: value.shape for name, value in state.items()})
    if any((again[name] - value).abs().max() > 0.01 * value.abs().max() for name, value in state.items()):
        raise ValueError("its kernel network was not made by kernelfit.py")
    return probe
