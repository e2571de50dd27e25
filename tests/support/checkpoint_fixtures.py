"""Checkpoints made by hand, opcode by opcode, for tests that must run where torch is missing.

An expression is the opcodes that leave one value on the pickle machine's stack.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import io
import struct
import zipfile
from typing import Mapping, Optional, Sequence

import numpy as np

WORDS = ("moduleOne", "moduleTwo", "moduleThr", "moduleFou", "moduleFiv", "moduleSix")
STORAGE_OF = {"f4": "FloatStorage", "f2": "HalfStorage", "f8": "DoubleStorage", "u2": "BFloat16Storage",
              "i8": "LongStorage"}
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def tiny_shapes() -> dict[str, tuple[int, ...]]:
    """The smallest network there is: 2 features, one block, 3 frames, scale 2, 2 pyramid levels, no kernel network."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(name: str, inputs: int, outputs: int) -> int:
        shapes[f"{name}.weight"] = (outputs, inputs, 3, 3)
        shapes[f"{name}.bias"] = (outputs,)
        return outputs

    conv("in_conv.0", 3, 2)
    conv("fusion_conv.0", 6, 2)
    conv("recons_net.0.conv1", 2, 2)
    conv("recons_net.0.conv2", 2, 2)
    conv("out_conv.0", 2, 2)
    conv("out_conv.1", 2, 3)
    conv("upsample_layers.0", 2, 8)
    flow, width = "flow_net.moduleNetwork.", 3
    for word in WORDS[:2]:
        for i in (0, 2, 4):
            width = conv(f"{flow}moduleExtractor.{word}.{i}", width, 2)
    features = 81
    for word in WORDS[:5]:
        features += conv(f"{flow}moduleTwo.{word}.0", features, 1)
    conv(f"{flow}moduleTwo.moduleSix.0", features, 2)
    for i in range(7):
        features = conv(f"{flow}moduleRefiner.moduleMain.{2 * i}", features, 2)
    return shapes


def tiny_weights(seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.RandomState(seed)
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in tiny_shapes().items()}


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value) if abs(value) < 1 << 31 else b"\x8a\x08" + struct.pack("<q", value)


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def byte_string(value: bytes) -> bytes:
    """A string of Python 2."""
    return b"T" + struct.pack("<i", len(value)) + value


def tuple_of(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def list_of(*items: bytes) -> bytes:
    return b"](" + b"".join(items) + b"e"


def dict_of(items: Mapping[bytes, bytes]) -> bytes:
    return b"}(" + b"".join(key + value for key, value in items.items()) + b"u"


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def call(module: str, name: str, *args: bytes) -> bytes:
    return named(module, name) + tuple_of(*args) + b"R"


def program(expression: bytes, protocol: int = 2) -> bytes:
    return b"\x80" + bytes([protocol]) + expression + b"."


def numpy_array(values: np.ndarray, core: str = "numpy.core", python2: bool = False, order: str = "<") -> bytes:
    """An array as numpy pickles it in protocol 2."""
    values = np.asarray(values).astype(values.dtype.newbyteorder(order))
    raw = values.tobytes()
    string = byte_string(b"b") if python2 else call("_codecs", "encode", text("b"), text("latin1"))
    data = byte_string(raw) if python2 else call("_codecs", "encode", text(raw.decode("latin-1")), text("latin1"))
    dtype = call("numpy", "dtype", text(values.dtype.str[1:]), b"\x89", b"\x88")
    dtype += tuple_of(number(3), text(order), b"N", b"N", b"N", number(-1), number(-1), number(0)) + b"b"
    shape = tuple_of(*map(number, values.shape))
    return (call(f"{core}.multiarray", "_reconstruct", named("numpy", "ndarray"), tuple_of(number(0)), string)
            + tuple_of(number(1), shape, dtype, b"\x89", data) + b"b")


def torch_tensor(key: str, dtype: str, count: int, shape: Sequence[int], stride: Optional[Sequence[int]] = None,
                 offset: int = 0, view: Optional[bytes] = None, legacy: bool = False) -> bytes:
    """A tensor as PyTorch pickles it; `count` is the size of its storage."""
    if stride is None:
        stride = [int(np.prod(shape[i + 1:])) for i in range(len(shape))]
    place = [text("storage"), named("torch", STORAGE_OF[dtype]), text(key), text("cpu"), number(count)]
    if legacy:
        place.append(view or b"N")
    args = [tuple_of(*place) + b"Q", number(offset), tuple_of(*map(number, shape)), tuple_of(*map(number, stride))]
    return call("torch._utils", "_rebuild_tensor_v2", *args, b"\x89", call("collections", "OrderedDict"))


def plain_tensors(weights: Mapping[str, np.ndarray], dtype: str = "f4", legacy: bool = False) -> dict[bytes, bytes]:
    """The items of a state dict, tensor i in storage i."""
    return {text(name): torch_tensor(str(i), dtype, v.size, v.shape, legacy=legacy)
            for i, (name, v) in enumerate(weights.items())}


def storage_bytes(values: np.ndarray, dtype: str = "f4", order: str = "<") -> bytes:
    if dtype == "u2":  # bfloat16, cut off
        return (np.ascontiguousarray(values, "<f4").view("<u4") >> 16).astype(order + "u2").tobytes()
    return np.ascontiguousarray(values).astype(order + dtype).tobytes()


def torch_zip(root: bytes, storages: Mapping[str, bytes], byteorder: Optional[bytes] = None,
              compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("w/data.pkl", program(root))
        if byteorder is not None:
            archive.writestr("w/byteorder", byteorder)
        for key, raw in storages.items():
            archive.writestr(f"w/data/{key}", raw)
        archive.writestr("w/version", b"3\n")
    return file.getvalue()


def torch_legacy(root: bytes, storages: Mapping[str, tuple[int, bytes]], keys: Optional[Sequence[str]] = None) -> bytes:
    """storages: key -> number of values and their bytes."""
    keys = list(storages) if keys is None else keys
    head = program(b"\x8a\x0a" + LEGACY_MAGIC.to_bytes(10, "little")) + program(number(1001))
    head += program(dict_of({text("protocol_version"): number(1001), text("little_endian"): b"\x88"}))
    head += program(root) + program(list_of(*map(text, keys)))
    return head + b"".join(struct.pack("<q", storages[key][0]) + storages[key][1] for key in keys)


def zip_checkpoint(weights: Mapping[str, np.ndarray], dtype: str = "f4", order: str = "<",
                   byteorder: Optional[bytes] = None) -> bytes:
    storages = {str(i): storage_bytes(v, dtype, order) for i, v in enumerate(weights.values())}
    return torch_zip(dict_of(plain_tensors(weights, dtype)), storages, byteorder)


def legacy_checkpoint(weights: Mapping[str, np.ndarray], dtype: str = "f4") -> bytes:
    """The key list, and so the storages, in an order of their own, as PyTorch sorted them."""
    storages = {str(i): (v.size, storage_bytes(v, dtype)) for i, v in enumerate(weights.values())}
    return torch_legacy(dict_of(plain_tensors(weights, dtype, legacy=True)), storages, sorted(storages, reverse=True))


def pickle_checkpoint(weights: Mapping[str, np.ndarray], **options: object) -> bytes:
    return program(dict_of({text(name): numpy_array(v, **options) for name, v in weights.items()}))  # type: ignore
