"""The blur kernel in the filter: estimated or given, in frame metadata and in files, measured by and worked with.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import TIMEOUT, FFmpeg, Models, noise, raw, texture
from test_filter_errors import only_line

from lib import blur  # noqa: E402

SIZE = (24, 16)
FRAMES = 7
INPUT = raw("yuv420p", *SIZE)
PREFIX = "lavfi.selfblindvsr."
MOMENTS = [f"kernel_{name}" for name in blur.Moments._fields]
ROUNDED = 1e-4  # of metadata: four decimals


def vsr(model: Path, *options: str) -> str:
    return ":".join((f"selfblindvsr=model={model}", *options))


def metadata(ffmpeg: FFmpeg, chain: str, data: bytes, source: tuple[str, ...] = INPUT) -> list[dict[str, float]]:
    """What the filter says of each frame. Frames without any metadata would not be printed."""
    chain = f"metadata=add:key=some:value=thing,{chain},metadata=print:file=-"
    text = ffmpeg.output(*source, "-vf", chain, "-f", "null", "-", data=data).decode()
    frames: list[dict[str, float]] = []
    for line in text.splitlines():
        if line.startswith("frame:"):
            frames.append({})
        elif line.startswith(PREFIX):
            name, value = line[len(PREFIX):].split("=")
            frames[-1][name] = float(value)
    return frames


def picture(ffmpeg: FFmpeg, chain: str, data: bytes, source: tuple[str, ...] = INPUT) -> bytes:
    return ffmpeg.output(*source, "-vf", chain, "-f", "rawvideo", "-", data=data)


def gaussian(sigma: tuple[float, float] = (1.6, 1.1), angle: float = 0.5) -> np.ndarray:
    """A kernel for samples in the middle of their blocks."""
    return blur.gaussian_blur(sigma, angle, "center", 4)


def given(path: Path, kernel: np.ndarray) -> str:
    np.save(path, kernel)
    return f"kernel={path}"


# ---- What is estimated ----

def test_nothing_is_estimated_unasked(ffmpeg: FFmpeg, models: Models) -> None:
    frames = metadata(ffmpeg, vsr(models.kernel), texture(FRAMES, *SIZE))
    assert frames == [{}] * FRAMES


def test_metadata_and_file_agree(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    """Every frame carries the moments of its kernel; the file holds those kernels, each estimated from its window."""
    path, data = tmp_path / "k.npy", texture(FRAMES, *SIZE)
    frames = metadata(ffmpeg, vsr(models.kernel, "kernel_interval=1", f"kernel_file={path}"), data)
    kernels = np.load(path)
    assert kernels.shape == (FRAMES, 13, 13) and kernels.dtype == np.float32
    assert kernels.sum((1, 2)) == pytest.approx(1, abs=1e-5)
    assert len({kernel.tobytes() for kernel in kernels}) == FRAMES
    assert len(frames) == FRAMES
    for frame, kernel in zip(frames, kernels):
        assert list(frame) == MOMENTS
        assert list(frame.values()) == pytest.approx(list(blur.moments(kernel)), abs=ROUNDED)
    # This network's kernels are about a Gaussian in the middle of a block.
    assert [frame["kernel_center_x"] for frame in frames] == pytest.approx([1.5] * FRAMES, abs=0.5)
    # The picture is what it is without.
    assert picture(ffmpeg, vsr(models.kernel, "kernel_interval=1"), data) == picture(ffmpeg, vsr(models.kernel), data)


def test_file_alone_is_enough(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    """It means an estimate for each frame, from the same windows whatever else is asked for."""
    data, paths = texture(FRAMES, *SIZE), [tmp_path / f"{i}.npy" for i in range(3)]
    for path, options in zip(paths, ((), ("kernel_interval=1", "cycle=1"), ("refine=2", "tile=16"))):
        frames = metadata(ffmpeg, vsr(models.kernel, f"kernel_file={path}", *options), data)
        assert all(set(MOMENTS) <= set(frame) for frame in frames)
    assert np.load(paths[0]).shape == (FRAMES, 13, 13)
    assert paths[0].read_bytes() == paths[1].read_bytes() == paths[2].read_bytes()


@pytest.mark.parametrize("interval", [2, 3, 100])
def test_interval(ffmpeg: FFmpeg, models: Models, tmp_path: Path, interval: int) -> None:
    """A kernel serves until the next one: those of the file are every so many of an interval of 1."""
    data, files = texture(FRAMES, *SIZE), (tmp_path / "all.npy", tmp_path / "some.npy")
    metadata(ffmpeg, vsr(models.kernel, f"kernel_file={files[0]}"), data)
    frames = metadata(ffmpeg, vsr(models.kernel, f"kernel_interval={interval}", f"kernel_file={files[1]}"), data)
    every, some = map(np.load, files)
    assert np.array_equal(some, every[::interval])
    for index, frame in enumerate(frames):
        assert list(frame.values()) == pytest.approx(list(blur.moments(some[index // interval])), abs=ROUNDED)


def test_scene_cut_begins_anew(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    size, path = SIZE[0] * SIZE[1] * 3 // 2, tmp_path / "k.npy"
    data = bytes([40]) * (4 * size) + noise(1, size) * 1 + bytes([200]) * (3 * size)
    frames = metadata(ffmpeg, vsr(models.kernel, "kernel_interval=100", "scene=0.2", f"kernel_file={path}"), data)
    changes = [i for i in range(1, 8) if frames[i] != frames[i - 1]]
    assert changes and 4 <= changes[0] <= 5
    assert len(np.load(path)) == 1 + len(changes)
    frames = metadata(ffmpeg, vsr(models.kernel, "kernel_interval=100", "scene=0", f"kernel_file={path}"), data)
    assert frames == [frames[0]] * 8 and len(np.load(path)) == 1


@pytest.mark.parametrize("pix_fmt", ["gray", "yuv420p10le", "gbrp", "nv12", "rgb24"])
def test_formats(ffmpeg: FFmpeg, models: Models, tmp_path: Path, pix_fmt: str) -> None:
    chain = f"format={pix_fmt},{vsr(models.kernel, 'kernel_interval=1', 'cycle=1', 'refine=1')},format={pix_fmt}"
    frames = metadata(ffmpeg, chain, texture(3, *SIZE))
    assert len(frames) == 3
    for frame in frames:
        assert set(frame) == {*MOMENTS, "cycle_psnr"} and 5 < frame["cycle_psnr"] < 100


@pytest.mark.parametrize("frames", [1, 2, 5, 6])
def test_frames_come_out_as_they_went_in(ffmpeg: FFmpeg, models: Models, tmp_path: Path, frames: int) -> None:
    """All of them, with their timestamps, an odd size too."""
    data, path = texture(frames, 15, 13), tmp_path / "k.npy"
    packets = ffmpeg.packets(*raw("yuv420p", 15, 13), "-vf", vsr(models.kernel, f"kernel_file={path}", "cycle=1",
                                                                 "refine=2"), data=data)
    assert [packet.pts for packet in packets] == list(range(frames))
    assert len(np.load(path)) == frames


def test_ffprobe_reads_it(ffmpeg: FFmpeg, models: Models) -> None:
    chain = f"testsrc2=s=32x24:d=0.12,format=yuv420p,{vsr(models.kernel, 'kernel_interval=1', 'cycle=1')}"
    done = ffmpeg.run("-f", "lavfi", "-show_entries", "frame_tags", "-of", "json", chain, program="ffprobe")
    assert done.returncode == 0, done.stderr.decode()
    frames = json.loads(done.stdout)["frames"]
    assert len(frames) == 3
    for frame in frames:
        tags = {key[len(PREFIX):] for key in frame["tags"] if key.startswith(PREFIX)}
        assert tags == {*MOMENTS, "cycle_psnr"}


# ---- kernel_file, whatever happens ----

@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_file_is_whole_when_the_run_ends_early(ffmpeg: FFmpeg, models: Models, tmp_path: Path, how: int) -> None:
    path = tmp_path / "k.npy"
    command = [ffmpeg.folder / "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=32x24,format=yuv420p", "-vf",
               vsr(models.kernel, f"kernel_file={path}"), "-f", "null", "-"]
    with subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as run:
        try:
            deadline = time.monotonic() + TIMEOUT
            while not path.exists() or path.stat().st_size < 128 + 5 * 676:
                assert run.poll() is None and time.monotonic() < deadline
                time.sleep(0.01)
            if path.stat().st_size > 128:
                assert len(np.load(path)) >= 4  # while it grows
            run.send_signal(how)
            assert run.wait(TIMEOUT) != 0
        finally:
            run.kill()
    kernels = np.load(path)
    assert kernels.shape[0] >= 4 and kernels.shape[1:] == (13, 13)
    assert kernels.sum((1, 2)) == pytest.approx(1, abs=1e-5)
    # The last kernel may have been written and not counted yet.
    assert 0 <= path.stat().st_size - (128 + kernels.nbytes) <= 676


@pytest.mark.parametrize("path, words", [("/dev/full", "No space left on device"), ("/no/such/k.npy", "No such file"),
                                         ("/tmp", "Is a directory")])
def test_file_cannot_be_written(ffmpeg: FFmpeg, models: Models, path: str, words: str) -> None:
    done = ffmpeg.run(*INPUT, "-vf", vsr(models.kernel, f"kernel_file={path}"), "-f", "rawvideo", "-",
                      data=texture(FRAMES, *SIZE))
    said = done.stderr.decode()
    line = only_line("\n".join(each for each in said.splitlines() if "Failed to configure output pad" not in each))
    assert done.returncode != 0 and path in line and words in line and not done.stdout


def test_disk_becomes_full(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    """After some kernels a limit on the size of files is met, as a full disk would be. What is counted is there."""
    path = tmp_path / "k.npy"
    limited = ("sh", "-c", "trap '' XFSZ; ulimit -f 4; exec \"$@\"", "sh")  # 2048 bytes
    done = ffmpeg.run(*INPUT, "-vf", vsr(models.kernel, f"kernel_file={path}"), "-f", "null", "-",
                      data=texture(200, *SIZE), before=limited)
    line = only_line(done.stderr.decode())
    assert done.returncode != 0 and "cannot be written after 2 kernels: File too large" in line
    assert np.load(path).shape == (2, 13, 13)


# ---- A known kernel ----

def test_known_kernel(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    """It is taken as it is, by a model without a kernel network too, and written once."""
    kernel, data = gaussian(), texture(FRAMES, *SIZE)
    option, path = given(tmp_path / "in.npy", kernel), tmp_path / "out.npy"
    for model in (models.random, models.kernel):
        frames = metadata(ffmpeg, vsr(model, option, f"kernel_file={path}"), data)
        assert len(frames) == FRAMES
        for frame in frames:
            assert list(frame.values()) == pytest.approx(list(blur.moments(kernel)), abs=ROUNDED)
        assert np.load(path) == pytest.approx(kernel[None], abs=1e-7)


def test_misplaced_kernel_is_warned_of(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    """One about its middle entry is right for samples at the top left of their blocks alone, where the picture stays so."""
    middle = given(tmp_path / "middle.npy", blur.gaussian_blur((1.6, 1.1), 0.5, "topleft", 4))
    center = given(tmp_path / "center.npy", gaussian())
    for model, option, warned in ((models.plain, middle, True), (models.plain, center, False),
                                  (models.topleft, middle, True), (models.topleft, center, False),
                                  (models.topleft, f"{middle}:phase=model", False),
                                  (models.topleft, f"{center}:phase=model", True)):
        log = ffmpeg.log(*INPUT, "-vf", vsr(model, option), data=texture(2, *SIZE), level="warning")
        assert log.count("refine moves the picture") == warned


def test_ways_to_write_a_kernel(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    kernel, data, results = gaussian(), texture(3, *SIZE), []
    np.savetxt(tmp_path / "text.txt", kernel)
    np.savetxt(tmp_path / "comma.csv", kernel, delimiter=", ", header="a kernel")
    for name, array in (("f8", kernel), ("f4", kernel.astype("f4")), ("many", np.stack((kernel, kernel.T * 0))),
                        ("fortran", np.asfortranarray(kernel))):
        np.save(tmp_path / f"{name}.npy", array)
    for path in sorted(tmp_path.iterdir()):
        results.append(picture(ffmpeg, vsr(models.random, f"kernel={path}", "refine=2"), data))
    assert len(results) == 6 and len(set(results)) == 1
    other = given(tmp_path / "other.npy", gaussian((2.5, 0.8)))
    assert picture(ffmpeg, vsr(models.random, other, "refine=2"), data) != results[0]


@pytest.mark.parametrize("content, words", [
    (None, "No such file"), (b"", "nothing in it"), (b"1 2\n3 x\n", "line 2: 'x' is not a number"),
    (b"\x89PNG\r\n\x1a\n\0\0", "neither .npy nor"), (b"\x93NUMPY\1\0", "truncated"), ("1 2 3\n4 5 6\n", "2 rows of 3 values"),
    (np.ones((3, 3), int), "expected '<f4' or '<f8'"), (np.ones(9), "shape (9,)"), (np.ones((0, 3, 3)), "0 kernels"),
    (np.ones((3, 5)) / 15, "3 rows of 5 values"), (np.ones((4, 4)) / 16, "side 4"), (np.ones((65, 65)), "1 to 63"),
    (np.ones((3, 3)), "sum to 9"), (np.zeros((3, 3)), "sum to 0"), (np.full((3, 3), np.nan), "not a finite number"),
    (np.full((3, 3), np.inf), "not a finite number")])
def test_bad_kernels_are_refused(ffmpeg: FFmpeg, models: Models, tmp_path: Path, content, words: str) -> None:
    path = tmp_path / "k.npy"
    if isinstance(content, np.ndarray):
        np.save(path, content)
    elif content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = ffmpeg.run(*INPUT, "-vf", vsr(models.kernel, f"kernel={path}"), "-f", "rawvideo", "-",
                      data=texture(3, *SIZE))
    line = only_line(done.stderr.decode())
    assert done.returncode != 0 and words in line and not done.stdout


# ---- The kernel of a scaler, by name ----

SCALERS = ("area", "bicubic", "bilinear", "lanczos")


def written(ffmpeg: FFmpeg, model: Path, option: str, path: Path) -> np.ndarray:
    """The kernel that an option stands for, from kernel_file."""
    picture(ffmpeg, vsr(model, option, f"kernel_file={path}"), texture(3, *SIZE))
    kernel, = np.load(path)
    return kernel


def test_kernels_of_scalers_are_those_of_ffmpeg(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    """What the scaler of that name makes of a picture is best explained by the kernel of that name, in its phase. FFmpeg
    drops small weights, which shows little where neighbours are alike."""
    width, height = 160, 128
    small = np.frombuffer(noise(1, 43 * 54 * 3), np.uint8).reshape(43, 54, 3)
    sharp = small.repeat(3, 0).repeat(3, 1)[:height, :width]
    kernels = {name: written(ffmpeg, models.plain, f"kernel={name}", tmp_path / f"{name}.npy") for name in SCALERS}
    for name in SCALERS:
        chain = f"scale={width // 4}:{height // 4}:flags={name}+accurate_rnd"
        data = picture(ffmpeg, chain, sharp.transpose(2, 0, 1).tobytes(), raw("gbrp", width, height))
        low = np.frombuffer(data, np.uint8).reshape(3, height // 4, width // 4).transpose(1, 2, 0)
        errors = {other: np.abs(reduced(sharp[None].astype(float), kernel)[0] - low)[4:-4, 4:-4].mean()
                  for other, kernel in kernels.items()}
        assert min(errors, key=errors.get) == name and errors[name] < 2, (name, errors)
    assert kernels["bicubic"].min() < -0.005 and kernels["area"].min() == 0


@pytest.mark.parametrize("name", SCALERS)
@pytest.mark.parametrize("place", ["center", "topleft"])
def test_name_of_a_scaler(ffmpeg: FFmpeg, models: Models, tmp_path: Path, name: str, place: str) -> None:
    """It is the same as a file of that kernel, whose center is where the samples are; nothing is warned of."""
    data, model = texture(3, *SIZE), f"{models.topleft}:phase=model" if place == "topleft" else models.random
    kernel = written(ffmpeg, model, f"kernel={name}", tmp_path / "k.npy")
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    assert blur.moments(kernel.clip(0))[3:] == pytest.approx([blur.phase_offset(place, 4)] * 2, abs=1e-5)
    named = picture(ffmpeg, vsr(model, f"kernel={name}", "refine=3"), data)
    assert named == picture(ffmpeg, vsr(model, given(tmp_path / "same.npy", kernel), "refine=3"), data)
    assert named != picture(ffmpeg, vsr(model), data)
    log = ffmpeg.log(*INPUT, "-vf", vsr(model, f"kernel={name}"), data=data, level="warning")
    assert "refine moves" not in log


def test_a_name_that_is_none(ffmpeg: FFmpeg, models: Models) -> None:
    done = ffmpeg.run(*INPUT, "-vf", vsr(models.kernel, "kernel=cubic"), "-f", "null", "-", data=texture(3, *SIZE))
    line = only_line(done.stderr.decode())
    assert done.returncode != 0 and "'cubic'" in line and "area, bicubic, bilinear and lanczos" in line


def test_twice_as_large(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    """A model times 2: the kernel is that of a reduction by 2."""
    kernel = written(ffmpeg, models.double, "kernel=area", tmp_path / "k.npy")
    assert kernel[kernel > 0] == pytest.approx([0.25] * 4)


# ---- What is done with it ----

def reduced(pictures: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Blurred and reduced by four, N x H x W x 3 of 0 to 1; the kernel anchored at the top left of a block."""
    half = len(kernel) // 2
    padded = np.pad(pictures, ((0, 0), (half, half), (half, half), (0, 0)), mode="edge")
    height, width = pictures.shape[1:3]
    return sum(kernel[i, j] * padded[:, i:i + height:4, j:j + width:4] for i in range(len(kernel))
               for j in range(len(kernel)))


