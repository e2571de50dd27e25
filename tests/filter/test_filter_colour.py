"""The filter's pixels: every format, flat colours in every matrix and range, chroma positions, odd sizes.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import pytest
from conftest import TINT, FFmpeg, Models, raw
from lib import models as shipped


class Layout(NamedTuple):
    """A pixel format as planes of interleaved components: each plane's components, and its subsampling."""
    planes: list[list[int]]          # component of each sample of a pixel; 3: alpha; -1: padding
    subsampling: tuple[int, int] = (0, 0)  # of the second and third plane, log2, horizontally and vertically
    depth: int = 8                   # 32: floats, of codes of 16 bits
    shift: int = 0
    order: str = "<"


YUV = [[0], [1], [2]]
GBR = [[1], [2], [0]]
LAYOUTS = {
    "yuv420p": Layout(YUV, (1, 1)), "yuv422p": Layout(YUV, (1, 0)), "yuv444p": Layout(YUV),
    "yuvj420p": Layout(YUV, (1, 1)), "yuvj422p": Layout(YUV, (1, 0)), "yuvj444p": Layout(YUV),
    "yuv420p10le": Layout(YUV, (1, 1), 10), "yuv422p10le": Layout(YUV, (1, 0), 10),
    "yuv444p10le": Layout(YUV, depth=10), "nv12": Layout([[0], [1, 2]], (1, 1)), "p010le": Layout([[0], [1, 2]], (1, 1), 10, 6),
    "gbrp": Layout([[1], [2], [0]]), "gbrp10le": Layout([[1], [2], [0]], depth=10),
    "rgb24": Layout([[0, 1, 2]]), "bgr24": Layout([[2, 1, 0]]),
    "0rgb": Layout([[-1, 0, 1, 2]]), "rgb0": Layout([[0, 1, 2, -1]]),
    "0bgr": Layout([[-1, 2, 1, 0]]), "bgr0": Layout([[2, 1, 0, -1]]),
    "gray": Layout([[0]]), "gray10le": Layout([[0]], depth=10),
    "yuv440p": Layout(YUV, (0, 1)), "yuvj440p": Layout(YUV, (0, 1)),
    "nv16": Layout([[0], [1, 2]], (1, 0)), "nv21": Layout([[0], [2, 1]], (1, 1)), "nv24": Layout([[0], [1, 2]]),
    "yuv420p9le": Layout(YUV, (1, 1), 9), "yuv440p12le": Layout(YUV, (0, 1), 12), "yuv422p14le": Layout(YUV, (1, 0), 14),
    "yuv420p16le": Layout(YUV, (1, 1), 16), "yuv444p16be": Layout(YUV, depth=16, order=">"),
    "p012le": Layout([[0], [1, 2]], (1, 1), 12, 4), "p016le": Layout([[0], [1, 2]], (1, 1), 16),
    "p210le": Layout([[0], [1, 2]], (1, 0), 10, 6), "p416le": Layout([[0], [1, 2]], depth=16),
    "xv36le": Layout([[1, 0, 2, -1]], depth=12, shift=4), "vuyx": Layout([[2, 1, 0, -1]]), "vuya": Layout([[2, 1, 0, 3]]),
    "gbrp9le": Layout(GBR, depth=9), "gbrp12le": Layout(GBR, depth=12), "gbrp14le": Layout(GBR, depth=14),
    "gbrp16be": Layout(GBR, depth=16, order=">"), "gbrpf32le": Layout(GBR, depth=32),
    "gbrpf32be": Layout(GBR, depth=32, order=">"),
    "gray9le": Layout([[0]], depth=9), "gray12le": Layout([[0]], depth=12), "gray14le": Layout([[0]], depth=14),
    "gray16le": Layout([[0]], depth=16), "gray16be": Layout([[0]], depth=16, order=">"),
    "grayf32le": Layout([[0]], depth=32),
    "rgb48le": Layout([[0, 1, 2]], depth=16), "rgb48be": Layout([[0, 1, 2]], depth=16, order=">"),
    "bgr48le": Layout([[2, 1, 0]], depth=16),
    "rgba": Layout([[0, 1, 2, 3]]), "bgra": Layout([[2, 1, 0, 3]]), "argb": Layout([[3, 0, 1, 2]]),
    "abgr": Layout([[3, 2, 1, 0]]), "rgba64le": Layout([[0, 1, 2, 3]], depth=16),
    "bgra64be": Layout([[2, 1, 0, 3]], depth=16, order=">"),
    "gbrap": Layout([*GBR, [3]]), "gbrap10le": Layout([*GBR, [3]], depth=10), "gbrap12le": Layout([*GBR, [3]], depth=12),
    "gbrap16le": Layout([*GBR, [3]], depth=16), "gbrapf32le": Layout([*GBR, [3]], depth=32),
    "ya8": Layout([[0, 3]]), "ya16le": Layout([[0, 3]], depth=16), "ya16be": Layout([[0, 3]], depth=16, order=">"),
    "yuva420p": Layout([*YUV, [3]], (1, 1)), "yuva422p": Layout([*YUV, [3]], (1, 0)), "yuva444p": Layout([*YUV, [3]]),
    "yuva420p9le": Layout([*YUV, [3]], (1, 1), 9), "yuva422p10le": Layout([*YUV, [3]], (1, 0), 10),
    "yuva444p12le": Layout([*YUV, [3]], depth=12), "yuva420p16le": Layout([*YUV, [3]], (1, 1), 16),
}
MATRICES = {"bt601": "smpte170m", "bt709": "bt709", "bt2020": "bt2020nc"}


