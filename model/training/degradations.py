# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the world does to a sharp picture before it is enlarged, as batched tensor operations on any device.

Kernels are N x TAPS x TAPS, taps at half-pixel distances from the middle of a 4 x 4 block (center phase), in
high-resolution pixels. Frames are N x K x 3 x H x W in [0, 1].
"""
from __future__ import annotations

import math
from typing import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

SCALE = 4
REACH = 12  # high-resolution pixels that a kernel reaches: three lobes of Lanczos, four sigma of the widest Gaussian
TAPS = 2 * REACH

# Shares of the kinds of kernels: a scaler that averages, one that only interpolates, a lens and then a scaler, a
# Gaussian, a disc out of focus; and of the scalers.
KINDS = {"scaler": 0.46, "plain": 0.01, "soft": 0.05, "gauss": 0.46, "disc": 0.02}
SCALERS = {"bicubic -0.5": 0.2, "bicubic -0.6": 0.3, "bicubic -0.75": 0.15, "area": 0.13, "bilinear": 0.1,
           "lanczos": 0.12}
LOBES = 3  # of Lanczos

SIGMA = (0.4, 3.0)         # of the Gaussians, high-resolution pixels
SHORTER = (0.25, 0.5)      # a share of the Gaussians is shorter across, down to this ratio
LENS = (0.4, 1.6)          # sigma of a lens in front of a scaler
SMOOTHING = (0.25, 0.5, 0.25)      # along each axis, what a sharpening takes the difference to
SHARPENED = (0.03, 0.2, 0.8)       # share of the windows that were sharpened, least and largest amount
NOISY = (0.08, 3 / 255)            # share of the windows with noise, its largest standard deviation
QUANTUM = (2 / 255, 56 / 255)      # steps of the quantised transforms
DEAD_ZONE = 0.35                   # what is added before rounding down

# ITU-R BT.601, full range
TO_YCC = ((.299, .587, .114), (-.168736, -.331264, .5), (.5, -.418688, -.081312))


def cubic(x: Tensor, a: float) -> Tensor:
    """Keys' cubic convolution; a is its slope at 1."""
    x = x.abs()
    near, far = (a + 2) * x ** 3 - (a + 3) * x ** 2 + 1, a * (x ** 3 - 5 * x ** 2 + 8 * x - 4)
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def scaler_line(name: str, distance: Tensor) -> Tensor:
    """A scaler's weights at distances in pixels of its wider grid."""
    if name.startswith("bicubic"):
        return cubic(distance, float(name.split()[1]))
    if name == "bilinear":
        return (1 - distance.abs()).clamp(min=0)
    if name == "area":
        return (distance.abs() < 0.5).float()
    if name == "lanczos":
        return torch.sinc(distance) * torch.sinc(distance / LOBES) * (distance.abs() < LOBES)
    raise ValueError(f"{name}: no such scaler")


