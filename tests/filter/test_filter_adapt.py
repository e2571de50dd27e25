"""Modulated models in the filter: what the network adapts to, when, and for how long.

Nothing of an estimate shows but the pictures. What is estimated for every frame (adapt_interval=1) is known to be right for
each; a frame that has another picture than that one was made with an estimate for another frame.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from conftest import FFmpeg, Models, modulated_without_biases, raw, texture
from test_filter_errors import only_line
from test_filter_kernel import FRAMES, INPUT, SIZE, gaussian, given, picture, vsr

from lib import model_file  # noqa: E402

PICTURE = 4 * SIZE[0] * 4 * SIZE[1] * 3 // 2  # bytes of one that is restored


def frames_of(ffmpeg: FFmpeg, models: Models, data: bytes, *options: str) -> list[bytes]:
    whole = picture(ffmpeg, vsr(models.modulated, *options), data)
    return [whole[at:at + PICTURE] for at in range(0, len(whole), PICTURE)]


def same(some: list[bytes], others: list[bytes]) -> list[int]:
    """The numbers of frames that are equal in both."""
    assert len(some) == len(others)
    return [number for number, pair in enumerate(zip(some, others)) if pair[0] == pair[1]]


def two_shots(first: int, second: int) -> bytes:
    """Dark, then bright: the cut is seen by the detection."""
    shots = [np.frombuffer(texture(count, *SIZE, seed=seed), np.uint8) for seed, count in ((1, first), (2, second))]
    return (shots[0] // 4).tobytes() + (192 + shots[1] // 4).astype(np.uint8).tobytes()


@pytest.mark.parametrize("interval", [2, 3, 100])
def test_an_estimate_serves_until_the_next(ffmpeg: FFmpeg, models: Models, interval: int) -> None:
    data = texture(FRAMES, *SIZE)
    every, none = (frames_of(ffmpeg, models, data, f"adapt_interval={number}") for number in (1, 0))
    assert len(every) == FRAMES and not same(every, none)
    assert same(frames_of(ffmpeg, models, data, f"adapt_interval={interval}"), every) == list(range(0, FRAMES, interval))


def test_default(ffmpeg: FFmpeg, models: Models) -> None:
    data = texture(FRAMES, *SIZE)
    assert frames_of(ffmpeg, models, data) == frames_of(ffmpeg, models, data, "adapt_interval=100")
    text = ffmpeg.output("-h", "filter=selfblindvsr").decode()
    assert re.search(r"^ +adapt_interval .*\(from 0 to [0-9e+]+\) \(default 100\)$", text, re.M)


def test_a_cut_adds_an_estimate(ffmpeg: FFmpeg, models: Models) -> None:
    """It does not move those after it."""
    data = two_shots(4, 6)
    every, found = (frames_of(ffmpeg, models, data, f"adapt_interval={number}") for number in (1, 6))
    assert same(found, every) == [0, 4, 6]
    every, found = (frames_of(ffmpeg, models, data, f"adapt_interval={number}", "scene=0") for number in (1, 6))
    assert same(found, every) == [0, 6]


def test_frames_that_repeat(ffmpeg: FFmpeg, models: Models) -> None:
    """A still window is not restored again, unless it is due to be estimated: then it may have been made with an estimate
    from before it stood still."""
    moving = texture(4, *SIZE)
    data = moving + moving[-len(moving) // 4:] * 10
    every, found = (frames_of(ffmpeg, models, data, f"adapt_interval={number}", "scene=0") for number in (1, 9))
    assert same(found, every) == [0, *range(9, 14)]
    assert len(set(found[5:9])) == 1 and found[8] != found[9]


def test_a_part_of_a_video(ffmpeg: FFmpeg, models: Models) -> None:
    """Told the number of its first frame, it has the estimates of the whole from the first multiple on that has its window."""
    size, data = SIZE[0] * SIZE[1] * 3 // 2, texture(20, *SIZE)
    options = ("adapt_interval=6", "kernel_interval=4", "refine=1", "scene=0")
    whole = frames_of(ffmpeg, models, data, *options)
    part = frames_of(ffmpeg, models, data[9 * size:], *options, "start_number=9")
    assert same(part, whole[9:]) == list(range(12 - 9, 20 - 9))
    assert 12 - 9 not in same(frames_of(ffmpeg, models, data[9 * size:], *options), whole[9:])


@pytest.mark.parametrize("border, first", [("replicate", 0), ("reflect", 0), ("none", 2)])
def test_first_frame(ffmpeg: FFmpeg, models: Models, border: str, first: int) -> None:
    """The first one that comes out is estimated, whatever its number is."""
    data = texture(FRAMES + 2, *SIZE)
    every, found = (frames_of(ffmpeg, models, data, f"adapt_interval={number}", f"border={border}") for number in (1, 5))
    assert [first + number for number in same(found, every)] == [first, 5]


@pytest.mark.parametrize("more", ["tile=16", "kernel_interval=1", "cycle=1", "kernel_interval=3:cycle=1"])
def test_what_makes_no_difference(ffmpeg: FFmpeg, models: Models, more: str) -> None:
    data = texture(FRAMES, *SIZE)
    assert frames_of(ffmpeg, models, data, "adapt_interval=3", more) == frames_of(ffmpeg, models, data, "adapt_interval=3")


def test_number_of_threads(ffmpeg: FFmpeg, models: Models) -> None:
    chain, data = vsr(models.modulated, "adapt_interval=2"), texture(FRAMES, *SIZE)
    results = [ffmpeg.output("-filter_threads", threads, *INPUT, "-vf", chain, "-f", "rawvideo", "-", data=data)
               for threads in ("1", "2", "5")]
    assert results[0] == results[1] == results[2]


def test_refined_after_it_is_adapted(ffmpeg: FFmpeg, models: Models) -> None:
    """An estimate is made from a picture before refinement: steps change what comes out, and not what it is made with."""
    data = texture(FRAMES, *SIZE)
    every, found = (frames_of(ffmpeg, models, data, f"adapt_interval={number}", "refine=2") for number in (1, 3))
    assert same(found, every) == [0, 3, 6]
    assert not same(every, frames_of(ffmpeg, models, data, "adapt_interval=1"))


def test_a_known_kernel_is_taken(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    """Its response stands in for the estimate of the blur; noise and codec are estimated as ever."""
    data, wide = texture(FRAMES, *SIZE), given(tmp_path / "wide.npy", gaussian((2.4, 2.2)))
    sharp = given(tmp_path / "sharp.npy", gaussian((0.7, 0.7)))
    results = [frames_of(ffmpeg, models, data, "adapt_interval=1", *more)
               for more in ((), (wide,), (sharp,), ("kernel=bicubic",), ("kernel=area",))]
    for number, one in enumerate(results):
        assert not any(same(one, other) for other in results[:number])
    assert same(frames_of(ffmpeg, models, data, "adapt_interval=3", wide), results[1]) == [0, 3, 6]
    assert frames_of(ffmpeg, models, data, "adapt_interval=0", wide) == frames_of(ffmpeg, models, data, "adapt_interval=0")


def test_other_models_take_no_notice(ffmpeg: FFmpeg, models: Models) -> None:
    data = texture(FRAMES, *SIZE)
    wanted = picture(ffmpeg, vsr(models.kernel), data)
    for options in ("adapt_interval=0", "adapt_interval=1", "adapt_interval=3", "adapt_interval=1:kernel=bicubic"):
        assert picture(ffmpeg, vsr(models.kernel, options), data) == wanted


@pytest.mark.parametrize("code", [16, 128, 235])
def test_a_stream_that_begins_flat(ffmpeg: FFmpeg, models: Models, code: int) -> None:
    """Black, gray or white, without anything to estimate from: the picture stays about flat, and the next estimate is as
    if nothing had been before."""
    size = SIZE[0] * SIZE[1]
    flat = (bytes([code]) * size + bytes([128]) * (size // 2)) * 7
    found = frames_of(ffmpeg, models, flat + texture(FRAMES, *SIZE), "adapt_interval=7")
    every = frames_of(ffmpeg, models, flat + texture(FRAMES, *SIZE), "adapt_interval=1")
    assert len(found) == 14 and found[7] == every[7]
    luma = np.frombuffer(found[2], np.uint8)[:16 * size].astype(int)
    plain = np.frombuffer(picture(ffmpeg, vsr(models.modulated, "adapt_interval=0"), flat), np.uint8)[:16 * size].astype(int)
    assert abs(luma - plain).max() < 64


def test_black_tells_nothing(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    """The neutral degradation serves then; ten frames later it is tried again, or where a cut is seen."""
    path, size = modulated_without_biases(models, tmp_path), SIZE[0] * SIZE[1]
    data = (bytes([16]) * size + bytes([128]) * (size // 2)) * 13 + texture(12, *SIZE)

    def run(*options: str) -> list[bytes]:
        whole = picture(ffmpeg, vsr(path, *options), data)
        return [whole[at:at + PICTURE] for at in range(0, len(whole), PICTURE)]

    neutral, every, found = (run(f"adapt_interval={number}", "scene=0") for number in (0, 1, 100))
    assert same(found, neutral) == list(range(20)) and same(found[13:], every[13:]) == [7]
    assert same(run("adapt_interval=100")[13:], run("adapt_interval=1")[13:])[0] == 0
    log = ffmpeg.log(*INPUT, "-vf", vsr(path, "scene=0"), data=data)
    assert re.findall(r"frame (\d+): (too flat to tell, )?response", log) == [
        ("0", "too flat to tell, "), ("10", "too flat to tell, "), ("20", "")]


def test_another_size_begins_anew(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    """Frames of another size are another stream: frames are counted from there."""
    parts = []
    for number, size in enumerate(((24, 16), (16, 24))):
        parts.append(tmp_path / f"{number}.ts")
        ffmpeg.output(*raw("yuv420p", *size), "-c:v", "libx264", "-qp", "0", "-bf", "0", "-output_ts_offset", str(0.2 * number),
                      parts[-1], data=texture(5, *size))
    whole = tmp_path / "whole.ts"
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    chain = ("-vf", vsr(models.modulated, "adapt_interval=3"), "-noautoscale")
    sums = [packet.checksum for part in (*parts, whole) for packet in ffmpeg.packets("-i", part, *chain)]
    assert len(sums) == 20 and sums[:10] == sums[10:]


# ---- What is refused ----

@pytest.mark.parametrize("value", ["-1", "1000000000001"])
def test_start_numbers(ffmpeg: FFmpeg, models: Models, value: str) -> None:
    done = ffmpeg.run(*INPUT, "-vf", vsr(models.plain, f"start_number={value}"), "-f", "null", "-", data=texture(3, *SIZE))
    assert done.returncode != 0 and "'start_number' out of range [0 - 1e+12]" in done.stderr.decode()


@pytest.mark.parametrize("value, said", [("-1", "out of range [0 - "), ("1000001", "out of range [0 - "),
                                         ("often", 'Undefined constant or missing \'(\' in \'often\'')])
@pytest.mark.parametrize("kind", ["modulated", "plain"])
def test_values(ffmpeg: FFmpeg, models: Models, kind: str, value: str, said: str) -> None:
    done = ffmpeg.run(*INPUT, "-vf", vsr(getattr(models, kind), f"adapt_interval={value}"), "-f", "null", "-",
                      data=texture(3, *SIZE))
    text = done.stderr.decode()
    assert done.returncode != 0 and said in text and "adapt_interval" in text


def test_estimates_depend_on_the_probe(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    tensors, metadata = model_file.read(models.modulated)
    data = texture(1, *SIZE)
    tensors["degradation_net.probe"] = tensors["degradation_net.neutral"]
    model_file.write(tmp_path / "other.bin", tensors, metadata)
    one, other = (picture(ffmpeg, vsr(model), data) for model in (models.modulated, tmp_path / "other.bin"))
    assert one != other
    one, other = (picture(ffmpeg, vsr(model, "adapt_interval=0"), data) for model in (models.modulated, tmp_path / "other.bin"))
    assert one == other


@pytest.mark.parametrize("lacks", ["modulation.1.bias", "degradation_net.0.weight", "degradation_net.neutral",
                                   "degradation_net.probe"])
def test_a_model_that_lacks_a_part(ffmpeg: FFmpeg, models: Models, tmp_path: Path, lacks: str) -> None:
    tensors, metadata = model_file.read(models.modulated)
    del tensors[lacks]
    model_file.write(tmp_path / "lacks.bin", tensors, metadata)
    done = ffmpeg.run(*INPUT, "-vf", vsr(tmp_path / "lacks.bin"), "-f", "null", "-", data=texture(1, *SIZE))
    line = only_line(done.stderr.decode())
    assert done.returncode != 0 and lacks in line and "lacks.bin" in line
