"""Random small filter graphs around the filter, under the address sanitizer.

The library, the filter and the ffmpeg program are compiled with it, and its allocator is that of the whole process, so every
access of theirs, and every copy of whole ranges by the rest of FFmpeg, is checked against the blocks that are allocated.
SBV_GRAPHS in the environment says how many graphs there are for each FFmpeg.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import os
import random
import subprocess
from dataclasses import replace

import pytest
from conftest import SONAME, TOP, FFmpeg, Models

LIBRARY = TOP / "build/sanitize" / SONAME
GRAPHS = int(os.environ.get("SBV_GRAPHS", 200))
BATCH = 10    # of them in one process
FRAMES = 6
FFMPEG_ERRORS = (1, 234)  # a graph without any frame is one to FFmpeg 9.0; the sanitizers end with 99
FORMATS = ("yuv420p", "yuv422p", "yuv440p", "yuv444p", "yuvj420p", "nv12", "yuv420p10le", "yuv422p12le", "yuv444p16le",
           "p010le", "gbrp", "gbrp10le", "rgb24", "bgr24", "0rgb", "bgr0", "rgba", "gray", "gray10le", "ya8", "ya16le",
           "yuva420p", "yuva444p10le", "gbrap12le", "gbrpf32le", "gbrapf32le", "rgb48le", "rgba64le")


@pytest.fixture(scope="module")
def sanitized(ffmpeg: FFmpeg) -> FFmpeg:
    folder = TOP / f"build/asan-{ffmpeg.series}"
    assert LIBRARY.exists() and (folder / "ffmpeg").exists(), f"{LIBRARY} or {folder} is missing: make check-python builds it"
    runtime = subprocess.run(["cc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout
    options = "exitcode=99:detect_leaks=1:abort_on_error=0:allocator_may_return_null=1"
    environment = {"LD_PRELOAD": f"{runtime.strip()} {LIBRARY}", "ASAN_OPTIONS": options,
                   "UBSAN_OPTIONS": "exitcode=99:print_stacktrace=1"}
    return replace(ffmpeg, folder=folder, environment=environment)


def any_size(rng: random.Random) -> tuple[int, int]:
    return rng.randint(2, 40), rng.randint(2, 30)


def command(rng: random.Random, target: str) -> str:
    """One to three changes of a size while the graph runs."""
    changes = []
    for _ in range(rng.randint(1, 3)):
        name, value = rng.choice(("w", "h")), rng.randint(4, 24)
        changes.append(f"{rng.randint(1, FRAMES) * 0.04 - 0.01:.2f} {target} {name} {value}")
    return f"sendcmd=c='{';'.join(changes)}'"


def one_filter(rng: random.Random) -> str:
    width, height = any_size(rng)
    return rng.choice((
        lambda: f"crop=w='max(1,iw-{rng.randint(0, 9)})':h='max(1,ih-{rng.randint(0, 9)})':exact=1",
        lambda: f"{command(rng, 'crop')},crop=w='max(1,iw-{rng.randint(0, 9)})':h='max(1,ih-{rng.randint(0, 9)})'"
                ":exact=1",
        lambda: f"scale={width}:{height}",
        # null: the scaler of FFmpeg 5.1 hangs where another one follows it
        lambda: f"{command(rng, 'scale')},scale={width}:{height},null",
        lambda: f"scale=w='{width}+n':h='{height}+mod(2*n,7)':eval=frame",
        lambda: f"pad=iw+{rng.randint(0, 9)}:ih+{rng.randint(0, 9)}:{rng.randint(0, 2)}:{rng.randint(0, 2)}",
        lambda: f"transpose={rng.randint(0, 3)}",
        lambda: f"fps={rng.choice((5, 12, 25, 40))}",
        lambda: f"select='{rng.choice(('1', 'not(mod(n,2))', 'lt(n,2)', 'gt(n,4)'))}'",
        lambda: f"loop={rng.randint(0, 2)}:{rng.randint(1, 3)}:{rng.randint(0, 3)}",
        lambda: f"format={rng.choice(FORMATS)}",
        lambda: rng.choice(("hflip", "vflip", "copy")),
    ))()


def chain(rng: random.Random, most: int) -> str:
    return ",".join(["null", *(one_filter(rng) for _ in range(rng.randint(0, most)))])


def source(rng: random.Random) -> str:
    width, height = any_size(rng)
    return f"testsrc2=s={width}x{height}:r=25:d={FRAMES * 0.04},format={rng.choice(FORMATS)}"


def vsr(rng: random.Random, models: Models) -> str:
    options = rng.choice(("", ":tile=16", ":border=reflect", ":scene=0.02", ":refine=1:cycle=1",
                          ":phase=model", ":adapt_interval=2"))
    model = (models.modulated if "adapt" in options else models.kernel if "refine" in options else
             rng.choice((models.random, models.double, models.topleft)))
    return f"selfblindvsr=model={model}:backend=cpu{options}"


def graph(rng: random.Random, models: Models, name: str) -> str:
    """A graph with one output, `name`."""
    own = [f"{name}{letter}" for letter in "abcde"]
    filtered = f"{vsr(rng, models)},{chain(rng, 1)}"
    shape = rng.randint(0, 5)
    if shape == 0:  # one clip behind another of another size
        parts = "".join(f"{source(rng)},format=yuv420p,{chain(rng, 1)}[{own[i]}];" for i in range(2))
        return f"{parts}[{own[0]}][{own[1]}]concat=unsafe=1,{filtered}[{name}]"
    if shape == 1:  # both halves of a split, one behind the other
        return (f"{source(rng)},{chain(rng, 1)},split[{own[0]}][{own[1]}];[{own[0]}]{vsr(rng, models)}[{own[2]}];"
                f"[{own[1]}]{vsr(rng, models)}[{own[3]}];[{own[2]}][{own[3]}]concat=unsafe=1,{chain(rng, 1)}[{name}]")
    if shape == 2:  # one clip fades into another
        size = any_size(rng)
        parts = "".join(f"testsrc2=s={size[0]}x{size[1]}:r=25:d=0.24,format=yuv420p,settb=1/25[{own[i]}];"
                        for i in range(2))
        return f"{parts}[{own[0]}][{own[1]}]xfade=duration=0.12:offset=0.08,{filtered}[{name}]"
    return f"{source(rng)},{chain(rng, 3)},{filtered}[{name}]"


@pytest.mark.parametrize("batch", range(max(1, GRAPHS // BATCH)))
def test_random_graphs(sanitized: FFmpeg, models: Models, batch: int) -> None:
    """They end well, or with an error in words; memory is never touched where it should not be, and all is freed."""
    rng = random.Random(f"FFmpeg {sanitized.series}, batch {batch}")
    graphs = [graph(rng, models, f"out{index}") for index in range(BATCH)]
    outputs = [word for index in range(BATCH) for word in ("-map", f"[out{index}]", "-f", "null", "-")]
    done = sanitized.run("-nostdin", "-filter_complex_threads", "1", "-filter_complex", ";".join(graphs), *outputs)
    said = done.stderr.decode()
    well = done.returncode == 0 or (done.returncode in FFMPEG_ERRORS and "selfblindvsr" not in said)
    assert well and "Sanitizer" not in said and "runtime error" not in said, f"{graphs}\n{said}"


def test_the_sanitizer_is_there(sanitized: FFmpeg, models: Models) -> None:
    """In the library, in the filter, and nowhere missed: a test that cannot fail would be none."""
    library = replace(sanitized, environment={**sanitized.environment, "LD_DEBUG": "bindings"})
    done = library.run("-f", "lavfi", "-i", "color=s=8x8:d=0.04", "-vf", f"selfblindvsr=model={models.plain}", "-f", "null",
                       "-")
    bindings = done.stderr.decode()
    assert f"{LIBRARY} [0]: normal symbol `sbv_send'" in bindings
    assert any(str(LIBRARY) in line and "libasan" in line and "malloc" in line for line in bindings.splitlines())
    assert b"__asan_report_load" in (sanitized.folder / "libavfilter/vf_selfblindvsr.o").read_bytes()
