# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Self-Blind-VSR network (Bai and Pan, TPAMI 2024) as a PyTorch module, for tests and for training.

It is the plain definition: nothing is cached, collapsed or reordered. Tensors are N, C, H, W; RGB in [0, 1]; flow in
pixels, x first. Tensor names are those of the authors' checkpoints, and every width and depth is read from the
tensors' shapes, so that narrower and shallower networks load unchanged. Works with PyTorch 1.13 and 2.x.

Positions in the warps are pixel positions, which is grid_sample with align_corners=True; resizes use
align_corners=False. Newer PyTorch has another default for the former, which costs more than a decibel, so both are
named at every call.
"""
from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Sequence, Union

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modulation import Modulated, consistency, scaled, through_blocks

LEVELS = ("One", "Two", "Thr", "Fou", "Fiv", "Six")
DILATIONS = (1, 2, 4, 8, 16, 1, 1)
SEARCH = 4                      # radius of the cost volume, pixels of its level
VOLUME = (2 * SEARCH + 1) ** 2  # 81 channels
FLOW_UNIT = 20.0                # the flow network computes in units of 20 pixels


@dataclass(frozen=True)
class KernelWidths:
    """Widths of the blur kernel estimator."""
    features: int = 64
    reduced: int = 4
    last: int = 32
    hidden: int = 1000
    ksize: int = 13


@dataclass(frozen=True)
class Architecture:
    """Every width and depth of a network. The defaults are the published size."""
    n_colors: int = 3
    n_feat: int = 128
    extra_blocks: int = 3
    recons_blocks: int = 20
    n_sequence: int = 5
    scale: int = 4
    pyramid: tuple = (16, 32, 64, 96, 128, 196)
    decoder: tuple = ((128, 128, 96, 64, 32),) * 5  # levels 2, 3, ... up to the coarsest
    refiner: tuple = (128, 128, 128, 96, 64, 32, 2)
    kernel_net: Optional[KernelWidths] = field(default_factory=KernelWidths)
    modulation: int = 0    # hidden width of the network that makes gains of the degradation; 0: not modulated
    estimator: int = 0     # hidden width of the network that estimates the degradation; 0 where not modulated

    @staticmethod
    def from_shapes(shapes: Mapping[str, Sequence[int]]) -> "Architecture":
        """Reads the architecture from tensor names and shapes (KeyError where a tensor is missing)."""
        def out(name: str) -> int:
            return shapes[name + ".weight"][0]

        def count(pattern: str) -> int:
            return len({m.group(1) for m in (re.match(pattern, name) for name in shapes) if m})

        n_feat, n_colors = shapes["in_conv.0.weight"][:2]
        flow = "flow_net.moduleNetwork."
        levels = count(re.escape(flow) + r"moduleExtractor\.module(\w+)\.0\.weight")
        kernel_net = None
        if "kernel_net.in_conv.weight" in shapes:
            kernel_net = KernelWidths(out("kernel_net.in_conv"), out("kernel_net.body1.0.body.3.conv_du.0"),
                                      out("kernel_net.body2.2"), out("kernel_net.fc_net.0"),
                                      round(out("kernel_net.fc_net.1") ** 0.5))
        modulated = any(name.startswith(("modulation.", "degradation_net.")) for name in shapes)
        return Architecture(
            n_colors, n_feat, count(r"extra_feat\.(\d+)\."), count(r"recons_net\.(\d+)\."),
            shapes["fusion_conv.0.weight"][1] // n_feat, 2 ** count(r"upsample_layers\.(\d+)\.weight"),
            tuple(out(f"{flow}moduleExtractor.module{level}.4") for level in LEVELS[:levels]),
            tuple(tuple(out(f"{flow}module{level}.module{part}.0") for part in LEVELS[:5])
                  for level in LEVELS[1:levels]),
            tuple(out(f"{flow}moduleRefiner.moduleMain.{2 * i}") for i in range(len(DILATIONS))), kernel_net,
            *((out("modulation.0"), out("degradation_net.0")) if modulated else ()))


def conv(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation)


def leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.1)


def resize(x: Tensor, height: int, width: int, align_corners: bool = False) -> Tensor:
    return F.interpolate(x, size=(height, width), mode="bilinear", align_corners=align_corners)


def sample(x: Tensor, flow: Tensor, padding: str, align_corners: bool = True) -> Tensor:
    """Samples x bilinearly at (px + flow_x, py + flow_y); padding is "border" or "zeros"."""
    height, width = x.shape[2:]
    # positions need more digits than bfloat16 has
    x, flow = (t.to(torch.promote_types(t.dtype, torch.float32)) for t in (x, flow))
    # grid_sample cannot express positions along an axis of one pixel; a second pixel changes nothing else
    pad = (0, int(width == 1), 0, int(height == 1))
    if any(pad):
        x = F.pad(x, pad, mode="replicate" if padding == "border" else "constant")
    padded_height, padded_width = x.shape[2:]
    columns = torch.arange(width, dtype=x.dtype, device=x.device) + flow[:, 0]
    rows = torch.arange(height, dtype=x.dtype, device=x.device)[:, None] + flow[:, 1]
    grid = torch.stack((columns * (2.0 / (padded_width - 1)) - 1.0, rows * (2.0 / (padded_height - 1)) - 1.0), 3)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode=padding, align_corners=align_corners)


def warp(x: Tensor, flow: Tensor, align_corners: bool = True) -> Tensor:
    """Feature warp: clamped positions, and zero where the position lies outside the image."""
    with torch.no_grad():
        inside = sample(torch.ones_like(x[:, :1]), flow, "zeros", align_corners) >= 0.999
    return sample(x, flow, "border", align_corners) * inside.to(x.dtype)


def backward_warp(x: Tensor, flow: Tensor, align_corners: bool = True) -> Tensor:
    """Pyramid warp: zeros outside, and zero where any part of the sample lies outside."""
    sampled = sample(torch.cat((x, torch.ones_like(x[:, :1])), 1), flow, "zeros", align_corners)
    return sampled[:, :-1] * (sampled[:, -1:] > 0.999).to(x.dtype)


def correlate(first: Tensor, second: Tensor) -> Tensor:
    """Cost volume: channel (dy+4)*9 + (dx+4) is the channel mean of first[y,x] * second[y+dy,x+dx]."""
    height, width = first.shape[2:]
    padded = F.pad(second, (SEARCH,) * 4)
    return torch.stack([(first * padded[:, :, dy:dy + height, dx:dx + width]).mean(1)
                        for dy in range(2 * SEARCH + 1) for dx in range(2 * SEARCH + 1)], 1)


class ResBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = conv(width, width)
        self.conv2 = conv(width, width)

    def forward(self, x: Tensor, gains: Optional[Tensor] = None) -> Tensor:
        """gains, N x 2 x C, are those of the outputs of the two convolutions."""
        first, second = (None, None) if gains is None else gains.unbind(1)
        return x + scaled(self.conv2(F.relu(scaled(self.conv1(x), first))), second)


class Extractor(nn.Module):
    """Feature pyramid, finest level first."""

    def __init__(self, colors: int, widths: Sequence[int]) -> None:
        super().__init__()
        inputs = (colors,) + tuple(widths[:-1])
        for level, before, width in zip(LEVELS, inputs, widths):
            self.add_module("module" + level, nn.Sequential(
                conv(before, width, stride=2), nn.LeakyReLU(0.1), conv(width, width), nn.LeakyReLU(0.1),
                conv(width, width), nn.LeakyReLU(0.1)))

    def forward(self, x: Tensor) -> list[Tensor]:
        levels = []
        for stage in self.children():
            x = stage(x)
            levels.append(x)
        return levels


class Decoder(nn.Module):
    """Flow of one level from its features and from the flow of the coarser level, if there is one."""

    def __init__(self, level: int, features: int, widths: Sequence[int], coarser_dense: int) -> None:
        super().__init__()
        self.scale = FLOW_UNIT / 2 ** level
        dense = VOLUME
        if coarser_dense:
            self.moduleUpflow = nn.ConvTranspose2d(2, 2, 4, 2, 1)
            self.moduleUpfeat = nn.ConvTranspose2d(coarser_dense, 2, 4, 2, 1)
            dense += features + 4
        for name, width in zip(LEVELS, widths):
            self.add_module("module" + name, nn.Sequential(conv(dense, width), nn.LeakyReLU(0.1)))
            dense += width
        self.moduleSix = nn.Sequential(conv(dense, 2))
        self.dense = dense

    def forward(self, first: Tensor, second: Tensor, coarser: Optional[tuple[Tensor, Tensor]],
                align_corners: bool) -> tuple[Tensor, Tensor]:
        if coarser is None:
            feat = leaky(correlate(first, second))
        else:
            flow, up = self.moduleUpflow(coarser[0]), self.moduleUpfeat(coarser[1])
            volume = leaky(correlate(first, backward_warp(second, flow * self.scale, align_corners)))
            feat = torch.cat((volume, first, flow, up), 1)
        for stage in (self.moduleOne, self.moduleTwo, self.moduleThr, self.moduleFou, self.moduleFiv):
            feat = torch.cat((stage(feat), feat), 1)
        return self.moduleSix(feat), feat


class Refiner(nn.Module):
    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        for before, width, dilation in zip((inputs,) + tuple(widths[:-1]), widths, DILATIONS):
            stages += [conv(before, width, dilation=dilation), nn.LeakyReLU(0.1)]
        self.moduleMain = nn.Sequential(*stages[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.moduleMain(x)


class PWCNet(nn.Module):
    """PWC-Net (Sun et al., CVPR 2018) on sizes that are multiples of 2^levels; flow in units of 20 pixels."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.moduleExtractor = Extractor(arch.n_colors, arch.pyramid)
        dense = 0
        for level in range(len(arch.pyramid), 1, -1):
            decoder = Decoder(level, arch.pyramid[level - 1], arch.decoder[level - 2], dense)
            self.add_module("module" + LEVELS[level - 1], decoder)
            dense = decoder.dense
        self.levels = len(arch.pyramid)
        self.moduleRefiner = Refiner(dense, arch.refiner)

    def decode(self, first: Sequence[Tensor], second: Sequence[Tensor], align_corners: bool = True) -> list[Tensor]:
        """Flows from the coarsest level to level 2, and last the refined flow of level 2."""
        coarser, flows = None, []
        for level in range(self.levels, 1, -1):
            decoder = getattr(self, "module" + LEVELS[level - 1])
            coarser = decoder(first[level - 1], second[level - 1], coarser, align_corners)
            flows.append(coarser[0])
        flows.append(coarser[0] + self.moduleRefiner(coarser[1]))
        return flows


