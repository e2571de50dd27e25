"""Instructions with which threads wait for each other, and those of whole warps: barriers, shuffles, votes, fences.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

from arithmetic import predicate
from function import Function, instruction
from memory import address_of
from ptx import Instruction, Negated, Pair, Register, Sink


@instruction("bar.sync", "barrier.sync", "bar.arrive", "barrier.arrive")
def bar(f: Function, ins: Instruction) -> str:
    threads = f.value(ins.operands[1], "u32", ins) if len(ins.operands) > 1 else "0"
    name = "bar_arrive" if "arrive" in ins.parts else "bar_sync"
    return f"ptx::{name}({f.value(ins.operands[0], 'u32', ins)}, {threads}, {ins.line});"


@instruction("bar.warp.sync")
def bar_warp(f: Function, ins: Instruction) -> str:
    return f"emu::warp_barrier({f.value(ins.operands[0], 'u32', ins)}, {ins.line});"


@instruction("shfl.sync")
def shuffle(f: Function, ins: Instruction) -> str:
    mode = ins.parts[2]
    kind = {"idx": "SHUFFLE_INDEX", "bfly": "SHUFFLE_XOR", "down": "SHUFFLE_DOWN", "up": "SHUFFLE_UP"}.get(mode)
    if not kind or ins.parts[3:] != ["b32"]:
        ins.refuse("not translated")
    target = ins.operands[0]
    result, inside = (target.first, target.second) if isinstance(target, Pair) else (target, Sink())
    arguments = ", ".join(f.value(o, "u32", ins) for o in ins.operands[1:])
    return (f"{{ bool inside; const uint32_t v = ptx::shuffle(emu::{kind}, {arguments}, &inside, {ins.line}); "
            f"{f.assign(result, 'b32', 'v', ins)} {f.assign(inside, 'pred', 'inside', ins)} }}")


@instruction("vote.sync")
def vote(f: Function, ins: Instruction) -> str:
    given, mask = predicate(f, ins, 1), f.value(ins.operands[2], "u32", ins)
    votes = f"emu::ballot({mask}, {given}, {ins.line})"
    result = {"ballot": votes, "any": f"{votes} != 0", "all": f"{votes} == {mask}"}.get(ins.parts[2])
    if not result:
        ins.refuse("not translated")
    return f.assign(ins.operands[0], "b32" if ins.parts[2] == "ballot" else "pred", result, ins)


@instruction("membar", "fence.acq_rel", "fence.sc", "griddepcontrol")
def nothing(_f: Function, _ins: Instruction) -> str:
    """Threads see each other's stores at once, and a grid starts when the one before it has ended."""
    return ";"


@instruction("fence.proxy.async", "fence.proxy.async.shared::cta", "fence.proxy.async.global")
def proxy_fence(_f: Function, ins: Instruction) -> str:
    return ";" if ins.opcode.endswith("global") else "ptx::proxy_fence();"


@instruction("fence.mbarrier_init")
def init_fence(_f: Function, _ins: Instruction) -> str:
    return "emu::mbar_fence();"


@instruction("setmaxnreg.inc.sync.aligned", "setmaxnreg.dec.sync.aligned")
def setmaxnreg(f: Function, ins: Instruction) -> str:
    increases = "true" if "inc" in ins.parts else "false"
    return f"ptx::set_registers({f.value(ins.operands[0], 'u32', ins)}, {increases}, {ins.line});"


# ---- mbarriers ----

def _mbarrier(ins: Instruction, *modifiers: str) -> None:
    allowed = {"mbarrier", "shared", "shared:cta", "b64", "release", "acquire", "cta", *modifiers}
    if not set(ins.parts) <= allowed:
        ins.refuse("not translated")


@instruction("mbarrier.init")
def mbarrier_init(f: Function, ins: Instruction) -> str:
    _mbarrier(ins, "init")
    return (f"emu::mbar_init(ptx::barrier_at(shared, {address_of(f, ins.operands[0], 'u32', ins)}, {ins.line}), "
            f"{f.value(ins.operands[1], 's32', ins)}, {ins.line});")


@instruction("mbarrier.arrive")
def mbarrier_arrive(f: Function, ins: Instruction) -> str:
    _mbarrier(ins, "arrive", "expect_tx")
    if not isinstance(ins.operands[0], Sink):
        ins.refuse("the state of an arrival is not translated")
    expects = "expect_tx" in ins.parts
    if len(ins.operands) != 2 + expects:
        ins.refuse("a count of arrivals is not translated")
    size = f.value(ins.operands[2], "s32", ins) if expects else "0"
    return (f"emu::mbar_arrive(ptx::barrier_at(shared, {address_of(f, ins.operands[1], 'u32', ins)}, {ins.line}), "
            f"{size}, {ins.line});")


@instruction("mbarrier.try_wait", "mbarrier.test_wait")
def mbarrier_wait(f: Function, ins: Instruction) -> str:
    _mbarrier(ins, "try_wait", "test_wait", "parity")
    if "parity" not in ins.parts or not isinstance(ins.operands[0], Register):
        ins.refuse("not translated")
    return f.assign(ins.operands[0], "pred",
                    f"ptx::try_wait(ptx::barrier_at(shared, {address_of(f, ins.operands[1], 'u32', ins)}, {ins.line}), "
                    f"{f.value(ins.operands[2], 'u32', ins)}, {ins.line})", ins)


# ---- Branches ----

def label(name: str) -> str:
    return "label_" + name.replace("$", "_")


@instruction("bra")
def bra(_f: Function, ins: Instruction) -> str:
    target = ins.operands[0]
    if isinstance(target, (Register, Negated)) or not hasattr(target, "name"):
        ins.refuse("a label is expected")
    return f"goto {label(target.name)};"


@instruction("brx")
def brx(f: Function, ins: Instruction) -> str:
    table = getattr(ins.operands[1], "name", "")
    if table not in f.kernel.tables:
        ins.refuse(f"there is no table {table}")
    cases = " ".join(f"case {i}: goto {label(name)};" for i, name in enumerate(f.kernel.tables[table]))
    return (f"switch ({f.value(ins.operands[0], 'u32', ins)}) {{ {cases} "
            f"default: emu::fail({ins.line}, \"a branch outside of its table\"); }}")


@instruction("ret", "exit")
def leave(_f: Function, _ins: Instruction) -> str:
    return "return;"


@instruction("trap")
def trap(_f: Function, ins: Instruction) -> str:
    return f"emu::fail({ins.line}, \"trap\");"
