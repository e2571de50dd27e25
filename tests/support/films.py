"""Films for the tests of the farm, and what a single ffmpeg makes of them.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Callable

import pytest
from conftest import TIMEOUT, TOP, FFmpeg

sys.path.insert(0, str(TOP / "farm"))
from steps.common import read_framecrc  # noqa: E402

UPSCALE = TOP / "farm/upscale"
VENV = TOP / "build/farm-venv/bin"
LOSSLESS = {".mkv": ("-c:v", "ffv1"), ".mp4": ("-c:v", "libx264", "-qp", "0")}


def moving(frames: int, *, size: str = "32x24", rate: str = "25", more: str = "") -> tuple[str, ...]:
    """Input arguments: pictures that all differ."""
    return ("-f", "lavfi", "-i", f"mandelbrot=s={size}:r={rate},trim=end_frame={frames}{more}")


def write(ffmpeg: FFmpeg, path: Path, *arguments: str | Path) -> Path:
    ffmpeg.output("-y", *arguments, path)
    return path


def open_gop(ffmpeg: FFmpeg, folder: Path) -> Path:
    """H.264 with B-frames and open groups of pictures; scene cuts at frames 14 and 28; sound; begins after it."""
    shots = ("mandelbrot=s=32x24:r=25,trim=end_frame=14[a];testsrc2=s=32x24:r=25,trim=end_frame=14[b];"
             "mandelbrot=s=32x24:r=25:start_scale=1,trim=end_frame=17[c];[a][b][c]concat=n=3,format=yuv420p")
    return write(ffmpeg, folder / "open.mkv", "-f", "lavfi", "-i", shots, "-f", "lavfi", "-i", "sine=d=1.8", "-c:v", "libx264",
                 "-g", "8", "-bf", "3", "-x264-params", "open-gop=1:scenecut=0", "-c:a", "aac")


def irregular(ffmpeg: FFmpeg, folder: Path) -> Path:
    """Frames at uneven times, the first of them at 3 seconds."""
    times = ",settb=1/90000,setpts='PTS+90000*3.017+3600*0.2*mod(N,3)*(1+mod(N,7)/9)'"
    return write(ffmpeg, folder / "irregular.mkv", *moving(40, more=times),
                 "-fps_mode", "passthrough", "-enc_time_base", "1:90000", "-c:v", "libx264", "-g", "12", "-bf", "3", "-pix_fmt",
                 "yuv420p", "-copyts")


def broadcast(ffmpeg: FFmpeg, folder: Path) -> Path:
    """MPEG-2 in a transport stream: 90 kHz, begins at 1.4 seconds, sound before the picture."""
    return write(ffmpeg, folder / "broadcast.ts", *moving(30, rate="30000/1001"), "-f", "lavfi", "-i", "sine=d=1", "-c:v",
                 "mpeg2video", "-g", "9", "-bf", "2", "-pix_fmt", "yuv420p", "-c:a", "aac")


def cut_out(ffmpeg: FFmpeg, folder: Path) -> Path:
    """Cut without encoding: an edit list hides the frames before the cut."""
    return write(ffmpeg, folder / "cut.mp4", "-ss", "0.5", "-i", open_gop(ffmpeg, folder), "-map", "0:v", "-c", "copy")


def primed(ffmpeg: FFmpeg, folder: Path) -> Path:
    """Sound whose first packet begins before 0 and is not heard: where no edit list can say so, FFmpeg moves the film."""
    return write(ffmpeg, folder / "primed.mp4", *moving(30), "-f", "lavfi", "-i", "sine=d=1.2", "-c:v", "libx264", "-g", "5", "-bf",
                 "1", "-pix_fmt", "yuv420p", "-c:a", "aac")


def timecoded(ffmpeg: FFmpeg, folder: Path) -> Path:
    """With a timecode, hence a stream of data, and sound before the picture."""
    return write(ffmpeg, folder / "timecoded.mp4", "-i", open_gop(ffmpeg, folder), "-c", "copy", "-timecode", "01:00:00:00")


def bare(ffmpeg: FFmpeg, folder: Path) -> Path:
    """H.264 without a container, hence without timestamps."""
    return write(ffmpeg, folder / "bare.h264", "-i", open_gop(ffmpeg, folder), "-map", "0:v", "-c", "copy")


def recoloured(ffmpeg: FFmpeg, folder: Path) -> Path:
    """Another colour matrix from frame 16 on."""
    parts = [write(ffmpeg, folder / f"{matrix}.h264", *moving(16, more=more), "-pix_fmt", "yuv420p", "-colorspace", matrix, "-c:v",
                   "libx264", "-x264-params", f"colormatrix={matrix}:bframes=0")
             for matrix, more in (("bt709", ""), ("smpte170m", ",hflip"))]
    (folder / "both.h264").write_bytes(b"".join(part.read_bytes() for part in parts))
    return write(ffmpeg, folder / "recoloured.mkv", "-i", folder / "both.h264", "-c", "copy")


def refreshed(ffmpeg: FFmpeg, folder: Path) -> Path:
    """Keyframes that are whole only some frames later."""
    return write(ffmpeg, folder / "refresh.mkv", *moving(50), "-c:v", "libx264", "-pix_fmt", "yuv420p", "-x264-params",
                 "intra-refresh=1:keyint=8:bframes=0")


def held(ffmpeg: FFmpeg, folder: Path) -> Path:
    """Animation: every drawing stands for nine frames, some of them across the beginning of a chunk."""
    return write(ffmpeg, folder / "held.mkv", *moving(6, rate="25/9", more=",fps=25"), "-pix_fmt", "yuv420p", "-c:v", "ffv1",
                 "-g", "6")


def black_first(ffmpeg: FFmpeg, folder: Path) -> Path:
    """Black for 53 frames."""
    return write(ffmpeg, folder / "black.mkv", *moving(25, more=",format=yuv420p,tpad=start=53:color=black"), "-pix_fmt",
                 "yuv420p", "-c:v", "ffv1", "-g", "6")


def ten_bit(ffmpeg: FFmpeg, folder: Path) -> Path:
    """Odd sizes, 10 bits, wide gamut, pixels that are not square."""
    return write(ffmpeg, folder / "ten.mkv", *moving(12, size="33x25", rate="24"), "-pix_fmt", "yuv444p10le", "-c:v", "ffv1",
                 "-aspect", "16:9", "-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc",
                 "-color_range", "tv")


def with_everything(ffmpeg: FFmpeg, folder: Path, picture: Path) -> Path:
    """Sound before the picture in the order of streams, two languages, subtitles, chapters, an attachment, a cover."""
    (folder / "s.srt").write_text("1\n00:00:00,100 --> 00:00:00,900\nHällo\n\n", encoding="utf-8")
    (folder / "chapters").write_text(';FFMETADATA1\ntitle=A "film"\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=300\ntitle=one\n'
                                     "[CHAPTER]\nTIMEBASE=1/1000\nSTART=300\nEND=500\ntitle=two\n", encoding="utf-8")
    (folder / "font.ttf").write_bytes(b"no font")
    cover = write(ffmpeg, folder / "cover.png", "-f", "lavfi", "-i", "testsrc=s=16x16:d=0.04", "-frames:v", "1")
    return write(ffmpeg, folder / "everything.mkv", "-f", "lavfi", "-i", "sine=d=0.5", "-i", picture, "-f", "lavfi", "-i",
                 "sine=f=900:d=0.5", "-i", folder / "s.srt", "-i", folder / "chapters", "-i", cover, "-map", "0", "-map", "1:v",
                 "-map", "2", "-map", "3", "-map", "5", "-map_metadata", "4", "-map_chapters", "4", "-c", "copy", "-c:a:1", "aac",
                 "-c:s", "subrip", "-disposition:v:1", "attached_pic", "-metadata:s:a:0", "language=deu", "-metadata:s:a:1",
                 "language=eng", "-metadata:s:v:0", "title=the film", "-attach", folder / "font.ttf", "-metadata:s:t",
                 "mimetype=font/ttf")


# ---- Results ----

Frame = tuple[Fraction, int, str]  # time in seconds, bytes, checksum


def frames(ffmpeg: FFmpeg, film: Path) -> list[Frame]:
    """The decoded frames of a film, with the timestamps of its container."""
    text = ffmpeg.output("-copyts", "-i", f"file:{film}", "-map", "0:V:0", "-fps_mode", "passthrough", "-enc_time_base",
                         source_base(ffmpeg), "-f", "framecrc", "-").decode()
    packets, bases = read_framecrc(text)
    return [(packet.pts * bases[0], packet.size, packet.checksum) for packet in packets]


def source_base(ffmpeg: FFmpeg) -> str:
    """The time base of the source, as an encoder's."""
    return "-1" if ffmpeg.series == "5.1" else "demux"


