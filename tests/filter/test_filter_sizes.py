"""Frames whose size changes inside the graph, and frames that lie in memory in other ways.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import numpy as np
import pytest
from conftest import FFmpeg, Models, noise, raw, texture

FRAMES = 10
SOURCE = (48, 32)
WARNING = "The size of frames changes"

# What a filter in front does to frames of 48x32 while it runs, and the size that it begins with.
CHANGES = {
    "larger": ("sendcmd=c='0.2 crop w 48;0.2 crop h 32',crop=16:12:0:0", (16, 12)),
    "smaller": ("sendcmd=c='0.2 crop w 16;0.2 crop h 12',crop=40:28:0:0", (40, 28)),
    "wider": ("sendcmd=c='0.2 crop w 48',crop=16:32:0:0", (16, 32)),
    "odd": ("sendcmd=c='0.12 crop w 31;0.12 crop h 11;0.28 crop w 5;0.28 crop h 29',crop=17:13:0:0:exact=1", (17, 13)),
    "scaler by frame": ("scale=w='if(gt(n,4),60,16)':h='if(gt(n,4),40,12)':eval=frame", (16, 12)),
    "scaler by command": ("sendcmd=c='0.2 scale w 64;0.2 scale h 44',scale=16:12", (16, 12)),
    "every frame another": ("scale=w='16+2*n':h='30-2*n':eval=frame", (16, 30)),
}


def restored(ffmpeg: FFmpeg, pix_fmt: str, chain: str, data: bytes) -> list[tuple[int, int, str]]:
    """Time, size and checksum of each frame that comes out."""
    done = ffmpeg.run(*raw(pix_fmt, *SOURCE), "-vf", chain, "-f", "framecrc", "-", data=data)
    assert done.returncode == 0, done.stderr.decode()
    rows = [line.split(",") for line in done.stdout.decode().splitlines() if not line.startswith("#")]
    return [(int(row[2]), int(row[4]), row[5].strip()) for row in rows]


@pytest.mark.parametrize("pix_fmt, size", [("yuv420p", 1.5), ("rgb24", 3), ("gray10le", 2)])
@pytest.mark.parametrize("change", CHANGES)
def test_other_sizes_are_scaled(ffmpeg: FFmpeg, models: Models, change: str, pix_fmt: str, size: float) -> None:
    """The same frames as with a scaler of FFmpeg's before the filter, all of one size, whether they grow or shrink."""
    chain, (width, height) = CHANGES[change]
    data = noise(FRAMES, int(size * SOURCE[0] * SOURCE[1]))
    if pix_fmt == "gray10le":
        data = (np.frombuffer(data, "<u2") & 1023).tobytes()
    vsr = f"selfblindvsr=model={models.random}"
    found = restored(ffmpeg, pix_fmt, f"{chain},{vsr}", data)
    assert len(found) == FRAMES
    assert {row[1] for row in found} == {found[0][1]}
    assert found == restored(ffmpeg, pix_fmt, f"{chain},scale={width}:{height},{vsr}", data)


def test_the_change_is_said_once(ffmpeg: FFmpeg, models: Models) -> None:
    chain, (width, height) = CHANGES["every frame another"]
    said = ffmpeg.log(*raw("yuv420p", *SOURCE), "-vf", f"{chain},selfblindvsr=model={models.plain}", level="warning",
                      data=texture(FRAMES, *SOURCE))
    assert len(said.splitlines()) == 1 and WARNING in said
    assert f"from {width}x{height} to {width + 2}x{height - 2}" in said


def test_no_change_is_not_said(ffmpeg: FFmpeg, models: Models) -> None:
    said = ffmpeg.log(*raw("yuv420p", *SOURCE), "-vf", f"selfblindvsr=model={models.plain}", level="warning",
                      data=texture(FRAMES, *SOURCE))
    assert not said


def test_clips_of_two_sizes(ffmpeg: FFmpeg, models: Models) -> None:
    """concat, told not to look at sizes."""
    graph = f"[0:v][1:v]concat=unsafe=1,selfblindvsr=model={models.plain}"
    done = ffmpeg.run("-f", "lavfi", "-i", "testsrc2=s=48x32:d=0.4:r=25", "-f", "lavfi", "-i",
                      "testsrc=s=32x40:d=0.2:r=25", "-filter_complex", graph, "-f", "framecrc", "-")
    assert done.returncode == 0, done.stderr.decode()
    frames = [line for line in done.stdout.decode().splitlines() if not line.startswith("#")]
    assert len(frames) == 15


@pytest.mark.parametrize("pix_fmt, channels", [("rgb24", 3), ("gray", 1)])
def test_rows_from_the_bottom_up(ffmpeg: FFmpeg, models: Models, pix_fmt: str, channels: int) -> None:
    """vflip turns frames by a negative linesize, and moves no byte."""
    data = noise(4, channels * SOURCE[0] * SOURCE[1])
    flipped = np.frombuffer(data, np.uint8).reshape(4, SOURCE[1], -1)[:, ::-1].tobytes()
    outputs = [ffmpeg.output(*raw(pix_fmt, *SOURCE), "-vf", f"{chain}selfblindvsr=model={models.random}", "-f",
                             "rawvideo", "-", data=given) for chain, given in (("vflip,", data), ("", flipped))]
    assert outputs[0] == outputs[1]
