"""What the tests of the filter share: the FFmpegs they run, tiny models, raw pictures.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

TOP = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TOP / folder) for folder in ("model/tools", "model/training", "tests/support")]
from lib import model_file  # noqa: E402

ALL_SERIES = subprocess.run([TOP / "build-aux/series.sh"], capture_output=True, text=True, check=True).stdout.split()
VERSION = re.findall(r"define SBV_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)",
                     (TOP / "model/include/selfblindvsr.h").read_text())
SONAME = "libselfblindvsr.so." + (".".join(VERSION[:2]) if VERSION[0] == "0" else VERSION[0])
SERIES = tuple(os.environ.get("SBV_SERIES", f"{ALL_SERIES[0]} {ALL_SERIES[-1]}").split())  # that run the filter
TIMEOUT = 600  # seconds: ends a program that hangs; far above what any takes on a loaded machine
TINT = (0.12, -0.08, 0.04)  # R, G, B


def no_gpu_code() -> str:
    """Why the library has no kernels for GPUs, "" if it has some."""
    settings = (TOP / "config.mak").read_text()
    if re.search("^CONFIG_CUDA := no$", settings, re.M):
        return "the library was configured without CUDA"
    return "" if re.search("^CUDA_COMPILER := .", settings, re.M) else "configure found no CUDA compiler"


class Packet(NamedTuple):
    """A line of the framecrc muxer; times in units of the stream's time base."""
    stream: int
    dts: int
    pts: int
    duration: int
    size: int
    checksum: str


