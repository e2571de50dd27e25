"""The filter on an NVIDIA GPU: frames in its memory, software frames computed there, what happens when it fails.

The GPU is the emulated one of tests/cuda/emu, whose driver notices every call in a wrong context, every access outside of an
allocation, and what is not given back.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import ctypes
import re
from dataclasses import replace
from pathlib import Path
from typing import Iterator

import numpy as np
import pytest
from conftest import TOP, FFmpeg, Models, model_file, no_gpu_code, raw, texture, tiny_tensors
from test_filter_colour import LAYOUTS, Layout, samples

if no_gpu_code():
    pytest.skip(no_gpu_code(), allow_module_level=True)

EMULATOR = TOP / "build/emu"
SIZE = (24, 16)
FRAMES = 4
# What FFmpeg keeps in CUDA memory and the network takes, since which FFmpeg; "0rgb32" is bgr0 on this machine.
FORMATS = {"nv12": 5.1, "yuv420p": 5.1, "yuv444p": 5.1, "p010le": 5.1, "p016le": 5.1, "yuv444p16le": 5.1, "bgr0": 5.1,
           "rgb0": 5.1, "yuv422p": 9.0, "yuv420p10le": 9.0, "yuv422p10le": 9.0, "yuv444p10le": 9.0}
# 16 bits are no software format of the filter: the same picture with the low bits clear.
NARROW = {"p016le": "p010le", "yuv444p16le": "yuv444p10le"}
LEAST_PSNR = 45  # dB; what half precision costs is below the rounding of 8 bits


class Report:
    """What the emulated driver wrote about the processes that used it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self, *kinds: str) -> list[str]:
        text = self.path.read_text() if self.path.exists() else ""
        return [line for line in text.splitlines() if line.split()[0] in kinds]

    def calls(self, function: str) -> int:
        """Of the last process."""
        return int([line for line in self.lines("calls") if line.split()[1] == function][-1].split()[-1])

    def launches(self) -> int:
        return sum(int(line.split()[-1]) for line in self.lines("launches"))


@pytest.fixture(name="report")
def fixture_report(tmp_path: Path) -> Report:
    return Report(tmp_path / "cuda-report")


@pytest.fixture(name="gpu")
def fixture_gpu(ffmpeg: FFmpeg, report: Report) -> Iterator[FFmpeg]:
    """An FFmpeg that finds the emulated GPU. Nothing is misused, nothing lost."""
    if " hwupload_cuda " not in ffmpeg.output("-filters").decode():
        pytest.skip(f"FFmpeg {ffmpeg.series} was built without NVIDIA's codec headers")
    assert (EMULATOR / "libcuda.so.1").exists(), "build/emu/libcuda.so.1 is missing: make fake-cuda"
    # SBV_CPU: what is compared with is fp32, on a processor with AMX too
    yield replace(ffmpeg, environment={"LD_LIBRARY_PATH": str(EMULATOR), "FAKE_CUDA_REPORT": str(report.path),
                                       "SBV_CPU": "c"})
    assert report.lines("misuse", "leak") == []


def with_fault(ffmpeg: FFmpeg, fault: str) -> FFmpeg:
    return replace(ffmpeg, environment={**ffmpeg.environment, "FAKE_CUDA_FAIL": fault})


references: dict[tuple, bytes] = {}


def reference(ffmpeg: FFmpeg, chain: str) -> bytes:
    """What becomes of the pattern in nv12, computed once for each FFmpeg."""
    if (ffmpeg.series, chain) not in references:
        references[ffmpeg.series, chain] = restore(ffmpeg, "nv12", chain, pattern("nv12"))
    return references[ffmpeg.series, chain]


def vsr(model: Path, options: str = "") -> str:
    return f"selfblindvsr=model={model}{':' if options else ''}{options}"


def on_gpu(chain: str, pix_fmt: str) -> str:
    return f"hwupload_cuda,{chain},hwdownload,format={pix_fmt}"


def restore(ffmpeg: FFmpeg, pix_fmt: str, chain: str, data: bytes, size: tuple[int, int] = SIZE) -> bytes:
    return ffmpeg.output(*raw(pix_fmt, *size), "-vf", chain, "-f", "rawvideo", "-", data=data)


def layout_of(pix_fmt: str) -> Layout:
    if pix_fmt in NARROW:
        return LAYOUTS[NARROW[pix_fmt]]._replace(depth=16, shift=0)
    return LAYOUTS[pix_fmt]