def samples(layout: Layout) -> np.dtype:
    return np.dtype(np.uint8 if layout.depth == 8 else f"{layout.order}{'f4' if layout.depth == 32 else 'u2'}")


def flat_frame(pix_fmt: str, width: int, height: int, codes: tuple[int, ...]) -> bytes:
    """A frame of one colour. Padding is 255."""
    layout = LAYOUTS[pix_fmt]
    data = b""
    for index, components in enumerate(layout.planes):
        subsampling = layout.subsampling if index in (1, 2) else (0, 0)
        w, h = (-(-side // 2**shift) for side, shift in zip((width, height), subsampling))
        padding = 255 if layout.depth == 8 else 65535
        pixel = [padding if c < 0 else codes[c] / 65535 if layout.depth == 32 else codes[c] << layout.shift
                 for c in components]
        data += np.tile(np.array(pixel, samples(layout)), w * h).tobytes()
    return data


def distance(pix_fmt: str, one: bytes, other: bytes) -> int:
    """Largest difference of two frames in code values."""
    layout = LAYOUTS[pix_fmt]
    assert len(one) == len(other)
    a, b = (np.frombuffer(data, samples(layout)) for data in (one, other))
    a, b = (np.rint(x * 65535).astype(int) if layout.depth == 32 else x.astype(int) >> layout.shift for x in (a, b))
    return int(np.abs(a - b).max())


def colours(pix_fmt: str, count: int, seed: int = 1) -> list[tuple[int, ...]]:
    """Three components, and alpha."""
    depth = LAYOUTS[pix_fmt].depth
    rng = np.random.RandomState(seed)
    return [tuple(int(v) for v in rng.randint(0, 2 ** (16 if depth == 32 else depth), 4)) for _ in range(count)]


def pixel_formats(ffmpeg: FFmpeg) -> dict[str, str]:
    """What this FFmpeg has: flags by name, I where its scaler reads the format and O where it writes it."""
    lines = ffmpeg.output("-pix_fmts").decode().split("-----\n")[1].splitlines()
    return {line.split()[1]: line.split()[0] for line in lines}


def upscale(ffmpeg: FFmpeg, pix_fmt: str, size: tuple[int, int], data: bytes, chain: str,
            site: str = "unspecified") -> bytes:
    return ffmpeg.output("-chroma_sample_location", site, *raw(pix_fmt, *size), "-vf", chain, "-f", "rawvideo", "-",
                         data=data)


@pytest.mark.parametrize("pix_fmt", LAYOUTS)
def test_every_format(ffmpeg: FFmpeg, models: Models, pix_fmt: str) -> None:
    """In and out in the same format, without a conversion on the way: codes no conversion would leave alone."""
    if pix_fmt not in pixel_formats(ffmpeg):
        pytest.skip(f"FFmpeg {ffmpeg.series} has no {pix_fmt}")
    palette = colours(pix_fmt, 4)
    given = b"".join(flat_frame(pix_fmt, 10, 6, codes) for codes in palette)
    wanted = b"".join(flat_frame(pix_fmt, 40, 24, codes) for codes in palette)
    out = upscale(ffmpeg, pix_fmt, (10, 6), given, f"selfblindvsr=model={models.plain}")
    assert distance(pix_fmt, out, wanted) == 0
    if -1 in LAYOUTS[pix_fmt].planes[0]:
        assert out == wanted


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("colour_range", ["tv", "pc"])
@pytest.mark.parametrize("matrix", MATRICES)
def test_flat_colours(ffmpeg: FFmpeg, models: Models, matrix: str, colour_range: str, pix_fmt: str) -> None:
    palette = colours(pix_fmt, 12, seed=2)
    given = b"".join(flat_frame(pix_fmt, 8, 8, codes) for codes in palette)
    wanted = b"".join(flat_frame(pix_fmt, 32, 32, codes) for codes in palette)
    chain = f"setparams=colorspace={MATRICES[matrix]}:range={colour_range},selfblindvsr=model={models.plain}"
    assert distance(pix_fmt, upscale(ffmpeg, pix_fmt, (8, 8), given, chain), wanted) <= 1


def kr_kb(matrix: str) -> tuple[float, float]:
    return {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}[matrix]


def code_of(rgb: tuple[float, float, float], matrix: str, colour_range: str, depth: int) -> tuple[int, ...]:
    """Y'CbCr codes of a colour, by the definitions of BT.601, BT.709 and BT.2020."""
    kr, kb = kr_kb(matrix)
    luma = kr * rgb[0] + (1 - kr - kb) * rgb[1] + kb * rgb[2]
    cb, cr = (rgb[2] - luma) / (2 * (1 - kb)), (rgb[0] - luma) / (2 * (1 - kr))
    if colour_range == "tv":
        unit = 2 ** (depth - 8)
        values = (16 + 219 * luma) * unit, (128 + 224 * cb) * unit, (128 + 224 * cr) * unit
    else:
        top, middle = 2**depth - 1, 2 ** (depth - 1)
        values = top * luma, middle + top * cb, middle + top * cr
    return tuple(int(round(value)) for value in values)


COLOURS = ((0.5, 0.5, 0.5), (0.8, 0.3, 0.2), (0.2, 0.6, 0.35), (0.15, 0.25, 0.7))


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "nv12", "p010le", "yuv444p"])
@pytest.mark.parametrize("colour_range", ["tv", "pc"])
@pytest.mark.parametrize("matrix", MATRICES)
def test_the_network_sees_rgb(ffmpeg: FFmpeg, models: Models, matrix: str, colour_range: str, pix_fmt: str) -> None:
    """A network that adds a tint to R, G and B: so the matrix and range are those of the frame, in and out."""
    depth = LAYOUTS[pix_fmt].depth
    given, wanted = b"", b""
    for rgb in COLOURS:
        tinted = tuple(value + tint for value, tint in zip(rgb, TINT))
        given += flat_frame(pix_fmt, 6, 4, code_of(rgb, matrix, colour_range, depth))
        wanted += flat_frame(pix_fmt, 24, 16, code_of(tinted, matrix, colour_range, depth))
    chain = f"setparams=colorspace={MATRICES[matrix]}:range={colour_range},selfblindvsr=model={models.tinted}"
    assert distance(pix_fmt, upscale(ffmpeg, pix_fmt, (6, 4), given, chain), wanted) <= 1