@dataclass(frozen=True)
class FFmpeg:
    """One of the FFmpegs the filter was built into."""
    series: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)  # besides that of the tests

    def run(self, *arguments: str | Path, data: bytes | None = None, program: str = "ffmpeg",
            before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[bytes]:
        """Runs it, silent but for errors unless the arguments say otherwise."""
        command = [*before, self.folder / program, "-hide_banner", "-v", "error", *arguments]
        return subprocess.run([str(word) for word in command], input=data, capture_output=True, timeout=TIMEOUT,
                              check=False, env={**os.environ, **self.environment},
                              **({} if data is not None else {"stdin": subprocess.DEVNULL}))

    def output(self, *arguments: str | Path, data: bytes | None = None) -> bytes:
        """What it writes to standard output. It must succeed and have nothing to say."""
        done = self.run(*arguments, data=data)
        assert done.returncode == 0 and not done.stderr, f"status {done.returncode}\n{done.stderr.decode()}"
        return done.stdout

    def packets(self, *arguments: str | Path, data: bytes | None = None) -> list[Packet]:
        """Output packets by framecrc."""
        text = self.output(*arguments, "-f", "framecrc", "-", data=data).decode()
        rows = [line.split(",") for line in text.splitlines() if not line.startswith("#")]
        return [Packet(*(int(word) for word in row[:5]), row[5].strip()) for row in rows]

    def log(self, *arguments: str | Path, data: bytes | None = None, level: str = "verbose") -> str:
        """What it logs at a level, writing frames nowhere. It must succeed."""
        done = self.run("-v", level, *arguments, "-f", "null", "-", data=data)
        assert done.returncode == 0, done.stderr.decode()
        return done.stderr.decode()


@pytest.fixture(params=SERIES, ids=lambda series: f"ffmpeg-{series}", scope="session")
def ffmpeg(request: pytest.FixtureRequest) -> FFmpeg:
    """Each FFmpeg the filter is run on. A series that the archive has dropped is skipped, one not built a failure."""
    folder = TOP / f"build/lean-{request.param}"
    if (folder / "SKIPPED").exists():
        pytest.skip(f"FFmpeg {request.param}: {(folder / 'SKIPPED').read_text().strip()}")
    assert (folder / "ffmpeg").exists(), f"{folder}/ffmpeg is missing: make lean-{request.param}"
    return FFmpeg(request.param, folder)


@pytest.fixture(scope="session")
def ffmpegs() -> list[FFmpeg]:
    """All FFmpegs that were not skipped, for comparisons between them."""
    found = [FFmpeg(series, TOP / f"build/lean-{series}") for series in SERIES]
    return [each for each in found if not (each.folder / "SKIPPED").exists()]


def tiny_tensors(scale: int, tail: float, seed: int = 1, features: int = 4) -> dict[str, np.ndarray]:
    """A whole network, narrow: a window of five frames, a pyramid of two levels. `tail` is the gain of the last layer:
    with 0 what comes out is the bilinear enlargement of the center frame."""
    rng = np.random.RandomState(seed)
    tensors: dict[str, np.ndarray] = {}

    def convolution(name: str, inputs: int, outputs: int, gain: float = 1.0) -> None:
        weights = rng.standard_normal((outputs, inputs, 3, 3)) * gain * np.sqrt(1 / (9 * inputs))
        tensors[f"{name}.weight"] = weights.astype(np.float32)
        tensors[f"{name}.bias"] = (0.1 * gain * rng.standard_normal(outputs)).astype(np.float32)

    convolution("in_conv.0", 3, features, 2)
    for block in ("extra_feat.0", "recons_net.0"):
        convolution(f"{block}.conv1", features, features)
        convolution(f"{block}.conv2", features, features, 0.5)
    convolution("fusion_conv.0", 5 * features, features)
    for step in range(scale // 2):
        convolution(f"upsample_layers.{2 * step}", features, 4 * features)
    convolution("out_conv.0", features, features)
    convolution("out_conv.1", features, 3, tail)

    flow, width = "flow_net.moduleNetwork", 4
    for level, inputs in (("moduleOne", 3), ("moduleTwo", width)):
        for index in (0, 2, 4):
            convolution(f"{flow}.moduleExtractor.{level}.{index}", width if index else inputs, width, 1.5)
    channels = 81
    for layer in ("moduleOne", "moduleTwo", "moduleThr", "moduleFou", "moduleFiv"):
        convolution(f"{flow}.moduleTwo.{layer}.0", channels, width, 1.5)
        channels += width
    convolution(f"{flow}.moduleTwo.moduleSix.0", channels, 2, 0.2)
    for index in range(7):
        last = index == 6
        convolution(f"{flow}.moduleRefiner.moduleMain.{2 * index}", width if index else channels, 2 if last else width,
                    0.2 if last else 1.5)
    return tensors


def kernel_tensors(side: int = 13, seed: int = 1, features: int = 4) -> dict[str, np.ndarray]:
    """A narrow kernel network for a window of five frames. Its kernels are about a Gaussian of 1.5 pixels in the middle
    of a block, and differ with the frames."""
    rng = np.random.RandomState(seed)
    tensors: dict[str, np.ndarray] = {}

    def layer(name: str, outputs: int, inputs: int, *size: int) -> None:
        weights = rng.standard_normal((outputs, inputs, *size)) / np.sqrt(inputs * np.prod(size))
        tensors[f"kernel_net.{name}.weight"] = weights.astype(np.float32)
        tensors[f"kernel_net.{name}.bias"] = np.zeros(outputs, np.float32)

    layer("in_conv", features, 15, 3, 3)
    for block in ("body1.0", "body1.1", "body2.0", "body2.1"):
        layer(f"{block}.body.0", features, features, 3, 3)
        layer(f"{block}.body.2", features, features, 3, 3)
        layer(f"{block}.body.3.conv_du.0", 2, features, 1, 1)
        layer(f"{block}.body.3.conv_du.2", features, 2, 1, 1)
    layer("body2.2", features, features, 3, 3)
    layer("body2.3", 1, features, 3, 3)
    layer("fc_net.0", 2 * side, side ** 2)
    layer("fc_net.1", side ** 2, 2 * side)
    y, x = np.indices((side, side)) - side // 2 - 1.5
    tensors["kernel_net.fc_net.1.bias"] = (-(x * x + y * y) / (2 * 1.5 ** 2)).ravel().astype(np.float32)
    return tensors


def modulation_tensors(seed: int = 1, features: int = 4, layers: int = 3) -> dict[str, np.ndarray]:
    """A narrow modulation of the layers of tiny_tensors(): gains of about 0.5 to 1.5 that differ much with the frames."""
    rng = np.random.RandomState(seed)
    tensors: dict[str, np.ndarray] = {}

    def linear(name: str, outputs: int, inputs: int, gain: float) -> None:
        weights = rng.standard_normal((outputs, inputs)) * gain / np.sqrt(inputs)
        tensors[f"{name}.weight"] = weights.astype(np.float32)
        tensors[f"{name}.bias"] = (0.1 * gain * rng.standard_normal(outputs)).astype(np.float32)

    linear("modulation.0", 6, 7, 2)
    linear("modulation.1", 6, 6, 2)
    linear("modulation.2", layers * features, 6, 0.5)
    linear("degradation_net.0", 5, 16, 1)
    linear("degradation_net.1", 7, 5, 1)
    tensors["degradation_net.neutral"] = np.array([0.9, 0.8, 0.7, 0.5, 0.3, 0.5, 0.2], np.float32)
    tensors["degradation_net.probe"] = np.array([0.6, 0.3, 0.1, 0.0, 0.0, 0.1, 0.1], np.float32)
    return tensors


@dataclass(frozen=True)
class Models:
    """Model files for the tests."""
    random: Path   # random weights, times 4: a picture that depends on all five frames
    plain: Path    # a tail of zeros, times 4: the bilinear enlargement of the center frame
    tinted: Path   # as plain, with TINT added
    double: Path   # random weights, times 2
    topleft: Path  # as plain, but its metadata says that its samples sit at the top left
    kernel: Path   # random weights of which the picture shows little, and a kernel network
    modulated: Path  # random weights, a kernel network, and a modulation by the degradation; the others have none


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("models")

    def write(name: str, tensors: dict[str, np.ndarray], phase: str = "center") -> Path:
        path = folder / f"{name}.bin"
        model_file.write(path, tensors, {"name": f"tiny {name}", "licence": "CC0", "phase": phase})
        return path

    plain = tiny_tensors(4, 0)
    tinted = {**plain, "out_conv.1.bias": np.array(TINT, np.float32)}
    return Models(write("random", tiny_tensors(4, 0.5)), write("plain", plain), write("tinted", tinted),
                  write("double", tiny_tensors(2, 0.5)), write("topleft", plain, "topleft"),
                  write("kernel", {**tiny_tensors(4, 0.05), **kernel_tensors()}),
                  write("modulated", {**tiny_tensors(4, 0.2), **kernel_tensors(), **modulation_tensors()}))


def modulated_without_biases(models: Models, folder: Path) -> Path:
    """A modulated model that makes black of black, so that nothing can be told from it."""
    tensors, metadata = model_file.read(models.modulated)
    for name, values in tensors.items():
        if name.endswith("bias") and not name.startswith(("modulation.", "degradation_net.", "kernel_net.")):
            values[:] = 0
    model_file.write(folder / "without-biases.bin", tensors, metadata)
    return folder / "without-biases.bin"


def without_x264(program: str, folder: Path) -> str:
    """An ffmpeg that lists its encoders as one that was built without x264."""
    path = folder / "without-x264/ffmpeg"
    path.parent.mkdir()
    path.with_name("ffprobe").symlink_to(Path(program).with_name("ffprobe"))
    path.write_text(f"""#!/bin/sh
case "$*" in
*-encoders*) "{program}" "$@" | sed "/ libx264 /d" ;;
*) exec "{program}" "$@" ;;
esac
""")
    path.chmod(0o755)
    return str(path)


def raw(pix_fmt: str, width: int, height: int, *, rate: int = 25) -> tuple[str, ...]:
    """Input arguments: raw frames from standard input."""
    return ("-f", "rawvideo", "-pix_fmt", pix_fmt, "-s", f"{width}x{height}", "-r", str(rate), "-i", "-")


def noise(frames: int, size: int, seed: int = 1) -> bytes:
    """Frames of `size` random bytes, each different from the others."""
    return np.random.RandomState(seed).randint(0, 256, frames * size, dtype=np.uint8).tobytes()


def texture(frames: int, width: int, height: int, seed: int = 1) -> bytes:
    """yuv420p frames of a smooth random pattern that moves and changes."""
    rng = np.random.RandomState(seed)
    phase, speed = rng.uniform(0, 6, (3, 4)), rng.uniform(0.2, 1, (3, 4))
    wave = rng.uniform(0.2, 0.9, (3, 4, 2))
    data = bytearray()
    for time in range(frames):
        for plane in range(3):
            h, w = (height, width) if plane == 0 else ((height + 1) // 2, (width + 1) // 2)
            y, x = np.mgrid[0:h, 0:w]
            waves = [np.sin(phase[plane, i] + speed[plane, i] * time + wave[plane, i, 0] * x + wave[plane, i, 1] * y)
                     for i in range(4)]
            data += (128 + 22 * sum(waves)).astype(np.uint8).tobytes()
    return bytes(data)
