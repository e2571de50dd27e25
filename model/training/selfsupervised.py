# SPDX-License-Identifier: LGPL-2.1-or-later
"""Self-supervised training, the method of the Self-Blind-VSR paper: it needs low-resolution clips only.

The kernel network estimates the blur of a window; the window, blurred by it and reduced once more, must restore to
itself; and the restored window, blurred by it, must reduce to what it was made from. Since nothing but the clip at
hand is needed, a model can be adapted to that very clip.
"""
from __future__ import annotations

from typing import Any, Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lib.blur import phase_offset
from losses import blur_down, center_of_mass, blur_terms
from supervised import psnr
from exportable import Network
from training import Method

HALVINGS = 5  # of the learning rate within a run
CHECK_SEED = 54321


class ClipWindows:
    """Random windows of low-resolution clips, flipped, transposed and reversed at random: N x window x 3 x P x P."""

    def __init__(self, clips: Sequence[np.ndarray], window: int, patch: int, seed: int) -> None:
        self.clips, self.window, self.patch = clips, window, patch
        self.rng = np.random.default_rng(seed)
        lengths = np.array([len(clip) for clip in clips], float)
        self.odds = lengths / lengths.sum()

    def _window(self) -> np.ndarray:
        clip = self.clips[self.rng.choice(len(self.clips), p=self.odds)]
        t, y, x = (self.rng.integers(have - want + 1)
                   for have, want in zip(clip.shape, (self.window, self.patch, self.patch)))
        window = clip[t:t + self.window, y:y + self.patch, x:x + self.patch]
        turns = self.rng.random(4) < 0.5
        window = window[::-1] if turns[0] else window
        window = window[:, ::-1] if turns[1] else window
        window = window[:, :, ::-1] if turns[2] else window
        return window.swapaxes(1, 2) if turns[3] else window

    def draw(self, count: int) -> Tensor:
        windows = np.stack([self._window() for _ in range(count)])
        return torch.from_numpy(windows).permute(0, 1, 4, 2, 3).float() / 255


class SelfSupervised(Method):
    """The losses of the paper, in either phase."""

    terms = ("restored", "cycle", "boundaries", "sparsity", "center")
    checks = ("psnr", "bicubic", "cycle_psnr")

    def __init__(self, args: Any, net: Network, clips: list[np.ndarray], flow_rate: float) -> None:
        self.args, self.device = args, args.device
        self.window, self.scale = net.arch.n_sequence, net.arch.scale
        self.offset, self.flow_rate = phase_offset(args.phase, self.scale), flow_rate
        largest = min(min(clip.shape[1:3]) for clip in clips)
        self.patch = min(args.patch, largest) // self.scale * self.scale
        if self.patch < 4 * self.scale:
            raise ValueError(f"a clip is only {largest} pixels wide or high, at least {4 * self.scale} are needed")
        self.clips = clips
        checker = ClipWindows(clips, self.window, self.patch, CHECK_SEED)
        self.held = [checker.draw(min(args.batch, 4)) for _ in range(2)]

    def rates(self, fraction: float) -> tuple[float, float, float]:
        rate = self.args.rate * 0.5 ** int(HALVINGS * min(fraction, 0.999))
        return rate, rate * self.flow_rate, rate

    def sources(self, fraction: float, workers: int, seed: int) -> tuple[Any, Callable[[], list[Callable[[], Tensor]]]]:
        def source(worker: int) -> Callable[[], Tensor]:
            data = ClipWindows(self.clips, self.window, self.patch, seed + 1000003 * worker)
            return lambda: data.draw(self.args.batch)
        return "windows", lambda: [source(worker) for worker in range(workers)]

    def stages(self, net: Network, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The kernels; the windows reduced by them and restored; and restored and reduced by them."""
        # a kernel is made of small differences, which bfloat16 would lose
        with torch.autocast(frames.device.type, enabled=False):
            blur = net.kernel_net(frames)
            down = blur_down(frames, blur, self.scale)
        restored = net.restored(down)
        with torch.no_grad():
            high = net.restored(frames)
        with torch.autocast(frames.device.type, enabled=False):
            cycle = blur_down(high.float(), blur, self.scale)
        return blur, restored, cycle

    def losses(self, net: Network, batch: Tensor, fraction: float) -> dict[str, Tensor]:
        frames = batch.to(self.device, non_blocking=True)
        blur, restored, cycle = self.stages(net, frames)
        center = frames[:, self.window // 2]
        with torch.autocast(frames.device.type, enabled=False):
            terms = {"restored": F.l1_loss(restored, center), "cycle": F.l1_loss(cycle, center),
                     **blur_terms(blur, self.offset)}
        return terms | {"sum": sum(terms.values())}

    @torch.no_grad()
    def check(self, net: Network) -> dict[str, float]:
        """PSNR of windows reduced and restored, by the model and by a bicubic scaler, and of the cycle, means over
        fixed windows; and where the kernel lies and how wide it is, high-resolution pixels."""
        rows = []
        for batch in self.held:
            frames = batch.to(self.device)
            blur, restored, cycle = self.stages(net, frames)
            center = frames[:, self.window // 2]
            down = blur_down(center, blur, self.scale)
            bicubic = F.interpolate(down, size=center.shape[2:], mode="bicubic", align_corners=False)
            place = center_of_mass(blur) - (blur.shape[-1] - 1) / 2
            axis = torch.arange(blur.shape[-1], device=self.device) - (blur.shape[-1] - 1) / 2.0
            variance = (blur.sum((1, 2)) * (axis - place[:, 1:]) ** 2).sum(1)
            rows.append((psnr(restored, center), psnr(bicubic, center), psnr(cycle, center),
                         place.mean().item(), variance.mean().sqrt().item()))
        return dict(zip(("psnr", "bicubic", "cycle_psnr", "kernel_offset", "kernel_sigma"), np.mean(rows, 0).tolist()))
