# SPDX-License-Identifier: LGPL-2.1-or-later
"""Training windows drawn where the network is trained: the material lies on the device as bytes, everything else is
batched tensor operations there.

A photograph becomes a window by moving over it (see Motion), some with a second one in front; a clip gives real motion
without a known flow; windows that went through a real encoder are made beforehand (coded_windows.py).
"""
from __future__ import annotations

import concurrent.futures
import pathlib
from dataclasses import dataclass
from typing import Optional, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from degradations import REACH, SCALE, Degrader, aliasing, blur, blur_down
from modulation import RESPONSE
from trainset import WINDOW
from true_degradation import blurred_only, sharpened_response

CENTER = WINDOW // 2
MARGIN = 8              # low-resolution pixels round a patch that the motion may reach
STILL = 0.1             # share of the planes that do not move at all
CHROMA = 0.3            # share of the windows through 4:2:0
DETAILED = 0.7          # share of the crops that are the better of two
CONTRAST = (0.4, 0.6)   # share of the windows with less contrast, the least of it
TEACHABLE = (0.1, 0.3)  # aliasing of kernels up to which a teacher knows as much as its pupil, from which it is not asked
WITH_CLIPS = ("windows", "all")  # stages
CODED_SHARE = 0.6       # of a teacher in the target of a coded window


@dataclass
class Batch:
    """frames N x 5 x 3 x P x P (N x 1 where single); target N x 3 x 4P x 4P; flow, of the first K windows,
    K x 4 x 2 x P x P; how much of the target a teacher may say, N, 0 to 1; the degradation, N x 7 (modulation.py)."""
    frames: Tensor
    target: Tensor
    flow: Optional[Tensor]
    teachable: Tensor
    degradation: Tensor


@dataclass
class Material:
    """Photographs 3 x H x W, clips N x 3 x H x W and coded windows (frames, targets), all uint8 on one device, and the
    degradations of these windows, N x 7."""
    stills: list[Tensor]
    clips: list[Tensor]
    coded_frames: Optional[Tensor] = None
    coded_targets: Optional[Tensor] = None
    coded_degradations: Optional[Tensor] = None


def load_still(path: pathlib.Path) -> list[Tensor]:
    """A photograph at full and at half size."""
    from PIL import Image
    image = np.asarray(Image.open(path).convert("RGB"))
    height, width = (n // 2 * 2 for n in image.shape[:2])
    half = image[:height, :width].reshape(height // 2, 2, width // 2, 2, 3).mean((1, 3), dtype=np.float32)
    both = image, np.rint(half).astype(np.uint8)
    return [torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))) for picture in both]


def load_stills(paths: Sequence[pathlib.Path], device: torch.device, workers: int = 16) -> list[Tensor]:
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        return [still.to(device) for group in pool.map(load_still, paths) for still in group]


class Motion:
    """Random smooth motion of N planes: a point p of the center frame is at A_k p + t_k in frame k, low-resolution
    pixels from the middle of the patch."""

    def __init__(self, draw: Degrader, count: int, patch: int) -> None:
        device = draw.device
        self.patch = patch
        time = torch.arange(WINDOW, device=device) - float(CENTER)
        speed = torch.tensor([0.3, 1.0, 2.5], device=device)[draw.choice((.35, .4, .25), count)]
        jitter = torch.tensor([0, .15, .5], device=device)[draw.choice((.4, .4, .2), count)]
        moves = (draw.rand(count, 1, 1) > STILL).float()
        shift = (draw.normal(count, 1, 2) * speed.view(-1, 1, 1) * time[:, None]
                 + draw.normal(count, WINDOW, 2) * jitter.view(-1, 1, 1) * (time != 0)[:, None])
        self.shift = (shift * moves).clamp(-8, 8)
        turn = 0.008 * moves[:, 0]
        angle = draw.normal(count, 1) * turn * (draw.rand(count, 1) < 0.5) * time
        zoom = 1 + draw.normal(count, 1) * turn * (draw.rand(count, 1) < 0.5) * time
        self.matrix = torch.stack((zoom * angle.cos(), -zoom * angle.sin(), zoom * angle.sin(), zoom * angle.cos()),
                                  2).view(count, WINDOW, 2, 2)
        axis = torch.arange(patch, device=device) - (patch - 1) / 2
        self.points = torch.stack((axis.expand(patch, patch), axis[:, None].expand(patch, patch)), 2)

    def flow(self) -> Tensor:
        """N x 4 x 2 x P x P, from the center to the others."""
        moved = torch.einsum("nkij,yxj->nkyxi", self.matrix, self.points) + self.shift[:, :, None, None]
        flow = (moved - self.points).permute(0, 1, 4, 2, 3)
        return torch.cat((flow[:, :CENTER], flow[:, CENTER + 1:]), 1)

    def sample(self, plane: Tensor) -> Tensor:
        """N x 5 x C x P x P of planes blurred at the half-pixel positions of a region."""
        a, b, c, d = self.matrix.flatten(2).unbind(2)
        inverse = torch.stack((d, -b, -c, a), 2).view_as(self.matrix) / (a * d - b * c)[..., None, None]
        source = torch.einsum("nkij,nkyxj->nkyxi", inverse, self.points - self.shift[:, :, None, None])
        # low-resolution coordinate u of the region, pixel REACH + 4u + 3/2, has the index 4u + 2 among the blurred
        index = (source + (self.patch - 1) / 2 + MARGIN) * SCALE + SCALE // 2
        grid = index * (2.0 / (plane.shape[3] - 1)) - 1
        out = F.grid_sample(plane, grid.flatten(1, 2), mode="bicubic", padding_mode="border", align_corners=True)
        return out.unflatten(2, (WINDOW, self.patch)).transpose(1, 2)