@pytest.mark.parametrize("options", [(), ("refine=4",), ("kernel",)])
def test_cycle_psnr_by_numpy(ffmpeg: FFmpeg, models: Models, tmp_path: Path, options: tuple[str, ...]) -> None:
    """From the frames that went in and came out. Those are rounded to 8 bits, which the filter measures before: at the
    45 dB and less of these pictures that is less than 0.05 dB."""
    width, height = SIZE
    path, source = tmp_path / "k.npy", raw("rgb24", *SIZE)
    data = picture(ffmpeg, "format=rgb24", texture(FRAMES, *SIZE))
    if options == ("kernel",):
        options = (given(tmp_path / "given.npy", gaussian()),)
    chain = vsr(models.kernel, "cycle=1", f"kernel_file={path}", *options)
    measured = [frame["cycle_psnr"] for frame in metadata(ffmpeg, chain, data, source)]
    out = picture(ffmpeg, chain, data, source)
    low = np.frombuffer(data, np.uint8).reshape(-1, height, width, 3) / 255
    high = np.frombuffer(out, np.uint8).reshape(-1, 4 * height, 4 * width, 3) / 255
    kernels = np.load(path).astype(float)
    wanted = [-10 * np.log10(np.mean((low[t] - reduced(high[t:t + 1], kernels[min(t, len(kernels) - 1)])[0]) ** 2))
              for t in range(FRAMES)]
    assert len(measured) == FRAMES and 5 < min(wanted) and max(wanted) < 45
    assert measured == pytest.approx(wanted, abs=0.05)


