"""Where ffmpeg makes its filters anew, because size or format of the pictures change in the stream: no frame is lost.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import TOP, FFmpeg, Models, Packet, raw, texture

GRAY, RGB, RGBA = 0, 2, 6  # colour types of PNG
CHANNELS = {GRAY: 1, RGB: 3, RGBA: 4}
RATE = ("-framerate", "25", "-i")


def png(width: int, height: int, seed: int, kind: int = RGB) -> bytes:
    """A picture of smooth random colours, opaque."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rng = np.random.RandomState(seed)
    y, x = np.indices((height, width))[..., None]
    wave, phase = rng.uniform(0.1, 0.6, (2, CHANNELS[kind])), rng.uniform(0, 6, CHANNELS[kind])
    pixels = (128 + 90 * np.sin(wave[0] * x + wave[1] * y + phase)).astype(np.uint8)
    if kind == RGBA:
        pixels[..., 3] = 255
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def write_run(folder: Path, first: int, count: int, width: int, height: int, kind: int = RGB) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(first, first + count):
        (folder / f"{number:02}.png").write_bytes(png(width, height, number, kind))


def restored(ffmpeg: FFmpeg, folder: Path, first: int, filters: str) -> list[Packet]:
    """The pictures of a folder, restored, each in the size that it has."""
    return ffmpeg.packets("-start_number", str(first), *RATE, folder / "%02d.png", "-vf", filters, "-noautoscale")


@pytest.mark.parametrize("border", ["replicate", "reflect"])
@pytest.mark.parametrize("runs", [(1, 1), (7, 1), (1, 2, 3, 6), (5, 2, 1, 1, 4)], ids=str)
def test_size_changes(ffmpeg: FFmpeg, models: Models, tmp_path: Path, runs: tuple[int, ...], border: str) -> None:
    """Every picture comes out, with its time, as if the pictures of its size were alone."""
    filters = f"selfblindvsr=model={models.random}:border={border}"
    alone: list[Packet] = []
    first = 0
    for index, count in enumerate(runs):
        width, height = [(24, 16), (16, 24), (20, 20)][index % 3]
        for folder in (tmp_path / "all", tmp_path / str(index)):
            write_run(folder, first, count, width, height)
        alone += restored(ffmpeg, tmp_path / str(index), first, filters)
        first += count
    together = restored(ffmpeg, tmp_path / "all", 0, filters)
    assert [packet.pts for packet in together] == list(range(sum(runs)))
    assert [(packet.size, packet.checksum) for packet in together] == \
        [(packet.size, packet.checksum) for packet in alone]


