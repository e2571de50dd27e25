# SPDX-License-Identifier: LGPL-2.1-or-later
"""A network whose reconstruction follows the degradation of the video: the plain definition, for tests and training.

The degradation z is seven numbers:

    0 to 4  response of the blur kernel (blur and reduction together, centred, sum 1) at FREQUENCIES, cycles per
            high-resolution pixel, the mean of the horizontal and the vertical one
    5       standard deviation of the noise in the small frames, of 1, times 100
    6       how much a lossy codec was at work, 0 to 1

`Modulation` makes gains of it for the outputs of the fusion convolution and of all convolutions of the reconstruction
trunk. `DegradationNet` estimates it from `consistency`: how well the picture that the network made under one known
degradation, the probe, agrees with the frame it was made of once it is blurred with each of a few known kernels and
reduced. A new probe is a wide blur: a picture of something less blurred is overdrawn then, and this shows. One that
was made for something sharp agrees with any frame that is softer.
"""
from __future__ import annotations

import math
from typing import Iterable, Optional

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from degradations import REACH, SCALE, TAPS, scaler_line

FREQUENCIES = (0.0625, 0.09375, 0.125, 0.1875, 0.25)  # cycles per high-resolution pixel
RESPONSE = len(FREQUENCIES)                           # numbers in z that say the response
DEGRADATION = RESPONSE + 2                            # numbers in z
RESPONSE_LIMITS, NOISE_LIMIT = (-0.3, 1.3), 3.0       # of what is estimated
KNOWN_SCALERS = ("bicubic -0.6", "area", "bilinear", "lanczos")
KNOWN_SIGMAS = (0.4, 0.7, 1.0, 1.3, 1.6, 1.9, 2.2, 2.5, 2.8, 3.2, 3.6)  # of Gaussians, high-resolution pixels
FEATURES = len(KNOWN_SCALERS) + len(KNOWN_SIGMAS) + 1
EPSILON = 1e-6
HIDDEN, ESTIMATOR_HIDDEN = 64, 32  # widths of a new Modulation and a new DegradationNet
PROBE_SIGMA = 2.8  # of the Gaussian that a new DegradationNet takes its features under, high-resolution pixels


def axis() -> Tensor:
    """Distances of a kernel's TAPS taps from the middle of a block, high-resolution pixels: -11.5 to 11.5."""
    return torch.arange(TAPS) - (REACH - 0.5)


def lines(scalers: Iterable[str], sigmas: Iterable[float]) -> Tensor:
    """The weights along one axis of separable kernels, scalers stretched by 4 and Gaussians, K x TAPS, with sum 1."""
    found = torch.stack([*(scaler_line(name, axis() / SCALE) for name in scalers),
                         *(torch.exp(-0.5 * (axis() / sigma) ** 2) for sigma in sigmas)])
    return found / found.sum(1, keepdim=True)


def known_lines() -> Tensor:
    """Of the kernels that a picture is reduced with to measure its consistency, 15 x TAPS."""
    return lines(KNOWN_SCALERS, KNOWN_SIGMAS)


def probe() -> Tensor:
    """z of a Gaussian of PROBE_SIGMA, without noise and codec."""
    line = lines((), (PROBE_SIGMA,))[0]
    return torch.cat((response((line[:, None] * line)[None])[0], torch.zeros(DEGRADATION - RESPONSE)))


def response(kernels: Tensor) -> Tensor:
    """z[0..4] of N x TAPS x TAPS kernels with sum 1 (taps as in axis()): N x 5."""
    waves = torch.cos(2 * math.pi * torch.tensor(FREQUENCIES)[:, None] * axis()).to(kernels)
    return 0.5 * (kernels.sum(1) @ waves.T + kernels.sum(2) @ waves.T)


def reduced(pictures: Tensor, line: Tensor) -> Tensor:
    """N x C x 4h x 4w pictures, continued at their borders by the outermost pixels, blurred with the separable kernel
    of `line` and reduced by 4 in the center phase: N x C x h x w."""
    margin = REACH - SCALE // 2
    padded = F.pad(pictures.flatten(0, 1)[:, None], (margin,) * 4, mode="replicate")
    across = F.conv2d(padded, line.view(1, 1, 1, -1), stride=(1, SCALE))
    return F.conv2d(across, line.view(1, 1, -1, 1), stride=(SCALE, 1)).unflatten(0, pictures.shape[:2])[:, :, 0]


