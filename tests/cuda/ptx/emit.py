"""A kernel as a C++ function, instruction by instruction, with labels and goto.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

from typing import Iterator

import arithmetic
import matrix
import memory  # noqa: F401 (its instructions enter HANDLERS)
import synchronize
from function import HANDLERS, Function, Handler
from ptx import Address, Instruction, Kernel, Label, Module, Negated, Operand, Pair, PtxError, Register, Vector

HEADER = """\
/* Made from {source} by tests/cuda/ptx/translate.py. PTX ISA {version}, {target}. Lines in messages are its lines. */
#include "tests/cuda/ptx/machine.h"
"""


def handler_of(ins: Instruction) -> Handler:
    """The one with the longest name that the opcode begins with."""
    parts = ins.opcode.split(".")
    for count in range(len(parts), 0, -1):
        handler = HANDLERS.get(".".join(parts[:count]))
        if handler:
            return handler
    ins.refuse("this instruction is not known: tests/cuda/ptx has to learn it")


def registers_of(operand: Operand) -> Iterator[str]:
    if isinstance(operand, Register):
        yield operand.name
    elif isinstance(operand, Negated):
        yield operand.register.name
    elif isinstance(operand, Pair):
        yield from registers_of(operand.first)
        yield from registers_of(operand.second)
    elif isinstance(operand, (Vector, Address)):
        items = operand.items if isinstance(operand, Vector) else (operand.base, *(operand.coordinates or ()))
        for item in items:
            yield from registers_of(item)


def reads(ins: Instruction) -> set[str]:
    found = {name for operand in ins.operands[1:] for name in registers_of(operand)}
    return found | ({ins.guard.name} if ins.guard else set())


def writes(ins: Instruction) -> set[str]:
    return set(registers_of(ins.operands[0])) if ins.operands else set()


def is_pure(ins: Instruction) -> bool:
    """Whether it changes nothing but its result and depends on nothing but its operands."""
    return ins.guard is None and handler_of(ins).__module__ == arithmetic.__name__


class _Batch:
    """Instructions of one kind in a row that do not depend on each other. What does not depend on them, and they not
    on it, may come before them."""

    def __init__(self) -> None:
        self.members: list[Instruction] = []
        self.read: set[str] = set()
        self.written: set[str] = set()

    def accepts(self, ins: Instruction) -> bool:
        return not self.members or (matrix.batch_key(ins) == matrix.batch_key(self.members[0]) and
                                    not reads(ins) & self.written and not writes(ins) & (self.written | self.read))

    def lets_pass(self, ins: Instruction) -> bool:
        return is_pure(ins) and not reads(ins) & self.written and not writes(ins) & (self.written | self.read)

    def add(self, ins: Instruction) -> None:
        self.members.append(ins)
        self.read |= reads(ins)
        self.written |= writes(ins)


def batches(body: list[Instruction | Label]) -> Iterator[Instruction | Label | list[Instruction]]:
    """The body with runs of matrix instructions gathered. An accumulator that is a sum and a result is the same one."""
    batch = _Batch()
    for item in body:
        key = matrix.batch_key(item) if isinstance(item, Instruction) else ""
        if batch.members and isinstance(item, Instruction) and not key and batch.lets_pass(item):
            yield item
            continue
        if batch.members and not (key and isinstance(item, Instruction) and batch.accepts(item)):
            yield batch.members
            batch = _Batch()
        if key and isinstance(item, Instruction):
            batch.add(item)
        else:
            yield item
    if batch.members:
        yield batch.members


def statement(f: Function, ins: Instruction) -> str:
    """An instruction under its guard. What has been multiplied before a guarded one may not be so behind it."""
    handler = handler_of(ins)
    touched = [] if ins.opcode.startswith("wgmma.mma_async") else f.touched(ins)
    text = "".join(f"sums.touch({slot}, {ins.line}); " for slot in touched) + handler(f, ins)
    if ins.guard is None:
        return text
    f.products.clear()
    return f"if ({'!' if ins.guard_negated else ''}{f.value(ins.guard, 'pred', ins)}) {{ {text} }}"


def translate_body(f: Function) -> list[str]:
    lines = []
    for item in batches(f.kernel.body):
        if isinstance(item, Label):
            f.products.clear()
            lines.append(f"{synchronize.label(item.name)}:;")
        elif isinstance(item, list):
            lines.append("    " + matrix.translate_batch(f, item))
        else:
            lines.append("    " + statement(f, item))
    return lines


def find_accumulators(f: Function) -> None:
    for ins in f.kernel.body:
        if isinstance(ins, Instruction):
            for name in matrix.accumulators(ins):
                f.slots.setdefault(name, len(f.slots))


def declarations(f: Function) -> list[str]:
    lines, by_type = [], {}
    for name, ctype in f.used.items():
        by_type.setdefault(ctype, []).append(name)
    for ctype, names in sorted(by_type.items()):
        for i in range(0, len(names), 16):
            lines.append(f"    {ctype} {', '.join(names[i:i + 16])};")
    return lines


def uses_async_proxy(kernel: Kernel) -> bool:
    return any(isinstance(item, Instruction) and item.opcode.startswith(("wgmma", "cp.async.bulk"))
               for item in kernel.body)


def translate_kernel(module: Module, kernel: Kernel) -> str:
    f = Function(module, kernel)
    find_accumulators(f)
    body = translate_body(f)
    name = kernel.name
    sizes = ", ".join(str(p.size) for p in kernel.parameters) or "0"
    head = [f"static void run_{name}(void **parameters)", "{",
            "    const emu::LaunchIndex &launch = emu::launch_index;",
            "    const emu::Dim3 tid = emu::running->index;",
            "    const ptx::Shared shared = ptx::shared_memory();",
            "    (void)launch, (void)tid, (void)shared, (void)parameters;"]
    if f.slots:
        head.append(f"    ptx::Sums<{len(f.slots)}> sums;")
    tail = ["    return;", "}", f"static const size_t sizes_{name}[] = {{{sizes}}};",
            f"static ptx::Registration registration_{name}(\"{name}\", run_{name}, sizes_{name}, "
            f"{len(kernel.parameters)}, {kernel.most_threads}, {kernel.least_blocks}, "
            f"{'true' if uses_async_proxy(kernel) else 'false'});"]
    return "\n".join(f.constants + head + declarations(f) + body + tail) + "\n"


def translate(module: Module, source: str, only: list[str]) -> str:
    """The kernels of a module, or those of `only`."""
    kernels = [k for k in module.kernels if not only or k.name in only]
    if only and len(kernels) != len(set(only)):
        raise PtxError(f"of the kernels {', '.join(only)} there are only {', '.join(k.name for k in kernels)}")
    header = HEADER.format(source=source, version=module.version, target=module.target)
    return header + "".join("\n" + translate_kernel(module, kernel) for kernel in kernels)
