"""Reading pickles of tensors without executing them.

A pickle is a program for a stack machine that may call any function of any module. This reader decodes it with the
standard library's pickletools, which executes nothing, and interprets the opcodes itself. It knows the few that build
numbers, strings, lists, tuples and dicts, and by name the few functions that a dict of tensors needs; nothing is ever
imported or looked up. Everything else is refused with its name and its place in the file.

Tensors come out as Tensor: where their values lie. No values are copied before Tensor.values() is called.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import math
import os
import pickletools
import re
import struct
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, Callable, Optional, cast

import numpy as np

OPCODE_LIMIT = 500_000    # the published network's checkpoint needs about 15,000
CALL_LIMIT = 1 << 16      # bytes that calls may take besides what the pickle holds
TEXT_LIMIT = 80           # of anything from the file that a message quotes


class CheckpointError(ValueError):
    """A file that is no checkpoint of tensors, or a damaged one. The message is one line."""


def quote(value: Any) -> str:
    """What a file says, as printable text of bounded length."""
    if isinstance(value, (str, bytes)):
        return ascii(value[:TEXT_LIMIT]) + ("..." if len(value) > TEXT_LIMIT else "")
    if value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) < 1 << 64):
        return str(value)
    return f"a {type(value).__name__}"


@dataclass(frozen=True)
class Global:
    """A class or function that a pickle names. Only a name."""
    module: str
    name: str

    def __str__(self) -> str:
        text = f"{self.module}.{self.name}"
        return text if text.isprintable() and text.isascii() and len(text) <= TEXT_LIMIT else quote(text)


@dataclass
class Dtype:
    """kind: f(loat), b(rain float), i(nteger), u(nsigned) or ? (bool); size: bytes; order: "<" or ">"."""
    kind: str
    size: int
    order: str = "<"

    @property
    def is_float(self) -> bool:
        return self.kind in "fb"

    def __str__(self) -> str:
        names = {"f": "float", "b": "bfloat", "i": "int", "u": "uint", "?": "bool"}
        return f"{names[self.kind]}{8 * self.size}"


@dataclass(frozen=True)
class Storage:
    """A run of `count` values; read() gives their bytes, exactly as many as there should be, or raises."""
    dtype: Dtype
    count: int
    read: Callable[[], bytes]


@dataclass
class Tensor:
    """Values of a storage, from `offset` on with `stride`, both in values. A numpy array is empty until its BUILD."""
    storage: Optional[Storage] = None
    offset: int = 0
    shape: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    def values(self) -> np.ndarray:
        """The values as float32, contiguous."""
        storage = self.storage
        if storage is None:
            raise CheckpointError("has no values")
        if not storage.dtype.is_float:
            raise CheckpointError(f"has values of type {storage.dtype}, expected floating point")
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.stride))
        if self.count and last >= storage.count:
            raise CheckpointError(f"reaches value {last} of a storage of {storage.count}")
        size = storage.dtype.size
        code = "u2" if storage.dtype.kind == "b" else f"f{size}"
        view = np.ndarray(self.shape, storage.dtype.order + code, storage.read(), self.offset * size,
                          tuple(step * size for step in self.stride))
        if storage.dtype.kind == "b":
            return (view.astype(np.uint32, order="C") << np.uint32(16)).view(np.float32)
        with np.errstate(over="ignore"):
            return view.astype(np.float32, order="C")


def sizes(values: Any) -> tuple[int, ...]:
    """A shape, stride or the like; at most 8 numbers, none negative."""
    if not isinstance(values, (tuple, list)) or len(values) > 8:
        raise CheckpointError("not a list of at most 8 sizes")
    if not all(type(n) is int and 0 <= n < 1 << 62 for n in values):
        raise CheckpointError("a size is not a positive integer")
    return tuple(values)


def contiguous(shape: tuple[int, ...], fortran: bool = False) -> tuple[int, ...]:
    """The strides of an array that lies in memory without gaps, the last index fastest (the first with `fortran`)."""
    stride, step = [], 1
    for n in shape if fortran else reversed(shape):
        stride.append(step)
        step *= n
    return tuple(stride if fortran else reversed(stride))


def _latin1(text: Any) -> bytes:
    """Python 2 strings, and bytes in protocol 2, come as text of the characters 0 to 255."""
    if isinstance(text, str):
        return text.encode("latin-1")
    return text if isinstance(text, bytes) else bytes(memoryview(text))


def _ordered_dict(items: Any = ()) -> dict:
    return {_key(key): value for key, value in items}


def _key(key: Any) -> Any:
    if not isinstance(key, (str, int, bytes)):
        raise CheckpointError(f"{quote(key)} as a key of a dict")
    return key


def _encode(text: str, encoding: str = "utf-8") -> bytes:
    if encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
        raise CheckpointError(f"encoding {quote(encoding)}")
    return text.encode(encoding)


def _bytes(data: Any = b"", encoding: str = "latin-1") -> bytes:
    return _encode(data, encoding) if isinstance(data, str) else _latin1(data)


def _torch_tensor(storage: Any, offset: int, shape: Any, stride: Any, *_: Any) -> Tensor:
    """torch._utils._rebuild_tensor and _v2; the storage comes from the persistent id as a flat tensor."""
    shape, stride = sizes(shape), sizes(stride)
    if not isinstance(storage, Tensor) or len(shape) != len(stride):
        raise CheckpointError("not a tensor of a storage")
    tensor = Tensor(storage.storage, storage.offset + sizes([offset])[0], shape, stride)
    last = tensor.offset + sum((n - 1) * step for n, step in zip(shape, stride))
    if tensor.count and last >= storage.offset + storage.count:
        raise CheckpointError(f"a tensor that reaches value {last} of a storage of {storage.count}")
    return tensor


def _torch_parameter(tensor: Any, *_: Any) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise CheckpointError("a parameter that is not a tensor")
    return tensor


def _numpy_dtype(text: Any, *_: Any) -> Dtype:
    match = re.fullmatch(r"([<>=|]?)([fiub])([1248])", _latin1(text).decode("latin-1"))
    if not match:
        raise CheckpointError(f"numpy dtype {quote(text)}")
    order, kind, size = match.groups()
    return Dtype("?" if kind == "b" else kind, int(size), ">" if order == ">" else "<")


def _numpy_array(shape: tuple[int, ...], dtype: Any, fortran: bool, data: Any) -> Tensor:
    raw = _latin1(data)
    if not isinstance(dtype, Dtype) or len(raw) != math.prod(shape) * dtype.size:
        raise CheckpointError(f"a numpy array of {math.prod(shape)} values in {len(raw)} bytes")
    return Tensor(Storage(dtype, math.prod(shape), lambda: raw), 0, shape, contiguous(shape, fortran))


def _numpy_scalar(dtype: Any, data: Any) -> Any:
    return _numpy_array((), dtype, False, data)


def _numpy_frombuffer(data: Any, dtype: Any, shape: Any, order: Any) -> Tensor:
    return _numpy_array(sizes(shape), dtype, order == "F", data)


_FUNCTIONS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _ordered_dict,
    ("_codecs", "encode"): _encode,
    ("builtins", "bytearray"): _bytes,
    ("__builtin__", "bytearray"): _bytes,
    ("__builtin__", "bytes"): _bytes,
    ("torch._utils", "_rebuild_tensor"): _torch_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _torch_tensor,
    ("torch._utils", "_rebuild_parameter"): _torch_parameter,
    ("torch", "Size"): sizes,
    ("numpy", "dtype"): _numpy_dtype,
    ("jittor", "Var"): _torch_parameter,
    ("jittor_core", "Var"): _torch_parameter,
}
for _core in ("numpy.core", "numpy._core"):
    _FUNCTIONS[f"{_core}.multiarray", "_reconstruct"] = lambda *_: Tensor()
    _FUNCTIONS[f"{_core}.multiarray", "scalar"] = _numpy_scalar
    _FUNCTIONS[f"{_core}.numeric", "_frombuffer"] = _numpy_frombuffer

STORAGES = {
    "FloatStorage": Dtype("f", 4),
    "HalfStorage": Dtype("f", 2),
    "DoubleStorage": Dtype("f", 8),
    "BFloat16Storage": Dtype("b", 2),
    "LongStorage": Dtype("i", 8),
    "IntStorage": Dtype("i", 4),
    "ShortStorage": Dtype("i", 2),
    "CharStorage": Dtype("i", 1),
    "ByteStorage": Dtype("u", 1),
    "BoolStorage": Dtype("?", 1),
}
_NAMES = {("numpy", "ndarray")} | {("torch", name) for name in STORAGES}

_PUSHING = frozenset(
    "INT BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINSTRING SHORT_BINSTRING "
    "BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8".split())
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple,
}


def _refuse_persistent(_: Any) -> Any:
    raise CheckpointError("a persistent id, which only PyTorch's checkpoints have")


class _Machine:
    """The stack machine. One method an opcode, or one for a few of a kind."""

    def __init__(self, persistent: Callable[[Any], Any]) -> None:
        self.persistent = persistent
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []  # the stacks below the marks
        self.memo: dict[int, Any] = {}
        self.copied = 0

    def step(self, name: str, arg: Any) -> None:
        if name in _PUSHING:
            self.stack.append(arg)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[arg] = self.stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[arg])
        elif name not in ("PROTO", "FRAME"):
            method = getattr(self, "op_" + name.lower(), None)
            if method is None:
                raise CheckpointError("not an opcode that a dict of tensors needs")
            method(*(() if arg is None else (arg,)))

    def pop_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marked.pop()
        return items

    def charge(self, data: Any) -> None:
        """Counts what calls copy: a short pickle could ask for a copy of one long argument over and over."""
        if isinstance(data, (str, bytes, bytearray, tuple, list, dict)):
            self.copied += len(data)

    def push_global(self, module: Any, name: Any) -> None:
        if (module, name) not in _FUNCTIONS and (module, name) not in _NAMES:
            raise CheckpointError(f"names {Global(str(module), str(name))}, which a dict of tensors does not need")
        self.stack.append(Global(module, name))

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise CheckpointError("items for something that is not a dict")
        target.update(_ordered_dict(zip(items[::2], items[1::2])))

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise CheckpointError("items for something that is not a list")
        target.extend(items)

    def push_tuple(self, count: int) -> None:
        if len(self.stack) < count:
            raise IndexError
        self.stack[len(self.stack) - count:] = [tuple(self.stack[-count:])]

    def op_mark(self) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def op_pop(self) -> None:
        self.stack.pop()

    def op_pop_mark(self) -> None:
        self.pop_mark()

    def op_tuple(self) -> None:
        items = self.pop_mark()
        self.stack.append(tuple(items))

    def op_tuple1(self) -> None:
        self.push_tuple(1)

    def op_tuple2(self) -> None:
        self.push_tuple(2)

    def op_tuple3(self) -> None:
        self.push_tuple(3)

    def op_append(self) -> None:
        self.extend([self.stack.pop()])

    def op_appends(self) -> None:
        self.extend(self.pop_mark())

    def op_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items([key, value])

    def op_setitems(self) -> None:
        self.set_items(self.pop_mark())

    def op_global(self, text: str) -> None:
        self.push_global(*text.split(" ", 1))  # pickletools joins the two lines with a space

    def op_stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.push_global(module, name)

    def op_inst(self, text: str) -> None:
        self.push_global(*text.split(" ", 1))
        raise CheckpointError("not an opcode that a dict of tensors needs")

    def op_binpersid(self) -> None:
        self.stack.append(self.persistent(self.stack.pop()))

    def op_reduce(self) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Global) or not isinstance(args, tuple):
            raise CheckpointError(f"calls {quote(function)}")
        if (function.module, function.name) not in _FUNCTIONS:
            raise CheckpointError(f"calls {function}")
        for arg in args:
            self.charge(arg)
        self.stack.append(_FUNCTIONS[function.module, function.name](*args))

    def op_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, dict) and isinstance(state, dict):
            return  # attributes of an OrderedDict: _metadata of a state dict
        if isinstance(target, Tensor) and target.storage is None and isinstance(state, tuple) and len(state) == 5:
            _, shape, dtype, fortran, data = state
            self.charge(data)
            vars(target).update(vars(_numpy_array(sizes(shape), dtype, bool(fortran), data)))
        elif isinstance(target, Dtype) and isinstance(state, tuple) and len(state) >= 5 and state[2:5] == (None,) * 3:
            target.order = ">" if _latin1(state[1]) == b">" else "<"
        else:
            raise CheckpointError(f"sets the state of {quote(target)}")


class _Bounded:
    """A file that is never asked for more than it has: a reader may allocate what it is asked for, whatever comes."""

    def __init__(self, file: BinaryIO) -> None:
        self.tell, self.readline, self._read = file.tell, file.readline, file.read
        start = file.tell()
        self.size = file.seek(0, os.SEEK_END)
        file.seek(start)

    def read(self, count: int) -> bytes:
        return self._read(min(count, self.size - self.tell()))


def load(file: BinaryIO, persistent: Callable[[Any], Any] = _refuse_persistent) -> Any:
    """The object of the pickle that starts at the file's position; the position is then behind it.

    persistent: makes a flat Tensor of a persistent id. Raises CheckpointError.
    """
    start = file.tell()
    machine = _Machine(persistent)
    name, place = "", start
    source = cast(IO[bytes], _Bounded(file))  # read, readline and tell are all that is called
    try:
        for number, (opcode, arg, position) in enumerate(pickletools.genops(source)):
            name, place = opcode.name, start if position is None else position
            if number >= OPCODE_LIMIT:
                raise CheckpointError(f"more than {OPCODE_LIMIT} opcodes")
            if name == "STOP":
                return machine.stack.pop()
            machine.step(name, arg)
            if machine.copied > CALL_LIMIT + 4 * (file.tell() - start):
                raise CheckpointError("calls copy the same data over and over")
    except CheckpointError as error:
        raise CheckpointError(f"pickle opcode {name} at byte {place}: {error}") from None
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, struct.error, RecursionError) as error:
        detail = " ".join(str(error).split())[:TEXT_LIMIT]
        raise CheckpointError(f"damaged pickle behind opcode {name or '(none)'} at byte {place}: {detail}") from None
    raise CheckpointError("damaged pickle: no end")
