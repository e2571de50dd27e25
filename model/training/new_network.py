# SPDX-License-Identifier: LGPL-2.1-or-later
"""A network that is not trained yet, of any size: what train.py and train_device.py start from without a model file."""
from __future__ import annotations

import argparse
import pathlib
from dataclasses import replace
from typing import Any, Callable, Optional

import torch

from lib import model_file, models
from lib.blur import phase_offset
from exportable import Network, Trainee, from_tensors, initialise_kernel_net
from reference import Architecture, KernelNet, KernelWidths
from trainset import SCALE, WINDOW

BLUR_SIDE = 13
FIRST_SIGMA = 1.2  # of the kernels that a new kernel network starts with
SIZES = ("size", "features", "extra_blocks", "recons_blocks", "pyramid", "decoder", "refiner", "kernel_net")


def add_sizes(add: Any, whole: Callable[[str], Any]) -> None:
    """The options that say how large a new network is."""
    add("--size", choices=("options", "published"), default="options",
        help="published: that of the paper, whatever the options below")
    add("--features", type=whole, default=32, help="channels of the feature maps, at least 12 (default 32)")
    add("--extra-blocks", type=whole, default=2, help="residual blocks of the feature extractor (default 2)")
    add("--recons-blocks", type=whole, default=8, help="residual blocks of the reconstruction (default 8)")
    add("--pyramid", type=whole, nargs="+", default=[16, 24, 32], help="widths of the flow pyramid, finest first")
    add("--decoder", type=whole, nargs=5, default=[40, 40, 32, 24, 16], help="widths of the flow decoders")
    add("--refiner", type=whole, nargs=6, default=[40, 40, 40, 32, 24, 16], help="widths of the flow refiner")
    add("--kernel-net", type=whole, nargs=4, default=[64, 4, 32, 1000],
        help="widths of the kernel network: features, squeezed, last, hidden")


def check_sizes(parser: argparse.ArgumentParser, args: argparse.Namespace, init: Optional[object]) -> None:
    """Ends the program where the sizes make no network, or where --init is a model, which has sizes of its own."""
    if init:
        asked = [name for name in SIZES if getattr(args, name) != parser.get_default(name)]
        if asked:
            parser.error(f"--{asked[0].replace('_', '-')}: {init} has sizes of its own")
    if args.features < 12:
        parser.error(f"--features {args.features}: at least 12")
    if not 2 <= len(args.pyramid) <= 6:
        parser.error(f"--pyramid: {len(args.pyramid)} levels, 2 to 6 are possible")


def architecture(args: argparse.Namespace) -> Architecture:
    """The architecture that the options describe."""
    if args.size == "published":
        return Architecture()
    return Architecture(3, args.features, args.extra_blocks, args.recons_blocks, WINDOW, SCALE, tuple(args.pyramid),
                        (tuple(args.decoder),) * (len(args.pyramid) - 1), tuple(args.refiner) + (2,),
                        KernelWidths(*args.kernel_net, BLUR_SIDE))


def start_kernel_net(net: Network, phase: str) -> None:
    """Its kernel network says FIRST_SIGMA of every window."""
    initialise_kernel_net(net.kernel_net, FIRST_SIGMA, phase_offset(phase, net.arch.scale))


def set_kernel_widths(net: Network, widths: KernelWidths) -> None:
    """A kernel network of these widths, in place of one that may be there."""
    net.arch = replace(net.arch, kernel_net=widths)
    net.kernel_net = KernelNet(net.arch.n_sequence * net.arch.n_colors, widths)


def part_of(path: str, part: str) -> dict[str, torch.Tensor]:
    """The tensors of flow_net or kernel_net in a model, by their names in there."""
    prefix = f"{part}."
    tensors, _ = model_file.read(models.find(path))
    return {name[len(prefix):]: torch.as_tensor(value) for name, value in tensors.items() if name.startswith(prefix)}


def copy_flow_net(net: Network, path: pathlib.Path) -> None:
    """The flow network of another model. ValueError where it has other widths."""
    try:
        net.flow_net.load_state_dict(part_of(str(path), "flow_net"))
    except RuntimeError:
        raise ValueError(f"{path}: its flow network has other widths") from None


def copy_kernel_net(net: Network, path: str) -> None:
    """The kernel network of another model, and its widths. ValueError where that has none, or is of another kind."""
    arch = from_tensors(model_file.read(models.find(path))[0]).arch
    if not arch.kernel_net:
        raise ValueError(f"{path}: has no kernel network")
    if (arch.n_sequence, arch.n_colors) != (net.arch.n_sequence, net.arch.n_colors):
        raise ValueError(f"{path}: its kernel network looks at {arch.n_sequence} frames, not {net.arch.n_sequence}")
    set_kernel_widths(net, arch.kernel_net)
    net.kernel_net.load_state_dict(part_of(path, "kernel_net"))


def new_network(args: argparse.Namespace) -> Trainee:
    """Of the architecture that the options describe; its weights are drawn by the seed that torch has."""
    return Trainee(architecture(args))
