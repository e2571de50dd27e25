"""Model files: reading and writing x.bin.

A model file is a safetensors file: the length of the header (8 bytes, little-endian), the header (a JSON object of
tensor name -> dtype, shape and place, and "__metadata__", an object of strings), then the tensors' values, row by row,
little-endian, as F32, F16 or BF16. Both functions here keep to the stricter rules of this project, the same as the C
reader's (weights.c): the tensors cover the file exactly, and every weight is a finite number.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import json
import os
import stat
from typing import Any, BinaryIO, Mapping, Union

import numpy as np

HEADER_LIMIT = 1 << 20  # bytes
TENSOR_LIMIT = 4096
RANK_LIMIT = 4
TEXT_LIMIT = 160           # characters of anything from the file that a message quotes
METADATA_KEY = "__metadata__"
SAMPLE_BYTES = {"F32": 4, "F16": 2, "BF16": 2}

Path = Union[str, "os.PathLike[str]"]


class ModelFileError(ValueError):
    """A malformed model file, or tensors that cannot be written as one. The message is one line."""


def _quote(value: Any) -> str:
    """What a file says, as text of bounded length that a line can hold."""
    text = repr(value)
    return text if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT] + "..."


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object as a dict; a key that comes twice would hide one of the two values."""
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ModelFileError(f"header: key {_quote(key)} comes twice")
        result[key] = value
    return result


def _refuse_constant(text: str) -> None:
    raise ModelFileError(f"header: {text} is not JSON")