@pytest.mark.parametrize("pix_fmt", ["gray", "rgb24", "bgr0", "gbrp", "yuvj420p"])
def test_the_network_sees_rgb_of_other_formats(ffmpeg: FFmpeg, models: Models, pix_fmt: str) -> None:
    """Full range, and gray is the luma of the result."""

    def codes(rgb: tuple[float, ...]) -> tuple[int, ...]:
        yuv = pix_fmt in ("gray", "yuvj420p")
        return code_of(rgb, "bt601", "pc", 8) if yuv else tuple(round(255 * value) for value in rgb)

    given, wanted = b"", b""
    for rgb in COLOURS:
        given += flat_frame(pix_fmt, 6, 4, codes(rgb))
        wanted += flat_frame(pix_fmt, 24, 16, codes(tuple(value + tint for value, tint in zip(rgb, TINT))))
    out = upscale(ffmpeg, pix_fmt, (6, 4), given, f"selfblindvsr=model={models.tinted}")
    assert distance(pix_fmt, out, wanted) <= 1


TRAINED = [*itertools.product(["default"], MATRICES, ("tv", "pc"), ("yuv420p", "yuv420p10le")),
           *((name, "bt709", "tv", "yuv420p") for name in shipped.names() if name != "default")]


@pytest.mark.parametrize("name, matrix, colour_range, pix_fmt", TRAINED)
def test_flat_colours_of_shipped_models(ffmpeg: FFmpeg, name: str, matrix: str, colour_range: str, pix_fmt: str) -> None:
    """Through a trained network a colour inside the RGB cube comes back within a code value."""
    model = shipped.FOLDER / f"{name}.bin"
    assert model.exists(), f"{model} is missing: the product ships it"
    depth = LAYOUTS[pix_fmt].depth
    for rgb in COLOURS:
        codes = code_of(rgb, matrix, colour_range, depth)
        chain = f"setparams=colorspace={MATRICES[matrix]}:range={colour_range},selfblindvsr=model={model}"
        out = upscale(ffmpeg, pix_fmt, (20, 16), flat_frame(pix_fmt, 20, 16, codes), chain)
        assert distance(pix_fmt, out, flat_frame(pix_fmt, 80, 64, codes)) <= 2 ** (depth - 8), rgb


