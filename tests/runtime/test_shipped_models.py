"""Every model that is shipped against the PyTorch definition, stage by stage: the plain C operations, those of this
processor, and the CUDA backend on an emulated GPU. A network as narrow as the fast model's besides, with random weights,
whose channels are no multiples of vectors and tiles.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import TIMEOUT, TOP, no_gpu_code
from golden_cases import GOLDEN
from lib import model_file, models

torch = pytest.importorskip("torch")

import exportable  # noqa: E402
import reference  # noqa: E402

sys.path.append(str(GOLDEN))
import make_golden  # noqa: E402

STAGES = TOP / "build/tests/golden_stages"
EMULATOR = TOP / "build/emu"
HEIGHT, WIDTH = 19, 26
NARROW = reference.Architecture(n_feat=32, extra_blocks=1, recons_blocks=8, pyramid=(16, 24, 32),
                                decoder=((32, 32, 24, 16, 16),) * 2, refiner=(32, 32, 32, 24, 16, 16, 2))


def narrow_tensors() -> dict[str, np.ndarray]:
    """Random weights, with a tail as training writes it, and as there with channels that only a bias makes, and channels
    of zeros, before the first block."""
    tensors = make_golden.weights(NARROW, seed=11, flow_gain=0.3)
    tensors["in_conv.0.weight"][6:] = 0
    tensors["in_conv.0.bias"][6:] = [1, *[0] * (NARROW.n_feat - 7)]
    generator = torch.Generator().manual_seed(11)
    tail = torch.randn(48, NARROW.n_feat, 3, 3, generator=generator) * 0.02
    return tensors | {name: value.numpy() for name, value in exportable.expand_tail(tail).items()}


@pytest.fixture(name="case", scope="module", params=["narrow", *models.names()])
def fixture_case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model and the prefix of its golden tensors, which the definition computes."""
    folder = tmp_path_factory.mktemp(request.param)
    model = models.FOLDER / f"{request.param}.bin"
    if request.param == "narrow":
        model = folder / "narrow.bin"
        model_file.write(model, narrow_tensors(), {"phase": "center"}, dtype="F16")
    frames = make_golden.window(HEIGHT, WIDTH, 5)
    np.save(folder / "case_frames_u8.npy", frames)
    for stage, values in make_golden.run(model_file.read(model)[0], frames).items():
        np.save(folder / f"case_{stage}.npy", np.ascontiguousarray(values))
    return model, folder / "case"


def check(case: tuple[Path, Path], backend: str, precision: str, **environment: str) -> None:
    done = subprocess.run([STAGES, *case, backend, precision], capture_output=True, text=True, timeout=TIMEOUT, check=False,
                          env=os.environ | environment)
    if "needs AMX" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(f" {stage} " in done.stdout for stage in make_golden.STAGES), done.stdout


@pytest.mark.parametrize("isa, precision", [("c", "fp32"), ("", "fp32"), ("", "bf16")])
def test_on_the_processor(case: tuple[Path, Path], isa: str, precision: str) -> None:
    check(case, "cpu", precision, **({"SBV_CPU": isa} if isa else {}))


@pytest.mark.skipif(bool(no_gpu_code()), reason=no_gpu_code() or "never")
@pytest.mark.parametrize("device, precision", [("80", "fp32"), ("75", "fp16"), ("90", "fp16")])
def test_on_an_emulated_gpu(case: tuple[Path, Path], device: str, precision: str, tmp_path: Path) -> None:
    report = tmp_path / "report"
    check(case, "cuda", precision, LD_LIBRARY_PATH=str(EMULATOR), FAKE_CUDA_REPORT=str(report), FAKE_CUDA_SM=device)
    lines = report.read_text().splitlines()
    assert "end" in lines and not [line for line in lines if line.startswith(("misuse", "leak"))]
