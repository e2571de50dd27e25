#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a model loses when its warps or its resizes use the wrong align_corners.

The network is trained with grid_sample(align_corners=True) and interpolate(align_corners=False). The first is not the
default of PyTorch since 1.3, so a port that names no value warps everything by up to half a pixel too far. This
measures the PyTorch definition both ways on sharp clips: the picture that comes out against the original.
"""
from __future__ import annotations

import argparse
import pathlib
import sys

try:
    import numpy as np
except ImportError:
    sys.exit("align_corners: NumPy is needed (python3-numpy, or https://numpy.org)")

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "tools"))
from lib import models
from lib.clips import ClipError, find_ffmpeg, read_clip
from degrade import add_degradation, degradation, number_in
from evaluate import NEEDED, model_scale, restore_reference, trimmed
from lib.program import finish, write_figures
from lib.quality import compare

WAYS = {"right": {}, "warps flipped": {"warp_align": False}, "resizes flipped": {"resize_align": True}}


def measure(args: argparse.Namespace) -> dict[str, dict[str, dict[str, float]]]:
    """PSNR and SSIM of each clip, each way."""
    args.model = models.find(args.model)
    ffmpeg, scale = find_ffmpeg(args.ffmpeg), model_scale(args.model)
    rows = {}
    for path in args.hr:
        sharp = trimmed(read_clip(path, ffmpeg, limit=args.frames), scale)
        if len(sharp) < NEEDED:
            raise ClipError(f"{path}: {len(sharp)} frames, at least {NEEDED} are needed")
        low = np.stack(list(degradation(args, scale).apply(sharp, ffmpeg)))
        name = pathlib.Path(path).stem
        rows[name] = {}
        for way, options in WAYS.items():
            rows[name][way] = compare(sharp, restore_reference(low, args.model, scale, **options))
            value, loss = rows[name][way], rows[name][way]["psnr"] - rows[name]["right"]["psnr"]
            print(f"{name}  {way:15}  {value['psnr']:6.2f} dB  SSIM {value['ssim']:.4f}  {loss:+6.2f} dB", flush=True)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--hr", nargs="+", required=True, metavar="CLIP", help="sharp clips")
    parser.add_argument("--model", required=True, metavar="MODEL", help=models.HELP)
    parser.add_argument("--frames", type=number_in(NEEDED, 10 ** 9, int), default=9,
                        help="take only the first so many frames of each clip")
    parser.add_argument("--json", type=pathlib.Path, metavar="OUT", help="write the figures here")
    add_degradation(parser)
    args = parser.parse_args()
    return finish("align_corners", lambda: write_figures(args.json, measure(args)), ClipError, ValueError)


if __name__ == "__main__":
    sys.exit(main())
