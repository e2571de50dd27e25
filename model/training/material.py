# SPDX-License-Identifier: LGPL-2.1-or-later
"""Finds and decodes what a training on the device learns from: photographs, clips, windows through an encoder."""
from __future__ import annotations

import pathlib
from typing import Optional, Sequence

import torch

from coded_windows import read_windows
from device_set import Material, load_stills
from lib.clips import ClipError, find_ffmpeg
from trainset import CLIPS, STILLS, WINDOW, decoded

CODED = "coded"  # the folder of coded windows within a folder of material
HALF = 0.5       # clips are compressed, so they are reduced first


def listed(folders: Sequence[pathlib.Path], endings: set[str]) -> list[pathlib.Path]:
    """The files with these endings in the folders, in order."""
    for folder in folders:
        if not folder.is_dir():
            raise ClipError(f"{folder}: no such folder")
    return [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix.lower() in endings]


def load_clips(paths: Sequence[pathlib.Path], frames: int, cache: pathlib.Path, ffmpeg: Optional[str],
               device: torch.device) -> list[torch.Tensor]:
    """The first `frames` frames of each clip at half size, N x 3 x H x W."""
    if not paths:
        return []
    program = find_ffmpeg(ffmpeg)
    clips = [decoded(path, cache, program, HALF, frames) for path in paths]
    return [torch.from_numpy(clip.transpose(0, 3, 1, 2).copy()).to(device) for clip in clips if len(clip) >= WINDOW]


def load(folders: Sequence[pathlib.Path], frames: int, cache: pathlib.Path, ffmpeg: Optional[str], device: torch.device,
         hold_out: Sequence[str] = ()) -> Material:
    """Everything in the folders, but for files whose names begin with one of hold_out."""
    def wanted(endings: set[str]) -> list[pathlib.Path]:
        return [path for path in listed(folders, endings) if not path.name.startswith(tuple(hold_out))]

    stills = wanted(STILLS)
    if not stills:
        raise ClipError(f"{folders[0]}: no photographs in there")
    material = Material(load_stills(stills, device), load_clips(wanted(CLIPS), frames, cache, ffmpeg, device))
    windows = [read_windows(folder / CODED, device) for folder in folders if (folder / CODED).is_dir()]
    if windows:
        material.coded_frames, material.coded_targets, material.coded_degradations = map(torch.cat, zip(*windows))
    return material
