"""The plan of the farm: filters it takes, chunks and their context, time bases, the list for the join.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import re
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from conftest import TOP, FFmpeg

sys.path.insert(0, str(TOP / "farm"))
from steps import encode, join, plan, prepare, vf  # noqa: E402
from steps.common import FarmError, rescale, seconds, what_ffmpeg_said  # noqa: E402


def chunks(count: int, size: int, *, interval: int = 0, radius: int = 2, drops: bool = False) -> list[plan.Chunk]:
    return plan.make_chunks(range(count), [0], Fraction(1, 25), size=size, radius=radius, interval=interval, drops_borders=drops)


@pytest.mark.parametrize("drops", [False, True])
@pytest.mark.parametrize("interval", [0, 1, 2, 5, 7, 100])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 25, 1000])
@pytest.mark.parametrize("count", [5, 6, 26, 99])
def test_chunks_cover_the_film_with_context(count: int, size: int, interval: int, drops: bool) -> None:
    found = chunks(count, size, interval=interval, drops=drops)
    first, last = (2, count - 2) if drops else (0, count)
    assert [frame for chunk in found for frame in range(chunk.first, chunk.last)] == list(range(first, last))
    for number, chunk in enumerate(found):
        assert chunk.number == number
        assert chunk.end == min(count, chunk.last + 2) and 0 <= chunk.begin <= max(0, chunk.first - 3)
        assert chunk.first - chunk.begin >= (2 if drops else 0)  # those that border=none drops are context
        if interval > 1:  # the estimate that the first frame needs has its whole window
            estimate = chunk.first // interval * interval
            assert chunk.begin % interval == 0 and (chunk.begin == 0 or estimate - chunk.begin >= 3)


def test_context_is_no_more_than_needed() -> None:
    assert [(c.begin, c.end) for c in chunks(20, 8)] == [(0, 10), (5, 18), (13, 20)]
    assert [(c.begin, c.first) for c in chunks(60, 20, interval=5)] == [(0, 0), (15, 20), (35, 40)]


def test_sizes_are_multiples_of_the_interval() -> None:
    assert plan.chunk_size(500, 25) == 500 and plan.chunk_size(7, 5) == 10 and plan.chunk_size(7, 1) == 7


def test_seeking_leaves_a_keyframe_between() -> None:
    base = Fraction(1, 1000)
    assert [plan.seek_to([0, 480, 960], pts, base) for pts in (0, 479, 480, 959, 960, 5000)] == [None] * 4 + ["0.480000"] * 2


def test_border_none_needs_frames() -> None:
    with pytest.raises(FarmError, match="of 4 none is left"):
        chunks(4, 10, drops=True)


@pytest.mark.parametrize("times, rate, base, expected", [
    ([0, 40, 80], "25", Fraction(1, 1000), Fraction(1, 25)),
    ([0, 42, 83, 125], "24000/1001", Fraction(1, 1000), Fraction(1001, 24000)),
    ([0, 40, 120], "25", Fraction(1, 1000), Fraction(1, 25)),
    ([0, 40, 81], "25", Fraction(1, 1000), Fraction(1, 1000)),
    ([23, 63], "25", Fraction(1, 1000), Fraction(1, 1000)),
    ([0, 1, 2], "25", Fraction(1, 90000), Fraction(1, 90000)),
    ([0, 40], None, Fraction(1, 1000), Fraction(1, 1000)),
])
def test_the_encoder_counts_in_frames_where_that_is_exact(times: list[int], rate: str | None, base: Fraction,
                                                          expected: Fraction) -> None:
    assert plan.encoder_time_base(times, base, rate) == expected


def test_rescaling_rounds_as_ffmpeg_does() -> None:
    third = Fraction(1, 3)
    assert [rescale(n, Fraction(1, 2), Fraction(1)) for n in (0, 1, 3, -1, -3)] == [0, 1, 2, -1, -2]
    assert rescale(10 ** 15 + 1, third, third) == 10 ** 15 + 1
    assert seconds(Fraction(-1, 3)) == "-0.333333" and seconds(2) == "2.000000"


def test_durations_of_the_list_do_not_add_up_errors() -> None:
    starts = [Fraction(1001 * 500 * n, 24000) for n in range(1000)]
    durations = [line.split()[1] for line in join.chunk_list(["x"] * 1000, starts).splitlines() if line.startswith("duration")]
    assert abs(sum(map(Fraction, durations)) - starts[-1]) <= Fraction(1, 2000000)


# ---- What users write ----

@pytest.mark.parametrize("text, interval, drops", [
    ("selfblindvsr", 0, False),
    ("selfblindvsr=a,b.bin", None, None),
    (r"selfblindvsr=model='a,b:c.bin':border=none", 0, True),
    (r"format=yuv444p,selfblindvsr@x=m.bin:cpu:refine=2,scale=iw/2:-2", 1, False),
    ("selfblindvsr=kernel_interval=25:cycle=1", 25, False),
    ("selfblindvsr=kernel=bicubic:refine=5:kernel_interval=9", 0, False),
])
def test_filters(text: str, interval: int | None, drops: bool | None) -> None:
    if interval is None:
        with pytest.raises(FarmError):
            vf.parse(text)
        return
    chain = vf.parse(text)
    assert (chain.interval, chain.drops_borders) == (interval, drops)


@pytest.mark.parametrize("model", ["fast", "a b/x.bin", r"C:\it's, 'so';[c].bin"])
@pytest.mark.parametrize("text", ["selfblindvsr", "selfblindvsr=cycle=1", "format=gbrp,selfblindvsr@x=refine=2 ,scale=iw/2:-2"])
def test_a_model_of_its_own(text: str, model: str) -> None:
    before, after = vf.parse(text), vf.parse(vf.with_model(text, model))
    assert after.options == {**before.options, "model": model} and after.interval == before.interval
    with pytest.raises(FarmError, match="names a model already"):
        vf.with_model(vf.with_model(text, model), model)


def test_where_a_model_lies(tmp_path: Path) -> None:
    """A word is the name of an installed one, from where ffmpeg really is; all else is a file."""
    (tmp_path / "real/bin").mkdir(parents=True)
    (tmp_path / "real/bin/ffmpeg").touch()
    (tmp_path / "ffmpeg").symlink_to(tmp_path / "real/bin/ffmpeg")
    job = {"ffmpeg": str(tmp_path / "ffmpeg"), "directory": "/films"}
    found = {text: str(prepare.model_path(vf.parse(f"selfblindvsr{text}"), job)) for text in ("", "=fast", "=model=m.bin", "=./m")}
    installed = f"{tmp_path}/real/share/selfblindvsr"
    assert found == {"": f"{installed}/default.bin", "=fast": f"{installed}/fast.bin", "=model=m.bin": "/films/m.bin",
                     "=./m": "/films/m"}


def test_options_without_names_are_in_the_order_of_the_filter(ffmpeg: FFmpeg) -> None:
    text = ffmpeg.run("-h", "filter=selfblindvsr").stdout.decode()
    assert tuple(re.findall(r"^ {2,3}(\w+) +<", text, re.M)) == vf.ORDER


@pytest.mark.parametrize("text, message", [
    ("scale=2:2", "is not in it"),
    ("", "cannot be used"),
    ("selfblindvsr,selfblindvsr", "once, not twice"),
    ("bwdif,selfblindvsr", "the filter bwdif cannot be used"),
    ("[in]selfblindvsr[out]", "without labels"),
    ("selfblindvsr;null", "without labels"),
    ("selfblindvsr=model='x", "not closed"),
    ("selfblindvsr=kernel_file=k.npy", "every chunk would write the same file"),
    ("selfblindvsr=kernel_interval=x", "must be a whole number"),
    ("crop=x=n,selfblindvsr", "the number of a frame"),
])
def test_filters_that_cannot_be_used(text: str, message: str) -> None:
    with pytest.raises(FarmError, match=message):
        vf.parse(text)


@pytest.mark.parametrize("text, message", [
    ("-c copy", "say -c:v"), ("-c:a aac", "video encoder alone"), ("-pass 2", "cannot be used"), ("ffv1", "belongs to no option"),
    ("-c:v ffv1 out.mkv", "belongs to no option"), ("-c:v 'ffv1", "no closing quotation"), ("-r 25", "cannot be used"),
])
def test_encoders_that_cannot_be_used(text: str, message: str) -> None:
    with pytest.raises(FarmError, match=message):
        encode.parse(text)


def test_encoders() -> None:
    assert encode.parse("-c:v libx264 -crf 16 -x264-params 'a=1:b=2' -qmin -1") == [
        "-c:v", "libx264", "-crf", "16", "-x264-params", "a=1:b=2", "-qmin", "-1"]
    with pytest.raises(FarmError, match="must end in"):
        encode.container_of(Path("x.avi"))


def test_messages_are_the_first_errors() -> None:
    log = "[info] Input #0\n[x @ 0x1f] [warning] odd\n[libx264 @ 0x55] [error] no such preset\n[error] cannot open\n[error] then\n"
    assert what_ffmpeg_said(log) == "no such preset | cannot open"
    assert what_ffmpeg_said("") == "no message" and what_ffmpeg_said("a\nb\nc") == "b | c"
