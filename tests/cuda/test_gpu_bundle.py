"""What checks the CUDA backend on a GPU: the bundle is whole, and check_gpu.py runs its steps on the emulated GPU.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import TIMEOUT, TOP, no_gpu_code

EMULATOR = TOP / "build/emu"
CHECK_GPU = TOP / "tests/cuda/gpu/check_gpu.py"
MOST_BYTES = 64 << 20
# Nothing of the make that runs the tests, and no driver but where a test gives one.
CLEAN = {name: value for name, value in os.environ.items()
         if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "LD_LIBRARY_PATH", "PKG_CONFIG_PATH", "CPATH", "LIBRARY_PATH")}

sys.path.insert(0, str(TOP / "tests/cuda/gpu"))
import pixels  # noqa: E402
import random_model  # noqa: E402

from lib import architecture  # noqa: E402
from lib import model_file  # noqa: E402


def run(*command: str | Path, path: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """With `path` in front of PATH."""
    variables = {**CLEAN, **environment}
    if path:
        variables["PATH"] = f"{path}:{variables['PATH']}"
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=TIMEOUT, check=False,
                          cwd=TOP, env=variables)


def check_gpu(tmp_path: Path, *arguments: str, **environment: str) -> tuple[subprocess.CompletedProcess[str], dict]:
    """Runs it on the emulated GPU; what it did and its figures."""
    if no_gpu_code():
        pytest.skip(no_gpu_code())
    figures = tmp_path / "check-gpu.json"
    done = run(sys.executable, CHECK_GPU, "--tiny", "--json", figures, *arguments,
               **{"LD_LIBRARY_PATH": str(EMULATOR), **environment})
    return done, json.loads(figures.read_text())


# ---- check_gpu.py ----

def test_steps_on_the_emulated_gpu(tmp_path: Path) -> None:
    markdown = tmp_path / "RESULTS.md"
    done, figures = check_gpu(tmp_path, "--steps", "kernels,golden,session,filter,leak,peak,frames,bench", "--markdown",
                              str(markdown), FAKE_CUDA_SM="90", FAKE_CUDA_REPORT=str(tmp_path / "report"))
    assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr
    assert figures["failed"] == 0 and figures["not_run"] == 0
    rows = {step: [row for row in figures["rows"] if row["step"] == step] for step in
            ("kernels", "golden", "session", "filter", "leak", "peak", "frames", "bench")}
    assert all(rows.values())
    for row in figures["rows"]:
        assert re.search(rf"^{row['step']} +{re.escape(row['name'])} +ok ", done.stdout, re.M)
    assert all(row["data"]["passed"] > 0 for row in rows["kernels"])
    assert figures["device"]["name"] == "Emulated GPU (sm_90)" and figures["device"]["capability"] == "9.0"
    text = markdown.read_text()
    assert text.startswith("# Emulated GPU (sm_90)\n")
    assert f"| {rows['frames'][0]['name']} |" in text and f"| {rows['bench'][0]['name']} |" in text
    report = (tmp_path / "report").read_text()
    assert not re.search(r"^(leak|misuse) .*", report, re.M), report


@pytest.mark.parametrize("steps, fault, row", [
    ("golden", "cuLaunchKernel:30:719", "three, even, fp32"),
    ("session", "cuGraphLaunch:2:700:sticky", "cuda frames, recording on"),
    ("peak", "cublasGemmEx:2:13", "fp16 matrix product by cuBLAS"),
])
def test_a_failure_is_seen(tmp_path: Path, steps: str, fault: str, row: str) -> None:
    done, figures = check_gpu(tmp_path, "--steps", steps, FAKE_CUDA_FAIL=fault)
    assert done.returncode == 1
    assert [each["name"] for each in figures["rows"] if each["result"] == "FAILED"][0] == row
    assert f"FAILED: {steps}, {row}: " in done.stdout


def test_growing_memory_is_seen(tmp_path: Path) -> None:
    """bench as it would be if every frame cost a page, which no figure of the others shows."""
    tree = tmp_path / "tree"
    shutil.copytree(TOP / "tests/cuda/gpu", tree / "tests/cuda/gpu")
    (tree / "build/tests").mkdir(parents=True)
    bench = tree / "build/tests/bench"
    bench.write_text("#!/bin/sh\necho '{\"device_growth_bytes\": 4096, \"rss_growth_bytes\": 0, \"steady_frames\": 9}'\n")
    bench.chmod(0o755)
    done = run(sys.executable, tree / "tests/cuda/gpu/check_gpu.py", "--tiny", "--steps", "leak",
               LD_LIBRARY_PATH=str(EMULATOR))
    assert done.returncode == 1 and "FAILED: leak, " in done.stdout and "device +4096 bytes" in done.stdout


# What the programs say on a GPU that does a whole frame in 10 ms, a matrix product at 800 TFLOP/s and a convolution at 600.
PROGRAMS = {
    "gemm_peak": """echo '{"size": 8192, "ms": 1.4, "TFLOP/s": 800.0}'""",
    "bench": """size=${*#*size=} && size=${size%% *}
                echo "$*" >> {log}
                echo '{"steady_frame_s": 0.010, "frame_s": 0.011, "open_s": 0.5, "first_frame_s": 0.1, "steady_frames": 60,
                       "width": '${size%x*}', "height": '${size#*x}', "device_bytes": 104857600, "plan_bytes": 94371840,
                       "peak_rss_bytes": 1000}' | tr -d '\\n'""",
    "test_cuda_ops": """echo "$*" >> {log}
                        echo '{"name": "conv 128 to 128", "ms": 0.25, "GB/s": 1000.5, "TFLOP/s": 600.0}'
                        echo '{"name": "warp", "ms": 0.05, "GB/s": 3000.0}'""",
}
TORCH = """import sys
sizes = sys.argv[sys.argv.index("--sizes") + 1:]
for size in sizes:
    print('{"size": "%s", "mode": "%s", "frame_s": 0.035, "first_s": 1.0, "memory_bytes": 5}' % (size, sys.argv[2]))
sys.exit(3 if sys.argv[2] == "compile" else 0)
"""


