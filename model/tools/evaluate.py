#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measure a model against ffmpeg's scalers on sharp clips.

Each clip is degraded as degrade.py does, restored through the selfblindvsr filter of ffmpeg and enlarged by its
scalers, and compared with the original: PSNR and SSIM (window 11, sigma 1.5) of the 8-bit pictures, RGB and Y,
without 4 pixels on each side and without the first and last two frames, as in the paper. With --lr a low-resolution
clip that is at hand is taken instead of a degraded one. The last column, flicker, is the mean absolute difference of
consecutive frames when the middle frame of the small clip stands still under fresh noise of one code value.

With --degradations the clips are made smaller in each of the ways named instead, the ways real footage comes about, and
one table has the means over all clips: of bicubic, Lanczos, the model, and of other networks where their weights are
installed (lib/peers.py). Its columns: change, the error of the differences of consecutive frames, code values; detail,
the share of the detail of the sharp clip that is there; gain, over bicubic; window, what the neighbours of a frame add
to it alone.

    evaluate.py --hr city.mkv --model model/default.bin --frames 8 --degradations bicubic gaussian:1.2,x264:28
"""
from __future__ import annotations

import argparse
import pathlib
import sys
from typing import Any, Callable, Optional, Sequence

try:
    import numpy as np
except ImportError:
    sys.exit("evaluate: NumPy is needed (python3-numpy, or https://numpy.org)")

from lib import model_file
from lib import plots
from lib import comparison, models, peers, reductions
from lib.clips import ClipError, compressed, find_ffmpeg, read_clip, write_clip
from degrade import add_degradation, degradation, number_in
from lib.program import finish, require_file, require_folder, write_figures
from lib.quality import MARGIN, compare, flicker, require_size
from lib.scalers import SCALERS, enlarge, restore

STILL_FRAMES = 9
STILL_NOISE = 1.0  # standard deviation, code values
NEEDED = 2 * MARGIN + 1
CROP_SIDE = 160    # of the crops side by side, high-resolution pixels

Figures = dict[str, dict[str, Any]]
Clips = dict[str, np.ndarray]


def restore_reference(frames: np.ndarray, model: str, scale: int, **options: bool) -> np.ndarray:
    """The PyTorch definition; the window is filled with the first or last frame at the ends, as the filter does."""
    try:
        import torch
    except ImportError:
        raise ClipError("--reference needs PyTorch (python3-torch)") from None
    sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "training"))
    from reference import SelfBlindVSR
    try:
        net = SelfBlindVSR.from_state_dict(model_file.read(model)[0], **options)
    except (KeyError, RuntimeError):
        raise ClipError(f"{model}: its tensors do not make a network") from None
    if net.arch.scale != scale:
        raise ClipError(f"{model}: enlarges by {net.arch.scale}, expected {scale}")
    half = net.arch.n_sequence // 2
    output = []
    for center in range(len(frames)):
        window = frames[np.clip(np.arange(center - half, center + half + 1), 0, len(frames) - 1)]
        with torch.no_grad():
            picture = net(torch.from_numpy(window.astype(np.float32) / 255).permute(0, 3, 1, 2)[None])[0]
        output.append((picture.permute(1, 2, 0) * 255).round().clamp(0, 255).to(torch.uint8).numpy())
    return np.stack(output)


def model_scale(path: str) -> int:
    """What a model file enlarges by."""
    tensors, _ = model_file.read(path)
    return 2 ** sum(name.startswith("upsample_layers.") and name.endswith(".weight") for name in tensors)


def trimmed(sharp: np.ndarray, scale: int) -> np.ndarray:
    """The clip with its height and width cut to multiples of scale."""
    height, width = (n // scale * scale for n in sharp.shape[1:3])
    return sharp[:, :height, :width]


def check_clips(args: argparse.Namespace, ffmpeg: str, scale: int, needed: int) -> None:
    """ClipError where one is too short or too small, before the first is measured."""
    for path in args.hr:
        first = trimmed(read_clip(path, ffmpeg, limit=min(args.frames or needed, needed)), scale)
        if len(first) < needed:
            raise ClipError(f"{path}: {len(first)} frames, at least {needed} are needed")
        try:
            require_size(first)
        except ValueError as error:
            raise ClipError(f"{path}: {error}") from None


def evaluate(sharp: np.ndarray, low: np.ndarray, scale: int, ffmpeg: str, phase: str,
             restorers: dict[str, Callable[[np.ndarray], np.ndarray]],
             scalers: Sequence[str] = SCALERS) -> tuple[Figures, Clips]:
    """Figures of the scalers and of the restorers, by name, and the clips themselves, with "sharp" and "low"."""
    ways = {kind: lambda frames, kind=kind: enlarge(frames, kind, scale, ffmpeg, phase) for kind in scalers}
    ways.update(restorers)
    clips = {name: way(low) for name, way in ways.items()}
    figures: Figures = {}
    for name, clip in clips.items():
        if clip.shape != sharp.shape:
            raise ClipError(f"{name}: {len(clip)} frames of {clip.shape[2]}x{clip.shape[1]}, the sharp clip has "
                            f"{len(sharp)} of {sharp.shape[2]}x{sharp.shape[1]}")
        figures[name] = compare(sharp, clip)
    return figures, {**clips, "sharp": sharp, "low": low}


def still_scene(low: np.ndarray, crf: Optional[int], ffmpeg: str) -> np.ndarray:
    """A static scene: the middle frame again and again under fresh noise, compressed if crf is given."""
    frame = low[len(low) // 2]
    noise = np.random.default_rng(0).normal(0, STILL_NOISE, (STILL_FRAMES,) + frame.shape)
    still = np.rint(frame + noise).clip(0, 255).astype(np.uint8)
    return still if crf is None else np.stack(list(compressed(still, crf, ffmpeg)))


def print_table(rows: dict[str, Figures], scale_of: str = "bicubic") -> None:
    """One line for each clip and way; the gain is over bicubic."""
    width = max(max(len(name) for name in rows), 4)
    ways = max(len(way) for row in rows.values() for way in row)
    print(f"{'clip':{width}}  {'scaler':{ways}}  RGB dB   SSIM    Y dB   Y SSIM  gain dB  flicker")
    for name, row in rows.items():
        for way, values in row.items():
            gain = values["psnr"] - row[scale_of]["psnr"]
            still = f"{values['flicker']:7.3f}" if "flicker" in values else "      -"
            print(f"{name:{width}}  {way:{ways}}  {values['psnr']:6.2f}  {values['ssim']:.4f}  {values['psnr_y']:6.2f}"
                  f"  {values['ssim_y']:.4f}  {gain:+7.2f}  {still}")


def draw(folder: pathlib.Path, name: str, figures: Figures, clips: Clips, scale: int, ffmpeg: str) -> None:
    """PSNR per frame, the same crop of each picture, and the whole middle frames, as PNG."""
    middle = len(clips["sharp"]) // 2
    plots.frame_curves(folder / f"{name}_frames.png", name, MARGIN,
                       {way: values["per_frame"] for way, values in figures.items()})
    sharp = clips["sharp"][middle]
    side = min(CROP_SIDE, *sharp.shape[:2])
    pictures = {"input": clips["low"][middle].repeat(scale, 0).repeat(scale, 1),
                **{way: clips[way][middle] for way in figures}, "original": sharp}
    plots.side_by_side(folder / f"{name}_crops.png", pictures, *plots.most_detailed(sharp, side), side)
    for kind, clip in clips.items():
        write_clip(str(folder / f"{name}_{kind.replace('/', '_')}.png"), clip[middle][None], "1", ffmpeg)


USUAL = ("bicubic", "bicubic,x264:23", "bicubic,x264:28", "area", "gaussian:0.6", "gaussian:1.2",
         "gaussian:1.2,x264:23", "gaussian:1.2,x264:28", "gaussian:2", "gaussian:2.8")


def reduction(text: str) -> reductions.Reduction:
    try:
        return reductions.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def check_reductions(wanted: Sequence[reductions.Reduction], scale: int, encoder: str) -> None:
    """ClipError where one cannot be made, before the first is measured."""
    for way in wanted:
        way.check_scale(scale)
        try:
            way.check_encoders(encoder)
        except ClipError as error:
            raise ClipError(f"{way.name}: {error}; --encoder takes another ffmpeg") from None


def other_networks(names: Optional[Sequence[str]], scale: int) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Those of --peers; says which are installed but do not run."""
    if scale != 4:
        if names:
            raise ValueError(f"--peers enlarge by 4, the model by {scale}")
        return {}
    found, left_out = peers.ready(names)
    for reason in left_out:
        print(f"evaluate: left out: {reason}", file=sys.stderr)
    return found


