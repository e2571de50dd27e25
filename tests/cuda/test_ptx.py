"""The translator of PTX (tests/cuda/ptx): what it refuses, and the instructions that today's kernels do not have.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import TOP

TRANSLATE = TOP / "tests/cuda/ptx/translate.py"
MACHINE = [TOP / f"tests/cuda/ptx/{name}.cpp" for name in ("machine", "matrices", "warpgroups")]
ENGINE = [TOP / f"tests/cuda/emu/{name}.cpp" for name in ("emu", "fiber", "warp", "async", "wgmma")]

MODULE = """\
.version 7.8
.target sm_80
.address_size 64
.visible .entry probe(
        .param .u64 probe_param_0
)
{{
        .reg .pred %p<4>;
        .reg .b16 %rs<4>;
        .reg .b32 %r<16>;
        .reg .f32 %f<4>;
        .reg .b64 %rd<4>;
        ld.param.u64 %rd0, [probe_param_0];
{body}
        ret;
}}
"""

MAIN = r"""
#include <stdio.h>
#include "tests/cuda/emu/emu.h"
int main()
{
    unsigned out[64] = {}, *pointer = out;
    void *parameters[] = {&pointer};
    if (emu::launch(emu::find("probe"), {1, 1, 1}, {32, 1, 1}, 256, parameters))
        return 1;
    for (unsigned word : out)
        printf("%08x\n", word);
}
"""

# Instructions with %r1 = 0x89abcdef, %r2 = 5, %r3 = 0xfedc4321, %r4 = 40, %f1 = 1.5, and what %r0 is then.
ARITHMETIC = {
    "prmt.b32 %r0, %r1, %r3, 0x7052;": 0xfeef43ab,
    "prmt.b32 %r0, %r1, %r3, 0xf;": 0xefefefff,
    "bfe.u32 %r0, %r1, 8, 12;": 0xbcd,
    "bfe.s32 %r0, %r1, 8, 12;": 0xfffffbcd,
    "bfi.b32 %r0, %r2, %r1, 4, 8;": 0x89abc05f,
    "shf.l.wrap.b32 %r0, %r1, %r3, 8;": 0xdc432189,
    "shf.r.clamp.b32 %r0, %r1, %r3, 4;": 0x189abcde,
    "shl.b32 %r0, %r1, %r4;": 0,
    "shr.s32 %r0, %r1, %r4;": 0xffffffff,
    "shr.u32 %r0, %r1, %r4;": 0,
    "brev.b32 %r0, %r2;": 0xa0000000,
    "popc.b32 %r0, %r1;": bin(0x89abcdef).count("1"),
    "clz.b32 %r0, %r2;": 29,
    "lop3.b32 %r0, %r1, %r2, %r3, 0x96;": 0x89abcdef ^ 5 ^ 0xfedc4321,
    "div.s32 %r0, %r1, %r2;": -((0x100000000 - 0x89abcdef) // 5) & 0xffffffff,
    "rem.s32 %r0, %r1, %r2;": -((0x100000000 - 0x89abcdef) % 5) & 0xffffffff,
    "div.u32 %r0, %r1, 0;": 0xffffffff,
    "mul.hi.s32 %r0, %r1, %r3;": ((0x89abcdef - (1 << 32)) * (0xfedc4321 - (1 << 32)) >> 32) & 0xffffffff,
    "mad.lo.s32 %r0, %r1, %r2, %r3;": (0x89abcdef * 5 + 0xfedc4321) & 0xffffffff,
    "neg.s32 %r0, %r2;": 0xfffffffb,
    "max.s32 %r0, %r1, %r2;": 5,
    "max.u32 %r0, %r1, %r2;": 0x89abcdef,
    # 1.5 - 2^-26 to the nearest, and down
    "fma.rn.f32 %f0, %f1, 0f3F800000, 0fB2800000; mov.b32 %r0, %f0;": 0x3fc00000,
    "fma.rm.f32 %f0, %f1, 0f3F800000, 0fB2800000; mov.b32 %r0, %f0;": 0x3fbfffff,
    "max.f32 %f0, %f1, 0f7FC00000; mov.b32 %r0, %f0;": 0x3fc00000,
    "min.f32 %f0, 0f80000000, 0f00000000; mov.b32 %r0, %f0;": 0x80000000,
    "cvt.rni.s32.f32 %r0, 0f40200000;": 2,
    "cvt.rpi.s32.f32 %r0, %f1;": 2,
    "cvt.rzi.u32.f32 %r0, 0fBFC00000;": 0,
    "cvt.rzi.s32.f32 %r0, 0f60AD78EC;": 0x7fffffff,
    "cvt.rn.f16x2.f32 %r0, %f1, 0f3F800000;": 0x3e003c00,
    "cvt.rn.relu.f16x2.f32 %r0, %f1, 0fBF800000;": 0x3e000000,
    "cvt.rn.relu.f16x2.f32 %r0, 0fFF800000, %f1;": 0x00003e00,
    "mov.b32 %r0, 0x3c003c00; add.f16x2 %r0, %r0, %r0;": 0x40004000,
    "mov.b32 %r0, 0x3c003c00; fma.rn.f16x2 %r0, %r0, %r0, %r0;": 0x40004000,
    "setp.ltu.f32 %p0, %f1, 0f7FC00000; selp.b32 %r0, 1, 2, %p0;": 1,
    "setp.lt.f32 %p0, %f1, 0f7FC00000; selp.b32 %r0, 1, 2, %p0;": 2,
    "setp.ne.f32 %p0, %f1, 0f7FC00000; selp.b32 %r0, 1, 2, %p0;": 2,
    "setp.neu.f32 %p0, %f1, 0f7FC00000; selp.b32 %r0, 1, 2, %p0;": 1,
    "setp.gt.s32 %p0, %r1, 0; @%p0 mov.b32 %r0, 7; @!%p0 mov.b32 %r0, 8;": 8,
    "mov.u32 %r5, 1; T: .branchtargets A, B; brx.idx %r5, T; A: mov.b32 %r0, 7; bra C; B: mov.b32 %r0, 8; C:": 8,
    "mov.b64 %rd1, {%r1, %r2}; mov.b64 {%r5, %r0}, %rd1;": 5,
    # a product and a sum that may be one operation
    "mul.f32 %f2, %f1, 0f3F800001; add.f32 %f0, %f2, 0fBFC00000; mov.b32 %r0, %f0;": 0x34400000,
    "mul.rn.f32 %f2, %f1, 0f3F800001; add.f32 %f0, %f2, 0fBFC00000; mov.b32 %r0, %f0;": 0x34800000,
    "mov.u32 %r5, %laneid; vote.sync.ballot.b32 %r0, 1, 0xffffffff;": 0xffffffff,
    "mov.u32 %r5, 1088; mov.u32 %r6, %laneid; st.shared.u32 [%r5], 9; ld.shared.u32 %r0, [%r5];": 9,
}

START = """\
        mov.u32 %r1, 0x89abcdef;
        mov.u32 %r2, 5;
        mov.u32 %r3, 0xfedc4321;
        mov.u32 %r4, 40;
        mov.f32 %f1, 0f3FC00000;
