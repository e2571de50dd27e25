#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Train a model, or adapt one to clips of your own, on a CPU or a GPU.

--method supervised makes a model from sharp photographs and clips: they are degraded on the fly, and the true picture,
flow and blur kernel are known. --method self, that of the Self-Blind-VSR paper, learns from low-resolution clips alone,
so it can adapt a model to the very clip that is to be restored:

    train.py --method self --data clip.mp4 --init model/default.bin --output adapted.bin --minutes 20

Beside the model file lie its checkpoint (.pt), from which the same command continues, and the curve of the run (.csv
and .png).
"""
from __future__ import annotations

import argparse
import datetime
import hashlib
import pathlib
import sys
from typing import Any, Optional

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "tools"))
try:
    import torch
except ImportError:
    sys.exit("train: PyTorch is needed (python3-torch, or https://pytorch.org)")

from lib import model_file, models
from lib.blur import PHASES
from lib.clips import ClipError, find_ffmpeg, require_x264
from lib.program import finish
from degrade import number_in
from new_network import (BLUR_SIDE, add_sizes, check_sizes, copy_flow_net, new_network, set_kernel_widths,
                         start_kernel_net)
from reference import KernelWidths
from selfsupervised import SelfSupervised
from supervised import Supervised
from exportable import Network, Trainee, from_tensors
from training import Budget, Options, Training, multiplies_bf16, say
from trainset import SCALE, WINDOW, decode_clips, decode_sharp, files_of

DEFAULTS = {"supervised": {"minutes": 85.0, "patch": 48, "rate": 1e-3},
            "self": {"minutes": 30.0, "patch": 160, "rate": 1e-4}}


def starting_network(args: argparse.Namespace) -> tuple[Network, dict[str, str]]:
    """The network to train and the metadata of the file it comes from. Settles args.phase."""
    if args.init:
        tensors, metadata = model_file.read(args.init)
        net = from_tensors(tensors)
        stated = metadata.get("phase") or None
        if args.phase and stated and args.phase != stated:
            raise ValueError(f"--phase {args.phase}: {args.init} is a model of phase {stated}")
        args.phase = args.phase or stated or "center"
    else:
        args.phase, metadata = args.phase or "center", {}
        net = new_network(args)
        if args.method == "self":
            start_kernel_net(net, args.phase)
    if args.flow_init:
        copy_flow_net(net, args.flow_init)
    if args.method == "self" and not net.arch.kernel_net:
        say(f"{args.init} has no kernel network: a new one is trained with it")
        set_kernel_widths(net, KernelWidths())
        start_kernel_net(net, args.phase)
    return net, metadata


def provenance(args: argparse.Namespace, before: dict[str, str]) -> dict[str, str]:
    """What the model file says of where it comes from."""
    names = ", ".join(path.name for path in args.data)
    data = args.provenance or (f"{len(files_of(args.data))} files of {names}" if args.method == "supervised" else names)
    metadata = {"name": args.name or args.output.stem, "licence": args.licence or before.get("licence", ""),
                "training_data": data, "phase": args.phase, "method": args.method,
                "date": datetime.date.today().isoformat()}
    if args.init:
        digest = hashlib.sha256(args.init.read_bytes()).hexdigest()
        metadata["init"] = f"{before.get('name', args.init.stem)} (sha256 {digest})"
        if before.get("training_data"):
            metadata["training_data"] = f"{before['training_data']}; then {data}"
    return metadata


def method_of(args: argparse.Namespace, net: Network) -> Any:
    if args.method == "self":
        clips = decode_clips(args.data, args.cache, args.ffmpeg, net.arch.n_sequence, args.clip_frames)
        if net.arch.kernel_net.ksize % 2 == 0:
            raise ValueError(f"{args.init}: kernels of {net.arch.kernel_net.ksize} pixels, an odd number is needed")
        # a flow network that is trained already is hardly touched, as in the paper
        flow_rate = args.flow_rate if args.flow_rate is not None else 0.01 if args.init or args.flow_init else 1.0
        method = SelfSupervised(args, net, clips, flow_rate)
        if net.arch.modulation:
            say(f"{args.init} adapts to how footage was degraded: trained as it is for these clips, and no longer adapts")
            net.settle(net.estimated(method.held[0]).mean(0))
        return method
    if args.phase != "center":
        raise ValueError("--method supervised: only phase center is made")
    if (net.arch.n_sequence, net.arch.scale, net.arch.n_colors) != (WINDOW, SCALE, 3):
        raise ValueError(f"{args.init}: --method supervised trains x{SCALE} RGB models with windows of {WINDOW}")
    if net.arch.kernel_net and net.arch.kernel_net.ksize != BLUR_SIDE:
        raise ValueError(f"{args.init}: --method supervised trains kernels of {BLUR_SIDE} x {BLUR_SIDE}")
    for option, side in (("--patch", args.patch), ("--flow-patch", args.flow_patch)):
        if side % 16 or side % 2 ** len(net.arch.pyramid):
            raise ValueError(f"{option} {side}: must be a multiple of {max(16, 2 ** len(net.arch.pyramid))}")
    if args.codec:
        require_x264(args.ffmpeg)
    if net.arch.modulation:
        say(f"{args.init} adapts to how footage was degraded: trained as it is where nothing is known of that, and no "
            "longer adapts (train_device.py trains such models)")
        net.settle()
    return Supervised(args, *decode_sharp(args.data, args.cache, args.ffmpeg))


def run(args: argparse.Namespace) -> None:
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"--device {args.device}: PyTorch finds no GPU")
    if not args.output.parent.is_dir():
        raise ValueError(f"--output {args.output}: there is no such folder")
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.ffmpeg = find_ffmpeg(args.ffmpeg)
    net, before = starting_network(args)
    method = method_of(args, net)
    bf16 = args.precision != "fp32" and multiplies_bf16(args.device)
    if args.precision == "bf16" and not bf16:
        raise ValueError(f"--precision bf16: {args.device} does not multiply in bfloat16; --precision fp32 is faster")
    options = Options(args.output, args.checkpoint, args.device, bf16, args.clip, args.report, args.save_minutes,
                      args.workers, args.seed, args.dtype)
    metadata = provenance(args, before)
    identity = {"method": args.method, "phase": args.phase, "init": metadata.get("init", ""),
                "data": ", ".join(str(path.resolve()) for path in args.data)}
    training = Training(method, net, Budget(args.minutes, args.steps), options, metadata, identity)
    if args.checkpoint.exists():
        training.load()
        say(f"continuing from {args.checkpoint} at step {training.step}, {training.spent / 60:.1f} minutes"
            + (": a finished run" if training.fraction == 1 else ""))
    kind = "flat colours come back exactly" if isinstance(net, Trainee) else "as it is"
    say(f"{sum(p.numel() for p in net.parameters())} parameters trained ({kind}), phase {args.phase}, "
        f"{args.device}, {'bf16' if bf16 else 'fp32'}")
    training.run()
    say(f"{args.output}: {args.output.stat().st_size / 1e6:.1f} MB, step {training.step}")


def parse(arguments: Optional[list[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    whole, positive = number_in(1, 10 ** 9, int), number_in(1e-9, 1e9)
    add = parser.add_argument_group("what").add_argument
    add("--method", choices=("supervised", "self"), required=True, help="see above")
    add("--data", type=pathlib.Path, required=True, nargs="+", metavar="PATH",
        help="supervised: sharp photographs and clips (these are halved first), or folders of them; "
             "self: low-resolution clips, or folders of clips or images")
    add("--output", type=pathlib.Path, required=True, metavar="X.bin", help="model file to write")
    add("--init", type=models.argument, metavar="MODEL", help=f"{models.HELP}, to start from, of any size")
    add("--flow-init", type=models.argument, metavar="MODEL", help="likewise, whose flow network to start from")
    add("--phase", choices=PHASES, help="where samples sit; default: that of --init, else center")
    add("--name", help="name written into the model file; default: from --output")
    add("--licence", help="licence written into the model file; default: that of --init")
    add("--provenance", help="training data, as written into the model file; default: the names of --data")
    add("--dtype", choices=("F16", "F32", "BF16"), default="F16", help="of the weights in the file (default F16)")
    add_run(parser.add_argument_group("how long, and where").add_argument, whole, positive)
    add_sizes(parser.add_argument_group("sizes of a new network").add_argument, whole)
    add_details(parser.add_argument_group("details").add_argument, whole, positive)
    args = parser.parse_args(arguments)
    for name, value in DEFAULTS[args.method].items():
        if getattr(args, name, None) is None and not (name == "minutes" and args.steps):
            setattr(args, name, value)
    check_sizes(parser, args, args.init)
    args.checkpoint = args.checkpoint or args.output.with_suffix(".pt")
    args.cache = args.cache or args.output.parent / "cache"
    args.device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    args.workers = args.workers if args.workers is not None else (4 if args.device.startswith("cuda") else 0)
    return args


def add_run(add: Any, whole: Any, positive: Any) -> None:
    add("--minutes", type=positive, help="wall clock (default: supervised 85, self 30; none with --steps)")
    add("--steps", type=whole, help="stop after so many steps")
    add("--device", help="cpu, cuda, cuda:1, ...; default: cuda if PyTorch finds a GPU")
    add("--threads", type=whole, default=torch.get_num_threads(), help="CPU threads (default: all)")
    add("--workers", type=number_in(0, 64, int), help="threads that draw batches ahead (default: cpu 0, cuda 4)")
    add("--checkpoint", type=pathlib.Path, metavar="X.pt",
        help="state of the run, continued from where it exists (default: beside --output)")
    add("--cache", type=pathlib.Path, metavar="DIR", help="for the decoded material (default: cache beside --output)")
    add("--precision", choices=("auto", "bf16", "fp32"), default="auto",
        help="of the convolutions; auto: bf16 on a GPU, and on a CPU that multiplies in it (default auto)")
    add("--seed", type=number_in(0, 2 ** 31, int), default=1, help="of the weights and the draws")
    add("--report", type=whole, default=50, help="steps between two rows of the curve (default 50)")
    add("--save-minutes", type=positive, default=4.0, help="minutes between two checkpoints (default 4)")
    add("--ffmpeg", help="ffmpeg that decodes the material; default: build/bin/ffmpeg, else the one on PATH")


def add_details(add: Any, whole: Any, positive: Any) -> None:
    add("--batch", type=whole, default=8, help="windows a step; supervised: a quarter of them from clips (default 8)")
    add("--patch", type=whole, help="side of a window, low-resolution pixels (default: supervised 48, self 160)")
    add("--rate", type=positive, help="peak learning rate (default: supervised 1e-3, self 1e-4)")
    add("--clip", type=positive, default=5.0, help="limit on the norm of the gradient (default 5)")
    add("--flow-rate", type=number_in(0, 100),
        help="self: rate of the flow network, relative (default: 0.01 if it was trained before, else 1)")
    add("--clip-frames", type=whole, default=500, help="self: frames taken of each clip (default 500)")
    add("--flow-share", type=number_in(0, 0.9), help="supervised: share of the run for the flow network alone "
        "(default 0.12, with --init 0)")
    add("--flow-batch", type=whole, default=4, help="supervised: windows a step meanwhile (default 4)")
    add("--flow-patch", type=whole, default=96, help="supervised: side of a window meanwhile (default 96)")
    add("--flow-weight", type=positive, default=0.005, help="supervised: of the flow error, per pixel (default 0.005)")
    add("--parts", choices=("picture", "kernel"), nargs="+", default=["picture", "kernel"],
        help="supervised: what to train: reconstruction and flow, kernel network (default both)")
    add("--steady", type=number_in(0, 1), default=0.25, help="supervised: share of batches with a still scene under "
        "noise, twice (default 0.25)")
    add("--flicker-weight", type=number_in(0, 1000), default=5.0, help="supervised: of what these flicker more than "
        "after a bicubic scaler (default 5)")
    add("--knee", type=positive, default=0.003, help="supervised: differences of the picture, of 1, below which they "
        "count squared (default 0.003)")
    add("--codec", type=number_in(0, 1), default=0.3, help="supervised: share of batches through x264 (default 0.3)")
    add("--noisy", type=number_in(0, 1), default=0.3, help="supervised: share of windows with noise (default 0.3)")
    add("--hold-out", type=number_in(0, 10 ** 6, int), default=12,
        help="supervised: every so many stills one is kept for checking; 0: none (default 12)")


def main() -> int:
    args = parse()
    if args.flow_share is None:
        args.flow_share = 0.0 if args.init or args.flow_init else 0.12
    return finish("train", lambda: run(args), ClipError, ValueError)


if __name__ == "__main__":
    sys.exit(main())
