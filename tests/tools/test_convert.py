"""model/tools/convert.py: every form of checkpoint gives the same weights, and nothing hostile does any harm.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import collections
import hashlib
import os
import pickle
import random
import resource
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Callable, Mapping, Optional

import numpy as np
import pytest
from conftest import TIMEOUT, TOP

import checkpoint_fixtures as fx  # noqa: E402
import convert  # noqa: E402
from lib import model_file  # noqa: E402

WEIGHTS = fx.tiny_weights()
Run = Callable[..., "Result"]


class Result:
    def __init__(self, status: int, output: str, error: str, path: Path) -> None:
        self.status, self.output, self.error, self.path = status, output, error, path

    def weights(self) -> dict[str, np.ndarray]:
        assert (self.status, self.error) == (0, "")
        return model_file.read(self.path)[0]

    def refused(self, *words: str) -> None:
        """Exit status 1, one line that has the words in it, and nothing written."""
        assert self.status == 1
        assert self.error.startswith("convert.py: error: ") and self.error.count("\n") == 1, self.error
        assert self.error.isprintable() or self.error[:-1].isprintable()
        for word in words:
            assert word in self.error, self.error
        assert not self.path.exists() and not list(self.path.parent.glob("*.tmp"))


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Converts a checkpoint given as bytes."""
    def action(data: bytes, *options: str, name: str = "in.pt") -> Result:
        (tmp_path / name).write_bytes(data)
        out = tmp_path / "out.bin"
        status = convert.main([str(tmp_path / name), "-o", str(out), *options])
        return Result(status, *capsys.readouterr(), out)
    return action


