"""`make bench`: its quick mode measures every section or says why not, and what it computes from the figures of its
programs is right.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import array
import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import TOP

sys.path.insert(0, str(TOP / "tests/bench"))
import peers  # noqa: E402

BENCH = TOP / "tests/bench/bench.py"
SECTIONS = ("ops", "frames", "linearity", "torch", "memory", "ffmpeg", "options", "gpu", "models", "peers")
TIMEOUT = 900  # seconds, on a machine that has other work; one minute on one that has not


def bench(*arguments: str | Path, script: Path = BENCH) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, timeout=TIMEOUT,
                          check=False)


def section(objects: list[dict[str, Any]], name: str, unit: str | None = None) -> list[dict[str, Any]]:
    return [each for each in objects if each["settings"]["section"] == name and unit in (None, each["unit"])]


def same_line(objects: list[dict[str, Any]], one: dict[str, Any], unit: str) -> float:
    """The value in another unit of the measurement that an object belongs to."""
    found = [each["value"] for each in objects
             if (each["name"], each["settings"], each["unit"]) == (one["name"], one["settings"], unit)]
    assert len(found) == 1, (one, unit)
    return found[0]


# ---- Other engines ----

def test_an_engine_that_computes_something_else(tmp_path: Path) -> None:
    for name, last in (("out", 2.0), ("near", 2.001), ("far", 2.01)):
        (tmp_path / f"{name}.f32").write_bytes(array.array("f", [1, -4, last]).tobytes())
    assert 0 < peers.check_agreement(tmp_path, "near") < 1e-3
    with pytest.raises(peers.Failed, match="far computes something else"):
        peers.check_agreement(tmp_path, "far")


def test_engines_that_are_not_there_or_fail() -> None:
    with pytest.raises(peers.NotRun, match="engine: not installed: this"):
        peers.start("engine", [sys.executable, "-c",
                               "import sys; print('not installed: this', file=sys.stderr); sys.exit(77)"])
    with pytest.raises(peers.Failed, match="engine: broken"):
        peers.start("engine", [sys.executable, "-c", "import sys; sys.exit('broken')"])
    with pytest.raises(peers.Failed, match="cannot be run"):
        peers.start("engine", ["/nowhere/engine"])


# ---- Real measurements ----

@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[dict[str, Any]]]:
    """The table and the objects of the whole of the quick mode."""
    path = tmp_path_factory.mktemp("bench") / "bench.json"
    done = bench("--quick", "--json", path)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(path.read_text())


def test_every_section_has_figures_or_a_reason(quick: tuple[str, list[dict[str, Any]]]) -> None:
    table, objects = quick
    assert {each["settings"]["section"] for each in objects} == set(SECTIONS)
    for each in objects:
        assert set(each) == {"name", "unit", "value", "settings"}
        assert each["settings"]["cpu"] and each["settings"]["compiler"] and each["settings"]["quick"] is True
        if each["unit"] == "not run":
            assert each["value"] is None and each["settings"]["reason"].strip()
            assert f"not run: {each['settings']['reason']}" in table
        else:
            assert math.isfinite(each["value"]) and each["value"] > 0, each
    # nothing that this takes can be missing
    for name in ("ops", "frames", "linearity", "memory"):
        assert any(each["value"] for each in section(objects, name))


def test_shares_of_peaks(quick: tuple[str, list[dict[str, Any]]]) -> None:
    """There are some. They have no upper limit here: other work on the machine can slow down the measurement of a peak
    and not that of an operation. test_arithmetic_of_operations checks how a share is computed."""
    _, objects = quick
    for unit in ("% of the peak", "% of memory"):
        assert any(each["unit"] == unit for each in objects)


def test_rates(quick: tuple[str, list[dict[str, Any]]]) -> None:
    """Products and sums of convolutions as their shapes have them; those of a frame as the network's definition has
    them: 16.8 million a pixel of the published network, more where the flow network rounds small frames up. Shares of the
    peak are of those that are made: 16 of 36 by Winograd with tiles of 2x2, 36 of 144 with 4x4, 64 of 324 with 6x6. All
    convolutions of a run are compared with the same peak."""
    _, objects = quick
    convolutions = [each for each in section(objects, "ops", "GFLOP/s") if each["settings"].get("operation") == "conv"]
    assert len(convolutions) > 20
    peaks: dict[tuple[str, str], set[float]] = {}
    for each in convolutions:
        shape = re.match(r"(?:\d+x\d+>)?(\d+)x(\d+) (?:(\d+)>)?(\d+) \S+ k(\d)", each["settings"]["shape"])
        width, height, inputs, outputs, kernel = (int(word or shape[4]) for word in shape.groups())
        flops = 2 * width * height * inputs * outputs * kernel**2 * each["settings"]["calls"]
        assert each["value"] * 1e6 * same_line(objects, each, "ms") == pytest.approx(flops, rel=1e-3), each
        tile = re.search(r"winograd (\d)", each["settings"]["shape"])
        made = each["value"] * ((int(tile[1]) + 2) ** 2 / (9 * int(tile[1]) ** 2) if tile else 1)
        run = each["settings"]["model"], each["settings"]["precision"]
        peaks.setdefault(run, set()).add(100 * made / same_line(objects, each, "% of the peak"))
    for run, found in peaks.items():
        assert max(found) == pytest.approx(min(found), rel=1e-3), run
    for each in section(objects, "frames", "ms"):
        assert each["value"] == pytest.approx(1e3 / same_line(objects, each, "frames/s"), rel=1e-6)
        if each["settings"]["model"] == "published size":
            width, height = map(int, each["settings"]["size"].split("x"))
            flops = same_line(objects, each, "GFLOP/s in those") * 1e6 * each["settings"]["convolutions_ms"]
            assert 16e6 < flops / (width * height) < 19e6


def test_operations_are_those_of_the_model(tmp_path: Path) -> None:
    """A network with 12 channels has no operation on the default model's 64."""
    path = tmp_path / "bench.json"
    done = bench("--quick", "--only", "ops", "--model", TOP / "tests/golden/three.bin", "--json", path)
    assert done.returncode == 0, done.stderr
    operations = [each["settings"] for each in section(json.loads(path.read_text()), "ops", "ms")]
    shapes = {each["shape"] for each in operations if each["model"] == "three.bin" and each["operation"] == "conv"}
    assert shapes and not any(re.search(r"\b64 f32", shape) for shape in shapes), shapes
    assert {each["operation"] for each in operations if each["model"] == "published size"} == {
        "conv", "deconv", "cost_volume", "warp", "resize", "pixel_shuffle", "copy", "adaptive_pool", "linear", "softmax",
        "attention", "difference", "blur_down", "blur_up", "sum_squares", "step", "advance", "colour_in", "colour_out"}


