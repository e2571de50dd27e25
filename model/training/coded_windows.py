# SPDX-License-Identifier: LGPL-2.1-or-later
"""Training windows that went through a real encoder, made beforehand: where the network is trained there may be none.

A window is two files: NNNN.webp, its five low-resolution frames one above the other, lossless, and NNNN_target.webp,
the sharp center frame.
"""
from __future__ import annotations

import pathlib

import numpy as np
import torch
from torch import Tensor

from device_set import WINDOW, DeviceSet
from trainset import through_codec

TARGET_QUALITY = 92
CRF = (15, 34)
TOGETHER = 8    # windows that are encoded as one video
FROM_CLIPS = 4  # one in so many of them, where there are clips
AGAIN = 0.6     # share that is encoded backwards and then forwards, so that no frame is an intra frame


def draw_coded(data: DeviceSet, ffmpeg: str) -> tuple[np.ndarray, np.ndarray]:
    """TOGETHER windows through x264 at one quality: frames N x 5 x P x P x 3 and targets N x 4P x 4P x 3, uint8."""
    real = TOGETHER // FROM_CLIPS if data.clips else 0
    with torch.no_grad():
        batch = data.moved(TOGETHER - real, TOGETHER // 4)
        frames, target = batch.frames, batch.target
        if real:
            clips = data.clip_windows(real)
            frames, target = torch.cat((frames, clips.frames)), torch.cat((target, clips.target))
        frames, _ = data.draw.noisy(data.draw.sharpened(frames)[0])
        frames, target = (as_bytes(x).movedim(-3, -1).contiguous().numpy() for x in (frames, target))
    if data.rng.random() < AGAIN:
        frames = np.concatenate((frames[:, :0:-1], frames), 1)
    return through_codec(frames, int(data.rng.integers(*CRF)), ffmpeg)[:, -WINDOW:], target


def as_bytes(pictures: Tensor) -> Tensor:
    return (pictures * 255).round().clamp(0, 255).byte().cpu()


def write_window(folder: pathlib.Path, index: int, frames: np.ndarray, target: np.ndarray) -> int:
    """Returns the bytes written. frames 5 x P x P x 3, target 4P x 4P x 3."""
    from PIL import Image
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / f"{index:04}.webp", folder / f"{index:04}_target.webp"
    Image.fromarray(frames.reshape(-1, *frames.shape[2:])).save(paths[0], lossless=True, method=4)
    Image.fromarray(target).save(paths[1], quality=TARGET_QUALITY, method=4)
    return sum(path.stat().st_size for path in paths)


def read_windows(folder: pathlib.Path, device: torch.device) -> tuple[Tensor, Tensor]:
    """All windows of a folder: N x 5 x 3 x P x P and N x 3 x 4P x 4P, uint8. ValueError where there are none, or they
    differ in size."""
    from PIL import Image
    frames, targets = [], []
    for path in sorted(folder.glob("[0-9]*[0-9].webp")):
        window, target = (np.asarray(Image.open(name).convert("RGB"))
                          for name in (path, path.with_name(f"{path.stem}_target.webp")))
        frames.append(window.reshape(WINDOW, -1, *window.shape[1:]))
        targets.append(target)
    if not frames:
        raise ValueError(f"{folder}: no windows in there")
    if len({window.shape for window in frames}) > 1:
        raise ValueError(f"{folder}: its windows differ in size")
    return tuple(torch.from_numpy(np.stack(each)).movedim(-1, -3).contiguous().to(device) for each in (frames, targets))
