#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""List what `make check` skipped and why, from the logs that the tests wrote.

The logs speak TAP, what runs under pytest JUnit's XML. A case that one log skips and another one ran is not
skipped: the kernels' cases run on two kinds of GPUs, the operations of NEON on another processor.
"""
from __future__ import annotations

import argparse
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Iterable, Iterator, NamedTuple

RAN = re.compile(r"^ok(?: \d+)? - (.*)$")
SKIPPED = re.compile(r"^(?:ok(?: \d+)? - (?P<case>.*?) # SKIP (?P<why>.*)|# skip (?P<part>[^:]*): (?P<because>.*)"
                     r"|1\.\.0 # SKIP (?P<all>.*))$")


class Skip(NamedTuple):
    what: str
    why: str


def of_tap(program: str, lines: Iterable[str]) -> tuple[list[Skip], set[str]]:
    """What a program skipped, and the cases that it ran."""
    skips, ran = [], set()
    for line in lines:
        if match := SKIPPED.match(line):
            what = match["case"] or match["part"]
            skips.append(Skip(f"{program}: {what}" if what else program,
                              match["why"] or match["because"] or match["all"] or "no reason given"))
        elif match := RAN.match(line):
            ran.add(f"{program}: {match[1]}")
            ran.add(f"{program}: {match[1].split(':')[0]}")  # a group: "neon: test_conv"
    return skips, ran


def of_xml(path: Path) -> list[Skip]:
    """What pytest skipped: cases, and modules that were not read further."""
    skips = []
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        for skip in case.iter("skipped"):
            place = case.get("classname", "").rpartition(".")[2]
            name = f"{place}: {case.get('name')}" if place else case.get("name", "").rpartition(".")[2]
            why = re.sub(r"^Skipped: ", "", (skip.get("message") or "no reason given"))
            if why == "collection skipped":
                why = re.sub(r"""^.*['"]Skipped: (.*)['"]\)$""", r"\1", (skip.text or why).strip(), flags=re.S)
            skips.append(Skip(name, why))
    return skips


def of_part(part: Path) -> tuple[list[Skip], set[str]]:
    """What the logs of the folder skipped, and what they ran."""
    skips, ran = [], set()
    logs = sorted(part.glob("*.log")) + sorted(part.glob("*.xml"))
    if not logs:
        raise FileNotFoundError(f"{part}: no log; the part was not run")
    for log in logs:
        if log.suffix == ".xml":
            skips += of_xml(log)
            continue
        program = log.stem.partition(".")[0]  # name.variant.log
        more, cases = of_tap(program, log.read_text(encoding="utf-8", errors="replace").splitlines())
        skips, ran = skips + more, ran | cases
    return list(dict.fromkeys(skips)), ran


def lines(name: str, skips: list[Skip]) -> Iterator[str]:
    """For each reason what it concerns, the variants of a case in one."""
    reasons: dict[str, dict[str, int]] = {}
    for what, why in skips:
        cases = reasons.setdefault(why, {})
        case = re.sub(r"\[.*\]$", "", what)
        cases[case] = cases.get(case, 0) + 1
    for why, cases in reasons.items():
        yield f"  {name}: {why}"
        for case, count in cases.items():
            yield f"      {case}" + (f" ({count} cases)" if count > 1 else "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="+", type=Path, metavar="FOLDER", help="logs of a part of the tests")
    try:
        parts = {part.name: of_part(part) for part in parser.parse_args().parts}
    except (OSError, ElementTree.ParseError) as error:
        print(f"skipped: {error}", file=sys.stderr)
        return 1
    ran = set().union(*(cases for _, cases in parts.values()))
    found = {name: [skip for skip in skips if skip.what not in ran] for name, (skips, _) in parts.items()}
    count = sum(map(len, found.values()))
    print(f"Skipped: {count}" if count else "Nothing was skipped.")
    for name, skips in found.items():
        print(*lines(name, skips), sep="\n", end="\n" if skips else "")
    return 0


if __name__ == "__main__":
    sys.exit(main())
