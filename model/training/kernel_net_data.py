# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sharp pictures and what blur leaves of them: the material of a kernel network.

How blurred a picture is can only be told by someone who knows how sharp pictures are before. So photographs are reduced
by several factors, and what is still soft then is left out. Drawings stand beside them: few photographs are all of
one kind, and what they have in common would be taken for blur.
"""
from __future__ import annotations

import io
import math
import pathlib
from typing import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from lib.clips import ClipError
from synthetic import evenly_in_log
from trainset import STILLS, decoded, files_of

FACTORS = (1.0, 0.7, 0.5, 0.35, 0.25)  # that photographs are reduced by
CLIP_FACTORS = (0.5, 0.35, 0.25)       # clips, too, for what their codec left
CLIP_FRAMES, APART = 61, 30            # of a clip that are looked at, and one of so many
EDGE, SPAN = 30, 4                     # code values within so many pixels that make an edge
FEWEST_EDGES = 500
LEAST_STEEPNESS = 0.75                 # of an ideal edge blurred with sigma 0.43

SCALE = 4
PHASE = (SCALE - 1) / 2    # of a sample in its block
MARGIN = 14                # high-resolution pixels that a window reaches beyond its first block
SIDES = (64, 80, 112)      # of the windows
AREA = 50 * 4096           # pixels of all windows of a batch, about
SIGMA = (0.8, 3.0)         # high-resolution pixels, evenly in the logarithm; below, all looks alike
LONG = 0.6                 # share of the blurs with another sigma across
STRAIGHT = 0.35            # share of these whose axes are those of the picture
DRAWN, MIXED = 0.35, 0.2   # shares of the windows: of drawings, and of photographs that show through a drawing
LEAST_EXPONENT = -40.0     # of a Gaussian; numbers near the least of their type would cost time
GREY = 0.6                 # share where the colours count the same, as they do when the network is asked
SHARPENED, AMOUNT = 0.8, 1.2  # share of the pictures, and how much at most, of an unsharp mask of a 3 x 3 mean
ALIASED = 0.5              # share of the photographs, where they are large enough, reduced by leaving pixels out
GAIN = (0.35, 1.0)         # of the contrast
NOISY, NOISE = 0.4, 2.0    # share of the windows, and the largest standard deviation, code values
ROUNDING = 0.17            # of the mean of three colours, code values
JPEG, QUALITY = 0.15, (60, 98)  # share of the windows


def steepness(picture: np.ndarray) -> float:
    """Share of the height of an edge that its steepest pixel has, median over the edges of an H x W x 3 picture; 0
    where there are too few."""
    green, shares = picture[..., 1].astype(np.float32), []
    for plane in (green, green.T):
        steps = np.abs(np.diff(plane, axis=1))
        steepest = np.max([steps[:, k:steps.shape[1] - SPAN + 1 + k] for k in range(SPAN)], 0)
        height = np.abs(plane[:, SPAN:] - plane[:, :-SPAN])
        shares.append((steepest / np.maximum(height, 1))[height > EDGE])
    found = np.concatenate(shares)
    return float(np.median(found)) if len(found) >= FEWEST_EDGES else 0.0


def decode_steep(paths: Sequence[pathlib.Path], cache: pathlib.Path, ffmpeg: str, side: int) -> list[list[np.ndarray]]:
    """Photographs and frames of clips, H x W x 3, at the factors where they are steep and have `side` pixels; a list
    for each file."""
    files = []
    for path in files_of(paths):
        still = path.suffix.lower() in STILLS
        sizes = [frame for factor in (FACTORS if still else CLIP_FACTORS)
                 for frame in decoded(path, cache, ffmpeg, factor, None if still else CLIP_FRAMES)[::APART]]
        files.append([size for size in sizes if min(size.shape[:2]) >= side and steepness(size) >= LEAST_STEEPNESS])
    files = [sizes for sizes in files if sizes]
    if not files:
        raise ClipError(f"{paths[0]}: no picture that is sharp at {side} x {side} pixels or more")
    return files


def split(files: list[list[np.ndarray]], share: int) -> tuple[list[list[np.ndarray]], list[list[np.ndarray]]]:
    """What is trained on, and every share-th file; all of it in both where share is 0 or too few would stay."""
    if not share or len(files) < share:
        return files, files
    held = files[share // 2::share]
    return [file for i, file in enumerate(files) if i % share != share // 2], held


def gaussian_rows(sigma: float, count: int, size: int) -> Tensor:
    """count x size: rows that weigh `size` samples by a Gaussian round the middle of each block behind the margin."""
    center = MARGIN + PHASE + SCALE * torch.arange(count)[:, None]
    rows = (-0.5 * ((torch.arange(size) - center) / sigma) ** 2).clamp(min=LEAST_EXPONENT).exp()
    return rows / rows.sum(1, keepdim=True)


def blurred(sharp: Tensor, covariance: np.ndarray, side: int) -> Tensor:
    """side x side: an H x W luma blurred by a Gaussian, sampled in the middle of each block behind the margin."""
    if covariance[0, 1] == 0:
        down, across = (gaussian_rows(math.sqrt(covariance[k, k]), side, n) for k, n in ((1, sharp.shape[0]),
                                                                                         (0, sharp.shape[1])))
        return down @ sharp @ across.T
    axis = np.arange(2 * MARGIN + SCALE) - MARGIN - PHASE
    place = np.stack(np.meshgrid(axis, axis), -1)
    exponent = -0.5 * np.einsum("yxi,ij,yxj->yx", place, np.linalg.inv(covariance), place)
    blur = np.exp(exponent.clip(LEAST_EXPONENT, 0))
    blur = torch.from_numpy(blur / blur.sum()).float()
    return F.conv2d(sharp[None, None], blur[None, None], stride=SCALE)[0, 0, :side, :side]


class Windows:
    """Draws blurred lumas and what blurred them. stills: for each file, H x W x 3 pictures."""

    def __init__(self, stills: Sequence[Sequence[np.ndarray]], drawings: Sequence[np.ndarray], seed: int) -> None:
        self.stills, self.drawings, self.rng = stills, drawings, np.random.default_rng(seed)

    def _photograph(self) -> np.ndarray:
        file = self.stills[self.rng.integers(len(self.stills))]
        return file[self.rng.integers(len(file))]

    def _drawing(self) -> np.ndarray:
        return self.drawings[self.rng.integers(len(self.drawings))]

    def _crop(self, picture: np.ndarray, side: int) -> np.ndarray:
        """Of two squares of a picture the one with more detail, which is what tells a blur; turned somehow."""
        rng = self.rng
        short = [(0, max(0, side - size)) for size in picture.shape[:2]]
        if any(after for _, after in short):
            picture = np.pad(picture, (*short, (0, 0)), mode="symmetric")
        places = rng.integers((picture.shape[0] - side + 1, picture.shape[1] - side + 1), size=(2, 2))
        crops = [picture[y:y + side, x:x + side] for y, x in places]
        crop = max(crops, key=lambda c: np.abs(np.diff(c[::SCALE, :, 1].astype(np.int16), axis=1)).mean())
        return np.rot90(crop if rng.random() < 0.5 else crop[::-1], rng.integers(4))

    def _sharp(self, side: int) -> np.ndarray:
        """A square of a photograph, of a drawing, or of two photographs on both sides of a drawing's outlines."""
        kind = self.rng.random() if self.drawings else 1.0
        if kind < DRAWN:
            return self._crop(self._drawing(), side)
        crop = self._of_a_photograph(side)
        if kind >= DRAWN + MIXED:
            return crop
        share = self._crop(self._drawing(), side)[..., :1] / np.float32(255)
        return share * crop + (1 - share) * self._of_a_photograph(side)

    def _of_a_photograph(self, side: int) -> np.ndarray:
        photograph = self._photograph()
        if min(photograph.shape[:2]) >= 2 * side and self.rng.random() < ALIASED:
            return self._crop(photograph, 2 * side)[::2, ::2]
        return self._crop(photograph, side)

    def _luma(self, side: int) -> Tensor:
        rng = self.rng
        weights = np.full(3, 1 / 3) if rng.random() < GREY else rng.dirichlet((1, 1, 1))
        luma = torch.from_numpy((self._sharp(side) @ weights).astype(np.float32))
        if rng.random() < SHARPENED:
            mean = F.avg_pool2d(F.pad(luma[None, None], (1,) * 4, mode="replicate"), 3, 1)[0, 0]
            luma = (luma + rng.uniform(0, AMOUNT) * (luma - mean)).clamp(0, 255)
        gain = evenly_in_log(rng, *GAIN)
        return luma * gain + rng.uniform(0, 255 * (1 - gain))

    def _covariance(self) -> np.ndarray:
        rng, sigma = self.rng, evenly_in_log(self.rng, *SIGMA)
        if rng.random() >= LONG:
            return sigma ** 2 * np.eye(2)
        variances = np.array([sigma, evenly_in_log(rng, *SIGMA)]) ** 2
        if rng.random() < STRAIGHT:
            return np.diag(variances)
        angle = rng.uniform(0, math.pi)
        axes = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        return axes * variances @ axes.T

    def _spoilt(self, low: Tensor) -> Tensor:
        rng = self.rng
        noise = rng.uniform(0, NOISE) if rng.random() < NOISY else 0.0
        low = low + math.hypot(noise, ROUNDING) * torch.from_numpy(rng.standard_normal(low.shape, np.float32))
        low = low.clamp(0, 255)
        if rng.random() < JPEG:
            file = io.BytesIO()
            Image.fromarray(low.round().byte().numpy()).save(file, "JPEG", quality=int(rng.integers(*QUALITY)))
            low = torch.from_numpy(np.array(Image.open(file), np.float32))
        return low

    def batch(self) -> tuple[Tensor, Tensor]:
        """Lumas of 0 to 1, N x 1 x side x side, and the covariances, N x 2 x 2. Each crop comes with two blurs. The
        second half is the first in a mirror, lest what lies slanted in pictures passes for a slant of the blur."""
        side = int(self.rng.choice(SIDES))
        lumas, covariances = [], []
        for _ in range(round(AREA / side ** 2 / 4)):
            sharp = self._luma(SCALE * side + 2 * MARGIN)
            for _ in range(2):
                covariances.append(self._covariance())
                lumas.append(self._spoilt(blurred(sharp, covariances[-1], side)))
        luma, covariance = torch.stack(lumas)[:, None] / 255, torch.from_numpy(np.stack(covariances)).float()
        mirrored = covariance * torch.tensor([[1, -1], [-1, 1]])
        return torch.cat((luma, luma.flip(3))), torch.cat((covariance, mirrored))
