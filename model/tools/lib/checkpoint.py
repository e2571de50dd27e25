"""Checkpoints: the files in which weights come before they are a model file.

Three forms are told apart by their content: PyTorch's zip archive (since 1.6), the concatenated pickles and raw
storages that PyTorch wrote before, and a pickled dict of numpy arrays or Jittor variables. A safetensors file is taken
as well. Neither torch nor jittor is needed, and no pickle is executed (unpickle.py).

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
import zipfile
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Callable

from lib import model_file
from lib.unpickle import STORAGES, CheckpointError, Dtype, Global, Storage, Tensor, contiguous, load, quote, sizes

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
JITTOR_MAGIC = b"HCAJSLHD"  # behind the pickle's SHA-1, at the end of the file
SHA1_BYTES = 20

# Where training scripts put the weights inside a larger checkpoint, and what wrappers put before the names.
NESTED = ("state_dict", "model_state_dict", "model", "params_ema", "params", "net", "network")
PREFIXES = ("module.", "model.", "net.")


@dataclass
class Checkpoint:
    """What a file holds. The values of its tensors are read from the file when they are asked for."""
    form: str
    tensors: dict[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict)


def _read_at(file: BinaryIO, position: int, size: int) -> bytes:
    file.seek(position)
    data = file.read(size)
    if len(data) != size:
        raise CheckpointError(f"truncated: {size} bytes of values at byte {position}, {len(data)} left")
    return data


def _storage_id(value: Any) -> tuple[Dtype, str, int, Any]:
    """A persistent id of PyTorch: ("storage", class, key, device, count), in the legacy form with a view at its end."""
    if not isinstance(value, tuple) or len(value) not in (5, 6) or value[0] != "storage":
        raise CheckpointError("a persistent id that is not a storage")
    _, kind, key, _, count, *view = value
    if not isinstance(kind, Global) or kind.module != "torch" or kind.name not in STORAGES:
        raise CheckpointError(f"a storage of class {kind if isinstance(kind, Global) else quote(kind)}")
    if not isinstance(key, str):
        raise CheckpointError(f"a storage with the key {quote(key)}")
    return STORAGES[kind.name], key, sizes([count])[0], view[0] if view else None


def _flat(storage: Storage) -> Tensor:
    return Tensor(storage, 0, (storage.count,), (1,))


class _Archive:
    """The entries of a zip file, stored without compression as PyTorch does it."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.zip = self.guarded(lambda: zipfile.ZipFile(file))
        self.entries: dict[str, zipfile.ZipInfo] = {}
        for info in self.zip.infolist():
            if info.filename in self.entries:
                raise CheckpointError(f"zip: entry {quote(info.filename)} comes twice")
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise CheckpointError(f"zip: entry {quote(info.filename)} is compressed, PyTorch's are not")
            self.entries[info.filename] = info
        total = sum(info.file_size for info in self.entries.values())
        if total > size:
            raise CheckpointError(f"zip: entries of {total} bytes in a file of {size}")

    @staticmethod
    def guarded(action: Callable[[], Any]) -> Any:
        """zipfile raises whatever its parsing runs into."""
        try:
            return action()
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError, struct.error) as error:
            raise CheckpointError(f"damaged or truncated zip: {error}") from None

    def read(self, name: str) -> bytes:
        return self.guarded(lambda: self.zip.read(self.entries[name]))


