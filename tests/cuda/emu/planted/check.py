"""Runs the kernels of this folder: every planted bug must be found where it is expected to be, and the kernels without a
bug must give the right results in every mode and build.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
import argparse
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ORDERS = ("greedy", "forward", "reverse", "random")
ASYNC = ("lazy", "eager")
BUILDS = ("plain", "asan", "tsan")
WRONG = r"^wrong: "
RACE = r"WARNING: ThreadSanitizer: data race"
DEADLOCK = r"^EMU: deadlock"


class Run(NamedTuple):
    """A build, the order of threads, when asynchronous work is done, and what the program must say."""

    build: str
    order: str
    asynchronous: str
    message: str


def everywhere(message: str) -> list[Run]:
    return [Run("plain", order, asynchronous, message) for order, asynchronous in itertools.product(ORDERS, ASYNC)]


def plain(order: str, asynchronous: str, message: str) -> Run:
    return Run("plain", order, asynchronous, message)


def asan(message: str) -> Run:
    return Run("asan", "greedy", "lazy", message)


def tsan(asynchronous: str = "eager", message: str = RACE) -> Run:
    return Run("tsan", "greedy", asynchronous, message)


# What finds each bug. More modes may; these must.
EXPECTED: dict[str, list[Run]] = {
    "missing-barrier": [plain("greedy", "lazy", WRONG), tsan("lazy"), tsan("eager")],
    "wait-too-few": [plain(order, "lazy", WRONG) for order in ORDERS] + [asan(WRONG), tsan("lazy", WRONG)],
    "skipped-barrier": everywhere(r"^EMU: divergent barrier"),
    "other-barrier": everywhere(r"^EMU: divergent barrier"),
    "exit-before-barrier": everywhere(r"^EMU: divergent barrier: threads exited"),
    "early-refill": [plain("greedy", "eager", WRONG), tsan("eager")],
    "shared-read-overrun": everywhere(r"^EMU: ldmatrix outside shared array"),
    "shared-write-overrun": everywhere(r"^EMU: shared memory overrun: byte 0 behind array b")
    + [asan(r"ERROR: AddressSanitizer: use-after-poison")],
    "unset-shared": everywhere(WRONG),
    "array-too-large": everywhere(r"^EMU: shared array c ends"),
    "arrays-overlap": everywhere(r"^EMU: shared arrays c and a overlap"),
    "global-read-overrun": [asan(r"^EMU: global out of bounds: cp.async")],
    "global-write-overrun": [asan(r"ERROR: AddressSanitizer: heap-buffer-overflow")],
    "misaligned-ldmatrix": everywhere(r"^EMU: misaligned ldmatrix"),
    "misaligned-copy": everywhere(r"^EMU: misaligned cp.async"),
    "misaligned-vector": [asan(r"runtime error: .*misaligned address")],
    "missing-lane": everywhere(DEADLOCK + r"|^EMU: divergent warp collective"),
    "not-atomic": [tsan("lazy"), tsan("eager")],
    "shuffle-exited": everywhere(r"^EMU: warp collective: mask ffffffff names lanes that have exited"),
    "shuffle-outside": everywhere(r"^EMU: shuffle: lane \d+ is read, which is not in mask 0000ffff"),
    "shuffle-divergent": everywhere(r"^EMU: divergent warp collective"),
    "early-accumulators": everywhere(WRONG + r".*nan|^EMU: thread \d+ has ended before its wgmma"),
    "written-accumulators": everywhere(r"^EMU: wgmma: accumulator 5 was written"),
    "no-wgmma-fence": everywhere(r"^EMU: wgmma: wgmma_fence\(\) is missing"),
    "wgmma-misaligned": everywhere(r"^EMU: misaligned wgmma: matrix a"),
    "wgmma-missing-warp": everywhere(r"^EMU: wgmma: thread \d+ has issued 20 of them|^EMU: wgmma: .* issued 24 of them"),
    "bytes-too-many": everywhere(DEADLOCK),
    "bytes-too-few": everywhere(DEADLOCK + r"|^EMU: wrong mbarrier transaction count|^EMU: the block has ended before its TMA"),
    "no-empty-wait": [plain("greedy", "eager", DEADLOCK + "|^EMU: mbarrier|" + WRONG), tsan("eager", RACE + "|^EMU")],
    "early-empty": [tsan("eager"), tsan("lazy")],
    "wrong-phase": everywhere(WRONG + "|" + DEADLOCK + "|^EMU: mbarrier"),
    "no-mbar-fence": everywhere(r"^EMU: TMA load: mbar_fence\(\) is missing"),
    "no-mbar-init": everywhere(r"^EMU: .* of an mbarrier that has not been initialized"),
    "tma-misaligned": everywhere(r"^EMU: misaligned TMA load"),
    "tma-overrun": everywhere(r"^EMU: TMA load outside shared array b"),
    "no-named-barrier": [plain("greedy", "lazy", WRONG), tsan()],
    "named-barrier-count": everywhere(DEADLOCK),
}


def run(programs: Path, build: str, order: str, asynchronous: str, bug: str | None) -> tuple[int, str]:
    """Runs a program; returns its exit status and what it printed."""
    environment = dict(os.environ, EMU_ORDER=order, EMU_ASYNC=asynchronous)
    command = [str(programs / build / "planted")] + ([bug] if bug else [])
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                          check=False)
    return done.returncode, done.stdout.decode(errors="replace")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("programs", type=Path, help="folder of the builds, build/emu-check")
    programs = parser.parse_args().programs
    failures = 0

    def report(good: bool, name: str, output: str) -> None:
        nonlocal failures
        if not good:
            failures += 1
            print(f"not ok - {name}\n" + "".join(f"  # {line}\n" for line in output.splitlines()[:20]))

    names = subprocess.run([programs / "plain" / "planted", "--list"], stdout=subprocess.PIPE, check=True).stdout
    report(set(names.decode().split()) == set(EXPECTED), "every bug of planted.h has an expectation", "")
    runs = 1
    for build, order, asynchronous in itertools.product(BUILDS, ORDERS, ASYNC):
        status, output = run(programs, build, order, asynchronous, None)
        report(status == 0 and output == "right\n", f"no bug: {build}, {order}, {asynchronous}", output)
        runs += 1
    for bug, expected in EXPECTED.items():
        for build, order, asynchronous, message in expected:
            status, output = run(programs, build, order, asynchronous, bug)
            found = status != 0 and re.search(message, output, re.MULTILINE) is not None
            report(found, f"{bug}: {build}, {order}, {asynchronous}: {message}", f"status {status}\n{output}")
            runs += 1
    print(f"{len(EXPECTED)} bugs, {runs} checks, {failures} failed")
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
