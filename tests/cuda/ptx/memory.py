"""Instructions that load and store: parameters, shared and global memory, and asynchronous copies of cp.async.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

from arithmetic import type_of
from function import ARITHMETIC, Function, instruction, is_float
from ptx import Address, Immediate, Instruction, Operand, Symbol, Vector

# What says how memory is read and changes nothing here.
HINTS = {"nc", "weak", "volatile", "relaxed", "acquire", "release", "cta", "gpu", "sys", "ca", "cg", "cs", "lu", "cv",
         "wb", "wt", "L1:no_allocate", "L1:evict_first", "L1:evict_last", "L2:64B", "L2:128B", "L2:256B"}
SPACES = {"param": "param", "shared": "shared", "shared:cta": "shared", "global": "global", "const": "const"}


def address_of(f: Function, operand: Operand, kind: str, ins: Instruction) -> str:
    """The address as a number of that type."""
    if not isinstance(operand, Address):
        ins.refuse("an address is expected")
    base = f.value(operand.base, kind, ins)
    if not operand.offset:
        return base
    return f"({base} {'-' if operand.offset < 0 else '+'} {abs(operand.offset)}{'ull' if kind == 'u64' else 'u'})"


def space_of(ins: Instruction) -> tuple[str, int]:
    """The state space, "" for a generic address, and the number of elements."""
    space, count = "", 1
    for part in ins.parts[1:-1]:
        if part in SPACES:
            space = SPACES[part]
        elif part in ("v2", "v4", "v8"):
            count = int(part[1:])
        elif part not in HINTS:
            ins.refuse(f"{part} is not translated")
    return space, count


def place_of(f: Function, ins: Instruction, operand: Operand, space: str, size: int) -> str:
    """The host's address of `size` bytes, checked."""
    if space == "shared":
        return f"shared.at({address_of(f, operand, 'u32', ins)}, {size}, {ins.line})"
    assert isinstance(operand, Address)
    if space == "param" and isinstance(operand.base, Symbol):
        index = f.parameters.get(operand.base.name)
        if index is None or not 0 <= operand.offset <= f.kernel.parameters[index].size - size or operand.offset % size:
            ins.refuse("outside of the parameter")
        return f"((char *)parameters[{index}] + {operand.offset})"
    name = {"param": "parameter_at", "global": "global_at", "": "generic_at"}.get(space)
    if not name:
        ins.refuse(f"the state space {space} is not translated")
    shared = "shared, " if not space else ""
    return f"ptx::{name}({shared}{address_of(f, operand, 'u64', ins)}, {size}, {ins.line})"


def elements(operand: Operand, count: int, ins: Instruction) -> tuple[Operand, ...]:
    items = operand.items if isinstance(operand, Vector) else (operand,)
    if len(items) != count:
        ins.refuse(f"{count} elements expected")
    return items


def size_of(kind: str) -> int:
    return 8 if kind in ("f64",) else 4 if kind == "f32" else int(kind[1:]) // 8


@instruction("ld", "ldu")
def load(f: Function, ins: Instruction) -> str:
    kind = type_of(ins)
    space, count = space_of(ins)
    items = elements(ins.operands[0], count, ins)
    ctype = ARITHMETIC[kind]
    place = place_of(f, ins, ins.operands[1], space, size_of(kind) * count)
    note = "" if space == "param" else f"ptx::note_read(at, {size_of(kind) * count}); "
    targets = " ".join(f.assign(item, kind, f"v[{i}]", ins) for i, item in enumerate(items))
    return f"{{ {ctype} v[{count}]; const char *at = {place}; {note}memcpy(v, at, sizeof(v)); {targets} }}"


@instruction("st")
def store(f: Function, ins: Instruction) -> str:
    kind = type_of(ins)
    space, count = space_of(ins)
    if space in ("param", "const"):
        ins.refuse("nothing can be stored there")
    items = [f.value(item, kind, ins) for item in elements(ins.operands[1], count, ins)]
    size = size_of(kind) * count
    place = place_of(f, ins, ins.operands[0], space, size)
    note = "global" if space == "global" else "shared"
    return (f"{{ const {ARITHMETIC[kind]} v[{count}] = {{{', '.join(items)}}}; char *at = {place}; "
            f"ptx::note_{note}_write(at, {size}); memcpy(at, v, sizeof(v)); }}")


