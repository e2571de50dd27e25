"""The order of the calls of the driver: a GPU has work whenever the host waits for it.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from conftest import TIMEOUT, TOP, no_gpu_code

if no_gpu_code():
    pytest.skip(no_gpu_code(), allow_module_level=True)

EMULATOR = TOP / "build/emu"
BENCH = TOP / "build/tests/bench"
FALLBACK = TOP / "build/tests/fallback"
FRAMES, FIRST, LAST = 30, 20, 28  # of a run, and of its steady part
BLOCKING = {"cuStreamSynchronize", "cuCtxSynchronize", "cuMemcpyDtoH", "cuMemcpyHtoD", "cuMemcpy"}


def steady_calls(memory: str, folder: Path) -> tuple[list[list[str]], int]:
    """All calls, as lists of words, up to the end of the steady part, and where that begins."""
    calls = folder / "calls"
    env = os.environ | {"LD_LIBRARY_PATH": str(EMULATOR), "FAKE_CUDA_SM": "90", "FAKE_CUDA_WORK": str(folder / "work"),
                        "FAKE_CUDA_CALLS": str(calls)}
    # where nothing is computed a picture is black, and what the model adapts to would be estimated again and again
    subprocess.run([BENCH, TOP / "model/default.bin", "backend=cuda", "precision=fp16", f"memory={memory}", "size=48x32",
                    f"frames={FRAMES}", "adapt_interval=0"], env=env, check=True, capture_output=True, timeout=TIMEOUT)
    words = [line.split() for line in calls.read_text().splitlines() if line]
    frames = [at for at, word in enumerate(words) if word == ["cuLaunchKernel", "sbv_colour_in"]]
    return words[:frames[LAST]], frames[FIRST]


@pytest.mark.parametrize("memory, waits_of_a_frame", [("host", 3), ("cuda", 1)])
def test_work_behind_every_wait(memory: str, waits_of_a_frame: int, tmp_path: Path) -> None:
    """The host waits for events alone: the scene detection's, and the picture's and the upload's where frames are its own.
    The graph of a frame or a window has been launched behind each."""
    calls, begin = steady_calls(memory, tmp_path)
    waits = [at for at in range(begin, len(calls)) if calls[at][0] == "cuEventSynchronize"]
    assert len(waits) >= waits_of_a_frame * (LAST - FIRST)
    assert not BLOCKING & {call[0] for call in calls[begin:]}
    for at in waits:
        recorded = max(i for i in range(at) if calls[i] == ["cuEventRecord", calls[at][1]])
        assert ["cuGraphLaunch"] in calls[recorded:at], f"nothing was queued behind what call {at} waits for"


def test_next_window_is_queued_before_a_picture_is_waited_for(tmp_path: Path) -> None:
    """From ordinary memory: between two waits for pictures come the upload of a frame and a whole other picture."""
    calls, begin = steady_calls("host", tmp_path)
    pictures = [at for at in range(begin, len(calls)) if calls[at][:1] == ["cuLaunchKernel"]
                and calls[at][1].startswith("sbv_picture")]
    downloads = {calls[at + i][1] for at in pictures for i in range(1, 9)
                 if calls[at + i][0] == "cuEventRecord"}
    waits = [at for at in range(begin, len(calls)) if calls[at][0] == "cuEventSynchronize" and calls[at][1] in downloads]
    bands = len(pictures) // (LAST - FIRST)
    assert bands == 4 and len(waits) >= bands * (LAST - FIRST - 1)
    for at in waits:
        recorded = max(i for i in range(at) if calls[i] == ["cuEventRecord", calls[at][1]])
        assert sum(recorded < picture < at for picture in pictures) >= bands


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_same_bits(precision: str) -> None:
    env = os.environ | {"LD_LIBRARY_PATH": str(EMULATOR)}
    done = subprocess.run([FALLBACK, TOP / "tests/golden/three.bin", "cuda", precision, "0", "0", "alone"], env=env,
                          capture_output=True, text=True, check=False, timeout=TIMEOUT)
    assert done.returncode == 0 and done.stdout == "ok on cuda, 0 warnings\n", done.stdout + done.stderr
