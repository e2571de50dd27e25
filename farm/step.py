"""A step of the workflow, in the current folder, which is that of a film's work. Called by the Snakefile.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from steps.common import FarmError, die_with_parent, write_json
from steps.join import join
from steps.prepare import prepare
from steps.restore import restore
from steps.verify import verify
from steps.work import Work


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=("prepare", "restore", "join"))
    parser.add_argument("chunk", nargs="?", type=int, help="number of the chunk to restore")
    parser.add_argument("--parent", type=int, required=True, metavar="PID", help="the process to end with")
    arguments = parser.parse_args()
    die_with_parent()()
    if os.getppid() != arguments.parent:
        print("farm: the workflow has ended already", file=sys.stderr)
        return 1
    work = Work(Path.cwd())
    try:
        if arguments.step == "restore":
            restore(work, work.list[arguments.chunk])
        elif arguments.step == "prepare":
            prepare(work)
            write_json(work.folder / "prepared.json", True)
        else:
            join(work)
            verify(work)
    except (FarmError, OSError) as error:
        if arguments.step != "restore":
            work.note(arguments.step, message=str(error))
        print(f"farm: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
