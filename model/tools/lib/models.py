# SPDX-License-Identifier: LGPL-2.1-or-later
"""The models of this folder by name, as the library knows those that are installed: see model/runtime/find_model.c."""
from __future__ import annotations

import argparse
import pathlib

FOLDER = pathlib.Path(__file__).resolve().parents[2]
HELP = f"model file, or the name of a model in {FOLDER.name}/"


def is_name(model: str) -> bool:
    """Whether this is a name; else it is a path."""
    return bool(model) and not set(model) & set("/\\:.")


def names() -> list[str]:
    """Of the models that there are: the files NAME.bin."""
    return sorted(path.stem for path in FOLDER.glob("*.bin") if is_name(path.stem))


def find(model: str) -> str:
    """The path of a model. Raises ValueError where it is a name that there is none of."""
    if not is_name(model):
        return model
    if model not in names():
        raise ValueError(f"model '{model}': there is none of this name; a file would be ./{model}; there are: "
                         f"{', '.join(names()) or 'none'}, in {FOLDER}")
    return str(FOLDER / f"{model}.bin")


def argument(model: str) -> pathlib.Path:
    """The path of a model, as a type for argparse."""
    try:
        return pathlib.Path(find(model))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
