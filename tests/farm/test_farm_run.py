"""farm/upscale on this machine: any number of workers, and what can go wrong in the middle.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import json
import random
import re
import sys
import time
from pathlib import Path
from typing import Callable

import films
import pytest
from conftest import TIMEOUT, TOP, FFmpeg, Models
from films import Frame, kill, start, stub, upscale

sys.path.insert(0, str(TOP / "farm"))
from steps import cli  # noqa: E402
from steps.common import FarmError  # noqa: E402

CHUNK = 7
SLOW = 'case "$*" in *trim=start_pts*) sleep 0.7;; esac'  # chunks alone


@pytest.fixture(scope="session")
def oldest(ffmpegs: list[FFmpeg]) -> FFmpeg:
    films.need_snakemake()
    return ffmpegs[0]


class Film:
    """A film, how it is wanted, and what one run makes of it."""

    def __init__(self, ffmpeg: FFmpeg, models: Models, folder: Path) -> None:
        self.source = films.open_gop(ffmpeg, folder)
        self.chain = f"selfblindvsr=model={models.random}"
        self.expected: list[Frame] = films.one_run(ffmpeg, self.source, folder / "one.mkv", self.chain)
        self.options = ("--vf", self.chain, "--encode", "-c:v ffv1", "--chunk", str(CHUNK))


@pytest.fixture(scope="session")
def film(oldest: FFmpeg, models: Models, tmp_path_factory: pytest.TempPathFactory) -> Film:
    return Film(oldest, models, tmp_path_factory.mktemp("film"))


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, "it has not happened in time"
        time.sleep(0.05)


def records(work: Path) -> dict[str, dict]:
    return {path.name: json.loads(path.read_text()) for path in sorted((work / "chunks").glob("[0-9]*.json"))}


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_any_number_of_workers(oldest: FFmpeg, film: Film, tmp_path: Path, workers: int) -> None:
    status, said = upscale(oldest, tmp_path, film.source, "many.mkv", *film.options, "--workers", str(workers), "--report",
                           "page.html")
    assert status == 0, said
    assert films.frames(oldest, tmp_path / "many.mkv") == film.expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["many.mkv", "page.html"], "nothing is left behind"
    page = (tmp_path / "page.html").read_text()
    assert page.count('<rect class="done"') + page.count('<rect class="slow"') == 7 and "45 of 45 frames" in page
    assert 1 <= len(re.findall(r"<tr[^>]*><td>", page)) <= workers


def test_names_and_a_dry_run(oldest: FFmpeg, film: Film, tmp_path: Path) -> None:
    folder = tmp_path / "it's {a} \"folder\" of $HOME %d"
    folder.mkdir()
    source = folder / "-it's a $film; {x} `é` *?#%05d.mkv"
    source.write_bytes(film.source.read_bytes())
    names = (f"./{source.name}", "out {wildcards} 'ü' $(x).mkv")
    status, said = upscale(oldest, folder, *names, *film.options, "--dry-run")
    assert status == 0 and "45 frames" in said and list(folder.iterdir()) == [source], said
    status, said = upscale(oldest, folder, *names, *film.options, "--workers", "2")
    assert status == 0, said
    assert films.frames(oldest, folder / names[1]) == film.expected


def test_workers_are_killed(oldest: FFmpeg, film: Film, tmp_path: Path) -> None:
    slow = stub(tmp_path, oldest, "slow", SLOW)
    child = start(oldest, tmp_path, film.source, "many.mkv", *film.options, "--workers", "2", program=slow)
    rng, killed = random.Random(1), 0
    while child.poll() is None and killed < 6:
        workers = films.children(child.pid, lambda command: "step.py restore" in command or "trim=start_pts" in command)
        workflow = films.children(child.pid, lambda command: "--snakefile" in command)
        found = workers and (workflow if killed == 3 else workers)
        if found:
            kill(rng.choice(found))
            killed += 1
        time.sleep(rng.uniform(0.2, 1))
    said, _ = child.communicate(timeout=TIMEOUT)
    assert child.returncode == 0 and killed >= 4 and "Snakemake was killed by signal 9: it is started again" in said, said
    assert films.frames(oldest, tmp_path / "many.mkv") == film.expected


def test_the_coordinator_is_killed_and_a_chunk_damaged(oldest: FFmpeg, film: Film, tmp_path: Path) -> None:
    slow, work = stub(tmp_path, oldest, "slow", SLOW), tmp_path / "many.mkv.farm"
    command = (film.source, "many.mkv", *film.options, "--workers", "2", "--keep")
    child = start(oldest, tmp_path, *command, program=slow)
    wait_for(lambda: len(list((work / "chunks").glob("[0-9]*.json"))) >= 3)
    kill(child.pid)
    child.communicate()
    wait_for(lambda: not films.mentioned(str(tmp_path)))
    assert not (tmp_path / "many.mkv").exists()
    before = records(work)
    damaged, *kept = sorted(before)
    whole = (work / "chunks" / damaged).with_suffix(".mkv")
    whole.write_bytes(whole.read_bytes()[:-100])

    status, said = upscale(oldest, tmp_path, *command, program=slow)
    assert status == 0, said
    assert f"chunks {int(damaged[:6])} are damaged" in said and f"{len(kept)} of 7 chunks are done already" in said
    after = records(work)
    assert all(after[name] == before[name] for name in kept) and after[damaged] != before[damaged]
    assert films.frames(oldest, tmp_path / "many.mkv") == film.expected


def test_a_full_disk(oldest: FFmpeg, film: Film, tmp_path: Path) -> None:
    """Chunk 2 is written to a full disk; the others are kept, and with room again the same command ends the work."""
    flag = tmp_path / "full"
    flag.touch()
    full = stub(tmp_path, oldest, "stub", f"""for word in "$@"; do
        case "$word" in file:*/.000002-*.mkv) [ ! -e {flag} ] || word=file:/dev/full;; esac; words+=("$word"); done
        set -- "${{words[@]}}" """)
    command = (film.source, "many.mkv", *film.options, "--workers", "2", "--report", "page.html")
    status, said = upscale(oldest, tmp_path, *command, program=full)
    assert status == 1 and not (tmp_path / "many.mkv").exists()
    assert re.search(r"chunk 2, frames 14 to 20, failed 3 times: .*No space left on device", said), said
    assert "1 of 7 chunks failed" in said and "6 of 7 chunks" in (tmp_path / "page.html").read_text()
    assert len(records(tmp_path / "many.mkv.farm")) == 6
    flag.unlink()
    status, said = upscale(oldest, tmp_path, *command, program=full)
    assert status == 0 and "6 of 7 chunks are done already" in said, said
    assert films.frames(oldest, tmp_path / "many.mkv") == film.expected


def test_source_and_settings_change_between_runs(oldest: FFmpeg, film: Film, models: Models, tmp_path: Path) -> None:
    source = films.write(oldest, tmp_path / "film.mkv", *films.moving(8), "-c:v", "ffv1", "-pix_fmt", "yuv420p")
    command = (source, "many.mkv", *film.options, "--keep", "--overwrite")
    assert upscale(oldest, tmp_path, *command)[0] == 0
    films.write(oldest, source, *films.moving(8, more=",hflip"), "-c:v", "ffv1", "-pix_fmt", "yuv420p")
    status, said = upscale(oldest, tmp_path, *command)
    assert status == 0 and "the source has changed since the last run" in said, said
    assert films.frames(oldest, tmp_path / "many.mkv") == films.one_run(oldest, source, tmp_path / "one.mkv", film.chain)
    work = cli.Work(tmp_path / "many.mkv.farm")
    first = work.key(work.list[0])
    plan = json.loads((work.folder / "plan.json").read_text())
    assert plan["frames"] == 8 and all(record["key"] != first or name == "000000.json"
                                       for name, record in records(work.folder).items())


def test_source_changes_while_it_is_restored(oldest: FFmpeg, film: Film, tmp_path: Path) -> None:
    source = tmp_path / "film.mkv"
    source.write_bytes(film.source.read_bytes())
    touch = stub(tmp_path, oldest, "stub", f'case "$*" in *.000003-*) touch {source};; esac')
    status, said = upscale(oldest, tmp_path, source, "many.mkv", *film.options, program=touch)
    assert status == 1 and "the source has changed since it was indexed" in said and not (tmp_path / "many.mkv").exists()


def test_every_worker_has_a_gpu(oldest: FFmpeg, film: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs, called 3 and 5: a chunk sees one of them, and none is seen by two chunks at a time."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    log = tmp_path / "log"
    watched = stub(tmp_path, oldest, "stub", f'''case "$*" in *trim=start_pts*)
        echo "begin $CUDA_VISIBLE_DEVICES" >> {log}; sleep 0.3; "$FFMPEG" "$@"; status=$?; echo "end $CUDA_VISIBLE_DEVICES" >> {log}
        exit $status;; esac''')
    status, said = upscale(oldest, tmp_path, film.source, "many.mkv", *film.options, "--gpu", program=watched)
    assert status == 0, said
    at_work, seen = set(), set()
    for line in log.read_text().splitlines():
        what, device = line.split()
        assert (device in at_work) == (what == "end")
        at_work ^= {device}
        seen.add(device)
    assert seen == {"3", "5"}


def test_two_at_once_do_not_meet(oldest: FFmpeg, film: Film, tmp_path: Path) -> None:
    child = start(oldest, tmp_path, film.source, "many.mkv", *film.options, program=stub(tmp_path, oldest, "slow", SLOW))
    wait_for((tmp_path / "many.mkv.farm/job.json").exists)
    status, said = upscale(oldest, tmp_path, film.source, "many.mkv", *film.options)
    assert status == 1 and "another upscale is at work" in said
    child.terminate()
    said, _ = child.communicate(timeout=TIMEOUT)
    assert child.returncode == 130 and "the same command goes on" in said and not (tmp_path / "many.mkv").exists()


# ---- What users may get wrong ----

@pytest.mark.parametrize("source, output, options, message", [
    ("none.mkv", "out.mkv", (), "none.mkv: there is no such file"),
    ("film.mkv", "out.avi", (), "must end in .mkv"),
    ("film.mkv", "none/out.mkv", (), "there is no folder"),
    ("film.mkv", "there.mkv", (), "there already; --overwrite replaces it"),
    ("film.mkv", "film.mkv", ("--overwrite",), "the output is the source"),
    ("text.mkv", "out.mkv", (), "FFmpeg cannot read it"),
    ("sound.wav", "out.mkv", (), "there is no video stream in it"),
    ("film.mkv", "out.mkv", ("--profile", "moon"), "there is no such profile; known are local, slurm"),
    ("film.mkv", "out.mkv", ("--chunk", "0"), "'0': must be a whole number from 1"),
    ("film.mkv", "out.mkv", ("--workers", "many"), "'many': must be a whole number"),
    ("film.mkv", "out.mkv", ("--leave-out", "a"), "must be numbers of streams"),
    ("film.mkv", "out.mkv", ("--ffmpeg", "none"), "there is no none"),
    ("film.mkv", "out.mkv", ("--ffmpeg", "/bin/true"), "there is no ffprobe beside"),
    ("film.mkv", "out.mkv", ("--report", "none/page.html"), "there is no folder"),
    ("film.mkv", "out.mkv", ("--gpu",), "has no NVIDIA GPU"),
    ("film.mkv", "out.mkv", ("--vf", "selfblindvsr=scene=7"), "out of range [0 - 1]"),
    ("film.mkv", "out.mkv", ("--vf", "selfblindvsr=model=none.bin"), "cannot open model file 'none.bin'"),
    ("film.mkv", "out.mkv", ("--encode", "-c:v moon"), "moon"),
    ("film.mkv", "out.mkv", ("--encode", "-an"), "-an cannot be used"),
    ("film.mkv", "out.mp4", ("--encode", "-c:v mpeg4"), "stream 1 (audio, pcm_s16le) cannot be copied into mp4"),
])
def test_mistakes(ffmpegs: list[FFmpeg], models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, output: str,
                  options: tuple[str, ...], message: str) -> None:
    """One line that names the matter, at once, and nothing left behind."""
    films.need_snakemake()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    if source == "film.mkv":
        films.write(ffmpegs[0], tmp_path / source, *films.moving(3), "-f", "lavfi", "-i", "sine=d=0.1", "-c:v", "ffv1", "-c:a",
                    "pcm_s16le")
    elif source == "sound.wav":
        films.write(ffmpegs[0], tmp_path / source, "-f", "lavfi", "-i", "sine=d=0.1")
    else:
        (tmp_path / "text.mkv").write_text("no film")
    (tmp_path / "there.mkv").touch()
    before = sorted(tmp_path.iterdir())
    vf = () if "--vf" in options else ("--vf", f"selfblindvsr=model={models.plain}")
    encode = () if "--encode" in options else ("--encode", "-c:v ffv1")
    status, said = upscale(ffmpegs[0], tmp_path, source, output, *vf, *encode, *options)
    assert status in (1, 2) and message in said.splitlines()[-1], said
    assert len(said.splitlines()) == 1 or status == 2, said
    assert sorted(tmp_path.iterdir()) == before


def test_snakemake_refuses_an_option(oldest: FFmpeg, film: Film, tmp_path: Path) -> None:
    status, said = upscale(oldest, tmp_path, film.source, "many.mkv", *film.options, "--snakemake", "--no-such-option")
    assert status == 1 and re.search(r"the workflow failed: .*no-such-option", said.splitlines()[-1]), said


def test_snakemake_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cli, "TOP", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FarmError, match=r"Snakemake is not installed: ./configure --install-deps"):
        cli.find_snakemake()
