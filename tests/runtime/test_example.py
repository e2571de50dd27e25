"""The example of the README: it compiles against the installed interface, restores every frame, and says what is wrong.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from conftest import TIMEOUT, TOP, Models

EXAMPLE = TOP / "build/tests/example"
WIDTH, HEIGHT = 19, 11


def run(*arguments: object, data: bytes = b"", **options: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([EXAMPLE, *map(str, arguments)], input=data, capture_output=True, timeout=TIMEOUT, check=False,
                          **{"env": {**os.environ}, **options})


@pytest.mark.parametrize("frames", [0, 1, 4])
def test_every_frame_comes_out(models: Models, frames: int) -> None:
    """With a tail of zeros the picture is the enlarged frame: a flat colour stays itself."""
    colours = np.arange(3 * frames, dtype=np.uint8).reshape(frames, 1, 1, 3) * 20
    data = np.broadcast_to(colours, (frames, HEIGHT, WIDTH, 3)).tobytes()
    done = run(models.plain, WIDTH, HEIGHT, data=data)
    assert done.returncode == 0 and not done.stderr, done.stderr.decode()
    out = np.frombuffer(done.stdout, np.uint8).reshape(frames, 4 * HEIGHT, 4 * WIDTH, 3)
    assert np.array_equal(out, np.broadcast_to(colours, out.shape))


@pytest.mark.parametrize("arguments, status, words", [
    ((), 2, "usage: "), (("x.bin", "0", "4"), 2, "usage: "), (("none.bin", "8", "8"), 1, "none.bin")])
def test_what_is_wrong_is_said(tmp_path: Path, arguments: tuple[str, ...], status: int, words: str) -> None:
    done = run(*arguments, cwd=tmp_path)
    message = done.stderr.decode()
    assert done.returncode == status and words in message and message.count("\n") == 1 and not done.stdout


def test_full_disk(models: Models) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([EXAMPLE, models.plain, str(WIDTH), str(HEIGHT)], input=bytes(3 * WIDTH * HEIGHT), stdout=full,
                              stderr=subprocess.PIPE, timeout=TIMEOUT, check=False)
    assert done.returncode == 1 and b"No space left" in done.stderr


def test_readme_quotes_it() -> None:
    quoted = (TOP / "README.md").read_text().split("```c\n")[1].split("```")[0].strip()
    assert quoted in (TOP / "tests/programs/example.c").read_text()
