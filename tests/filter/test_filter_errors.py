"""What the filter refuses, in one clear line and with a non-zero exit; memory errors.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import FFmpeg, Models, model_file, raw, texture, tiny_tensors

SIZE = (16, 12)
INPUT = raw("yuv420p", *SIZE)
TAG = "selfblindvsr"


def refused(ffmpeg: FFmpeg, options: str, output: Path | str = "-") -> str:
    """Runs the filter in vain; returns what was said."""
    done = ffmpeg.run(*INPUT, "-vf", f"selfblindvsr={options}", "-f", "nut", output, data=texture(6, *SIZE))
    said = done.stderr.decode()
    assert done.returncode != 0, said
    assert not done.stdout
    return said


def only_line(said: str) -> str:
    """The one line that comes from the filter; FFmpeg adds where it was."""
    lines = [line for line in said.splitlines() if line.startswith("[") and TAG in line.split("]")[0]]
    assert len(lines) == 1, said
    return lines[0]


def test_no_such_model(ffmpeg: FFmpeg, tmp_path: Path) -> None:
    path, output = tmp_path / "nowhere.bin", tmp_path / "out.nut"
    line = only_line(refused(ffmpeg, f"model={path}", output))
    assert str(path) in line and "No such file" in line
    assert not output.exists() or output.stat().st_size == 0


def test_model_is_a_folder(ffmpeg: FFmpeg, tmp_path: Path) -> None:
    line = only_line(refused(ffmpeg, f"model={tmp_path}"))
    assert str(tmp_path) in line


@pytest.mark.parametrize("content", [b"", b"abc", b"This is a text file and no model at all.\n" * 9, bytes(4096)],
                         ids=["empty", "short", "text", "zeros"])
def test_not_a_model(ffmpeg: FFmpeg, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(content)
    line = only_line(refused(ffmpeg, f"model={path}"))
    assert str(path) in line


def test_truncated_model(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    whole = models.random.read_bytes()
    for length in (len(whole) - 1, len(whole) // 2, 100):
        path.write_bytes(whole[:length])
        line = only_line(refused(ffmpeg, f"model={path}"))
        assert str(path) in line


def test_wrong_shape(ffmpeg: FFmpeg, tmp_path: Path) -> None:
    path, tensors = tmp_path / "x.bin", tiny_tensors(4, 0.5)
    tensors["out_conv.0.weight"] = np.zeros((4, 5, 3, 3), np.float32)
    model_file.write(path, tensors, {})
    line = only_line(refused(ffmpeg, f"model={path}"))
    assert "out_conv.0.weight" in line and "4x5x3x3" in line and "4x4x3x3" in line


def test_missing_tensor(ffmpeg: FFmpeg, tmp_path: Path) -> None:
    path, tensors = tmp_path / "x.bin", tiny_tensors(4, 0.5)
    del tensors["fusion_conv.0.bias"]
    model_file.write(path, tensors, {})
    line = only_line(refused(ffmpeg, f"model={path}"))
    assert "fusion_conv.0.bias" in line


@pytest.mark.parametrize("option, limits", [("scene=1.5", "[0 - 1]"), ("scene=-0.1", "[0 - 1]"),
                                            ("tile=9000", "[0 - 8192]"), ("max_memory=-1", "[0 - 1e+06]")])
def test_option_out_of_range(ffmpeg: FFmpeg, models: Models, option: str, limits: str) -> None:
    """FFmpeg's own check, from the limits that the options declare."""
    said = refused(ffmpeg, f"model={models.plain}:{option}")
    assert f"'{option.split('=')[0]}' out of range {limits}" in said


def test_small_tiles(ffmpeg: FFmpeg, models: Models) -> None:
    line = only_line(refused(ffmpeg, f"model={models.plain}:tile=15"))
    assert "tile 15" in line and "16 to 8192" in line


@pytest.mark.parametrize("option", ["border=mirror", "scene=yes", "colour=red", "backend=gpu", "backend=3",
                                    "precision=fp8"])
def test_unknown_option(ffmpeg: FFmpeg, models: Models, option: str) -> None:
    said = refused(ffmpeg, f"model={models.plain}:{option}")
    assert option.split("=")[0 if option.startswith("colour") else 1] in said


def test_half_precision_needs_a_gpu(ffmpeg: FFmpeg, models: Models) -> None:
    line = only_line(refused(ffmpeg, f"model={models.plain}:backend=cpu:precision=fp16"))
    assert "fp16" in line and "GPU" in line


@pytest.mark.parametrize("backend", ["cpu", "auto"])
def test_bfloat16_needs_amx(ffmpeg: FFmpeg, models: Models, backend: str) -> None:
    """What stands in for a processor without it works on all."""
    without = replace(ffmpeg, environment={"SBV_CPU": "c"})
    said = refused(without, f"model={models.plain}:backend={backend}:precision=bf16")
    assert said.count("precision bf16 needs AMX: ") == 1


