"""The model of a chain of filters: where its file lies, whether it is another one than last time, whether it adapts.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .common import sha256
from .vf import Chain

HEADER_LIMIT = 1 << 20  # bytes, as of the library
MODULATION = "modulation."  # what the names of the tensors begin with that adapt a model to the degradation


def path_of(chain: Chain, job: dict[str, Any]) -> Path:
    """Where the library looks for the model: a name is that of one installed beside ffmpeg."""
    model = chain.options.get("model", "default")
    if not model or set(model) & set("/\\:."):
        return Path(job["directory"]) / model
    return Path(job["ffmpeg"]).resolve().parent.parent / f"share/selfblindvsr/{model}.bin"


def digest(chain: Chain, job: dict[str, Any]) -> str:
    """Of the model's contents, where it can be found: a path or a name that stays the same may be another model."""
    path = path_of(chain, job)
    return sha256(path) if path.is_file() else ""


def tensors_of(path: Path) -> list[str] | None:
    """The names of a model file's tensors, from its header; None where it cannot be read. What is wrong with it, the filter
    says."""
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            text = file.read(min(length, HEADER_LIMIT))
        header = json.loads(text) if len(text) == length else None
    except (OSError, ValueError, RecursionError):
        return None
    return list(header) if isinstance(header, dict) else None


def is_modulated(chain: Chain, job: dict[str, Any]) -> bool:
    """Whether the filter estimates the degradation for this model. One that cannot be looked into may be modulated: chunks
    of such a plan are exact either way, and only read more."""
    path = path_of(chain, job)
    names = tensors_of(path) if path.is_file() else None
    return names is None or any(name.startswith(MODULATION) for name in names)
