"""Instructions that compute: integers, floats, bits, comparisons and conversions.

Floats are rounded as the instruction says and nothing is contracted by the host's compiler (-ffp-contract=off). Where
PTX leaves it to its assembler whether a product and a sum become one operation, that of add.f32 without .rn, both ways
can be run: see ptx::sum_of_product.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

from function import ARITHMETIC, BITS, Function, instruction, is_float
from ptx import Immediate, Instruction, Negated, Pair, Register, Vector

ROUNDINGS = {"rn", "rz", "rm", "rp", "rni", "rzi", "rmi", "rpi", "approx", "full"}
TYPES = set(BITS)


def type_of(ins: Instruction) -> str:
    if ins.parts[-1] not in TYPES:
        ins.refuse("this type is not known")
    return ins.parts[-1]


def allow(ins: Instruction, *modifiers: str) -> set[str]:
    """The words between the name and the type, each of which must be one of these."""
    found = set(ins.parts[1:]) - TYPES
    if not found <= set(modifiers):
        ins.refuse(f"not translated: {', '.join(sorted(found - set(modifiers)))}")
    return found


def values(f: Function, ins: Instruction, kind: str, count: int) -> list[str]:
    """The operands behind the result."""
    if len(ins.operands) != count + 1:
        ins.refuse(f"{count + 1} operands expected")
    return [f.value(operand, kind, ins) for operand in ins.operands[1:]]


# ---- Sums and products ----

def _float_sum(f: Function, ins: Instruction, kind: str) -> str:
    modifiers = allow(ins, "rn", "sat")
    a, b = values(f, ins, kind, 2)
    sign = "-" if ins.parts[0] == "sub" else ""
    result = f"{a} {sign or '+'} {b}"
    if kind == "f32" and not modifiers:
        names = [o.name if isinstance(o, Register) else "" for o in ins.operands[1:]]
        for product, sum_, first, minus in ((names[1], a, sign, False), (names[0], b, "", sign == "-")):
            if product in f.products:
                x, y = (f.value(factor, kind, ins) for factor in f.products[product])
                result = f"ptx::sum_of_product({first}{x}, {y}, {'-' if minus else ''}{sum_}, {result})"
                break
    return f"ptx::saturate({result})" if "sat" in modifiers else result


@instruction("add", "sub")
def add(f: Function, ins: Instruction) -> str:
    kind = type_of(ins)
    if is_float(kind):
        result = _float_sum(f, ins, kind)
    elif kind in ("f16", "f16x2"):
        allow(ins, "rn")
        a, b = values(f, ins, kind, 2)
        result = f"ptx::{ins.parts[0]}_{kind}({a}, {b})"
    else:
        allow(ins)
        kind = kind.replace("s", "u")
        a, b = values(f, ins, kind, 2)
        result = f"({ARITHMETIC[kind]})({a} {'+' if ins.parts[0] == 'add' else '-'} {b})"
    return f.assign(ins.operands[0], kind, result, ins)


@instruction("mul")
def mul(f: Function, ins: Instruction) -> str:
    kind = type_of(ins)
    if is_float(kind):
        return _float_product(f, ins, kind)
    if kind in ("f16", "f16x2"):
        allow(ins, "rn")
        a, b = values(f, ins, kind, 2)
        return f.assign(ins.operands[0], kind, f"ptx::mul_{kind}({a}, {b})", ins)
    (part,) = allow(ins, "lo", "hi", "wide")
    a, b = values(f, ins, kind, 2)
    result, kind = _product(ins, part, kind, a, b)
    return f.assign(ins.operands[0], kind, result, ins)


def _float_product(f: Function, ins: Instruction, kind: str) -> str:
    modifiers = allow(ins, "rn", "sat")
    a, b = values(f, ins, kind, 2)
    result = f"{a} * {b}"
    statement = f.assign(ins.operands[0], kind, f"ptx::saturate({result})" if "sat" in modifiers else result, ins)
    target, *factors = ins.operands
    if kind == "f32" and not modifiers and target not in factors and isinstance(target, Register):
        f.products[target.name] = factors
    return statement


def _product(ins: Instruction, part: str, kind: str, a: str, b: str) -> tuple[str, str]:
    """A product of integers and its type. Signed ones are computed as unsigned, where nothing can overflow."""
    bits = BITS[kind]
    if part == "lo":
        plain = f"u{bits}"
        return f"({ARITHMETIC[plain]})((uint{max(bits, 32)}_t){a} * {b})", plain
    if part == "wide":
        wide = kind[0] + str(2 * bits)
        return f"({ARITHMETIC[wide]}){a} * ({ARITHMETIC[wide]}){b}", wide
    if bits not in (32, 64):
        ins.refuse("this type is not translated")
    return f"ptx::high_product({a}, {b})", kind


@instruction("mad")
def mad(f: Function, ins: Instruction) -> str:
    kind = type_of(ins)
    (part,) = allow(ins, "lo", "wide")
    a, b = (f.value(operand, kind, ins) for operand in ins.operands[1:3])
    product, result = _product(ins, part, kind, a, b)
    result = result.replace("s", "u")
    c = f.value(ins.operands[3], result, ins)
    return f.assign(ins.operands[0], result, f"({ARITHMETIC[result]})({product}) + {c}", ins)


@instruction("fma")
def fma(f: Function, ins: Instruction) -> str:
    kind = type_of(ins)
    modifiers = allow(ins, "rn", "rm", "rp", "rz", "sat", "relu")
    a, b, c = values(f, ins, kind, 3)
    if kind in ("f16", "f16x2") and modifiers == {"rn"}:
        return f.assign(ins.operands[0], kind, f"ptx::fma_{kind}({a}, {b}, {c})", ins)
    if not is_float(kind) or "relu" in modifiers:
        ins.refuse("not translated")
    if modifiers - {"sat"} == {"rn"}:
        result = f"{'__builtin_fmaf' if kind == 'f32' else '__builtin_fma'}({a}, {b}, {c})"
    elif modifiers == {"rm"} and kind == "f32":
        result = f"ptx::fma_down({a}, {b}, {c})"
    else:
        ins.refuse("this rounding is not translated")
    return f.assign(ins.operands[0], kind, f"ptx::saturate({result})" if "sat" in modifiers else result, ins)


@instruction("div", "rem")
def div(f: Function, ins: Instruction) -> str:
    kind = type_of(ins)
    a, b = values(f, ins, kind, 2)
    if is_float(kind):
        allow(ins, "rn", "full", "approx")
        return f.assign(ins.operands[0], kind, f"{a} / {b}", ins)
    allow(ins)
    name = "quotient" if ins.parts[0] == "div" else "remainder"
    return f.assign(ins.operands[0], kind, f"ptx::{name}({a}, {b})", ins)


@instruction("min", "max")
def extreme(f: Function, ins: Instruction) -> str:
    kind = type_of(ins)
    modifiers = allow(ins, "NaN")
    a, b = values(f, ins, kind, 2)
    name = {"min": "least", "max": "most"}[ins.parts[0]]
    if modifiers or (kind.startswith("f") and not is_float(kind)):
        ins.refuse("not translated")
    return f.assign(ins.operands[0], kind, f"ptx::{name}({a}, {b})", ins)


@instruction("neg")
def neg(f: Function, ins: Instruction) -> str:
    kind = type_of(ins)
    allow(ins)
    (a,) = values(f, ins, kind if is_float(kind) else kind.replace("s", "u"), 1)
    result = f"-{a}" if is_float(kind) else f"({ARITHMETIC[kind]})(0u - {a})"
    return f.assign(ins.operands[0], kind, result, ins)


@instruction("abs")
def absolute(f: Function, ins: Instruction) -> str:
    kind = type_of(ins)
    allow(ins)
    (a,) = values(f, ins, kind, 1)
    result = f"ptx::absolute({a})"
    return f.assign(ins.operands[0], kind, result, ins)


# Within the error that PTX allows for these.
@instruction("ex2", "lg2", "sqrt", "rsqrt", "rcp", "sin", "cos", "tanh")
def function(f: Function, ins: Instruction) -> str:
    kind = type_of(ins)
    modifiers = allow(ins, "approx", "ftz", "rn")
    if kind != "f32" or not modifiers:
        ins.refuse("this type is not translated")
    (a,) = values(f, ins, kind, 1)
    result = {"ex2": "exp2f({})", "lg2": "log2f({})", "sqrt": "sqrtf({})", "rsqrt": "1 / sqrtf({})", "rcp": "1 / {}",
              "sin": "sinf({})", "cos": "cosf({})", "tanh": "tanhf({})"}[ins.parts[0]].format(a)
    return f.assign(ins.operands[0], kind, f"ptx::flush({result})" if "ftz" in modifiers else result, ins)


# ---- Bits ----

@instruction("and", "or", "xor")
def logic(f: Function, ins: Instruction) -> str:
    kind = type_of(ins)
    allow(ins)
    a, b = values(f, ins, kind, 2)
    sign = {"and": "&", "or": "|", "xor": "^"}[ins.parts[0]]
    return f.assign(ins.operands[0], kind, f"({ARITHMETIC[kind]})({a} {sign} {b})", ins)


@instruction("not")
def complement(f: Function, ins: Instruction) -> str:
    kind = type_of(ins)
    allow(ins)
    (a,) = values(f, ins, kind, 1)
    return f.assign(ins.operands[0], kind, f"!{a}" if kind == "pred" else f"({ARITHMETIC[kind]})~{a}", ins)


@instruction("shl", "shr")
def shift(f: Function, ins: Instruction) -> str:
    """Shifts by more than the width give zeros, or the sign."""
    kind = type_of(ins)
    allow(ins)
    a, count = f.value(ins.operands[1], kind, ins), ins.operands[2]
    left = ins.parts[0] == "shl"
    if isinstance(count, Immediate) and 0 <= count.value < BITS[kind]:
        return f.assign(ins.operands[0], kind, f"({ARITHMETIC[kind]})({a} {'<<' if left else '>>'} {count.value})", ins)
    return f.assign(ins.operands[0], kind, f"ptx::{'shift_left' if left else 'shift_right'}({a}, "
                                           f"{f.value(count, 'u32', ins)})", ins)


@instruction("shf")
def funnel_shift(f: Function, ins: Instruction) -> str:
    modifiers = allow(ins, "l", "r", "wrap", "clamp")
    a, b, count = values(f, ins, "u32", 3)
    limit = f"{count} & 31" if "wrap" in modifiers else f"ptx::least({count}, 32u)"
    name = "funnel_left" if "l" in modifiers else "funnel_right"
    return f.assign(ins.operands[0], "u32", f"ptx::{name}({a}, {b}, {limit})", ins)


@instruction("bfe", "bfi", "popc", "clz", "brev", "prmt", "lop3")
def fields(f: Function, ins: Instruction) -> str:
    kind = type_of(ins)
    name = ins.parts[0]
    if name == "prmt" and len(ins.parts) > 2:
        ins.refuse("this mode is not translated")
    if name == "bfi":
        arguments = [f.value(o, kind, ins) for o in ins.operands[1:3]]
        arguments += [f.value(o, "u32", ins) for o in ins.operands[3:]]
    elif name == "bfe":
        arguments = [f.value(ins.operands[1], kind, ins)] + [f.value(o, "u32", ins) for o in ins.operands[2:]]
    else:
        arguments = [f.value(o, kind, ins) for o in ins.operands[1:]]
    result = "u32" if name in ("popc", "clz") else kind
    return f.assign(ins.operands[0], result, f"ptx::{name}({', '.join(arguments)})", ins)


# ---- Comparisons and choices ----

ORDERED = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "lo": "<", "ls": "<=", "hi": ">",
           "hs": ">="}
OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}


def comparison(ins: Instruction, name: str, kind: str, a: str, b: str) -> str:
    """Of numbers that may be NaN: equ, neu, ... are true then, and ne is false."""
    if name in ("num", "nan"):
        return f"{'' if name == 'nan' else '!'}__builtin_isunordered({a}, {b})"
    unordered = is_float(kind) and name in ("equ", "neu", "ltu", "leu", "gtu", "geu")
    sign = ORDERED.get(name[:2] if unordered else name)
    if not sign:
        ins.refuse(f"the comparison {name} is not known")
    if unordered:
        return f"{a} != {b}" if sign == "!=" else f"!({a} {OPPOSITE[sign]} {b})" if sign != "==" else \
            f"({a} == {b} || __builtin_isunordered({a}, {b}))"
    if is_float(kind) and sign == "!=":
        return f"({a} < {b} || {a} > {b})"
    return f"{a} {sign} {b}"


@instruction("setp")
def setp(f: Function, ins: Instruction) -> str:
    kind = type_of(ins)
    if kind in ("f16", "f16x2"):
        ins.refuse("this type is not translated")
    name, *combine = [p for p in ins.parts[1:-1] if p != "ftz"]
    a, b = (f.value(o, kind, ins) for o in ins.operands[1:3])
    result = comparison(ins, name, kind, a, b)
    if not combine:
        if isinstance(ins.operands[0], Pair):
            ins.refuse("two results are not translated")
        return f.assign(ins.operands[0], "pred", result, ins)
    sign = {"and": "&", "or": "|", "xor": "^"}.get(combine[0])
    if not sign or len(combine) > 1 or isinstance(ins.operands[0], Pair):
        ins.refuse("not translated")
    return f.assign(ins.operands[0], "pred", f"({result}) {sign} {predicate(f, ins, 3)}", ins)


def predicate(f: Function, ins: Instruction, index: int) -> str:
    operand = ins.operands[index]
    if isinstance(operand, Negated):
        return "!" + f.value(operand.register, "pred", ins)
    return f.value(operand, "pred", ins)


@instruction("selp")
def selp(f: Function, ins: Instruction) -> str:
    kind = type_of(ins)
    allow(ins)
    a, b = (f.value(o, kind, ins) for o in ins.operands[1:3])
    return f.assign(ins.operands[0], kind, f"{predicate(f, ins, 3)} ? {a} : {b}", ins)


@instruction("mov")
def mov(f: Function, ins: Instruction) -> str:
    kind = type_of(ins)
    allow(ins)
    target, source = ins.operands
    if isinstance(target, Vector):
        return _unpack(f, ins, kind)
    if isinstance(source, Vector):
        return _pack(f, ins, kind)
    return f.assign(target, kind, f.value(source, kind, ins), ins)


def _unpack(f: Function, ins: Instruction, kind: str) -> str:
    """The source is read before the first part is written."""
    target = ins.operands[0]
    assert isinstance(target, Vector)
    bits = BITS[kind] // len(target.items)
    whole = f.value(ins.operands[1], f"b{BITS[kind]}", ins)
    parts = [f.assign(item, f"b{bits}", f"(uint{bits}_t)(whole >> {i * bits})", ins)
             for i, item in enumerate(target.items)]
    return f"{{ const uint{BITS[kind]}_t whole = {whole}; {' '.join(parts)} }}"


def _pack(f: Function, ins: Instruction, kind: str) -> str:
    source = ins.operands[1]
    assert isinstance(source, Vector)
    bits, whole = BITS[kind] // len(source.items), f"uint{BITS[kind]}_t"
    parts = [f"({whole}){f.value(item, f'b{bits}', ins)} << {i * bits}" for i, item in enumerate(source.items)]
    return f.assign(ins.operands[0], f"b{BITS[kind]}", " | ".join(parts), ins)


# ---- Conversions ----

@instruction("cvt")
def cvt(f: Function, ins: Instruction) -> str:
    source, target = ins.parts[-1], ins.parts[-2]
    if source not in TYPES or target not in TYPES:
        ins.refuse("these types are not known")
    modifiers = set(ins.parts[1:-2])
    if target == "f16x2" and source == "f32" and modifiers in ({"rn"}, {"rn", "relu"}):
        high, low = values(f, ins, source, 2)
        if "relu" in modifiers:
            high, low = f"ptx::relu({high})", f"ptx::relu({low})"
        return f.assign(ins.operands[0], target, f"ptx::to_half2({low}, {high})", ins)
    if not modifiers <= ROUNDINGS | {"sat"}:
        ins.refuse("not translated")
    (a,) = values(f, ins, source, 1)
    return f.assign(ins.operands[0], target, _converted(ins, a, source, target, modifiers), ins)


def _converted(ins: Instruction, a: str, source: str, target: str, modifiers: set[str]) -> str:
    rounding = next(iter(modifiers - {"sat"}), "")
    if source == "f16" and target == "f32":
        return f"ptx::from_half({a})"
    if source == "f32" and target == "f16" and rounding == "rn":
        return f"ptx::to_half({a})"
    if is_float(source) and is_float(target):
        if BITS[target] < BITS[source] and rounding != "rn":
            ins.refuse("this rounding is not translated")
        result = f"ptx::rounded_{rounding}({a})" if rounding.endswith("i") else f"({ARITHMETIC[target]}){a}"
        return f"ptx::saturate({result})" if "sat" in modifiers else result
    if is_float(source) and not target.startswith("f"):
        return f"ptx::to_integer<{ARITHMETIC[target]}>(ptx::rounded_{rounding}({a}))"
    if is_float(target) and not source.startswith("f") and rounding == "rn":
        return f"({ARITHMETIC[target]}){a}"
    if not source.startswith("f") and not target.startswith("f"):
        if "sat" in modifiers:
            return f"ptx::clamped<{ARITHMETIC[target]}>({a})"
        return f"({ARITHMETIC[target]}){a}"
    ins.refuse("this conversion is not translated")
