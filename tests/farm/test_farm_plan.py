"""The plan of the farm: filters it takes, chunks and their context, time bases, the list for the join.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import random
import re
import sys
from fractions import Fraction
from pathlib import Path
from typing import Sequence

import pytest
from conftest import TOP, FFmpeg, Models

sys.path.insert(0, str(TOP / "farm"))
from steps import encode, join, model, plan, vf  # noqa: E402
from steps.common import FarmError, rescale, seconds, what_ffmpeg_said  # noqa: E402


def chunks(count: int, size: int, *, intervals: Sequence[int] = (), radius: int = 2, drops: bool = False) -> list[plan.Chunk]:
    return plan.make_chunks(range(count), [0], Fraction(1, 25), size=size, radius=radius, intervals=intervals, drops_borders=drops)


@pytest.mark.parametrize("drops", [False, True])
@pytest.mark.parametrize("intervals", [(), (2,), (5,), (7,), (100,), (7, 5), (2, 100)])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 25, 1000])
@pytest.mark.parametrize("count", [5, 6, 26, 99])
def test_chunks_cover_the_film_with_context(count: int, size: int, intervals: tuple[int, ...], drops: bool) -> None:
    found = chunks(count, size, intervals=intervals, drops=drops)
    first, last = (2, count - 2) if drops else (0, count)
    assert [frame for chunk in found for frame in range(chunk.first, chunk.last)] == list(range(first, last))
    for number, chunk in enumerate(found):
        assert chunk.number == number
        assert chunk.end == min(count, chunk.last + 2) and 0 <= chunk.begin <= max(0, chunk.first - 3)
        assert chunk.first - chunk.begin >= (2 if drops else 0)  # those that border=none drops are context
        for interval in intervals:  # the estimate that the first frame needs has its whole window
            assert chunk.begin == 0 or chunk.first // interval * interval - chunk.begin >= 3


def test_context_is_no_more_than_needed() -> None:
    assert [(c.begin, c.end) for c in chunks(20, 8)] == [(0, 10), (5, 18), (13, 20)]
    assert [(c.begin, c.first) for c in chunks(60, 20, intervals=[5])] == [(0, 0), (17, 20), (37, 40)]
    assert [(c.begin, c.first) for c in chunks(60, 20, intervals=[6, 5])] == [(0, 0), (17, 24), (42, 48)]
    assert [(c.begin, c.first) for c in chunks(12, 2, intervals=[2], radius=3, drops=True)] == [(0, 3), (0, 4), (2, 6), (4, 8)]


def test_sizes_are_multiples_of_the_larger_interval() -> None:
    wanted = {(500, (25,)): 500, (7, (5,)): 10, (7, ()): 7, (500, (7, 100)): 500, (7, (3, 4)): 8, (500, (600, 7)): 600}
    assert {case: plan.chunk_size(*case) for case in wanted} == wanted


def restored(begin: int, end: int, cuts: set[int], flat: set[int], *, kernel: int, adapt: int, border: str) -> dict[int, tuple]:
    """What each frame is made from by a filter that sees frames begin..end-1, and knows their numbers: its window, the windows that
    its estimates of the kernel and of the degradation come from, and the frames that these were made for. Whether a frame is
    a cut is right where the two before it are seen; else, at worst, it is wrong. Of a flat frame no degradation is told: that
    is tried again ten frames later."""
    shown = {u for u in range(begin, end) if u == begin or (u in cuts) == (u >= begin + 2 or begin == 0)}

    def window(t: int) -> tuple[int, ...]:
        first = last = t
        while first > max(t - 2, begin) and first not in shown:
            first -= 1
        while last < min(t + 2, end - 1) and last + 1 not in shown:
            last += 1
        return tuple(max(first, min(last, u)) for u in range(t - 2, t + 3))

    made: dict[int, tuple] = {}
    held: list[tuple | None] = [None, None]
    drop = 2 if border == "none" else 0
    for t in range(begin + drop, end - drop):
        for place, interval in enumerate((kernel, adapt)):
            last = held[place]
            again = place == 1 and last is not None and last[1] is None and t - last[0] >= 10
            if interval and (last is None or t % interval == 0 or t in shown or again):
                held[place] = (t, None if place == 1 and t in flat else window(t))
        made[t] = (window(t), *held)
    return made


@pytest.mark.parametrize("border", ["replicate", "none"])
@pytest.mark.parametrize("kernel", [0, 1, 4, 6])
@pytest.mark.parametrize("adapt", [0, 1, 5, 9, 25])
def test_chunks_use_the_estimates_of_one_run(kernel: int, adapt: int, border: str) -> None:
    """Against a model of the filter, wherever the cuts are: before the beginning of a chunk, at it, in its lead-in."""
    rng, count = random.Random(f"{kernel} {adapt} {border}"), 140
    intervals = vf.parse(f"selfblindvsr=kernel_interval={kernel}:adapt_interval={adapt}").intervals(True)
    for _ in range(20):
        found = chunks(count, rng.choice((1, 3, 8, 20, 50)), intervals=intervals, drops=border == "none")
        joints = [u for chunk in found for u in range(chunk.begin - 1, chunk.begin + 4)] + [
            u for chunk in found for u in range(chunk.first - 4, chunk.first + 4)]
        cuts = {u for u in rng.sample(joints, min(len(joints), 9)) + rng.sample(range(count), 4) if 0 < u < count}
        black = rng.randrange(count)
        flat = {*range(black, black + rng.randrange(50)), *rng.sample(range(count), 9)}
        whole = restored(0, count, cuts, flat, kernel=kernel, adapt=adapt, border=border)
        for chunk in found:
            part = restored(chunk.begin, chunk.end, cuts, flat, kernel=kernel, adapt=adapt, border=border)
            assert all(part[t] == whole[t] for t in range(chunk.first, chunk.last)), (chunk, sorted(cuts))


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

@pytest.mark.parametrize("text, intervals, modulated, drops", [  # modulated: the intervals with a model that is
    ("selfblindvsr", [], [100], False),
    ("selfblindvsr=a,b.bin", None, None, None),
    (r"selfblindvsr=model='a,b:c.bin':border=none", [], [100], True),
    (r"format=yuv444p,selfblindvsr@x=m.bin:cpu:refine=2,scale=iw/2:-2", [], [100], False),
    ("selfblindvsr=kernel_interval=25:cycle=1", [25], [25, 100], False),
    ("selfblindvsr=kernel=bicubic:refine=5:kernel_interval=9", [], [100], False),
    ("selfblindvsr=kernel=bicubic:adapt_interval=12", [], [12], False),
    ("selfblindvsr=adapt_interval=0", [], [], False),
    ("selfblindvsr=adapt_interval=1:cycle=1", [], [], False),
    ("selfblindvsr=adapt_interval=0:kernel_interval=25", [25], [25], False),
])
def test_filters(text: str, intervals: list[int] | None, modulated: list[int] | None, drops: bool | None) -> None:
    if intervals is None:
        with pytest.raises(FarmError):
            vf.parse(text)
        return
    chain = vf.parse(text)
    assert (chain.intervals(False), chain.intervals(True), chain.drops_borders) == (intervals, modulated, drops)


@pytest.mark.parametrize("model", ["fast", "a b/x.bin", r"C:\it's, 'so';[c].bin"])
@pytest.mark.parametrize("text", ["selfblindvsr", "selfblindvsr=cycle=1", "format=gbrp,selfblindvsr@x=refine=2 ,scale=iw/2:-2"])
def test_a_model_of_its_own(text: str, model: str) -> None:
    before, after = vf.parse(text), vf.parse(vf.with_model(text, model))
    assert after.options == {**before.options, "model": model}
    assert (after.kernel_interval, after.adapt_interval) == (before.kernel_interval, before.adapt_interval)
    with pytest.raises(FarmError, match="names a model already"):
        vf.with_model(vf.with_model(text, model), model)


def test_numbers_of_their_own() -> None:
    assert vf.with_start_number("selfblindvsr", 97) == "selfblindvsr=start_number=97"
    assert vf.with_start_number("null,selfblindvsr@x='a,b'.bin:cpu ,null", 0) == (
        "null,selfblindvsr@x='a,b'.bin:cpu:start_number=0,null")


def test_where_a_model_lies(tmp_path: Path) -> None:
    """A word is the name of an installed one, from where ffmpeg really is; all else is a file."""
    (tmp_path / "real/bin").mkdir(parents=True)
    (tmp_path / "real/bin/ffmpeg").touch()
    (tmp_path / "ffmpeg").symlink_to(tmp_path / "real/bin/ffmpeg")
    job = {"ffmpeg": str(tmp_path / "ffmpeg"), "directory": "/films"}
    found = {text: str(model.path_of(vf.parse(f"selfblindvsr{text}"), job)) for text in ("", "=fast", "=model=m.bin", "=./m")}
    installed = f"{tmp_path}/real/share/selfblindvsr"
    assert found == {"": f"{installed}/default.bin", "=fast": f"{installed}/fast.bin", "=model=m.bin": "/films/m.bin",
                     "=./m": "/films/m"}


def test_which_models_are_modulated(models: Models, tmp_path: Path) -> None:
    """The header of the file says it. Of a model that cannot be read the worst is assumed; the filter says what is wrong."""
    damaged = {"empty": b"", "short": b"\x40\0\0\0\0\0\0\0{}", "long": b"\xff" * 100, "list": b"\2\0\0\0\0\0\0\0[]",
               "text": b"\2\0\0\0\0\0\0\0\xff\xff"}
    for name, contents in damaged.items():
        (tmp_path / f"{name}.bin").write_bytes(contents)
    job = {"ffmpeg": str(tmp_path / "bin/ffmpeg"), "directory": str(tmp_path)}

    def is_modulated(options: str) -> bool:
        return model.is_modulated(vf.parse(f"selfblindvsr{options}"), job)
    assert [is_modulated(f"=model={path}") for path in (models.plain, models.kernel, models.modulated)] == [False, False, True]
    assert all(is_modulated(f"={name}.bin") for name in (*damaged, "missing")) and is_modulated("")
    (tmp_path / "share/selfblindvsr").mkdir(parents=True)
    for name, path in (("default", models.kernel), ("adapts", models.modulated)):
        (tmp_path / f"share/selfblindvsr/{name}.bin").write_bytes(path.read_bytes())
    assert not is_modulated("") and is_modulated("=adapts")


def test_options_are_those_of_the_filter(ffmpeg: FFmpeg) -> None:
    """Those without names are in its order, and what is not given has its default."""
    text = ffmpeg.run("-h", "filter=selfblindvsr").stdout.decode()
    assert tuple(re.findall(r"^ {2,3}(\w+) +<", text, re.M)) == vf.ORDER
    assert re.search(rf"^ +adapt_interval .*\(default {vf.ADAPT_INTERVAL}\)$", text, re.M)


@pytest.mark.parametrize("text, message", [
    ("scale=2:2", "is not in it"),
    ("", "cannot be used"),
    ("selfblindvsr,selfblindvsr", "once, not twice"),
    ("bwdif,selfblindvsr", "the filter bwdif cannot be used"),
    ("[in]selfblindvsr[out]", "without labels"),
    ("selfblindvsr;null", "without labels"),
    ("selfblindvsr=model='x", "not closed"),
    ("selfblindvsr=kernel_file=k.npy", "every chunk would write the same file"),
    ("selfblindvsr=adapt_interval=0:start_number=7", "every chunk has its own"),
    ("selfblindvsr=kernel_interval=x", "must be a whole number"),
    ("selfblindvsr=adapt_interval=often", "adapt_interval=often: must be a whole number"),
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
