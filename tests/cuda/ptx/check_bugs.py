#!/usr/bin/env python3
"""Plants the bugs of bugs.py in the PTX of the kernels, runs each on the emulated GPU and says which are not found.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import emit
from bugs import BUGS, TARGETS, Bug, plant
from ptx import PtxError, read_module

ORDERS = ("greedy", "forward", "reverse", "random")
TIMEOUT = 120  # seconds for one program, on a loaded machine


class Checker:
    """Where everything is: build is the folder of make, compile the command that makes an object of a translation."""

    def __init__(self, build: Path, compile_: list[str], objects: list[Path]):
        self.build, self.compile, self.objects = build, compile_, objects
        self.program = build / "tests/test_cuda_ops"

    def run(self, driver: Path, target: str, mode: str) -> tuple[int, str]:
        order, asynchronous = mode.split()
        environment = os.environ | {"LD_LIBRARY_PATH": str(driver), "FAKE_CUDA_SM": TARGETS[target].device,
                                    "EMU_ORDER": order, "EMU_ASYNC": asynchronous}
        try:
            done = subprocess.run([self.program, TARGETS[target].case], env=environment, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired:
            return -1, f"still running after {TIMEOUT} s"
        return done.returncode, done.stdout.decode(errors="replace")

    def driver_with(self, bug: Bug) -> Path:
        """A folder with a libcuda.so.1 whose kernel has the bug."""
        target, folder = TARGETS[bug.target], self.build / "emu-bugs" / bug.name
        folder.mkdir(parents=True, exist_ok=True)
        text = plant(bug, (self.build / f"obj/ptx/{target.file}.ptx").read_text())
        source, built = folder / "kernel.cpp", folder / "kernel.o"
        source.write_text(emit.translate(read_module(text), f"{target.file}.ptx with {bug.name}", [target.kernel]))
        subprocess.run([*self.compile, "-c", source, "-o", built], check=True)
        others = [o for o in self.objects if o.name != f"{target.file}.o"]
        subprocess.run([self.compile[0], "-shared", "-pthread", "-Wl,-soname,libcuda.so.1", "-Wl,-z,nodelete", *others,
                        built, "-o", folder / "libcuda.so.1"], check=True)
        return folder

    def bug(self, bug: Bug) -> str:
        """Why the bug is not found; "" if it is."""
        try:
            driver = self.driver_with(bug)
        except (PtxError, ValueError, subprocess.CalledProcessError) as error:
            return f"cannot be planted: {error}"
        status, output = self.run(driver, bug.target, bug.mode)
        found = status != 0 and re.search(bug.message, output, re.MULTILINE) is not None
        return "" if found else f"status {status}, {bug.message} is expected\n{output[:2000]}"

    def sound(self, target: str, mode: str) -> str:
        """Why the kernel as it is does not pass; "" if it does."""
        status, output = self.run(self.build / "emu", target, mode)
        return "" if status == 0 and re.search("^ok", output, re.MULTILINE) and "SKIP" not in output else output[:2000]


def report(name: str, why: str) -> bool:
    """Whether it failed; says why."""
    if why:
        print(f"not ok - {name}\n" + "".join(f"  # {line}\n" for line in why.splitlines()), flush=True)
    return bool(why)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=Path("build"), help="folder of the build (build)")
    parser.add_argument("--compile", required=True, help="compiler and options for a translated kernel")
    parser.add_argument("--only", help="bugs whose name has this in it")
    parser.add_argument("objects", type=Path, nargs="+", help="what build/emu/libcuda.so.1 is linked from")
    arguments = parser.parse_args()
    checker = Checker(arguments.build.resolve(), shlex.split(arguments.compile), arguments.objects)
    bugs = [bug for bug in BUGS if not arguments.only or arguments.only in bug.name]
    modes = [f"{order} {asynchronous}" for order in ORDERS for asynchronous in ("lazy", "eager")]
    sound = [(target, mode) for target in TARGETS for mode in modes] if not arguments.only else []
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        answers = pool.map(lambda run: checker.sound(*run), sound)
        found = pool.map(checker.bug, bugs)
        failed = sum(report(f"no bug: {target}, {mode}", why) for (target, mode), why in zip(sound, answers))
        failed += sum(report(bug.name, why) for bug, why in zip(bugs, found))
    print(f"{len(bugs)} bugs in PTX, {len(sound)} runs without one, {failed} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
