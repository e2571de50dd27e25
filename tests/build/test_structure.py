"""The structure of the source tree: dependencies point one way, there are no circles, files have one subject.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator

import pytest

from conftest import TOP

INCLUDE = re.compile(r'^#\s*include "([^"]+)"', re.MULTILINE)
SOURCES = {".c", ".h", ".cu", ".cuh"}
MOST_LINES = 600


def sources(folder: str) -> list[Path]:
    return sorted(path for path in (TOP / folder).rglob("*") if path.suffix in SOURCES)


def includes(path: Path) -> list[str]:
    """The project's own headers that a file includes, by their paths from the top; those beside it, too."""
    found = []
    for name in INCLUDE.findall(path.read_text()):
        beside = path.parent / name
        found.append(str(beside.relative_to(TOP)) if beside.exists() else name)
    return found


@pytest.mark.parametrize("folder", ["build-aux", "farm", "kernels", "model", "tests"])
def test_sources_name_their_licence(folder: str) -> None:
    kinds = SOURCES | {".py", ".sh", ".mak"}
    wrong = [path for path in sorted((TOP / folder).rglob("*"))
             if path.suffix in kinds and "SPDX-License-Identifier: " not in path.read_text(encoding="utf-8")]
    assert not wrong


@pytest.mark.parametrize("folder, allowed", [
    ("kernels", ("kernels/", "model/include/", "cuda_names.h")),
    ("kernels/reference", ("kernels/reference/", "kernels/", "model/include/")),
    ("model/runtime", ("model/runtime/", "model/include/", "kernels/")),
    ("model/include", ()),
], ids=lambda value: value if isinstance(value, str) else "")
def test_dependencies_point_one_way(folder: str, allowed: tuple[str, ...]) -> None:
    wrong = [f"{path.relative_to(TOP)} includes {name}" for path in sources(folder) for name in includes(path)
             if not name.startswith(allowed)]
    assert not wrong


def test_the_system_is_known_to_one_file() -> None:
    """os.h includes nothing of the project; the calls of the system are behind it."""
    assert not includes(TOP / "kernels/os.h")
    header = re.compile(r"#\s*include <(unistd|dlfcn|fcntl|windows|sys/\w+)\.h>")
    wrong = [path for folder in ("model", "kernels") for path in sources(folder)
             if header.search(path.read_text()) and path.name not in ("os_posix.c", "os_windows.c")]
    assert not wrong


def test_only_cuda_knows_cuda_and_only_cpu_knows_cpu() -> None:
    """Apart from the headers that open a backend."""
    doors = {"kernels/cuda/cuda_backend.h", "kernels/cpu/cpu.h", "kernels/cpu/denormals.h", "kernels/cpu/scratch.h"}
    wrong = [f"{path.relative_to(TOP)} includes {name}" for path in sources("model/runtime") for name in includes(path)
             if name.startswith(("kernels/cuda/", "kernels/cpu/")) and name not in doors]
    assert not wrong


def test_only_the_filter_knows_ffmpeg() -> None:
    wrong = [path for folder in ("model", "kernels") for path in sources(folder)
             if re.search(r'#\s*include [<"](libav|avfilter)', path.read_text())]
    assert not wrong


def circle(edges: dict[str, set[str]]) -> list[str]:
    """Names along one circle; empty where there is none."""
    done: set[str] = set()

    def walk(name: str, path: tuple[str, ...]) -> list[str]:
        if name in path:
            return [*path[path.index(name):], name]
        if name in done:
            return []
        for other in sorted(edges.get(name, ())):
            if found := walk(other, (*path, name)):
                return found
        done.add(name)
        return []

    for name in sorted(edges):
        if found := walk(name, ()):
            return found
    return []


def test_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert not circle({"a": {"b", "c"}, "b": {"c"}})


@pytest.mark.parametrize("folder", ["model/runtime", "kernels/cuda", "kernels/cpu", "kernels/reference"])
def test_no_circles(folder: str) -> None:
    """A file and its header are one: x.c, x.cu, x.h."""
    edges: dict[str, set[str]] = {}
    for path in sources(folder):
        others = {Path(name).stem for name in includes(path) if name.startswith(folder)}
        edges.setdefault(path.stem, set()).update(others - {path.stem})
    assert not circle(edges)


def long_files() -> Iterator[str]:
    for pattern in ("*.c", "*.h", "*.cu", "*.cuh", "*.cpp", "*.py", "*.sh", "*.mak"):
        for folder in ("model", "kernels", "tests", "build-aux"):
            for path in (TOP / folder).rglob(pattern):
                lines = path.read_text().count("\n")
                if lines > MOST_LINES:
                    yield f"{path.relative_to(TOP)}: {lines} lines"


def test_no_file_is_too_long() -> None:
    assert not list(long_files())


def operations() -> list[str]:
    """Their names: SBV_OPS, and the one that only the backends have."""
    return re.findall(r"OP\((\w+), sbv_\w+_args\)", (TOP / "kernels/ops.h").read_text()) + ["picture"]


def definitions(folder: str, *names: str) -> set[str]:
    """Stems of the files that define a function of one of these names, or one that a macro of kernels/cpu makes of it."""
    name = "(?:" + "|".join(names) + ")"
    begin = re.compile(rf"^(?:void |KERNEL\((?:LAUNCH_BOUNDS\([^)]*\) )?)(?:{name}|SBV_\w+_NAME\({name}\))(?=[(,])[^;]*$",
                       re.MULTILINE)
    return {path.stem for path in sources(folder) if path.suffix in (".c", ".cu") and begin.search(path.read_text())}


@pytest.mark.parametrize("operation", operations())
def test_an_operation_has_one_stem(operation: str) -> None:
    """The files of an operation in cpu/ and cuda/ are called as in reference/, or begin so: conv_mma."""
    reference = definitions("kernels/reference", f"sbv_{operation}_c", operation)
    cuda = definitions("kernels/cuda", f"sbv_{operation}_cuda", f"sbv_{operation}")
    assert cuda and (reference or operation == "picture")
    stem = min(reference | cuda, key=len)
    found = reference | cuda | definitions("kernels/cpu", operation)
    assert all(each == stem or each.startswith(f"{stem}_") for each in found), found


def comments(path: Path) -> set[str]:
    """The words of the comments of a file."""
    return {word for text in re.findall(r"/\*.*?\*/", path.read_text(), re.DOTALL) for word in re.findall(r"\w+", text)}


def test_functions_that_macros_make_are_found_by_name() -> None:
    """Whoever looks for sbv_warp_avx2 or sbv_run_warp finds a comment with that name where it is defined."""
    sets = re.findall(r"SBV_CPU_OPS\(SBV_CPU_OP, (\w+)\)", (TOP / "kernels/cpu/cpu.h").read_text())
    missing = [name for name in (f"sbv_run_{operation}" for operation in operations()[:-1])
               if name not in comments(TOP / "model/runtime/run_ops.c")]
    for path in sources("kernels/cpu") + [TOP / "kernels/reference/colour.c"]:
        made = re.findall(r"^(?:void|size_t|#define \w+) +SBV_(?:CPU|COLOUR)_NAME\((\w+)\)", path.read_text(), re.MULTILINE)
        missing += [f"{path.stem}: sbv_{name}_{isa}" for name in made for isa in sets if name != "name"
                    and f"sbv_{name}_{isa}" not in comments(path)]
    assert len(sets) == 4 and not missing