def teachable(weights: Tensor) -> Tensor:
    """How far a teacher that sees the target reduced by a scaler sees no less than its pupil, who sees it reduced with
    this kernel: what the kernel lets through as aliasing is lost on the teacher."""
    least, most = TEACHABLE
    return ((most - aliasing(weights)) / (most - least)).clamp(0, 1)


class DeviceSet:
    """Draws batches."""

    def __init__(self, material: Material, patch: int, device: torch.device, seed: int) -> None:
        self.material, self.patch, self.device = material, patch, device
        self.draw = Degrader(device, torch.Generator(device).manual_seed(seed))
        self.rng = np.random.default_rng(seed)
        self.moving = SCALE * (patch + 2 * MARGIN) + 2 * REACH
        self.plain = SCALE * patch + 2 * REACH - SCALE  # samples at 3/2, 11/2, ... of the patch
        self.stills = [s for s in material.stills if min(s.shape[1:]) >= self.moving]
        self.clips = [c for c in material.clips if min(c.shape[2:]) >= SCALE * patch + 2 * REACH and len(c) >= WINDOW]
        if not self.stills:
            raise ValueError(f"patches of {patch} need a photograph of at least {self.moving} x {self.moving} pixels")
        area = np.array([s.shape[1] * s.shape[2] for s in self.stills], float) ** 0.5
        self.odds = area / area.sum()

    def _augmented(self, *parts: Tensor) -> Sequence[Tensor]:
        """Flips and transposition, one draw for an image or window and all its parts; N x ... x S x S."""
        for turn in (lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.transpose(-1, -2)):
            coin = self.draw.rand(len(parts[0])) < 0.5
            parts = [torch.where(coin.view(-1, *(1,) * (part.dim() - 1)), turn(part), part) for part in parts]
        return parts

    def _contrast(self, count: int) -> tuple[Tensor, Tensor]:
        """Gain and offset of each window."""
        draw = self.draw.rand(3, count)
        gain = torch.where(draw[0] < CONTRAST[0], CONTRAST[1] + (1 - CONTRAST[1]) * draw[1], torch.ones_like(draw[0]))
        return gain, draw[2] * (1 - gain)

    def _crops(self, images: Sequence[Tensor], size: int) -> Tensor:
        """A square of each image or window, of two drawn mostly the one with more detail."""
        pairs = []
        for image in images:
            crops = []
            for _ in range(2):
                y, x = (int(self.rng.integers(n - size + 1)) for n in image.shape[-2:])
                crops.append(image[..., y:y + size, x:x + size])
            pairs.append(torch.stack(crops))
        pair = torch.stack(pairs)
        green = pair[..., 1, ::2, :].float()
        while green.dim() > 4:
            green = green[:, :, CENTER]
        detail = (green[..., 1:] - green[..., :-1]).abs().mean((2, 3))
        pick = detail.argmax(1) * (self.draw.rand(len(pair)) < DETAILED)
        return pair[torch.arange(len(pair), device=self.device), pick].float() / 255

    def regions(self, count: int, size: int) -> Tensor:
        picked = [self.stills[i] for i in self.rng.choice(len(self.stills), count, p=self.odds)]
        gain, offset = (x.view(-1, 1, 1, 1) for x in self._contrast(count))
        return self._augmented(self._crops(picked, size))[0] * gain + offset

    def single(self, count: int) -> Batch:
        region, weights = self.regions(count, self.plain + SCALE), self.draw.blurs(count)
        frames = blur_down(region[:, :, 2:-2, 2:-2], weights)[:, None]
        return Batch(frames, region[:, :, REACH:-REACH, REACH:-REACH], None, teachable(weights), blurred_only(weights))

    def moved(self, count: int, layered: int) -> Batch:
        """Windows of moving photographs, `layered` of them with a second one in front; without noise."""
        back, weights = self.regions(count, self.moving), self.draw.blurs(count)
        motion = Motion(self.draw, count, self.patch)
        frames, flow, target = motion.sample(blur(back, weights)), motion.flow(), back
        if layered:
            mask = self._masks(layered)
            front, over = self.regions(layered, self.moving), Motion(self.draw, layered, self.patch)
            planes = over.sample(blur(torch.cat((front * mask, mask), 1), weights[:layered]))
            colour, cover = planes[:, :, :3], planes[:, :, 3:]
            target = torch.cat((front * mask + back[:layered] * (1 - mask), back[layered:]))
            mixed = colour + (1 - cover) * frames[:layered]
            inner = slice(SCALE * MARGIN + 2, -(SCALE * MARGIN + 2))
            mixed[:, CENTER] = blur_down(target[:layered, :, inner, inner], weights[:layered])
            hidden = (cover[:, CENTER:CENTER + 1] > 0.5).float()
            flow = torch.cat((over.flow() * hidden + flow[:layered] * (1 - hidden), flow[layered:]))
            frames = torch.cat((mixed, frames[layered:]))
        edge = REACH + SCALE * MARGIN
        return Batch(frames, target[:, :, edge:-edge, edge:-edge], flow, teachable(weights), blurred_only(weights))

    def _masks(self, count: int) -> Tensor:
        coarse = self.draw.normal(count, 1, 6, 6)
        smooth = F.interpolate(coarse, size=(self.moving,) * 2, mode="bicubic", align_corners=False)
        return torch.sigmoid(30 * smooth)

    def clip_windows(self, count: int) -> Batch:
        windows, weights = [], self.draw.blurs(count)
        for index in self.rng.integers(len(self.clips), size=count):
            clip = self.clips[index]
            step = 2 if self.rng.random() < 0.3 and len(clip) > 2 * WINDOW else 1
            first = int(self.rng.integers(len(clip) - step * (WINDOW - 1)))
            window = clip[first:first + step * (WINDOW - 1) + 1:step]
            windows.append(window.flip(0) if self.rng.random() < 0.5 else window)
        region, = self._augmented(self._crops(windows, SCALE * self.patch + 2 * REACH))
        gain, offset = (x.view(-1, 1, 1, 1, 1) for x in self._contrast(count))
        region = region * gain + offset
        low = blur_down(region[..., 2:-2, 2:-2].flatten(1, 2), weights).unflatten(1, (WINDOW, 3))
        return Batch(low, region[:, CENTER, :, REACH:-REACH, REACH:-REACH], None, teachable(weights),
                     blurred_only(weights))

    def coded(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Windows that went through an encoder: frames, targets and degradations."""
        index = torch.from_numpy(self.rng.integers(len(self.material.coded_frames), size=count)).to(self.device)
        frames, target = (x[index].float() / 255 for x in (self.material.coded_frames, self.material.coded_targets))
        return *self._augmented(frames, target), self.material.coded_degradations[index]

    def degraded(self, frames: Tensor, degradation: Tensor, quantised: float) -> tuple[Tensor, Tensor]:
        """What a camera and a container do to clean low-resolution frames, and their degradation with it."""
        frames, amount = self.draw.sharpened(frames)
        frames, deviation = self.draw.noisy(frames)
        frames, codec = self.draw.quantised(self.draw.chroma(frames, CHROMA), quantised, int(self.rng.choice((4, 8))))
        response = sharpened_response(degradation[:, :RESPONSE], amount)
        return frames, torch.cat((response, 100 * deviation[:, None], codec[:, None]), 1)

    def batch(self, stage: str, count: int, coded: int, clips: int, quantised: float = 0.0) -> Batch:
        """`count` windows, `coded` of them from the coded ones and `clips` from clips; stage "single" has one frame."""
        coded = coded if self.material.coded_frames is not None else 0
        clips = clips if self.clips and stage in WITH_CLIPS else 0
        if stage == "single":
            drawn = self.single(count - coded)
        else:
            drawn = self.moved(count - coded - clips, max(1, count // 4))
        frames, target, share, degradation = drawn.frames, drawn.target, drawn.teachable, drawn.degradation
        if clips:
            real = self.clip_windows(clips)
            frames, target, share, degradation = (torch.cat(pair) for pair in (
                (frames, real.frames), (target, real.target), (share, real.teachable), (degradation, real.degradation)))
        frames, degradation = self.degraded(frames, degradation, quantised)
        if coded:
            real_frames, truth, known = self.coded(coded)
            frames = torch.cat((frames, real_frames[:, CENTER:CENTER + 1] if stage == "single" else real_frames))
            target = torch.cat((target, truth))
            share = torch.cat((share, torch.full((coded,), CODED_SHARE, device=self.device)))
            degradation = torch.cat((degradation, known))
        return Batch((frames * 255).round().clamp(0, 255) / 255, target, drawn.flow, share, degradation)
