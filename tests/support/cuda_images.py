"""What is in the GPU images of a library, read without any of NVIDIA's tools: the kernels of each piece of machine code,
their registers and memory, and the PTX.

Formats: fatbinary's container; cubins, which are ELF files with a section .text.KERNEL for each kernel, and a section
.nv.info of attributes.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator

MAGIC = bytes.fromhex("50ed55ba")
PTX, MACHINE_CODE = 1, 2
SPECIFIC, COMPRESSED = 0x100000, 0x2000 | 0x8000  # flags of a piece
CUDA_MACHINE = 190
# Attributes of .nv.info, each of a symbol and a number.
FRAME_SIZE, MIN_STACK, REGISTERS = 0x11, 0x12, 0x2F
WITH_SIZE = 4  # the format of an attribute whose value follows


@dataclass
class Kernel:
    registers: int = 0
    frame: int = 0  # bytes of a thread's own memory, which spilled registers and arrays take
    code: bytes = b""  # its instructions


@dataclass
class Piece:
    """Machine code or PTX of one image."""
    is_ptx: bool
    arch: str                 # "90a"
    version: tuple[int, int]  # of the PTX, or (1, ABI)
    compressed: bool
    code: bytes
    kernels: dict[str, Kernel] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.is_ptx:
            text = self.code.rstrip(b"\0").decode()
            self.kernels = {name: Kernel() for name in re.findall(r"\.entry (\w+)", text)}
        else:
            self.kernels = kernels_of(self.code)


@dataclass
class Section:
    name: str
    link: int
    data: bytes


def sections_of(elf: bytes) -> list[Section]:
    offset, = struct.unpack_from("<Q", elf, 40)
    size, count, names = struct.unpack_from("<HHH", elf, 58)
    headers = [struct.unpack_from("<IIQQQQII", elf, offset + i * size) for i in range(count)]
    text = elf[headers[names][4]:headers[names][4] + headers[names][5]]
    return [Section(text[h[0]:text.index(b"\0", h[0])].decode(), h[6], b"" if h[1] == 8 else elf[h[4]:h[4] + h[5]])
            for h in headers]


def attributes(info: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(info):
        form, attribute, size = struct.unpack_from("<BBH", info, at)
        at += 4
        if form == WITH_SIZE:
            yield attribute, info[at:at + size]
            at += size


def kernels_of(elf: bytes) -> dict[str, Kernel]:
    assert elf[:4] == b"\x7fELF" and struct.unpack_from("<H", elf, 18)[0] == CUDA_MACHINE
    sections = sections_of(elf)
    kernels = {s.name[len(".text."):]: Kernel(code=s.data) for s in sections if s.name.startswith(".text.")}
    symbols = next(s for s in sections if s.name == ".symtab")
    names = sections[symbols.link].data

    def symbol(index: int) -> str:
        begin, = struct.unpack_from("<I", symbols.data, 24 * index)
        return names[begin:names.index(b"\0", begin)].decode()

    for section in sections:
        if section.name != ".nv.info":
            continue
        for attribute, value in attributes(section.data):
            if attribute in (FRAME_SIZE, MIN_STACK, REGISTERS):
                index, number = struct.unpack("<II", value)
                kernel = kernels.get(symbol(index))
                if not kernel:
                    continue  # a function that the compiler adds, the slow part of a division
                if attribute == REGISTERS:
                    kernel.registers = number
                else:
                    kernel.frame = max(kernel.frame, number)
    return kernels


def read_image(data: bytes, at: int = 0) -> list[Piece]:
    """The pieces of the image that begins at a position."""
    _, version, header, size = struct.unpack_from("<IHHQ", data, at)
    assert version == 1 and header == 16
    pieces, at, end = [], at + header, at + header + size
    while at < end:
        kind, _, header, size = struct.unpack_from("<HHIQ", data, at)
        minor, major, arch = struct.unpack_from("<HHI", data, at + 24)
        flags, = struct.unpack_from("<Q", data, at + 40)
        code = data[at + header:at + header + size]
        pieces.append(Piece(kind == PTX, f"{arch}{'a' if flags & SPECIFIC else ''}", (major, minor),
                            bool(flags & COMPRESSED), code))
        at += header + size
    assert at == end
    return pieces


def images_of(library: Path) -> list[list[Piece]]:
    """The images in a file, wherever they lie."""
    data, images, at = library.read_bytes(), [], 0
    while (at := data.find(MAGIC, at)) >= 0:
        if struct.unpack_from("<HH", data, at + 4) == (1, 16):
            images.append(read_image(data, at))
        at += 4
    return images
