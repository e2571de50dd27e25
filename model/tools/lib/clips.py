# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clips as numpy arrays, read and written by ffmpeg through pipes of rgb24.

Whatever ffmpeg reads can be read, frame by frame and unscaled in time; a folder of images is a clip too. Needs numpy
and an ffmpeg with its ffprobe beside it or on PATH.
"""
from __future__ import annotations

import functools
import os
import pathlib
import shutil
import subprocess
import tempfile
from typing import Iterable, Iterator, NamedTuple, Optional

import numpy as np

LOSSLESS = {".mkv", ".avi", ".nut"}  # these are written as FFV1
IMAGES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}
FOLDER_RATE = "25"          # frames per second of a folder of images
FOLDER_NAMES = "%08d.png"   # of the images written into a folder
# Where YUV is made of RGB and back, the matrix is named: sizes below 720 lines would get another.
TO_YUV = "scale=out_color_matrix=bt709:flags=bicubic+accurate_rnd"
TO_RGB = "scale=in_color_matrix=bt709:flags=bicubic+accurate_rnd+full_chroma_int"


class ClipError(Exception):
    """A clip that cannot be read or written; the message is one line."""


class Probe(NamedTuple):
    width: int
    height: int
    rate: str  # frames per second as a fraction


def find_ffmpeg(wanted: Optional[str] = None) -> str:
    """The ffmpeg asked for, else the one built here, else the one on PATH."""
    built = pathlib.Path(__file__).resolve().parents[3] / "build" / "bin" / "ffmpeg"
    name = wanted or (str(built) if built.exists() else "ffmpeg")
    found = shutil.which(name)
    if not found:
        raise ClipError(f"{name}: no such program")
    return found


def last_line(stderr: bytes) -> str:
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "no message"


def first_line(stderr: bytes) -> str:
    """Where the last line only says that it failed; without the name of the part of ffmpeg that speaks."""
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[0].split("] ")[-1] if lines else "no message"


def images_in(folder: str) -> list[str]:
    """The images of a folder in the order of their names."""
    found = sorted(path for path in pathlib.Path(folder).iterdir() if path.suffix.lower() in IMAGES)
    if not found:
        raise ClipError(f"{folder}: no images in this folder")
    return [str(path) for path in found]


def probe(path: str, ffmpeg: str) -> Probe:
    """Size and frame rate of the first video stream, or of the first image of a folder."""
    if os.path.isdir(path):
        return probe(images_in(path)[0], ffmpeg)._replace(rate=FOLDER_RATE)
    beside = os.path.join(os.path.dirname(ffmpeg), os.path.basename(ffmpeg).replace("ffmpeg", "ffprobe"))
    program = beside if os.path.exists(beside) else "ffprobe"
    command = [program, "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=width,height,r_frame_rate",
               "-of", "default=noprint_wrappers=1", path]
    try:
        result = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise ClipError(f"{program}: no such program") from None
    if result.returncode:
        raise ClipError(last_line(result.stderr))
    values = dict(line.split("=", 1) for line in result.stdout.decode().split() if "=" in line)
    if not {"width", "height", "r_frame_rate"} <= set(values):
        raise ClipError(f"{path}: no video stream")
    return Probe(int(values["width"]), int(values["height"]), values["r_frame_rate"])


def _decode(path: str, ffmpeg: str, width: int, height: int, filters: list[str]) -> Iterator[np.ndarray]:
    command = [ffmpeg, "-v", "error", "-nostdin", "-noautorotate", "-i", path, "-map", "0:v:0", *filters, "-fps_mode",
               "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    # a file, not a pipe, for the messages: a damaged clip can have more of them than a pipe holds
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as process:
        try:
            while True:
                data = process.stdout.read(width * height * 3)
                if len(data) < width * height * 3:
                    break
                yield np.frombuffer(data, np.uint8).reshape(height, width, 3)
            process.wait()
            log.seek(0)
            message = log.read()
        finally:
            if process.poll() is None and process.stdout.read(1):
                process.kill()  # the reader does not want the rest
    if data or process.returncode:
        raise ClipError(f"{path}: {last_line(message)}")


def read_frames(path: str, ffmpeg: str, size: Optional[tuple[int, int]] = None) -> Iterator[np.ndarray]:
    """The frames of a clip or of a folder of images, H x W x 3 uint8, each once, whatever its duration.

    They are scaled (Lanczos) to size (width, height) if one is given; otherwise all must have the size of the first.
    """
    width, height = size or probe(path, ffmpeg)[:2]
    chain = ["-vf", f"scale={width}:{height}:flags=lanczos+accurate_rnd+full_chroma_int"] if size else []
    for part in images_in(path) if os.path.isdir(path) else [path]:
        if part != path and not size and probe(part, ffmpeg)[:2] != (width, height):
            raise ClipError(f"{part}: not {width}x{height} as the first image of the folder")
        yield from _decode(part, ffmpeg, width, height, chain)


def read_clip(path: str, ffmpeg: str, size: Optional[tuple[int, int]] = None,
              limit: Optional[int] = None) -> np.ndarray:
    """A whole clip, or its first `limit` frames, N x H x W x 3 uint8."""
    frames = []
    for frame in read_frames(path, ffmpeg, size):
        frames.append(frame)
        if len(frames) == limit:
            break
    if not frames:
        raise ClipError(f"{path}: no frames")
    return np.stack(frames)


def is_folder(path: str) -> bool:
    """Whether a name to be written is meant as a folder of images: it is one, or has no ending."""
    return os.path.isdir(path) or path.endswith(os.sep) or not pathlib.Path(path).suffix


def write_clip(path: str, frames: Iterable[np.ndarray], rate: str, ffmpeg: str) -> int:
    """Writes H x W x 3 uint8 frames and returns their number: lossless FFV1 into .mkv, .avi and .nut, PNGs into a
    folder, ffmpeg's choice for other endings. A file appears under its name when it is complete, and the same frames
    give the same bytes."""
    target = pathlib.Path(path)
    if is_folder(path):
        target.mkdir(parents=True, exist_ok=True)
        target = target / FOLDER_NAMES
    pattern = "%" in target.name
    partial = target if pattern else target.with_name(f".partial-{os.getpid()}-{target.name}")
    codec = ["-c:v", "ffv1", "-level", "3", "-pix_fmt", "bgr0"] if target.suffix.lower() in LOSSLESS else []
    codec += ["-start_number", "0"] if pattern else []
    try:
        count = _encode(target, partial, frames, rate, ffmpeg, codec)
        if not pattern:
            partial.replace(target)
    finally:
        if not pattern:
            partial.unlink(missing_ok=True)
    return count


def _encode(target: pathlib.Path, partial: pathlib.Path, frames: Iterable[np.ndarray], rate: str, ffmpeg: str,
            codec: list[str]) -> int:
    process, count = None, 0
    try:
        for frame in frames:
            if process is None:
                height, width = frame.shape[:2]
                process = subprocess.Popen(
                    [ffmpeg, "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}",
                     "-r", rate, "-i", "-", *codec, "-fflags", "+bitexact", "-flags", "+bitexact", str(partial)],
                    stdin=subprocess.PIPE, stderr=subprocess.PIPE)
            process.stdin.write(np.ascontiguousarray(frame).tobytes())
            count += 1
        if process is None:
            raise ClipError(f"{target}: no frames to write")
        message = process.communicate()[1]
    except BrokenPipeError:
        raise ClipError(f"{target}: {first_line(process.stderr.read())}") from None
    finally:
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode:
        raise ClipError(f"{target}: {first_line(message)}")
    return count


# FFmpeg's encoder of a codec, and the option for its quality.
CODECS = {"x264": ("libx264", "-crf"), "x265": ("libx265", "-crf"), "mpeg2": ("mpeg2video", "-q:v")}
QUIET = {"x265": ["-x265-params", "log-level=error:pools=1:frame-threads=1"]}


@functools.lru_cache(maxsize=None)
def require_encoder(ffmpeg: str, codec: str) -> None:
    """Raises ClipError where this ffmpeg has not the encoder of one of CODECS."""
    encoder = CODECS[codec][0]
    listing = subprocess.run([ffmpeg, "-v", "error", "-encoders"], capture_output=True, check=False,
                             stdin=subprocess.DEVNULL).stdout
    if f" {encoder} ".encode() not in listing:
        raise ClipError(f"{ffmpeg}: has no {encoder}, which compression needs")


def require_x264(ffmpeg: str) -> None:
    require_encoder(ffmpeg, "x264")


def compressed(frames: Iterable[np.ndarray], quality: int, ffmpeg: str, preset: str = "medium", rate: str = "25",
               codec: str = "x264") -> Iterator[np.ndarray]:
    """Frames, H x W x 3 uint8, as one of CODECS gives them back in 4:2:0; quality is its crf, or q. Odd sizes are
    padded by their edge meanwhile."""
    encoder, option = CODECS[codec]
    encode = ["-vf", TO_YUV, "-c:v", encoder, *([] if codec == "mpeg2" else ["-preset", preset]), *QUIET.get(codec, []),
              "-threads", "1", "-pix_fmt", "yuv420p", option, str(quality), "-f", "matroska"]
    require_encoder(ffmpeg, codec)
    size = None

    def even() -> Iterator[np.ndarray]:
        nonlocal size
        for frame in frames:
            size = frame.shape[:2]
            yield np.pad(frame, ((0, size[0] % 2), (0, size[1] % 2), (0, 0)), mode="edge")

    with tempfile.TemporaryDirectory(prefix="selfblindvsr-") as folder:
        coded = pathlib.Path(folder) / "coded.mkv"
        _encode(coded, coded, even(), rate, ffmpeg, encode)
        height, width = size
        for frame in _decode(str(coded), ffmpeg, width + width % 2, height + height % 2, ["-vf", TO_RGB]):
            yield frame[:height, :width]