def compare_degradations(args: argparse.Namespace) -> dict[str, Any]:
    """Prints the table of --degradations and draws it; its figures."""
    ffmpeg, scale = find_ffmpeg(args.ffmpeg), model_scale(args.model)
    encoder = find_ffmpeg(args.encoder) if args.encoder else ffmpeg
    wanted = args.degradations or [reductions.parse(name) for name in USUAL]
    check_reductions(wanted, scale, encoder)
    check_clips(args, ffmpeg, scale, NEEDED + 1)  # a change takes two frames
    sharp = {path: trimmed(read_clip(path, ffmpeg, limit=args.frames), scale) for path in args.hr}
    ways = {kind: lambda low, kind=kind: enlarge(low, kind, scale, ffmpeg) for kind in ("bicubic", "lanczos")}
    own = {"model": "", **{options: options for options in args.options}}
    ways |= {name: lambda low, options=options: restore(low, args.model, scale, ffmpeg, options)
             for name, options in own.items()}
    ways |= other_networks(args.peers, scale)
    table = comparison.compare_all(sharp, list(dict.fromkeys(wanted)), ways, list(own), scale, encoder)
    if args.png:
        comparison.draw(args.png, table)
    return table.figures


class Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Commands stay on their lines."""


def parse(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=Help,
        epilog="\n".join(["other networks are installed in an environment of their own, by its pip:",
                          "  first     python3 -m venv DIR; pip install numpy matplotlib",
                          *(f"  {name:9} {peer.install()}" for name, peer in peers.PEERS.items())]))
    add = parser.add_argument
    add("--hr", nargs="+", required=True, metavar="CLIP", help="sharp clips, or folders of images")
    add("--lr", nargs="+", metavar="CLIP", help="small clips that belong to them, in order; nothing is degraded then")
    add("--model", required=True, metavar="MODEL", help=models.HELP)
    add("--options", nargs="+", default=[], metavar="A=B:C=D",
        help="measure the filter with these options of it as well, refine=5 say; each gets a line")
    add("--degradations", nargs="*", type=reduction, metavar="NAME",
        help="make the small clips in each of these ways: area, bicubic, bilinear, lanczos or gaussian:SIGMA, then "
             "perhaps ,twice[:CRF] (halved and compressed before that), ,noise:SIGMA and one of ,x264:CRF ,x265:CRF "
             f"and ,mpeg2:Q; without a name: {' '.join(USUAL)}")
    add("--peers", nargs="*", choices=list(peers.PEERS), metavar="NAME",
        help="other networks to measure in the table of --degradations; if not given, all that are installed, without a "
             f"name none: {', '.join(peers.PEERS)}; without a GPU srmd takes seconds a frame")
    add("--encoder", metavar="FFMPEG", help="ffmpeg whose encoders --degradations uses, if not --ffmpeg")
    add_degradation(parser)
    add("--reference", action="store_true", help="measure the PyTorch definition as well, which is slow")
    add("--no-temporal", action="store_true", help="leave out the flicker of a static scene")
    add("--frames", type=number_in(NEEDED, 10 ** 9, int), help="take only the first so many frames of each clip")
    add("--json", type=pathlib.Path, metavar="OUT", help="write the figures here, per frame too")
    add("--png", type=pathlib.Path, metavar="DIR",
        help="write PSNR per frame, crops side by side and the middle frame of each clip here")
    args = parser.parse_args(arguments)
    if args.lr and len(args.lr) != len(args.hr):
        parser.error(f"--lr: {len(args.lr)} clips for {len(args.hr)} of --hr")
    refuse_idle(parser, args)
    return args


# Options that others leave without effect.
IDLE = {"lr": ("degradations", "kernel", "sigma", "angle", "noise", "seed"),
        "degradations": ("kernel", "sigma", "angle", "phase", "noise", "crf", "seed", "reference", "no_temporal")}
TABLE_ALONE = ("peers", "encoder")  # --degradations


def refuse_idle(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Ends the program where an option was given that would change nothing."""
    usual = parser.parse_args(["--hr", "", "--model", ""])

    def given(name: str) -> bool:
        return getattr(args, name) != getattr(usual, name)

    for option, idle in IDLE.items():
        for name in filter(given, idle if given(option) else ()):
            parser.error(f"--{option} and --{name.replace('_', '-')}: only one of them can be used")
    for name in filter(given, () if given("degradations") else TABLE_ALONE):
        parser.error(f"--{name}: only with --degradations")