def consistency(frames: Tensor, pictures: Tensor) -> Tensor:
    """The features of an estimate, N x 16, of center frames N x C x h x w in [0, 1] and the pictures N x C x 4h x 4w
    that the network made of them under the probe (clamped here).

    With e_k the mean squared difference of the frame and the picture reduced with kernel k, in the order of
    known_lines(): log(e_k + eps) - log(mean_k(e) + eps) of each, and log(mean_k(e) + eps).
    """
    pictures = pictures.clamp(0, 1)
    errors = torch.stack([(reduced(pictures, line) - frames).square().mean((1, 2, 3))
                          for line in known_lines().to(pictures)], 1)
    level = (errors.mean(1, keepdim=True) + EPSILON).log()
    return torch.cat(((errors + EPSILON).log() - level, level), 1)


class Modulation(nn.Sequential):
    """Gains N x (1 + 2B) x C of z, N x 7: of fusion_conv, then of conv1 and conv2 of each of the B blocks. The gain of
    a conv1 applies before the ReLU, that of a conv2 before the addition. A new one has gains of 1 everywhere."""

    def __init__(self, features: int, blocks: int, hidden: int) -> None:
        super().__init__(nn.Linear(DEGRADATION, hidden), nn.Linear(hidden, hidden),
                         nn.Linear(hidden, (1 + 2 * blocks) * features))
        self.features = features
        nn.init.zeros_(self[2].weight)
        nn.init.zeros_(self[2].bias)

    def forward(self, degradation: Tensor) -> Tensor:
        with torch.autocast(degradation.device.type, enabled=False):
            hidden = F.relu(self[1](F.relu(self[0](degradation))))
            return (1 + self[2](hidden)).unflatten(1, (-1, self.features))


class DegradationNet(nn.Sequential):
    """z, N x 7, of consistency(), N x 16. `probe`, 7 numbers, is the z that the features are measured under; `neutral`
    is the one that is used where nothing is estimated. A new net estimates the neutral z, whatever the features."""

    def __init__(self, hidden: int) -> None:
        super().__init__(nn.Linear(FEATURES, hidden), nn.Linear(hidden, DEGRADATION))
        self.register_buffer("neutral", torch.tensor([1.0] * RESPONSE + [0.0, 0.0]))
        self.register_buffer("probe", probe())
        nn.init.zeros_(self[1].weight)
        self.set_neutral(self.neutral)

    @torch.no_grad()
    def set_neutral(self, neutral: Tensor) -> None:
        """Also what is estimated of features that the rest of the net says nothing of."""
        self.neutral.copy_(neutral)
        self[1].bias.copy_(neutral)

    def forward(self, features: Tensor) -> Tensor:
        return limited(self[1](F.relu(self[0](features))))


def limited(degradation: Tensor) -> Tensor:
    """z within its range: no kernel, noise or codec that a network learns from lies beyond, and gains for one that did
    would be far from all that it knows."""
    response_, noise, codec = degradation.split((RESPONSE, 1, 1), 1)
    return torch.cat((response_.clamp(*RESPONSE_LIMITS), noise.clamp(0, NOISE_LIMIT), codec.clamp(0, 1)), 1)


class Modulated:
    """What the forms of a network share that may be modulated: a mixin of nn.Module."""

    def add_modulation(self, features: int, blocks: int, hidden: int, estimator: int) -> None:
        """The modules, under the names of their tensors. hidden 0: none."""
        if hidden:
            self.modulation = Modulation(features, blocks, hidden)
            self.degradation_net = DegradationNet(estimator)

    def probe(self, count: int) -> Tensor:
        """The degradation, N x 7, that the features of `count` windows are measured under."""
        return self.degradation_net.probe.expand(count, -1)

    def gains(self, degradation: Optional[Tensor], count: int) -> Optional[Tensor]:
        """Of `count` windows, N x (1 + 2 blocks) x C, under a degradation N x 7 (None: the neutral one). None for a
        network that is not modulated."""
        if not hasattr(self, "modulation"):
            if degradation is not None:
                raise ValueError("a degradation is of no use to a network that is not modulated")
            return None
        return self.modulation(self.degradation_net.neutral.expand(count, -1) if degradation is None else degradation)


def scaled(x: Tensor, gains: Optional[Tensor]) -> Tensor:
    """N x C x H x W times gains N x C, in the precision of x; None: as it is."""
    return x if gains is None else x * gains[..., None, None].to(x.dtype)


def through_blocks(blocks: Iterable[nn.Module], x: Tensor, gains: Optional[Tensor]) -> Tensor:
    """The residual blocks of a reconstruction, each with its part of Modulated.gains()."""
    for index, block in enumerate(blocks):
        x = block(x, None if gains is None else gains[:, 1 + 2 * index:3 + 2 * index])
    return x