def test_bfloat16_is_not_for_gpus(ffmpeg: FFmpeg, models: Models) -> None:
    said = refused(ffmpeg, f"model={models.plain}:backend=cuda:precision=bf16")
    assert said.count("precision bf16 needs the CPU") == 1


def test_bfloat16(ffmpeg: FFmpeg, models: Models) -> None:
    """Where there is AMX it is what the processor chooses; what is said of a run names precision and memory."""
    logs = [ffmpeg.log(*INPUT, "-vf", f"selfblindvsr=model={models.plain}:backend=cpu{options}", data=texture(2, *SIZE))
            for options in ("", ":precision=fp32")]
    plans = [[line for line in log.splitlines() if " MiB, tiles of " in line] for log in logs]
    assert len(plans[0]) == len(plans[1]) == 1
    assert plans[1][0].endswith(", fp32")
    if plans[0][0].endswith(", fp32"):
        pytest.skip("this processor has no AMX")
    assert plans[0][0].endswith(", amx, bf16")


def test_too_little_memory(ffmpeg: FFmpeg, models: Models) -> None:
    done = ffmpeg.run(*raw("yuv420p", 400, 400), "-vf", f"selfblindvsr=model={models.plain}:max_memory=1", "-f",
                      "null", "-", data=bytes(240000))
    assert done.returncode != 0
    lines = [line for line in done.stderr.decode().splitlines() if "max_memory" in line]
    assert len(lines) == 1 and "MiB" in lines[0] and "400x400" in lines[0], done.stderr.decode()


def test_output_too_large(ffmpeg: FFmpeg, models: Models) -> None:
    done = ffmpeg.run("-f", "lavfi", "-i", "color=s=2x600000,format=gray", "-vf", f"selfblindvsr=model={models.plain}",
                      "-frames:v", "1", "-f", "null", "-")
    lines = [line for line in done.stderr.decode().splitlines() if "larger than FFmpeg's limit" in line]
    assert done.returncode != 0
    assert len(lines) == 1 and "8x2400000" in lines[0] and "2x600000" in lines[0], done.stderr.decode()


def test_full_disk(ffmpeg: FFmpeg, models: Models) -> None:
    done = ffmpeg.run(*INPUT, "-vf", f"selfblindvsr=model={models.plain}", "-f", "rawvideo", "-y", "/dev/full",
                      data=texture(200, *SIZE))
    assert done.returncode != 0
    assert "No space left on device" in done.stderr.decode()


def test_model_is_described(ffmpeg: FFmpeg, models: Models) -> None:
    log = ffmpeg.log(*INPUT, "-vf", f"selfblindvsr=model={models.random}", data=texture(2, *SIZE))
    lines = [line for line in log.splitlines() if "tiny random" in line]
    assert lines and "licence CC0" in lines[0] and "x4" in lines[0]


def test_phase_is_warned_of(ffmpeg: FFmpeg, models: Models) -> None:
    for model, phase, warned in ((models.topleft, "model", True), (models.topleft, "auto", False),
                                 (models.plain, "model", False)):
        log = ffmpeg.log(*INPUT, "-vf", f"selfblindvsr=model={model}:phase={phase}", data=texture(2, *SIZE), level="warning")
        assert ("1.5 output pixels up and left" in log) == warned


def test_help(ffmpeg: FFmpeg) -> None:
    text = ffmpeg.output("-h", f"filter={TAG}").decode()
    for word in ("model", "backend", "auto", "cuda", "cpu", "precision", "fp32", "fp16", "bf16", "border", "replicate",
                 "reflect", "none", "phase", "scene", "tile", "max_memory", "kernel_interval", "kernel_file", "cycle", "refine",
                 "adapt_interval", "start_number", "slice threading"):
        assert word in text, word


def test_memory_is_clean(ffmpeg: FFmpeg, models: Models, tmp_path: Path) -> None:
    """No invalid access, no use of undefined values, nothing lost, in a whole run with every part of the filter."""
    if not shutil.which("valgrind"):
        pytest.skip("valgrind is not installed")
    valgrind = ("valgrind", "-q", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite",
                "--show-leak-kinds=definite", "--num-callers=30")
    done = ffmpeg.run("-filter_threads", "2", *raw("yuv420p", 15, 13), "-vf",
                      f"selfblindvsr=model={models.modulated}:scene=0.4:kernel_interval=2:kernel_file={tmp_path / 'k.npy'}:"
                      "cycle=1:refine=2:adapt_interval=3", "-f", "framecrc", "-", data=texture(6, 15, 13), before=valgrind)
    assert done.returncode == 0, done.stderr.decode()
    assert len([line for line in done.stdout.splitlines() if not line.startswith(b"#")]) == 6