def test_measurements_become_tables(tmp_path: Path) -> None:
    """Sizes that the emulated GPU is too slow for, with programs that only say what they would."""
    tree, log = tmp_path / "tree", tmp_path / "log"
    shutil.copytree(TOP / "tests/cuda/gpu", tree / "tests/cuda/gpu")
    (tree / "build/tests").mkdir(parents=True)
    (tree / "build/random-published.bin").touch()
    (tree / "model").mkdir()
    (tree / "model/default.bin").touch()
    (tree / "tests/cuda/gpu/bench_torch.py").write_text(TORCH)
    for name, script in PROGRAMS.items():
        (tree / "build/tests" / name).write_text("#!/bin/sh\n" + script.replace("{log}", str(log)) + "\n")
        (tree / "build/tests" / name).chmod(0o755)
    done = run(sys.executable, tree / "tests/cuda/gpu/check_gpu.py", "--steps", "peak,frames,bench,torch", "--markdown",
               tree / "RESULTS.md", LD_LIBRARY_PATH=str(EMULATOR))
    text = (tree / "RESULTS.md").read_text()
    assert "800.0 TFLOP/s" in text
    assert "| 960x540, random-published | 100.00 | 10.00 | 100 |" in text
    assert "| 960x540, random-published, recording=off | 100.00 | 10.00 | 100 |" in text
    assert "| 480x270, default | 100.00 | 10.00 | 100 |" in text
    assert "| conv 128 to 128 | 0.2500 | 600.00 | 75.0% |" in text and "| warp | 0.0500 |  |  |" in text
    assert "| 320x180, fp16 channels last, eager | 28.57 | 35.00 | 3.50 |" in text
    # 16.8 MFLOP for each of 960x540 pixels in 10 ms
    assert "870.9 TFLOP/s, 108.9% of the product" in done.stdout
    calls = log.read_text()
    for word in ("conv=mma", "conv=blas", "memory=host", "recording=off", "precision=fp32", "--conv=blas"):
        assert word in calls
    assert done.returncode == 1 and "FAILED: torch, compile: the rest: status 3" in done.stdout
    assert done.stdout.count("FAILED: ") == 1


