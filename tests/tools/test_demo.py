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


def test_refusals(ffmpeg, tmp_path: Path) -> None:
    program = ffmpeg.folder / "ffmpeg"
    clip = make_clip(program, tmp_path / "clip.mp4")
    sound = make_clip(program, tmp_path / "sound.mkv", "-vn")
    text = tmp_path / "text.mp4"
    text.write_text("no clip")
    for source, target, words in ((tmp_path / "none.mp4", "x.mp4", "no such file"), (text, "x.mp4", "Invalid data"),
                                  (sound, "x.mp4", "no video"), (clip, "clip.mp4", "same file"),
                                  (clip, "no/x.mp4", "no such folder")):
        done = demo("--ffmpeg", program, "--input", source, "--output", tmp_path / target)
        assert done.returncode == 1 and done.stderr.startswith("demo: ") and done.stderr.count("\n") == 1, done.stderr
        assert words in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"clip.mp4", "sound.mkv", "text.mp4"}
