#!/usr/bin/env python3
"""Shows what the filter does, with the ffmpeg of the build folder.

With --input, a clip, a picture or a folder of pictures is restored, sound and subtitles kept. Without, a moving scene is
drawn, blurred and reduced to a quarter of its width and height, restored, and compared with the original; a picture of
it all is written.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

try:
    import numpy as np
except ImportError:
    sys.exit("demo: NumPy is needed (python3-numpy, or https://numpy.org)")

from lib.blur import gaussian_degrade
from lib.clips import ClipError
from evaluate import evaluate, print_table
from lib.program import finish
from lib.restoring import restore
from lib.scalers import filter_argument, through_filter

BUILD = Path(__file__).resolve().parents[2] / "build"

SCALE = 4
SIGMA = 1.2
FRAMES, HEIGHT, WIDTH = 20, 384, 640

# Five columns of seven dots a letter, the top dot in the lowest bit.
FONT = {
    "A": "7c1211127c", "B": "7f49494936", "C": "3e41414122", "D": "7f4141413e", "E": "7f49494941", "F": "7f09090901",
    "G": "3e41415173", "H": "7f0808087f", "I": "00417f4100", "K": "7f08142241", "L": "7f40404040", "M": "7f021c027f",
    "N": "7f0408107f", "O": "3e4141413e", "P": "7f09090906", "R": "7f09192946", "S": "2649494932", "T": "03017f0103",
    "U": "3f4040403f", "V": "1f2040201f", "X": "6314081463", "Y": "0304780403", "4": "1814127f10", " ": "0000000000",
}


def text_mask(text: str, dot: int = 1) -> np.ndarray:
    """The text as a mask of floats, `dot` pixels a dot, with a margin of one dot."""
    columns = [0]
    for letter in text:
        columns += list(bytes.fromhex(FONT[letter])) + [0]
    bits = np.array([[column >> row & 1 for column in columns] for row in range(7)], np.float32)
    return np.pad(bits, ((1, 1), (0, 0))).repeat(dot, axis=0).repeat(dot, axis=1)


def draw_text(picture: np.ndarray, x: int, y: int, text: str, dot: int, ink: float, paper: tuple[float, ...]) -> None:
    mask = text_mask(text, dot)[..., None]
    h, w, _ = mask.shape
    picture[y:y + h, x:x + w] = mask * ink + (1 - mask) * np.array(paper, np.float32)


def draw_world() -> np.ndarray:
    """A wall with windows, tiles, railings, signs and a round ornament, in [0, 1], larger than a frame of the scene."""
    h, w = 420, 700
    rng = np.random.default_rng(5)
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)

    row = (y // 14).astype(int)
    column = ((x + 16 * (row % 2)) // 32).astype(int)
    shade = rng.uniform(0.75, 1.1, (row.max() + 1, column.max() + 1)).astype(np.float32)[row, column]
    mortar = ((y % 14) < 2) | (((x + 16 * (row % 2)) % 32) < 2)
    wall = np.array([0.62, 0.36, 0.27], np.float32) * shade[..., None]
    world = np.where(mortar[..., None], np.float32(0.7), wall)
    world += rng.normal(0, 0.02, (h, w, 1)).astype(np.float32)

    for top in range(60, h - 110, 170):
        for left in range(40, w - 90, 130):
            world[top:top + 100, left:left + 72] = 0.9
            glass = np.linspace(0.15, 0.6, 88, dtype=np.float32)[:, None, None] * np.array([0.7, 0.9, 1.1], np.float32)
            world[top + 6:top + 94, left + 6:left + 66] = glass
            world[top + 48:top + 52, left:left + 72] = 0.9
            world[top:top + 100, left + 34:left + 38] = 0.9
            blind = ((y // 3) % 2 == 0)[top + 6:top + 46, left + 6:left + 34]
            world[top + 6:top + 46, left + 6:left + 34][blind] = 0.75

    railing = ((x % 9) < 3)[270:310]
    world[270:310][railing] = (0.1, 0.12, 0.14)
    world[266:271] = world[309:314] = (0.1, 0.12, 0.14)
    for i, text in enumerate(["CAFE MONTPARNASSE TABAC", "SELF BLIND VSR", "TEXTURE EDGES", "HOTEL LUNA"] * 2):
        draw_text(world, 30 + 170 * (i % 4), 168 + 190 * (i // 4), text, 1 + i % 2, 0.05, (0.95, 0.9, 0.7))

    radius = np.hypot(x - 340, y - 230)
    angle = np.arctan2(y - 230, x - 340)
    rays = 0.5 + 0.45 * np.sign(np.sin(12 * angle)) * np.sign(np.sin(radius / 7))
    world[radius < 46] = (rays[..., None] * np.array([1.0, 0.85, 0.45], np.float32))[radius < 46]
    return world.clip(0, 1)


def sample(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bilinear samples of an image at positions inside it."""
    left, top = x.astype(np.int32), y.astype(np.int32)
    a, b = (x - left)[..., None], (y - top)[..., None]
    upper = image[top, left] * (1 - a) + image[top, left + 1] * a
    lower = image[top + 1, left] * (1 - a) + image[top + 1, left + 1] * a
    return upper * (1 - b) + lower * b