def test_matrix_is_guessed_by_height(ffmpeg: FFmpeg, models: Models) -> None:
    for height, name in ((718, "bt601"), (720, "bt709")):
        log = ffmpeg.log(*raw("yuv420p", 2, height), "-vf", f"selfblindvsr=model={models.plain}",
                         data=bytes(2 * 3 * height))
        assert log.count(f"Colour matrix not specified, taken as {name}") == 1


SITES = {"left": (0.0, 0.5), "center": (0.5, 0.5), "topleft": (0.0, 0.0), "top": (0.5, 0.0), "bottomleft": (0.0, 1.0),
         "bottom": (0.5, 1.0)}


def edge_position(plane: np.ndarray, low: int, high: int, site: float) -> float:
    """Place of an edge from low to high along the last axis, in luma samples: the centroid of its slope."""
    low_samples = ((high - plane.astype(float)) / (high - low)).sum(axis=-1).mean()
    return 2 * (low_samples - 0.5) + site


@pytest.mark.parametrize("vertical", [False, True], ids=["horizontal", "vertical"])
@pytest.mark.parametrize("site", SITES)
def test_chroma_stays_in_place(ffmpeg: FFmpeg, models: Models, site: str, vertical: bool) -> None:
    """A chroma edge between two samples stays at its place in the picture, exact centers 4 p + 1.5 of pixel p."""
    low, high, side = 90, 170, 24
    edge = np.where(np.arange(side // 2) < 5, low, high).astype(np.uint8)
    chroma = np.tile(edge, (side // 2, 1))
    chroma = chroma.T if vertical else chroma
    frame = bytes([128]) * side**2 + chroma.tobytes() + chroma.tobytes()
    out = upscale(ffmpeg, "yuv420p", (side, side), frame, f"selfblindvsr=model={models.plain}", site)
    planes = np.frombuffer(out, np.uint8)[16 * side**2:].reshape(2, 2 * side, 2 * side)
    offset = SITES[site][vertical]
    before = edge_position(edge, low, high, offset)
    for plane in planes:
        after = edge_position(plane.T if vertical else plane, low, high, offset)
        assert abs(after - (4 * before + 1.5)) <= 0.1


@pytest.mark.parametrize("site", ["left", "center"])
def test_chroma_lies_where_the_scaler_puts_it(ffmpeg: FFmpeg, models: Models, site: str) -> None:
    """The same edge through FFmpeg's own scaler, told the chroma location: 0.1 pixels apart at most."""
    low, high, side = 90, 170, 24
    edge = np.where(np.arange(side // 2) < 5, low, high).astype(np.uint8)
    frame = bytes([128]) * side**2 + np.tile(edge, side).tobytes()
    position = {"left": 0, "center": 128}[site]  # of chroma, in 1/256 of a luma sample
    scaler = (f"scale=4*iw:4*ih:flags=bilinear+accurate_rnd+bitexact:in_h_chr_pos={position}:in_v_chr_pos=128"
              f":out_h_chr_pos={position}:out_v_chr_pos=128")
    places = []
    for chain in (scaler, f"selfblindvsr=model={models.plain}"):
        out = upscale(ffmpeg, "yuv420p", (side, side), frame, chain, site)
        plane = np.frombuffer(out, np.uint8)[16 * side**2:].reshape(2, 2 * side, 2 * side)[0]
        places.append(edge_position(plane, low, high, SITES[site][0]))
    assert abs(places[0] - places[1]) <= 0.1


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 1), (3, 5), (17, 9), (65, 33)],
                         ids=lambda size: f"{size[0]}x{size[1]}")
def test_sizes(ffmpeg: FFmpeg, models: Models, size: tuple[int, int]) -> None:
    """Odd sizes and single rows or columns; a flat picture stays flat up to its edges."""
    codes = (77, 111, 150)
    given, wanted = (flat_frame("yuv420p", k * size[0], k * size[1], codes) for k in (1, 4))
    plain = upscale(ffmpeg, "yuv420p", size, 3 * given, f"selfblindvsr=model={models.plain}")
    assert distance("yuv420p", plain, 3 * wanted) == 0
    for options in ("", ":tile=16", ":border=reflect:scene=0.2"):
        out = upscale(ffmpeg, "yuv420p", size, 3 * given, f"selfblindvsr=model={models.random}{options}")
        assert len(out) == 3 * len(wanted)