class Degrader:
    """Draws kernels and applies what follows them."""

    def __init__(self, device: torch.device, generator: torch.Generator) -> None:
        self.device, self.generator = device, generator
        self.axis = torch.arange(TAPS, device=device) - (REACH - 0.5)
        lines = torch.stack([scaler_line(name, self.axis / SCALE) for name in SCALERS])
        self.lines = lines / lines.sum(1, keepdim=True)
        plain = torch.stack([scaler_line(name, self.axis) for name in ("bicubic -0.6", "bilinear")])
        self.plain = plain / plain.sum(1, keepdim=True)
        self.to_ycc = torch.tensor(TO_YCC, device=device)
        self.to_rgb = torch.linalg.inv(self.to_ycc.cpu()).to(device)
        self.transforms = {size: cosine_transform(size).to(device) for size in (4, 8)}

    def rand(self, *shape: int) -> Tensor:
        """Uniform in 0 to 1."""
        return torch.rand(*shape, device=self.device, generator=self.generator)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, device=self.device, generator=self.generator)

    def choice(self, weights: Iterable[float], count: int) -> Tensor:
        """Indices, drawn by their weights."""
        weights = torch.tensor(list(weights), dtype=torch.float32)
        return torch.multinomial(weights.to(self.device), count, True, generator=self.generator)

    def gaussians(self, count: int, low: float, high: float) -> Tensor:
        """Gaussians, a quarter of them longer one way."""
        sigma = low + (high - low) * self.rand(count, 1, 1)
        ratio = SHORTER[1] + (1 - SHORTER[1]) * self.rand(count, 1, 1)
        ratio = torch.where(self.rand(count, 1, 1) < SHORTER[0], ratio, torch.ones_like(sigma))
        angle = math.pi * self.rand(count, 1, 1)
        x, y = self.axis.view(1, 1, -1), self.axis.view(1, -1, 1)
        along, across = angle.cos() * x + angle.sin() * y, angle.cos() * y - angle.sin() * x
        density = torch.exp(-0.5 * ((along / sigma) ** 2 + (across / (sigma * ratio).clamp(min=SIGMA[0])) ** 2))
        return density / density.sum((1, 2), keepdim=True)

    def scalers(self, lines: Tensor, weights: Iterable[float], count: int) -> Tensor:
        line = lines[self.choice(weights, count)]
        return line[:, :, None] * line[:, None, :]

    def discs(self, count: int) -> Tensor:
        """A lens out of focus."""
        radius = 1 + 3 * self.rand(count, 1, 1)
        distance = (self.axis ** 2 + self.axis[:, None] ** 2).sqrt()
        disc = (radius + 0.5 - distance).clamp(0, 1)
        return disc / disc.sum((1, 2), keepdim=True)

    def behind_lens(self, weights: Tensor) -> Tensor:
        """Kernels after a Gaussian each."""
        lens = self.gaussians(len(weights), *LENS)
        # on whole pixels: the mean of the four half-pixel taps around
        lens = (lens[:, 1:, 1:] + lens[:, :-1, :-1] + lens[:, 1:, :-1] + lens[:, :-1, 1:]) / 4
        both = F.conv2d(weights[None], lens[:, None], padding=TAPS // 2 - 1, groups=len(weights))[0]
        return both / both.sum((1, 2), keepdim=True)

    def blurs(self, count: int) -> Tensor:
        """Kernels of all KINDS."""
        scaler = self.scalers(self.lines, SCALERS.values(), count)
        kinds = {"scaler": scaler, "plain": self.scalers(self.plain, (1, 1), count), "soft": self.behind_lens(scaler),
                 "gauss": self.gaussians(count, *SIGMA), "disc": self.discs(count)}
        kind = self.choice(KINDS.values(), count)
        return torch.stack([kinds[name] for name in KINDS])[kind, torch.arange(count, device=self.device)]

    def sharpened(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Some windows with the halo of a mild sharpening, and the amount of each, N."""
        share, least, most = SHARPENED
        draw = self.rand(2, len(frames), 1, 1, 1, 1)
        amount = (least + (most - least) * draw[0]) * (draw[1] < share)
        line = torch.tensor(SMOOTHING, device=self.device)
        taps = (line[:, None] * line)[None, None]
        flat = frames.reshape(-1, 1, *frames.shape[3:])
        smooth = F.conv2d(F.pad(flat, (1,) * 4, mode="replicate"), taps).view_as(frames)
        return frames + amount * (frames - smooth), amount.flatten()

    def noisy(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Some windows with Gaussian noise, fresh in every frame, and its standard deviation in each, N."""
        draw = self.rand(2, len(frames), 1, 1, 1, 1)
        strength = NOISY[1] * draw[0] * (draw[1] < NOISY[0])
        return frames + self.normal(*frames.shape) * strength, strength.flatten()

    def chroma(self, frames: Tensor, share: float) -> Tensor:
        """Some windows through 4:2:0, where their sides are even."""
        n, k, _, height, width = frames.shape
        if height % 2 or width % 2:
            return frames
        ycc = torch.einsum("ij,nkjyx->nkiyx", self.to_ycc, frames)
        small = F.avg_pool2d(ycc[:, :, 1:].flatten(0, 1), 2)
        back = F.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False).view(n, k, 2, height, width)
        through = torch.einsum("ij,nkjyx->nkiyx", self.to_rgb, torch.cat((ycc[:, :, :1], back), 2))
        return torch.where(self.rand(n, 1, 1, 1, 1) < share, through, frames)

    def quantised(self, frames: Tensor, share: float, size: int) -> tuple[Tensor, Tensor]:
        """A stand-in for codecs: quantised size x size transforms, with a dead zone, of the first frame and of what
        changes after it. A share of the windows, one strength for each; none where the sides are no multiples. And of
        each window, N, whether it went through it: 1 or 0."""
        count, length, _, height, width = frames.shape
        if height % size or width % size or not share:
            return frames, frames.new_zeros(count)
        ycc = torch.einsum("ij,nkjyx->nkiyx", self.to_ycc, frames)
        step = QUANTUM[0] * torch.exp(self.rand(count, 1, 1, 1, 1, 1) * math.log(QUANTUM[1] / QUANTUM[0]))
        matrix, coded, before = self.transforms[size], [], torch.full_like(ycc[:, 0], 0.5)
        for index in range(length):
            rest = ycc[:, index] - before
            levels = matrix @ rest.unfold(2, size, size).unfold(3, size, size) @ matrix.T
            quantum = step if index == 0 else 1.3 * step  # what is predicted is coded more coarsely
            levels = torch.sign(levels) * torch.floor(levels.abs() / quantum + DEAD_ZONE) * quantum
            before = before + (matrix.T @ levels @ matrix).permute(0, 1, 2, 4, 3, 5).reshape_as(rest)
            coded.append(before)
        pictures = torch.einsum("ij,nkjyx->nkiyx", self.to_rgb, torch.stack(coded, 1))
        through = self.rand(count, 1, 1, 1, 1) < share
        return torch.where(through, pictures, frames), through.flatten().float()


def cosine_transform(size: int) -> Tensor:
    """The orthonormal DCT-II matrix."""
    k, i = torch.arange(size)[:, None], torch.arange(size)
    matrix = torch.cos(math.pi * (2 * i + 1) * k / (2 * size)) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix


def aliasing(weights: Tensor) -> Tensor:
    """Of each kernel the share of its energy at frequencies that the subsampled grid cannot hold, 0 to 1."""
    size = 4 * TAPS
    energy = torch.fft.fft2(weights, s=(size, size)).abs().square()
    held = (torch.fft.fftfreq(size, device=weights.device).abs() <= 0.5 / SCALE).to(energy)
    return 1 - torch.einsum("nyx,y,x->n", energy, held, held) / energy.sum((1, 2))


def blur_down(planes: Tensor, weights: Tensor) -> Tensor:
    """N x C x H x W to N x C x (H - TAPS) / 4 + 1 x (W - TAPS) / 4 + 1: one kernel an image, at every fourth half-pixel
    position, the first of which is TAPS / 2 - 1/2."""
    flat = planes.reshape(1, -1, *planes.shape[2:])
    taps = weights.repeat_interleave(planes.shape[1], 0)[:, None]
    low = F.conv2d(flat, taps, stride=SCALE, groups=len(taps))
    return low.view(*planes.shape[:2], *low.shape[2:])


def blur(planes: Tensor, weights: Tensor) -> Tensor:
    """N x C x S x S to N x C x (S - TAPS + 1)^2: as blur_down, at every half-pixel position, by Fourier transform."""
    size = planes.shape[2:]
    spectrum = torch.fft.rfft2(planes) * torch.fft.rfft2(weights, s=size).conj()[:, None]
    return torch.fft.irfft2(spectrum, s=size)[:, :, :size[0] - TAPS + 1, :size[1] - TAPS + 1]
