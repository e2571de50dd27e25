# SPDX-License-Identifier: LGPL-2.1-or-later
"""The degradation (modulation.py) of training windows: known where they are drawn, fitted where a real encoder was at
work; and what an estimate makes of it."""
from __future__ import annotations

import functools
import math

import torch
from torch import Tensor
from torch.nn import functional as F

from degradations import REACH, SCALE, SCALERS, SMOOTHING, TO_YCC, Degrader
from modulation import FREQUENCIES, RESPONSE, lines, response

FITTED_SIGMAS = tuple(k / 10 for k in range(4, 31))  # of the Gaussians that a coded window is compared with
FITTED_BORDER = 4                                    # low-resolution pixels: the picture's goes on unknown

# What an estimate is off by: the response by a standard deviation of up to OFF, in a share of the windows by FAR_OFF,
# half of it the same at all frequencies; the noise by a share and by an amount; the codec by a little, in a share of
# the windows by anything.
OFF, FAR_OFF = 0.05, (0.1, 0.15)
OFF_NOISE = (0.2, 0.1)
OFF_CODEC, FAR_OFF_CODEC = 0.1, 0.08


def blurred_only(kernels: Tensor) -> Tensor:
    """z, N x 7, of windows reduced with N x TAPS x TAPS kernels, without noise and codec."""
    return torch.cat((response(kernels), kernels.new_zeros(len(kernels), 2)), 1)


def blurred_and_coded(responses: Tensor) -> Tensor:
    """z, N x 7, of windows with these responses, N x 5, that went through an encoder: it leaves no noise."""
    return torch.cat((responses, responses.new_zeros(len(responses), 1), responses.new_ones(len(responses), 1)), 1)


def sharpened_response(responses: Tensor, amount: Tensor) -> Tensor:
    """Responses N x 5 of windows that were sharpened in their small pixels, by the amounts N (Degrader.sharpened)."""
    side, middle, _ = SMOOTHING
    smooth = torch.tensor([middle + 2 * side * math.cos(2 * math.pi * SCALE * f) for f in FREQUENCIES]).to(responses)
    return responses * (1 + amount[:, None] * (1 - smooth))


@functools.lru_cache(maxsize=4)
def candidates(device: torch.device) -> tuple[Tensor, Tensor]:
    """Lines, K x TAPS, of the kernels that a coded window may have been reduced with, and their responses, K x 5."""
    found = lines(SCALERS, FITTED_SIGMAS).to(device)
    return found, response(found[:, :, None] * found[:, None, :])


def fitted_response(frames: Tensor, targets: Tensor) -> Tensor:
    """N x 5: that of the candidate with which the targets, N x 3 x 4h x 4w, come nearest to the frames, N x 3 x h x w,
    in luma."""
    found, responses = candidates(frames.device)
    count = len(found)
    luma = torch.tensor(TO_YCC[0]).to(frames).view(1, 3, 1, 1)
    frames, targets = ((x * luma).sum(1, keepdim=True) for x in (frames, targets))
    padded = F.pad(targets, (REACH - SCALE // 2,) * 4, mode="replicate")
    across = F.conv2d(padded, found.view(count, 1, 1, -1), stride=(1, SCALE))
    small = F.conv2d(across, found.view(count, 1, -1, 1), stride=(SCALE, 1), groups=count)
    inner = slice(FITTED_BORDER, -FITTED_BORDER)
    return responses[(small - frames)[..., inner, inner].square().mean((2, 3)).argmin(1)]


def coded_degradation(frames: Tensor, targets: Tensor) -> Tensor:
    """z, N x 7, of center frames that went through an encoder (see fitted_response)."""
    return blurred_and_coded(fitted_response(frames, targets))


def middle_degradation(count: int = 4096) -> Tensor:
    """Seven numbers: the mean of z over drawn kernels, without noise and codec."""
    return blurred_only(Degrader(torch.device("cpu"), torch.Generator().manual_seed(1)).blurs(count)).mean(0)


def misjudged(degradation: Tensor, draw: Degrader) -> Tensor:
    """What an estimate makes of z, N x 7: a network that is trained with this does not lean on an exact one."""
    count = len(degradation)
    share, far = FAR_OFF
    off = torch.where(draw.rand(count, 1) < share, torch.full_like(degradation[:, :1], far), OFF * draw.rand(count, 1))
    both = draw.normal(count, RESPONSE) + draw.normal(count, 1)
    responses = degradation[:, :RESPONSE] + off * math.sqrt(0.5) * both
    noise = degradation[:, RESPONSE:-1]
    noise = (noise * (1 + OFF_NOISE[0] * draw.normal(count, 1)) + OFF_NOISE[1] * draw.normal(count, 1)).clamp(min=0)
    codec = degradation[:, -1:]
    codec = codec + torch.sign(0.5 - codec) * OFF_CODEC * draw.normal(count, 1).abs()
    codec = torch.where(draw.rand(count, 1) < FAR_OFF_CODEC, draw.rand(count, 1), codec).clamp(0, 1)
    return torch.cat((responses, noise, codec), 1)
