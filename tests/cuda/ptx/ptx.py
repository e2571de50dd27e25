"""PTX as it is read: modules, kernels, instructions and their operands.

Reads what nvcc and NVRTC write, which is a small part of the language; anything else is refused by line.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Iterator, NoReturn, Union


class PtxError(Exception):
    """Text that cannot be read or translated."""


def refuse(line: int, message: str) -> NoReturn:
    raise PtxError(f"line {line}: {message}")


@dataclass(frozen=True)
class Register:
    name: str


@dataclass(frozen=True)
class Special:
    """A special register, such as %tid.x, or a named constant."""
    name: str


@dataclass(frozen=True)
class Immediate:
    """An integer, or the bits of a floating-point number: kind is "int", "f32" or "f64"."""
    value: int
    kind: str = "int"


@dataclass(frozen=True)
class Symbol:
    """The address of a parameter or a variable, or a label."""
    name: str


@dataclass(frozen=True)
class Vector:
    """{a, b, ...}"""
    items: tuple["Operand", ...]


@dataclass(frozen=True)
class Pair:
    """a|b: two results."""
    first: "Operand"
    second: "Operand"


@dataclass(frozen=True)
class Negated:
    """!p"""
    register: Register


@dataclass(frozen=True)
class Address:
    """[base + offset], or [base, {coordinates}] of a tensor."""
    base: "Operand"
    offset: int = 0
    coordinates: tuple["Operand", ...] | None = None


@dataclass(frozen=True)
class Sink:
    """_: a result that nobody wants."""


Operand = Union[Register, Special, Immediate, Symbol, Vector, Pair, Negated, Address, Sink]


@dataclass
class Instruction:
    """guard: the predicate under which it is executed. parts: the words of the opcode between its points."""
    line: int
    opcode: str
    operands: list[Operand]
    guard: Register | None = None
    guard_negated: bool = False

    @property
    def parts(self) -> list[str]:
        return self.opcode.replace("::", ":").split(".")

    def refuse(self, message: str) -> NoReturn:
        refuse(self.line, f"{self.opcode}: {message}")


@dataclass
class Label:
    line: int
    name: str


@dataclass
class Parameter:
    name: str
    align: int
    size: int


@dataclass
class Kernel:
    """registers: the PTX type of each register, by name. most_threads: .maxntid, 0 if there is none; least_blocks:
    .minnctapersm. tables: the targets of indirect branches."""
    name: str
    line: int
    parameters: list[Parameter] = field(default_factory=list)
    most_threads: int = 0
    least_blocks: int = 1
    registers: dict[str, str] = field(default_factory=dict)
    body: list[Instruction | Label] = field(default_factory=list)
    tables: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class Module:
    """shared: the name of dynamic shared memory, "" if there is none."""
    version: str = ""
    target: str = ""
    shared: str = ""
    kernels: list[Kernel] = field(default_factory=list)


# Sizes in bytes of the types of parameters.
SIZES = {"8": 1, "16": 2, "32": 4, "64": 8}

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_TOKEN = re.compile(r"0[fF][0-9a-fA-F]{8}|0[dD][0-9a-fA-F]{16}|0[xX][0-9a-fA-F]+U?|-?\d+U?|"
                    r"%?[A-Za-z_$][\w$]*(?:\.[a-z]+)?|[\[\]{}|+,!_-]")
_PARAMETER = re.compile(r"\.param\s+(?:\.align\s+(\d+)\s+)?\.[bsuf](8|16|32|64)\s+([\w$]+)(?:\[(\d+)\])?")
_POINTER = re.compile(r"\.ptr(\s+\.(?!align)\w+)*(\s+\.align\s+\d+)?")
_INSTRUCTION = re.compile(r"(?:@(?P<no>!?)(?P<guard>%?[\w$]+)\s+)?(?P<opcode>[a-z][\w.:]*)\s*(?P<rest>.*)", re.DOTALL)


class _Operands:
    """The operands of one instruction, read from left to right."""

    def __init__(self, text: str, line: int, rename: dict[str, str]):
        self.tokens = _TOKEN.findall(text)
        self.at, self.line, self.rename = 0, line, rename
        if "".join(self.tokens) != re.sub(r"\s+", "", text):
            refuse(line, f"operands that cannot be read: {text}")

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        token = self.peek()
        if not token or (expected and token != expected):
            refuse(self.line, f"{expected or 'an operand'} expected, not '{token}'")
        self.at += 1
        return token

    def all(self) -> list[Operand]:
        found = []
        while self.peek():
            if found:
                self.take(",")
            found.append(self.operand())
        return found

    def list(self, end: str) -> tuple[Operand, ...]:
        items = [self.operand()]
        while self.peek() == ",":
            self.take()
            items.append(self.operand())
        self.take(end)
        return tuple(items)

    def operand(self) -> Operand:
        token = self.take()
        if token == "{":
            return Vector(self.list("}"))
        if token == "[":
            return self.address()
        if token == "!":
            return Negated(Register(self.rename.get(self.peek(), self.take())))
        simple = self.simple(token)
        if self.peek() == "|":
            self.take()
            return Pair(simple, self.simple(self.take()))
        return simple

    def simple(self, token: str) -> Operand:
        if token == "_":
            return Sink()
        if token[:2] in ("0f", "0F"):
            return Immediate(int(token[2:], 16), "f32")
        if token[:2] in ("0d", "0D"):
            return Immediate(int(token[2:], 16), "f64")
        if token[0].isdigit() or (token[0] == "-" and len(token) > 1):
            return Immediate(int(token.rstrip("U"), 0))
        if token in self.rename:
            return Register(self.rename[token])
        if token[0] == "%" and (("." in token) or not token[-1].isdigit()):
            return Special(token)
        return Register(token) if token[0] == "%" else Symbol(token)

    def address(self) -> Operand:
        base = self.operand()
        offset = 0
        while self.peek() not in ("]", ","):
            token = self.take()
            if token == "+":
                token = self.take()
            offset += int(token.rstrip("U"), 0)
        coordinates = None
        if self.peek() == ",":
            self.take()
            vector = self.operand()
            if not isinstance(vector, Vector):
                refuse(self.line, "coordinates expected")
            coordinates = vector.items
        self.take("]")
        return Address(base, offset, coordinates)


class _Body:
    """The statements of a kernel. Registers that a block in braces declares get names of their own."""

    def __init__(self, kernel: Kernel):
        self.kernel = kernel
        self.scopes: list[dict[str, str]] = [{}]
        self.scope_count = 0

    def names(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for scope in self.scopes:
            found |= scope
        return found

    def declare(self, line: int, text: str) -> None:
        match = re.fullmatch(r"\.reg\s+\.(\w+)\s+(.*)", text, re.DOTALL)
        if not match:
            refuse(line, f"a declaration that cannot be read: {text}")
        for name in (n.strip() for n in match[2].split(",")):
            ranged = re.fullmatch(r"([\w%$]+)<(\d+)>", name)
            if ranged:
                for i in range(int(ranged[2])):
                    self.kernel.registers[f"{ranged[1]}{i}"] = match[1]
            else:
                unique = name if len(self.scopes) == 1 else f"{name.lstrip('%')}_{self.scope_count}"
                self.scopes[-1][name] = unique
                self.kernel.registers[unique] = match[1]

    def statement(self, line: int, text: str) -> None:
        if text.startswith(".reg"):
            self.declare(line, text)
            return
        if text.startswith((".pragma", ".loc", ".file")):
            return
        match = _INSTRUCTION.fullmatch(text)
        if not match:
            refuse(line, f"a statement that cannot be read: {text}")
        names = self.names()
        guard = match["guard"] and Register(names.get(match["guard"], match["guard"]))
        operands = _Operands(match["rest"], line, names).all()
        self.kernel.body.append(Instruction(line, match["opcode"], operands, guard, match["no"] == "!"))

    def table(self, name: str, line: int, text: str) -> None:
        self.kernel.tables[name] = [label.strip() for label in text.removeprefix(".branchtargets").split(",")]
        if not all(self.kernel.tables[name]):
            refuse(line, "a table of branch targets that cannot be read")

    def read(self, text: str, line: int) -> None:
        """text: what is between the braces of the kernel, from that line on."""
        for kind, at, piece in _statements(text, line):
            if kind == "{":
                self.scope_count += 1
                self.scopes.append({})
            elif kind == "}":
                self.scopes.pop()
            elif kind == ":":
                self.kernel.body.append(Label(at, piece))
            elif piece.startswith(".branchtargets"):
                label = self.kernel.body.pop()
                assert isinstance(label, Label)
                self.table(label.name, at, piece)
            else:
                self.statement(at, piece)


def _statements(text: str, line: int) -> Iterator[tuple[str, int, str]]:
    """Braces of blocks, labels and statements, with their lines: ("{", 7, ""), (":", 8, "label"), (";", 9, "ret")."""
    at = 0
    piece = re.compile(r"\s*(?:(?P<brace>[{}])|(?P<label>[\w$%]+)\s*:(?!:)|(?P<text>[^;]+);)")
    while text[at:].strip():
        match = piece.match(text, at)
        if not match:
            refuse(line, f"text that cannot be read: {text[at:at + 60].strip()}")
        start = match.start(match.lastgroup or 0)
        line += text.count("\n", at, start)
        if match["brace"]:
            yield match["brace"], line, ""
        elif match["label"]:
            yield ":", line, match["label"]
        else:
            yield ";", line, match["text"].strip()
        line += text.count("\n", start, match.end())
        at = match.end()


def _parameters(text: str, line: int) -> list[Parameter]:
    found = []
    for piece in (p.strip() for p in text.split(",")):
        match = _PARAMETER.fullmatch(_POINTER.sub("", piece))
        if piece and not match:
            refuse(line, f"a parameter that cannot be read: {piece}")
        if match:
            size = SIZES[match[2]]
            found.append(Parameter(match[3], int(match[1] or size), size * int(match[4] or 1)))
    return found


def _end_of_block(text: str, start: int) -> int:
    """The brace that closes the one at `start`."""
    depth = 0
    for match in re.compile(r"[{}]").finditer(text, start):
        depth += 1 if match[0] == "{" else -1
        if not depth:
            return match.start()
    refuse(0, "a brace that is not closed")


def read_module(text: str) -> Module:
    """Comments are blanked out first, so that lines keep their numbers."""
    text = _COMMENT.sub(lambda m: "\n" * m[0].count("\n"), text)
    module = Module()
    for name in ("version", "target"):
        match = re.search(rf"^\s*\.{name}\s+([\w.]+)", text, re.MULTILINE)
        if not match:
            refuse(1, f"there is no .{name}")
        setattr(module, name, match[1])
    shared = re.search(r"\.extern\s+\.shared\s+\.align\s+\d+\s+\.b8\s+([\w$]+)\[\]", text)
    module.shared = shared[1] if shared else ""
    if re.search(r"^\s*(\.visible\s+)?\.func\b", text, re.MULTILINE):
        refuse(1, "functions that are called are not translated: inline them")
    for match in re.finditer(r"\.entry\s+([\w$]+)\s*\(([^)]*)\)([^{]*)\{", text):
        line = text.count("\n", 0, match.start()) + 1
        kernel = Kernel(match[1], line, _parameters(match[2], line))
        threads = re.search(r"\.maxntid\s+(\d+)(?:,\s*(\d+))?(?:,\s*(\d+))?", match[3])
        if threads:
            kernel.most_threads = int(threads[1]) * int(threads[2] or 1) * int(threads[3] or 1)
        blocks = re.search(r"\.minnctapersm\s+(\d+)", match[3])
        kernel.least_blocks = int(blocks[1]) if blocks else 1
        begin = match.end()
        end = _end_of_block(text, begin - 1)
        _Body(kernel).read(text[begin:end], text.count("\n", 0, begin) + 1)
        module.kernels.append(kernel)
    return module
