# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pictures for people: curves of a training, PSNR per frame, crops side by side, kernels. Needs matplotlib."""
from __future__ import annotations

import pathlib
from typing import Mapping, Sequence

import numpy as np

from lib.blur import Moments, moments

BLURS_SHOWN = 6  # besides their mean
LEAST_RANGE = 0.2  # of an axis of moments, so that rounding errors are no mountains


class PlotError(Exception):
    """A picture that cannot be drawn; the message is one line."""


def require() -> None:
    """Raises PlotError where matplotlib is missing."""
    try:
        import matplotlib
    except ImportError:
        raise PlotError("pictures need matplotlib (python3-matplotlib)") from None
    matplotlib.use("Agg")


def _figure(**options):
    require()
    from matplotlib import pyplot
    return pyplot.subplots(constrained_layout=True, **options)


def _save(figure, path: pathlib.Path) -> None:
    """The picture appears under its name when it is complete."""
    from matplotlib import pyplot
    partial = path.with_name(path.stem + ".part.png")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(partial, dpi=100)
        partial.replace(path)
    except OSError as error:
        raise PlotError(f"{path}: {error.strerror}") from None
    finally:
        pyplot.close(figure)
        partial.unlink(missing_ok=True)


def _series(rows: Sequence[Mapping[str, float]], name: str) -> tuple[list[float], list[float]]:
    pairs = [(row["step"], row[name]) for row in rows if name in row]
    return [step for step, _ in pairs], [value for _, value in pairs]


def training_curves(path: pathlib.Path, rows: Sequence[Mapping[str, float]], losses: Sequence[str],
                    checks: Sequence[str]) -> None:
    """The losses of a training over its steps, each on its own scale, and the PSNRs of the checks."""
    names = [name for name in losses if any(name in row for row in rows)]
    figure, axes = _figure(nrows=len(names) + 1, figsize=(8, 2.2 * (len(names) + 1)), squeeze=False)
    for axis, name in zip(axes[:, 0], names):
        axis.plot(*_series(rows, name), linewidth=1)
        axis.set_ylabel(name)
    last = axes[-1, 0]
    for name in checks:
        last.plot(*_series(rows, name), marker=".", label=name)
    last.set_ylabel("PSNR, dB")
    last.set_xlabel("step")
    last.legend(loc="lower right")
    for axis in axes[:, 0]:
        axis.grid(alpha=0.3)
    _save(figure, path)


def frame_curves(path: pathlib.Path, title: str, first: int, curves: Mapping[str, Sequence[float]]) -> None:
    """PSNR of every frame, one line for each way of enlarging; the frames are counted from `first`."""
    figure, axes = _figure(figsize=(8, 4))
    for name, values in curves.items():
        axes.plot(np.arange(first, first + len(values)), values, marker=".", label=name)
    axes.set(title=title, xlabel="frame", ylabel="RGB PSNR, dB")
    axes.grid(alpha=0.3)
    axes.legend(loc="best")
    _save(figure, path)


