"""Bugs that are planted in the PTX of the library's kernels, one at a time, and what finds each.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import re
from typing import NamedTuple

WRONG = r"^not ok"  # the result differs from the C twin's
DEADLOCK = r"^EMU: deadlock"


class Edit(NamedTuple):
    """Replaces what the pattern finds in a kernel: every time, or the first `count` times."""
    pattern: str
    replacement: str
    count: int = 0


class Bug(NamedTuple):
    """target: of TARGETS. message: what the program must say, a regular expression of a line."""
    name: str
    target: str
    edits: list[Edit]
    message: str
    mode: str = "greedy lazy"


class Target(NamedTuple):
    """A kernel, the file of its PTX, and the case of test_cuda_ops that runs it on a device of this kind."""
    file: str
    kernel: str
    case: str
    device: str


TARGETS = {
    "gather": Target("conv_mma.80", "sbv_conv_mma_gather_32",
                     "conv fusion: 320 to 128, k3 s1 d1, 19x5, gather 32", "80"),
    "halo": Target("conv_mma.80", "sbv_conv_mma_halo_32", "conv fusion: 320 to 128, k3 s1 d1, 19x5, halo 32", "80"),
    "wgmma": Target("conv_wgmma.90a", "sbv_conv_wgmma_64_residual", "conv on Hopper 64->64 50x66, tiles of one block", "90"),
    "deep": Target("conv_wgmma.90a", "sbv_conv_wgmma_64_residual", "conv on Hopper 192->64 33x33, tiles of one block", "90"),
    "shared": Target("conv_wgmma.90a", "sbv_conv_wgmma_128_relu", "conv on Hopper 128->128 25x65, tiles of one block", "90"),
    "volume": Target("cost_volume.80", "sbv_cost_volume", "cost_volume f16", "80"),
    "pool": Target("pool.80", "sbv_adaptive_pool", "adaptive_pool f32", "80"),
    "resize": Target("resize.80", "sbv_resize", "resize 13x9x3", "80"),
    "softmax": Target("dense.80", "sbv_softmax", "softmax 1300", "80"),
}

REGISTER = r"(%\w+)"
TWO = rf"{REGISTER}, *{REGISTER}"
FOUR = rf"{TWO}, *{TWO}"
MMA = r"(mma\.sync\.aligned\.m16n8k16\.\S+\s+\{[^}]*\}, *)"
LDMATRIX = r"(ldmatrix\.sync\.aligned\.m8n8\.x4\.)"
PRODUCT = r"(wgmma\.mma_async\.\S+ \{[^}]*\}, *)"
DESCRIPTOR = r"\b46116862933053603(\d\d)\b"  # 1 << 62 | 64 << 32 | 1 << 16, and the columns: 84, 86, 88, 90
TENSOR = r"(cp\.async\.bulk\.tensor\.3d\.\S+ )"
SHUFFLE = r"(shfl\.sync\.bfly\.b32\s+[^,]*, %\w+,) ([^,]*), ([^,]*), ([^;]*);"
TRY = r"(?:mbarrier\.try_wait\.parity\.\S+ p, \[%\w+\], )"
ANYTHING = r"(?:.|\n)*?"
WAIT = TRY + r"%\w+;"
AT_ONCE = "setp.eq.u32 p, 0, 0;"
ARRIVE = r"mbarrier\.arrive\.shared::cta\.b64 _, \[%\w+\];"
# Where the barriers of the Hopper convolution with 64 and with 128 outputs begin that are no part of a ring, see conv_params.h:
# whose turn it is, whether the place for the results is ready, whether the results are done; of two warpgroups each.
TURN, READY, DONE = (4 * 34816 + 9 * 8192 + 8 * (2 * (4 + 9) + i) for i in (0, 2, 4))
TURN_128 = 4 * 34816 + 10 * 8192 + 8 * 2 * (4 + 10)


def at_barrier(barrier: int, instruction: str, replacement: str = "") -> Edit:
    """Replaces the instruction that follows the address of a barrier, the first such one of its kind."""
    return Edit(rf"(, {barrier};(?:(?!mbarrier)(?:.|\n))*?){instruction}", rf"\1{replacement}", 1)


def descriptor(swizzle: int, stride: int, leading: int) -> list[Edit]:
    """The descriptors of wgmma with other fields; stride and leading in 16 bytes."""
    base = swizzle << 62 | stride << 32 | leading << 16
    base -= 1 << 64 if base >> 63 else 0
    return [Edit(rf"\b46116862933053603{84 + k}\b", str(base + k)) for k in (0, 2, 4, 6)]


def of_one_lane(instruction: str) -> str:
    """An instruction that lane 0 alone executes."""
    return ("{ .reg .pred q; .reg .b32 t; mov.u32 t, %tid.x; and.b32 t, t, 31; setp.eq.u32 q, t, 0;\n"
            f"@q {instruction};\n}}")


# The first word of dynamic shared memory is written, in a way that the asynchronous proxy does not know of.
STORE = "{ .reg .b32 t; mov.u32 t, 1024; st.shared.u32 [t], 0; }\n"

BUGS = [
    # mma and ldmatrix
    Bug("mma-rows-swapped", "gather", [Edit(MMA + rf"\{{{FOUR}\}}", r"\1{\3, \2, \4, \5}")], WRONG),
    Bug("mma-halves-of-depth-swapped", "gather", [Edit(MMA + rf"\{{{FOUR}\}}", r"\1{\4, \5, \2, \3}")], WRONG),
    Bug("mma-columns-swapped", "gather", [Edit(MMA + rf"(\{{[^}}]*\}}), *\{{{TWO}\}}", r"\1\2, {\4, \3}")], WRONG),
    Bug("mma-sum-lost", "gather",
        [Edit(MMA + r"(\{[^}]*\}, *\{[^}]*\}), *\{[^}]*\}", r"\1\2, {0f00000000, 0f00000000, 0f00000000, 0f00000000}")],
        WRONG),
    Bug("ldmatrix-transposed", "gather", [Edit(LDMATRIX + "shared", r"\1trans.shared", 1)], WRONG),
    Bug("ldmatrix-other-unit", "gather", [Edit(LDMATRIX + r"(.*)\[(%\w+)\]", r"\1\2[\3+16]", 1)], WRONG),
    Bug("ldmatrix-misaligned", "gather", [Edit(LDMATRIX + r"(.*)\[(%\w+)\]", r"\1\2[\3+8]", 1)],
        r"^EMU: misaligned access to shared memory"),
    Bug("ldmatrix-outside", "halo", [Edit(LDMATRIX + r"(.*)\[(%\w+)\]", r"\1\2[\3+131072]", 1)],
        r"^EMU: outside of shared memory"),
    Bug("ldmatrix-of-one-lane", "gather",
        [Edit(r"(ldmatrix\.sync[^;]*);", of_one_lane(r"\1"), 1)],
        r"^EMU: (deadlock|divergent warp collective|warp collective)"),
    # cp.async
    Bug("copy-no-wait", "gather", [Edit(r"cp\.async\.wait_group \d+;", "")], WRONG),
    Bug("copy-waits-for-too-few", "gather", [Edit(r"cp\.async\.wait_group 2;", "cp.async.wait_group 3;")], WRONG),
    Bug("copy-no-commit", "halo", [Edit(r"cp\.async\.commit_group;", "")], WRONG),
    Bug("copy-never-zero", "gather",
        [Edit(r"(cp\.async\.cg\.[^;]*, 16), %\w+;", r"\1, 16;")], WRONG + "|^EMU: outside"),
    Bug("copy-inverted", "gather",
        [Edit(r"selp\.b32(\s+%\w+), 16, 0, ", r"selp.b32\1, 0, 16, ")], WRONG + "|^EMU: outside"),
    Bug("copy-to-other-place", "halo",
        [Edit(r"(cp\.async\.cg\.shared\.global \[%\w+)\]", r"\1+64]", 1)], WRONG + "|^EMU"),
    Bug("copy-misaligned", "halo", [Edit(r"(cp\.async\.cg\.shared\.global \[%\w+)\]", r"\1+4]", 1)],
        r"^EMU: misaligned cp.async"),
    Bug("copy-from-outside", "gather",
        [Edit(r"(cp\.async\.cg\.shared\.global \[%\w+\], \[%\w+)\]", r"\1+1073741824]", 1)],
        r"^EMU: outside of global memory|^EMU: cp.async|^fake CUDA"),
    # barriers, shuffles, predicates, addresses
    Bug("no-barrier", "volume", [Edit(r"bar\.sync\s+0;", "")], WRONG),
    Bug("barrier-of-some", "volume", [Edit(r"bar\.sync\s+0;", of_one_lane("bar.sync 0"), 1)],
        r"^EMU: (divergent barrier|deadlock)"),
    Bug("shuffle-other-lane", "gather", [Edit(SHUFFLE, r"\1 3, \3, \4;")], WRONG),
    Bug("shuffle-half-mask", "softmax", [Edit(SHUFFLE, r"\1 \2, \3, 65535;", 1)],
        r"^EMU: .*(mask|divergent)"),
    Bug("shuffle-one-lane", "pool", [Edit(r"(shfl\.sync\.bfly[^;]*);", of_one_lane(r"\1"), 1)],
        r"^EMU: (deadlock|divergent)"),
    Bug("predicate-inverted", "resize", [Edit(r"@(%p\d+) bra", r"@!\1 bra", 1)], WRONG + "|^EMU|^fake CUDA"),
    Bug("store-misaligned", "pool", [Edit(r"(st\.global\.f32\s+\[%\w+)\]", r"\1+2]", 1)],
        r"^EMU: misaligned access to global memory"),
    Bug("store-outside", "pool", [Edit(r"(st\.global\.f32\s+\[%\w+)\]", r"\1+65536]", 1)],
        r"^EMU: outside of global memory"),
    Bug("shared-store-outside", "volume", [Edit(r"(st\.shared\.f32\s+\[%\w+)(?:\+\d+)?\]", r"\1+100000]", 1)],
        r"^EMU: outside of shared memory"),
    # wgmma
    Bug("descriptor-stride", "wgmma", descriptor(1, 32, 1), WRONG),
    Bug("descriptor-leading", "wgmma", descriptor(1, 64, 64), r"^EMU: wgmma: the leading byte offset"),
    Bug("descriptor-swizzle-64", "wgmma", descriptor(2, 64, 1), WRONG + "|^EMU: wgmma"),
    Bug("descriptor-no-swizzle", "wgmma", descriptor(0, 64, 1), WRONG),
    Bug("descriptor-column", "wgmma", [Edit(r"\b4611686293305360386\b", "4611686293305360387")], WRONG),
    Bug("wgmma-factors-swapped", "wgmma", [Edit(PRODUCT + TWO, r"\1\3, \2")], WRONG + "|^EMU: wgmma"),
    Bug("wgmma-transposed", "wgmma",
        [Edit(PRODUCT + rf"({TWO}), 1, 1, 1, 0, 0;", r"\1\2, 1, 1, 1, 0, 1;")], WRONG + "|^EMU"),
    Bug("wgmma-sum-lost", "wgmma", [Edit(PRODUCT + rf"({TWO}), 1, 1, 1,", r"\1\2, 0, 1, 1,")], WRONG),
    Bug("wgmma-negated", "wgmma", [Edit(PRODUCT + rf"({TWO}), 1, 1, 1,", r"\1\2, 1, 1, -1,")], WRONG),
    Bug("wgmma-no-fence", "wgmma", [Edit(r"wgmma\.fence\.sync\.aligned;", "")], r"^EMU: wgmma: wgmma.fence is missing"),
    Bug("wgmma-no-commit", "wgmma", [Edit(r"wgmma\.commit_group\.sync\.aligned;", "")],
        r"^EMU: (wgmma: accumulator \d+ is accessed|thread)"),
    Bug("wgmma-no-wait", "wgmma", [Edit(r"wgmma\.wait_group\.sync\.aligned 0;", "")],
        r"^EMU: wgmma: accumulator \d+ is accessed while a product is under way"),
    Bug("wgmma-waits-for-too-few", "wgmma", [Edit(r"(wgmma\.wait_group\.sync\.aligned) 0;", r"\1 1;")],
        r"^EMU: wgmma: accumulator \d+ is accessed while a product is under way"),
    Bug("wgmma-touched", "wgmma", [Edit(r"(\{%f\d+, %f\d+, (%f\d+),[^;]*;)", r"\1\nmov.f32 \2, 0f3F800000;", 1)],
        r"^EMU: wgmma: accumulator 2 is accessed while a product is under way"),
    Bug("wgmma-fence-of-one-lane", "wgmma",
        [Edit(r"wgmma\.fence\.sync\.aligned;", of_one_lane("wgmma.fence.sync.aligned"), 1)],
        r"^EMU: (an .aligned instruction was executed by a part of the warp|wgmma: wgmma.fence is missing)"),
    Bug("commit-of-one-lane", "wgmma",
        [Edit(r"wgmma\.commit_group\.sync\.aligned;", of_one_lane("wgmma.commit_group.sync.aligned"), 1)],
        r"^EMU: an .aligned instruction was executed by a part of the warp"),
    Bug("stmatrix-not-transposed", "wgmma", [Edit(r"(stmatrix\.sync\.aligned\.m8n8\.x4)\.trans", r"\1")], WRONG),
    Bug("stmatrix-operands-swapped", "wgmma",
        [Edit(rf"(stmatrix\S+ \[%\w+\], )\{{{FOUR}\}}", r"\1{\3, \2, \4, \5}")], WRONG),
    Bug("registers-too-many", "wgmma", [Edit(r"(setmaxnreg\.inc\.sync\.aligned\.u32) 232;", r"\1 240;")],
        r"^EMU: setmaxnreg: the block ends with"),
    Bug("registers-wrong-way", "wgmma", [Edit(r"setmaxnreg\.inc(\.sync\.aligned\.u32 232)", r"setmaxnreg.dec\1")],
        r"^EMU: setmaxnreg.dec to 232"),
    # mbarriers, the tensor memory accelerator and the asynchronous proxy
    Bug("coordinates-swapped", "wgmma",
        [Edit(TENSOR + rf"(\[%\w+\], \[%\w+, \{{%\w+, ){TWO}\}}", r"\1\2\4, \3}")], WRONG),
    Bug("tensors-swapped", "wgmma", [Edit(TENSOR + r"(\[%\w+\], \[%\w+)", r"\1\2+128", 1)], WRONG + "|^EMU"),
    Bug("box-to-other-place", "wgmma", [Edit(TENSOR + r"\[(%\w+)\]", r"\1[\2+1024]", 1)], WRONG + "|^EMU"),
    Bug("box-misaligned", "wgmma", [Edit(TENSOR + r"\[(%\w+)\]", r"\1[\2+128]", 1)], r"^EMU: misaligned TMA load"),
    Bug("phase-constant", "wgmma", [Edit(rf"({TRY})%\w+;", r"\g<1>0;")], WRONG + "|^EMU"),
    Bug("phase-not-inverted", "deep", [Edit(r"(xor\.b32\s+%\w+, %\w+, )1;", r"\g<1>0;", 1)], WRONG + "|^EMU"),
    Bug("try-predicate-inverted", "wgmma", [Edit(r"selp\.u32 (%\w+), 1, 0, p;", r"selp.u32 \1, 0, 1, p;")],
        WRONG + "|^EMU"),
    Bug("try-once", "wgmma", [Edit(r"selp\.u32 (%\w+), 1, 0, p;", r"selp.u32 \1, 1, 1, p;")], WRONG + "|^EMU"),
    Bug("bytes-too-few", "wgmma", [Edit(r"(mov\.u32\s+%\w+, )34816;", r"\g<1>34800;")], r"^EMU"),
    Bug("arrivals-too-many", "wgmma", [Edit(r"(mbarrier\.init\S+ \[%\w+\]), %\w+;", r"\1, 9;", 1)], DEADLOCK),
    Bug("no-arrival", "wgmma",
        [Edit(r"mbarrier\.arrive\.shared::cta\.b64 _, \[%\w+\];", "")], DEADLOCK + "|" + WRONG),
    Bug("no-init-fence", "wgmma", [Edit(r"fence\.(mbarrier_init|proxy)[^;]*;", "")],
        r"^EMU: TMA load: mbar_fence\(\) is missing"),
    Bug("write-read-by-wgmma", "wgmma", [Edit(r"(wgmma\.fence\.sync\.aligned;)", STORE + r"\1", 1)],
        r"^EMU: wgmma of byte 0 of shared memory, which thread \d+ has written without fence.proxy.async"),
    Bug("write-before-box", "wgmma", [Edit(TENSOR, STORE + r"\1")],
        r"^EMU: TMA load of byte 0 of shared memory, which thread \d+ has written without fence.proxy.async"),
    # warpgroups that take turns, and results that the copy engine takes away
    Bug("turn-not-awaited", "wgmma", [at_barrier(TURN, WAIT, AT_ONCE)], WRONG + "|^EMU"),
    Bug("turn-not-passed", "wgmma", [at_barrier(TURN, ARRIVE)], DEADLOCK),
    Bug("turn-wrong-parity", "wgmma", [Edit(r"xor\.b32(\s+%r\d+, %r\d+), %r\d+;", r"mov.b32\1;", 1)], DEADLOCK),
    Bug("turn-of-128-not-passed", "shared", [at_barrier(TURN_128, ARRIVE)], DEADLOCK),
    Bug("results-before-ready", "wgmma", [at_barrier(READY, WAIT, AT_ONCE)], WRONG + "|^EMU"),
    Bug("results-not-done", "wgmma", [at_barrier(DONE, ARRIVE)], DEADLOCK),
    Bug("results-without-fence", "wgmma", [Edit(r"(stmatrix(?:.|\n)*)fence\.proxy\.async\.shared::cta;", r"\1")],
        r"^EMU: TMA store of byte \d+ of shared memory, which thread \d+ has written without fence.proxy.async"),
    Bug("store-before-done", "wgmma",
        [Edit(rf"{WAIT}((?:(?!try_wait)(?:.|\n))*tensor\.3d\.global)", rf"{AT_ONCE}\1")], WRONG + "|^EMU"),
    Bug("store-no-commit", "wgmma", [Edit(r"cp\.async\.bulk\.commit_group;", "")], WRONG + "|^EMU"),
    Bug("store-not-read", "wgmma", [Edit(r"cp\.async\.bulk\.wait_group\.read 0;", "")], WRONG + "|^EMU"),
    Bug("place-of-too-few", "wgmma", [Edit(rf"(wait_group\.read 0;{ANYTHING}){ARRIVE}", r"\1")], DEADLOCK),
    Bug("walk-off-by-one", "wgmma", [Edit(r"(add\.s32\s+%r\d+, %r\d+, )32;", r"\g<1>31;")], WRONG),
    Bug("walk-of-stores-off-by-one", "wgmma", [Edit(r"(wait_group\.read(?:.|\n)*add\.s32\s+%r\d+, %r\d+, )32;", r"\g<1>33;")],
        WRONG),
    Bug("walk-turns-late", "wgmma",
        [Edit(r"setp\.lt\.s32(\s+%p\d+, %r\d+, %r\d+;\s+add\.s32[^;]*;\s+add\.s32[^;]*, 32;)", r"setp.le.s32\1")], WRONG),
    Bug("relu-lost", "shared", [Edit(r"cvt\.rn\.relu\.f16x2", "cvt.rn.f16x2")], WRONG),
]


def plant(bug: Bug, ptx: str) -> str:
    """The PTX of a file with the bug in its kernel. Patterns do not look beyond it."""
    kernel = TARGETS[bug.target].kernel
    begin = ptx.index(f".entry {kernel}(")
    end = ptx.index("\n}\n", begin)
    text = ptx[begin:end]
    for edit in bug.edits:
        text, count = re.subn(edit.pattern, edit.replacement, text, edit.count)
        if not count:
            raise ValueError(f"{bug.name}: nothing is like {edit.pattern}")
    return ptx[:begin] + text + ptx[end:]
