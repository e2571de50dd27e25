# SPDX-License-Identifier: LGPL-2.1-or-later
"""Supervised training: sharp photographs and clips, degraded on the fly, with the true picture, flow and kernel."""
from __future__ import annotations

import math
from typing import Any, Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from losses import charbonnier, flicker, flow_error, blur_error, matching_loss
from reference import resize
from exportable import Network
from training import Method
from trainset import Batch, TrainingSet

FLOW_RATE, KERNEL_NET_RATE = 0.3, 0.3  # of the rate of the reconstruction, while all are trained
CHECK_SEED = 12345
FLICKER_SHARE = 0.9  # of a bicubic scaler's that is allowed


def bicubic(frames: Tensor, size: torch.Size) -> Tensor:
    """The center frames of windows, scaled."""
    return F.interpolate(frames[:, frames.shape[1] // 2], size=size, mode="bicubic", align_corners=False)


def psnr(a: Tensor, b: Tensor) -> float:
    difference = ((a.clamp(0, 1) - b) * 255)[..., 4:-4, 4:-4]
    return 10 * math.log10(255 ** 2 / max(difference.square().mean().item(), 1e-9))


def split(items: list[np.ndarray], share: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Training items and held-out ones, every share-th; all of them in both where share is 0 or nothing would stay."""
    if not share or len(items) < 2 * share:
        return items, items
    return [x for i, x in enumerate(items) if i % share], [x for i, x in enumerate(items) if i % share == 0]


class Supervised(Method):
    """First the flow network alone, for a share of the budget, then everything."""

    terms = ("picture", "flow", "kernel", "matching", "flicker")
    checks = ("psnr", "bicubic")

    def __init__(self, args: Any, stills: list[np.ndarray], clips: list[np.ndarray]) -> None:
        self.args, self.clips = args, clips
        self.device = args.device
        self.stills, held = split(stills, args.hold_out)
        checker = TrainingSet(held, [], args.patch, CHECK_SEED)
        self.held = [checker.draw(8, 2, 0, sigma=1.2, noise=False) for _ in range(3)]

    def flow_alone(self, fraction: float) -> bool:
        return fraction < self.args.flow_share

    def rates(self, fraction: float) -> tuple[float, float, float]:
        """A warm-up, then a cosine."""
        rate, share = self.args.rate, self.args.flow_share
        if self.flow_alone(fraction):
            return 0.0, rate * min(1.0, 0.01 + 10 * fraction / share), 0.0
        progress = (fraction - share) / (1 - share)
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        main = rate * cosine * min(1.0, 0.01 + 100 * progress)
        return main, FLOW_RATE * rate * cosine, KERNEL_NET_RATE * main

    def sources(self, fraction: float, workers: int, seed: int) -> tuple[Any, Callable[[], list[Callable[[], Batch]]]]:
        args, alone = self.args, self.flow_alone(fraction)
        layered, from_clips = max(1, args.batch // 4), args.batch // 4 if self.clips else 0
        pairs = min(max(1, args.batch // 8), args.batch // 4)

        def source(worker: int) -> Callable[[], Batch]:
            if alone:
                data = TrainingSet(self.stills, [], args.flow_patch, seed + 1000003 * worker, noisy=args.noisy)
                return lambda: data.draw(args.flow_batch, min(layered, args.flow_batch), 0)
            data = TrainingSet(self.stills, self.clips, args.patch, seed + 1000003 * worker, args.codec, args.ffmpeg,
                               args.noisy)

            def draw() -> Batch:
                steady = pairs if data.rng.random() < args.steady else 0
                return data.draw(args.batch - from_clips - 2 * steady, layered, from_clips, steady=steady)
            return draw

        return alone, lambda: [source(worker) for worker in range(workers)]

    def losses(self, net: Network, batch: Batch, fraction: float) -> dict[str, Tensor]:
        frames, target, flow, blur = (x.to(self.device, non_blocking=True)
                                      for x in (batch.frames, batch.target, batch.flow, batch.blur))
        if self.flow_alone(fraction):
            pyramids = net.pyramids(frames)
            losses = {"flow": flow_error(net.flows(pyramids), flow), "matching": matching_loss(pyramids, flow)}
            return losses | {"sum": losses["flow"] + 0.5 * losses["matching"]}
        losses, total = {}, target.new_zeros(())
        if "picture" in self.args.parts:
            losses = self.picture_losses(net, frames, target, flow, batch.steady)
            total = (losses["picture"] + self.args.flow_weight * losses["flow"]
                     + self.args.flicker_weight * losses.get("flicker", 0))
        if net.arch.kernel_net and "kernel" in self.args.parts:
            losses["kernel"] = blur_error(net.kernel_net(frames).float(), blur)
            total = total + losses["kernel"]
        return losses | {"sum": total}

    def picture_losses(self, net: Network, frames: Tensor, target: Tensor, flow: Tensor,
                       steady: int) -> dict[str, Tensor]:
        flows = net.flows(net.pyramids(frames))
        restored = net.restored(frames, flows[-1])
        losses = {"flow": flow_error(flows, flow), "picture": charbonnier(restored, target, self.args.knee)}
        if steady:
            plain = bicubic(frames[-2 * steady:], target.shape[2:])
            losses["flicker"] = flicker(*restored[-2 * steady:].chunk(2), *plain.chunk(2), FLICKER_SHARE)
        return losses

    @torch.no_grad()
    def check(self, net: Network) -> dict[str, float]:
        """PSNR of the model and of a bicubic scaler on held-out windows, and the end-point error, all means."""
        rows = []
        for batch in self.held:
            frames, target, flow = (x.to(self.device) for x in (batch.frames, batch.target, batch.flow))
            flows = net.flows(net.pyramids(frames))
            output = net.restored(frames, flows[-1])
            plain = bicubic(frames, target.shape[2:])
            full = resize(flows[-1][:len(flow)].flatten(0, 1), *flow.shape[3:])
            rows.append((np.mean([psnr(o, t) for o, t in zip(output, target)]),
                         np.mean([psnr(o, t) for o, t in zip(plain, target)]),
                         (full - flow.flatten(0, 1)).norm(dim=1).mean().item()))
        return dict(zip(("psnr", "bicubic", "flow_error"), np.mean(rows, 0).tolist()))
