# SPDX-License-Identifier: LGPL-2.1-or-later
"""The network in the forms it is trained in.

`Plain` is the network of reference.py. `Trainee` is a form with which two things hold by construction:

- A flat colour, any colour, comes back exactly, image borders included. The first block turns colours into features
  of differences (filters that sum to zero, silenced on the outermost ring, where zero padding would look like an
  edge), and nothing after it has a bias, so where the picture is flat every feature is zero.
- Brightness does not matter, and contrast only scales the detail: a dark shot is restored like a bright one. (Under the
  same degradation, where the network is modulated: the estimate of the noise knows code values.)

Both are ordinary weights of the ordinary network in the file that is written (see `export_features`). The tail is
trained as the single convolution it is equal to and expanded exactly on writing (`expand_tail`). A file written from a
Trainee is recognised and becomes a Trainee again (`from_tensors`).
"""
from __future__ import annotations

import math
from dataclasses import replace
from typing import Iterable, Mapping, Optional, Union

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modulation import ESTIMATOR_HIDDEN, HIDDEN, Modulated, consistency, scaled, through_blocks
from reference import FLOW_UNIT, Architecture, FlowNet, KernelNet, ResBlock, SelfBlindVSR, resize, warp

COLOUR_LIFT = 0.5      # colours down to -0.5 pass the rectifier of the first block unchanged
FILTER_GRID = 1 / 256  # difference filters are multiples of this: they sum to zero in half precision too
SCALE = 4              # of a Trainee
PARTS = ("flow_net", "kernel_net", "modulation", "degradation_net")  # that are the same in all forms


