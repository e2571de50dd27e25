# SPDX-License-Identifier: LGPL-2.1-or-later
"""A network whose reconstruction follows the degradation of the video: the plain definition, for tests and training.

The degradation z is seven numbers:

    0 to 4  response of the blur kernel (blur and reduction together, centred, sum 1) at FREQUENCIES, cycles per
            high-resolution pixel, the mean of the horizontal and the vertical one
    5       standard deviation of the noise in the small frames, of 1, times 100
    6       how much a lossy codec was at work, 0 to 1

`Modulation` makes gains of it for the outputs of the fusion convolution and of all convolutions of the reconstruction
trunk. `DegradationNet` estimates it from `consistency`: how well the picture that the network made, blurred with each
of a few known kernels and reduced, agrees with the frame it was made of.
"""
from __future__ import annotations

import math
from typing import Iterable, Optional

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from degradations import REACH, SCALE, TAPS, scaler_line

FREQUENCIES = (0.0625, 0.09375, 0.125, 0.1875, 0.25)  # cycles per high-resolution pixel
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