def low_clip(args: argparse.Namespace, index: int, sharp: np.ndarray, scale: int, ffmpeg: str) -> np.ndarray:
    """The low-resolution clip that belongs to a sharp one: read or made, and compressed if that is asked for."""
    if not args.lr:
        return np.stack(list(degradation(args, scale).apply(sharp, ffmpeg)))
    low = read_clip(args.lr[index], ffmpeg, limit=args.frames)
    if args.crf is not None:
        low = np.stack(list(compressed(low, args.crf, ffmpeg)))
    return low[:, :sharp.shape[1] // scale, :sharp.shape[2] // scale]


def measure(args: argparse.Namespace) -> dict[str, Figures]:
    ffmpeg, scale = find_ffmpeg(args.ffmpeg), model_scale(args.model)
    place = ["phase=model"] if args.phase == "topleft" else []  # the picture belongs where such samples sit
    restorers = {"model": lambda low: restore(low, args.model, scale, ffmpeg, ":".join(place))}
    for options in args.options:
        restorers[options] = lambda low, options=options: restore(low, args.model, scale, ffmpeg,
                                                                  ":".join([*place, options]))
    if args.reference:
        restorers["reference"] = lambda low: restore_reference(low, args.model, scale)
    check_clips(args, ffmpeg, scale, NEEDED)
    rows: dict[str, Figures] = {}
    for index, path in enumerate(args.hr):
        sharp = trimmed(read_clip(path, ffmpeg, limit=args.frames), scale)
        low = low_clip(args, index, sharp, scale, ffmpeg)
        name = pathlib.Path(path).stem
        name = name if name not in rows else f"{name}_{index}"
        rows[name], clips = evaluate(sharp, low, scale, ffmpeg, args.phase, restorers)
        if not args.no_temporal:
            ways = {"bicubic": lambda frames: enlarge(frames, "bicubic", scale, ffmpeg), "model": restorers["model"]}
            still = still_scene(low, args.crf, ffmpeg)
            for way, enlarged in ways.items():
                rows[name][way]["flicker"] = flicker(enlarged(still))
        if args.png:
            args.png.mkdir(parents=True, exist_ok=True)
            draw(args.png, name, rows[name], clips, scale, ffmpeg)
    return rows


def run(args: argparse.Namespace) -> None:
    args.model = models.find(args.model)
    if args.png:
        plots.require()
        require_folder("--png", args.png)
    if args.json:
        require_file("--json", args.json)
    rows = measure(args) if args.degradations is None else compare_degradations(args)
    write_figures(args.json, rows)
    if args.degradations is None:
        print_table(rows)


def main() -> int:
    args = parse()
    return finish("evaluate", lambda: run(args), ClipError, plots.PlotError, ValueError)


if __name__ == "__main__":
    sys.exit(main())
