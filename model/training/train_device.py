#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Train a model on a GPU that draws its own windows, or slowly on a CPU, for so many minutes.

Photographs are decoded once and stay on the device; reductions by scalers and lenses, motion, noise and what codecs do
are made there. The run goes by the clock: single frames first, then motion. It prints steps and TFLOP a second and the
loss, and leaves the model file, its curve (.csv) and the state from which the same command continues.

    train_device.py --material PHOTOS --init default --output better.bin --minutes 6

A modulated model (modulation.py) is trained with the degradation of each window, and errors as of an estimate;
train_degradation_net.py then trains what makes the estimate.

--init new begins with a network that is not trained, of the sizes that are asked for; --kernel-net-of gives it the kernel
network of another model, which this program does not train.
"""
from __future__ import annotations

import argparse
import hashlib
import pathlib
import sys
import time
from typing import Optional

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "tools"))
try:
    import torch
except ImportError:
    sys.exit("train_device: PyTorch is needed (python3-torch, or https://pytorch.org)")

import material
from degrade import number_in
from device_training import DeviceTraining, Settings, parse_stages
from exportable import Trainee, from_tensors
from lib import model_file, models, peers
from lib.clips import ClipError
from lib.program import finish
from new_network import add_sizes, check_sizes, copy_kernel_net, new_network, start_kernel_net
from teacher import Teacher
from training import Budget, say
from true_degradation import middle_degradation


NEW = "new"    # in place of a model to start from
WRITING = 5.0  # seconds that the last state and the model file may take


def stages(text: str) -> tuple[tuple[str, float], ...]:
    try:
        return parse_stages(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def starting_network(args: argparse.Namespace) -> tuple[Trainee, dict[str, str]]:
    """The network to train, and the metadata of the file it comes from."""
    if args.init == NEW:
        net = new_network(args)
        if args.kernel_net_of:
            copy_kernel_net(net, args.kernel_net_of)
        else:
            start_kernel_net(net, "center")
        return net, {}
    path = models.find(args.init)
    tensors, metadata = model_file.read(path)
    net = from_tensors(tensors)
    if not isinstance(net, Trainee):
        raise ValueError(f"{path}: not a model that train.py or this program wrote")
    if metadata.get("phase", "center") != "center":
        raise ValueError(f"{path}: a model of phase {metadata['phase']}; only center can be trained here")
    return net, metadata


def origin(model: str, before: dict[str, str]) -> str:
    """What a model file says of another: its name and digest."""
    path = pathlib.Path(models.find(model))
    return f"{before.get('name', path.stem)} (sha256 {hashlib.sha256(path.read_bytes()).hexdigest()})"


def become_modulated(net: Trainee, name: str) -> None:
    """Gains of 1, and for the neutral degradation the middle of what is drawn."""
    try:
        net.become_modulated()
    except ValueError as error:
        raise ValueError(f"--modulated: {name}: {error}") from None
    net.degradation_net.set_neutral(middle_degradation())


def provenance(args: argparse.Namespace, before: dict[str, str]) -> dict[str, str]:
    names = ", ".join(folder.name for folder in args.material)
    init = NEW if args.init == NEW else origin(args.init, before)
    if args.kernel_net_of:
        init += f", kernel network of {origin(args.kernel_net_of, {})}"
    data = args.provenance or names
    if args.init != NEW:
        data = f"{before.get('training_data', '')}; then {data}".lstrip("; ")
    return {**before, "name": args.name or args.output.stem, "licence": args.licence or before.get("licence", ""),
            "method": "supervised", "phase": "center", "init": init, "training_data": data}


def chosen_teacher(name: str) -> Teacher:
    try:
        found, _ = peers.ready([name])
    except ValueError as error:
        raise ValueError(f"--teacher {error}") from None
    return Teacher(found[name])


def run(args: argparse.Namespace) -> None:
    device = torch.device(args.device)
    torch.manual_seed(args.seed)
    torch.backends.cudnn.benchmark = True
    if args.threads:
        torch.set_num_threads(args.threads)
    net, before = starting_network(args)
    if args.modulated:
        become_modulated(net, args.init)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    teacher = chosen_teacher(args.teacher) if args.teacher else None
    began = time.monotonic()
    data = material.load(args.material, args.clip_frames, args.cache, args.ffmpeg, device, args.hold_out)
    coded = 0 if data.coded_frames is None else len(data.coded_frames)
    say(f"{len(data.stills)} pictures, {len(data.clips)} clips, {coded} coded windows on {device} in "
        f"{time.monotonic() - began:.1f} s")
    if coded and data.coded_frames.shape[-1] != args.patch:
        raise ValueError(f"--patch {args.patch}: the coded windows have patches of {data.coded_frames.shape[-1]}")
    if args.until and args.until - WRITING <= time.time():
        raise ValueError(f"--until {args.until:.0f}: no time is left to train")
    settings = Settings(Budget(args.minutes, args.steps), args.stages, args.rate, args.adam_rate, args.flow_rate,
                        args.fusion_rate, args.batch, args.patch, args.coded, args.clips, args.quantised, args.trust,
                        args.flow_weight, args.knee, args.clip, args.seed, args.report_seconds, args.save_minutes,
                        args.freeze_features)
    training = DeviceTraining(net.to(device), data, settings, args.output, args.state, provenance(args, before), teacher)
    if args.until:
        training.end_at(args.until - WRITING)
    if training.step:
        say(f"continuing from {args.state} at step {training.step}, {training.spent / 60:.1f} minutes")
    training.run()
    say(f"{args.output}: step {training.step}, {training.spent / 60:.1f} minutes")


def parse(arguments: Optional[list[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    whole, positive, share = number_in(1, 10 ** 9, int), number_in(1e-9, 1e9), number_in(0, 1)
    some = number_in(0, 10 ** 6, int)
    defaults = Settings(Budget(1, None), ())
    add = parser.add_argument_group("what").add_argument
    add("--material", type=pathlib.Path, required=True, nargs="+", metavar="DIR",
        help="folders with photographs and clips, and perhaps coded windows (pack_material.py)")
    add("--init", required=True, metavar="MODEL", help=f"{models.HELP}, to start from, or {NEW}")
    add("--kernel-net-of", metavar="MODEL", help=f"with --init {NEW}: the model whose kernel network it gets (default: one that "
        "says the same of every clip, until train_kernel_net.py trains it)")
    add("--modulated", action="store_true", help="add gains that follow the degradation to a model that has none")
    add("--output", type=pathlib.Path, required=True, metavar="X.bin", help="model file to write")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=positive, help="wall clock, of all runs that continue one another")
    length.add_argument("--until", type=number_in(0, 1e12), metavar="TIME",
                        help="instead: when the model must have been written, seconds since 1970")
    add("--steps", type=whole, help="stop after so many steps")
    add("--state", type=pathlib.Path, metavar="X.pt", help="where the run continues from (default: beside --output)")
    add("--hold-out", nargs="+", default=[], metavar="NAME", help="leave out files whose names begin so")
    add("--name", help="name written into the model file; default: from --output")
    add("--licence", help="licence written into the model file; default: that of --init")
    add("--provenance", help="training data, as written into the model file; default: the names of --material")
    add = parser.add_argument_group("how").add_argument
    add("--stages", type=stages, default=parse_stages("single:0.45,flow:0.55,all:1"), metavar="NAME:END,...",
        help="stages and the shares of the run at which they end (default single:0.45,flow:0.55,all:1)")
    add("--rate", type=positive, default=defaults.rate, help="peak learning rate of Muon, which trains the reconstruction")
    add("--adam-rate", type=positive, default=defaults.adam_rate,
        help="peak learning rate of Adam, which trains the first filters and the flow network")
    add("--flow-rate", type=share, default=defaults.flow_rate, help="of the flow network among all, relative")
    add("--fusion-rate", type=positive, default=defaults.fusion_rate, help="of the fusion on whole windows, relative")
    add("--freeze-features", action="store_true", help="leave the extraction of features as it is")
    add("--teacher", choices=list(peers.PEERS), help="a network of single frames that says a part of the targets")
    add("--trust", type=share, default=defaults.trust, help="the teacher's part, at most")
    add("--batch", type=whole, default=defaults.batch, help="windows a step")
    add("--patch", type=whole, default=defaults.patch, help="side of a window, low-resolution pixels")
    add("--coded", type=some, default=defaults.coded, help="windows of a step from the coded ones")
    add("--clips", type=some, default=defaults.clips, help="windows of a step from clips, where there are any")
    add("--quantised", type=share, default=defaults.quantised, help="share of the others that get a codec's stand-in")
    add("--flow-weight", type=positive, default=defaults.flow_weight, help="of the flow error, per pixel")
    add("--knee", type=positive, default=defaults.knee, help="differences, of 1, below which they count squared")
    add("--clip", type=positive, default=defaults.clip, help="limit on the norm of the gradient")
    add("--seed", type=some, default=defaults.seed, help="of the draws")
    add_sizes(parser.add_argument_group(f"sizes of a new network (--init {NEW})").add_argument, whole)
    add = parser.add_argument_group("where").add_argument
    add("--device", help="cpu, cuda, cuda:1, ...; default: cuda if PyTorch finds a GPU")
    add("--threads", type=whole, help="CPU threads (default: all)")
    add("--clip-frames", type=whole, default=72, help="frames taken of each clip (default 72)")
    add("--cache", type=pathlib.Path, metavar="DIR", help="for decoded clips (default: cache beside --output)")
    add("--ffmpeg", help="ffmpeg that decodes clips; default: build/bin/ffmpeg, else the one on PATH")
    add("--report-seconds", type=positive, default=defaults.report_seconds, help="between two rows of the curve")
    add("--save-minutes", type=positive, default=defaults.save_minutes, help="between two states")
    args = parser.parse_args(arguments)
    if args.coded + args.clips >= args.batch:
        parser.error(f"--coded {args.coded} and --clips {args.clips} leave none of --batch {args.batch}")
    check_sizes(parser, args, args.init if args.init != NEW else None)
    if args.kernel_net_of and args.init != NEW:
        parser.error(f"--kernel-net-of {args.kernel_net_of}: {args.init} has a kernel network of its own; only with --init {NEW}")
    args.state = args.state or args.output.with_suffix(".pt")
    args.cache = args.cache or args.output.parent / "cache"
    args.device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    return args


def main() -> int:
    args = parse()
    return finish("train_device", lambda: run(args), ClipError, ValueError)


if __name__ == "__main__":
    sys.exit(main())