def run_program(*arguments: object, limit: Optional[tuple[int, int]] = None) -> "subprocess.CompletedProcess[str]":
    """convert.py as a process of its own, under a limit of resources."""
    def prepare() -> None:
        if limit:
            resource.setrlimit(limit[0], (limit[1], limit[1]))
    command = [sys.executable, "-B", str(TOP / "model/tools/convert.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, preexec_fn=prepare, timeout=TIMEOUT)


def assert_same_bits(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name].shape == values.shape and found[name].tobytes() == values.tobytes(), name


# The forms of checkpoints, made by hand

def test_zip(run: Run) -> None:
    result = run(fx.zip_checkpoint(WEIGHTS))
    assert_same_bits(result.weights(), WEIGHTS)
    for words in ("PyTorch, zip, 52 tensors", "2 features, 0 + 1 blocks, window of 3 frames, scale 2, 2 pyramid levels",
                  f"{sum(v.size for v in WEIGHTS.values())} parameters", "phase topleft"):
        assert words in result.output


def test_legacy(run: Run) -> None:
    result = run(fx.legacy_checkpoint(WEIGHTS))
    assert_same_bits(result.weights(), WEIGHTS)
    assert "PyTorch, legacy" in result.output


@pytest.mark.parametrize("options", [{}, {"core": "numpy._core"}, {"python2": True}, {"order": ">"}])
def test_pickled_arrays(run: Run, options: dict) -> None:
    assert_same_bits(run(fx.pickle_checkpoint(WEIGHTS, **options), name="in.pkl").weights(), WEIGHTS)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_by_python(run: Run, protocol: int) -> None:
    data: dict = collections.OrderedDict(WEIGHTS)
    name = "fusion_conv.0.weight"
    data[name] = np.asfortranarray(data[name])
    assert_same_bits(run(pickle.dumps(data, protocol)).weights(), WEIGHTS)


def test_jittor(run: Run) -> None:
    """Variables of Jittor, and its checksum at the end."""
    data = fx.program(fx.dict_of({fx.text(name): fx.call("jittor", "Var", fx.numpy_array(v))
                                  for name, v in WEIGHTS.items()}))
    assert_same_bits(run(data + hashlib.sha1(data).digest() + b"HCAJSLHD").weights(), WEIGHTS)


def test_jittor_checksum_must_match(run: Run) -> None:
    data = fx.pickle_checkpoint(WEIGHTS)
    run(data + hashlib.sha1(b"other").digest() + b"HCAJSLHD").refused("checksum")


def test_safetensors_keeps_what_the_file_says(run: Run, tmp_path: Path) -> None:
    model_file.write(tmp_path / "w.bin", WEIGHTS, {"name": "n", "licence": "l", "phase": "center"}, "BF16")
    found, metadata = model_file.read(tmp_path / "w.bin")
    result = run((tmp_path / "w.bin").read_bytes(), "--licence", "m")
    assert_same_bits(result.weights(), found)
    metadata = model_file.read(result.path)[1]
    assert (metadata["name"], metadata["licence"], metadata["phase"]) == ("n", "m", "center")


def test_report_stays_three_lines(run: Run, tmp_path: Path) -> None:
    model_file.write(tmp_path / "w.bin", WEIGHTS, {"name": "a\nb\x1b[31m", "phase": "c\nd"})
    result = run((tmp_path / "w.bin").read_bytes())
    assert result.status == 0 and len(result.output.splitlines()) == 3
    assert all(line.isprintable() for line in result.output.splitlines())


@pytest.mark.parametrize("dtype", ["f2", "f8", "u2"])
@pytest.mark.parametrize("make", [fx.zip_checkpoint, fx.legacy_checkpoint])
def test_types_of_storages(run: Run, make: Callable[..., bytes], dtype: str) -> None:
    expected = {"f2": lambda v: v.astype("f2").astype("f4"), "f8": lambda v: v,
                "u2": lambda v: (v.view("u4") & np.uint32(0xFFFF0000)).view("f4")}[dtype]
    assert_same_bits(run(make(WEIGHTS, dtype)).weights(), {name: expected(v) for name, v in WEIGHTS.items()})


def test_big_endian_zip(run: Run) -> None:
    assert_same_bits(run(fx.zip_checkpoint(WEIGHTS, order=">", byteorder=b"big")).weights(), WEIGHTS)


def test_views_of_one_storage(run: Run) -> None:
    """All tensors lie in one storage, one of them transposed, and two are the same values."""
    name, twin = "fusion_conv.0.weight", "out_conv.1.bias"
    weights = dict(WEIGHTS, **{twin: WEIGHTS[name].transpose(3, 2, 1, 0).reshape(-1)[:3].copy()})
    items, raw, place = {}, b"", 0
    for key, values in weights.items():
        stride = None
        if key == name:
            twin_place, values = place, values.transpose(3, 2, 1, 0)
            stride = [1, 2, 12, 36]
        at = twin_place if key == twin else place
        items[key] = (at, weights[key].shape, stride)
        raw += values.tobytes()
        place += values.size
    root = fx.dict_of({fx.text(key): fx.torch_tensor("0", "f4", place, shape, stride, at)
                       for key, (at, shape, stride) in items.items()})
    assert_same_bits(run(fx.torch_zip(root, {"0": raw})).weights(), weights)


def test_legacy_storage_view(run: Run) -> None:
    """PyTorch 0.4 could save a storage as a view of another."""
    items, raw, place = {}, b"", 0
    total = sum(v.size for v in WEIGHTS.values())
    for name, values in WEIGHTS.items():
        view = fx.tuple_of(fx.text("v" + name), fx.number(place), fx.number(values.size))
        items[fx.text(name)] = fx.torch_tensor("0", "f4", total, values.shape, view=view, legacy=True)
        raw += values.tobytes()
        place += values.size
    assert_same_bits(run(fx.torch_legacy(fx.dict_of(items), {"0": (total, raw)})).weights(), WEIGHTS)


@pytest.mark.parametrize("prefix", ["", "module.", "module.model."])
@pytest.mark.parametrize("key", ["state_dict", "model", "params"])
def test_weights_inside_a_training_checkpoint(run: Run, prefix: str, key: str) -> None:
    tensors = {fx.text(prefix + name): fx.numpy_array(v) for name, v in WEIGHTS.items()}
    optimizer = fx.dict_of({fx.text("state"): fx.dict_of({fx.number(0): fx.numpy_array(np.zeros(3, "i8"))})})
    root = fx.dict_of({fx.text("epoch"): fx.number(3), fx.text("optimizer"): optimizer,
                       fx.text(key): fx.dict_of(tensors)})
    assert_same_bits(run(fx.program(root)).weights(), WEIGHTS)


def test_attributes_of_the_state_dict_are_ignored(run: Run) -> None:
    items = fx.list_of(*(fx.list_of(fx.text(name), fx.numpy_array(v)) for name, v in WEIGHTS.items()))
    root = fx.call("collections", "OrderedDict", items)
    root += fx.dict_of({fx.text("_metadata"): fx.dict_of({fx.text(""): fx.number(1)})}) + b"b"
    assert_same_bits(run(fx.program(root)).weights(), WEIGHTS)


# What is written

def test_provenance(run: Run) -> None:
    data = fx.zip_checkpoint(WEIGHTS)
    result = run(data, "--name", "tiny", "--licence", "CC0", "--training-data", "noise", "--phase", "center")
    assert result.status == 0
    metadata = model_file.read(result.path)[1]
    assert len(metadata.pop("date")) == len("2024-01-01")
    assert metadata == {"format": "selfblindvsr", "name": "tiny", "licence": "CC0", "training_data": "noise",
                        "phase": "center", "source": "in.pt", "source_sha256": hashlib.sha256(data).hexdigest()}


@pytest.mark.parametrize("dtype,limit", [("F16", 2.0 ** -11), ("BF16", 2.0 ** -8)])
def test_stored_types(run: Run, dtype: str, limit: float) -> None:
    result = run(fx.zip_checkpoint(WEIGHTS), "--dtype", dtype)
    found = result.weights()
    assert result.path.stat().st_size < 2 * sum(v.size for v in WEIGHTS.values()) + 8000
    for name, values in WEIGHTS.items():
        assert np.abs(found[name] - values).max() <= limit * np.abs(values).max()
        assert np.any(found[name] != values)


def test_an_older_output_is_replaced(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out.bin").write_bytes(b"old")
    assert_same_bits(run(fx.zip_checkpoint(WEIGHTS)).weights(), WEIGHTS)
    assert stat.S_IMODE((tmp_path / "out.bin").stat().st_mode) & 0o600 == 0o600


# Files and folders that do not do

def test_input_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = fx.zip_checkpoint(WEIGHTS)
    (tmp_path / "w.pt").write_bytes(data)
    (tmp_path / "link.pt").symlink_to("w.pt")
    for out in ("w.pt", "link.pt"):
        assert convert.main([str(tmp_path / "w.pt"), "-o", str(tmp_path / out)]) == 1
        assert "same file" in capsys.readouterr().err
    assert (tmp_path / "w.pt").read_bytes() == data


def test_input_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "none.pt", tmp_path, tmp_path / "fifo"):
        assert convert.main([str(path), "-o", str(tmp_path / "out.bin")]) == 1
        error = capsys.readouterr().err
        assert error.startswith("convert.py: error: ") and str(path) in error and error.count("\n") == 1


@pytest.mark.parametrize("out", ["none/out.bin", "file/out.bin", "folder", "/dev/full"])
def test_output_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str) -> None:
    (tmp_path / "w.pt").write_bytes(fx.zip_checkpoint(WEIGHTS))
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert convert.main([str(tmp_path / "w.pt"), "-o", str(tmp_path / out)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("convert.py: error: ") and out in error and error.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before and os.path.exists("/dev/full")


def test_disk_full(tmp_path: Path) -> None:
    """A write that fails half way, here because of a limit on the size of files, leaves the old file as it was."""
    (tmp_path / "w.pt").write_bytes(fx.zip_checkpoint(WEIGHTS))
    (tmp_path / "out.bin").write_bytes(b"old")
    result = run_program(tmp_path / "w.pt", "-o", tmp_path / "out.bin", limit=(resource.RLIMIT_FSIZE, 10000))
    assert result.returncode == 1 and result.stderr == f"convert.py: error: {tmp_path}/out.bin: File too large\n"
    assert (tmp_path / "out.bin").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 2


# Tensors that do not make a network

def without(name: str) -> dict[str, np.ndarray]:
    return {key: values for key, values in WEIGHTS.items() if key != name}


@pytest.mark.parametrize("name", list(WEIGHTS)[::5])
def test_missing_tensor(run: Run, name: str) -> None:
    result = run(fx.zip_checkpoint(without(name)))
    if "moduleExtractor.moduleTwo.0" in name:
        result.refused("1 levels in 'flow_net.moduleNetwork.moduleExtractor', at least 2 are needed")
    else:
        result.refused(f"tensor '{name}' is missing")


@pytest.mark.parametrize("name,shape,words", [
    ("in_conv.0.weight", (2, 4, 3, 3), "has shape 2x4x3x3, expected Nx3x3x3"),
    ("in_conv.0.weight", (1025, 3, 3, 3), "the limit is 1024 channels"),
    ("in_conv.0.bias", (3,), "has shape 3, expected 2"),
    ("recons_net.0.conv2.weight", (2, 2, 5, 5), "has shape 2x2x5x5, expected 2x2x3x3"),
    ("fusion_conv.0.weight", (2, 8, 3, 3), "a window of 4 frames of 2 channels"),
    ("upsample_layers.0.weight", (2, 2, 3, 3), "has shape 2x2x3x3, expected 8x2x3x3"),
    ("flow_net.moduleNetwork.moduleTwo.moduleThr.0.weight", (1, 84, 3, 3), "expected Nx83x3x3"),
    ("flow_net.moduleNetwork.moduleRefiner.moduleMain.12.weight", (3, 2, 3, 3), "expected 2x2x3x3"),
    ("flow_net.moduleNetwork.moduleRefiner.moduleMain.0.bias", (), "has shape a single value, expected 2"),
])
def test_wrong_shape(run: Run, name: str, shape: tuple[int, ...], words: str) -> None:
    run(fx.zip_checkpoint(dict(WEIGHTS, **{name: np.zeros(shape, "f4")}))).refused(f"tensor '{name}'", words)


def test_unknown_tensors(run: Run) -> None:
    extra = {"mean\n": np.zeros(3, "f4"), "recons_net.2.conv1.weight": np.zeros((2, 2, 3, 3), "f4")}
    run(fx.zip_checkpoint(dict(WEIGHTS, **extra))).refused("2 unknown tensors: 'mean\\n', 'recons_net.2.conv1.weight'")


MODULATED = model_file.read(str(TOP / "tests/golden/modulated.bin"))[0]


def test_a_modulated_network(run: Run) -> None:
    assert "no blur kernel, modulated by the degradation, " in run(fx.zip_checkpoint(MODULATED)).output


@pytest.mark.parametrize("name, shape, words", [
    ("modulation.0.weight", (9, 8), "has shape 9x8, expected Nx7"),
    ("modulation.2.weight", (28, 9), "has shape 28x9, expected 35x9"),
    ("modulation.1.bias", None, "is missing"),
    ("degradation_net.0.weight", (6, 15), "has shape 6x15, expected Nx16"),
    ("degradation_net.1.weight", (6, 6), "has shape 6x6, expected 7x6"),
    ("degradation_net.neutral", (6,), "has shape 6, expected 7"),
    ("degradation_net.neutral", None, "is missing"),
    ("degradation_net.probe", (7, 1), "has shape 7x1, expected 7"),
    ("degradation_net.probe", None, "is missing"),
])
def test_wrong_modulation(run: Run, name: str, shape: Optional[tuple[int, ...]], words: str) -> None:
    weights = {key: values for key, values in MODULATED.items() if key != name}
    if shape:
        weights[name] = np.zeros(shape, "f4")
    run(fx.zip_checkpoint(weights)).refused(f"tensor '{name}'", words)


def test_modulation_of_another_scale(run: Run) -> None:
    run(fx.zip_checkpoint(dict(WEIGHTS, **{"modulation.0.bias": np.zeros(3, "f4")}))).refused(
        "a modulated model of scale 2, it must be 4")


def test_not_a_number(run: Run) -> None:
    for value in (np.nan, np.inf, -np.inf):
        weights = dict(WEIGHTS, **{"in_conv.0.bias": np.array([1, value], "f4")})
        run(fx.zip_checkpoint(weights)).refused("tensor 'in_conv.0.bias': 1 of 2 values are NaN or infinite")


def test_values_too_large(run: Run) -> None:
    weights = dict(WEIGHTS, **{"in_conv.0.bias": np.array([1, 65520], "f4")})
    run(fx.zip_checkpoint(weights), "--dtype", "F16").refused("tensor 'in_conv.0.bias'", "65520", "F16")


def test_integers_are_no_weights(run: Run) -> None:
    weights = dict(WEIGHTS, **{"in_conv.0.bias": np.array([1, 2], "i8")})
    run(fx.pickle_checkpoint(weights)).refused("tensor 'in_conv.0.bias'", "int64")


@pytest.mark.parametrize("root,words", [
    (fx.number(3), "holds 3, not a dict"),
    (fx.dict_of({fx.text("epoch"): fx.number(1)}), "no dict of tensors, only 'epoch'"),
    (b"}", "no dict of tensors, only nothing"),
    (fx.dict_of({fx.text("a"): fx.numpy_array(np.zeros(2, "f4")), fx.text("b"): fx.number(1)}), "entry 'b' is 1"),
    (fx.dict_of({fx.text("x"): b"N", fx.text("model"): b"}q\0(" + fx.text("model") + b"h\0u"}), "no dict of tensors"),
])
def test_no_weights(run: Run, root: bytes, words: str) -> None:
    run(fx.program(root)).refused(words)


@pytest.mark.parametrize("data,words", [
    (b"", "starts with b''"), (b"\x89PNG\r\n\x1a\n", "starts with"), (b"(dp0\n.", "protocol 2"),
    (b"\x80\x02", "pickle"), (b"PK\x03\x04", "zip"), (b"PK\x05\x06" + bytes(18), "0 entries named */data.pkl"),
    (bytes(8) + b"{}", "does not start with"), (b"\x02" + bytes(7) + b"{}", "0 tensors"),
])
def test_other_files(run: Run, data: bytes, words: str) -> None:
    run(data).refused(words)


# Hostile files

def hostile(canary: Path) -> dict[str, tuple[bytes, str]]:
    """Pickles that would run a command that creates the canary, and what the refusal must name."""
    command = f"touch {canary}"
    args = fx.tuple_of(fx.text(command))
    system = fx.named("posix", "system")
    short = b"\x8c\x05posix\x8c\x06system\x93"
    inner = fx.program(system + args + b"R")
    return {
        "REDUCE": (fx.program(system + args + b"R"), "posix.system"),
        "STACK_GLOBAL": (fx.program(short + args + b"R", 4), "posix.system"),
        "eval": (fx.program(fx.call("builtins", "eval", fx.text(f"__import__('os').system({command!r})"))),
                 "builtins.eval"),
        "INST": (b"\x80\x02(" + fx.text(command) + b"iposix\nsystem\n.", "posix.system"),
        "OBJ": (fx.program(b"(" + system + fx.text(command) + b"o"), "posix.system"),
        "NEWOBJ": (fx.program(fx.named("subprocess", "Popen") + fx.tuple_of(list_text("touch", str(canary))) + b"\x81"),
                   "subprocess.Popen"),
        "NEWOBJ of a known class": (fx.program(fx.named("collections", "OrderedDict") + b")\x81"), "NEWOBJ"),
        "BUILD": (fx.program(fx.call("collections", "OrderedDict") + fx.text(command) + b"b"), "opcode BUILD"),
        "BUILD of a class": (fx.program(fx.named("torch", "FloatStorage")
                                        + fx.dict_of({fx.text("__setstate__"): fx.text(command)}) + b"b"), "BUILD"),
        "nested": (fx.program(fx.call("pickle", "loads", latin1(inner))), "pickle.loads"),
        "dotted": (fx.program(b"\x8c\x05torch\x8c\x17serialization.os.system\x93" + args + b"R", 4),
                   "torch.serialization.os.system"),
        "storage as function": (fx.program(fx.call("torch", "FloatStorage", fx.text(command))), "torch.FloatStorage"),
        "persistent id": (fx.program(fx.text(command) + b"Q"), "BINPERSID"),
        "extension": (fx.program(b"\x82\x01" + args + b"R"), "EXT1"),
    }


def latin1(data: bytes) -> bytes:
    return fx.call("_codecs", "encode", fx.text(data.decode("latin-1")), fx.text("latin1"))


def list_text(*items: str) -> bytes:
    return fx.list_of(*map(fx.text, items))


HOSTILE = list(hostile(Path("x")))


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("form", ["pkl", "zip", "legacy", "inside"])
def test_nothing_is_executed(run: Run, tmp_path: Path, kind: str, form: str) -> None:
    canary = tmp_path / "canary"
    data, words = hostile(canary)[kind]
    root = data[2:-1]
    if form == "zip":
        data = fx.torch_zip(root, {})
    elif form == "legacy":
        data = fx.torch_legacy(root, {})
    elif form == "inside":
        items = {fx.text(name): fx.numpy_array(v) for name, v in WEIGHTS.items()}
        data = fx.program(fx.dict_of({fx.text("optimizer"): root, fx.text("model"): fx.dict_of(items)}), 4)
    if kind == "persistent id" and form in ("zip", "legacy"):
        words = "not a storage"
    run(data).refused("opcode", " at byte ", words)
    assert not canary.exists()


@pytest.mark.parametrize("kind", ["REDUCE", "STACK_GLOBAL", "eval", "INST", "OBJ", "nested"])
def test_the_hostile_pickles_are_real(tmp_path: Path, kind: str) -> None:
    """Executed by Python's own unpickler they do create the canary."""
    canary = tmp_path / "canary"
    (tmp_path / "p").write_bytes(hostile(canary)[kind][0])
    script = "import pickle, sys, time; pickle.load(open(sys.argv[1], 'rb')); time.sleep(0.3)"
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "p")], check=True, stderr=subprocess.DEVNULL)
    assert canary.exists()


