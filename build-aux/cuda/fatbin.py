"""Packs machine code (cubin) and PTX into one image for cuModuleLoadData, and lists what is in images.

The format is that of NVIDIA's fatbinary, which the compiler from PyPI comes without: a header of 16 bytes, then for each
piece a header of 64 bytes (80 for PTX) and the piece, padded to 8 bytes. Nothing is compressed: old drivers cannot undo
what new tools do.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import argparse
import re
import struct
import sys
from pathlib import Path

MAGIC, FORMAT, HEADER = 0xBA55ED50, 1, 16
PTX, MACHINE_CODE = 1, 2
KIND_VERSION = 0x101
IS_64_BIT, IS_LINUX, IS_SPECIFIC = 0x1, 0x10, 0x100000  # specific: code of sm_90a and the like
VERSION = re.compile(rb"^\.version (\d+)\.(\d+)", re.MULTILINE)


def piece(path: Path) -> bytes:
    """A piece with its header; NAME.ARCH.cubin or NAME.ARCH.ptx."""
    arch = path.suffixes[-2][1:]
    code = path.read_bytes()
    flags = IS_64_BIT | IS_LINUX | (IS_SPECIFIC if arch.endswith("a") else 0)
    number = int(arch.rstrip("a"))
    if path.suffix == ".cubin":
        kind, header, options_at, tail = MACHINE_CODE, 64, 0, b""
        if code[:4] != b"\x7fELF":
            raise ValueError(f"{path} is no machine code")
        minor, major = code[8], 1  # of the ELF's ABI
    else:
        kind, header, options_at, tail = PTX, 80, 64, struct.pack("<IIQ", 72, 0, 0)
        found = VERSION.search(code)
        if not found:
            raise ValueError(f"{path} is no PTX")
        major, minor = int(found[1]), int(found[2])
        code += b"\0"
    code += b"\0" * (-len(code) % 8)
    return struct.pack("<HHIQIIHHIIIQQQ", kind, KIND_VERSION, header, len(code), 0, options_at, minor, major, number, 0, 0,
                       flags, 0, 0) + tail + code


def pack(paths: list[Path]) -> bytes:
    body = b"".join(piece(path) for path in paths)
    return struct.pack("<IHHQ", MAGIC, FORMAT, HEADER, len(body)) + body


def main() -> int:
    parser = argparse.ArgumentParser(description="Packs machine code and PTX into one image.")
    parser.add_argument("image", type=Path, help="the file to write")
    parser.add_argument("pieces", type=Path, nargs="+", metavar="PIECE", help="NAME.ARCH.cubin or NAME.ARCH.ptx")
    options = parser.parse_args()
    try:
        options.image.write_bytes(pack(options.pieces))
    except (OSError, ValueError, IndexError) as error:
        print(f"fatbin: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