def pattern(pix_fmt: str, frames: int = FRAMES, size: tuple[int, int] = SIZE) -> bytes:
    """Frames of a smooth pattern that moves, with padding of 255."""
    layout = layout_of(pix_fmt)
    rng = np.random.RandomState(1)
    wave = rng.uniform(0.2, 0.9, (3, 2))
    data = bytearray()
    for time in range(frames):
        for index, components in enumerate(layout.planes):
            w, h = (-(-side // 2**shift) for side, shift in zip(size, layout.subsampling if index else (0, 0)))
            y, x = np.mgrid[0:h, 0:w]
            plane = np.full((h, w, len(components)), 255)
            for place, component in enumerate(components):
                if component >= 0:
                    value = 0.5 + 0.35 * np.sin(time + wave[component, 0] * x + wave[component, 1] * y)
                    plane[..., place] = (value * (2 ** min(layout.depth, 10) - 1)).astype(int)
            shift = layout.shift or max(layout.depth - 10, 0)
            data += (plane << shift).astype(samples(layout)).tobytes()
    return bytes(data)


def psnr(pix_fmt: str, one: bytes, other: bytes) -> float:
    """Of all samples together, in dB. The frames differ from each other, so that none is compared with a wrong one."""
    layout = layout_of(pix_fmt)
    assert len(one) == len(other) > 0
    a, b = (np.frombuffer(data, samples(layout)).astype(float) / (1 << layout.shift) for data in (one, other))
    assert np.ptp(a) > 0
    return float(10 * np.log10((2**layout.depth - 1) ** 2 / max(np.mean((a - b) ** 2), 1e-9)))


def on_cpu(ffmpeg: FFmpeg, pix_fmt: str, model: Path, data: bytes, size: tuple[int, int] = SIZE) -> bytes:
    """What the processor makes of it."""
    chain = vsr(model, "backend=cpu")
    if pix_fmt not in NARROW:
        return restore(ffmpeg, pix_fmt, chain, data, size)
    shift = 6 - layout_of(NARROW[pix_fmt]).shift
    narrow = (np.frombuffer(data, "<u2") >> shift).tobytes()
    return (np.frombuffer(restore(ffmpeg, NARROW[pix_fmt], chain, narrow, size), "<u2") << shift).tobytes()


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_every_format(gpu: FFmpeg, models: Models, report: Report, pix_fmt: str) -> None:
    if float(gpu.series) < FORMATS[pix_fmt]:
        pytest.skip(f"FFmpeg {gpu.series} has no CUDA frames of {pix_fmt}")
    data = pattern(pix_fmt)
    wanted = on_cpu(gpu, pix_fmt, models.random, data)
    before = report.launches()
    out = restore(gpu, pix_fmt, on_gpu(vsr(models.random), pix_fmt), data)
    assert report.launches() > before
    assert psnr(pix_fmt, out, wanted) >= LEAST_PSNR
    layout = layout_of(pix_fmt)
    if -1 in layout.planes[0]:
        assert set(out[layout.planes[0].index(-1)::4]) == {255}


@pytest.mark.parametrize("size", [(2, 2), (50, 2), (34, 26)])
def test_every_size(gpu: FFmpeg, models: Models, size: tuple[int, int]) -> None:
    """Down to what yuv420p can be; FFmpeg's own upload loses the last chroma row of odd heights."""
    data = pattern("yuv420p", size=size)
    out = restore(gpu, "yuv420p", on_gpu(vsr(models.random), "yuv420p"), data, size)
    assert psnr("yuv420p", out, on_cpu(gpu, "yuv420p", models.random, data, size)) >= LEAST_PSNR


def test_scale_2(gpu: FFmpeg, models: Models) -> None:
    data = pattern("nv12")
    out = restore(gpu, "nv12", on_gpu(vsr(models.double), "nv12"), data)
    assert psnr("nv12", out, on_cpu(gpu, "nv12", models.double, data)) >= LEAST_PSNR


def test_frames_of_another_size_are_refused(gpu: FFmpeg, models: Models) -> None:
    """No scaler of FFmpeg's is at hand for them. (setpts: concat would have frames made in its own size.)"""
    for other in ("32x24", "16x8"):
        graph = (f"[0]hwupload_cuda[a];[1]hwupload_cuda,setpts=PTS[b];[a][b]concat=unsafe=1,{vsr(models.random)},hwdownload,"
                 "format=nv12")
        done = gpu.run(*raw("nv12", *SIZE), "-f", "lavfi", "-i", f"testsrc2=s={other}:d=0.2:r=25,format=nv12",
                       "-filter_complex", graph, "-f", "rawvideo", "-", data=pattern("nv12"))
        said = done.stderr.decode()
        assert done.returncode != 0 and said.count("A frame is ") == 1, said
        assert f"A frame is {other} nv12, but the stream 24x16 nv12" in said


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_tiles_change_nothing(gpu: FFmpeg, models: Models, precision: str) -> None:
    size = (38, 22)
    data = pattern("nv12", 3, size)
    runs = [restore(gpu, "nv12", on_gpu(vsr(models.random, f"precision={precision}:tile={tile}"), "nv12"), data, size)
            for tile in (0, 16, 32)]
    assert runs[0] == runs[1] == runs[2]


def test_precision(gpu: FFmpeg, models: Models) -> None:
    data = pattern("yuv444p")
    wanted = on_cpu(gpu, "yuv444p", models.random, data)
    runs = {precision: restore(gpu, "yuv444p", on_gpu(vsr(models.random, f"precision={precision}"), "yuv444p"), data)
            for precision in ("auto", "fp16", "fp32")}
    assert runs["auto"] == runs["fp16"] != runs["fp32"]
    assert psnr("yuv444p", runs["fp32"], wanted) >= max(60, psnr("yuv444p", runs["fp16"], wanted))


@pytest.mark.parametrize("pix_fmt, options", [("yuv420p", "backend=cuda"), ("p010le", "backend=auto"), ("rgb24", ""),
                                              ("gray10le", "precision=fp32"), ("gbrp", "precision=fp16")])
def test_software_frames(gpu: FFmpeg, models: Models, report: Report, pix_fmt: str, options: str) -> None:
    data = pattern(pix_fmt)
    out = restore(gpu, pix_fmt, vsr(models.random, options), data)
    assert report.launches() > 0
    assert psnr(pix_fmt, out, on_cpu(gpu, pix_fmt, models.random, data)) >= LEAST_PSNR


def test_device_for_software_frames(gpu: FFmpeg, models: Models, report: Report) -> None:
    """The first GPU, or that of the option, or that of -filter_hw_device, in which case the option still decides."""
    three = replace(gpu, environment={**gpu.environment, "FAKE_CUDA_DEVICES": "3"})
    data = pattern("yuv420p", 3)
    wanted = restore(three, "yuv420p", vsr(models.random, "precision=fp32"), data)
    assert {line.split()[1] for line in report.lines("device")} == {"0"}
    given = ("-init_hw_device", "cuda=cu:1", "-filter_hw_device", "cu")
    for before, options, device in (((), "device=2", "2"), (given, "backend=cuda", "1"), (given, "device=0", "0")):
        chain = vsr(models.random, f"precision=fp32:{options}")
        out = three.output(*before, *raw("yuv420p", *SIZE), "-vf", chain, "-f", "rawvideo", "-", data=data)
        assert out == wanted
        assert report.lines("device")[-1].split()[1] == device, (before, options)


@pytest.mark.parametrize("options", ["device=3", "device=3:backend=cuda"])
def test_device_that_is_not_there(gpu: FFmpeg, models: Models, options: str) -> None:
    three = replace(gpu, environment={**gpu.environment, "FAKE_CUDA_DEVICES": "3"})
    done = three.run(*raw("yuv420p", *SIZE), "-vf", vsr(models.random, options), "-f", "null", "-", data=pattern("yuv420p", 3))
    assert done.returncode != 0 and b"device 3: there are 3 NVIDIA GPUs, counted from 0" in done.stderr


def test_cpu_leaves_the_gpu_alone(gpu: FFmpeg, models: Models, report: Report) -> None:
    restore(gpu, "nv12", "hwupload_cuda,hwdownload,format=nv12," + vsr(models.random, "backend=cpu"), pattern("nv12"))
    assert report.launches() == 0


def test_both_are_the_same_on_the_gpu(gpu: FFmpeg, models: Models) -> None:
    """Where the frames lie makes no difference."""
    data = pattern("p010le")
    chain = vsr(models.random)
    assert restore(gpu, "p010le", on_gpu(chain, "p010le"), data) == restore(gpu, "p010le", chain, data)


# ---- A part of a stream ----

INPUT = raw("yuv420p", *SIZE)


def times(ffmpeg: FFmpeg, chain: str, clip: bytes, *arguments: str) -> list[tuple[int, int, int]]:
    return [(packet.pts, packet.duration, packet.size)
            for packet in ffmpeg.packets(*INPUT, "-vf", chain, *arguments, data=clip)]


@pytest.mark.parametrize("border, count", [("replicate", 1), ("replicate", 2), ("reflect", 7), ("none", 4),
                                           ("none", 6)])
def test_as_many_out_as_in(gpu: FFmpeg, models: Models, border: str, count: int) -> None:
    chain, clip = vsr(models.random, f"border={border}"), texture(count, *SIZE)
    out = times(gpu, on_gpu(chain, "yuv420p"), clip)
    assert out == times(gpu, f"{chain}:backend=cpu", clip)
    assert len(out) == (count if border != "none" else max(count - 4, 0))


def test_each_frame_is_restored_from_its_own(gpu: FFmpeg, models: Models) -> None:
    shades = [40, 200, 90, 130, 60, 220, 100]
    clip = b"".join(bytes([shade] * 8 * 6 * 3) for shade in shades)
    out = restore(gpu, "yuv444p", on_gpu(vsr(models.plain), "yuv444p"), clip, (8, 6))
    assert np.abs(np.frombuffer(out, np.uint8).astype(int)
                  - np.repeat(shades, len(out) // len(shades)).astype(int)).max() <= 1


def test_variable_frame_rate(gpu: FFmpeg, models: Models) -> None:
    chain = "settb=1/1000,setpts='7*N*N+3*N+11'"
    arguments = ("-enc_time_base", "1:1000", *(("-vsync", "vfr") if gpu.series == "5.1" else ("-fps_mode", "vfr")))
    out = times(gpu, f"{chain},{on_gpu(vsr(models.random), 'yuv420p')}", texture(7, *SIZE), *arguments)
    assert [pts for pts, _, _ in out] == [7 * n * n + 3 * n + 11 for n in range(7)]


def test_properties_are_kept(gpu: FFmpeg, models: Models) -> None:
    chain = ("setsar=4/3,setfield=tff,metadata=add:key=colour:value=mauve,"
             "setparams=range=tv:color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc")
    log = gpu.log(*INPUT, "-vf", f"{chain},{on_gpu(vsr(models.random), 'yuv420p')},showinfo,metadata=print",
                  data=texture(5, *SIZE))
    assert log.count("colour=mauve") == 5
    frames = [line for line in log.splitlines() if " n:" in line and "checksum" in line]
    assert len(frames) == 5
    for word in ("sar:4/3", "i:T", "s:96x64"):
        assert all(word in line for line in frames), word
    for word in ("color_range:tv", "color_space:bt2020nc", "color_primaries:bt2020", "color_trc:smpte2084"):
        assert log.count(word) >= 5, word


def test_colours_are_those_of_the_frames(gpu: FFmpeg, models: Models) -> None:
    """Matrix and range reach the network: with a tint added in RGB, what comes out depends on them."""
    data, outputs = pattern("nv12"), []
    for params in ("colorspace=bt709:range=tv", "colorspace=smpte170m:range=tv", "colorspace=bt2020nc:range=pc"):
        chain = vsr(models.tinted)
        out = restore(gpu, "nv12", f"setparams={params},{on_gpu(chain, 'nv12')}", data)
        wanted = restore(gpu, "nv12", f"setparams={params},{chain}:backend=cpu", data)
        assert psnr("nv12", out, wanted) >= LEAST_PSNR
        outputs.append(out)
    assert len(set(outputs)) == 3


def test_change_of_colour_description(gpu: FFmpeg, models: Models) -> None:
    """A change inside a stream loses no frame: it is as two streams one after the other."""
    change = "colorspace=bt709" if gpu.series == "5.1" else "chroma_location=center"
    first, second = texture(4, *SIZE), texture(5, *SIZE, seed=2)
    graph = (f"[0]split[a][b];[a]trim=end_frame=4[c];[b]trim=start_frame=4,setpts=PTS-4/25/TB,setparams={change}[d];"
             f"[c][d]concat,{on_gpu(vsr(models.random), 'yuv420p')}")
    together = gpu.packets(*INPUT, "-filter_complex", graph, data=first + second)
    chain = on_gpu(vsr(models.random), "yuv420p")
    apart = (gpu.packets(*INPUT, "-vf", chain, data=first)
             + gpu.packets(*INPUT, "-vf", f"setparams={change},{chain}", data=second))
    assert [packet.pts for packet in together] == list(range(9))
    assert [packet.checksum for packet in together] == [packet.checksum for packet in apart]


def test_scene_cut(gpu: FFmpeg, models: Models) -> None:
    dark, bright = bytes(v // 3 for v in texture(4, *SIZE)), bytes(150 + v // 3 for v in texture(4, *SIZE, seed=2))
    chain = on_gpu(vsr(models.random, "scene=0.3"), "yuv420p")
    runs = [restore(gpu, "yuv420p", chain, clip) for clip in (dark + bright, dark, bright)]
    assert runs[0] == runs[1] + runs[2]


def test_other_frames_of_the_same_device(gpu: FFmpeg, models: Models) -> None:
    """Frames of another pool, in the middle of the stream: as if they were of one."""
    clip = texture(8, *SIZE)
    device = ("-init_hw_device", "cuda=g", "-filter_hw_device", "g")
    restoring = f"{vsr(models.random)},hwdownload,format=yuv420p"
    # Without a filter after it hwupload would be given frames of concat's, which are the first input's.
    graph = ("[0]split[a][b];[a]trim=end_frame=4,hwupload,setpts=PTS[c];"
             "[b]trim=start_frame=4,hwupload,setpts=PTS-4/25/TB[d];"
             f"[c][d]concat,{restoring}")
    together = gpu.packets(*device, *INPUT, "-filter_complex", graph, data=clip)
    assert len(together) == 8
    whole = gpu.packets(*device, *INPUT, "-vf", f"hwupload,{restoring}", data=clip)
    assert [packet.checksum for packet in together] == [packet.checksum for packet in whole]


def test_frames_of_another_device(gpu: FFmpeg, models: Models) -> None:
    """Each hwupload_cuda opens the device for itself. What comes after the filter knows the first one alone."""
    graph = ("[0]split[a][b];[a]trim=end_frame=4,hwupload_cuda,setpts=PTS[c];"
             "[b]trim=start_frame=4,hwupload_cuda,setpts=PTS-4/25/TB[d];"
             f"[c][d]concat,{vsr(models.random)},hwdownload,format=yuv420p")
    done = gpu.run(*INPUT, "-filter_complex", graph, "-f", "null", "-", data=texture(8, *SIZE))
    assert done.returncode != 0
    assert len(re.findall("A frame lies on another CUDA device, context or stream", done.stderr.decode())) == 1


def test_two_in_a_row(gpu: FFmpeg, models: Models) -> None:
    data, chain = pattern("nv12", 3, (12, 8)), f"{vsr(models.double)},{vsr(models.double)}"
    out = restore(gpu, "nv12", on_gpu(chain, "nv12"), data, (12, 8))
    wanted = restore(gpu, "nv12", chain.replace("model=", "backend=cpu:model="), data, (12, 8))
    assert psnr("nv12", out, wanted) >= LEAST_PSNR


def test_beside_other_cuda_filters(gpu: FFmpeg, models: Models) -> None:
    """scale_cuda has nothing to do here: the emulator has no kernels but ours."""
    if " scale_cuda " not in gpu.output("-filters").decode():
        pytest.skip("this FFmpeg was built without clang")
    data, chain = pattern("nv12"), vsr(models.random)
    out = restore(gpu, "nv12", on_gpu(f"scale_cuda=iw:ih,{chain},scale_cuda=iw:ih", "nv12"), data)
    assert out == restore(gpu, "nv12", on_gpu(chain, "nv12"), data)


def test_part_of_a_frame_pool(gpu: FFmpeg, models: Models) -> None:
    """-frames:v ends the graph while frames are held and work is queued."""
    data = texture(9, *SIZE)
    chain = on_gpu(vsr(models.random), "yuv420p")
    whole = gpu.packets(*INPUT, "-vf", chain, data=data)
    assert gpu.packets(*INPUT, "-vf", chain, "-frames:v", "2", data=data) == whole[:2]


# ---- What is refused ----

def said_by_filter(stderr: bytes) -> list[str]:
    """The filter's own lines, without those that FFmpeg adds in its name."""
    lines = [line for line in stderr.decode().splitlines() if "selfblindvsr" in line.split("]")[0]]
    return [line.split("] ", 1)[1] for line in lines if "Failed to configure" not in line]


def refused(ffmpeg: FFmpeg, chain: str, pix_fmt: str = "nv12") -> str:
    """Runs a chain in vain; returns the one line that the filter says."""
    done = ffmpeg.run(*raw(pix_fmt, *SIZE), "-vf", chain, "-f", "rawvideo", "-", data=texture(4, *SIZE))
    assert done.returncode != 0 and not done.stdout
    lines = said_by_filter(done.stderr)
    assert len(lines) == 1, done.stderr.decode()
    return lines[0]


def test_cuda_frames_need_the_gpu(gpu: FFmpeg, models: Models) -> None:
    line = refused(gpu, on_gpu(vsr(models.random, "backend=cpu"), "nv12"))
    assert "backend=cpu" in line and "hwdownload" in line


def test_unknown_format(gpu: FFmpeg, models: Models) -> None:
    assert "yuva420p" in refused(gpu, on_gpu(vsr(models.random), "yuva420p"), "yuva420p")


def test_no_such_model(gpu: FFmpeg) -> None:
    done = gpu.run(*raw("nv12", *SIZE), "-vf", on_gpu(vsr(Path("/nowhere.bin")), "nv12"), "-f", "null", "-",
                   data=pattern("nv12"))
    assert done.returncode != 0
    assert [line for line in said_by_filter(done.stderr) if "/nowhere.bin" in line and "No such file" in line]


def test_too_little_memory(gpu: FFmpeg, models: Models) -> None:
    size = (400, 400)
    done = gpu.run(*raw("yuv420p", *size), "-vf", on_gpu(vsr(models.plain, "max_memory=1"), "yuv420p"), "-f", "null",
                   "-", data=bytes(240000))
    lines = said_by_filter(done.stderr)
    assert done.returncode != 0
    assert len(lines) == 1 and "max_memory" in lines[0] and "400x400" in lines[0], done.stderr.decode()


# ---- Without a GPU ----

@pytest.fixture(name="bare", params=["absent", "broken"])
def fixture_bare(request: pytest.FixtureRequest, ffmpeg: FFmpeg, tmp_path: Path) -> FFmpeg:
    """An FFmpeg on a machine without a driver, or with something else of that name."""
    if request.param == "broken":
        (tmp_path / "libcuda.so.1").write_bytes(b"no library")
        return replace(ffmpeg, environment={"LD_LIBRARY_PATH": str(tmp_path)})
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return ffmpeg
    pytest.skip("this machine has a libcuda.so.1")


@pytest.mark.parametrize("options", ["", "backend=auto"])
def test_cpu_stands_in(bare: FFmpeg, models: Models, options: str) -> None:
    data = pattern("yuv420p")
    assert (restore(bare, "yuv420p", vsr(models.random, options), data)
            == restore(bare, "yuv420p", vsr(models.random, "backend=cpu"), data))


def test_no_driver(bare: FFmpeg, models: Models) -> None:
    line = refused(bare, vsr(models.random, "backend=cuda"))
    assert "libcuda.so.1" in line


# ---- A failing GPU ----

NOT_FOUND, ILLEGAL_ADDRESS, UNKNOWN = 500, 700, 999
# Calls that FFmpeg does not make itself, so that their failure is the filter's to handle, and the loss of the device.
FAULTS = ([f"{function}:{call}:{UNKNOWN}" for function in (
    "cuModuleLoadData", "cuModuleGetFunction", "cuLaunchKernel", "cuMemcpyHtoDAsync", "cuMemsetD8Async",
    "cuGraphLaunch", "cuGraphInstantiateWithFlags", "cuStreamBeginCapture", "cuStreamEndCapture") for call in (1, 9)]
    + [f"cuModuleGetFunction:{call}:{NOT_FOUND}" for call in (1, 2)]
    + [f"{function}:{call}:{ILLEGAL_ADDRESS}:sticky" for function, calls in (
        ("cuLaunchKernel", (1, 20)), ("cuGraphLaunch", (1, 3)), ("cuMemcpyHtoDAsync", (5,))) for call in calls])
# Calls that FFmpeg makes too. It passes on a frame that it could not copy, and exits with 0.
SHARED_FAULTS = [f"{function}:{call}:{UNKNOWN}" for function in (
    "cuInit", "cuCtxPushCurrent", "cuCtxPopCurrent", "cuMemAlloc", "cuMemFree", "cuStreamSynchronize",
    "cuDeviceGetAttribute", "cuMemcpy2DAsync") for call in (1, 4)]


def fail(ffmpeg: FFmpeg, fault: str, chain: str, data: bytes) -> tuple[int, bytes, list[str]]:
    """Restores nv12 frames while a call fails. Returns exit status, pictures and the filter's warnings and errors."""
    done = with_fault(ffmpeg, fault).run("-v", "warning", *raw("nv12", *SIZE), "-vf", chain, "-f", "rawvideo", "-",
                                         data=data)
    assert done.returncode >= 0, done.stderr.decode()
    return done.returncode, done.stdout, said_by_filter(done.stderr)


def failed(ffmpeg: FFmpeg, status: int, said: list[str]) -> bool:
    """Whether FFmpeg 5.1 or later took it for a failure. 5.1 says so, and exits with 0, at the end of a stream."""
    return status != 0 or (ffmpeg.series == "5.1" and said != [])


@pytest.mark.parametrize("fault", FAULTS)
def test_failure_with_cuda_frames(gpu: FFmpeg, models: Models, fault: str) -> None:
    """The right pictures, or an error after those that were right: never one that only looks like a picture."""
    data, chain = pattern("nv12"), on_gpu(vsr(models.random), "nv12")
    wanted = reference(gpu, chain)
    status, pictures, said = fail(gpu, fault, chain, data)
    if failed(gpu, status, said):
        assert len(said) == 1, said
        assert len(pictures) < len(wanted) and wanted.startswith(pictures)
    else:
        assert not said
        assert psnr("nv12", pictures, wanted) >= LEAST_PSNR


@pytest.mark.parametrize("fault", FAULTS)
def test_failure_with_software_frames(gpu: FFmpeg, models: Models, fault: str) -> None:
    """The processor goes on where the GPU failed, with one warning, unless it was asked not to."""
    data = pattern("nv12")
    wanted = reference(gpu, vsr(models.random, "backend=cpu"))
    status, pictures, said = fail(gpu, fault, vsr(models.random), data)
    assert status == 0 and len(said) <= 1, said
    assert psnr("nv12", pictures, wanted) >= LEAST_PSNR
    status, pictures, errors = fail(gpu, fault, vsr(models.random, "backend=cuda"), data)
    if failed(gpu, status, errors):
        assert len(errors) == 1, errors
    else:
        assert not errors and not said
        assert psnr("nv12", pictures, wanted) >= LEAST_PSNR


@pytest.mark.parametrize("fault", SHARED_FAULTS)
def test_failure_of_ffmpegs_own_calls(gpu: FFmpeg, models: Models, fault: str) -> None:
    """Nothing crashes or hangs, and what exits with 0 and has said nothing has made the right pictures."""
    data, chain = pattern("nv12"), on_gpu(vsr(models.random), "nv12")
    done = with_fault(gpu, fault).run(*raw("nv12", *SIZE), "-vf", chain, "-f", "rawvideo", "-", data=data)
    assert done.returncode >= 0, done.stderr.decode()
    if done.returncode == 0 and not done.stderr:
        assert done.stdout == reference(gpu, chain)


@pytest.mark.parametrize("precision, limit", [("fp32", 2e-3), ("fp16", 0.05)])
def test_blur_kernels_on_the_gpu(gpu: FFmpeg, models: Models, tmp_path: Path, precision: str, limit: float) -> None:
    """Kernels, their moments, the cycle and the refined picture are those of the processor; limit: pixels, degrees, dB.
    Half precision is that of the kernel network's features."""
    data, paths = pattern("nv12"), (tmp_path / "cpu.npy", tmp_path / "gpu.npy")

    def run(path: Path, backend: str, wrap: str) -> tuple[bytes, list[float]]:
        chain = wrap.format(vsr(models.kernel, f"{backend}:kernel_file={path}:cycle=1:refine=3"))
        said = tmp_path / "metadata"
        pictures = restore(gpu, "nv12", f"{chain},metadata=print:file={said}", data)
        lines = [line for line in said.read_text().splitlines() if line.startswith("lavfi.selfblindvsr.")]
        return pictures, [float(line.split("=")[1]) for line in lines]

    wanted, numbers = run(paths[0], "backend=cpu:precision=fp32", "{}")
    pictures, others = run(paths[1], f"precision={precision}", on_gpu("{}", "nv12"))
    assert len(numbers) == 6 * FRAMES
    assert others == pytest.approx(numbers, abs=limit)
    kernels = [np.load(path) for path in paths]
    assert kernels[0].shape == (FRAMES, 13, 13)
    assert kernels[1] == pytest.approx(kernels[0], abs=limit * kernels[0].max())
    assert psnr("nv12", pictures, wanted) >= LEAST_PSNR


@pytest.mark.parametrize("wrap", ["{}", on_gpu("{}", "nv12")])
def test_adaptation_on_the_gpu(gpu: FFmpeg, models: Models, wrap: str) -> None:
    """Estimates serve for the same frames as on the processor, where the GPU works ahead too."""
    data = pattern("nv12")
    wanted = [reference(gpu, vsr(models.modulated, f"backend=cpu:adapt_interval={number}")) for number in (0, 2)]
    pictures = restore(gpu, "nv12", wrap.format(vsr(models.modulated, "backend=cuda:adapt_interval=2")), data)
    assert psnr("nv12", pictures, wanted[1]) >= LEAST_PSNR > psnr("nv12", pictures, wanted[0])


def test_failure_after_the_last_call(gpu: FFmpeg, models: Models, report: Report) -> None:
    """What goes wrong on the GPU after the last frame was queued: the filter waits for it, besides each download. (To look
    for cuts is to wait, too.)"""
    data, chain = pattern("nv12"), on_gpu(vsr(models.random, "scene=0"), "nv12")
    restore(gpu, "nv12", chain, data)
    waits = report.calls("cuStreamSynchronize")
    last = range(waits - FRAMES, waits + 1)
    runs = [fail(gpu, f"cuStreamSynchronize:{wait}:{ILLEGAL_ADDRESS}", chain, data) for wait in last]
    assert [failed(gpu, status, said) for status, _, said in runs].count(True) == 1


@pytest.mark.parametrize("instructions", ["c", ""])
def test_too_little_memory_on_the_gpu(gpu: FFmpeg, models: Models, instructions: str) -> None:
    """The processor stands in, in what it would have chosen by itself: with AMX and nothing else asked for, bfloat16."""
    data = pattern("nv12")
    gpu = replace(gpu, environment={**gpu.environment, "SBV_CPU": instructions})
    small = replace(gpu, environment={**gpu.environment, "FAKE_CUDA_MEMORY": "300000"})
    line = refused(small, on_gpu(vsr(models.random), "nv12"))
    assert "memory" in line
    done = small.run("-v", "warning", *raw("nv12", *SIZE), "-vf", vsr(models.random), "-f", "rawvideo", "-", data=data)
    assert done.returncode == 0 and len(said_by_filter(done.stderr)) == 1, done.stderr.decode()
    assert done.stdout == on_cpu(gpu, "nv12", models.random, data)


def test_less_memory(gpu: FFmpeg, models: Models, report: Report) -> None:
    """A device that has a little less than the plan wants, here for flows one by one: the same picture, bit for bit."""
    source = ("-f", "lavfi", "-i", "testsrc2=s=128x96:r=5:d=0.4,format=yuv420p")
    command = ("-v", "verbose", *source, "-vf", vsr(models.random, "backend=cuda"), "-f", "rawvideo", "-")
    whole = gpu.run(*command)
    most = int(report.lines("memory")[-1].split()[1])
    less = replace(gpu, environment={**gpu.environment, "FAKE_CUDA_MEMORY": str(most - 1000)}).run(*command)
    assert whole.returncode == less.returncode == 0, less.stderr.decode()
    assert int(report.lines("memory")[-1].split()[1]) < most - 1000
    assert whole.stdout == less.stdout


def test_smaller_tiles(gpu: FFmpeg, report: Report, tmp_path: Path) -> None:
    """A device that has not even enough for that: smaller tiles, the same bits. The network is wider than the others of these
    tests, so that most of the memory is that of a tile."""
    model = tmp_path / "wide.bin"
    model_file.write(model, tiny_tensors(4, 0.5, features=16), {"name": "tiny wide", "licence": "CC0", "phase": "center"})
    source = ("-f", "lavfi", "-i", "testsrc2=s=96x64:r=5:d=0.4,format=yuv420p")
    command = ("-v", "verbose", *source, "-vf", vsr(model, "backend=cuda"), "-f", "rawvideo", "-")
    whole = gpu.run(*command)
    room = int(report.lines("memory")[-1].split()[1]) * 9 // 10
    less = replace(gpu, environment={**gpu.environment, "FAKE_CUDA_MEMORY": str(room)}).run(*command)
    assert whole.returncode == less.returncode == 0, less.stderr.decode()
    tiles = [int(re.findall(rb"MiB, tiles of (\d+), cuda", run.stderr)[-1]) for run in (whole, less)]
    assert tiles[0] == 96 > tiles[1]
    assert int(report.lines("memory")[-1].split()[1]) <= room
    assert len(whole.stdout) == 2 * 16 * 96 * 64 * 3 // 2 and whole.stdout == less.stdout
