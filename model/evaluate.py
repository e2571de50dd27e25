#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measure a model against ffmpeg's bicubic scaler on sharp clips.

Each clip is degraded as degrade.py does, restored through the selfblindvsr filter and through the scaler, and compared
with the original in RGB: PSNR and SSIM (window 11, sigma 1.5) of the 8-bit pictures, without 4 pixels on each side and
without the first and last two frames, as in the paper.
"""
from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys
from typing import Callable, Optional, Sequence

import numpy as np

from degrade import ClipError, add_degradation, find_ffmpeg, gaussian_degrade, last_line, read_clip, write_clip

CROP = 4    # pixels left out on each side
MARGIN = 2  # frames left out at each end: their window is not full
BICUBIC = "scale={width}:{height}:flags=bicubic+accurate_rnd+full_chroma_int"


def cropped(image: np.ndarray, crop: int) -> np.ndarray:
    return image[..., crop:image.shape[-3] - crop, crop:image.shape[-2] - crop, :].astype(np.float32)


def psnr(a: np.ndarray, b: np.ndarray, crop: int = CROP) -> float:
    """Of one H x W x 3 uint8 picture, decibels; infinite where the two are equal."""
    error = np.square(cropped(a, crop) - cropped(b, crop), dtype=np.float64).mean()
    return float("inf") if error == 0 else float(10 * np.log10(255 ** 2 / error))


def smoothed(image: np.ndarray) -> np.ndarray:
    """The Gaussian window of SSIM, 11 x 11, sigma 1.5, where it lies inside the picture."""
    taps = np.exp(-np.arange(-5, 6) ** 2 / (2 * 1.5 ** 2)).astype(np.float32)
    taps /= taps.sum()
    height, width = image.shape[0] - 10, image.shape[1] - 10
    rows = sum(taps[k] * image[k:k + height] for k in range(11))
    return sum(taps[k] * rows[:, k:k + width] for k in range(11))


def ssim(a: np.ndarray, b: np.ndarray, crop: int = CROP) -> float:
    """Structural similarity (Wang et al., 2004) of one H x W x 3 uint8 picture, mean over the colours."""
    x, y = cropped(a, crop), cropped(b, crop)
    if min(x.shape[:2]) < 11:
        raise ValueError(f"ssim: {x.shape[1]} x {x.shape[0]} pixels after cropping, at least 11 x 11 are needed")
    mean_x, mean_y = smoothed(x), smoothed(y)
    variance_x = smoothed(x * x) - mean_x ** 2
    variance_y = smoothed(y * y) - mean_y ** 2
    covariance = smoothed(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return float(np.mean((2 * mean_x * mean_y + c1) * (2 * covariance + c2)
                         / ((mean_x ** 2 + mean_y ** 2 + c1) * (variance_x + variance_y + c2)), dtype=np.float64))


def through_filter(frames: np.ndarray, filters: str, scale: int, ffmpeg: str) -> np.ndarray:
    """N x H x W x 3 uint8 through an ffmpeg filter chain, in planar RGB, that enlarges by scale."""
    count, height, width = frames.shape[:3]
    command = [ffmpeg, "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-i", "-",
               "-vf", f"format=gbrp,{filters},format=gbrp", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    result = subprocess.run(command, input=frames.tobytes(), capture_output=True, check=False)
    if result.returncode:
        raise ClipError(f"{filters}: {last_line(result.stderr)}")
    shape = (count, height * scale, width * scale, 3)
    if len(result.stdout) != int(np.prod(shape)):
        raise ClipError(f"{filters}: {len(result.stdout)} bytes came back, expected {int(np.prod(shape))}")
    return np.frombuffer(result.stdout, np.uint8).reshape(shape)


def bicubic(frames: np.ndarray, scale: int, ffmpeg: str) -> np.ndarray:
    """ffmpeg's bicubic scaler."""
    chain = BICUBIC.format(width=frames.shape[2] * scale, height=frames.shape[1] * scale)
    return through_filter(frames, chain, scale, ffmpeg)


def filter_argument(text: str) -> str:
    """Quotes an option value for a filter graph: once for the option list, once for the graph."""
    option = "".join("\\" + c if c in "\\':" else c for c in text)
    return "".join("\\" + c if c in "\\'[],;" else c for c in option)


def restore(frames: np.ndarray, model: str, scale: int, ffmpeg: str) -> np.ndarray:
    """The selfblindvsr filter."""
    return through_filter(frames, f"selfblindvsr=model={filter_argument(model)}", scale, ffmpeg)