@instruction("cvta")
def cvta(f: Function, ins: Instruction) -> str:
    """Generic addresses of global memory and of parameters are those of the host; shared memory has a window."""
    kind = type_of(ins)
    a = f.value(ins.operands[1], "u64", ins)
    modifiers = [p for p in ins.parts[1:-1]]
    if modifiers[-1] in ("global", "param"):
        return f.assign(ins.operands[0], kind, a, ins)
    if modifiers == ["to", "shared"]:
        return f.assign(ins.operands[0], kind, f"ptx::to_shared({a}, {ins.line})", ins)
    if modifiers == ["shared"]:
        return f.assign(ins.operands[0], kind, f"ptx::to_generic({a})", ins)
    ins.refuse("not translated")


@instruction("prefetch", "prefetchu", "applypriority", "discard")
def nothing(_f: Function, _ins: Instruction) -> str:
    return ";"


# ---- cp.async ----

@instruction("cp.async.ca.shared", "cp.async.cg.shared", "cp.async.ca.shared::cta", "cp.async.cg.shared::cta")
def copy_async(f: Function, ins: Instruction) -> str:
    if any(p not in HINTS | {"cp", "async", "shared", "shared:cta", "global"} for p in ins.parts):
        ins.refuse("not translated")
    size = ins.operands[2]
    if not isinstance(size, Immediate) or size.value not in (4, 8, 16) or (size.value < 16 and ".cg." in ins.opcode):
        ins.refuse("16 bytes, or with .ca 4 or 8, can be copied")
    source = f.value(ins.operands[3], "u32", ins) if len(ins.operands) > 3 else f"{size.value}u"
    return (f"ptx::copy_async(shared, {address_of(f, ins.operands[0], 'u32', ins)}, "
            f"{address_of(f, ins.operands[1], 'u64', ins)}, {size.value}, {source}, {ins.line});")


@instruction("cp.async.commit_group")
def copy_commit(_f: Function, _ins: Instruction) -> str:
    return "emu::copy_async_commit();"


@instruction("cp.async.wait_group", "cp.async.wait_all")
def copy_wait(f: Function, ins: Instruction) -> str:
    if not ins.operands:
        return "emu::copy_async_commit(); emu::copy_async_wait(0);"
    return f"emu::copy_async_wait({f.value(ins.operands[0], 's32', ins)});"


@instruction("atom", "red")
def atomic(f: Function, ins: Instruction) -> str:
    """Threads take turns only where they wait: whatever is done between is done at once."""
    kind = type_of(ins)
    words = [p for p in ins.parts[1:-1] if p not in HINTS]
    space = SPACES.get(words[0], "") if words and words[0] in SPACES else ""
    operation = words[-1]
    has_result = ins.parts[0] == "atom"
    address, *arguments = ins.operands[has_result:]
    v = [f.value(a, kind, ins) for a in arguments]
    result = {"add": "old + {0}", "exch": "{0}", "min": "ptx::least(old, {0})", "max": "ptx::most(old, {0})",
              "and": "old & {0}", "or": "old | {0}", "xor": "old ^ {0}", "cas": "old == {0} ? {1} : old"}.get(operation)
    if not result or (is_float(kind) and operation not in ("add", "exch")):
        ins.refuse("not translated")
    place = place_of(f, ins, address, space, size_of(kind))
    target = f.assign(ins.operands[0], kind, "old", ins) if has_result else ""
    ctype = ARITHMETIC[kind]
    return (f"{{ {ctype} old, next; char *at = {place}; ptx::note_atomic(at); memcpy(&old, at, sizeof(old)); "
            f"next = {result.format(*v)}; memcpy(at, &next, sizeof(next)); ptx::note_atomic_end(at); {target} }}")
