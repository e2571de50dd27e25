# SPDX-License-Identifier: LGPL-2.1-or-later
"""Training windows that went through a real encoder, made beforehand: where the network is trained there may be none.

A window is two files: NNNN.webp, its five low-resolution frames one above the other, lossless, and NNNN_target.webp,
the sharp center frame. A line of degradations.tsv has its number and its degradation (modulation.py), which is known
exactly where the window is made; in a folder without that file, as older ones are, it is fitted to the windows.
"""
from __future__ import annotations

import pathlib
from typing import Sequence

import numpy as np
import torch
from torch import Tensor

from device_set import CENTER, WINDOW, DeviceSet
from modulation import DEGRADATION, RESPONSE
from trainset import through_codec
from true_degradation import blurred_and_coded, coded_degradation, sharpened_response

DEGRADATIONS = "degradations.tsv"
TARGET_QUALITY = 92
CRF = (15, 34)
TOGETHER = 8    # windows that are encoded as one video
FROM_CLIPS = 4  # one in so many of them, where there are clips
AGAIN = 0.6     # share that is encoded backwards and then forwards, so that no frame is an intra frame


def draw_coded(data: DeviceSet, ffmpeg: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """TOGETHER windows through x264 at one quality: frames N x 5 x P x P x 3 and targets N x 4P x 4P x 3, uint8, and
    degradations N x 7."""
    real = TOGETHER // FROM_CLIPS if data.clips else 0
    with torch.no_grad():
        batch = data.moved(TOGETHER - real, TOGETHER // 4)
        frames, target, degradation = batch.frames, batch.target, batch.degradation
        if real:
            clips = data.clip_windows(real)
            frames, target, degradation = (torch.cat(pair) for pair in (
                (frames, clips.frames), (target, clips.target), (degradation, clips.degradation)))
        frames, amount = data.draw.sharpened(frames)
        degradation = blurred_and_coded(sharpened_response(degradation[:, :RESPONSE], amount)).cpu().numpy()
        frames, _ = data.draw.noisy(frames)
        frames, target = (as_bytes(x).movedim(-3, -1).contiguous().numpy() for x in (frames, target))
    if data.rng.random() < AGAIN:
        frames = np.concatenate((frames[:, :0:-1], frames), 1)
    return through_codec(frames, int(data.rng.integers(*CRF)), ffmpeg)[:, -WINDOW:], target, degradation


def as_bytes(pictures: Tensor) -> Tensor:
    return (pictures * 255).round().clamp(0, 255).byte().cpu()


def write_window(folder: pathlib.Path, index: int, frames: np.ndarray, target: np.ndarray, degradation: np.ndarray) -> int:
    """Returns the bytes written. frames 5 x P x P x 3, target 4P x 4P x 3, degradation 7 numbers."""
    from PIL import Image
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / f"{index:04}.webp", folder / f"{index:04}_target.webp"
    Image.fromarray(frames.reshape(-1, *frames.shape[2:])).save(paths[0], lossless=True, method=4)
    Image.fromarray(target).save(paths[1], quality=TARGET_QUALITY, method=4)
    line = "\t".join([f"{index:04}", *(f"{value:.5f}" for value in degradation)]) + "\n"
    with open(folder / DEGRADATIONS, "a", encoding="utf-8") as table:
        table.write(line)
    return len(line) + sum(path.stat().st_size for path in paths)


def read_degradations(folder: pathlib.Path) -> dict[str, list[float]]:
    """By the number of the window. ValueError for a line that is none."""
    found = {}
    for line in (folder / DEGRADATIONS).read_text(encoding="utf-8").splitlines():
        number, *values = line.split("\t")
        try:
            found[number] = [float(value) for value in values]
        except ValueError:
            found[number] = []
        if len(found[number]) != DEGRADATION:
            raise ValueError(f"{folder / DEGRADATIONS}: '{line}': a number of a window and {DEGRADATION} values are needed")
    return found


def degradations(folder: pathlib.Path, numbers: Sequence[str], frames: Tensor, targets: Tensor) -> Tensor:
    """Of the windows with these numbers, N x 7: as they are stored, or fitted where none are."""
    if not (folder / DEGRADATIONS).exists():
        return torch.cat([coded_degradation(frame.float() / 255, target.float() / 255) for frame, target in
                          zip(frames[:, CENTER].split(TOGETHER), targets.split(TOGETHER))])
    stored = read_degradations(folder)
    for number in numbers:
        if number not in stored:
            raise ValueError(f"{folder / DEGRADATIONS}: no line for window {number}")
    return torch.tensor([stored[number] for number in numbers]).to(frames.device)


def read_windows(folder: pathlib.Path, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """All windows of a folder: N x 5 x 3 x P x P and N x 3 x 4P x 4P, uint8, and their degradations, N x 7. ValueError
    where there are none, they differ in size, or the table of their degradations is wrong."""
    from PIL import Image
    frames, targets, numbers = [], [], []
    for path in sorted(folder.glob("[0-9]*[0-9].webp")):
        window, target = (np.asarray(Image.open(name).convert("RGB"))
                          for name in (path, path.with_name(f"{path.stem}_target.webp")))
        frames.append(window.reshape(WINDOW, -1, *window.shape[1:]))
        targets.append(target)
        numbers.append(path.stem)
    if not frames:
        raise ValueError(f"{folder}: no windows in there")
    if len({window.shape for window in frames}) > 1:
        raise ValueError(f"{folder}: its windows differ in size")
    windows = [torch.from_numpy(np.stack(each)).movedim(-1, -3).contiguous().to(device) for each in (frames, targets)]
    return *windows, degradations(folder, numbers, *windows)
