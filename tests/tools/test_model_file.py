"""model/tools/lib/model_file.py: model files are written as safetensors, and every malformed one is refused with its reason.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest


from lib import model_file  # noqa: E402

TENSORS = {"b.weight": np.arange(6, dtype=np.float32).reshape(2, 3) / 7, "a": np.array([-1.5], np.float32)}


def file_of(header: bytes, data: bytes = b"", length: Optional[int] = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


def header_of(**entries: Any) -> bytes:
    return json.dumps(entries).encode()


def tensor(shape: Any = (2,), begin: Any = 0, end: Any = 8, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "w.bin"


def test_layout(path: Path) -> None:
    """Byte for byte what the format's description says."""
    model_file.write(path, TENSORS, {"name": "n\u00e9"})
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    assert length % 8 == 0
    assert json.loads(data[8:8 + length]) == {
        "__metadata__": {"name": "n\u00e9"}, "b.weight": tensor([2, 3], 0, 24), "a": tensor([1], 24, 28)}
    assert data[8 + length:] == b"".join(v.astype("<f4").tobytes() for v in TENSORS.values())


@pytest.mark.parametrize("dtype", model_file.SAMPLE_BYTES)
def test_round_trip(path: Path, dtype: str) -> None:
    model_file.write(path, TENSORS, {"phase": "center", "quote": 'a"\\\n'}, dtype)
    found, metadata = model_file.read(path)
    assert metadata == {"phase": "center", "quote": 'a"\\\n'} and list(found) == list(TENSORS)
    for name, values in TENSORS.items():
        assert found[name].dtype == np.float32 and found[name].shape == values.shape and found[name].flags.writeable
        np.testing.assert_allclose(found[name], values, rtol={"F32": 0, "F16": 2.0 ** -11, "BF16": 2.0 ** -8}[dtype])


def test_bfloat16_rounds_to_nearest_even(path: Path) -> None:
    values = np.array([1 + 2.0 ** -8, 1 + 3 * 2.0 ** -8, 1 + 2.0 ** -8 + 2.0 ** -20, -3.38e38], np.float32)
    model_file.write(path, {"a": values}, {}, "BF16")
    found = model_file.read(path)[0]["a"]
    assert list(found[:3]) == [1, 1 + 2.0 ** -6, 1 + 2.0 ** -7] and np.isfinite(found[3])


@pytest.mark.parametrize("dtype,value", [("F32", np.nan), ("F32", np.inf), ("F32", 1e39), ("F16", 65520.0),
                                         ("BF16", 3.4e38 * 0.9999 + 1e36)])
def test_values_that_do_not_fit(path: Path, dtype: str, value: float) -> None:
    with pytest.raises(model_file.ModelFileError, match="tensor 'a'"):
        model_file.write(path, {"a": np.array([1, value], np.float64)}, {}, dtype)
    assert not list(path.parent.iterdir())


@pytest.mark.parametrize("tensors,metadata,words", [
    ({}, {}, "0 tensors"), ({str(i): np.zeros(1) for i in range(4097)}, {}, "4097 tensors, expected 1 to 4096"),
    ({"a": np.zeros(2, int)}, {}, "int64"), ({"a": np.zeros(())}, {}, "shape []"),
    ({"a": np.zeros((2, 0))}, {}, "[2, 0]"),
    ({"a": np.zeros((1,) * 5)}, {}, "1 to 4 sizes"), ({"__metadata__": np.zeros(1)}, {}, "cannot be named"),
    ({"a": np.zeros(1)}, {"key": 3}, "not a string"), ({"a": np.zeros(1)}, {"key": "\udcff"}, "not UTF-8"),
    ({"a": np.zeros(1)}, {"key": "x" * (1 << 20)}, "the limit is 1048576"),
])
def test_refuses_to_write(path: Path, tensors: Any, metadata: Any, words: str) -> None:
    with pytest.raises(model_file.ModelFileError) as error:
        model_file.write(path, tensors, metadata)
    assert words in str(error.value) and not list(path.parent.iterdir())


