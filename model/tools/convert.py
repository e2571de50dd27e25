#!/usr/bin/env python3
"""Makes a model file (x.bin) of a checkpoint.

The checkpoint may be a PyTorch file (.pt, zip or legacy form), a pickled dict of numpy arrays or Jittor variables
(.pkl), or a safetensors file. No pickle is executed; neither torch nor jittor is needed.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import argparse
import datetime
import hashlib
import os
import sys
from typing import BinaryIO, Optional, Sequence

try:
    import numpy as np
except ImportError:
    sys.exit("convert: NumPy is needed (python3-numpy, or https://numpy.org)")

from lib import architecture
from lib import checkpoint
from lib import model_file
from lib.program import finish
from lib.unpickle import CheckpointError, quote


def parse_arguments(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="convert.py", description="Makes a model file (x.bin) of a checkpoint. "
                                     "Nothing that the checkpoint says is executed.")
    parser.add_argument("input", metavar="IN", help="checkpoint: PyTorch .pt (zip or legacy), .pkl, or safetensors")
    parser.add_argument("-o", "--output", metavar="OUT.bin", required=True, help="model file to write")
    parser.add_argument("--dtype", choices=("F32", "F16", "BF16"), default="F32",
                        help="how the weights are stored (default: %(default)s)")
    parser.add_argument("--phase", choices=("topleft", "center"),
                        help="where the network takes low-resolution samples to sit in the high-resolution picture "
                             "(default: what a safetensors file says, else topleft, as the authors trained)")
    parser.add_argument("--name", help="name of the model (default: the file name of IN)")
    parser.add_argument("--licence", help="licence of the weights")
    parser.add_argument("--training-data", help="what the model was trained on")
    return parser.parse_args(argv)


def sha256(file: BinaryIO) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def provenance(args: argparse.Namespace, source: checkpoint.Checkpoint, file: BinaryIO) -> dict[str, str]:
    """The metadata of the model file: what IN said of itself, then where the weights come from, then the options."""
    date = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    base = os.path.basename(args.input)
    metadata = {"name": os.path.splitext(base)[0], "phase": "topleft"}
    metadata.update(source.metadata)
    metadata.update(format="selfblindvsr", source=base, source_sha256=sha256(file), date=date)
    given = {"name": args.name, "licence": args.licence, "training_data": args.training_data, "phase": args.phase}
    metadata.update({key: value for key, value in given.items() if value is not None})
    return metadata


def read_values(source: checkpoint.Checkpoint) -> dict[str, np.ndarray]:
    values = {}
    for name, tensor in source.tensors.items():
        try:
            values[name] = tensor.values()
        except CheckpointError as error:
            raise CheckpointError(f"tensor {quote(name)}: {error}") from None
    return values


def convert(args: argparse.Namespace) -> list[str]:
    """Writes the model file and returns what there is to report."""
    with open(args.input, "rb", opener=model_file.open_unblocked) as file:
        if os.path.exists(args.output) and os.path.samefile(args.input, args.output):
            raise CheckpointError("would be overwritten: IN and OUT are the same file")
        source = checkpoint.read(file)
        arch = architecture.read({name: tensor.shape for name, tensor in source.tensors.items()})
        values = read_values(source)
        metadata = provenance(args, source, file)
    model_file.write(args.output, values, metadata, args.dtype)
    low, high = min(float(v.min()) for v in values.values()), max(float(v.max()) for v in values.values())
    return [
        f"{args.input}: {source.form}, {len(values)} tensors, values from {low:.4g} to {high:.4g}",
        f"network: {arch}",
        f"{args.output}: {args.dtype}, {os.path.getsize(args.output)} bytes, name {quote(metadata['name'])}, "
        f"phase {quote(metadata['phase'])[1:-1]}",
    ]


class ConvertError(Exception):
    """What went wrong, and with which file."""


def run(args: argparse.Namespace) -> None:
    try:
        report = convert(args)
    except OSError as error:
        name = args.output if error.filename is None else error.filename
        raise ConvertError(f"{name}: {error.strerror or error}") from error
    except MemoryError as error:
        raise ConvertError(f"{args.input}: out of memory") from error
    except ValueError as error:  # CheckpointError, ArchitectureError, ModelFileError
        raise ConvertError(f"{args.input}: {error}") from error
    print("\n".join(report))


def main(argv: Optional[Sequence[str]] = None) -> int:
    args = parse_arguments(argv)
    return finish("convert.py: error", lambda: run(args), ConvertError)


if __name__ == "__main__":
    sys.exit(main())
