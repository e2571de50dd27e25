"""What comes out of formats that the filter takes and of those that it does not: no bit and no alpha less than came in.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from conftest import FFmpeg, Models, raw
from test_filter_colour import pixel_formats

# Of formats that cannot be told: which come out instead. Before 8.0 FFmpeg does not look for the least depth that will do.
CONVERTED = {"yuv411p": ("yuv422p",), "yuv410p": ("yuv420p", "yuv422p"), "yuvj411p": ("yuvj422p",), "rgb565le": ("rgb24",),
             "monow": ("gray",), "x2rgb10le": ("gbrp10le", "rgb48le")}


def description(ffmpeg: FFmpeg, name: str) -> tuple[int, int, bool]:
    """Components of a pixel format, their depth, and whether one of them is alpha, which makes their number even."""
    lines = ffmpeg.output("-pix_fmts").decode().split("-----\n")[1].splitlines()
    words = next(line.split() for line in lines if line.split()[1] == name)
    components = int(words[2])
    if len(words) > 4:  # FFmpeg 5.1 prints the depth of the components one by one since 5.0
        return components, max(int(depth) for depth in words[4].split("-")), components % 2 == 0
    return components, int(words[3]) // components, components % 2 == 0


def outputs(ffmpeg: FFmpeg, models: Models, formats: list[str]) -> dict[str, str]:
    """The format of what the filter makes of each of these, a graph for each in one process."""
    chains = [f"color=gray:s=8x8:d=0.04,format={name},selfblindvsr=model={models.plain},showinfo[o{index}]"
              for index, name in enumerate(formats)]
    maps = [word for index in range(len(formats)) for word in ("-map", f"[o{index}]", "-f", "null", "-")]
    done = ffmpeg.run("-v", "info", "-filter_complex", ";".join(chains), *maps)
    said = done.stderr.decode()
    assert done.returncode == 0, said
    found = {int(number): name for number, name in re.findall(r"Parsed_showinfo_(\d+) .* n: *0 .* fmt:(\w+) ", said)}
    assert len(found) == len(formats), said
    return dict(zip(formats, (found[number] for number in sorted(found))))


def test_no_bit_and_no_alpha_is_lost(ffmpeg: FFmpeg, models: Models) -> None:
    """Of all formats that FFmpeg's scaler reads and writes: as many bits and alpha come out as went in."""
    names = [name for name, flags in pixel_formats(ffmpeg).items() if flags.startswith("IO")]
    assert len(names) > 150
    found: dict[str, str] = {}
    for first in range(0, len(names), 40):
        found |= outputs(ffmpeg, models, names[first:first + 40])
    for before, after in found.items():
        components, depth, alpha = description(ffmpeg, before)
        new_components, new_depth, new_alpha = description(ffmpeg, after)
        assert new_depth >= depth, (before, after)
        assert new_alpha or not alpha or before.startswith("pal"), (before, after)
        assert new_components >= min(components, 3) or components < 3, (before, after)
    assert sum(before == after for before, after in found.items()) > 120


@pytest.mark.parametrize("before", CONVERTED)
def test_the_nearest_format_is_taken(ffmpeg: FFmpeg, models: Models, before: str) -> None:
    assert outputs(ffmpeg, models, [before])[before] in CONVERTED[before]


@pytest.mark.parametrize("chain", ["", "fps=25,", "null,crop=20:16,"])
@pytest.mark.parametrize("pix_fmt", ["gray16be", "rgb48be", "rgba64be", "ya16be", "rgba", "ya8", "rgb24", "gray", "pal8"])
def test_png_stays_as_it_is(ffmpeg: FFmpeg, models: Models, tmp_path: Path, pix_fmt: str, chain: str) -> None:
    """The encoder takes other formats too, of fewer bits."""
    given, out = tmp_path / "in.png", tmp_path / "out.png"
    ffmpeg.output("-f", "lavfi", "-i", f"testsrc2=s=24x16:d=0.04,format={'rgba' if pix_fmt == 'pal8' else pix_fmt}",
                  "-frames:v", "1", "-update", "1", given)
    if pix_fmt == "pal8":
        given = given.with_suffix(".nut")
        ffmpeg.output(*raw("pal8", 24, 16), "-c", "copy", given, data=bytes(range(16)) * 24 + bytes(range(256)) * 4)
    ffmpeg.output("-i", given, "-vf", f"{chain}selfblindvsr=model={models.plain}", "-update", "1", out)
    found = ffmpeg.run("-show_entries", "stream=pix_fmt", "-of", "csv=p=0", out, program="ffprobe").stdout.decode().strip()
    assert found == ("rgba" if pix_fmt == "pal8" else pix_fmt)


def disc(side: int, center: float, radius: float) -> np.ndarray:
    """An anti-aliased disc, 0 to 1."""
    y, x = np.mgrid[:side, :side]
    return np.clip(radius - np.hypot(x - center, y - center) + 0.5, 0, 1)


def run_rgba(ffmpeg: FFmpeg, side: int, data: bytes, chain: str) -> np.ndarray:
    out = ffmpeg.output(*raw("rgba", side, side), "-vf", f"{chain},format=rgba", "-f", "rawvideo", "-", data=data)
    return np.frombuffer(out, np.uint8).reshape(-1, 4 * side, 4 * side, 4)[0].astype(float)