MALFORMED = [
    (b"", "0 bytes long"), (b"\2\0\0\0\0\0\0", "7 bytes long"),
    (file_of(b"{}", length=(1 << 20) + 1), "header of 1048577 bytes, the limit is 1048576"),
    (file_of(b"{}", length=(1 << 64) - 1), "the limit is 1048576"),
    (file_of(b"{}", length=3), "truncated: header of 3"),
    (file_of(b""), "does not start with '{'"), (file_of(b" {}"), "does not start with '{'"),
    (file_of(b"{"), "not JSON"), (file_of(b"{}\0"), "not JSON"), (file_of(b"{}}"), "not JSON"),
    (file_of(b'{"a\xff": 1}'), "not UTF-8"), (file_of(b'{"a":' + b"[" * 100000 + b"}"), "nested too deeply"),
    (file_of(b'{"a": NaN}'), "NaN is not JSON"), (file_of(b'{"a": ' + b"9" * 5000 + b"}"), "not JSON"),
    (file_of(b"{}"), "0 tensors"), (file_of(b'{"a": 1, "a": 1}'), "key 'a' comes twice"),
    (file_of(b'{"a": {"dtype": "F32", "dtype": "F32"}}'), "key 'dtype' comes twice"),
    (file_of(b'{"__metadata__": 1}'), "not an object"), (file_of(b'{"__metadata__": {"a": 1}}'), "not a string"),
    (file_of(json.dumps({str(i): tensor() for i in range(4097)}).encode()), "4097 tensors, expected 1 to 4096"),
    (file_of(header_of(a=3)), "expected an object"), (file_of(header_of(a={"dtype": "F32"})), "expected an object"),
    (file_of(header_of(a=tensor(dtype="F64"))), "dtype 'F64' is not one of F32, F16, BF16"),
    (file_of(header_of(a=tensor(dtype=[]))), "is not one of"),
    (file_of(header_of(a=tensor(3))), "not a list of positive"), (file_of(header_of(a=tensor([-2]))), "not a list of"),
    (file_of(header_of(a=tensor([0], 0, 0))), "not a list of"), (file_of(header_of(a=tensor([2.0]))), "not a list of"),
    (file_of(header_of(a=tensor([True, 2]))), "not a list of"), (file_of(header_of(a=tensor([]))), "0 dimensions"),
    (file_of(header_of(a=tensor([1, 1, 1, 1, 2]))), "5 dimensions"),
    (file_of(header_of(a=tensor([1 << 62, 4]))), f"needs {1 << 66} bytes, data_offsets hold 8"),
    (file_of(header_of(a=tensor(begin=-8, end=0))), "not a pair"),
    (file_of(header_of(a=tensor(begin="0"))), "not a pair"),
    (file_of(header_of(a=tensor(begin=8, end=0))), "hold -8"),
    (file_of(header_of(a=tensor(end=4)), bytes(4)), "hold 4"),
    (file_of(header_of(a=tensor(), b=tensor(begin=4, end=12)), bytes(12)), "starts at byte 4, inside"),
    (file_of(header_of(a=tensor(), b=tensor()), bytes(8)), "starts at byte 0, inside"),
    (file_of(header_of(a=tensor(begin=4, end=12)), bytes(12)), "a gap of 4 bytes before it"),
    (file_of(header_of(a=tensor()), bytes(7)), "truncated: tensor 'a'"),
    (file_of(header_of(a=tensor()), bytes(9)), "1 bytes after the last tensor"),
    (file_of(header_of(a=tensor()), np.array([1, np.nan], "<f4").tobytes()), "1 of 2 values are NaN or infinite"),
    (file_of(header_of(a=tensor(end=4, dtype="F16")), b"\0\x7c\0\0"), "1 of 2 values"),
    (file_of(header_of(a=tensor(end=4, dtype="BF16")), b"\x80\x7f\x80\xff"), "2 of 2 values"),
]


@pytest.mark.parametrize("data,words", MALFORMED, ids=[str(i) for i in range(len(MALFORMED))])
def test_malformed(path: Path, data: bytes, words: str) -> None:
    path.write_bytes(data)
    with pytest.raises(model_file.ModelFileError) as error:
        model_file.read(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ") and words in message and "\n" not in message


@pytest.mark.parametrize("header", [
    b'{"' + b"a" * 100000 + b'": 1}',
    header_of(a=tensor([0] * 100000)),
    header_of(a=tensor(dtype="x" * 100000)),
    header_of(a=dict(tensor(), data_offsets=[0] * 100000)),
], ids=["name", "shape", "dtype", "offsets"])
def test_messages_stay_short(path: Path, header: bytes) -> None:
    path.write_bytes(file_of(header))
    with pytest.raises(model_file.ModelFileError) as error:
        model_file.read(path)
    assert len(str(error.value)) < len(str(path)) + 1000


def test_a_long_header_takes_no_long_time(path: Path) -> None:
    """As many keys as there is room for, and the last comes twice."""
    keys = [f'"{i}":1' for i in range(100000)]
    path.write_bytes(file_of(("{" + ",".join(keys + keys[-1:]) + "}").encode()))
    start = time.process_time()
    with pytest.raises(model_file.ModelFileError, match="key '99999' comes twice"):
        model_file.read(path)
    assert time.process_time() - start < 10


def test_truncated_at_every_byte(path: Path) -> None:
    model_file.write(path, TENSORS, {"name": "n"})
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(model_file.ModelFileError):
            model_file.read(path)


def test_mutated(path: Path) -> None:
    """Changed bytes are refused, or change values; nothing else may happen."""
    model_file.write(path, TENSORS, {"name": "n"})
    data, rng = path.read_bytes(), random.Random(3)
    for _ in range(2000):
        changed = bytearray(data)
        for _ in range(rng.choice((1, 1, 3))):
            changed[rng.randrange(len(data))] = rng.choice(b'\0\xff"{}[],:0189aF\\')
        path.write_bytes(changed)
        try:
            found, _ = model_file.read(path)
        except model_file.ModelFileError as error:
            assert "\n" not in str(error)
        else:
            assert sum(v.size for v in found.values()) == 7


def test_other_things_than_files(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        model_file.read(tmp_path / "none.bin")
    with pytest.raises(OSError):
        model_file.read(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    for path in ("/dev/null", tmp_path / "fifo"):
        with pytest.raises(model_file.ModelFileError, match="not a regular file"):
            model_file.read(path)
