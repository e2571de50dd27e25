"""The C++ function that a kernel becomes: its registers, and how operands are read and written.

Registers are local variables with the names they have in PTX: bool, uint16_t, uint32_t, uint64_t, float or double.
Accumulators of wgmma lie in one array, which the tensor core changes behind the thread's back.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

from typing import Callable

from ptx import Address, Immediate, Instruction, Kernel, Module, Operand, Register, Sink, Special, Symbol, Vector

# PTX type -> C++ type of a variable that holds it.
STORAGE = {"pred": "bool", "b8": "uint16_t", "b16": "uint16_t", "b32": "uint32_t", "b64": "uint64_t",
           "u8": "uint16_t", "u16": "uint16_t", "u32": "uint32_t", "u64": "uint64_t",
           "s8": "uint16_t", "s16": "uint16_t", "s32": "uint32_t", "s64": "uint64_t",
           "f16": "uint16_t", "f16x2": "uint32_t", "bf16": "uint16_t", "f32": "float", "f64": "double"}
# C++ type that is computed with.
ARITHMETIC = STORAGE | {"s8": "int8_t", "u8": "uint8_t", "b8": "uint8_t", "s16": "int16_t", "s32": "int32_t",
                        "s64": "int64_t"}
BITS = {"pred": 1, "f16x2": 32, "bf16": 16}
BITS |= {kind + size: int(size) for kind in "busf" for size in ("8", "16", "32", "64")}

SPECIAL = {f"%{name}.{axis}": f"{place}.{axis}" for axis in "xyz" for name, place in
           (("tid", "tid"), ("ctaid", "launch.block"), ("ntid", "launch.block_size"), ("nctaid", "launch.grid_size"))}
SPECIAL |= {"%laneid": "ptx::lane()", "%warpid": "ptx::warp()", "WARP_SZ": "32u"}

Handler = Callable[["Function", Instruction], str]
HANDLERS: dict[str, Handler] = {}


def instruction(*names: str) -> Callable[[Handler], Handler]:
    """The function translates instructions whose opcode begins with one of these names."""
    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler
    return register


def is_float(kind: str) -> bool:
    return kind in ("f32", "f64")


class Function:
    """What is known about a kernel while its instructions are translated."""

    def __init__(self, module: Module, kernel: Kernel):
        self.module, self.kernel = module, kernel
        self.parameters = {p.name: i for i, p in enumerate(kernel.parameters)}
        self.used: dict[str, str] = {}  # C++ names of the registers that appear, and their types
        self.slots: dict[str, int] = {}  # registers that are accumulators of wgmma, and their places in the array
        self.products: dict[str, list[Operand]] = {}  # factors of the basic block's products that may be contracted
        self.constants: list[str] = []  # tables of the function

    def kind(self, register: Register, ins: Instruction) -> str:
        if register.name not in self.kernel.registers:
            ins.refuse(f"{register.name} is not declared")
        return self.kernel.registers[register.name]

    def name(self, register: Register, ins: Instruction) -> str:
        """The register as an expression that can be assigned to."""
        kind = self.kind(register, ins)
        if register.name in self.slots:
            return f"sums.now[{self.slots[register.name]}]"
        name = register.name.replace("%", "").replace("$", "_")
        name = name if name[-1].isdigit() else name + "_"
        self.used[name] = STORAGE[kind]
        return name

    def value(self, operand: Operand, kind: str, ins: Instruction) -> str:
        """The operand as an expression of ARITHMETIC[kind]."""
        if isinstance(operand, Register):
            return self._register_value(operand, kind, ins)
        if isinstance(operand, Immediate):
            return _immediate(operand, kind, ins)
        if isinstance(operand, Special) and operand.name in SPECIAL:
            return SPECIAL[operand.name]
        if isinstance(operand, Symbol):
            return self.symbol(operand, ins)
        ins.refuse(f"{operand} is no value")

    def _register_value(self, register: Register, kind: str, ins: Instruction) -> str:
        name, declared = self.name(register, ins), self.kind(register, ins)
        if (declared == "pred") != (kind == "pred"):
            ins.refuse(f"{register.name} is a predicate where a number is expected, or the other way round")
        if BITS[declared] < BITS[kind]:
            ins.refuse(f"{register.name} is narrower than {kind}")
        if is_float(declared) != is_float(kind):
            if BITS[declared] != BITS[kind]:
                ins.refuse(f"{register.name} cannot be taken for {kind}")
            name = f"ptx::bits({name})" if is_float(declared) else f"ptx::number({name})"
        have = ARITHMETIC[declared if not is_float(declared) else f"b{BITS[declared]}"] if not is_float(kind) else ""
        return name if is_float(kind) or have == ARITHMETIC[kind] else f"({ARITHMETIC[kind]}){name}"

    def symbol(self, symbol: Symbol, ins: Instruction) -> str:
        if symbol.name in self.parameters:
            return f"(uint64_t)parameters[{self.parameters[symbol.name]}]"
        if symbol.name == self.module.shared:
            return "ptx::SHARED_BASE"
        if symbol.name in SPECIAL:
            return SPECIAL[symbol.name]
        ins.refuse(f"{symbol.name} is not known")

    def assign(self, operand: Operand, kind: str, expression: str, ins: Instruction) -> str:
        """Statement that gives a register a value of ARITHMETIC[kind]. A wider register gets its sign or zeros."""
        if isinstance(operand, Sink):
            return f"(void)({expression});"
        if not isinstance(operand, Register):
            ins.refuse("the result must be a register")
        name, declared = self.name(operand, ins), self.kind(operand, ins)
        self.forget(operand.name)
        if BITS[declared] < BITS[kind] or (declared == "pred") != (kind == "pred"):
            ins.refuse(f"a result of {kind} does not fit into {operand.name}")
        if is_float(declared) and not is_float(kind):
            expression = f"ptx::number({ARITHMETIC['u' + str(BITS[kind])]}({expression}))"
        elif is_float(kind) and not is_float(declared):
            expression = f"ptx::bits({expression})"
        return f"{name} = {expression};"

    def forget(self, register: str) -> None:
        """The register gets another value: products with it or in it can no longer be contracted."""
        self.products.pop(register, None)
        for product in [p for p, factors in self.products.items() if Register(register) in factors]:
            del self.products[product]

    def touched(self, ins: Instruction) -> list[int]:
        """The accumulators that an instruction other than wgmma reads or writes."""
        found = []

        def visit(operand: Operand | None) -> None:
            if isinstance(operand, Register) and operand.name in self.slots:
                found.append(self.slots[operand.name])
            elif isinstance(operand, Vector):
                for item in operand.items:
                    visit(item)
            elif isinstance(operand, Address):
                visit(operand.base)
        for operand in ins.operands:
            visit(operand)
        return found


def _immediate(immediate: Immediate, kind: str, ins: Instruction) -> str:
    value = immediate.value
    if immediate.kind == "int":
        if kind == "pred":
            return "true" if value else "false"
        if is_float(kind):
            ins.refuse("an integer where a float is expected")
        value &= (1 << BITS[kind]) - 1
        suffix = "ull" if BITS[kind] == 64 else "u"
        number = f"{value}{suffix}"
        return number if ARITHMETIC[kind] in ("uint32_t", "uint64_t") else f"({ARITHMETIC[kind]}){number}"
    if not is_float(kind):
        return f"0x{value:x}{'ull' if immediate.kind == 'f64' else 'u'}"
    if kind != immediate.kind:
        ins.refuse("a float of another size")
    return f"ptx::number(0x{value:x}{'ull' if kind == 'f64' else 'u'})"