def test_alpha_is_that_of_the_scaler(ffmpeg: FFmpeg, models: Models) -> None:
    """Bicubic, as FFmpeg's: within its rounding; and colour is restored as if there were no alpha."""
    side = 32
    rng = np.random.RandomState(1)
    picture = rng.randint(0, 256, (side, side, 4)).astype(np.uint8)
    picture[..., 3] = 40 + np.rint(170 * disc(side, 14.3, 9.6))  # the scaler clamps what lies beyond after one direction
    vsr = f"selfblindvsr=model={models.random}"
    found = run_rgba(ffmpeg, side, picture.tobytes(), vsr)
    scaled = run_rgba(ffmpeg, side, picture.tobytes(), "scale=4*iw:4*ih:flags=bicubic+accurate_rnd")
    assert np.abs(found[..., 3] - scaled[..., 3]).max() <= 2
    opaque = run_rgba(ffmpeg, side, picture.tobytes(), f"format=rgb0,{vsr}")
    assert np.array_equal(found[..., :3], opaque[..., :3])


def center(plane: np.ndarray) -> tuple[float, float]:
    y, x = np.mgrid[:plane.shape[0], :plane.shape[1]]
    return float((plane * x).sum() / plane.sum()), float((plane * y).sum() / plane.sum())


@pytest.mark.parametrize("phase, place", [("auto", 1.5), ("model", 0)])
def test_alpha_lies_where_the_model_puts_the_picture(ffmpeg: FFmpeg, models: Models, phase: str, place: float) -> None:
    """Of a model that leaves samples on the top-left pixels of their blocks, unless it is told not to."""
    side = 32
    picture = np.rint(255 * np.dstack([disc(side, 13.5, 8)] * 4)).astype(np.uint8)
    out = run_rgba(ffmpeg, side, picture.tobytes(), f"selfblindvsr=model={models.topleft}:phase={phase}")
    assert center(out[..., 3]) == pytest.approx((4 * 13.5 + place, 4 * 13.5 + place), abs=0.05)


def test_alpha_lies_where_colour_does(ffmpeg: FFmpeg) -> None:
    """A disc in the colours of the default model's output and the same in alpha."""
    side = 32
    picture = np.rint(255 * np.dstack([disc(side, 13.5, 8)] * 3 + [np.ones((side, side))])).astype(np.uint8)
    colour = run_rgba(ffmpeg, side, picture.tobytes(), "selfblindvsr")[..., 1]
    picture = np.rint(255 * np.dstack([np.ones((side, side))] * 3 + [disc(side, 13.5, 8)])).astype(np.uint8)
    alpha = run_rgba(ffmpeg, side, picture.tobytes(), "selfblindvsr")[..., 3]
    assert center(colour) == pytest.approx(center(alpha), abs=0.1)


def test_no_darker_fringes_than_those_of_a_scaler(ffmpeg: FFmpeg) -> None:
    """White on transparent black, with the default model, laid over white: what is dark there is a fringe."""
    side = 48
    shape = disc(side, 23.2, 15.7)
    picture = np.zeros((side, side, 4), np.uint8)
    picture[..., :3] = np.where(shape > 0, 255, 0)[..., None]
    picture[..., 3] = np.rint(255 * shape)

    def darkness(chain: str) -> np.ndarray:
        out = run_rgba(ffmpeg, side, picture.tobytes(), chain)
        return (255 - out[..., :3].mean(-1)) * out[..., 3] / 255

    fringes = [darkness(chain) for chain in ("scale=4*iw:4*ih:flags=bicubic", "selfblindvsr")]
    assert fringes[1].max() <= fringes[0].max() + 2
    assert fringes[1].sum() <= fringes[0].sum()


@pytest.mark.parametrize("height, name", [(480, "smpte170m"), (718, "smpte170m"), (720, "bt709")])
def test_the_matrix_that_was_taken_is_told(ffmpeg: FFmpeg, models: Models, tmp_path: Path, height: int, name: str) -> None:
    """Players guess by height, which is another now."""
    out = tmp_path / "out.mkv"
    ffmpeg.output("-f", "lavfi", "-i", f"color=s=4x{height}:d=0.04,format=yuv420p", "-vf",
                  f"selfblindvsr=model={models.plain}", "-c:v", "ffv1", out)
    entries = ("-show_entries", "stream=color_space", "-of", "csv=p=0", out)
    assert ffmpeg.run(*entries, program="ffprobe").stdout.decode().strip() == name


@pytest.mark.parametrize("name", ["bt709", "bt470bg", "smpte170m", "bt2020nc", "smpte240m"])
def test_a_matrix_that_is_told_stays(ffmpeg: FFmpeg, models: Models, name: str) -> None:
    said = ffmpeg.run("-v", "info", "-f", "lavfi", "-i", "color=s=8x8:d=0.04,format=yuv420p", "-vf",
                      f"setparams=colorspace={name},selfblindvsr=model={models.plain},showinfo", "-f", "null", "-")
    assert f"color_space:{name}" in said.stderr.decode()


def test_no_matrix_where_there_is_none(ffmpeg: FFmpeg, models: Models) -> None:
    for pix_fmt in ("gray", "rgb24"):
        said = ffmpeg.run("-v", "info", "-f", "lavfi", "-i", f"color=s=8x8:d=0.04,format={pix_fmt}", "-vf",
                          f"selfblindvsr=model={models.plain},showinfo", "-f", "null", "-").stderr.decode()
        before = ffmpeg.run("-v", "info", "-f", "lavfi", "-i", f"color=s=8x8:d=0.04,format={pix_fmt}", "-vf", "showinfo",
                            "-f", "null", "-").stderr.decode()
        spaces = [re.search(r"color_space:(\w+)", text) for text in (said, before)]
        assert all(spaces) and spaces[0][1] == spaces[1][1]
