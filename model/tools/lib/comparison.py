# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ways of enlarging compared over many degradations and clips: a table, bars of the gains, crops for the eye."""
from __future__ import annotations

import pathlib
from dataclasses import dataclass, field
from typing import Callable, Mapping, Sequence

import numpy as np

from . import plots
from .quality import CROP, MARGIN, change_error, compare, detail, psnr
from .reductions import Reduction

Restorer = Callable[[np.ndarray], np.ndarray]
ALONE = 3        # frames that are restored alone, each as a clip of one frame
CROP_SIDE = 128  # of the crops of the sheet, high-resolution pixels
PLAIN = "bicubic"
COLUMNS = {"psnr": "RGB dB", "ssim": "SSIM", "psnr_y": "Y dB", "ssim_y": "Y SSIM", "change": "change",
           "detail": "detail"}


@dataclass
class Table:
    """Of each degradation and way the means over the clips; and crops of the clip that came first."""
    figures: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    crops: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    def gain(self, degradation: str, way: str) -> float:
        row = self.figures[degradation]
        return row[way]["psnr"] - row[PLAIN]["psnr"]


def window_gain(sharp: np.ndarray, low: np.ndarray, restored: np.ndarray, restore: Restorer) -> float:
    """By how many dB frames are better in their window than alone, where the window is the frame repeated."""
    places = np.unique(np.linspace(MARGIN, len(low) - MARGIN - 1, ALONE).round().astype(int))
    return float(np.mean([psnr(sharp[n], restored[n]) - psnr(sharp[n], restore(low[n:n + 1])[0]) for n in places]))


def measured(sharp: np.ndarray, low: np.ndarray, ways: Mapping[str, Restorer],
             windowed: Sequence[str]) -> tuple[dict[str, dict[str, float]], dict[str, np.ndarray]]:
    """Figures of each way and its pictures; of those in windowed also what the window gains."""
    figures, clips = {}, {}
    for way, restore in ways.items():
        clip = clips[way] = restore(low)
        values = compare(sharp, clip)
        figures[way] = {name: values[name] for name in COLUMNS if name in values}
        figures[way] |= {"change": change_error(sharp, clip), "detail": detail(sharp, clip)}
        if way in windowed:
            figures[way]["window"] = window_gain(sharp, low, clip, restore)
    return figures, clips


def compare_all(sharp: Mapping[str, np.ndarray], reductions: Sequence[Reduction], ways: Mapping[str, Restorer],
                windowed: Sequence[str], scale: int, ffmpeg: str) -> Table:
    table = Table()
    for reduction in reductions:
        rows = []
        for frames in sharp.values():
            low = reduction.apply(frames, scale, ffmpeg)
            figures, clips = measured(frames, low, ways, windowed)
            rows.append(figures)
            if reduction.name not in table.crops:
                table.crops[reduction.name] = crops(frames, low, clips, scale)
        table.figures[reduction.name] = {
            way: {name: float(np.mean([row[way][name] for row in rows])) for name in rows[0][way]} for way in ways}
        print_rows(reduction.name, table)
    return table


def crops(sharp: np.ndarray, low: np.ndarray, clips: Mapping[str, np.ndarray], scale: int) -> dict[str, np.ndarray]:
    """The square with the most detail of the middle frame, in every way."""
    middle, side = len(sharp) // 2, min(CROP_SIDE, *(n - 2 * CROP for n in sharp.shape[1:3]))
    top, left = plots.most_detailed(sharp[middle], side)
    pictures = {"input": low[middle].repeat(scale, 0).repeat(scale, 1),
                **{way: clip[middle] for way, clip in clips.items()}, "original": sharp[middle]}
    return {name: picture[top:top + side, left:left + side] for name, picture in pictures.items()}


def print_rows(degradation: str, table: Table) -> None:
    """A block of lines, one a way; a heading before the first."""
    row, first = table.figures[degradation], len(table.figures) == 1
    width = max(map(len, row))
    if first:
        print(f"{'':{width}}  " + "  ".join(f"{name:>7}" for name in (*COLUMNS.values(), "gain", "window")))
    print(degradation)
    for way, values in row.items():
        cells = [f"{values[name]:7.{4 if 'ssim' in name else 2}f}" for name in COLUMNS]
        cells += [f"{table.gain(degradation, way):+7.2f}", f"{values['window']:+7.2f}" if "window" in values else ""]
        print(f"{way:{width}}  " + "  ".join(cells).rstrip(), flush=True)


def draw(folder: pathlib.Path, table: Table) -> None:
    """gains.png and crops.png."""
    plots.gain_bars(folder / "gains.png", {name: {way: table.gain(name, way) for way in row if way != PLAIN}
                                           for name, row in table.figures.items()})
    plots.contact_sheet(folder / "crops.png", table.crops)
