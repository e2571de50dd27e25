# SPDX-License-Identifier: LGPL-2.1-or-later
"""Training windows made from a folder of photographs and clips.

A photograph becomes a window of five low-resolution frames by moving over it: blurred once on the half-pixel grid
where center-sited samples lie, then sampled along a random smooth motion, so that the motion is exact to any fraction
of a pixel, the true flow is known, and the center frame is exactly the degradation the model will be asked to undo.
Some windows have a second photograph moving in front. A clip gives real motion, occlusion and light, without a true
flow; clips are compressed, so they are reduced first.

Everything is decoded once into one uint8 .npy per file.
"""
from __future__ import annotations

import pathlib
import zlib
from dataclasses import dataclass
from typing import Optional, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lib.clips import ClipError, compressed, probe, read_clip

STILLS = {".webp", ".jpg", ".jpeg", ".png"}
CLIPS = {".mp4", ".mkv", ".mov", ".webm"}
SCALE = 4
WINDOW = 5
BLUR_SIDE = 13  # side of the blur kernel
BLUR = 8     # high-resolution pixels round a region that the blur may reach
MARGIN = 8   # low-resolution pixels round a patch that the motion may reach
STILL = 0.1             # share of the planes that do not move at all
NOISE = 3 / 255         # largest standard deviation of the noise
STEADY_NOISE = (0.3 / 255, 2 / 255)  # standard deviations of the noise that makes steady scenes flicker
FRAMES_APART = 25       # frames of a clip that stand in for stills


@dataclass
class Batch:
    """frames N x 5 x 3 x P x P; target N x 3 x 4P x 4P; flow, of the first K windows, K x 4 x 2 x P x P; blur
    N x 1 x 13 x 13. The last 2 `steady` windows are pairs one frame apart, the second of each pair `steady` after the
    first, of scenes that differ from frame to frame in their noise only."""
    frames: Tensor
    target: Tensor
    flow: Tensor
    blur: Tensor
    steady: int = 0