class Windowed:
    """What both forms share: the stages of a window, so that a loss can look at each. A mixin of nn.Module.

    features(frames) are those of single frames; detail(stack, gains) is what the features of a window, warped and
    concatenated, add to the enlarged center frame, where the network is modulated under these gains; modulated_layers()
    are those whose outputs they multiply.
    """

    arch: Architecture

    def pyramids(self, frames: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Feature pyramids of the center frames, repeated, and of the other frames: (4 N) x C x h x w a level."""
        window, center = frames.shape[1], frames.shape[1] // 2
        step = 2 ** len(self.arch.pyramid)
        height, width = (-(-n // step) * step for n in frames.shape[3:])
        flat = frames.flatten(0, 1)
        if (height, width) != tuple(frames.shape[3:]):
            flat = resize(flat, height, width)
        first, second = [], []
        for level in self.flow_net.moduleNetwork.moduleExtractor(flat.contiguous(memory_format=torch.channels_last)):
            level = level.unflatten(0, (len(frames), window))
            others = torch.cat((level[:, :center], level[:, center + 1:]), 1)
            first.append(level[:, center:center + 1].expand_as(others).flatten(0, 1))
            second.append(others.flatten(0, 1))
        return first, second

    def flows(self, pyramids: tuple[list[Tensor], list[Tensor]]) -> list[Tensor]:
        """Flows in pixels of the resized frames, N x 4 x 2 x h x w, coarsest level first and the refined one last."""
        flows = self.flow_net.moduleNetwork.decode(*pyramids)
        return [FLOW_UNIT * flow.float().unflatten(0, (-1, self.arch.n_sequence - 1)) for flow in flows]

    def full_flow(self, flow: Tensor, height: int, width: int) -> Tensor:
        """The last of flows() at the size of the frames and in their pixels, (4 N) x 2 x height x width."""
        step = 2 ** len(self.arch.pyramid)
        ratio = flow.new_tensor([n / (-(-n // step) * step) for n in (width, height)]).view(1, 2, 1, 1)
        return resize(flow.flatten(0, 1), height, width) * ratio

    def restored(self, frames: Tensor, flow: Optional[Tensor] = None, degradation: Optional[Tensor] = None) -> Tensor:
        """The enlarged center frames, N x C x sH x sW, of N x n_sequence x C x H x W; flow as the last of flows().
        degradation, N x 7, is that of each window (see modulation.py; None: the neutral one of a modulated network)."""
        if flow is None:
            flow = self.flows(self.pyramids(frames))[-1]
        count, window, _, height, width = frames.shape
        center = window // 2
        feats = self.features(frames.flatten(0, 1).contiguous(memory_format=torch.channels_last))
        feats = feats.unflatten(0, (count, window))
        others = torch.cat((feats[:, :center], feats[:, center + 1:]), 1).flatten(0, 1).contiguous()
        warped = warp(others, self.full_flow(flow, height, width)).unflatten(0, (count, window - 1))
        stack = torch.cat((warped[:, :center], feats[:, center:center + 1], warped[:, center:]), 1).flatten(1, 2)
        gains = self.gains(degradation, count)
        detail = self.detail(stack.contiguous(memory_format=torch.channels_last), gains).float()
        return detail + resize(frames[:, center], height * self.arch.scale, width * self.arch.scale)

    @torch.no_grad()
    def estimated(self, frames: Tensor) -> Tensor:
        """The degradation z, N x 7, that a modulated network estimates of N x n_sequence x C x H x W frames."""
        picture = self.restored(frames, degradation=self.probe(len(frames)))
        return self.degradation_net(consistency(frames[:, frames.shape[1] // 2], picture))

    @torch.no_grad()
    def settle(self, degradation: Optional[Tensor] = None) -> None:
        """Makes of a modulated network the plain one that it is under one degradation, 7 numbers (None: the neutral
        one)."""
        gains = self.gains(None if degradation is None else degradation[None], 1)[0]
        for layer, gain in zip(self.modulated_layers(), gains):
            for values in (layer.weight, layer.bias):
                if values is not None:
                    values.mul_(gain.view(-1, *(1,) * (values.dim() - 1)))
        del self.modulation, self.degradation_net
        self.arch = replace(self.arch, modulation=0, estimator=0)


def chain(blocks: Iterable[ResBlock]) -> list[nn.Conv2d]:
    """The convolutions of residual blocks, in order."""
    return [layer for block in blocks for layer in (block.conv1, block.conv2)]


class Plain(Windowed, SelfBlindVSR):
    """The network as it is; any architecture."""

    def modulated_layers(self) -> list[nn.Conv2d]:
        return [self.fusion_conv[0], *chain(self.recons_net)]

    def detail(self, stack: Tensor, gains: Optional[Tensor] = None) -> Tensor:
        fused = scaled(self.fusion_conv(stack), None if gains is None else gains[:, 0])
        return self.tail(through_blocks(self.recons_net, fused.float(), gains))

    def export(self) -> dict[str, Tensor]:
        return {name: value.detach().cpu().clone().contiguous() for name, value in self.state_dict().items()}


class Trainee(Windowed, Modulated, nn.Module):
    """The form described at the top of this file; x4, at least one block per frame and 12 features. Gains change neither
    of the two things: they multiply outputs of convolutions without a bias."""

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
        if arch.kernel_net:
            self.kernel_net = KernelNet(arch.n_sequence * colors, arch.kernel_net)
        self.add_modulation(width, arch.recons_blocks, arch.modulation, arch.estimator)

    def become_modulated(self, hidden: int = HIDDEN, estimator: int = ESTIMATOR_HIDDEN) -> None:
        """Adds gains, all of them 1 at first. ValueError where it has some."""
        if self.arch.modulation:
            raise ValueError("it is modulated already")
        self.arch = replace(self.arch, modulation=hidden, estimator=estimator)
        self.add_modulation(self.arch.n_feat, self.arch.recons_blocks, hidden, estimator)

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
        with torch.autocast(frames.device.type, enabled=False):  # differences of nearly equal colours
            inner = F.relu(F.conv2d(frames, self.filters()))
        return self.extra(self.mix(F.pad(inner, (1, 1, 1, 1))))

    def detail(self, stack: Tensor, gains: Optional[Tensor] = None) -> Tensor:
        return self.rebuilt(self.fusion(stack), gains)

    def modulated_layers(self) -> list[nn.Conv2d]:
        return [self.fusion, *chain(self.recons)]

    def rebuilt(self, fused: Tensor, gains: Optional[Tensor] = None) -> Tensor:
        """What follows the fusion."""
        fused = scaled(fused, None if gains is None else gains[:, 0]).float()
        return F.pixel_shuffle(self.tail(through_blocks(self.recons, fused, gains)).float(), self.arch.scale)

    @torch.no_grad()
    def export(self) -> dict[str, Tensor]:
        """The state dict of the same network as reference.SelfBlindVSR."""
        state = SelfBlindVSR(self.arch).state_dict()
        for name in state:
            if name.endswith("bias") and not name.startswith(PARTS):
                state[name] = torch.zeros_like(state[name])
        state.update(export_features(self))
        for index, block in enumerate(self.extra, 1):
            state[f"extra_feat.{index}.conv1.weight"] = block.conv1.weight
            state[f"extra_feat.{index}.conv2.weight"] = block.conv2.weight
        for index, block in enumerate(self.recons):
            state[f"recons_net.{index}.conv1.weight"] = block.conv1.weight
            state[f"recons_net.{index}.conv2.weight"] = block.conv2.weight
        state["fusion_conv.0.weight"] = self.fusion.weight
        state.update(expand_tail(self.tail.weight.cpu()))
        for part in PARTS:
            if hasattr(self, part):
                state.update({f"{part}.{k}": v for k, v in getattr(self, part).state_dict().items()})
        return {k: v.detach().cpu().clone().contiguous() for k, v in state.items()}


Network = Union[Plain, Trainee]


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


@torch.no_grad()
def initialise_kernel_net(net: KernelNet, sigma: float, offset: float) -> None:
    """Kernels that are a Gaussian, `offset` pixels right of and below the middle, whatever the frames."""
    axis = torch.arange(net.ksize) - (net.ksize - 1) / 2 - offset
    net.fc_net[1].weight.mul_(0.1)
    net.fc_net[1].bias.copy_((-(axis[:, None] ** 2 + axis ** 2) / (2 * sigma ** 2)).clamp(min=-12).flatten())


@torch.no_grad()
def export_features(net: Trainee) -> dict[str, Tensor]:
    """in_conv and the first block that compute Trainee.features' first step with ordinary convolutions.

    in_conv passes the colours on and adds a channel of ones. In the block, the first hidden channels copy the colours
    and the second convolution takes them, and the ones, away again through the skip connection; the others filter
    differences, and the channel of ones, which is zero outside, pulls them below zero on the outermost ring.
    """
    colors, width = net.arch.n_colors, net.arch.n_feat
    grid = (net.filters().cpu() / FILTER_GRID).round()
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
    state["extra_feat.0.conv2.weight"][:, colors:] = net.mix.weight.cpu()
    state["extra_feat.0.conv2.bias"][:colors] = COLOUR_LIFT
    state["extra_feat.0.conv2.bias"][colors] = -1
    return state


def tail_rows(colors: int) -> list[tuple[int, int]]:
    """Rows of upsample_layers.0 and those of the single convolution with PixelShuffle(4) that they compute."""
    return [((c * 4 + (y % 2) * 2 + x % 2) * 4 + (y // 2) * 2 + x // 2, c * 16 + y * 4 + x)
            for c in range(colors) for y in range(SCALE) for x in range(SCALE)]


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
    for row, output in tail_rows(colors):
        state["upsample_layers.0.weight"][row] = weight[output]
        state["upsample_layers.0.bias"][row] = bias[output]
    for c in range(colors):
        state["out_conv.0.weight"][c, c, 1, 1] = 1
        state["out_conv.1.weight"][c, c, 1, 1] = 1
    for channel in range(outputs // 4):
        state["upsample_layers.2.weight"][channel, channel, 1, 1] = 1
    return state


@torch.no_grad()
def as_trainee(state: Mapping[str, Tensor], arch: Architecture) -> Optional[Trainee]:
    """The Trainee that writes exactly these tensors, if there is one."""
    if arch.scale != SCALE or arch.extra_blocks < 1 or arch.n_feat < 4 * arch.n_colors:
        return None
    net, colors = Trainee(arch), arch.n_colors
    net.difference.copy_(state["extra_feat.0.conv1.weight"][colors:, :colors])
    net.mix.weight.copy_(state["extra_feat.0.conv2.weight"][:, colors:])
    for part, blocks, first in (("extra_feat", net.extra, 1), ("recons_net", net.recons, 0)):
        for index, block in enumerate(blocks, first):
            block.conv1.weight.copy_(state[f"{part}.{index}.conv1.weight"])
            block.conv2.weight.copy_(state[f"{part}.{index}.conv2.weight"])
    net.fusion.weight.copy_(state["fusion_conv.0.weight"])
    for row, output in tail_rows(colors):
        net.tail.weight[output] = state["upsample_layers.0.weight"][row]
    for part in PARTS:
        if hasattr(net, part):
            prefix = part + "."
            getattr(net, part).load_state_dict({k[len(prefix):]: v for k, v in state.items() if k.startswith(prefix)})
    written = net.export()
    return net if all(torch.equal(written[name], value) for name, value in state.items()) else None


def from_tensors(tensors: Mapping[str, object]) -> Network:
    """The network of a model file's tensors, as a Trainee where it can be one. ValueError where it is no network."""
    state = {name: torch.as_tensor(value).clone() for name, value in tensors.items()}
    try:
        arch = Architecture.from_shapes({name: tuple(value.shape) for name, value in state.items()})
        net = Plain(arch)
        net.load_state_dict(state, strict=True)
    except (KeyError, RuntimeError) as error:
        text = str(error).strip().splitlines()[-1].strip()
        raise ValueError(f"the tensors do not make a network: {text}") from None
    return as_trainee(state, arch) or net
