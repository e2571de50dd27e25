# SPDX-License-Identifier: LGPL-2.1-or-later
"""The terms that training minimises.

The self-supervised ones are those of the Self-Blind-VSR paper, with the weights of its code. Kernels are
N x 1 x ksize x ksize, anchored on the top-left pixel of a block (see blur.py): `offset`, high-resolution pixels, says
how far right of and below the middle entry their center belongs, 0 in phase topleft and (scale - 1) / 2 in phase
center.
"""
from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from reference import SEARCH, correlate

BOUNDARY_HEIGHT = 30.0
TINY = 1e-12  # below it the slope of the square root is taken for 0

# Weights of the sum of the self-supervised terms; the two differences of pictures have 1.
BOUNDARIES, SPARSITY, CENTER = 0.5, 0.04, 1.0


def blur_down(frames: Tensor, blur: Tensor, scale: int) -> Tensor:
    """N x ... x C x H x W blurred, each by its own kernel, and subsampled; the picture continued by its edge."""
    count, half = len(frames), blur.shape[-1] // 2
    planes = frames.reshape(1, -1, *frames.shape[-2:])
    padded = F.pad(planes, (half,) * 4, mode="replicate")
    taps = blur.repeat_interleave(planes.shape[1] // count, 0)
    low = F.conv2d(padded, taps, stride=scale, groups=len(taps))
    return low.reshape(*frames.shape[:-2], *low.shape[-2:])


def boundary_mask(ksize: int, offset: float) -> Tensor:
    """What an entry of a kernel costs: nothing near its center, and outside the more the further from there."""
    # KernelGAN's margin: the central region is 2 * reach + 1 wide
    margin = (ksize - (ksize // 2 + ksize % 2)) // 2 - 1
    reach = (ksize - 1) / 2 - margin
    distance = torch.arange(ksize, dtype=torch.float32) - (ksize - 1) / 2 - offset
    gauss = torch.exp(-distance ** 2 / (2.0 * ksize ** 2))
    gauss = gauss[:, None] * gauss
    outside = distance.abs() > reach
    return BOUNDARY_HEIGHT * (1 - gauss / gauss.max()) * (outside | outside[:, None])


def boundaries(blur: Tensor, offset: float) -> Tensor:
    return (blur * boundary_mask(blur.shape[-1], offset).to(blur)).abs().mean()


def sparsity(blur: Tensor) -> Tensor:
    return blur.abs().clamp(min=TINY).sqrt().mean()


def center_of_mass(blur: Tensor) -> Tensor:
    """N x 2, row and column."""
    axis = torch.arange(blur.shape[-1], dtype=blur.dtype, device=blur.device)
    rows, columns = blur.sum((1, 3)), blur.sum((1, 2))
    return torch.stack((rows @ axis, columns @ axis), 1) / blur.sum((1, 2, 3))[:, None]


def centering(blur: Tensor, offset: float) -> Tensor:
    """Mean square distance along an axis of the center of mass from where it belongs, pixels squared."""
    return (center_of_mass(blur) - ((blur.shape[-1] - 1) / 2 + offset)).square().mean()


def blur_terms(blur: Tensor, offset: float) -> dict[str, Tensor]:
    """What a kernel alone costs, weighted."""
    return {"boundaries": BOUNDARIES * boundaries(blur, offset), "sparsity": SPARSITY * sparsity(blur),
            "center": CENTER * centering(blur, offset)}


def charbonnier(a: Tensor, b: Tensor, knee: float = 1e-5 ** 0.5) -> Tensor:
    """Mean of differences that count squared below the knee and as they are above it."""
    return ((a - b).square() + knee ** 2).sqrt().mean()


def flicker(first: Tensor, second: Tensor, plain_first: Tensor, plain_second: Tensor, share: float) -> Tensor:
    """By how much pictures of one scene, N x C x H x W, differ more than `share` of what a plain scaler's do."""
    ours, plain = ((a - b).abs().mean((1, 2, 3)) for a, b in ((first, second), (plain_first, plain_second)))
    return (ours - share * plain).clamp(min=0).mean()


def flow_error(flows: list[Tensor], truth: Tensor) -> Tensor:
    """Mean end-point distance in pixels over all levels of the pyramid, the refined flow counting double."""
    total = truth.new_zeros(())
    for index, flow in enumerate(flows):
        target = F.interpolate(truth.flatten(0, 1), size=flow.shape[3:], mode="area")
        distance = ((flow[:len(truth)].flatten(0, 1) - target).square().sum(1) + 1e-4).sqrt().mean()
        total = total + distance * (2 if index == len(flows) - 1 else 1)
    return total / (len(flows) + 1)


def blur_error(blur: Tensor, truth: Tensor) -> Tensor:
    """Total variation distance of the kernels, 0 to 1, plus a twentieth of the distances of their first and second
    moments, pixels and pixels squared."""
    axis = torch.arange(blur.shape[-1], dtype=blur.dtype, device=blur.device)
    difference = blur - truth
    rows, columns = (difference.sum(d) for d in (3, 2))
    shift = (columns * axis).sum(2).abs() + (rows * axis).sum(2).abs()
    spread = (columns * (axis - axis.mean()) ** 2).sum(2).abs() + (rows * (axis - axis.mean()) ** 2).sum(2).abs()
    return 0.5 * difference.abs().sum((2, 3)).mean() + 0.05 * shift.mean() + 0.05 * spread.mean()


def matching_loss(pyramids: tuple[list[Tensor], list[Tensor]], truth: Tensor) -> Tensor:
    """Cross-entropy of the cost volume, as a choice among displacements, against the true one, at levels 2 and up.

    It teaches the features to be distinctive at once; from the flow error alone they start on a long plateau.
    truth is N x others x 2 x H x W; the pyramids may have more windows than it.
    """
    pairs, device = truth.shape[0] * truth.shape[1], truth.device
    steps = torch.arange(-SEARCH, SEARCH + 1.0, device=device).view(1, -1, 1, 1)
    total = truth.new_zeros(())
    for level, (first, second) in enumerate(zip(*pyramids), 1):
        if level < 2:
            continue
        volume = 4 * correlate(first[:pairs], second[:pairs]).float()
        height, width = volume.shape[2:]
        shift = F.interpolate(truth.flatten(0, 1), size=(height, width), mode="area") / 2 ** level
        x = torch.arange(width, device=device) + shift[:, 0]
        y = torch.arange(height, device=device)[:, None] + shift[:, 1]
        known = (shift.abs().amax(1) < SEARCH - 0.5) & (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
        across, down = ((1 - (shift[:, c:c + 1] - steps).abs()).clamp(min=0) for c in (0, 1))
        wanted = (down[:, :, None] * across[:, None]).flatten(1, 2)
        entropy = -(wanted * F.log_softmax(volume, 1)).sum(1)
        total = total + (entropy * known).sum() / known.sum().clamp(min=1)
    return total
