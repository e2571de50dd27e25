"""What the documents say is there is there: files, targets, options, messages.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import TOP
from lib import model_file, models

DOCUMENTS = [path for path in [*TOP.glob("*.md"), *TOP.glob("[!b]*/**/*.md")] if "build" not in path.parts]
README = (TOP / "README.md").read_text()
FILTER = (TOP / "vf_selfblindvsr.c").read_text()


def commands() -> list[str]:
    """The lines of the blocks of commands of the README."""
    return [line for block in re.findall(r"^```\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
            for line in block.splitlines()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(TOP)))
def test_links_lead_somewhere(document: Path) -> None:
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text())]
    assert [link for link in links if link and "://" not in link and not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(TOP)))
def test_files_that_are_named_are_there(document: Path) -> None:
    """Of those that are written with their folders."""
    names = re.findall(r"(?<![\w./-])((?:model|kernels|tests|patches|build-aux)/[\w/.-]+\.(?:c|h|cu|cuh|py|sh|mak|md|bin))\b",
                       document.read_text())
    assert [name for name in names if not (TOP / name).exists()] == []


def test_options_are_those_of_the_filter() -> None:
    """Their names and, where they are numbers, their defaults."""
    table = dict(re.findall(r"^\| `(\w+)` +\| *`?([^|`]*?)`? *\|", README.split("## Options")[1].split("\n## ")[0], re.MULTILINE))
    options = re.findall(r'^    \{ "(\w+)",.*?AV_OPT_TYPE_(\w+),\s*\{ \.(\w+) = (\S+) \}', FILTER, re.DOTALL | re.MULTILINE)
    assert sorted(table) == sorted(name for name, *_ in options)
    for name, kind, _, default in options:
        if kind in ("INT", "BOOL") and re.fullmatch(r"-?\d+", default) and re.fullmatch(r"-?\d+", table[name]):
            assert int(table[name]) == int(default), name


def test_commands_use_options_that_there_are() -> None:
    names = re.findall(r'^    \{ "(\w+)",', FILTER, re.MULTILINE)
    for line in commands():
        for options in re.findall(r"selfblindvsr=([\w=.:/]+)", line):
            assert all(part.split("=")[0] in names for part in options.split(":") if part), line


@pytest.mark.parametrize("name", models.names())
def test_models_have_a_card_and_a_row(name: str) -> None:
    """And say of themselves what these say."""
    path = models.FOLDER / f"{name}.bin"
    tensors, metadata = model_file.read(path)
    parameters, size = f"{sum(values.size for values in tensors.values()):,}", f"{path.stat().st_size / 1e6:.1f} MB"
    assert (metadata["name"], metadata["licence"], metadata["phase"]) == (name, "LGPL-2.1-or-later", "center")
    assert len(metadata["training_data"].strip()) > 20
    card = path.with_suffix(".md").read_text()
    assert card.startswith(f"# Model card: {name}.bin\n") and f"| parameters    | {parameters}, stored as F16 ({size})" in card
    rows = re.findall(rf"^\| \[`{name}`\]\(model/{name}\.md\) *\|.*$", README, re.MULTILINE)
    assert len(rows) == 1 and f"| {size} | {parameters} " in rows[0], rows


def test_targets_are_those_of_make() -> None:
    text = subprocess.run(["make", "help"], cwd=TOP, capture_output=True, text=True, check=True).stdout
    targets = set(re.findall(r"(?:^|`|&& |; )make ([a-z][\w-]*)", README, re.MULTILINE))
    assert len(targets) >= 8 and all(re.search(rf"\b{target}\b", text) for target in targets - {"help"})


def test_programs_have_the_options_of_the_commands() -> None:
    for line in commands():
        for program, rest in re.findall(r"python3 (\S+\.py)(.*)", line):
            wanted = set(re.findall(r"(?<=\s)--[\w-]+", rest))
            if "training" in program:
                known = (TOP / program).read_text()
            else:
                known = subprocess.run([sys.executable, TOP / program, "--help"], capture_output=True, text=True).stdout
            assert [option for option in wanted if option not in known] == [], line


def test_messages_are_those_of_the_sources() -> None:
    """The pieces of the messages under Troubleshooting, between what depends on the case."""
    text = "".join(path.read_text() for folder in ("model/runtime", "kernels") for path in (TOP / folder).rglob("*.c"))
    text = re.sub(r'"\s*\n\s*"', "", text + FILTER + (TOP / "configure").read_text())
    rows = re.findall(r"^\| `([^`]+)` \|", README.split("## Troubleshooting")[1].split("\n## ")[0], re.MULTILINE)
    assert len(rows) >= 8
    for row in rows:
        for piece in re.split(r"\.\.\.|\d+(?:x\d+)?|[()]| not specified", row):
            if len(piece.strip()) > 3:
                assert piece.strip(" :;").split("=none")[-1] in text, (row, piece)