@pytest.mark.parametrize("make", [fx.zip_checkpoint, fx.legacy_checkpoint, fx.pickle_checkpoint])
def test_truncated(run: Run, make: Callable[..., bytes]) -> None:
    data = make(WEIGHTS)
    for size in [*range(64), *range(64, len(data) - 64, 997), *range(len(data) - 64, len(data))]:
        run(data[:size]).refused()
    run(data + b"\0").refused() if make is not fx.zip_checkpoint else None


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
@pytest.mark.parametrize("make", [fx.zip_checkpoint, fx.legacy_checkpoint, fx.pickle_checkpoint])
def test_mutated(run: Run, make: Callable[..., bytes]) -> None:
    """Changed bytes are refused in one line, or make no difference to the form; they never end in a traceback."""
    data, rng = make(WEIGHTS), random.Random(5)
    refused = 0
    for _ in range(150):
        changed = bytearray(data)
        for _ in range(rng.choice((1, 1, 4))):
            changed[rng.randrange(len(data))] = rng.choice((0, 1, 0x28, 0x52, 0x62, 0x7F, 0xFF))
        result = run(bytes(changed))
        if result.status:
            result.refused()
            refused += 1
        result.path.unlink(missing_ok=True)
    assert refused > 10


MEMORY = 400 << 20  # address space; Python with numpy needs about a third of it