SANITIZER = """#!/bin/sh
# As compute-sanitizer, whose last argument is a part of a name.
while [ $# -gt 2 ]; do shift; done
echo "ok 1 - $2"
case $2 in
    *warp*) echo "========= Invalid __global__ read of size 4 bytes"; echo "========= ERROR SUMMARY: 1 error"; exit 99 ;;
    *cost*) echo "========= RACECHECK SUMMARY: 2 hazards displayed (2 errors, 0 warnings)"; exit 99 ;;
    *Hopper*) echo "========= Error: Device not supported. Please refer to the documentation"; exit 255 ;;
    *) echo "========= ERROR SUMMARY: 0 errors" ;;
esac
"""


def test_the_sanitizer_is_understood(tmp_path: Path) -> None:
    (tmp_path / "compute-sanitizer").write_text(SANITIZER)
    (tmp_path / "compute-sanitizer").chmod(0o755)
    done, figures = check_gpu(tmp_path, "--steps", "sanitizer", PATH=f"{tmp_path}:{os.environ['PATH']}")
    results = {row["name"]: (row["result"], row["detail"]) for row in figures["rows"]}
    assert done.returncode == 1
    assert results["memcheck: conv trunk"] == ("ok", "0 errors, 1 cases")
    assert results["memcheck: warp"][0] == "FAILED" and "Invalid __global__ read" in results["memcheck: warp"][1]
    assert results["racecheck: cost_volume"][0] == "FAILED" and "2 hazards" in results["racecheck: cost_volume"][1]
    assert results["memcheck: conv on Hopper"][0] == "not run"


def test_what_cannot_run_says_why(tmp_path: Path) -> None:
    done, figures = check_gpu(tmp_path, "--steps", "golden,filter", "--seconds", "1")
    assert done.returncode == 1  # nothing at all was checked
    assert {(row["result"], row["detail"]) for row in figures["rows"]} == {("not run", "the time is up")}
    done, figures = check_gpu(tmp_path, "--steps", "filter", "--ffmpeg", "/nonexistent")
    assert figures["rows"][0]["result"] == "not run" and "no FFmpeg" in figures["rows"][0]["detail"]


def test_without_a_driver() -> None:
    done = run(sys.executable, CHECK_GPU)
    assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1
    assert done.stderr.startswith("check-gpu: there is no NVIDIA driver: ")


def test_without_a_gpu() -> None:
    done = run(sys.executable, CHECK_GPU, LD_LIBRARY_PATH=str(EMULATOR), FAKE_CUDA_FAIL="cuInit:1:100")
    assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1
    assert "cuInit fails with error 100" in done.stderr


@pytest.mark.parametrize("steps, words", [("golden,speed", "speed: the steps are kernels, golden"), ("", "the steps are")])
def test_wrong_steps(steps: str, words: str) -> None:
    done = run(sys.executable, CHECK_GPU, "--steps", steps)
    assert done.returncode == 2 and words in done.stderr


# ---- Its parts ----

@pytest.mark.parametrize("pix_fmt", pixels.FORMATS)
def test_psnr(pix_fmt: str) -> None:
    clip = pixels.pattern(pix_fmt, 12, 8, 2)
    form = pixels.FORMATS[pix_fmt]
    step = 1 if form.depth == 8 else 2
    assert pixels.psnr(pix_fmt, clip, clip) > 100
    assert pixels.psnr(pix_fmt, clip, clip[:-step]) == 0
    flat = bytes(len(clip))
    assert pixels.psnr(pix_fmt, flat, flat) == 0
    # each sample off by one step of the depth: 20 log10(255), 20 log10(1023)
    data = bytearray(clip)
    for at in range(0, len(data), step):
        value = int.from_bytes(data[at:at + step], "little")
        value += (1 if value < 1 << form.shift + form.depth - 1 else -1) << form.shift
        data[at:at + step] = value.to_bytes(step, "little")
    assert pixels.psnr(pix_fmt, clip, bytes(data)) == pytest.approx(48.13 if form.depth == 8 else 60.20, abs=0.01)


def test_random_model(tmp_path: Path) -> None:
    """It is a network, of the published size; its picture is neither flat nor overflown."""
    path = tmp_path / "random.bin"
    count = random_model.write(path)
    tensors, _ = model_file.read(path)
    arch = architecture.read({name: tensor.shape for name, tensor in tensors.items()})
    assert (arch.features, arch.extra_blocks, arch.recons_blocks) == (128, 3, 20)
    assert (arch.sequence, arch.scale, arch.levels) == (5, 4, 6)
    assert arch.parameters == count
    weights = tensors["recons_net.0.conv1.weight"]
    assert 0.9 < weights.std() * (9 * 128) ** 0.5 < 1.1 and abs(weights.mean()) < 0.001


