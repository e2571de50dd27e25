"""The filter as a part of a stream: as many frames out as in, their times and properties, sound, seeking, scene cuts.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import re
import signal
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import TIMEOUT, FFmpeg, Models, Packet, noise, raw, texture

SIZE = (16, 12)
INPUT = raw("yuv420p", *SIZE)


def times(packets: list[Packet]) -> list[tuple[int, int, int]]:
    return [(packet.stream, packet.pts, packet.duration) for packet in packets]


def checksums(packets: list[Packet]) -> list[str]:
    return [packet.checksum for packet in packets]


def vsr(model: Path, options: str = "") -> str:
    return f"selfblindvsr=model={model}{':' if options else ''}{options}"


@pytest.mark.parametrize("border", ["replicate", "reflect"])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 100])
def test_as_many_out_as_in(ffmpeg: FFmpeg, models: Models, count: int, border: str) -> None:
    clip = texture(count, *SIZE)
    before = ffmpeg.packets(*INPUT, data=clip)
    after = ffmpeg.packets(*INPUT, "-vf", vsr(models.random, f"border={border}"), data=clip)
    assert len(before) == count
    assert times(after) == times(before)
    assert {packet.size for packet in after} == {16 * before[0].size}
    assert len(set(checksums(after))) == count


def test_each_frame_is_restored_from_its_own(ffmpeg: FFmpeg, models: Models) -> None:
    shades = [40, 200, 90, 130, 60, 220, 100]
    clip = b"".join(bytes([shade] * 48) for shade in shades)
    out = ffmpeg.output(*raw("gray", 8, 6), "-vf", vsr(models.plain), "-f", "rawvideo", "-", data=clip)
    assert out == b"".join(bytes([shade] * 48 * 16) for shade in shades)


def test_borders_differ(ffmpeg: FFmpeg, models: Models) -> None:
    clip = texture(5, *SIZE)
    runs = [checksums(ffmpeg.packets(*INPUT, "-vf", vsr(models.random, f"border={border}"), data=clip))
            for border in ("replicate", "reflect", "none")]
    assert runs[0][0] != runs[1][0] and runs[0][-1] != runs[1][-1]
    assert runs[0][2] == runs[1][2] == runs[2][0]


@pytest.mark.parametrize("count", [1, 4, 5, 6, 9])
def test_border_none_drops_the_ends(ffmpeg: FFmpeg, models: Models, count: int) -> None:
    clip = texture(count, *SIZE)
    done = ffmpeg.run("-v", "warning", *INPUT, "-vf", vsr(models.random, "border=none"), "-f", "framecrc", "-",
                      data=clip)
    rows = [line.split(",") for line in done.stdout.decode().splitlines() if not line.startswith("#")]
    assert [int(row[2]) for row in rows] == list(range(2, count - 2))
    warned = f"border=none needs at least 5 frames, there were {count}" in done.stderr.decode()
    assert warned == (count < 5)


def test_variable_frame_rate(ffmpeg: FFmpeg, models: Models) -> None:
    chain = "settb=1/1000,setpts='7*N*N+3*N+11'"
    clip = texture(9, *SIZE)
    arguments = ("-enc_time_base", "1:1000", *(("-vsync", "vfr") if ffmpeg.series == "5.1" else ("-fps_mode", "vfr")))
    before = ffmpeg.packets(*INPUT, "-vf", chain, *arguments, data=clip)
    after = ffmpeg.packets(*INPUT, "-vf", f"{chain},{vsr(models.random)}", *arguments, data=clip)
    assert [packet.pts for packet in before] == [7 * n * n + 3 * n + 11 for n in range(9)]
    assert times(after) == times(before)


def movie(ffmpeg: FFmpeg, path: Path, sound: str) -> Path:
    """Two seconds of picture and sound."""
    ffmpeg.output("-f", "lavfi", "-i", "mandelbrot=s=32x24:r=25,format=yuv420p", "-f", "lavfi", "-i",
                  "sine=f=440:r=48000", "-t", "2", "-c:v", "mpeg4", "-qscale:v", "3", "-g", "10", "-c:a", sound,
                  "-y", path)
    return path


@pytest.mark.parametrize("name, sound", [("a.mkv", "pcm_s16le"), ("a.mp4", "aac")])
def test_sound_stays_in_step(ffmpeg: FFmpeg, models: Models, tmp_path: Path, name: str, sound: str) -> None:
    source = movie(ffmpeg, tmp_path / name, sound)
    result = tmp_path / f"out-{name}"
    ffmpeg.output("-i", source, "-vf", vsr(models.random), "-c:v", "mpeg4", "-c:a", "copy", result)
    before = ffmpeg.packets("-i", source, "-map", "0", "-c", "copy")
    after = ffmpeg.packets("-i", result, "-map", "0", "-c", "copy")
    for stream in (0, 1):
        assert sum(packet.stream == stream for packet in before) >= 50
    assert [(p.pts, p.checksum) for p in after if p.stream == 1] == [(p.pts, p.checksum) for p in before if p.stream]
    assert [p.pts for p in after if p.stream == 0] == [p.pts for p in before if p.stream == 0]


def test_seek(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    source = movie(ffmpeg, tmp_path / "a.mkv", "pcm_s16le")
    arguments = ("-ss", "1.1", "-i", source, "-map", "0:v")
    before = ffmpeg.packets(*arguments)
    after = ffmpeg.packets(*arguments, "-vf", vsr(models.random))
    assert 20 <= len(before) <= 25
    assert times(after) == times(before)


def test_one_frame(ffmpeg: FFmpeg, models: Models) -> None:
    clip = texture(12, *SIZE)
    whole = ffmpeg.packets(*INPUT, "-vf", vsr(models.random), data=clip)
    done = ffmpeg.packets(*INPUT, "-vf", vsr(models.random), "-frames:v", "1", data=clip)
    assert done == whole[:1]


def test_scene_cut(ffmpeg: FFmpeg, models: Models) -> None:
    """With detection the frames next to a cut are those of the shots by themselves, without it they are not."""
    dark, bright = bytes(v // 3 for v in texture(4, *SIZE)), bytes(150 + v // 3 for v in texture(5, *SIZE, seed=2))

    def run(clip: bytes, options: str = "") -> list[str]:
        return checksums(ffmpeg.packets(*INPUT, "-vf", vsr(models.random, options), data=clip))

    alone = run(dark) + run(bright)
    assert run(dark + bright) == run(dark + bright, "scene=0.3") == alone
    blind = run(dark + bright, "scene=0")
    assert [i for i in range(9) if blind[i] != alone[i]] == [2, 3, 4, 5]


# Of what a clip is made of, and how much of its second shot is that of another clip.
SCORED = [("yuv420p", "", 0.3), ("yuv420p", "", 0.7), ("yuvj420p", "", 0.6), ("yuv420p10", "", 0.5), ("gray", "", 0.6),
          ("yuv444p", ",setparams=colorspace=bt709", 0.8)]


@pytest.mark.parametrize("pix_fmt, tags, share", SCORED)
def test_scene_score_is_that_of_select(ffmpeg: FFmpeg, models: Models, pix_fmt: str, tags: str, share: float) -> None:
    """A cut is found up to the score that the select filter gives it, within 0.004."""
    graph = (f"mandelbrot=s=64x48:r=25,format=yuv444p,trim=end_frame=10,setsar=1,split[a][b];"
             f"testsrc2=s=64x48:r=25,format=yuv444p,trim=end_frame=10[c];[b][c]blend=all_mode=normal:all_opacity={share}[d];"
             f"[a]trim=end_frame=5[e];[d]trim=start_frame=5,setpts=PTS-STARTPTS[f];[e][f]concat,format={pix_fmt}{tags}")
    source = ("-f", "lavfi", "-i", graph)
    text = ffmpeg.output(*source, "-vf", "select='gt(scene,-1)',metadata=print:key=lavfi.scene_score:file=-", "-f", "null",
                         "-").decode()
    scores = [float(score) for score in re.findall(r"scene_score=([0-9.]+)", text)]
    assert len(scores) == 10 and scores[5] == max(scores) and 0.1 < scores[5] < 0.9
    blind, below, above = (checksums(ffmpeg.packets(*source, "-vf", vsr(models.random, f"scene={threshold:.4f}")))
                           for threshold in (1, scores[5] - 0.004, scores[5] + 0.004))
    assert above == blind
    assert [i for i in range(10) if below[i] != blind[i]] == [3, 4, 5, 6]


def test_xfade_behind(ffmpeg: FFmpeg, models: Models) -> None:
    """The last frame is there when the end is: an xfade up to it has no hole, as behind a scaler."""
    runs = []
    for chain in ("scale=4*iw:4*ih", vsr(models.plain)):
        graph = f"[0:v]{chain}[a];[a][1:v]xfade=duration=0.2:offset=0.2"
        runs.append(ffmpeg.packets("-f", "lavfi", "-i", "testsrc2=s=24x16:d=0.4:r=25", "-f", "lavfi", "-i",
                                   "color=red:s=96x64:d=0.4:r=25", "-filter_complex", graph))
    assert [packet.pts for packet in runs[0]] == [packet.pts for packet in runs[1]]
    assert len(runs[1]) >= 10


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_an_interrupted_run_leaves_a_playable_file(ffmpeg: FFmpeg, models: Models, tmp_path: Path, name: str) -> None:
    command = [ffmpeg.folder / "ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=s=32x24:r=25", "-vf",
               vsr(models.random), "-c:v", "mpeg4", "-progress", "-", "-stats_period", "0.1", tmp_path / name]
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        frames = (int(line.split("=")[1]) for line in process.stdout if line.startswith("frame="))
        seen = next(count for count in frames if count >= 50)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIMEOUT)
    packets = ffmpeg.packets("-i", tmp_path / name)
    assert len(packets) >= seen
    assert [packet.pts for packet in packets] == list(range(len(packets)))


def test_interlaced_frames_are_told_once(ffmpeg: FFmpeg, models: Models) -> None:
    for field, count in (("prog", 0), ("tff", 1)):
        log = ffmpeg.log(*INPUT, "-vf", f"setfield={field},{vsr(models.plain)}", data=texture(6, *SIZE),
                         level="warning")
        assert log.count("interlaced") == count


def test_thread_count_changes_nothing(ffmpeg: FFmpeg, models: Models) -> None:
    clip = texture(6, 41, 29)
    runs = [ffmpeg.packets("-filter_threads", threads, *raw("yuv420p", 41, 29), "-vf", vsr(models.random), data=clip)
            for threads in ("1", "2", "5")]
    assert runs[0] == runs[1] == runs[2]


def test_tiles_change_nothing(ffmpeg: FFmpeg, models: Models) -> None:
    clip = texture(5, 67, 53)
    runs = [ffmpeg.packets(*raw("yuv420p", 67, 53), "-vf", vsr(models.random, options), data=clip)
            for options in ("tile=0", "tile=16", "tile=32", "tile=8192")]
    assert runs[0] == runs[1] == runs[2] == runs[3]


def test_every_ffmpeg_gives_the_same(ffmpegs: list[FFmpeg], models: Models) -> None:
    if len(ffmpegs) < 2:
        pytest.skip("only one FFmpeg was built")
    clip = texture(8, 35, 21)
    for model in (models.random, models.double):
        runs = [checksums(each.packets(*raw("yuv420p", 35, 21), "-vf", vsr(model, "scene=0.5"), data=clip))
                for each in ffmpegs]
        assert len(runs[0]) == 8
        assert all(run == runs[0] for run in runs)


def test_scale_2(ffmpeg: FFmpeg, models: Models) -> None:
    out = ffmpeg.output(*raw("gray", 7, 5), "-vf", vsr(models.double), "-f", "rawvideo", "-", data=noise(3, 35))
    assert len(out) == 3 * 14 * 10


def test_properties_are_kept(ffmpeg: FFmpeg, models: Models) -> None:
    chain = ("setsar=4/3,setfield=tff,metadata=add:key=colour:value=mauve,"
             "setparams=range=tv:color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc")
    wanted = ("sar:4/3", "i:T", "color_range:tv", "color_space:bt2020nc", "color_primaries:bt2020",
              "color_trc:smpte2084", "s:64x48")
    log = ffmpeg.log(*INPUT, "-vf", f"{chain},{vsr(models.random)},showinfo,metadata=print", data=texture(6, *SIZE))
    assert log.count("colour=mauve") == 6
    frames = [line for line in log.splitlines() if " n:" in line and "checksum" in line]
    assert len(frames) == 6
    for word in wanted[:2] + wanted[-1:]:
        assert all(word in line for line in frames), word
    for word in wanted[2:-1]:
        assert log.count(word) >= 6, word


def png_with_profile(profile: bytes) -> bytes:
    """An 8x8 gray picture with an ICC profile, which FFmpeg makes frame side data of."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(range(100, 108)) for _ in range(8))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
            + chunk(b"iCCP", b"test\0\0" + zlib.compress(profile)) + chunk(b"IDAT", zlib.compress(rows))
            + chunk(b"IEND", b""))


