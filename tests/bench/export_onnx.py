"""Writes the whole network as PyTorch defines it (model/training/reference.py), with the weights of a model file, as
ONNX:

    export_onnx.py MODEL.bin OUT.onnx WIDTHxHEIGHT

Exit status 77: PyTorch is not installed.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import inspect
import sys
import warnings
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
NOT_OFFERED = 77
OPSET = 16  # the first with GridSample
sys.path[:0] = [str(TOP / "model/tools"), str(TOP / "model/training")]
try:
    import numpy as np
    import torch
except ImportError as error:
    print(f"not installed: {error.name}", file=sys.stderr)
    sys.exit(NOT_OFFERED)
from lib import model_file  # noqa: E402
import reference  # noqa: E402


def main(model: str, out: str, size: str) -> int:
    width, height = (int(side) for side in size.split("x"))
    tensors, _ = model_file.read(model)
    net = reference.SelfBlindVSR.from_state_dict({name: value.astype(np.float32) for name, value in tensors.items()})
    window = torch.zeros(1, net.arch.n_sequence, net.arch.n_colors, height, width)
    torch.set_num_threads(1)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sizes become constants, as they may
        options = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
        torch.onnx.export(net, window, out, opset_version=OPSET, do_constant_folding=False, input_names=["window"],
                          output_names=["picture"], **options)
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        print("usage: export_onnx.py MODEL.bin OUT.onnx WIDTHxHEIGHT", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(*sys.argv[1:]))
