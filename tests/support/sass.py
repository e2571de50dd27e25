"""Machine code for compute capability 9.0, as far as it can be read without a disassembler: instructions of 16 bytes, whose
lowest 12 bits say what they do, and loops, which are what a branch backward ends.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import struct
from typing import NamedTuple

SIZE = 16
BRANCH, HMMA, HGMMA = 0x947, 0x23C, 0x9F0  # operations; those of mma and wgmma
ALWAYS = 7  # the predicate of what is not conditional


class Loop(NamedTuple):
    """The first instruction and the last one, the branch back."""
    begin: int
    end: int

    def __contains__(self, index: object) -> bool:
        return isinstance(index, int) and self.begin <= index <= self.end

    @property
    def length(self) -> int:
        return self.end - self.begin + 1


def words(code: bytes) -> list[int]:
    """The lower half of each instruction."""
    return [word for word, _ in struct.iter_unpack("<QQ", code)]


def operation(word: int) -> int:
    return word & 0xFFF


def target(index: int, word: int) -> int:
    """The instruction that a branch goes to. Bits 16 to 23 and 34 to 63 hold the distance from the next one in units of four
    bytes."""
    high, = struct.unpack("<i", struct.pack("<I", word >> 32))
    distance = ((high >> 2) << 8 | word >> 16 & 0xFF) * 4
    return index + 1 + distance // SIZE


def loops(code: bytes) -> list[Loop]:
    """Branches backward without a condition end no loop: they come back from code that lies aside, a second try to wait."""
    found = []
    for index, word in enumerate(words(code)):
        if operation(word) == BRANCH and word >> 12 & 7 != ALWAYS and target(index, word) <= index:
            found.append(Loop(target(index, word), index))
    return found


def around(code: bytes, wanted: int) -> list[Loop]:
    """The loops with an operation in them, the innermost first."""
    places = [index for index, word in enumerate(words(code)) if operation(word) == wanted]
    return sorted((loop for loop in loops(code) if any(place in loop for place in places)), key=lambda loop: loop.length)


def count(code: bytes, wanted: int) -> int:
    return sum(operation(word) == wanted for word in words(code))