class FlowNet(nn.Module):
    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.moduleNetwork = PWCNet(arch)

    def forward(self, first: Tensor, second: Tensor, warp_align: bool = True, resize_align: bool = False) -> Tensor:
        """Flow in pixels from first to second."""
        height, width = first.shape[2:]
        step = 2 ** self.moduleNetwork.levels
        full_height, full_width = -(-height // step) * step, -(-width // step) * step
        pyramids = [self.moduleNetwork.moduleExtractor(resize(x, full_height, full_width, resize_align))
                    for x in (first, second)]
        flow = self.moduleNetwork.decode(*pyramids, warp_align)[-1]
        flow = FLOW_UNIT * resize(flow, height, width, resize_align)
        return flow * flow.new_tensor([width / full_width, height / full_height]).view(1, 2, 1, 1)


class ChannelAttention(nn.Module):
    def __init__(self, width: int, reduced: int) -> None:
        super().__init__()
        self.conv_du = nn.Sequential(nn.Conv2d(width, reduced, 1), nn.ReLU(), nn.Conv2d(reduced, width, 1),
                                     nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv_du(x.mean((2, 3), keepdim=True))


class RCAB(nn.Module):
    """Residual channel attention block (Zhang et al., ECCV 2018)."""

    def __init__(self, width: int, reduced: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(width, width), nn.ReLU(), conv(width, width), ChannelAttention(width, reduced))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class KernelNet(nn.Module):
    """Blur kernel of a window, N x 1 x ksize x ksize, each summing to 1."""

    def __init__(self, inputs: int, widths: KernelWidths) -> None:
        super().__init__()
        rcabs = [RCAB(widths.features, widths.reduced) for _ in range(4)]
        self.in_conv = conv(inputs, widths.features)
        self.body1 = nn.Sequential(*rcabs[:2])
        self.body2 = nn.Sequential(*rcabs[2:], conv(widths.features, widths.last), conv(widths.last, 1))
        self.fc_net = nn.Sequential(nn.Linear(widths.ksize ** 2, widths.hidden),
                                    nn.Linear(widths.hidden, widths.ksize ** 2))
        self.ksize = widths.ksize

    def forward(self, frames: Tensor) -> Tensor:
        x = self.body1(self.in_conv(frames.flatten(1, 2)))
        x = self.body2(F.adaptive_avg_pool2d(x, self.ksize))
        return F.softmax(self.fc_net(x.flatten(1)), 1).view(-1, 1, self.ksize, self.ksize)


class SelfBlindVSR(Modulated, nn.Module):
    """The whole network. warp_align and resize_align exist so that a test can show what the wrong value does."""

    def __init__(self, arch: Architecture = Architecture(), warp_align: bool = True,
                 resize_align: bool = False) -> None:
        super().__init__()
        self.arch, self.warp_align, self.resize_align = arch, warp_align, resize_align
        width = arch.n_feat
        self.in_conv = nn.Sequential(conv(arch.n_colors, width))
        self.extra_feat = nn.Sequential(*[ResBlock(width) for _ in range(arch.extra_blocks)])
        self.fusion_conv = nn.Sequential(conv(arch.n_sequence * width, width))
        self.recons_net = nn.Sequential(*[ResBlock(width) for _ in range(arch.recons_blocks)])
        self.out_conv = nn.Sequential(conv(width, width), conv(width, arch.n_colors))
        doublings = arch.scale.bit_length() - 1
        self.upsample_layers = nn.Sequential(*[stage for _ in range(doublings)
                                               for stage in (conv(width, 4 * width), nn.PixelShuffle(2))])
        self.flow_net = FlowNet(arch)
        if arch.kernel_net:
            self.kernel_net = KernelNet(arch.n_sequence * arch.n_colors, arch.kernel_net)
        self.add_modulation(width, arch.recons_blocks, arch.modulation, arch.estimator)

    @staticmethod
    def from_state_dict(state: Mapping[str, Any], **options: bool) -> "SelfBlindVSR":
        """Builds the network that these tensors (or numpy arrays) belong to and loads them."""
        net = SelfBlindVSR(Architecture.from_shapes({k: tuple(v.shape) for k, v in state.items()}), **options)
        net.load_state_dict({name: torch.as_tensor(value) for name, value in state.items()}, strict=True)
        return net.eval()

    def features(self, frame: Tensor) -> Tensor:
        return self.extra_feat(self.in_conv(frame))

    def tail(self, x: Tensor) -> Tensor:
        return self.out_conv(self.upsample_layers(x))

    def consistency(self, frames: Tensor, picture: Optional[Tensor] = None) -> Tensor:
        """The 16 features of an estimate, N x 16 (see modulation.consistency), of N x n_sequence x 3 x H x W frames and
        the picture that the network made of them under the probe (None: makes it)."""
        picture = self(frames, degradation=self.probe(len(frames))) if picture is None else picture
        return consistency(frames[:, self.arch.n_sequence // 2], picture)

    def estimate(self, features: Tensor) -> Tensor:
        """The degradation z, N x 7, of the features."""
        return self.degradation_net(features)

    def forward(self, frames: Tensor, flow: Optional[Tensor] = None, stages: bool = False,
                degradation: Optional[Tensor] = None) -> Union[Tensor, dict[str, Tensor]]:
        """Restores the center of N x n_sequence x 3 x H x W frames, unclamped.

        flow, N x (n_sequence - 1) x 2 x H x W from the center to the others in order, replaces the network's own.
        degradation, N x 7 (see modulation.py), is that of each window, of a modulated network (None: the neutral one).
        With stages every intermediate result is returned, by name.
        """
        center = self.arch.n_sequence // 2
        target = frames[:, center]
        others = [i for i in range(self.arch.n_sequence) if i != center]
        if flow is None:
            flow = torch.stack([self.flow_net(target, frames[:, i], self.warp_align, self.resize_align)
                                for i in others], 1)
        feats = [self.features(frames[:, i]) for i in range(self.arch.n_sequence)]
        warped = list(feats)
        for index, i in enumerate(others):
            warped[i] = warp(feats[i], flow[:, index], self.warp_align)
        gains = self.gains(degradation, len(frames))
        fusion = scaled(self.fusion_conv(torch.cat(warped, 1)), None if gains is None else gains[:, 0])
        recons_feat = through_blocks(self.recons_net, fusion, gains)
        base = resize(target, target.shape[2] * self.arch.scale, target.shape[3] * self.arch.scale, self.resize_align)
        recons = self.tail(recons_feat) + base
        if not stages:
            return recons
        result = {"flow": flow, "feat_center": feats[center], "warped": torch.stack(warped, 1), "fusion": fusion,
                  "recons_feat": recons_feat, "recons": recons}
        if self.arch.kernel_net:
            result["kernel"] = self.kernel_net(frames)
        return result