# ---- Arithmetic, with programs that say what they are told ----

SESSION = {"kind": "session", "library": "1.2.3", "isa": "avx9", "threads": 2, "precision": "fp32", "width": 4,
           "height": 2, "parameters": 1, "open_ms": 1, "plan_bytes": 1}
OPS = [
    SESSION,
    {"kind": "peak", "name": "f32", "flops": 1e12}, {"kind": "peak", "name": "bf16", "flops": 8e12},
    {"kind": "peak", "name": "f32", "flops": 5e11}, {"kind": "peak", "name": "bf16", "flops": 1e12},
    {"kind": "peak", "name": "memory", "bytes": 1024, "rate": 4e9},
    {"kind": "peak", "name": "memory", "bytes": 2048, "rate": 8e9},
    {"kind": "peak", "name": "memory", "bytes": 4096, "rate": 1e9},
    {"kind": "frame", "min_ms": 20, "median_ms": 30, "convs_min_ms": 16, "convs_median_ms": 17, "first_ms": 40,
     "other_share": 0.07, "serial_share": 0.01, "convs": 3, "convs_flops": 8e9, "convs_made": 4e9, "passes": 2},
    {"kind": "operation", "part": "frame", "name": "conv", "shape": "a", "calls": 2, "min_ms": 4, "median_ms": 5,
     "flops": 1e9, "made": 5e8, "bytes": 1, "parts": 2, "passes": 2},
    {"kind": "operation", "part": "frame", "name": "copy", "shape": "b", "calls": 2, "min_ms": 0.001, "median_ms": 5,
     "flops": 0, "made": 0, "bytes": 6000, "parts": 4, "passes": 2},
]
FRAMES = {"plan_bytes": 800, "first_frame_s": 0.5, "frame_s": 0.25, "precision": "fp32", "threads": 2, "device": "avx9",
          "peak_rss_bytes": 3 << 20}


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The scripts, with programs of known figures. bf16 is not offered."""
    for folder in ("tests/bench", "tests/cuda/gpu", "model/tools/lib"):
        shutil.copytree(TOP / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    bf16 = 'case "$*" in *bf16*) echo "bench_ops: no bf16 today" >&2; exit 77;; *cuda*) echo "no GPU" >&2; exit 77;; esac\n'
    lines = "\n".join(json.dumps(line) for line in OPS)
    program(tmp_path / "build/tests/bench_ops", f"{bf16}cat <<'END'\n{lines}\nEND")
    program(tmp_path / "build/tests/bench", f"{bf16}echo '{json.dumps(FRAMES)}'")
    (tmp_path / "build/random-published-kernel.bin").touch()
    (tmp_path / "model/default.bin").touch()
    return tmp_path


def figures(tree: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], list[dict[str, Any]]]:
    done = bench(*arguments, script=tree / "tests/bench/bench.py")
    assert done.returncode == 0, done.stderr
    return done, json.loads((tree / "build/bench.json").read_text())


def value(objects: list[dict[str, Any]], name: str, unit: str, **settings: Any) -> float:
    return next(each["value"] for each in objects if (each["name"], each["unit"]) == (name, unit)
                and all(each["settings"].get(key) == word for key, word in settings.items()))


def test_arithmetic_of_operations(tree: Path) -> None:
    done, objects = figures(tree, "--only", "ops", "--flags", "-O3 -g")
    assert value(objects, "conv a x2", "ms") == 4
    assert value(objects, "conv a x2", "GFLOP/s") == pytest.approx(250)
    assert value(objects, "conv a x2", "% of the peak") == pytest.approx(12.5)  # of what is made
    assert value(objects, "copy b x2", "GB/s") == pytest.approx(6)
    assert value(objects, "copy b x2", "% of memory") == pytest.approx(100 * 6 / 8)  # 1500 bytes each
    assert value(objects, "peak f32", "GFLOP/s") == pytest.approx(1000)
    assert objects[-1]["settings"]["flags"] == "-O3 -g" and "not run: no bf16 today" in done.stdout
    one = next(each["settings"] for each in objects if each["name"] == "conv a x2")
    assert (one["isa"], one["threads"], one["library"], one["median_ms"], one["passes"]) == ("avx9", 2, "1.2.3", 5, 2)


def test_arithmetic_of_frames(tree: Path) -> None:
    _, objects = figures(tree, "--only", "frames,linearity,memory,gpu")
    assert value(objects, "frame", "frames/s") == pytest.approx(50)
    assert value(objects, "frame", "% of it convolutions") == pytest.approx(80)
    assert value(objects, "frame", "GFLOP/s in those") == pytest.approx(500)
    assert value(objects, "frame", "% of the peak") == pytest.approx(12.5)  # of two threads, of what is made
    assert value(objects, "frame", "% other operations") == pytest.approx(7)
    assert value(objects, "frame", "% not spread over threads") == pytest.approx(1)
    seconds = (0.5 + 3 * 0.25) / 4
    assert value(objects, "time for a pixel", "ns", size="320x180") == pytest.approx(1e9 * seconds / (320 * 180))
    assert value(objects, "peak resident", "MiB") == pytest.approx(3)
    assert [each["settings"]["reason"] for each in section(objects, "gpu")] == ["no GPU"]


def test_threads_are_compared_with_one(tree: Path) -> None:
    said = "\n".join(json.dumps(line) for line in OPS)
    program(tree / "build/tests/bench_ops", f"""case "$*" in *bf16*) exit 77;; *threads=1*) ms=38 n=1;; *) ms=20 n=2;; esac
