"""Compiles a .cu file to PTX that old drivers take: by NVRTC, NVIDIA's compiler as a library, or by nvcc.

The version of the PTX is set to the oldest that has its instructions, whatever compiler made it: what a driver translates
must not be newer than itself. Drivers from 520 on know 7.8, those from 525 on 8.0.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import argparse
import ctypes
import re
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
SHIM = Path(__file__).resolve().parent / "include"  # NVRTC has no C library's headers

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
VERSION = re.compile(r"^\.version (\d+)\.(\d+)$", re.MULTILINE)
HINT = re.compile(r'^[ \t]*\.pragma "used_bytes_mask[^"]*";\n', re.MULTILINE)  # of nvcc 13, which older assemblers refuse


class CompileError(Exception):
    """What the compiler said."""


def oldest_version(arch: str) -> tuple[int, int]:
    """The PTX ISA that an architecture's instructions need: wgmma came with 8.0."""
    return (8, 0) if arch == "90a" else (7, 8)


def made_old(ptx: str, arch: str) -> str:
    """The same PTX with the oldest version that will do."""
    found = VERSION.search(ptx)
    if not found:
        raise CompileError("the compiler made no PTX: there is no .version in it")
    version = min(oldest_version(arch), (int(found[1]), int(found[2])))
    ptx = VERSION.sub(".version {}.{}".format(*version), ptx, count=1)
    return HINT.sub("", ptx)


class Nvrtc:
    """libnvrtc.so.12 of a folder. Its second library must be there before it is asked for it."""

    def __init__(self, folder: Path) -> None:
        try:
            for builtins in sorted(folder.glob("libnvrtc-builtins.so.*")):
                ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
            self.library = ctypes.CDLL(str(folder / "libnvrtc.so.12"))
        except OSError as error:
            raise CompileError(f"NVRTC cannot be loaded: {error}") from error
        self.library.nvrtcGetErrorString.restype = ctypes.c_char_p

    def call(self, function: str, *arguments: object) -> None:
        result = getattr(self.library, function)(*arguments)
        if result:
            raise CompileError(f"{function}: {self.library.nvrtcGetErrorString(result).decode()}")

    def text(self, program: ctypes.c_void_p, what: str) -> str:
        """nvrtcGet<what> of a program, whose size nvrtcGet<what>Size gives."""
        size = ctypes.c_size_t()
        self.call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self.call(f"nvrtcGet{what}", program, buffer)
        return buffer.value.decode()

    def compile(self, source: Path, arch: str, includes: list[Path]) -> str:
        program = ctypes.c_void_p()
        options = ["-std=c++17", "-default-device", f"-arch=compute_{arch}", *(f"-I{path}" for path in includes)]
        self.call("nvrtcCreateProgram", ctypes.byref(program), source.read_bytes(), str(source).encode(), 0, None, None)
        try:
            self.call("nvrtcCompileProgram", program, len(options),
                      (ctypes.c_char_p * len(options))(*(option.encode() for option in options)))
            return self.text(program, "PTX")
        except CompileError as error:
            raise CompileError(f"{error}\n{self.text(program, 'ProgramLog').strip()}") from error
        finally:
            self.library.nvrtcDestroyProgram(ctypes.byref(program))


def compile_by_nvcc(nvcc: str, source: Path, arch: str, includes: list[Path]) -> str:
    """Into a file: nvcc does not empty the pipe that stands in for it, and waits for ever where it is full."""
    with tempfile.TemporaryDirectory() as folder:
        ptx = Path(folder) / "code.ptx"
        command = [nvcc, "-std=c++17", "-O3", "-w", "-allow-unsupported-compiler", "-ptx", f"-arch=compute_{arch}",
                   *(f"-I{path}" for path in includes), str(source), "-o", str(ptx)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CompileError(f"{' '.join(command)}\n{done.stderr.strip()}")
        return ptx.read_text()


def dependencies(source: Path) -> list[Path]:
    """The project's own files that a source includes, itself first."""
    found, waiting = [], [source]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.append(path)
        for name in INCLUDE.findall(path.read_text()):
            waiting += [each for each in (path.parent / name, Path(name)) if each.exists()][:1]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Compiles a .cu file to PTX.")
    compiler = parser.add_mutually_exclusive_group(required=True)
    compiler.add_argument("--nvrtc", type=Path, metavar="DIR", help="the folder of libnvrtc.so.12")
    compiler.add_argument("--nvcc", metavar="COMMAND", help="nvcc, which has headers of its own")
    parser.add_argument("--include", type=Path, action="append", default=[], metavar="DIR", help="more headers")
    parser.add_argument("--arch", required=True, help="75, 80 or 90a: the architecture whose instructions may be used")
    parser.add_argument("--depend", type=Path, metavar="FILE", help="writes what the PTX depends on, for make")
    parser.add_argument("--target", metavar="FILE", help="what make is told that depends on them (the PTX)")
    parser.add_argument("source", type=Path)
    parser.add_argument("ptx", type=Path)
    options = parser.parse_args()
    try:
        if options.nvrtc:
            ptx = Nvrtc(options.nvrtc).compile(options.source, options.arch, [TOP, *options.include, SHIM])
        else:
            ptx = compile_by_nvcc(options.nvcc, options.source, options.arch, [TOP, *options.include])
        text = made_old(ptx, options.arch)
    except CompileError as error:
        print(f"{options.source}: {error}", file=sys.stderr)
        return 1
    if options.depend:
        names = [str(path) for path in dependencies(options.source)]
        target = options.target or options.ptx
        phony = "".join(f"{name}:\n" for name in names[1:])  # a header that is gone is no error
        options.depend.write_text(f"{target}: {' '.join(names)}\n{phony}")
    if not options.ptx.exists() or options.ptx.read_text() != text:
        options.ptx.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
