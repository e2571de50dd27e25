#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Train a small, fast variant of the network from photographs and clips, on a CPU, in an hour or two.

The network is supervised: photographs give the picture to reach and, moved synthetically, the true flow.
It is arranged so that two things hold by construction:

- A flat colour, any colour, comes back exactly, image borders included. The first block turns colours into features
  of differences (filters that sum to zero, silenced on the outermost ring, where zero padding would look like an
  edge), and nothing after it has a bias, so where the picture is flat every feature is zero.
- Brightness does not matter, and contrast only scales the detail: a dark shot is restored like a bright one.

Both are ordinary weights of the ordinary network in the file that is written (see `export_features`). The tail is
trained as the single convolution it is equal to and expanded exactly on writing (`expand_tail`).
"""
from __future__ import annotations

import argparse
import copy
import datetime
import math
import pathlib
import sys
import time
from typing import Any, Optional

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import modelfile
from degrade import ClipError
from reference import (FLOW_UNIT, SEARCH, Architecture, FlowNet, KernelNet, KernelWidths, ResBlock, SelfBlindVSR,
                       correlate, resize, warp)
from trainset import SCALE, WINDOW, Batch, TrainingSet, decode_folder

CENTRE = WINDOW // 2
COLOUR_LIFT = 0.5   # colours down to -0.5 pass the rectifier of the first block unchanged
FILTER_GRID = 1 / 256  # difference filters are multiples of this: they sum to zero in half precision too


class Trainee(nn.Module):
    """The network in the form it is trained in."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.arch = arch
        width, colors = arch.n_feat, arch.n_colors
        self.difference = nn.Parameter(torch.randn(width - colors, colors, 3, 3) * 0.25)
        self.mix = nn.Conv2d(width - colors, width, 3, padding=1, bias=False)
        self.extra = nn.Sequential(*[self._block(width) for _ in range(arch.extra_blocks - 1)])
        self.fusion = nn.Conv2d(arch.n_sequence * width, width, 3, padding=1, bias=False)
        self.recons = nn.Sequential(*[self._block(width) for _ in range(arch.recons_blocks)])
        self.tail = nn.Conv2d(width, colors * arch.scale ** 2, 3, padding=1, bias=False)
        nn.init.zeros_(self.tail.weight)
        self.flow_net = FlowNet(arch)
        initialise_flow(self.flow_net)
        if arch.kernel:
            self.kernel_net = KernelNet(arch.n_sequence * colors, arch.kernel)

    @staticmethod
    def _block(width: int) -> ResBlock:
        block = ResBlock(width)
        block.conv1.bias = block.conv2.bias = None
        nn.init.kaiming_normal_(block.conv1.weight)
        with torch.no_grad():
            block.conv2.weight.mul_(0.2)
        return block

    def filters(self) -> Tensor:
        return self.difference - self.difference.mean((2, 3), keepdim=True)

    def features(self, frames: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):  # differences of nearly equal colours
            inner = F.relu(F.conv2d(frames, self.filters()))
        return self.extra(self.mix(F.pad(inner, (1, 1, 1, 1))))

    def pyramids(self, frames: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Feature pyramids of the centre frames, repeated, and of the other frames: (4 N) x C x h x w a level."""
        flat = frames.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        first, second = [], []
        for level in self.flow_net.moduleNetwork.moduleExtractor(flat):
            level = level.unflatten(0, (len(frames), WINDOW))
            others = torch.cat((level[:, :CENTRE], level[:, CENTRE + 1:]), 1)
            first.append(level[:, CENTRE:CENTRE + 1].expand_as(others).flatten(0, 1))
            second.append(others.flatten(0, 1))
        return first, second

    def flows(self, pyramids: tuple[list[Tensor], list[Tensor]]) -> list[Tensor]:
        """Flows in pixels of the frames, N x 4 x 2 x h x w, coarsest level first and the refined one last."""
        flows = self.flow_net.moduleNetwork.decode(*pyramids)
        return [FLOW_UNIT * flow.float().unflatten(0, (-1, WINDOW - 1)) for flow in flows]

    def forward(self, frames: Tensor, flow: Tensor) -> Tensor:
        """frames N x 5 x 3 x H x W with H and W multiples of the coarsest pyramid step; flow as from flows()."""
        count, height, width = frames.shape[0], *frames.shape[3:]
        feats = self.features(frames.flatten(0, 1).contiguous(memory_format=torch.channels_last))
        feats = feats.unflatten(0, (count, WINDOW))
        full = resize(flow.flatten(0, 1), height, width)
        others = torch.cat((feats[:, :CENTRE], feats[:, CENTRE + 1:]), 1).flatten(0, 1).contiguous()
        warped = warp(others, full).unflatten(0, (count, WINDOW - 1))
        stack = torch.cat((warped[:, :CENTRE], feats[:, CENTRE:CENTRE + 1], warped[:, CENTRE:]), 1).flatten(1, 2)
        fused = self.fusion(stack.contiguous(memory_format=torch.channels_last)).float()
        detail = F.pixel_shuffle(self.tail(self.recons(fused)).float(), self.arch.scale)
        return detail + resize(frames[:, CENTRE], height * self.arch.scale, width * self.arch.scale)


@torch.no_grad()
def initialise_flow(net: FlowNet) -> None:
    """Features that see differences at full strength, flows near zero that are passed on to the finer level."""
    network = net.moduleNetwork
    for stage in network.modules():
        if isinstance(stage, nn.Conv2d):
            nn.init.kaiming_normal_(stage.weight, a=0.1)
            nn.init.zeros_(stage.bias)
    first = network.moduleExtractor.moduleOne[0].weight
    first.sub_(first.mean((2, 3), keepdim=True)).mul_(20)
    taps = torch.tensor([0.25, 0.75, 0.75, 0.25])
    for name, decoder in network.named_children():
        if hasattr(decoder, "moduleUpflow"):
            decoder.moduleUpflow.weight.zero_()
            decoder.moduleUpflow.weight[0, 0] = decoder.moduleUpflow.weight[1, 1] = torch.outer(taps, taps)
        if hasattr(decoder, "moduleSix") and name != "moduleExtractor":
            decoder.moduleSix[0].weight.mul_(0.03)
    network.moduleRefiner.moduleMain[-1].weight.mul_(0.03)


def export_features(net: Trainee) -> dict[str, Tensor]:
    """in_conv and the first block that compute Trainee.features' first step with ordinary convolutions.

    in_conv passes the colours on and adds a channel of ones. In the block, the first hidden channels copy the colours
    and the second convolution takes them, and the ones, away again through the skip connection; the others filter
    differences, and the channel of ones, which is zero outside, pulls them below zero on the outermost ring.
    """
    colors, width = net.arch.n_colors, net.arch.n_feat
    grid = (net.filters() / FILTER_GRID).round()
    grid[:, :, 1, 1] -= grid.sum((2, 3))
    # at least three taps lie outside; colours are taken to be within -0.5 and 1.5. A power of two, to be exact.
    guard = 2.0 ** math.ceil(math.log2(max(1.0, (grid * FILTER_GRID).abs().sum((1, 2, 3)).max().item() / 3)))
    state = {f"{name}.weight": torch.zeros(width, inputs, 3, 3) for name, inputs in
             (("in_conv.0", colors), ("extra_feat.0.conv1", width), ("extra_feat.0.conv2", width))}
    state.update({name.replace("weight", "bias"): torch.zeros(width) for name in list(state)})
    for c in range(colors):
        state["in_conv.0.weight"][c, c, 1, 1] = 1
        state["extra_feat.0.conv1.weight"][c, c, 1, 1] = 1
        state["extra_feat.0.conv2.weight"][c, c, 1, 1] = -1
    state["in_conv.0.bias"][colors] = 1
    state["extra_feat.0.conv1.weight"][colors:, :colors] = grid * FILTER_GRID
    state["extra_feat.0.conv1.weight"][colors:, colors] = guard
    state["extra_feat.0.conv1.bias"][:colors] = COLOUR_LIFT
    state["extra_feat.0.conv1.bias"][colors:] = -9 * guard
    state["extra_feat.0.conv2.weight"][:, colors:] = net.mix.weight
    state["extra_feat.0.conv2.bias"][:colors] = COLOUR_LIFT
    state["extra_feat.0.conv2.bias"][colors] = -1
    return state


def expand_tail(weight: Tensor, bias: Optional[Tensor] = None) -> dict[str, Tensor]:
    """The four convolutions of the x4 tail that equal conv(weight, bias) and PixelShuffle(4), borders included.

    The first does the work, its outputs ordered so that two PixelShuffle(2) make one PixelShuffle(4); the others only
    pass channels on, so zero padding between them never matters.
    """
    outputs, width = weight.shape[:2]
    colors = outputs // SCALE ** 2
    if width < outputs // 4:
        raise ValueError(f"expand_tail: {width} features, at least {outputs // 4} are needed")
    bias = torch.zeros(outputs) if bias is None else bias
    state = {f"{name}.weight": torch.zeros(rows, width, 3, 3) for name, rows in
             (("upsample_layers.0", 4 * width), ("upsample_layers.2", 4 * width), ("out_conv.0", width),
              ("out_conv.1", colors))}
    state.update({name.replace("weight", "bias"): torch.zeros(len(value)) for name, value in list(state.items())})
    for c in range(colors):
        for y in range(SCALE):
            for x in range(SCALE):
                row = (c * 4 + (y % 2) * 2 + x % 2) * 4 + (y // 2) * 2 + x // 2
                state["upsample_layers.0.weight"][row] = weight[c * 16 + y * 4 + x]
                state["upsample_layers.0.bias"][row] = bias[c * 16 + y * 4 + x]
        state["out_conv.0.weight"][c, c, 1, 1] = 1
        state["out_conv.1.weight"][c, c, 1, 1] = 1
    for channel in range(outputs // 4):
        state["upsample_layers.2.weight"][channel, channel, 1, 1] = 1
    return state


@torch.no_grad()
def export(net: Trainee) -> dict[str, Tensor]:
    """The state dict of the same network as reference.SelfBlindVSR."""
    state = SelfBlindVSR(net.arch).state_dict()
    for name in state:
        if name.endswith("bias") and not name.startswith(("flow_net", "kernel_net")):
            state[name] = torch.zeros_like(state[name])
    state.update(export_features(net))
    for index, block in enumerate(net.extra, 1):
        state[f"extra_feat.{index}.conv1.weight"] = block.conv1.weight
        state[f"extra_feat.{index}.conv2.weight"] = block.conv2.weight
    for index, block in enumerate(net.recons):
        state[f"recons_net.{index}.conv1.weight"] = block.conv1.weight
        state[f"recons_net.{index}.conv2.weight"] = block.conv2.weight
    state["fusion_conv.0.weight"] = net.fusion.weight
    state.update(expand_tail(net.tail.weight))
    for part in ("flow_net", "kernel_net"):
        if hasattr(net, part):
            state.update({f"{part}.{k}": v for k, v in getattr(net, part).state_dict().items()})
    return {k: v.detach().clone().contiguous() for k, v in state.items()}


def save_model(net: Trainee, path: pathlib.Path, metadata: dict[str, str]) -> None:
    state = {name: value.numpy() for name, value in export(net).items()}
    modelfile.write(str(path), state, metadata, dtype="F32")


def flow_error(flows: list[Tensor], truth: Tensor) -> Tensor:
    """Mean end-point distance in pixels over all levels of the pyramid, the refined flow counting double."""
    total = truth.new_zeros(())
    for index, flow in enumerate(flows):
        target = F.interpolate(truth.flatten(0, 1), size=flow.shape[3:], mode="area")
        distance = ((flow[:len(truth)].flatten(0, 1) - target).square().sum(1) + 1e-4).sqrt().mean()
        total = total + distance * (2 if index == len(flows) - 1 else 1)
    return total / (len(flows) + 1)


def kernel_error(kernel: Tensor, truth: Tensor) -> Tensor:
    """Total variation distance of the kernels, 0 to 1, plus the distance of their second moments, in pixels squared."""
    axis = torch.arange(kernel.shape[-1], dtype=kernel.dtype)
    difference = kernel - truth
    rows, columns = (difference.sum(d) for d in (3, 2))
    shift = (columns * axis).sum(2).abs() + (rows * axis).sum(2).abs()
    spread = (columns * (axis - axis.mean()) ** 2).sum(2).abs() + (rows * (axis - axis.mean()) ** 2).sum(2).abs()
    return 0.5 * difference.abs().sum((2, 3)).mean() + 0.05 * shift.mean() + 0.05 * spread.mean()


def matching_loss(pyramids: tuple[list[Tensor], list[Tensor]], truth: Tensor) -> Tensor:
    """Cross-entropy of the cost volume, as a choice among displacements, against the true one, at levels 2 and up.

    It teaches the features to be distinctive at once; from the flow error alone they start on a long plateau.
    """
    steps = torch.arange(-SEARCH, SEARCH + 1.0).view(1, -1, 1, 1)
    total = truth.new_zeros(())
    for level, (first, second) in enumerate(zip(*pyramids), 1):
        if level < 2:
            continue
        volume = 4 * correlate(first[:truth.shape[0] * (WINDOW - 1)], second[:truth.shape[0] * (WINDOW - 1)]).float()
        height, width = volume.shape[2:]
        shift = F.interpolate(truth.flatten(0, 1), size=(height, width), mode="area") / 2 ** level
        x, y = torch.arange(width) + shift[:, 0], torch.arange(height)[:, None] + shift[:, 1]
        known = (shift.abs().amax(1) < SEARCH - 0.5) & (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
        across, down = ((1 - (shift[:, c:c + 1] - steps).abs()).clamp(min=0) for c in (0, 1))
        wanted = (down[:, :, None] * across[:, None]).flatten(1, 2)
        entropy = -(wanted * F.log_softmax(volume, 1)).sum(1)
        total = total + (entropy * known).sum() / known.sum().clamp(min=1)
    return total


def psnr(a: Tensor, b: Tensor) -> float:
    difference = ((a.clamp(0, 1) - b) * 255)[..., 4:-4, 4:-4]
    return 10 * math.log10(255 ** 2 / difference.square().mean().item())


@torch.no_grad()
def validate(net: Trainee, batches: list[Batch]) -> dict[str, float]:
    """PSNR of the model and of a bicubic scaler on held-out windows, and the end-point error, all means."""
    rows = []
    for batch in batches:
        flows = net.flows(net.pyramids(batch.frames))
        output = net(batch.frames, flows[-1])
        size = batch.target.shape[2:]
        bicubic = F.interpolate(batch.frames[:, CENTRE], size=size, mode="bicubic", align_corners=False)
        full = resize(flows[-1][:len(batch.flow)].flatten(0, 1), *batch.flow.shape[3:])
        rows.append((np.mean([psnr(o, t) for o, t in zip(output, batch.target)]),
                     np.mean([psnr(o, t) for o, t in zip(bicubic, batch.target)]),
                     (full - batch.flow.flatten(0, 1)).norm(dim=1).mean().item()))
    return dict(zip(("psnr", "bicubic", "flow_error"), np.mean(rows, 0)))


class Training:
    """State of a run: the network, its average, the optimiser and the time spent."""

    def __init__(self, args: argparse.Namespace, arch: Architecture) -> None:
        self.args = args
        self.net = Trainee(arch).to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.net)
        flow = list(self.net.flow_net.parameters())
        kernel = list(self.net.kernel_net.parameters()) if arch.kernel else []
        known = {id(p) for p in flow + kernel}
        rest = [p for p in self.net.parameters() if id(p) not in known]
        groups = [{"params": params} for params in (rest, flow, kernel) if params]
        self.optimiser = torch.optim.Adam(groups, lr=args.rate, betas=(0.9, 0.99))
        self.step, self.spent = 0, 0.0

    def rates(self) -> tuple[float, float]:
        """Learning rates of the reconstruction and of the flow network: warm-up, then a cosine over the time."""
        total, pretrain = 60 * self.args.minutes, 60 * self.args.flow_minutes
        if self.spent < pretrain:
            return 0.0, self.args.rate * min(1, (self.step + 1) / 100)
        progress = min(1.0, (self.spent - pretrain) / max(1.0, total - pretrain))
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        warm = min(1.0, (self.spent - pretrain) / 60)
        return self.args.rate * cosine * warm, 0.3 * self.args.rate * cosine

    def train_step(self, batch: Batch) -> dict[str, float]:
        rate, flow_rate = self.rates()
        for group, value in zip(self.optimiser.param_groups, (rate, flow_rate, 0.3 * rate)):
            group["lr"] = value
        with torch.autocast("cpu", torch.bfloat16, enabled=self.args.precision == "bf16"):
            losses = self.losses(batch, rate > 0)
        loss = losses.pop("sum")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norms = [nn.utils.clip_grad_norm_(group["params"], self.args.clip) for group in self.optimiser.param_groups]
        if all(torch.isfinite(norm) for norm in norms):
            self.optimiser.step()
        keep = min(0.999, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.net.parameters()):
                mean.lerp_(value, 1 - keep)
        self.step += 1
        return {name: value.item() for name, value in losses.items()} | {"norm": max(norms).item()}

    def losses(self, batch: Batch, picture: bool) -> dict[str, Tensor]:
        pyramids = self.net.pyramids(batch.frames)
        flows = self.net.flows(pyramids)
        losses = {"flow": flow_error(flows, batch.flow)}
        if not picture:
            losses["matching"] = matching_loss(pyramids, batch.flow)
            return losses | {"sum": losses["flow"] + 0.5 * losses["matching"]}
        difference = self.net(batch.frames, flows[-1]) - batch.target
        losses["picture"] = (difference.square() + 1e-5).sqrt().mean()
        total = losses["picture"] + self.args.flow_weight * losses["flow"]
        if self.net.arch.kernel:
            losses["kernel"] = kernel_error(self.net.kernel_net(batch.frames).float(), batch.kernel)
            total = total + losses["kernel"]
        return losses | {"sum": total}

    def save(self, path: pathlib.Path) -> None:
        state: dict[str, Any] = {"net": self.net.state_dict(), "average": self.average.state_dict(),
                                 "optimiser": self.optimiser.state_dict(), "step": self.step, "spent": self.spent}
        partial = path.with_suffix(".part")
        torch.save(state, partial)
        partial.rename(path)

    def keep(self, checks: list[Batch], metadata: dict[str, str]) -> None:
        """Checkpoint and model file, and a line that says how good the average is by now."""
        check = " ".join(f"{k} {v:.3f}" for k, v in validate(self.average, checks).items())
        print(f"check at step {self.step}: {check}", flush=True)
        self.save(self.args.checkpoint)
        save_model(self.average, self.args.output, metadata)

    def load(self, path: pathlib.Path) -> None:
        state = torch.load(path)
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.spent = state["step"], state["spent"]


def split(items: list[np.ndarray], share: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Training items and held-out ones, every share-th."""
    return [x for i, x in enumerate(items) if i % share], [x for i, x in enumerate(items) if i % share == 0]


def run(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    stills, clips = decode_folder(args.data, args.cache, args.ffmpeg)
    # both sizes of a still stand next to each other and must fall on the same side
    kept, held = split(stills, args.hold_out) if args.hold_out else (stills, stills)
    training = Training(args, architecture(args))
    if args.checkpoint.exists():
        training.load(args.checkpoint)
        print(f"continuing at step {training.step}, {training.spent / 60:.1f} minutes", flush=True)
    data = TrainingSet(kept, clips, args.patch, args.seed + training.step, args.codec, args.ffmpeg)
    flow_data = TrainingSet(kept, [], args.flow_patch, args.seed + training.step)
    checker = TrainingSet(held, [], args.patch, 12345)
    checks = [checker.draw(8, 2, 0, sigma=1.2, noise=False) for _ in range(3)]
    metadata = {"name": args.name, "licence": args.licence, "training_data": args.provenance, "phase": "center",
                "date": datetime.date.today().isoformat()}
    layered = max(1, args.batch // 4)
    clip_windows = args.batch // 4
    means: dict[str, list[float]] = {}
    last_save = last = time.monotonic()
    while training.spent < 60 * args.minutes:
        if training.rates()[0] > 0:
            batch = data.draw(args.batch - clip_windows, layered, clip_windows)
        else:
            batch = flow_data.draw(args.flow_batch, layered, 0)
        for name, value in training.train_step(batch).items():
            means.setdefault(name, []).append(value)
        now = time.monotonic()
        training.spent, last = training.spent + now - last, now
        if training.step % args.report == 0:
            text = " ".join(f"{k} {np.mean(v):.5f}" for k, v in means.items())
            print(f"step {training.step} minute {training.spent / 60:.1f} rate {training.rates()[0]:.2e} {text}",
                  flush=True)
            means.clear()
        if now - last_save > 60 * args.save_minutes:
            training.keep(checks, metadata)
            last_save = now
    training.keep(checks, metadata)


def architecture(args: argparse.Namespace) -> Architecture:
    return Architecture(3, args.features, args.extra_blocks, args.recons_blocks, WINDOW, SCALE, tuple(args.pyramid),
                        (tuple(args.decoder),) * (len(args.pyramid) - 1), tuple(args.refiner) + (2,),
                        KernelWidths(*args.kernel_net, 13) if args.kernel_net else None)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("--data", type=pathlib.Path, required=True, help="folder of photographs and clips")
    add("--output", type=pathlib.Path, required=True, help="model file to write")
    add("--checkpoint", type=pathlib.Path, required=True, help="state of the run; continued from where it exists")
    add("--cache", type=pathlib.Path, required=True, help="folder for the decoded material")
    add("--minutes", type=float, default=85, help="wall-clock length of the run; a finished run only writes its file")
    add("--flow-minutes", type=float, default=10, help="of these, for the flow network alone")
    add("--features", type=int, default=32, help="channels of the feature maps, at least 12")
    add("--extra-blocks", type=int, default=2, help="residual blocks of the feature extractor")
    add("--recons-blocks", type=int, default=8, help="residual blocks of the reconstruction")
    add("--pyramid", type=int, nargs="+", default=[16, 24, 32], help="widths of the flow pyramid, finest level first")
    add("--decoder", type=int, nargs=5, default=[40, 40, 32, 24, 16], help="widths of the flow decoders")
    add("--kernel-net", type=int, nargs=4, default=[64, 4, 32, 1000],
        help="widths of the kernel network: features, squeezed, last, hidden")
    add("--refiner", type=int, nargs=6, default=[40, 40, 40, 32, 24, 16], help="widths of the flow refiner")
    add("--batch", type=int, default=8, help="windows a step; a quarter of them, rounded down, from clips")
    add("--patch", type=int, default=48, help="side of a window, low-resolution pixels")
    add("--flow-batch", type=int, default=4, help="windows a step while the flow network is trained alone")
    add("--flow-patch", type=int, default=96, help="side of a window while the flow network is trained alone")
    add("--clip", type=float, default=5.0, help="limit on the norm of the gradient")
    add("--rate", type=float, default=1e-3, help="peak learning rate")
    add("--flow-weight", type=float, default=0.005, help="weight of the flow error, per pixel, in the joint loss")
    add("--hold-out", type=int, default=12, help="every so many stills one is kept for checking; 0: none")
    add("--precision", choices=("bf16", "fp32"), default="bf16", help="of the convolutions while training")
    add("--codec", type=float, default=0.3, help="share of the batches that go through x264")
    add("--threads", type=int, default=2, help="CPU threads")
    add("--seed", type=int, default=1, help="of the weights and the draws")
    add("--report", type=int, default=50, help="steps between two lines of losses")
    add("--save-minutes", type=float, default=4, help="minutes between two checkpoints")
    add("--name", default="small", help="name written into the model file")
    add("--licence", default="", help="licence written into the model file")
    add("--provenance", default="", help="training data, as written into the model file")
    add("--ffmpeg", default="ffmpeg", help="ffmpeg that decodes the material")
    args = parser.parse_args()
    if args.features < 12:
        parser.error(f"--features {args.features}: at least 12")
    if not args.data.is_dir():
        parser.error(f"--data {args.data}: not a folder")
    for option, side in (("--patch", args.patch), ("--flow-patch", args.flow_patch)):
        if side % 2 ** len(args.pyramid):
            parser.error(f"{option} {side}: must be a multiple of {2 ** len(args.pyramid)}")
    return args


def main() -> int:
    try:
        run(parse())
    except (ClipError, modelfile.ModelFileError, OSError, ValueError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
