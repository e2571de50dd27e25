#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Draw the blur kernels that the filter wrote (kernel_file): their mean, some over time, and the moments of all.

The moments are those of the frame metadata: the standard deviations along the principal axis that lies closer to the
horizontal and across it, its direction in degrees from right towards down, and the center of mass right of and below
the middle entry, in output pixels. They are printed too. Needs numpy and matplotlib.
"""
from __future__ import annotations

import argparse
import pathlib
import sys
from typing import Optional, Sequence

try:
    import numpy as np
except ImportError:
    sys.exit("show_blur: NumPy is needed (python3-numpy, or https://numpy.org)")

from lib import plots
from lib.blur import Moments, moments
from lib.program import finish


class BlurError(Exception):
    """A file that cannot be shown; the message is one line."""


def read_blurs(path: pathlib.Path) -> np.ndarray:
    """The kernels of a .npy file, N x rows x columns; one alone, rows x columns, is a list of one."""
    try:
        blurs = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BlurError(f"{path}: {getattr(error, 'strerror', None) or 'not a whole .npy file of numbers'}") from None
    if not isinstance(blurs, np.ndarray) or blurs.dtype.kind != "f" or blurs.ndim not in (2, 3):
        what = f"{blurs.dtype} {blurs.shape}" if isinstance(blurs, np.ndarray) else "an archive"
        raise BlurError(f"{path}: {what}, expected numbers of shape (kernels, rows, columns)")
    blurs = blurs.reshape((-1,) + blurs.shape[-2:]).astype(np.float64)
    if not blurs.size:
        raise BlurError(f"{path}: no kernel in it")
    if not np.isfinite(blurs).all() or (blurs.sum((1, 2)) <= 0).any():
        raise BlurError(f"{path}: its values must be finite and every kernel have a positive sum")
    return blurs


def parse(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", type=pathlib.Path, metavar="K.npy", help="kernels, as written by kernel_file")
    parser.add_argument("-o", "--output", type=pathlib.Path, metavar="OUT.png",
                        help="picture to write (default: K.png, beside the kernels)")
    args = parser.parse_args(arguments)
    args.output = args.output or args.file.with_suffix(".png")
    if args.output.suffix != ".png":
        parser.error(f"{args.output}: a .png is written")
    return args


def run(args: argparse.Namespace) -> None:
    blurs = read_blurs(args.file)
    plots.blur_sheet(args.output, f"{args.file}: {len(blurs)} kernels of {blurs.shape[2]}x{blurs.shape[1]}", blurs)
    rows = np.array([moments(blur) for blur in blurs])
    for name, values in zip(Moments._fields, rows.T):
        print(f"{name:8}  median {np.median(values):7.3f}  from {values.min():7.3f} to {values.max():7.3f}")
    print(f"{args.output}: {len(blurs)} kernels")


def main() -> int:
    args = parse()
    return finish("show_blur", lambda: run(args), BlurError, plots.PlotError)


if __name__ == "__main__":
    sys.exit(main())
