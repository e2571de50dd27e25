# SPDX-License-Identifier: LGPL-2.1-or-later
"""Restores what a user has: a clip with its sound and subtitles, a picture, a folder of pictures.

Nothing takes the name of the result before ffprobe has found in it what should be there.
"""
from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Iterator, NamedTuple, Optional

from lib.clips import FOLDER_RATE, IMAGES, ClipError, images_in

X264 = ("-c:v", "libx264", "-crf", "18")
# Where pictures of a palette are to be made of frames: the best for each frame.
GIF_PALETTE = "split[a][b];[a]palettegen=stats_mode=single[c];[b][c]paletteuse=new=1"
# Encoder of each kind of picture that can be written.
PICTURES = {".png": ("png",), ".jpg": ("mjpeg", "-q:v", "2"), ".jpeg": ("mjpeg", "-q:v", "2"), ".bmp": ("bmp",),
            ".tif": ("tiff",), ".tiff": ("tiff",), ".ppm": ("ppm",), ".pgm": ("pgm",)}
MP4_SOUND = {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac", "mp2"}
TS_SOUND = {"aac", "mp3", "ac3", "eac3", "mp2", "opus"}
TEXT = {"subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text"}


class Container(NamedTuple):
    """What a clip is written as."""
    sound: Optional[set[str]]  # codecs that are copied, others become AAC; None: all are copied
    subtitles: str             # codec that text becomes; "": there are none


CONTAINERS = {
    ".mkv": Container(None, "copy"), ".mp4": Container(MP4_SOUND, "mov_text"), ".m4v": Container(MP4_SOUND, "mov_text"),
    ".mov": Container(MP4_SOUND | {"pcm_s16le", "pcm_s24le", "pcm_s16be", "pcm_s24be"}, "mov_text"),
    ".ts": Container(TS_SOUND, ""),
}


class Contents(NamedTuple):
    """What ffprobe says is in a file."""
    width: int
    height: int
    codec: str
    pix_fmt: str
    frames: int
    sounds: list[str]
    subtitles: list[str]


def probe(ffmpeg: Path, path: Path, count: str = "packets") -> Contents:
    """Of the first video stream that is no cover. count: "packets", or "frames", which decodes them all."""
    command = [ffmpeg.with_name("ffprobe"), "-v", "error", f"-count_{count}", "-of", "json", "-show_entries",
               f"stream=codec_type,codec_name,pix_fmt,width,height,nb_read_{count}:stream_disposition=attached_pic", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()
        raise ClipError(reason[-1] if reason else f"{path} cannot be read")
    streams = json.loads(done.stdout).get("streams", [])

    def of(kind: str) -> list[dict]:
        return [stream for stream in streams if stream.get("codec_type") == kind]

    video = [stream for stream in of("video") if not stream.get("disposition", {}).get("attached_pic")]
    if not video:
        raise ClipError(f"{path} has no video")
    first = video[0]
    return Contents(int(first["width"]), int(first["height"]), first.get("codec_name", "unknown"), first.get("pix_fmt", ""),
                    int(first.get(f"nb_read_{count}", 0)), [stream.get("codec_name", "unknown") for stream in of("audio")],
                    [stream.get("codec_name", "unknown") for stream in of("subtitle")])


def run(ffmpeg: Path, *arguments: str | Path) -> None:
    command = [ffmpeg, "-v", "warning", "-stats", "-nostdin", "-y", *arguments]
    status = subprocess.run([str(word) for word in command], check=False).returncode
    if status != 0:
        raise ClipError(f"ffmpeg failed with status {status}")


def is_picture(path: Path) -> bool:
    return path.suffix.lower() in IMAGES


def default_target(source: Path) -> Path:
    """The name of the source with -x4 in it, in the current folder, as something that can be written."""
    suffix = source.suffix.lower()
    if source.is_dir():
        return Path(f"{source.resolve().name}-x4")
    if is_picture(source):
        suffix = suffix if suffix in PICTURES else ".png"
    elif suffix not in CONTAINERS and suffix != ".gif":
        suffix = ".mkv"
    return Path(f"{source.stem}-x4{suffix}")


def check_target(source: Path, target: Path) -> None:
    suffix = target.suffix.lower()
    if not source.exists():
        raise ClipError(f"no such file: {source}")
    if target.exists() and target.samefile(source):
        raise ClipError(f"input and output are the same file: {source}")
    if not target.parent.is_dir():
        raise ClipError(f"no such folder: {target.parent}")
    if source.is_dir() and not suffix:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ClipError(f"{target} is there already: give an OUTPUT that is not")
    elif is_picture(target) or suffix in PICTURES:
        if not is_picture(source):
            raise ClipError(f"{source} is not a picture, so {target} cannot be one: end OUTPUT in .mkv, .mp4 or .gif")
        if suffix not in PICTURES:
            raise ClipError(f"this ffmpeg does not write {suffix} pictures: end OUTPUT in .png")
    elif suffix not in CONTAINERS and suffix != ".gif":
        raise ClipError(f"{target}: end OUTPUT in {', '.join(CONTAINERS)}, .gif" +
                        (" or .png" if is_picture(source) else ""))


def sound_arguments(contents: Contents, container: Container) -> tuple[list[str], str]:
    """Options, and what to say of them: sound is copied where the container takes it, else it becomes AAC."""
    if not contents.sounds:
        return [], "no sound in it"
    strange = [codec for codec in contents.sounds if container.sound is not None and codec not in container.sound]
    options = ["-map", "0:a"]
    for index, codec in enumerate(contents.sounds):
        options += [f"-c:a:{index}", *(["aac", f"-b:a:{index}", "256k"] if codec in strange else ["copy"])]
    names = ", ".join(contents.sounds)
    return options, f"sound kept ({names})" if not strange else f"sound as AAC (it was {names})"


def subtitle_arguments(contents: Contents, container: Container) -> tuple[list[str], str]:
    if not contents.subtitles:
        return [], ""
    text = [index for index, codec in enumerate(contents.subtitles) if codec in TEXT]
    kept = list(range(len(contents.subtitles))) if container.subtitles == "copy" else text if container.subtitles else []
    options: list[str] = []
    for place, index in enumerate(kept):
        codec = container.subtitles
        if codec == "copy" and contents.subtitles[index] == "mov_text":
            codec = "srt"
        options += ["-map", f"0:s:{index}", f"-c:s:{place}", codec]
    lost = len(contents.subtitles) - len(kept)
    said = f", {len(kept)} subtitles" if kept else ""
    return options, said + (f", WITHOUT {lost} subtitles, which need an OUTPUT that ends in .mkv" if lost else "")


def video_arguments(contents: Contents, filters: str, suffix: str) -> list[str]:
    if suffix == ".gif":
        return ["-filter_complex", f"[0:V:0]{filters},{GIF_PALETTE}"]
    options = ["-map", "0:V:0", "-vf", filters, *X264]
    # Players take YUV; RGB, palettes and gray become it.
    return options if contents.pix_fmt.startswith(("yuv", "nv", "p0")) else [*options, "-pix_fmt", "yuv420p"]


def check_result(ffmpeg: Path, path: Path, before: Contents, frames: int) -> Contents:
    """What is in the result; it must be all of the frames."""
    after = probe(ffmpeg, path)
    if after.frames < frames:
        raise ClipError(f"only {after.frames} of {frames} frames came out")
    if len(after.sounds) < len(before.sounds):
        raise ClipError(f"only {len(after.sounds)} of {len(before.sounds)} sounds came out")
    return after


def restore_clip(ffmpeg: Path, filters: str, source: Path, target: Path, count: int, reading: list[str | Path]) -> str:
    """A clip, or the pictures of `reading` as one -> what there is to say of the result."""
    suffix = target.suffix.lower()
    before = probe(ffmpeg, Path(reading[-1]))
    container = CONTAINERS.get(suffix, Container(set(), ""))
    sound, said = sound_arguments(before, container) if suffix != ".gif" else ([], "GIFs have no sound")
    subtitles, more = subtitle_arguments(before, container)
    others = ["-map", "0:t?", "-c:t", "copy"] if suffix == ".mkv" else []
    frames = count or before.frames
    print(f"{source}: {before.width}x{before.height}, {frames} frames", flush=True)
    new = target.with_name(target.stem + ".part" + target.suffix)
    try:
        run(ffmpeg, *reading, *video_arguments(before, filters, suffix), *sound, *subtitles, *others, new)
        if not count and probe(ffmpeg, new).frames < frames:
            frames = probe(ffmpeg, source, "frames").frames  # packets may be fields, or hold nothing
        after = check_result(ffmpeg, new, before if sound else before._replace(sounds=[]), frames)
        os.replace(new, target)
    finally:
        new.unlink(missing_ok=True)
    return f"{after.width}x{after.height}, {after.frames} frames, {said}{more}"


@contextlib.contextmanager
def linked(*pictures: Path) -> Iterator[list[Path]]:
    """The pictures under names in which FFmpeg sees no pattern, numbered."""
    with tempfile.TemporaryDirectory() as folder:
        links = [Path(folder) / f"{number:06}{picture.suffix.lower()}" for number, picture in enumerate(pictures)]
        for link, picture in zip(links, pictures):
            link.symlink_to(picture.resolve())
        yield links


def write_picture(ffmpeg: Path, filters: str, link: Path, target: Path) -> str:
    encoder = PICTURES[target.suffix.lower()]
    before = probe(ffmpeg, link)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".part-") as folder:
        new = Path(folder) / f"new{target.suffix.lower()}"
        run(ffmpeg, "-i", link, "-map", "0:v:0", "-vf", filters, "-frames:v", "1", "-update", "1", "-f", "image2", "-c:v",
            *encoder, new)
        after = probe(ffmpeg, new)
        if after.codec != encoder[0]:
            raise ClipError(f"the result is {after.codec}, not {encoder[0]}")
        os.replace(new, target)
    return f"{after.width}x{after.height} from {before.width}x{before.height}"


def write_pictures(ffmpeg: Path, filters: str, links: list[Path], names: list[str], folder: Path) -> None:
    """The frames of a clip, each under its name."""
    run(ffmpeg, *as_clip(links), "-vf", filters, "-start_number", "0", "-c:v", "png", links[0].parent / "out%06d.png")
    for number, name in enumerate(names):
        out = links[0].parent / f"out{number:06}.png"
        if out.exists():
            shutil.move(out, folder / name)


def as_clip(links: list[Path]) -> list[str | Path]:
    return ["-framerate", FOLDER_RATE, "-i", links[0].parent / f"%06d{links[0].suffix}"]


def restore_folder(ffmpeg: Path, filters: str, source: Path, target: Path) -> str:
    """The pictures of a folder in the order of their names: the frames of a clip where they are of one size and kind,
    else each by itself."""
    pictures = [Path(name) for name in images_in(str(source))]
    names = [f"{picture.stem}.png" for picture in pictures]
    if len(set(names)) < len(names):
        raise ClipError(f"{source}: two pictures are called {next(name for name in names if names.count(name) > 1)[:-4]}")
    with linked(*pictures) as links:
        kinds = {(*probe(ffmpeg, link)[:2], link.suffix) for link in links}
        if target.suffix and len(kinds) > 1:
            raise ClipError(f"{source}: pictures of {len(kinds)} sizes and kinds make no clip: give an OUTPUT without an "
                            "ending, a folder")
        if target.suffix:
            return restore_clip(ffmpeg, filters, source, target, len(pictures), as_clip(links))
        new = target.with_name(target.name + ".part")
        new.mkdir()
        try:
            if len(kinds) == 1:
                write_pictures(ffmpeg, filters, links, names, new)
            else:
                for link, name in zip(links, names):
                    write_picture(ffmpeg, filters, link, new / name)
            found = len(list(new.iterdir()))
            if found != len(pictures):
                raise ClipError(f"only {found} of {len(pictures)} pictures came out")
            os.replace(new, target)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    return f"{len(pictures)} pictures, " + ("as the frames of a clip" if len(kinds) == 1 else "each by itself")


def restore(ffmpeg: Path, filters: str, source: Path, target: Optional[Path]) -> None:
    source = source.expanduser()
    target = (target or default_target(source)).expanduser()
    check_target(source, target)
    begin = time.monotonic()
    # ffmpeg gets whole paths: a name with a colon, or with a dash before it, is a name.
    whole, result = source.resolve(), target.parent.resolve() / target.name
    if source.is_dir():
        said = restore_folder(ffmpeg, filters, whole, result)
    elif is_picture(source):
        with linked(whole) as links:
            said = write_picture(ffmpeg, filters, links[0], result) if is_picture(target) else \
                restore_clip(ffmpeg, filters, whole, result, 1, ["-i", links[0]])
    else:
        said = restore_clip(ffmpeg, filters, whole, result, 0, ["-i", whole])
    size = sum(path.stat().st_size for path in (target.iterdir() if target.is_dir() else [target]))
    print(f"{target}: {said}, {size / 1e6:.1f} MB, in {time.monotonic() - begin:.1f} s")
