"""The network that a set of tensors makes: the rules of architecture.c, in Python.

Every width and depth is read from the names and shapes of the tensors. Every tensor must be there, none may be left
over, and each shape must fit the others.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Optional

COLOURS = 3
CHANNEL_LIMIT = 1024
BLOCK_LIMIT = 256    # residual blocks in one chain
SEQUENCE_LIMIT = 15
ATTENTION_LIMIT = 8  # channel attention blocks in one chain
BLUR_SIDE_MAX = 63    # side of the blur kernel
COST_CHANNELS = 81
DENSE = 5            # convolutions of a decoder
REFINER = 7
DEGRADATION = 7            # numbers that describe a degradation
DEGRADATION_FEATURES = 16  # that they are estimated from
MODULATED_SCALE = 4

FLOW = "flow_net.moduleNetwork."
WORDS = ("moduleOne", "moduleTwo", "moduleThr", "moduleFou", "moduleFiv", "moduleSix")

Shape = tuple[int, ...]


class ArchitectureError(ValueError):
    """Tensors that do not make a network. The message is one line that names the tensor."""


@dataclass
class Architecture:
    features: int = 0
    extra_blocks: int = 0
    recons_blocks: int = 0
    sequence: int = 0
    scale: int = 0
    levels: int = 0
    blur_side: int = 0  # 0: the model cannot estimate the blur kernel
    modulation: int = 0  # hidden width of the network that makes gains of the degradation; 0: not modulated
    parameters: int = 0

    def __str__(self) -> str:
        blur = f"blur kernel {self.blur_side}x{self.blur_side}" if self.blur_side else "no blur kernel"
        modulated = "modulated by the degradation, " if self.modulation else ""
        return (f"{self.features} features, {self.extra_blocks} + {self.recons_blocks} blocks, "
                f"window of {self.sequence} frames, scale {self.scale}, {self.levels} pyramid levels, "
                f"{blur}, {modulated}{self.parameters} parameters")


def _text(shape: tuple[Optional[int], ...]) -> str:
    return "x".join("N" if n is None else str(n) for n in shape) or "a single value"


class _Walk:
    """A walk over the layers of the network that claims the tensors of each."""

    def __init__(self, shapes: Mapping[str, Shape]) -> None:
        self.shapes = shapes
        self.claimed: set[str] = set()

    def claim(self, name: str, *expected: Optional[int]) -> Shape:
        """The shape of a tensor; where a size is None the file tells it."""
        found = self.shapes.get(name)
        if found is None:
            raise ArchitectureError(f"tensor '{name}' is missing")
        if len(found) != len(expected) or any(e not in (None, n) for e, n in zip(expected, found)):
            raise ArchitectureError(f"tensor '{name}' has shape {_text(found)}, expected {_text(expected)}")
        if any(e is None and not 1 <= n <= CHANNEL_LIMIT for e, n in zip(expected, found)):
            raise ArchitectureError(f"tensor '{name}' has shape {_text(found)}, the limit is {CHANNEL_LIMIT} channels")
        self.claimed.add(name)
        return found

    def conv(self, name: str, inputs: int, outputs: Optional[int], ksize: int = 3) -> int:
        """A convolution; returns its output channels."""
        outputs = self.claim(f"{name}.weight", outputs, inputs, ksize, ksize)[0]
        self.claim(f"{name}.bias", outputs)
        return outputs

    def linear(self, name: str, inputs: int, outputs: Optional[int]) -> int:
        outputs = self.claim(f"{name}.weight", outputs, inputs)[0]
        self.claim(f"{name}.bias", outputs)
        return outputs

    def deconv(self, name: str, inputs: int, outputs: int) -> None:
        self.claim(f"{name}.weight", inputs, outputs, 4, 4)
        self.claim(f"{name}.bias", outputs)

    def blocks(self, prefix: str, first: str, limit: int) -> int:
        """Number of consecutive blocks prefix.0, prefix.1 ..., known by the tensor `first`."""
        count = 0
        while f"{prefix}.{count}.{first}" in self.shapes:
            count += 1
        if count > limit:
            raise ArchitectureError(f"{count} blocks in '{prefix}', the limit is {limit}")
        return count

    def chain(self, prefix: str, features: int) -> int:
        count = self.blocks(prefix, "conv1.weight", BLOCK_LIMIT)
        for block in range(count):
            self.conv(f"{prefix}.{block}.conv1", features, features)
            self.conv(f"{prefix}.{block}.conv2", features, features)
        return count


def _walk_reconstruction(walk: _Walk, arch: Architecture) -> None:
    arch.features = walk.conv("in_conv.0", COLOURS, None)
    arch.extra_blocks = walk.chain("extra_feat", arch.features)
    fusion = walk.shapes.get("fusion_conv.0.weight", ())
    if len(fusion) == 4:
        arch.sequence = fusion[1] // arch.features
        if not 3 <= arch.sequence <= SEQUENCE_LIMIT or arch.sequence % 2 == 0:
            raise ArchitectureError(f"tensor 'fusion_conv.0.weight' makes a window of {arch.sequence} frames of "
                                    f"{arch.features} channels, it must be odd, 3 to {SEQUENCE_LIMIT}")
    walk.conv("fusion_conv.0", arch.sequence * arch.features, arch.features)
    arch.recons_blocks = walk.chain("recons_net", arch.features)
    arch.scale = 4 if "upsample_layers.2.weight" in walk.shapes else 2
    for i in range(arch.scale // 2):
        walk.conv(f"upsample_layers.{2 * i}", arch.features, 4 * arch.features)
    walk.conv("out_conv.0", arch.features, arch.features)
    walk.conv("out_conv.1", arch.features, COLOURS)


def _walk_decoder(walk: _Walk, level: int, width: int, coarser: int) -> int:
    """The decoder of a level (1 is the finest) with extractor features of `width` channels, fed by a coarser decoder of
    `coarser` channels, or by none. Returns the channels of its dense features."""
    name = FLOW + WORDS[level - 1]
    features = COST_CHANNELS
    if coarser:
        walk.deconv(f"{name}.moduleUpflow", 2, 2)
        walk.deconv(f"{name}.moduleUpfeat", coarser, 2)
        features += width + 4
    for word in WORDS[:DENSE]:
        features += walk.conv(f"{name}.{word}.0", features, None)
    walk.conv(f"{name}.moduleSix.0", features, 2)
    return features


def _walk_flow(walk: _Walk, arch: Architecture) -> None:
    extractor = FLOW + "moduleExtractor"
    while arch.levels < len(WORDS) and f"{extractor}.{WORDS[arch.levels]}.0.weight" in walk.shapes:
        arch.levels += 1
    if arch.levels < 2:
        raise ArchitectureError(f"{arch.levels} levels in '{extractor}', at least 2 are needed")
    widths, width = [], COLOURS
    for word in WORDS[:arch.levels]:
        for i in (0, 2, 4):
            width = walk.conv(f"{extractor}.{word}.{i}", width, None)
        widths.append(width)
    features = 0
    for level in range(arch.levels, 1, -1):
        features = _walk_decoder(walk, level, widths[level - 1], features)
    for i in range(REFINER):
        features = walk.conv(f"{FLOW}moduleRefiner.moduleMain.{2 * i}", features, None if i < REFINER - 1 else 2)


def _walk_kernel_net(walk: _Walk, arch: Architecture) -> None:
    if not any(name.startswith("kernel_net.") for name in walk.shapes):
        return
    channels = walk.conv("kernel_net.in_conv", COLOURS * arch.sequence, None)
    count = 0
    for body in ("kernel_net.body1", "kernel_net.body2"):
        count = walk.blocks(body, "body.0.weight", ATTENTION_LIMIT)
        for block in range(count):
            name = f"{body}.{block}.body"
            walk.conv(f"{name}.0", channels, channels)
            walk.conv(f"{name}.2", channels, channels)
            reduced = walk.conv(f"{name}.3.conv_du.0", channels, None, 1)
            walk.conv(f"{name}.3.conv_du.2", reduced, channels, 1)
    narrow = walk.conv(f"kernel_net.body2.{count}", channels, None)
    walk.conv(f"kernel_net.body2.{count + 1}", narrow, 1)
    last = walk.shapes.get("kernel_net.fc_net.1.weight", (0,))[:1] or (0,)
    size = next((side for side in range(1, BLUR_SIDE_MAX + 1, 2) if side * side == last[0]), 0)
    if "kernel_net.fc_net.1.weight" in walk.shapes and not size:
        raise ArchitectureError(f"tensor 'kernel_net.fc_net.1.weight' makes a kernel of {last[0]} values, it must be "
                                f"the square of an odd number, 1 to {BLUR_SIDE_MAX}")
    hidden = walk.linear("kernel_net.fc_net.0", size * size, None)
    walk.linear("kernel_net.fc_net.1", hidden, size * size)
    arch.blur_side = size


def _walk_modulation(walk: _Walk, arch: Architecture) -> None:
    if not any(name.startswith(("modulation.", "degradation_net.")) for name in walk.shapes):
        return
    if arch.scale != MODULATED_SCALE:
        raise ArchitectureError(f"a modulated model of scale {arch.scale}, it must be {MODULATED_SCALE}")
    arch.modulation = walk.linear("modulation.0", DEGRADATION, None)
    walk.linear("modulation.1", arch.modulation, arch.modulation)
    walk.linear("modulation.2", arch.modulation, (1 + 2 * arch.recons_blocks) * arch.features)
    hidden = walk.linear("degradation_net.0", DEGRADATION_FEATURES, None)
    walk.linear("degradation_net.1", hidden, DEGRADATION)
    walk.claim("degradation_net.neutral", DEGRADATION)
    walk.claim("degradation_net.probe", DEGRADATION)


def read(shapes: Mapping[str, Shape]) -> Architecture:
    """The architecture of a network from the shapes of its tensors. Raises ArchitectureError."""
    walk, arch = _Walk(shapes), Architecture()
    _walk_reconstruction(walk, arch)
    _walk_flow(walk, arch)
    _walk_kernel_net(walk, arch)
    _walk_modulation(walk, arch)
    unknown = [name for name in shapes if name not in walk.claimed]
    if unknown:
        names = ", ".join(ascii(name[:80]) for name in unknown[:3]) + (", ..." if len(unknown) > 3 else "")
        raise ArchitectureError(f"{len(unknown)} unknown tensor{'s' if len(unknown) > 1 else ''}: {names}")
    for shape in shapes.values():
        count = 1
        for n in shape:
            count *= n
        arch.parameters += count
    return arch
