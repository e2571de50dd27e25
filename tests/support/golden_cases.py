"""The golden tensors that tests compare with: small ones of the project's own, tests/golden, and, where SBV_SHARED names a
folder that has them (default: shared beside the checkout), those of the published size.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import os
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
GOLDEN = TOP / "tests/golden"
SHARED = Path(os.environ.get("SBV_SHARED", TOP.parent / "shared")) / "golden"

# Case of tests/golden -> its network: see make_golden.py there.
OWN = {"odd": "six", "even": "three", "row": "three", "column": "three", "modulated": "modulated",
       "adapted": "modulated"}
SHARED_CASES = {
    "a": (1, "layout.tsv", ".pt"),
    "b": (2, "layout.tsv", ".legacy.pt"),
    "c": (2, "layout_small.tsv", ".pkl"),
}