def _read_zip(file: BinaryIO, size: int) -> Any:
    archive = _Archive(file, size)
    pickles = [name for name in archive.entries if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise CheckpointError(f"zip with {len(pickles)} entries named */data.pkl, a PyTorch checkpoint has one")
    folder = pickles[0][:-len("data.pkl")]
    order = archive.read(folder + "byteorder") if folder + "byteorder" in archive.entries else b"little"
    if order not in (b"little", b"big"):
        raise CheckpointError(f"byteorder {quote(order)}")

    def persistent(value: Any) -> Tensor:
        dtype, key, count, view = _storage_id(value)
        name = f"{folder}data/{key}"
        if view is not None or name not in archive.entries:
            raise CheckpointError(f"storage {quote(key)} is not in the zip")
        if archive.entries[name].file_size != count * dtype.size:
            raise CheckpointError(f"storage {quote(key)} has {archive.entries[name].file_size} bytes, "
                                  f"{count} values of type {dtype} need {count * dtype.size}")
        dtype = Dtype(dtype.kind, dtype.size, ">" if order == b"big" else "<")
        return _flat(Storage(dtype, count, lambda: archive.read(name)))

    data = io.BytesIO(archive.read(pickles[0]))
    root = load(data, persistent)
    if data.read(1):
        raise CheckpointError(f"{pickles[0]}: bytes behind the end of the pickle")
    return root


class _LegacyStorages:
    """The storages of a legacy checkpoint: the pickle names them, their values follow in the order of a key list."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.storages: dict[str, Storage] = {}
        self.places: dict[str, int] = {}

    def persistent(self, value: Any) -> Tensor:
        dtype, key, count, view = _storage_id(value)

        def read() -> bytes:
            return _read_at(self.file, self.places[key], count * dtype.size)

        known = self.storages.setdefault(key, Storage(dtype, count, read))
        if (known.dtype, known.count) != (dtype, count):
            raise CheckpointError(f"storage {quote(key)} is described in two ways")
        if view is None:
            return _flat(known)
        if not isinstance(view, tuple) or len(view) != 3 or sum(sizes(view[1:])) > count:
            raise CheckpointError(f"a view that is not inside its storage {quote(key)}")
        return Tensor(known, view[1], (view[2],), (1,))

    def locate(self, keys: Any, file_size: int) -> None:
        """Finds the places of the storages, from the file's position on: 8 bytes of count, then the values, each."""
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise CheckpointError("no list of storages behind the pickle")
        if len(keys) != len(self.storages) or set(keys) != set(self.storages):
            raise CheckpointError("the list of storages is not the one that the tensors use")
        for key in keys:
            storage = self.storages[key]
            count = int.from_bytes(_read_at(self.file, self.file.tell(), 8), "little")
            if count != storage.count:
                raise CheckpointError(f"storage {quote(key)} has {count} values, its tensors need {storage.count}")
            self.places[key] = self.file.tell()
            end = self.places[key] + count * storage.dtype.size
            if end > file_size:
                raise CheckpointError(f"truncated: storage {quote(key)} ends at byte {end}, the file at {file_size}")
            self.file.seek(end)
        if self.file.tell() != file_size:
            raise CheckpointError(f"{file_size - self.file.tell()} bytes behind the last storage")


def _read_legacy(file: BinaryIO, size: int) -> Any:
    protocol = load(file)
    if protocol != LEGACY_PROTOCOL:
        raise CheckpointError(f"legacy PyTorch checkpoint of protocol {quote(protocol)}, known is {LEGACY_PROTOCOL}")
    load(file)  # sizes of C types on the writer's machine; the storages are little-endian whatever that was
    storages = _LegacyStorages(file)
    root = load(file, storages.persistent)
    storages.locate(load(file), size)
    return root


def _check_pickle_end(file: BinaryIO, size: int) -> None:
    """A pickle ends where the file does, or Jittor's checksum follows."""
    end = file.tell()
    if end == size:
        return
    tail = _read_at(file, end, min(size - end, SHA1_BYTES + len(JITTOR_MAGIC) + 1))
    if len(tail) != SHA1_BYTES + len(JITTOR_MAGIC) or not tail.endswith(JITTOR_MAGIC):
        raise CheckpointError(f"{size - end} bytes behind the end of the pickle at byte {end}")
    if hashlib.sha1(_read_at(file, 0, end)).digest() != tail[:SHA1_BYTES]:
        raise CheckpointError("damaged: Jittor's checksum does not match")


def _find_weights(root: Any) -> dict[Any, Any]:
    """The dict of tensors, which may be inside a checkpoint with the state of a training."""
    for _ in range(4):
        if not isinstance(root, dict):
            raise CheckpointError(f"holds {quote(root)}, not a dict of tensors")
        if any(isinstance(value, Tensor) and value.shape for value in root.values()):
            return root
        nested = [key for key in NESTED if isinstance(root.get(key), dict)]
        if not nested:
            break
        root = root[nested[0]]
    raise CheckpointError(f"holds no dict of tensors, only {', '.join(map(quote, list(root)[:5])) or 'nothing'}")


def _name_tensors(weights: dict[Any, Any]) -> dict[str, Tensor]:
    """Tensors under their names in the network, without the prefix of a wrapper."""
    for name, value in weights.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(f"entry {quote(name)} is {quote(value)}, not a tensor")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in weights):
            weights = {name[len(prefix):]: value for name, value in weights.items()}
    return weights


def _read_safetensors(file: BinaryIO) -> Checkpoint:
    arrays, metadata = model_file.read(file.name)
    tensors = {}
    for name, values in arrays.items():
        storage = Storage(Dtype("f", 4), values.size, values.astype("<f4").tobytes)
        tensors[name] = Tensor(storage, 0, values.shape, contiguous(values.shape))
    return Checkpoint("safetensors", tensors, metadata)


def read(file: BinaryIO) -> Checkpoint:
    """The tensors of a checkpoint; the file must stay open as long as their values are wanted.

    Raises CheckpointError or model_file.ModelFileError where the file is malformed, OSError where it cannot be read.
    """
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError("not a regular file")
    size = status.st_size
    start = _read_at(file, 0, min(9, size))
    file.seek(0)
    if start[4:] == b"\0\0\0\0{":
        return _read_safetensors(file)
    if start.startswith(b"PK"):
        form, root = "PyTorch, zip", _read_zip(file, size)
    elif start.startswith(b"\x80"):
        form, root = "pickle", load(file)
        if root == LEGACY_MAGIC:
            form, root = "PyTorch, legacy", _read_legacy(file, size)
        else:
            _check_pickle_end(file, size)
    else:
        raise CheckpointError(f"not a checkpoint: it starts with {quote(start)}; known are PyTorch's .pt, a .pkl of "
                              "protocol 2 or later, and safetensors")
    tensors = _name_tensors(_find_weights(root))
    count = sum(tensor.count for tensor in tensors.values())
    if count > size:
        raise CheckpointError(f"tensors of {count} values in a file of {size} bytes")
    return Checkpoint(form, tensors)
