"""The filter in an ffmpeg.exe, and the DLL, under Wine: the same frames as on Linux, paths of any characters, what is said.

`make check-windows` builds what is run here.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from conftest import SERIES, TIMEOUT, TOP, FFmpeg, Models, raw, texture

WINE = TOP / "build-aux/windows/wine.sh"
OUT = TOP / "build/windows"
TREE = TOP / f"build/mingw/lean-{SERIES[-1]}"
OBJDUMP = "x86_64-w64-mingw32-objdump"
SIZE = (24, 16)
INPUT = raw("yuv420p", *SIZE)
# Chinese, Russian, a space, and what quotes and colons must be told apart from.
FOLDER = "影片 Фильмы é"
TO_STDOUT = ("-f", "rawvideo", "-")
# Libraries of Windows itself, versions of which are part of every installation.
SYSTEM = {"kernel32", "msvcrt", "user32", "advapi32", "shell32", "ole32", "oleaut32", "psapi", "bcrypt", "gdi32", "ws2_32"}


@dataclass(frozen=True)
class Windows(FFmpeg):
    """An ffmpeg.exe under Wine."""

    def run(self, *arguments: str | Path, data: bytes | None = None, program: str = "ffmpeg",
            before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[bytes]:
        return super().run(*arguments, data=data, program=f"{program}.exe", before=(*before, str(WINE)))


@pytest.fixture(scope="module")
def exe(tmp_path_factory: pytest.TempPathFactory) -> Windows:
    """The folder of a user: ffmpeg.exe with the default model beside it, in a path of any characters."""
    folder = tmp_path_factory.mktemp("windows") / FOLDER
    folder.mkdir()
    for file in (TREE / "ffmpeg.exe", TREE / "ffprobe.exe", OUT / "default.bin"):
        shutil.copy(file, folder)
    return Windows(SERIES[-1], folder)


@pytest.fixture(scope="module")
def linux() -> FFmpeg:
    return FFmpeg(SERIES[-1], TOP / f"build/lean-{SERIES[-1]}")


def drive(path: Path) -> str:
    """The path as a user of Windows writes it: Z: is the root of this machine."""
    return "Z:" + str(path).replace("/", "\\")


def quoted(path: Path) -> str:
    """The path as it is written into an option of a filter: see the README."""
    return "'Z\\:" + str(path) + "'"


def with_cpu(which: FFmpeg, isa: str) -> FFmpeg:
    return type(which)(which.series, which.folder, {"SBV_CPU": isa})


@pytest.mark.parametrize("isa", ["sse2", "avx2", "avx512"])
def test_same_frames_as_on_linux(exe: Windows, linux: FFmpeg, isa: str) -> None:
    """Bit for bit, by the default model, which exe finds beside itself."""
    data = texture(6, *SIZE)
    here = with_cpu(linux, isa).run(*INPUT, "-vf", f"selfblindvsr=model={OUT}/default.bin", *TO_STDOUT, data=data)
    if b"not an instruction set of this processor" in here.stderr:
        pytest.skip(f"this processor has no {isa}")
    assert here.returncode == 0, here.stderr.decode()
    assert with_cpu(exe, isa).output(*INPUT, "-vf", "selfblindvsr", *TO_STDOUT, data=data) == here.stdout
    assert len(here.stdout) == 16 * len(data)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_as_many_out_as_in(exe: Windows, linux: FFmpeg, models: Models, count: int) -> None:
    data = texture(count, *SIZE)
    there = exe.output(*INPUT, "-vf", f"selfblindvsr=model={quoted(models.random)}", *TO_STDOUT, data=data)
    assert there == linux.output(*INPUT, "-vf", f"selfblindvsr=model={models.random}", *TO_STDOUT, data=data)


def test_paths_of_any_characters(exe: Windows, linux: FFmpeg, models: Models, tmp_path: Path) -> None:
    """A model, a clip, a blur and a file of blurs, by drive letter, colon, backslash, in Chinese and Russian."""
    folder = tmp_path / FOLDER
    folder.mkdir()
    shutil.copy(models.kernel, folder / "модель 模型.bin")
    (folder / "клип 短片.yuv").write_bytes(texture(4, *SIZE))
    shape = ("-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{SIZE[0]}x{SIZE[1]}")
    filters = f"selfblindvsr=model={quoted(folder / 'модель 模型.bin')}:kernel_file={quoted(folder / 'размытие 模糊.npy')}"
    done = exe.run(*shape, "-i", drive(folder / "клип 短片.yuv"), "-vf", filters, "-f", "rawvideo", drive(folder / "выход.yuv"))
    assert done.returncode == 0 and not done.stderr, done.stderr.decode()
    reference = tmp_path / "blurs.npy"
    assert (folder / "выход.yuv").read_bytes() == linux.output(
        *shape, "-i", folder / "клип 短片.yuv", "-vf", f"selfblindvsr=model={models.kernel}:kernel_file={reference}", *TO_STDOUT)
    found, expected = np.load(folder / "размытие 模糊.npy"), np.load(reference)
    assert found.shape == expected.shape == (4, 13, 13)
    assert np.abs(found - expected).max() < 1e-6  # exp is another one

    blur = folder / "ядро 核.txt"
    blur.write_text("0.25 0.25 0\n0.25 0.25 0\n0 0 0\n")
    known = exe.output(*INPUT, "-vf", f"selfblindvsr=model={quoted(models.random)}:kernel={quoted(blur)}:cycle=1", *TO_STDOUT,
                       data=texture(2, *SIZE))
    assert len(known) == 16 * len(texture(2, *SIZE))


@pytest.mark.parametrize("name, content, words", [
    ("нет файла.bin", None, "No such file or directory"),
    ("короткий.bin", b"\x10\0\0\0\0\0\0\0{", "truncated"),
    ("архив.bin", b"PK\3\4" + bytes(60), "a ZIP archive"),
    ("folder", ..., "not a regular file"),
])
def test_wrong_models(exe: Windows, tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    path = tmp_path / name
    if content is ...:
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    done = exe.run(*INPUT, "-vf", f"selfblindvsr=model={quoted(path)}", *TO_STDOUT, data=texture(1, *SIZE))
    message = done.stderr.decode()
    assert done.returncode and words in message and name in message and not done.stdout


def test_models_by_name(exe: Windows, models: Models) -> None:
    """Those beside ffmpeg.exe."""
    data = texture(2, *SIZE)
    shutil.copy(models.random, exe.folder / "second.bin")
    by_name, by_path = (exe.output(*INPUT, "-vf", f"selfblindvsr=model={model}", *TO_STDOUT, data=data)
                        for model in ("second", quoted(models.random)))
    assert by_name == by_path
    done = exe.run(*INPUT, "-vf", "selfblindvsr=model=third", *TO_STDOUT, data=data)
    assert done.returncode and b"installed are: default and second, in Z:" in done.stderr and FOLDER.encode() in done.stderr


def test_missing_default_model(exe: Windows, tmp_path: Path) -> None:
    shutil.copy(exe.folder / "ffmpeg.exe", tmp_path)
    done = Windows(exe.series, tmp_path).run(*INPUT, "-vf", "selfblindvsr", *TO_STDOUT, data=texture(1, *SIZE))
    assert done.returncode and b"default.bin" in done.stderr


def test_a_blur_that_is_no_file(exe: Windows) -> None:
    done = exe.run(*INPUT, "-vf", "selfblindvsr=kernel=bicubik", *TO_STDOUT, data=texture(1, *SIZE))
    assert done.returncode and b"there is no such file, and scalers are" in done.stderr


def test_without_a_driver(exe: Windows) -> None:
    """On the CPU, which is said; backend=cuda says why not."""
    if any((Path(os.environ.get("WINEPREFIX", TOP / "build/wine")) / "drive_c/windows/system32").glob("nvcuda.dll")):
        pytest.skip("this Wine has an nvcuda.dll")
    log = exe.log(*INPUT, "-vf", "selfblindvsr", data=texture(1, *SIZE))
    assert "CPU" in log
    done = exe.run(*INPUT, "-vf", "selfblindvsr=backend=cuda", *TO_STDOUT, data=texture(1, *SIZE))
    assert done.returncode and b"nvcuda.dll cannot be loaded: " in done.stderr and not done.stdout


def test_example_with_the_dll(tmp_path: Path, models: Models) -> None:
    """A program of the C API, with the DLL and nothing else beside it."""
    for file in (TOP / "build/mingw/tests/example.exe", OUT / "selfblindvsr.dll"):
        shutil.copy(file, tmp_path)
    data = np.random.RandomState(1).randint(0, 256, (3, 7, 9, 3), np.uint8).tobytes()
    done = subprocess.run([WINE, tmp_path / "example.exe", models.random, "9", "7"], input=data, capture_output=True,
                          timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert len(done.stdout) == 16 * len(data)


def test_restore_bat(exe: Windows, tmp_path: Path) -> None:
    """A clip is dropped onto the .bat."""
    folder = tmp_path / FOLDER
    shutil.copytree(exe.folder, folder)
    bat = (TOP / "build-aux/windows/restore.bat").read_text().replace("\n", "\r\n")
    (folder / "restore.bat").write_bytes(bat.encode())
    done = exe.run("-f", "lavfi", "-i", "testsrc2=s=24x16:d=0.12", "-f", "lavfi", "-i", "sine=d=0.12",
                   "-c:v", "ffv1", "-c:a", "aac", drive(folder / "клип 短片.mkv"))
    assert done.returncode == 0, done.stderr.decode()
    restored = subprocess.run([WINE, "cmd", "/c", "call", drive(folder / "restore.bat"), drive(folder / "клип 短片.mkv")],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False,
                              env={**os.environ, "SBV_ENCODER": "-c:v ffv1"})
    assert restored.returncode == 0, restored.stdout.decode("utf8", "replace") + restored.stderr.decode("utf8", "replace")
    shown = exe.run("-show_entries", "stream=width,height,codec_type", "-of", "csv=p=0",
                    drive(folder / "клип 短片_x4.mkv"), program="ffprobe").stdout.decode()
    assert "video,96,64" in shown and "audio" in shown


def objdump(option: str, path: Path) -> str:
    return subprocess.run([OBJDUMP, option, path], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("path", [OUT / "selfblindvsr.dll", TREE / "ffmpeg.exe", TREE / "ffprobe.exe"],
                         ids=lambda path: path.name)
def test_it_needs_windows_alone(path: Path) -> None:
    needed = {name.lower().removesuffix(".dll") for name in re.findall(r"DLL Name: (\S+)", objdump("-p", path))}
    assert needed and needed <= SYSTEM, needed - SYSTEM


def test_only_the_public_functions_leave_the_dll() -> None:
    header = (TOP / "model/include/selfblindvsr.h").read_text()
    public = set(re.findall(r"^SBV_API .*?[ *](sbv_\w+)\(", header, re.MULTILINE))
    line = r"^\s*\[\s*\d+\](?: \+base\[\s*\d+\])?\s+(?:[0-9a-f]+\s+)?(\w+)$"
    exported = set(re.findall(line, objdump("-p", OUT / "selfblindvsr.dll"), re.MULTILINE))
    assert exported == public


def test_no_vector_needs_an_aligned_stack() -> None:
    """GCC's bug 54412: it takes the stack for aligned to the size of vectors."""
    code = objdump("-d", OUT / "selfblindvsr.dll")
    assert code.count("%zmm") > 1000 and code.count("%ymm") > 1000
    assert not re.findall(r"vmov(?:ap[sd]|dqa(?:32|64)?)\s[^\n]*\([^\n]*", code)


def test_the_gpu_code_is_that_of_linux() -> None:
    """Byte for byte; where there is no compiler for it, there is none in either."""
    library = (OUT / "selfblindvsr.dll").read_bytes()
    images = sorted((TOP / "build/obj/images").glob("*.fatbin"))
    if not images:
        pytest.skip("configure found no CUDA compiler")
    for image in images:
        assert image.read_bytes() in library, image.name
