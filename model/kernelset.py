# SPDX-License-Identifier: LGPL-2.1-or-later
"""Photographs that are sharp enough to teach what blur is.

How blurred a picture is can only be told by someone who knows how sharp pictures are before. So photographs are reduced
by several factors, and what is still soft then is left out.
"""
from __future__ import annotations

import pathlib
from typing import Sequence

import numpy as np

from clips import ClipError
from trainset import STILLS, decoded, files_of

FACTORS = (1.0, 0.7, 0.5, 0.35, 0.25)  # that photographs are reduced by
EDGE, SPAN = 30, 4                     # code values within so many pixels that make an edge
FEWEST_EDGES = 500
LEAST_STEEPNESS = 0.72                 # of an ideal edge blurred with sigma 0.43


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
    """Photographs, H x W x 3, at the factors where they are steep and have `side` pixels; a list for each file."""
    stills = []
    for path in files_of(paths):
        if path.suffix.lower() in STILLS:
            sizes = [decoded(path, cache, ffmpeg, factor)[0] for factor in FACTORS]
            stills.append([size for size in sizes if min(size.shape[:2]) >= side
                           and steepness(size) >= LEAST_STEEPNESS])
    stills = [sizes for sizes in stills if sizes]
    if not stills:
        raise ClipError(f"{paths[0]}: no photograph that is sharp at {side} x {side} pixels or more")
    return stills


def split(files: list[list[np.ndarray]], share: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What is trained on, and what of every share-th file; all of it in both where share is 0 or too few would stay."""
    whole = not share or len(files) < share
    held = [x for i, file in enumerate(files) if whole or i % share == share // 2 for x in file]
    kept = [x for i, file in enumerate(files) if whole or i % share != share // 2 for x in file]
    return kept, held