def most_detailed(picture: np.ndarray, side: int) -> tuple[int, int]:
    """Top and left of the square of a picture, H x W x 3, with the largest differences of neighbours, on a grid."""
    green = picture[..., 1].astype(np.float32)
    detail = np.abs(np.diff(green, axis=1))[:-1] + np.abs(np.diff(green, axis=0))[:, :-1]
    places = [(y, x) for y in range(0, max(1, picture.shape[0] - side + 1), max(1, side // 4))
              for x in range(0, max(1, picture.shape[1] - side + 1), max(1, side // 4))]
    return max(places, key=lambda place: detail[place[0]:place[0] + side, place[1]:place[1] + side].sum())


def side_by_side(path: pathlib.Path, pictures: Mapping[str, np.ndarray], top: int, left: int, side: int) -> None:
    """The same square of each picture, H x W x 3 uint8, next to each other under their names."""
    figure, axes = _figure(ncols=len(pictures), figsize=(3 * len(pictures), 3.3), squeeze=False)
    for axis, (name, picture) in zip(axes[0], pictures.items()):
        axis.imshow(picture[top:top + side, left:left + side], interpolation="nearest")
        axis.set_title(name, fontsize=10)
        axis.axis("off")
    _save(figure, path)


def gain_bars(path: pathlib.Path, gains: Mapping[str, Mapping[str, float]]) -> None:
    """Gain over bicubic, dB: a group of bars for each degradation, a bar for each way."""
    ways = list(dict.fromkeys(way for row in gains.values() for way in row))
    figure, axes = _figure(figsize=(2 + 1.1 * len(gains), 4.5))
    width = 0.8 / len(ways)
    for index, way in enumerate(ways):
        shift = (index - (len(ways) - 1) / 2) * width
        places = [place + shift for place, row in enumerate(gains.values()) if way in row]
        axes.bar(places, [row[way] for row in gains.values() if way in row], width, label=way)
    axes.set_xticks(range(len(gains)), [name.replace(",", "\n") for name in gains], fontsize=8)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_ylabel("gain over bicubic, dB")
    axes.grid(alpha=0.3, axis="y")
    axes.legend(loc="best", fontsize=8)
    _save(figure, path)


def contact_sheet(path: pathlib.Path, rows: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Crops, H x W x 3 uint8: a row for each degradation, a column for each way."""
    columns = list(dict.fromkeys(way for row in rows.values() for way in row))
    figure, axes = _figure(nrows=len(rows), ncols=len(columns), figsize=(2.4 * len(columns), 2.5 * len(rows)),
                           squeeze=False)
    for axis, way in zip(axes[0], columns):
        axis.set_title(way, fontsize=9)
    for line, (name, row) in zip(axes, rows.items()):
        for axis, way in zip(line, columns):
            axis.set_xticks([])
            axis.set_yticks([])
            if way in row:
                axis.imshow(row[way], interpolation="nearest")
        line[0].set_ylabel(name, fontsize=8)
    _save(figure, path)


def blur_sheet(path: pathlib.Path, title: str, blurs: np.ndarray) -> None:
    """The mean of kernels, N x side x side, some of them over time, and the moments of all, which make the curves."""
    shown = np.unique(np.linspace(0, len(blurs) - 1, BLURS_SHOWN).round().astype(int))
    maps = {"mean": blurs.mean(0), **{f"kernel {index}": blurs[index] for index in shown}}
    rows = np.array([moments(blur) for blur in blurs])
    require()
    from matplotlib import pyplot
    figure = pyplot.figure(constrained_layout=True, figsize=(12, 7.5))
    upper, lower = figure.subfigures(2, 1, height_ratios=(2, 5))
    upper.suptitle(title, fontsize=10)
    half = blurs.shape[1] / 2
    for axis, (name, blur) in zip(upper.subplots(ncols=BLURS_SHOWN + 1), maps.items()):
        image = axis.imshow(blur, cmap="inferno", interpolation="nearest", extent=(-half, half, half, -half),
                            vmin=min(blurs.min(), 0), vmax=max(each.max() for each in maps.values()))
        axis.set_title(name, fontsize=9)
        axis.tick_params(labelsize=7)
    for axis in upper.axes[len(maps):]:
        axis.axis("off")
    upper.colorbar(image, ax=upper.axes, shrink=0.8).ax.tick_params(labelsize=7)
    axes = lower.subplots(nrows=3, sharex=True)
    for axis, unit, names in zip(axes, ("sigma, pixels", "center, pixels", "angle, degrees"),
                                 (("sigma_x", "sigma_y"), ("center_x", "center_y"), ("angle",))):
        for name in names:
            axis.plot(rows[:, Moments._fields.index(name)], marker="." if len(rows) < 100 else "", label=name)
        low, high = axis.get_ylim()
        margin = max(LEAST_RANGE - (high - low), 0) / 2
        axis.set(ylabel=unit, ylim=(low - margin, high + margin))
        axis.grid(alpha=0.3)
        axis.legend(loc="best", fontsize=8)
    axes[-1].set_xlabel("kernel")
    _save(figure, path)
