#!/usr/bin/env python3
"""Times the network as PyTorch computes it on the CPU: model/training/reference.py with the weights of a model file, on one
window of packed 8-bit RGB frames. Prints a line of JSON. Exit status 77: there is no PyTorch, or no bfloat16 in it.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

NOT_OFFERED = 77
sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "model" / folder) for folder in ("tools", "training")]

try:
    import numpy as np
    import torch
except ImportError as error:
    print(f"not installed: {error}", file=sys.stderr)
    sys.exit(NOT_OFFERED)
from lib import model_file  # noqa: E402
import reference  # noqa: E402


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Times the network as PyTorch computes it, on the CPU.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--input", type=Path, required=True, help="a window of packed 8-bit RGB frames")
    parser.add_argument("--output", type=Path, help="takes the restored frame, packed 8-bit RGB")
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--height", type=int, required=True)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="bf16: under autocast")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=4, help="to repeat it for (4), once at least")
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    tensors, _ = model_file.read(arguments.model)
    net = reference.SelfBlindVSR.from_state_dict({name: value.astype(np.float32) for name, value in tensors.items()})
    raw = np.fromfile(arguments.input, np.uint8).reshape(-1, arguments.height, arguments.width, 3)
    window = torch.from_numpy(raw[:net.arch.n_sequence].astype(np.float32) / 255).permute(0, 3, 1, 2)[None]

    def restore(frames: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=arguments.precision == "bf16"):
            return net(frames)

    try:
        restore(window[..., :32, :32])  # what is loaded or chosen when it is first used
    except RuntimeError as error:
        if arguments.precision == "fp32":
            raise
        print(f"PyTorch {torch.__version__} has no bf16 for this network: {str(error).splitlines()[0]}", file=sys.stderr)
        return NOT_OFFERED
    seconds: list[float] = []
    while not seconds or sum(seconds) < arguments.seconds:
        begin, thread = time.perf_counter(), time.thread_time()
        picture = restore(window)
        seconds.append(time.perf_counter() - begin)
        if arguments.threads == 1:  # other programs may have had the processor in between
            seconds[-1] = min(seconds[-1], time.thread_time() - thread)
    if arguments.output:
        levels = (picture[0].float() * 255).round().clamp(0, 255).to(torch.uint8)
        arguments.output.write_bytes(levels.permute(1, 2, 0).contiguous().numpy().tobytes())
    print(json.dumps({"min_ms": 1e3 * min(seconds), "median_ms": 1e3 * statistics.median(seconds),
                      "passes": len(seconds), "torch": torch.__version__}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
