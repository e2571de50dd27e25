"""A long run: memory stays flat, and every timestamp is exact.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import re
import subprocess
from pathlib import Path

from conftest import FFmpeg, Models

FRAMES = 3000
SETTLED = 400   # frames after which nothing more should be allocated
GROWTH = 1.5    # MiB that are noise
TIMES = "90*N*N+3003*N+mod(7*N,5)"  # irregular, in units of 1/90000 s


def resident(process: int) -> float | None:
    """MiB; None where it is about to end and has no memory any more."""
    found = re.search(r"^VmRSS:\s+([0-9]+) kB", Path(f"/proc/{process}/status").read_text(), re.M)
    if not found:
        return None
    return int(found.group(1)) / 1024


def test_a_long_run(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    """With all that the filter does for a frame: estimates, scene cuts, alpha."""
    graph = (f"testsrc2=s=16x12:r=25,format=yuva420p,settb=1/90000,setpts='{TIMES}',selfblindvsr=model={models.modulated}:"
             f"kernel_interval=5:kernel_file={tmp_path}/k.npy:cycle=1:scene=0.01:adapt_interval=7")
    command = [ffmpeg.folder / "ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", graph, "-frames:v", FRAMES,
               "-vsync" if ffmpeg.series == "5.1" else "-fps_mode", "passthrough", "-enc_time_base", "1:90000",
               "-f", "framecrc", "-y", tmp_path / "out", "-progress", "-", "-stats_period", "0.05"]
    memory: dict[int, float] = {}
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            now = resident(process.pid) if line.startswith("frame=") and process.poll() is None else None
            if now:
                memory[int(line.split("=")[1])] = now
    assert process.returncode == 0
    rows = [line.split(",") for line in (tmp_path / "out").read_text().splitlines() if not line.startswith("#")]
    assert [int(row[2]) for row in rows] == [90 * n * n + 3003 * n + 7 * n % 5 for n in range(FRAMES)]
    settled = [size for frame, size in memory.items() if SETTLED <= frame < FRAMES]
    assert len(settled) >= 3, memory
    assert max(settled) - settled[0] < GROWTH, memory
