#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Train the kernel network of a model on pictures blurred by Gaussians that are known.

Photographs and frames of clips, reduced by several factors and only where they are sharp then, and drawings are
blurred, sampled and in part spoilt by noise and JPEG. The network is that of kernel_net_init.py, which does not see
brightness and contrast, and tells directions; it is written in the place of the model's own, also now and then while it
is trained. The loss compares the logarithms of the widths of the estimated kernel with the true ones, along the axes
and the diagonals. Where a blur cannot be told a network leans to the middle of what it saw: so windows of about one
width must be right on average, too.
"""
from __future__ import annotations

import argparse
import math
import pathlib
import sys
from typing import Callable, Optional, Sequence

try:
    import numpy as np
except ImportError:
    sys.exit("train_kernel_net: NumPy is needed (python3-numpy, or https://numpy.org)")

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "tools"))
try:
    import torch
    from tqdm import trange
    import synthetic
    from kernel_net_data import MARGIN, SCALE, SIDES, SIGMA, Windows, decode_steep, split
except ImportError as error:
    sys.exit("train_kernel_net: PyTorch, tqdm, Pillow and matplotlib are needed (python3-torch, python3-tqdm, python3-pil, "
             f"python3-matplotlib): {error}")
from torch import Tensor
from torch.nn import functional as F

import kernel_net_init
from lib import model_file, models
from lib.clips import ClipError, find_ffmpeg
from lib.program import finish
from degrade import number_in
from kernel_net_init import Probe
from reference import Architecture, KernelNet, KernelWidths

DRAWING_SIDE = 440
WARM = 100               # steps until the full rate
BINS = 6                 # of the logarithm of sigma, each right on average
LARGEST_GRADIENT = 1.0
LEAST_VARIANCE = 1e-3    # that is told from that of a kernel of one pixel
LEAST_PRECISION = 0.02   # 1 / sigma^2 that is not held to be a slip
CHECKS = 20              # batches of the figures at the end
EVERY = 250              # steps from line to line


def moments(blurs: Tensor) -> Tensor:
    """Second central moments of N x K x K kernels, N x 3: xx, yy, xy."""
    axis = torch.arange(blurs.shape[1]) - kernel_net_init.CENTER
    columns, rows = blurs.sum(1), blurs.sum(2)
    x, y = columns @ axis, rows @ axis
    return torch.stack((columns @ axis ** 2 - x * x, rows @ axis ** 2 - y * y, axis @ blurs @ axis - x * y), 1)


def form(xx: Tensor, yy: Tensor, xy: Tensor) -> Tensor:
    """Logarithms of the standard deviations along x, y and both diagonals, N x 4."""
    half = (xx + yy) / 2
    return 0.5 * torch.stack((xx, yy, half + xy, half - xy), 1).clamp(min=LEAST_VARIANCE).log()


def errors(blurs: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Of the form, N x 4, and the true logarithm of the width, the mean over the directions."""
    true = form(covariance[:, 0, 0], covariance[:, 1, 1], covariance[:, 0, 1])
    return form(*moments(blurs).T) - true, true.mean(1)


def bins_of(width: Tensor) -> Tensor:
    """N x BINS, one 1 in each row."""
    edges = torch.linspace(*np.log(SIGMA).tolist(), BINS + 1)[1:-1]
    return F.one_hot(torch.bucketize(width.contiguous(), edges), BINS).float()


def loss_of(precision: Tensor, covariance: Tensor) -> Tensor:
    error, width = errors(kernel_net_init.gaussians(precision), covariance)
    member = bins_of(width)
    means = member.T @ error.mean(1) / member.sum(0).clamp(min=1)
    # each on its own: of directions that are all too wide an absolute error would not say which is more so
    apart = error.mean(1).abs() + (error[:, 0] - error[:, 1]).abs() / 2 + (error[:, 2] - error[:, 3]).abs() / 2
    determinant = precision[:, 0] * precision[:, 1] - precision[:, 2] ** 2
    slips = (LEAST_PRECISION - precision[:, :2]).relu().mean() + (-determinant).relu().mean()
    return apart.mean() + means.square().mean() + slips


def train(probe: Probe, windows: Windows, steps: int, highest: float, keep: Callable[[], None] = lambda: None) -> None:
    """highest: learning rate, reached after the first steps, and 0 after the last. keep is called now and then."""
    optimiser = torch.optim.Adam(probe.parameters(), highest, betas=(0.9, 0.99))
    progress, recent = trange(steps, disable=None, unit="step"), []
    for step in progress:
        rate = highest * min(1.0, (step + 1) / WARM) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        for group in optimiser.param_groups:
            group["lr"] = rate
        lumas, covariances = windows.batch()
        loss = loss_of(probe(lumas), covariances)
        if not math.isfinite(loss.item()):
            raise ValueError(f"step {step + 1}: the loss is {loss.item()}; nothing is written")
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(probe.parameters(), LARGEST_GRADIENT)
        optimiser.step()
        recent.append(loss.item())
        if (step + 1) % EVERY == 0:
            progress.write(f"step {step + 1}: loss {np.mean(recent):.3f}", file=sys.stdout)
            sys.stdout.flush()
            recent.clear()
            keep()


