"""Chunks of the farm against one run over the whole film: every bit, every tick, whatever the film.

The steps run one after the other here; test_farm_run.py has the workflow.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Callable

import films
import pytest
from conftest import TOP, FFmpeg, Models, modulated_without_biases

sys.path.insert(0, str(TOP / "farm"))
from steps import cli, join, prepare, restore, verify  # noqa: E402
from steps.common import FarmError, write_json  # noqa: E402
from steps.work import Work  # noqa: E402


def run_steps(ffmpeg: FFmpeg, source: Path, output: Path, chain: str, chunk: int, *more: str, encode: str = "") -> Work:
    """All steps, in one process."""
    encode = encode or " ".join(films.LOSSLESS[output.suffix])
    arguments = cli.parse([str(source), str(output), "--vf", chain, "--encode", encode, "--chunk",
                           str(chunk), "--ffmpeg", str(ffmpeg.folder / "ffmpeg"), *more])
    folder = output.with_suffix(".farm")
    folder.mkdir()
    write_json(folder / "job.json", cli.make_job(arguments, *cli.check_files(arguments), cli.find_profile("local")))
    work = Work(folder)
    prepare.prepare(work)
    cli.keep_what_is_done(work)
    for each in work.list:
        restore.restore(work, each)
    join.join(work)
    verify.verify(work)
    os.replace(work.joined, output)
    return work


def streams(ffmpeg: FFmpeg, film: Path) -> dict[str, list[dict]]:
    done = ffmpeg.run("-show_streams", "-show_chapters", "-show_format", "-of", "json", film, program="ffprobe")
    return json.loads(done.stdout)


DEFAULT, ESTIMATES, ADAPTS = "", ":kernel_interval=5:refine=1", ":adapt_interval=5"


@pytest.mark.parametrize("make, chunk, options, ending", [
    (films.open_gop, 7, DEFAULT, ".mkv"),        # scene cuts at joints of chunks
    (films.open_gop, 13, ESTIMATES, ".mkv"),
    (films.open_gop, 100, DEFAULT, ".mp4"),      # a film shorter than a chunk
    (films.irregular, 11, ":scene=0.05", ".mkv"),
    (films.irregular, 9, DEFAULT, ".mp4"),
    (films.broadcast, 7, DEFAULT, ".mkv"),
    (films.broadcast, 13, DEFAULT, ".mp4"),
    (films.cut_out, 9, ":border=none", ".mkv"),
    (films.cut_out, 8, ":border=reflect", ".mp4"),
    (films.timecoded, 20, DEFAULT, ".mp4"),
    (films.primed, 16, DEFAULT, ".mkv"),
    (films.bare, 16, DEFAULT, ".mkv"),
    (films.refreshed, 13, DEFAULT, ".mkv"),
    (films.ten_bit, 5, DEFAULT, ".mkv"),
    (films.recoloured, 7, DEFAULT, ".mkv"),
    (films.open_gop, 7, ADAPTS, ".mkv"),         # cuts at 14 and 28, in the lead-in of the chunks from 20 and 30 on
    (films.open_gop, 11, ":adapt_interval=4:kernel_interval=3:refine=1", ".mkv"),
    (films.cut_out, 9, f"{ADAPTS}:border=none:kernel=bicubic", ".mkv"),
    (films.irregular, 9, ":adapt_interval=0", ".mp4"),
    (films.open_gop, 3, ":adapt_interval=1:scene=0", ".mkv"),
    (films.held, 8, ":adapt_interval=4", ".mkv"),
], ids=lambda value: getattr(value, "__name__", value))
def test_chunks_are_one_run(ffmpeg: FFmpeg, models: Models, tmp_path: Path, make: Callable[[FFmpeg, Path], Path], chunk: int,
                            options: str, ending: str) -> None:
    model = models.modulated if "adapt" in options else models.kernel if options == ESTIMATES else models.random
    chain = f"selfblindvsr=model={model}{options}"
    source = make(ffmpeg, tmp_path)
    expected = films.one_run(ffmpeg, source, tmp_path / f"one{ending}", chain)
    work = run_steps(ffmpeg, source, tmp_path / f"many{ending}", chain, chunk)
    assert films.frames(ffmpeg, tmp_path / f"many{ending}") == expected
    assert len({frame[2] for frame in expected}) > len(expected) * (0.4 if make is films.held else 0.7), \
        "frames must differ, or nothing is shown"
    assert len(work.list) == 1 if chunk == 100 else len(work.list) > 1
    if make in (films.open_gop, films.refreshed) and chunk == 13:
        assert work.list[-1].seek, "the last chunk must seek, or nothing is shown"


def test_black_that_tells_nothing(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    """What is estimated of it is tried again after so many frames, which a chunk counts as one run does."""
    model = modulated_without_biases(models, tmp_path)
    source, chain = films.black_first(ffmpeg, tmp_path), f"selfblindvsr=model={model}:scene=0"
    expected = films.one_run(ffmpeg, source, tmp_path / "one.mkv", f"{chain}:adapt_interval=25")
    work = run_steps(ffmpeg, source, tmp_path / "many.mkv", f"{chain}:adapt_interval=25", 25)
    assert [(chunk.begin, chunk.first) for chunk in work.list] == [(0, 0), (22, 25), (47, 50), (72, 75)]
    assert films.frames(ffmpeg, tmp_path / "many.mkv") == expected
    neutral = films.one_run(ffmpeg, source, tmp_path / "off.mkv", f"{chain}:adapt_interval=0")
    assert expected[:60] == neutral[:60] and not set(expected[62:]) & set(neutral[62:])


@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
@pytest.mark.parametrize("make", [films.open_gop, films.irregular], ids=lambda make: make.__name__)
def test_frames_encoded_out_of_order(ffmpeg: FFmpeg, models: Models, tmp_path: Path, make: Callable[[FFmpeg, Path], Path],
                                     ending: str) -> None:
    """Lossy, with B-frames: every chunk begins with a keyframe, times and order are those of the source, and so is the sound."""
    source, output = make(ffmpeg, tmp_path), tmp_path / f"many{ending}"
    work = run_steps(ffmpeg, source, output, f"selfblindvsr=model={models.plain}", 8,
                     encode="-c:v libx264 -crf 20 -bf 3 -b_strategy 0")
    before, after = films.frames(ffmpeg, source), films.frames(ffmpeg, output)
    start = before[0][0] - after[0][0]
    assert (start == 0) == (make is films.open_gop)  # what begins later than 0 is moved there, with all streams
    assert [time - start for time, _, _ in before] == pytest.approx([time for time, _, _ in after], abs=0.00051)
    shown = json.loads(ffmpeg.run("-select_streams", "v", "-show_entries", "packet=pts,flags", "-of", "json", output,
                                  program="ffprobe").stdout)["packets"]
    keys = {number for number, packet in enumerate(shown) if packet["flags"].startswith("K")}
    assert {chunk.first for chunk in work.list} <= keys
    order = [packet["pts"] for packet in shown]
    assert order != sorted(order)
    if make is films.open_gop:
        sound = [ffmpeg.packets("-copyts", "-i", film, "-map", "0:a", "-c", "copy") for film in (source, output)]
        assert [packet.checksum for packet in sound[0]] == [packet.checksum for packet in sound[1]]


@pytest.mark.parametrize("make", [films.open_gop, films.irregular, films.broadcast, films.cut_out, films.refreshed],
                         ids=lambda make: make.__name__)
def test_index_of_packets(ffmpeg: FFmpeg, models: Models, tmp_path: Path, make: Callable[[FFmpeg, Path], Path]) -> None:
    """Where a chunk begins at the right frame, its pictures are right too: there is a keyframe more between."""
    source, chain = make(ffmpeg, tmp_path), f"selfblindvsr=model={models.random}"
    expected = films.one_run(ffmpeg, source, tmp_path / "one.mkv", chain)
    run_steps(ffmpeg, source, tmp_path / "many.mkv", chain, 13, "--index", "packets")
    assert films.frames(ffmpeg, tmp_path / "many.mkv") == expected


def test_a_chunk_is_damaged_before_it_is_joined(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    """Cut short, or changed without a trace: it is noticed, discarded, and can be made again."""
    source = films.open_gop(ffmpeg, tmp_path)
    work = run_steps(ffmpeg, source, tmp_path / "many.mkv", f"selfblindvsr=model={models.plain}", 20)
    damaged = work.list[1]
    whole = work.film(damaged).read_bytes()
    for contents in (whole[:-7], whole[:len(whole) // 2] + bytes(64) + whole[len(whole) // 2 + 64:]):
        work.film(damaged).write_bytes(contents)
        record = work.record(damaged).read_text()
        with pytest.raises(FarmError, match="1 chunks are damaged: 1"):
            join.join(work)
            verify.verify(work)
        assert not work.record(damaged).exists() and not work.film(damaged).exists() and not work.joined.exists()
        work.film(damaged).write_bytes(whole)
        work.record(damaged).write_text(record)
    join.join(work)
    verify.verify(work)


def test_detection_and_estimates_matter(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    """The films of the tests show where a chunk would go wrong: with other settings other pictures come out."""
    source = films.open_gop(ffmpeg, tmp_path)
    settings = (f"{models.random}", f"{models.random}:scene=0", f"{models.kernel}{ESTIMATES}",
                f"{models.kernel}:kernel_interval=1:refine=1",
                *(f"{models.modulated}:adapt_interval={number}" for number in (0, 1, 4, 5)))
    results = [films.one_run(ffmpeg, source, tmp_path / "one.mkv", f"selfblindvsr=model={each}") for each in settings]
    assert results[0][12:16] != results[1][12:16] and results[2] != results[3]
    assert results[0][2:11] == results[1][2:11]
    adapted = [{number for number, pair in enumerate(zip(other, results[5])) if pair[0] == pair[1]} for other in results[4:]]
    assert not adapted[0] and len(adapted[1]) == 45
    for interval, found in zip((4, 5), adapted[2:]):
        assert found >= {14, 28, *range(0, 45, interval)} and len(found) < 25


@pytest.mark.parametrize("kind, options, named", [("kernel", ESTIMATES, "kernel_interval=5"),
                                                  ("modulated", ADAPTS, "adapt_interval=5")])
def test_estimates_do_not_survive_a_change_of_colours(ffmpeg: FFmpeg, models: Models, tmp_path: Path, kind: str, options: str,
                                                      named: str) -> None:
    """The filter counts anew from there; chunks behind it would not know. It is an error, not another picture."""
    with pytest.raises(FarmError, match=f"chunk 1, frames 10 to 19: the colour properties of the film change.* {named}$"):
        run_steps(ffmpeg, films.recoloured(ffmpeg, tmp_path), tmp_path / "many.mkv",
                  f"selfblindvsr=model={getattr(models, kind)}{options}", 10)


def test_a_modulated_model_by_default(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    """Chunks hold whole intervals of the filter's own default; none of it where adaptation is off."""
    source = films.write(ffmpeg, tmp_path / "long.mkv", *films.moving(208, size="16x12"), "-c:v", "ffv1", "-g", "20", "-pix_fmt",
                         "yuv420p")
    chain = f"selfblindvsr=model={models.modulated}"
    expected = films.one_run(ffmpeg, source, tmp_path / "one.mkv", chain)
    work = run_steps(ffmpeg, source, tmp_path / "many.mkv", chain, 7)
    assert [(chunk.begin, chunk.first) for chunk in work.list] == [(0, 0), (97, 100), (197, 200)]
    assert films.frames(ffmpeg, tmp_path / "many.mkv") == expected
    assert expected != films.one_run(ffmpeg, source, tmp_path / "off.mkv", f"{chain}:adapt_interval=0")