def restore_reference(frames: np.ndarray, model: str, scale: int) -> np.ndarray:
    """The PyTorch definition; the window is filled with the first or last frame at the ends, as the filter does."""
    import torch
    import modelfile
    from reference import SelfBlindVSR
    net = SelfBlindVSR.from_state_dict(modelfile.read(model)[0])
    if net.arch.scale != scale:
        raise ClipError(f"{model}: enlarges by {net.arch.scale}, expected {scale}")
    half = net.arch.n_sequence // 2
    output = []
    for centre in range(len(frames)):
        window = frames[np.clip(np.arange(centre - half, centre + half + 1), 0, len(frames) - 1)]
        with torch.no_grad():
            picture = net(torch.from_numpy(window.astype(np.float32) / 255).permute(0, 3, 1, 2)[None])[0]
        output.append((picture.permute(1, 2, 0) * 255).round().clamp(0, 255).to(torch.uint8).numpy())
    return np.stack(output)


def compare(sharp: np.ndarray, restored: np.ndarray) -> dict[str, float]:
    """Mean PSNR and SSIM over the frames whose window is full."""
    pairs = list(zip(sharp, restored))
    pairs = pairs[MARGIN:len(pairs) - MARGIN]
    return {"psnr": float(np.mean([psnr(a, b) for a, b in pairs])),
            "ssim": float(np.mean([ssim(a, b) for a, b in pairs])), "frames": len(pairs)}


def model_scale(path: str) -> int:
    """What a model file enlarges by."""
    import modelfile
    tensors, _ = modelfile.read(path)
    return 2 ** sum(name.startswith("upsample_layers.") and name.endswith(".weight") for name in tensors)


def evaluate(sharp: np.ndarray, sigma: float, phase: str, scale: int, ffmpeg: str,
             restorer: Callable[[np.ndarray], np.ndarray]) -> tuple[dict[str, dict[str, float]], dict[str, np.ndarray]]:
    """Figures of bicubic and of the model on one clip, and the clips themselves, by name."""
    height, width = (n // scale * scale for n in sharp.shape[1:3])
    sharp = sharp[:, :height, :width]
    low = gaussian_degrade(sharp, sigma, phase, scale)
    clips = {"sharp": sharp, "low": low, "bicubic": bicubic(low, scale, ffmpeg), "model": restorer(low)}
    return {name: compare(sharp, clips[name]) for name in ("bicubic", "model")}, clips


def print_table(rows: dict[str, dict[str, dict[str, float]]]) -> None:
    width = max(len(name) for name in rows)
    print(f"{'clip':{width}}  bicubic dB  SSIM    model dB  SSIM    gain dB")
    for name, row in rows.items():
        low, high = row["bicubic"], row["model"]
        print(f"{name:{width}}  {low['psnr']:10.2f}  {low['ssim']:.4f}  {high['psnr']:8.2f}  {high['ssim']:.4f}  "
              f"{high['psnr'] - low['psnr']:+7.2f}")


def parse(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--hr", nargs="+", required=True, metavar="CLIP", help="sharp clips")
    parser.add_argument("--model", required=True, metavar="X.bin", help="model file")
    add_degradation(parser)
    parser.add_argument("--reference", action="store_true", help="use the PyTorch definition, not the filter")
    parser.add_argument("--frames", type=int, help="take only the first so many frames of each clip, at least 5")
    parser.add_argument("--json", type=pathlib.Path, metavar="OUT", help="write the figures here")
    parser.add_argument("--png", type=pathlib.Path, metavar="DIR", help="write the middle frame of each clip here")
    args = parser.parse_args(arguments)
    if args.frames is not None and args.frames < 2 * MARGIN + 1:
        parser.error(f"--frames {args.frames}: at least {2 * MARGIN + 1}")
    return args


def main() -> int:
    args = parse()
    rows = {}
    try:
        ffmpeg = find_ffmpeg(args.ffmpeg)
        scale = model_scale(args.model)
        for path in args.hr:
            sharp = read_clip(path, ffmpeg)[:args.frames]
            if len(sharp) <= 2 * MARGIN:
                raise ClipError(f"{path}: {len(sharp)} frames, at least {2 * MARGIN + 1} are needed")
            name = pathlib.Path(path).stem
            rows[name], clips = evaluate(
                sharp, args.sigma, args.phase, scale, ffmpeg,
                lambda low: (restore_reference(low, args.model, scale) if args.reference
                             else restore(low, args.model, scale, ffmpeg)))
            if args.png:
                args.png.mkdir(parents=True, exist_ok=True)
                for kind, clip in clips.items():
                    write_clip(str(args.png / f"{name}_{kind}.png"), clip[len(clip) // 2][None], "1", ffmpeg)
        if args.json:
            args.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    except (ClipError, ValueError, OSError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 1
    print_table(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