def _parse_header(raw: bytes) -> dict[str, Any]:
    if not raw.startswith(b"{"):
        raise ModelFileError("not a safetensors file: the header does not start with '{'")
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except ModelFileError:
        raise
    except UnicodeDecodeError as error:
        raise ModelFileError(f"header: not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise ModelFileError("header: nested too deeply") from None
    except ValueError as error:
        raise ModelFileError(f"header: not JSON: {error}") from None
    return header


def _parse_metadata(header: dict[str, Any]) -> dict[str, str]:
    metadata = header.pop(METADATA_KEY, {})
    if not isinstance(metadata, dict):
        raise ModelFileError(f"header: {METADATA_KEY} is not an object")
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise ModelFileError(f"header: {METADATA_KEY}: the value of {_quote(key)} is not a string")
    return metadata


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _parse_entry(name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    """The dtype, shape, and first byte and the byte after the last of a tensor."""
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= set(entry):
        raise ModelFileError(f"tensor {_quote(name)}: expected an object of dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in SAMPLE_BYTES:
        raise ModelFileError(f"tensor {_quote(name)}: dtype {_quote(dtype)} is not one of {', '.join(SAMPLE_BYTES)}")
    if not isinstance(shape, list) or not all(_is_size(n) and n for n in shape):
        raise ModelFileError(f"tensor {_quote(name)}: shape {_quote(shape)} is not a list of positive integers")
    if not 1 <= len(shape) <= RANK_LIMIT:
        raise ModelFileError(f"tensor {_quote(name)}: {len(shape)} dimensions, expected 1 to {RANK_LIMIT}")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_size(n) for n in offsets):
        raise ModelFileError(f"tensor {_quote(name)}: data_offsets {_quote(offsets)} is not a pair of byte counts")
    begin, end = offsets
    size = SAMPLE_BYTES[dtype]
    for n in shape:
        size *= n
    if end - begin != size:
        raise ModelFileError(f"tensor {_quote(name)}: its shape needs {size} bytes, data_offsets hold {end - begin}")
    return dtype, tuple(shape), begin, end


def _check_cover(places: list[tuple[int, int, str]], size: int) -> None:
    """Every byte of the data must belong to one tensor exactly."""
    position = 0
    for begin, end, name in sorted(places):
        if begin < position:
            raise ModelFileError(f"tensor {_quote(name)}: starts at byte {begin}, inside the tensor that ends at "
                                 f"{position}")
        if begin > position:
            raise ModelFileError(f"tensor {_quote(name)}: a gap of {begin - position} bytes before it")
        if end > size:
            raise ModelFileError(f"truncated: tensor {_quote(name)} ends at byte {end} of the data, the file has "
                                 f"{size}")
        position = end
    if position != size:
        raise ModelFileError(f"{size - position} bytes after the last tensor")


def _decode(raw: bytes, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    if dtype == "BF16":
        values = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        values = np.frombuffer(raw, "<f4" if dtype == "F32" else "<f2").astype(np.float32)
    return values.reshape(shape)


def _check_finite(name: str, values: np.ndarray) -> None:
    bad = values.size - np.count_nonzero(np.isfinite(values))
    if bad:
        raise ModelFileError(f"tensor {_quote(name)}: {bad} of {values.size} values are NaN or infinite")


def _read(file: BinaryIO) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError("not a regular file")
    if status.st_size < 8:
        raise ModelFileError(f"not a safetensors file: {status.st_size} bytes long")
    length = int.from_bytes(file.read(8), "little")
    if length > HEADER_LIMIT:
        raise ModelFileError(f"not a safetensors file: header of {length} bytes, the limit is {HEADER_LIMIT}")
    if length > status.st_size - 8:
        raise ModelFileError(f"truncated: header of {length} bytes, the file has {status.st_size - 8} after its length")
    header = _parse_header(file.read(length))
    metadata = _parse_metadata(header)
    if not 1 <= len(header) <= TENSOR_LIMIT:
        raise ModelFileError(f"{len(header)} tensors, expected 1 to {TENSOR_LIMIT}")
    entries = {name: _parse_entry(name, entry) for name, entry in header.items()}
    _check_cover([(begin, end, name) for name, (_, _, begin, end) in entries.items()], status.st_size - 8 - length)
    tensors = {}
    for name, (dtype, shape, begin, end) in entries.items():
        file.seek(8 + length + begin)
        raw = file.read(end - begin)
        if len(raw) != end - begin:
            raise ModelFileError(f"tensor {_quote(name)}: the file shrank while it was read")
        tensors[name] = _decode(raw, dtype, shape)
        _check_finite(name, tensors[name])
    return tensors, metadata


def open_unblocked(path: str, flags: int) -> int:
    """An opener for open(): a FIFO does not make it wait for a writer."""
    return os.open(path, flags | os.O_NONBLOCK)


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors of a model file, as float32 in the header's order, and its metadata.

    Raises ModelFileError where the file is malformed and OSError where it cannot be read.
    """
    with open(path, "rb", opener=open_unblocked) as file:
        try:
            return _read(file)
        except ModelFileError as error:
            raise ModelFileError(f"{os.fspath(path)}: {error}") from None


def _encode(name: str, values: np.ndarray, dtype: str) -> np.ndarray:
    """The values as they stand in the file, rounded to nearest even; refuses what the dtype cannot hold."""
    values = np.asarray(values)
    if values.dtype.kind != "f":
        raise ModelFileError(f"tensor {_quote(name)}: values of type {values.dtype}, expected floating point")
    if not 1 <= values.ndim <= RANK_LIMIT or not values.size:
        raise ModelFileError(f"tensor {_quote(name)}: shape {list(values.shape)}, expected 1 to {RANK_LIMIT} sizes, "
                             "none 0")
    _check_finite(name, values)
    with np.errstate(over="ignore"):
        result = values.astype("<f2" if dtype == "F16" else "<f4", order="C")
    finite = np.isfinite(result)
    if dtype == "BF16":
        bits = result.view(np.uint32)
        bits = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
        result = bits.astype("<u2")
        finite &= (result & 0x7F80) != 0x7F80
    if not finite.all():
        raise ModelFileError(f"tensor {_quote(name)}: values up to {np.abs(values).max():g} do not fit into {dtype}")
    return result


def _header(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str], dtype: str) -> bytes:
    header: dict[str, Any] = {METADATA_KEY: dict(metadata)}
    position = 0
    for name, values in tensors.items():
        size = int(np.asarray(values).size) * SAMPLE_BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(np.shape(values)), "data_offsets": [position, position + size]}
        position += size
    try:
        raw = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    except UnicodeEncodeError as error:
        bad = error.object[error.start:error.end]
        raise ModelFileError(f"a name or metadata string is not UTF-8: {bad!a}") from None
    raw += b" " * (-len(raw) % 8)
    if len(raw) > HEADER_LIMIT:
        raise ModelFileError(f"header of {len(raw)} bytes, the limit is {HEADER_LIMIT}")
    return raw


def _check_arguments(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str], dtype: str) -> None:
    if dtype not in SAMPLE_BYTES:
        raise ModelFileError(f"dtype {_quote(dtype)} is not one of {', '.join(SAMPLE_BYTES)}")
    if not 1 <= len(tensors) <= TENSOR_LIMIT:
        raise ModelFileError(f"{len(tensors)} tensors, expected 1 to {TENSOR_LIMIT}")
    if METADATA_KEY in tensors:
        raise ModelFileError(f"a tensor cannot be named {METADATA_KEY}")
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ModelFileError(f"metadata {_quote(key)}: {_quote(value)} is not a string")


def write(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str], dtype: str = "F32") -> None:
    """Writes a model file: the tensors in the given order, all as dtype ("F32", "F16" or "BF16").

    The file appears complete or not at all. Raises ModelFileError where the tensors cannot be written (values that are
    not finite or do not fit into dtype) and OSError where the file cannot be.
    """
    _check_arguments(tensors, metadata, dtype)
    header = _header(tensors, metadata, dtype)
    path = os.path.realpath(path)
    if os.path.exists(path) and not os.path.isfile(path):
        raise ModelFileError(f"{path}: exists and is not a regular file")
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        file = open(temporary, "xb")
    except OSError as error:
        error.filename = path
        raise
    try:
        with file:
            file.write(len(header).to_bytes(8, "little"))
            file.write(header)
            for name, values in tensors.items():
                file.write(_encode(name, values, dtype).tobytes())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
