"""How the programs of tools/ and training/ end.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import json
import os
import pathlib
import sys
import tempfile
from typing import Any, Callable, Optional


def finish(name: str, work: Callable[[], object], *errors: type[Exception]) -> int:
    """Does the work of a program and returns its exit status: 0; 1 after an OSError or one of these errors, of which one
    line is printed; 130 after an interrupt."""
    try:
        work()
    except (OSError, *errors) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def require_folder(option: str, folder: pathlib.Path) -> None:
    """ValueError where no file can be written into a folder, which need not be there yet."""
    try_folder(folder, f"{option} {folder}")


def try_folder(folder: pathlib.Path, what: str) -> None:
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise ValueError(f"{what}: {error.strerror}") from None


def require_file(option: str, path: pathlib.Path) -> None:
    """ValueError where a file cannot be written; its folder must be there."""
    if path.is_dir():
        raise ValueError(f"{option} {path}: is a folder")
    if not path.parent.is_dir():
        raise ValueError(f"{option} {path}: there is no folder {path.parent}")
    if not path.exists() or path.is_file():  # else a device or a pipe
        try_folder(path.parent, f"{option} {path}")


def write_figures(path: Optional[pathlib.Path], rows: Any) -> None:
    """What was measured, as JSON, where a file is asked for. It gets its name when it is complete."""
    if not path:
        return
    regular = not path.exists() or path.is_file()
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}") if regular else path
    try:
        partial.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
        if regular:
            partial.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        if regular:
            partial.unlink(missing_ok=True)