def draw_scene() -> np.ndarray:
    """The world seen by a camera that pans, turns and comes nearer: frames of 8-bit RGB. Four samples a pixel."""
    world = draw_world()
    frames = np.empty((FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    grid_y, grid_x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    for t in range(FRAMES):
        zoom, turn = 0.66 - 0.003 * t, 0.03 - 0.003 * t
        center_x, center_y = 310 + 1.9 * t, 212 + 1.3 * np.sin(t / 3)
        total = np.zeros((HEIGHT, WIDTH, 3), np.float32)
        for dy in (0.25, 0.75):
            for dx in (0.25, 0.75):
                u, v = (grid_x + dx - WIDTH / 2) * zoom, (grid_y + dy - HEIGHT / 2) * zoom
                x = center_x + u * np.cos(turn) - v * np.sin(turn)
                y = center_y + u * np.sin(turn) + v * np.cos(turn)
                total += sample(world, x.astype(np.float32), y.astype(np.float32))
        frames[t] = np.rint(total / 4 * 255)
    return frames


def write_picture(ffmpeg: Path, path: Path, columns: list[tuple[str, np.ndarray]]) -> None:
    """A part of each picture side by side, twice as large, under its name."""
    side = 192
    panels = []
    for name, picture in columns:
        top, left = 110, (WIDTH - side) // 2
        part = picture[top:top + side, left:left + side].repeat(2, axis=0).repeat(2, axis=1)
        title = np.full((28, 2 * side, 3), 24, np.uint8)
        mask = text_mask(name, 2) > 0
        title[5:5 + mask.shape[0], 6:6 + mask.shape[1]][mask] = 255
        panels += [np.concatenate([title, part]), np.full((28 + 2 * side, 6, 3), 24, np.uint8)]
    sheet = np.concatenate(panels[:-1], axis=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.stem + ".part" + path.suffix)
    command = [ffmpeg, "-v", "error", "-nostdin", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24",
               "-s", f"{sheet.shape[1]}x{sheet.shape[0]}", "-i", "pipe:0", "-frames:v", "1", "-update", "1", new]
    if subprocess.run(command, input=sheet.tobytes(), check=False).returncode != 0:
        new.unlink(missing_ok=True)
        raise ClipError(f"{path} cannot be written")
    os.replace(new, path)


def restore_scene(ffmpeg: Path, filters: str, path: Path) -> None:
    seconds = 0.0

    def restore(low: np.ndarray) -> np.ndarray:
        nonlocal seconds
        print(f"A scene of {FRAMES} frames, {WIDTH}x{HEIGHT}, was blurred (sigma {SIGMA}) and reduced to "
              f"{low.shape[2]}x{low.shape[1]}; restoring it.", flush=True)
        begin = time.monotonic()
        restored = through_filter(low, filters, SCALE, str(ffmpeg))
        seconds = time.monotonic() - begin
        return restored

    sharp = draw_scene()
    low = gaussian_degrade(sharp, SIGMA, "center", SCALE)
    figures, clips = evaluate(sharp, low, SCALE, str(ffmpeg), "center", {"model": restore}, ["bicubic"])
    print(f"Restored in {seconds:.1f} s, {FRAMES / seconds:.1f} frames/s.")
    print_table({"scene": figures})
    low, bicubic, restored, sharp = (clips[name][FRAMES // 2] for name in ("low", "bicubic", "model", "sharp"))
    nearest = low.repeat(SCALE, axis=0).repeat(SCALE, axis=1)
    write_picture(ffmpeg, path, [("INPUT", nearest), ("BICUBIC X4", bicubic), ("SELFBLINDVSR X4", restored),
                                 ("ORIGINAL", sharp)])
    print(f"Side by side: {os.path.relpath(path)}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0],
                                     epilog="Without --input a scene is drawn, degraded, restored and measured.")
    parser.add_argument("--input", type=Path, metavar="CLIP", help="clip, picture or folder of pictures to restore")
    parser.add_argument("--output", type=Path, metavar="FILE",
                        help="what is restored (default: CLIP's name with -x4 in it, in the current folder), "
                             "or the picture of the drawn scene (default: build/demo.png)")
    parser.add_argument("--model", metavar="MODEL", help="name of an installed model, or a model file (default: default)")
    parser.add_argument("--ffmpeg", type=Path, default=BUILD / "bin/ffmpeg", help="ffmpeg with the filter in it")
    return parser.parse_args()


def run(arguments: argparse.Namespace) -> None:
    filters = "selfblindvsr" + (f"=model={filter_argument(arguments.model)}" if arguments.model else "")
    if not arguments.ffmpeg.is_file():
        raise ClipError(f"there is no {arguments.ffmpeg}: run make first")
    if arguments.input:
        restore(arguments.ffmpeg.resolve(), filters, arguments.input, arguments.output)
    else:
        restore_scene(arguments.ffmpeg, filters, arguments.output or BUILD / "demo.png")


def main() -> int:
    arguments = parse()
    return finish("demo", lambda: run(arguments), ClipError)


if __name__ == "__main__":
    sys.exit(main())