def files_of(paths: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """The stills and clips among the files given and in the folders given, in order."""
    found = []
    for path in paths:
        if path.is_dir():
            found += sorted(p for p in path.iterdir() if p.suffix.lower() in STILLS | CLIPS)
        elif path.exists():
            found.append(path)
        else:
            raise ClipError(f"{path}: no such file or folder")
    if not found:
        raise ClipError(f"{paths[0]}: no photographs and no clips in there")
    return found


def decoded(path: pathlib.Path, cache: pathlib.Path, ffmpeg: str, factor: float = 1.0,
            limit: Optional[int] = None) -> np.ndarray:
    """A clip or still, N x H x W x 3 uint8, scaled by factor, its first `limit` frames; memory-mapped from the cache,
    where it is known by its place, size and date."""
    status = path.stat()
    identity = f"{path.resolve()} {status.st_size} {status.st_mtime_ns} {factor} {limit}"
    stored = cache / f"{path.name}.{zlib.crc32(identity.encode()):08x}.npy"
    if not stored.exists():
        cache.mkdir(parents=True, exist_ok=True)
        width, height, _ = probe(str(path), ffmpeg)
        size = None if factor == 1 else (max(1, round(width * factor)), max(1, round(height * factor)))
        partial = stored.with_suffix(".part.npy")
        np.save(partial, read_clip(str(path), ffmpeg, size, limit))
        partial.replace(stored)
    return np.load(stored, mmap_mode="r")


def decode_sharp(paths: Sequence[pathlib.Path], cache: pathlib.Path,
                 ffmpeg: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Stills, H x W x 3, at full and half size, and clips, N x H x W x 3, at half size. Without stills, single frames
    of the clips stand in for them."""
    stills, clips = [], []
    for path in files_of(paths):
        still = path.suffix.lower() in STILLS
        for factor in (1.0, 0.5) if still else (0.5,):
            frames = decoded(path, cache, ffmpeg, factor)
            if still:
                stills.append(frames[0])
            elif len(frames) >= WINDOW:
                clips.append(frames)
    stills = stills or [frame for clip in clips for frame in clip[::FRAMES_APART]]
    if not stills:
        raise ClipError(f"{paths[0]}: no photograph, and no clip of {WINDOW} frames or more")
    return stills, clips


def decode_clips(paths: Sequence[pathlib.Path], cache: pathlib.Path, ffmpeg: str, window: int,
                 limit: int) -> list[np.ndarray]:
    """Clips as they are, N x H x W x 3, at most `limit` frames of each. A folder without clips is a clip of images."""
    files: list[pathlib.Path] = []
    for path in paths:
        clips = sorted(p for p in path.iterdir() if p.suffix.lower() in CLIPS) if path.is_dir() else []
        files += clips or [path]
    clips = []
    for path in files:
        if not path.exists():
            raise ClipError(f"{path}: no such file or folder")
        clip = decoded(path, cache, ffmpeg, limit=limit)
        if len(clip) < window:
            raise ClipError(f"{path}: {len(clip)} frames, at least {window} are needed")
        clips.append(clip)
    return clips


@dataclass
class Blur:
    """Gaussian blurs, one per image: standard deviations along two axes, high-resolution pixels, and their angle."""
    sigma: Tensor  # N x 2
    angle: Tensor  # N

    def density(self, x: Tensor, y: Tensor) -> Tensor:
        """N x len(y) x len(x), each normalised to a sum of one."""
        cosine, sine = (f(self.angle).view(-1, 1, 1) for f in (torch.cos, torch.sin))
        along, across = cosine * x + sine * y[:, None], cosine * y[:, None] - sine * x
        power = (along / self.sigma[:, 0].view(-1, 1, 1)) ** 2 + (across / self.sigma[:, 1].view(-1, 1, 1)) ** 2
        density = torch.exp(-0.5 * power)
        return density / density.sum((1, 2), keepdim=True)

    def weights(self) -> Tensor:
        """The 13 x 13 kernels, N x 1 x 13 x 13: anchored on the top-left pixel of the block, centered in the block."""
        axis = torch.arange(BLUR_SIDE) - BLUR_SIDE // 2 - (SCALE - 1) / 2
        return self.density(axis, axis)[:, None]

    def part(self, begin: int, end: Optional[int] = None) -> "Blur":
        return Blur(self.sigma[begin:end], self.angle[begin:end])


def blurred(planes: Tensor, blur: Blur, stride: int = 1) -> Tensor:
    """N x C x S x S, one blur per image, at the half-pixel positions BLUR - 1/2 + k * stride."""
    axis = torch.arange(2 * BLUR) - (BLUR - 0.5)
    taps = blur.density(axis, axis).repeat_interleave(planes.shape[1], 0)[:, None]
    flat = F.conv2d(planes.flatten(0, 1)[None], taps, stride=stride, groups=len(taps))
    return flat[0].unflatten(0, planes.shape[:2])


def through_codec(frames: np.ndarray, crf: int, ffmpeg: str) -> np.ndarray:
    """Windows, N x 5 x H x W x 3 uint8 with H and W multiples of 16, as H.264 gives them back."""
    # one above the other, so that no macroblock belongs to two
    stacks = frames.swapaxes(0, 1).reshape(frames.shape[1], -1, *frames.shape[3:])
    coded = np.stack(list(compressed(stacks, crf, ffmpeg, preset="veryfast")))
    return coded.reshape(frames.shape[1], frames.shape[0], *frames.shape[2:]).swapaxes(0, 1)


class Motion:
    """Random smooth motion of N planes: a point p of the center frame is at A_k p + t_k in frame k."""

    def __init__(self, rng: np.random.Generator, count: int) -> None:
        time = np.arange(WINDOW) - WINDOW // 2
        speed = rng.choice([0.3, 1.0, 2.5], (count, 1, 1), p=[0.35, 0.4, 0.25])
        jitter = rng.choice([0.0, 0.15, 0.5], (count, 1, 1), p=[0.4, 0.4, 0.2])
        shift = (rng.normal(size=(count, 1, 2)) * speed * time[:, None]
                 + rng.normal(size=(count, WINDOW, 2)) * jitter * (time != 0)[:, None])
        self.shift = torch.from_numpy(np.clip(shift, -8, 8)).float()
        angle = rng.normal(size=(count, 1)) * rng.choice([0, 0.008], (count, 1)) * time
        zoom = 1 + rng.normal(size=(count, 1)) * rng.choice([0, 0.008], (count, 1)) * time
        still = rng.random(count) < STILL
        self.shift[torch.from_numpy(still)] = 0
        angle[still], zoom[still] = 0, 1
        matrix = np.stack((zoom * np.cos(angle), -zoom * np.sin(angle), zoom * np.sin(angle), zoom * np.cos(angle)), 2)
        self.matrix = torch.from_numpy(matrix.reshape(count, WINDOW, 2, 2)).float()

    def stopped(self) -> "Motion":
        self.shift.zero_()
        self.matrix = torch.eye(2).expand_as(self.matrix)
        return self

    def flow(self, size: int) -> Tensor:
        """N x 4 x 2 x size x size, from the center to the others."""
        axis = torch.arange(size) - (size - 1) / 2
        points = torch.stack((axis.expand(size, size), axis[:, None].expand(size, size)))
        moved = torch.einsum("nkij,jyx->nkiyx", self.matrix, points) + self.shift[..., None, None]
        return (moved - points)[:, [k for k in range(WINDOW) if k != WINDOW // 2]]

    def sample(self, plane: Tensor, size: int) -> Tensor:
        """N x 5 x C x size x size, from planes blurred on the half-pixel grid of a region with BLUR and MARGIN."""
        axis = torch.arange(size) - (size - 1) / 2
        points = torch.stack((axis.expand(size, size), axis[:, None].expand(size, size)), 2)
        relative = points - self.shift[:, :, None, None]
        source = torch.einsum("nkij,nkyxj->nkyxi", torch.linalg.inv(self.matrix), relative)
        # low-resolution coordinate u of the region, pixel BLUR + 4u + 3/2, has the index 4u + 2 among the blurred
        index = (source + (size - 1) / 2 + MARGIN) * SCALE + SCALE // 2
        grid = index * (2.0 / (plane.shape[3] - 1)) - 1
        out = F.grid_sample(plane, grid.flatten(1, 2), mode="bicubic", padding_mode="border", align_corners=True)
        return out.unflatten(2, (WINDOW, size)).transpose(1, 2)


class TrainingSet:
    """Draws batches of still windows (the first `layered` of them with a second layer), then clip windows."""

    def __init__(self, stills: Sequence[np.ndarray], clips: Sequence[np.ndarray], patch: int, seed: int,
                 codec: float = 0.0, ffmpeg: str = "ffmpeg", noisy: float = 0.0) -> None:
        """codec: share of the batches that go through x264; noisy: share of the windows with noise."""
        self.patch, self.codec, self.ffmpeg, self.noisy = patch, codec, ffmpeg, noisy
        self.rng = np.random.default_rng(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.region = SCALE * (patch + 2 * MARGIN) + 2 * BLUR
        self.stills = [still for still in stills if min(still.shape[:2]) >= self.region]
        self.clips = [clip for clip in clips if min(clip.shape[1:3]) >= SCALE * patch + 2 * BLUR]
        if not self.stills:
            raise ValueError(f"patches of {patch} need a photograph of at least {self.region} x {self.region} pixels")
        area = np.array([s.shape[0] * s.shape[1] for s in self.stills], float) ** 0.5
        self.still_odds = area / area.sum()

    def _augment(self, image: np.ndarray) -> np.ndarray:
        """Flips, transposition, order of the colours; ... x H x W x 3."""
        if self.rng.random() < 0.5:
            image = image[..., ::-1, :, :]
        if self.rng.random() < 0.5:
            image = image[..., ::-1, :]
        if self.rng.random() < 0.5:
            image = image.swapaxes(-3, -2)
        return image[..., self.rng.permutation(3)]

    def _contrast(self) -> tuple[float, float]:
        gain = self.rng.uniform(0.6, 1.0) if self.rng.random() < 0.5 else 1.0
        return gain, self.rng.uniform(0, 1 - gain)

    def _crop(self, image: np.ndarray, size: int) -> np.ndarray:
        """A square of an image or clip: of two drawn, mostly the one with more detail."""
        crops = []
        for _ in range(2):
            y = self.rng.integers(image.shape[-3] - size + 1)
            x = self.rng.integers(image.shape[-2] - size + 1)
            crops.append(image[..., y:y + size, x:x + size, :])
        if self.rng.random() < 0.3:
            return crops[0]
        green = [np.asarray(c if c.ndim == 3 else c[0])[::2, :, 1].astype(np.int16) for c in crops]
        detail = [np.abs(np.diff(g, axis=1)).mean() for g in green]
        return crops[int(np.argmax(detail))]

    def _still_regions(self, count: int) -> Tensor:
        regions = []
        for index in self.rng.choice(len(self.stills), count, p=self.still_odds):
            gain, offset = self._contrast()
            region = self._augment(self._crop(self.stills[index], self.region))
            regions.append(region.astype(np.float32) * (gain / 255) + offset)
        return torch.from_numpy(np.stack(regions)).permute(0, 3, 1, 2).contiguous()

    def _masks(self, count: int) -> Tensor:
        coarse = torch.from_numpy(self.rng.normal(size=(count, 1, 6, 6))).float()
        smooth = F.interpolate(coarse, size=(self.region,) * 2, mode="bicubic", align_corners=False)
        return torch.sigmoid(30 * smooth)

    def _blur(self, count: int) -> Blur:
        sigma = np.where(self.rng.random(count) < 0.4, self.rng.uniform(1.0, 1.4, count),
                         self.rng.uniform(0.6, 2.6, count))
        ratio = np.where(self.rng.random(count) < 0.25, self.rng.uniform(0.5, 1.0, count), 1.0)
        return Blur(torch.from_numpy(np.stack((sigma, np.maximum(0.6, sigma * ratio)), 1)).float(),
                    torch.from_numpy(self.rng.uniform(0, np.pi, count)).float())

    def _compress(self, frames: Tensor) -> Tensor:
        """Some of the windows, at one quality, through H.264."""
        chosen = np.flatnonzero(self.rng.random(len(frames)) < 0.75)
        if len(chosen):
            crf = int(self.rng.integers(16, 33))
            pixels = frames[chosen].permute(0, 1, 3, 4, 2).mul(255).round().clamp(0, 255).byte().numpy()
            coded = torch.from_numpy(through_codec(pixels, crf, self.ffmpeg).copy()).float() / 255
            frames[chosen] = coded.permute(0, 1, 4, 2, 3)
        return frames

    def _stills(self, count: int, layered: int, blur: Blur) -> Batch:
        span = SCALE * self.patch
        back = self._still_regions(count)
        motion = Motion(self.rng, count)
        frames, flow = motion.sample(blurred(back, blur), self.patch), motion.flow(self.patch)
        target = back
        if layered:
            mask, front = self._masks(layered), self._still_regions(layered)
            over = Motion(self.rng, layered)
            planes = over.sample(blurred(torch.cat((front * mask, mask), 1), blur.part(0, layered)), self.patch)
            colour, cover = planes[:, :, :3], planes[:, :, 3:]
            target = torch.cat((front * mask + back[:layered] * (1 - mask), back[layered:]))
            still = Motion(self.rng, layered).stopped()
            exact = still.sample(blurred(target[:layered], blur.part(0, layered)), self.patch)[:, WINDOW // 2]
            frames[:layered] = colour + (1 - cover) * frames[:layered]
            frames[:layered, WINDOW // 2] = exact
            hidden = (cover[:, WINDOW // 2:WINDOW // 2 + 1] > 0.5).float()
            flow[:layered] = over.flow(self.patch) * hidden + flow[:layered] * (1 - hidden)
        edge = BLUR + SCALE * MARGIN
        return Batch(frames, target[:, :, edge:edge + span, edge:edge + span], flow, blur.weights())

    def _clips(self, count: int, blur: Blur) -> tuple[Tensor, Tensor]:
        span = SCALE * self.patch
        regions = []
        for index in self.rng.integers(len(self.clips), size=count):
            clip = self.clips[index]
            step = 2 if self.rng.random() < 0.3 and len(clip) > 2 * WINDOW else 1
            first = self.rng.integers(len(clip) - step * (WINDOW - 1))
            window = self._augment(self._crop(clip[first:first + step * WINDOW:step][:WINDOW], span + 2 * BLUR))
            gain, offset = self._contrast()
            regions.append((window[::-1] if self.rng.random() < 0.5 else window).astype(np.float32) * (gain / 255)
                           + offset)
        region = torch.from_numpy(np.stack(regions)).permute(0, 1, 4, 2, 3).flatten(1, 2)
        frames = blurred(region[:, :, 2:, 2:].contiguous(), blur, SCALE)[:, :, :self.patch, :self.patch]
        frames = frames.unflatten(1, (WINDOW, 3))
        target = region.unflatten(1, (WINDOW, 3))[:, WINDOW // 2, :, BLUR:-BLUR, BLUR:-BLUR]
        return frames, target

    def _steady(self, count: int) -> Batch:
        """Pairs of windows of scenes that do not move, under fresh noise."""
        blur, edge = self._blur(count), BLUR + SCALE * MARGIN
        back = self._still_regions(count)
        still = Motion(self.rng, count).stopped().sample(blurred(back, blur), self.patch)[:, :1]
        strength = torch.from_numpy(self.rng.uniform(*STEADY_NOISE, (count, 1, 1, 1, 1))).float()
        field = torch.randn(count, WINDOW + 1, *still.shape[2:], generator=self.generator)
        frames = still + strength * field
        target = back[:, :, edge:edge + SCALE * self.patch, edge:edge + SCALE * self.patch]
        return Batch(torch.cat((frames[:, :-1], frames[:, 1:])), target.repeat(2, 1, 1, 1),
                     torch.zeros(0, WINDOW - 1, 2, self.patch, self.patch), blur.weights().repeat(2, 1, 1, 1), count)

    def draw(self, stills: int, layered: int, clips: int, sigma: Optional[float] = None,
             noise: bool = True, steady: int = 0) -> Batch:
        clips = clips if self.clips else 0
        count = stills + clips
        blur = self._blur(count) if sigma is None else Blur(torch.full((count, 2), sigma), torch.zeros(count))
        batch = self._stills(stills, layered, blur.part(0, stills))
        if clips:
            frames, target = self._clips(clips, blur.part(stills))
            batch = Batch(torch.cat((batch.frames, frames)), torch.cat((batch.target, target)), batch.flow,
                          blur.weights())
        if noise:
            strength = np.where(self.rng.random(len(batch.frames)) < self.noisy,
                                self.rng.uniform(0, NOISE, len(batch.frames)), 0)
            noise_field = torch.randn(batch.frames.shape, generator=self.generator)
            batch.frames += noise_field * torch.from_numpy(strength).float().view(-1, 1, 1, 1, 1)
        if noise and self.rng.random() < self.codec:
            batch.frames = self._compress(batch.frames)
        if steady:
            pairs = self._steady(steady)
            batch = Batch(torch.cat((batch.frames, pairs.frames)), torch.cat((batch.target, pairs.target)), batch.flow,
                          torch.cat((batch.blur, pairs.blur)), steady)
        batch.frames = (batch.frames * 255).round_().clamp_(0, 255) / 255
        return batch
