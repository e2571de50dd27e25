"""How the programs of tools/ and training/ end.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import json
import pathlib
import sys
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


def write_figures(path: Optional[pathlib.Path], rows: Any) -> None:
    """What was measured, as JSON, where a file is asked for."""
    if path:
        path.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