def test_format_changes_with_every_picture(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    for number in range(9):
        write_run(tmp_path, number, 1, 16, 12, [RGB, RGBA, GRAY][number % 3])
    packets = ffmpeg.packets(*RATE, tmp_path / "%02d.png", "-vf", f"selfblindvsr=model={models.plain}", "-pix_fmt",
                             "rgb24")
    assert [packet.pts for packet in packets] == list(range(9))
    assert len({packet.checksum for packet in packets}) == 9


def test_range_changes(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    """FFmpeg from 7.1 on makes its filters anew for that; before, the filter sees it in the frames."""
    filters = ("-vf", f"selfblindvsr=model={models.random}")
    alone: list[str] = []
    stream = b""
    for number, name in enumerate(("tv", "pc", "tv")):
        path = tmp_path / f"{number}.ts"
        ffmpeg.output("-f", "lavfi", "-i", f"testsrc2=s=32x24:r=25:d=0.2,scale=out_range={name},format=yuv420p", "-color_range",
                      name, "-c:v", "libx264", "-x264-params", f"range={name}:colorprim=smpte170m:bframes=0",
                      "-output_ts_offset", str(0.2 * number), path)
        stream += path.read_bytes()
        alone += [packet.checksum for packet in ffmpeg.packets("-i", path, *filters)]
    (tmp_path / "all.ts").write_bytes(stream)
    together = ffmpeg.packets("-i", tmp_path / "all.ts", *filters)
    assert len(together) == len(alone) == 15 and [p.pts - together[0].pts for p in together] == list(range(15))
    sums = [packet.checksum for packet in together]
    # FFmpeg 9.0 converts those of the other range, behind the filter, to the range that its encoder was opened with
    assert sums[:5] == alone[:5] and sums[10:] == alone[10:] and not set(sums[:5]) & set(sums[5:10])


@pytest.mark.parametrize("filters", ["reverse", "setpts=2*PTS,VSR", "setpts=PTS+3/TB,VSR", "VSR,VSR",
                                     "split[a][b];[a]VSR[c];[b]scale=4*iw:4*ih[d];[c][d]hstack"])
def test_other_filters(ffmpeg: FFmpeg, models: Models, tmp_path: Path, filters: str) -> None:
    """As many frames come out of the stream as out of its parts."""
    filters = filters.replace("VSR", f"selfblindvsr=model={models.plain}")
    write_run(tmp_path / "all", 0, 4, 12, 8)
    write_run(tmp_path / "all", 4, 5, 8, 12)
    write_run(tmp_path / "a", 0, 4, 12, 8)
    write_run(tmp_path / "b", 4, 5, 8, 12)
    passthrough = ("-vsync" if ffmpeg.series == "5.1" else "-fps_mode", "passthrough")

    def count(folder: str, first: int) -> int:
        return len(ffmpeg.packets("-start_number", str(first), *RATE, tmp_path / folder / "%02d.png", "-filter_complex",
                                  filters, *passthrough))

    assert count("all", 0) == count("a", 0) + count("b", 4)


@pytest.mark.parametrize("filters", ["VSR,tpad=stop=-1:stop_mode=clone", "VSR,loop=-1:100",
                                     "color=s=48x32[c];VSR[v];[c][v]overlay"])
def test_endless_filters(ffmpeg: FFmpeg, models: Models, tmp_path: Path, filters: str) -> None:
    """Filters that go on for ever after the end of their input do so at the end of the stream alone."""
    filters = filters.replace("VSR", f"selfblindvsr=model={models.plain}")
    write_run(tmp_path, 0, 10, 12, 8)
    write_run(tmp_path, 10, 10, 8, 12)
    packets = ffmpeg.packets(*RATE, tmp_path / "%02d.png", "-filter_complex", filters, "-frames:v", "30")
    assert [packet.pts for packet in packets] == list(range(30))


def test_kernel_file_goes_on(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    write_run(tmp_path, 0, 4, 16, 12)
    write_run(tmp_path, 4, 3, 12, 16)
    (tmp_path / "k.npy").write_bytes(b"of an earlier run")
    log = ffmpeg.log(*RATE, tmp_path / "%02d.png", "-vf", f"selfblindvsr=model={models.kernel}:kernel_file="
                     f"{tmp_path}/k.npy", level="info")
    assert np.load(tmp_path / "k.npy").shape == (7, 13, 13)
    assert log.count("k.npy': goes on after 4 kernels") == 1


def test_two_filters_do_not_write_one_kernel_file(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    filters = f"selfblindvsr=model={models.kernel}:kernel_file={tmp_path}/k.npy"
    done = ffmpeg.run(*raw("yuv420p", 16, 12), "-filter_complex",
                      f"split[a][b];[a]{filters}[c];[b]{filters}[d];[c][d]hstack", "-f", "null", "-",
                      data=texture(2, 16, 12))
    assert done.returncode != 0 and "is being written by another filter" in done.stderr.decode()


@pytest.fixture(scope="module")
def free_early(ffmpeg: FFmpeg, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that frees its filters without telling them that their stream ended."""
    program = tmp_path_factory.mktemp("program") / "free_early"
    sources = TOP / f"build/src/ffmpeg-{ffmpeg.series}"
    libraries = [ffmpeg.folder / f"lib{name}/lib{name}.a"
                 for name in ("avfilter", "avformat", "avcodec", "swscale", "swresample", "avutil")]
    command = ["cc", TOP / "tests/filter/free_early.c", "-o", program, f"-I{sources}", f"-I{ffmpeg.folder}", *libraries,
               f"-L{TOP}/build/lib", "-lselfblindvsr", f"-Wl,-rpath,{TOP}/build/lib", "-lz", "-lm", "-latomic",
               "-lpthread", "-ldl"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


@pytest.mark.parametrize("options, frames, close, out, lost", [
    ("", 7, False, 5, "the last 2 frames of 7 are lost"),
    ("", 1, False, 0, "the last 1 frame of 1 is lost"),
    ("", 7, True, 7, ""), ("", 0, False, 0, ""), (":border=none", 7, False, 3, ""),
])
def test_lost_frames_are_counted(free_early: Path, models: Models, options: str, frames: int, close: bool, out: int,
                                 lost: str) -> None:
    done = subprocess.run([free_early, f"selfblindvsr=model={models.plain}{options}", str(frames), str(int(close))],
                          capture_output=True, text=True, check=True)
    assert int(done.stdout) == out
    assert done.stderr.count("lost") == bool(lost)
    assert lost in done.stderr
