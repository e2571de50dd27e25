#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measure how well a model's kernel network tells how blurred clips are.

Sharp clips are degraded as degrade.py does, by one Gaussian after the other, and the network is asked: the standard
deviations of the kernel it answers with, along the direction in which it is widest and across, against those of the
Gaussian, in sharp pixels, and that direction. One that is round is compared by the mean of both. Several windows of
each clip are asked, spread evenly over it, and their answers averaged. The network is that of the PyTorch definition,
and sees whole frames.
"""
from __future__ import annotations

import argparse
import pathlib
import sys
from typing import Any, Optional, Sequence

try:
    import numpy as np
except ImportError:
    sys.exit("evaluate_kernel_net: NumPy is needed (python3-numpy, or https://numpy.org)")

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "tools"))
from lib import model_file, models
from lib.blur import PHASES, moments
from lib.clips import ClipError, find_ffmpeg, read_clip
from lib.program import finish, write_figures
from degrade import Degradation, number_in, sigmas
from evaluate import trimmed

try:
    import torch
    from reference import SelfBlindVSR
except ImportError:
    sys.exit("evaluate_kernel_net: PyTorch is needed (python3-torch, or https://pytorch.org)")

Row = dict[str, Any]
SIGMAS = (0.8, 1.2, 1.6, 2.0, 2.4)


def blurs(net: "SelfBlindVSR", low: np.ndarray, count: int) -> np.ndarray:
    """What the network says of `count` windows of a clip, count x ksize x ksize."""
    length = net.arch.n_sequence
    found = []
    for first in np.linspace(0, len(low) - length, count).round().astype(int):
        window = torch.from_numpy(low[first:first + length].astype(np.float32) / 255).permute(0, 3, 1, 2)[None]
        with torch.no_grad():
            found.append(net.kernel_net(window)[0, 0].numpy())
    return np.stack(found)


def compared(found: np.ndarray, sigma: tuple[float, ...]) -> Row:
    """The estimates of one clip and blur: widths of the true Gaussian, of the mean kernel, and the error of the latter;
    and where the Gaussian is not round the direction of the longer, degrees from right towards down, -90 to 90."""
    mean = moments(found.mean(0))
    true = np.array(sorted(set(sigma), reverse=True))
    if len(true) == 1:
        said, angle = np.array([np.mean(mean[:2])]), None
    elif mean.sigma_x >= mean.sigma_y:
        said, angle = np.array(mean[:2]), mean.angle
    else:
        said, angle = np.array(mean[1::-1]), mean.angle + (90 if mean.angle <= 0 else -90)
    return {"sigma": true.tolist(), "estimate": said.tolist(), "error": (said / true - 1).tolist(), "angle": angle}


def measure(args: argparse.Namespace) -> dict[str, list[Row]]:
    ffmpeg = find_ffmpeg(args.ffmpeg)
    try:
        net = SelfBlindVSR.from_state_dict(model_file.read(models.find(args.model))[0])
    except (KeyError, RuntimeError):
        raise ClipError(f"{args.model}: its tensors do not make a network") from None
    if not net.arch.kernel_net:
        raise ClipError(f"{args.model}: has no kernel network")
    rows: dict[str, list[Row]] = {}
    for path in args.hr:
        sharp = trimmed(read_clip(path, ffmpeg, limit=args.frames), net.arch.scale)
        if len(sharp) < net.arch.n_sequence:
            raise ClipError(f"{path}: {len(sharp)} frames, at least {net.arch.n_sequence} are needed")
        name = pathlib.Path(path).stem
        rows[name] = []
        for sigma in args.sigma:
            chain = Degradation("gaussian", sigma, args.angle, args.phase, net.arch.scale, args.noise, args.crf)
            low = np.stack(list(chain.apply(sharp, ffmpeg)))
            rows[name].append(compared(blurs(net, low, args.windows), sigma))
            print(line(name, rows[name][-1]), flush=True)
    return rows


def line(name: str, row: Row) -> str:
    true, said = (" x ".join(f"{value:.2f}" for value in row[key]) for key in ("sigma", "estimate"))
    errors = ", ".join(f"{100 * value:+.0f} %" for value in row["error"])
    angle = "" if row["angle"] is None else f"  {row['angle']:+.0f} degrees"
    return f"{name}  sigma {true}  estimate {said}  {errors}{angle}"


def parse(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--hr", nargs="+", required=True, metavar="CLIP", help="sharp clips, or folders of images")
    add("--model", required=True, metavar="MODEL", help=f"{models.HELP}, with a kernel network")
    add("--sigma", type=sigmas, nargs="+", default=[(s,) for s in SIGMAS], metavar="S[,S]",
        help="standard deviations of the Gaussians, sharp pixels; two: along --angle and across it "
             f"(default {' '.join(map(str, SIGMAS))})")
    add("--angle", type=number_in(-360, 360), default=0.0,
        help="of the first of two, degrees from right towards down (default 0)")
    add("--phase", choices=PHASES, default="center", help="where in its block a sample sits (default center)")
    add("--noise", type=number_in(0, 100), default=0.0,
        help="standard deviation of added noise, code values of 255 (default 0)")
    add("--crf", type=number_in(0, 51, int), help="compress the small clips with x264 at this quality")
    add("--frames", type=number_in(1, 10 ** 9, int), help="take only the first so many frames of each clip")
    add("--windows", type=number_in(1, 10 ** 6, int), default=3,
        help="how many windows of each clip are asked (default 3)")
    add("--json", type=pathlib.Path, metavar="OUT", help="write the figures here")
    add("--ffmpeg", help="ffmpeg to use; default: build/bin/ffmpeg, else the one on PATH")
    return parser.parse_args(arguments)


def main() -> int:
    args = parse()
    return finish("evaluate_kernel_net", lambda: write_figures(args.json, measure(args)), ClipError, ValueError)


if __name__ == "__main__":
    sys.exit(main())