"""

# Text that must be refused, and what is said of it.
REFUSED = {
    "foo.b32 %r0, %r1;": "foo.b32: this instruction is not known",
    "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%f0}, {%r0}, {%r1}, {%f0};": "this shape is not translated",
    "ld.param.u32 %r0, [probe_param_0+8];": "outside of the parameter",
    "mov.u32 %r99, 1;": "%r99 is not declared",
    "add.f32 %f0, %f1, 1;": "an integer where a float is expected",
    "ld.local.u32 %r0, [%rd0];": "local is not translated",
    "add.s32 %r0, %r1": ", expected, not 'ret'",
}


def translate(folder: Path, body: str) -> subprocess.CompletedProcess:
    source = folder / "probe.ptx"
    source.write_text(MODULE.format(body=body))
    return subprocess.run([sys.executable, TRANSLATE, source, "-o", folder / "probe.cpp"], capture_output=True,
                          text=True, check=False)


def labelled(text: str, number: int) -> str:
    """With labels of its own."""
    return re.sub(r"\b([ABCT])\b(?=[:,;]|$)", rf"\g<1>{number}", text)


@pytest.fixture(name="program", scope="module")
def build_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probe")
    body = START + "".join(f"{labelled(text, i)}\nst.global.u32 [%rd0+{4 * i}], %r0;\n"
                           for i, text in enumerate(ARITHMETIC))
    done = translate(folder, body)
    assert done.returncode == 0, done.stderr
    (folder / "main.cpp").write_text(MAIN)
    subprocess.run([os.environ.get("CXX", "g++"), "-std=c++17", "-O1", "-march=native", "-fno-strict-aliasing",
                    "-ffp-contract=off", "-pthread", f"-I{TOP}", folder / "main.cpp", folder / "probe.cpp", *MACHINE,
                    *ENGINE, "-o", folder / "probe"], check=True)
    return folder / "probe"


def results(program: Path, **environment: str) -> list[int]:
    done = subprocess.run([program], env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [int(line, 16) for line in done.stdout.split()]


def test_arithmetic(program: Path) -> None:
    found = dict(zip(ARITHMETIC, results(program)))
    wrong = [f"{text} gives {found[text]:08x}, not {right:08x}" for text, right in ARITHMETIC.items()
             if found[text] != right]
    assert not wrong, "\n".join(wrong)


def test_contraction_is_a_choice(program: Path) -> None:
    """Only where PTX leaves it open."""
    changed = [(text, a, b) for text, a, b in zip(ARITHMETIC, results(program), results(program, EMU_CONTRACT="no"))
               if a != b]
    assert [(a, b) for _, a, b in changed] == [(0x34400000, 0x34800000)] and changed[0][0].startswith("mul.f32")


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_not_known_is_refused(text: str, tmp_path: Path) -> None:
    done = translate(tmp_path, text)
    assert done.returncode == 1 and not (tmp_path / "probe.cpp").exists()
    assert re.search(r"probe\.ptx: line 1[2-5]: ", done.stderr) and REFUSED[text] in done.stderr, done.stderr