@pytest.mark.parametrize("count, chunk", [(1, 1), (1, 500), (3, 1), (4, 2)])
def test_short_films(ffmpeg: FFmpeg, models: Models, tmp_path: Path, count: int, chunk: int) -> None:
    source = films.write(ffmpeg, tmp_path / "short.mkv", *films.moving(count), "-c:v", "ffv1", "-pix_fmt", "yuv420p")
    chain = f"selfblindvsr=model={models.random}"
    expected = films.one_run(ffmpeg, source, tmp_path / "one.mkv", chain)
    run_steps(ffmpeg, source, tmp_path / "many.mkv", chain, chunk)
    assert films.frames(ffmpeg, tmp_path / "many.mkv") == expected and len(expected) == count


def test_everything_else_is_kept(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    source = films.with_everything(ffmpeg, tmp_path, films.ten_bit(ffmpeg, tmp_path))
    output = tmp_path / "many.mkv"
    run_steps(ffmpeg, source, output, f"selfblindvsr=model={models.plain}", 5)
    before, after = streams(ffmpeg, source), streams(ffmpeg, output)
    assert len(after["streams"]) == 6 and after["chapters"] == before["chapters"]
    assert after["format"]["tags"]["title"] == 'A "film"'
    for old, new in zip(before["streams"], after["streams"]):
        same = ["codec_name", "codec_type", "sample_aspect_ratio", "color_range", "color_space", "color_transfer",
                "color_primaries", "disposition", "pix_fmt", "start_pts"]
        assert {name: old.get(name) for name in same} == {name: new.get(name) for name in same}
        for name in ("language", "title", "filename", "mimetype"):
            assert old.get("tags", {}).get(name) == new.get("tags", {}).get(name)
    assert (after["streams"][1]["width"], after["streams"][1]["height"]) == (132, 100)
    for stream in (0, 2, 3):
        copied = [ffmpeg.packets("-i", film, "-map", f"0:{stream}", "-c", "copy") for film in (source, output)]
        assert copied[0] == copied[1]


def test_seeking_that_leads_elsewhere_is_noticed(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    """With a seek beyond the frames of a chunk the film is decoded from its beginning instead."""
    source, chain = films.open_gop(ffmpeg, tmp_path), f"selfblindvsr=model={models.random}"
    expected = films.one_run(ffmpeg, source, tmp_path / "one.mkv", chain)
    work = run_steps(ffmpeg, source, tmp_path / "many.mkv", chain, 13)
    plan = json.loads((work.folder / "plan.json").read_text())
    for row in plan["chunks"]:
        row["seek"] = "1.200000"
    write_json(work.folder / "plan.json", plan)
    again = Work(work.folder)
    for chunk in again.list[1:3]:
        restore.restore(again, chunk)
        assert json.loads(again.record(chunk).read_text())["seek"] is None
    join.join(again)
    verify.verify(again)
    assert films.frames(ffmpeg, again.joined) == expected
