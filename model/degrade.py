#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Make the low-resolution clip that a model is trained or measured on from a sharp one.

The degradation is that of the Self-Blind-VSR paper's "Gaussian" set: blur, take every scale-th sample, round to
8 bits. The samples sit on the top-left pixel of each block ("topleft", as in the paper's data) or in its middle
("center", where scalers and cameras put them). Needs numpy and an ffmpeg (with its ffprobe beside it), which reads and
writes the clips through pipes of rgb24.
"""
from __future__ import annotations

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Iterable, Iterator, NamedTuple, Optional

import numpy as np

PHASES = ("center", "topleft")
LOSSLESS = {".mkv", ".avi", ".nut"}  # these are written as FFV1


class ClipError(Exception):
    """A clip that cannot be read or written; the message is one line."""


class Probe(NamedTuple):
    width: int
    height: int
    rate: str  # frames per second as a fraction


def find_ffmpeg(wanted: Optional[str] = None) -> str:
    """The ffmpeg asked for, else the one built here, else the one on PATH."""
    built = pathlib.Path(__file__).resolve().parent.parent / "build" / "bin" / "ffmpeg"
    name = wanted or (str(built) if built.exists() else "ffmpeg")
    found = shutil.which(name)
    if not found:
        raise ClipError(f"{name}: no such program")
    return found


def last_line(stderr: bytes) -> str:
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "no message"


def probe(path: str, ffmpeg: str) -> Probe:
    """Size and frame rate of the first video stream."""
    beside = os.path.join(os.path.dirname(ffmpeg), os.path.basename(ffmpeg).replace("ffmpeg", "ffprobe"))
    program = beside if os.path.exists(beside) else "ffprobe"
    command = [program, "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=width,height,r_frame_rate",
               "-of", "default=noprint_wrappers=1", path]
    try:
        result = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        raise ClipError(f"{program}: no such program") from None
    if result.returncode:
        raise ClipError(last_line(result.stderr))
    values = dict(line.split("=", 1) for line in result.stdout.decode().split() if "=" in line)
    if not {"width", "height", "r_frame_rate"} <= set(values):
        raise ClipError(f"{path}: no video stream")
    return Probe(int(values["width"]), int(values["height"]), values["r_frame_rate"])


def read_frames(path: str, ffmpeg: str, size: Optional[tuple[int, int]] = None) -> Iterator[np.ndarray]:
    """The frames of a clip, H x W x 3 uint8, scaled (Lanczos) to size (width, height) if one is given."""
    width, height = size or probe(path, ffmpeg)[:2]
    scaler = ["-vf", f"scale={width}:{height}:flags=lanczos+accurate_rnd+full_chroma_int"] if size else []
    command = [ffmpeg, "-v", "error", "-noautorotate", "-i", path, "-map", "0:v:0", *scaler, "-f", "rawvideo",
               "-pix_fmt", "rgb24", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while True:
            data = process.stdout.read(width * height * 3)
            if len(data) < width * height * 3:
                break
            yield np.frombuffer(data, np.uint8).reshape(height, width, 3)
        message = process.stderr.read()
    if data or process.returncode:
        raise ClipError(f"{path}: {last_line(message)}")


def read_clip(path: str, ffmpeg: str, size: Optional[tuple[int, int]] = None) -> np.ndarray:
    """A whole clip, N x H x W x 3 uint8."""
    frames = list(read_frames(path, ffmpeg, size))
    if not frames:
        raise ClipError(f"{path}: no frames")
    return np.stack(frames)


def write_clip(path: str, frames: Iterable[np.ndarray], rate: str, ffmpeg: str) -> int:
    """Writes H x W x 3 uint8 frames and returns their number: lossless FFV1 into .mkv, .avi and .nut, ffmpeg's choice
    for other endings. The file appears under its name when it is complete."""
    target = pathlib.Path(path)
    pattern = "%" in target.name
    partial = target if pattern else target.with_name(f".partial-{os.getpid()}-{target.name}")
    codec = ["-c:v", "ffv1", "-level", "3", "-pix_fmt", "bgr0"] if target.suffix.lower() in LOSSLESS else []
    process, count = None, 0
    try:
        for frame in frames:
            if process is None:
                height, width = frame.shape[:2]
                process = subprocess.Popen(
                    [ffmpeg, "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}",
                     "-r", rate, "-i", "-", *codec, str(partial)], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
            process.stdin.write(np.ascontiguousarray(frame).tobytes())
            count += 1
        if process is None:
            raise ClipError(f"{path}: no frames to write")
        message = process.communicate()[1]
        if process.returncode:
            raise ClipError(f"{path}: {last_line(message)}")
        if not pattern:
            partial.replace(target)
    except BrokenPipeError:
        raise ClipError(f"{path}: {last_line(process.stderr.read())}") from None
    finally:
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()
        if not pattern:
            partial.unlink(missing_ok=True)
    return count


def gaussian_taps(sigma: float, phase: str, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Offsets of the pixels that sample 0 is made of, and their weights, along one axis."""
    centre = 0.0 if phase == "topleft" else (scale - 1) / 2
    radius = int(np.ceil(3 * sigma))
    offsets = np.arange(int(np.floor(centre)) - radius, int(np.ceil(centre)) + radius + 1)
    weights = np.exp(-(offsets - centre) ** 2 / (2 * sigma ** 2))
    return offsets, (weights / weights.sum()).astype(np.float32)


def decimate(image: np.ndarray, axis: int, offsets: np.ndarray, weights: np.ndarray, scale: int) -> np.ndarray:
    """Filters and subsamples along one axis; pixels outside are those of the edge."""
    size = image.shape[axis]
    starts = np.arange(0, size, scale)
    total = 0.0
    for offset, weight in zip(offsets, weights):
        total = total + np.take(image, np.clip(starts + offset, 0, size - 1), axis) * weight
    return total


def gaussian_degrade(frames: np.ndarray, sigma: float, phase: str = "center", scale: int = 4) -> np.ndarray:
    """Blurs, subsamples and rounds: ... x H x W x 3 uint8 to ... x ceil(H/scale) x ceil(W/scale) x 3 uint8."""
    if phase not in PHASES:
        raise ValueError(f"phase {phase!r}: expected one of {', '.join(PHASES)}")
    taps = gaussian_taps(sigma, phase, scale)
    rows = decimate(frames.astype(np.float32), -3, *taps, scale)
    return np.rint(decimate(rows, -2, *taps, scale)).clip(0, 255).astype(np.uint8)


def add_degradation(parser: argparse.ArgumentParser) -> None:
    """The options that say what the degradation is."""
    parser.add_argument("--sigma", type=number_in(0.1, 20.0), default=1.2, help="of the blur, sharp pixels")
    parser.add_argument("--phase", choices=PHASES, default="center", help="where in its block a sample sits")
    parser.add_argument("--ffmpeg", help="ffmpeg to use; default: build/bin/ffmpeg, else the one on PATH")


def number_in(low: float, high: float):
    """An argparse type: a number in low..high."""
    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not within {low:g} to {high:g}")
        return value
    return convert


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("input", metavar="IN", help="sharp clip")
    parser.add_argument("output", metavar="OUT", help="clip to write; .mkv, .avi and .nut are lossless")
    parser.add_argument("--scale", type=int, choices=range(1, 9), default=4, help="how many times smaller")
    add_degradation(parser)
    args = parser.parse_args()
    try:
        ffmpeg = find_ffmpeg(args.ffmpeg)
        rate = probe(args.input, ffmpeg).rate
        frames = (gaussian_degrade(frame, args.sigma, args.phase, args.scale)
                  for frame in read_frames(args.input, ffmpeg))
        count = write_clip(args.output, frames, rate, ffmpeg)
    except ClipError as error:
        print(f"degrade: {error}", file=sys.stderr)
        return 1
    print(f"{args.output}: {count} frames")
    return 0


if __name__ == "__main__":
    sys.exit(main())
