"""The demo: a scene drawn, restored and measured; a clip restored with its sound; what it refuses.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
USEFUL = TOP / "build/bin/ffmpeg"


def demo(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(TOP / "model/tools/demo.py"), *map(str, arguments)], capture_output=True,
                          text=True, check=False)


def make_clip(ffmpeg: Path, path: Path, *options: str) -> Path:
    subprocess.run([ffmpeg, "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=1", "-f", "lavfi", "-i",
                    "sine=d=1", "-c:v", "mpeg4", "-c:a", "aac", *options, path], check=True)
    return path


def test_scene(ffmpeg, models, tmp_path: Path) -> None:
    picture = tmp_path / "new/scene.png"
    done = demo("--ffmpeg", ffmpeg.folder / "ffmpeg", "--model", models.plain, "--output", picture)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    bicubic, model = ([float(word) for word in re.search(rf"^scene +{way} +([0-9. ]*)", done.stdout, re.M)[1].split()]
                      for way in ("bicubic", "model"))
    # This model enlarges bilinearly, which is a little worse than bicubic.
    assert 18 < model[0] < bicubic[0] < 25 and 0.5 < model[1] < bicubic[1] < 0.9
    assert struct.unpack(">II", picture.read_bytes()[16:24]) == (4 * 384 + 3 * 6, 384 + 28)
    assert [path.name for path in picture.parent.iterdir()] == ["scene.png"]


def test_clip_keeps_its_sound(models, tmp_path: Path) -> None:
    if not USEFUL.exists():
        pytest.skip("build/bin/ffmpeg is not built")
    source, target = make_clip(USEFUL, tmp_path / "a clip.mp4"), tmp_path / "out.mp4"
    done = demo("--ffmpeg", USEFUL, "--model", models.random, "--input", source, "--output", target)
    assert done.returncode == 0, done.stderr
    assert "256x192, 10 frames, sound kept (aac)" in done.stdout
    listing = subprocess.run([USEFUL.with_name("ffprobe"), "-v", "error", "-of", "json", "-show_streams", target],
                             capture_output=True, check=True).stdout
    streams = [(stream["codec_name"], stream.get("width")) for stream in json.loads(listing)["streams"]]
    assert streams == [("h264", 256), ("aac", None)]
    assert not list(tmp_path.glob("*.part*"))


def streams_of(path: Path) -> list[tuple[str, int | None]]:
    listing = subprocess.run([USEFUL.with_name("ffprobe"), "-v", "error", "-of", "json", "-show_streams", path],
                             capture_output=True, check=True).stdout
    return [(stream["codec_name"], stream.get("width")) for stream in json.loads(listing)["streams"]]


NAMES = ["it's \"a\" $clip.mkv", "50%d [x], a:b;c=d.mkv", "-v.mkv"]


@pytest.mark.parametrize("name, sound, target, said, codecs", [
    *((name, "pcm_s16le", "out.mkv", "sound kept (pcm_s16le), 1 subtitles", ["h264", "pcm_s16le", "subrip"])
      for name in NAMES),
    ("a.mkv", "pcm_s16le", "out.mp4", "sound as AAC (it was pcm_s16le), 1 subtitles", ["h264", "aac", "mov_text"]),
    ("a.mkv", "ac3", "out.ts", "sound kept (ac3), WITHOUT 1 subtitles", ["h264", "ac3"]),
    ("a.mkv", "aac", "out.gif", "GIFs have no sound", ["gif"]),
])
def test_clips(models, tmp_path: Path, name: str, sound: str, target: str, said: str, codecs: list[str]) -> None:
    if not USEFUL.exists():
        pytest.skip("build/bin/ffmpeg is not built")
    (tmp_path / "s.srt").write_text("1\n00:00:00,100 --> 00:00:00,900\nHello\n")
    subprocess.run([USEFUL, "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=1", "-f", "lavfi", "-i",
                    "sine=d=1", "-i", tmp_path / "s.srt", "-map", "0", "-map", "1", "-map", "2", "-c:v", "mpeg4", "-c:a",
                    sound, "-c:s", "srt", tmp_path / name], check=True)
    done = demo("--ffmpeg", USEFUL, "--model", models.plain, "--input", tmp_path / name, "--output", tmp_path / target)
    assert done.returncode == 0, done.stderr
    assert f"256x192, 10 frames, {said}" in done.stdout
    assert streams_of(tmp_path / target) == [(codec, None if index else 256) for index, codec in enumerate(codecs)]
    assert {path.name for path in tmp_path.iterdir()} == {"s.srt", name, target}


def test_make_passes_names_on(tmp_path: Path) -> None:
    """What `make demo` runs, as the shell reads it. Nothing in a name is executed."""
    name = f"it's \"a\" $clip $(shell touch {tmp_path}/a) $(touch {tmp_path}/b) `touch {tmp_path}/c` \\ 50%.mp4"
    lines = subprocess.run(["make", "-C", TOP, "-n", "-o", "all", "demo", f"INPUT={name}", f"OUTPUT=o {name}",
                            f"MODEL=m {name}"],
                           capture_output=True, text=True, check=True).stdout.splitlines()
    lines = lines[next(number for number, line in enumerate(lines) if "tools/demo.py" in line):]
    line = "".join(line.rstrip("\\") for line in lines[:2])
    words = subprocess.run(["sh", "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True, check=True).stdout
    assert words.splitlines()[-6:] == ["--input", name, "--output", f"o {name}", "--model", f"m {name}"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("model, words", [("nonesuch", "model 'nonesuch': there is none of this name; a file would be ./nonesuch"),
                                          ("./nonesuch", "./nonesuch")])
def test_models_that_there_are_not(ffmpeg, tmp_path: Path, model: str, words: str) -> None:
    """A name is a name, and a path is a path."""
    source = make_picture(ffmpeg.folder / "ffmpeg", tmp_path / "a.png")
    done = demo("--ffmpeg", ffmpeg.folder / "ffmpeg", "--model", model, "--input", source, "--output", tmp_path / "b.png")
    assert done.returncode == 1 and words in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def make_picture(ffmpeg: Path, path: Path, size: str = "32x24") -> Path:
    subprocess.run([ffmpeg, "-v", "error", "-f", "lavfi", "-i", f"testsrc2=s={size}", "-frames:v", "1", "-update", "1",
                    "-f", "image2", path], check=True)
    return path


def png_size(path: Path) -> tuple[int, int]:
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


@pytest.mark.parametrize("name", ["a.png", "it's 100%d $x.png"])
def test_picture(ffmpeg, models, tmp_path: Path, name: str) -> None:
    program = ffmpeg.folder / "ffmpeg"
    source, target = make_picture(program, tmp_path / name), tmp_path / f"big {name}"
    done = demo("--ffmpeg", program, "--model", models.plain, "--input", source, "--output", target)
    assert done.returncode == 0, done.stderr
    assert "128x96 from 32x24" in done.stdout and png_size(target) == (128, 96)
    assert {path.name for path in tmp_path.iterdir()} == {name, target.name}


@pytest.mark.parametrize("sizes, said", [(["32x24"] * 4, "as the frames of a clip"),
                                         (["32x24", "24x32", "32x24"], "each by itself")])
def test_folder(ffmpeg, models, tmp_path: Path, sizes: list[str], said: str) -> None:
    program, source = ffmpeg.folder / "ffmpeg", tmp_path / "in $'s"
    source.mkdir()
    for index, size in enumerate(sizes):
        make_picture(program, source / f"p{index:02}%d.png", size)
    done = demo("--ffmpeg", program, "--model", models.plain, "--input", source, "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert f"{len(sizes)} pictures, {said}" in done.stdout
    found = {path.name: png_size(path) for path in (tmp_path / "out").iterdir()}
    assert found == {f"p{index:02}%d.png": tuple(4 * int(side) for side in size.split("x"))
                     for index, size in enumerate(sizes)}
    assert {path.name for path in tmp_path.iterdir()} == {"in $'s", "out"}


def test_nothing_is_called_done_that_is_not(ffmpeg, models, tmp_path: Path) -> None:
    """A result that lacks frames does not get its name, whatever status ffmpeg ended with."""
    program, source = ffmpeg.folder / "ffmpeg", tmp_path / "in"
    source.mkdir()
    for index in range(4):
        make_picture(program, source / f"{index}.png")
    broken = tmp_path / "ffmpeg"
    broken.write_text(f'#!/bin/sh\nfor last; do :; done\ncase $last in *.png) exec {program} "$@" ;; esac\n'
                      f'echo > "$last"\n')
    broken.chmod(0o755)
    (tmp_path / "ffprobe").symlink_to(program.with_name("ffprobe"))
    done = demo("--ffmpeg", broken, "--model", models.plain, "--input", source, "--output", tmp_path / "out.mkv")
    assert done.returncode == 1 and done.stderr.startswith("demo: ") and done.stderr.count("\n") == 1, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"in", "ffmpeg", "ffprobe"}


def test_refusals(ffmpeg, tmp_path: Path) -> None:
    program = ffmpeg.folder / "ffmpeg"
    clip = make_clip(program, tmp_path / "clip.mp4")
    sound = make_clip(program, tmp_path / "sound.mkv", "-vn")
    text = tmp_path / "text.mp4"
    text.write_text("no clip")
    for source, target, words in ((tmp_path / "none.mp4", "x.mp4", "no such file"), (text, "x.mp4", "Invalid data"),
                                  (sound, "x.mp4", "no video"), (clip, "clip.mp4", "same file"),
                                  (clip, "no/x.mp4", "no such folder"), (clip, "x.webm", "end OUTPUT in .mkv"),
                                  (clip, "x.png", "is not a picture")):
        done = demo("--ffmpeg", program, "--input", source, "--output", tmp_path / target)
        assert done.returncode == 1 and done.stderr.startswith("demo: ") and done.stderr.count("\n") == 1, done.stderr
        assert words in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"clip.mp4", "sound.mkv", "text.mp4"}
