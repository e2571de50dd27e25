#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Make the low-resolution clip that a model is trained or measured on from a sharp one.

The degradation is that of the Self-Blind-VSR paper: blur by a kernel, take every scale-th sample, round to 8 bits.
The samples sit on the top-left pixel of each block ("topleft", as in the paper's data) or in its middle ("center",
where scalers and cameras put them). Noise and compression by x264 can follow. The kernel is written beside the clip;
blur.py says how it is anchored. The same options and seed give the same bytes.
"""
from __future__ import annotations

import argparse
import math
import os
import pathlib
import sys
from typing import Callable, Iterable, Iterator, Optional

try:
    import numpy as np
except ImportError:
    sys.exit("degrade: NumPy is needed (python3-numpy, or https://numpy.org)")

from lib.blur import PHASES, blur_down, gaussian_down, gaussian_blur, realistic_blur, rounded
from lib.clips import ClipError, compressed, find_ffmpeg, is_folder, probe, read_frames, write_clip
from lib.program import finish


class Degradation:
    """A degradation as the command line describes it, with its kernel drawn.

    kernel: "gaussian", "realistic", or the name of a .npy file; sigma: one standard deviation or two, high-resolution
    pixels; angle: of the first, degrees; noise: standard deviation in code values; crf: of x264, None for no codec.
    """

    def __init__(self, blur: str = "gaussian", sigma: tuple[float, ...] = (1.2,), angle: float = 0.0,
                 phase: str = "center", scale: int = 4, noise: float = 0.0, crf: Optional[int] = None,
                 seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.phase, self.scale, self.noise, self.crf = phase, scale, noise, crf
        self.sigma = sigma[0] if blur == "gaussian" and len(set(sigma)) == 1 else None
        if blur == "gaussian":
            self.blur = gaussian_blur((sigma[0], sigma[-1]), math.radians(angle), phase, scale)
        elif blur == "realistic":
            self.blur = realistic_blur(self.rng, phase, scale)
        else:
            self.blur = read_blur(blur)

    def reduce(self, frame: np.ndarray) -> np.ndarray:
        """One frame, H x W x 3 uint8, blurred, subsampled, made noisy and rounded."""
        low = (gaussian_down(frame, self.sigma, self.phase, self.scale) if self.sigma
               else blur_down(frame, self.blur, self.scale))
        if self.noise:
            low = low + self.rng.normal(0, self.noise, low.shape).astype(np.float32)
        return rounded(low)

    def apply(self, frames: Iterable[np.ndarray], ffmpeg: str, rate: str = "25") -> Iterator[np.ndarray]:
        """A clip, frame by frame, through all stages."""
        low = map(self.reduce, frames)
        return low if self.crf is None else compressed(low, self.crf, ffmpeg, rate=rate)


def read_blur(path: str) -> np.ndarray:
    """A kernel from a .npy file, normalised."""
    try:
        blur = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ClipError(f"{path}: {getattr(error, 'strerror', None) or 'not a .npy file of numbers'}") from None
    if not isinstance(blur, np.ndarray) or blur.dtype.kind not in "fiu":
        raise ClipError(f"{path}: not a .npy file of numbers")
    if blur.ndim != 2 or blur.shape[0] != blur.shape[1] or blur.shape[0] % 2 == 0:
        raise ClipError(f"{path}: shape {blur.shape}, expected a square with an odd side")
    if not np.isfinite(blur).all() or blur.sum() <= 0:
        raise ClipError(f"{path}: its values must be finite and have a positive sum")
    return blur / blur.sum()


def number_in(low: float, high: float, kind: Callable = float) -> Callable:
    """An argparse type: a number in low..high."""
    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not {'a whole number' if kind is int else 'a number'}") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not within {low:g} to {high:g}")
        return value
    return convert


def sigmas(text: str) -> tuple[float, ...]:
    """An argparse type: one standard deviation, or two with a comma between them."""
    parts = text.split(",")
    if len(parts) > 2:
        raise argparse.ArgumentTypeError(f"{text}: {len(parts)} numbers, one or two are expected")
    return tuple(map(number_in(0.1, 20.0), parts))


def add_degradation(parser: argparse.ArgumentParser) -> None:
    """The options that say what the degradation is."""
    add = parser.add_argument
    add("--kernel", default="gaussian", metavar="KIND",
        help="gaussian, realistic (the paper's uneven kernels, drawn from the seed), or a .npy file")
    add("--sigma", type=sigmas, default="1.2", metavar="S[,S]",
        help="standard deviation of the Gaussian, sharp pixels; two: along --angle and across it")
    add("--angle", type=number_in(-360, 360), default=0.0, help="of the first sigma, degrees from right towards down")
    add("--phase", choices=PHASES, default="center", help="where in its block a sample sits")
    add("--noise", type=number_in(0, 100), default=0.0, help="standard deviation of added noise, code values of 255")
    add("--crf", type=number_in(0, 51, int), help="compress the small clip with x264 at this quality")
    add("--seed", type=number_in(0, 2 ** 63, int), default=0, help="of the realistic kernel and of the noise")
    add("--ffmpeg", help="ffmpeg to use; default: build/bin/ffmpeg, else the one on PATH")


def degradation(args: argparse.Namespace, scale: int) -> Degradation:
    """The degradation that the options of add_degradation() describe."""
    return Degradation(args.kernel, args.sigma, args.angle, args.phase, scale, args.noise, args.crf, args.seed)


def blur_path(output: str) -> pathlib.Path:
    """Where the kernel of a clip is written: clip.mkv -> clip.kernel.npy, folder -> folder/kernel.npy."""
    path = pathlib.Path(output)
    if is_folder(output):
        return path / "kernel.npy"
    return path.parent / "kernel.npy" if "%" in path.name else path.with_suffix(".kernel.npy")


def run(args: argparse.Namespace) -> None:
    ffmpeg = find_ffmpeg(args.ffmpeg)
    if os.path.exists(args.output) and os.path.samefile(args.input, args.output):
        raise ClipError(f"input and output are the same: {args.input}")
    chain = degradation(args, args.scale)
    rate = probe(args.input, ffmpeg).rate
    count = write_clip(args.output, chain.apply(read_frames(args.input, ffmpeg), ffmpeg, rate), rate, ffmpeg)
    beside = blur_path(args.output)
    np.save(beside, chain.blur)
    print(f"{args.output}: {count} frames; kernel {len(chain.blur)}x{len(chain.blur)}: {beside}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("input", metavar="IN", help="sharp clip, or folder of images")
    parser.add_argument("output", metavar="OUT",
                        help="clip to write; .mkv, .avi and .nut are lossless, a name without ending is a folder")
    parser.add_argument("--scale", type=int, choices=range(1, 9), default=4, help="how many times smaller")
    add_degradation(parser)
    args = parser.parse_args()
    return finish("degrade", lambda: run(args), ClipError)


if __name__ == "__main__":
    sys.exit(main())