def test_refine(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    """More steps explain the input better; none changes nothing. Noise under a wide blur takes many."""
    data = bytes(96 + value // 4 for value in noise(3, SIZE[0] * SIZE[1] * 3 // 2))
    wide = given(tmp_path / "wide.npy", gaussian((2.2, 2.2)))
    chains = [vsr(models.kernel, wide, f"refine={steps}") for steps in (0, 1, 5, 20)]
    pictures = [picture(ffmpeg, chain, data) for chain in chains]
    fits = [[frame["cycle_psnr"] for frame in metadata(ffmpeg, f"{chain}:cycle=1", data)] for chain in chains]
    assert pictures[0] == picture(ffmpeg, vsr(models.kernel), data)
    assert len(set(pictures)) == 4
    for worse, better in zip(fits, fits[1:]):
        assert all(a + 1 < b for a, b in zip(worse, better))
    for same in ("tile=16", "cycle=1"):
        assert picture(ffmpeg, f"{chains[2]}:{same}", data) == pictures[2]


def test_refine_with_estimated_kernels(ffmpeg: FFmpeg, models: Models) -> None:
    """An interval of 1 is what refinement takes by itself."""
    data = texture(FRAMES, *SIZE)
    pictures = [picture(ffmpeg, vsr(models.kernel, "refine=1", *more), data)
                for more in ((), ("kernel_interval=1",), ("kernel_interval=4",))]
    assert pictures[0] == pictures[1] != pictures[2]
    assert pictures[0] != picture(ffmpeg, vsr(models.kernel), data)


# ---- What is refused ----

@pytest.mark.parametrize("option, limits", [("refine=21", "[0 - 20]"), ("refine=-1", "[0 - 20]"),
                                            ("kernel_interval=-1", "[0 - 1e+06]"),
                                            ("kernel_interval=1000001", "[0 - 1e+06]")])
def test_out_of_range(ffmpeg: FFmpeg, models: Models, option: str, limits: str) -> None:
    done = ffmpeg.run(*INPUT, "-vf", vsr(models.kernel, option), "-f", "null", "-", data=texture(3, *SIZE))
    said = done.stderr.decode()
    assert done.returncode != 0 and f"'{option.split('=')[0]}' out of range {limits}" in said


@pytest.mark.parametrize("option", ["kernel_interval=5", "kernel_file=k.npy", "cycle=1", "refine=3"])
def test_model_without_kernel_network(ffmpeg: FFmpeg, models: Models, option: str) -> None:
    done = ffmpeg.run(*INPUT, "-vf", vsr(models.random, option), "-f", "rawvideo", "-", data=texture(3, *SIZE))
    line = only_line(done.stderr.decode())
    assert done.returncode != 0 and "no kernel network" in line and not done.stdout
    assert not Path("k.npy").exists()