def test_side_data_is_kept(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_with_profile(bytes(128)))
    for chain in ("showinfo", f"{vsr(models.random)},showinfo"):
        log = ffmpeg.log("-i", tmp_path / "a.png", "-vf", chain)
        assert re.search(r"side data - (ICC profile|unknown side data type 15 )", log), log


def test_side_data_that_depends_on_the_size_is_dropped(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    source = movie(ffmpeg, tmp_path / "a.mkv", "pcm_s16le")
    arguments = ("-flags2", "+export_mvs", "-i", source, "-frames:v", "8", "-map", "0:v", "-vf")
    assert "side data - " in ffmpeg.log(*arguments, "showinfo")
    assert "side data - " not in ffmpeg.log(*arguments, f"{vsr(models.random)},showinfo")


def test_change_of_colour_description(ffmpeg: FFmpeg, models: Models) -> None:
    """A change inside a stream loses no frame: it is as two streams one after the other."""
    change = "colorspace=bt709" if ffmpeg.series == "5.1" else "chroma_location=center"
    first, second = texture(6, *SIZE), texture(7, *SIZE, seed=2)
    graph = (f"[0]split[a][b];[a]trim=end_frame=6[c];[b]trim=start_frame=6,setpts=PTS-6/25/TB,setparams={change}[d];"
             f"[c][d]concat,{vsr(models.random)}")
    together = ffmpeg.packets(*INPUT, "-filter_complex", graph, data=first + second)
    apart = (ffmpeg.packets(*INPUT, "-vf", vsr(models.random), data=first)
             + ffmpeg.packets(*INPUT, "-vf", f"setparams={change},{vsr(models.random)}", data=second))
    assert [packet.pts for packet in together] == list(range(13))
    assert checksums(together) == checksums(apart)
    unchanged = ffmpeg.packets(*INPUT, "-vf", vsr(models.random), data=first + second)
    assert checksums(together)[6:] != checksums(unchanged)[6:]


def test_phase(ffmpeg: FFmpeg, models: Models) -> None:
    """A bright spot comes out in its place; a model of phase topleft moves it 1.5 pixels down and right for that."""
    spot = np.full((12, 16), 16, np.uint8)
    spot[5, 7] = 200

    def center(model: Path, phase: str) -> list[float]:
        out = ffmpeg.output(*raw("gray", 16, 12), "-vf", vsr(model, f"phase={phase}"), "-f", "rawvideo", "-",
                            data=spot.tobytes())
        light = np.frombuffer(out, np.uint8).reshape(48, 64).astype(float) - 16
        return [float((axis * light).sum() / light.sum()) for axis in np.indices(light.shape)]

    here = [4 * 5 + 1.5, 4 * 7 + 1.5]  # the middle of the pixel's block
    for phase in ("auto", "model"):
        assert center(models.plain, phase) == pytest.approx(here, abs=0.02)
    assert center(models.topleft, "model") == pytest.approx(here, abs=0.02)  # this one does not mean what it says
    assert center(models.topleft, "auto") == pytest.approx([at + 1.5 for at in here], abs=0.02)