PKG_CONFIG_FILE = """prefix=${pcfiledir}/..
includedir=${prefix}/include
Name: thing
Version: 12.1.14.0
Libs: -L${prefix}/lib -lthing
Libs.private: -lm
Cflags: -I${includedir}
"""


@pytest.mark.parametrize("arguments, status, out", [
    (("--exists", "thing"), 0, ""),
    (("--exists", "--print-errors", "thing >= 12.1.14.0"), 0, ""),
    (("--exists", "thing >= 12.1.14"), 0, ""),
    (("--exists", "thing >= 12.2"), 1, ""),
    (("--exists", "thing >= 9.1 thing < 12.1.14.0"), 1, ""),
    (("--exists", "other"), 1, ""),
    (("--modversion", "thing"), 0, "12.1.14.0"),
    (("--cflags", "thing"), 0, "-I{0}/../include"),
    (("--libs", "thing"), 0, "-L{0}/../lib -lthing"),
    (("--static", "--libs", "thing"), 0, "-L{0}/../lib -lthing -lm"),
    (("--variable=includedir", "thing"), 0, "{0}/../include"),
])
@pytest.mark.parametrize("program", [str(TOP / "tests/cuda/gpu/bin/pkg-config"), "pkg-config"], ids=["ours", "system"])
def test_pkg_config(tmp_path: Path, program: str, arguments: tuple[str, ...], status: int, out: str) -> None:
    """The system's answers are the same."""
    (tmp_path / "thing.pc").write_text(PKG_CONFIG_FILE + "Description: a library\n")
    done = run(program, *arguments, PKG_CONFIG_PATH=str(tmp_path))
    assert (done.returncode, done.stdout.strip()) == (status, out.format(tmp_path))


# ---- The bundle ----

@pytest.fixture(scope="module", name="bundle")
def fixture_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu") / "bundle"
    done = run("tests/cuda/gpu/bundle.sh", "9.0", folder)
    if done.returncode == 3:
        pytest.skip("the archive no longer offers a part of it")
    assert done.returncode == 0, done.stderr
    return folder


def test_bundle_is_whole(bundle: Path) -> None:
    files = {str(path.relative_to(bundle)): path for path in bundle.rglob("*") if path.is_file()}
    listed = dict(reversed(line.split("  ./")) for line in (bundle / "MANIFEST").read_text().splitlines())
    assert set(listed) == set(files) - {"MANIFEST"}
    assert sum(path.stat().st_size for path in files.values()) < MOST_BYTES
    for name, path in files.items():
        if name != "MANIFEST":
            assert hashlib.sha256(path.read_bytes()).hexdigest() == listed[name], name
    tracked = subprocess.run(["git", "ls-files"], cwd=TOP, capture_output=True, text=True, check=False)
    for name in tracked.stdout.splitlines() if tracked.returncode == 0 else ["Makefile", "model/default.bin"]:
        assert f"source/{name}" in files
    for name in ("ffmpeg_9.0", "nv-codec-headers_12.1", "jansson_2"):
        assert any(path.startswith(f"archives/{name}") and not path.endswith(".sha256") for path in files), name
    assert {"run.sh", "ffmpeg/configure", "ffmpeg/libavfilter/allfilters.c"} <= set(files)
    patches = b"".join((TOP / f"patches/{name}-9.0.patch").read_bytes() for name in ("ffmpeg", "fftools"))
    assert (bundle / "ffmpeg/.selfblindvsr.patch").read_bytes() == patches


def write_nvcc(folder: Path) -> None:
    """An nvcc that says what it is, and compiles nothing."""
    (folder / "nvcc").write_text("#!/bin/sh\ncase $1 in\n--version) echo 'Cuda compilation tools, release 13.0, V13.0.88' ;;\n"
                                 "--list-gpu-code) echo sm_75 sm_80 sm_86 sm_89 sm_90 sm_100 sm_120 | tr ' ' '\\n' ;;\nesac\n")
    (folder / "nvcc").chmod(0o755)