sed "s/: 20,/: $ms,/; s/threads\\": 2/threads\\": $n/" <<'END'
{said}
END""")
    _, objects = figures(tree, "--only", "frames", "--threads", "2")
    gains = section(objects, "frames", "times as fast as one thread")
    assert gains and all(each["settings"]["threads"] == 2 for each in gains)
    assert {each["value"] for each in gains} == {1.9}


def test_models_take_turns(tree: Path) -> None:
    """Twice as fast as the default is what takes half of its time at best, whatever it took at worst."""
    (tree / "model/a_fast_one.bin").touch()
    said = "\n".join(json.dumps(line) for line in OPS)
    program(tree / "build/tests/bench_ops", f"""case "$*" in *bf16*) exit 77;; esac
echo "$1" >> {tree}/turns
[ $(grep -c . {tree}/turns) -ge 5 ] && fast=10 || fast=50
case $1 in */a_fast_one.bin) ms=$fast;; *) ms=20;; esac
sed "s/: 20,/: $ms,/" <<'END'
{said}
END""")
    _, objects = figures(tree, "--only", "models", "--threads", "1")
    assert [Path(line).stem for line in (tree / "turns").read_text().split()] == ["default", "a_fast_one"] * 3
    assert value(objects, "frame", "times as fast", model="a_fast_one") == 2
    assert value(objects, "frame", "times as fast", model="default") == 1


def test_bf16_is_compared_with_its_own_peak(tree: Path) -> None:
    path = tree / "build/tests/bench_ops"
    path.write_text(path.read_text().replace('"fp32"', '"bf16"').replace("*bf16*)", "*fp32*)"))
    _, objects = figures(tree, "--only", "ops")
    assert value(objects, "conv a x2", "% of the peak", precision="bf16") == pytest.approx(100 * 125 / 8000)


def test_only_replaces_its_section(tree: Path) -> None:
    _, before = figures(tree, "--only", "memory,gpu")
    program(tree / "build/tests/bench", f"echo '{json.dumps({**FRAMES, 'peak_rss_bytes': 5 << 20})}'")
    _, after = figures(tree, "--only", "memory")
    assert value(before, "peak resident", "MiB") == 3 and value(after, "peak resident", "MiB") == 5
    assert section(after, "gpu") == section(before, "gpu")


def test_one_precision_leaves_the_other(tree: Path) -> None:
    path = tree / "build/tests/bench"
    program(path, f"echo '{json.dumps(FRAMES)}'")
    figures(tree, "--only", "memory", "--precision", "fp32")
    program(path, f"echo '{json.dumps({**FRAMES, 'precision': 'bf16', 'peak_rss_bytes': 2 << 20})}'")
    _, objects = figures(tree, "--only", "memory", "--precision", "bf16")
    assert [value(objects, "peak resident", "MiB", precision=each) for each in ("fp32", "bf16")] == [3, 2]


def test_frames_that_would_take_long_are_left_out(tree: Path) -> None:
    """Eight seconds at 160x90 are half a minute at 320x180."""
    path = tree / "build/tests/bench_ops"
    path.write_text(path.read_text().replace('"min_ms": 20,', '"min_ms": 8000,'))
    done, objects = figures(tree, "--only", "frames", "--precision", "fp32")
    reasons = {each["settings"]["size"]: each["settings"]["reason"] for each in objects if each["unit"] == "not run"}
    assert reasons == {"320x180": "would take about 32 s a frame", "1280x720": "would take about 512 s a frame"}
    assert "8.00" not in done.stdout and "8000 ms" in done.stdout


@pytest.mark.parametrize("text, reason", [
    ("   refine            <int>        ..FV....... passes", None),
    ("   border            <int>        ..FV....... edges", "this filter has no option refine"),
])
def test_options_of_the_filter(tree: Path, text: str, reason: str | None) -> None:
    """With the option a run takes longer; without it that is said."""
    program(tree / "build/bin/ffmpeg", f'case "$*" in *-h*) echo "{text}";; *refine*) sleep 0.6;; *) sleep 0.2;; esac')
    _, objects = figures(tree, "--only", "options", "--option", "refine=5")
    if reason:
        assert [each["settings"]["reason"] for each in objects] == [reason]
    else:
        assert 1.5 < value(objects, "refine=5", "times as long") < 4


# ---- What is wrong ----

def test_a_wrong_model_is_one_line(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.bin"
    damaged.write_bytes(b"\0" * 100)
    for model in (tmp_path / "nowhere.bin", tmp_path, damaged):
        done = bench("--quick", "--model", model, "--json", tmp_path / "bench.json")
        lines = [line for line in done.stderr.splitlines() if not line.endswith(("thread", "threads"))]
        assert done.returncode == 1 and done.stdout == "" and len(lines) == 1 and str(model) in lines[0], done.stderr
        assert not (tmp_path / "bench.json").exists()


def test_a_program_that_fails_is_an_error(tree: Path) -> None:
    program(tree / "build/tests/bench_ops", "echo 'bench_ops: broken' >&2; exit 1")
    done = bench("--only", "ops", script=tree / "tests/bench/bench.py")
    assert done.returncode == 1 and done.stderr.endswith("bench: ops: bench_ops: broken\n") and done.stdout == ""


def test_an_unknown_section_is_refused() -> None:
    done = bench("--only", "ops,magic")
    assert done.returncode == 2 and "magic: not one of ops, frames" in done.stderr