def one_tensor(*args: object, **options: object) -> bytes:
    return fx.dict_of({fx.text("a"): fx.torch_tensor("0", "f4", *args, **options)})  # type: ignore


# What would take far more memory than its file is large, and what the refusal says.
BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "legacy count": (lambda: fx.torch_legacy(one_tensor(1 << 40, (1 << 20, 1 << 20), legacy=True),
                                             {"0": (1 << 40, b"")}), "truncated: storage '0'"),
    "zip count": (lambda: fx.torch_zip(one_tensor(1 << 40, (1 << 40,)), {"0": b"1234"}), "storage '0' has 4 bytes"),
    "stride 0": (lambda: fx.torch_zip(one_tensor(1, (1 << 20, 1 << 20), (0, 0)), {"0": b"1234"}),
                 "tensors of 1099511627776 values"),
    "array": (lambda: fx.program(fx.numpy_array(np.zeros(2, "f4")).replace(
        fx.tuple_of(fx.number(2)), fx.tuple_of(fx.number(1 << 40)))), "1099511627776"),
    "compressed": (lambda: fx.torch_zip(fx.text("x" * (1 << 27)), {}, compression=zipfile.ZIP_DEFLATED),
                   "is compressed"),
    "copies of a string": (lambda: fx.program(fx.text("x" * (1 << 20)) + b"q\0" + b"".join(
        fx.call("_codecs", "encode", b"h\0", fx.text("latin1")) for _ in range(2000))), "over and over"),
    "copies of a dict": (lambda: fx.program(b"](" + fx.tuple_of(fx.number(1), b"N") * 100000 + b"eq\0" + b"".join(
        fx.call("collections", "OrderedDict", b"h\0") for _ in range(2000))), "over and over"),
    "opcodes": (lambda: fx.program(b"}" * 1000000), "more than 500000 opcodes"),
    "string": (lambda: fx.program(b"\x8d" + (1 << 40).to_bytes(8, "little") + b"abc"), "damaged pickle"),
    "depth": (lambda: fx.program(b"(" * 490000), "damaged pickle"),
    "nesting": (lambda: fx.program(b")" + b"\x85" * 490000), "not a dict"),
    "key": (lambda: fx.program(b"})" + b"\x85" * 490000 + b"Ns"), "as a key"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_memory_stays_bounded(tmp_path: Path, name: str) -> None:
    make, words = BOMBS[name]
    path = tmp_path / "w.pt"
    path.write_bytes(make())
    result = run_program(path, "-o", tmp_path / "out.bin", limit=(resource.RLIMIT_AS, MEMORY))
    assert result.returncode == 1 and words in result.stderr and result.stderr.count("\n") == 1, result.stderr
    assert not (tmp_path / "out.bin").exists()


@pytest.mark.parametrize("root,words", [
    (fx.torch_tensor("0", "f4", 4, (2, 3)), "reaches value 5 of a storage of 4"),
    (fx.torch_tensor("0", "f4", 4, (2,), offset=3), "reaches value 4 of a storage of 4"),
    (fx.torch_tensor("0", "f4", 4, (2,), (-1,)), "not a positive integer"),
    (fx.torch_tensor("0", "f4", 4, (2,), (1, 1)), "not a tensor of a storage"),
    (fx.torch_tensor("1", "f4", 4, (4,)), "storage '1' is not in the zip"),
    (fx.torch_tensor("../data.pkl", "f4", 4, (4,)), "is not in the zip"),
    (fx.torch_tensor("0", "f8", 4, (4,)), "storage '0' has 16 bytes, 4 values of type float64 need 32"),
])
def test_tensors_stay_inside_their_storage(run: Run, root: bytes, words: str) -> None:
    run(fx.torch_zip(fx.dict_of({fx.text("a"): root}), {"0": bytes(16)})).refused(words)


def test_damaged_storage(run: Run) -> None:
    """The zip's checksum tells."""
    data = bytearray(fx.zip_checkpoint(WEIGHTS))
    data[data.find(WEIGHTS["in_conv.0.weight"].tobytes())] ^= 1
    run(bytes(data)).refused("CRC")


def test_legacy_key_list(run: Run) -> None:
    values = np.zeros(4, "f4")
    root = fx.dict_of({fx.text("a"): fx.torch_tensor("0", "f4", 4, (4,), legacy=True)})
    storages = {"0": (4, values.tobytes()), "1": (4, values.tobytes())}
    for keys in ([], ["1"], ["0", "1"], ["0", "0"]):
        run(fx.torch_legacy(root, storages, keys)).refused("list of storages")
    run(fx.torch_legacy(root, {"0": (5, values.tobytes())})).refused("storage '0' has 5 values, its tensors need 4")


# The same from PyTorch itself

@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16", "float64"])
def test_saved_by_torch(run: Run, tmp_path: Path, zipped: bool, kind: str) -> None:
    torch = pytest.importorskip("torch")
    state = collections.OrderedDict((f"module.{name}", torch.from_numpy(v.copy()).to(getattr(torch, kind)))
                                    for name, v in WEIGHTS.items())
    name = "module.fusion_conv.0.weight"
    state[name] = state[name].permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    state["module.in_conv.0.bias"] = torch.nn.Parameter(state["module.in_conv.0.bias"])
    state["module.out_conv.0.bias"] = torch.arange(9, dtype=state[name].dtype)[3:8:3]
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([parameter])
    parameter.sum().backward()
    optimizer.step()
    torch.save({"epoch": 1, "optimizer": optimizer.state_dict(), "state_dict": state}, tmp_path / "t.pt",
               _use_new_zipfile_serialization=zipped)
    expected = {key[len("module."):]: v.detach().float().contiguous().numpy() for key, v in state.items()}
    assert_same_bits(run((tmp_path / "t.pt").read_bytes()).weights(), expected)


@pytest.mark.parametrize("ending", ["pkl", "pt", "legacy.pt"])
def test_shared_weights(run: Run, tmp_path: Path, ending: str) -> None:
    """The test weights that other implementations are checked with, where they are there."""
    shared = Path(os.environ.get("SBV_SHARED", TOP.parent / "shared")) / "golden"
    if not (shared / "make_weights.py").exists():
        pytest.skip(f"no {shared}/make_weights.py")
    if ending != "pkl":
        pytest.importorskip("torch")
    command = [sys.executable, "-B", shared / "make_weights.py", "1"]
    for name in ("w.npz", f"w.{ending}"):
        subprocess.run([*command, tmp_path / name, "layout_small.tsv"], check=True)
    with np.load(tmp_path / "w.npz") as expected:
        assert_same_bits(run((tmp_path / f"w.{ending}").read_bytes()).weights(), dict(expected))
