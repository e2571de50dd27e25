"""Models by name: those that lie where the library looks for them, whatever they are called.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import SONAME, TOP, FFmpeg, Models, raw, texture

SIZE = (24, 16)
TO_STDOUT = ("-f", "rawvideo", "-")


@pytest.fixture(name="tree")
def fixture_tree(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> FFmpeg:
    """An installed ffmpeg with two models of its own, and things that are none."""
    for folder in ("bin", "lib", "share/selfblindvsr/folder.bin"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ffmpeg.folder / "ffmpeg", tmp_path / "bin")
    shutil.copy(TOP / "build/lib" / SONAME, tmp_path / "lib")
    shutil.copy(models.random, tmp_path / "share/selfblindvsr/default.bin")
    shutil.copy(models.tinted, tmp_path / "share/selfblindvsr/Second-1.bin")
    for name in ("readme.md", ".hidden.bin", "a.b.bin", ".bin"):
        (tmp_path / "share/selfblindvsr" / name).touch()
    return replace(ffmpeg, folder=tmp_path / "bin", environment={"LD_LIBRARY_PATH": str(tmp_path / "lib")})


def restored(tree: FFmpeg, options: str) -> bytes:
    return tree.output(*raw("yuv420p", *SIZE), "-vf", f"selfblindvsr{options}", *TO_STDOUT, data=texture(2, *SIZE))


def refusal(tree: FFmpeg, options: str) -> str:
    """The one line that is said of a model before anything is written."""
    done = tree.run(*raw("yuv420p", *SIZE), "-vf", f"selfblindvsr{options}", *TO_STDOUT, data=texture(1, *SIZE))
    lines = [line for line in done.stderr.decode().splitlines() if line.startswith("[Parsed")]
    assert done.returncode and not done.stdout and len(lines) == 1, done.stderr.decode()
    return lines[0].split("] ", 1)[1]


def test_a_name_is_the_file_of_that_name(tree: FFmpeg, models: Models) -> None:
    first, second = restored(tree, f"=model={models.random}"), restored(tree, f"=model={models.tinted}")
    assert first != second
    assert restored(tree, "") == restored(tree, "=model=default") == restored(tree, "=default") == first
    assert restored(tree, "=model=Second-1") == second


def test_a_name_that_there_is_none_of(tree: FFmpeg) -> None:
    folder = tree.folder.parent / "lib/../share/selfblindvsr"
    assert refusal(tree, "=model=secnod") == ("model 'secnod': there is none of this name; a file would be ./secnod; "
                                              f"installed are: Second-1, default and folder, in {folder}")
    shutil.rmtree(folder)
    assert refusal(tree, "=model=default").endswith(f"installed are: none, in {folder}")
    assert "default.bin': No such file or directory" in refusal(tree, "")


def test_many_models(tree: FFmpeg) -> None:
    """The line stays one line."""
    for number in range(200):
        (tree.folder.parent / f"share/selfblindvsr/model{number}\n.bin").touch()
    said = refusal(tree, f"=model={'x' * 300}")
    assert len(said) < 1000 and "model1?, model10?" in said and "..., in" in said


def test_a_file_is_a_path(tree: FFmpeg, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of the current folder whose name has no dot is ./name; a word is a name, be there such a file or not."""
    monkeypatch.chdir(tmp_path)
    for name in ("plain", "default", "plain.bin"):
        shutil.copy(models.tinted, name)
    tinted = restored(tree, f"=model={models.tinted}")
    assert restored(tree, "=model=./plain") == restored(tree, "=model=plain.bin") == tinted
    assert restored(tree, "=model=default") != tinted
    assert "there is none of this name; a file would be ./plain; " in refusal(tree, "=model=plain")


def test_a_model_that_is_a_folder(tree: FFmpeg) -> None:
    assert "folder.bin': not a regular file" in refusal(tree, "=model=folder")