def one_run(ffmpeg: FFmpeg, source: Path, output: Path, chain: str) -> list[Frame]:
    """What one ffmpeg makes of a film, every frame at its own time."""
    codec, name, *more = LOSSLESS[output.suffix]
    ffmpeg.output("-y", "-i", f"file:{source}", "-map", "0:V:0", "-map", "0:a?", "-c", "copy", f"{codec}:0", name, *more,
                  "-filter:v:0", chain, "-fps_mode", "passthrough", "-enc_time_base", source_base(ffmpeg), output)
    return frames(ffmpeg, output)


# ---- Running it ----

def need_snakemake() -> None:
    if not (VENV / "snakemake").exists() and not shutil.which("snakemake"):
        pytest.skip("Snakemake is not installed: ./configure --install-deps")


def start(ffmpeg: FFmpeg, folder: Path, *arguments: str | Path, program: Path | None = None) -> subprocess.Popen[str]:
    """farm/upscale in a folder, with an ffmpeg of the tests or a program in its place."""
    chosen = () if "--ffmpeg" in arguments else ("--ffmpeg", program or ffmpeg.folder / "ffmpeg")
    command = [sys.executable, UPSCALE, *arguments, *chosen]
    return subprocess.Popen([str(word) for word in command], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, env={**os.environ, **ffmpeg.environment})


