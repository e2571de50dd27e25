#!/usr/bin/env python3
"""The NVIDIA GPU of this machine, as its driver and nvidia-smi describe it.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import argparse
import ctypes
import glob
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional

# Attributes of cuDeviceGetAttribute.
MULTIPROCESSORS, MAJOR, MINOR = 16, 75, 76
SMI_SECONDS = 20  # nvidia-smi answers in a second or two


class NoDevice(Exception):
    """There is no GPU that can be used. The message is one line."""


@dataclass
class Device:
    name: str
    capability: str         # "9.0"
    multiprocessors: int
    memory_bytes: int
    cuda_version: str       # that the driver is for
    driver_version: str     # "" where nvidia-smi does not say
    clock_mhz: Optional[int] = None      # of the multiprocessors, the highest seen during the matrix product
    max_clock_mhz: Optional[int] = None

    def line(self) -> str:
        clock = f", {self.clock_mhz} MHz under load" if self.clock_mhz else ""
        limit = f" (at most {self.max_clock_mhz} MHz)" if self.max_clock_mhz else ""
        return (f"{self.name}, compute capability {self.capability}, {self.multiprocessors} multiprocessors, "
                f"{self.memory_bytes / 2**30:.0f} GiB{clock}{limit}, driver {self.driver_version or 'unknown'}, "
                f"CUDA {self.cuda_version}")

    def as_dict(self) -> dict:
        return asdict(self)


def ask_smi(field: str) -> str:
    """A property of the first GPU by nvidia-smi; "" where that is not to be had."""
    if not shutil.which("nvidia-smi"):
        return ""
    try:
        done = subprocess.run(["nvidia-smi", "--id=0", f"--query-gpu={field}", "--format=csv,noheader,nounits"],
                              capture_output=True, text=True, timeout=SMI_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def ask_smi_number(field: str) -> Optional[int]:
    text = ask_smi(field).split(".")[0]
    return int(text) if text.isdigit() else None


def describe() -> Device:
    """The first GPU. Raises NoDevice."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise NoDevice(f"there is no NVIDIA driver: {error}") from None

    def call(function: str, *arguments: object) -> None:
        status = getattr(cuda, function)(*arguments)
        if status:
            raise NoDevice(f"there is no usable NVIDIA GPU: {function} fails with error {status}")

    count, device, version = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    call("cuInit", 0)
    call("cuDeviceGetCount", ctypes.byref(count))
    if not count.value:
        raise NoDevice("the NVIDIA driver has no GPU")
    call("cuDeviceGet", ctypes.byref(device), 0)
    call("cuDriverGetVersion", ctypes.byref(version))
    name = ctypes.create_string_buffer(128)
    call("cuDeviceGetName", name, len(name), device)

    def attribute(number: int) -> int:
        value = ctypes.c_int()
        call("cuDeviceGetAttribute", ctypes.byref(value), number, device)
        return value.value

    return Device(name.value.decode(errors="replace"), f"{attribute(MAJOR)}.{attribute(MINOR)}",
                  attribute(MULTIPROCESSORS), total_memory(cuda, call, device),
                  f"{version.value // 1000}.{version.value % 1000 // 10}", ask_smi("driver_version"),
                  max_clock_mhz=ask_smi_number("clocks.max.sm"))


def total_memory(cuda: ctypes.CDLL, call, device: ctypes.c_int) -> int:
    """Bytes; that takes a context."""
    context, free, total = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t()
    call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    try:
        call("cuCtxPushCurrent_v2", context)
        call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        call("cuCtxPopCurrent_v2", ctypes.byref(context))
    finally:
        getattr(cuda, "cuDevicePrimaryCtxRelease_v2")(device)
    return total.value


class ClockWatch:
    """The highest clock of the multiprocessors while a block of code runs."""

    def __init__(self) -> None:
        self.highest: Optional[int] = None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def watch(self) -> None:
        while not self.ended.wait(0.3):
            now = ask_smi_number("clocks.sm")
            if now is None:
                return
            self.highest = max(now, self.highest or 0)

    def __enter__(self) -> "ClockWatch":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()


def library_folders() -> list[str]:
    """Folders that must be added to LD_LIBRARY_PATH for cuBLAS to be found: none where the system finds it."""
    for version in (13, 12, 11):
        try:
            ctypes.CDLL(f"libcublas.so.{version}")
            return []
        except OSError:
            pass
    packages = sysconfig.get_paths()["purelib"]
    for pattern in ("/usr/local/cuda/lib64", "/usr/local/cuda/targets/*/lib", "/usr/local/cuda-*/lib64",
                    f"{packages}/nvidia/*/lib"):
        for folder in sorted(glob.glob(pattern), reverse=True):
            if glob.glob(f"{folder}/libcublas.so.1[123]"):
                return [folder]
    return []


def toolkit_program(name: str) -> Optional[str]:
    """A program of the CUDA toolkit: on PATH, or where the toolkit is installed by default."""
    toolkit = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"))
    for candidate in (name, str(toolkit / "bin" / name), str(toolkit / name / name)):
        found = shutil.which(candidate)
        if found:
            return found
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description="Describes the NVIDIA GPU of this machine.")
    parser.add_argument("what", choices=("describe", "architecture"), nargs="?", default="describe",
                        help="all of it, or the compute capability as nvcc wants it: 90")
    what = parser.parse_args().what
    try:
        device = describe()
    except NoDevice as error:
        print(error, file=sys.stderr)
        return 1
    print(device.line() if what == "describe" else device.capability.replace(".", ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
