"""farm/upscale on a real Slurm of three nodes, one of which is lost in the middle.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import films
import slurm
from conftest import TIMEOUT, FFmpeg, Models

# A chunk takes some seconds, so that its node can be lost meanwhile.
SLOW = 'case "$*" in *trim=start_pts*) sleep 3;; esac'
# Snakemake asks for the state of jobs after so long, and so long after any has ended; else ten seconds later each time.
HASTE = "--slurm-init-seconds-before-status-checks 10 --seconds-between-status-checks 1 --latency-wait 5"


def busy_node(work: Path) -> str | None:
    """A node that a chunk is being restored on; workers are called n1/gpu0."""
    for path in (work / "chunks").glob("*.progress"):
        try:
            return json.loads(path.read_text())["worker"].split("/")[0]
        except (OSError, ValueError):
            pass
    return None


def test_a_node_is_lost(ffmpegs: list[FFmpeg], models: Models, tmp_path: Path) -> None:
    films.need_snakemake()
    ffmpeg, work = ffmpegs[0], tmp_path / "many.mkv.farm"
    source, chain = films.open_gop(ffmpeg, tmp_path), f"selfblindvsr=model={models.random}:backend=cpu"
    expected = films.one_run(ffmpeg, source, tmp_path / "one.mkv", chain)
    # Sockets have short paths.
    with tempfile.TemporaryDirectory(prefix="slurm", ignore_cleanup_errors=True) as folder, slurm.running(Path(folder)) as cluster:
        child = films.start(ffmpeg, tmp_path, source, "many.mkv", "--vf", chain, "--encode", "-c:v ffv1", "--chunk", "15",
                            "--workers", "3", "--profile", "slurm", "--gpu", "--snakemake", HASTE, "--keep",
                            program=films.stub(tmp_path, ffmpeg, "slow", SLOW))
        end = time.time() + TIMEOUT
        while not (lost := busy_node(work)) and child.poll() is None and time.time() < end:
            time.sleep(0.1)
        assert lost in slurm.NODES, "no chunk was begun"
        cluster.lose(lost)
        said, _ = child.communicate(timeout=2 * TIMEOUT)
        assert child.returncode == 0, said
        assert cluster.states()[lost].startswith("down")
    records = [json.loads(path.read_text()) for path in sorted((work / "chunks").glob("[0-9]*.json"))]
    left = {f"{node}/gpu0" for node in slurm.NODES if node != lost}
    assert len(records) == 3 and {record["worker"] for record in records} <= left
    assert films.frames(ffmpeg, tmp_path / "many.mkv") == expected
