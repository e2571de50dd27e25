"""Instructions of the matrix units and the tensor memory accelerator. Runs of ldmatrix and of mma become one call each,
in which a warp meets once.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import re

from function import Function, instruction
from memory import address_of, elements
from ptx import Address, Immediate, Instruction, Operand, Register, Vector

MMA = "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"
LDMATRIX = re.compile(r"ldmatrix\.sync\.aligned\.m8n8\.x([124])(\.trans)?\.shared(::cta)?\.b16")
STMATRIX = re.compile(r"stmatrix\.sync\.aligned\.m8n8\.x([124])(\.trans)?\.shared(::cta)?\.b16")
WGMMA = re.compile(r"wgmma\.mma_async\.sync\.aligned\.m64n(\d+)k16\.f32\.f16\.f16")
TENSOR_LOAD = re.compile(r"cp\.async\.bulk\.tensor\.([1-5])d\.shared::(?:cluster|cta)\.global(?:\.tile)?"
                         r"\.mbarrier::complete_tx::bytes")
TENSOR_STORE = re.compile(r"cp\.async\.bulk\.tensor\.([1-5])d\.global\.shared::cta(?:\.tile)?\.bulk_group")


def batch_key(ins: Instruction) -> str:
    """Instructions of one key may become one call; "" for those that are alone."""
    if ins.guard is None and (ins.opcode == MMA or LDMATRIX.fullmatch(ins.opcode)):
        return ins.opcode
    return ""


def translate_batch(f: Function, batch: list[Instruction]) -> str:
    return _mma(f, batch) if batch[0].opcode == MMA else _ldmatrix(f, batch)


def _ldmatrix(f: Function, batch: list[Instruction]) -> str:
    match = LDMATRIX.fullmatch(batch[0].opcode)
    assert match
    matrices, count = int(match[1]), len(batch)
    at = ", ".join(address_of(f, ins.operands[1], "u32", ins) for ins in batch)
    results = " ".join(f.assign(item, "b32", f"m[{i}][{j}]", ins) for i, ins in enumerate(batch)
                       for j, item in enumerate(elements(ins.operands[0], matrices, ins)))
    return (f"{{ uint32_t m[{count}][4]; const uint32_t at[{count}] = {{{at}}}; "
            f"ptx::ldmatrix(m, at, {count}, {matrices}, {'true' if match[2] else 'false'}, shared, {batch[0].line}); "
            f"{results} }}")


def _mma(f: Function, batch: list[Instruction]) -> str:
    """Factors that several products share are given once."""
    factors: tuple[dict[str, int], dict[str, int]] = ({}, {})
    sums, pairs = [], []
    for ins in batch:
        pair = []
        for which, count in enumerate((4, 2)):
            items = elements(ins.operands[1 + which], count, ins)
            text = ", ".join(f.value(item, "b32", ins) for item in items)
            pair.append(factors[which].setdefault(text, len(factors[which])))
        pairs.append(f"{{{pair[0]}, {pair[1]}}}")
        sums.append("{" + ", ".join(f.value(item, "f32", ins) for item in elements(ins.operands[3], 4, ins)) + "}")
    a, b = ("".join(f"{{{text}}}, " for text in texts) for texts in factors)
    results = " ".join(f.assign(item, "f32", f"d[{i}][{j}]", ins) for i, ins in enumerate(batch)
                       for j, item in enumerate(elements(ins.operands[0], 4, ins)))
    return (f"{{ float d[][4] = {{{', '.join(sums)}}}; const uint32_t a[][4] = {{{a}}}, b[][2] = {{{b}}}; "
            f"static const uint8_t pairs[][2] = {{{', '.join(pairs)}}}; "
            f"ptx::mma(d, a, {len(factors[0])}, b, {len(factors[1])}, pairs, {len(batch)}, {batch[0].line}); "
            f"{results} }}")


@instruction("stmatrix")
def stmatrix(f: Function, ins: Instruction) -> str:
    match = STMATRIX.fullmatch(ins.opcode)
    if not match:
        ins.refuse("not translated")
    matrices = int(match[1])
    items = ", ".join(f.value(item, "b32", ins) for item in elements(ins.operands[1], matrices, ins))
    return (f"{{ const uint32_t m[4] = {{{items}}}; ptx::stmatrix({address_of(f, ins.operands[0], 'u32', ins)}, m, "
            f"{matrices}, {'true' if match[2] else 'false'}, shared, {ins.line}); }}")


@instruction("mma", "ldmatrix")
def alone(f: Function, ins: Instruction) -> str:
    if ins.opcode != MMA and not LDMATRIX.fullmatch(ins.opcode):
        ins.refuse("this shape is not translated")
    return translate_batch(f, [ins])


# ---- wgmma ----

def accumulators(ins: Instruction) -> list[str]:
    """The registers that are accumulators of a product."""
    if not ins.opcode.startswith("wgmma.mma_async") or not isinstance(ins.operands[0], Vector):
        return []
    return [item.name for item in ins.operands[0].items if isinstance(item, Register)]


@instruction("wgmma.mma_async")
def wgmma(f: Function, ins: Instruction) -> str:
    match = WGMMA.fullmatch(ins.opcode)
    if not match:
        ins.refuse("not translated")
    columns = int(match[1])
    registers = accumulators(ins)
    if columns % 8 or columns > 256 or len(registers) != columns // 2 or len(ins.operands) != 8:
        ins.refuse("the operands do not fit the shape")
    if len(set(registers)) != len(registers):
        ins.refuse("two accumulators in one register")
    scale, *rest = ins.operands[3:]
    if any(not isinstance(o, Immediate) for o in rest):
        ins.refuse("the signs of factors and whether they are transposed must be constants")
    scale_a, scale_b, transpose_a, transpose_b = (o.value for o in rest if isinstance(o, Immediate))
    table = f"slots_{ins.line}"
    f.constants.append(f"static const uint16_t {table}[] = {{{', '.join(str(f.slots[r]) for r in registers)}}};")
    return (f"ptx::wgmma(sums.frame(), {table}, {columns}, {f.value(ins.operands[1], 'u64', ins)}, "
            f"{f.value(ins.operands[2], 'u64', ins)}, {{{f.value(scale, 'pred', ins)}, "
            f"{'true' if scale_a * scale_b < 0 else 'false'}, {'true' if transpose_a else 'false'}, "
            f"{'true' if transpose_b else 'false'}}}, shared, {ins.line});")


@instruction("wgmma.fence", "wgmma.commit_group", "wgmma.wait_group")
def wgmma_order(f: Function, ins: Instruction) -> str:
    if ins.parts[2:] != ["sync", "aligned"]:
        ins.refuse("not translated")
    name = ins.parts[1].replace("_group", "")
    pending = f"{f.value(ins.operands[0], 's32', ins)}, " if name == "wait" else ""
    return f"ptx::wgmma_{name}({pending}{ins.line});"


# ---- The tensor memory accelerator ----

def _tensor(f: Function, ins: Instruction, operand: Operand, rank: int) -> str:
    """The address of the map and an array of coordinates."""
    if not isinstance(operand, Address) or operand.coordinates is None or len(operand.coordinates) != rank:
        ins.refuse(f"a tensor with {rank} coordinates is expected")
    coordinates = ", ".join(f.value(c, "s32", ins) for c in operand.coordinates)
    place = address_of(f, Address(operand.base, operand.offset), "u64", ins)
    return f"{{ const int c[] = {{{coordinates}}}; const uint64_t map = {place}; "


@instruction("cp.async.bulk.tensor")
def tensor_copy(f: Function, ins: Instruction) -> str:
    load, store = TENSOR_LOAD.fullmatch(ins.opcode), TENSOR_STORE.fullmatch(ins.opcode)
    if load and len(ins.operands) == 3:
        return (f"{_tensor(f, ins, ins.operands[1], int(load[1]))}ptx::tensor_load(shared, "
                f"{address_of(f, ins.operands[0], 'u32', ins)}, map, {address_of(f, ins.operands[2], 'u32', ins)}, "
                f"{load[1]}, c, {ins.line}); }}")
    if store and len(ins.operands) == 2:
        return (f"{_tensor(f, ins, ins.operands[0], int(store[1]))}ptx::tensor_store(shared, "
                f"{address_of(f, ins.operands[1], 'u32', ins)}, map, {store[1]}, c, {ins.line}); }}")
    ins.refuse("not translated")


@instruction("cp.async.bulk.commit_group")
def bulk_commit(_f: Function, _ins: Instruction) -> str:
    return "ptx::bulk_commit();"


@instruction("cp.async.bulk.wait_group")
def bulk_wait(f: Function, ins: Instruction) -> str:
    return f"ptx::bulk_wait({f.value(ins.operands[0], 's32', ins)}, {ins.line});"


@instruction("prefetch.tensormap")
def nothing(_f: Function, _ins: Instruction) -> str:
    return ";"
