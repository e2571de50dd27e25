#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pack training material into one folder of limited size, for a machine to which nothing can be fetched.

Photographs are halved and stored as WebP, as many as there is room for, spread over all that are found; windows through
x264 are made from them and from the clips. MANIFEST.tsv names what was taken, with the rows of the MANIFEST.tsv files
beside the sources.
"""
from __future__ import annotations

import argparse
import pathlib
import sys
from typing import Optional, Sequence

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "tools"))
try:
    import torch
except ImportError:
    sys.exit("pack_material: PyTorch is needed (python3-torch, or https://pytorch.org)")

from coded_windows import TOGETHER, draw_coded, write_window
from degrade import number_in
from device_set import DeviceSet, Material, load_still
from lib.clips import ClipError, find_ffmpeg, require_x264
from lib.program import finish
from material import CODED, listed, load_clips
from training import say
from trainset import CLIPS, STILLS

QUALITY = 90
LEAST_SIDE = 400      # of a halved photograph: a region of a window of 64 must fit
SOURCES_OF_CODED = 80  # photographs that coded windows are made from


def spread(items: Sequence[pathlib.Path], count: int) -> list[pathlib.Path]:
    """`count` of them at equal distances, or all."""
    count = min(count, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def pack_coded(args: argparse.Namespace, stills: Sequence[pathlib.Path], clips: Sequence[pathlib.Path]) -> int:
    """Returns the bytes written."""
    device, ffmpeg = torch.device("cpu"), find_ffmpeg(args.ffmpeg)
    require_x264(ffmpeg)
    pictures = [picture for path in spread(stills, SOURCES_OF_CODED) for picture in load_still(path)]
    real = load_clips(clips, args.clip_frames, args.cache, ffmpeg, device)
    data = DeviceSet(Material(pictures, real), args.patch, device, args.seed)
    total, index = 0, 0
    while index < args.windows:
        for window in zip(*draw_coded(data, ffmpeg)):
            total += write_window(args.output / CODED, index, *window)
            index += 1
    return total


def pack_photographs(folder: pathlib.Path, stills: Sequence[pathlib.Path], room: int) -> list[pathlib.Path]:
    """Halved, spread over all, as many as there is room for. Returns those taken."""
    from PIL import Image
    taken: list[pathlib.Path] = []
    order = [path for stride in range(4) for path in stills[stride::4]]
    for path in order:
        with Image.open(path) as picture:
            half = picture.convert("RGB").reduce(2)
        if min(half.size) < LEAST_SIDE:
            continue
        target = folder / f"{path.stem}.webp"
        half.save(target, quality=QUALITY, method=4)
        size = target.stat().st_size
        if size > room:
            target.unlink()
            break
        room -= size
        taken.append(path)
    return taken


def pack_manifest(folder: pathlib.Path, taken: Sequence[pathlib.Path]) -> None:
    """The header and the rows that the manifests beside the sources have of what was taken."""
    names, lines = {path.name for path in taken}, []
    for source in dict.fromkeys(path.parent for path in taken):
        manifest = source / "MANIFEST.tsv"
        if manifest.exists():
            header, *rows = manifest.read_text(encoding="utf-8").splitlines()
            lines += [header] + [row for row in rows if row.split("\t")[0] in names]
    (folder / "MANIFEST.tsv").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def run(args: argparse.Namespace) -> None:
    if args.output.exists() and any(args.output.iterdir()):
        raise ClipError(f"{args.output}: not empty")
    stills, clips = listed(args.material, STILLS), listed(args.material, CLIPS)
    if not stills:
        raise ClipError(f"{args.material[0]}: no photographs in there")
    args.output.mkdir(parents=True, exist_ok=True)
    coded = pack_coded(args, stills, clips) if args.windows else 0
    room = int(args.mebibytes * (1 << 20)) - coded
    taken = pack_photographs(args.output, stills, room)
    if not taken:
        raise ClipError(f"--mebibytes {args.mebibytes:g}: no room for a photograph beside {args.windows} coded windows")
    pack_manifest(args.output, [*taken, *clips])
    total = sum(path.stat().st_size for path in args.output.rglob("*") if path.is_file())
    say(f"{args.output}: {len(taken)} of {len(stills)} photographs, {args.windows} coded windows, "
        f"{total / (1 << 20):.1f} MiB")


def parse(arguments: Optional[list[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    whole, some = number_in(1, 10 ** 9, int), number_in(0, 10 ** 5, int)
    add = parser.add_argument
    add("material", type=pathlib.Path, nargs="+", metavar="DIR", help="folders with photographs and clips")
    add("--output", type=pathlib.Path, required=True, metavar="DIR", help="folder to write, new or empty")
    add("--mebibytes", type=number_in(0.1, 10 ** 6), default=38, help="size of the folder (default 38)")
    add("--windows", type=some, default=256, help="windows through x264 (default 256)")
    add("--patch", type=whole, default=64, help="side of these, low-resolution pixels (default 64)")
    add("--clip-frames", type=whole, default=72, help="frames taken of each clip (default 72)")
    add("--cache", type=pathlib.Path, required=True, metavar="DIR", help="for decoded clips")
    add("--seed", type=some, default=1, help="of the draws (default 1)")
    add("--ffmpeg", help="ffmpeg with libx264; default: build/bin/ffmpeg, else the one on PATH")
    args = parser.parse_args(arguments)
    args.windows = -(-args.windows // TOGETHER) * TOGETHER
    return args


def main() -> int:
    args = parse()
    return finish("pack_material", lambda: run(args), ClipError, ValueError)


if __name__ == "__main__":
    sys.exit(main())