def network(state: dict[str, Tensor], dtype: str) -> KernelNet:
    """As it is read from a file with weights of dtype."""
    net = KernelNet(3 * kernel_net_init.WINDOW, KernelWidths())
    types = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}
    net.load_state_dict({name: value.to(types[dtype]).float() for name, value in state.items()})
    return net.eval()


@torch.no_grad()
def report(name: str, net: KernelNet, windows: Windows) -> None:
    pairs = []
    for _ in range(CHECKS):
        lumas, covariances = windows.batch()
        pairs.append(errors(net(lumas[:, None].expand(-1, kernel_net_init.WINDOW, 3, -1, -1))[:, 0], covariances))
    error, width = torch.cat([pair[0].mean(1) for pair in pairs]), torch.cat([pair[1] for pair in pairs])
    member = bins_of(width)
    means = " ".join(f"{100 * math.expm1(m):+.0f}" for m in member.T @ error / member.sum(0).clamp(min=1))
    print(f"{name}: {len(width)} windows, error of the width {100 * math.expm1(error.std()):.0f} % (standard "
          f"deviation), mean from narrow to wide {means} %", flush=True)


def run(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    tensors, metadata = model_file.read(args.init)
    arch = Architecture.from_shapes({name: tuple(value.shape) for name, value in tensors.items()})
    widths, wanted = arch.kernel_net, (kernel_net_init.WINDOW, kernel_net_init.SCALE, 3, kernel_net_init.BLUR_SIDE)
    if not widths or (arch.n_sequence, arch.scale, arch.n_colors, widths.ksize) != wanted:
        raise ValueError(f"{args.init}: not an x{SCALE} RGB model with windows of {wanted[0]} and kernels of "
                         f"{wanted[3]}")
    published = (kernel_net_init.FEATURES, kernel_net_init.REDUCED, kernel_net_init.LAST, kernel_net_init.HIDDEN)
    if (widths.features, widths.reduced, widths.last, widths.hidden) != published:
        raise ValueError(f"{args.init}: its kernel network has not the widths {', '.join(map(str, published))}")
    prefix = "kernel_net."
    probe = Probe()
    if args.resume:
        try:
            probe = kernel_net_init.contracted({name[len(prefix):]: torch.from_numpy(value.astype(np.float32))
                                                for name, value in tensors.items() if name.startswith(prefix)})
        except ValueError as error:
            raise ValueError(f"{args.init}: {error}") from None
    stills = decode_steep(args.data, args.cache, find_ffmpeg(args.ffmpeg), SCALE * SIDES[0] + 2 * MARGIN)
    kept, held = split(stills, args.hold_out)
    drawn = [synthetic.drawing(args.seed + k, DRAWING_SIDE) for k in range(args.drawings)]
    shapes = {name[len(prefix):]: value.shape for name, value in tensors.items() if name.startswith(prefix)}

    def write() -> None:
        written = {prefix + name: value.numpy() for name, value in kernel_net_init.expanded(probe, shapes).items()}
        model_file.write(str(args.output), {**tensors, **written}, metadata, dtype=args.dtype)

    train(probe, Windows(kept, drawn, args.seed), args.steps, args.rate, write)
    write()
    net = network(kernel_net_init.expanded(probe, shapes), args.dtype)
    report("trained on", net, Windows(kept, drawn, args.seed + 1))
    report("held out", net, Windows(held, [], args.seed + 2))


def parse(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    whole = number_in(1, 10 ** 9, int)
    add = parser.add_argument
    add("--data", type=pathlib.Path, required=True, nargs="+", metavar="PATH",
        help="photographs and clips, or folders of them")
    add("--init", type=models.argument, required=True, metavar="MODEL", help=f"{models.HELP}, whose kernel network to replace")
    add("--output", type=pathlib.Path, required=True, metavar="X.bin", help="model file to write")
    add("--resume", action="store_true", help="go on from the kernel network of --init, which train_kernel_net.py made")
    add("--rate", type=number_in(1e-9, 1.0), default=2e-3, help="highest learning rate (default 2e-3)")
    add("--steps", type=whole, default=4000, help="a third of a second each on one core (default 4000)")
    add("--drawings", type=number_in(0, 10 ** 6, int), default=400,
        help="how many pictures are drawn beside them (default 400)")
    add("--hold-out", type=number_in(0, 10 ** 6, int), default=12,
        help="every so many files one is kept for checking; 0: none (default 12)")
    add("--seed", type=number_in(0, 2 ** 31, int), default=1, help="of everything that is drawn (default 1)")
    add("--cache", type=pathlib.Path, metavar="DIR", help="for the decoded material (default: cache beside --output)")
    add("--dtype", choices=("F16", "F32", "BF16"), default="F16", help="of the weights in the file (default F16)")
    add("--threads", type=whole, default=torch.get_num_threads(), help="CPU threads (default: all)")
    add("--ffmpeg", help="ffmpeg that decodes the material; default: build/bin/ffmpeg, else the one on PATH")
    args = parser.parse_args(arguments)
    args.cache = args.cache or args.output.parent / "cache"
    return args


def main() -> int:
    args = parse()
    return finish("train_kernel_net", lambda: run(args), ClipError, ValueError)


if __name__ == "__main__":
    sys.exit(main())