def upscale(ffmpeg: FFmpeg, folder: Path, *arguments: str | Path, program: Path | None = None) -> tuple[int, str]:
    """Its status and what it said."""
    child = start(ffmpeg, folder, *arguments, program=program)
    try:
        said, _ = child.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        child.kill()
        raise
    return child.returncode, said


def stub(folder: Path, ffmpeg: FFmpeg, name: str, script: str) -> Path:
    """A program in the place of ffmpeg: a script that ends by running the real one, $FFMPEG, with its arguments."""
    place = folder / name
    place.mkdir()
    (place / "ffprobe").symlink_to(ffmpeg.folder / "ffprobe")
    program = place / "ffmpeg"
    program.write_text(f'#!/bin/bash\nFFMPEG="{ffmpeg.folder / "ffmpeg"}"\n{script}\nexec "$FFMPEG" "$@"\n')
    program.chmod(0o755)
    return program


def processes() -> dict[int, tuple[int, str]]:
    """Of every process its parent and its command line."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    return {int(pid): (int(parent), command) for pid, parent, command in rows}


def mentioned(text: str) -> list[str]:
    """Command lines with a text in them."""
    return [command for _, command in processes().values() if text in command]


def children(of: int, wanted: Callable[[str], bool]) -> list[int]:
    """Processes below one, whose command lines are wanted."""
    there = processes()

    def below(pid: int) -> bool:
        while pid in there and pid != of:
            pid = there[pid][0]
        return pid == of
    return [pid for pid, (_, command) in there.items() if pid != of and below(pid) and wanted(command)]


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