def test_run_without_a_gpu(bundle: Path, tmp_path: Path) -> None:
    """One line says what is missing, before anything is built."""
    write_nvcc(tmp_path)
    done = run("sh", bundle / "run.sh", path=tmp_path)
    assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1
    assert "there is no NVIDIA driver" in done.stderr
    assert not (bundle / "source/build/jansson").exists()


def test_run_builds_its_parser(bundle: Path, tmp_path: Path) -> None:
    """As far as a make that stops: Jansson out of its sources, and the settings of the build."""
    write_nvcc(tmp_path)
    (tmp_path / "make").write_text("#!/bin/sh\necho \"make $*\"\nexit 1\n")
    (tmp_path / "make").chmod(0o755)
    done = run("sh", bundle / "run.sh", f"--output={tmp_path}", path=tmp_path, LD_LIBRARY_PATH=str(EMULATOR),
               FAKE_CUDA_SM="90")
    assert done.returncode == 1 and "the library cannot be built" in done.stderr
    assert "ARCHITECTURES=90 gpu-programs" in (tmp_path / "build.log").read_text()
    settings = (bundle / "source/config.mak").read_text()
    assert f"CUDA_COMPILER := --nvcc {tmp_path}/nvcc\nCUDA_KNOWN := 75 80 86 89 90 90a 100 120\n" in settings
    wanted = set(re.findall(r"^(\w+) :=", (TOP / "config.mak").read_text(), re.M))
    assert set(re.findall(r"^(\w+) :=", settings, re.M)) >= wanted
    program = tmp_path / "version.c"
    program.write_text('#include <jansson.h>\nint main(void) { return !json_loads("{\\"a\\": 1}", 0, 0); }\n')
    jansson = bundle / "source/build/jansson"
    done = run("gcc", f"-I{jansson}/include", program, f"-L{jansson}/lib", "-l:libjansson.a", "-o", tmp_path / "version")
    assert done.returncode == 0, done.stderr
    assert run(tmp_path / "version").returncode == 0


def test_run_trains(bundle: Path, tmp_path: Path) -> None:
    """With material in the bundle, the default model goes on from where it is, whatever the checks say; on the CPU here,
    with a make that builds nothing."""
    pytest.importorskip("torch")
    image = pytest.importorskip("PIL.Image")
    folder, programs = tmp_path / "bundle", tmp_path / "programs"
    for path in (folder / "material", programs):
        path.mkdir(parents=True)
    for name in ("source", "archives", "ffmpeg", "SERIES"):
        (folder / name).symlink_to(bundle / name)
    shutil.copy(bundle / "run.sh", folder)
    picture = np.random.default_rng(1).integers(0, 256, (20, 25, 3), dtype=np.uint8)
    image.fromarray(picture).resize((250, 200)).save(folder / "material/photo.webp")
    write_nvcc(programs)
    for name, text in {"make": "exit 0", "python3": f'exec {sys.executable} "$@"'}.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    done = run("sh", folder / "run.sh", f"--output={tmp_path}", "--seconds=190", "--without-ffmpeg",
               "--steps=golden", path=programs,
               LD_LIBRARY_PATH=str(EMULATOR), FAKE_CUDA_SM="90",
               SBV_TRAINING="--batch 2 --patch 16 --coded 0 --clips 0 --threads 1 --device cpu --steps 4")
    assert done.returncode == 1 and "build/tests/" in done.stdout  # nothing was built that could be checked
    assert "2 pictures, 0 clips, 0 coded windows on cpu" in done.stdout and "single: " in done.stdout
    tensors, metadata = model_file.read(tmp_path / "trained.bin")
    assert set(tensors) == set(model_file.read(TOP / "model/default.bin")[0]) and int(metadata["steps"]) > 0
    assert (tmp_path / "trained.csv").exists() and (tmp_path / "trained.pt").exists()


def test_bundle_refuses(tmp_path: Path) -> None:
    done = run("tests/cuda/gpu/bundle.sh", "5.1", tmp_path / "bundle")
    assert done.returncode == 1 and "must be one of 7.1 8.1 9.0" in done.stderr and not (tmp_path / "bundle").exists()
