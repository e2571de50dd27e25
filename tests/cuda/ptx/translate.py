#!/usr/bin/env python3
"""Turns PTX into C++ that runs on the emulated GPU of tests/cuda/emu.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
import argparse
import sys
from pathlib import Path

import emit
from ptx import PtxError, read_module


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ptx", type=Path, help="what nvcc -ptx or NVRTC has written")
    parser.add_argument("-o", "--output", type=Path, required=True, help="C++ file, or folder with --split")
    parser.add_argument("--kernel", action="append", default=[], metavar="NAME", help="translate these alone")
    parser.add_argument("--list", action="store_true", help="write the names of the kernels instead")
    arguments = parser.parse_args()
    try:
        module = read_module(arguments.ptx.read_text())
        if arguments.list:
            text = "".join(kernel.name + "\n" for kernel in module.kernels)
        else:
            text = emit.translate(module, arguments.ptx.name, arguments.kernel)
    except (PtxError, OSError) as error:
        print(f"{arguments.ptx}: {error}", file=sys.stderr)
        return 1
    arguments.output.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
